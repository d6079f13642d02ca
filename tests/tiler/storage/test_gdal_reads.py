"""COGs in S3 read like files, in few requests; errors are reported precisely, and not cached."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mercantile import Tile
from rasterio.session import DummySession

from tests.e2e.proxy import Fault, Proxy
from tests.support.effort import examples
from tests.support.layers import MakeLayer
from tests.support.oracle import alone
from tests.support.rasters import MakeRaster, scene
from tests.support.site import copied, memory, private, without_blocks
from tiler.errors import SourceReadError, StoreError
from tiler.grid import EXTENT
from tiler.image.style import Area
from tiler.ingest.cog import Blocks, Level, Profile, Spool, assemble, compress_mask, compress_values
from tiler.keys import part_key
from tiler.layers.catalog import Layer
from tiler.layers.cog_layout import DIRECTORY, CogLayout
from tiler.layers.pyramid import Pyramid, _shards
from tiler.raster.datasets import forget, opened
from tiler.raster.warp import read
from tiler.settings import S3
from tiler.storage import cog_bytes, gdal_reads
from tiler.storage.cog_bytes import PAGE, CogBytes
from tiler.storage.gdal_reads import location, shown
from tiler.storage.store import Store, Stores, open_store

pytestmark = pytest.mark.usefixtures("collected")

SIDE, LEVELS = 80, 3  # tiles along the side of a COG whose header does not fit a page, and its levels
KEY = "sources/wide/0000/index.tif"
Place = tuple[int, int, int, int]  # column, row, width, height


def held(side: int) -> list[tuple[int, int]]:
    """Rows and columns of the stored blocks of a level."""
    middle = side // 2
    return [(0, 0), (0, 1), (middle, middle), (middle, middle + 1), (side - 1, side - 1)]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COG of few blocks, with a mask; many blocks are omitted."""
    folder = tmp_path_factory.mktemp("wide")
    spool, profile = Spool(folder), Profile("uint8", 3)
    rows, columns = np.mgrid[0:256, 0:256]
    levels = []
    for level in range(LEVELS):
        side = SIDE >> level
        values, mask = Blocks(side, side), Blocks(side, side)
        for number, place in enumerate(held(side)):
            bands = [(rows * 3 + columns * (5 + band) + 40 * number + level) % 251 + 1 for band in range(3)]
            values.set(*place, 0, spool.add(compress_values(np.array(bands).astype(np.uint8), profile)))
            cover = ((rows + columns + number) % 256).astype(np.uint8)
            mask.set(*place, 0, spool.add(compress_mask(cover)))
        levels.append(Level(side * 256, side * 256, values, mask))
    spool.flush()
    assemble(folder / "wide.tif", levels, profile, origin=(0.0, 0.0), pixel=1.0, spools=[spool.path])
    assert SIDE * SIDE * 8 > PAGE / 2
    return folder / "wide.tif"


def pixels(path: str, level: int, place: Place) -> Area:
    """Values and mask of a window, as tiles are read."""
    with rasterio.Env(session=DummySession()):
        return read(opened(path, level, cog=True), place, bands=3, masked=True)


def same(one: Area, other: Area) -> bool:
    """Whether two windows show the same."""
    return all(np.array_equal(cast(Any, a), cast(Any, b)) for a, b in zip(one, other, strict=True))


@st.composite
def windows(draw: st.DrawFn) -> tuple[int, Place]:
    """A level and a window near a stored block, sometimes across an edge."""
    level = draw(st.integers(0, LEVELS - 1))
    row, column = draw(st.sampled_from(held(SIDE >> level)))
    step, size = st.integers(-300, 300), st.integers(1, 600)
    return level, (column * 256 + draw(step), row * 256 + draw(step), draw(size), draw(size))


