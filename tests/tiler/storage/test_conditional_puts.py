"""Puts over one version of an object only: one contract for a folder, memory and S3."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.effort import examples
from tiler.errors import Changed, StoreError
from tiler.storage.folder import locked
from tiler.storage.store import Store, open_store

KEY, TEXT = "jobs/a/done/0-1-2", "text/plain"
WRITERS, ROUNDS = 3, 16


def put(store: Store, data: bytes, expected: str | None = None, key: str = KEY) -> bool:
    """Whether a put succeeds."""
    try:
        store.put(key, data, content_type=TEXT, expected=expected)
    except Changed:
        return False
    return True


def test_only_the_first_put_of_an_absent_object_counts(store: Store) -> None:
    assert store.version(KEY) == ""
    assert put(store, b"first", "")
    assert not put(store, b"second", "")
    assert store.get(KEY) == b"first"
    assert [entry.key for entry in store.list("jobs/")] == [KEY]


def test_a_put_counts_only_over_the_version_that_it_names(store: Store) -> None:
    assert put(store, b"first", "")
    first = store.version(KEY)
    assert put(store, b"second", first)
    second = store.version(KEY)
    assert second not in ("", first)
    assert not put(store, b"third", first)
    assert (store.get(KEY), store.version(KEY)) == (b"second", second)


def test_nothing_is_put_over_an_object_that_is_gone(store: Store) -> None:
    put(store, b"first")
    version = store.version(KEY)
    store.delete([KEY])
    assert not put(store, b"second", version)
    assert not store.has(KEY)


def test_the_same_bytes_count_as_put(store: Store) -> None:
    put(store, b"old")
    old = store.version(KEY)
    assert put(store, b"same", old)
    assert put(store, b"same", old)
    assert put(store, b"same", "")


@settings(max_examples=examples(20), suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["put", "new", "stale", "delete"]), st.binary(max_size=2)), max_size=8))
def test_puts_and_versions_are_those_of_a_dictionary(store: Store, deeds: list[tuple[str, bytes]]) -> None:
    key = "jobs/model"
    store.delete([key])
    model: bytes | None = None
    stale, stale_of = "", None
    for deed, data in deeds:
        version = store.version(key)
        assert (version == "") == (model is None)
        if deed == "delete":
            store.delete([key])
            model = None
        elif deed == "put":
            assert put(store, data, version, key)
            model = data
        elif deed == "new":
            assert put(store, data, "", key) == (model in (None, data))
            model = data if model is None else model
        elif put(store, data, stale, key):
            assert model in (stale_of, data)
            model = data
        else:
            assert model != data
        assert (store.get(key) if store.has(key) else None) == model
        if deed in ("put", "delete"):
            stale, stale_of = version, model


def test_a_reader_of_a_folder_sees_whole_objects_only(tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())
    long = [bytes([letter]) * 3_000_000 for letter in b"ab"]
    put(store, long[0])
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(lambda: [put(store, long[each % 2], store.version(KEY)) for each in range(20)])
        seen = set[bytes]()
        while not done.done():
            seen.add(store.get(KEY))
    assert all(done.result())
    assert seen <= set(long)


def write_many(url: str, name: int, ready: multiprocessing.synchronize.Barrier, won: Path) -> None:
    """Put over the same versions as others at the same moment, and note the rounds won."""
    store = open_store(url)
    rounds = []
    for each in range(ROUNDS):
        key = f"jobs/{each // 2}"  # absent in even rounds, there in odd ones
        version = store.version(key)
        ready.wait(30)
        if put(store, f"{name} {each}".encode(), version, key):
            rounds.append(each)
        ready.wait(30)
    won.write_text(" ".join(map(str, rounds)))


def test_of_processes_that_put_at_once_one_succeeds(tmp_path: Path) -> None:
    spawned = multiprocessing.get_context("spawn")  # obstore has threads, which a fork would lack
    store, ready = open_store((tmp_path / "store").as_uri(), create=True), spawned.Barrier(WRITERS)
    notes = [tmp_path / f"won-{name}" for name in range(WRITERS)]
    writers = [
        spawned.Process(target=write_many, args=(store.url, name, ready, note)) for name, note in enumerate(notes)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    won = sorted(int(each) for note in notes for each in note.read_text().split())
    assert won == list(range(ROUNDS))
    assert not list((tmp_path / "store").rglob("*#*"))


def test_of_threads_that_put_at_once_one_succeeds(tmp_path: Path) -> None:
    for store in (open_store(tmp_path.as_uri()), open_store("memory://threads")):
        for each in range(ROUNDS):
            key = f"jobs/{each}"

            def write(name: int, key: str = key, store: Store = store) -> bool:
                return put(store, b"%d" % name, "", key)

            with ThreadPoolExecutor(WRITERS) as pool:
                assert list(pool.map(write, range(WRITERS))).count(True) == 1


def test_a_killed_holder_s_lock_is_free(tmp_path: Path) -> None:
    file = tmp_path / "index.json"
    child = os.fork()
    if not child:
        with locked(file):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["index.json#0"]
    store = open_store(tmp_path.as_uri())
    assert list(store.list("")) == []
    assert put(store, b"x", "", "index.json")
    assert [path.name for path in tmp_path.iterdir()] == ["index.json"]


def test_a_lock_excludes_others_until_its_block_ends(tmp_path: Path) -> None:
    file, inside = tmp_path / "index.json", []

    def hold(_: int) -> None:
        with locked(file):
            inside.append(1)
            assert len(inside) == 1
            time.sleep(0.002)
            inside.pop()

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(hold, range(40)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_compares_all_the_same(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", without)
    store = open_store(tmp_path.as_uri())
    assert put(store, b"first", "")
    assert not put(store, b"second", "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_named_with_the_cure(tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="allow writing there") as caught:
        store.put(KEY, b"x", content_type=TEXT, expected="")
    assert not isinstance(caught.value, Changed)


@pytest.mark.parametrize("expected", ["", "0" * 64])
def test_no_key_leads_out_of_the_folder(expected: str, tmp_path: Path) -> None:
    store = open_store((tmp_path / "root").as_uri(), create=True)
    with pytest.raises(StoreError):
        store.put("../new/a", b"x", content_type=TEXT, expected=expected)
    assert [path.name for path in tmp_path.rglob("*")] == ["root"]
