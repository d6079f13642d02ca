"""The server that stands for S3 in `scale_real`: it takes tiles up to a limit a second, and answers after a while."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

from bucket import OBJECT, Bucket, serving
from scale_events import BURST
from scale_world import FOREVER

ThreadingHTTPServer.request_queue_size = 256  # with 5, which is the default, connections of many threads time out


@dataclass(frozen=True)
class Server:
    """What the server serves, and how many tiles a second it takes."""

    folder: str
    limit: float


@dataclass
class _State:
    """Of the server's process: what may still come, as of when, how much came of what, and tiles by folder."""

    tokens: float = 0.0
    filled: float = field(default_factory=time.monotonic)
    counts: Counter[str] = field(default_factory=Counter)
    tiles: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


_LOCK, _STATE = threading.Lock(), _State()


@cache
def _bytes(path: str) -> bytes | None:
    file = Path(path)
    return file.read_bytes() if file.is_file() else None


class Limited(Bucket):
    """Takes tiles up to its limit, and receipts; serves files."""

    def __init__(self, server: Server, *rest: Any) -> None:
        self.spec = server
        super().__init__(*rest)

    def do_PUT(self) -> None:  # noqa: N802 - http.server's name
        """Take an object, or do not."""
        self.rfile.read(int(self.headers["Content-Length"]))
        kind = "put" if self.path.startswith("/tiles/") else "other"
        if kind == "put" and not self._admitted():
            self._count("refused")
            self.answer(b"<Error><Code>SlowDown</Code></Error>", status=503)
            return
        self._count(kind)
        folder, _, name = self.path.removeprefix("/tiles/").rpartition("/")
        _STATE.tiles[folder].add(name)
        self.answer(b"", ETag='"0"')

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        """Serve a file or a part of it, or tell what was counted."""
        if self.path == "/counts":
            self._counts()
            return
        self._count("other")
        asked = parse_qs(urlsplit(self.path).query)
        if "list-type" in asked:
            self._listed(asked["prefix"][0].rstrip("/"), asked["start-after"][0])
            return
        data = _bytes(f"{self.spec.folder}/{unquote(urlsplit(self.path).path).split('/', 2)[2]}")
        if data is None:
            self.answer(b"<Error><Code>NoSuchKey</Code></Error>", status=404)
            return
        said: dict[str, Any] = {"ETag": '"0"', "Last-Modified": "Sun, 01 Jun 2025 00:00:00 GMT"}
        wanted = self.headers.get("Range")
        if not wanted:
            self.answer(data, **said)
            return
        first, last = (int(number) for number in wanted.removeprefix("bytes=").split("-"))
        part = data[first : last + 1]
        said["Content-Range"] = f"bytes {first}-{first + len(part) - 1}/{len(data)}"
        self.answer(part, status=206, **said)

    def do_HEAD(self) -> None:  # noqa: N802 - http.server's name
        """Nothing that is asked after so is there."""
        self._count("other")
        self.answer(b"", status=404)

    def _listed(self, folder: str, after: str) -> None:
        """Show the tiles of a folder."""
        keys = sorted(f"{folder}/{name}" for name in tuple(_STATE.tiles[folder]))
        body = "".join(OBJECT.format(key=key) for key in keys if key > after)
        more = "<IsTruncated>false</IsTruncated>"
        self.answer(f"<ListBucketResult><Name>tiles</Name>{more}{body}</ListBucketResult>".encode())

    def _admitted(self) -> bool:
        if self.spec.limit == FOREVER:
            return True
        with _LOCK:
            now = time.monotonic()
            most = self.spec.limit * BURST
            _STATE.tokens = min(most, _STATE.tokens + (now - _STATE.filled) * self.spec.limit)
            _STATE.filled = now
            if _STATE.tokens < 1:
                return False
            _STATE.tokens -= 1
            return True

    def _count(self, kind: str) -> None:
        with _LOCK:
            _STATE.counts[kind] += 1

    def _counts(self) -> None:
        said = json.dumps({**_STATE.counts, "cpu": time.process_time()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)


@contextmanager
def served(folder: str, limit: float) -> Iterator[str]:
    """The address of a server."""
    _STATE.tiles.clear()  # of the one before, which a tiny run had in this process
    with serving(cast(type[Bucket], partial(Limited, Server(folder, limit)))) as port:
        yield f"http://127.0.0.1:{port}"


def counted(address: str) -> Counter[str]:
    """What the server counted: tiles put and refused, other requests, and its seconds of CPU."""
    with urllib.request.urlopen(f"{address}/counts") as answer:  # noqa: S310 - our own
        return Counter(json.load(answer))
