"""The command `seed`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import click
from tabulate import tabulate

from seeder.console import guarded, interruptible, jobs_option, json_option, located, parsed, tile_bar
from seeder.plan import Plan, Tally, count, prepare, run
from seeder.queues import LocalPool
from seeder.selection import Count, Selection
from tiler.catalog import Layer, load_layer
from tiler.errors import BadOption
from tiler.grid import Bounds, parse_zooms
from tiler.keys import FORMATS, Format, Scale
from tiler.render import Look
from tiler.settings import Settings
from tiler.storage import Stores

if TYPE_CHECKING:
    from seeder.sqs import SqsQueue


@click.command("seed")
@click.argument("layer")
@click.option(
    "--zooms", metavar="Z", callback=parsed(parse_zooms), help="7, 5-14 or 0-3,7,9-11.  [default: all of the layer's]"
)
@click.option(
    "--bbox",
    metavar="W,S,E,N",
    multiple=True,
    callback=parsed(Bounds.parse),
    help="Only tiles that touch this box, in degrees; repeatable. West > east crosses the antimeridian.",
)
@click.option(
    "--scale", type=click.Choice(["1", "2"]), default="1", show_default=True, help="2 makes @2x tiles of 512 pixels."
)
@click.option("--format", "form", type=click.Choice(FORMATS), help="Format of the tiles.  [default: the layer's]")
@click.option("--force", is_flag=True, help="Render tiles that exist too.")
@click.option("--dry-run", is_flag=True, help="Print how many tiles and blocks a zoom has; write nothing.")
@click.option(
    "--queue",
    metavar="local|sqs|URL",
    envvar="TILER_QUEUE",
    default="local",
    show_default=True,
    help="Who renders: this machine, or the workers of the stack's queue.",
)
@click.option("--wait", is_flag=True, help="Follow a job in SQS to its end; exit 1 if a tile is missing then.")
@jobs_option
@json_option
@guarded
@located
def seed(
    layer: str,
    zooms: tuple[int, ...] | None,
    bbox: tuple[Bounds, ...],
    scale: str,
    form: Format | None,
    force: bool,
    dry_run: bool,
    queue: str,
    wait: bool,
    jobs: int,
    as_json: bool,
    settings: Settings,
) -> None:
    """Render the tiles of LAYER that are missing.

    What an earlier run did is not done again: run the same command after an interruption and it finishes the rest.
    With --queue sqs the blocks are sent to the workers of the queue and the command returns; the same command with
    --wait follows them.

    \b
    Examples:
      seed relief --zooms 0-6
      seed alps --zooms 5-14 --bbox 5.9,45.8,10.5,47.8 --dry-run
      seed alps --zooms 5-14 --stack tile-seeder-dev --queue sqs --wait
    """
    url = _queue_url(queue, settings)
    found = load_layer(Stores.open(settings).sources, layer)
    selection = Selection(zooms or tuple(range(found.minzoom, found.maxzoom + 1)), bbox)
    look = Look(cast(Scale, int(scale)), form or found.format)
    if dry_run:
        _print_counts(found, count(found, selection), as_json=as_json)
        return
    stores = Stores.open(settings, create=True)
    plan = prepare(found, selection, look, force=force, stores=stores)
    if plan.resumed:
        click.echo(f"resuming job {plan.job.id}: {plan.tally.done:,} of {plan.tally.tiles:,} tiles are done", err=True)
    why = ""
    if url:
        from seeder.sqs import SqsQueue  # noqa: PLC0415 - boto3 takes a third of a second

        sqs = SqsQueue.open(url, settings.s3.region)
        messages = _send(plan, sqs, stores)
        if not wait:
            _print_sent(plan, messages, url, as_json=as_json)
            return
        why = _follow(plan, sqs, stores)
    else:
        _run(plan, settings, stores, jobs)
    _print_tally(plan.tally, stores.tiles.url, why, as_json=as_json)


def _queue_url(choice: str, settings: Settings) -> str:
    """The URL of the queue that `--queue` means, empty for this machine."""
    if choice == "sqs" and not settings.queue:
        raise BadOption("--queue sqs needs a queue: name a deployed stack with --stack, or give the queue's URL")
    if choice not in ("local", "sqs") and "://" not in choice:
        raise BadOption(f"{choice!r} is no queue: write local, sqs or a queue's URL")
    url = {"local": "", "sqs": settings.queue}.get(choice, choice)
    if ".amazonaws.com" in url and not settings.sources.startswith("s3:"):
        raise BadOption(f"workers in AWS cannot see {settings.sources}: name a deployed stack with --stack")
    return url


def _run(plan: Plan, settings: Settings, stores: Stores, jobs: int) -> None:
    tally = plan.tally
    hint = f"interrupted: what is done is kept; run the same command again to resume job {tally.job}"
    with interruptible(hint), tile_bar(f"seed {tally.layer}", tally.tiles, tally.done) as bar:
        run(plan, partial(LocalPool, settings, jobs), stores, progress=bar.update)


def _send(plan: Plan, queue: SqsQueue, stores: Stores) -> int:
    """Send what is left, unless it is in the queue already; returns how many messages."""
    click.echo(f"job {plan.job.id}", err=True)
    hint = f"interrupted: not all of job {plan.job.id} was sent; run the same command again to send the rest"
    from seeder.fanout import send  # noqa: PLC0415 - as above

    with interruptible(hint), tile_bar(f"send {plan.tally.layer}", plan.tally.tiles, plan.tally.done) as bar:
        return send(plan, queue, stores, progress=bar.update)


def _follow(plan: Plan, queue: SqsQueue, stores: Stores) -> str:
    """Follow the job to its end; returns why it did not come to a good one."""
    from seeder.fanout import Watch, follow  # noqa: PLC0415 - as above

    tally = plan.tally
    hint = f"interrupted: job {tally.job} goes on; run the same command again to follow it"
    with interruptible(hint), tile_bar(f"seed {tally.layer}", tally.tiles, tally.done) as bar, tally.timed():
        return follow(Watch(plan, queue, stores, bar.update))


def _print_sent(plan: Plan, messages: int, url: str, *, as_json: bool) -> None:
    tally = plan.tally
    if as_json:
        said: dict[str, Any] = {"job": tally.job, "layer": tally.layer, "revision": tally.revision}
        click.echo(json.dumps({**said, "tiles": tally.tiles, "messages": messages, "queue": url}))
    elif messages:
        click.echo(f"job {tally.job}: {messages:,} messages for {tally.tiles - tally.done:,} tiles are in {url}")
        click.echo("the same command with --wait follows it to its end")
    elif tally.done == tally.tiles:
        click.echo(f"job {tally.job}: all of {tally.tiles:,} tiles are done")
    else:
        click.echo(f"job {tally.job} is under way in {url}: {tally.done:,} of {tally.tiles:,} tiles are done")


def _print_tally(tally: Tally, url: str, why: str, *, as_json: bool) -> None:
    click.echo(json.dumps(tally.to_json()) if as_json else "\n".join(_summary(tally, url)))
    for error, number in tally.errors.items():
        click.echo(f"failed: {number:,} tiles: {error}", err=True)
    if why:
        click.echo(f"error: {tally.tiles - tally.done:,} tiles were not made: {why}", err=True)
    if tally.failed or why:
        raise click.exceptions.Exit(1)


def _summary(tally: Tally, url: str) -> Iterator[str]:
    yield (
        f"{tally.tiles:,} tiles in {tally.seconds:.1f} s: {tally.written:,} written ({tally.bytes / 1e6:,.1f} MB), "
        f"{tally.empty:,} empty, {tally.skipped:,} there already, {tally.failed:,} failed"
    )
    yield f"job {tally.job}; tiles in {url}/{tally.layer}"


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
