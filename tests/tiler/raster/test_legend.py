"""Legends: their colours are those of the picture; their names those of the raster or the colormap."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mercantile import Tile
from PIL import Image

from seeder.operations.report import Report
from seeder.operations.scenes import Sources, read_to_ingest
from tests.support.layers import layer_of, local_stores, silent
from tests.support.oracle import tiles_of
from tests.support.rasters import MakeRaster, Recipe, write_raster
from tiler.image.colormap import checked, unlabelled
from tiler.image.style import Rgba, Style
from tiler.ingest.ingest import ingest
from tiler.layers.catalog import Layer
from tiler.layers.render import TileVariant, render_tile
from tiler.raster.legend import FEW, FILLER, MOST, Classes, Legend, Ramp, color, kind_of, legend_of, listed
from tiler.raster.options import NONE_ASKED, Options
from tiler.storage.store import Stores

LEVELS = st.integers(0, 255)
COLOURS = st.tuples(LEVELS, LEVELS, LEVELS, LEVELS)
CLASSES: dict[int, Rgba] = {1: (10, 20, 30, 255), 2: (200, 0, 0, 255), 5: (0, 200, 0, 255), 7: (0, 0, 250, 255)}
NAMES = {1: "Water", 2: 'Built <up> & "paved"', 5: "Forêt", 7: "Ice"}


def shown(style: Style, values: Iterable[float], dtype: str) -> list[str]:
    """The colours that a style gives to some values."""
    picture = style.apply(np.array([[list(values)]], dtype), None)
    pixels, palette = picture.pixels[0], picture.palette
    if palette is not None:
        found = palette[pixels[:, 0]]
    else:
        rgb = pixels if pixels.shape[1] == 3 else np.repeat(pixels, 3, axis=1)
        alpha = np.full((len(rgb), 1), 255) if picture.mask is None else picture.mask[0][:, np.newaxis]
        found = np.hstack([rgb, alpha])
    return [color(tuple(map(int, colour))) for colour in found]  # type: ignore[arg-type]


def pixels_of(layer: Layer, stores: Stores, tile: Tile) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The visible pixels of a tile, `(pixels, 4)`."""
    data = render_tile(layer, stores.sources, tile, TileVariant())
    if data is None:
        return np.zeros((0, 4), np.uint8)
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA")).reshape(-1, 4)
    return pixels[pixels[:, 3] > 0]


def written_aux(path: Path, inner: str) -> None:
    path.with_name(f"{path.name}.aux.xml").write_text(
        f'<PAMDataset><PAMRasterBand band="1">{inner}</PAMRasterBand></PAMDataset>'
    )


def table(names: dict[int, str], column: str = "Class_Name", usage: int = 2, extra: str = "") -> str:
    """An attribute table of GDAL with names of values."""
    rows = "".join(
        f'<Row index="{at}"><F>{value}</F><F>{escape(name)}</F></Row>' for at, (value, name) in enumerate(names.items())
    )
    return (
        '<GDALRasterAttributeTable tableType="thematic">'
        '<FieldDefn index="0"><Name>VALUE</Name><Type>0</Type><Usage>5</Usage></FieldDefn>'
        f'<FieldDefn index="1"><Name>{column}</Name><Type>2</Type><Usage>{usage}</Usage></FieldDefn>'
        f"{extra}{rows}</GDALRasterAttributeTable>"
    )


def categories(names: dict[int, str]) -> str:
    """GDAL's list of names of the values 0, 1, 2, ..."""
    texts = (escape(names.get(value, "")) for value in range(max(names) + 1))
    return f"<CategoryNames>{''.join(f'<Category>{text}</Category>' for text in texts)}</CategoryNames>"


def classes_in(legend: Legend | None) -> dict[int, str]:
    assert isinstance(legend, Classes)
    return {each.value: each.name for each in legend.classes}


@pytest.fixture
def land(make_raster: MakeRaster) -> Path:
    """A raster of four classes, whose nodata value is 0."""
    values = np.random.default_rng(1).choice([0, *CLASSES], (1, 40, 50)).astype(np.uint8).repeat(8, 1).repeat(8, 2)
    return make_raster(values=values, palette=CLASSES | {0: (9, 9, 9, 255)}, nodata=0)


