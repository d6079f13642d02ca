"""The rasters in folders, and those that a pattern matches."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tiler.errors import BadSource
from tiler.scenes.patterns import Pattern

# Suffixes of the files that a folder, a prefix or a pattern without a suffix gives. VRTs and tile indexes are not among
# them: their members would be there twice. Nor are sidecars: overviews, masks, statistics, world files.
RASTERS = (
    *(".tif", ".tiff", ".jp2", ".png", ".gtiff", ".j2k", ".jpx", ".ecw", ".jpg", ".jpeg", ".jxl", ".webp", ".avif"),
    *(".img", ".asc", ".hgt", ".dem", ".dt0", ".dt1", ".dt2", ".bil", ".flt", ".bt", ".nc", ".grb", ".grib", ".grb2"),
    *(".grib2", ".h5", ".hdf", ".he5", ".bag", ".ntf", ".nitf", ".pix"),
)
# Suffixes of files that describe a raster beside them, whatever a pattern says
SIDECARS = re.compile(r"\.(ovr|msk|xml|aux|rrd|ige|tfw|tifw|tfwx|jgw|jpgw|pgw|pngw|j2w|wld|prj|hdr)", re.IGNORECASE)
WHOLE = {"hdr.adf", "manifest.safe"}  # a folder with one of these is a raster itself
Enters = Callable[[int, str], bool]  # whether to read a folder, from its depth and name


class Found(NamedTuple):
    """A raster: its path as found, and its path without symbolic links."""

    path: str
    real: str


def is_raster(name: str) -> bool:
    """Whether the suffix of a file or object is in RASTERS."""
    return name.lower().endswith(RASTERS)


def is_whole(folder: Path) -> bool:
    """Whether a folder is a raster itself: an Arc/Info grid or a SAFE product."""
    try:
        return folder.is_dir() and not WHOLE.isdisjoint(each.name.lower() for each in folder.iterdir())
    except OSError:
        return False


def selected(below: str, pattern: Pattern) -> bool:
    """Whether to take a path below the root of `pattern`: a raster, or any file if the pattern names a suffix."""
    if not pattern.matches(below):
        return False
    return is_raster(below) or (pattern.has_suffix and not SIDECARS.fullmatch(PurePosixPath(below).suffix))


def full_path(path: str | Path) -> str:
    """The absolute path of a file or folder, so that it has one address however it was reached.

    Symbolic links stay, and so does `..` after one, if it leads elsewhere.
    """
    full = str(Path(path).absolute())
    if "/.." not in full:
        return full
    tidy = os.path.normpath(full)
    return tidy if os.path.realpath(tidy) == os.path.realpath(full) else full


class RealPaths:
    """Paths without symbolic links; each folder is resolved once."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def of(self, path: str) -> str:
        """The path of the file that an absolute `path` leads to."""
        folder, _, name = path.rpartition("/")
        if not folder or name in ("", "..") or os.path.islink(path):  # noqa: PTH114 - speed
            return os.path.realpath(path)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return f"{self._folders[folder]}/{name}"


def within(source: str, folder: Path) -> list[Found]:
    """The rasters in a folder and below it, sorted by path; hidden ones are not listed.

    A folder that several links lead to is read once, by its own name if that is below `folder`.

    Raises:
        BadSource: a folder cannot be read, or there is no raster.
    """
    found = [each for each, taken in _walk(source, folder, whole=True) if taken or is_raster(each.path)]
    if not found:
        raise BadSource(
            source, f"no raster in this folder: add files such as {' '.join(RASTERS[:4])}, or quote a pattern"
        )
    return sorted(found)


def matching(source: str, pattern: Pattern) -> list[Found]:
    """The files that a pattern matches, sorted by path.

    A pattern that ends in a suffix, as in `*.dat`, matches all files with it except sidecars; others only rasters.

    Raises:
        BadSource: a folder cannot be read, or no file matches.
    """
    root = Path(full_path(pattern.root or "."))
    if not root.is_dir():
        raise BadSource(source, f"there is no folder {root}: check the pattern")
    length = len(str(root).rstrip("/")) + 1
    walk = _walk(source, root, pattern.enters)
    found = [each for each, _ in walk if selected(each.path[length:], pattern)]
    if not found:
        raise BadSource(source, "no raster matches this pattern: check it, or use **/*.tif for all folders below")
    return sorted(found)


def _walk(
    source: str, folder: Path, enters: Enters = lambda _depth, _name: True, *, whole: bool = False
) -> Iterator[tuple[Found, bool]]:
    """Each file below `folder`; with `whole`, also the folders that are rasters, marked with True."""
    seen: set[str] = set()
    waiting = [(full_path(folder), os.path.realpath(folder), 0)]
    linked: list[tuple[str, str, int]] = []
    while waiting or linked:
        path, real, depth = waiting.pop() if waiting else linked.pop(0)
        if real in seen:
            continue
        seen.add(real)
        entries = _entries(source, path)
        if whole and not WHOLE.isdisjoint(entry.name.lower() for entry in entries):
            yield Found(path, real), True
            continue
        for entry in entries:
            if whole and entry.name.startswith("."):  # a pattern decides itself
                continue
            link = entry.is_symlink()
            below = os.path.realpath(entry.path) if link else f"{real.rstrip('/')}/{entry.name}"
            if entry.is_dir():
                if enters(depth, entry.name):
                    (linked if link else waiting).append((entry.path, below, depth + 1))
            elif entry.is_file():
                yield Found(entry.path, below), False


def _entries(source: str, folder: str) -> list[os.DirEntry[str]]:
    """The entries of a folder, sorted by name."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        why = f"the folder {folder} cannot be read ({error.strerror})"
        raise BadSource(source, f"{why}: allow it with chmod, or list the files in @list.txt") from error
