"""The command `seed`, and its estimate in words."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seeder.cli.common import confirm_options, dry_run_option, json_option, located
from seeder.cli.completion import layer_argument
from seeder.cli.grouping import command, option
from seeder.cli.messages import count_of_tiles, duration, guarded, require_confirmation, say_next, table, typed_place
from seeder.cli.progress import TerminalReport
from seeder.cli.run_job import MakeRunOptions, run_flags, show_result
from seeder.cli.selection_options import order_option, selectors
from seeder.defaults import CONCURRENCY
from tiler.keys import tile_template
from tiler.settings import DEFAULT_URL, Settings

if TYPE_CHECKING:
    from seeder.cache.query import TileQuery
    from seeder.jobs.estimate import Estimate, ZoomEstimate
    from seeder.jobs.prices import Cost, Demand
    from seeder.operations.budget import Budget
    from seeder.operations.run import RunOptions
    from seeder.operations.seed import SeedRequest
    from seeder.select.order import Order

Command = Callable[..., None]
CONFIRM_ABOVE = 1_000_000  # tiles
NO_TILE = "no tile was written"
SNIPPETS = "docs/guides/use-the-tiles.md"


@dataclass(frozen=True, slots=True)
class BudgetArguments:
    """Options of a budget, as typed."""

    max_cost: float | None
    concurrency: int
    prices: Path | None

    def __call__(self, *, by_workers: bool = False) -> Budget:
        """The budget; `by_workers` if workers bake.

        Raises:
            BadOption: the file of prices cannot be read, or a price is invalid.
        """
        from seeder.jobs.prices import Prices
        from seeder.operations.budget import Budget

        prices = Prices.load(self.prices) if self.prices else Prices()
        return Budget(self.concurrency, prices, self.max_cost, by_workers)


def budget_flags(command: Command) -> Command:
    """Options `--max-cost`, `--concurrency` and `--prices`; the command gets them as `budget_arguments`."""

    @option(
        "--max-cost",
        group="Safety",
        type=click.FloatRange(0),
        metavar="USD",
        help="Abort if the estimate exceeds this.",
    )
    @option(
        "--concurrency",
        group="Safety",
        type=click.IntRange(1, 1000),
        default=CONCURRENCY,
        show_default=True,
        metavar="N",
        help="Concurrent workers of the stack, for the estimated time.",
    )
    @option(
        "--prices",
        group="Safety",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="TOML file of prices, to replace the built-in ones.",
    )
    @wraps(command)
    def with_budget(*args: Any, **kwargs: Any) -> None:
        arguments = BudgetArguments(**{each.name: kwargs.pop(each.name) for each in fields(BudgetArguments)})
        command(*args, budget_arguments=arguments, **kwargs)

    return with_budget


@dataclass(frozen=True, slots=True)
class LimitArguments:
    """Options of an estimate and its limits, as typed."""

    dry_run: bool
    confirm_above: int
    yes: bool
    budget_arguments: BudgetArguments

    def request(self, layer: str, query: TileQuery) -> SeedRequest:
        """The request for the missing tiles of `query`.

        Raises:
            BadOption: the file of prices cannot be read, or a price is invalid.
        """
        from seeder.operations.seed import SeedRequest

        budget = self.budget_arguments()
        return SeedRequest(layer, query, concurrency=budget.workers, prices=budget.prices)


def limit_flags(dry_run: str) -> Callable[[Command], Command]:
    """Options `--dry-run`, with this help, and the limits of a plan; the command gets them as `limits`."""

    def decorate(command: Command) -> Command:
        @dry_run_option(dry_run)
        @confirm_options(CONFIRM_ABOVE, "Show the estimate and ask for confirmation above this number of tiles.")
        @budget_flags
        @wraps(command)
        def with_limits(*args: Any, **kwargs: Any) -> None:
            limits = LimitArguments(**{each.name: kwargs.pop(each.name) for each in fields(LimitArguments)})
            command(*args, limits=limits, **kwargs)

        return with_limits

    return decorate


@command("seed")
@layer_argument
@option("--force", group="Render", is_flag=True, help="Re-render stored tiles too.")
@limit_flags("Show an estimate of tiles, bytes, time and cost; change nothing.")
@json_option
@guarded
@located
@selectors
@order_option("Render")
@run_flags("local")
def seed(
    layer: str,
    force: bool,
    limits: LimitArguments,
    query: TileQuery,
    order: Order,
    run_options: MakeRunOptions,
    as_json: bool,
    settings: Settings,
) -> None:
    """Render the missing tiles of a layer.

    Run the same command again after an interruption: stored tiles are not rendered again. With --queue sqs, workers
    render the tiles and the command returns at once; follow the job with --wait or `seeder status JOB --watch`.

    \b
    Examples:
      seed relief --zooms 0-6
      seed alps --zooms 5-14 --bbox 5.9,45.8,10.5,47.8 --dry-run
      seed alps --zooms 5-14 --stack tile-seeder-dev --queue sqs --wait
      seeder verify alps --zooms 5-14 | seed alps --tiles -
    """
    how = run_options(settings, "")
    request = replace(limits.request(layer, query), force=force, order=order)
    if limits.dry_run:
        print_estimate(request, how, settings, as_json=as_json)
    else:
        run_seed(request, how, limits, settings, as_json=as_json)


def print_estimate(request: SeedRequest, run_options: RunOptions, settings: Settings, *, as_json: bool) -> None:
    """Print the estimate of a request, if there is anything to do."""
    from seeder.operations.seed import estimate_seed

    estimate = estimate_seed(request, run_options, settings, TerminalReport())
    if estimate:
        click.echo(json.dumps(estimate.to_json()) if as_json else "\n".join(_lines(estimate)))


def run_seed(
    request: SeedRequest, run_options: RunOptions, limits: LimitArguments, settings: Settings, *, as_json: bool
) -> None:
    """Seed within the limits, and print the result.

    Raises:
        Exit: with 1 if tiles failed or are missing.
    """
    from seeder.operations.seed import Limits
    from seeder.operations.seed import seed as seed_tiles

    def confirm(tiles: int, estimate: Estimate) -> None:
        click.echo("\n".join(_lines(estimate)), err=True)
        require_confirmation(f"{count_of_tiles(tiles)}, more than --confirm-above {limits.confirm_above:,}", NO_TILE)

    within = Limits(limits.budget_arguments.max_cost, None if limits.yes else limits.confirm_above, confirm)
    result = seed_tiles(request, run_options, settings, TerminalReport(), within)
    if result:
        show_result(result, settings.tiles, as_json=as_json)
        if result.messages is None and not as_json:
            _say_next_steps(request, settings)


def _say_next_steps(request: SeedRequest, settings: Settings) -> None:
    """Print the address of the tiles, and the command that shows them."""
    from tiler.layers.catalog import load_layer
    from tiler.storage.store import Stores

    query = request.query
    form = query.format or load_layer(Stores.open(settings).sources, request.layer).format
    name = tile_template(request.layer, form)
    if query.scale == 2:
        name = name.replace("{y}", "{y}@2x")
    say_next(f"tiles: {settings.url}/{name}")
    say_next(f"next: seeder serve{typed_place()} (preview: {DEFAULT_URL}/{request.layer}/; on a map: {SNIPPETS})")


def _lines(estimate: Estimate) -> Iterator[str]:
    from seeder.jobs.estimate import SAMPLE_BLOCKS_DEEPEST
    from seeder.operations.budget import dollars

    rows = [
        _row(str(z), zoom, (_around(zoom.spread), _around(zoom.slack)), zoom.empty, zoom.sample)
        for z, zoom in estimate.zooms.items()
    ]
    demand, paid, sample = estimate.demand, estimate.cost, sum(zoom.sample for zoom in estimate.zooms.values())
    rows.append(_row("all", demand, ("", ""), 1 - demand.stored / demand.tiles, sample))
    yield table(rows, ("zoom", "tiles", "blocks", "MB", "+-", "empty", "seconds", "+-", "sample"), ("right",) * 9)
    yield f"tiles and blocks are exact; the rest is estimated from {sample:,} random tiles, rendered now, of at most"
    yield f"{SAMPLE_BLOCKS_DEEPEST} blocks of each zoom; +- is twice the standard error"
    several = "" if estimate.workers == 1 else "es"
    workers = (
        f"{estimate.workers} workers" if demand.messages else f"{estimate.workers} process{several} on this machine"
    )
    messages = f", {demand.messages:,} messages" if demand.messages else ""
    yield f"time: about {duration(estimate.wall)} with {workers}{messages}"
    if paid.total:
        yield f"cost: {cost_in_words(paid)}, at most"
        yield f"{dollars(estimate.most)} (prices of {estimate.prices.as_of}; --prices FILE replaces them)"
    else:
        yield "cost: nothing, because all work is done on this machine"


def cost_in_words(paid: Cost) -> str:
    """US dollars by service, and their total."""
    from seeder.operations.budget import dollars

    parts = {"Lambda": paid.compute, "S3 requests": paid.s3, "SQS": paid.sqs, "logs": paid.logs}
    listed = ", ".join(f"{name} {dollars(value)}" for name, value in parts.items() if value)
    return f"{listed}, one month of storage {dollars(paid.storage)}; total {dollars(paid.total)}"


def _row(name: str, size: ZoomEstimate | Demand, around: tuple[str, str], empty: float, sample: int) -> tuple[str, ...]:
    counts = (f"{size.tiles:,}", f"{size.blocks:,}", f"{size.bytes / 1e6:,.1f}", around[0], f"{100 * empty:.0f}%")
    return (name, *counts, f"{size.seconds:,.1f}", around[1], f"{sample:,}")


def _around(share: float) -> str:
    return "?" if share == math.inf else f"{100 * share:.0f}%" if share else ""
