"""Puts over one version of an object, on a real S3 server and over a bad line."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.e2e.proxy import Fault, Kind, Proxy
from tests.e2e.s3 import S3
from tiler.errors import Changed
from tiler.storage.store import Store, open_store

KEY, ROUNDS, WRITERS = "sources/relief/index.json", 12, 6


@pytest.fixture
def url(s3: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty bucket, with the credentials in the environment."""
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3.private_bucket()}/prefix"


def put(store: Store, data: bytes, expected: str) -> bool:
    """Whether a put succeeds."""
    try:
        store.put(KEY, data, content_type="application/json", expected=expected)
    except Changed:
        return False
    return True


def test_a_put_counts_only_over_the_version_that_it_names(url: str) -> None:
    store = open_store(url)
    assert store.version(KEY) == ""
    assert put(store, b"first", "")
    first = store.version(KEY)
    assert not put(store, b"second", "")
    assert put(store, b"second", first)
    assert not put(store, b"third", first)
    assert put(store, b"second", first)
    assert store.get(KEY) == b"second"
    version = store.version(KEY)
    store.delete([KEY])
    assert not put(store, b"third", version)
    assert not store.has(KEY)


def test_of_several_that_put_at_once_one_succeeds(url: str) -> None:
    stores, ready = [open_store(url) for _ in range(WRITERS)], Barrier(WRITERS)

    def write(name: int) -> list[bytes]:
        won = []
        for each in range(ROUNDS):
            data = b"%d %d" % (name, each)
            version = stores[name].version(KEY)
            ready.wait(60)
            won += [data] if put(stores[name], data, version) else []
            ready.wait(60)
        return won

    with ThreadPoolExecutor(WRITERS) as pool:
        won = [data for each in pool.map(write, range(WRITERS)) for data in each]
    assert sorted(int(data.split()[1]) for data in won) == list(range(ROUNDS))
    assert stores[0].get(KEY) in won


@pytest.mark.parametrize("kind", ["slow down", "error", "drop", "lose", "cut"])
@pytest.mark.parametrize("first", [True, False], ids=["first", "next"])
def test_over_a_bad_line_a_put_succeeds_once_and_never_over_another(
    first: bool, kind: Kind, url: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = open_store(url)
    if not first:
        right.put(KEY, b"old", content_type="application/json")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
    store = open_store(url)
    version = store.version(KEY)
    proxy.add(Fault(kind, "PUT", count=2))
    assert put(store, b"new", version)
    assert right.get(KEY) == b"new"
    assert sum(count for (_, befell), count in proxy.requests.items() if befell == kind) == 2
    proxy.clear()
    proxy.add(Fault(kind, "PUT", count=2))
    assert not put(store, b"late", version)
    assert right.get(KEY) == b"new"
