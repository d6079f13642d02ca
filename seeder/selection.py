"""What to act on: zooms and boxes, within the layer's bounds and footprint, as a stream of blocks.

Counts come from arithmetic over rectangles and the footprint's sums, never from counting tiles, so that what is
planned costs as much as its edge is long.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from seeder.tilelist import Codes, Columns, TileList, places
from tiler.catalog import Layer
from tiler.footprint import Footprint
from tiler.grid import LEAF, Block, Bounds, TileRange, tile_ranges

ANY_SIZE = range(LEAF, 1 << 30)
GOLDEN = (5**0.5 - 1) / 2  # multiples of it, modulo 1, lie evenly, however many there are (Weyl 1910): for samples


@dataclass(frozen=True, slots=True)
class Selection:
    """Zooms, ascending, and boxes of which a tile touches any; no boxes means the whole layer.

    A box that does not overlap the layer selects nothing, not even the low zooms' tiles that hold both. With
    `tiles` only those are selected, as far as zooms and boxes allow.
    """

    zooms: tuple[int, ...]
    boxes: tuple[Bounds, ...] = ()
    tiles: TileList | None = None

    @property
    def whole(self) -> bool:
        """Whether all of each zoom is selected."""
        return not self.boxes and self.tiles is None


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


class Region(Protocol):
    """The wanted tiles of one zoom."""

    @property
    def z(self) -> int:
        """The zoom."""
        ...

    def pieces(self, sizes: Container[int] = (LEAF,)) -> Iterator[Piece]:
        """The blocks that hold wanted tiles, in Z-order; wholly wanted ones as large as `sizes` has them."""
        ...

    def total(self) -> Count:
        """Exact totals, without listing the tiles."""
        ...

    def piece_of(self, number: int) -> Piece:
        """The block of 8 x 8 that holds a wanted tile; tiles are numbered from 0 in Z-order of their blocks."""
        ...

    def strips(self) -> Iterator[tuple[int, Region]]:
        """What of it lies in each column of blocks, by the x of the column's west-most tiles, ascending."""
        ...


