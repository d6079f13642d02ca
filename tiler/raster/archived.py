"""The raster in a ZIP archive that is given as the source."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from tiler.errors import BadSource, SourceReadError
from tiler.raster.datasets import DRIVERS, probed

END = ".zip"
ASIDE = (".ovr", ".msk", ".aux", ".aux.xml", "/")  # suffixes of sidecars and folders
OTHERS = ("VRT", "GTI")  # drivers whose files refer to other files; recognized by their suffix here
MOST = 4096  # most files of an archive to check
SHOWN = 8  # most rasters in a message


def unpacked(path: str) -> str:
    """GDAL's name of the only raster in the archive at `path`; `path` itself if it is not an archive.

    Raises:
        BadSource: it holds no raster, or several; the message lists them.
        StoreError: the network failed.
    """
    if not path.lower().endswith(END) or not Path(path).is_file() or not zipfile.is_zipfile(path) or _opens(path):
        return path
    names = list(_rasters(path))
    if not names:
        raise BadSource(path, "it holds no raster that GDAL opens: unpack it, and ingest one of its files")
    if len(names) > 1:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        raise BadSource(
            path,
            f"it holds {', '.join(names[:SHOWN])}{more}: choose one, as in '/vsizip/{path}/{names[0]}'",
        )
    return f"/vsizip/{path}/{names[0]}"


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
