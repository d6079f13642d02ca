"""The commands: parse, call one function, print."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from seeder.console import Bar, guarded, interruptible, jobs_option, json_option, located, parsed
from seeder.job_verbs import cancel, errors, resume_command, status
from seeder.seed import seed
from seeder.verify import verify
from tiler.catalog import RESAMPLINGS, Layer, list_layers, load_layer
from tiler.errors import BadOption
from tiler.ingest import Ingested, ingest
from tiler.keys import FORMATS, Format, check_layer, layer_from
from tiler.settings import Settings
from tiler.storage import Stores
from tiler.survey import Options


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


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--stack", metavar="NAME", help="Deployed stack whose buckets and queue to use, for every command.")
@click.version_option(package_name="tile-seeder", prog_name="seeder")
def main(stack: str | None) -> None:  # noqa: ARG001 - the commands look for it
    """Precompute a raster's map tiles.

    \b
    Example:
      seeder ingest ortho.tif
      seed ortho --zooms 5-14
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")


for command in (seed, verify, status, errors, cancel, resume_command):
    main.add_command(command)


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
    "--bands", metavar="B[,B,B]", callback=parsed(_parse_bands), help="Band to show as grey, or three as RGB."
)
@click.option("--rescale", metavar="MIN,MAX", callback=parsed(_parse_range), help="Values that become black and white.")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="png", show_default=True, help="Format of the tiles."
)
@click.option("--attribution", default="", metavar="TEXT", help="Credit that maps show.")
@click.option("--virtual", is_flag=True, help="Do not bake: read the raster where it is, more slowly.")
@jobs_option
@json_option
@guarded
@located
def ingest_command(
    source: str, layer: str | None, form: Format, jobs: int, as_json: bool, settings: Settings, **said: Any
) -> None:
    """Make a layer of SOURCE, any raster that GDAL opens.

    It is warped once into a cloud-optimized GeoTIFF on the tile grid. The same raster with the same options
    changes nothing; another raster under the same name is the layer's next revision.

    \b
    Examples:
      seeder ingest ortho.tif
      seeder ingest sentinel.tif --layer alps --bands 4,3,2 --rescale 0,3000 --format webp
    """
    name = check_layer(layer) if layer else layer_from(Path(source).stem)
    bands = said.pop("bands") or ()
    options = Options(format=form, bands=bands, **said)
    stores = Stores.open(settings, create=True)
    with interruptible("interrupted: nothing was changed"), Bar(f"ingest {name}") as bar:
        done = ingest(source, name, options, stores, jobs=jobs, progress=bar)
    if as_json:
        click.echo(
            json.dumps(
                {"layer": done.layer.id, "revision": done.layer.revision, "fresh": done.fresh, **_facts(done.layer)}
            )
        )
    else:
        click.echo("\n".join(_ingested(done)))


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


@main.command("layers")
@json_option
@guarded
@located
def layers(as_json: bool, settings: Settings) -> None:
    """List the layers that have been ingested.

    \b
    Example:
      seeder layers
    """
    sources = Stores.open(settings).sources
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


@main.command("worker")
@click.option("--queue", metavar="URL", envvar="TILER_QUEUE", help="URL of the queue.  [default: the stack's]")
@jobs_option
@guarded
@located
def worker(queue: str | None, jobs: int, settings: Settings) -> None:
    """Work the queue off on this machine, until SIGTERM or Ctrl-C; blocks that were begun are finished then.

    \b
    Example:
      seeder worker --stack tile-seeder-dev --jobs 4
    """
    from seeder.poll import work_queue  # noqa: PLC0415 - boto3 takes a third of a second

    url = queue if queue and "://" in queue else settings.queue
    if not url:
        raise BadOption("a worker needs a queue: name a deployed stack with --stack, or give --queue URL")
    work_queue(replace(settings, queue=url), jobs=jobs)


@main.command("doctor")
@click.option("--layer", metavar="NAME", help="Layer to render a tile of.  [default: the first]")
@json_option
@guarded
@located
def doctor(layer: str | None, as_json: bool, settings: Settings) -> None:
    """Check credentials, stack, buckets, queue and a test render; exit 1 if something is wrong.

    \b
    Example:
      seeder doctor --stack tile-seeder-dev
    """
    from seeder.doctor import examine  # noqa: PLC0415 - as above

    well = True
    for finding in examine(settings, layer):
        well = well and finding.well
        if as_json:
            click.echo(json.dumps(asdict(finding)))
        else:
            click.echo(f"{'ok   ' if finding.well else 'WRONG'}  {finding.what:<12}  {finding.seen}")
    if not well:
        raise click.exceptions.Exit(1)
