"""Rasters smaller than a pixel: the error names the zoom that works; bands of one value: a note says so."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.enums
import rasterio.warp
from affine import Affine

from tests.support.effort import some
from tests.support.layers import silent
from tests.support.rasters import MakeRaster
from tiler.choices import Resampling
from tiler.errors import BadOption, BadSource
from tiler.grid import EXTENT, resolution
from tiler.ingest.drafts import EMPTY
from tiler.ingest.ingest import Ingested, ingest
from tiler.raster.datasets import opened
from tiler.raster.options import Options
from tiler.raster.place import lonlat_bounds
from tiler.raster.warp import first_covered_zoom
from tiler.storage.store import Stores

PLACES = [(500_000.0, 5_000_000.0), (312_345.6, 4_321_098.7), (700_000.0, 9_000.0)]  # metres, of UTM zone 33
SIDES = [1, 7, 40, 200]  # pixels of 10 m


def take(path: object, stores: Stores, **options: Any) -> Ingested:
    return ingest(str(path), "small", Options(**options), stores, jobs=1, progress=silent)


def warped_pixels(path: object, zoom: int, resampling: str) -> int:
    """The pixels that GDAL fills at a zoom, of the few around the raster."""
    with rasterio.open(str(path)) as dataset:
        pixel = resolution(zoom)
        west, south, east, north = rasterio.warp.transform_bounds(dataset.crs, "EPSG:3857", *dataset.bounds)
        left, top = (west + EXTENT) // pixel - 1, (EXTENT - north) // pixel - 1
        shape = int((north - south) // pixel) + 4, int((east - west) // pixel) + 4
        target = np.zeros(shape, np.uint8)
        rasterio.warp.reproject(
            np.ones(dataset.shape, np.uint8),
            target,
            src_transform=dataset.transform,
            src_crs=dataset.crs,
            dst_transform=Affine(pixel, 0, left * pixel - EXTENT, 0, -pixel, EXTENT - top * pixel),
            dst_crs="EPSG:3857",
            resampling=rasterio.enums.Resampling[resampling],
        )
        return int(target.sum())


@pytest.mark.parametrize("resampling", ["nearest", "cubic"])
@pytest.mark.parametrize("side", some(SIDES, 1, 40))
@pytest.mark.parametrize("place", PLACES)
def test_the_first_covered_zoom_is_the_first_at_which_gdal_fills_a_pixel(
    place: tuple[float, float], side: int, resampling: Resampling, make_raster: MakeRaster
) -> None:
    x, y = place
    bounds = (x, y - 10 * side, x + 10 * side, y)
    path = make_raster(values=np.ones((1, side, side), np.uint8), crs="EPSG:32633", bounds=bounds)
    dataset = opened(str(path))
    box = lonlat_bounds(dataset)
    filled = [zoom for zoom in range(17) if warped_pixels(path, zoom, resampling)]
    for zoom in range(17):
        assert first_covered_zoom(dataset, box, zoom) == min(each for each in [*filled, 17, 18] if each >= zoom)


@pytest.mark.parametrize("virtual", [False, True])
@pytest.mark.parametrize("resampling", ["cubic", "average", "nearest"])
def test_a_zoom_at_which_the_raster_covers_no_pixel_is_refused_with_one_that_works(
    resampling: str, make_raster: MakeRaster, stores: Stores, *, virtual: bool
) -> None:
    bounds = (500_000, 4_998_000, 502_000, 5_000_000)
    path = make_raster(values=np.full((1, 200, 200), 7, np.uint8), crs="EPSG:32633", bounds=bounds)
    options = {"resampling": resampling, "virtual": virtual}
    with pytest.raises(BadOption, match="the raster covers no pixel at zoom 4: use --max-zoom") as refused:
        take(path, stores, max_zoom=4, **options)
    works = int(re.findall(r"--max-zoom (\d+) or higher", str(refused.value))[0])
    assert take(path, stores, max_zoom=works, **options).layer.maxzoom == works


def test_a_hole_in_the_place_of_the_only_pixel_is_no_claim_about_all_pixels(
    make_raster: MakeRaster, stores: Stores
) -> None:
    values = np.full((1, 200, 200), 7, np.uint8)
    values[:, 4:-4, 4:-4] = 0
    path = make_raster(values=values, nodata=0)
    with pytest.raises(BadSource, match=r"it has no valid pixel at zoom 0: .*, try --max-zoom \d+") as refused:
        take(path, stores, max_zoom=0, resampling="nearest")
    assert EMPTY not in str(refused.value)
    with pytest.raises(BadSource, match=EMPTY):
        take(make_raster(values=np.zeros((1, 200, 200), np.uint8), nodata=0), stores)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_a_band_of_one_value_is_noted(dtype: str, make_raster: MakeRaster, stores: Stores) -> None:
    path = make_raster(values=np.full((1, 60, 60), 500, dtype))
    (note,) = take(path, stores).notes
    assert note == "every sampled value is 500, shown as black: choose a range with --rescale"
    (note,) = take(path, stores, colormap="viridis").notes
    assert "shown as the colormap's first colour" in note
    assert not take(path, stores, rescale=((0.0, 1000.0),)).notes


def test_one_constant_band_of_three_is_noted_by_its_number(make_raster: MakeRaster, stores: Stores) -> None:
    values = np.arange(3 * 60 * 60, dtype=np.uint16).reshape(3, 60, 60)
    values[1] = 9
    (note,) = take(make_raster(values=values), stores).notes
    assert note.startswith("every sampled value of band 2 of 3 is 9, shown as black")
