"""A tile is the same alone and with its neighbours, and blocks join without a seam."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from mercantile import Tile
from rio_cogeo.cogeo import cog_validate

from seeder.select.selection import Selection, regions
from tests.support.effort import examples
from tests.support.layers import MakeLayer
from tests.support.oracle import HALF, alone, drawn, joined, landscape, psnr, tiles_of, warped
from tests.support.parts import cog_bytes, key_of, parts_of, pixels_at, pyramid_of
from tests.support.rasters import MakeRaster, scene
from tiler.errors import StoreError
from tiler.grid import Block
from tiler.ingest.ingest import ingest
from tiler.layers.catalog import Layer
from tiler.layers.fill import Request, fill
from tiler.layers.render import TileVariant, render
from tiler.raster.options import Options
from tiler.storage.concurrent import overlap
from tiler.storage.gdal_reads import location
from tiler.storage.store import Store, Stores

ENOUGH = 38.0  # dB
AROUND_ZERO = (-2.5, -2.2, 3.1, 2.9)  # where blocks of every zoom meet


@pytest.mark.parametrize("virtual", [False, True])
def test_a_tile_is_the_same_bytes_alone_and_in_its_block(
    virtual: bool, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    path = make_raster(values=scene(180, 200), crs="EPSG:32632", bounds=(350000.0, 5000000.0, 550000.0, 5180000.0))
    zoom = make_layer(path).maxzoom
    layer = make_layer(path, virtual=virtual, max_zoom=zoom + 1)
    zooms = (zoom - 1, zoom) if virtual else range(zoom + 2)
    whole: dict[tuple[Block, TileVariant], dict[Tile, bytes | None]] = {}
    forms = ("png", "webp", "jpg")
    variants = (
        st.just(TileVariant()) if virtual else st.builds(TileVariant, st.sampled_from((1, 2)), st.sampled_from(forms))
    )
    tiles = st.sampled_from(zooms).flatmap(lambda z: st.sampled_from(tiles_of(layer, z)))
    bits = st.sets(st.integers(0, 63), max_size=4).map(lambda some: sum(1 << bit for bit in some))

    @given(tiles, variants, bits)
    @settings(max_examples=examples(6 if virtual else 14), phases=(Phase.generate,))
    def same(tile: Tile, variant: TileVariant, others: int) -> None:
        block = Block.of(tile)
        if (block, variant) not in whole:
            whole[block, variant] = dict(render(layer, stores.sources, block, block.full, variant))
        known = whole[block, variant]
        same_alone = alone(layer, stores, tile, variant) == known[tile]
        assert same_alone, tile
        some = render(layer, stores.sources, block, others & block.full | block.bit(tile), variant)
        assert [each for each, data in some if data != known[each]] == []

    same()
    assert any(data is None for tiles in whole.values() for data in tiles.values())
    assert any(data for tiles in whole.values() for data in tiles.values())


@pytest.mark.parametrize("bounds", [(170.0, -20.0, 250.0, 5.0), (20.0, -10.0, 340.0, 60.0), (-30.0, -10.0, 40.0, 60.0)])
def test_every_tile_of_a_layer_is_the_same_alone_and_with_all_that_are_planned(
    bounds: tuple[float, float, float, float], make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    shape = round((bounds[3] - bounds[1]) * 6), round((bounds[2] - bounds[0]) * 6)
    layer = make_layer(make_raster(values=scene(*shape), bounds=bounds))
    assert pyramid_of(layer).z >= 4  # at zoom 3 a block is the whole world and is read at once
    for z in range(layer.maxzoom + 1):
        (region,) = regions(layer, Selection((z,)))
        for piece in region.block_masks():
            tiles = dict(render(layer, stores.sources, piece.block, piece.tiles, TileVariant()))
            assert [tile for tile, data in tiles.items() if data != alone(layer, stores, tile)] == []
            assert any(tiles.values())


def errors_around(layer: Layer, stores: Stores, path: Path, z: int) -> tuple[npt.NDArray[np.float64], float]:
    """How far each pixel of the four tiles around (0, 0) is from a one-piece warp, and their PSNR."""
    corner = Tile(x=2 ** (z - 1) - 1, y=2 ** (z - 1) - 1, z=z)
    picture = joined(lambda tile: drawn(layer, stores, tile), corner)
    assert len({Block.of(Tile(x=corner.x + x, y=corner.y + y, z=z)) for x in (0, 1) for y in (0, 1)}) == 4
    values, alpha = warped(path, corner, columns=2, rows=2)
    both = (picture[..., 3] == 255) & (alpha == 255)
    errors = np.where(both, np.abs(picture[..., :3].astype(np.float64) - values).max(axis=-1), 0)
    return errors, psnr(picture[both, :3], values[both])


@pytest.mark.parametrize("virtual", [False, True])
@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:32631"])
def test_where_blocks_meet_tiles_are_no_further_from_a_one_piece_warp_than_inside(
    crs: str, virtual: bool, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    bounds = {
        "EPSG:4326": AROUND_ZERO,
        "EPSG:3857": tuple(edge / 180 * HALF for edge in AROUND_ZERO),
        "EPSG:32631": (0.0, -260000.0, 480000.0, 240000.0),
    }[crs]
    path = make_raster(values=landscape(700, 760), crs=crs, bounds=bounds)
    layer = make_layer(path, virtual=virtual)
    for z in range(layer.maxzoom, layer.maxzoom - 3, -1):
        errors, likeness = errors_around(layer, stores, path, z)
        assert likeness > ENOUGH, z
        for field in (errors, errors.T):
            seam, beside = field[:, 255:257], np.hstack((field[:, 245:253], field[:, 259:267]))
            assert seam.mean() <= beside.mean() + 0.1, z
            assert seam.max() <= beside.max() + 2, z


def test_two_processes_bake_the_same_bytes_as_one(make_raster: MakeRaster, stores: Stores, tmp_path: Path) -> None:
    path = make_raster(values=scene(300, 400), bounds=AROUND_ZERO, nodata=0)
    baked = []
    for jobs, name in ((1, "one"), (2, "two")):
        done: list[tuple[int, int]] = []
        layer = ingest(
            str(path), name, Options(), stores, jobs=jobs, progress=lambda *step, done=done: done.append(step)
        ).layer
        assert done[-1][0] == done[-1][1] == len(done)
        assert len(done) > 4
        baked.append(cog_bytes(layer, stores))
    assert baked[0] == baked[1]
    assert not (tmp_path / "data" / "scratch").exists()


@pytest.mark.parametrize("kind", ["rgb", "mask", "palette", "float", "uint16", "int16"])
def test_a_baked_layer_is_a_valid_cog(
    kind: str, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    grey = landscape(400, 500, bands=1)
    path = {
        "rgb": lambda: make_raster(values=scene(400, 500), bounds=AROUND_ZERO),
        "mask": lambda: make_raster(
            values=scene(400, 500), bounds=AROUND_ZERO, mask=np.where(grey[0] > 99, 255, 0).astype(np.uint8)
        ),
        "palette": lambda: make_raster(
            values=grey % 3, bounds=AROUND_ZERO, palette={i: (i * 90, 0, 9, 255) for i in range(3)}
        ),
        "float": lambda: make_raster(values=grey.astype(np.float32), bounds=AROUND_ZERO),
        "uint16": lambda: make_raster(values=grey.astype(np.uint16) * 99, bounds=AROUND_ZERO),
        "int16": lambda: make_raster(values=grey.astype(np.int16) - 128, bounds=AROUND_ZERO),
    }[kind]()
    layer = make_layer(path)
    assert layer.source == "sources/layer/parts/"
    tiers = [tier for tier, _, _ in parts_of(layer, stores)]
    assert set(tiers) == {0, 1, 2}
    for place, part in parts_of(layer, stores).items():
        file = location(stores.sources, key_of(layer, part))
        zoom = pyramid_of(layer).zoom_of(place.tier)
        with rasterio.open(file) as cog, rasterio.open(path) as source:
            metres = 2 * HALF / (256 * 2**zoom)
            assert cog.crs.to_epsg() == 3857
            assert cog.dtypes == source.dtypes
            assert cog.count == source.count
            assert cog.overviews(1) == [2**level for level in range(1, min(3, zoom) + 1)]
            assert cog.res == pytest.approx((metres, metres))
            x, y = ((edge + HALF) / metres / 256 for edge in (cog.transform.c, -cog.transform.f))
            assert (x, y) == pytest.approx((part.layout.x, part.layout.y), abs=1e-6)
            assert (place.column, place.row) == (int(x + 0.5) // 64, int(y + 0.5) // 64)
            assert place.column * 64 + 64 >= x + cog.width / 256
            assert (cog.width, cog.height) == (part.layout.columns * 256, part.layout.rows * 256)
            assert set(cog.block_shapes) == {(256, 256)}
            if kind == "palette":
                assert [cog.colormap(1)[i] for i in range(3)] == [(i * 90, 0, 9, 255) for i in range(3)]
        valid, faults, warnings = cog_validate(file, strict=True)
        assert (valid, faults) == (True, [])
        assert all("512 pixels" in each for each in warnings), warnings


def test_gdal_reads_from_the_parts_what_tiles_show(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    layer = make_layer(make_raster(values=scene(400, 500), bounds=AROUND_ZERO))
    for z in range(pyramid_of(layer).z + 1):
        stored = pixels_at(layer, stores, z)
        assert stored.mask.any()
        for tile in tiles_of(layer, z)[:6]:
            values, mask = stored.tile(tile)
            picture = np.moveaxis(np.vstack((values, mask[np.newaxis])), 0, -1) * (mask > 0)[..., np.newaxis]
            assert np.array_equal(drawn(layer, stores, tile), picture), tile


def test_a_put_that_fails_leaves_none_of_gdals_settings_behind(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even until the garbage collector comes by: it may do so while the next block is rendered."""
    layer = make_layer(make_raster(values=scene(700, 900)))
    block = Block.of(tiles_of(layer, layer.maxzoom)[0])

    def fail(_: object) -> None:
        raise StoreError("write", "a tile", "told to fail")

    monkeypatch.setattr(Store, "put_all", lambda _, objects, **__: overlap(fail, objects))
    gc.disable()
    try:
        with pytest.raises(StoreError):
            fill(layer, stores, Request(block, block.full, TileVariant(), force=True, blanks=True))
        assert not rasterio.env.hasenv()
    finally:
        gc.enable()
