"""Colormaps: names as in matplotlib, files as in gdaldem."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rasterio.shutil import copy

from tests.support.gdaldem import gdaldem
from tests.support.layers import MakeLayer
from tests.support.oracle import alone, colours, drawn, landscape, tiles_of
from tests.support.pictures import visible
from tests.support.rasters import MakeRaster, scene
from tiler.errors import BadOption
from tiler.image.colormap import checked, colours_of, is_relative, stops_of
from tiler.image.style import CELLS, Stop, Style
from tiler.storage.store import Stores

DTYPES = ("uint8", "int8", "uint16", "int16", "int32", "uint32", "float32", "float64")
SPAN = (-40.0, 160.0)


def written(folder: Path, text: str) -> str:
    """A file with that text."""
    path = folder / "relief.txt"
    path.write_text(text)
    return str(path)


FILES = {
    "rgb": "0 10 20 30\n50 200 100 0\n120 0 0 255\n",
    "alpha": "0 10 20 30 0\n50 200 100 0 128\n120 0 0 255\n",
    "separators": "0,10,20,30\n50:200:100:0:255\n120\t0  ,\t0 255",
    "names": "0 Black\n30 AQUA 200\n60 brown\n90 gray\n120 indigo",
    "percentages": "0% 0 0 80\n12.5% 0 160 60\n50% yellow\n1e2% white",
    "both": "50% red\n-10 0 0 80\n100% white",
    "unordered": "120 white\n-20 0 0 80\n30 red",
    "comments": "# a map\n// of mine\n\n0 red\n100 blue\n",
    "no data": "nv 1 2 3 4\n0 red\n100 blue\n",
    "QGIS": "# QGIS Generated Color Map Export File\n0,215,25,28,255,0 to 25\n100,43,131,186,255,more than that\n",
    "fractions": "0 1.9 2.2 3.7\n1e2 200.9 250 9",
    "GMT": "# COLOR_MODEL = RGB\n0 255 0 0 50 0 255 0\n50 0 0 255 100 9 9 9\nB 0 0 0\nN 1 2 3\n",
    "steps": "0 red\n50 red\n50.001 green\n100 green\n",
    "jump": "0 red\n50 white\n50 black\n100 green\n",
    "flat": "0 9 8 7\n100 9 8 7\n",
}


@pytest.mark.parametrize("dtype", ["int16", "float32"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_gives_the_colours_that_gdaldem_gives(name: str, dtype: str, tmp_path: Path) -> None:
    file = written(tmp_path, FILES[name])
    values = np.linspace(*SPAN, 201 if dtype == "int16" else 999).astype(dtype).reshape(1, -1)
    theirs = gdaldem("color-relief", np.vstack([values] * 2), tmp_path, "-alpha", colours=Path(file))[:, :1]
    style = Style(stops=stops_of(checked(file), SPAN))
    ours = visible(style.apply(values[np.newaxis], None))
    sharp = np.abs(values[0] - 50) < 0.01 if name in ("jump", "steps", "GMT") else np.zeros(values.size, bool)
    off = np.abs(ours.astype(int) - np.moveaxis(theirs, 0, -1))[:, ~sharp]
    shown = ours[:, ~sharp, 3] > 0
    assert off[shown].max() <= 1
    assert off[..., 3].max() <= 1


@st.composite
def ramps(draw: st.DrawFn) -> tuple[Stop, ...]:
    values = draw(
        st.lists(st.integers(-300, 70_000) | st.floats(-1e4, 1e4).map(lambda x: round(x, 2)), min_size=2, max_size=7)
    )
    channel = st.integers(0, 255)
    colours = st.tuples(channel, channel, channel, channel | st.just(255))
    return tuple((float(value), *draw(colours)) for value in sorted(values))


@given(
    ramps(),
    st.sampled_from(DTYPES),
    st.lists(st.integers(-400, 70_000) | st.floats(-2e4, 2e4), min_size=1, max_size=30),
)
def test_between_two_stops_colours_are_linear_and_beyond_the_ends_they_stay(
    stops: tuple[Stop, ...], dtype: str, numbers: list[float]
) -> None:
    """The oracle is numpy's interpolation; where two stops are close, a value may lie on either side of them."""
    with np.errstate(invalid="ignore"):
        values = np.array([*numbers, *(stop[0] for stop in stops)]).astype(dtype).reshape(1, 1, -1)
    ours = visible(Style(stops=stops).apply(values, None))[0].astype(int)
    axis, table = np.array([stop[0] for stop in stops]), np.array([stop[1:] for stop in stops], float)
    for pixel, value in zip(ours, values[0, 0].astype(float), strict=True):
        near = np.abs(axis - value) <= 1e-6 * np.abs(axis).max()
        if near.sum() > 1 or (np.diff(axis) < 1e-3 * np.abs(axis).max()).any():
            continue
        wanted = [np.interp(value, axis, channel) for channel in table.T]
        if pixel[3] == 0:
            assert wanted[3] <= 0.5 + 1e-6
        else:
            assert np.abs(pixel - wanted).max() <= 0.5 + 0.1


