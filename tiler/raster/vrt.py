"""Rasters with other georeferencing than their own: opened through GDAL's VRT copy of them, edited."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET

import rasterio.shutil
from affine import Affine
from rasterio._path import _UnparsedPath
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.io import DatasetReader, MemoryFile

from tiler.errors import BadOption

CRS_TEXT = re.compile(r"\w+:[\w.]+|.*[\[+{].*", re.DOTALL)  # an authority's code, WKT or PROJ; not a file or URL


class VrtReader(DatasetReader):  # type: ignore[misc]  # rasterio has no types
    """A raster described by a VRT, under the name of its source."""

    def __init__(self, description: ET.Element | str, source: str, **options: Any) -> None:
        text = description if isinstance(description, str) else ET.tostring(description, "unicode")
        super().__init__(_UnparsedPath(text), driver=["VRT"], **options)
        self._description = text
        self._source = source

    def overview(self, level: int) -> VrtReader:
        """Its overview; 1 is the first."""
        return VrtReader(self._description, self._source, OVERVIEW_LEVEL=level - 1)

    @property
    def name(self) -> str:
        """The name of the source, for messages."""
        return self._source


def copy_of(dataset: DatasetReader) -> ET.Element:
    """A VRT with all properties of `dataset`: bands, masks, nodata, palettes, metadata, overviews."""
    with MemoryFile(ext=".vrt") as memory:
        rasterio.shutil.copy(dataset, memory.name, driver="VRT")
        memory.seek(0)
        text = memory.read().decode(errors="replace")  # metadata may be in any encoding
    return ET.fromstring(text)  # noqa: S314 - GDAL has just written it


def placed(description: ET.Element, crs: CRS | None, transform: Affine | None) -> ET.Element:
    """Change the CRS or geotransform of `description`, unless None; a geotransform replaces control points."""
    if crs is not None:
        for each in description.findall("SRS"):
            description.remove(each)
        element = ET.Element("SRS")
        element.text = crs.to_wkt()
        description.insert(0, element)
        for points in description.findall("GCPList"):
            points.attrib.pop("dataAxisToSRSAxisMapping", None)
            points.set("Projection", element.text or "")
    if transform is not None:
        for each in [*description.findall("GeoTransform"), *description.findall("GCPList")]:
            description.remove(each)
        element = ET.Element("GeoTransform")
        element.text = ",".join(repr(float(each)) for each in transform.to_gdal())
        description.insert(0, element)
    return description


def forget_nodata(description: ET.Element) -> None:
    """Remove the nodata value of each band from `description`."""
    for band in description.iter("VRTRasterBand"):
        for each in band.findall("NoDataValue"):
            band.remove(each)


def declare_nodata(description: ET.Element, value: float) -> None:
    """Add a nodata value to each band of `description`, which must have none."""
    for band in description.iter("VRTRasterBand"):
        element = ET.Element("NoDataValue")
        element.text = repr(value)
        band.insert(0, element)


def crs_of(text: str) -> CRS:
    """The CRS of a text, as after `--crs`.

    Raises:
        BadOption: it is not a CRS, or not one with map coordinates.
    """
    cure = "write EPSG:CODE, WKT or a PROJ string"
    if not CRS_TEXT.fullmatch(text.strip()):
        raise BadOption(f"{text[:60]!r} is not a CRS: {cure}")
    try:
        with rasterio.Env():  # sends PROJ's messages to a log
            crs = CRS.from_user_input(text.strip())
    except (CRSError, ValueError) as error:
        raise BadOption(f"{text[:60]!r} is not a CRS known to PROJ: {cure}") from error
    if not (crs.is_geographic or crs.is_projected) and not crs.to_wkt().startswith(("LOCAL_CS", "ENGCRS")):
        raise BadOption(f"{text[:60]!r} has no longitudes, latitudes or map coordinates: choose another CRS")
    return crs


def transform_of(bounds: Sequence[float], geotransform: Sequence[float], width: int, height: int) -> Affine | None:
    """The geotransform from `--bounds` or `--geotransform` for a raster of that size; None if neither is given.

    Raises:
        BadOption: both are given, or one is invalid.
    """
    if bounds and geotransform:
        raise BadOption("--bounds and --geotransform both place the raster: use only one of them")
    if bounds:
        west, south, east, north = check_bounds(bounds)
        return Affine((east - west) / width, 0.0, west, 0.0, (south - north) / height, north)
    return Affine.from_gdal(*check_geotransform(geotransform)) if geotransform else None


def check_bounds(bounds: Sequence[float]) -> Sequence[float]:
    """Return `bounds` if they are valid.

    Raises:
        BadOption: they are not four numbers, or enclose nothing.
    """
    if len(bounds) != 4 or not all(map(math.isfinite, bounds)):
        raise BadOption("--bounds takes four numbers, W,S,E,N, in units of the raster's CRS")
    west, south, east, north = bounds
    if not (west < east and south < north):
        raise BadOption(f"--bounds {_text(bounds)}: W must be less than E and S less than N (past 180 write 190)")
    return bounds


def check_geotransform(numbers: Sequence[float]) -> Sequence[float]:
    """Return `numbers` if they are a valid geotransform in GDAL's order.

    Raises:
        BadOption: they are not six numbers, or give pixels without area.
    """
    order = "X,WIDTH,ROTATION,Y,ROTATION,HEIGHT, in GDAL's order, as in 500000,10,0,5000000,0,-10"
    if len(numbers) != 6 or not all(map(math.isfinite, numbers)):
        raise BadOption(f"--geotransform takes six numbers: {order}")
    _, right, over, _, down, below = numbers
    if right * below == over * down or (right == 0) != (below == 0):  # the second means affine's order
        raise BadOption(f"--geotransform {_text(numbers)} gives pixels without area: write {order}")
    return numbers


def _text(numbers: Sequence[float]) -> str:
    return ",".join(f"{each:.12g}" for each in numbers)
