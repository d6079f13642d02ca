"""Prepare a new or resumed job: plan and record it, and compare its receipts with stored tiles."""

from __future__ import annotations

from datetime import UTC, datetime

from seeder.cache.audit import Audit
from seeder.jobs.block_set import BlockSet
from seeder.jobs.ledger import (
    delete_receipts,
    finished,
    put_job,
    put_plan,
    receipts,
    reopen,
    republished,
    stopped,
    unfinished,
)
from seeder.jobs.messages import Job, Spec
from seeder.jobs.plan import Plan, Tally
from seeder.select.blocks import Count
from seeder.select.selection import Selection, count
from tiler.errors import BadOption
from tiler.grid import Block
from tiler.keys import zoom_prefix
from tiler.layers.catalog import Layer, load_layer, superseding
from tiler.layers.render import TileVariant
from tiler.storage.store import Stores


def prepare(
    layer: Layer, selection: Selection, variant: TileVariant, *, force: bool, stores: Stores, name: str = ""
) -> Plan:
    """Continue the last unfinished job of the same spec, or record a new one; `name` is the id of a new one.

    Raises:
        ZoomOutside, BadOption: as `count`.
    """
    counts = count(layer, selection)
    spec = Spec(layer.id, layer.revision, selection, variant, force)
    job = unfinished(stores.sources, spec)
    if job is None:
        job = Job(name, spec) if name else Job.new(spec, datetime.now(UTC))
    elif stopped(stores.sources, job.id):
        reopen(stores.sources, job.id)
    put_job(stores.sources, job)
    return _plan(job, layer, counts, stores)


def resume(job: Job, stores: Stores) -> Plan:
    """The remaining work of a job; a stop is removed from the ledger.

    Raises:
        BadOption: its layer has another revision now.
        UnknownLayer: its layer was removed.
    """
    layer = current(job, stores)
    counts = count(layer, job.spec.selection)
    reopen(stores.sources, job.id)
    return _plan(job, layer, counts, stores)


def reload(job: Job, stores: Stores) -> Plan:
    """The remaining work of a job; a stop stays in the ledger.

    Raises:
        BadOption, UnknownLayer: as `current`.
    """
    layer = current(job, stores)
    return _plan(job, layer, count(layer, job.spec.selection), stores)


def current(job: Job, stores: Stores) -> Layer:
    """The layer of a job, at the job's revision.

    Raises:
        BadOption: the layer has another revision now, or had one in between.
        UnknownLayer: the layer was removed.
    """
    layer = load_layer(stores.sources, job.spec.layer)
    if superseding(layer, job.spec.revision):
        raise BadOption(
            f"job {job.id} is for revision {job.spec.revision}, but the layer is now at {layer.revision}: "
            f"run `seed {layer.id}` instead"
        )
    if republished(stores.sources, job):
        raise BadOption(f"layer {layer.id} had another revision after job {job.id}: run `seed {layer.id}` instead")
    return layer


def _plan(job: Job, layer: Layer, counts: dict[int, Count], stores: Stores) -> Plan:
    """Record the plan of a job, and subtract its valid receipts."""
    put_plan(stores.sources, job.id, counts)
    tally = Tally(job.id, layer.id, layer.revision, Count.total(counts).tiles)
    done = BlockSet()
    invalid = []
    lacking = _lacking(job, layer, stores)
    for receipt in receipts(stores.sources, job.id):
        if not lacking.get(receipt.block, 0) & ~receipt.outcome.empty:
            tally.add(receipt.outcome)
            done.add(receipt.block)
        else:
            invalid.append(receipt.block)
    delete_receipts(stores.sources, job.id, "done", invalid)
    fresh = frozenset(z for z in counts if stores.tiles.empty(zoom_prefix(layer.id, z)))
    return Plan(job, layer, counts, tally, done, fresh)


def _lacking(job: Job, layer: Layer, stores: Stores) -> dict[Block, int]:
    """The planned tiles that are not stored, as masks by block; nothing if no block of the job is done.

    A receipt that calls one of them stored is invalid, whatever removed the tile.
    """
    if next(finished(stores.sources, job.id), None) is None:
        return {}
    audit = Audit(layer, job.spec.selection, job.spec.variant, stores, (job,))
    audited = (each for batch in audit.batches() for each in batch.blocks)
    return {each.block: each.lacking for each in audited if each.lacking}
