"""Revisions of a layer are kept unchanged and can be restored; a crash leaves either the old or the new one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeder.jobs.ledger import jobs
from tests.support.baked import bytes_of_parts, remove_parts, stored_parts
from tests.support.layer_strategies import GLOBE, layers
from tests.support.layers import cog_key, silent
from tests.support.oracle import alone, tiles_of
from tests.support.rasters import MakeRaster, scene
from tests.support.site import memory
from tests.support.strategies import formats
from tiler.choices import TERRAINS
from tiler.errors import BadInput, BadOption, MissingObject, StoreError, UnknownLayer
from tiler.ingest import ingest as ingest_module
from tiler.ingest.ingest import Ingested, ingest, restore
from tiler.keys import clock_key, index_key, tilejson_key
from tiler.layers.catalog import (
    RESAMPLINGS,
    CogLayout,
    Layer,
    Options,
    dump,
    load_layer,
    load_revision,
    parse,
    revisions,
)
from tiler.layers.history import UNKNOWN
from tiler.layers.publication import publish
from tiler.layers.tilejson import announce, shown
from tiler.storage.store import Store, Stores, open_store

NAME = "globe"
BAKED = replace(GLOBE, bake=CogLayout(9, 0, 0, 512, 512, 10, opaque=True))
numbers = st.floats(allow_nan=True, allow_infinity=True)
finite = st.floats(allow_nan=False, allow_infinity=False)
options = st.builds(
    Options,
    min_zoom=st.none() | st.integers(0, 28),
    max_zoom=st.none() | st.integers(0, 28),
    resampling=st.none() | st.sampled_from(RESAMPLINGS),
    nodata=st.none() | numbers,
    bands=st.lists(st.integers(1, 12), max_size=3).map(tuple),
    rescale=st.lists(st.tuples(finite, finite), max_size=3).map(tuple),
    format=formats | st.just("auto"),
    attribution=st.text(max_size=20),
    virtual=st.booleans(),
    style=st.sampled_from(["", *TERRAINS]),
    colormap=st.text(max_size=20),
)
names = st.text("0123456789abcdef", min_size=12, max_size=12)
Hurt = Callable[[Path], object]
Breaking = Callable[..., list[str]]


def in_memory() -> Stores:
    return Stores(memory(), memory(), "http://tiles.test")


def as_revision(revision: str, previous: str = "") -> Layer:
    return replace(BAKED, revision=revision, previous=previous, source=cog_key(NAME, revision))


def published(stores: Stores, *order: str) -> dict[str, Layer]:
    """The layer in each of its revisions, one after the other; the last of a name counts."""
    found, previous = {}, ""
    for revision in order:
        found[revision] = as_revision(revision, previous)
        stores.sources.put(found[revision].source, b"pixels", content_type="image/tiff")
        publish(found[revision], stores)
        previous = revision
    return found


def contents(stores: Stores) -> dict[str, bytes]:
    return {entry.key: store.get(entry.key) for store in (stores.tiles, stores.sources) for entry in store.list("")}


def raster(make: MakeRaster, seed: int, name: str = "source.tif") -> Path:
    return make(values=scene(60, 80, 1, seed=seed), name=name)


def take(path: object, stores: Stores, **asked: Any) -> Ingested:
    quick = Options(resampling="nearest", **asked)
    return ingest(str(path), "layer", quick, stores, jobs=1, progress=silent)


def named(stores: Stores, layer: str) -> str:
    """The revision in the tile URLs of TileJSON."""
    (address,) = json.loads(stores.tiles.get(tilejson_key(layer)))["tiles"]
    return str(address.partition("?v=")[2])


@given(layers(), options, names | st.just(""), st.none() | numbers)
def test_what_was_asked_and_what_was_before_survive_the_index(
    layer: Layer, asked: Options, previous: str, nodata: float | None
) -> None:
    layer = replace(layer, asked=asked, previous=previous, nodata=nodata)
    data = dump(layer)
    json.loads(data, parse_constant=pytest.fail)
    found = parse(data, "index.json")
    assert repr(found) == repr(layer)  # no two numbers that are none are equal


def test_each_revision_is_kept_as_it_was_when_it_was_the_current_one(make_raster: MakeRaster, stores: Stores) -> None:
    found: list[Layer] = []
    for seed in range(3):
        found.append(take(raster(make_raster, seed), stores).layer)
        assert load_layer(stores.sources, "layer") == found[-1]
        assert [load_revision(stores.sources, "layer", each.revision) for each in found] == found
    assert [each.previous for each in found] == ["", found[0].revision, found[1].revision]
    assert set(revisions(stores.sources, "layer")) == {each.revision for each in found}
    assert load_revision(stores.sources, "layer", "0" * 12) is None


@pytest.mark.parametrize("virtual", [False, True], ids=["baked", "virtual"])
def test_an_earlier_raster_comes_back_without_being_baked_again(
    virtual: bool, make_raster: MakeRaster, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [raster(make_raster, seed, f"{seed}.tif") for seed in range(2)]
    first, second = (take(path, stores, virtual=virtual).layer for path in paths)
    tile = tiles_of(first, first.maxzoom)[0]
    before = alone(first, stores, tile)
    monkeypatch.setattr(ingest_module, "bake_layer", pytest.fail)
    again = take(paths[0], stores, virtual=virtual)
    assert again.fresh
    assert again.layer == replace(first, previous=second.revision) == load_layer(stores.sources, "layer")
    assert load_revision(stores.sources, "layer", first.revision) == again.layer
    assert alone(again.layer, stores, tile) == before
    assert take(paths[1], stores, virtual=virtual).layer == replace(second, previous=first.revision)


def test_an_earlier_raster_is_baked_again_where_its_parts_are_gone(make_raster: MakeRaster, stores: Stores) -> None:
    paths = [raster(make_raster, seed, f"{seed}.tif") for seed in range(2)]
    first, second = (take(path, stores).layer for path in paths)
    before = bytes_of_parts(first, stores)
    remove_parts(first, stores)
    assert take(paths[0], stores).layer == replace(first, previous=second.revision)
    assert bytes_of_parts(first, stores) == before


@pytest.mark.parametrize("lost", ["tile.json", "parts"])
def test_a_revision_that_is_mended_still_knows_the_one_before(
    lost: str, make_raster: MakeRaster, stores: Stores
) -> None:
    first, second = (take(raster(make_raster, seed), stores).layer for seed in range(2))
    stores.tiles.delete([tilejson_key("layer")] if lost == "tile.json" else [])
    if lost == "parts":
        remove_parts(second, stores)
    assert take(raster(make_raster, 1), stores).layer == second
    assert second.previous == first.revision


@pytest.mark.parametrize("between", [False, True], ids=["at once", "after another"])
def test_a_virtual_layer_whose_raster_has_moved_reads_it_where_it_is(
    between: bool, make_raster: MakeRaster, stores: Stores, tmp_path: Path
) -> None:
    path = raster(make_raster, 7)
    first = take(path, stores, virtual=True).layer
    if between:
        take(raster(make_raster, 8, "other.tif"), stores, virtual=True)
    moved = path.rename(tmp_path / "moved.tif")
    layer = take(moved, stores, virtual=True).layer
    assert (layer.revision, layer.source) == (first.revision, str(moved))
    assert load_layer(stores.sources, "layer") == layer


@given(st.lists(names, min_size=1, max_size=5), st.data())
def test_a_revision_that_is_restored_is_what_it_was_and_the_others_are_untouched(
    order: list[str], data: st.DataObject
) -> None:
    stores = in_memory()
    known = published(stores, *order)
    chosen = data.draw(st.sampled_from(order))
    assert restore(NAME, chosen, stores) == known[chosen] == load_layer(stores.sources, NAME)
    assert {each: load_revision(stores.sources, NAME, each) for each in order} == known
    back = data.draw(st.sampled_from(order))
    assert restore(NAME, back, stores) == known[back] == load_layer(stores.sources, NAME)


@pytest.mark.parametrize("revision", ["0003", "0001/", "0001/index.json", "", ".", "..", "../globe/0001", "ü"])
def test_a_revision_that_is_not_kept_is_refused_with_those_that_are(revision: str, stores: Stores) -> None:
    published(stores, "0001", "0002")
    before = contents(stores)
    with pytest.raises(BadInput, match=r"not kept: choose one of 0001, 0002"):
        restore(NAME, revision, stores)
    assert contents(stores) == before


def test_a_layer_that_is_not_there_has_nothing_to_restore(store: Store) -> None:
    with pytest.raises(BadOption, match="not kept: no other revision is kept"):
        restore(NAME, "0001", Stores(store, store, "http://tiles.test"))
    assert list(store.list("")) == []


def test_a_revision_whose_cog_is_gone_is_refused_and_nothing_changes(store: Store) -> None:
    stores = Stores(store, store, "http://tiles.test")
    known = published(stores, "0001", "0002")
    stores.sources.delete([known["0001"].source])
    before = contents(stores)
    with pytest.raises(BadOption, match=r"0001/index\.tif, is gone or has changed"):
        restore(NAME, "0001", stores)
    assert contents(stores) == before


@pytest.mark.parametrize(
    "hurt",
    [
        Path.unlink,
        lambda path: path.write_bytes(b"II*\0 no raster any more"),
        lambda path: path.write_bytes(path.read_bytes() + b"\0"),
        lambda path: path.with_name("other.tif").replace(path),
    ],
    ids=["missing", "broken", "longer", "another"],
)
def test_a_virtual_revision_comes_back_only_while_its_raster_is_what_it_was(
    hurt: Hurt, make_raster: MakeRaster, stores: Stores
) -> None:
    path = raster(make_raster, 7, "first.tif")
    first = take(path, stores, virtual=True, nodata=3.0).layer
    second = take(raster(make_raster, 8, "other.tif"), stores, virtual=True).layer
    assert restore("layer", first.revision, stores) == first
    publish(second, stores)
    hurt(path)
    before = contents(stores)
    with pytest.raises(BadOption, match="gone or has changed: ingest it again"):
        restore("layer", first.revision, stores)
    assert contents(stores) == before


@pytest.mark.parametrize("stored", [False, True], ids=["no tile", "a tile"])
def test_maps_are_told_of_a_revision_at_once_only_where_no_older_tile_is_stored(stored: bool, store: Store) -> None:
    stores = Stores(store, memory(), "http://tiles.test")
    published(stores, "0001")
    if stored:
        store.put(f"{NAME}/0/0/0.png", b"old", content_type="image/png")
    known = published(stores, "0001", "0002")
    assert shown(NAME, store) == ("0001" if stored else "")
    assert named(stores, NAME) == ("0001" if stored else "0002")
    announce(known["0002"], stores)
    assert named(stores, NAME) == "0002"
    assert shown(NAME, store) == ("0002" if stored else "")


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b"null", b"{}", b'{"tiles":[]}', b"\xff"])
def test_a_damaged_tilejson_names_an_unknown_revision_until_it_is_mended(junk: bytes) -> None:
    """Not the current one: browsers would keep old tiles under its address."""
    stores = in_memory()
    stores.tiles.put(f"{NAME}/0/0/0.png", b"old", content_type="image/png")
    stores.tiles.put(tilejson_key(NAME), junk, content_type="application/json")
    assert shown(NAME, stores.tiles) == UNKNOWN
    publish(as_revision("0001"), stores)
    assert named(stores, NAME) == UNKNOWN
    announce(as_revision("0001"), stores)
    assert named(stores, NAME) == "0001"


def test_a_tilejson_without_a_revision_shows_none() -> None:
    stores = in_memory()
    stores.tiles.put(f"{NAME}/0/0/0.png", b"old", content_type="image/png")
    stores.tiles.put(tilejson_key(NAME), b'{"tiles":["x.png"]}', content_type="application/json")
    assert shown(NAME, stores.tiles) == ""


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Breaking:
    """Makes a put fail, before or after it is done, as when the process is killed there; returns the keys of puts."""
    puts: dict[str, Callable[..., None]] = {"put": Store.put, "put_file": Store.put_file}

    def arm(number: int = 0, *, done: bool = False) -> list[str]:
        seen: list[str] = []

        def breaks(verb: str) -> Callable[..., None]:
            def cut(store: Store, key: str, *args: Any, **kwargs: Any) -> None:
                seen.append(key)
                if len(seen) == number and not done:
                    raise KeyboardInterrupt
                puts[verb](store, key, *args, **kwargs)
                if len(seen) == number:
                    raise KeyboardInterrupt

            return cut

        for verb in puts:
            monkeypatch.setattr(Store, verb, breaks(verb))
        return seen

    return arm


def ready_parts(stores: Stores) -> set[str]:
    """The COGs of parts whose facts are stored too."""
    return {key for key in stored_parts("layer", stores) if stores.sources.has(key.removesuffix("tif") + "json")}


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("first", [False, True], ids=["next", "first"])
def test_an_ingest_that_is_killed_at_any_put_leaves_a_layer_that_loads_and_the_next_one_finishes(
    first: bool, done: bool, breaking: Breaking, make_raster: MakeRaster
) -> None:
    path, former = raster(make_raster, 7), raster(make_raster, 8, "old.tif")
    seen = breaking()
    stores = in_memory()
    whole = take(path, stores).layer
    puts, parts = len(seen), stored_parts("layer", stores)
    assert len(parts) > 1
    assert puts > 2 * len(parts) + 3
    assert seen[-1] == index_key("layer")
    for number in range(1, puts + 1):
        breaking()
        stores = in_memory()
        old = None if first else take(former, stores).layer
        breaking(number, done=done)
        with pytest.raises(KeyboardInterrupt):
            take(path, stores)
        last = number == puts and done
        try:
            layer = load_layer(stores.sources, "layer")
            assert (layer == old) is not last
            assert alone(layer, stores, tiles_of(layer, layer.maxzoom)[0])
        except UnknownLayer:
            assert old is None
            assert not last
        ready = ready_parts(stores)
        seen = breaking()
        made = take(path, stores)
        assert not ready & set(seen), "a part that was stored is not baked again"
        assert made.fresh is not last
        assert made.layer == replace(whole, previous=old.revision if old else "")
        assert parts <= ready_parts(stores)
        assert load_layer(stores.sources, "layer") == made.layer
        assert load_revision(stores.sources, "layer", made.layer.revision) == made.layer
        assert named(stores, "layer") == made.layer.revision
        assert alone(made.layer, stores, tiles_of(made.layer, made.layer.maxzoom)[0])


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_restore_that_is_killed_before_any_put_can_be_done_again(number: int, breaking: Breaking) -> None:
    stores = in_memory()
    known = published(stores, "0001", "0002")
    breaking(number)
    with pytest.raises(KeyboardInterrupt):
        restore(NAME, "0001", stores)
    assert load_layer(stores.sources, NAME) == known["0002"]
    breaking()
    assert restore(NAME, "0001", stores) == known["0001"] == load_layer(stores.sources, NAME)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """The folder of a store, with a sibling outside of it."""
    (tmp_path / "root").mkdir()
    (tmp_path / "beside.png").write_bytes(b"keep")
    yield tmp_path / "root"
    assert (tmp_path / "beside.png").read_bytes() == b"keep"
    assert (tmp_path / "root").is_dir()


def put(store: Store, *keys: str) -> None:
    for key in keys:
        store.put(key, b"", content_type="image/png")


def test_a_folder_deletes_all_that_it_can_before_it_tells_what_it_cannot(root: Path) -> None:
    store = open_store(root.as_uri())
    keys = [f"a/{x}/{y}.png" for x in range(3) for y in range(3)]
    put(store, *(key for key in keys if key != "a/1/1.png"), "a/1/1.png/inside")
    with pytest.raises(StoreError, match=r"delete a/1/1\.png|a/1/1\.png"):
        store.delete(keys)
    assert [entry.key for entry in store.list("")] == ["a/1/1.png/inside"]


def test_clearing_takes_away_what_lies_below_and_nothing_beside(root: Path) -> None:
    store = open_store(root.as_uri())
    put(store, "a/b/c/1.png", "a/b/2.png", "ab/3.png", "4.png")
    store.delete(["a/b/c/1.png", "none/at/all.png"])
    store.clear("a/b/")
    assert {str(path.relative_to(root)) for path in root.rglob("*")} == {"a", "ab", "ab/3.png", "4.png"}
    store.clear("none/")
    assert store.has("ab/3.png")


@pytest.mark.parametrize("key", ["../beside.png", "a/../../beside.png"])
def test_no_key_leads_out_of_the_folder(key: str, root: Path) -> None:
    store = open_store(root.as_uri())
    put(store, "a/1.png")
    with pytest.raises(StoreError, match="beside"):
        store.delete([key])
    assert store.has("a/1.png")


def test_what_is_put_while_others_delete_in_its_folder_is_there(root: Path) -> None:
    store = open_store(root.as_uri())

    def come_and_go(thread: int) -> int:
        for _ in range(200):
            put(store, f"a/b/c/{thread}.png")
            assert store.has(f"a/b/c/{thread}.png")
            store.delete([f"a/b/c/{thread}.png"])
        return thread

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(come_and_go, range(4))) == [0, 1, 2, 3]
    assert store.empty("")


def test_a_stores_clock_and_the_times_of_its_objects_are_one_time(store: Store) -> None:
    with pytest.raises(MissingObject):
        store.written("a.png")
    put(store, "a.png")
    now = store.clock(clock_key())
    put(store, "b.png")
    assert store.written("a.png") <= now <= store.written("b.png")
    assert now == store.written(clock_key())
    assert now.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - now) < timedelta(minutes=1)
    assert store.written("b.png") == next(entry.modified for entry in store.list("") if entry.key == "b.png")
    assert jobs(store) == []
