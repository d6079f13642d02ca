"""Which of the planned tiles are stored and which are missing, as sets of tiles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from seeder.cache.audit import Audit, AuditBatch
from seeder.select.blocks import BlockMask
from seeder.select.tileset import TileSet, TileSets
from tiler.storage.concurrent import in_batches, overlap

BLOCKS_AT_ONCE = 4096  # blocks whose tiles are joined at a time


def stored_planned(audit: Audit, progress: Callable[[int], object]) -> TileSets:
    """The planned tiles that are stored and not without bytes; `progress` is told of planned tiles as they are seen.

    Raises:
        StoreError: something could not be listed.
    """

    def marked(batch: AuditBatch) -> list[BlockMask]:
        progress(batch.planned)
        return [BlockMask(seen.block, seen.stored & ~seen.zero_bytes) for seen in batch.blocks]

    return _joined(map(marked, audit.batches()))


def missing(audit: Audit, progress: Callable[[int], object]) -> TileSets:
    """The planned tiles that are not stored, but for those that a receipt says to be empty; see `stored_planned`."""

    def marked(batch: AuditBatch) -> tuple[int, list[BlockMask]]:
        gaps = [(seen.block, seen.gaps) for seen in batch.blocks]
        return batch.planned, [BlockMask(block, tiles & ~audit.empty(block, tiles)) for block, tiles in gaps]

    def told() -> Iterator[list[BlockMask]]:
        for planned, block_masks in overlap(marked, audit.batches()):
            progress(planned)
            yield block_masks

    return _joined(told())


def _joined(parts: Iterator[list[BlockMask]]) -> TileSets:
    """All their tiles, by zoom."""
    found: dict[int, list[TileSet]] = defaultdict(list)
    for batch in in_batches((block_mask for part in parts for block_mask in part if block_mask.tiles), BLOCKS_AT_ONCE):
        zooms = defaultdict[int, list[BlockMask]](list)
        for block_mask in batch:
            zooms[block_mask.block.z].append(block_mask)
        for z, block_masks in zooms.items():
            found[z].append(TileSet.marked(z, block_masks))
    return TileSets({z: TileSet.union(z, found[z]) for z in sorted(found)})
