"""The command `ingest`, and what `refresh` shares with it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import click

from seeder.cli.common import TerminalReport, given, guarded, jobs_option, json_option, located, parsed
from seeder.operations.ingest import ingest as ingest_raster
from tiler.errors import BadOption
from tiler.image.colormap import checked
from tiler.image.style import TERRAINS
from tiler.ingest.ingest import Ingested
from tiler.keys import FORMATS, check_layer, layer_from
from tiler.layers.catalog import facts, shown
from tiler.raster.gcps import FITS
from tiler.raster.options import RESAMPLINGS, Options, with_one_place
from tiler.raster.units import check_unit
from tiler.raster.vrt import check_bounds, check_geotransform, crs_of
from tiler.settings import Settings
from tiler.storage.store import Stores

Command = Callable[..., None]
NO_ALPHA = "no alpha"  # what `--no-alpha` stands for
NONE = "none"  # takes an option back at a refresh


def _parse_range(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise BadOption(f"{text!r} is not a range: write MIN,MAX, as in 0,3000") from None
    return low, high


def _parse_bands(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise BadOption(f"{text!r} does not name bands: write one or three numbers, as in 4,3,2") from None


def _or_none(parse: Callable[[str], Any], nothing: Any = ()) -> Callable[[str], Any]:
    """A parser that takes `none` for `nothing`."""
    return lambda text: nothing if text.lower() == NONE else parse(text)


def _parse_numbers(text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise BadOption(f"{text!r} is no number: write one for all bands, or one each, as in 0.1,0.1,0.2") from None
    if not all(map(math.isfinite, numbers)):
        raise BadOption(f"{text!r} is not finite: write a number")
    return numbers


def _parse_alpha(text: str) -> int:
    if text == NO_ALPHA:
        return 0
    if not (text.isdecimal() and int(text) >= 1):
        raise BadOption(f"{text!r} is no band: write its number, from 1")
    return int(text)


def _parse_nodata(text: str) -> float | tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise BadOption(f"{text!r} is not a nodata value: write one, one per band as in 0,0,255, or none") from None
    return values[0] if len({*map(str, values)}) == 1 else values


def _numbers(check: Callable[[Sequence[float]], object]) -> Callable[[str], tuple[float, ...]]:
    """A parser of numbers, comma-separated, that `check` accepts."""

    def parse(text: str) -> tuple[float, ...]:
        try:
            numbers = tuple(float(part) for part in text.split(","))
        except ValueError:
            numbers = ()
        check(numbers)
        return numbers

    return parse


def _parse_crs(text: str) -> str:
    crs_of(text)
    return text.strip()


def raster_options(command: Command) -> Command:
    """Options of how a raster becomes a layer; the command gets `said`, those that were given, by their names."""

    @click.option("--min-zoom", type=click.IntRange(0, 28), metavar="Z", help="Lowest zoom of the layer.  [default: 0]")
    @click.option(
        "--max-zoom", type=click.IntRange(0, 28), metavar="Z", help="Highest zoom; up to 3 past the raster's own."
    )
    @click.option(
        "--resampling",
        type=click.Choice(RESAMPLINGS),
        help="Kernel of the warp.  [default: cubic; nearest for palettes]",
    )
    @click.option(
        "--nodata",
        metavar="VALUE[,...]|none",
        callback=parsed(_or_none(_parse_nodata)),
        help="Treat this value as no data: one value, or one per band; none ignores the raster's own.",
    )
    @click.option("--alpha", metavar="BAND", callback=parsed(_parse_alpha), help="Use this band as opacity.")
    @click.option(
        "--no-alpha", "alpha", flag_value=NO_ALPHA, callback=parsed(_parse_alpha), help="Ignore the alpha band."
    )
    @click.option(
        "--bands", metavar="B[,B,B]", callback=parsed(_parse_bands), help="Band to show as grey, or three as RGB."
    )
    @click.option(
        "--rescale",
        metavar="MIN,MAX",
        multiple=True,
        callback=parsed(_parse_range),
        help="Values that become black and white; once for all bands, or once for each.",
    )
    @click.option(
        "--scale",
        metavar="NUMBER[,...]",
        callback=parsed(_or_none(_parse_numbers)),
        help="Multiply stored values: one number, or one per band.  [default: the raster's own]",
    )
    @click.option(
        "--offset",
        metavar="NUMBER[,...]",
        callback=parsed(_or_none(_parse_numbers)),
        help="Add to scaled values: one number, or one per band.  [default: the raster's own]",
    )
    @click.option(
        "--unit",
        metavar="UNIT",
        callback=parsed(_or_none(check_unit, "")),
        help="Unit of heights: m, ft, us-ft, km, dm, cm, mm.  [default: the raster's own, else m]",
    )
    @click.option(
        "--style",
        type=click.Choice(TERRAINS),
        help="What heights in metres are shown as: shade, slope in degrees, or colours that encode them.",
    )
    @click.option(
        "--colormap",
        metavar="NAME|FILE",
        callback=parsed(checked),
        help="Colours for one band: one of matplotlib's (viridis, terrain, Blues_r), or a GDAL colour-relief file.",
    )
    @click.option(
        "--format",
        type=click.Choice([*FORMATS, "auto"]),
        help="Format of the tiles; auto is lossy where that halves them.  [default: png]",
    )
    @click.option("--attribution", metavar="TEXT", help="Credit that maps show.")
    @click.option(
        "--as-earth/--no-as-earth",
        default=None,
        help="Take the longitudes and latitudes of another celestial body for the earth's.",
    )
    @click.option(
        "--crs",
        metavar="CRS",
        callback=parsed(_or_none(_parse_crs, "")),
        help="Set the CRS of the raster: EPSG:CODE, WKT or a PROJ string.",
    )
    @click.option(
        "--bounds",
        metavar="W,S,E,N",
        callback=parsed(_or_none(_numbers(check_bounds))),
        help="Set the edges of the raster, in units of its CRS, instead of its geotransform.",
    )
    @click.option(
        "--geotransform",
        metavar="X,W,R,Y,R,H",
        callback=parsed(_or_none(_numbers(check_geotransform))),
        help="The same as GDAL's six numbers, in the order of gdal_translate -a_gt: corner X, pixel width, rotation, "
        "corner Y, rotation, pixel height (negative: north up).",
    )
    @click.option(
        "--subdataset",
        metavar="NAME|NUMBER",
        callback=parsed(_or_none(str, "")),
        help="Variable, table or page of a file that holds several rasters; a wrong name lists them.",
    )
    @click.option(
        "--gcps",
        type=click.Choice(FITS),
        help="Fit ground control points with a polynomial or a thin plate spline.  [default: polynomial]",
    )
    @click.option("--virtual/--baked", default=None, help="Do not bake: read the raster where it is, more slowly.")
    @click.option(
        "--trust-source/--no-trust-source",
        default=None,
        help="Also read raw bytes, networks and other formats that SOURCE names.",
    )
    @wraps(command)
    def given(*args: Any, **kwargs: Any) -> None:
        values = {name: kwargs.pop(name) for name in Options.__dataclass_fields__}
        said = {name: value for name, value in values.items() if value is not None and (name != "rescale" or value)}
        command(*args, said=with_one_place(said), **kwargs)

    return given


@click.command("ingest")
@click.argument("source")
@click.option("--layer", metavar="NAME", help="Name of the layer.  [default: from the file's name]")
@raster_options
@jobs_option
@json_option
@guarded
@located
def ingest(source: str, layer: str | None, said: dict[str, Any], jobs: int, as_json: bool, settings: Settings) -> None:
    """Make a layer of SOURCE, any raster that GDAL opens.

    It is warped once into a cloud-optimized GeoTIFF on the tile grid. The same raster with the same options
    changes nothing; another raster under the same name is the layer's next revision.

    \b
    Examples:
      seeder ingest ortho.tif
      seeder ingest sentinel.tif --layer alps --bands 4,3,2 --rescale 0,3000 --format auto
      seeder ingest dem.tif --layer shade --style hillshade
      seeder ingest dem.tif --layer heights --colormap terrain --rescale 0,4000
    """
    name = check_layer(layer) if layer else layer_from(Path(source).stem)
    stores = Stores.open(settings, create=True)
    done = ingest_raster(source, name, Options(**said), stores, TerminalReport(), jobs=jobs)
    tell(done, as_json=as_json)
    if as_json:
        return
    old = shown(done.layer.id, stores.tiles)
    if old in ("", done.layer.revision) and done.fresh:
        click.echo(f"next: seed {done.layer.id} --zooms {done.layer.minzoom}-{done.layer.maxzoom}{given()}")
    elif old not in ("", done.layer.revision):
        click.echo(f"next: seeder refresh {done.layer.id}{given()} (stored tiles are of revision {old})")


def tell(done: Ingested, *, as_json: bool) -> None:
    """Say what a raster became."""
    if as_json:
        click.echo(json.dumps({**facts(done.layer), "fresh": done.fresh, "why": done.why}))
    else:
        click.echo("\n".join(_ingested(done)))


def _ingested(done: Ingested) -> Iterator[str]:
    layer = done.layer
    if not done.fresh:
        yield f"layer {layer.id} is up to date: revision {layer.revision}"
        return
    yield f"layer {layer.id}: revision {layer.revision}, zooms {layer.minzoom}-{layer.maxzoom}, {layer.format}"
    west, south, east, north = layer.bounds
    yield f"bounds {west:.6g},{south:.6g},{east:.6g},{north:.6g}" + (
        " (across the antimeridian)" if west > east else ""
    )
    if done.why:
        yield f"format {layer.format}: {done.why} (--format NAME sets another)"
    if done.survey.stretched:
        ranges = " ".join(f"{low:g},{high:g}" for low, high in layer.style.rescale)
        yield f"rescale {ranges} (the 2nd to the 98th percentile; --rescale MIN,MAX sets another)"
