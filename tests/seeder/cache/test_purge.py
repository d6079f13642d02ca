"""Deletion of tiles: the number of requests, and keys that the store refuses to delete."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seeder.cache.purge import ATTEMPTS, NAMED, Purged, purge
from tests.e2e.proxy import Fault
from tests.support.door import (  # noqa: F401 - some are fixtures
    FOREVER,
    Door,
    a_door,
    a_store_behind,
    batches_of_ten,
    fill,
    guard,
    hasty,
    held,
)
from tests.support.effort import examples
from tests.support.site import memory
from tiler.errors import StoreError
from tiler.storage import store as storage
from tiler.storage.store import Store, open_store


def named(number: int, layer: str = "relief") -> list[str]:
    """A number of keys in one column of tiles."""
    return [f"{layer}/9/7/{y}.png" for y in range(number)]


def purged(store: Store, keys: Iterable[str]) -> tuple[Purged, int]:
    """Purge `keys`; return the result and the sum of progress."""
    steps: list[int] = []
    told = purge(store, keys, steps.append)
    return told, sum(steps)


@settings(max_examples=examples(20), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.sampled_from(named(40) + named(40, "relief2")), max_size=50))
def test_just_the_keys_that_are_named_are_deleted(store: Store, keys: set[str]) -> None:
    whole = set(named(40) + named(40, "relief2"))
    fill(store, whole - held(store))
    told, seen = purged(store, iter(sorted(keys)))
    assert held(store) == whole - keys
    assert (told.removed, told.failed, told.keys, seen) == (len(keys), 0, [], len(keys))
    assert told.requests == math.ceil(len(keys) / storage.DELETE_BATCH)


def test_keys_go_by_the_thousand(door: Door, behind: Store) -> None:
    keys = [f"relief/12/7/{y}.png" for y in range(2001)]
    fill(behind, [keys[0], keys[-1]])
    told, seen = purged(behind, keys)
    assert sorted(door.sizes) == [1, 1000, 1000]
    assert (told.requests, door.seen["DELETE"]) == (3, 3)
    assert (told.removed, seen) == (2001, 2001)
    assert not held(behind)


def test_keys_are_drawn_as_they_are_deleted(tens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead, gone = 0, list[str]()

    def keys() -> Iterator[str]:
        nonlocal ahead
        for y in range(5000):
            ahead = max(ahead, y - len(gone))
            yield f"relief/20/7/{y}.png"

    monkeypatch.setattr(Store, "delete", lambda _, batch: gone.extend(batch))
    assert purge(memory(), keys(), lambda _: None).removed == 5000
    assert ahead <= 2 * 16 * tens  # this many are in progress; a response may not be counted yet


@pytest.mark.parametrize("times", range(1, ATTEMPTS + 1))
def test_what_is_refused_is_tried_again_until_it_mends(door: Door, behind: Store, times: int) -> None:
    keys = named(30)
    fill(behind, keys)
    door.kept = dict.fromkeys(keys[::7], times)
    told, seen = purged(behind, keys)
    assert not held(behind)
    assert (told.removed, told.failed, told.keys, told.why, seen) == (30, 0, [], "", 30)
    assert told.requests == door.seen["DELETE"] == 1 + times
    assert door.sizes == [30, *[len(keys[::7])] * times]  # only the remaining keys are requested again


def test_what_is_refused_for_good_is_told_by_name(door: Door, behind: Store, tens: int) -> None:
    keys = named(35)
    fill(behind, keys)
    kept = {keys[3], keys[4], keys[17], keys[31]}  # from three different requests
    door.kept = dict.fromkeys(kept, FOREVER)
    told, seen = purged(behind, keys)
    assert held(behind) == kept
    assert set(told.keys) == kept
    assert (told.removed, told.failed, seen) == (31, 4, 31)
    assert "Access Denied" in told.why or "AccessDenied" in told.why
    assert told.requests == door.seen["DELETE"] == math.ceil(35 / tens) + 3 * ATTEMPTS


def test_of_many_that_are_refused_all_are_counted_and_some_are_named(door: Door, behind: Store) -> None:
    keys = named(60)
    fill(behind, keys)
    door.kept = dict.fromkeys(keys[:50], FOREVER)
    told, _ = purged(behind, keys)
    assert (told.removed, told.failed, len(told.keys)) == (10, 50, NAMED)
    assert set(told.keys) <= set(keys[:50]) == held(behind)


def test_all_of_a_request_refused_is_an_error(door: Door, behind: Store) -> None:
    keys = named(20)
    fill(behind, keys)
    door.kept = dict.fromkeys(keys, FOREVER)
    with pytest.raises(StoreError, match="cannot delete relief/9/7/"):
        purged(behind, keys)
    assert held(behind) == set(keys)
    assert door.seen["DELETE"] == 1 + ATTEMPTS


def test_after_a_request_that_failed_altogether_no_more_keys_are_drawn(door: Door, behind: Store, tens: int) -> None:
    keys = named(1000)
    fill(behind, keys[:tens])
    door.kept = dict.fromkeys(keys, FOREVER)
    source = iter(keys)
    with pytest.raises(StoreError):
        purged(behind, source)
    assert len(list(source)) >= 1000 - 2 * 16 * tens
    assert held(behind) == set(keys[:tens])


def test_a_storm_that_passes_is_waited_out(door: Door, behind: Store) -> None:
    keys = named(12)
    fill(behind, keys)
    door.add(Fault("slow down", "POST", count=1))
    told, seen = purged(behind, keys)
    assert not held(behind)
    assert (told.removed, told.failed, seen) == (12, 0, 12)
    assert door.requests["POST", "slow down"] == 1


def test_a_storm_that_stays_is_an_error_and_what_is_left_can_be_deleted_later(door: Door, behind: Store) -> None:
    keys = named(12)
    fill(behind, keys)
    door.add(Fault("slow down", "POST"))
    with pytest.raises(StoreError, match=r"cannot delete.*(503|SlowDown)"):
        purged(behind, keys)
    assert held(behind) == set(keys)
    door.clear()
    assert purged(behind, keys)[0].removed == 12
    assert not held(behind)


def test_an_error_after_the_deed_is_no_failure_and_takes_no_other_request(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, named(12))
    delete, sent = Store.delete, list[int]()

    def late(store: Store, batch: Sequence[str]) -> None:
        sent.extend([len(batch)] if batch else [])
        delete(store, batch)
        if batch and len(sent) == 1:
            raise StoreError("delete", batch[0], "the answer was lost")

    monkeypatch.setattr(Store, "delete", late)
    told, _ = purged(store, named(12))
    assert (told.removed, told.failed, held(store)) == (12, 0, set())
    assert (told.requests, sent) == (1, [12])


def test_an_error_of_the_keys_themselves_is_raised_when_those_before_it_are_gone(store: Store) -> None:
    fill(store, named(5))

    def keys() -> Iterator[str]:
        yield from named(3)
        raise StoreError("list", "relief/9/", "no answer")

    with pytest.raises(StoreError, match="no answer"):
        purged(store, keys())
    assert {*named(5)[3:]} <= held(store)


# folders


@pytest.fixture
def folder(tmp_path: Path) -> Store:
    """An empty folder."""
    return open_store((tmp_path / "store").as_uri(), create=True)


@pytest.mark.parametrize("times", [1, ATTEMPTS])
def test_a_file_that_can_be_deleted_after_all_is(folder: Store, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    keys = named(20)
    fill(folder, keys)
    guard(folder, {keys[4]}, monkeypatch, times)
    told, _ = purged(folder, keys)
    assert (told.removed, told.failed, held(folder)) == (20, 0, set())


def test_a_file_that_cannot_be_deleted_is_told_and_the_others_are_gone(
    folder: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = named(20) + named(20, "relief2")
    fill(folder, keys)
    kept = {keys[4], keys[30]}
    guard(folder, kept, monkeypatch)
    told, seen = purged(folder, keys)
    assert held(folder) == set(told.keys) == kept
    assert (told.removed, told.failed, seen) == (38, 2, 38)
    assert "Permission denied" in told.why


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_in_keeps_its_files(folder: Store) -> None:
    assert folder.root
    keys = ["relief/9/7/1.png", "relief/9/8/1.png"]
    fill(folder, keys)
    (folder.root / "relief/9/8").chmod(0o555)
    told, _ = purged(folder, keys)
    (folder.root / "relief/9/8").chmod(0o755)
    assert held(folder) == set(told.keys) == {keys[1]}


# interrupted

KILLED = """
import os, sys
from seeder.cache import purge
from seeder.cli import main as cli
from tiler.storage import store as storage
purge.DELETE_BATCH = storage.DELETE_BATCH = 10
delete, left = storage.Store.delete, [3]
def deadly(store, batch):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), 9)
    delete(store, batch)
storage.Store.delete = deadly
cli.main(sys.argv[1:])
"""


def test_a_killed_invalidation_is_finished_by_another(alps_copy: Path) -> None:
    tiles = open_store((alps_copy / "tiles").as_uri())
    fill(tiles, [f"alps/9/270/{y}.png" for y in range(100)])
    first = subprocess.run(
        [sys.executable, "-c", KILLED, "invalidate", "alps", "--all"], capture_output=True, check=False, timeout=60
    )
    assert first.returncode == -9
    left = held(tiles) - {"alps/tile.json"}
    assert 0 < len(left) < 100
    again = [sys.executable, "-m", "seeder", "invalidate", "alps", "--all"]
    second = subprocess.run(again, capture_output=True, check=True, timeout=60, text=True)
    assert f"{len(left)} tiles stored, {len(left)} removed" in second.stdout
    assert held(tiles) == {"alps/tile.json"}
