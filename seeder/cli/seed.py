"""The command `seed`, and the estimate that it shows before much is done."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click
from tabulate import tabulate

from seeder.cache.prepare_job import prepare
from seeder.cache.query import TileQuery
from seeder.cli.common import (
    check_meant,
    confirm_options,
    guarded,
    interruptible,
    json_option,
    located,
    tile_bar,
    tiles_said,
)
from seeder.cli.run_job import MakeRunOptions, perform_plan, run_flags
from seeder.cli.selection_options import order_option, selected, selectors
from seeder.jobs.estimate import SAMPLE_BLOCKS_DEEPEST, Estimate, Question, ZoomEstimate, estimate
from seeder.jobs.prices import Demand, Prices
from seeder.operations.run import RunOptions
from seeder.select.blocks import Count
from seeder.select.order import Order
from tiler.errors import BadOption
from tiler.layers.catalog import load_layer
from tiler.settings import Settings
from tiler.storage.store import Stores

MANY_TILES = 1_000_000  # above which a plan is shown first


@dataclass(frozen=True, slots=True)
class Limits:
    """What needs no question: so many tiles, so many dollars."""

    tiles: int
    dollars: float | None
    yes: bool


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
    default=32,
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
    stores = Stores.open(settings)
    found = load_layer(stores.sources, layer)
    if query.nothing:
        click.echo("the list names no tile: nothing to do", err=True)
        return
    variant = query.variant(found)
    selection, counts = selected(query, found, stores)
    total = Count.total(counts).tiles
    if not total:
        click.echo(f"none of these tiles is {query.state}: nothing to do", err=True)
        return
    workers = concurrency if how.queue else how.jobs
    question = Question(found, selection, variant, force, bool(how.queue), workers, rates)
    if dry_run:
        _print(_estimated(question, settings, how.jobs), as_json=as_json)
        return
    _check(question, total, settings, how, Limits(confirm_above, max_cost, yes))
    stores = Stores.open(settings, create=True)
    plan = prepare(found, selection, variant, force=force, stores=stores)
    perform_plan(replace(plan, order=order), how, settings, stores, as_json=as_json)


def _check(question: Question, total: int, settings: Settings, run_options: RunOptions, limits: Limits) -> None:
    """Nothing, if the plan is within the limits, or wanted all the same.

    Raises:
        BadOption: it costs too much, or was not confirmed.
    """
    ask = total > limits.tiles and not limits.yes
    if limits.dollars is None and not ask:
        return
    found = _estimated(question, settings, run_options.jobs)
    if limits.dollars is not None and found.most > limits.dollars:
        raise BadOption(
            f"it may cost up to {_dollars(found.most)}, more than --max-cost {limits.dollars:g}: "
            f"select less, or see --dry-run"
        )
    if not ask:
        return
    click.echo("\n".join(_lines(found)), err=True)
    check_meant(f"{tiles_said(total)}, more than --confirm-above {limits.tiles:,}")


def _estimated(question: Question, settings: Settings, jobs: int) -> Estimate:
    with interruptible("interrupted: nothing was changed"), tile_bar("sample", None) as bar:
        return estimate(question, settings, jobs=jobs, progress=bar.update)


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
    listed = ", ".join(f"{name} {_dollars(value)}" for name, value in parts.items() if value)
    if paid.total:
        yield f"cost: {listed}, a month of storage {_dollars(paid.storage)}; in all {_dollars(paid.total)}, at most"
        yield f"{_dollars(found.most)} (prices of {found.prices.as_of}; --prices FILE sets yours)"
    else:
        yield "cost: nothing, it all happens on this machine"


def _row(name: str, size: ZoomEstimate | Demand, around: tuple[str, str], empty: float, sample: int) -> tuple[str, ...]:
    counts = (f"{size.tiles:,}", f"{size.blocks:,}", f"{size.bytes / 1e6:,.1f}", around[0], f"{100 * empty:.0f}%")
    return (name, *counts, f"{size.seconds:,.1f}", around[1], f"{sample:,}")


def _around(share: float) -> str:
    return "?" if share == math.inf else f"{100 * share:.0f}%" if share else ""


def _dollars(number: float) -> str:
    """An amount, rounded up, so that nothing looks as if it were for nothing."""
    return f"${number:,.2f}" if number >= 0.1 else f"${math.ceil(1e4 * number) / 1e4:.4f}" if number else "$0"


def _time(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{hours:,.1f} h" if hours >= 2 else f"{minutes:.0f} min" if minutes >= 2 else f"{seconds:.1f} s"
