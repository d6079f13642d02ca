"""GDAL shows the pixels of the tiles, through either of its drivers for tiles on the web."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from mercantile import Tile
from rasterio.io import DatasetReader
from rasterio.windows import Window

from tests.support.effort import some
from tests.support.layers import silent
from tests.support.oracle import EXACT, alone, decoded, drawn, joined, psnr
from tests.support.rasters import Recipe, scene, write_raster
from tests.support.served import serving
from tiler.grid import EXTENT, TILE, resolution
from tiler.image.style import Pixels
from tiler.ingest.ingest import ingest
from tiler.keys import Format
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.render import TileVariant
from tiler.raster.options import Options
from tiler.settings import Settings
from tiler.storage.store import Stores

# rasterio's way to hide this warning fails while two threads warp

WORLD = (-180.0, -90.0, 180.0, 90.0)
DRIVERS = ("TMS", "WMTS")
BOTH = pytest.mark.parametrize("driver", DRIVERS)
FORMATS: tuple[Format, ...] = ("png", "webp", "jpg")


def described(url: str, layer: Layer) -> str:
    """The description of a layer's tiles for GDAL's WMS driver."""
    return f"""<GDAL_WMS>
    <Service name="TMS"><ServerUrl>{url}/{layer.id}/${{z}}/${{x}}/${{y}}.{layer.format}</ServerUrl></Service>
    <DataWindow>
        <UpperLeftX>{-EXTENT!r}</UpperLeftX><UpperLeftY>{EXTENT!r}</UpperLeftY>
        <LowerRightX>{EXTENT!r}</LowerRightX><LowerRightY>{-EXTENT!r}</LowerRightY>
        <TileLevel>{layer.maxzoom}</TileLevel><TileCountX>1</TileCountX><TileCountY>1</TileCountY>
        <YOrigin>top</YOrigin>
    </DataWindow>
    <OverviewCount>{layer.maxzoom - layer.minzoom}</OverviewCount>
    <Projection>EPSG:3857</Projection><BlockSizeX>{TILE}</BlockSizeX><BlockSizeY>{TILE}</BlockSizeY>
    <BandsCount>4</BandsCount><ZeroBlockHttpCodes>404</ZeroBlockHttpCodes>
</GDAL_WMS>"""


@contextmanager
def opened(name: str) -> Iterator[DatasetReader]:
    """The layer opened by GDAL, without a cache in files."""
    with rasterio.Env(GDAL_ENABLE_WMS_CACHE="NO"), rasterio.open(name) as dataset:
        assert dataset.crs.to_epsg() == 3857
        yield dataset


def through(driver: str, url: str, layer: Layer) -> str:
    """The name by which GDAL opens the layer with a driver."""
    return described(url, layer) if driver == "TMS" else f"WMTS:{url}/{layer.id}/wmts.xml"


def shown(dataset: DatasetReader, corner: Tile, *, tiles: int = 2, side: int = 2 * TILE) -> Pixels:
    """A square of tiles of the deepest zoom from the north-west one `corner`, drawn `side` pixels wide, as RGBA."""
    metres = resolution(corner.z) * TILE
    left = (corner.x * metres - EXTENT - dataset.transform.c) / dataset.transform.a
    top = (EXTENT - corner.y * metres - dataset.transform.f) / dataset.transform.e
    assert abs(left - round(left)) < 1e-3, "its columns are not those of the tiles"
    assert abs(top - round(top)) < 1e-3, "its rows are not those of the tiles"
    window = Window(round(left), round(top), tiles * TILE, tiles * TILE)
    return np.moveaxis(dataset.read(window=window, out_shape=(4, side, side)), 0, -1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The settings for layers of `made`."""
    return Settings.from_env({}, data=str(tmp_path / "data"))