@given(ramps(), st.integers(0, 1 << 30))
def test_a_ramp_finds_the_same_colours_however_its_values_are_looked_up(stops: tuple[Stop, ...], seed: int) -> None:
    """By a table for 16-bit integers, by cells for floats."""
    values = np.random.default_rng(seed).integers(-32768, 32767, (1, 3, 200)).astype(np.int16)
    style = Style(stops=stops)
    wanted = visible(style.apply(values, None))
    assert np.array_equal(visible(style.apply(values.astype(np.float64), None)), wanted)
    assert np.array_equal(visible(style.apply(values.astype(np.int32), None)), wanted)


def test_a_jump_of_colours_lies_at_its_value_however_far_the_ramp_reaches() -> None:
    far = 1e9 / CELLS
    stops = (
        (-1e9, 0, 0, 0, 255),
        (5.0, 0, 0, 0, 255),
        (5.0, 0, 255, 0, 255),
        (far, 0, 255, 0, 255),
        (1e9, 9, 9, 9, 255),
    )
    values = np.array([[[4.9999, 5.0, 5.0001, far]]])
    assert visible(Style(stops=stops).apply(values, None))[0, :, 1].tolist() == [0, 0, 255, 255]


def test_no_data_stays_transparent_and_half_transparent_colours_stay_half() -> None:
    stops = ((0.0, 10, 20, 30, 100), (100.0, 250, 0, 9, 100))
    values = np.arange(0, 100, 10).reshape(1, 2, 5)
    mask = np.full((2, 5), 255, np.uint8)
    mask[0, 1], mask[1, 1] = 0, 40
    for dtype in ("uint8", "int16", "float32"):
        alpha = visible(Style(stops=stops).apply(values.astype(dtype), mask))[..., 3]
        assert alpha.tolist() == [[100, 0, 100, 100, 100], [100, 40, 100, 100, 100]]


BAD = {
    "1 2 3\n0 red": ("line 1", "the colour is missing"),
    "0 red\n5": ("line 2", "the colour is missing"),
    "0;255;0;0": ("line 1", "is not a value"),
    "0 red\n\n# x\nabc 1 2 3": ("line 4", "'abc' is not a value"),
    "default 1 2 3": ("line 1", "write a number, a percentage or nv"),
    "nan red": ("line 1", "is not a value"),
    "0 red\n1 mauve": ("line 2", "unknown colour 'mauve'"),
    "0 0 0 256": ("line 1", "'256' is not a colour level: write 0 to 255"),
    "0 0 -1 2": ("line 1", "write 0 to 255"),
    "0 1 2 x": ("line 1", "write 0 to 255"),
    "0 1 2 3 1e999": ("line 1", "write 0 to 255"),
    "101% red": ("line 1", "write 0% to 100%"),
    "INTERPOLATION:DISCRETE\n0 red\n1 blue": ("line 1", "linear interpolation"),
    "# COLOR_MODEL = HSV\n0 1 2 3": ("line 1", "COLOR_MODEL = RGB"),
    "# COLOR_MODEL = RGB\n0 1 2 3": ("line 2", "as in GMT"),
    "": ("not 0: ", "needs 2 to"),
    "nv 0 0 0\n1 red": ("not 1: ", "needs 2 to"),
}


@pytest.mark.parametrize("text", BAD)
def test_a_file_that_cannot_be_read_is_told_by_line_and_cure(text: str, tmp_path: Path) -> None:
    file = written(tmp_path, text)
    with pytest.raises(BadOption) as caught:
        checked(file)
    message = str(caught.value)
    assert "\n" not in message
    assert file in message
    for part in BAD[text]:
        assert part in message


def test_what_is_no_file_of_colours_is_refused_before_much_of_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "raster.tif"
    path.write_bytes(b"\0" * (2 << 20))
    with pytest.raises(BadOption, match="too large"):
        checked(str(path))
    with pytest.raises(BadOption, match="line 1"):
        checked(written(tmp_path, "II*\0\1\2\3 \xff"))


