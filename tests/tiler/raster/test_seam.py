"""A raster of the whole world gives the same tiles, whatever its first longitude."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.baked import read_zoom
from tests.support.layers import MakeLayer
from tests.support.oracle import drawn, tiles_of
from tests.support.rasters import MakeRaster
from tiler.grid import Window
from tiler.image.style import Pixels, Values
from tiler.ingest.survey import survey
from tiler.layers.catalog import Options
from tiler.storage.store import Stores

COLUMNS, ROWS = 144, 64
PIXEL = 360 / COLUMNS  # degrees


def world(*, holes: bool) -> Values:
    """Noise around the globe, of maximal contrast; `holes` are 0."""
    rng = np.random.default_rng(3)
    values = rng.integers(1, 256, (1, ROWS, COLUMNS)).astype(np.uint8)
    values[:, rng.random((ROWS, COLUMNS)) < 0.02 * holes] = 0
    return values


@pytest.mark.parametrize("turned", [1, COLUMNS // 2, COLUMNS - 1])
@pytest.mark.parametrize("holes", [False, True])
def test_a_world_that_begins_elsewhere_has_the_same_tiles(
    turned: int, holes: bool, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    """GDAL widened its kernel at the antimeridian, where such a raster is on both sides of a window."""

    def whole(columns: int) -> Pixels:
        west = -180 + columns * PIXEL
        path = make_raster(
            values=np.roll(world(holes=holes), -columns, axis=2),
            bounds=(west, -80.0, west + 360, 80.0),
            nodata=0 if holes else None,
        )
        layer = make_layer(path, name=f"world{columns}", min_zoom=1, max_zoom=1)
        return np.hstack([np.vstack([drawn(layer, stores, t) for t in tiles_of(layer, 1) if t.x == x]) for x in (0, 1)])

    plain, other = whole(0), whole(turned)
    wide = plain.shape[1] // COLUMNS + 1  # of a pixel
    seams = {0, plain.shape[1], round(turned * plain.shape[1] / COLUMNS)}
    columns = [x for x in range(plain.shape[1]) if all(abs(x - seam) > 4 * wide for seam in seams)]
    assert (plain[:, columns, 3] > 0).mean() > 0.7
    heights = np.arctan(np.sinh(np.pi * (1 - 2 * (np.arange(len(plain)) + 0.5) / len(plain))))
    rows = np.abs(np.degrees(heights)) < 80 - 3 * 160 / ROWS  # GDAL's kernel is another one at the raster's edges
    apart = np.abs(plain[rows][:, columns].astype(int) - other[rows][:, columns])
    assert apart.mean() < 0.2
    assert np.quantile(apart, 0.999) <= 2


@pytest.mark.parametrize("west", [170.0, -100.0])
@pytest.mark.parametrize("resampling", ["average", "cubic", "bilinear"])
def test_a_smooth_world_that_begins_elsewhere_has_no_line_there(
    resampling: str, west: float, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    """GDAL averaged the pixels in which the raster begins and ends over the whole globe."""
    columns = 288
    around = np.arange(columns) / columns * 2 * np.pi
    values = np.rint(np.tile(127 + 90 * np.sin(2 * around), (1, 128, 1))).astype(np.uint8)
    first = round((west + 180) / 360 * columns)

    def whole(name: str, begin: int) -> Values:
        bounds = (-180 + begin * 360 / columns, -80.0, 180 + begin * 360 / columns, 80.0)
        path = make_raster(values=np.roll(values, -begin, axis=2), bounds=bounds, name=f"{name}.tif")
        layer = make_layer(path, name, resampling=resampling, max_zoom=1)
        return read_zoom(layer, stores, 1, Window(1, 0, 100, 512, 312))[0].astype(int)

    assert np.abs(whole("plain", 0) - whole("other", first)).max() <= 4


@pytest.mark.parametrize(
    ("west", "columns", "resampling", "differs"),
    [
        (-180.0, COLUMNS, None, ()),
        (-180.0 - 1e-9, COLUMNS, None, ("seam",)),
        (0.0, COLUMNS, None, ("seam",)),
        (-180.0 - PIXEL / 2, COLUMNS, None, ("seam",)),
        (-180.0 - PIXEL / 2, COLUMNS, "nearest", ()),
        (-180.0 + PIXEL / 2, COLUMNS - 1, None, ()),
        (170.0, COLUMNS // 10, None, ()),
    ],
)
def test_a_world_that_was_blurred_has_another_revision(
    west: float, columns: int, resampling: str | None, differs: tuple[str, ...], make_raster: MakeRaster
) -> None:
    path: Path = make_raster(
        values=world(holes=False)[..., :columns], bounds=(west, -80.0, west + columns * PIXEL, 80.0)
    )
    assert survey(str(path), Options(resampling=resampling)).differs == differs  # type: ignore[arg-type]
