"""GDAL's PMTiles reader of pyogrio's wheels, missing in rasterio's: print the digest of each requested tile.

This is a separate program, because two GDALs in one process interfere.
"""

from __future__ import annotations

import ctypes
import hashlib
import sys
from pathlib import Path

import pyogrio

ROOM = 1 << 20  # bytes; more than a tile has


def main(archive: str, *names: str) -> None:
    """Print a line for each of the names, z/x/y.png."""
    pyogrio.list_drivers()  # registers them
    (path,) = (Path(pyogrio.__file__).parent.parent / "pyogrio.libs").glob("libgdal*")
    gdal, handle, size = ctypes.CDLL(str(path)), ctypes.c_void_p, ctypes.c_size_t
    gdal.VSIFOpenL.argtypes, gdal.VSIFOpenL.restype = [ctypes.c_char_p, ctypes.c_char_p], handle
    gdal.VSIFReadL.argtypes, gdal.VSIFReadL.restype = [handle, size, size, handle], size
    gdal.VSIFCloseL.argtypes = [handle]
    room = ctypes.create_string_buffer(ROOM)
    for name in names:
        file = gdal.VSIFOpenL(f"/vsipmtiles/{archive}/{name}".encode(), b"rb")
        length = gdal.VSIFReadL(room, 1, ROOM, file) if file else 0
        if file:
            gdal.VSIFCloseL(file)
        print(name, hashlib.sha256(room.raw[:length]).hexdigest())  # noqa: T201 - it is a program


if __name__ == "__main__":
    main(*sys.argv[1:])
