"""Any layers and footprints."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mercantile import Tile

from tests.support.strategies import WORLD, bounds, formats, layer_ids, tiles
from tiler.choices import RESAMPLINGS
from tiler.image.style import Rgba, Style
from tiler.layers.catalog import Layer
from tiler.layers.cog_layout import CogLayout
from tiler.layers.footprint import Footprint
from tiler.layers.pyramid import Pyramid
from tiler.raster.options import Options

WORDS = st.none() | st.text(min_size=1, max_size=20)

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


@st.composite
def footprints(draw: st.DrawFn, deepest: int = 5) -> Footprint:
    """Any cells anywhere, including whole belts and footprints across the antimeridian."""
    corner = draw(tiles(deepest))
    width = 2**corner.z
    rows = draw(st.integers(1, width - corner.y))
    columns = draw(st.integers(1, width) | st.just(width))
    return Footprint(corner.z, corner.x, corner.y, draw(arrays(np.bool_, (rows, columns))))


def cells_of(footprint: Footprint) -> set[Tile]:
    """The set tiles of the footprint's own zoom, one by one."""
    return {
        Tile(x=(footprint.x + int(column)) % 2**footprint.z, y=footprint.y + int(row), z=footprint.z)
        for row, column in np.argwhere(footprint.cells)
    }


def held(footprint: Footprint, z: int) -> set[Tile]:
    """The tiles of zoom `z` that overlap a set cell, one by one."""
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


def cogs() -> st.SearchStrategy[CogLayout]:
    """The COG of a layer of an earlier version, anywhere."""
    place = st.integers(0, 1 << 20)
    return st.builds(CogLayout, place, place, place, place, place, place, st.booleans())


def pyramids() -> st.SearchStrategy[Pyramid]:
    """Manifests of parts, without the parts."""
    shards = st.dictionaries(
        st.tuples(st.integers(0, 9), st.integers(0, 1 << 19), st.integers(0, 1 << 19)),
        st.text("0123456789abcdef", min_size=16, max_size=16),
        max_size=4,
    )
    dtypes = st.sampled_from(("uint8", "int16", "float32"))
    return st.builds(Pyramid, st.integers(0, 28), dtypes, st.booleans(), st.integers(0, 3), shards)


@st.composite
def layers(draw: st.DrawFn, deepest: int = 7) -> Layer:
    """Layers with independent bounds and footprints."""
    minzoom, maxzoom = sorted((draw(st.integers(0, deepest)), draw(st.integers(0, deepest))))
    style = draw(_styles())
    classes = None
    if style.palette:
        values = st.sets(st.integers(0, len(style.palette) - 1))
        classes = draw(
            st.none() | values.map(lambda found: tuple((value, f"class {value}") for value in sorted(found)))
        )
    return Layer(
        id=draw(layer_ids),
        revision=draw(st.text("0123456789abcdef", min_size=1, max_size=16)),
        source=draw(st.text(max_size=20)),
        bounds=draw(bounds()),
        minzoom=minzoom,
        maxzoom=maxzoom,
        format=draw(formats),
        style=style,
        footprint=draw(footprints()),
        bake=draw(st.none() | cogs() | pyramids()),
        bands=tuple(draw(st.lists(st.integers(1, 12), min_size=1, max_size=3))),
        resampling=draw(st.sampled_from(RESAMPLINGS)),
        nodata=draw(st.none() | st.floats(allow_nan=False)),
        attribution=draw(st.text(max_size=20)),
        asked=Options(title=draw(WORDS), description=draw(WORDS)),
        gdal=draw(st.sampled_from(("", "3.10.3", "3.12.2"))),
        classes=classes,
        unit=draw(st.sampled_from(("", "m", "°C"))),
    )