def test_what_qgis_exports_is_read(tmp_path: Path) -> None:
    head = "# QGIS Generated Color Map Export File\nINTERPOLATION:INTERPOLATED\n"
    rest = "-10.5,215,25,28,255,below\n1.5e3,43,131,186,0,1500 and more\n"
    text = checked(written(tmp_path, head + rest))
    assert stops_of(text) == ((-10.5, 215, 25, 28, 255), (1500.0, 43, 131, 186, 0))


@pytest.mark.parametrize("name", FILES)
def test_what_is_kept_of_a_file_reads_as_the_file(name: str, tmp_path: Path) -> None:
    text = checked(written(tmp_path, FILES[name]))
    assert stops_of(checked(written(tmp_path, text)), SPAN) == stops_of(text, SPAN)
    assert is_relative(text) == ("%" in FILES[name])
    assert "nv" not in text
    assert "#" not in text


ENDS = {  # as matplotlib's own tables begin and end
    "viridis": ((68, 1, 84), (253, 231, 37)),
    "magma": ((0, 0, 4), (252, 253, 191)),
    "gray": ((0, 0, 0), (255, 255, 255)),
    "terrain": ((51, 51, 153), (255, 255, 255)),
    "RdYlGn": ((165, 0, 38), (0, 104, 55)),
    "tab10": ((31, 119, 180), (23, 190, 207)),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_named_map_and_its_reverse_begin_and_end_as_matplotlibs(name: str) -> None:
    colours = np.array(colours_of(name))
    assert colours.shape == (256, 4)
    assert (colours[:, 3] == 255).all()
    assert np.abs(colours[[0, -1], :3] - np.array(ENDS[name])).max() <= 1
    assert colours_of(f"{name}_r") == colours_of(name)[::-1]
    assert checked(name) == name


def test_a_named_map_of_few_colours_gives_each_an_equal_part() -> None:
    _, counts = np.unique(np.array(colours_of("tab10")), axis=0, return_counts=True)
    assert len(counts) == 10
    assert counts.min() >= 25


def test_a_name_that_is_unknown_is_told_with_those_that_are_near() -> None:
    with pytest.raises(BadOption, match=r"viridiss: not a matplotlib name \(did you mean .*viridis.*\), nor a file"):
        checked("viridiss")
    for name in ("", "#ff0000", "no/such/file.txt", "_r", "."):
        with pytest.raises(BadOption, match="nor a file"):
            checked(name)


def test_a_name_goes_before_a_file_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("viridis").write_text("0 red\n1 blue\n")
    Path("mine").write_text("0 red\n1 blue\n")
    assert checked("viridis") == "viridis"
    assert stops_of(checked("./viridis")) == stops_of(checked("mine")) == ((0, 255, 0, 0, 255), (1, 0, 0, 255, 255))


def test_a_named_map_spreads_over_the_range_and_the_tiles_are_palettes(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    path = make_raster(values=landscape(200, 240, bands=1).astype(np.int16) * 10)
    plain = make_layer(path, "plain", rescale=((300.0, 2200.0),))
    layer = make_layer(path, "coloured", rescale=((300.0, 2200.0),), colormap="magma")
    table = np.array(colours_of("magma"), np.uint8)
    for tile in tiles_of(layer, layer.maxzoom)[:2]:
        grey, seen = drawn(plain, stores, tile), drawn(layer, stores, tile)
        shown = grey[..., 3] > 0
        assert np.array_equal(seen[shown], table[grey[shown, 0]])
        assert np.array_equal(seen[..., 3], grey[..., 3])
        assert Image.open(io.BytesIO(alone(layer, stores, tile) or b"")).mode == "P"


def test_the_range_of_a_map_is_what_was_asked_or_all_of_a_byte_or_the_percentiles(
    make_raster: MakeRaster, make_layer: MakeLayer
) -> None:
    values = landscape(200, 240, bands=1)
    small, large = make_raster(values=values), make_raster(values=values.astype(np.float32), name="large.tif")
    assert make_layer(small, "a", colormap="viridis").style.rescale == ((0, 255),)
    assert make_layer(large, "b", colormap="viridis").style.rescale == make_layer(large, "c").style.rescale
    assert make_layer(small, "d", colormap="viridis", rescale=((3, 9),)).style.rescale == ((3, 9),)
    assert make_layer(large, "e", colormap="viridis", style="hillshade").style.rescale == ((0, 255),)
    assert make_layer(large, "f", colormap="viridis", style="slope").style.rescale == ((0, 90),)


@pytest.mark.parametrize("virtual", [False, True])
def test_percentages_are_of_the_rasters_valid_values_or_of_the_range_asked_for(
    virtual: bool, make_raster: MakeRaster, make_layer: MakeLayer, tmp_path: Path
) -> None:
    values = landscape(300, 400, bands=1).astype(np.float32)  # of four blocks
    values[0, 7, 9], values[0, 150, 390], values[0, 50:60] = -812.5, 4810.0, -9999
    path = make_raster(values=values, nodata=-9999)
    text = checked(written(tmp_path, "0% red\n25% white\n100% blue\n"))
    quarter = -812.5 + (4810 + 812.5) / 4
    asked = {"colormap": text, "virtual": virtual}
    assert [stop[0] for stop in make_layer(path, **asked).style.stops] == [-812.5, quarter, 4810]
    assert [stop[0] for stop in make_layer(path, **asked, rescale=((0, 100),)).style.stops] == [0, 25, 100]
    assert [stop[0] for stop in make_layer(path, **asked, style="slope").style.stops] == [0, 22.5, 90]


def test_what_a_layer_keeps_are_the_colours_and_not_the_file(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    path = make_raster(values=scene(90, 120, 1))
    file = written(tmp_path, "0 red\n128 yellow\n255 blue\n")
    layer = make_layer(path, colormap=checked(file))
    tile = tiles_of(layer, layer.maxzoom)[0]
    before = drawn(layer, stores, tile)
    again = checked(file)
    Path(file).unlink()
    assert np.array_equal(drawn(layer, stores, tile), before)
    assert make_layer(path, colormap=again).revision == layer.revision
    assert make_layer(path, colormap=again.replace("128.0", "129.0")).revision != layer.revision


def test_a_range_is_refused_where_a_file_names_the_values(
    make_raster: MakeRaster, make_layer: MakeLayer, tmp_path: Path
) -> None:
    text = checked(written(tmp_path, FILES["rgb"]))
    with pytest.raises(BadOption, match="drop --rescale"):
        make_layer(make_raster(values=scene(50, 60, 1)), colormap=text, rescale=((0, 9),))


def test_a_file_recolours_the_classes_of_a_palette_that_it_names(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    values = np.repeat(np.repeat(np.arange(4, dtype=np.uint8).reshape(1, 2, 2), 128, axis=1), 128, axis=2)
    own = {0: (9, 9, 9, 255), 1: (10, 20, 30, 255), 2: (40, 50, 60, 255), 3: (70, 80, 90, 255)}
    path = make_raster(values=values, palette=own, crs="EPSG:3857", bounds=(0.0, 0.0, 1e6, 1e6))
    file = tmp_path / "classes.txt"
    file.write_text("1 200 0 0\n3 0 0 200 128\n")
    layer = make_layer(path, colormap=checked(str(file)))
    expected = (own[0], (200, 0, 0, 255), own[2], (0, 0, 200, 128))
    assert layer.style.palette[:4] == expected
    seen = set()
    for tile in tiles_of(layer, layer.maxzoom):
        if data := alone(layer, stores, tile):
            pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
            seen |= colours(pixels)
    assert {colour for colour in seen if colour[3]} == set(expected)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1.5 0 0 0\n2 0 0 0\n", "1.5 is not a class"),
        ("0% 0 0 0\n100% 1 1 1\n", "a file with the colours of its classes"),
    ],
)
def test_what_names_no_class_of_a_palette_is_refused(
    text: str, why: str, make_raster: MakeRaster, make_layer: MakeLayer, tmp_path: Path
) -> None:
    path = make_raster(values=np.ones((1, 20, 20), np.uint8), palette={1: (1, 2, 3, 255)})
    file = tmp_path / "classes.txt"
    file.write_text(text)
    with pytest.raises(BadOption, match=why):
        make_layer(path, colormap=checked(str(file)))


def test_a_palette_without_colours_is_grey(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    source = tmp_path / "grey.vrt"
    copy(make_raster(values=scene(60, 80)[:1]), source, driver="VRT")
    grey = make_layer(source, name="grey")
    said = source.read_text()
    assert "<ColorInterp>Gray<" in said
    source.write_text(said.replace("<ColorInterp>Gray<", "<ColorInterp>Palette<"))
    layer = make_layer(source)
    assert layer.style == grey.style
    assert layer.resampling == "cubic"
    tile = tiles_of(layer, layer.maxzoom)[0]
    assert (drawn(layer, stores, tile) == drawn(grey, stores, tile)).all()
