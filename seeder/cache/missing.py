"""The stored and the missing tiles of a plan, as sets of tiles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from seeder.cache.audit import Audit, AuditBatch, BlockAudit
from seeder.select.blocks import BlockMask
from seeder.select.tileset import TileSet, TileSets
from tiler.storage.concurrent import in_batches, overlap

BLOCKS_AT_ONCE = 4096  # blocks joined at a time


def stored_planned(audit: Audit, progress: Callable[[int], object]) -> TileSets:
    """The planned tiles that are stored with bytes; `progress` gets the number of checked tiles.

    Raises:
        StoreError: an object could not be listed.
    """

    def marked(batch: AuditBatch) -> list[BlockMask]:
        progress(batch.planned)
        return [BlockMask(each.block, each.stored & ~each.zero_bytes) for each in batch.blocks]

    return _joined(map(marked, audit.batches()))


def missing(audit: Audit, progress: Callable[[int], object]) -> TileSets:
    """The planned tiles that are neither stored nor empty in a receipt; see `stored_planned`."""
    return _without_empty(audit, progress, lambda each: each.gaps)


def _without_empty(audit: Audit, progress: Callable[[int], object], gaps_of: Callable[[BlockAudit], int]) -> TileSets:
    """The tiles of `gaps_of` each block that are not empty in a receipt."""

    def marked(batch: AuditBatch) -> tuple[int, list[BlockMask]]:
        gaps = [(each.block, gaps_of(each)) for each in batch.blocks]
        return batch.planned, [BlockMask(block, tiles & ~audit.empty(block, tiles)) for block, tiles in gaps]

    def counted() -> Iterator[list[BlockMask]]:
        for planned, block_masks in overlap(marked, audit.batches()):
            progress(planned)
            yield block_masks

    return _joined(counted())


def lacking(audit: Audit, progress: Callable[[int], object]) -> TileSets:
    """The planned tiles that `seed` would render: not stored with bytes, nor empty in a receipt; see `stored_planned`.

    Raises:
        StoreError: an object could not be listed or read.
    """
    return _without_empty(audit, progress, lambda each: each.lacking)


def _joined(parts: Iterator[list[BlockMask]]) -> TileSets:
    """All tiles of the block masks, by zoom."""
    sets: dict[int, list[TileSet]] = defaultdict(list)
    for batch in in_batches((block_mask for part in parts for block_mask in part if block_mask.tiles), BLOCKS_AT_ONCE):
        zooms = defaultdict[int, list[BlockMask]](list)
        for block_mask in batch:
            zooms[block_mask.block.z].append(block_mask)
        for z, block_masks in zooms.items():
            sets[z].append(TileSet.marked(z, block_masks))
    return TileSets({z: TileSet.union(z, sets[z]) for z in sorted(sets)})
