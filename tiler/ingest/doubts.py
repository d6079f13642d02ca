"""Check a raster's georeferencing: reject what is impossible, note what looks wrong."""

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

TURNS = 720.0  # degrees of longitude beyond any raster
POLE = 90.0  # degrees
ELSEWHERE = {  # metadata domains that place each pixel, and gdalwarp's option for them
    "RPC": ("rational polynomials (RPC)", "-rpc"),
    "GEOLOCATION": ("geolocation arrays", "-geoloc"),
}


def check_placed(dataset: DatasetReader) -> None:
    """Reject a raster with RPCs or geolocation arrays, which are not read here.

    Raises:
        BadSource: it has them; the message includes a `gdalwarp` command to warp it first.
    """
    for domain, (kind, option) in ELSEWHERE.items():
        if dataset.tags(ns=domain):
            command = f"gdalwarp {option} -t_srs EPSG:4326 {shlex.quote(dataset.name)} warped.tif"
            raise BadSource(dataset.name, f"it is georeferenced by {kind}: run `{command}` and ingest warped.tif")


def crs_beside(name: str) -> str:
    """The value to type after `--crs` for a raster without a CRS: the text of a .prj beside it, if there is one."""
    beside = Path(name).with_suffix(".prj")
    try:
        return f'"$(cat {shlex.quote(str(beside))})"' if beside.is_file() else "EPSG:CODE"
    except (OSError, ValueError):  # not a valid file name
        return "EPSG:CODE"


def check_degrees(dataset: DatasetReader) -> None:
    """Reject a raster in a geographic CRS if its coordinates cannot be longitudes and latitudes.

    Raises:
        BadSource: they cannot be.
    """
    if not dataset.crs.is_geographic:
        return
    degree = math.degrees(dataset.crs.units_factor[1])
    xs, ys = ((float(axis.min()) * degree, float(axis.max()) * degree) for axis in corners(dataset))
    place = f"x {xs[0]:.9g} to {xs[1]:.9g}, y {ys[0]:.9g} to {ys[1]:.9g}"
    if max(map(abs, xs)) > TURNS or max(map(abs, ys)) > TURNS:
        why = f"its coordinates ({place}) are not degrees, but its CRS, {called(dataset.crs)}, is geographic"
        raise BadSource(dataset.name, f"{why}: add --crs EPSG:CODE with the right CRS, one in metres")
    if ys[0] > POLE or ys[1] < -POLE:
        west, east, south, north = (each / degree for each in (*ys, *xs))
        swapped = f"--bounds={west:.12g},{south:.12g},{east:.12g},{north:.12g}"
        cure = f"if they are swapped, add {swapped}" if max(map(abs, xs)) <= POLE else "add --bounds W,S,E,N"
        raise BadSource(dataset.name, f"its coordinates ({place}) are not longitudes and latitudes: {cure}")


def doubts(dataset: DatasetReader, plain: DatasetReader, options: Options) -> Iterator[str]:
    """Notes for the user about what looks wrong but is accepted, one per line.

    `plain` is the raster opened without the options that change its georeferencing.
    """
    names = subdatasets(plain)
    if len(names) > 1 and not options.subdataset:
        yield f"it holds {len(names)} rasters; the first is used: {SUBDATASET} selects another, one of {listed(names)}"
    if options.gcps and not plain.gcps[0]:
        yield f"--gcps {options.gcps} has no effect: the raster has no ground control points"
    crs = dataset.crs
    if not crs or crs.is_geographic:
        return
    (left, right), (bottom, top) = ((float(axis.min()), float(axis.max())) for axis in corners(dataset))
    xs, ys = max(abs(left), abs(right)), max(abs(bottom), abs(top))
    if xs <= 360 and ys <= POLE and abs(dataset.transform.determinant) < 1:
        why = f"its coordinates look like degrees, but its CRS, {called(crs)}, is in other units"
        yield f"{why}: if they are degrees, add --crs EPSG:4326"
    elif crs.to_dict().get("proj") == "utm" and min(abs(left), abs(right)) > 1_200_000 and 0 < ys < 1_000_000:
        why = f"its axes look swapped (x {left:.9g} to {right:.9g} in {called(crs)})"
        yield f"{why}: add --bounds W,S,E,N in the right order"