# Colours


@given(st.lists(COLOURS, min_size=1, max_size=300), st.sampled_from(["uint8", "int16", "uint16", "int32"]))
def test_a_class_has_the_colour_of_its_pixels(palette: list[Rgba], dtype: str) -> None:
    style = Style(palette=tuple(palette[:256] if dtype == "uint8" else palette))
    legend = legend_of(style, NONE_ASKED, tuple((value, "") for value in range(len(style.palette))), "")
    assert isinstance(legend, Classes)
    assert [each.color for each in legend.classes] == shown(style, [each.value for each in legend.classes], dtype)


STOPS = st.lists(st.tuples(st.integers(-500, 500), COLOURS), min_size=2, max_size=6, unique_by=lambda stop: stop[0])


@given(STOPS)
def test_a_stop_has_the_colour_of_its_value(stops: list[tuple[float, Rgba]]) -> None:
    style = Style(stops=tuple((value, *colour) for value, colour in sorted(stops)))
    legend = legend_of(style, NONE_ASKED, None, "m")
    assert isinstance(legend, Ramp)
    for dtype in ("int16", "float32", "float64"):
        assert [each.color for each in legend.stops] == shown(style, [each.value for each in legend.stops], dtype)


@given(st.floats(-1e6, 1e6), st.floats(0.01, 1e6), st.lists(COLOURS, min_size=256, max_size=256) | st.just([]))
def test_a_stop_of_a_range_has_the_colour_of_its_value(low: float, width: float, colours: list[Rgba]) -> None:
    style = Style(rescale=((low, low + width),), colours=tuple(colours))
    legend = legend_of(style, NONE_ASKED, None, "")
    assert isinstance(legend, Ramp)
    assert [legend.stops[0].value, legend.stops[-1].value] == pytest.approx([low, low + width])
    assert [each.color for each in legend.stops] == shown(style, [each.value for each in legend.stops], "float64")


@pytest.mark.parametrize("zoom", [5, 7, 9])
def test_each_pixel_of_a_tile_has_the_colour_of_a_class_of_the_legend(land: Path, tmp_path: Path, zoom: int) -> None:
    stores = local_stores(tmp_path / "data")
    layer = layer_of(land, "land", stores, max_zoom=9)
    legend = layer.legend
    assert isinstance(legend, Classes)
    assert classes_in(legend) == dict.fromkeys(CLASSES, "")
    known, found = {each.color for each in legend.classes}, set[str]()
    for tile in tiles_of(layer, zoom)[:4]:
        found |= {color(tuple(map(int, each))) for each in np.unique(pixels_of(layer, stores, tile), axis=0)}  # type: ignore[arg-type]
    assert found
    assert found <= known
    assert zoom < 9 or found == known


