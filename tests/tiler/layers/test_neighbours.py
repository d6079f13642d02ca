"""Tiles at the edge of a part: neighbours in S3 are read at the same time, in three requests each and only once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mercantile import Tile

from tests.e2e.proxy import Proxy
from tests.e2e.wire import Exchange
from tests.support.effort import examples
from tests.support.layers import layer_of, local_stores
from tests.support.oracle import PNG, alone
from tests.support.parts import key_of, parts_of, pyramid_of
from tests.support.rasters import Recipe, scene, write_raster
from tests.support.site import copied, memory
from tiler import keys
from tiler.errors import SourceReadError, StoreError
from tiler.grid import Block, Window
from tiler.layers import pyramid
from tiler.layers.catalog import Layer
from tiler.layers.part_pixels import PartPixels
from tiler.layers.pyramid import Place
from tiler.layers.render import render
from tiler.raster.datasets import forget
from tiler.settings import S3
from tiler.storage import gdal_reads
from tiler.storage.store import Store, Stores, open_store

pytestmark = pytest.mark.usefixtures("collected")

BOUNDS = (-0.14, -0.1, 0.14, 0.1)  # around a corner of four parts, each in another shard
PATIENCE = 10.0  # seconds
WINDOW = 1 << 20  # bytes; more than the blocks of a window of 500 x 500 pixels
RASTERS: dict[str, tuple[Recipe, dict[str, Any]]] = {
    "masked": (Recipe(scene(300, 400), BOUNDS, nodata=0), {}),
    "hillshade": (Recipe(scene(300, 400, 1).astype(np.float32), BOUNDS), {"style": "hillshade"}),
}
Made = tuple[Layer, Stores]


@pytest.fixture(scope="module", params=RASTERS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A layer whose base has four parts, and its stores in a folder."""
    folder: Path = tmp_path_factory.mktemp("corner")
    stores, (recipe, options) = local_stores(folder), RASTERS[request.param]
    layer = layer_of(write_raster(folder / "a.tif", recipe), "a", stores, **options)
    assert len(parts_of(layer, stores, 0)) == 4
    assert sum(tier == 0 for tier, *_ in pyramid_of(layer).shards) == 4
    return layer, stores


def as_new() -> None:
    """Forget all that was read, as a process that has just begun."""
    forget()
    gdal_reads._cog.cache_clear()
    pyramid._shards.clear()


@pytest.fixture
def cold() -> None:
    """A process that has read nothing yet."""
    as_new()


def at_corner(layer: Layer, above: int, column: int = 0, row: int = 0) -> Tile:
    """A tile, so many zooms above the base; by its distance from the one whose north-west corner is that of parts."""
    z = pyramid_of(layer).z + above
    return Tile(x=(1 << z - 1) + column, y=(1 << z - 1) + row, z=z)


