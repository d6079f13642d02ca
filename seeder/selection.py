"""What to act on: zooms and boxes, within the layer's bounds and footprint, as a stream of blocks.

Counts come from arithmetic over rectangles and the footprint's sums, never from counting tiles, so that what is
planned costs as much as its edge is long.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

from tiler.catalog import Layer
from tiler.footprint import Footprint
from tiler.grid import LEAF, Block, Bounds, TileRange, tile_ranges

ANY_SIZE = range(LEAF, 1 << 30)


@dataclass(frozen=True, slots=True)
class Selection:
    """Zooms, ascending, and boxes of which a tile touches any; no boxes means the whole layer.

    A box that does not overlap the layer selects nothing, not even the low zooms' tiles that hold both.
    """

    zooms: tuple[int, ...]
    boxes: tuple[Bounds, ...] = ()


@dataclass(frozen=True, slots=True)
class Count:
    """How many tiles and how many blocks of 8 x 8 a zoom has."""

    tiles: int
    blocks: int


@dataclass(frozen=True, slots=True)
class Piece:
    """A block and which of its tiles are wanted; a block larger than 8 x 8 is wholly wanted."""

    block: Block
    tiles: int  # mask

    def __len__(self) -> int:
        return self.tiles.bit_count() if self.block.size == LEAF else self.block.side**2


@dataclass(frozen=True, slots=True)
class Region:
    """The wanted tiles of one zoom: those of `ranges`, which are disjoint, that lie in `footprint`."""

    z: int
    ranges: tuple[TileRange, ...]
    footprint: Footprint

    def count(self, area: TileRange) -> int:
        """How many tiles of `area` are wanted."""
        return sum(self.footprint.count(area & each) for each in self.ranges)

    def pieces(self, sizes: Container[int] = (LEAF,)) -> Iterator[Piece]:
        """The blocks that hold wanted tiles, in Z-order; wholly wanted ones as large as `sizes` has them."""
        size = max(LEAF, 2**self.z)
        todo = [Block(self.z, 0, 0, size)]
        while todo:
            block = todo.pop()
            wanted = self.count(block.range)
            if not wanted:
                continue
            if block.size == LEAF:
                yield Piece(block, block.full if wanted == len(block.range) else self._mask(block))
            elif block.size in sizes and wanted == len(block.range):
                yield Piece(block, 0)
            else:
                half = block.size // 2
                todo += [Block(self.z, block.x + x, block.y + y, half) for y in (half, 0) for x in (half, 0)]

    def _mask(self, block: Block) -> int:
        return sum(
            block.bit(tile)
            for tile in block.tiles()
            if self.count(TileRange(self.z, tile.x, tile.y, tile.x + 1, tile.y + 1))
        )

    def total(self) -> Count:
        """Exact totals."""
        tiles = sum(self.footprint.count(each) for each in self.ranges)
        blocks = sum((piece.block.side // LEAF) ** 2 or 1 for piece in self.pieces(ANY_SIZE))
        return Count(tiles, blocks)


def regions(layer: Layer, selection: Selection) -> Iterator[Region]:
    """The wanted tiles, low zooms first.

    Raises:
        ZoomOutside: the layer lacks one of the zooms.
    """
    layer.check_zooms(selection.zooms)
    boxes = tuple(box for box in selection.boxes if box.overlaps(layer.bounds)) if selection.boxes else None
    return (_region(layer, z, boxes) for z in selection.zooms)


def _region(layer: Layer, z: int, boxes: tuple[Bounds, ...] | None) -> Region:
    whole = layer.ranges(z)
    if boxes is not None:
        asked = [each for box in boxes for each in tile_ranges(box, z)]
        whole = tuple(_disjoint([own & each for own in whole for each in asked]))
    footprint = layer.footprint.at(z) if z < layer.footprint.z else layer.footprint
    return Region(z, whole, footprint)


def _disjoint(ranges: list[TileRange]) -> list[TileRange]:
    """The same tiles in ranges that do not overlap."""
    found: list[TileRange] = []
    for each in ranges:
        parts = [each]
        for other in found:
            parts = [rest for part in parts for rest in _less(part, other)]
        found += [part for part in parts if len(part)]
    return found


def _less(one: TileRange, other: TileRange) -> list[TileRange]:
    """`one` without `other`: up to four ranges, above, below, left and right of what they share."""
    shared = one & other
    if not len(shared):
        return [one]
    z = one.z
    return [
        TileRange(z, one.x0, one.y0, one.x1, shared.y0),
        TileRange(z, one.x0, shared.y1, one.x1, one.y1),
        TileRange(z, one.x0, shared.y0, shared.x0, shared.y1),
        TileRange(z, shared.x1, shared.y0, one.x1, shared.y1),
    ]
