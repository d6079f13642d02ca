"""Blocks with masks of their selected tiles: one by one, and as arrays."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seeder.select.morton import Numbers, begins, places
from tiler.grid import LEAF, Block


@dataclass(frozen=True, slots=True)
class Count:
    """Numbers of tiles and of 8 x 8 blocks at a zoom."""

    tiles: int
    blocks: int

    @classmethod
    def total(cls, counts: Mapping[int, Count]) -> Count:
        """The sum over all zooms."""
        return Count(sum(each.tiles for each in counts.values()), sum(each.blocks for each in counts.values()))


@dataclass(frozen=True, slots=True)
class BlockMask:
    """A block and a mask of its selected tiles; in a block larger than 8 x 8 all tiles are selected."""

    block: Block
    tiles: int  # mask, 0 in a block larger than 8 x 8

    def __len__(self) -> int:
        return self.tiles.bit_count() if self.block.size == LEAF else self.block.side**2

    def parts(self) -> Iterator[BlockMask]:
        """The 64 next smaller blocks of a block larger than 8 x 8."""
        return (BlockMask(part, part.full if part.size == LEAF else 0) for part in self.block.parts())

    def divided(self, sizes: Container[int]) -> Iterator[BlockMask]:
        """The block itself if its size is one of `sizes`, otherwise the smaller blocks that have one of these sizes."""
        if self.block.size in sizes:
            yield self
        else:
            for part in self.parts():
                yield from part.divided(sizes)


IN_BLOCK = LEAF * LEAF  # codes of a block of 8 x 8 tiles
COLUMNS, ROWS = places(np.arange(IN_BLOCK))  # of a block's tiles in Z-order
SHIFTS = (LEAF * ROWS + COLUMNS).astype(np.uint64)  # of their bits in its mask
NONE = np.zeros(0, np.uint64)
BELOW = np.zeros(IN_BLOCK + 1, np.uint64)  # BELOW[n]: mask of a block's first n tiles in Z-order
np.bitwise_or.accumulate(np.uint64(1) << SHIFTS, out=BELOW[1:])


class BlockMasks(NamedTuple):
    """Blocks as arrays: the codes of their north-west tiles, their sizes in tiles a side, their masks."""

    codes: Numbers
    sizes: Numbers
    masks: npt.NDArray[np.uint64]

    def at(self, z: int | Numbers) -> Iterator[BlockMask]:
        """The blocks one by one; `z` is one zoom for all, or an array with a zoom for each."""
        zooms = np.broadcast_to(z, self.codes.shape)
        for first in range(0, len(self.codes), 4096):  # Python integers take ten times the memory
            part = slice(first, first + 4096)
            x, y = places(self.codes[part])
            rows = (zooms[part], x, y, self.sizes[part], self.masks[part])
            for zoom, column, row, size, mask in zip(*(each.tolist() for each in rows), strict=True):
                yield BlockMask(Block(zoom, column, row, size), mask)

    @classmethod
    def joined(cls, parts: list[BlockMasks]) -> BlockMasks:
        """The blocks of all parts, one part after the other."""
        return cls(*map(np.concatenate, zip(*parts, strict=True)))

    def take(self, order: npt.NDArray[np.intp]) -> BlockMasks:
        """The blocks at the indices `order`: reordered, or a part of them."""
        return BlockMasks(self.codes[order], self.sizes[order], self.masks[order])


def masks_of(starts: Numbers, stops: Numbers) -> tuple[Numbers, npt.NDArray[np.uint64]]:
    """The blocks of runs, each run within one block: codes of the north-west tiles, ascending, and masks."""
    corner = starts // IN_BLOCK * IN_BLOCK
    order = np.argsort(corner, kind="stable")
    corner, starts, stops = corner[order], starts[order], stops[order]
    masks = BELOW[stops - corner] & ~BELOW[starts - corner]
    first = np.flatnonzero(begins(corner))
    return corner[first], np.bitwise_or.reduceat(masks, first) if len(corner) else masks
