"""A damaged part gives right tiles or errors, at any try, and never replaces a stored tile."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import rasterio
from rasterio.errors import BandOverviewError

from tests.support.effort import LONG
from tests.support.layers import layer_of, local_stores
from tests.support.oracle import tiles_of
from tests.support.parts import key_of, only_part, pyramid_of
from tests.support.rasters import Recipe, scene, write_raster
from tests.support.site import memory
from tiler import keys
from tiler.choices import Choice
from tiler.errors import CatalogError, SourceReadError
from tiler.grid import Block
from tiler.layers import pyramid
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.fill import Outcome, Request, fill
from tiler.layers.render import TileVariant
from tiler.raster.datasets import forget, opened, translated
from tiler.raster.pixels import reading_of
from tiler.raster.sparse import gaps_of
from tiler.storage import cog_header, gdal_reads
from tiler.storage.store import Stores

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


class Damaged(NamedTuple):
    """A layer, and one of its parts, to be damaged: the path and the bytes of its COG."""

    layer: Layer
    stores: Stores
    tier: int
    path: Path
    whole: bytes


@pytest.fixture(params=[0, 1, 2], ids="tier {}".format)
def damaged(request: pytest.FixtureRequest, seeded: Path, tmp_path: Path) -> Damaged:
    """The layer in the stores of this test, and the one part of a tier."""
    shutil.copytree(seeded, tmp_path / "data")
    stores = local_stores(tmp_path / "data")
    layer = load_layer(stores.sources, "layer")
    assert stores.sources.root
    path = stores.sources.root / key_of(layer, only_part(layer, stores, request.param))
    return Damaged(layer, stores, request.param, path, path.read_bytes())


def requests(layer: Layer, tier: int | None = None) -> Iterator[Request]:
    """Some tiles to render again, of all tiers or of one: copied or read, and enlarged."""
    own = pyramid_of(layer)
    for z, scale in [*((z, 1) for z in range(own.z + 1)), (own.z, 2)]:
        if tier not in (None, own.tier_of(z)[0]):
            continue
        tiles = tiles_of(layer, z)
        block = Block.of(tiles[0])
        mask = sum(block.bit(tile) for tile in tiles[:: 1 + len(tiles) // 4] if Block.of(tile) == block)
        yield Request(block, mask, TileVariant(2 if scale == 2 else 1, layer.format), force=True)


def outcomes(damaged: Damaged) -> Iterator[tuple[Request, Outcome]]:
    """The outcomes of the tier's requests, each several times in a process that opens the COG anew."""
    for request in requests(damaged.layer, damaged.tier):
        forget()
        for _ in range(TRIES):
            yield request, fill(damaged.layer, damaged.stores, request)


def header_end(whole: bytes) -> int:
    """The size of a COG's header: the offset of its first block."""
    images = cog_header.block_lists(lambda start, length: whole[start : start + length], len(whole))
    assert images
    return min(int(offsets[offsets > 0].min()) for offsets, _ in images if offsets.any())


def stored(stores: Stores) -> dict[str, bytes]:
    """All stored tiles."""
    return {entry.key: stores.tiles.get(entry.key) for entry in stores.tiles.list("layer/")}


def test_a_truncated_part_gives_errors(damaged: Damaged) -> None:
    before, whole = stored(damaged.stores), damaged.whole
    for size in (0, 200, 1000, 2000, header_end(whole), len(whole) // 2, len(whole) - 1):
        damaged.path.write_bytes(whole[:size])
        for request, outcome in outcomes(damaged):
            assert outcome.failed == request.tiles, (size, request)
    assert stored(damaged.stores) == before


def test_a_part_that_is_gone_gives_errors(damaged: Damaged) -> None:
    before = stored(damaged.stores)
    damaged.path.unlink()
    for request, outcome in outcomes(damaged):
        assert outcome.failed == request.tiles, request
    assert stored(damaged.stores) == before


def test_the_part_of_another_place_gives_errors(damaged: Damaged) -> None:
    """It has another size, or blocks elsewhere."""
    before = stored(damaged.stores)
    part = only_part(damaged.layer, damaged.stores, damaged.tier - 1 if damaged.tier else 1)
    assert damaged.stores.sources.root
    shutil.copy(damaged.stores.sources.root / key_of(damaged.layer, part), damaged.path)
    for request, outcome in outcomes(damaged):
        assert outcome.failed == request.tiles, request
    assert stored(damaged.stores) == before


def test_a_list_of_blocks_that_gdal_cannot_read_gives_errors(damaged: Damaged, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a COG that loses its end while it is open, or whose header is too long to be checked."""
    monkeypatch.setattr(cog_header, "is_intact", lambda _part, _size: True)
    before = stored(damaged.stores)
    failed = 0
    for size in range(200, 4000, 150 if LONG else 950):
        damaged.path.write_bytes(damaged.whole[:size])
        failed += sum(outcome.failed > 0 for _, outcome in outcomes(damaged))
        assert stored(damaged.stores) == before, size
    assert failed


def test_zeros_in_the_header_give_right_tiles_or_errors(damaged: Damaged) -> None:
    before, whole = stored(damaged.stores), damaged.whole
    end = header_end(whole)
    failed = 0
    for length, step in ((8, 56), (20, 56), (64, 64), (512, 512)) if LONG else ((8, 1000), (20, 1200), (512, 900)):
        for start in range(0, end, step):
            stop = min(start + length, end)
            damaged.path.write_bytes(whole[:start] + bytes(stop - start) + whole[stop:])
            failed += sum(outcome.failed > 0 for _, outcome in outcomes(damaged))
            assert stored(damaged.stores) == before, (start, stop)
    assert failed


@pytest.mark.parametrize("damage", ["cut off", "of fewer parts", "gone"])
def test_a_damaged_shard_of_the_manifest_is_an_error_for_every_tile(
    damage: str, damaged: Damaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, stores = damaged.layer, damaged.stores
    before = stored(stores)
    (name,) = (name for (tier, _, _), name in pyramid_of(layer).shards.items() if tier == damaged.tier)
    key = keys.shard_key(layer.id, name)
    data = stores.sources.get(key)
    stores.sources.delete([key])
    if damage != "gone":
        changed = data[:-9] if damage == "cut off" else b"[]"
        stores.sources.put(key, changed, content_type="application/json")
    monkeypatch.setattr(pyramid, "_shards", {})  # as a process that has just begun
    for request in requests(layer, damaged.tier):
        for _ in range(TRIES):
            with pytest.raises(CatalogError, match=name):
                fill(layer, stores, request)
    assert stored(stores) == before


def test_the_check_of_a_header_makes_no_request(damaged: Damaged) -> None:
    whole, store = damaged.whole, memory()
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
