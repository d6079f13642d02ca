"""Scenes of the same ground give the parts of one raster; others leave neither hole nor seam between them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio.warp
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.baked import hashes_of_parts, read_zoom, window_at
from tests.support.effort import examples
from tests.support.layers import layer_of
from tests.support.mosaics import cut_up, layer_of_scenes, new_stores, smooth, write_cut
from tests.support.parts import parts_of, pyramid_of
from tests.support.rasters import Recipe, scene, write_raster
from tests.support.scenes import scenes_of
from tiler.choices import OVERLAPS, Overlap
from tiler.grid import EXTENT, TILE, Window, grown
from tiler.image.style import Values
from tiler.ingest.baker import HALO
from tiler.ingest.mosaic import SLACK
from tiler.layers.catalog import Layer
from tiler.layers.pyramid import SIDE, Place
from tiler.scenes.scene import Listed
from tiler.scenes.scene_index import SceneIndex
from tiler.storage.store import Stores

WIDE, HIGH = 150, 130  # pixels
Box = tuple[float, float, float, float]
PLACES: dict[str, tuple[str, Box, int]] = {  # CRS, bounds and a zoom; all but "utm" touch several parts
    "utm": ("EPSG:32632", (500000.0, 5200000.0, 620000.0, 5304000.0), 7),
    "utm at a corner of parts": ("EPSG:32631", (100000.0, -48000.0, 220000.0, 56000.0), 7),
    "mercator": ("EPSG:3857", (-64000.0, -48000.0, 56000.0, 56000.0), 7),
    "degrees": ("EPSG:4326", (-0.48, -0.48, 0.72, 0.56), 7),
    "across the antimeridian": ("EPSG:4326", (179.36, -0.48, 180.56, 0.56), 7),
    "utm across the antimeridian": ("EPSG:32660", (780000.0, 16000.0, 900000.0, 120000.0), 7),
    "turned": ("EPSG:3413", (-2000000.0, 1000000.0, -1760000.0, 1208000.0), 6),
}


def holes() -> Values:
    """Which of the pixels hold data."""
    there = np.ones((HIGH, WIDE), bool)
    there[20:50, 30:90] = False
    there[100:, 100:] = False
    there[77, ::3] = False
    return there


def floats() -> dict[str, Any]:
    values = scene(HIGH, WIDE, 1).astype(np.float32) * 1.7
    values[0][~holes()] = np.nan
    return {"values": values}


PALETTE = {0: (9, 90, 9, 255), 1: (200, 0, 0, 255), 2: (0, 0, 200, 255), 3: (1, 2, 3, 255)}
KINDS: dict[str, Callable[[], dict[str, Any]]] = {
    "rgb": lambda: {"values": scene(HIGH, WIDE)},
    "nodata": lambda: {"values": scene(HIGH, WIDE, 1) * holes(), "nodata": 0},
    "wide nodata": lambda: {
        "values": np.where(holes(), scene(HIGH, WIDE, 1).astype(np.int16) * 90, -9999).astype(np.int16),
        "nodata": -9999,
    },
    "alpha": lambda: {
        "values": np.concatenate([scene(HIGH, WIDE), (scene(HIGH, WIDE, 1, seed=4) * holes()).astype(np.uint8)]),
        "alpha": True,
    },
    "mask": lambda: {"values": scene(HIGH, WIDE), "mask": holes().astype(np.uint8) * 255},
    "palette": lambda: {"values": scene(HIGH, WIDE, 1) // 64, "palette": PALETTE},
    "floats": floats,
}


def recipe_of(kind: str, place: str) -> Recipe:
    crs, bounds, _ = PLACES[place]
    return Recipe(crs=crs, bounds=bounds, **KINDS[kind]())


@pytest.mark.parametrize(
    ("kind", "place"), [*((kind, "degrees") for kind in KINDS), *(("nodata", place) for place in PLACES)]
)
@given(
    columns=st.lists(st.integers(1, WIDE - 1), max_size=3),
    rows=st.lists(st.integers(1, HIGH - 1), max_size=2),
    over=st.sampled_from([0, 0, 1, 7]),
    order=st.randoms(use_true_random=False),
    resampling=st.sampled_from([None, "nearest", "bilinear", "average"]),
    lower=st.integers(0, 2),
)
@settings(max_examples=examples(5))
def test_one_ground_as_scenes_on_one_grid_has_the_parts_of_one_raster(
    kind: str,
    place: str,
    columns: list[int],
    rows: list[int],
    over: int,
    order: Any,
    resampling: str | None,
    lower: int,
) -> None:
    """1 to 12 scenes, in any order, abutting or overlapping, at their own zoom or a lower one."""
    recipe, zoom = recipe_of(kind, place), PLACES[place][2] - lower
    asked: dict[str, Any] = {"max_zoom": zoom}
    if resampling and kind != "palette":
        asked["resampling"] = resampling
    with tempfile.TemporaryDirectory() as name:
        folder, stores = Path(name), new_stores()
        whole = layer_of(write_raster(folder / "whole.tif", recipe), "whole", stores, **asked)
        cuts = cut_up(WIDE, HIGH, columns, rows, over)
        scenes = [write_cut(folder / f"{number}.tif", recipe, cut) for number, cut in enumerate(cuts)]
        order.shuffle(scenes)
        layer = layer_of_scenes(scenes, stores, **asked)
        assert pyramid_of(layer).z == pyramid_of(whole).z
        assert hashes_of_parts(layer, stores) == hashes_of_parts(whole, stores)
        assert layer.footprint == whole.footprint
        assert tuple(layer.bounds) == pytest.approx(tuple(whole.bounds), abs=1e-3)


def test_a_hundred_scenes_on_one_grid_have_the_parts_of_one_raster(tmp_path: Path) -> None:
    recipe, stores = recipe_of("nodata", "utm"), new_stores()
    whole = layer_of(write_raster(tmp_path / "whole.tif", recipe), "whole", stores, max_zoom=7)
    cuts = cut_up(WIDE, HIGH, range(15, WIDE, 15), range(13, HIGH, 13))
    assert len(cuts) == 100
    scenes = [write_cut(tmp_path / f"{number}.tif", recipe, cut) for number, cut in enumerate(cuts)]
    layer = layer_of_scenes(scenes, stores, max_zoom=7)
    assert hashes_of_parts(layer, stores) == hashes_of_parts(whole, stores)


def place_of(window: Window) -> tuple[Values, Values]:
    """Longitudes and latitudes of the pixels of a window."""
    left, top = window.corner
    xs = left + (np.arange(window.width) + 0.5) * window.pixel
    ys = top - (np.arange(window.height) + 0.5) * window.pixel
    lon, lat = np.degrees(xs / EXTENT * np.pi), np.degrees(np.arctan(np.sinh(ys / EXTENT * np.pi)))
    longitudes, latitudes = np.meshgrid(lon, lat)
    return longitudes, latitudes


def pictured(path: Path, crs: str, bounds: Box, pixel: float, faults: float = 0.0) -> Path:
    """A scene of the smooth picture in any CRS."""
    west, south, east, north = bounds
    width, height = max(1, round((east - west) / pixel)), max(1, round((north - south) / pixel))
    xs = west + (np.arange(width) + 0.5) * (east - west) / width
    ys = north - (np.arange(height) + 0.5) * (north - south) / height
    xs, ys = np.meshgrid(xs, ys)
    if crs != "EPSG:4326":
        places = rasterio.warp.transform(crs, "EPSG:4326", xs.ravel(), ys.ravel())
        xs, ys = (np.asarray(each).reshape(height, width) for each in places)
    values = np.rint(smooth(xs * 9, ys * 9) + faults)[np.newaxis].astype(np.uint8)
    return write_raster(path, Recipe(values=values, crs=crs, bounds=bounds, options=()))


MERCATOR_OF_DEGREE = EXTENT / 180


def abutting(folder: Path) -> list[Path]:
    """Four scenes that share sides on meridians and the equator, in two CRSs and of three resolutions."""
    metres = MERCATOR_OF_DEGREE
    return [
        pictured(folder / "nw.tif", "EPSG:4326", (-0.5, 0.0, 0.0, 0.4), 0.001),
        pictured(folder / "ne.tif", "EPSG:3857", (0.0, 0.0, 0.5 * metres, 0.4 * metres), 0.002 * metres),
        pictured(folder / "sw.tif", "EPSG:3857", (-0.5 * metres, -0.4 * metres, 0.0, 0.0), 0.0014 * metres),
        pictured(folder / "se.tif", "EPSG:4326", (0.0, -0.4, 0.5, 0.0), 0.005),
    ]


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic", "average"])
def test_abutting_scenes_of_other_crss_and_resolutions_leave_no_hole_and_no_seam(
    resampling: str, tmp_path: Path
) -> None:
    stores = new_stores()
    layer = layer_of_scenes(abutting(tmp_path), stores, resampling=resampling)
    check_whole(layer, stores, (-0.49, -0.39, 0.49, 0.39))


def test_overlapping_scenes_of_other_crss_and_resolutions_leave_no_hole_and_no_seam(tmp_path: Path) -> None:
    metres, stores = MERCATOR_OF_DEGREE, new_stores()
    made = [
        pictured(tmp_path / "utm.tif", "EPSG:32631", (140000.0, -40000.0, 200000.0, 45000.0), 130.0),
        pictured(tmp_path / "degrees.tif", "EPSG:4326", (-0.4, -0.4, -0.1, 0.4), 0.002),
        pictured(tmp_path / "mercator.tif", "EPSG:3857", (-0.2 * metres, -0.38 * metres, 0.1 * metres, 0.3e5), 400.0),
    ]
    layer = layer_of_scenes(made, stores)
    check_whole(layer, stores, (-0.39, -0.34, 0.2, 0.26))


def check_whole(layer: Layer, stores: Stores, box: Box) -> None:
    """All within a box in degrees is opaque at any zoom at which it has a few pixels, and is the smooth picture."""
    checked = 0
    for z in range(layer.maxzoom, 0, -1):
        window = window_at(layer, z)
        (values,), mask = read_zoom(layer, stores, z, window)
        longitudes, latitudes = place_of(window)
        edge = 360 / (TILE << z) * 2
        inside = (longitudes > box[0] + edge) & (longitudes < box[2] - edge)
        inside &= (latitudes > box[1] + edge) & (latitudes < box[3] - edge)
        if inside.sum() < 200:
            break
        assert (mask[inside] == 255).all(), z
        apart = np.abs(values[inside].astype(float) - smooth(longitudes[inside] * 9, latitudes[inside] * 9))
        pixel = max(0.005, 360 / (TILE << z))  # degrees, of the coarsest scene or of the zoom
        assert apart.max() <= 2 + 9 * pixel * 126, z  # the slope of the picture
        checked += 1
    assert checked >= 3


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("overlap", OVERLAPS)
@given(order=st.permutations(range(3)), dates=st.permutations(range(3)), sizes=st.permutations(range(3)))
@settings(max_examples=examples(7))
def test_each_rule_puts_the_right_scene_on_top(
    overlap: Overlap, order: list[int], dates: list[int], sizes: list[int], alike: bool
) -> None:
    """Three scenes of one colour each, on one grid or not, that all cover the middle."""
    boxes: list[Box] = [(-0.05, -0.05, 0.02, 0.03), (-0.02, -0.04, 0.05, 0.04), (-0.03, -0.02, 0.04, 0.05)]
    pixels = [0.0005, 0.0005, 0.0005] if alike else [(0.0005, 0.001, 0.00125)[size] for size in sizes]
    days = [("2020-01-01", "2024-05-01T10:00:00Z", "2025-01")[day] for day in dates]
    with tempfile.TemporaryDirectory() as name:
        stores, listed = new_stores(), []
        for number in order:
            west, south, east, north = boxes[number]
            shape = (1, round((north - south) / pixels[number]), round((east - west) / pixels[number]))
            recipe = Recipe(values=np.full(shape, 50 * (number + 1), np.uint8), bounds=boxes[number], options=())
            path = write_raster(Path(name, f"{number}.tif"), recipe)
            listed.append(Listed(path.name, str(path), days[number]))
        layer = layer_of_scenes(listed, stores, overlap=overlap, max_zoom=10)
        ranks: dict[Overlap, list[Any]] = {
            "last": [order.index(number) for number in range(3)],
            "first": [-order.index(number) for number in range(3)],
            "newest": [dates[number] for number in range(3)],
            "finest": [(-pixels[number], order.index(number)) for number in range(3)],
        }
        rank = ranks[overlap]
        window = window_at(layer, 10)
        (values,), mask = read_zoom(layer, stores, 10, window)
        longitudes, latitudes = place_of(window)
        edge = 4 * 360 / (TILE << 10)  # a kernel sees both scenes beside their sides
        wanted, near = np.zeros(values.shape, int), np.zeros(values.shape, bool)
        for number in sorted(range(3), key=lambda number: rank[number]):
            west, south, east, north = boxes[number]
            deep = np.minimum.reduce([longitudes - west, east - longitudes, latitudes - south, north - latitudes])
            wanted[deep > 0] = 50 * (number + 1)
            near |= np.abs(deep) < edge
        assert ((wanted > 0) & ~near).sum() > 300
        assert (values[~near] == wanted[~near]).all()
        assert ((mask > 0) == (wanted > 0))[~near].all()


@st.composite
def strewn(draw: st.DrawFn) -> list[tuple[str, Box, float]]:
    """Up to six scenes around a corner of parts: CRS, bounds and pixel."""
    found = []
    for _ in range(draw(st.integers(2, 6))):
        crs, unit, x, y = draw(
            st.sampled_from(
                [
                    ("EPSG:4326", 0.0005, 0.0, 0.0),
                    ("EPSG:3857", 60.0, 0.0, 0.0),
                    ("EPSG:32631", 50.0, 166000.0, 0.0),
                    ("EPSG:32630", 70.0, 834000.0, 0.0),
                ]
            )
        )
        west, south = (draw(st.integers(-900, 800)) * unit + middle for middle in (x, y))
        width, height = (draw(st.integers(2, 60)) * unit for _ in range(2))
        found.append((crs, (west, south, west + width, south + height), unit * draw(st.sampled_from([1, 2]))))
    return found


@given(strewn(), st.data())
@settings(max_examples=examples(20))
def test_a_part_depends_only_on_the_scenes_that_touch_it(
    scenes: list[tuple[str, Box, float]], data: st.DataObject
) -> None:
    """A bake of these alone has the same part, and the input that names it is the same."""
    zoom = 11
    with tempfile.TemporaryDirectory() as name:
        paths = [pictured(Path(name, f"{n}.tif"), *each, faults=5 * n) for n, each in enumerate(scenes)]
        stores = new_stores()
        layer = layer_of_scenes(paths, stores, max_zoom=zoom)
        base = pyramid_of(layer).z
        every = parts_of(layer, stores)
        place = data.draw(st.sampled_from(sorted(place for place in every if place.tier == 0)))
        near = touching(paths, place, base)
        few = layer_of_scenes(near, stores, "few", max_zoom=base)
        assert pyramid_of(few).z == base
        assert parts_of(few, stores)[place].name == every[place].name


def touching(paths: list[Path], place: Place, zoom: int) -> list[Path]:
    """The scenes that touch a part."""
    side = SIDE * TILE
    window = Window(zoom, place.column * side, place.row * side, side, side)
    index = SceneIndex(scenes_of(paths), zoom)
    return [Path(each.listed.path) for each in index.touching(grown(window, HALO + SLACK))]