@dataclass(frozen=True, slots=True)
class Area:
    """The tiles of `ranges`, which are disjoint, that lie in `footprint`."""

    z: int
    ranges: tuple[TileRange, ...]
    footprint: Footprint

    def count(self, area: TileRange) -> int:
        """How many tiles of `area` are wanted."""
        return sum(self.footprint.count(area & each) for each in self.ranges)

    def pieces(self, sizes: Container[int] = (LEAF,)) -> Iterator[Piece]:
        """See `Region.pieces`."""
        todo = [self._world]
        while todo:
            block = todo.pop()
            wanted = self.count(block.range)
            if not wanted:
                continue
            if block.size == LEAF:
                yield self._piece(block, wanted)
            elif block.size in sizes and wanted == len(block.range):
                yield Piece(block, 0)
            else:
                todo += reversed(_quarters(block))

    @property
    def _world(self) -> Block:
        return Block(self.z, 0, 0, max(LEAF, 2**self.z))

    def _piece(self, block: Block, wanted: int) -> Piece:
        return Piece(block, block.full if wanted == len(block.range) else self._mask(block))

    def _mask(self, block: Block) -> int:
        return sum(
            block.bit(tile)
            for tile in block.tiles()
            if self.count(TileRange(self.z, tile.x, tile.y, tile.x + 1, tile.y + 1))
        )

    def total(self) -> Count:
        """See `Region.total`."""
        tiles = sum(self.footprint.count(each) for each in self.ranges)
        blocks = sum((piece.block.side // LEAF) ** 2 or 1 for piece in self.pieces(ANY_SIZE))
        return Count(tiles, blocks)

    def piece_of(self, number: int) -> Piece:
        """See `Region.piece_of`."""
        block = self._world
        while block.size > LEAF:
            for quarter in _quarters(block):
                wanted = self.count(quarter.range)
                if number < wanted:
                    block = quarter
                    break
                number -= wanted
        return self._piece(block, self.count(block.range))

    def strips(self) -> Iterator[tuple[int, Area]]:
        """See `Region.strips`."""
        for x in sorted({x for each in self.ranges for x in range(each.x0 // LEAF * LEAF, each.x1, LEAF)}):
            strip = TileRange(self.z, x, 0, x + LEAF, 2**self.z)
            yield x, replace(self, ranges=tuple(each & strip for each in self.ranges if len(each & strip)))


def _quarters(block: Block) -> list[Block]:
    """The four blocks of half the size, in Z-order."""
    half = block.size // 2
    return [Block(block.z, block.x + x, block.y + y, half) for y in (0, half) for x in (0, half)]


SHIFT = np.uint64(6)  # of a tile's code, to that of its block of 8 x 8
AT_ONCE = 4096  # blocks
COLUMNS, ROWS = places(np.arange(64, dtype=np.uint64))  # of a block's tiles in Z-order
BITS = np.uint64(1) << (8 * ROWS + COLUMNS).astype(np.uint64)  # of its mask, in Z-order


def _pieces(z: int, codes: Codes, starts: npt.NDArray[np.intp]) -> Iterator[Piece]:
    """The blocks of tiles in Z-order, of which each block's first is at one of `starts`."""
    masks = np.bitwise_or.reduceat(BITS[codes & np.uint64(63)], starts)
    x, y = (each // LEAF * LEAF for each in places(codes[starts]))
    for column, row, mask in zip(x.tolist(), y.tolist(), masks.tolist(), strict=True):
        yield Piece(Block(z, column, row), mask)


@dataclass(frozen=True, slots=True)
class Listed:
    """Tiles that were named one by one, in Z-order; their blocks are always of 8 x 8."""

    z: int
    codes: Codes

    def pieces(self, sizes: Container[int] = (LEAF,)) -> Iterator[Piece]:  # noqa: ARG002 - they come in one size
        """See `Region.pieces`."""
        blocks = self.codes >> SHIFT
        starts = np.flatnonzero(np.r_[True, blocks[1:] != blocks[:-1]]) if len(blocks) else np.array([], np.intp)
        for first in range(0, len(starts), AT_ONCE):  # as plain numbers they take ten times the room
            here = starts[first : first + AT_ONCE + 1]
            end = here[-1] if len(here) > AT_ONCE else len(self.codes)
            yield from _pieces(self.z, self.codes[here[0] : end], here[:AT_ONCE] - here[0])

    def total(self) -> Count:
        """See `Region.total`."""
        return Count(len(self.codes), len(np.unique(self.codes >> SHIFT)))

    def piece_of(self, number: int) -> Piece:
        """See `Region.piece_of`."""
        block = self.codes[number] >> SHIFT
        first, last = np.searchsorted(self.codes >> SHIFT, [block, block + np.uint64(1)])
        (piece,) = _pieces(self.z, self.codes[first:last], np.zeros(1, np.intp))
        return piece

    def strips(self) -> Iterator[tuple[int, Listed]]:
        """See `Region.strips`."""
        column = places(self.codes)[0] // LEAF
        order = np.argsort(column, kind="stable")  # codes of one column stay in order
        columns, starts = np.unique(column[order], return_index=True)
        parts = np.split(self.codes[order], starts[1:]) if len(columns) else []
        return ((int(x) * LEAF, Listed(self.z, codes)) for x, codes in zip(columns, parts, strict=True))


def regions(layer: Layer, selection: Selection) -> Iterator[Region]:
    """The wanted tiles, low zooms first.

    Raises:
        ZoomOutside: the layer lacks one of the zooms.
    """
    layer.check_zooms(selection.zooms)
    boxes = tuple(box for box in selection.boxes if box.overlaps(layer.bounds)) if selection.boxes else None
    return (_region(layer, z, boxes, selection.tiles) for z in selection.zooms)


def covered(layer: Layer, z: int, codes: Codes) -> npt.NDArray[np.bool_]:
    """Which of the tiles of zoom `z` the layer has, as `(tiles,)` bool."""
    return _holds(_area(layer, z, None), codes)


def _region(layer: Layer, z: int, boxes: tuple[Bounds, ...] | None, tiles: TileList | None) -> Region:
    area = _area(layer, z, boxes)
    return area if tiles is None else _listed(area, tiles.codes.get(z, NONE))


def _area(layer: Layer, z: int, boxes: tuple[Bounds, ...] | None) -> Area:
    whole = layer.ranges(z)
    if boxes is not None:
        asked = [each for box in boxes for each in tile_ranges(box, z)]
        whole = tuple(disjoint([own & each for own in whole for each in asked]))
    footprint = layer.footprint.at(z) if z < layer.footprint.z else layer.footprint
    return Area(z, whole, footprint)


NONE = np.array([], np.uint64)


def _listed(area: Area, codes: Codes) -> Listed:
    """Those of the tiles that lie in `area`."""
    return Listed(area.z, codes[_holds(area, codes)])


def _holds(area: Area, codes: Codes) -> npt.NDArray[np.bool_]:
    x, y = places(codes)
    return inside(area.ranges, x, y) & area.footprint.holds(area.z, x, y)


def inside(ranges: Iterable[TileRange], x: Columns, y: Columns) -> npt.NDArray[np.bool_]:
    """Which of the tiles lie in one of the ranges, as `(tiles,)` bool."""
    found = np.zeros(len(x), bool)
    for each in ranges:
        found |= (each.x0 <= x) & (x < each.x1) & (each.y0 <= y) & (y < each.y1)
    return found


def disjoint(ranges: list[TileRange]) -> list[TileRange]:
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
