"""Give a layer a newer or an earlier revision and re-render its stored tiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from seeder.cache.audit import Audit
from seeder.cache.changes import rendered_alike
from seeder.cache.foreseen import Foreseen, foreseen
from seeder.cache.missing import missing
from seeder.cache.rerender import planned
from seeder.cache.stale import History
from seeder.cache.stored import StoredFilter
from seeder.defaults import CORES
from seeder.operations.ingest import ingest
from seeder.operations.renew import NewTiles, RenewPlan, RenewResult, confirm_renewal, plan_renewal, renew
from seeder.operations.report import Report
from seeder.operations.run import RunOptions
from seeder.operations.scenes import (
    SceneChanges,
    Sources,
    change_scenes,
    counted,
    earlier_scenes,
    kept_scenes,
    read_sources,
)
from seeder.operations.update import RERUN_HINT, UpdateContext, UpdateTask
from seeder.select.selection import Selection
from tiler.errors import BadOption
from tiler.grid import Bounds, zoom_for
from tiler.ingest.examine import Examined, ExaminedScenes, examined
from tiler.ingest.existing import kept_revision
from tiler.ingest.ingest import kept, restore
from tiler.ingest.planned_parts import planned_parts
from tiler.ingest.staging import Staging
from tiler.ingest.survey import Survey
from tiler.ingest.unchanged import check_unchanged
from tiler.layers import version
from tiler.layers.catalog import Layer, load_layer, revisions, stored, undone, version_of
from tiler.layers.cog_digests import digest_layer, known_digests
from tiler.layers.digests import stored_digests
from tiler.raster.options import ACCESS, Options
from tiler.scenes.scene_list import SceneList
from tiler.storage.store import Stores


@dataclass(frozen=True, slots=True)
class RevisionChange:
    """A layer's next current revision, possibly the same one; `planned` if nothing was changed yet."""

    layer: str
    revision: str
    previous: str
    planned: bool

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"layer": self.layer, "revision": self.revision, "previous": self.previous}


@dataclass(frozen=True, slots=True)
class PlannedBake:
    """The parts of the base that an ingest would bake, at most, and all that the layer would have."""

    layer: str
    bake: int
    parts: int

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"layer": self.layer, "bake": self.bake, "parts": self.parts}


@dataclass(frozen=True, slots=True)
class NextSource:
    """The rasters of a layer's next revision, and the options that differ from the last ingest's.

    That is all of `sources`, or the layer's scenes with `scene_changes`. It is false if nothing is given: then a
    refresh only re-renders stale tiles.
    """

    sources: Sources
    changes: Mapping[str, Any]
    staging: Staging = Staging()  # noqa: RUF009 - a frozen value
    scene_changes: SceneChanges = SceneChanges()  # noqa: RUF009 - as above

    def __bool__(self) -> bool:
        return bool(self.changes or self.scene_changes) or self.sources != Sources(())

    def check(self, layer: Layer) -> None:
        """Check that its parts agree, and that a layer of one raster gets another one.

        Raises:
            BadOption: they do not, or it does not.
        """
        if self.sources.names and self.scene_changes:
            raise BadOption("SOURCE lists all scenes: leave it out, or leave out --add, --replace and --drop")
        if not (self.sources.names or self.scene_changes or layer.scenes):
            raise BadOption(f"raster options need SOURCE: run `seeder refresh {layer.id} SOURCE ...`")

    def options(self, layer: Layer) -> Options:
        """The options of its ingest. Trust in the last raster, and access to it, do not extend to this one."""
        return replace(layer.asked, **{**dict.fromkeys(ACCESS, False), **self.changes})

    def read(self, layer: Layer, stores: Stores, report: Report, *, jobs: int) -> tuple[str | SceneList, Options]:
        """The raster's path, or the scenes, and the options. The step that ends is a `ScenesChanged`, if they change.

        Of other scenes, a layer of scenes keeps its highest zoom and its range from black to white, unless they are
        given: otherwise one new scene would change all tiles.

        Raises:
            BadSource, BadOption, StoreError: see `seeder.operations.scenes`.
        """
        options = self.options(layer)
        known = kept_scenes(layer, stores.sources) if self.scene_changes or layer.scenes else None
        again = not options.read_alike(layer.asked)
        scenes: str | SceneList
        if known and not self.sources.names:
            changes, earlier = self.scene_changes, earlier_scenes(layer, stores.sources)
            scenes, counts = change_scenes(
                layer, known, changes, self.sources, options, report, jobs=jobs, earlier=earlier, again=again
            )
            report.ended(counts)
        else:
            valid = replace(known, scenes=()) if known and again else known  # they were read with other options
            scenes = read_sources(self.sources, options, report, jobs=jobs, known=valid)
            if known and isinstance(scenes, SceneList):
                report.ended(counted(layer.id, known, scenes))
        if known is None or again or (isinstance(scenes, SceneList) and scenes.same_as(known)):
            return scenes, options
        if isinstance(scenes, SceneList) and "max_zoom" not in self.changes:
            _note_finer(layer, known, scenes, report)
        return scenes, _frozen(options, layer)


