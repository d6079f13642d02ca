"""The order in which blocks are rendered: spread over S3's partitions, along a curve, or nearest to a place first."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import mercantile
import numpy as np
import numpy.typing as npt

from seeder.select.blocks import BlockMask, BlockMasks
from seeder.select.morton import Numbers, places
from seeder.select.tileset import TileSet
from tiler.errors import BadOption
from tiler.grid import EXTENT, LEAF, MAX_LATITUDE, parse_place

GOLDEN = (5**0.5 - 1) / 2  # its multiples, modulo 1, are evenly distributed (Weyl 1910): for samples
COARSE = (LEAF, LEAF**2, LEAF**3)  # sizes of blocks that are sorted; larger ones are divided afterwards
STRETCHES = 16  # of the Hilbert curve, interleaved

Places = npt.NDArray[np.float64]
Ranks = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Order:
    """Low zooms first, along the Z curve or, if `hilbert`, the Hilbert curve; or by distance from `near`.

    `near` is a longitude and a latitude in degrees. Large blocks mean many workers: consecutive blocks of a zoom are
    then far apart, because S3 keeps neighbouring columns in one partition.
    """

    hilbert: bool = False
    near: tuple[float, float] | None = None

    @classmethod
    def parse(cls, text: str) -> Order:
        """`zoom`, `hilbert` or `near:LON,LAT`.

        Raises:
            BadOption, GridError: the text is none of these.
        """
        kind, colon, place = text.partition(":")
        if kind == "near" and colon:
            return cls(near=parse_place(place))
        if text not in ("zoom", "hilbert"):
            raise BadOption(f"unknown order {text!r}: choose zoom, hilbert or near:LON,LAT")
        return cls(hilbert=text == "hilbert")

    def block_masks(self, regions: Iterable[TileSet], sizes: Container[int] = (LEAF,)) -> Iterator[BlockMask]:
        """The blocks of regions, given low zooms first; complete blocks have the largest of `sizes` possible.

        Ordered by distance, blocks have at most 64 x 64 tiles, so that a large block's far tiles do not come too early.
        """
        if self.near is not None:
            yield from _nearest(list(regions), sizes, self.near)
            return
        spread = LEAF**2 in sizes
        for region in regions:
            if not (spread or self.hilbert):
                yield from region.block_masks(sizes)
                continue
            for block_mask in self._apart(region, spread=spread).at(region.z):
                parts = list(block_mask.divided(sizes))
                yield from _ranked(parts, partial(hilbert, region.z)) if self.hilbert else parts

    def _apart(self, region: TileSet, *, spread: bool) -> BlockMasks:
        """The blocks of a region along the curve, or with neighbours far apart if `spread`."""
        blocks = BlockMasks.joined([*region.batches(COARSE)] or [NONE])
        if self.hilbert:
            blocks = blocks.take(np.argsort(hilbert(region.z, *places(blocks.codes))))
        stretches = STRETCHES if self.hilbert else len(blocks.codes)
        return blocks.take(_interleaved(len(blocks.codes), stretches)) if spread else blocks


NONE = BlockMasks(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint64))


def _interleaved(total: int, stretches: int) -> Ranks:
    """The numbers below `total`, divided into stretches of equal length and taken one from each in turn."""
    if stretches >= total:
        return np.arange(total) * stride(total) % max(1, total)
    long = -(-total // stretches)
    ranks = np.arange(long * stretches).reshape(stretches, long).T.ravel()
    return ranks[ranks < total]


def stride(total: int) -> int:
    """A step near the golden section of `total`; repeated modulo `total`, it visits every place once."""
    step = max(1, round(total * GOLDEN))
    while math.gcd(step, total) > 1:
        step += 1
    return step


def _nearest(regions: list[TileSet], sizes: Container[int], place: tuple[float, float]) -> Iterator[BlockMask]:
    """Blocks by the distance of their nearest edge from a place; at equal distances low zooms first."""
    east, north = mercantile.xy(place[0], min(max(place[1], -MAX_LATITUDE), MAX_LATITUDE))
    point = 0.5 + east / EXTENT / 2, 0.5 - north / EXTENT / 2  # of the square world, from its north-west corner
    batches = [(region.z, batch) for region in regions for batch in region.batches(COARSE[:2])]
    blocks = BlockMasks.joined([NONE, *(batch for _, batch in batches)])
    zooms = np.concatenate([NONE.codes, *(np.full(len(batch.codes), z) for z, batch in batches)])
    order = np.lexsort((zooms, _distances(zooms, *places(blocks.codes), sides=blocks.sizes, point=point)))
    for block_mask in blocks.take(order).at(zooms[order]):
        parts = list(block_mask.divided(sizes))
        side = np.array([parts[0].block.size])
        yield from _ranked(parts, partial(_distances, np.array([block_mask.block.z]), sides=side, point=point))


def _ranked(block_masks: list[BlockMask], rank: Callable[[Numbers, Numbers], npt.NDArray[Any]]) -> list[BlockMask]:
    """Block masks of one size, sorted by `rank` of their columns and rows."""
    if len(block_masks) == 1:
        return block_masks
    x, y = (np.array([getattr(block_mask.block, axis) for block_mask in block_masks]) for axis in "xy")
    return [block_masks[number] for number in np.argsort(rank(x, y), kind="stable")]


def _distances(zooms: Numbers, x: Numbers, y: Numbers, *, sides: Numbers, point: tuple[float, float]) -> Places:
    """Distances of squares of tiles from a place, in widths of the world, across the antimeridian if shorter."""
    scale = np.exp2(-zooms.astype(float))
    half = np.minimum(sides * scale, 1.0) / 2
    across = np.abs(x * scale + half - point[0])
    across = np.maximum(np.minimum(across, 1 - across) - half, 0)
    down = np.maximum(np.abs(y * scale + half - point[1]) - half, 0)
    distances: Places = np.hypot(across, down)
    return distances


def hilbert(z: int, x: Numbers, y: Numbers) -> Numbers:
    """The positions of tiles along the Hilbert curve of their zoom, as PMTiles numbers them (Hilbert 1891)."""
    x, y, position = x.copy(), y.copy(), np.zeros_like(x)
    for level in range(z - 1, -1, -1):
        right, low = x >> level & 1, y >> level & 1
        position = position << 2 | (3 * right ^ low)
        flip = (low == 0) & (right == 1)  # rotate this quarter by 180 degrees, then mirror both upper quarters
        last = (1 << level) - 1
        x, y = x & last, y & last
        x, y = np.where(flip, last - x, x), np.where(flip, last - y, y)
        x, y = np.where(low == 0, y, x), np.where(low == 0, x, y)
    return position
