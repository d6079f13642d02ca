"""The commands: parse, call one function, print."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, replace

import click
from tabulate import tabulate

from seeder.cli.common import check_folder, guarded, jobs_option, json_option, located, say
from seeder.cli.count import count_tiles, list_tiles
from seeder.cli.export import export
from seeder.cli.ingest import ingest
from seeder.cli.invalidate import invalidate
from seeder.cli.jobs import cancel, errors, resume_command, status
from seeder.cli.publish_preview import publish_preview
from seeder.cli.refresh import refresh, rollback
from seeder.cli.remove import remove
from seeder.cli.seed import seed
from seeder.cli.serve import serve
from seeder.cli.verify import verify
from tiler.errors import BadOption
from tiler.layers.catalog import facts, list_layers, load_layer
from tiler.settings import Settings
from tiler.storage.store import Stores


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


TILES = (count_tiles, list_tiles, seed, verify, invalidate, export)
LAYERS = (ingest, refresh, rollback, remove, serve, publish_preview)
JOBS = (status, errors, cancel, resume_command)
for command in (*TILES, *LAYERS, *JOBS):
    main.add_command(command)


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
    check_folder(settings)
    sources = Stores.open(settings).sources
    found = [load_layer(sources, name) for name in list_layers(sources)]
    if as_json:
        for layer in found:
            click.echo(json.dumps(facts(layer)))
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
        say("no layers yet: run `seeder ingest SOURCE`", err=True)


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
    from seeder.workers.daemon import work_queue  # noqa: PLC0415 - boto3 takes a third of a second

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
    from seeder.aws.doctor import examine  # noqa: PLC0415 - as above

    check_folder(settings)
    well = True
    for finding in examine(settings, layer):
        well = well and finding.well
        if as_json:
            click.echo(json.dumps(asdict(finding)))
        else:
            say(f"{'ok   ' if finding.well else 'WRONG'}  {finding.what:<12}  {finding.seen}")
    if not well:
        raise click.exceptions.Exit(1)
