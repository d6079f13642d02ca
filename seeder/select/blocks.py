"""Blocks and which of their tiles are wanted: one by one, and as arrays."""

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
    """How many tiles and how many blocks of 8 x 8 a zoom has."""

    tiles: int
    blocks: int

    @classmethod
    def total(cls, counts: Mapping[int, Count]) -> Count:
        """All zooms together."""
        return Count(sum(each.tiles for each in counts.values()), sum(each.blocks for each in counts.values()))


@dataclass(frozen=True, slots=True)
class BlockMask:
    """A block and which of its tiles are wanted; a block larger than 8 x 8 is wholly wanted."""

    block: Block
    tiles: int  # mask

    def __len__(self) -> int:
        return self.tiles.bit_count() if self.block.size == LEAF else self.block.side**2

    def parts(self) -> Iterator[BlockMask]:
        """What a block larger than 8 x 8 consists of, in blocks of an eighth of its size."""
        return (BlockMask(part, part.full if part.size == LEAF else 0) for part in self.block.parts())

    def divided(self, sizes: Container[int]) -> Iterator[BlockMask]:
        """The piece, or the parts that it is divided into until they are of one of `sizes`."""
        if self.block.size in sizes:
            yield self
        else:
            for part in self.parts():
                yield from part.divided(sizes)


IN_BLOCK = LEAF * LEAF  # codes of a block of 8 x 8 tiles
COLUMNS, ROWS = places(np.arange(IN_BLOCK))  # of a block's tiles in Z-order
SHIFTS = (LEAF * ROWS + COLUMNS).astype(np.uint64)  # of their bits in its mask
NONE = np.zeros(0, np.uint64)
BELOW = np.zeros(IN_BLOCK + 1, np.uint64)  # the mask of a block's first tiles in Z-order, so many
np.bitwise_or.accumulate(np.uint64(1) << SHIFTS, out=BELOW[1:])


class BlockMasks(NamedTuple):
    """Blocks as arrays: the codes of their north-west tiles, their sizes in tiles a side, their masks."""

    codes: Numbers
    sizes: Numbers
    masks: npt.NDArray[np.uint64]

    def at(self, z: int | Numbers) -> Iterator[BlockMask]:
        """The blocks one by one; `z` is their zoom, or each one's."""
        zooms = np.broadcast_to(z, self.codes.shape)
        for first in range(0, len(self.codes), 4096):  # as plain numbers they take ten times the room
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
        """The same blocks in another order, or some of them."""
        return BlockMasks(self.codes[order], self.sizes[order], self.masks[order])


def masks_of(starts: Numbers, stops: Numbers) -> tuple[Numbers, npt.NDArray[np.uint64]]:
    """The blocks of runs that each lie within one: the codes of their north-west tiles, ascending, and their masks."""
    corner = starts // IN_BLOCK * IN_BLOCK
    order = np.argsort(corner, kind="stable")
    corner, starts, stops = corner[order], starts[order], stops[order]
    masks = BELOW[stops - corner] & ~BELOW[starts - corner]
    first = np.flatnonzero(begins(corner))
    return corner[first], np.bitwise_or.reduceat(masks, first) if len(corner) else masks
