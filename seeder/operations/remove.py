"""Remove a layer, or the sources of its old revisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from seeder.cache.fence import fence
from seeder.cache.purge import purge
from seeder.jobs.ledger import jobs, layer_of
from seeder.operations.cdn import CdnInvalidation
from seeder.operations.update import RERUN_HINT, UpdateContext, count_down
from tiler.errors import StoreError, Superseded, UnknownLayer
from tiler.keys import check_layer, index_key, job_key, layer_prefix, revision_key, sources_prefix, tilejson_key
from tiler.layers.catalog import list_layers, load_layer, revisions, undone
from tiler.storage.store import Store, Stores


@dataclass(frozen=True, slots=True)
class Share:
    """Objects of a layer that are removed together: what they are, their store, what their keys begin with."""

    what: str
    store: Store
    prefixes: tuple[str, ...]

    def keys(self) -> Iterator[str]:
        """Their keys, as they are listed."""
        return (entry.key for prefix in self.prefixes for entry in self.store.list(prefix))

    def size(self) -> tuple[int, int]:
        """How many there are, and their bytes."""
        number = size = 0
        for prefix in self.prefixes:
            for entry in self.store.list(prefix):
                number += 1
                size += entry.size
        return number, size


@dataclass(frozen=True, slots=True)
class RemovedLayer:
    """Number and bytes of a layer's objects that were removed, by kind; in a plan they only would be.

    `paths` are those that CloudFront is told.
    """

    layer: str
    sizes: Mapping[str, tuple[int, int]]
    paths: tuple[str, ...] = ()
    cdn: CdnInvalidation | None = None

    @property
    def objects(self) -> int:
        """How many objects they are."""
        return sum(number for number, _ in self.sizes.values())

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        parts = {what: {"objects": number, "bytes": size} for what, (number, size) in self.sizes.items()}
        return {"layer": self.layer, **parts, **(self.cdn.to_json() if self.cdn else {})}


def shares(layer: str, stores: Stores) -> tuple[Share, ...]:
    """All that there is of a layer."""
    known = tuple(job_key(job, "") for job in jobs(stores.sources) if layer_of(job) == layer)
    return (
        Share("tiles", stores.tiles, (layer_prefix(layer),)),
        Share("sources", stores.sources, (sources_prefix(layer),)),
        Share("jobs", stores.sources, known),
    )


def old_revisions(layer: str, stores: Stores) -> tuple[Share, ...]:
    """The sources of revisions that are neither the layer's current one, nor its previous, nor rolled back last."""
    current = load_layer(stores.sources, layer)
    others = set(revisions(stores.sources, layer)) - {current.revision, current.previous}
    others.discard(undone(stores.sources, layer))
    old = [name for name in sorted(others) if stores.sources.has(revision_key(layer, name))]  # else an ingest is at it
    return (Share("sources", stores.sources, tuple(f"{sources_prefix(layer)}{name}/" for name in old)),)


def plan_removal(layer: str, context: UpdateContext) -> RemovedLayer:
    """What `remove` would remove now.

    Raises:
        UnknownLayer: nothing is there of such a layer.
        StoreError: something could not be listed.
    """
    return _measured(layer, context, shares(check_layer(layer), context.stores))


def remove(layer: str, context: UpdateContext) -> RemovedLayer:
    """Remove a layer: its tiles, its sources of every revision, its jobs. There is no way back.

    Its metadata goes first, so that nobody renders it any more. The step that ends is a `CdnInvalidation`.

    Raises:
        UnknownLayer: nothing is there of such a layer.
        BadOption: it is not meant.
        Superseded: it was ingested again meanwhile.
        StoreError, QueueError: a store or CloudFront failed.
    """
    found = shares(check_layer(layer), context.stores)
    removed = _measured(layer, context, found)
    context.report.confirm_removal(layer, removed.sizes)
    _stop(layer, context)
    _delete(found, removed.sizes, context)
    return replace(removed, cdn=context.invalidate(removed.paths))


def plan_removal_of_old_revisions(layer: str, context: UpdateContext) -> RemovedLayer:
    """What `remove_old_revisions` would remove now.

    Raises:
        UnknownLayer: there is no such layer.
        StoreError: something could not be listed.
    """
    return RemovedLayer(layer, _sizes(old_revisions(layer, context.stores)))


def remove_old_revisions(layer: str, context: UpdateContext) -> RemovedLayer:
    """Remove the sources of a layer's revisions before the previous one, if there are any.

    Raises:
        UnknownLayer: there is no such layer.
        BadOption: it is not meant.
        StoreError: a store failed.
    """
    found = old_revisions(layer, context.stores)
    removed = RemovedLayer(layer, _sizes(found))
    if removed.objects:
        context.report.confirm_removal(layer, removed.sizes)
        _delete(found, removed.sizes, context)
    return removed


def _sizes(found: tuple[Share, ...]) -> dict[str, tuple[int, int]]:
    return {share.what: share.size() for share in found}


def _measured(layer: str, context: UpdateContext, found: tuple[Share, ...]) -> RemovedLayer:
    """All that there is of a layer.

    Raises:
        UnknownLayer: there is nothing.
    """
    measured = RemovedLayer(layer, _sizes(found), (f"/{layer}/*",) if context.options.cdn else ())
    if not measured.objects:
        raise UnknownLayer(layer, list_layers(context.stores.sources))
    return measured


def _stop(layer: str, context: UpdateContext) -> None:
    """See to it that nobody renders a tile of the layer any more."""
    stores = context.stores
    stores.sources.delete([index_key(layer)])
    stores.tiles.delete([tilejson_key(layer)])
    if not context.options.hurry:
        count_down(fence(stores.tiles).total_seconds(), RERUN_HINT, context.report)
    if stores.sources.has(index_key(layer)):
        raise Superseded(f"layer {layer} was ingested again meanwhile, so its tiles and sources stay")


def _delete(found: tuple[Share, ...], sizes: Mapping[str, tuple[int, int]], context: UpdateContext) -> None:
    """Delete objects, kind by kind.

    Raises:
        StoreError: some could not be deleted.
    """
    for share in found:
        label, total = f"remove {share.what}", sizes[share.what][0]
        with context.report.stage(label, total, unit="object", interrupted=RERUN_HINT) as advance:
            purged = purge(share.store, share.keys(), advance)
        if purged.failed:
            why = f"{purged.why}; {purged.failed:,} objects of {share.what} are left"
            raise StoreError("delete", purged.keys[0], why)
        for prefix in share.prefixes:
            share.store.clear(prefix)
