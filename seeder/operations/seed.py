"""Seed a layer: select tiles, estimate, stay within limits, record the job, run it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from seeder.cache.prepare_job import prepare
from seeder.cache.query import TileQuery
from seeder.defaults import CONCURRENCY
from seeder.jobs.estimate import Estimate, Question, estimate
from seeder.jobs.prices import Prices
from seeder.operations.budget import check_cost
from seeder.operations.report import Report
from seeder.operations.run import RunOptions, RunResult, run_plan
from seeder.operations.select import select_tiles
from seeder.select.blocks import Count
from seeder.select.order import Order
from seeder.workers.local_pool import processes_for
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.render import TileVariant
from tiler.settings import Settings
from tiler.storage.store import Stores

Confirm = Callable[[int, Estimate], object]  # takes the number of tiles; raises BadOption unless confirmed


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a plan: abort above `dollars` (US), call `confirm` above `tiles`."""

    dollars: float | None = None
    tiles: int | None = None
    confirm: Confirm = lambda _tiles, _estimate: None


@dataclass(frozen=True, slots=True)
class SeedRequest:
    """Tiles to seed. An estimate assumes `concurrency` workers of a queue, and `prices`."""

    layer: str
    query: TileQuery
    force: bool = False  # re-render stored tiles
    order: Order = field(default_factory=Order)
    concurrency: int = CONCURRENCY
    prices: Prices = field(default_factory=Prices)


def estimate_seed(request: SeedRequest, run_options: RunOptions, settings: Settings, report: Report) -> Estimate | None:
    """Estimate a request and write nothing; None, and a note, if there is nothing to do.

    Raises:
        UnknownLayer, ZoomOutside, BadOption: no tile of the layer is selected.
        SourceReadError, StoreError: no sample can be rendered.
    """
    question, total = _question(request, run_options, Stores.open(settings), report)
    if question is None:
        return None
    jobs = _processes(question.layer, question.variant, total, run_options)
    return _estimated(question, settings, jobs, report)


def seed(
    request: SeedRequest,
    run_options: RunOptions,
    settings: Settings,
    report: Report,
    limits: Limits | None = None,
) -> RunResult | None:
    """Render the missing tiles of a request; None, and a note, if there is nothing to do.

    An unfinished job for the same tiles is resumed. Check `RunResult.passed`: a job may fail.

    Raises:
        UnknownLayer, ZoomOutside, BadOption: no tile of the layer is selected, or it exceeds the limits.
        BadSource, BadCloud, QueueError, StoreError, WorkerDied: see `run_plan`.
    """
    question, total = _question(request, run_options, Stores.open(settings), report)
    if question is None:
        return None
    if limits:
        jobs = _processes(question.layer, question.variant, total, run_options)
        _check(question, total, limits, settings, jobs, report)
    stores = Stores.open(settings, create=True)
    plan = prepare(question.layer, question.selection, question.variant, force=request.force, stores=stores)
    return run_plan(replace(plan, order=request.order), run_options, settings, stores, report)


def _question(
    request: SeedRequest, run_options: RunOptions, stores: Stores, report: Report
) -> tuple[Question | None, int]:
    """The question for an estimate and the number of tiles; None if there are none."""
    query, layer = request.query, load_layer(stores.sources, request.layer)
    if query.nothing:
        report.note("the list is empty: nothing to do")
        return None, 0
    variant = query.variant(layer)
    selection, counts = select_tiles(query, layer, stores, report)
    total = Count.total(counts).tiles
    if not total:
        report.note(f"no selected tile is {'stored' if query.state == 'existing' else query.state}: nothing to do")
        return None, 0
    queued = bool(run_options.queue)
    workers = request.concurrency if queued else _processes(layer, variant, total, run_options)
    return Question(layer, selection, variant, request.force, queued, workers, request.prices), total


def _processes(layer: Layer, variant: TileVariant, tiles: int, run_options: RunOptions) -> int:
    """The number of processes to render `tiles` on this machine."""
    return run_options.of_layer(layer).jobs or processes_for(tiles * variant.scale**2)


def _check(question: Question, total: int, limits: Limits, settings: Settings, jobs: int, report: Report) -> None:
    """Check that the plan is within the limits, or confirmed.

    Raises:
        BadOption: it costs too much, or was not confirmed.
    """
    confirm = limits.tiles is not None and total > limits.tiles
    if limits.dollars is None and not confirm:
        return
    estimated = _estimated(question, settings, jobs, report)
    check_cost(estimated.most, limits.dollars, "select fewer tiles")
    if confirm:
        limits.confirm(total, estimated)


def _estimated(question: Question, settings: Settings, jobs: int, report: Report) -> Estimate:
    with report.stage("sample", None, interrupted="interrupted: no tile was written") as advance:
        return estimate(question, settings, jobs=jobs, progress=advance)
