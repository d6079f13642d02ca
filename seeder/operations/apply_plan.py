"""Plan a layer of a file: compare it with the layer that is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from seeder.operations.budget import Budget
from seeder.operations.estimate_bake import BakeEstimate, tiles_cost
from seeder.operations.ingest import examine, plan_ingest, with_zooms
from seeder.operations.layer_file import LayerEntry
from seeder.operations.next_source import NextSource
from seeder.operations.refresh import PlannedBake, RevisionChange, plan_refresh
from seeder.operations.report import Report
from seeder.operations.run import RunOptions, queue_url
from seeder.operations.scenes import ScenesChanged, read_to_ingest
from seeder.operations.select import select_tiles
from seeder.operations.update import UpdateContext, UpdateOptions
from tiler.errors import BadOption, UnknownLayer, ZoomOutside
from tiler.ingest.drafts import draft_of
from tiler.ingest.staging import Staging
from tiler.layers.catalog import Layer, load_layer
from tiler.raster.options import ACCESS, Options, file_format, retold
from tiler.scenes.fenced import Fence
from tiler.settings import Settings
from tiler.storage.store import Stores

State = Literal["new", "changed", "tiles missing", "unchanged", "failed"]
TO_DO: tuple[State, ...] = ("new", "changed", "tiles missing")


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """What differs between a layer of a file and the layer that is there.

    `options` has the values before and after of those that differ; `missing` counts tiles to seed by zoom, of a new
    layer also those without data. `render` and `remove` count stored tiles, the former at most. `seconds` and
    `dollars` are upper bounds.
    """

    layer: str
    state: State
    options: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    scenes: ScenesChanged | None = None
    raster: bool = False  # whether the content of the only raster changed
    parts: int = 0  # to bake
    missing: Mapping[int, int] = field(default_factory=dict)
    render: int = 0
    remove: int = 0
    seconds: float = 0.0
    dollars: float = 0.0
    error: str = ""

    @property
    def to_do(self) -> bool:
        """Whether anything differs."""
        return self.state in TO_DO

    @property
    def tiles(self) -> int:
        """The number of tiles to seed."""
        return sum(self.missing.values())

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "layer": self.layer,
            "state": self.state,
            "options": {name: list(values) for name, values in self.options.items()},
            "scenes": self.scenes.to_json() if self.scenes else None,
            "raster_changed": self.raster,
            "parts": self.parts,
            "missing": self.tiles,
            "by_zoom": dict(self.missing),
            "render": self.render,
            "remove": self.remove,
            "seconds": round(self.seconds, 1),
            "dollars": round(self.dollars, 6),
            **({"error": self.error} if self.error else {}),
        }


@dataclass(frozen=True, slots=True)
class Terms:
    """Where and how layers are made: settings, processes of this machine, prices, and a scratch folder.

    With a `fence`, nothing outside it is read.
    """

    settings: Settings
    jobs: int | None = None
    budget: Budget = Budget()  # noqa: RUF009 - a frozen value
    staging: Staging = Staging()  # noqa: RUF009 - as above
    fence: Fence | None = None

    def run_options(self, entry: LayerEntry) -> RunOptions:
        """How to render the tiles of an entry.

        Raises:
            BadOption: its queue is unknown.
        """
        return RunOptions(queue_url(entry.queue, self.settings), self.jobs, wait=False)

    def baked_by_workers(self, entry: LayerEntry) -> bool:
        """Whether workers bake: an entry has a queue, and there is one for bakes."""
        return entry.queue != "local" and bool(self.settings.bake_queue) and not entry.values.get("virtual")

    def budget_of(self, entry: LayerEntry) -> Budget:
        """The prices and workers for an entry; all limits are checked for the whole file."""
        return replace(self.budget, dollars=None, by_workers=self.baked_by_workers(entry))

    def context(self, entry: LayerEntry, report: Report) -> UpdateContext:
        """The context of a refresh."""
        options = UpdateOptions(cdn=self.settings.cloudfront, budget=self.budget_of(entry), confirmed=False)
        return UpdateContext(Stores.open(self.settings), self.settings, options, Careful(report, entry.name))


class Careful(Report):
    """Reports to another report, and refuses to remove all tiles of a layer."""

    def __init__(self, report: Report, layer: str) -> None:
        self._layer = layer
        for name in ("stage", "bake", "countdown", "interruptible", "note", "ended"):
            setattr(self, name, getattr(report, name))

    def confirm_loss(self, loss: str) -> None:
        """See `Report.confirm_loss`.

        Raises:
            BadOption: always.
        """
        raise BadOption(f"{loss}: if they may be, run `seeder refresh {self._layer} SOURCE` yourself")


class Steps(Report):
    """Keeps the steps that end; all else goes to another report."""

    def __init__(self, report: Report) -> None:
        self.steps: list[object] = []
        for name in ("stage", "bake", "countdown", "interruptible", "note"):
            setattr(self, name, getattr(report, name))

    def ended(self, step: object) -> None:
        """See `Report.ended`."""
        self.steps.append(step)


def current_of(entry: LayerEntry, settings: Settings) -> Layer | None:
    """The layer of an entry's name, None if there is none.

    Raises:
        CatalogError, NewerMetadata, StoreError: it is damaged, of a newer version, or could not be read.
    """
    try:
        return load_layer(Stores.open(settings).sources, entry.name)
    except UnknownLayer:
        return None


def next_source(entry: LayerEntry, current: Layer, terms: Terms) -> NextSource:
    """The rasters and all options of a layer's next revision."""
    options = entry.options(current)
    changes = {name: getattr(options, name) for name in Options.__dataclass_fields__}
    return NextSource(entry.sources, changes, terms.staging)


