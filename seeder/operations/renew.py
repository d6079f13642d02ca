"""Re-render stored tiles in place and remove those that the layer no longer covers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from seeder.cache.foreseen import Differences
from seeder.cache.rerender import StoredTiles
from seeder.cache.stale import History
from seeder.operations.cdn import cdn_paths
from seeder.operations.estimate_refresh import RefreshEstimate
from seeder.operations.run import RunOptions, RunResult, run_plan
from seeder.operations.update import (
    RERUN_HINT,
    RemovedTiles,
    UpdateTask,
    check_current,
    delete_tiles,
    finish,
    wait_for_fence,
)
from seeder.select.tileset import TileSets
from tiler.keys import clock_key
from tiler.layers.catalog import Layer
from tiler.layers.render import TileVariant


@dataclass(frozen=True, slots=True)
class NewTiles:
    """Missing tiles by zoom, in zooms that were seeded before the layer grew."""

    layer: Layer
    variant: TileVariant
    zooms: dict[int, int]

    @property
    def tiles(self) -> int:
        """Their total."""
        return sum(self.zooms.values())


@dataclass(frozen=True, slots=True)
class RenewResult:
    """The outcome of a renewal. After a failed run nothing is removed."""

    layer: Layer
    stored_tiles: StoredTiles = field(repr=False)  # as they were before
    runs: tuple[RunResult, ...]
    removed: RemovedTiles | None = None
    new_tiles: tuple[NewTiles, ...] = ()
    estimate: RefreshEstimate | None = None  # of a refresh or rollback, before it began

    @property
    def passed(self) -> bool:
        """Whether every tile was re-rendered and every uncovered tile removed."""
        return self.removed is not None and self.removed.passed


@dataclass(frozen=True, slots=True)
class RenewPlan:
    """Plan of a renewal: tiles to re-render, the number to remove, and CloudFront paths to invalidate.

    A refresh and a rollback have an estimate.
    """

    stored_tiles: StoredTiles = field(repr=False)
    removed: int
    paths: tuple[str, ...] = ()
    estimate: RefreshEstimate | None = None

    @property
    def at_most(self) -> bool:
        """Whether fewer tiles may be rendered and more removed, because parts are not baked yet."""
        return self.stored_tiles.least is not None

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "layer": self.stored_tiles.stored_filter.layer.id,
            "existed": self.stored_tiles.tiles,
            "differ": self.stored_tiles.differing,
            "at_most": self.at_most,
            "rendered": self.stored_tiles.rendered,
            "removed": self.removed,
            **({"estimate": self.estimate.to_json()} if self.estimate else {}),
            "dry_run": True,
        }


def plan_renewal(task: UpdateTask, history: Differences | None = None) -> RenewPlan:
    """Plan a `renew` and change nothing.

    Raises:
        StoreError: something could not be listed.
    """
    stored_tiles = list_stored_tiles(task, history)
    removed = sum(1 for _ in stored_tiles.uncovered())
    paths = cdn_paths(task.stored_filter, stored_tiles.cost, _few(task, stored_tiles)) if task.options.cdn else ()
    return RenewPlan(stored_tiles, removed, paths)


def renew(task: UpdateTask, run_options: RunOptions, history: History | None = None) -> RenewResult:
    """Re-render the selected tiles in place: those that are stale or unsure by `history`, or all.

    Tiles that were empty in an earlier revision are rendered too: they may hold data now.
    Uncovered tiles are removed last, so that the map never has a hole.
    The steps that end are each `RunResult`, then those of `finish`.

    Raises:
        BadOption: the number of tiles was not confirmed.
        Superseded: the layer changed to another revision meanwhile.
        StoreError, QueueError: a store or a queue failed.
    """
    stored_tiles = confirm_renewal(task, history)
    if wait_for_fence(task, RERUN_HINT) or stored_tiles is None:
        stored_tiles = list_stored_tiles(task, history)
    check_current(task)
    since = None if task.options.hurry else task.stores.sources.clock(clock_key())
    if not stored_tiles.stale and not stored_tiles.left:
        layer = task.layer.id
        if stored_tiles.tiles:
            missing = stored_tiles.rendered
            rest = f"; tiles to be added: {missing:,}" if missing else ""
            task.report.note(f"no stored tile of layer {layer} needs re-rendering{rest}")
        else:
            task.report.note(f"no tile of layer {layer} is stored: run `seed {layer}` to render tiles")
    elif stored_tiles.differing is not None:
        task.report.note(f"{stored_tiles.differing:,} of {stored_tiles.tiles:,} stored tiles differ")
    runs = tuple(_run_plans(task, stored_tiles, run_options, since))
    if not all(run.passed for run in runs):
        return RenewResult(task.layer, stored_tiles, runs)
    return RenewResult(task.layer, stored_tiles, runs, end_renewal(task, stored_tiles, since))


def end_renewal(task: UpdateTask, stored_tiles: StoredTiles, since: datetime | None = None) -> RemovedTiles:
    """Remove uncovered tiles once all others are rendered, then `finish`.

    Raises:
        Superseded, StoreError, QueueError: see `renew`.
    """
    check_current(task)
    purged = delete_tiles(task, stored_tiles.uncovered(), None)
    done = RemovedTiles(task.layer, purged, stored_tiles.cost, uncovered=True)
    return finish(task, done, since, _few(task, stored_tiles))


def _few(task: UpdateTask, stored_tiles: StoredTiles) -> TileSets | None:
    """The changed tiles if they are few; None if tiles of an earlier revision may be in flight, without a wait."""
    return None if task.options.hurry or not task.options.cdn else stored_tiles.few_changed()


def _run_plans(
    task: UpdateTask, stored_tiles: StoredTiles, run_options: RunOptions, since: datetime | None
) -> Iterator[RunResult]:
    """Run each plan, also after a failed one."""
    for plan in stored_tiles.plans(task.stores):
        result = run_plan(plan, run_options, task.context.settings, task.stores, task.report, since=since)
        task.report.ended(result)
        yield result


def confirm_renewal(task: UpdateTask, history: History | None = None) -> StoredTiles | None:
    """Ask for confirmation if it was not given; returns the stored tiles if they were listed for it.

    Raises:
        BadOption: the number of tiles was not confirmed.
    """
    if task.options.confirmed:
        return None
    stored_tiles = list_stored_tiles(task, history)
    task.report.confirm(stored_tiles.rendered, "re-rendered")
    return stored_tiles


def list_stored_tiles(task: UpdateTask, history: Differences | None = None) -> StoredTiles:
    """The tiles that are stored now, and those that were empty in earlier revisions.

    Raises:
        StoreError: something could not be listed.
    """
    hint = "interrupted: nothing was changed"
    with task.report.stage(f"look for {task.layer.id}", None, interrupted=hint) as advance:
        stored_tiles = StoredTiles.take(task.stores.tiles, task.stored_filter, history, advance)
        stored_tiles.least = task.least
        stored_tiles.recall(task.stores, task.earlier)
        return stored_tiles
