"""Render stored tiles again in place, and remove those that the layer does not have any more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from seeder.cache.rerender import StaleAt, StoredTiles
from seeder.operations.cdn import cdn_paths
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
from tiler.keys import clock_key
from tiler.layers.catalog import Layer
from tiler.layers.render import TileVariant


@dataclass(frozen=True, slots=True)
class NewTiles:
    """Tiles that are missing, by zoom, of zooms that were seeded before the layer grew."""

    layer: Layer
    variant: TileVariant
    zooms: dict[int, int]

    @property
    def tiles(self) -> int:
        """How many they are in all."""
        return sum(self.zooms.values())


@dataclass(frozen=True, slots=True)
class RenewResult:
    """Stored tiles that were rendered again in place. Nothing was removed where a run failed."""

    layer: Layer
    stored_tiles: StoredTiles  # as they were before
    runs: tuple[RunResult, ...]
    removed: RemovedTiles | None = None
    new_tiles: tuple[NewTiles, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every tile was rendered, and every tile that the layer lacks now was removed."""
        return self.removed is not None and self.removed.passed


@dataclass(frozen=True, slots=True)
class RenewPlan:
    """Plan of a renewal: keys to remove, and CloudFront paths to invalidate."""

    stored_tiles: StoredTiles
    removed: int
    paths: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "layer": self.stored_tiles.stored_filter.layer.id,
            "existed": self.stored_tiles.tiles,
            "rendered": self.stored_tiles.rendered,
            "removed": self.removed,
            "dry_run": True,
        }


def plan_renewal(task: UpdateTask, stale_at: StaleAt | None = None) -> RenewPlan:
    """What `renew` would do now.

    Raises:
        StoreError: something could not be listed.
    """
    stored_tiles = list_stored_tiles(task, stale_at)
    removed = sum(1 for _ in stored_tiles.uncovered())
    paths = cdn_paths(task.stored_filter, stored_tiles.cost) if task.options.cdn else ()
    return RenewPlan(stored_tiles, removed, paths)


def renew(task: UpdateTask, run_options: RunOptions, stale_at: StaleAt | None = None) -> RenewResult:
    """Render the selected tiles again in place: those that are stale by `stale_at`, or all.

    Tiles that an earlier revision had nothing on are rendered, too: they may have something now.
    Tiles that the layer does not have any more are removed at last, so that the map never has a hole.
    The steps that end are each `RunResult`, then those of `finish`.

    Raises:
        BadOption: so many tiles are not meant.
        Superseded: the layer has another revision by now.
        StoreError, QueueError: a store or a queue failed.
    """
    stored_tiles = confirm_renewal(task, stale_at)
    if wait_for_fence(task, RERUN_HINT) or stored_tiles is None:
        stored_tiles = list_stored_tiles(task, stale_at)
    check_current(task)
    since = None if task.options.hurry else task.stores.sources.clock(clock_key())
    if not stored_tiles.stale and not stored_tiles.left:
        task.report.note(f"no stored tile of layer {task.layer.id} is to be rendered anew")
    runs = tuple(_run_plans(task, stored_tiles, run_options, since))
    if not all(run.passed for run in runs):
        return RenewResult(task.layer, stored_tiles, runs)
    check_current(task)
    purged = delete_tiles(task, stored_tiles.uncovered(), None)
    removed = finish(task, RemovedTiles(task.layer, purged, stored_tiles.cost, uncovered=True), since)
    return RenewResult(task.layer, stored_tiles, runs, removed)


def _run_plans(
    task: UpdateTask, stored_tiles: StoredTiles, run_options: RunOptions, since: datetime | None
) -> Iterator[RunResult]:
    """Render what is stale, also after a run that failed."""
    for plan in stored_tiles.plans(task.stores):
        result = run_plan(plan, run_options, task.context.settings, task.stores, task.report, since=since)
        task.report.ended(result)
        yield result


def confirm_renewal(task: UpdateTask, stale_at: StaleAt | None = None) -> StoredTiles | None:
    """What is stored, if it had to be listed to ask whether so much is meant.

    Raises:
        BadOption: it is not.
    """
    if task.options.confirmed:
        return None
    stored_tiles = list_stored_tiles(task, stale_at)
    task.report.confirm(stored_tiles.rendered, "rendered anew")
    return stored_tiles


def list_stored_tiles(task: UpdateTask, stale_at: StaleAt | None = None) -> StoredTiles:
    """What is stored now, and what earlier revisions had nothing on.

    Raises:
        StoreError: something could not be listed.
    """
    hint = "interrupted: nothing was changed"
    with task.report.stage(f"look for {task.layer.id}", None, interrupted=hint) as advance:
        stored_tiles = StoredTiles.take(task.stores.tiles, task.stored_filter, stale_at, advance)
        stored_tiles.recall(task.stores, task.earlier)
        return stored_tiles
