"""Known empty tiles: planned tiles that are not stored because an earlier revision had no data there.

The current revision may have data there, so these tiles are rendered together with the stale ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from functools import cache
from typing import NamedTuple

from seeder.cache.audit import Audit
from seeder.jobs.ledger import jobs_of
from seeder.jobs.messages import Job
from seeder.jobs.receipts import Receipts
from seeder.select.blocks import BlockMask
from seeder.select.selection import Selection
from seeder.select.tileset import TileSet
from tiler.grid import Block
from tiler.layers.catalog import Layer
from tiler.layers.render import TileVariant
from tiler.storage.concurrent import in_batches, overlap
from tiler.storage.store import Stores

BLOCKS_AT_ONCE = 4096  # blocks read at a time

GapsOf = Callable[[TileVariant, int], TileSet]  # the planned tiles of a zoom that are not stored, by variant and zoom


class Empties(NamedTuple):
    """Tiles of one zoom that were empty in an earlier revision, and the part not yet rendered in the current one."""

    known: TileSet
    left: TileSet

    @classmethod
    def nothing(cls, z: int) -> Empties:
        """No tiles."""
        return cls(TileSet.nothing(z), TileSet.nothing(z))


def empties(
    layer: Layer, stores: Stores, revisions: Collection[str], gaps: GapsOf
) -> dict[TileVariant, dict[int, Empties]]:
    """Missing tiles that are empty in receipts of `revisions`, by variant and zoom; zooms without any are left out.

    A receipt counts only while all its other tiles are stored. If the layer's own revision is among `revisions`, it is
    about to be replaced, and the next revision has rendered nothing yet.

    Raises:
        StoreError: the ledger could not be read.
    """
    if not revisions:
        return {}
    known = jobs_of(stores.sources, layer.id)
    masks: dict[tuple[TileVariant, int], list[BlockMask]] = defaultdict(list)
    cached_gaps = cache(gaps)
    for job in known:
        if job.spec.revision in revisions:
            for block_mask in _empty(job, stores, cached_gaps):
                masks[job.spec.variant, block_mask.block.z].append(block_mask)
    current = [] if layer.revision in revisions else [job for job in known if job.spec.revision == layer.revision]
    result: dict[TileVariant, dict[int, Empties]] = defaultdict(dict)
    for (variant, z), block_masks in sorted(masks.items(), key=lambda each: each[0][1]):
        every = TileSet.marked(z, block_masks)
        jobs = tuple(job for job in current if job.spec.variant.scale == variant.scale)
        audit = Audit(layer, Selection((z,)), variant, stores, jobs)
        result[variant][z] = Empties(every, every - _empty_now(audit, every))
    return dict(result)


def _empty(job: Job, stores: Stores, gaps: GapsOf) -> Iterator[BlockMask]:
    """Missing tiles, by block, that are empty in the receipts of a job."""
    variant, receipts = job.spec.variant, Receipts(stores.sources, job.id)
    for batch in in_batches(receipts.blocks(), BLOCKS_AT_ONCE):
        zooms = defaultdict[int, list[Block]](list)
        for block in batch:
            zooms[block.z].append(block)
        for z, blocks in zooms.items():
            near = TileSet.marked(z, (BlockMask(block, block.full) for block in blocks)) & gaps(variant, z)
            masks = {block_mask.block: block_mask.tiles for block_mask in near.block_masks()}
            for receipt in receipts.read_all(masks):
                mask, outcome = masks[receipt.block], receipt.outcome
                if outcome.empty & mask and not mask & (outcome.written | outcome.skipped):
                    yield BlockMask(receipt.block, outcome.empty & mask)


def _empty_now(audit: Audit, tiles: TileSet) -> TileSet:
    """The tiles of `tiles` that are empty in receipts of the audit's jobs."""

    def empty(block_mask: BlockMask) -> BlockMask:
        return BlockMask(block_mask.block, audit.empty(block_mask.block, block_mask.tiles))

    return TileSet.marked(tiles.z, overlap(empty, tiles.block_masks() if audit.known else ()))
