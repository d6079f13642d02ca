"""Rasters with ground control points: a VRT warps them to the pixels of the tile grid.

The warp of the bake then leaves their pixels unchanged, so they are resampled only once.
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

WGS_84 = 4326  # without a datum shift, longitudes may continue past 180 degrees
BLOCK = 512  # pixels per side to warp at a time


def by_points(dataset: DatasetReader) -> bool:
    """Whether the raster has control points and no geotransform."""
    return bool(dataset.gcps[0]) and bool(dataset.transform.is_identity)


def unrolled(dataset: DatasetReader, fit: str, resampling: str, nodata: Nodata) -> ET.Element:
    """A VRT of the raster on the pixels of the tile grid, at the lowest zoom with pixels no larger than its own.

    A polynomial approximates the points, with the order that GDAL chooses for their number; a thin plate spline (`tps`)
    passes through each. `nodata` is the user's. Missing pixels become nodata if there is a value; otherwise the alpha
    band, the raster's own or an added one, is 0 there.

    Raises:
        BadSource: its points give no place on the earth.
        BadOption: `nodata` has several values.
    """
    name, (points, crs) = dataset.name, dataset.gcps
    if not crs:
        raise BadSource(name, "its ground control points have no CRS: add --crs EPSG:CODE")
    if foreign_radius(crs) is not None:
        why = f"its ground control points, in {called(crs)}, are on another body"
        raise BadSource(name, f"{why}: run `gdalwarp` on it first, then add {AS_EARTH}")
    has_alpha = ColorInterp.alpha in dataset.colorinterp
    options: dict[str, Any] = {
        "src_crs": crs,
        "crs": FORMER if crs.to_epsg() == WGS_84 else MERCATOR,
        "resampling": GdalResampling[resampling or _kernel(dataset)],
        "SRC_METHOD": "GCP_TPS" if fit == "tps" else "GCP_POLYNOMIAL",  # even if it has RPCs too
    }
    if isinstance(nodata, tuple) and nodata:
        raise BadOption("--nodata: use one value for all bands, because the raster has ground control points")
    if isinstance(nodata, float):
        single = dataset.dtypes[0] == "float32"
        value = float(np.float32(nodata)) if single else nodata  # GDAL compares with rounded pixels
        options |= {"src_nodata": value, "nodata": value}
    else:
        options |= {"add_alpha": not has_alpha, "src_nodata": None if nodata == () else _declared(dataset)}
    try:
        with WarpedVRT(dataset, **options) as guess:
            return _on_grid(_aligned(guess.transform, guess.width, guess.height), copy_of(guess))
    except (RasterioError, CPLE_BaseError, ValueError, OverflowError) as error:
        raise BadSource(
            name, f"its {len(points)} ground control points do not give its place ({error}): add --crs and --bounds"
        ) from error


def _kernel(dataset: DatasetReader) -> str:
    return "nearest" if ColorInterp.palette in dataset.colorinterp[:1] else "cubic"


def _declared(dataset: DatasetReader) -> float | None:
    """The raster's own nodata value; NaN for floats without one."""
    declared: float | None = dataset.nodata
    return math.nan if declared is None and dataset.dtypes[0].startswith(("float", "complex")) else declared


def _on_grid(grid: Window, description: ET.Element) -> ET.Element:
    """Move the VRT of a warp to the pixels of `grid`."""
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
    """The window of the tile grid that contains a raster in Web Mercator, at the lowest zoom that keeps its detail."""
    zoom = zoom_for(min(abs(transform.a), abs(transform.e)))
    pixel = resolution(zoom)
    west, north = transform.c + EXTENT, EXTENT - transform.f
    left, right = math.floor(west / pixel), math.ceil((west + width * transform.a) / pixel)
    top, bottom = math.floor(north / pixel), math.ceil((north - height * transform.e) / pixel)
    top, bottom = max(top, 0), min(bottom, TILE * 2**zoom)
    return Window(zoom, left, top, right - left, bottom - top)
