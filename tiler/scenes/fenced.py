"""Check that sources lead to no file outside a folder, before anything is opened.

A dry run of a stranger's file of layers may open only what lies in its folder: no network, no link or VRT out of it,
and only formats whose files contain all their pixels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tiler.errors import BadSource, shown
from tiler.inputs import check_source
from tiler.raster.datasets import PLAIN, inline
from tiler.scenes import index_files
from tiler.scenes.expand import DRIVER, GTI, INDEXES, expand
from tiler.scenes.patterns import WILD, Pattern
from tiler.scenes.sidecars import ROOTS, TIFF, head_of, is_file
from tiler.scenes.source_files import FOREIGN, Walk

CURE = "copy it into the folder, or add --trust-source"
MAGIC = (*TIFF, b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")  # of formats that refer to no other file
MOST = 100_000  # entries of folders to look at


@dataclass(frozen=True, slots=True)
class Fence:
    """A folder, without symbolic links, that nothing may lead out of."""

    folder: Path

    @classmethod
    def of(cls, folder: Path) -> Fence:
        """The fence around a folder."""
        return cls(Path(os.path.realpath(folder)))

    def holds(self, path: str | Path) -> bool:
        """Whether a path leads to a place in the folder."""
        try:
            return Path(os.path.realpath(path)).is_relative_to(self.folder)
        except (OSError, ValueError):
            return False

    def check(self, names: Sequence[str], *, asset: str = "") -> None:
        """Check sources, and all files that GDAL reads for them.

        Raises:
            BadSource: one leads out of the folder, or is of a format that may.
        """
        for name in names:
            self._check_name(name)
        for listed in expand(names, asset=asset):
            source = listed.address
            if FOREIGN.search(listed.path) or inline(listed.path) != listed.path or listed.path.startswith("<"):
                _refuse(source, "is not a file in the folder of this file of layers")
            _Walk(source, PLAIN, fence=self).enter(listed.path, 0)

    def _check_name(self, name: str) -> None:
        """Check a source before it is expanded."""
        plain = name.removeprefix("@")
        if not plain or plain == "-" or FOREIGN.search(plain) or DRIVER.match(plain) or "<" in plain or "\0" in plain:
            _refuse(name, "is not a file in the folder of this file of layers")
        wild = WILD.search(plain) and not os.path.lexists(plain)
        place = Path(Pattern.of(plain).root if wild else plain)
        if not self.holds(place):
            _refuse(name, "leads out of the folder of this file of layers")
        check_source(str(place))
        if place.is_dir():
            for link in self._ways_out(place, hidden="/." in plain):
                _refuse(name, f"holds {link}, a link out of the folder of this file of layers")
        elif plain.lower().endswith(INDEXES) and index_files.is_xml(place):
            index = index_files.described(name, place, trusted=False).file
            if not self.holds(index):
                _refuse(name, f"refers to {index}, outside the folder of this file of layers")

    def _ways_out(self, folder: Path, *, hidden: bool) -> Iterator[str]:
        """The links below a folder that lead out; links to other folders within are followed."""
        waiting, seen, number = [os.path.realpath(folder)], set[str](), 0
        while waiting:
            here = waiting.pop()
            if here in seen:
                continue
            seen.add(here)
            with os.scandir(here) as entries:
                for entry in entries:
                    number += 1
                    if number > MOST:
                        _refuse(str(folder), f"has over {MOST:,} files, too many for a dry run of a stranger's file")
                    if entry.name.startswith(".") and not hidden:
                        continue
                    real = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
                    if not self.holds(real):
                        yield entry.path
                    elif entry.is_dir():
                        waiting.append(real)

    def check_file(self, source: str, name: str) -> None:
        """Check a raster, the files beside it, and its format, before GDAL opens it.

        Raises:
            BadSource: it leads out of the folder, or its format may refer to other files.
        """
        file = Path(name)
        if not self.holds(file):
            _refuse(source, f"refers to {shown(name)}, outside the folder of this file of layers")
        if not os.path.lexists(file):
            raise BadSource(source, "no such file" + (f": it refers to {shown(name)}" if name != source else ""))
        if not is_file(file):
            _refuse(source, f"refers to {shown(name)}, which is not a file" if name != source else "is not a file")
        with os.scandir(file.parent) as entries:
            for entry in entries:
                if entry.is_symlink() and not self.holds(entry.path) and entry.is_file():
                    _refuse(
                        source, f"is beside {entry.path}, a link to a file out of the folder of this file of layers"
                    )
        head = head_of(file)
        if not (head.startswith(MAGIC) or ROOTS.search(head)):
            _refuse(source, "is neither GeoTIFF, PNG, JPEG nor a VRT of these, and other formats may refer to any file")


@dataclass(slots=True)
class _Walk(Walk):
    """A walk that checks each file before it is opened."""

    fence: Fence = Fence(Path("/"))

    def enter(self, name: str, depth: int) -> None:
        """See `Walk.enter`."""
        self.fence.check_file(self.source, name.removeprefix("file://").removeprefix(GTI))
        Walk.enter(self, name.removeprefix("file://"), depth)

    def indexed(self, index: Path, _field: str) -> Iterator[str]:
        """No index is read: a source that is one was expanded before."""
        _refuse(self.source, f"refers to the tile index {index}")

    def take(self, name: str) -> list[Path]:
        """See `Walk.take`."""
        if not self.fence.holds(name):
            _refuse(self.source, f"is read with {shown(name)}, outside the folder of this file of layers")
        return Walk.take(self, name)


def _refuse(source: str, why: str) -> NoReturn:
    raise BadSource(source, f"a dry run opens only files that are safe to open; this source {why}: {CURE}")
