"""The header of a raster: whether it can become a layer, and the bands and masks to read."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rasterio.io import DatasetReader

from tiler.errors import BadSource
from tiler.raster.amplitude import was_complex
from tiler.raster.bodies import called
from tiler.raster.datasets import OpenOptions
from tiler.raster.options import Options
from tiler.raster.pixels import LONG, declared, dtype_of, reading_of
from tiler.raster.place import check_place, corners
from tiler.raster.reading import Reading
from tiler.raster.sample import hides, holds, look_at_alpha, opaque_alpha
from tiler.raster.subdatasets import SUBDATASET, listed, subdatasets

TURNS = 720.0  # degrees of longitude beyond any raster
POLE = 90.0  # degrees
ELSEWHERE = {  # metadata domains that place each pixel, and gdalwarp's option for them
    "RPC": ("rational polynomials (RPC)", "-rpc"),
    "GEOLOCATION": ("geolocation arrays", "-geoloc"),
}


def check_header(dataset: DatasetReader, open_options: OpenOptions) -> None:
    """Reject a raster that cannot become a layer, by its header alone.

    Raises:
        BadSource: it has no bands, several rasters, or no valid place on the earth.
    """
    name = dataset.name
    if dataset.count == 0:
        names = subdatasets(dataset)
        raise BadSource(
            name,
            f"it holds several rasters: add {SUBDATASET} with one of {listed(names)}" if names else "it has no bands",
        )
    if dataset.transform.is_identity and not open_options.placed:
        check_placed(dataset)
    if dataset.crs:
        check_degrees(dataset)
    check_place(dataset, placed=open_options.placed, missing=crs_beside(name))


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


def plain_reading(dataset: DatasetReader, options: Options) -> Reading:
    """The bands and masks to read, as `noted_reading`, with the fewest reads of pixels.

    Raises:
        BadOption, BadSource: as `reading_of`.
    """
    reading = reading_of(dataset, options.bands, options.nodata, options.alpha)
    return replace(reading, top=opaque_alpha(dataset, reading.alpha)) if reading.alpha else reading


def noted_reading(dataset: DatasetReader, options: Options) -> tuple[Reading, list[str], list[str]]:
    """The bands and mask to read, their differences from earlier versions, and notes for the user.

    Raises:
        BadOption, BadSource: as `reading_of`.
    """
    reading = reading_of(dataset, options.bands, options.nodata, options.alpha)
    differs, notes = list(_differs_in_mask(dataset, reading, options)), []
    if "alpha, not nodata" in differs:
        kind, cure = ("an alpha band", f" --alpha {reading.alpha}") if reading.alpha else ("a mask", "")
        notes.append(f"its nodata value is ignored because it has {kind}: add --nodata VALUE{cure} to apply it")
    if was_complex(dataset, reading.bands[0]):
        notes.append("its values are complex numbers: the layer shows their amplitude")
    if reading.cmyk:
        differs.append("cmyk")
        notes.append("its CMYK bands are converted to RGB")
    if reading.inverted is not None:
        differs.append("0 is white")
        notes.append("its values are inverted, because 0 is white (MINISWHITE)")
    if reading.alpha:
        alpha = look_at_alpha(dataset, reading.alpha)
        reading = replace(reading, top=alpha.top)
        if alpha.differs:
            differs.append("alpha")
        if alpha.picture and options.alpha is None:
            notes.append(f"band {reading.alpha} is used as alpha but looks like imagery: if it is, add --no-alpha")
    return reading, differs, notes


def _differs_in_mask(dataset: DatasetReader, reading: Reading, options: Options) -> Iterator[str]:
    """Aspects of its valid pixels that earlier versions interpreted differently."""
    if isinstance(options.nodata, float) and reading.nodata and reading.nodata[0] != options.nodata:
        yield "nodata"
    first = reading.bands[0]
    if dtype_of(dataset, first) in LONG and options.nodata is None and reading.nodata and dataset.nodata is None:
        yield "nodata of 64 bits"
    if options.nodata is None and len(set(reading.nodata)) > 1:
        yield "nodata of each band"
    if reading.masked and not dataset.mask_flag_enums[first - 1]:
        yield "mask of each band"
    if reading.alpha and reading.masked and options.alpha is None and hides(dataset, reading):
        yield "alpha and mask"
    nodata = declared(dataset, reading.bands) if options.nodata is None else ()
    if nodata and (reading.alpha or reading.masked) and holds(dataset, reading, nodata):
        yield "alpha, not nodata"
