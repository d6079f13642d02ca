"""The commands `worker` and `doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import click

from seeder.cli.common import check_folder, jobs_option, json_option, located
from seeder.cli.completion import complete_layer
from seeder.cli.grouping import command, option
from seeder.cli.messages import guarded, say
from tiler.errors import BadOption
from tiler.settings import Settings


@command("worker")
@option(
    "--queue",
    group="Select",
    metavar="URL",
    envvar="TILER_QUEUE",
    help="URL of the queue.  [default: the stack's queue]",
)
@option(
    "--bake-queue",
    group="Select",
    metavar="URL",
    help="URL of the bake queue.  [default: the stack's bake queue, or TILER_BAKE_QUEUE]",
)
@jobs_option
@guarded
@located
def worker(queue: str | None, bake_queue: str | None, jobs: int, settings: Settings) -> None:
    """Process queues on this machine.

    Render blocks of tiles and bake parts of layers until SIGTERM or Ctrl-C, then finish the current blocks and stop. A
    part that is being baked is left to another worker.

    \b
    Examples:
      seeder worker --stack tile-seeder-dev --jobs 4
      seeder worker --queue https://sqs.us-east-1.amazonaws.com/123456789012/tiles
    """
    from seeder.bakes.station import bake_station
    from seeder.workers.daemon import tile_station, work_queues

    url = queue if queue and "://" in queue else settings.queue
    bakes = bake_queue or settings.bake_queue
    if not (url or bakes):
        raise BadOption("no queue: name a deployed stack with --stack NAME, or a queue with --queue URL")
    stations = [*([bake_station(bakes)] if bakes else []), *([tile_station(url)] if url else [])]
    work_queues(replace(settings, queue=url, bake_queue=bakes), stations, jobs=jobs)


@command("doctor")
@option(
    "--layer",
    group="Select",
    metavar="NAME",
    shell_complete=complete_layer,
    help="Layer for the test render.  [default: the first]",
)
@json_option
@guarded
@located
def doctor(layer: str | None, as_json: bool, settings: Settings) -> None:
    """Check credentials, stack, buckets and queue.

    Render one tile as a test. Exit with code 1 if a check fails.

    \b
    Examples:
      seeder doctor --stack tile-seeder-dev
      seeder doctor --data ./data --layer ortho --json
    """
    from seeder.aws.doctor import examine

    check_folder(settings)
    passed = True
    for finding in examine(settings, layer):
        passed = passed and finding.well
        if as_json:
            click.echo(json.dumps(asdict(finding)))
        else:
            say(f"{'ok   ' if finding.well else 'WRONG'}  {finding.what:<17}  {finding.seen}")
    if not passed:
        raise click.exceptions.Exit(1)
