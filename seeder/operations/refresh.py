"""Give a layer a newer or an earlier revision and re-render its stored tiles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from seeder.cache.changes import Load
from seeder.cache.stale import History
from seeder.cache.stored import StoredFilter
from seeder.operations.bake import BakeOptions, BakeSent, plan_bake, renewing_bake, send_bake
from seeder.operations.describe import tell
from seeder.operations.earlier_revisions import (
    count_new_tiles,
    digest_kept,
    expected_history,
    previous_target,
    revision_before,
)
from seeder.operations.estimate_refresh import PlannedWork
from seeder.operations.ingest import examine, ingest
from seeder.operations.next_revision import NextRevision, plan_with_estimate
from seeder.operations.next_source import NextSource
from seeder.operations.reachable import check_reachable, moving
from seeder.operations.renew import RenewPlan, RenewResult, renew
from seeder.operations.run import RunOptions
from seeder.operations.scenes import ScenesChanged
from seeder.operations.update import UpdateContext, UpdateTask
from tiler.errors import BadOption
from tiler.grid import Bounds
from tiler.ingest.bake_plan import BakePlan
from tiler.ingest.examine import Examined, ExaminedScenes
from tiler.ingest.ingest import Ingested, kept, restore
from tiler.ingest.survey import Survey
from tiler.ingest.unchanged import check_unchanged
from tiler.layers import version
from tiler.layers.catalog import Layer, load_layer, version_of
from tiler.layers.cog_digests import known_digests
from tiler.layers.digests import stored_digests
from tiler.layers.publication import index_version
from tiler.layers.tilejson import stored
from tiler.raster.options import Options


@dataclass(frozen=True, slots=True)
class RevisionChange:
    """A layer's next current revision, possibly the same one; `planned` if nothing was changed yet.

    It is empty if scenes are uploaded first: it depends on the uploaded ones.
    """

    layer: str
    revision: str
    previous: str
    planned: bool

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"layer": self.layer, "revision": self.revision or None, "previous": self.previous}


@dataclass(frozen=True, slots=True)
class PlannedBake:
    """The parts of the base that an ingest would bake, at most, and all that the layer would have."""

    layer: str
    bake: int
    parts: int

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"layer": self.layer, "bake": self.bake, "parts": self.parts}


def plan_refresh(
    layer: str,
    context: UpdateContext,
    source: NextSource | None = None,
    run_options: RunOptions = RunOptions(),  # noqa: B008 - a frozen value
) -> RenewPlan:
    """Plan a `refresh` and change nothing.

    With a source, the steps that end are a `ScenesChanged` if the layer has scenes, a `PlannedBake` unless nothing is
    baked, and a `RevisionChange`.

    Raises:
        UnknownLayer, BadSource, BadOption, StoreError: see `refresh`.
    """
    current = load_layer(context.stores.sources, layer)
    if not source or source.told:
        check_unchanged(current)
        return _plan_renewal(current, current, context, run_options)
    source.check(current)
    options = source.options(current)
    version.check_readers(context.stores, version.version_for(options, parts=not options.virtual))
    rasters, options, changes = source.read(current, context.stores, context.report, jobs=run_options.processes)
    raster = examine(rasters, layer, options, context.report)
    uploads = source.sources.upload is not None
    if uploads and moving(raster, context.stores.sources):
        raster = raster.to_move()
    if loss := _loss(current, raster.survey.bounds, context):
        context.report.note(loss)
    following = NextRevision.of(current, raster, options, context, changes)
    if context.options.budget.by_workers:
        check_waits(context)
        if not uploads:
            _check_reachable(following, raster, context)
    if following.bakes:
        context.report.ended(PlannedBake(layer, following.work.bake.parts, following.work.whole.parts))
    context.report.ended(RevisionChange(layer, raster.revision, current.revision, planned=True))
    history = expected_history(current, following.kept, context.stores) if following.kept else None
    return following.plan(context, run_options, history)


def refresh(
    layer: str,
    context: UpdateContext,
    run_options: RunOptions,
    source: NextSource | None = None,
    *,
    count_new: bool = True,
) -> RenewResult:
    """Make `source` the next revision of a layer and re-render its stored tiles in place.

    Without a source, re-render stale tiles only; with a title or a description alone, also give it to the layer.
    `count_new` also counts missing tiles that the previous revision did
    not cover, in seeded zooms. The steps that end are a `ScenesChanged` if the layer has scenes, a `RefreshEstimate`,
    an `Ingested` with a source, those of `renew`, and each `NewTiles`.

    Raises:
        UnknownLayer: the layer does not exist.
        BadSource, BadOption: the raster cannot become its next revision, or the number of tiles was not confirmed.
        Superseded: the layer changed to another revision meanwhile.
        StoreError, QueueError: a store or a queue failed.
    """
    stores = context.stores
    if source and source.told:
        for text in tell(layer, source.told, stores):
            context.report.note(text)
    if not source or source.told:
        current = load_layer(stores.sources, layer)
        check_unchanged(current)
        digest_kept(current, History.of(current, stores), context)
        plan = _begun(_plan_renewal(current, current, context, run_options), context)
        return _renew_stale(
            current, context, run_options, plan, revision_before(current, stores) if count_new else None
        )
    ready = _prepared(_examined(layer, context, run_options, source), context, run_options)
    return _renew_ingested(
        ready, _ingested(ready, context, run_options, source), context, run_options, count_new=count_new
    )


def refresh_by_workers(
    layer: str,
    context: UpdateContext,
    run_options: RunOptions,
    how: BakeOptions,
    source: NextSource,
    *,
    count_new: bool = True,
) -> BakeSent | RenewResult:
    """`refresh` by the workers of a bake queue: they bake the parts, publish the layer and re-render its stored tiles.

    Returns the bake job once it is sent, or that which published the revision and still re-renders its stored tiles. If
    there is nothing to bake, stored tiles are re-rendered by `run_options`.

    Raises:
        BadOption: workers cannot read a scene, or were not to wait for tiles in flight.
        UnknownLayer, BadSource, Superseded, StoreError, QueueError: see `refresh`.
    """
    stores, report = context.stores, context.report
    check_waits(context)
    wanted = _examined(layer, context, run_options, source)
    revision = wanted.raster.revision
    if wanted.current.revision == revision:
        renewing = renewing_bake(layer, revision, how, context.settings, stores, report)
        if renewing:
            return renewing
    ready = _prepared(wanted, context, run_options, by_workers=True)
    if ready.options.virtual:
        done = _ingested(ready, context, run_options, source)
    else:
        plan = plan_bake(ready.raster, layer, ready.options, stores, report, planned_from=ready.planned_from)
        if isinstance(plan, BakePlan):
            return send_bake(plan, how, context.settings, stores, report)
        done = plan
    return _renew_ingested(ready, done, context, run_options, count_new=count_new)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The examined rasters of a refresh, the scenes that change, and the version of `index.json` that it replaces."""

    current: Layer
    raster: Examined | ExaminedScenes
    options: Options
    changes: ScenesChanged | None
    planned_from: str


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The same once its plan was confirmed."""

    current: Layer
    raster: Examined | ExaminedScenes
    options: Options
    plan: RenewPlan
    planned_from: str


def _examined(layer: str, context: UpdateContext, run_options: RunOptions, source: NextSource) -> _Wanted:
    """Read the rasters of a layer's next revision.

    Raises:
        UnknownLayer, BadSource, BadOption, StoreError: see `refresh`.
    """
    stores, report = context.stores, context.report
    planned_from = index_version(stores.sources, layer)
    current = load_layer(stores.sources, layer)
    source.check(current)
    options = source.options(current)
    version.check_readers(stores, version.version_for(options, parts=not options.virtual))
    rasters, options, changes = source.read(current, stores, report, jobs=run_options.processes)
    raster = examine(rasters, layer, options, report, partial(_confirm_place, current, context))
    return _Wanted(current, raster, options, changes, planned_from)


def _prepared(
    wanted: _Wanted, context: UpdateContext, run_options: RunOptions, *, by_workers: bool = False
) -> _Prepared:
    """Tell the estimate of a layer's next revision, and ask for confirmation.

    Raises:
        BadSource, BadOption, StoreError: see `refresh`.
    """
    current, raster, options, changes = wanted.current, wanted.raster, wanted.options, wanted.changes
    following = NextRevision.of(current, raster, options, context, changes)
    if by_workers:
        _check_reachable(following, raster, context)
    history = expected_history(current, following.kept, context.stores, stored_digests) if following.kept else None
    plan = _begun(following.plan(context, run_options, history), context)
    return _Prepared(current, raster, options, plan, wanted.planned_from)


def check_waits(context: UpdateContext) -> None:
    """Reject an update by workers that is not to wait for tiles in flight.

    Raises:
        BadOption: it is not.
    """
    if context.options.hurry:
        raise BadOption(
            "workers always wait for tiles in flight: leave --no-wait out, or leave --queue out to bake here"
        )


def _check_reachable(following: NextRevision, raster: Examined | ExaminedScenes, context: UpdateContext) -> None:
    """Reject rasters that are to be baked, and that workers cannot read.

    Raises:
        BadOption: see `check_reachable`.
    """
    if following.bakes and not following.kept:
        check_reachable(raster, context.stores)


def _ingested(ready: _Prepared, context: UpdateContext, run_options: RunOptions, source: NextSource) -> Ingested:
    """The layer, baked on this machine."""
    return ingest(
        ready.raster,
        ready.current.id,
        ready.options,
        context.stores,
        context.report,
        jobs=run_options.processes,
        staging=source.staging,
        planned_from=ready.planned_from,
    )


def _renew_ingested(
    ready: _Prepared, done: Ingested, context: UpdateContext, run_options: RunOptions, *, count_new: bool
) -> RenewResult:
    """Re-render the stored tiles of a layer that was ingested."""
    layer, before, stores = done.layer, ready.current, context.stores
    context.report.ended(done)
    if layer.format != before.format and stored(layer.id, stores.tiles):
        context.report.note(
            f"the layer's tiles are {layer.format} now, the stored ones {before.format}: remove these with "
            f"`seeder invalidate {layer.id} --all --yes`, then run `seed {layer.id} --zooms ...`"
        )
    return _renew_stale(layer, context, run_options, ready.plan, revision_before(layer, stores) if count_new else None)


def plan_rollback(
    layer: str,
    context: UpdateContext,
    revision: str = "",
    run_options: RunOptions = RunOptions(),  # noqa: B008 - a frozen value
) -> RenewPlan:
    """Plan a `rollback` and change nothing. The step that ends is a `RevisionChange`.

    Raises:
        UnknownLayer, BadOption, StoreError: see `rollback`.
    """
    current = load_layer(context.stores.sources, layer)
    target = revision or previous_target(current, context.stores)
    aim = current if target == current.revision else kept(layer, target, context.stores.sources)
    version.check_readers(context.stores, version_of(aim))
    context.report.ended(RevisionChange(layer, target, current.revision, planned=True))
    return _plan_renewal(current, aim, context, run_options)


def rollback(
    layer: str, context: UpdateContext, run_options: RunOptions, revision: str = "", *, count_new: bool = True
) -> RenewResult:
    """Make an earlier revision of a layer current again and re-render its stored tiles in place.

    `revision` names a kept revision, by default the previous one. For `count_new` see `refresh`. The steps that end
    are a `RefreshEstimate`, a `RevisionChange`, those of `renew`, and each `NewTiles`.

    Raises:
        UnknownLayer: the layer does not exist.
        BadOption: the revision is not kept, or the number of tiles was not confirmed.
        BadSource: the raster of a virtual layer changed.
        Superseded: the layer changed to another revision meanwhile.
        StoreError, QueueError: a store or a queue failed.
    """
    stores = context.stores
    planned_from = index_version(stores.sources, layer)
    current = load_layer(stores.sources, layer)
    target = revision or previous_target(current, stores)
    aim = current if target == current.revision else kept(layer, target, stores.sources)
    _confirm_place(current, context, aim)
    load = stored_digests if context.options.confirmed else known_digests
    plan = _begun(_plan_renewal(current, aim, context, run_options, load), context)
    restored = current if target == current.revision else restore(layer, target, stores, planned_from=planned_from)
    context.report.ended(RevisionChange(layer, target, current.revision, planned=False))
    earlier = current if current != restored else revision_before(restored, stores)
    return _renew_stale(restored, context, run_options, plan, earlier if count_new else None)


def _begun(plan: RenewPlan, context: UpdateContext) -> RenewPlan:
    """Tell the estimate of a plan, check that it is within the budget, and ask for confirmation if it was not given.

    Raises:
        BadOption: it exceeds the budget, or the number of tiles was not confirmed.
    """
    context.report.ended(plan.estimate)
    if plan.estimate:
        context.options.budget.check(plan.estimate.update.dollars, "change fewer scenes")
    if not context.options.confirmed:
        context.report.confirm(plan.stored_tiles.rendered, "re-rendered")
    return plan


def _plan_renewal(
    current: Layer, aim: Layer, context: UpdateContext, run_options: RunOptions, load: Load = known_digests
) -> RenewPlan:
    """Plan the renewal after `aim`, a kept revision, has become the current one; `load` gives digests."""
    history, work = (
        expected_history(current, aim, context.stores, load),
        PlannedWork.of_layer(aim, context.stores.sources),
    )
    task = UpdateTask(StoredFilter(aim), context)
    return plan_with_estimate(task, history, work, run_options, published=aim.revision != current.revision)


def _confirm_place(current: Layer, context: UpdateContext, revision: Survey | Layer) -> None:
    """Ask for confirmation, unless it was given, of a revision that removes all stored tiles.

    Raises:
        BadOption: it was not confirmed.
    """
    if not context.options.confirmed and (loss := _loss(current, revision.bounds, context)):
        context.report.confirm_loss(loss)


def _loss(current: Layer, bounds: Bounds, context: UpdateContext) -> str:
    """The loss of all stored tiles to a revision with `bounds`; empty if it overlaps the layer."""
    if current.bounds.overlaps(bounds) or not stored(current.id, context.stores.tiles):
        return ""
    return f"the raster does not overlap layer {current.id}: all stored tiles would be removed"


def _renew_stale(
    layer: Layer, context: UpdateContext, run_options: RunOptions, plan: RenewPlan, before: Layer | None
) -> RenewResult:
    """Re-render stale tiles, as planned and confirmed, then count the tiles that `before` did not cover."""
    task, history = UpdateTask(StoredFilter(layer), context.confirmed), History.of(layer, context.stores)
    digest_kept(layer, history, context)
    result = replace(renew(task, run_options, history), estimate=plan.estimate)
    if before is None or not result.passed:
        return result
    return replace(result, new_tiles=tuple(count_new_tiles(task, result, before)))
