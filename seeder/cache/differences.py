"""Pixels that differ between two revisions of a layer, and the tiles that are made of them.

A digest tells only whether a block differs. A terrain kernel and an enlargement also read pixels near it: where few
blocks differ, the pixels tell which of the tiles around them do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seeder.select.morton import interleaved, places
from seeder.select.tileset import TileSet
from tiler.errors import CatalogError, SourceReadError
from tiler.grid import TILE
from tiler.layers.catalog import Layer
from tiler.layers.differing import differing_pixels
from tiler.layers.pyramid import Pyramid
from tiler.storage.store import Store

MOST = 256  # blocks to read of each revision; of more, the tiles around them hardly count

Flags = npt.NDArray[np.bool_]


class Difference(NamedTuple):
    """The pixels of a tile that differ: its column and row, and `(TILE, TILE)` bool as packed bits."""

    x: int
    y: int
    bits: npt.NDArray[np.uint8]

    @property
    def pixels(self) -> Flags:
        """The pixels."""
        return np.unpackbits(self.bits).astype(bool).reshape(TILE, TILE)


def differences(old: Layer, new: Layer, tiles: TileSet, sources: Store) -> list[Difference] | None:
    """The differing pixels of tiles; None if there are too many tiles, or if they cannot be read.

    The zoom of the tiles is at most the base.

    Raises:
        StoreError: the store failed.
    """
    if len(tiles) > MOST or not (isinstance(old.bake, Pyramid) and isinstance(new.bake, Pyramid)):
        return None
    codes = np.concatenate([np.zeros(0, np.int64), *map(np.arange, tiles.starts, tiles.stops)])
    at = list(zip(*(axis.tolist() for axis in places(codes)), strict=True))
    try:
        every = list(differing_pixels((old, old.bake), (new, new.bake), sources, tiles.z, at))
    except (CatalogError, SourceReadError):
        return None
    return [Difference(x, y, np.packbits(each)) for (x, y), each in zip(at, every, strict=True)]


def reached(found: Sequence[Difference], z: int, zoom: int, reach: int) -> TileSet:
    """The tiles of `zoom` within `reach` pixels of zoom `z` of differing pixels; `zoom` is up to eight zooms higher."""
    shift, world = zoom - z, 1 << zoom
    cell = TILE >> shift
    columns, rows = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for each in found:
        down, across = np.nonzero(_cells(each.pixels, cell, reach))
        beside = -(-reach // cell)
        columns.append((each.x << shift) + across - beside)
        rows.append((each.y << shift) + down - beside)
    across, down = np.concatenate(columns), np.concatenate(rows)
    inside = (down >= 0) & (down < world)
    return TileSet.of(zoom, np.unique(interleaved(across[inside] % world, down[inside])))


def _cells(pixels: Flags, cell: int, reach: int) -> Flags:
    """The squares of `cell` pixels with pixels within `reach` of others, also around the tile."""
    beside = -(-reach // cell) * cell
    wide: Flags = np.pad(pixels, beside)
    for axis in (0, 1):
        wide = np.logical_or.reduce([np.roll(wide, step, axis) for step in range(-reach, reach + 1)])
    side = len(wide) // cell
    found: Flags = np.logical_or.reduce(wide.reshape(side, cell, side, cell), axis=(1, 3))
    return found
