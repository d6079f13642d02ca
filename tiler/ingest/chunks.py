"""Chunks of a bake: the tasks of its workers, their results, and the blocks of a part collected from these."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tiler.grid import TILE
from tiler.ingest.cog import Blocks, Spool, compress_mask
from tiler.layers.pyramid import SERVED, SIDE, Place, levels_of

CHUNK = 8  # blocks along a chunk's side, as many as halvings keep whole: 2**SERVED
NO_MASK = (0, 0)


@dataclass(frozen=True, slots=True)
class BakeTask:
    """A chunk to bake: its part, and its row and column on the grid of the part's tier, in chunks."""

    place: Place
    row: int
    column: int


@dataclass(frozen=True, slots=True)
class Baked:
    """A baked chunk.

    `blocks` has a row (level, row, column, offset, size, mask offset, mask size) for each block; rows and columns count
    from the part's first block, offsets are into `spool`, in bytes. `digests` has one of each block: 8 bytes of a hash
    of its stored bytes.
    """

    task: BakeTask
    spool: str
    blocks: npt.NDArray[np.int64]
    digests: npt.NDArray[np.uint64]


@dataclass(slots=True)
class PartBlocks:
    """The blocks of a part, collected from its chunks, by level."""

    zoom: int  # at which the part's tier is cut
    spools: list[str] = field(default_factory=list)
    values: list[Blocks] = field(init=False)
    masks: list[Blocks] = field(init=False)
    digests: list[npt.NDArray[np.uint64]] = field(init=False)
    size: int = 0  # bytes of all blocks

    def __post_init__(self) -> None:
        sides = [max(1, min(SIDE, 1 << self.zoom) >> level) for level in range(levels_of(self.zoom))]
        self.values = [Blocks(side, side) for side in sides]
        self.masks = [Blocks(side, side) for side in sides]
        self.digests = [np.zeros((side, side), np.uint64) for side in sides]

    def add(self, baked: Baked) -> None:
        """Collect the blocks of a chunk."""
        if baked.spool not in self.spools:
            self.spools.append(baked.spool)
        spool = self.spools.index(baked.spool)
        for (level, row, column, *place), digest in zip(baked.blocks.tolist(), baked.digests, strict=True):
            self.size += place[1] + place[3]
            self.values[level].set(row, column, spool, (place[0], place[1]))
            self.digests[level][row, column] = digest
            if place[3]:
                self.masks[level].set(row, column, spool, (place[2], place[3]))

    def opaque_levels(self) -> list[bool]:
        """Whether each level has no transparent pixel in any of its blocks."""
        return [not mask.size.any() for mask in self.masks]

    def extent(self) -> tuple[int, int, int, int] | None:
        """The first row and column and the numbers of rows and columns that hold blocks, in tiles; None without any.

        They are multiples of a chunk, so that each level keeps whole blocks.
        """
        rows, columns = np.nonzero(self.values[0].size)
        if not rows.size:
            return None
        step = min(CHUNK, 1 << self.zoom)
        top, left = int(rows.min()) // step * step, int(columns.min()) // step * step
        bottom, right = (-(-(int(each.max()) + 1) // step) * step for each in (rows, columns))
        return top, left, bottom - top, right - left

    def cut(self, extent: tuple[int, int, int, int]) -> None:
        """Keep only the blocks of an extent."""
        top, left, rows, columns = extent
        for level in range(len(self.values)):
            part = slice(top >> level, top + rows >> level), slice(left >> level, left + columns >> level)
            self.values[level] = self.values[level].cut(part)
            self.masks[level] = self.masks[level].cut(part)
            self.digests[level] = self.digests[level][part]

    def add_opaque_masks(self, folder: Path) -> None:
        """Add an opaque mask to every block with values but no mask."""
        spool = Spool(folder)
        place = spool.add(compress_mask(np.full((TILE, TILE), 255, np.uint8)))
        spool.flush()
        self.spools.append(str(spool.path))
        for values, mask in zip(self.values, self.masks, strict=True):
            unmasked = (values.size > 0) & (mask.size == 0)
            mask.spool[unmasked] = len(self.spools) - 1
            mask.offset[unmasked], mask.size[unmasked] = place

    def remove_spools(self) -> None:
        """Remove the spools."""
        for spool in self.spools:
            Path(spool).unlink(missing_ok=True)


def chunks_of(place: Place, zoom: int, ranges: list[tuple[int, int, int, int]]) -> Iterator[BakeTask]:
    """The chunks of a part that lie in any of the `ranges`: first and last column and row of tiles, half-open."""
    step, side = min(CHUNK, 1 << zoom), min(SIDE, 1 << zoom)
    left, top = place.column * side, place.row * side
    found = {
        (row, column)
        for x0, y0, x1, y1 in ranges
        for row in range(max(y0, top) // step, -(-min(y1, top + side) // step))
        for column in range(max(x0, left) // step, -(-min(x1, left + side) // step))
    }
    return (BakeTask(place, row, column) for row, column in sorted(found))


assert CHUNK == 1 << SERVED