def made(settings: Settings, name: str, bounds: tuple[float, float, float, float] = WORLD, **options: Any) -> Layer:
    """A layer without stored tiles."""
    stores = Stores.open(settings, create=True)
    path = write_raster(Path(f"{stores.sources.root}.{name}.tif"), Recipe(values=scene(600, 800), bounds=bounds))
    return ingest(str(path), name, Options(**options), stores, jobs=1, progress=silent).layer


@BOTH
def test_a_layer_that_nobody_seeded_is_shown_pixel_by_pixel(driver: str, alps_copy: Path) -> None:
    settings = Settings.from_env({}, data=str(alps_copy))
    stores = Stores.open(settings)
    layer, corner = load_layer(stores.sources, "alps"), Tile(x=264, y=180, z=9)
    with serving(settings) as url, opened(through(driver, url, layer)) as dataset:
        seen = shown(dataset, corner)
    assert (seen == joined(lambda tile: drawn(layer, stores, tile), corner)).all()
    keys = {entry.key for entry in stores.tiles.list("alps/9/")}
    assert keys == {f"alps/9/{x}/{y}.png" for x in (264, 265) for y in (180, 181)}


@pytest.mark.parametrize(("form", "driver"), some(list(product(FORMATS, DRIVERS)), *zip(FORMATS, cycle(DRIVERS))))
def test_each_zoom_is_shown_by_its_own_tiles_in_each_format(form: Format, driver: str, settings: Settings) -> None:
    layer, stores = made(settings, "world", format=form), Stores.open(settings)
    with serving(settings) as url, opened(through(driver, url, layer)) as dataset:
        for z in (2, 1, 0):
            seen = shown(dataset, Tile(x=0, y=0, z=2), tiles=4, side=2**z * TILE)
            truth = joined(
                lambda tile: decoded(alone(layer, stores, tile, TileVariant(format=form))),
                Tile(x=0, y=0, z=z),
                columns=2**z,
                rows=2**z,
            )
            alike = psnr(seen, truth)
            assert alike == EXACT or (form == "jpg" and alike > 40), "decoders of JPEG draw colours out differently"


@BOTH
def test_zoomed_out_beyond_its_zooms_a_layer_is_seen_all_the_same(driver: str, settings: Settings) -> None:
    layer = made(settings, "world", min_zoom=1)
    with serving(settings) as url, opened(through(driver, url, layer)) as dataset:
        assert dataset.read(4, out_shape=(32, 32)).min() == 255


def test_in_a_document_of_several_layers_each_has_its_own_zooms(settings: Settings) -> None:
    zooms = {"low": (0, 1), "high": (1, 2), "all": (0, 2)}
    layers = [made(settings, name, min_zoom=low, max_zoom=high) for name, (low, high) in zooms.items()]
    with serving(settings) as url:
        for layer in layers:
            with opened(f"WMTS:{url}/wmts.xml,layer={layer.id}") as dataset:
                assert dataset.res == pytest.approx((resolution(layer.maxzoom),) * 2)
                assert dataset.read(4, out_shape=(32, 32)).min() == 255


def test_where_the_layer_ends_there_is_nothing(alps_copy: Path) -> None:
    settings = Settings.from_env({}, data=str(alps_copy))
    layer = load_layer(Stores.open(settings).sources, "alps")
    with serving(settings) as url, opened(through("TMS", url, layer)) as dataset:
        seen = shown(dataset, Tile(x=262, y=180, z=9))
    assert (seen[:, :TILE] == 0).all()
    assert seen[:, TILE:].any()


@BOTH
def test_both_sides_of_the_antimeridian_are_seen(driver: str, settings: Settings) -> None:
    layer, stores = made(settings, "fiji", (170.0, -20.0, 190.0, 5.0)), Stores.open(settings)
    assert layer.bounds.crosses
    with serving(settings) as url, opened(through(driver, url, layer)) as dataset:
        for x in (0, 2**layer.maxzoom - 1):
            corner = Tile(x=x, y=2**layer.maxzoom // 2, z=layer.maxzoom)
            assert (shown(dataset, corner, tiles=1, side=TILE) == drawn(layer, stores, corner)).all()
