"""Remove a layer, or the sources of its old revisions; steps for everything that removes layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from seeder.cache.fence import fence
from seeder.cache.purge import purge
from seeder.jobs.bake_ledger import bakes_of, delete_bakes, ledger_of
from seeder.jobs.bake_parts import parts_in_use
from seeder.jobs.ledger import jobs, layer_of
from seeder.operations.cdn import CdnInvalidation
from seeder.operations.kept_uploads import unused_uploads, uploads_in_use
from seeder.operations.report import Advance, Report
from seeder.operations.update import RERUN_HINT, UpdateContext, count_down
from tiler import timing
from tiler.errors import CatalogError, StoreError, Superseded, UnknownLayer
from tiler.keys import (
    check_layer,
    clock_key,
    index_key,
    job_key,
    layer_prefix,
    parts_prefix,
    revision_key,
    shards_prefix,
    sources_prefix,
    tilejson_key,
    uploads_prefix,
)
from tiler.layers.catalog import list_layers, load_layer, load_revision, revisions, undone
from tiler.layers.layer_cache import Layers
from tiler.layers.pyramid import Pyramid, unnamed
from tiler.storage.store import Entry, Store, Stores


@dataclass(frozen=True, slots=True)
class Share:
    """Objects of one kind: their name, their store, the prefixes of their keys; with `only`, just these keys."""

    what: str
    store: Store
    prefixes: tuple[str, ...]
    only: frozenset[str] | None = None

    def keys(self) -> Iterator[str]:
        """Their keys, in the order of a listing."""
        return (entry.key for prefix in self.prefixes for entry in self._own(self.store.list(prefix)))

    def _own(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        return (entry for entry in entries if self.only is None or entry.key in self.only)

    def size(self, advance: Advance = lambda _: None) -> tuple[int, int]:
        """Their number and bytes; `advance` takes the number of each page."""
        number = size = 0
        for prefix in self.prefixes:
            for listed in self.store.pages(prefix):
                page = list(self._own(listed))
                number += len(page)
                size += sum(entry.size for entry in page)
                advance(len(page))
        return number, size


@dataclass(frozen=True, slots=True)
class RemovedLayer:
    """Number and bytes of a layer's removed objects, by kind; `paths` are invalidated in CloudFront."""

    layer: str
    sizes: Mapping[str, tuple[int, int]]
    paths: tuple[str, ...] = ()
    cdn: CdnInvalidation | None = None

    @property
    def objects(self) -> int:
        """The number of objects."""
        return sum(number for number, _ in self.sizes.values())

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"layer": self.layer, **sizes_json(self.sizes), **(self.cdn.to_json() if self.cdn else {})}


def sizes_json(sizes: Mapping[str, tuple[int, int]]) -> dict[str, dict[str, int]]:
    """The JSON form of numbers and bytes, by kind."""
    return {what: {"objects": number, "bytes": size} for what, (number, size) in sizes.items()}


def shares(layer: str, stores: Stores) -> tuple[Share, ...]:
    """All objects of a layer, by kind."""
    own = [job for job in jobs(stores.sources) if layer_of(job) == layer]
    known = tuple(job_key(job, "") for job in (*own, *map(ledger_of, bakes_of(stores.sources, layer))))
    return (
        Share("tiles", stores.tiles, (layer_prefix(layer),)),
        Share("sources", stores.sources, (sources_prefix(layer),)),
        Share("jobs", stores.sources, known),
    )


def old_revisions(layer: str, stores: Stores, now: datetime) -> tuple[Share, ...]:
    """The sources of all revisions but the current, the previous and the one rolled back last; `now` is in UTC.

    So are parts and uploaded scenes that only these revisions name, or none does. Those that a bake may be about to
    use are kept.
    """
    current = load_layer(stores.sources, layer)
    others = set(revisions(stores.sources, layer)) - {current.revision, current.previous}
    others.discard(undone(stores.sources, layer))
    old = [
        name for name in sorted(others) if stores.sources.has(revision_key(layer, name))
    ]  # else an ingest is writing it
    before = now - timedelta(seconds=timing.BAKE_SECONDS) - fence(stores.tiles)  # a bake may be about to name others
    in_use = parts_in_use(layer, stores.sources)  # first: a bake job may be published meanwhile
    baking = uploads_in_use(layer, stores.sources)  # first, too
    names = set(revisions(stores.sources, layer)) - set(old)
    kept = list(filter(None, (load_revision(stores.sources, layer, name) for name in names)))
    pyramids = [each.bake for each in kept if isinstance(each.bake, Pyramid)]
    parts = frozenset(unnamed(layer, stores.sources, pyramids, before)) - in_use
    kinds = [
        Share("sources", stores.sources, tuple(f"{sources_prefix(layer)}{name}/" for name in old)),
        Share("parts", stores.sources, (parts_prefix(layer), shards_prefix(layer)), parts),
    ]
    if uploads := frozenset(unused_uploads(layer, stores.sources, [current, *kept], baking, before)):
        kinds.append(Share("scenes", stores.sources, (uploads_prefix(layer),), uploads))
    return tuple(kinds)


