"""Stored parts that bake jobs name in their receipts: the ones to keep, and the ones to bake again."""

from __future__ import annotations

from collections.abc import Iterator

from seeder.jobs.bake_ledger import BakeJob, bakes_of, delete_receipts, done_parts, load_bake, load_end, read_receipts
from tiler.errors import CatalogError, MessageError, MissingObject, NewerMetadata
from tiler.keys import index_key, part_facts_key, part_key, parts_prefix
from tiler.layers.pyramid import Place
from tiler.storage.store import Store


def parts_in_use(layer: str, sources: Store) -> frozenset[str]:
    """The keys of a layer's parts, and of their facts, that jobs which can still be published name.

    Raises:
        StoreError: a receipt cannot be read.
        MessageError: a receipt is damaged.
    """
    names = (name for job in _publishable(layer, sources) for _, name in _named_parts(job, sources))
    return frozenset(key for name in names for key in (part_key(layer, name), part_facts_key(layer, name)))


def forget_lost(job: BakeJob, sources: Store) -> list[Place]:
    """Delete the receipts of parts that were removed since, so that they are baked again; returns their places.

    Raises:
        StoreError: the parts cannot be listed, or a receipt not be read.
        MessageError: a receipt is damaged.
    """
    named = list(_named_parts(job.id, sources))  # first: workers may be storing parts
    stored = {entry.key for entry in sources.list(parts_prefix(job.layer))}
    lost = [place for place, name in named if part_key(job.layer, name) not in stored]
    delete_receipts(sources, job.id, lost)
    return lost


def _named_parts(job: str, sources: Store) -> Iterator[tuple[Place, str]]:
    """The places of a job's parts that are not empty, and the names of these."""
    places = [place for place, _ in done_parts(sources, job)]
    for place, fields in read_receipts(sources, job, places):
        if fields and fields["name"]:
            yield place, str(fields["name"])


def _publishable(layer: str, sources: Store) -> Iterator[str]:
    """The bake jobs of a layer that have not been published or superseded."""
    current = sources.version(index_key(layer))
    for name in bakes_of(sources, layer):
        try:
            end = load_end(sources, name)
            if (end is None or end.state == "failed") and load_bake(sources, name).plan["current"] == current:
                yield name
        except (CatalogError, KeyError, MessageError, MissingObject, NewerMetadata):  # of another version, or removed
            continue
