"""GDAL's own gdaldem: rasterio has the library without the program."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from tiler.image.style import Values

LIBRARIES = Path(rasterio.__file__).parent.parent / "rasterio.libs"
Words = ctypes.POINTER(ctypes.c_char_p)


@cache
def _library() -> ctypes.CDLL:
    (path,) = LIBRARIES.glob("libgdal-*")
    library = ctypes.CDLL(str(path))
    handle, text, flag = ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_int)
    for name, kinds in {
        "GDALOpenEx": [text, ctypes.c_uint, handle, handle, handle],
        "GDALDEMProcessingOptionsNew": [Words, handle],
        "GDALDEMProcessing": [text, handle, text, text, handle, flag],
    }.items():
        function = getattr(library, name)
        function.argtypes, function.restype = kinds, handle
    for name in ("GDALDEMProcessingOptionsFree", "GDALClose"):
        getattr(library, name).argtypes, getattr(library, name).restype = [handle], None
    library.GDALAllRegister()
    return library


def gdaldem(
    mode: str, heights: Values, folder: Path, *options: str, metres: float = 1.0, colours: Path | None = None
) -> Values:
    """The result of `gdaldem MODE` for `heights`, `(height, width)`, NaN for no data; `(bands, height, width)`.

    A pixel measures `metres` on the ground.
    """
    source, target = folder / "heights.tif", folder / "made.tif"
    shape = {"height": heights.shape[0], "width": heights.shape[1], "count": 1, "dtype": heights.dtype}
    nodata = np.nan if heights.dtype.kind == "f" else None
    place = Affine(metres, 0, 1000, 0, -metres, 1000)
    with rasterio.open(source, "w", driver="GTiff", **shape, nodata=nodata, transform=place) as out:
        out.write(heights, 1)
    library = _library()
    words = (ctypes.c_char_p * (len(options) + 1))(*(word.encode() for word in options), None)
    asked, failed = library.GDALDEMProcessingOptionsNew(words, None), ctypes.c_int()
    opened = library.GDALOpenEx(str(source).encode(), 0, None, None, None)
    file = str(colours).encode() if colours else None
    made = library.GDALDEMProcessing(str(target).encode(), opened, mode.encode(), file, asked, ctypes.byref(failed))
    assert made, "gdaldem failed"
    for each in (made, opened):
        library.GDALClose(each)
    library.GDALDEMProcessingOptionsFree(asked)
    with rasterio.open(target) as found:
        bands: Values = found.read()
    return bands
