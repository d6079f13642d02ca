"""The options of a raster, which `ingest` and `refresh` share, and their parsers."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import click

from seeder.cli.common import parsed
from seeder.cli.grouping import option
from tiler.choices import BAKES, CHOICES, FITS, RESAMPLINGS, TERRAINS
from tiler.errors import BadOption

Command = Callable[..., None]
NO_ALPHA = "no alpha"  # the value of `--no-alpha`
NONE = "none"  # clears an option at a refresh


def _parse_range(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise BadOption(f"{text!r} is not a range: write MIN,MAX, such as 0,3000") from None
    return low, high


def _parse_bands(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise BadOption(f"{text!r} does not name bands: write one or three numbers, such as 4,3,2") from None


def _or_none(parse: Callable[[str], Any], nothing: Any = ()) -> Callable[[str], Any]:
    """A parser that turns `none` into `nothing`."""
    return lambda text: nothing if text.lower() == NONE else parse(text)


def _parse_numbers(text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise BadOption(
            f"{text!r} is not a number: write one for all bands, or one per band, such as 0.1,0.1,0.2"
        ) from None
    if not all(map(math.isfinite, numbers)):
        raise BadOption(f"{text!r} is not finite: write a finite number")
    return numbers


def _parse_alpha(text: str) -> int:
    if text == NO_ALPHA:
        return 0
    if not (text.isdecimal() and int(text) >= 1):
        raise BadOption(f"{text!r} is not a band: write its number, from 1")
    return int(text)


def _parse_nodata(text: str) -> float | tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise BadOption(f"{text!r} is not a nodata value: write one, one per band such as 0,0,255, or none") from None
    return values[0] if len({*map(str, values)}) == 1 else values


def _split_numbers(text: str) -> tuple[float, ...]:
    """Comma-separated numbers; none if any is invalid."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        return ()


def _parse_bounds(text: str) -> tuple[float, ...]:
    from tiler.raster.vrt import check_bounds

    check_bounds(numbers := _split_numbers(text))
    return numbers


def _parse_geotransform(text: str) -> tuple[float, ...]:
    from tiler.raster.vrt import check_geotransform

    check_geotransform(numbers := _split_numbers(text))
    return numbers


def _parse_crs(text: str) -> str:
    from tiler.raster.vrt import crs_of

    crs_of(text)
    return text.strip()


def _parse_unit(text: str) -> str:
    from tiler.raster.units import check_unit

    return check_unit(text)


def _parse_words(name: str, text: str) -> str:
    from tiler.raster.options import check_words

    return check_words(name, text)


def _parse_interval(text: str) -> tuple[float, ...]:
    try:
        return (float(text),)
    except ValueError:
        raise BadOption(f"{text!r} is not a distance: write metres, such as 20, or none") from None


def _parse_colormap(text: str) -> str:
    from tiler.image.colormap import checked

    return checked(text)


