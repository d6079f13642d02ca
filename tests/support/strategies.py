"""What the laws are tried on: tiles, blocks, bounds, footprints, layers, selections, jobs."""

from __future__ import annotations

from datetime import UTC, datetime

import mercantile
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mercantile import Tile

from seeder.jobs.messages import Job, Message, Spec
from seeder.select.selection import Selection
from tiler.grid import MAX_LATITUDE, MAX_ZOOM, Block, Bounds
from tiler.image.style import Rgba, Style
from tiler.keys import FORMATS, Format, Scale
from tiler.layers.catalog import Layer
from tiler.layers.cog_layout import CogLayout
from tiler.layers.fill import Outcome, Request
from tiler.layers.footprint import Footprint
from tiler.layers.render import TileVariant
from tiler.raster.options import RESAMPLINGS

WORLD = Bounds(-180.0, -90.0, 180.0, 90.0)

GLOBE = Layer(
    id="globe",
    revision="9f2c",
    source="globe.tif",
    bounds=WORLD,
    minzoom=0,
    maxzoom=9,
    format="png",
    style=Style(),
    footprint=Footprint(0, 0, 0, np.ones((1, 1), np.bool_)),
    bake=None,
    bands=(1, 2, 3),
    resampling="cubic",
)

APART = 1e-6  # degrees between the opposite edges of a box; much more than rounding, much less than a tile
SCALES: tuple[Scale, ...] = (1, 2)

formats: st.SearchStrategy[Format] = st.sampled_from(FORMATS)
variants: st.SearchStrategy[TileVariant] = st.builds(TileVariant, st.sampled_from(SCALES), formats)
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
    """Whether a box would touch the next tile by less than counts."""
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
    """Boxes that hold ground on both sides of the antimeridian."""
    boxes = bounds().filter(lambda box: {box.west, box.east}.isdisjoint({-180, 180}))
    return boxes.map(lambda box: Bounds(max(box.west, box.east), box.south, min(box.west, box.east), box.north))


@st.composite
def footprints(draw: st.DrawFn, deepest: int = 5) -> Footprint:
    """Any cells anywhere, whole belts and footprints that run on past the antimeridian among them."""
    corner = draw(tiles(deepest))
    width = 2**corner.z
    rows = draw(st.integers(1, width - corner.y))
    columns = draw(st.integers(1, width) | st.just(width))
    return Footprint(corner.z, corner.x, corner.y, draw(arrays(np.bool_, (rows, columns))))


def cells_of(footprint: Footprint) -> set[Tile]:
    """The tiles of the footprint's own zoom that are set, one by one."""
    return {
        Tile(x=(footprint.x + int(column)) % 2**footprint.z, y=footprint.y + int(row), z=footprint.z)
        for row, column in np.argwhere(footprint.cells)
    }


def held(footprint: Footprint, z: int) -> set[Tile]:
    """The tiles of zoom `z` that share ground with a set cell, one by one."""
    found: set[Tile] = set()
    for cell in cells_of(footprint):
        if z <= cell.z:
            found.add(Tile(x=cell.x >> cell.z - z, y=cell.y >> cell.z - z, z=z))
        else:
            side = 1 << z - cell.z
            found |= {Tile(x=cell.x * side + x, y=cell.y * side + y, z=z) for x in range(side) for y in range(side)}
    return found


def _styles() -> st.SearchStrategy[Style]:
    steps = st.floats(-1e6, 1e6)
    stretch = st.tuples(steps, steps).filter(lambda pair: pair[0] < pair[1])
    channel = st.integers(0, 255)
    colour: st.SearchStrategy[Rgba] = st.tuples(channel, channel, channel, channel)
    rescaled = st.lists(stretch, max_size=3).map(lambda pairs: Style(rescale=tuple(pairs)))
    return rescaled | st.lists(colour, max_size=4).map(lambda colours: Style(palette=tuple(colours)))


@st.composite
def layers(draw: st.DrawFn, deepest: int = 7) -> Layer:
    """Layers whose bounds and footprint know nothing of each other."""
    minzoom, maxzoom = sorted((draw(st.integers(0, deepest)), draw(st.integers(0, deepest))))
    place = st.integers(0, 1 << 20)
    return Layer(
        id=draw(layer_ids),
        revision=draw(st.text("0123456789abcdef", min_size=1, max_size=16)),
        source=draw(st.text(max_size=20)),
        bounds=draw(bounds()),
        minzoom=minzoom,
        maxzoom=maxzoom,
        format=draw(formats),
        style=draw(_styles()),
        footprint=draw(footprints()),
        bake=draw(st.none() | st.builds(CogLayout, place, place, place, place, place, place, st.booleans())),
        bands=tuple(draw(st.lists(st.integers(1, 12), min_size=1, max_size=3))),
        resampling=draw(st.sampled_from(RESAMPLINGS)),
        nodata=draw(st.none() | st.floats(allow_nan=False)),
        attribution=draw(st.text(max_size=20)),
    )


@st.composite
def selections(draw: st.DrawFn, lowest: int = 0, deepest: int = MAX_ZOOM) -> Selection:
    zooms = draw(st.sets(st.integers(lowest, deepest), min_size=1, max_size=3))
    return Selection(tuple(sorted(zooms)), tuple(draw(st.lists(bounds(), max_size=3))))


def specs() -> st.SearchStrategy[Spec]:
    return st.builds(Spec, layer_ids, st.text("0123456789abcdef", min_size=1), selections(), variants, st.booleans())


def jobs() -> st.SearchStrategy[Job]:
    years = st.datetimes(datetime(2024, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
    return st.builds(Job.new, specs(), years)


key_parts = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}", fullmatch=True)  # ids of jobs and revisions


@st.composite
def messages(draw: st.DrawFn) -> Message:
    block = draw(blocks())
    mask = draw(st.integers(0, block.full)) & block.full if block.size == 8 else 0
    request = Request(block, mask, draw(variants), draw(st.booleans()))
    return Message(draw(key_parts), draw(layer_ids), draw(key_parts), request)


def outcomes() -> st.SearchStrategy[Outcome]:
    mask, number = st.integers(0, 2**64 - 1), st.integers(0)
    return st.builds(Outcome, mask, mask, mask, mask, number, number, st.text())
