"""Rasters across the antimeridian, around the globe and over the poles; footprints; virtual layers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mercantile import Tile
from rasterio.transform import from_bounds

from seeder.select.selection import Selection, regions
from seeder.select.tileset import TileSet
from tests.support.layers import MakeLayer
from tests.support.oracle import alone, decoded, drawn, files_under, landscape, psnr, sampled, tiles_of, warped
from tests.support.rasters import MakeRaster, scene
from tiler.grid import Block
from tiler.image.style import Values
from tiler.layers.catalog import Layer
from tiler.layers.fill import Request, fill
from tiler.layers.render import TileVariant, render
from tiler.storage.store import Stores

ENOUGH = 38.0  # dB
EDGE_SHARE = 2e-3  # of pixels, along the raster's sides, that a kernel and direct sampling see differently


def region_of(layer: Layer, z: int) -> TileSet:
    """What is planned of a zoom."""
    (region,) = regions(layer, Selection((z,)))
    return region


def planned(layer: Layer, z: int) -> set[Tile]:
    """The planned tiles of a layer."""
    return {tile for piece in region_of(layer, z).block_masks() for tile in piece.block.tiles(piece.tiles)}


def rendered(layer: Layer, stores: Stores, z: int) -> dict[Tile, Values]:
    """The tiles from seeding a zoom, block by block, without empty ones."""
    return {
        tile: decoded(data)
        for piece in region_of(layer, z).block_masks()
        for tile, data in render(layer, stores.sources, piece.block, piece.tiles, TileVariant())
        if data
    }


ACROSS = {
    "EPSG:4326": (170.0, -20.0, 190.0, 5.0),
    "EPSG:32660": (300000.0, 5000000.0, 900000.0, 5400000.0),
    "EPSG:3832": (3000000.0, -500000.0, 3800000.0, 200000.0),  # a Mercator around 150 degrees east
}


@pytest.mark.parametrize("virtual", [False, True])
@pytest.mark.parametrize("crs", ACROSS)
def test_a_raster_across_the_antimeridian_is_whole_on_both_sides_at_every_zoom(
    crs: str, virtual: bool, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    values = landscape(200, 240)
    layer = make_layer(make_raster(values=values, crs=crs, bounds=ACROSS[crs]), resampling="nearest", virtual=virtual)
    assert layer.bounds.west > layer.bounds.east
    transform = from_bounds(*ACROSS[crs], 240, 200)
    z = layer.maxzoom
    made = rendered(layer, stores, z)
    assert {tile.x < 2 ** (z - 1) for tile in made} == {True, False}
    other = total = 0
    for tile in tiles_of(layer, z):
        expected, there = sampled(values, transform, crs, tile)
        picture = made.get(tile, np.zeros((256, 256, 4), np.uint8))
        other += int(((picture[..., 3] > 0) != there).sum())
        total += there.size
        both = (picture[..., 3] > 0) & there
        assert not both.any() or psnr(picture[both, :3], expected[both]) > ENOUGH, tile
    assert other <= EDGE_SHARE * total


@pytest.mark.parametrize("virtual", [False, True])
@pytest.mark.parametrize("crs", ACROSS)
def test_a_raster_across_the_antimeridian_is_planned_nowhere_else(
    crs: str, virtual: bool, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    layer = make_layer(make_raster(values=scene(200, 240), crs=crs, bounds=ACROSS[crs]), virtual=virtual)
    for z in range(layer.maxzoom + 1):
        tiles, made = planned(layer, z), rendered(layer, stores, z)
        assert made.keys() <= tiles
        if z > 3:
            assert all(min(tile.x, 2**z - 1 - tile.x) < 0.1 * 2**z for tile in tiles)
            assert {tile.x < 2 ** (z - 1) for tile in made} == {True, False}, z
        assert made, z


@pytest.mark.parametrize("z", [0, 1, 2, 3, 4])
def test_low_zooms_of_a_raster_across_the_antimeridian_show_as_much_as_its_halves(
    z: int, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    values = landscape(400, 480)
    layer = make_layer(make_raster(values=values, bounds=ACROSS["EPSG:4326"]))
    west = make_raster(values=values[..., :240], bounds=(170.0, -20.0, 180.0, 5.0), name="west.tif")
    east = make_raster(values=values[..., 240:], bounds=(-180.0, -20.0, -170.0, 5.0), name="east.tif")
    made = rendered(layer, stores, z)
    for tile in planned(layer, z):
        halves = [warped(path, tile) for path in (west, east)]
        expected = sum(alpha.sum() / 255 for _, alpha in halves)
        shown = made[tile][..., 3].sum() / 255 if tile in made else 0
        assert shown == pytest.approx(expected, rel=0.2, abs=12), tile
        for colours, alpha in halves:
            both = (alpha == 255) & (made[tile][..., 3] == 255) if tile in made else alpha > 255
            assert both.sum() < 300 or psnr(made[tile][both, :3], colours[both]) > ENOUGH, tile


@pytest.mark.parametrize("virtual", [False, True])
def test_a_world_from_0_to_360_degrees_shows_every_place_where_it_is(
    virtual: bool, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    values = landscape(360, 720)
    bounds = (0.0, -90.0, 360.0, 90.0)
    layer = make_layer(make_raster(values=values, bounds=bounds), resampling="nearest", virtual=virtual)
    assert (layer.bounds.west, layer.bounds.east) == (-180, 180)
    made = rendered(layer, stores, layer.maxzoom)
    assert len(made) == 4**layer.maxzoom
    for tile, picture in made.items():
        expected, there = sampled(values, from_bounds(*bounds, 720, 360), "EPSG:4326", tile)
        assert there.all()
        assert (picture[..., 3] == 0).mean() <= EDGE_SHARE, tile
        both = picture[..., 3] > 0
        assert psnr(picture[both, :3], expected[both]) > ENOUGH, tile


@pytest.mark.parametrize("virtual", [False, True])
def test_a_world_with_its_poles_is_a_full_square(
    virtual: bool, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    path = make_raster(values=landscape(512, 1024), bounds=(-180.0, -90.0, 180.0, 90.0))
    layer = make_layer(path, virtual=virtual)
    for z in range(layer.maxzoom + 1):
        made = rendered(layer, stores, z)
        assert len(made) == 4**z == region_of(layer, z).total().tiles
        assert all((picture[..., 3] == 255).all() for picture in made.values()), z
    for tile, picture in rendered(layer, stores, layer.maxzoom).items():
        assert psnr(picture[..., :3], warped(path, tile)[0]) > ENOUGH, tile


def test_a_polar_raster_reaches_around_the_globe(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    values = landscape(400, 400)
    bounds = (-2500000.0, -2500000.0, 2500000.0, 2500000.0)
    layer = make_layer(make_raster(values=values, crs="EPSG:3413", bounds=bounds), resampling="nearest", max_zoom=3)
    assert (layer.bounds.west, layer.bounds.east) == (-180, 180)
    other = total = 0
    for tile in tiles_of(layer, layer.maxzoom):
        expected, there = sampled(values, from_bounds(*bounds, 400, 400), "EPSG:3413", tile)
        picture = drawn(layer, stores, tile)
        other += int(((picture[..., 3] > 0) != there).sum())
        total += there.size
        both = (picture[..., 3] > 0) & there
        assert not both.any() or psnr(picture[both, :3], expected[both]) > ENOUGH, tile
    assert other <= EDGE_SHARE * total


def diagonal() -> Values:
    """A strip from corner to corner, 0 elsewhere."""
    values = scene(600, 600)
    rows, columns = np.mgrid[0:600, 0:600]
    values[:, np.abs(rows - columns) > 12] = 0
    return values


def sparse() -> Values:
    """Two small patches far apart, 0 elsewhere."""
    values = np.zeros((3, 600, 600), np.uint8)
    values[:, 20:50, 30:70] = scene(30, 40)
    values[:, 540:590, 500:520] = scene(50, 20)
    return values


@pytest.mark.parametrize("virtual", [False, True])
@pytest.mark.parametrize("values", [diagonal, sparse])
def test_the_footprint_leaves_empty_corners_out_and_no_tile_with_data(
    values: object, virtual: bool, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    assert callable(values)
    path = make_raster(values=values(), nodata=0, crs="EPSG:3857", bounds=(0.0, 0.0, 183000.0, 183000.0))
    layer = make_layer(path, virtual=virtual)
    assert layer.maxzoom == 9
    deep = make_layer(path, "deep", virtual=virtual, max_zoom=12)
    whole, *_ = deep.ranges(12)
    assert region_of(deep, 12).total().tiles < 0.7 * len(whole)
    for z in (8, 9, 10):
        holding = {tile for tile in tiles_of(deep, z) if alone(deep, stores, tile)}
        assert holding
        assert holding <= planned(deep, z), z


def test_a_virtual_layer_stores_nothing_but_its_metadata(
    make_raster: MakeRaster, make_layer: MakeLayer, tmp_path: Path
) -> None:
    layer = make_layer(make_raster(values=scene(200, 240)), virtual=True)
    assert layer.bake is None
    files = {name for name in files_under(tmp_path / "data") if (tmp_path / "data" / name).is_file()}
    kept = f"private/sources/layer/{layer.revision}/index.json"
    assert files == {"private/sources/layer/index.json", kept, "tiles/layer/tile.json"}


def test_a_source_that_breaks_later_fails_its_tiles_and_writes_none(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    options = (("tiled", True), ("blockxsize", 256), ("blockysize", 256), ("compress", "deflate"))
    path = make_raster(values=scene(600, 700), options=options)
    layer = make_layer(path, virtual=True)
    last = tiles_of(layer, layer.maxzoom)[-1]
    block = Block.of(last)
    broken = path.with_name("broken.tif")  # a new path, so that no open dataset remembers the whole file
    broken.write_bytes(path.read_bytes()[: path.stat().st_size // 8])
    layer = replace(layer, source=str(broken))
    before = files_under(tmp_path / "data")
    outcome = fill(layer, stores, Request(block, block.bit(last), TileVariant()))
    assert (outcome.written, outcome.empty, outcome.skipped) == (0, 0, 0)
    assert outcome.failed == block.bit(last)
    assert str(broken) in outcome.error
    assert files_under(tmp_path / "data") == before
    gone = replace(layer, source=str(path.with_name("gone.tif")))
    assert fill(gone, stores, Request(block, block.full, TileVariant())).failed == block.full
    assert files_under(tmp_path / "data") == before