def raster_options(command: Command) -> Command:
    """Options of how a raster becomes a layer; the command gets those that were typed, by name, as `changes`."""

    @option(
        "--subdataset",
        group="Select",
        metavar="NAME|NUMBER",
        callback=parsed(_or_none(str, "")),
        help="Variable, table or page of a file with several rasters; a wrong name lists them.",
    )
    @option(
        "--bands",
        group="Select",
        metavar="B[,B,B]",
        callback=parsed(_parse_bands),
        help="One band to show as grey, or three as RGB.",
    )
    @option("--alpha", group="Select", metavar="BAND", callback=parsed(_parse_alpha), help="Use this band as opacity.")
    @option(
        "--no-alpha",
        "alpha",
        group="Select",
        flag_value=NO_ALPHA,
        callback=parsed(_parse_alpha),
        help="Ignore the alpha band.",
    )
    @option(
        "--nodata",
        group="Select",
        metavar="VALUE[,...]|none",
        callback=parsed(_or_none(_parse_nodata)),
        help="Treat this value as no data: one value, or one per band; none ignores the raster's own.",
    )
    @option(
        "--min-zoom",
        group="Select",
        type=click.IntRange(0, 28),
        metavar="Z",
        help="Lowest zoom of the layer.  [default: 0]",
    )
    @option(
        "--max-zoom",
        group="Select",
        type=click.IntRange(0, 28),
        metavar="Z",
        help="Highest zoom, up to 3 above the raster's own.  [default: the raster's own]",
    )
    @option(
        "--crs",
        group="Georeference",
        metavar="CRS",
        callback=parsed(_or_none(_parse_crs, "")),
        help="Set the CRS of the raster: EPSG:CODE, WKT or a PROJ string.",
    )
    @option(
        "--bounds",
        group="Georeference",
        metavar="W,S,E,N",
        callback=parsed(_or_none(_parse_bounds)),
        help="Set the edges of the raster, in units of its CRS, instead of its geotransform.",
    )
    @option(
        "--geotransform",
        group="Georeference",
        metavar="X,W,R,Y,R,H",
        callback=parsed(_or_none(_parse_geotransform)),
        help="Set GDAL's six numbers, as gdal_translate -a_gt: corner X, pixel width, rotation, corner Y, rotation, "
        "pixel height. A negative pixel height is north up.",
    )
    @option(
        "--gcps",
        group="Georeference",
        type=click.Choice(FITS),
        help="Fit ground control points with a polynomial or a thin plate spline.  [default: polynomial]",
    )
    @option(
        "--as-earth/--no-as-earth",
        group="Georeference",
        default=None,
        help="Read coordinates of another celestial body as longitudes and latitudes of the Earth.",
    )
    @option(
        "--resampling",
        group="Render",
        type=click.Choice(RESAMPLINGS),
        help="Resampling kernel of the warp.  [default: cubic; nearest for palettes]",
    )
    @option(
        "--rescale",
        group="Render",
        metavar="MIN,MAX",
        multiple=True,
        callback=parsed(_parse_range),
        help="Values to show as black and white; once for all bands, or once per band.",
    )
    @option(
        "--scale",
        group="Render",
        metavar="NUMBER[,...]",
        callback=parsed(_or_none(_parse_numbers)),
        help="Multiply stored values: one number, or one per band.  [default: the raster's own]",
    )
    @option(
        "--offset",
        group="Render",
        metavar="NUMBER[,...]",
        callback=parsed(_or_none(_parse_numbers)),
        help="Add to scaled values: one number, or one per band.  [default: the raster's own]",
    )
    @option(
        "--unit",
        group="Render",
        metavar="UNIT",
        callback=parsed(_or_none(_parse_unit, "")),
        help="Unit of heights: m, ft, us-ft, km, dm, cm, mm.  [default: the raster's own, else m]",
    )
    @option(
        "--style",
        group="Render",
        type=click.Choice(TERRAINS),
        help="Show heights as a hillshade, slope in degrees, shaded colours (relief), contours, or colours that encode "
        "them.",
    )
    @option(
        "--azimuth",
        group="Render",
        type=float,
        metavar="DEGREES",
        help="Direction of the light, clockwise from north, for --style hillshade and relief.  [default: 315]",
    )
    @option(
        "--altitude",
        group="Render",
        type=float,
        metavar="DEGREES",
        help="Height of the light above the horizon.  [default: 45]",
    )
    @option(
        "--z-factor",
        group="Render",
        type=float,
        metavar="NUMBER",
        help="Exaggerate heights before shading.  [default: 1]",
    )
    @option(
        "--multidirectional/--no-multidirectional",
        group="Render",
        default=None,
        help="Light from four sides, 225 to 360 degrees, as of gdaldem.",
    )
    @option(
        "--combined/--no-combined",
        group="Render",
        default=None,
        help="Combine the shade with the slope, as gdaldem does; level ground is white.",
    )
    @option(
        "--interval",
        group="Render",
        metavar="METRES|none",
        callback=parsed(_or_none(_parse_interval)),
        help="Metres between contours at the highest zooms; lower zooms have fewer.  [default: from the heights]",
    )
    @option(
        "--colormap",
        group="Render",
        metavar="NAME|FILE",
        callback=parsed(_parse_colormap),
        help="Colours for one band: a matplotlib colormap (viridis, terrain, Blues_r) or a GDAL colour-relief file.",
    )
    @option(
        "--virtual/--baked",
        group="Render",
        default=None,
        help="Render from the raster itself, more slowly, or from a baked copy.  [default: --baked]",
    )
    @option(
        "--bake",
        group="Output",
        type=click.Choice(BAKES),
        help="Store lossless pixels in the parts, or finished WebP or JPEG tiles.  [default: lossless]",
    )
    @option(
        "--trust-source/--no-trust-source",
        group="Safety",
        default=None,
        help="Also open raw files, network addresses and other formats that SOURCE refers to.",
    )
    @option(
        "--requester-pays/--no-requester-pays",
        group="Safety",
        default=None,
        help="Pay for requests to a requester-pays bucket in S3.",
    )
    @option(
        "--anonymous/--no-anonymous",
        group="Safety",
        default=None,
        help="Read a public bucket in S3 without credentials.",
    )
    @option(
        "--format",
        group="Output",
        type=click.Choice(CHOICES),
        help="Format of the tiles; auto is lossy if that halves their size, and png for palettes and heights."
        "  [default: the existing layer's, else auto]",
    )
    @option("--attribution", group="Output", metavar="TEXT", help="Attribution text.")
    @option(
        "--title",
        group="Output",
        metavar="TEXT",
        callback=parsed(partial(_parse_words, "title")),
        help="Title to show instead of the layer's name; an empty text removes it.",
    )
    @option(
        "--description",
        group="Output",
        metavar="TEXT",
        callback=parsed(partial(_parse_words, "description")),
        help="One or two sentences about the layer; an empty text removes them.",
    )
    @wraps(command)
    def with_changes(*args: Any, **kwargs: Any) -> None:
        from tiler.raster.options import Options, with_one_place

        values = {name: kwargs.pop(name) for name in Options.__dataclass_fields__}
        typed = {name: value for name, value in values.items() if value is not None and (name != "rescale" or value)}
        command(*args, changes=with_one_place(typed), **kwargs)

    return with_changes