def _note_finer(layer: Layer, before: SceneList, after: SceneList, report: Report) -> None:
    """Tell that the layer's highest zoom stays below that of a new scene, if all were within it before."""
    finest = min(after.scenes, key=lambda scene: scene.resolution)
    zoom = zoom_for(finest.resolution)
    if zoom > layer.maxzoom >= max(zoom_for(scene.resolution) for scene in before.scenes):
        report.note(
            f"zoom {layer.maxzoom} is kept although {finest.address} has zoom {zoom}: "
            f"add --max-zoom {zoom} to raise it and bake all parts again"
        )


def _frozen(options: Options, layer: Layer) -> Options:
    """The options with the layer's highest zoom and range, where they have none."""
    zoom = layer.maxzoom if options.max_zoom is None else options.max_zoom
    keeps = not (options.rescale or options.colormap or options.style)
    return replace(options, max_zoom=zoom, rescale=layer.style.rescale if keeps else options.rescale)


def plan_refresh(layer: str, context: UpdateContext, source: NextSource | None = None) -> RenewPlan:
    """Plan a `refresh` and change nothing.

    With a source, the steps that end are a `ScenesChanged` if the layer has scenes, a `PlannedBake` unless nothing is
    baked, and a `RevisionChange`.

    Raises:
        UnknownLayer, BadSource, BadOption, StoreError: see `refresh`.
    """
    current = load_layer(context.stores.sources, layer)
    if not source:
        check_unchanged(current)
        return _plan_renewal(current, current, context)
    source.check(current)
    options = source.options(current)
    version.check_readers(context.stores, version.version_for(options, parts=not options.virtual))
    rasters, options = source.read(current, context.stores, context.report, jobs=CORES)
    raster = examined(rasters, options)
    if loss := _loss(current, raster.survey.bounds, context):
        context.report.note(loss)
    same = raster.revision == current.revision
    history = None if same or options.virtual else _foreseen(current, raster, options, context)
    context.report.ended(RevisionChange(layer, raster.revision, current.revision, planned=True))
    following = current if same else kept_revision(context.stores.sources, layer, raster.revision)
    if following:
        return _plan_renewal(current, following, context)
    return plan_renewal(UpdateTask(StoredFilter(current), context, succeeded=True), history)


def _foreseen(
    current: Layer, raster: Examined | ExaminedScenes, options: Options, context: UpdateContext
) -> Foreseen | None:
    """The tiles that a bake of `raster` may change. The step that ends is a `PlannedBake`."""
    sources = context.stores.sources
    parts = planned_parts(current.id, sources, raster)
    context.report.ended(PlannedBake(current.id, len(parts.missing), len(parts.inputs)))
    return foreseen(current, raster.survey, options, parts, sources, History.of(current, context.stores))


def refresh(
    layer: str,
    context: UpdateContext,
    run_options: RunOptions,
    source: NextSource | None = None,
    *,
    count_new: bool = True,
) -> RenewResult:
    """Make `source` the next revision of a layer and re-render its stored tiles in place.

    Without a source, re-render stale tiles only. `count_new` also counts missing tiles that the previous revision did
    not cover, in seeded zooms. The steps that end are `Ingested`, those of `renew`, and each `NewTiles`.

    Raises:
        UnknownLayer: the layer does not exist.
        BadSource, BadOption: the raster cannot become its next revision, or the number of tiles was not confirmed.
        Superseded: the layer changed to another revision meanwhile.
        StoreError, QueueError: a store or a queue failed.
    """
    current = load_layer(context.stores.sources, layer)
    if not source:
        check_unchanged(current)
        return _renew_stale(current, context, run_options, _before(current, context.stores) if count_new else None)
    source.check(current)
    options = source.options(current)
    version.check_readers(context.stores, version.version_for(options, parts=not options.virtual))
    confirm_renewal(UpdateTask(StoredFilter(current), context, succeeded=True))
    stores, report = context.stores, context.report
    approve = partial(_confirm_place, current, context)
    jobs = run_options.processes
    rasters, options = source.read(current, stores, report, jobs=jobs)
    done = ingest(rasters, layer, options, stores, report, jobs=jobs, staging=source.staging, approve=approve)
    context.report.ended(done)
    if done.layer.format != current.format and stored(layer, stores.tiles):
        report.note(
            f"the layer's tiles are {done.layer.format} now, the stored ones {current.format}: remove these with "
            f"`seeder invalidate {layer} --all --yes`, then run `seed {layer} --zooms ...`"
        )
    before = _before(done.layer, context.stores) if count_new else None
    return _renew_stale(done.layer, context.confirmed, run_options, before)


