"""Rasters that ground control points place: warped once, onto the pixels of the tile grid.

What is warped there again, to bake it, stays what it is: its pixels are the grid's. So it is resampled once.
"""

from __future__ import annotations

import math
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp
from rasterio.enums import Resampling as GdalResampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT

from tiler.errors import BadOption, BadSource
from tiler.grid import EXTENT, TILE, Window, resolution, zoom_for
from tiler.raster.bodies import AS_EARTH, called, foreign_radius
from tiler.raster.options import Nodata
from tiler.raster.place import FORMER, MERCATOR
from tiler.raster.vrt import copy_of

FITS = ("polynomial", "tps")  # through control points
WGS_84 = 4326  # without the shift of a datum, longitudes may go on past 180 degrees
BLOCK = 512  # pixels a side that are warped at a time


def by_points(dataset: DatasetReader) -> bool:
    """Whether control points place the raster, and no geotransform."""
    return bool(dataset.gcps[0]) and bool(dataset.transform.is_identity)


def unrolled(dataset: DatasetReader, fit: str, resampling: str, nodata: Nodata) -> ET.Element:
    """A VRT of the raster on the pixels of the tile grid, of the zoom whose pixels are no larger than its own.

    A polynomial goes as near to the points as it can, of the order that GDAL takes for so many; a thin plate spline
    (`tps`) goes through each. `nodata` is what the user says; where nothing is to be seen, pixels are that, or else
    an alpha band is 0, the raster's own or one that is added.

    Raises:
        BadSource: its points place it nowhere on the earth.
    """
    name, (points, crs) = dataset.name, dataset.gcps
    if not crs:
        raise BadSource(name, "its ground control points have no CRS: add --crs EPSG:CODE")
    if foreign_radius(crs) is not None:
        why = f"its ground control points, of {called(crs)}, are of another body"
        raise BadSource(name, f"{why}: run `gdalwarp` on it first, then add {AS_EARTH}")
    own = ColorInterp.alpha in dataset.colorinterp
    how: dict[str, Any] = {
        "src_crs": crs,
        "crs": FORMER if crs.to_epsg() == WGS_84 else MERCATOR,
        "resampling": GdalResampling[resampling or _kernel(dataset)],
        "SRC_METHOD": "GCP_TPS" if fit == "tps" else "GCP_POLYNOMIAL",  # whatever else is said of its place
    }
    if isinstance(nodata, tuple) and nodata:
        raise BadOption("--nodata: give one value for all bands of a raster that control points place")
    if isinstance(nodata, float):
        single = dataset.dtypes[0] == "float32"
        held = float(np.float32(nodata)) if single else nodata  # GDAL compares what pixels hold
        how |= {"src_nodata": held, "nodata": held}
    else:
        how |= {"add_alpha": not own, "src_nodata": None if nodata == () else _declared(dataset)}
    try:
        with WarpedVRT(dataset, **how) as guess:
            return _on(_aligned(guess.transform, guess.width, guess.height), copy_of(guess))
    except (RasterioError, CPLE_BaseError, ValueError, OverflowError) as error:
        raise BadSource(
            name, f"its {len(points)} ground control points do not place it ({error}): add --crs and --bounds"
        ) from error


def _kernel(dataset: DatasetReader) -> str:
    return "nearest" if ColorInterp.palette in dataset.colorinterp[:1] else "cubic"


def _declared(dataset: DatasetReader) -> float | None:
    """The raster's own nodata value; NaN where floats declare none."""
    declared: float | None = dataset.nodata
    return math.nan if declared is None and dataset.dtypes[0].startswith(("float", "complex")) else declared


def _on(grid: Window, description: ET.Element) -> ET.Element:
    """A VRT of a warp, on other pixels of Web Mercator."""
    (left, top), pixel = grid.corner, grid.pixel
    forward, back = (left, pixel, 0.0, top, 0.0, -pixel), (-left / pixel, 1 / pixel, 0.0, top / pixel, 0.0, -1 / pixel)
    description.set("rasterXSize", str(grid.width))
    description.set("rasterYSize", str(grid.height))
    for name, numbers in (("GeoTransform", forward), ("DstGeoTransform", forward), ("DstInvGeoTransform", back)):
        for each in description.iter(name):
            each.text = ",".join(map(repr, numbers))
    for name in ("BlockXSize", "BlockYSize"):
        for each in description.iter(name):
            each.text = str(BLOCK)
    return description


def _aligned(transform: Affine, width: int, height: int) -> Window:
    """The pixels of the tile grid, of the zoom that fits, that hold a raster in Web Mercator."""
    zoom = zoom_for(min(abs(transform.a), abs(transform.e)))
    pixel = resolution(zoom)
    west, north = transform.c + EXTENT, EXTENT - transform.f
    left, right = math.floor(west / pixel), math.ceil((west + width * transform.a) / pixel)
    top, bottom = math.floor(north / pixel), math.ceil((north - height * transform.e) / pixel)
    top, bottom = max(top, 0), min(bottom, TILE * 2**zoom)
    return Window(zoom, left, top, right - left, bottom - top)
