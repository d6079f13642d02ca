"""The next revision of a layer before it is baked: the parts to bake, the tiles that may differ, and an estimate."""

from __future__ import annotations

from dataclasses import dataclass, replace

from seeder.cache.foreseen import Differences, changed_places, foreseen
from seeder.cache.next_layer import Moves, at_least, at_most
from seeder.cache.stale import History
from seeder.cache.stored import StoredFilter
from seeder.operations.estimate_refresh import PlannedWork, Terms, estimate_refresh
from seeder.operations.renew import RenewPlan, plan_renewal
from seeder.operations.run import RunOptions
from seeder.operations.scenes import ScenesChanged, kept_scenes
from seeder.operations.update import UpdateContext, UpdateTask
from tiler.ingest.examine import Examined, ExaminedScenes
from tiler.ingest.existing import kept_revision
from tiler.ingest.planned_parts import planned_parts
from tiler.ingest.survey import Survey
from tiler.layers.catalog import Layer
from tiler.raster.datasets import OpenOptions
from tiler.raster.options import Options
from tiler.storage.store import Store


@dataclass(frozen=True, slots=True)
class NextRevision:
    """The next revision of a layer: the `current` one again, a `kept` one, or one to be baked.

    `layer` is as the bake will make it, with more tiles at most, and `least` with fewer. `foreseen` tells which tiles
    may differ, None if all.
    """

    current: Layer
    kept: Layer | None
    layer: Layer
    work: PlannedWork
    bakes: bool
    foreseen: Differences | None = None
    least: Layer | None = None

    @classmethod
    def of(
        cls,
        current: Layer,
        raster: Examined | ExaminedScenes,
        options: Options,
        context: UpdateContext,
        changes: ScenesChanged | None = None,
    ) -> NextRevision:
        """The next revision from an examined raster, or from scenes; None of `changes` is known if all are new.

        Raises:
            CatalogError, StoreError: the layer's scenes or parts could not be read.
            SourceReadError: a header could not be read.
        """
        sources = context.stores.sources
        if raster.revision == current.revision:
            return cls(current, current, current, PlannedWork.of_layer(current, sources), bakes=False)
        kept = kept_revision(sources, current.id, raster.revision) if raster.revision else None
        if options.virtual:
            return cls(current, kept, kept or current, PlannedWork(), bakes=False)
        parts = planned_parts(current.id, sources, raster)
        changed = changes.total if changes else len(raster.survey.scenes)
        work = PlannedWork.of_parts(raster.survey, parts, changed)
        if kept:
            return cls(current, kept, kept, work, bakes=True)
        survey, places = raster.survey, changed_places(current, raster.survey, parts, sources)
        history = foreseen(current, survey, options, places, History.of(current, context.stores))
        alike = history and OpenOptions.of(options).pixels == OpenOptions.of(current.asked).pixels
        moves = _moves(current, survey, sources) if alike else None
        least = at_least(current, survey, places, moves) if places or places is None else None
        most = at_most(current, survey, parts, places, moves)
        return cls(current, None, most, work, bakes=True, foreseen=history, least=least)

    def plan(self, context: UpdateContext, run_options: RunOptions, history: History | None = None) -> RenewPlan:
        """Plan the renewal after it was published; `history` is that of a kept revision.

        Raises:
            StoreError: something could not be listed.
        """
        task = UpdateTask(StoredFilter(self.layer), context, succeeded=not self.kept, least=self.least)
        published = self.layer.revision != self.current.revision or not self.kept
        return plan_with_estimate(task, history or self.foreseen, self.work, run_options, published=published)


def _moves(layer: Layer, survey: Survey, sources: Store) -> Moves | None:
    """The scenes of a layer that change; None if it or its next revision is made of one raster."""
    if not layer.scenes or not survey.scenes:
        return None
    before, after = (
        {(each.identity, each.reading): each for each in scenes}
        for scenes in (kept_scenes(layer, sources).scenes, survey.scenes)
    )
    gone, new = (
        tuple(one[each] for each in one if each not in other) for one, other in ((before, after), (after, before))
    )
    return Moves(gone, new)


def plan_with_estimate(
    task: UpdateTask, history: Differences | None, work: PlannedWork, run_options: RunOptions, *, published: bool
) -> RenewPlan:
    """Plan a renewal, with the estimate of all that comes before its end; `published` if a revision comes before it.

    Raises:
        StoreError: something could not be listed.
    """
    plan = plan_renewal(task, history)
    terms = Terms(task, run_options, work.pixels)
    estimate = estimate_refresh(terms, work, plan.stored_tiles, len(plan.paths), published=published)
    return replace(plan, estimate=estimate)