@pytest.fixture(params=["memory", "s3"])
def elsewhere(request: pytest.FixtureRequest) -> Store:
    """An empty store in memory or S3."""
    return memory() if request.param == "memory" else open_store(f"{request.getfixturevalue('s3_url')}/some/prefix")


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(windows())
@example((0, (-10, -20, 600, 700)))
@example((1, (SIDE // 2 * 256 - 100, SIDE // 2 * 256 - 100, 300, 300)))
@example((2, (0, 0, 1, 1)))
def test_a_cog_in_a_store_has_the_pixels_of_the_file(elsewhere: Store, wide: Path, window: tuple[int, Place]) -> None:
    if not elsewhere.has(KEY):
        elsewhere.put(KEY, wide.read_bytes(), content_type="image/tiff")
    assert same(pixels(location(elsewhere, KEY), *window), pixels(str(wide), *window))


@pytest.mark.parametrize("level", range(LEVELS))
def test_a_tile_of_a_cold_cog_takes_two_requests(level: int, wide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One for all directories, one for the values with the mask, however many pages the directories take."""
    monkeypatch.setattr(cog_bytes, "PAGE", 1 << 10)
    store, asked = memory(), list[Any]()
    store.put(KEY, wide.read_bytes(), content_type="image/tiff")

    def counted(do: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *said: (asked.append(said), do(*said))[1]

    monkeypatch.setattr(Store, "first", counted(Store.first))
    monkeypatch.setattr(Store, "ranges", counted(Store.ranges))
    head = CogLayout(10, 0, 0, SIDE, SIDE, LEVELS, opaque=False).head
    row, column = held(SIDE >> level)[-1]
    values, mask = pixels(location(store, KEY, head), level, (column * 256, row * 256, 256, 256))
    assert values.any()
    assert mask is not None
    assert mask.any()
    assert len(asked) == 2


@pytest.mark.parametrize("opaque", [False, True])
def test_the_head_of_a_cog_holds_its_directories_and_little_more(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores, *, opaque: bool
) -> None:
    mask = None if opaque else np.triu(np.full((900, 900), 255, np.uint8))
    bounds = (-180.0, -85.06, 180.0, 85.06) if opaque else (0.0, 0.0, 3.0, 3.0)
    layer = make_layer(make_raster(values=scene(900, 900), bounds=bounds, mask=mask))
    assert isinstance(layer.bake, Pyramid)
    assert layer.bake.opaque == opaque
    for part in layer.bake.parts(layer.id, stores.sources).values():
        starts = []
        for level in range(part.layout.levels):
            options = {"OVERVIEW_LEVEL": level - 1} if level else {}
            with rasterio.open(location(stores.sources, part_key(layer.id, part.name)), **options) as cog:
                rows, columns = -(-cog.height // 256), -(-cog.width // 256)
                starts += [
                    cog.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=1)
                    for row in range(rows)
                    for column in range(columns)
                ]
        end = min(int(start) for start in starts if start)
        assert end <= part.layout.head <= end + 2 * part.layout.levels * DIRECTORY


class Flaky:
    """A store in memory that fails at the given requests, numbered from 1."""

    root = None
    url = "memory://flaky"

    def __init__(self, data: bytes) -> None:
        self.fails: Collection[int] = ()
        self.seen = 0
        self._store = memory()
        self._store.put(KEY, data, content_type="image/tiff")

    def _serve(self) -> None:
        self.seen += 1
        if self.seen in self.fails:
            raise StoreError("read", KEY, "told to fail")

    def first(self, key: str, length: int) -> tuple[bytes, int]:
        """See `Store.first`."""
        self._serve()
        return self._store.first(key, length)

    def ranges(self, key: str, starts: Sequence[int], lengths: Sequence[int]) -> list[bytes]:
        """See `Store.ranges`."""
        self._serve()
        return self._store.ranges(key, starts, lengths)


MIDDLE = SIDE // 2 * 256
OUTAGES = [1, 2, 3, 100]  # requests that fail one after another


@pytest.mark.parametrize(
    ("level", "place"),
    [
        (0, (0, 0, 512, 256)),
        (0, (MIDDLE, MIDDLE, 512, 256)),
        (0, ((SIDE - 1) * 256, (SIDE - 1) * 256, 256, 300)),
        (1, (MIDDLE // 2 - 50, MIDDLE // 2 - 50, 300, 300)),
        (2, (-10, -10, 300, 300)),
    ],
)
def test_whenever_the_store_fails_no_pixel_is_wrong_and_nothing_is_remembered(
    level: int, place: Place, wide: Path
) -> None:
    data, truth = wide.read_bytes(), pixels(str(wide), level, place)
    well = Flaky(data)
    assert same(pixels(location(cast(Store, well), KEY), level, place), truth)
    assert 4 < well.seen < 20
    wrong = []
    for first in range(1, well.seen + 1):
        for length in OUTAGES:
            forget()
            flaky = Flaky(data)
            path = location(cast(Store, flaky), KEY)
            flaky.fails = range(first, first + length)
            try:
                found = "right" if same(pixels(path, level, place), truth) else "wrong"
            except StoreError as error:
                found = "told" if "told to fail" in str(error) else repr(error)
            flaky.fails = ()
            try:
                later = "right" if same(pixels(path, level, place), truth) else "wrong"
            except (StoreError, SourceReadError) as error:
                later = repr(error)
            if found not in ("right", "told") or later != "right":
                wrong.append((first, length, found, later))
    assert wrong == []


def tile_of(layer: Layer, store: Store, *, deeper: int = 0) -> bytes | None:
    """A tile of the layer, with data, some zooms above its deepest."""
    z = layer.maxzoom - deeper
    return alone(layer, Stores(memory(), store, ""), Tile(x=266 >> deeper, y=180 >> deeper, z=z))


@pytest.fixture
def s3_alps(alps_data: Path, s3_url: str, proxy: Proxy) -> Callable[..., Store]:
    """Makes the private store with the layer `alps`, behind a proxy, with so much patience."""
    copied(private(alps_data), open_store(f"{s3_url}/private"))

    def make(patience: float = 10.0) -> Store:
        return open_store(f"{s3_url}/private", s3=S3(proxy.url, patience=patience))

    forget()
    gdal_reads._cog.cache_clear()
    _shards.clear()
    return make


def asked(proxy: Proxy) -> int:
    """How many GETs came since the last look; other requests fail the test."""
    seen = dict(proxy.requests)
    proxy.requests.clear()
    assert set(seen) <= {("GET", "passed")}
    return sum(seen.values())


def test_a_cold_tile_takes_three_requests_a_warm_one_one_and_the_same_one_none(
    s3_alps: Callable[..., Store], proxy: Proxy, alps: Layer
) -> None:
    """A shard of the manifest, the head of a part, a block with its mask; later only the last."""
    store = s3_alps()
    assert alps.bake is not None
    assert not alps.bake.opaque  # its blocks have masks
    cold = set[tuple[int, ...]]()
    for deeper in range(alps.maxzoom + 1):
        tier, level = divmod(deeper, 3)
        assert tile_of(alps, store, deeper=deeper)
        assert asked(proxy) <= (3 if (tier,) not in cold else 1), deeper
        cold |= {(tier,), (tier, level)}
        assert tile_of(alps, store, deeper=deeper)
        assert asked(proxy) == 0


def test_an_opaque_tile_takes_as_many(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores, s3_url: str, proxy: Proxy
) -> None:
    layer = make_layer(make_raster(values=scene(512, 512), crs="EPSG:3857", bounds=(-EXTENT, -EXTENT, EXTENT, EXTENT)))
    assert layer.bake is not None
    assert layer.bake.opaque
    store = open_store(s3_url, s3=S3(proxy.url))
    copied(stores.sources, store)
    proxy.requests.clear()
    _shards.clear()
    assert alone(layer, Stores(memory(), store, ""), Tile(x=1, y=0, z=layer.maxzoom))
    assert asked(proxy) == 3


FAULTS = ["slow down", "error", "drop", "cut", "denied"]


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("begun", [False, True], ids=["opening", "reading"])
def test_a_store_that_fails_is_a_store_error_and_the_next_try_is_as_good_as_new(
    kind: Any, begun: bool, s3_alps: Callable[..., Store], proxy: Proxy, alps: Layer, alps_data: Path
) -> None:
    truth = tile_of(alps, private(alps_data))
    store = s3_alps(0.15)
    if begun:
        assert tile_of(alps, store, deeper=9)
    proxy.add(Fault(kind))
    with pytest.raises(StoreError) as caught:
        tile_of(alps, store)
    assert alps.source in str(caught.value)
    proxy.clear()
    assert tile_of(alps, store) == truth


@pytest.mark.parametrize("kind", [kind for kind in FAULTS if kind != "denied"])
@pytest.mark.parametrize("begun", [False, True], ids=["opening", "reading"])
def test_a_short_trouble_is_waited_out(
    kind: Any, begun: bool, s3_alps: Callable[..., Store], proxy: Proxy, alps: Layer, alps_data: Path
) -> None:
    store = s3_alps(10)
    if begun:
        assert tile_of(alps, store, deeper=9)
    proxy.requests.clear()
    proxy.add(Fault(kind, count=2))
    assert tile_of(alps, store) == tile_of(alps, private(alps_data))
    assert proxy.requests["GET", kind] == 2


def test_an_object_that_is_not_there_is_a_source_that_cannot_be_read_until_it_is_there(
    elsewhere: Store, wide: Path
) -> None:
    path = location(elsewhere, KEY)
    for _ in range(2):
        with pytest.raises(SourceReadError, match="no such object") as caught:
            pixels(path, 0, (0, 0, 256, 256))
        assert f"{elsewhere.url}/{KEY}" in str(caught.value)
    elsewhere.put(KEY, wide.read_bytes(), content_type="image/tiff")
    assert same(pixels(path, 0, (0, 0, 256, 256)), pixels(str(wide), 0, (0, 0, 256, 256)))


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "zeros for blocks": without_blocks,
    "all zeros": lambda data: bytes(len(data)),
    "no blocks": lambda data: without_blocks(data).rstrip(b"\0"),
    "most of the file": lambda data: data[:-2000],
    "a few bytes": lambda data: data[:10],
    "another kind": lambda data: b"<!doctype html>" + data,
}


@pytest.mark.parametrize("how", BROKEN)
def test_an_object_that_is_broken_is_a_source_that_cannot_be_read(how: str, elsewhere: Store, wide: Path) -> None:
    elsewhere.put(KEY, BROKEN[how](wide.read_bytes()), content_type="image/tiff")
    path = location(elsewhere, KEY)
    for _ in range(2):
        with pytest.raises(SourceReadError) as caught:
            pixels(path, 0, (SIDE * 256 - 300, SIDE * 256 - 300, 300, 300))
        assert f"{elsewhere.url}/{KEY}" in str(caught.value)


def test_one_place_has_one_name(s3_url: str, tmp_path: Path) -> None:
    name = location(open_store(s3_url), KEY)
    known = len(gdal_reads._stores)
    for _ in range(3):
        assert location(open_store(s3_url), KEY) == name
    assert len(gdal_reads._stores) == known
    assert location(open_store(f"{s3_url}/other"), KEY) != name
    assert shown(name) == f"{s3_url}/{KEY}"
    folder = open_store(tmp_path.as_uri(), create=True)
    assert location(folder, KEY) == shown(location(folder, KEY)) == str(tmp_path / KEY)


MOVES = st.one_of(
    st.tuples(st.just("seek"), st.integers(0, 400), st.just(os.SEEK_SET)),
    st.tuples(st.just("seek"), st.integers(-20, 60), st.just(os.SEEK_CUR)),
    st.tuples(st.just("seek"), st.integers(-60, 20), st.just(os.SEEK_END)),
    st.tuples(st.just("read"), st.integers(-1, 60)),
    st.tuples(st.just("tell")),
)


@given(st.integers(1, 300), st.lists(MOVES, max_size=30), st.integers(1, 40), st.integers(1, 5))
@example(300, [move for at in range(0, 300, 20) for move in (("seek", at, os.SEEK_SET), ("read", 20))], 20, 3)
def test_an_object_is_read_as_a_file_is(size: int, moves: list[tuple[Any, ...]], page: int, pages: int) -> None:
    data = bytes(number % 251 for number in range(size))
    store = memory()
    store.put(KEY, data, content_type="image/tiff")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cog_bytes, "PAGE", page)
        patch.setattr(cog_bytes, "PAGES", pages)
        cog = CogBytes(store, KEY, page)
        file, truth = gdal_reads._File(store.url, cog), io.BytesIO(data)
        for name, *given_ in moves:
            if name == "seek" and given_[1] != os.SEEK_SET and file.tell() + given_[0] < 0:
                continue  # GDAL never does
            if name == "seek" and given_[1] == os.SEEK_END and len(data) + given_[0] < 0:
                continue
            assert getattr(file, name)(*given_) == getattr(truth, name)(*given_), (name, given_)
            assert len(cog._kept) <= pages


@given(st.binary(min_size=60, max_size=300), st.lists(st.tuples(st.integers(0, 50), st.integers(1, 10)), max_size=9))
def test_ranges_of_an_object_are_its_parts(data: bytes, parts: list[tuple[int, int]]) -> None:
    store = memory()
    store.put(KEY, data, content_type="image/tiff")
    file = gdal_reads._File(store.url, CogBytes(store, KEY, PAGE))
    found = file.get_byte_ranges([start for start, _ in parts], [length for _, length in parts])
    assert found == [data[start : start + length] for start, length in parts]
