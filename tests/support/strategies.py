"""Strategies for pure code: tiles, blocks, bounds, names."""

from __future__ import annotations

import mercantile
from hypothesis import strategies as st
from mercantile import Tile

from tiler.grid import MAX_LATITUDE, MAX_ZOOM, Block, Bounds
from tiler.keys import FORMATS, Format, Scale

WORLD = Bounds(-180.0, -90.0, 180.0, 90.0)

APART = 1e-6  # degrees, smallest side of a box; much more than rounding, much less than a tile
SCALES: tuple[Scale, ...] = (1, 2)

formats: st.SearchStrategy[Format] = st.sampled_from(FORMATS)
layer_ids: st.SearchStrategy[str] = st.from_regex(r"\A[a-z0-9][a-z0-9._-]{0,62}\Z").filter(
    lambda name: name not in {"sources", "jobs"}
)


@st.composite
def tiles(draw: st.DrawFn, deepest: int = MAX_ZOOM) -> Tile:
    z = draw(st.integers(0, deepest))
    column = st.integers(0, 2**z - 1)
    return Tile(x=draw(column), y=draw(column), z=z)


def blocks(deepest: int = MAX_ZOOM, sizes: tuple[int, ...] = (8, 16, 64, 512)) -> st.SearchStrategy[Block]:
    return st.builds(Block.of, tiles(deepest), st.sampled_from(sizes))


def _longitudes() -> st.SearchStrategy[float]:
    return st.floats(-180, 180) | st.integers(-128, 128).map(lambda column: column * 360 / 256)


def _latitudes() -> st.SearchStrategy[float]:
    rows = st.integers(0, 127).map(lambda row: float(mercantile.ul(0, row, 7).lat))
    return st.floats(-89.9, 89.9) | rows | st.sampled_from([-90.0, -MAX_LATITUDE, MAX_LATITUDE, 90.0])


def _a_hair_past_180(longitude: float) -> bool:
    """Whether a box extends past 180 degrees by a negligible amount."""
    return 0 < 180 - abs(longitude) < APART


@st.composite
def bounds(draw: st.DrawFn) -> Bounds:
    """Boxes with an area, half of them across the antimeridian, many with edges on tile edges."""
    longitudes = st.tuples(_longitudes(), _longitudes()).filter(
        lambda pair: abs(pair[0] - pair[1]) > APART and pair != (180, -180) and not any(map(_a_hair_past_180, pair))
    )
    latitudes = st.tuples(_latitudes(), _latitudes()).filter(lambda pair: abs(pair[0] - pair[1]) > APART)
    west, east = draw(longitudes)
    south, north = sorted(draw(latitudes))
    return Bounds(west, south, east, north)


def crossing_bounds() -> st.SearchStrategy[Bounds]:
    """Boxes with area on both sides of the antimeridian."""
    boxes = bounds().filter(lambda box: {box.west, box.east}.isdisjoint({-180, 180}))
    return boxes.map(lambda box: Bounds(max(box.west, box.east), box.south, min(box.west, box.east), box.north))
