"""The files beside a raster that GDAL reads with it, and its first bytes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

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
    folder = file.parent
    names = (f"{stem}{end}" for stem in dict.fromkeys((file.name, file.stem)) for end in ENDS)
    yield from (folder / name for name in names if name != file.name and os.path.isfile(f"{folder}/{name}"))  # noqa: PTH113


def beside(file: str) -> Iterator[str]:
    """Names that files read with a raster may have; most exist for no raster."""
    stem, _, suffix = file.rpartition(".")
    world = (f".{suffix}w",) if suffix and "/" not in suffix else ()
    for end in (*OTHERS, *world):
        for each in dict.fromkeys((file, stem if world else file)):
            yield f"{each}{end}"
            yield f"{each}{end.upper()}"


def is_file(file: Path) -> bool:
    """Whether it is a file; False if it is no valid name of one."""
    try:
        return file.is_file()
    except (OSError, ValueError):
        return False
