"""A raster in an archive that is given as a source by itself."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from tiler.errors import BadSource, SourceReadError
from tiler.raster.datasets import DRIVERS, probed

END = ".zip"
ASIDE = (".ovr", ".msk", ".aux", ".aux.xml", "/")  # ends of names of what is no raster by itself
OTHERS = ("VRT", "GTI")  # drivers whose files name other files, so they are known by their names here
MOST = 4096  # files of an archive that are looked at
SHOWN = 8  # rasters that a message lists


def unpacked(path: str) -> str:
    """GDAL's name of the only raster in the archive at `path`; `path` itself if it is no archive.

    Raises:
        BadSource: it holds none, or several; the message lists them.
        StoreError: the network failed.
    """
    if not path.lower().endswith(END) or not Path(path).is_file() or not zipfile.is_zipfile(path) or _opens(path):
        return path
    found = list(_rasters(path))
    if not found:
        raise BadSource(path, "it holds no raster that GDAL opens: unpack it, and name one")
    if len(found) > 1:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise BadSource(
            path,
            f"it holds {', '.join(found[:SHOWN])}{more}: name one, as '/vsizip/{path}/{found[0]}'",
        )
    return f"/vsizip/{path}/{found[0]}"


def _rasters(path: str) -> Iterator[str]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()[:MOST]
    for name in names:
        if name.startswith("__MACOSX/") or name.lower().endswith(ASIDE):
            continue
        if name.lower().endswith(".vrt") or _opens(f"/vsizip/{path}/{name}"):
            yield name


def _opens(name: str) -> bool:
    try:
        return bool(probed(name, [each for each in DRIVERS if each not in OTHERS]))
    except SourceReadError:
        return False
