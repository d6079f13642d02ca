"""Separable resampling equals the kernel of both axes, and GDAL's warp where columns stay straight."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.io import DatasetReader

from tests.support.effort import some
from tests.support.oracle import psnr
from tests.support.rasters import MakeRaster, scene
from tiler.grid import EXTENT, Window, resolution, zoom_for
from tiler.image.separable import cubic, exact, resampled
from tiler.raster import whole
from tiler.raster.place import MERCATOR, applied, carried, resolution_of
from tiler.raster.reading import Box, Reading
from tiler.raster.warp import covered
from tiler.raster.whole import warp_valid

seeds = st.integers(0, 2**32 - 1)
steps = st.floats(0.2, 3.5)
DTYPES = ["uint8", "int8", "uint16", "int16", "float32"]


def keys(distance: float) -> float:
    """Keys' cubic kernel with a = -0.5."""
    x = abs(distance)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def slow(line: npt.NDArray[np.float64], centres: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`line` at `centres`, one pixel after the other; the last axis is resampled."""
    stretch = np.maximum(1, np.abs(np.gradient(centres))) if centres.size > 1 else np.ones(1)
    weights = np.array(
        [
            [keys((pixel + 0.5 - centre) / step) for pixel in range(line.shape[-1])]
            for centre, step in zip(centres, stretch, strict=True)
        ]
    )
    return np.asarray(line @ (weights / weights.sum(axis=1, keepdims=True)).T)


def centres_of(rng: np.random.Generator, size: int, step: float) -> npt.NDArray[np.float64]:
    """Places along an axis of `size` pixels, `step` apart and a little more at one end, either way."""
    places = np.linspace(0.1, 1, max(1, int((size - 1) / step))) ** 1.1 * (size - 0.6)
    return places if rng.random() < 0.5 else places[::-1].copy()


@given(seed=seeds, across=steps, down=steps, dtype=st.sampled_from(DTYPES))
def test_one_axis_after_the_other_is_the_kernel_of_both(seed: int, across: float, down: float, dtype: str) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(4, 90, 2))
    rows, columns = centres_of(rng, height, down), centres_of(rng, width, across)
    values = rng.integers(-100 if dtype[0] in "if" else 0, 120, (2, height, width)).astype(dtype)
    made = resampled(values, cubic(rows, height), cubic(columns, width), np.dtype(dtype))
    wanted = np.swapaxes(slow(np.swapaxes(slow(values.astype(np.float64), columns), 1, 2), rows), 1, 2)
    if np.dtype(dtype).kind in "ui":
        limits = np.iinfo(dtype)
        wanted = np.clip(wanted, limits.min, limits.max)
    assert made.dtype == dtype
    assert made.shape == (2, rows.size, columns.size)
    assert np.abs(made - wanted).max() <= (0.501 if np.dtype(dtype).kind in "ui" else 1e-3)


@given(seed=seeds, step=steps)
def test_weights_lie_in_the_source_and_sum_to_one(seed: int, step: float) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(4, 200))
    centres = centres_of(rng, size, step)
    places, weights = cubic(centres, size)
    assert places.shape == weights.shape
    assert places.shape[1] == centres.size
    assert 0 <= places.min() <= places.max() < size
    assert np.abs(weights.sum(axis=0) - 1).max() < 1e-6


@given(seed=seeds, across=steps, down=steps, dtype=st.sampled_from(["uint8", "float32"]))
def test_a_pixel_is_the_same_in_every_window(seed: int, across: float, down: float, dtype: str) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = (np.arange(20, 180, step) for step in (down, across))
    values = (rng.random((1, 200, 200)) * 255).astype(dtype)
    whole = resampled(values, cubic(rows, 200), cubic(columns, 200), np.dtype(dtype))
    top, left = (int(rng.integers(1, each.size // 2)) for each in (rows, columns))
    part = resampled(values, cubic(rows[top:], 200), cubic(columns[left:], 200), np.dtype(dtype))
    assert np.array_equal(part[:, 1:, 1:], whole[:, top + 1 :, left + 1 :])


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_what_overshoots_stays_within_the_range(dtype: str) -> None:
    limits = np.iinfo(dtype)
    values = np.where(np.arange(64) % 16 < 8, limits.min, limits.max).astype(dtype).reshape(1, 1, 64).repeat(64, axis=1)
    made = resampled(values, cubic(np.arange(64) + 0.5, 64), cubic(np.arange(1, 63, 0.3), 64), np.dtype(dtype))
    assert made.min() == limits.min
    assert made.max() == limits.max
    turned = np.diff(made[0, 0].astype(np.int64))
    assert np.abs(turned).max() < (int(limits.max) - int(limits.min)), "a value went around"


def test_integers_of_32_bits_do_not_fit() -> None:
    assert [exact(np.dtype(kind)) for kind in ("uint8", "int16", "uint16", "float32", "uint32", "int32")] == [
        True,
        True,
        True,
        True,
        False,
        False,
    ]


STRAIGHT = {  # west, south, east, north; the name ends with the EPSG code
    "degrees, 4326": (5.0, 40.0, 5.9, 40.7),
    "degrees far in the north, 4326": (5.0, 80.0, 5.9, 80.7),
    "degrees across the antimeridian, 4326": (179.6, -20.0, 180.5, -19.3),
    "degrees from 0 to 360, 4326": (300.0, 10.0, 300.9, 10.7),
    "Web Mercator, 3857": (500_000.0, 4_800_000.0, 590_000.0, 4_870_000.0),
    "World Mercator, 3395": (500_000.0, 4_800_000.0, 590_000.0, 4_870_000.0),
}

READINGS = list(product(STRAIGHT, ["uint8", "float32"], [False, True], [0, 1, -1]))


def middle(dataset: DatasetReader, finer: int) -> tuple[Window, Box]:
    """200 x 150 pixels in the middle of the raster, `finer` zooms above its own, and their source pixels."""
    z = zoom_for(resolution_of(dataset)) + finer
    xs, ys = applied(dataset.transform, np.array([dataset.width / 2]), np.array([dataset.height / 2]))
    (east,), (north,) = carried(dataset.crs, MERCATOR, xs, ys)
    metres = resolution(z)
    window = Window(z, int((east + EXTENT) / metres) - 100, int((EXTENT - north) / metres) - 75, 200, 150)
    box = covered(dataset, window, 2 + 2 * max(1, 2**-finer))
    assert box is not None
    return window, box


@pytest.mark.parametrize(("where", "dtype", "south_up", "finer"), some(READINGS, *READINGS[::5]))
def test_where_columns_stay_columns_a_warp_is_as_gdals(
    where: str, dtype: str, south_up: bool, finer: int, make_raster: MakeRaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    (west, south, east, north), crs = STRAIGHT[where], "EPSG:" + where.rpartition(" ")[2]
    bounds = (west, north, east, south) if south_up else (west, south, east, north)
    with rasterio.open(make_raster(values=scene(700, 900).astype(dtype), bounds=bounds, crs=crs)) as dataset:
        window, box = middle(dataset, finer)
        assert 0 <= box[0] < box[2] <= dataset.width
        reading = Reading((1, 2, 3))
        assert whole._straight(dataset, window)
        ours, ours_mask = warp_valid(dataset, reading, window, "cubic", box)
        monkeypatch.setattr(whole, "_straight", lambda *_: None)
        gdals, gdals_mask = warp_valid(dataset, reading, window, "cubic", box)
    assert ours_mask is gdals_mask is None
    assert ours.dtype == dtype
    assert psnr(ours, gdals) > 50
    assert psnr(ours[:, 1:, 1:], gdals[:, :-1, :-1]) < 48, "a pixel more or less would not be noticed"


@pytest.mark.parametrize("crs", ["EPSG:32631", "EPSG:2056", "EPSG:3035"])
def test_where_they_bend_gdal_warps(crs: str, make_raster: MakeRaster) -> None:
    bounds = {
        "EPSG:32631": (640_000, 5_000_000),
        "EPSG:2056": (2_700_000, 1_200_000),
        "EPSG:3035": (4_500_000, 3_000_000),
    }
    west, south = bounds[crs]
    path = make_raster(values=scene(700, 900), bounds=(west, south, west + 9000, south + 7000), crs=crs)
    with rasterio.open(path) as dataset:
        window, _ = middle(dataset, 0)
        assert whole._straight(dataset, window) is None
