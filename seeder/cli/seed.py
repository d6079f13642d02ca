"""The command `seed`, and the estimate that it shows before much is done."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import click
from tabulate import tabulate

from seeder.cache.query import TileQuery
from seeder.cli.common import (
    TerminalReport,
    check_meant,
    confirm_options,
    guarded,
    json_option,
    located,
    tiles_said,
)
from seeder.cli.run_job import MakeRunOptions, run_flags, show_result
from seeder.cli.selection_options import order_option, selectors
from seeder.jobs.estimate import SAMPLE_BLOCKS_DEEPEST, Estimate, ZoomEstimate
from seeder.jobs.prices import Demand, Prices
from seeder.operations.seed import CONCURRENCY, Limits, SeedRequest, dollars, estimate_seed
from seeder.operations.seed import seed as seed_tiles
from seeder.select.order import Order
from tiler.settings import Settings

MANY_TILES = 1_000_000  # above which a plan is shown first


@click.command("seed")
@click.argument("layer")
@click.option("--force", is_flag=True, help="Render tiles that exist too.")
@click.option(
    "--dry-run", is_flag=True, help="Print what it comes to: tiles, blocks, bytes, time, cost. Write nothing."
)
@confirm_options(MANY_TILES, "Print that and ask, where there are more tiles.")
@click.option("--max-cost", type=click.FloatRange(0), metavar="USD", help="Refuse what may cost more.")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1000),
    default=CONCURRENCY,
    show_default=True,
    metavar="N",
    help="Workers of the stack at once, for the estimate of the time.",
)
@click.option(
    "--prices",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="TOML file with prices that differ from those built in.",
)
@json_option
@guarded
@located
@selectors
@order_option
@run_flags("local")
def seed(
    layer: str,
    force: bool,
    dry_run: bool,
    confirm_above: int,
    yes: bool,
    max_cost: float | None,
    concurrency: int,
    prices: Path | None,
    query: TileQuery,
    order: Order,
    run_options: MakeRunOptions,
    as_json: bool,
    settings: Settings,
) -> None:
    """Render the tiles of LAYER that are missing.

    What an earlier run did is not done again: run the same command after an interruption and it finishes the rest.
    With --queue sqs the blocks are sent to the workers of the queue and the command returns; --wait, or
    `seeder status JOB --watch`, follows them.

    \b
    Examples:
      seed relief --zooms 0-6
      seed alps --zooms 5-14 --bbox 5.9,45.8,10.5,47.8 --dry-run
      seed alps --zooms 5-14 --stack tile-seeder-dev --queue sqs --wait
      seeder verify alps --zooms 5-14 | seed alps --tiles -
    """
    how = run_options(settings, "")
    rates = Prices.load(prices) if prices else Prices()
    request = SeedRequest(layer, query, force, order, concurrency, rates)
    report = TerminalReport()
    if dry_run:
        found = estimate_seed(request, how, settings, report)
        if found:
            _print(found, as_json=as_json)
        return

    def confirm(tiles: int, found: Estimate) -> None:
        click.echo("\n".join(_lines(found)), err=True)
        check_meant(f"{tiles_said(tiles)}, more than --confirm-above {confirm_above:,}")

    limits = Limits(max_cost, None if yes else confirm_above, confirm)
    result = seed_tiles(request, how, settings, report, limits)
    if result:
        show_result(result, settings.tiles, as_json=as_json)


def _print(found: Estimate, *, as_json: bool) -> None:
    click.echo(json.dumps(found.to_json()) if as_json else "\n".join(_lines(found)))


def _lines(found: Estimate) -> Iterator[str]:
    rows = [
        _row(str(z), zoom, (_around(zoom.spread), _around(zoom.slack)), zoom.empty, zoom.sample)
        for z, zoom in found.zooms.items()
    ]
    demand, paid, sample = found.demand, found.cost, sum(zoom.sample for zoom in found.zooms.values())
    rows.append(_row("all", demand, ("", ""), 1 - demand.stored / demand.tiles, sample))
    yield tabulate(
        rows,
        headers=("zoom", "tiles", "blocks", "MB", "+-", "empty", "seconds", "+-", "sample"),
        colalign=("right",) * 9,
        disable_numparse=True,
    )
    yield f"tiles and blocks are exact; the rest comes from {sample:,} tiles rendered now, at random, at most"
    yield f"{SAMPLE_BLOCKS_DEEPEST} blocks of a zoom; +- is twice the standard error"
    who = f"{found.workers} workers" if demand.messages else f"{found.workers} processes here"
    yield f"time: about {_time(found.wall)} with {who}" + (f", {demand.messages:,} messages" if demand.messages else "")
    parts = {"Lambda": paid.compute, "S3 requests": paid.s3, "SQS": paid.sqs, "logs": paid.logs}
    listed = ", ".join(f"{name} {dollars(value)}" for name, value in parts.items() if value)
    if paid.total:
        yield f"cost: {listed}, a month of storage {dollars(paid.storage)}; in all {dollars(paid.total)}, at most"
        yield f"{dollars(found.most)} (prices of {found.prices.as_of}; --prices FILE sets yours)"
    else:
        yield "cost: nothing, it all happens on this machine"


def _row(name: str, size: ZoomEstimate | Demand, around: tuple[str, str], empty: float, sample: int) -> tuple[str, ...]:
    counts = (f"{size.tiles:,}", f"{size.blocks:,}", f"{size.bytes / 1e6:,.1f}", around[0], f"{100 * empty:.0f}%")
    return (name, *counts, f"{size.seconds:,.1f}", around[1], f"{sample:,}")


def _around(share: float) -> str:
    return "?" if share == math.inf else f"{100 * share:.0f}%" if share else ""


def _time(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{hours:,.1f} h" if hours >= 2 else f"{minutes:.0f} min" if minutes >= 2 else f"{seconds:.1f} s"
