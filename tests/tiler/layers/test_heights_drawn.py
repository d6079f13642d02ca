"""Layers with relief, contours or a light of their own: the same tiles on every path, told of in their metadata."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeder.cli.ingested import contour_line
from tests.support.layers import MakeLayer, layer_of, local_stores
from tests.support.oracle import alone, decoded, drawn, tiles_of
from tests.support.parts import pixels_at
from tests.support.rasters import MakeRaster, Recipe, write_raster
from tests.support.site import Site, memory
from tiler.errors import BadOption, CatalogError
from tiler.grid import TILE, Block, Window, resolution
from tiler.image.colormap import colours_of
from tiler.image.contours import MARGIN, contours
from tiler.image.light import Light
from tiler.image.style import Style, Values
from tiler.ingest.survey import survey
from tiler.keys import Scale, TileName, tile_key
from tiler.layers.catalog import Layer, dump, parse, version_of
from tiler.layers.fill import Request, fill
from tiler.layers.raster_pixels import RasterPixels
from tiler.layers.render import TileVariant, render
from tiler.layers.version import METADATA, check_readers
from tiler.raster.legend import Ramp
from tiler.raster.options import Options
from tiler.raster.ruggedness import APART, LINES, NICE, Ruggedness, intervals
from tiler.storage.store import Stores

STYLES: list[dict[str, Any]] = [
    {"style": "relief"},
    {"style": "contours", "interval": (150.0,)},
    {"style": "hillshade", "combined": True, "azimuth": 20.0},
]
DRAWN = [
    Style(((-1500.0, 1500.0),), colours=tuple((step, 255 - step, 90, 255) for step in range(256)), terrain="relief"),
    Style(terrain="contours", intervals=(150.0,)),
    Style(((0.0, 255.0),), terrain="hillshade", light=Light(20, 45, 1, "combined")),
]
PLACES = {  # degrees
    "blocks": (-2.5, -2.2, 3.1, 2.9),
    "antimeridian": (176.0, -2.2, 182.0, 2.9),
    "globe": (-180.0, -60.0, 180.0, 60.0),
}


def hills(height: int, width: int) -> Values:
    """Heights in metres, `(1, height, width)` float32, continuous from the last column to the first."""
    rows, columns = np.mgrid[0:height, 0:width] * (2 * np.pi)
    waves = 900 * np.sin(columns * 3 / width + 1) + 700 * np.cos(rows * 2 / height) * np.cos(columns * 5 / width)
    return waves[np.newaxis].astype(np.float32)


def heights_with_a_hole() -> Values:
    """Such hills with missing pixels, -9999."""
    heights = hills(260, 300)
    heights[:, 40:60, 20:200] = -9999
    return heights


@pytest.fixture(scope="module", params=PLACES)
def placed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Layer, Stores]:
    """A layer at one of the places, and its stores; tests only read it."""
    folder = tmp_path_factory.mktemp(request.param)
    recipe = Recipe(heights_with_a_hole(), PLACES[request.param], nodata=-9999)
    stores = local_stores(folder / "data")
    layer = layer_of(write_raster(folder / "source.tif", recipe), "hills", stores, style="hillshade")
    return request.param, layer, stores


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("style", DRAWN, ids=lambda style: style.terrain)
def test_the_tiles_of_a_block_are_the_tiles_that_are_asked_for_alone(
    style: Style, scale: Scale, placed: tuple[str, Layer, Stores]
) -> None:
    _, layer, stores = placed
    layer = replace(layer, style=style)
    variant, compared, z = TileVariant(scale=scale), 0, layer.maxzoom
    wanted = set(tiles_of(layer, z))
    for block in {Block.of(tile) for tile in wanted}:
        mask = sum(block.bit(tile) for tile in block.tiles() if tile in wanted)
        for tile, data in list(render(layer, stores.sources, block, mask, variant))[::4]:
            assert data == alone(layer, stores, tile, variant), tile
            compared += data is not None
    assert compared


@pytest.mark.parametrize("scale", [1, 2])
def test_contours_are_those_of_the_whole_map_across_tiles_blocks_and_the_antimeridian(
    scale: Scale, placed: tuple[str, Layer, Stores]
) -> None:
    place, layer, stores = placed
    layer = replace(layer, style=DRAWN[1])
    z, variant = layer.maxzoom - scale + 1, TileVariant(scale=scale)
    zoom, size = z + scale - 1, TILE * scale
    window, values, mask = pixels_at(layer, stores, zoom)
    around = MARGIN if place == "globe" else MARGIN + size
    turned, rows = (around, around), (MARGIN + size, MARGIN + size)
    kind = "wrap" if place == "globe" else "constant"
    heights, seen = (np.pad(np.pad(each, ((0, 0), turned), kind), (rows, (0, 0))) for each in (values[0], mask))  # type: ignore[call-overload]
    whole = contours(heights, seen, layer.style.interval(z), scale).mask
    assert whole is not None
    lines = 0
    for tile in tiles_of(layer, z):
        left = (tile.x * size - window.x) % (TILE << zoom)
        left += around - MARGIN - (TILE << zoom if left > window.width else 0)
        top = tile.y * size - window.y + size
        data = alone(layer, stores, tile, variant)
        found = decoded(data, size)[..., 3] if data else np.zeros((size, size), np.uint8)
        assert np.array_equal(found, whole[top : top + size, left : left + size]), tile
        lines += int((found > 0).any())
    assert lines


@pytest.mark.parametrize("place", PLACES)
def test_the_border_of_a_virtual_layers_tile_is_what_its_neighbour_shows(
    place: str, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    path = make_raster(values=heights_with_a_hole(), bounds=PLACES[place], nodata=-9999)
    layer = make_layer(path, style="contours", virtual=True, resampling="bilinear")
    z, compared = layer.maxzoom, 0
    pixels = RasterPixels(layer, None, stores.sources, z)
    tiles = set(tiles_of(layer, z))
    for tile in sorted(tiles)[::5]:
        beside = tile._replace(x=(tile.x + 1) % 2**z)
        if beside not in tiles:
            continue
        one, other = (Window(z, pixels.column(each.x, z) * TILE, each.y * TILE, TILE, TILE) for each in (tile, beside))
        values, mask = pixels.read(one, MARGIN)
        there, seen = pixels.read(other)
        border = values[0, MARGIN:-MARGIN, -MARGIN:]
        shown = np.ones(border.shape, bool)
        if mask is not None:
            shown &= mask[MARGIN:-MARGIN, -MARGIN:] == 255
        if seen is not None:
            shown &= seen[:, :MARGIN] == 255
        if shown.any():
            assert np.abs(border - there[0, :, :MARGIN])[shown].max() < 15, tile  # metres; GDAL's warp is not exact
            compared += int(shown.sum())
    assert compared > 200


@pytest.mark.parametrize("style", STYLES, ids=lambda style: str(style["style"]))
def test_seeded_and_requested_tiles_are_the_same(
    style: dict[str, Any], make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    layer = make_layer(make_raster(values=hills(200, 240)), **style)
    tile = tiles_of(layer, layer.maxzoom)[0]
    key, block = tile_key(TileName(layer.id, tile, 1, "png")), Block.of(tile)
    assert fill(layer, stores, Request(block, block.bit(tile), TileVariant())).written
    site = Site.on(memory(), stores.sources)
    assert site.ask(f"/{key}").status == 302
    assert site.stored() == {key: stores.tiles.get(key)}


def test_relief_has_the_ramp_of_its_colormap_over_most_heights(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    level = np.repeat(np.linspace(100, 1100, 300, dtype=np.float32)[np.newaxis], 200, axis=0)[np.newaxis]
    path = make_raster(values=level, bounds=(5.0, 45.0, 9.0, 47.0))  # so large that its slopes are none
    layer = make_layer(path, style="relief", colormap="viridis")
    ((low, high),) = layer.style.rescale
    assert (low, high) == pytest.approx((120, 1080), abs=5)
    assert layer.style.colours == colours_of("viridis")
    fixed = make_layer(path, "fixed", style="relief", rescale=((0.0, 2000.0),), colormap="viridis")
    plain = make_layer(path, "plain", rescale=((0.0, 2000.0),), colormap="viridis")
    compared = 0
    for tile in tiles_of(fixed, fixed.maxzoom):
        one, other = (drawn(each, stores, tile).astype(int) for each in (fixed, plain))
        shown = (one[..., 3] > 0) & (other[..., 3] > 0)
        assert np.abs(one - other)[shown].max(initial=0) <= 2  # level ground has the legend's colours
        compared += int(shown.sum())
    assert compared > 10_000


def test_the_kind_and_the_legend_follow_the_style(make_raster: MakeRaster, make_layer: MakeLayer) -> None:
    path = make_raster(values=hills(60, 60))
    relief, contoured, lit = (make_layer(path, str(style["style"]), **style) for style in STYLES)
    assert [each.kind for each in (relief, contoured, lit)] == ["ramp", "contours", "shade"]
    assert (contoured.legend, lit.legend) == (None, None)
    assert isinstance(relief.legend, Ramp)
    assert relief.legend.unit == "m"
    ((low, high),) = relief.style.rescale
    assert (relief.legend.stops[0].value, relief.legend.stops[-1].value) == (low, high)


@pytest.mark.parametrize("style", STYLES, ids=lambda style: str(style["style"]))
def test_metadata_tell_of_the_style_and_older_programs_refuse_them(
    style: dict[str, Any], make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    path = make_raster(values=hills(60, 60))
    layer = make_layer(path, **style)
    assert parse(dump(layer), "index.json") == layer
    assert json.loads(dump(layer))["version"] == version_of(layer) == METADATA == 5
    with pytest.raises(BadOption, match="read layer metadata of version 4"):
        check_readers(replace(stores, readers=4), version_of(layer))
    plain = make_layer(path, "plain", style="hillshade")
    fields = json.loads(dump(plain))
    assert fields["version"] == 4
    assert not {"light", "intervals"} & fields["style"].keys()
    assert not {"azimuth", "altitude", "z_factor", "multidirectional", "combined", "interval"} & fields["asked"].keys()


def test_contours_without_intervals_are_damaged(make_raster: MakeRaster, make_layer: MakeLayer) -> None:
    fields = json.loads(dump(make_layer(make_raster(values=hills(60, 60)), style="contours")))
    del fields["style"]["intervals"]
    with pytest.raises(CatalogError, match="without intervals"):
        parse(json.dumps(fields).encode(), "index.json")


def test_options_at_their_defaults_are_the_options_of_earlier_versions() -> None:
    written = Options(azimuth=315.0, altitude=45.0, z_factor=1.0, multidirectional=False, combined=False, interval=())
    assert written.changed() == {}
    assert written.to_json() == Options().to_json()
    asked = Options(style="contours", interval=(20.0, 10.0))
    assert Options.from_json(json.loads(json.dumps(asked.to_json()))) == asked


# The metres between contours

grounds = st.builds(
    lambda rise, low, extent: Ruggedness(rise, low, low + extent),
    st.floats(0, 3) | st.just(0.0),
    st.floats(-500, 5000),
    st.floats(0.01, 9000),
)


@given(grounds, st.none() | st.floats(0.05, 500), st.integers(0, 24))
def test_intervals_grow_towards_low_zooms_until_lines_are_apart(
    ground: Ruggedness, asked: float | None, zoom: int
) -> None:
    found = intervals(ground, () if asked is None else (asked,), zoom)
    assert len(found) == zoom + 1
    assert list(found) == sorted(found, reverse=True)
    if asked is not None:
        assert found[-1] == asked
    elif ground.rise:
        assert f"{found[-1]:.6e}".rstrip("0123456789+-").rstrip("e").rstrip("0").rstrip(".") in "125"
        assert found[-1] >= APART * ground.rise * resolution(zoom)
    most = max(found[-1], (ground.high - ground.low) / LINES)
    for z, metres in enumerate(found[:-1]):
        assert any(metres == pytest.approx(found[-1] * factor) for factor in NICE)
        assert metres <= most * (1 + 1e-9)
        enough = metres >= APART * ground.rise * resolution(z) * (1 - 1e-9)
        assert enough or metres * 2.6 > most  # else the range of heights has room for no more


def test_the_default_interval_follows_the_steepness_of_the_ground(
    make_raster: MakeRaster, make_layer: MakeLayer
) -> None:
    found = []
    for factor in (0.05, 1.0, 10.0):
        layer = make_layer(
            make_raster(values=hills(300, 300) * np.float32(factor), name=f"{factor}.tif"), style="contours"
        )
        found.append(layer.style.intervals)
        own = layer.style.interval(layer.maxzoom)
        assert layer.style.interval(layer.maxzoom + 3) == own
        heights = hills(300, 300)[0] * factor
        steps = np.hypot(*np.gradient(heights))
        steep = np.percentile(steps, 90)  # of a pixel of the raster, which is at most one of the zom above
        assert steep * APART * 0.3 <= own <= steep * APART * 5
    assert found[0][-1] < found[1][-1] < found[2][-1]


def test_an_ingest_prints_the_intervals_of_the_zooms(make_raster: MakeRaster, make_layer: MakeLayer) -> None:
    layer = make_layer(make_raster(values=hills(60, 60)), style="contours")
    layer = replace(
        layer,
        minzoom=2,
        maxzoom=6,
        style=replace(layer.style, intervals=(900.0, 900.0, 500.0, 100.0, 100.0, 50.0, 20.0)),
    )
    assert contour_line(layer) == (
        "contours every 20 m, every fifth thicker, 50 m up to zoom 5, 100 m up to zoom 4, 500 m up to zoom 2 "
        "(--interval METRES overrides)"
    )


ERRORS: list[tuple[dict[str, Any], str]] = [
    ({"azimuth": 200.0}, "--azimuth is of shaded relief: add --style hillshade or relief, or --azimuth 315"),
    ({"style": "slope", "z_factor": 2.0}, "--z-factor is of shaded relief"),
    ({"style": "contours", "combined": True}, "--combined is of shaded relief: .* or --no-combined, the default"),
    ({"style": "hillshade", "interval": (20.0,)}, "--interval 20 is the distance of contours: add --style contours"),
    ({"style": "hillshade", "combined": True, "multidirectional": True}, "exclude each other: drop one"),
    ({"style": "hillshade", "multidirectional": True, "azimuth": 20.0}, "four sides: drop --azimuth"),
    ({"style": "relief", "altitude": 91.0}, "--altitude 91: write degrees above the horizon, 0 to 90"),
    ({"style": "contours", "interval": (0.0,)}, "--interval 0: write metres above 0"),
    ({"style": "contours", "interval": (1e-9,)}, "--interval 1e-09: write metres above 0, such as 20, from 0.01"),
    ({"style": "contours", "interval": (20.0, 1e300)}, r"--interval 1e.300: .* to 100,000"),
    ({"style": "contours", "interval": (float("nan"),)}, "--interval nan: write metres"),
    ({"style": "contours", "colormap": "viridis"}, "draws lines of one colour: drop --colormap"),
    ({"style": "contours", "rescale": ((0.0, 9.0),)}, "draws lines of one colour: drop --rescale"),
    ({"style": "contours", "format": "jpg"}, "transparent ground, which jpg lacks: use --format png"),
]


@pytest.mark.parametrize(("options", "why"), ERRORS, ids=[why[:30] for _, why in ERRORS])
def test_an_option_that_does_not_fit_is_refused_in_one_line(
    options: dict[str, Any], why: str, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    with pytest.raises(BadOption, match=why) as error:
        make_layer(make_raster(values=hills(40, 40)), **options)
    assert "\n" not in str(error.value)
    assert not list(stores.sources.list(""))


def test_contours_and_relief_of_a_palette_are_refused(make_raster: MakeRaster, make_layer: MakeLayer) -> None:
    path = make_raster(values=np.ones((1, 40, 40), np.uint8), palette={1: (9, 9, 9, 255)})
    for style in ("contours", "relief"):
        with pytest.raises(BadOption, match="a palette has its own colours"):
            make_layer(path, style=style)


@pytest.mark.parametrize(
    ("crs", "datum"),
    [
        ("EPSG:4326+5773", "EGM96 height"),
        ("EPSG:4979", "ellipsoidal heights of WGS 84"),
        ("EPSG:4326", ""),
    ],
)
def test_a_vertical_crs_is_named_and_heights_are_not_converted(
    crs: str, datum: str, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    path = make_raster(values=hills(60, 60), crs=crs)
    notes = survey(str(path), Options(style="terrarium")).notes
    wanted = [f"heights are {datum}: they are not converted to another vertical datum"] if datum else []
    assert [note for note in notes if "datum" in note] == wanted
    plain = make_raster(values=hills(60, 60), name="plain.tif")
    layers: list[Layer] = [make_layer(each, name, style="terrarium") for name, each in (("a", path), ("b", plain))]
    tile = tiles_of(layers[0], layers[0].maxzoom)[0]
    assert alone(layers[0], stores, tile) == alone(layers[1], stores, tile)
