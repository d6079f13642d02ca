"""Which of the planned tiles are stored and which are missing, as sets of tiles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from seeder.cache.audit import Audit, Looked
from seeder.select.blocks import Piece
from seeder.select.tileset import TileSet, TileSets
from tiler.storage.concurrent import in_batches, overlap

MANY = 4096  # blocks whose tiles are joined at a time


def warm(audit: Audit, progress: Callable[[int], object]) -> TileSets:
    """The planned tiles that are stored and not without bytes; `progress` is told of planned tiles as they are seen.

    Raises:
        StoreError: something could not be listed.
    """

    def marked(looked: Looked) -> list[Piece]:
        progress(looked.planned)
        return [Piece(seen.block, seen.stored & ~seen.hollow) for seen in looked.blocks]

    return _joined(map(marked, audit.looked()))


def missing(audit: Audit, progress: Callable[[int], object]) -> TileSets:
    """The planned tiles that are not stored, but for those that a receipt says to be empty; see `warm`."""

    def marked(looked: Looked) -> tuple[int, list[Piece]]:
        gaps = [(seen.block, seen.gaps) for seen in looked.blocks]
        return looked.planned, [Piece(block, tiles & ~audit.empty(block, tiles)) for block, tiles in gaps]

    def told() -> Iterator[list[Piece]]:
        for planned, pieces in overlap(marked, audit.looked()):
            progress(planned)
            yield pieces

    return _joined(told())


def _joined(parts: Iterator[list[Piece]]) -> TileSets:
    """All their tiles, by zoom."""
    found: dict[int, list[TileSet]] = defaultdict(list)
    for batch in in_batches((piece for part in parts for piece in part if piece.tiles), MANY):
        zooms = defaultdict[int, list[Piece]](list)
        for piece in batch:
            zooms[piece.block.z].append(piece)
        for z, pieces in zooms.items():
            found[z].append(TileSet.marked(z, pieces))
    return TileSets({z: TileSet.union(z, found[z]) for z in sorted(found)})
