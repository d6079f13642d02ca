"""Watch the files of scenes while they are read, so that no part is made of a scene that changes meanwhile.

A fingerprint by time or version changes with the scene. One by content does not if the content comes back: then the
files' times tell, which a later write always changes, unless they were written a moment ago.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from tiler.errors import ChangedSource
from tiler.raster.datasets import OpenOptions
from tiler.raster.options import Options
from tiler.scenes.fingerprint import RECENT, files_of, fingerprint
from tiler.scenes.scene import BY_CONTENT, Scene

Stamp = tuple[int, int, int, int]  # size, inode, and times of the last write and of the last change, ns since 1970


class Watch:
    """The files of scenes whose fingerprint is by content, as they were before they were read."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._stamps: dict[str, tuple[Stamp, ...]] = {}
        self._settled: set[str] = set()  # scenes that were hashed again after their times had become sure

    def begin(self, scenes: Iterable[Scene]) -> None:
        """Watch scenes from now on, before they are read.

        Raises:
            BadSource: one has changed since its header was read.
        """
        for scene in scenes:
            if scene.fingerprint.startswith(BY_CONTENT) and scene.address not in self._stamps:
                self._stamps[scene.address] = self._now(scene)
                self._compare(scene)

    def check(self, scenes: Iterable[Scene]) -> None:
        """Reject scenes that changed since their headers were read.

        Raises:
            BadSource: one changed.
        """
        for scene in scenes:
            stamps = self._stamps.get(scene.address)
            if stamps is not None and self._now(scene) != stamps:
                raise ChangedSource(scene.address)
            if scene.address in self._settled:
                continue
            sure = bool(stamps) and time.time_ns() - max(max(stamp[2:]) for stamp in stamps or ()) > RECENT
            self._compare(scene)
            if sure:
                self._settled.add(scene.address)

    def _compare(self, scene: Scene) -> None:
        try:
            now = fingerprint(scene.listed, self._options, before=scene.fingerprint)
        except OSError as error:
            raise ChangedSource(scene.address) from error
        if now != scene.fingerprint:
            raise ChangedSource(scene.address)

    def _now(self, scene: Scene) -> tuple[Stamp, ...]:
        """The stamps of a scene's files; none if it has members elsewhere, whose versions its fingerprint has."""
        try:
            files, far = files_of(scene.listed.path, OpenOptions.of(self._options))
            return () if far else tuple(_stamp(str(file)) for file in files)
        except OSError as error:
            raise ChangedSource(scene.address) from error


def _stamp(file: str) -> Stamp:
    state = os.stat(file)  # noqa: PTH116 - a third of the time
    return state.st_size, state.st_ino, state.st_mtime_ns, state.st_ctime_ns
