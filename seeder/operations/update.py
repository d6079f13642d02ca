"""Shared steps of removing and replacing stored tiles: wait, delete, CloudFront before TileJSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from seeder.cache.closing_check import suspects
from seeder.cache.fence import countdown, seconds_remaining
from seeder.cache.purge import Purged, purge
from seeder.cache.stale import History, settle
from seeder.cache.stored import Cost, StoredFilter
from seeder.operations.budget import Budget
from seeder.operations.cdn import CdnInvalidation, cdn_paths, invalidate_paths
from seeder.operations.report import Report
from seeder.select.tileset import TileSets
from tiler.errors import Superseded
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.tilejson import announce, named
from tiler.settings import Settings
from tiler.storage.store import Stores

RERUN_HINT = "interrupted: run the same command again to finish"


@dataclass(frozen=True, slots=True)
class UpdateOptions:
    """Waits, confirmation and budget of an update, and the CDN to invalidate."""

    hurry: bool = False  # do not wait for tiles of an earlier revision in flight
    cdn: str = ""  # id of a CloudFront distribution, or empty
    cdn_wait: bool = False  # wait until CloudFront has completed the invalidation
    confirmed: bool = True  # do not list tiles first for `Report.confirm`
    budget: Budget = field(default_factory=Budget)


@dataclass(frozen=True, slots=True)
class UpdateContext:
    """Stores, settings, options and report of an update."""

    stores: Stores
    settings: Settings
    options: UpdateOptions = field(default_factory=UpdateOptions)
    report: Report = field(default_factory=Report)

    def invalidate(self, paths: tuple[str, ...]) -> CdnInvalidation | None:
        """Invalidate paths in CloudFront, if there are any; see `invalidate_paths`."""
        region = self.settings.s3.region
        return invalidate_paths(self.options.cdn, paths, region, self.report, wait=self.options.cdn_wait)

    @property
    def confirmed(self) -> UpdateContext:
        """The same, with confirmation given."""
        return replace(self, options=replace(self.options, confirmed=True))


@dataclass(frozen=True, slots=True)
class UpdateTask:
    """An update of some of a layer's stored tiles."""

    stored_filter: StoredFilter
    context: UpdateContext
    succeeded: bool = False  # whether a new revision is about to replace the layer's
    least: Layer | None = None  # the layer with only those tiles that it will surely have, before it is baked

    @property
    def layer(self) -> Layer:
        """The layer of the tiles."""
        return self.stored_filter.layer

    @property
    def stores(self) -> Stores:
        """The stores of tiles and sources."""
        return self.context.stores

    @property
    def options(self) -> UpdateOptions:
        """The options of the update."""
        return self.context.options

    @property
    def report(self) -> Report:
        """The report of the update."""
        return self.context.report

    @property
    def earlier(self) -> set[str]:
        """The revisions before the one to render."""
        if self.succeeded:
            return {self.layer.revision}
        return {each.revision for each in History.of(self.layer, self.stores).known} - {self.layer.revision}


@dataclass(frozen=True, slots=True)
class RemovedTiles:
    """Removed tiles, and the requests that removing took."""

    layer: Layer
    purged: Purged
    cost: Cost
    uncovered: bool = False  # whether only tiles outside the layer were selected
    cdn: CdnInvalidation | None = None

    @property
    def existed(self) -> int:
        """The number of selected tiles that were stored."""
        return self.purged.removed + self.purged.failed

    @property
    def passed(self) -> bool:
        """Whether all of them were removed."""
        return not self.purged.failed

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "layer": self.layer.id,
            "revision": self.layer.revision,
            "existed": self.existed,
            "removed": self.purged.removed,
            "failed": self.purged.failed,
            "why": self.purged.why,
            "planned": self.cost.planned,
            "listed": self.cost.listed,
            "lists": self.cost.lists,
            "deletes": self.purged.requests,
            **(self.cdn.to_json() if self.cdn else {}),
        }


def wait_for_fence(task: UpdateTask, hint: str = "interrupted: nothing was removed") -> bool:
    """Wait until no tile of an earlier revision can be put any more; returns whether it had to wait."""
    return not task.options.hurry and count_down(seconds_remaining(task.layer, task.stores), hint, task.report)


def count_down(seconds: float, hint: str, report: Report) -> bool:
    """Wait `seconds`; returns whether it had to wait."""
    if not seconds:
        return False
    label = "waiting for tiles of an earlier revision in flight"
    with report.countdown(label, seconds, interrupted=hint) as remaining:
        for rest in countdown(seconds):
            remaining(rest)
        remaining(0.0)
    return True


def check_current(task: UpdateTask) -> None:
    """Check that the task's revision is still the layer's.

    Raises:
        Superseded: the layer changed to another revision.
    """
    now = load_layer(task.stores.sources, task.layer.id).revision
    if now != task.layer.revision:
        raise Superseded(
            f"layer {task.layer.id} changed from revision {task.layer.revision} to {now}: "
            f"stopped; run the same command again to finish"
        )


def delete_tiles(task: UpdateTask, keys: Iterable[str], total: int | None) -> Purged:
    """Delete tiles, `total` if that is known.

    Raises:
        StoreError: none of a batch of 1000 could be deleted.
    """
    with task.report.stage(f"remove {task.layer.id}", total, interrupted=RERUN_HINT) as advance:
        return purge(task.stores.tiles, keys, advance)


def finish(
    task: UpdateTask, removed: RemovedTiles, since: datetime | None = None, changed: TileSets | None = None
) -> RemovedTiles:
    """Invalidate changed tiles in CloudFront, then update TileJSON; do neither if a removal failed.

    If only the few tiles of `changed` may differ, their paths are invalidated, and the addresses in TileJSON stay.
    TileJSON comes last: its new tile addresses make browsers fetch tiles and keep them. The steps that end are
    `removed` and a `CdnInvalidation`.

    Raises:
        Superseded: the layer changed to another revision meanwhile.
        QueueError: CloudFront refused.
    """
    check_current(task)
    history = History.of(task.layer, task.stores, since)
    others = removed.passed and _others(task, history, removed.cost)
    task.report.ended(removed)
    if not removed.passed:
        return removed
    if task.options.cdn:
        paths = cdn_paths(task.stored_filter, removed.cost, changed)
        removed = replace(removed, cdn=task.context.invalidate(paths))
    if others:
        old = named(task.layer.id, task.stores.tiles)
        task.report.note(f"tile.json keeps naming revision {old}: tiles of other revisions are still stored")
    elif task.options.hurry and history.mixed:
        announce(task.layer, task.stores)
    else:
        few = changed is not None or not history.mixed
        settle(task.layer, task.stores, keep=few and bool(task.options.cdn))
    return removed


def _others(task: UpdateTask, history: History, cost: Cost) -> bool:
    """Whether tiles of another revision may still be stored."""
    if task.stored_filter.everything or not history.mixed:
        return False
    more = Cost()
    number = suspects(task.layer, task.stores, history, more)
    cost.lists += more.lists
    return number > 0
