"""Chunks of a bake: the tasks of its workers, their results, and the blocks collected from these."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tiler.grid import TILE
from tiler.ingest.cog import Blocks, Spool, compress_mask
from tiler.layers.digests import Levels

Ref = tuple[str, int]  # spool and offset of a halved chunk


@dataclass(frozen=True, slots=True)
class BakeTask:
    """A chunk to bake: at level 0 from the raster, at lower zooms from `parts`.

    Each part is (row, column, ref), a halved chunk as a block of this chunk or its halo, relative to its first block.
    """

    level: int
    row: int  # in chunks
    column: int
    parts: tuple[tuple[int, int, Ref], ...] = ()


@dataclass(frozen=True, slots=True)
class Baked:
    """A baked chunk.

    `blocks` has a row (level, row, column, offset, size, mask offset, mask size, digest) for each block; offsets are
    into `spool`, in bytes. A digest of 64 bits is stored as a signed number.
    """

    task: BakeTask
    spool: str
    blocks: npt.NDArray[np.int64]
    opaque: bool
    rest: Ref | None


@dataclass(slots=True)
class Collected:
    """The spool positions of all blocks and their digests, collected from baked chunks."""

    spools: list[str]
    values: list[Blocks]
    masks: list[Blocks]
    opaque: bool = True
    size: int = 0  # bytes of all blocks
    digests: Levels = field(init=False)

    def __post_init__(self) -> None:
        self.digests = tuple(np.zeros((each.rows, each.columns), np.uint64) for each in self.values)

    @property
    def transparent(self) -> bool:
        """Whether some pixel of the base is transparent, once its chunks are collected."""
        return not (self.opaque and bool((self.values[0].size > 0).all()))

    def add(self, baked: Baked) -> None:
        """Collect the blocks of a chunk."""
        if baked.spool not in self.spools:
            self.spools.append(baked.spool)
        spool = self.spools.index(baked.spool)
        self.opaque &= baked.opaque or baked.task.level > 0  # overviews extend beyond the raster
        for level, row, column, *place in baked.blocks.tolist():
            self.size += place[1] + place[3]
            self.values[level].set(row, column, spool, (place[0], place[1]))
            self.digests[level][row, column] = place[4] % (1 << 64)
            if place[3]:
                self.masks[level].set(row, column, spool, (place[2], place[3]))

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