class Read(list[tuple[str, str, Any]]):
    """The reads of all stores: verb, key, arguments; `before` is called before each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, before: Callable[[str], object] = lambda _: None) -> None:
        super().__init__()
        for verb in ("get", "first", "ranges"):
            monkeypatch.setattr(Store, verb, self._noted(verb, getattr(Store, verb), before))

    def _noted(self, verb: str, do: Callable[..., Any], before: Callable[[str], object]) -> Callable[..., Any]:
        def noted(store: Store, key: str, *how: Any) -> Any:
            if not store.root:
                self.append((verb, key, how))
                before(verb)
            return do(store, key, *how)

        return noted

    def check_none_twice(self) -> None:
        """Fail if an object, a header or a block was read twice; a header may end within a block."""
        whole = [key for verb, key, _ in self if verb != "ranges"]
        assert len(whole) == len(set(whole))
        spans = sorted((key, *span) for verb, key, how in self if verb == "ranges" for span in zip(*how, strict=True))
        for (key, start, length), (other, following, _) in pairwise(spans):
            assert key != other or start + length <= following


PLACES = {  # zooms above the base, column and row of the tile; the parts that it needs
    "inside": ((4, 8, 8), 1),
    "inside, one zoom above": ((1, 1, 1), 1),
    "at an edge": ((4, 8, 0), 2),
    "at an edge, one zoom above": ((1, 1, -1), 2),
    "at a corner": ((4, 0, 0), 4),
    "at a corner, one zoom above": ((1, -1, 0), 4),
}


@pytest.mark.usefixtures("cold")
@pytest.mark.parametrize("place", PLACES)
def test_a_cold_tile_takes_three_requests_for_each_part_and_the_same_one_none(
    place: str, made: Made, s3_url: str, proxy: Proxy
) -> None:
    (layer, stores), (where, parts) = made, PLACES[place]
    copied(stores.sources, open_store(s3_url))
    cloud = Stores(memory(), open_store(s3_url, s3=S3(proxy.url)), "")
    tile = at_corner(layer, *where)
    assert alone(layer, cloud, tile) == alone(layer, stores, tile)
    assert dict(proxy.requests) == {("GET", "passed"): 3 * parts}
    assert alone(layer, cloud, tile) == alone(layer, stores, tile)
    assert dict(proxy.requests) == {("GET", "passed"): 3 * parts}


class Meeting(Proxy):
    """Passes requests on in groups of `size`, once all of a group are there."""

    def __init__(self, upstream: str, size: int) -> None:
        super().__init__(upstream)
        self.groups = threading.Barrier(size, timeout=PATIENCE)
        self.lonely = 0  # requests that waited in vain, and those after them

    def _pass(self, exchange: Exchange, kind: Any = None) -> None:
        try:
            self.groups.wait()
        except threading.BrokenBarrierError:
            self.lonely += 1
        super()._pass(exchange, kind)


@pytest.mark.usefixtures("cold")
@pytest.mark.parametrize("place", [place for place, (_, parts) in PLACES.items() if parts > 1])
def test_the_requests_of_neighbours_are_in_flight_at_the_same_time(
    place: str, made: Made, s3_url: str, s3_server: str
) -> None:
    """Their shards, then their headers, then their blocks: so many waits as for a tile inside a part."""
    (layer, stores), (where, parts) = made, PLACES[place]
    copied(stores.sources, open_store(s3_url))
    with Meeting(s3_server, parts) as proxy:
        cloud = Stores(memory(), open_store(s3_url, s3=S3(proxy.url)), "")
        assert alone(layer, cloud, at_corner(layer, *where))
        assert (sum(proxy.requests.values()), proxy.lonely) == (3 * parts, 0)


@pytest.mark.usefixtures("cold")
def test_a_block_of_enlarged_tiles_reads_nothing_twice(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, stores = made
    sources, read = copied(stores.sources, memory()), Read(monkeypatch)
    tiles = list(render(layer, sources, Block.of(at_corner(layer, 3)), (1 << 64) - 1, PNG))
    assert sum(data is not None for _, data in tiles) > 20
    read.check_none_twice()
    assert len(read) < 20


@pytest.mark.parametrize("kept", [0, 200_000, 1 << 23])
def test_windows_in_a_store_have_the_pixels_of_the_folder(
    kept: int, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little a thread keeps; even without room for blocks, a window takes each of them once."""
    layer, stores = made
    monkeypatch.setattr(gdal_reads, "KEPT", kept)
    as_new()
    sources, read, base = copied(stores.sources, memory()), Read(monkeypatch), pyramid_of(layer).z

    @settings(max_examples=examples(25))
    @given(st.integers(base - 1, base + 2), st.data())
    def same(zoom: int, data: st.DataObject) -> None:
        middle, near = 256 << zoom - 1, st.integers(-400, 300)
        sizes = st.integers(1, 500)
        window = Window(zoom, middle + data.draw(near), middle + data.draw(near), data.draw(sizes), data.draw(sizes))
        read.clear()
        found, wanted = (
            PartPixels(layer, pyramid_of(layer), each, zoom).read(window) for each in (sources, stores.sources)
        )
        read.check_none_twice()
        assert np.array_equal(found[0], wanted[0])
        assert (found[1] is None and wanted[1] is None) or np.array_equal(found[1], wanted[1])
        assert set(Counter((verb, key) for verb, key, _ in read).values()) <= {1}
        assert gdal_reads._local.size == sum(map(len, gdal_reads._local.blocks.values())) <= max(kept, WINDOW)

    same()


@pytest.mark.usefixtures("cold")
def test_whichever_request_fails_the_tile_is_a_store_error_and_the_next_try_is_right(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, stores = made
    tile, failing, seen = at_corner(layer, 2), set[int](), list[str]()

    def fail(verb: str) -> None:
        seen.append(verb)
        if len(seen) in failing:
            raise StoreError("read", "some key", "told to fail")

    truth, sources = alone(layer, stores, tile), copied(stores.sources, memory())
    as_new()
    Read(monkeypatch, fail)
    cloud = Stores(memory(), sources, "")
    assert alone(layer, cloud, tile) == truth
    assert len(seen) == 12
    for number in range(1, 13):
        as_new()
        seen.clear()
        failing.add(number)
        with pytest.raises(StoreError, match="told to fail"):
            alone(layer, cloud, tile)
        failing.clear()
        assert alone(layer, cloud, tile) == truth


@pytest.mark.usefixtures("cold")
@pytest.mark.parametrize("damage", ["gone", "cut off", "zeros"])
def test_a_damaged_neighbour_is_named(damage: str, made: Made) -> None:
    layer, stores = made
    sources = copied(stores.sources, memory())
    part = parts_of(layer, stores)[Place(0, *(at_corner(layer, 0)[axis] // 64 - 1 for axis in (0, 1)))]
    key = key_of(layer, part)
    data = sources.get(key)
    sources.delete([key])
    if damage != "gone":
        changed = data[:-100] if damage == "cut off" else bytes(len(data))
        sources.put(key, changed, content_type="image/tiff")
    for _ in range(2):
        with pytest.raises(SourceReadError) as caught:
            alone(layer, Stores(memory(), sources, ""), at_corner(layer, 4))
        assert key in str(caught.value)
    assert alone(layer, Stores(memory(), sources, ""), at_corner(layer, 4, 8, 8))


@pytest.mark.usefixtures("cold")
def test_the_parts_of_a_layer_are_all_found_by_shards_read_at_the_same_time(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, stores = made
    sources, shards = copied(stores.sources, memory()), pyramid_of(layer).shards
    groups = threading.Barrier(len(shards), timeout=PATIENCE)
    read = Read(monkeypatch, lambda _: groups.wait())
    assert pyramid_of(layer).parts(layer.id, sources) == parts_of(layer, stores)
    assert sorted(key for _, key, _ in read) == sorted(keys.shard_key(layer.id, name) for name in shards.values())
