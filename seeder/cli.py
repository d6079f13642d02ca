"""The commands: parse, call one function, print."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial, wraps
from pathlib import Path
from typing import Any, Self, cast

import click
from tabulate import tabulate
from tqdm import tqdm

from seeder.plan import Plan, Tally, count, prepare, run
from seeder.queues import LocalPool
from seeder.selection import Count, Selection
from tiler.catalog import RESAMPLINGS, Layer, list_layers, load_layer
from tiler.errors import BadInput, BadOption, TilerError
from tiler.grid import Bounds, parse_zooms
from tiler.ingest import Ingested, ingest
from tiler.keys import FORMATS, Format, Scale, check_layer, layer_from
from tiler.render import Look
from tiler.settings import Settings
from tiler.storage import Stores
from tiler.survey import Options

INTERRUPTED = 130  # the exit code of a program that Ctrl-C ended
CORES = os.cpu_count() or 1

Command = Callable[..., None]


def _guarded(command: Command) -> Command:
    """Errors as one line and an exit code: 2 for bad input, 1 for a failure."""

    @wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except BadInput as error:
            raise click.exceptions.Exit(_complain(error, 2)) from error
        except TilerError as error:
            raise click.exceptions.Exit(_complain(error, 1)) from error

    return guarded


def _complain(error: TilerError, code: int) -> int:
    click.echo(f"error: {error}", err=True)
    return code


def _parsed(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A click callback that parses one value, or each of a repeated option's."""

    def callback(_: click.Context, parameter: click.Parameter, value: Any) -> Any:
        try:
            if parameter.multiple:
                return tuple(parse(each) for each in value)
            return None if value is None else parse(value)
        except BadInput as error:
            raise click.BadParameter(str(error)) from error

    return callback


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


def _data_option(command: Command) -> Command:
    return click.option(
        "--data", metavar="DIR", envvar="TILER_DATA", help="Local root of tiles and sources.  [default: ./data]"
    )(command)