def plan_rollback(layer: str, context: UpdateContext, revision: str = "") -> RenewPlan:
    """Plan a `rollback` and change nothing. The step that ends is a `RevisionChange`.

    Raises:
        UnknownLayer, BadOption, StoreError: see `rollback`.
    """
    current = load_layer(context.stores.sources, layer)
    target = revision or _previous(current, context.stores)
    aim = current if target == current.revision else kept(layer, target, context.stores.sources)
    version.check_readers(context.stores, version_of(aim))
    context.report.ended(RevisionChange(layer, target, current.revision, planned=True))
    return _plan_renewal(current, aim, context)


def rollback(
    layer: str, context: UpdateContext, run_options: RunOptions, revision: str = "", *, count_new: bool = True
) -> RenewResult:
    """Make an earlier revision of a layer current again and re-render its stored tiles in place.

    `revision` names a kept revision, by default the previous one. For `count_new` see `refresh`. The steps that end
    are a `RevisionChange`, those of `renew`, and each `NewTiles`.

    Raises:
        UnknownLayer: the layer does not exist.
        BadOption: the revision is not kept, or the number of tiles was not confirmed.
        BadSource: the raster of a virtual layer changed.
        Superseded: the layer changed to another revision meanwhile.
        StoreError, QueueError: a store or a queue failed.
    """
    stores = context.stores
    current = load_layer(stores.sources, layer)
    target = revision or _previous(current, stores)
    if not context.options.confirmed:
        aim = current if target == current.revision else kept(layer, target, stores.sources)
        _confirm_place(current, context, aim)
        confirm_renewal(UpdateTask(StoredFilter(aim), context), _expected(current, aim, stores))
    restored = current if target == current.revision else restore(layer, target, stores)
    context.report.ended(RevisionChange(layer, target, current.revision, planned=False))
    before = current if current != restored else _before(restored, stores)
    return _renew_stale(restored, context.confirmed, run_options, before if count_new else None)


def _plan_renewal(current: Layer, aim: Layer, context: UpdateContext) -> RenewPlan:
    """Plan the renewal after `aim` has become the current revision."""
    return plan_renewal(UpdateTask(StoredFilter(aim), context), _expected(current, aim, context.stores))


def _expected(current: Layer, aim: Layer, stores: Stores) -> History:
    """The history once `aim` is the current revision. Missing digests are computed, and not stored."""
    if aim.revision == current.revision:
        return History.of(current, stores, load=known_digests)
    return History.of(current, stores).followed_by(aim, stores, known_digests)


def _digest(layer: Layer, history: History, context: UpdateContext) -> None:
    """Digest the COGs of the revisions that may have stored tiles; earlier versions baked them without digests."""
    sources = context.stores.sources
    kept = (kept_revision(sources, layer.id, each) for each in history.others)
    others = [each for each in kept if each and each.bake and layer.bake and rendered_alike(each, layer)]
    for each in (layer, *others) if others else ():
        if stored_digests(each, sources) is None:
            label = f"read the blocks of {layer.id}"
            with context.report.stage(label, None, unit="block", interrupted=RERUN_HINT) as advance:
                digest_layer(each, sources, advance)


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


def _previous(current: Layer, stores: Stores) -> str:
    """The target of a rollback: the current revision if an earlier rollback to it was interrupted.

    Raises:
        BadOption: the layer has no earlier revision.
    """
    back = undone(stores.sources, current.id)
    if back and History.of(current, stores).mixed:
        return current.revision
    if not current.previous:
        others = sorted(set(revisions(stores.sources, current.id)) - {current.revision})
        rest = f"choose another with --to {' or '.join(others)}" if others else "no other revision is kept"
        raise BadOption(f"revision {current.revision} is the first of layer {current.id!r}: {rest}")
    return current.previous


def _before(layer: Layer, stores: Stores) -> Layer | None:
    """The previous revision, if it is kept and readable."""
    return kept_revision(stores.sources, layer.id, layer.previous) if layer.previous else None


def _renew_stale(layer: Layer, context: UpdateContext, run_options: RunOptions, before: Layer | None) -> RenewResult:
    """Re-render stale tiles, then count the tiles that `before` did not cover."""
    task, history = UpdateTask(StoredFilter(layer), context), History.of(layer, context.stores)
    _digest(layer, history, context)
    result = renew(task, run_options, history)
    if before is None or not result.passed:
        return result
    return replace(result, new_tiles=tuple(_new_tiles(task, result, before)))


def _new_tiles(task: UpdateTask, result: RenewResult, before: Layer) -> Iterator[NewTiles]:
    """Missing tiles of seeded zooms that `before` did not cover."""
    for variant, zooms in result.stored_tiles.grown(before):
        audit = Audit.of(task.layer, Selection(zooms), variant, task.stores)
        with task.report.stage(f"look for {task.layer.id}", None, interrupted=RERUN_HINT) as advance:
            lacking = missing(audit, advance)
        new = {z: number for z in lacking.zooms if (number := len(lacking.at(z) - planned(before, z)))}
        if new:
            new_tiles = NewTiles(task.layer, variant, new)
            task.report.ended(new_tiles)
            yield new_tiles
