"""Remove stored tiles, or re-render them in place."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import Any

from seeder.cache.stored import Cost, StoredFilter, stored
from seeder.operations.cdn import cdn_paths
from seeder.operations.renew import RenewPlan, RenewResult, plan_renewal, renew
from seeder.operations.run import RunOptions
from seeder.operations.update import (
    RemovedTiles,
    UpdateContext,
    UpdateTask,
    check_current,
    delete_tiles,
    finish,
    wait_for_fence,
)
from seeder.select.selection import Selection, regions
from tiler.errors import BadOption

HELD_KEYS = 100_000  # keys of a first listing held in memory, deleted without another listing


@dataclass(frozen=True, slots=True)
class InvalidationPlan:
    """Plan of an invalidation: tiles to remove by zoom, the requests to find them, and CloudFront paths."""

    stored_filter: StoredFilter
    zooms: Counter[int]
    cost: Cost
    paths: tuple[str, ...] = ()

    @property
    def tiles(self) -> int:
        """The number of selected stored tiles."""
        return self.zooms.total()

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "layer": self.stored_filter.layer.id,
            "existed": self.tiles,
            "removed": 0,
            "dry_run": True,
            "planned": self.cost.planned,
            "listed": self.cost.listed,
            "lists": self.cost.lists,
            "zooms": {str(z): number for z, number in sorted(self.zooms.items())},
        }


@dataclass(frozen=True, slots=True)
class _Listing:
    """Selected stored tiles: their number by zoom, and their keys up to `HELD_KEYS`."""

    zooms: Counter[int]
    keys: list[str] | None
    cost: Cost


def plan_invalidation(stored_filter: StoredFilter, context: UpdateContext) -> InvalidationPlan:
    """Plan an `invalidate` and change nothing.

    Raises:
        ZoomOutside, BadOption: no selected tile is stored or in the layer.
        StoreError: something could not be listed.
    """
    task = UpdateTask(stored_filter, context)
    first = _list_selected(task)
    if not first.zooms:
        _check_own(stored_filter)
    paths = cdn_paths(stored_filter, first.cost) if context.options.cdn else ()
    return InvalidationPlan(stored_filter, first.zooms, first.cost, paths)


def invalidate(stored_filter: StoredFilter, context: UpdateContext) -> RemovedTiles:
    """Remove the selected stored tiles; the next request renders each again.

    After a new revision, first wait until no write in flight can put an older tile back.
    The steps that end are those of `finish`.

    Raises:
        ZoomOutside, BadOption: no selected tile is stored or in the layer, or the number was not confirmed.
        Superseded: the layer changed to another revision meanwhile.
        StoreError, QueueError: the store or CloudFront failed.
    """
    task = UpdateTask(stored_filter, context)
    first = None if context.options.confirmed else _list_selected(task)
    if first is not None:
        if not first.zooms:
            _check_own(stored_filter)
        context.report.confirm(first.zooms.total(), "removed")
    waited = wait_for_fence(task)
    check_current(task)
    if first is None or first.keys is None or waited:
        cost = Cost()
        keys = (each.key for each in chain.from_iterable(stored(task.stores.tiles, stored_filter, cost)))
        purged = delete_tiles(task, keys, first.zooms.total() if first else None)
        cost.lists += first.cost.lists if first else 0
    else:
        cost, purged = first.cost, delete_tiles(task, first.keys, len(first.keys))
    removed = RemovedTiles(task.layer, purged, cost)
    if not removed.existed:
        _check_own(stored_filter)
        context.report.note("no selected tile is stored: nothing was removed")
    return finish(task, removed)


def plan_reseed(stored_filter: StoredFilter, context: UpdateContext) -> RenewPlan:
    """Plan a `reseed` and change nothing; see `plan_renewal`."""
    return plan_renewal(UpdateTask(stored_filter, context))


def reseed(stored_filter: StoredFilter, context: UpdateContext, run_options: RunOptions) -> RenewResult:
    """Re-render the selected tiles in place and remove those outside the layer. See `renew`."""
    return renew(UpdateTask(stored_filter, context), run_options)


def _list_selected(task: UpdateTask) -> _Listing:
    """List the selected tiles that are stored now."""
    zooms: Counter[int] = Counter()
    keys: list[str] | None = []
    cost = Cost()
    hint = "interrupted: nothing was removed"
    with task.report.stage(f"look for {task.layer.id}", None, interrupted=hint) as advance:
        for batch in stored(task.stores.tiles, task.stored_filter, cost):
            zooms.update(each.name.tile.z for each in batch)
            advance(len(batch))
            if keys is not None:
                keys += (each.key for each in batch)
                keys = keys if len(keys) <= HELD_KEYS else None
    return _Listing(zooms, keys, cost)


def _check_own(stored_filter: StoredFilter) -> None:
    """Check that a selection without a stored tile holds tiles of the layer.

    Raises:
        ZoomOutside, BadOption: it holds none, so it is probably a mistake.
    """
    layer = stored_filter.layer
    if stored_filter.zooms is not None and not any(layer.minzoom <= z <= layer.maxzoom for z in stored_filter.zooms):
        layer.check_zooms(stored_filter.zooms)
    own = tuple(range(layer.minzoom, layer.maxzoom + 1))
    zooms = own if stored_filter.zooms is None else tuple(z for z in stored_filter.zooms if z in own)
    if not any(
        len(region & stored_filter.at(region.z)) for region in regions(layer, Selection(zooms, stored_filter.boxes))
    ):
        raise BadOption(f"nothing was removed: no selected tile is stored or lies in layer {layer.id!r}")
