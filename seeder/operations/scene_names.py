"""Find scenes of a layer by the names that users type: addresses, paths, file names, patterns."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from tiler.errors import BadOption, shortened, shown
from tiler.scenes.folders import RealPaths, full_path
from tiler.scenes.patterns import WILD
from tiler.scenes.scene import Listed, Scene

NAMED = 3  # most scenes to name in an error


class SceneNames:
    """The names of some scenes of a layer."""

    def __init__(self, layer: str, scenes: Iterable[Scene]) -> None:
        self._layer = layer
        self._scenes = {scene.address: scene.listed for scene in scenes}
        self._real = RealPaths()

    def own(self, listed: Listed) -> Listed:
        """A scene to add or replace, under its address in the layer if the same file has another one there."""
        address = self._at(listed.address)
        if not address or address == listed.address:
            return listed
        return replace(listed, address=address, path=self._scenes[address].path)

    def to_drop(self, name: str, earlier: SceneNames) -> set[str]:
        """The addresses of the scenes that a name stands for; none if only an `earlier` revision had such.

        Raises:
            BadOption: it stands for none, or is a file name that several scenes have.
        """
        found = self._matching(name)
        if not (found or earlier._matching(name)):
            cure = f"list them with `seeder scenes {self._layer}`"
            raise BadOption(f"no scene of layer {self._layer!r} matches {name!r}: {cure}")
        if len(found) > 1 and name in self._by_name:
            cure = f"give the address of one, or '*/{glob.escape(name)}' for all"
            raise BadOption(f"{len(found)} scenes of layer {self._layer!r} are named {name}, {_some(found)}: {cure}")
        return set(found)

    def to_replace(self, address: str) -> str:
        """The address of the scene that one at `address` replaces: the same or, if there is one only, of its file name.

        Raises:
            BadOption: there is none, or several have this file name.
        """
        if address in self._scenes:
            return address
        name = file_name(address)
        found = self._by_name.get(name, [])
        if len(found) != 1:
            which = f"{len(found)} scenes of layer {self._layer!r} named {name}, {_some(found)}" if found else ""
            cure = "use --drop for the old scenes and --add for the new one"
            raise BadOption(f"{address}: {which or f'no scene of layer {self._layer!r} named {name}'}; {cure}")
        return found[0]

    def _matching(self, name: str) -> list[str]:
        """The addresses that a name stands for: of one scene, of all with this file name, or of all in a pattern."""
        if address := self._at(name):
            return [address]
        if (same := self._by_name.get(name)) or not WILD.search(name):
            return same or []
        texts = [(address, file_name(address)) for address in self._scenes]
        texts += [(address, address) for address in self._scenes]
        patterns = [name]
        if "/" in name and "://" not in name:
            patterns += [] if name.startswith("/") else [_below_here(name)]
            texts += [(address, path) for path, address in self._by_file.items()]
        found = {address for address, text in texts if any(fnmatch.fnmatchcase(text, each) for each in patterns)}
        return [address for address in self._scenes if address in found]

    def _at(self, name: str) -> str:
        """The address of the scene of this address or file; empty if there is none."""
        for address in (name, shown(name)):
            if address in self._scenes:
                return address
        if "://" in name or name.startswith("/vsi"):
            return ""
        path = full_path(name)
        return path if path in self._scenes else self._by_file.get(self._real.of(path), "")

    @cached_property
    def _by_file(self) -> dict[str, str]:
        """The address of each scene on this disk, by its path without symbolic links."""
        return {self._real.of(each): each for each in self._scenes if each.startswith("/")}

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        """The addresses of each file name."""
        found: dict[str, list[str]] = {}
        for address in self._scenes:
            found.setdefault(file_name(address), []).append(address)
        return found


def file_name(address: str) -> str:
    """The file name of a scene."""
    return address.rpartition("/")[2]


def _below_here(pattern: str) -> str:
    """A pattern of paths in the working folder as one of addresses."""
    return os.path.normpath(f"{glob.escape(str(Path.cwd()))}/{pattern}")


def _some(addresses: Sequence[str]) -> str:
    """The first of some addresses."""
    more = f" and {len(addresses) - NAMED} more" if len(addresses) > NAMED else ""
    return ", ".join(map(shortened, addresses[:NAMED])) + more
