"""Of several publications at once one counts, and nothing of the others is seen."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.layer_strategies import GLOBE
from tests.support.site import memory
from tiler import keys
from tiler.errors import Changed, Superseded, UnknownLayer
from tiler.layers import history
from tiler.layers.catalog import Layer, dump, load_layer, undone
from tiler.layers.publication import check_index, describe, index_version, publish
from tiler.layers.tilejson import announce, named, tilejson
from tiler.raster.options import Options
from tiler.storage.store import Store, Stores, open_store

URL, NAME = "http://tiles.test", GLOBE.id
INDEX, PUBLIC, HISTORY = keys.index_key(NAME), keys.tilejson_key(NAME), keys.history_key(NAME)
OLD, ONE, OTHER = (
    replace(GLOBE, revision=revision, previous=previous, attribution=revision)
    for revision, previous in (("aaaa", ""), ("bbbb", "aaaa"), ("cccc", "aaaa"))
)
VERBS = ("put", "get", "version", "holds", "has", "written", "below", "pages", "delete")
ROUNDS = 8


def in_memory() -> Stores:
    return Stores(memory(), memory(), URL)


def contents(stores: Stores) -> dict[str, bytes]:
    """All objects."""
    return {entry.key: store.get(entry.key) for store in (stores.tiles, stores.sources) for entry in store.list("")}


def seen(stores: Stores) -> dict[str, bytes]:
    """What others see of the layer."""
    return {key: data for key, data in contents(stores).items() if key in (INDEX, PUBLIC, HISTORY)}


def put_tile(stores: Stores) -> None:
    stores.tiles.put(f"{NAME}/0/0/0.png", b"tile", content_type="image/png")


def revisions_of(stores: Stores) -> list[str]:
    """The revisions of the history, in order."""
    current = load_layer(stores.sources, NAME).revision
    known = history.publications(stores.sources, NAME, current, lambda: named(NAME, stores.tiles))
    return [each.revision for each in known]


def has_all(history: list[str], published: list[str]) -> bool:
    """Whether a history has what was published, in order, and ends with it.

    It may also have a revision that lost: its metadata is kept, and could be of an earlier version's publication.
    """
    rest = iter(history)
    return all(each in rest for each in published) and history[-1] == published[-1]


def succeeds(layer: Layer, stores: Stores, planned_from: str | None) -> bool:
    """Whether a publication succeeds."""
    try:
        publish(layer, stores, planned_from=planned_from)
    except Superseded:
        return False
    return True


@pytest.mark.parametrize("tiles", [False, True], ids=["no tiles", "tiles"])
def test_an_older_plan_never_replaces_a_newer_publication(store: Store, tiles: bool) -> None:
    stores = Stores(store, store, URL)
    publish(OLD, stores)
    if tiles:
        put_tile(stores)
    planned_from = index_version(store, NAME)
    check_index(NAME, store, planned_from)
    publish(OTHER, stores, planned_from=planned_from)
    before = contents(stores)
    said = rf"layer {NAME} changed to revision cccc meanwhile: nothing was published; run the same command again"
    with pytest.raises(Superseded, match=said):
        check_index(NAME, store, planned_from)
    assert not succeeds(ONE, stores, planned_from)
    assert contents(stores) == before
    assert revisions_of(stores) == ["aaaa", "cccc"]
    assert succeeds(ONE, stores, index_version(store, NAME))
    assert revisions_of(stores) == ["aaaa", "cccc", "bbbb"]


def test_the_first_publication_of_a_name_counts(store: Store) -> None:
    stores = Stores(store, store, URL)
    assert succeeds(ONE, stores, "")
    before = contents(stores)
    assert not succeeds(OTHER, stores, "")
    assert contents(stores) == before


def test_a_removed_layer_stays_removed(store: Store) -> None:
    stores = Stores(store, store, URL)
    publish(OLD, stores)
    planned_from = index_version(store, NAME)
    store.delete([INDEX, PUBLIC])
    with pytest.raises(Superseded, match="was removed meanwhile"):
        publish(ONE, stores, planned_from=planned_from)
    assert seen(stores) == {}


@pytest.mark.parametrize("undone", ["", "aaaa"])
def test_the_same_publication_again_changes_nothing(store: Store, undone: str) -> None:
    stores = Stores(store, store, URL)
    publish(OLD, stores)
    put_tile(stores)
    planned_from = index_version(store, NAME)
    publish(ONE, stores, undone, planned_from=planned_from)
    announce(ONE, stores)
    before = contents(stores)
    publish(ONE, stores, undone, planned_from=planned_from)
    assert contents(stores) == before


class Interrupted:
    """Calls `between` once, before the call of a store with a number; counts the calls."""

    def __init__(self, patch: pytest.MonkeyPatch, number: int, between: Callable[[], object]) -> None:
        self.calls, self.inside = 0, 0
        self.number, self.between = number, between
        for verb in VERBS:
            patch.setattr(Store, verb, self.noting(getattr(Store, verb)))

    def noting(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """The method of a store, with the calls of other methods within it not counted."""

        def noted(store: Store, *args: Any, **kwargs: Any) -> Any:
            if not self.inside:
                self.calls += 1
                if self.calls == self.number:
                    self.inside += 1
                    self.between()
                    self.inside -= 1
            self.inside += 1
            try:
                return method(store, *args, **kwargs)
            finally:
                self.inside -= 1

        return noted


def scene(first: bool, tiles: bool) -> tuple[Stores, str]:
    """Stores before two publications, and the version of the index that both are planned from."""
    stores = in_memory()
    if not first:
        publish(OLD, stores)
    if tiles:
        put_tile(stores)
    return stores, index_version(stores.sources, NAME)


@pytest.mark.parametrize("same", [False, True], ids=["another", "the same"])
@pytest.mark.parametrize(("first", "tiles"), [(True, False), (False, False), (False, True)])
def test_whenever_another_publication_comes_between_one_counts(first: bool, tiles: bool, same: bool) -> None:
    other = ONE if same else OTHER
    alone = {}
    for layer in (ONE, OTHER):
        stores, planned_from = scene(first, tiles)
        publish(layer, stores, planned_from=planned_from)
        alone[layer.revision] = (seen(stores).keys(), stores.sources.get(INDEX), stores.tiles.get(PUBLIC))
    number, ended = 0, False
    while not ended:
        number += 1
        stores, planned_from = scene(first, tiles)
        won = []
        with pytest.MonkeyPatch.context() as patch:
            between = Interrupted(patch, number, lambda: won.append(succeeds(other, stores, planned_from)))  # noqa: B023
            won.append(succeeds(ONE, stores, planned_from))
        ended = between.calls < number
        if not ended:
            assert won.count(True) == 1 + same
            winner = other if won[0] else ONE
            keys_seen, index, public = alone[winner.revision]
            assert (stores.sources.get(INDEX), stores.tiles.get(PUBLIC)) == (index, public)
            assert seen(stores).keys() <= keys_seen
            assert has_all(revisions_of(stores), [*([] if first else ["aaaa"]), winner.revision])
    assert number > 8


@pytest.mark.parametrize("tiles", [False, True], ids=["no tiles", "tiles"])
def test_whenever_the_layer_is_removed_nothing_comes_back_or_the_publication_was_first(tiles: bool) -> None:
    number, ended, removed = 0, False, 0
    while not ended:
        number += 1
        stores, planned_from = scene(first=False, tiles=tiles)

        def remove(stores: Stores = stores) -> None:
            stores.sources.delete([INDEX, HISTORY])
            stores.tiles.delete([PUBLIC])

        with pytest.MonkeyPatch.context() as patch:
            between = Interrupted(patch, number, remove)
            published = succeeds(ONE, stores, planned_from)
        ended = between.calls < number
        if not ended:
            with pytest.raises(UnknownLayer):
                load_layer(stores.sources, NAME)
            assert PUBLIC not in seen(stores)
            removed += not published
    assert removed > 5


@pytest.mark.parametrize("tiles", [False, True], ids=["no tiles", "tiles"])
def test_whenever_the_next_publication_follows_the_history_has_both(tiles: bool) -> None:
    number, ended, followed = 0, False, 0
    while not ended:
        number += 1
        stores, planned_from = scene(first=False, tiles=tiles)
        won: list[bool] = []

        def follow(stores: Stores = stores, won: list[bool] = won) -> None:
            if load_layer(stores.sources, NAME) == ONE:
                won.append(succeeds(replace(OTHER, previous="bbbb"), stores, index_version(stores.sources, NAME)))

        with pytest.MonkeyPatch.context() as patch:
            between = Interrupted(patch, number, follow)
            assert succeeds(ONE, stores, planned_from)
        ended = between.calls < number
        assert all(won)
        followed += len(won)
        assert has_all(revisions_of(stores), ["aaaa", "bbbb", *(["cccc"] if won else [])])
    assert followed


def test_whenever_tiles_are_announced_a_publication_succeeds_and_names_them() -> None:
    number, ended = 0, False
    while not ended:
        number += 1
        stores, planned_from = scene(first=False, tiles=True)
        publish(ONE, stores, planned_from=planned_from)
        planned_from = index_version(stores.sources, NAME)
        last = replace(OTHER, previous="bbbb")
        with pytest.MonkeyPatch.context() as patch:
            between = Interrupted(patch, number, lambda: announce(ONE, stores))  # noqa: B023
            assert succeeds(last, stores, planned_from)
        ended = between.calls < number
        assert load_layer(stores.sources, NAME) == last
        if not ended and between.number < between.calls - 6:
            assert stores.tiles.get(PUBLIC) in (tilejson(last, URL, "bbbb"), tilejson(ONE, URL, "bbbb"))
    assert number > 8


def test_tilejson_that_others_write_again_and_again_ends_a_publication(monkeypatch: pytest.MonkeyPatch) -> None:
    stores, planned_from = scene(first=False, tiles=False)
    put = Store.put

    def busy(store: Store, key: str, data: bytes, **how: Any) -> None:
        if key == PUBLIC:
            raise Changed(key)
        put(store, key, data, **how)

    monkeypatch.setattr(Store, "put", busy)
    before = seen(stores)
    assert not succeeds(ONE, stores, planned_from)
    assert seen(stores) == before


def test_a_rollback_is_told_from_another_publication_of_the_same_revision(store: Store) -> None:
    stores = Stores(store, store, URL)
    publish(OLD, stores)
    planned_from = index_version(store, NAME)
    publish(ONE, stores)
    publish(OLD, stores, "bbbb")
    assert undone(store, NAME) == "bbbb"
    assert not succeeds(OTHER, stores, planned_from)


def publish_many(data: str, layer: Layer, ready: Any, won: Path) -> None:
    """Publish after the same version as another process, at the same moment; note the rounds won."""
    stores, rounds = Stores(open_store(f"{data}/tiles"), open_store(f"{data}/private"), URL), []
    for each in range(ROUNDS):
        mine = replace(layer, revision=f"{layer.revision}{each:04d}", attribution=layer.revision)
        planned_from = index_version(stores.sources, NAME)
        ready.wait(30)
        if succeeds(mine, stores, planned_from):
            rounds.append(mine.revision)
        ready.wait(30)
        current = load_layer(stores.sources, NAME)
        assert (current.revision == mine.revision) == (rounds[-1:] == [mine.revision])
        assert stores.sources.get(INDEX) == dump(current)
        assert stores.tiles.get(PUBLIC) == tilejson(current, URL, current.revision)
        ready.wait(30)
    won.write_text(" ".join(rounds))


def test_of_two_processes_that_publish_at_once_one_succeeds(tmp_path: Path) -> None:
    data, spawned = tmp_path / "data", multiprocessing.get_context("spawn")
    stores = Stores(*(open_store((data / name).as_uri(), create=True) for name in ("tiles", "private")), url=URL)
    ready, notes = spawned.Barrier(2), [tmp_path / name for name in ("one", "other")]
    both = [
        spawned.Process(target=publish_many, args=(data.as_uri(), layer, ready, note))
        for layer, note in zip((ONE, OTHER), notes, strict=True)
    ]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    won = [revision for note in notes for revision in note.read_text().split()]
    assert sorted(int(each[4:]) for each in won) == list(range(ROUNDS))
    assert has_all(revisions_of(stores), sorted(won, key=lambda revision: revision[4:]))
    assert not list(data.rglob("*#*"))


TITLED = replace(ONE, asked=Options(title="The globe"))


def test_another_title_keeps_the_revision_its_time_and_what_a_rollback_undid() -> None:
    stores = in_memory()
    publish(OLD, stores)
    publish(ONE, stores, undone="aaaa")
    put_tile(stores)
    kept, named_before = contents(stores)[keys.revision_key(NAME, "bbbb")], named(NAME, stores.tiles)
    describe(TITLED, stores, planned_from=index_version(stores.sources, NAME))
    assert load_layer(stores.sources, NAME) == TITLED
    assert undone(stores.sources, NAME) == "aaaa"
    assert contents(stores)[keys.revision_key(NAME, "bbbb")] == kept
    assert named(NAME, stores.tiles) == named_before
    assert b'"The globe"' in stores.tiles.get(PUBLIC)
    before = seen(stores)
    describe(TITLED, stores, planned_from=index_version(stores.sources, NAME))
    assert seen(stores) == before


def test_a_title_that_lost_to_a_publication_is_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    stores = in_memory()
    publish(ONE, stores)
    planned_from, real, rivals = index_version(stores.sources, NAME), Store.put, [OTHER]

    def put(store: Store, key: str, *args: Any, **how: Any) -> None:
        if key == INDEX and rivals:
            publish(rivals.pop(), stores)
        real(store, key, *args, **how)

    monkeypatch.setattr(Store, "put", put)
    with pytest.raises(Superseded, match="changed to revision cccc"):
        describe(TITLED, stores, planned_from=planned_from)
    assert not rivals
    assert load_layer(stores.sources, NAME) == OTHER
    assert b"The globe" not in stores.tiles.get(PUBLIC)
    before = seen(stores)
    with pytest.raises(Superseded):
        describe(TITLED, stores, planned_from=planned_from)
    assert seen(stores) == before
