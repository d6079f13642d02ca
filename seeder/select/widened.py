"""Sets of tiles with their neighbours."""

from __future__ import annotations

import numpy as np

from seeder.select.morton import Numbers, consecutive, interleaved, places
from seeder.select.tileset import TileSet

MOST = 1 << 23  # neighbours listed at once; beyond, those of a lower zoom are taken


def widened(tiles: TileSet, by: int) -> TileSet:
    """The tiles and all others at most `by` columns and rows away; the first column and the last are neighbours.

    Of very many scattered tiles, some that are further away too.
    """
    side = 1 << tiles.z
    if not by or not len(tiles.starts):
        return tiles
    if by >= side:
        return TileSet.world(tiles.z)
    codes, sides = tiles.squares()
    if int(((sides + 2 * by) ** 2 - sides**2).sum()) > MOST:
        return widened(tiles.at(tiles.z - 1), -(-by // 2)).at(tiles.z)
    x, y = places(codes)
    wide, few = sides + 2 * by, np.full_like(sides, by)
    strips = [
        _cells(x - by, y - by, wide, few),
        _cells(x - by, y + sides, wide, few),
        _cells(x - by, y, few, sides),
        _cells(x + sides, y, few, sides),
    ]
    columns, rows = (np.concatenate(each) for each in zip(*strips, strict=True))
    inside = (rows >= 0) & (rows < side)
    return tiles | TileSet.of(tiles.z, interleaved(columns[inside] % side, rows[inside]))


def _cells(x: Numbers, y: Numbers, width: Numbers, height: Numbers) -> tuple[Numbers, Numbers]:
    """Columns and rows of all tiles in rectangles, given by their north-west tiles and sizes."""
    number = width * height
    index, each = consecutive(np.zeros_like(number), number), np.repeat(np.arange(len(number)), number)
    return x[each] + index % width[each], y[each] + index // width[each]