def plan_removal(layer: str, context: UpdateContext) -> RemovedLayer:
    """Plan a `remove` and change nothing.

    Raises:
        UnknownLayer: the layer has no object.
        StoreError: objects cannot be listed.
    """
    return _measured(layer, context, shares(check_layer(layer), context.stores))


def remove(layer: str, context: UpdateContext) -> RemovedLayer:
    """Remove a layer for ever: its tiles, the sources of every revision, its jobs.

    Its metadata is removed first, so that no worker renders it any more. The step that ends is a `CdnInvalidation`.

    Raises:
        UnknownLayer: the layer has no object.
        BadOption: it was not confirmed.
        Superseded: it was ingested again meanwhile.
        StoreError, QueueError: a store or CloudFront failed.
    """
    kinds = shares(check_layer(layer), context.stores)
    removed = _measured(layer, context, kinds)
    context.report.confirm_removal(layer, removed.sizes)
    stop_rendering([layer], context.stores, context.report, hurry=context.options.hurry)
    delete_shares(kinds, removed.sizes, context.report)
    return replace(removed, cdn=context.invalidate(removed.paths))


def plan_removal_of_old_revisions(layer: str, context: UpdateContext) -> RemovedLayer:
    """Plan a `remove_old_revisions` and change nothing.

    Raises:
        UnknownLayer: the layer does not exist.
        StoreError: objects cannot be listed.
    """
    return RemovedLayer(layer, _sizes(old_revisions(layer, context.stores, datetime.now(UTC))))


def remove_old_revisions(layer: str, context: UpdateContext) -> RemovedLayer:
    """Remove the sources of a layer's revisions before the previous one, and unused parts.

    The age of unused parts is taken by the store's clock once the removal is confirmed.

    Raises:
        UnknownLayer: the layer does not exist.
        BadOption: it was not confirmed.
        StoreError: a store failed.
    """
    planned = plan_removal_of_old_revisions(layer, context)
    if not planned.objects:
        return planned
    context.report.confirm_removal(layer, planned.sizes)
    unused = any(planned.sizes[what][0] for what in planned.sizes.keys() - {"sources"})
    now = context.stores.sources.clock(clock_key()) if unused else datetime.now(UTC)
    kinds = old_revisions(layer, context.stores, now)
    removed = RemovedLayer(layer, _sizes(kinds))
    delete_shares(kinds, removed.sizes, context.report)
    return removed


def _sizes(kinds: tuple[Share, ...]) -> dict[str, tuple[int, int]]:
    return {share.what: share.size() for share in kinds}


def _measured(layer: str, context: UpdateContext, kinds: tuple[Share, ...]) -> RemovedLayer:
    """All that there is of a layer.

    Raises:
        UnknownLayer: the layer has no object.
        NewerMetadata: a newer version of this program may keep other objects of it.
    """
    with suppress(CatalogError):  # a damaged layer can be removed
        Layers(context.stores.sources).get(layer)
    measured = RemovedLayer(layer, _sizes(kinds), (f"/{layer}/*",) if context.options.cdn else ())
    if not measured.objects:
        raise UnknownLayer(layer, list_layers(context.stores.sources))
    return measured


def stop_rendering(layers: Sequence[str], stores: Stores, report: Report, *, hurry: bool = False) -> None:
    """Remove the metadata of layers and of their bake jobs; wait until no worker renders them any more.

    Raises:
        Superseded: a layer was ingested again meanwhile.
    """
    for layer in layers:
        if bakes := bakes_of(stores.sources, layer):
            delete_bakes(stores.sources, bakes)
    stores.sources.delete(map(index_key, layers))
    stores.tiles.delete(map(tilejson_key, layers))
    if not hurry:
        count_down(fence(stores.tiles).total_seconds(), RERUN_HINT, report)
    for layer in layers:
        if stores.sources.has(index_key(layer)):
            raise Superseded(f"layer {layer} was ingested again meanwhile: its tiles and sources are kept")


def delete_shares(kinds: Sequence[Share], sizes: Mapping[str, tuple[int, int]], report: Report) -> None:
    """Delete objects, one kind after the other.

    Raises:
        StoreError: some could not be deleted.
    """
    for share in kinds:
        label, total = f"remove {share.what}", sizes[share.what][0]
        with report.stage(label, total, unit="object", interrupted=RERUN_HINT) as advance:
            purged = purge(share.store, share.keys(), advance)
            if not purged.failed and total > purged.removed:
                advance(total - purged.removed)  # those that were deleted before
        if purged.failed:
            why = f"{purged.why}; {purged.failed:,} objects of {share.what} were not deleted"
            raise StoreError("delete", purged.keys[0], why)
        for prefix in share.prefixes if share.only is None else ():
            share.store.clear(prefix)