def plan_layer(entry: LayerEntry, terms: Terms, report: Report) -> LayerPlan:
    """Compare an entry with the layer that is there; change nothing.

    Raises:
        BadSource, BadOption, BadInput, CatalogError, StoreError: see `plan_ingest` and `plan_refresh`.
    """
    if terms.fence:
        terms.fence.check(entry.sources.names, asset=entry.sources.asset)
    current = current_of(entry, terms.settings)
    steps = Steps(report)
    return _new(entry, terms, steps) if current is None else _there(entry, current, terms, steps)


def _new(entry: LayerEntry, terms: Terms, report: Report) -> LayerPlan:
    """The plan of a layer that is not there."""
    stores, options = Stores.open(terms.settings), entry.options(None)
    run, budget = terms.run_options(entry), terms.budget_of(entry)
    rasters, _ = read_to_ingest(entry.sources, entry.name, options, stores.sources, report, jobs=run.processes)
    raster = examine(rasters, entry.name, options, report, with_zooms(entry.name, entry.zooms))
    plan = plan_ingest(
        raster, entry.name, options, stores, report, zooms=entry.zooms, budget=budget, processes=run.processes
    )
    draft = draft_of(entry.name, raster.path, raster.survey, raster.revision, options, None)
    tiles = _selected(entry, draft, stores, report)
    bake: BakeEstimate | None = plan.bake
    dollars = bake.forecast.cost.total if bake else 0.0
    paid = tiles_cost(
        tiles, file_format(options.format), stores, budget.prices, queued=bool(run.queue), virtual=options.virtual
    )
    return LayerPlan(
        entry.name,
        "new",
        parts=bake.work.parts if bake else 0,
        missing=tiles,
        seconds=bake.forecast.seconds if bake else 0.0,
        dollars=dollars + paid.total,
    )


def _there(entry: LayerEntry, current: Layer, terms: Terms, report: Steps) -> LayerPlan:
    """The plan of a layer that is there."""
    run, context = terms.run_options(entry), terms.context(entry, report)
    renewal = plan_refresh(current.id, context, next_source(entry, current, terms), run)
    change = next(step for step in report.steps if isinstance(step, RevisionChange))
    scenes = next((step for step in report.steps if isinstance(step, ScenesChanged)), None)
    bake = next((step for step in report.steps if isinstance(step, PlannedBake)), None)
    asked, wanted = current.asked, entry.options(current)
    options = {name: (getattr(asked, name), getattr(wanted, name)) for name in wanted.differing(asked)}
    options = {name: pair for name, pair in options.items() if name not in ACCESS}
    words = retold(wanted, asked)
    other = change.revision != current.revision
    following = renewal.stored_tiles.stored_filter.layer
    if other and not wanted.virtual:
        _selected(entry, following, context.stores, report)
    missing = _missing(entry, current, context, replaced=other)
    render, remove = renewal.stored_tiles.rendered, renewal.removed
    changed = other or render or remove or words
    effort = renewal.estimate.update if renewal.estimate and changed else None
    paid = tiles_cost(
        missing,
        current.format,
        context.stores,
        context.options.budget.prices,
        queued=bool(run.queue),
        virtual=wanted.virtual,
    )
    return LayerPlan(
        current.id,
        "changed" if changed else "tiles missing" if missing else "unchanged",
        options={**options, **words},
        scenes=scenes if scenes and scenes.total else None,
        raster=other and not options and not (scenes and scenes.total),
        parts=bake.bake if bake else 0,
        missing=missing,
        render=render,
        remove=remove,
        seconds=effort.seconds if effort else 0.0,
        dollars=(effort.dollars if effort else 0.0) + paid.total,
    )


def _selected(entry: LayerEntry, layer: Layer, stores: Stores, report: Report) -> dict[int, int]:
    """The tiles of an entry's query by zoom, stored or not; of a layer that is there or not yet baked.

    Raises:
        ZoomOutside, BadOption: the layer lacks a zoom, or no tile of it is selected.
    """
    if not entry.query:
        return {}
    return {z: count.tiles for z, count in select_tiles(entry.query, layer, stores, report)[1].items()}


def _missing(entry: LayerEntry, current: Layer, context: UpdateContext, *, replaced: bool) -> dict[int, int]:
    """The missing tiles of an entry's query by zoom; of a layer to be `replaced`, in zooms that it has now.

    Raises:
        ZoomOutside, BadOption: the layer lacks a zoom, or no tile of it is selected.
    """
    if not entry.query:
        return {}
    try:
        query = replace(entry.query, state="missing")
        _, counts = select_tiles(query, current, context.stores, context.report)
    except (ZoomOutside, BadOption):
        if replaced:  # the next revision may have them
            return {}
        raise
    return {z: count.tiles for z, count in counts.items() if count.tiles}
