"""Warps without GDAL's masks: the pixels and masks of `warp` at the raster's edges, and by index."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio.io import DatasetReader

from tests.support.oracle import psnr
from tests.support.rasters import MakeRaster, scene
from tiler.choices import Resampling
from tiler.grid import EXTENT, Window, resolution, zoom_for
from tiler.raster.place import MERCATOR, applied, carried, resolution_of
from tiler.raster.reading import Box, Reading, clipped
from tiler.raster.warp import covered, warp
from tiler.raster.whole import POINTS, warp_valid

PLACES = {  # bounds in the CRS
    "EPSG:4326": (5.0, 40.0, 5.9, 40.7),  # columns stay columns in Web Mercator
    "EPSG:32631": (640_000.0, 5_000_000.0, 649_000.0, 5_007_000.0),  # and here they turn
}
CORNERS = [(0, 0), (900, 0), (0, 700), (900, 700)]  # columns and rows of the raster
SIDE, DEEP = 160, 4  # pixels of a window, and of its rim at the raster's edge


def at(dataset: DatasetReader, column: int, row: int, side: int = SIDE, finer: int = 0) -> tuple[Window, Box]:
    """A window with a point of the raster in its middle, `finer` zooms above its own, and its source pixels."""
    z = zoom_for(resolution_of(dataset)) + finer
    xs, ys = applied(dataset.transform, np.array([float(column)]), np.array([float(row)]))
    (east,), (north,) = carried(dataset.crs, MERCATOR, xs, ys)
    metres = resolution(z)
    middle = int((east + EXTENT) / metres), int((EXTENT - north) / metres)
    window = Window(z, middle[0] - side // 2, middle[1] - side // 2, side, side)
    box = covered(dataset, window, 8)
    assert box is not None
    return window, box


@pytest.mark.parametrize("kernel", POINTS)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("crs", PLACES)
def test_at_a_corner_values_and_mask_are_those_of_a_warp_with_masks(
    crs: str, dtype: str, kernel: Resampling, make_raster: MakeRaster
) -> None:
    reading = Reading((1, 2, 3))
    with rasterio.open(make_raster(values=scene(700, 900).astype(dtype), bounds=PLACES[crs], crs=crs)) as dataset:
        for column, row in CORNERS:
            window, box = at(dataset, column, row)
            assert clipped(box, dataset.width, dataset.height) != box
            found = warp_valid(dataset, reading, window, kernel, box)
            values, mask = warp(dataset, reading, window, kernel)
            assert found is not None
            assert found[1] is not None
            assert 0.1 < (mask > 0).mean() < 0.5, "the window holds a corner"
            assert np.count_nonzero((found[1] > 0) != (mask > 0)) <= 2
            assert set(np.unique(found[1])) == {0, 255}
            both = (found[1] > 0) & (mask > 0)
            assert psnr(found[0][:, both][..., np.newaxis], values[:, both][..., np.newaxis]) > 45
            assert not found[0][:, found[1] == 0].any()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_nearest_by_index_picks_the_pixels_and_holes_of_gdal(dtype: str, make_raster: MakeRaster) -> None:
    values = scene(700, 900)[:1].astype(dtype)
    values[:, 330:360, 400:470] = 3
    values[:, ::7, ::11] = 3
    reading = Reading((1,), nodata=(3.0,))
    path = make_raster(values=values, bounds=PLACES["EPSG:4326"], crs="EPSG:4326", nodata=3)
    with rasterio.open(path) as dataset:
        for column, row in [*CORNERS, (450, 350)]:
            window, box = at(dataset, column, row)
            found = warp_valid(dataset, reading, window, "nearest", box)
            picked, mask = warp(dataset, reading, window, "nearest")
            assert found is not None
            assert found[1] is not None
            assert 0 < (mask > 0).mean() < 1
            assert np.array_equal(found[1], mask)
            assert np.array_equal(found[0], picked)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("finer", [0, 1])
def test_cubic_with_holes_is_as_gdals_warp_with_a_mask(dtype: str, finer: int, make_raster: MakeRaster) -> None:
    hidden = np.random.default_rng(5).random((700, 900)) < 0.01
    hidden[330:360, 400:470] = True
    hidden[:, 440] = True
    values = np.concatenate([np.where(hidden, 200, scene(700, 900)), np.where(hidden, 0, 255)[np.newaxis]])
    reading = Reading((1, 2, 3), alpha=4)
    path = make_raster(values=values.astype(dtype), bounds=PLACES["EPSG:4326"], crs="EPSG:4326")
    with rasterio.open(path) as dataset:
        for column, row in [*CORNERS, (450, 350)]:
            window, box = at(dataset, column, row, finer=finer)
            found = warp_valid(dataset, reading, window, "cubic", box)
            made, mask = warp(dataset, reading, window, "cubic")
            assert found is not None
            assert found[1] is not None
            assert np.count_nonzero(found[1] != mask) <= 0.002 * mask.size
            assert not found[0][:, found[1] == 0].any()
            both = (found[1] > 0) & (mask > 0)
            assert 0.1 < both.mean() < 1
            assert psnr(found[0][:, both][..., np.newaxis], made[:, both][..., np.newaxis]) > 45


@pytest.mark.parametrize(("finer", "alpha", "left"), [(0, 0, False), (-1, 0, True), (0, 128, True)])
def test_cubic_with_holes_is_left_to_gdal_if_it_shrinks_or_the_mask_is_soft(
    finer: int, alpha: int, left: bool, make_raster: MakeRaster
) -> None:
    values = np.concatenate([scene(700, 900), np.full((1, 700, 900), 255, np.uint8)])
    values[3, 340:350] = alpha
    with rasterio.open(make_raster(values=values, bounds=PLACES["EPSG:4326"], crs="EPSG:4326")) as dataset:
        window, box = at(dataset, 450, 350, finer=finer)
        assert (warp_valid(dataset, Reading((1, 2, 3), alpha=4), window, "cubic", box) is None) == left


def test_a_window_beside_the_raster_is_transparent(make_raster: MakeRaster) -> None:
    with rasterio.open(make_raster(values=scene(700, 900), bounds=PLACES["EPSG:4326"], crs="EPSG:4326")) as dataset:
        window, box = at(dataset, 906, 350, side=8)  # its kernels reach the raster
        found = warp_valid(dataset, Reading((1, 2, 3)), window, "cubic", box)
    assert found is not None
    assert found[1] is not None
    assert not found[1].any()
    assert not found[0].any()


def test_a_window_with_pixels_at_two_turns_of_the_globe_is_left_to_gdal(make_raster: MakeRaster) -> None:
    with rasterio.open(make_raster(values=scene(360, 720), bounds=(-180, -80, 180, 80), crs="EPSG:4326")) as dataset:
        window, box = at(dataset, 720, 180)  # half of it is at the raster's west end
        assert clipped(box, dataset.width, dataset.height) != box
        assert warp_valid(dataset, Reading((1, 2, 3)), window, "cubic", box) is None


def test_a_kernel_that_takes_the_mean_of_an_area_is_left_to_gdal_at_an_edge(make_raster: MakeRaster) -> None:
    with rasterio.open(make_raster(values=scene(700, 900), bounds=PLACES["EPSG:4326"], crs="EPSG:4326")) as dataset:
        window, box = at(dataset, 0, 0)
        assert warp_valid(dataset, Reading((1, 2, 3)), window, "average", box) is None
