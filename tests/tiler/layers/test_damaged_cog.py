"""A damaged COG gives right tiles or errors, at any try, and never replaces a stored tile."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import BandOverviewError

from tests.support.effort import LONG
from tests.support.layers import layer_of, local_stores
from tests.support.oracle import tiles_of
from tests.support.rasters import Recipe, scene, write_raster
from tests.support.site import memory
from tiler.choices import Choice
from tiler.errors import SourceReadError
from tiler.grid import Block
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.fill import Outcome, Request, fill
from tiler.layers.render import TileVariant
from tiler.raster.datasets import forget, opened, translated
from tiler.raster.pixels import reading_of
from tiler.raster.sparse import gaps_of
from tiler.storage import cog_header, gdal_reads
from tiler.storage.store import Stores

ZSTD = b"\x28\xb5\x2f\xfd"  # the first bytes of lossless blocks, which come first
TRIES = 3  # libtiff treats an unread list of blocks as absent at the second look
CASES: list[tuple[str, Choice]] = [("finished", "webp"), ("finished", "jpg"), ("lossless", "webp")]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def seeded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a layer of some transparency, and all its tiles."""
    bake, form = request.param
    folder = tmp_path_factory.mktemp("seeded")
    mask = np.full((300, 340), 255, np.uint8)
    mask[:150, :170] = 0
    recipe = Recipe(scene(300, 340), (350000.0, 5000000.0, 550000.0, 5180000.0), "EPSG:32632", mask=mask)
    stores = local_stores(folder / "data")
    layer = layer_of(write_raster(folder / "source.tif", recipe), "layer", stores, bake=bake, format=form)
    for request_ in requests(layer):
        assert not fill(layer, stores, request_).failed
    return folder / "data"


@pytest.fixture
def damaged(seeded: Path, tmp_path: Path) -> tuple[Layer, Stores, Path, bytes]:
    """The layer, its stores, and the path and the bytes of its COG, to be damaged."""
    shutil.copytree(seeded, tmp_path / "data")
    stores = local_stores(tmp_path / "data")
    layer = load_layer(stores.sources, "layer")
    assert stores.sources.root
    path = stores.sources.root / layer.source
    return layer, stores, path, path.read_bytes()


def requests(layer: Layer) -> Iterator[Request]:
    """Some tiles to render again: copied or read from all levels, and warped from the base and the last overview."""
    assert layer.bake
    last = layer.bake.z - layer.bake.levels + 1
    assert last > 0
    for z, scale in [*((z, 1) for z in (0, *range(last, layer.bake.z + 1))), (layer.bake.z, 2)]:
        tiles = tiles_of(layer, z)
        block = Block.of(tiles[0])
        mask = sum(block.bit(tile) for tile in tiles[:: 1 + len(tiles) // 4] if Block.of(tile) == block)
        yield Request(block, mask, TileVariant(2 if scale == 2 else 1, layer.format), force=True)


def outcomes(layer: Layer, stores: Stores) -> Iterator[tuple[Request, Outcome]]:
    """The outcomes of all requests, each several times in a process that opens the COG anew."""
    for request in requests(layer):
        forget()
        for _ in range(TRIES):
            yield request, fill(layer, stores, request)


def stored(stores: Stores) -> dict[str, bytes]:
    """All stored tiles."""
    return {entry.key: stores.tiles.get(entry.key) for entry in stores.tiles.list("layer/")}


def test_a_truncated_cog_gives_errors(damaged: tuple[Layer, Stores, Path, bytes]) -> None:
    layer, stores, path, whole = damaged
    before = stored(stores)
    assert layer.bake
    for size in (0, 200, 1000, 2000, layer.bake.head, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        for request, outcome in outcomes(layer, stores):
            assert outcome.failed == request.tiles, (size, request)
    assert stored(stores) == before


def test_a_list_of_blocks_that_gdal_cannot_read_gives_errors(
    damaged: tuple[Layer, Stores, Path, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a COG that loses its end while it is open, or whose header is too long to be checked."""
    monkeypatch.setattr(cog_header, "is_intact", lambda _part, _size: True)
    layer, stores, path, whole = damaged
    before = stored(stores)
    failed = 0
    for size in range(200, 4000, 150 if LONG else 950):
        path.write_bytes(whole[:size])
        failed += sum(outcome.failed > 0 for _, outcome in outcomes(layer, stores))
        assert stored(stores) == before, size
    assert failed


def test_zeros_in_the_header_give_right_tiles_or_errors(damaged: tuple[Layer, Stores, Path, bytes]) -> None:
    layer, stores, path, whole = damaged
    before = stored(stores)
    end = whole.index(ZSTD)
    failed = 0
    for length, step in ((8, 56), (20, 56), (64, 64), (512, 512)) if LONG else ((8, 1000), (20, 1200), (512, 900)):
        for start in range(0, end, step):
            stop = min(start + length, end)
            path.write_bytes(whole[:start] + bytes(stop - start) + whole[stop:])
            failed += sum(outcome.failed > 0 for _, outcome in outcomes(layer, stores))
            assert stored(stores) == before, (start, stop)
    assert failed


def test_the_check_of_a_header_makes_no_request(damaged: tuple[Layer, Stores, Path, bytes]) -> None:
    *_, whole = damaged
    store = memory()
    store.put("whole.tif", whole, content_type="")
    store.put("cut.tif", whole[:-1], content_type="")
    assert opened(gdal_reads.location(store, "whole.tif"), cog=True).count
    with pytest.raises(SourceReadError, match="truncated or damaged"):
        opened(gdal_reads.location(store, "cut.tif"), cog=True)
    assert opened(gdal_reads.location(store, "cut.tif", 64), cog=True).count  # not read that far


def test_a_raster_whose_list_of_blocks_is_unreadable_is_not_sparse(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"
    profile = {"driver": "GTiff", "width": 4096, "height": 4096, "count": 1, "dtype": "uint8", "nodata": 0}
    with rasterio.open(path, "w", tiled=True, blockxsize=64, blockysize=64, SPARSE_OK="YES", **profile) as out:
        out.write(np.full((1, 64, 64), 9, np.uint8), window=rasterio.windows.Window(0, 0, 64, 64))
    dataset = opened(str(path))
    assert gaps_of(dataset, reading_of(dataset, (1,), None))
    del dataset
    path.write_bytes(path.read_bytes()[:1000])
    dataset = opened(str(path))
    with pytest.raises(SourceReadError):
        gaps_of(dataset, reading_of(dataset, (1,), None))


def test_an_overview_that_cannot_be_opened_is_a_read_error() -> None:
    with pytest.raises(SourceReadError, match="overview 3"), translated("some.tif"):
        raise BandOverviewError("Failed to retrieve overview 3")
