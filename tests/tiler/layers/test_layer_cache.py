"""A cache of layers reads metadata again in time, and no more often."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from tests.support.clock import Clock
from tests.support.layer_strategies import GLOBE
from tiler.errors import BadName, CatalogError, StoreError
from tiler.layers.catalog import Layer, dump
from tiler.layers.layer_cache import KNOWN, Layers
from tiler.storage.store import Store, open_store

KEY = "sources/relief/index.json"
RELIEF = replace(GLOBE, id="relief")
NEWER = replace(RELIEF, revision="9f2d")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time by which layers are believed."""
    clock = Clock()
    monkeypatch.setattr("tiler.layers.layer_cache.time", clock)
    return clock


def counted(store: Store) -> tuple[Store, list[str]]:
    """A store, and the keys that are read of it."""
    read: list[str] = []

    class Counted(Store):
        def get(self, key: str) -> bytes:
            read.append(key)
            return super().get(key)

    return Counted(store.url, store.backend, store.s3), read


def held(*layers: Layer) -> Store:
    """A store with the metadata of `layers`."""
    store = open_store(f"memory://{uuid4().hex}")
    for layer in layers:
        store.put(f"sources/{layer.id}/index.json", dump(layer), content_type="application/json")
    return store


def test_a_layer_is_believed_for_so_many_seconds_and_then_read_again(clock: Clock) -> None:
    sources, read = counted(held(RELIEF))
    layers = Layers(sources, ttl=15)
    assert layers.get("relief") == RELIEF
    sources.put(KEY, dump(NEWER), content_type="application/json")
    clock.now += 14.9
    assert layers.get("relief") == RELIEF
    assert read == [KEY]
    clock.now += 0.1
    assert layers.get("relief") == NEWER
    assert layers.get("relief") == NEWER
    assert read == [KEY] * 2


def test_a_layer_that_was_read_again_is_believed_anew(clock: Clock) -> None:
    sources, read = counted(held(RELIEF))
    layers = Layers(sources, ttl=15)
    for _ in range(100):
        layers.get("relief")
        clock.now += 10
    assert len(read) == 50


def test_without_belief_a_layer_is_read_each_time_and_parsed_when_it_changed() -> None:
    sources, read = counted(held(RELIEF))
    layers = Layers(sources)
    first = layers.get("relief")
    assert layers.get("relief") is first
    sources.put(KEY, dump(NEWER), content_type="application/json")
    assert layers.get("relief") == NEWER
    assert len(read) == 3


def test_a_layer_that_vanishes_is_gone_and_one_that_comes_is_there(clock: Clock) -> None:
    sources = held(RELIEF)
    layers = Layers(sources, ttl=15)
    assert (layers.get("relief"), layers.get("ortho")) == (RELIEF, None)
    sources.delete([KEY])
    sources.put("sources/ortho/index.json", dump(replace(RELIEF, id="ortho")), content_type="application/json")
    assert (layers.get("relief"), layers.get("ortho")) == (RELIEF, None)
    clock.now += 15
    assert (layers.get("relief"), layers.get("ortho")) == (None, replace(RELIEF, id="ortho"))


def test_a_broken_index_is_an_error_until_it_is_mended(clock: Clock) -> None:
    sources = held(RELIEF)
    layers = Layers(sources, ttl=15)
    assert layers.get("relief") == RELIEF
    sources.put(KEY, b"{", content_type="application/json")
    clock.now += 15
    for _ in range(2):
        with pytest.raises(CatalogError):
            layers.get("relief")
    sources.put(KEY, dump(NEWER), content_type="application/json")
    assert layers.get("relief") == NEWER


def test_a_store_that_does_not_answer_is_an_error_and_no_missing_layer(clock: Clock) -> None:
    assert clock

    class Silent(Store):
        def get(self, key: str) -> bytes:
            raise StoreError("read", key, "told to fail")

    store = held(RELIEF)
    with pytest.raises(StoreError):
        Layers(Silent(store.url, store.backend), ttl=15).get("relief")


def test_names_that_no_layer_can_have_are_refused_before_anything_is_read() -> None:
    sources, read = counted(held(RELIEF))
    for name in ("", "..", "sources", "Relief", "relief/", "a" * 64):
        with pytest.raises(BadName):
            Layers(sources, ttl=15).get(name)
    assert read == []


def test_no_more_names_are_remembered_than_fit_whoever_asks_for_what(clock: Clock) -> None:
    sources, read = counted(held(RELIEF))
    layers = Layers(sources, ttl=1e9)
    for number in range(3 * KNOWN):
        assert layers.get(f"no-{number}") is None
        assert layers.get("relief") == RELIEF
        clock.now += 1
    assert len(layers._known) == KNOWN
    assert read.count(KEY) <= 1 + 3 * KNOWN // (KNOWN - 1)
