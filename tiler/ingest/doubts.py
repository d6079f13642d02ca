"""What speaks against a raster's place: why it cannot be, and what looks wrong."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from pathlib import Path

from rasterio.io import DatasetReader

from tiler.errors import BadSource
from tiler.raster.bodies import called
from tiler.raster.options import Options
from tiler.raster.place import corners
from tiler.raster.subdatasets import SUBDATASET, listed, subdatasets

TURNS = 720.0  # degrees of longitude that no raster goes to
POLE = 90.0  # degrees
ELSEWHERE = {  # metadata domains that place each pixel, and the option of gdalwarp that follows them
    "RPC": ("rational polynomials (RPC)", "-rpc"),
    "GEOLOCATION": ("geolocation arrays", "-geoloc"),
}


def check_placed(dataset: DatasetReader) -> None:
    """Refuse a raster that is placed by what is not read here.

    Raises:
        BadSource: it is; the message has the `gdalwarp` line that cures.
    """
    for domain, (kind, option) in ELSEWHERE.items():
        if dataset.tags(ns=domain):
            command = f"gdalwarp {option} -t_srs EPSG:4326 {shlex.quote(dataset.name)} warped.tif"
            raise BadSource(dataset.name, f"it is placed by {kind}: run `{command}` and ingest warped.tif")


def crs_beside(name: str) -> str:
    """What to type after `--crs` for a raster without one: the text of a .prj beside it, which GDAL may not read."""
    beside = Path(name).with_suffix(".prj")
    try:
        return f'"$(cat {shlex.quote(str(beside))})"' if beside.is_file() else "EPSG:CODE"
    except (OSError, ValueError):  # no name that a file can have
        return "EPSG:CODE"


def check_degrees(dataset: DatasetReader) -> None:
    """Refuse a raster of a geographic CRS whose coordinates are no longitudes and latitudes.

    Raises:
        BadSource: they are not.
    """
    if not dataset.crs.is_geographic:
        return
    degree = math.degrees(dataset.crs.units_factor[1])
    xs, ys = ((float(axis.min()) * degree, float(axis.max()) * degree) for axis in corners(dataset))
    place = f"x {xs[0]:.9g} to {xs[1]:.9g}, y {ys[0]:.9g} to {ys[1]:.9g}"
    if max(map(abs, xs)) > TURNS or max(map(abs, ys)) > TURNS:
        why = f"its coordinates ({place}) are not degrees, as its CRS, {called(dataset.crs)}, says"
        raise BadSource(dataset.name, f"{why}: add --crs EPSG:CODE of a CRS in metres")
    if ys[0] > POLE or ys[1] < -POLE:
        west, east, south, north = (each / degree for each in (*ys, *xs))
        swapped = f"--bounds={west:.12g},{south:.12g},{east:.12g},{north:.12g}"
        cure = f"where they are swapped, add {swapped}" if max(map(abs, xs)) <= POLE else "add --bounds W,S,E,N"
        raise BadSource(dataset.name, f"its coordinates ({place}) are not longitudes and latitudes: {cure}")


def doubts(dataset: DatasetReader, plain: DatasetReader, options: Options) -> Iterator[str]:
    """Notes for the user of what looks wrong and yet is taken as it is, one a line.

    `plain` is the raster as it is without the options that lay it elsewhere.
    """
    there = subdatasets(plain)
    if len(there) > 1 and not options.subdataset:
        yield f"it holds {len(there)} rasters and this is the first: {SUBDATASET} takes one of {listed(there)}"
    if options.gcps and not plain.gcps[0]:
        yield f"--gcps {options.gcps} changes nothing: it has no ground control points"
    crs = dataset.crs
    if not crs or crs.is_geographic:
        return
    (left, right), (bottom, top) = ((float(axis.min()), float(axis.max())) for axis in corners(dataset))
    xs, ys = max(abs(left), abs(right)), max(abs(bottom), abs(top))
    if xs <= 360 and ys <= POLE and abs(dataset.transform.determinant) < 1:
        why = f"its coordinates look like degrees, but its CRS, {called(crs)}, is in other units"
        yield f"{why}: add --crs EPSG:4326 to read them as degrees"
    elif crs.to_dict().get("proj") == "utm" and min(abs(left), abs(right)) > 1_200_000 and 0 < ys < 1_000_000:
        why = f"its axes look swapped (x {left:.9g} to {right:.9g} in {called(crs)})"
        yield f"{why}: add --bounds W,S,E,N in the right order"
