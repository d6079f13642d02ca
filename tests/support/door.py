"""A proxy in front of S3 that counts requests, returns short pages and refuses to delete keys."""

from __future__ import annotations

import http.client
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import pytest
from tenacity import wait_none

from seeder.cache import purge as module
from tests.e2e.proxy import Proxy
from tests.e2e.wire import FRAMING, Exchange
from tiler.settings import S3
from tiler.storage import store as storage
from tiler.storage.store import Store, open_store


class Door(Proxy):
    """A proxy in front of S3: counts listings and deletions, returns short pages, refuses to delete some keys.

    The response to a request to delete several keys is S3's: 200, with an `<Error>` for each refused key.
    """

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self.page = 0  # keys per page of a listing; 0 means a thousand
        self.kept: dict[str, int] = {}  # remaining refusals by key
        self.seen: Counter[str] = Counter()  # LIST, DELETE
        self.sizes: list[int] = []  # keys of each DELETE
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Reset the counts."""
        self.seen.clear()
        self.sizes.clear()

    def _pass(self, exchange: Exchange, kind: Literal["lose", "cut"] | None = None) -> None:
        if "list-type=2" in exchange.target:
            with self._lock:
                self.seen["LIST"] += 1
            if self.page:
                exchange.requestline = f"GET {exchange.target}&max-keys={self.page} HTTP/1.1"
        elif exchange.method == "POST" and re.search(r"\?delete\b", exchange.target):
            self._delete(exchange)
            return
        super()._pass(exchange, kind)

    def _delete(self, exchange: Exchange) -> None:
        keys = [each.text or "" for each in ET.fromstring(exchange.body()).iter() if each.tag.endswith("Key")]
        with self._lock:
            self.seen["DELETE"] += 1
            self.sizes.append(len(keys))
            refused = [key for key in keys if self._holds(key)]
        gone = [key for key in keys if key not in refused]
        if gone:
            self._send_on(exchange, gone)
        parts = [f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in gone]
        parts += [
            f"<Error><Key>{escape(key)}</Key><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            for key in refused
        ]
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<DeleteResult>{"".join(parts)}</DeleteResult>'
        exchange.send(200, [("Content-Type", "application/xml")], body.encode())

    def _holds(self, key: str) -> bool:
        """Whether `key` is refused this time; the given keys have no prefix."""
        name = next((name for name in self.kept if key.endswith(f"/{name}")), None)
        if name is None or not self.kept[name]:
            return False
        self.kept[name] -= 1
        return True

    def _send_on(self, exchange: Exchange, keys: list[str]) -> None:
        upstream = http.client.HTTPConnection(*self._upstream, timeout=60)
        objects = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in keys)
        headers = {name: value for name, value in exchange.headers.items() if name.lower() not in FRAMING}
        upstream.request("POST", exchange.target, f"<Delete>{objects}</Delete>", headers)
        with upstream.getresponse() as answer:
            assert answer.status == 200
            answer.read()
        upstream.close()


@pytest.fixture(name="door")
def a_door(s3_server: str) -> Iterator[Door]:
    """A door in front of the S3 server."""
    with Door(s3_server) as door:
        yield door


@pytest.fixture(name="behind")
def a_store_behind(door: Door, s3_url: str) -> Store:
    """An empty S3 store behind the door."""
    return open_store(f"{s3_url}/some/prefix", s3=S3(door.url, patience=PATIENCE))


def fill(store: Store, keys: Iterable[str]) -> None:
    """Put an object at each of `keys`."""
    for _ in store.put_all(((key, b"tile") for key in keys), content_type="image/png", cache_control=""):
        pass


def held(store: Store) -> set[str]:
    """All keys of a store."""
    return {entry.key for entry in store.list("")}


FOREVER = 1 << 30  # times
PATIENCE = 0.1  # seconds for which obstore retries a failing request


def guard(folder: Store, keys: set[str], monkeypatch: pytest.MonkeyPatch, times: int = FOREVER) -> None:
    """Refuse a number of times to delete the files of `keys`, as in a read-only folder."""
    assert folder.root
    left = {folder.root / key: times for key in keys}
    unlink = Path.unlink

    def refuse(path: Path, **options: Any) -> None:
        if left.get(path):
            left[path] -= 1
            raise PermissionError(13, "Permission denied", str(path))
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", refuse)


@pytest.fixture(name="tens")
def batches_of_ten(monkeypatch: pytest.MonkeyPatch) -> int:
    """Limit requests to ten keys."""
    for each in (module, storage):
        monkeypatch.setattr(each, "DELETE_BATCH", 10)
    return 10


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waits between attempts."""
    monkeypatch.setattr(module, "RETRYING", module.RETRYING.copy(wait=wait_none()))
