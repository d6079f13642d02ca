"""The files beside a raster that GDAL reads with it, and its first bytes."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path

RECENT = 2 * 10**9  # nanoseconds; a folder changed more recently may change again with the same time
MOST_NAMES = 20_000  # in a folder that is listed
HEAD = 2048  # bytes to distinguish XML from a raster
ROOTS = re.compile(rb"<(VRTDataset|GDALTileIndexDataset|VRTDerived|VRTWarped)", re.IGNORECASE)
SIDECARS = (".ovr", ".msk", ".aux", ".ovr.ovr", ".ovr.msk", ".msk.ovr", ".msk.msk")  # suffixes that GDAL looks for
ENDS = (*SIDECARS, *(end.upper() for end in SIDECARS))
# suffixes of other files that change how GDAL reads a raster; those of world files depend on the raster's own suffix
OTHERS = (*SIDECARS, ".aux.xml", ".prj", ".hdr", ".wld", ".tfw", ".jgw", ".j2w", ".pgw", ".bpw")
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # first bytes of TIFF and BigTIFF


def head_of(file: Path) -> bytes:
    """The first bytes of a file, to distinguish XML from a raster."""
    with file.open("rb") as handle:
        return handle.read(HEAD)


def sidecars(file: Path) -> Iterator[Path]:
    """The overview and mask files beside a raster."""
    names = (f"{stem}{end}" for stem in dict.fromkeys((file.name, file.stem)) for end in ENDS)
    yield from existing(file.parent, (name for name in names if name != file.name))


def beside(file: str) -> Iterator[str]:
    """Names that files read with a raster may have; most exist for no raster."""
    stem, _, suffix = file.rpartition(".")
    world = (f".{suffix}w",) if suffix and "/" not in suffix else ()
    for end in (*OTHERS, *world):
        for each in dict.fromkeys((file, stem if world else file)):
            yield f"{each}{end}"
            yield f"{each}{end.upper()}"


def existing(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    """The files of a folder among `names`.

    The folder is listed once, and again after a change of it: that takes less than a look for every name.
    """
    state = os.stat(folder or ".")  # noqa: PTH116 - speed
    settled = time.time_ns() - state.st_mtime_ns > RECENT
    known = _entries(str(folder), state.st_ino, state.st_mtime_ns) if settled else None
    for name in names:
        if (known is None or name in known) and os.path.isfile(f"{folder}/{name}"):  # noqa: PTH113 - speed
            yield folder / name


@lru_cache(maxsize=2)
def _entries(folder: str, _inode: int, _modified: int) -> frozenset[str] | None:
    """The names in a folder; None if they are many."""
    with os.scandir(folder) as entries:
        names = frozenset(entry.name for entry in islice(entries, MOST_NAMES + 1))
    return names if len(names) <= MOST_NAMES else None


def is_file(file: Path) -> bool:
    """Whether it is a file; False if it is no valid name of one."""
    try:
        return file.is_file()
    except (OSError, ValueError):
        return False
