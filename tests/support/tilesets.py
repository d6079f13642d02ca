"""Any sets of tiles."""

from __future__ import annotations

import mercantile
import numpy as np
from hypothesis import strategies as st
from mercantile import Tile

from seeder.select.tileset import TileSet
from tiler.grid import LEAF, MAX_ZOOM, Bounds, TileRange

SHALLOW = (0, 1, 2, 3)
DEEP = (5, 9, 13, MAX_ZOOM)
WINDOW = 7  # sets made of parts are within squares of 2**WINDOW tiles per side
ANY_SIZE = range(LEAF, 1 << 30)
SIZES = [(LEAF,), (LEAF, 64), (LEAF, 64, 512), ANY_SIZE]
BILLION = TileRange(18, 100_003, 50_001, 100_003 + 31_700, 50_001 + 31_700)


def code_of(tile: Tile) -> int:
    return int(mercantile.quadkey(tile) or "0", 4)


def touched(box: Bounds, z: int) -> set[Tile]:
    """The tiles that touch `box`: mercantile's result, except for a half that only touches the antimeridian."""
    west = -180.0 if box.west == 180 else box.west
    east = 180.0 if box.east == -180 else box.east
    return set(mercantile.tiles(west, box.south, east, box.north, z))


def spans(tiles: TileSet) -> list[tuple[int, int]]:
    """The runs as Python integers."""
    return list(zip(tiles.starts.tolist(), tiles.stops.tolist(), strict=True))


@st.composite
def places_between(draw: st.DrawFn, first: int, levels: int) -> int:
    """A code up to 4**levels after `first`, mostly at or next to the edge of a square."""
    step, last = 1 << 2 * draw(st.integers(0, levels)), 1 << 2 * levels
    found = draw(st.integers(0, last // step)) * step + draw(st.just(0) | st.integers(-2, 2))
    return first + min(max(found, 0), last)


@st.composite
def tile_sets(draw: st.DrawFn, z: int, levels: int = MAX_ZOOM) -> TileSet:
    """Any tiles of a zoom, within a square of 2**levels a side."""
    levels = min(z, levels)
    first = draw(st.sampled_from([0, 4 ** (z - levels) - 1]) | st.integers(0, 4 ** (z - levels) - 1)) << 2 * levels
    least = draw(st.sampled_from([0, 4, 8]))
    edges = sorted({*draw(st.lists(places_between(first, levels), min_size=least, max_size=12))})
    starts, stops = edges[: len(edges) // 2 * 2 : 2], edges[1::2]
    return TileSet(z, np.array(starts, np.int64), np.array(stops, np.int64))


def whole_in(tiles: TileSet, code: int, area: int) -> bool:
    """Whether the aligned square of `area` tiles around `code` is complete."""
    first = code // area * area
    return any(start <= first and first + area <= stop for start, stop in spans(tiles))
