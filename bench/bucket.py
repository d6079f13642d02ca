"""A server that speaks as much of S3 as a benchmark needs, in a process of its own, and takes 30 ms for each answer."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any, ClassVar

import mercantile
import numpy as np
from mercantile import Tile
from tiny import TINY, sized

from tiler.grid import Bounds
from tiler.image.style import Style
from tiler.layers.catalog import Layer
from tiler.layers.footprint import Footprint
from tiler.settings import S3
from tiler.storage.store import Store, open_store

LATENCY = sized(0.03, 0.001)  # seconds
SPAWN = multiprocessing.get_context("spawn")
INSIDE = 1e-4  # degrees that a layer ends before the edges of its tiles

OBJECT = (
    "<Contents><Key>{key}</Key><LastModified>2025-03-01T12:00:00.000Z</LastModified>"
    "<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>28000</Size>"
    "<StorageClass>STANDARD</StorageClass></Contents>"
)


class Bucket(BaseHTTPRequestHandler):
    """What the buckets of the benchmarks have in common."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else the body waits 40 ms until the head is acknowledged
    latency: ClassVar[float] = LATENCY

    def answer(self, body: bytes, *, status: int = 200, length: int = 0, **headers: str) -> None:
        """Answer after a while; `length` is what a HEAD tells."""
        time.sleep(self.latency)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) or length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _serve(handler: type[Bucket], pipe: Connection) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    pipe.send(server.server_port)
    server.serve_forever()


@contextmanager
def serving(handler: type[Bucket]) -> Iterator[int]:
    """The port at which a process answers until the end of the block."""
    os.environ |= dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "bench")  # of a server that asks none
    ours, theirs = SPAWN.Pipe()
    if TINY:  # see alone
        passed = pickle.loads(pickle.dumps(handler))  # noqa: S301 - as a process gets it
        threading.Thread(target=_serve, args=(passed, theirs), daemon=True).start()
        yield ours.recv()
        return
    server = SPAWN.Process(target=_serve, args=(handler, theirs), daemon=True)
    server.start()
    theirs.close()  # so that a server that dies at its start is noticed
    try:
        yield ours.recv()
    finally:
        server.terminate()


class _Here(ThreadPoolExecutor):
    """Takes only what a process could be given, and runs it in this one."""

    def submit(self, call: Callable[..., Any], /, *values: Any) -> Future[Any]:  # type: ignore[override]
        call, values = pickle.loads(pickle.dumps((call, values)))  # noqa: S301 - our own
        return super().submit(call, *values)


def alone() -> Executor:
    """Runs each call in a process of its own; a tiny run begins none, for that takes longer than all the rest."""
    return _Here(1) if TINY else ProcessPoolExecutor(1, SPAWN, max_tasks_per_child=1)


def opened(port: int) -> Store:
    """The bucket."""
    return open_store("s3://tiles", s3=S3(endpoint=f"http://127.0.0.1:{port}", region="us-east-1"))


def grid(name: str, z: int, side: int) -> Layer:
    """A layer of `side` x `side` tiles at one zoom, from the corner of the world."""
    first, last = (mercantile.bounds(Tile(x=place, y=place, z=z)) for place in (0, side - 1))
    bounds = Bounds(first.west, last.south + INSIDE, last.east - INSIDE, first.north)
    everywhere = Footprint(0, 0, 0, np.ones((1, 1), bool))
    return Layer(name, "1", "", bounds, z, z, "png", Style(), everywhere, None, (1,), "nearest")
