"""Seed a layer: select tiles, estimate them, stay within limits, put the job on record, run it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from seeder.cache.prepare_job import prepare
from seeder.cache.query import TileQuery
from seeder.jobs.estimate import Estimate, Question, estimate
from seeder.jobs.prices import Prices
from seeder.operations.report import Report
from seeder.operations.run import RunOptions, RunResult, run_plan
from seeder.operations.select import select_tiles
from seeder.select.blocks import Count
from seeder.select.order import Order
from tiler.errors import BadOption
from tiler.layers.catalog import load_layer
from tiler.settings import Settings
from tiler.storage.store import Stores

CONCURRENCY = 32  # workers of a stack at once, unless an estimate is told otherwise

Confirm = Callable[[int, Estimate], object]  # takes the number of tiles; raises BadOption if they are not meant


@dataclass(frozen=True, slots=True)
class Limits:
    """What a plan may come to: more than `dollars` is refused, more than `tiles` only done if `confirm` agrees."""

    dollars: float | None = None
    tiles: int | None = None
    confirm: Confirm = lambda _tiles, _estimate: None


@dataclass(frozen=True, slots=True)
class SeedRequest:
    """What to seed. `concurrency` is how many workers of a queue an estimate assumes; `prices` are its prices."""

    layer: str
    query: TileQuery
    force: bool = False  # re-render stored tiles
    order: Order = field(default_factory=Order)
    concurrency: int = CONCURRENCY
    prices: Prices = field(default_factory=Prices)


def estimate_seed(request: SeedRequest, run_options: RunOptions, settings: Settings, report: Report) -> Estimate | None:
    """What the request comes to; None, and a note, if there is nothing to do. Writes nothing.

    Raises:
        UnknownLayer, ZoomOutside, BadOption: no tile of the layer is selected.
        SourceReadError, StoreError: no sample can be rendered.
    """
    question, _ = _question(request, run_options, Stores.open(settings), report)
    return _estimated(question, settings, run_options.jobs, report) if question else None


def seed(
    request: SeedRequest,
    run_options: RunOptions,
    settings: Settings,
    report: Report,
    limits: Limits | None = None,
) -> RunResult | None:
    """Render the requested tiles that are missing; None, and a note, if there is nothing to do.

    The last job of the same kind is gone on with if it was not finished. A result may have failed: see
    `RunResult.passed`.

    Raises:
        UnknownLayer, ZoomOutside, BadOption: no tile of the layer is selected, or the limits forbid it.
        BadSource, BadCloud, QueueError, StoreError, WorkerDied: see `run_plan`.
    """
    question, total = _question(request, run_options, Stores.open(settings), report)
    if question is None:
        return None
    if limits:
        _check(question, total, limits, settings, run_options.jobs, report)
    stores = Stores.open(settings, create=True)
    plan = prepare(question.layer, question.selection, question.variant, force=request.force, stores=stores)
    return run_plan(replace(plan, order=request.order), run_options, settings, stores, report)


def _question(
    request: SeedRequest, run_options: RunOptions, stores: Stores, report: Report
) -> tuple[Question | None, int]:
    """Which tiles are to be rendered, by whom, and how many they are; None if there are none."""
    query, layer = request.query, load_layer(stores.sources, request.layer)
    if query.nothing:
        report.note("the list names no tile: nothing to do")
        return None, 0
    variant = query.variant(layer)
    selection, counts = select_tiles(query, layer, stores, report)
    total = Count.total(counts).tiles
    if not total:
        report.note(f"none of these tiles is {query.state}: nothing to do")
        return None, 0
    queued = bool(run_options.queue)
    workers = request.concurrency if queued else run_options.jobs
    return Question(layer, selection, variant, request.force, queued, workers, request.prices), total


def _check(question: Question, total: int, limits: Limits, settings: Settings, jobs: int, report: Report) -> None:
    """Nothing, if the plan is within the limits, or confirmed.

    Raises:
        BadOption: it costs too much, or is not confirmed.
    """
    ask = limits.tiles is not None and total > limits.tiles
    if limits.dollars is None and not ask:
        return
    found = _estimated(question, settings, jobs, report)
    if limits.dollars is not None and found.most > limits.dollars:
        raise BadOption(
            f"it may cost up to {dollars(found.most)}, more than --max-cost {limits.dollars:g}: "
            f"select less, or see --dry-run"
        )
    if ask:
        limits.confirm(total, found)


def _estimated(question: Question, settings: Settings, jobs: int, report: Report) -> Estimate:
    with report.stage("sample", None, interrupted="interrupted: nothing was changed") as advance:
        return estimate(question, settings, jobs=jobs, progress=advance)


def dollars(number: float) -> str:
    """An amount, rounded up, so that nothing looks as if it were for nothing."""
    return f"${number:,.2f}" if number >= 0.1 else f"${math.ceil(1e4 * number) / 1e4:.4f}" if number else "$0"
