"""The CRS of a GeoTIFF, looked up by its GeoKeys: to make one from them is nearly all of GDAL's work to open a raster.

The tags are read here. Any TIFF whose CRS may come from elsewhere, such as a sidecar or control points, is left to
GDAL.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any, BinaryIO

from rasterio.crs import CRS
from rasterio.io import DatasetReader

KEYS = (34735, 34736, 34737)  # tags of GeoKeys: their directory, numbers and texts
SCALE, TIE_POINTS, MATRIX = 33550, 33922, 34264  # tags of the geotransform
ONE_POINT = 6  # numbers of a tie point; several may be control points
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 12: 8, 13: 4, 16: 8}  # bytes of the types of tags
MOST_TAGS, MOST_BYTES = 200, 1 << 16
MOST_KNOWN = 1000  # CRSs held in memory
BESIDE = (".aux.xml", ".AUX.XML", ".aux", ".AUX")  # suffixes of sidecars that may have a CRS

Tag = tuple[int, int, bytes]  # number, type, value

_known: dict[tuple[str, tuple[Tag, ...]], CRS] = {}


class Reader(DatasetReader):  # type: ignore[misc]  # rasterio has no types
    """A raster whose CRS is made once for all rasters with the same GeoKeys."""

    def read_crs(self) -> CRS | None:
        """See rasterio; called once, when it is opened."""
        keys = geokeys(self.name) if self.driver == "GTiff" else None
        if keys is None:
            return super().read_crs()
        if keys not in _known:
            crs = super().read_crs()
            if not crs or len(_known) >= MOST_KNOWN:
                return crs
            _known[keys] = crs
        return _known[keys]


def geokeys(path: str) -> tuple[str, tuple[Tag, ...]] | None:
    """The byte order and the GeoKeys of a TIFF on disk; None if they may not give its CRS."""
    stem = os.path.splitext(path)[0]  # noqa: PTH122 - speed
    if any(os.path.exists(each + end) for each in (path, stem) for end in BESIDE):  # noqa: PTH110 - speed
        return None
    try:
        with Path(path).open("rb") as file:
            return _tags(file)
    except (OSError, ValueError, struct.error, KeyError):
        return None


def _tags(file: BinaryIO) -> tuple[str, tuple[Tag, ...]] | None:
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}[head[:2]]
    (version,) = struct.unpack_from(f"{order}H", head, 2)
    big = {42: False, 43: True}[version]
    address, number, length = ("Q", "Q", 8) if big else ("I", "H", 4)
    found: dict[int, tuple[int, int, bytes]] = {}
    (count,) = _read(file, f"{order}{number}", struct.unpack_from(f"{order}{address}", head, length)[0])
    if count > MOST_TAGS:
        return None
    entry = struct.Struct(f"{order}HH{address}{length}s")
    for tag, kind, values, value in entry.iter_unpack(file.read(entry.size * count)):
        if tag in (*KEYS, SCALE, TIE_POINTS, MATRIX):
            found[tag] = kind, values, value
    placed = MATRIX in found or (SCALE in found and found.get(TIE_POINTS, (0, 0, b""))[1] == ONE_POINT)
    if not placed or KEYS[0] not in found:
        return None
    tags = []
    for tag in KEYS:
        if tag in found:
            kind, values, value = found[tag]
            size = SIZES[kind] * values
            if size > MOST_BYTES:
                return None
            if size > length:
                file.seek(struct.unpack(f"{order}{address}", value)[0])
                value = file.read(size)
            tags.append((tag, kind, value[:size]))
    return order, tuple(tags)


def _read(file: BinaryIO, form: str, at: int) -> tuple[Any, ...]:
    """The numbers at an offset."""
    file.seek(at)
    return struct.unpack(form, file.read(struct.calcsize(form)))
