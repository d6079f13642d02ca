"""A redirect path for tests: API Gateway's events, responses as seen by clients, and recording stores."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tiler.http import Service
from tiler.layers.layer_cache import Layers
from tiler.settings import ANY_FORMAT, RenderedVariants
from tiler.storage.store import Store, Stores, open_store

URL, DIRECT = "http://tiles.test", "http://direct.test"
READS = ("first", "ranges")  # of pixels
WRITES = ("put", "put_all", "put_file", "delete")


def event(target: str, method: str = "GET") -> dict[str, Any]:
    """API Gateway's event for a request of a `$default` route, payload format 2.0."""
    path, _, query = target.partition("?")
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {
            "accept": "image/avif,image/webp,*/*",
            "content-length": "0",
            "host": "r3pmxmplak.execute-api.eu-central-1.amazonaws.com",
            "user-agent": "Mozilla/5.0",
            "x-amzn-trace-id": "Root=1-5e6722a7-cc56xmpl46db7ae02d4da47e",
            "x-forwarded-for": "205.255.255.176",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "r3pmxmplak",
            "domainName": "r3pmxmplak.execute-api.eu-central-1.amazonaws.com",
            "domainPrefix": "r3pmxmplak",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "205.255.255.176",
                "userAgent": "Mozilla/5.0",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": "$default",
            "time": "10/Mar/2024:05:16:23 +0000",
            "timeEpoch": 1583817383220,
        },
        "isBase64Encoded": False,
    }


@dataclass(frozen=True)
class Answer:
    """A response as seen by a client."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> str:
        """The message of an error."""
        assert self.headers["Content-Type"] == "application/json"
        said = json.loads(self.body)
        assert list(said) == ["message"]
        return str(said["message"])


def answered(given: dict[str, Any]) -> Answer:
    """Convert the function's result to a response, and check the rules for all responses."""
    given = json.loads(json.dumps(given))  # as Lambda passes it on
    assert set(given) == {"statusCode", "headers", "body", "isBase64Encoded"}
    assert type(given["statusCode"]) is int
    assert all(type(value) is str for value in given["headers"].values())
    assert all(value.isprintable() for value in given["headers"].values())
    assert given["headers"]["Access-Control-Allow-Origin"] == "*"
    assert given["headers"]["Cache-Control"]
    body = base64.b64decode(given["body"], validate=True) if given["isBase64Encoded"] else given["body"].encode()
    assert bool(body) == ("Content-Type" in given["headers"])
    assert given["statusCode"] == 302 or "Location" not in given["headers"]
    if given["statusCode"] == 302:
        there = urlsplit(given["headers"]["Location"])  # QGIS does not resolve relative ones
        assert there.scheme in ("http", "https")
        assert there.hostname
    return Answer(given["statusCode"], given["headers"], body)


class Spy:
    """A store that records each verb with its key; streamed puts are recorded as they are consumed."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.seen: list[tuple[str, str]] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.store, name)
        if not callable(found):
            return found

        def noted(*args: Any, **kwargs: Any) -> Any:
            self.seen.append((name, args[0] if isinstance(args[0], str) else ""))
            return found(*args, **kwargs)

        return noted

    def put_all(self, objects: Iterable[tuple[str, bytes]], **how: Any) -> Iterator[str]:
        """See `Store.put_all`."""

        def noted() -> Iterator[tuple[str, bytes]]:
            for key, data in objects:
                self.seen.append(("put", key))
                yield key, data

        yield from self.store.put_all(noted(), **how)

    def count(self, *verbs: str) -> int:
        """The number of calls of `verbs`."""
        return sum(verb in verbs for verb, _ in self.seen)


@dataclass
class Site:
    """A service and its two stores; by default it renders all formats."""

    tiles: Spy
    sources: Spy
    ttl: float = 1e9  # seconds
    variants: RenderedVariants = ANY_FORMAT
    inline: bool = False
    url: str = URL

    def __post_init__(self) -> None:
        stores = Stores(cast(Store, self.tiles), cast(Store, self.sources), self.url)
        self.service = Service(stores, Layers(stores.sources, self.ttl), DIRECT, self.variants, self.inline)

    @classmethod
    def on(cls, tiles: Store, sources: Store) -> Site:
        """A site on unrecorded stores."""
        return cls(Spy(tiles), Spy(sources))

    def ask(self, target: str, method: str = "GET") -> Answer:
        """The response to a request for a path, with or without a query."""
        return answered(self.service.answer(event(target, method)))

    def stored(self) -> dict[str, bytes]:
        """All objects of the tile store."""
        return {entry.key: self.tiles.store.get(entry.key) for entry in self.tiles.store.list("")}


def copied(source: Store, target: Store) -> Store:
    """Copy all objects of `source` to `target`."""
    for entry in source.list(""):
        target.put(entry.key, source.get(entry.key), content_type="application/octet-stream")
    return target


ZSTD = b"\x28\xb5\x2f\xfd"  # the first bytes of a block


def without_blocks(data: bytes) -> bytes:
    """The header of a COG, with its blocks replaced by zeros."""
    end = data.index(ZSTD)
    return data[:end].ljust(len(data), b"\0")


def memory() -> Store:
    """An empty store."""
    return open_store(f"memory://{uuid4().hex}")


def private(data: Path) -> Store:
    """The private store of a data folder."""
    return open_store((data / "private").as_uri())


class Nothing:
    """A store that fails on any call."""

    def __getattr__(self, name: str) -> Any:
        pytest.fail(f"`{name}` was asked of a store")


def deaf() -> Service:
    """A service whose stores fail on any call."""
    nothing = cast(Store, Nothing())
    return Service(Stores(nothing, nothing, URL), Layers(nothing), DIRECT)