def _json_option(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON lines instead of text.")(command)


def _jobs_option(command: Command) -> Command:
    return click.option(
        "--jobs",
        type=click.IntRange(1, 256),
        default=CORES,
        show_default="cores",
        metavar="N",
        help="Worker processes.",
    )(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tile-seeder", prog_name="seeder")
def main() -> None:
    """Precompute a raster's map tiles.

    \b
    Example:
      seeder ingest ortho.tif
      seed ortho --zooms 5-14
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")


@main.command("ingest")
@click.argument("source")
@click.option("--layer", metavar="NAME", help="Name of the layer.  [default: from the file's name]")
@click.option("--min-zoom", type=click.IntRange(0, 28), metavar="Z", help="Lowest zoom of the layer.  [default: 0]")
@click.option(
    "--max-zoom", type=click.IntRange(0, 28), metavar="Z", help="Highest zoom; up to 3 past the raster's own."
)
@click.option(
    "--resampling", type=click.Choice(RESAMPLINGS), help="Kernel of the warp.  [default: cubic; nearest for palettes]"
)
@click.option("--nodata", type=float, metavar="VALUE", help="Value that means no data, instead of the raster's own.")
@click.option(
    "--bands", metavar="B[,B,B]", callback=_parsed(_parse_bands), help="Band to show as grey, or three as RGB."
)
@click.option(
    "--rescale", metavar="MIN,MAX", callback=_parsed(_parse_range), help="Values that become black and white."
)
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="png", show_default=True, help="Format of the tiles."
)
@click.option("--attribution", default="", metavar="TEXT", help="Credit that maps show.")
@click.option("--virtual", is_flag=True, help="Do not bake: read the raster where it is, more slowly.")
@_jobs_option
@_data_option
@_json_option
@_guarded
def ingest_command(
    source: str, layer: str | None, form: Format, jobs: int, data: str | None, as_json: bool, **said: Any
) -> None:
    """Make a layer of SOURCE, any raster that GDAL opens.

    It is warped once into a cloud-optimized GeoTIFF on the tile grid. The same raster with the same options
    changes nothing; another raster under the same name is the layer's next revision.

    \b
    Examples:
      seeder ingest ortho.tif
      seeder ingest sentinel.tif --layer alps --bands 4,3,2 --rescale 0,3000 --format webp
    """
    settings = Settings.from_env(os.environ, data=data)
    name = check_layer(layer) if layer else layer_from(Path(source).stem)
    bands = said.pop("bands") or ()
    options = Options(format=form, bands=bands, **said)
    stores = Stores.open(settings, create=True)
    with _interruptible("interrupted: nothing was changed"), _Bar(f"ingest {name}") as bar:
        done = ingest(source, name, options, stores, jobs=jobs, progress=bar)
    if as_json:
        click.echo(
            json.dumps(
                {"layer": done.layer.id, "revision": done.layer.revision, "fresh": done.fresh, **_facts(done.layer)}
            )
        )
    else:
        click.echo("\n".join(_ingested(done)))


class _Bar:
    """A progress bar that appears with the first progress and learns then how long it is."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._bar: tqdm[Any] | None = None

    def __call__(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = tqdm(desc=self._label, total=total, unit="chunk", file=sys.stderr, dynamic_ncols=True)
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def _facts(layer: Layer) -> dict[str, Any]:
    return {
        "minzoom": layer.minzoom,
        "maxzoom": layer.maxzoom,
        "bounds": list(layer.bounds),
        "format": layer.format,
        "virtual": layer.bake is None,
        "rescale": [list(each) for each in layer.style.rescale],
    }


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
    if done.survey.stretched:
        ranges = " ".join(f"{low:g},{high:g}" for low, high in layer.style.rescale)
        yield f"rescale {ranges} (the 2nd to the 98th percentile; --rescale MIN,MAX sets another)"
    yield f"next: seed {layer.id} --zooms {layer.minzoom}-{layer.maxzoom}"


@main.command("seed")
@click.argument("layer")
@click.option(
    "--zooms", metavar="Z", callback=_parsed(parse_zooms), help="7, 5-14 or 0-3,7,9-11.  [default: all of the layer's]"
)
@click.option(
    "--bbox",
    metavar="W,S,E,N",
    multiple=True,
    callback=_parsed(Bounds.parse),
    help="Only tiles that touch this box, in degrees; repeatable. West > east crosses the antimeridian.",
)
@click.option(
    "--scale", type=click.Choice(["1", "2"]), default="1", show_default=True, help="2 makes @2x tiles of 512 pixels."
)
@click.option("--format", "form", type=click.Choice(FORMATS), help="Format of the tiles.  [default: the layer's]")
@click.option("--force", is_flag=True, help="Render tiles that exist too.")
@click.option("--dry-run", is_flag=True, help="Print how many tiles and blocks a zoom has; write nothing.")
@_jobs_option
@_data_option
@_json_option
@_guarded
def seed(
    layer: str,
    zooms: tuple[int, ...] | None,
    bbox: tuple[Bounds, ...],
    scale: str,
    form: Format | None,
    force: bool,
    dry_run: bool,
    jobs: int,
    data: str | None,
    as_json: bool,
) -> None:
    """Render the tiles of LAYER that are missing.

    What an earlier run did is not done again: run the same command after an interruption and it finishes the rest.

    \b
    Examples:
      seed relief --zooms 0-6
      seed alps --zooms 5-14 --bbox 5.9,45.8,10.5,47.8 --dry-run
    """
    settings = Settings.from_env(os.environ, data=data)
    found = load_layer(Stores.open(settings).sources, layer)
    selection = Selection(zooms or tuple(range(found.minzoom, found.maxzoom + 1)), bbox)
    look = Look(cast(Scale, int(scale)), form or found.format)
    if dry_run:
        _print_counts(found, count(found, selection), as_json=as_json)
        return
    stores = Stores.open(settings, create=True)
    plan = prepare(found, selection, look, force=force, stores=stores)
    tally = _run(plan, settings, jobs)
    click.echo(json.dumps(tally.to_json()) if as_json else _summary(tally, stores.tiles.url))
    for error, number in tally.errors.items():
        click.echo(f"failed: {number:,} tiles: {error}", err=True)
    if tally.failed:
        raise click.exceptions.Exit(1)


def _run(plan: Plan, settings: Settings, jobs: int) -> Tally:
    tally = plan.tally
    if plan.resumed:
        click.echo(f"resuming job {tally.job}: {tally.done:,} of {tally.tiles:,} tiles are done", err=True)
    hint = f"interrupted: what is done is kept; run the same command again to resume job {tally.job}"
    with (
        _interruptible(hint),
        tqdm(
            desc=f"seed {tally.layer}",
            total=tally.tiles,
            initial=tally.done,
            unit="tile",
            file=sys.stderr,
            dynamic_ncols=True,
        ) as bar,
    ):
        return run(plan, partial(LocalPool, settings, jobs), progress=bar.update)


@contextmanager
def _interruptible(hint: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as interrupt:
        click.echo(hint, err=True)
        raise click.exceptions.Exit(INTERRUPTED) from interrupt


def _print_counts(layer: Layer, counts: dict[int, Count], *, as_json: bool) -> None:
    tiles, blocks = sum(each.tiles for each in counts.values()), sum(each.blocks for each in counts.values())
    if as_json:
        by_zoom = {str(z): asdict(each) for z, each in counts.items()}
        click.echo(
            json.dumps(
                {"layer": layer.id, "revision": layer.revision, "tiles": tiles, "blocks": blocks, "by_zoom": by_zoom}
            )
        )
        return
    rows: list[tuple[object, ...]] = [(z, f"{each.tiles:,}", f"{each.blocks:,}") for z, each in counts.items()]
    click.echo(
        tabulate(
            [*rows, ("all", f"{tiles:,}", f"{blocks:,}")],
            headers=("zoom", "tiles", "blocks"),
            colalign=("right",) * 3,
            disable_numparse=True,
        )
    )


def _summary(tally: Tally, url: str) -> str:
    return (
        f"{tally.tiles:,} tiles in {tally.seconds:.1f} s: {tally.written:,} written ({tally.bytes / 1e6:,.1f} MB), "
        f"{tally.empty:,} empty, {tally.skipped:,} there already, {tally.failed:,} failed\n"
        f"job {tally.job}; tiles in {url}/{tally.layer}"
    )


@main.command("layers")
@_data_option
@_json_option
@_guarded
def layers(data: str | None, as_json: bool) -> None:
    """List the layers that have been ingested.

    \b
    Example:
      seeder layers
    """
    sources = Stores.open(Settings.from_env(os.environ, data=data)).sources
    found = [load_layer(sources, name) for name in list_layers(sources)]
    if as_json:
        for layer in found:
            click.echo(json.dumps({"layer": layer.id, "revision": layer.revision, **_facts(layer)}))
        return
    rows = [
        (
            layer.id,
            layer.revision,
            f"{layer.minzoom}-{layer.maxzoom}",
            layer.format,
            ",".join(f"{edge:.5g}" for edge in layer.bounds),
            "baked" if layer.bake else "virtual",
        )
        for layer in found
    ]
    if rows:
        click.echo(
            tabulate(rows, headers=("layer", "revision", "zooms", "format", "bounds", "source"), disable_numparse=True)
        )
    else:
        click.echo("no layers yet: run `seeder ingest SOURCE`", err=True)
