"""What the operations share that remove or replace stored tiles: care, waits, deletion, CloudFront before TileJSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from seeder.cache.closing_check import suspects
from seeder.cache.fence import countdown, left
from seeder.cache.purge import Purged, purge
from seeder.cache.stale import History, settle
from seeder.cache.stored import Cost, StoredFilter
from seeder.operations.cdn import CdnInvalidation, cdn_paths, invalidate_paths
from seeder.operations.report import Report
from tiler.errors import Superseded
from tiler.layers.catalog import Layer, announce, load_layer, named
from tiler.settings import Settings
from tiler.storage.store import Stores

RERUN_HINT = "interrupted: run the same command again to finish"


@dataclass(frozen=True, slots=True)
class UpdateOptions:
    """How careful an update is, and which CDN it invalidates."""

    hurry: bool = False  # do not wait until nothing of an earlier revision is in flight
    cdn: str = ""  # id of a CloudFront distribution, empty where there is none
    cdn_wait: bool = False  # wait until CloudFront has carried the invalidation out
    confirmed: bool = True  # do not list tiles first to ask `Report.confirm`


@dataclass(frozen=True, slots=True)
class UpdateContext:
    """Where an update takes place, how careful it is, and where it reports."""

    stores: Stores
    settings: Settings
    options: UpdateOptions = field(default_factory=UpdateOptions)
    report: Report = field(default_factory=Report)

    def invalidate(self, paths: tuple[str, ...]) -> CdnInvalidation | None:
        """Have CloudFront forget paths, if there are any; see `invalidate_paths`."""
        region = self.settings.s3.region
        return invalidate_paths(self.options.cdn, paths, region, self.report, wait=self.options.cdn_wait)

    @property
    def confirmed(self) -> UpdateContext:
        """The same, once the person has agreed."""
        return replace(self, options=replace(self.options, confirmed=True))


@dataclass(frozen=True, slots=True)
class UpdateTask:
    """An update of some of a layer's stored tiles."""

    stored_filter: StoredFilter
    context: UpdateContext
    succeeded: bool = False  # whether another revision is about to take the place of the layer's

    @property
    def layer(self) -> Layer:
        """The layer of the tiles."""
        return self.stored_filter.layer

    @property
    def stores(self) -> Stores:
        """The stores of the tiles and of their sources."""
        return self.context.stores

    @property
    def options(self) -> UpdateOptions:
        """How careful the update is."""
        return self.context.options

    @property
    def report(self) -> Report:
        """Where the update reports."""
        return self.context.report

    @property
    def earlier(self) -> set[str]:
        """The revisions before the one that is to be rendered."""
        if self.succeeded:
            return {self.layer.revision}
        return {each.revision for each in History.of(self.layer, self.stores).known} - {self.layer.revision}


@dataclass(frozen=True, slots=True)
class RemovedTiles:
    """Tiles that were removed, and what that took."""

    layer: Layer
    purged: Purged
    cost: Cost
    uncovered: bool = False  # whether only tiles that the layer does not have any more were to go
    cdn: CdnInvalidation | None = None

    @property
    def existed(self) -> int:
        """How many tiles were stored that were to go."""
        return self.purged.removed + self.purged.failed

    @property
    def passed(self) -> bool:
        """Whether all of them could be removed."""
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
    """Wait until nothing of an earlier revision can be put any more; returns whether that took any time."""
    return not task.options.hurry and count_down(left(task.layer, task.stores), hint, task.report)


def count_down(seconds: float, hint: str, report: Report) -> bool:
    """Wait so many seconds; returns whether that took any time."""
    if not seconds:
        return False
    label = "waiting until no tile of an earlier revision is in flight"
    with report.countdown(label, seconds, interrupted=hint) as remaining:
        for rest in countdown(seconds):
            remaining(rest)
        remaining(0.0)
    return True


def check_current(task: UpdateTask) -> None:
    """Stop if the task's layer has another revision by now.

    Raises:
        Superseded: it has.
    """
    now = load_layer(task.stores.sources, task.layer.id).revision
    if now != task.layer.revision:
        raise Superseded(
            f"layer {task.layer.id} changed from revision {task.layer.revision} to {now} by now: "
            f"stopped before the rest; run the same command again to go on"
        )


def delete_tiles(task: UpdateTask, keys: Iterable[str], total: int | None) -> Purged:
    """Delete tiles, `total` if that is known.

    Raises:
        StoreError: not one of a thousand could be deleted.
    """
    with task.report.stage(f"remove {task.layer.id}", total, interrupted=RERUN_HINT) as advance:
        return purge(task.stores.tiles, keys, advance)


def finish(task: UpdateTask, removed: RemovedTiles, since: datetime | None = None) -> RemovedTiles:
    """Tell CloudFront, then TileJSON, of tiles that were changed; neither, where some could not be removed.

    TileJSON comes last: it makes browsers ask for tiles under another address and keep what they get. The steps that
    end are `removed` and a `CdnInvalidation`.

    Raises:
        Superseded: the layer has another revision by now.
        QueueError: CloudFront refuses.
    """
    check_current(task)
    history = History.of(task.layer, task.stores, since)
    others = removed.passed and _others(task, history, removed.cost)
    task.report.ended(removed)
    if not removed.passed:
        return removed
    if task.options.cdn:
        paths = cdn_paths(task.stored_filter, removed.cost)
        removed = replace(removed, cdn=task.context.invalidate(paths))
    if others:
        old = named(task.layer.id, task.stores.tiles)
        task.report.note(f"tile.json goes on to name revision {old}: tiles of other revisions are stored")
    elif task.options.hurry and history.mixed:
        announce(task.layer, task.stores)
    else:
        settle(task.layer, task.stores)
    return removed


def _others(task: UpdateTask, history: History, cost: Cost) -> bool:
    """Whether tiles are stored that may be of another revision than the current one."""
    if task.stored_filter.everything or not history.mixed:
        return False
    more = Cost()
    found = suspects(task.layer, task.stores, history, more)
    cost.lists += more.lists
    return found > 0
