"""A server that speaks as much of S3 as the product needs, in a process of its own, at once, and tells what was asked.

The bucket `sources` keeps what is put; what is put elsewhere is taken and forgotten, so that the next put is as new.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

from bucket import Bucket, serving

from tiler.settings import S3
from tiler.storage.store import Store, open_store

TOLD = "/-/asked"
NOTHING = b"<ListBucketResult><Name>tiles</Name><IsTruncated>false</IsTruncated></ListBucketResult>"
DATED: dict[str, Any] = {"Last_Modified": "Sat, 01 Mar 2025 12:00:00 GMT", "ETag": '"0"'}


class Objects(Bucket, BaseHTTPRequestHandler):
    """Objects in memory."""

    latency = 0
    kept: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[tuple[str, str, str]]] = []

    def do_PUT(self) -> None:
        """Take an object."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith("/sources/"):
            self.kept[self.path] = body
        self._note()
        self.answer(b"", ETag='"0"')

    def do_HEAD(self) -> None:
        """Whether there is an object."""
        self._note()
        if self.path in self.kept:
            self.answer(b"", length=len(self.kept[self.path]), **DATED)
        else:
            self.answer(b"", status=404)

    def do_GET(self) -> None:
        """An object, or a part of it; an empty list; what was asked since the last time."""
        if self.path == TOLD:
            told, self.asked[:] = json.dumps(self.asked).encode(), []
            self.answer(told)
            return
        self._note()
        if "?" in self.path:
            self.answer(NOTHING, Content_Type="application/xml")
        elif self.path not in self.kept:
            self.answer(b"<Error><Code>NoSuchKey</Code></Error>", status=404)
        elif said := self.headers["Range"]:
            body = self.kept[self.path]
            first, last = (int(edge) for edge in said.removeprefix("bytes=").split("-"))
            part = body[first : last + 1]
            where = f"bytes {first}-{first + len(part) - 1}/{len(body)}"
            self.answer(part, status=206, Content_Range=where, **DATED)
        else:
            self.answer(self.kept[self.path], **DATED)

    def _note(self) -> None:
        self.asked.append((self.command, self.path, self.headers["Range"] or ""))


@dataclass(frozen=True)
class Served:
    """The server's port, and what the product and its clients are told in the environment."""

    port: int

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a process whose tiles and sources lie in the server, and nothing else of the product's."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("TILER_", "AWS_"))}
        return ours | {
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "TILER_TILES": "s3://tiles",
            "TILER_SOURCES": "s3://sources",
            "TILER_URL": "http://tiles.test",
        }

    def store(self, bucket: str) -> Store:
        """One of the buckets."""
        return open_store(f"s3://{bucket}", s3=S3(endpoint=f"http://127.0.0.1:{self.port}", region="us-east-1"))

    def upload(self, folder: Path, prefix: str = "") -> None:
        """Put every file of `folder`, a private store's, whose key begins with `prefix` into the bucket `sources`."""
        sources = self.store("sources")
        for path in sorted((folder / prefix).rglob("*")):
            if path.is_file():
                key = path.relative_to(folder).as_posix()
                sources.put(key, path.read_bytes(), content_type="application/octet-stream")

    def asked(self) -> list[tuple[str, str, str]]:
        """Method, path and range of each request since the last call."""
        connection = HTTPConnection("127.0.0.1", self.port)
        connection.request("GET", TOLD)
        told = json.loads(connection.getresponse().read())
        connection.close()
        return [tuple(each) for each in told]


@contextmanager
def served() -> Iterator[Served]:
    """The server, until the end of the block."""
    with serving(Objects) as port:
        yield Served(port)
