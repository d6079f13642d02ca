"""A raster laid elsewhere than it says: opened through a VRT that is GDAL's own copy of it but for its place."""

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

SAID = re.compile(r"\w+:[\w.]+|.*[\[+{].*", re.DOTALL)  # an authority's code, WKT, PROJ: no file and no address


class VrtReader(DatasetReader):  # type: ignore[misc]  # rasterio has no types
    """A raster that is described by a VRT, under the name of what it is read from."""

    def __init__(self, description: ET.Element, called: str, **how: Any) -> None:
        super().__init__(_UnparsedPath(ET.tostring(description, "unicode")), driver=["VRT"], **how)
        self._called = called

    @property
    def name(self) -> str:
        """The name of what it is read from: messages show it."""
        return self._called


def copy_of(dataset: DatasetReader) -> ET.Element:
    """A VRT that says all that `dataset` says: bands, masks, nodata, palettes, metadata; its overviews are in use."""
    with MemoryFile(ext=".vrt") as memory:
        rasterio.shutil.copy(dataset, memory.name, driver="VRT")
        memory.seek(0)
        text = memory.read().decode(errors="replace")  # metadata may be in any encoding
    return ET.fromstring(text)  # noqa: S314 - GDAL has just written it


def placed(description: ET.Element, crs: CRS | None, transform: Affine | None) -> ET.Element:
    """`description` with another CRS or geotransform; None stays. A geotransform takes the place of control points."""
    if crs is not None:
        for each in description.findall("SRS"):
            description.remove(each)
        said = ET.Element("SRS")
        said.text = crs.to_wkt()
        description.insert(0, said)
        for points in description.findall("GCPList"):
            points.attrib.pop("dataAxisToSRSAxisMapping", None)
            points.set("Projection", said.text or "")
    if transform is not None:
        for each in [*description.findall("GeoTransform"), *description.findall("GCPList")]:
            description.remove(each)
        said = ET.Element("GeoTransform")
        said.text = ",".join(repr(float(each)) for each in transform.to_gdal())
        description.insert(0, said)
    return description


def forget_nodata(description: ET.Element) -> None:
    """Take the nodata value of each band out of `description`."""
    for band in description.iter("VRTRasterBand"):
        for each in band.findall("NoDataValue"):
            band.remove(each)


def declare_nodata(description: ET.Element, value: float) -> None:
    """Give each band of `description` a nodata value; it must have none."""
    for band in description.iter("VRTRasterBand"):
        said = ET.Element("NoDataValue")
        said.text = repr(value)
        band.insert(0, said)


def crs_of(text: str) -> CRS:
    """The CRS that `--crs` names.

    Raises:
        BadOption: it names none that places anything on a map.
    """
    cure = "write EPSG:CODE, WKT or a PROJ string"
    if not SAID.fullmatch(text.strip()):
        raise BadOption(f"{text[:60]!r} is no CRS: {cure}")
    try:
        with rasterio.Env():  # PROJ's own words go to a log
            crs = CRS.from_user_input(text.strip())
    except (CRSError, ValueError) as error:
        raise BadOption(f"{text[:60]!r} is no CRS that PROJ knows: {cure}") from error
    if not (crs.is_geographic or crs.is_projected) and not crs.to_wkt().startswith(("LOCAL_CS", "ENGCRS")):
        raise BadOption(f"{text[:60]!r} has no longitudes, latitudes or map coordinates: name another")
    return crs


def transform_of(bounds: Sequence[float], geotransform: Sequence[float], width: int, height: int) -> Affine | None:
    """What `--bounds` or `--geotransform` makes of a raster of that many pixels; None where neither is given.

    Raises:
        BadOption: they place it nowhere.
    """
    if bounds and geotransform:
        raise BadOption("--bounds and --geotransform both place the raster: give one of them")
    if bounds:
        west, south, east, north = check_bounds(bounds)
        return Affine((east - west) / width, 0.0, west, 0.0, (south - north) / height, north)
    return Affine.from_gdal(*check_geotransform(geotransform)) if geotransform else None


def check_bounds(bounds: Sequence[float]) -> Sequence[float]:
    """`bounds`, if they enclose something.

    Raises:
        BadOption: they do not.
    """
    if len(bounds) != 4 or not all(map(math.isfinite, bounds)):
        raise BadOption("--bounds takes four numbers, W,S,E,N, in the units of the raster's CRS")
    west, south, east, north = bounds
    if not (west < east and south < north):
        raise BadOption(f"--bounds {_text(bounds)}: W must be less than E and S less than N (past 180 write 190)")
    return bounds


def check_geotransform(numbers: Sequence[float]) -> Sequence[float]:
    """`numbers`, if they give each pixel a place of its own.

    Raises:
        BadOption: they do not.
    """
    order = "X,WIDTH,ROTATION,Y,ROTATION,HEIGHT, in GDAL's order, as in 500000,10,0,5000000,0,-10"
    if len(numbers) != 6 or not all(map(math.isfinite, numbers)):
        raise BadOption(f"--geotransform takes six numbers: {order}")
    _, right, over, _, down, below = numbers
    if right * below == over * down or (right == 0) != (below == 0):  # the latter is affine's order
        raise BadOption(f"--geotransform {_text(numbers)} makes pixels of no area: write {order}")
    return numbers


def _text(numbers: Sequence[float]) -> str:
    return ",".join(f"{each:.12g}" for each in numbers)