@pytest.mark.parametrize(
    "options",
    [
        {"colormap": "viridis", "rescale": ((0.0, 3000.0),)},
        {"rescale": ((-100.0, 900.0),)},
        {"colormap": "0 10 20 30 255\n500.0 200 100 0 255\n2000.0 0 0 255 255\n"},
    ],
)
def test_a_raster_of_a_stop_s_value_is_drawn_in_its_colour(options: dict[str, object], tmp_path: Path) -> None:
    stores = local_stores(tmp_path / "data")
    probe = tmp_path / "probe.tif"
    write_raster(probe, Recipe(values=np.full((1, 64, 64), 1, np.float32)))
    first = layer_of(probe, "probe", stores, max_zoom=4, **options).legend
    assert isinstance(first, Ramp)
    for stop in first.stops[:: max(1, len(first.stops) // 4)]:
        write_raster(probe, Recipe(values=np.full((1, 64, 64), stop.value, np.float32), bounds=(5.0, 45.0, 25.0, 60.0)))
        layer = layer_of(probe, "probe", stores, max_zoom=4, **options)
        (tile, *_) = tiles_of(layer, 4)
        colours = {color(tuple(map(int, each))) for each in np.unique(pixels_of(layer, stores, tile), axis=0)}  # type: ignore[arg-type]
        assert colours == {stop.color}


# Classes and names


@pytest.mark.parametrize("inner", [table(NAMES), table(NAMES, "Land cover class", usage=0), categories(NAMES)])
def test_classes_are_named_by_the_attribute_table_or_the_categories(inner: str, land: Path, tmp_path: Path) -> None:
    written_aux(land, inner)
    layer = layer_of(land, "land", local_stores(tmp_path / "data"))
    assert classes_in(layer.legend) == NAMES
    assert layer.kind == "classes"


def test_a_table_s_names_come_before_categories_and_only_class_s_names_are_read(land: Path, tmp_path: Path) -> None:
    other = '<FieldDefn index="2"><Name>Comment</Name><Type>2</Type><Usage>0</Usage></FieldDefn>'
    written_aux(land, categories({1: "no"}) + table(NAMES, usage=0, extra=other))
    layer = layer_of(land, "land", local_stores(tmp_path / "data"))
    assert classes_in(layer.legend) == NAMES


def test_scenes_have_the_names_of_the_lowest_and_others_fill_its_gaps(tmp_path: Path) -> None:
    named = ({1: "Water", 5: "Wood"}, {1: "Sea", 2: "Town"}, {2: "City", 7: "Ice"})
    scenes = []
    for number, names in enumerate(named):
        values = np.tile(np.array([*CLASSES], np.uint8), (1, 32, 8))
        path = write_raster(
            tmp_path / f"{number}.tif", Recipe(values, bounds=(5.0 + number, 45.0, 6.0 + number, 46.0), palette=CLASSES)
        )
        written_aux(path, categories(names))
        scenes.append(str(path))
    report, stores = Report(), local_stores(tmp_path / "data")
    listed_scenes, _ = read_to_ingest(Sources(tuple(scenes)), "land", Options(), stores.sources, report, jobs=1)
    layer = ingest(listed_scenes, "land", Options(), stores, jobs=1, progress=silent).layer
    assert layer.scenes == 3
    assert classes_in(layer.legend) == {1: "Water", 2: "Town", 5: "Wood", 7: "Ice"}
    first = read_to_ingest(Sources(tuple(scenes), "first"), "up", Options(), stores.sources, report, jobs=1)[0]
    assert classes_in(ingest(first, "up", Options(), stores, jobs=1, progress=silent).layer.legend) == {
        1: "Sea",
        2: "City",
        5: "Wood",
        7: "Ice",
    }


def test_labels_of_a_colormap_file_come_before_the_raster_s_names(land: Path, tmp_path: Path) -> None:
    written_aux(land, table(NAMES))
    relief = tmp_path / "classes.txt"
    relief.write_text("1,10,20,30,255,Sea, lakes  and rivers\n2,1,2,3,255,2\n")
    options = {"colormap": checked(str(relief))}
    layer = layer_of(land, "land", local_stores(tmp_path / "data"), **options)
    assert classes_in(layer.legend) == NAMES | {1: "Sea, lakes and rivers"}
    assert isinstance(layer.legend, Classes)
    assert layer.legend.classes[1].color == "#010203"


def test_labels_name_stops_and_change_no_hash(tmp_path: Path) -> None:
    relief = tmp_path / "relief.txt"
    relief.write_text("0,215,25,28,255,low land\n100,43,131,186,255,100\n200 red\n7% 1 2 3 4 five\n7% blue\n")
    text = checked(str(relief))
    assert text.splitlines() == [
        *("0.0 215 25 28 255 low land", "100.0 43 131 186 255", "200.0 255 0 0 255"),
        *(f"{7 / 100 * 100!r}% 1 2 3 4 five", f"{7 / 100 * 100!r}% 0 0 255 255"),
    ]
    plain = "".join(f"{' '.join(line.split()[:5])}\n" for line in text.splitlines())
    assert unlabelled(text) == unlabelled(plain) == plain
    assert unlabelled("viridis") == "viridis"
    assert Options(colormap=text).changed() == Options(colormap=plain).changed() == {"colormap": plain}
    assert Options(colormap=text).differing(Options(colormap=plain)) == []
    relief.write_text("0,215,25,28,255,low land\n100,43,131,186,255,\n")
    style = Style(stops=((0.0, 215, 25, 28, 255), (100.0, 43, 131, 186, 255)))
    legend = legend_of(style, Options(colormap=checked(str(relief))), None, "m")
    assert legend is not None
    assert legend.to_json() == {
        "type": "ramp",
        "stops": [{"value": 0.0, "color": "#d7191c", "name": "low land"}, {"value": 100.0, "color": "#2b83ba"}],
        "unit": "m",
    }


def test_nodata_transparent_and_filler_values_are_not_listed() -> None:
    palette = ((0, 0, 0, 255), (1, 2, 3, 255), (4, 5, 6, 0), (0, 0, 0, 255), (7, 8, 9, 90))
    assert [value for value, _ in listed(palette, {})] == [1, 4]
    assert listed(palette, {3: "asphalt"}, hidden=(1.0,)) == ((3, "asphalt"), (4, ""))
    assert [value for value, _ in listed(palette[:3], {})] == [0, 1], "one black value is a class"


@given(st.integers(0, 300), st.sets(st.integers(0, 299), max_size=3))
def test_a_palette_of_many_unnamed_colours_is_a_picture_s(number: int, named: set[int]) -> None:
    palette = tuple((value % 256, value // 256, 9, 255) for value in range(number))
    found = listed(palette, {value: "a name" for value in named if value < number})
    assert len(found) == (number if number <= FEW or any(value < number for value in named) else 0)


def test_a_legend_has_an_end() -> None:
    palette = ((1, 2, 3, 255),) * (MOST + 1)
    assert len(listed(palette[1:], {0: "a name"})) == MOST
    assert listed(palette, {0: "a name"}) == ()


def test_older_metadata_lists_the_classes_of_its_palette() -> None:
    style = Style(palette=(FILLER, (1, 2, 3, 255), FILLER, (4, 5, 6, 255)))
    for nodata, values in ((None, [1, 3]), (3.0, [1])):
        assert list(classes_in(legend_of(style, Options(nodata=nodata), None, ""))) == values


# Kinds and units


@pytest.mark.parametrize(
    ("style", "kind", "unit"),
    [
        (Style(), "photo", None),
        (Style(rescale=((0.0, 255.0),) * 3), "photo", None),
        (Style(rescale=((0.0, 1.0),)), "photo", None),
        (Style(rescale=((0.0, 255.0),)), "ramp", "mm"),
        (Style(terrain="hillshade", rescale=((0.0, 255.0),)), "shade", None),
        (Style(terrain="slope", rescale=((0.0, 90.0),)), "ramp", "°"),
        (Style(terrain="relief", stops=((0.0, 1, 2, 3, 255), (9.0, 4, 5, 6, 255))), "ramp", "mm"),
        (Style(terrain="contours", intervals=(10.0,)), "contours", None),
        (Style(terrain="terrain-rgb"), "heights", None),
        (Style(terrain="terrarium"), "heights", None),
        (Style(palette=((1, 2, 3, 255),)), "classes", ""),
        (Style(palette=tuple((each, 0, 0, 255) for each in range(256))), "photo", None),
    ],
)
def test_the_kind_of_a_style(style: Style, kind: str, unit: str | None) -> None:
    legend = legend_of(style, NONE_ASKED, None, "mm")
    assert kind_of(style, legend) == kind
    assert (legend.to_json()["unit"] if legend else None) == unit


def test_a_range_that_was_asked_for_makes_a_ramp() -> None:
    style = Style(rescale=((0.0, 1.0),))
    assert isinstance(legend_of(style, Options(rescale=((0.0, 1.0),)), None, ""), Ramp)


def test_the_unit_is_the_band_s(make_raster: MakeRaster, tmp_path: Path) -> None:
    import rasterio  # noqa: PLC0415 - here only

    path = make_raster(values=np.linspace(0, 9, 120_000, dtype=np.float32).reshape(1, 300, 400))
    stores = local_stores(tmp_path / "data")
    for unit, told in (("mm", "mm"), ("metre", "m"), ("", "")):
        with rasterio.open(path, "r+") as file:
            file.set_band_unit(1, unit)
        layer = layer_of(path, "rain", stores)
        assert layer.legend is not None
        assert layer.legend.to_json()["unit"] == told
        assert replace(layer, unit="").kind == layer.kind == "ramp"
    assert layer_of(path, "rain", stores, style="slope").unit == "m"
