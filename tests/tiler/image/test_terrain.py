"""Hillshade and slope equal gdaldem's, without seams; encoded heights can be decoded."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mercantile import Tile

from tests.support.gdaldem import gdaldem
from tests.support.layers import MakeLayer
from tests.support.oracle import alone, decoded, drawn, tiles_of
from tests.support.parts import pixels_at
from tests.support.rasters import MakeRaster
from tests.support.site import Site, memory
from tiler.choices import Terrain
from tiler.errors import BadOption
from tiler.grid import TILE, Block, Window
from tiler.image.encode import blank_tile, encode
from tiler.image.style import Style, Values
from tiler.image.terrain import derived, ground
from tiler.keys import Format, Scale, TileName, tile_key
from tiler.layers.catalog import Layer
from tiler.layers.fill import Request, fill
from tiler.layers.render import TileVariant, render
from tiler.layers.tilejson import tilejson
from tiler.storage.store import Stores

LEVEL = 1  # of 255 that shade may differ from gdaldem's, which rounds square roots coarsely
DEGREES = 0.05
ROUNDING = 0.02  # levels, for heights in single precision
BENT = 5.0  # levels, where GDAL's warp may misplace pixels by an eighth
KINDS: tuple[Terrain, ...] = ("hillshade", "slope")
CODES: tuple[Terrain, ...] = ("terrain-rgb", "terrarium")
STEPS = {"terrain-rgb": 0.1, "terrarium": 1 / 256}  # metres
HEIGHTS = {"terrain-rgb": (-10000.0, 1667721.5), "terrarium": (-32768.0, 32767.99609375)}  # the first and the last


def hills(height: int, width: int, *, rough: float = 20.0) -> Values:
    """Heights in metres, `(1, height, width)` float32, continuous from the last column to the first."""
    rows, columns = np.mgrid[0:height, 0:width] * (2 * np.pi)
    waves = 900 * np.sin(columns * 3 / width + 1) + 700 * np.cos(rows * 2 / height) * np.cos(columns * 5 / width)
    noise = np.random.default_rng(5).normal(0, rough, (height, width))
    return (waves + noise)[np.newaxis].astype(np.float32)


def check(found: Values, heights: Values, metres: Values, how: tuple[Terrain, float, float], folder: Path) -> int:
    """Hold some rows against gdaldem's of the same heights, which reach a pixel further on each side.

    `how` is the style, what gdaldem's numbers are multiplied by, and how far ours may be off.
    """
    kind, factor, tolerance = how
    compared = 0
    for row in np.linspace(0, len(found) - 1, 6).astype(int):
        three = heights[row : row + 3]
        options = ("-compute_edges",) if np.isnan(three).any() else ()
        theirs = gdaldem(kind, three, folder, *options, metres=metres[row])[0, 1, 1:-1] * factor
        shown = ~np.isnan(three[1, 1:-1])
        off = np.abs(found[row].astype(np.float64) - theirs)[shown]
        assert off.max(initial=0) <= tolerance, row
        compared += off.size
    return compared


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("z", "y"), [(2, 0), (3, 2), (7, 40), (12, 2048), (16, 40000)])
@pytest.mark.parametrize("holes", [False, True])
def test_shade_and_slope_are_gdaldems_at_every_zoom_and_latitude(
    kind: Terrain, z: int, y: int, holes: bool, tmp_path: Path
) -> None:
    window = Window(z, 0, y * TILE, 200, 170)
    steep = ground(window).mean() / 60  # so that there are slopes of all kinds
    heights = hills(172, 202) * np.float32(steep)
    mask = np.random.default_rng(z).choice([0, 90, 255], (172, 202), p=[0.1, 0.1, 0.8]).astype(np.uint8)
    (values,), cover = derived(kind, (heights, mask if holes else None), window)
    assert cover is None or np.array_equal(cover, mask[1:-1, 1:-1])
    seen = np.where(mask == 0, np.float32(np.nan), heights[0]) if holes else heights[0]
    tolerance = LEVEL if kind == "hillshade" else DEGREES
    assert check(values, seen, ground(window), (kind, 1, tolerance), tmp_path) > 1000
    assert values.std() > (20 if kind == "hillshade" else 5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float64"])
def test_heights_of_any_dtype_have_the_same_shade(kind: Terrain, dtype: str) -> None:
    heights = (hills(40, 50) / 20 + 120).clip(0, 250).astype("uint8")
    window = Window(12, 0, 1000, 48, 38)
    wanted = derived(kind, (heights.astype(np.float32), None), window)[0]
    assert np.array_equal(derived(kind, (heights.astype(dtype), None), window)[0], wanted)


def test_a_pixel_measures_on_the_ground_what_a_sphere_says() -> None:
    for z, row in ((0, 3), (5, 2000), (9, 65536), (14, 3_000_000)):
        window = Window(z, 0, row, 1, 1)
        latitude = math.atan(math.sinh(math.pi * (1 - 2 * (row + 0.5) / (TILE << z))))
        wanted = 2 * math.pi * 6378137 / (TILE << z) * math.cos(latitude)
        assert ground(window)[0] == pytest.approx(wanted, rel=1e-12)


def own(layer: Layer, stores: Stores, z: int) -> tuple[Values, int, int]:
    """The parts' heights of a zoom, NaN where missing, and their first column and row."""
    window, values, mask = pixels_at(layer, stores, z)
    return np.where(mask > 0, values[0], np.float32(np.nan)), window.x, window.y


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_layers_tiles_show_gdaldems_shade_and_slope_of_its_own_pixels(
    kind: Terrain, scale: Scale, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    layer = make_layer(make_raster(values=hills(300, 400) * 40, bounds=(-3.0, 40.0, 4.0, 45.0)), style=kind)
    z = layer.maxzoom - 1
    heights, left, top = own(layer, stores, z + scale - 1)
    padded = np.pad(heights, 600, constant_values=np.nan)
    size = TILE * scale
    factor = {"hillshade": 1.0, "slope": 255 / 90}[kind]  # slope is shown from 0 to 90 degrees
    compared = 0
    for tile in tiles_of(layer, z)[:3]:
        picture = drawn(layer, stores, tile, TileVariant(scale=scale))
        row, column = tile.y * size - top + 599, tile.x * size - left + 599
        seen = padded[row : row + size + 2, column : column + size + 2]
        assert np.array_equal(picture[..., 3] > 0, ~np.isnan(seen[1:-1, 1:-1]))
        metres = ground(Window(z + scale - 1, tile.x * size, tile.y * size, size, size))
        compared += check(picture[..., 0], seen, metres, (kind, factor, LEVEL), tmp_path)
    assert compared > 1000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bounds", [(-180.0, -85.0, 180.0, 85.0), (0.0, -85.0, 360.0, 85.0)])
def test_around_the_globe_the_neighbour_of_the_first_column_is_the_last(
    kind: Terrain,
    bounds: tuple[float, ...],
    make_raster: MakeRaster,
    make_layer: MakeLayer,
    stores: Stores,
    tmp_path: Path,
) -> None:
    layer = make_layer(make_raster(values=hills(380, 800) * 300, bounds=bounds), style=kind)
    z = layer.maxzoom
    heights, left, top = own(layer, stores, z)
    assert (left, top, heights.shape[1]) == (0, 0, TILE << z)
    block = Block(z, 0, 0)
    tiles = {tile: decoded(data) for tile, data in render(layer, stores.sources, block, block.full, TileVariant())}
    world = np.vstack([np.hstack([tiles[Tile(x=x, y=y, z=z)] for x in range(2**z)]) for y in range(2**z)])
    turned, half = np.roll(heights, TILE, axis=1), np.roll(world[..., 0], TILE, axis=1)  # the cut is inside now
    around = np.pad(np.pad(turned, ((0, 0), (1, 1)), "wrap"), ((1, 1), (0, 0)), constant_values=np.nan)
    how = (kind, {"hillshade": 1.0, "slope": 255 / 90}[kind], LEVEL)
    assert check(half, around, ground(Window(z, 0, 0, TILE << z, TILE << z)), how, tmp_path) > 4000


BORDERS = {  # degrees: around a corner of blocks, and across the antimeridian
    "blocks": (-2.5, -2.2, 3.1, 2.9),
    "antimeridian": (176.0, -2.2, 182.0, 2.9),
    "globe": (-180.0, -60.0, 180.0, 60.0),
    "globe from 0": (0.0, -60.0, 360.0, 60.0),
}


@pytest.mark.parametrize(
    ("kind", "where", "virtual"),
    [
        *((kind, where, False) for kind in KINDS for where in BORDERS),
        *(("hillshade", where, True) for where in BORDERS),
    ],
)
def test_an_even_slope_is_the_same_across_tiles_blocks_and_the_antimeridian(
    kind: Terrain, where: str, virtual: bool, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    rise = 0.7  # metres a metre, to the north
    _, south, _, north = BORDERS[where]
    metres = math.radians(north - south) * 6378137 / 200 * rise
    heights = np.repeat(np.arange(200)[::-1, np.newaxis] * metres, 250, axis=1)[np.newaxis].astype(np.float32)
    path = make_raster(values=heights, bounds=BORDERS[where])
    layer = make_layer(path, style=kind, virtual=virtual, resampling="bilinear")
    shade = 1 + 254 * (math.sqrt(0.5) - rise / 2) / math.hypot(1, rise)
    wanted = {"hillshade": shade, "slope": math.degrees(math.atan(rise)) / 90 * 255}[kind]
    for z in {layer.maxzoom, max(1, layer.maxzoom - 1)}:
        middle = 2 ** (z - 1)
        columns = (middle - 1, middle) if where == "blocks" else (2**z - 1, 0)
        for tile in (Tile(x=x, y=y, z=z) for x in columns for y in (middle - 1, middle)):
            rows = (tile.y + (np.arange(TILE) + 0.5) / TILE) / 2**z
            latitudes = np.degrees(np.arctan(np.sinh(math.pi * (1 - 2 * rows))))
            edge = (north - south) / 200 * 2 + 6 * 360 / TILE / 2**z  # where a kernel has too little to go by
            inside = (latitudes > south + edge) & (latitudes < north - edge)
            picture = drawn(layer, stores, tile)[inside]
            shown = picture[..., 3] > 0
            shown[:, 1:-1] &= shown[:, :-2] & shown[:, 2:]  # not along the sides of the data
            assert shown.sum() > 1000
            off = np.abs(picture[..., 0] - wanted)[shown].max()
            assert off <= (BENT if virtual else 0.5 + ROUNDING), tile


@pytest.mark.parametrize(
    "style", [{"style": "hillshade"}, {"style": "slope", "colormap": "magma"}, {"style": "terrarium"}]
)
def test_the_tiles_of_a_block_are_the_tiles_that_are_asked_for_alone(
    style: dict[str, str], make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    heights = hills(260, 300)
    heights[:, 40:60, 20:200] = -9999
    layer = make_layer(make_raster(values=heights, bounds=BORDERS["blocks"], nodata=-9999), **style)
    compared = 0
    for z in (layer.maxzoom - 1, layer.maxzoom):
        wanted = set(tiles_of(layer, z))
        for block in {Block.of(tile) for tile in wanted}:
            mask = sum(block.bit(tile) for tile in block.tiles() if tile in wanted)
            for tile, data in list(render(layer, stores.sources, block, mask, TileVariant()))[::3]:
                assert data == alone(layer, stores, tile), tile
                compared += data is not None
    assert compared > 3


def heights_of(picture: Values, kind: Terrain) -> Values:
    """Metres, by the published formula of the encoding."""
    red, green, blue = (picture[..., channel].astype(np.float64) for channel in range(3))
    if kind == "terrain-rgb":
        return -10000 + (red * 65536 + green * 256 + blue) * 0.1
    return (red * 256 + green + blue / 256) - 32768


def values_of(kind: Terrain) -> st.SearchStrategy[Values]:
    low, high = HEIGHTS[kind]
    dtypes = {
        "float32": st.floats(-500, 9000, width=32) | st.floats(low, high, width=32),
        "int16": st.integers(-9000, 9000),
    }
    return st.sampled_from(sorted(dtypes)).flatmap(lambda name: arrays(name, (1, 3, 5), elements=dtypes[name]))


@pytest.mark.parametrize("kind", CODES)
@given(data=st.data())
def test_heights_come_back_from_their_colours_within_half_a_step(kind: Terrain, data: st.DataObject) -> None:
    values = data.draw(values_of(kind))
    picture = decoded(encode(Style(terrain=kind).apply(values, None), "png"))
    assert (picture[..., 3] == 255).all()
    assert np.abs(heights_of(picture, kind) - values[0]).max() <= STEPS[kind] / 2 + 1e-6


@pytest.mark.parametrize("kind", CODES)
def test_heights_beyond_an_encoding_are_its_first_and_its_last(kind: Terrain) -> None:
    values = np.array([[[-1e9, 1e9, -np.inf, np.inf]]], np.float32)
    low, high = HEIGHTS[kind]
    found = heights_of(Style(terrain=kind).apply(values, None).pixels[0], kind)
    assert found == pytest.approx([low, high, low, high], abs=STEPS[kind] / 2)


@pytest.mark.parametrize("kind", CODES)
def test_what_is_no_data_is_opaque_at_height_0_beside_data_and_nothing_alone(kind: Terrain) -> None:
    values = np.full((1, 8, 16), 777, np.int16)
    mask = np.full((8, 16), 255, np.uint8)
    mask[:, 8:] = 0
    mask[3, 3:5] = (0, 128)
    whole = Style(terrain=kind).apply(values, mask)
    picture = decoded(encode(whole.cut(0, 0, 8), "png"))
    assert (picture[..., 3] == 255).all()
    found = heights_of(picture, kind)
    assert found[3, 3] == 0
    assert found[0, 0] == pytest.approx(777)
    assert found[3, 4] == pytest.approx(777)
    assert encode(whole.cut(0, 8, 8), "png") is None


@pytest.mark.parametrize("kind", CODES)
@pytest.mark.parametrize("virtual", [False, True])
def test_the_tiles_of_every_zoom_hold_the_heights_of_that_zoom(
    kind: Terrain, virtual: bool, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    path = make_raster(values=hills(200, 240), bounds=(5.0, 45.0, 6.0, 46.0))
    coded = make_layer(path, "coded", style=kind, virtual=virtual, max_zoom=10)
    plain = make_layer(path, "plain", rescale=((-2550.0, 2550.0),), virtual=virtual, max_zoom=10)
    for z in (8, 10):
        for scale in (1, 2):
            tile, variant = tiles_of(coded, z)[0], TileVariant(scale=scale)
            grey = drawn(plain, stores, tile, variant)
            picture = drawn(coded, stores, tile, variant)
            seen = grey[..., 3] > 0
            off = heights_of(picture, kind) - (grey[..., 0] * 20.0 - 2550)
            assert np.abs(off[seen]).max() <= 10 + STEPS[kind]  # half of a grey level
            assert (heights_of(picture, kind)[~seen] == 0).all()
            assert (picture[..., 3] == 255).all()


def with_a_hole(make_raster: MakeRaster, make_layer: MakeLayer, kind: Terrain) -> tuple[Layer, Tile]:
    """A layer of encoded heights, and an empty tile within its bounds."""
    heights = hills(600, 600) + 3000
    heights[:, 200:] = -1
    heights[:, -1] = 9
    layer = make_layer(make_raster(values=heights, bounds=(0.0, 40.0, 6.0, 46.0), nodata=-1), style=kind)
    tile = tiles_of(layer, layer.maxzoom)[len(tiles_of(layer, layer.maxzoom)) // 2]
    return layer, tile


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("kind", CODES)
def test_a_tile_that_is_stored_where_there_is_nothing_shows_height_0(
    kind: Terrain, scale: Scale, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    layer, tile = with_a_hole(make_raster, make_layer, kind)
    block, variant = Block.of(tile), TileVariant(scale=scale)
    key = tile_key(TileName(layer.id, tile, scale, "png"))
    assert alone(layer, stores, tile, variant) is None
    assert fill(layer, stores, Request(block, block.bit(tile), variant)).empty
    assert not stores.tiles.has(key)
    fill(layer, stores, Request(block, block.bit(tile), variant, blanks=True))
    void = blank_tile(variant.size, "png", layer.style.ground)
    assert stores.tiles.get(key) == void
    picture = decoded(void, variant.size)
    assert (heights_of(picture, kind) == 0).all()
    assert (picture[..., 3] == 255).all()
    stores.tiles.put(key, b"older", content_type="image/png")
    fill(layer, stores, Request(block, block.bit(tile), variant, force=True))
    assert stores.tiles.get(key) == void
    site = Site.on(memory(), stores.sources)
    assert site.ask(f"/{key}").status == 302
    assert site.stored() == {key: void}


@pytest.mark.parametrize("form", ["jpg", "webp"])
@pytest.mark.parametrize("kind", CODES)
def test_heights_are_not_had_in_a_lossy_format(
    kind: Terrain, form: Format, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    path = make_raster(values=hills(90, 90))
    with pytest.raises(BadOption, match=f"{form} would blur: use --format png"):
        make_layer(path, style=kind, format=form)
    layer = make_layer(path, style=kind)
    tile = tiles_of(layer, layer.maxzoom)[0]
    with pytest.raises(BadOption, match=f"{form} would blur: use png or webp-lossless"):
        alone(layer, stores, tile, TileVariant(format=form))
    site = Site.on(memory(), stores.sources)
    assert site.ask(f"/{tile_key(TileName(layer.id, tile, 1, form))}").status == 400
    assert site.stored() == {}


def test_the_tilejson_names_the_encoding_as_maplibre_does(make_raster: MakeRaster, make_layer: MakeLayer) -> None:
    path = make_raster(values=hills(40, 50))
    for kind, name in (("terrain-rgb", b'"encoding": "mapbox"'), ("terrarium", b'"encoding": "terrarium"')):
        assert name in tilejson(make_layer(path, style=kind), "", "1")
    assert b"encoding" not in tilejson(make_layer(path, style="slope"), "", "1")
