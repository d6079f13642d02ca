"""What fanning out costs: `python bench/fanout.py [--tiny] [DATA]`.

Planning the world's zooms 5 to 14 for SQS, and filling blocks of the demo's relief into a store that answers each
request after 30 ms, as S3 does, with one put at a time and with many. `scripts/demo` makes the layer.
"""

from __future__ import annotations

import os
import resource
import statistics
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import layers
import numpy as np
from tiny import arguments, parser_for, sized

from seeder.jobs.block_set import BlockSet
from seeder.jobs.messages import Job, Spec
from seeder.jobs.plan import Plan, Tally
from seeder.select.blocks import Count
from seeder.select.selection import Selection, count
from seeder.workers.sqs import SqsQueue
from tiler.grid import Block, Bounds
from tiler.image.style import Style
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.fill import Request, fill
from tiler.layers.footprint import Footprint
from tiler.layers.render import TileVariant
from tiler.settings import S3
from tiler.storage import concurrent
from tiler.storage.store import Stores, open_store

LATENCY = sized(0.03, 0.001)  # seconds
BLOCKS = sized([Block(6, x, y) for y in (16, 24) for x in range(0, 64, 8)], [Block(1, 0, 0)])
ZOOMS = range(5, sized(15, 9))


class _Counting:
    """An SQS client that takes everything."""

    def __init__(self) -> None:
        self.messages = 0

    def send_message_batch(self, *, Entries: list[Any], **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's name
        self.messages += len(Entries)
        return {}


class _Far(BaseHTTPRequestHandler):
    """An S3 that takes every object, and its time."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(LATENCY)
        self.send_response(200)
        self.send_header("ETag", '"0"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def planning() -> None:
    """Seconds, messages and memory of the plan of a world."""
    everywhere = Footprint(0, 0, 0, np.ones((1, 1), bool))
    globe = Bounds(-180, -85.06, 180, 85.06)
    layer = Layer("world", "1", "", globe, 0, 14, "png", Style(), everywhere, None, (1,), "nearest")
    selection = Selection(tuple(ZOOMS))
    client = _Counting()
    start = time.perf_counter()
    counts = count(layer, selection)
    job = Job.new(Spec("world", "1", selection, TileVariant()), datetime.now(UTC))
    tiles = Count.total(counts).tiles
    plan = Plan(job, layer, counts, Tally(job.id, "world", "1", tiles), BlockSet(), frozenset())
    queue = SqsQueue("http://queue.test", client, "")
    queue.send(plan.messages(queue.sizes))
    spent = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"planning {tiles:,} tiles: {client.messages:,} messages in {spent:.2f} s, {memory:.0f} MB in all")


def puts(data: Path) -> None:
    """Seconds a block with one put at a time against many."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Far)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    far = open_store("s3://tiles", s3=S3(endpoint=f"http://127.0.0.1:{server.server_port}", region="us-east-1"))
    stores = Stores(far, open_store((data / "private").as_uri()), "")
    layer = load_layer(stores.sources, "relief")
    spent: dict[int, list[float]] = {1: [], concurrent.THREADS: []}
    for block in BLOCKS:
        for threads, seconds in spent.items():
            concurrent.THREADS = threads
            start = time.perf_counter()
            fill(layer, stores, Request(block, block.full, TileVariant(), force=True))
            seconds.append(time.perf_counter() - start)
    tiles = BLOCKS[0].full.bit_count()
    one, many = (statistics.median(seconds) for seconds in spent.values())
    print(f"a block of {tiles} tiles into a store {1000 * LATENCY:.0f} ms away: ", end="")
    print(f"{one:.2f} s one put at a time, {many:.2f} s with {max(spent)} under way: {one / many:.1f} x")
    server.shutdown()


if __name__ == "__main__":
    os.environ |= dict.fromkeys(
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "bench"
    )  # of the store that takes everything
    parser = parser_for(__doc__)
    parser.add_argument("data", nargs="?", type=Path, metavar="DATA", help="where scripts/demo made its layer")
    planning()
    with layers.demo(arguments(parser).data) as data:
        puts(data)
