"""Small real runs to hold the model against: the product's workers, in processes, on a server that stands for S3.

The layer is baked by the real ingest; messages go through `seeder.workers.lambda_handler.handle_record`, which fills
blocks and puts receipts as on Lambda. The server answers after 30 ms, and what is over its limit with 503 SlowDown.
In SQS's place is a queue of this process, which gives a failed message back after a fifteenth of the usual time. Every
message has a part of the bucket to itself, so that a few blocks stand for many.
"""

from __future__ import annotations

import heapq
import math
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np
import rasterio
from bucket import LATENCY, SPAWN
from rasterio.transform import from_origin
from scale_block import refused
from scale_events import played
from scale_fluid import simulate
from scale_server import counted, served
from scale_world import FOREVER, TILES, Bucket, Job, Machine, Queue, Worker, World
from tiny import sized

from seeder.jobs.ledger import put_job
from seeder.jobs.messages import Job as Order
from seeder.jobs.messages import Message, Spec
from seeder.select.selection import Selection
from seeder.workers.lambda_handler import Redeliver, handle_record
from seeder.workers.process_block import Worker as Station
from tiler.errors import StoreError
from tiler.grid import LEAF, TILE, Block
from tiler.ingest.ingest import ingest
from tiler.layers.catalog import load_layer
from tiler.layers.fill import Request
from tiler.layers.render import TileVariant
from tiler.raster.options import Options
from tiler.settings import S3, Settings
from tiler.storage.concurrent import THREADS
from tiler.storage.store import Store, Stores, open_store
from tiler.timing import WORKER_RETRY_SECONDS

NAME, JOB, ZOOM, SIDE = "scale", "scale-job", 12, sized(4096, 2048)  # the layer; pixels of its raster
TRIED = sized(WORKER_RETRY_SECONDS, 1.0)  # seconds that puts are tried which are always refused
CORNER = 2048, 2040  # its first tile
FASTER = 15  # times that failed messages come sooner
HASTY = WORKER_RETRY_SECONDS / FASTER  # seconds
KEYS = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"

Task = tuple[int, int, str]  # the message's number, how often it came, its body


@dataclass(frozen=True, slots=True)
class Apart(Store):
    """A part of a bucket that looks like all of it."""

    part: str = ""

    def put(self, key: str, data: bytes, *, content_type: str, cache_control: str = "") -> None:
        """Store `data` in this part."""
        Store.put(self, f"{self.part}/{key}", data, content_type=content_type, cache_control=cache_control)

    def existing(self, keys: Iterable[str], *, least: int = 0) -> set[str]:
        """Those of `keys` that this part has."""
        found = Store.existing(self, [f"{self.part}/{key}" for key in keys], least=least)
        return {key.removeprefix(f"{self.part}/") for key in found}


def baked(folder: Path) -> None:
    """Ingest a picture with slopes, edges and grain that fills four blocks, and put a job for it on record."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    grain = np.random.default_rng(1).normal(0, 0.4, (SIDE, SIDE)).astype(np.float32)
    waves = [128 + 60 * np.sin(columns / (93 + 9 * band)) + 45 * np.cos(rows / (71 - 5 * band)) for band in range(3)]
    picture = np.clip(np.array(waves) + grain, 1, 255).astype(np.uint8)
    size = 2 * math.pi * 6378137 / 2**ZOOM
    corner = from_origin(
        (CORNER[0] - 2 ** (ZOOM - 1)) * size, (2 ** (ZOOM - 1) - CORNER[1]) * size, size / 256, size / 256
    )
    shape = {"width": SIDE, "height": SIDE, "count": 3, "dtype": "uint8"}
    with rasterio.open(folder / "raster.tif", "w", driver="GTiff", crs="EPSG:3857", transform=corner, **shape) as out:
        out.write(picture)
    tiles, private = (open_store((folder / name).as_uri(), create=True) for name in ("public", "private"))
    options = Options(max_zoom=ZOOM)
    source = str(folder / "raster.tif")
    ingest(source, NAME, options, Stores(tiles, private, ""), jobs=sized(2, 1), progress=lambda _done, _all: None)
    put_job(private, Order(JOB, Spec(NAME, load_layer(private, NAME).revision, Selection((ZOOM,)), TileVariant())))


def messages(folder: Path, number: int) -> list[str]:
    """So many messages, of the layer's blocks in turn."""
    layer = load_layer(open_store((folder / "private").as_uri()), NAME)
    places = range(0, SIDE // TILE, LEAF)
    blocks = [Block(ZOOM, CORNER[0] + x, CORNER[1] + y) for y in places for x in places]
    made = [Message(JOB, NAME, layer.revision, Request(each, each.full, TileVariant(), force=True)) for each in blocks]
    return [made[each % len(made)].encode() for each in range(number)]


def _work(settings: Settings, first: str, patience: float, tasks: Any, results: Any) -> None:
    """A worker: one block to begin with, which opens the source, then what comes, until there is nothing more."""
    station = Station.open(settings)
    bucket = open_store(settings.tiles, s3=settings.within(patience).s3)
    handle_record(station, first, 1)
    before = time.process_time()
    results.put(("ready", 0.0))
    while (task := tasks.get()) is not None:
        number, receives, body = task
        tiles = Apart(bucket.url, bucket.backend, bucket.s3, f"{number}")
        answer = handle_record(replace(station, stores=replace(station.stores, tiles=tiles)), body, receives)
        results.put(("again" if isinstance(answer, Redeliver) else "done", task))
    results.put(("cpu", time.process_time() - before))


@dataclass(frozen=True)
class Setting:
    """A run: workers, tiles a second that the server takes, and for how long a put is tried again."""

    workers: int
    limit: float
    blocks: int
    patience: float = WORKER_RETRY_SECONDS


@dataclass(frozen=True)
class Measured:
    """What a run came to; `cpu` is of the workers, `server` of the server."""

    seconds: float
    done: int
    again: int
    dead: int
    cpu: float
    server: float
    puts: float
    refused: float
    other: float
    others: float  # CPUs, on the mean, that processes used which are not ours

    @property
    def rate(self) -> float:
        """Tiles a second."""
        return self.done * TILES / self.seconds


def measured(folder: Path, setting: Setting, queue: Queue) -> Measured:
    """Run workers on a server."""
    with served(str(folder / "private"), setting.limit) as address:
        settings = Settings("s3://tiles", "s3://private", s3=S3(endpoint=address, region="us-east-1"))
        tasks, results = SPAWN.Queue(), SPAWN.Queue()
        (first,) = messages(folder, 1)
        given = settings, first, setting.patience, tasks, results
        workers = [SPAWN.Process(target=_work, args=given) for _ in range(setting.workers)]
        for worker in workers:
            worker.start()
        try:
            for _ in workers:
                results.get(timeout=120)
            before, used, start = counted(address), used_cpu(), time.perf_counter()
            fates = _fed(messages(folder, setting.blocks), tasks, results, queue)
            seconds, used = time.perf_counter() - start, used_cpu() - used
            spent = {name: value - before[name] for name, value in counted(address).items()}
            for _ in workers:
                tasks.put(None)
            cpu = sum(results.get(timeout=120)[1] for _ in workers)
        finally:
            for worker in workers:
                worker.terminate()
                worker.join()
    counts = Counter(spent)
    return Measured(
        seconds=seconds,
        done=fates["done"],
        again=fates["again"],
        dead=fates["dead"],
        cpu=cpu,
        server=counts["cpu"],
        puts=counts["put"],
        refused=counts["refused"],
        other=counts["other"],
        others=max(0.0, (used - cpu - counts["cpu"]) / seconds),
    )


def used_cpu() -> float:
    """Seconds of CPU that the whole machine has used so far (Linux)."""
    user, nice, system = (int(each) for each in Path("/proc/stat").read_text().split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def _fed(bodies: list[str], tasks: Any, results: Any, queue: Queue) -> Counter[str]:
    """Hand out messages, and again those that failed, until each is done or dead."""
    fates: Counter[str] = Counter()
    later: list[tuple[float, Task]] = []
    for number, body in enumerate(bodies):
        tasks.put((number, 1, body))
    while fates["done"] + fates["dead"] < len(bodies):
        while later and later[0][0] <= time.monotonic():
            tasks.put(heapq.heappop(later)[1])
        try:
            fate, (number, receives, body) = results.get(timeout=0.05)
        except Empty:
            continue
        if fate == "again" and receives == queue.receives:
            fate = "dead"
        elif fate == "again":
            heapq.heappush(later, (time.monotonic() + queue.again(receives), (number, receives + 1, body)))
        fates[fate] += 1
    return fates


def patience(folder: Path) -> tuple[float, float]:
    """How often the product tries each of some puts that are always refused, and when the last one ends, in seconds."""
    with served(str(folder), 0.0) as address:
        settings = Settings("s3://tiles", "s3://private", s3=S3(endpoint=address, region="us-east-1"))
        stores, start = Stores.open(settings.within(TRIED)), time.perf_counter()
        try:
            some = ((f"{number}", b"") for number in range(THREADS))
            list(stores.tiles.put_all(some, content_type="image/png", cache_control=""))
        except StoreError:
            return counted(address)["refused"] / THREADS, time.perf_counter() - start
    raise AssertionError("a server that takes nothing took a tile")


def like(one: Measured) -> World:
    """The world of the runs, from what one worker took without a limit."""
    blocks = one.done
    worker = Worker(
        tile=one.cpu / blocks / TILES,
        latency=LATENCY,
        spread=0.0,
        serial=round(one.other / blocks),
        cold=0.0,
        between=0.0,
        batch=1,
    )
    server = one.server / (one.puts + one.refused + one.other)
    return World(worker, Bucket(split=FOREVER), machine=Machine(os.cpu_count() or 1, server))


def waiting(workers: int) -> Queue:
    """The queue of this process, with all workers there at once."""
    usual = Queue()
    return Queue(workers, first=workers, delay=usual.delay / FASTER, longest=usual.longest / FASTER)


def validate(settings: list[Setting]) -> Iterator[str]:
    """The lines of the table. The first setting must be one worker without a limit: the model learns from that."""
    os.environ |= dict.fromkeys(KEYS, "bench") | {"POWERTOOLS_LOG_LEVEL": "CRITICAL", "GDAL_CACHEMAX": "16"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        baked(folder)
        tries, seconds = patience(folder)
        world = None
        for setting in settings:
            queue = waiting(setting.workers)
            found = measured(folder, setting, queue)
            if world is None:
                world = like(found)
                yield from _heading(world, tries, seconds)
            worker = replace(world.worker, patience=setting.patience)
            here = replace(world, worker=worker, queue=queue, bucket=replace(world.bucket, puts=setting.limit))
            yield _row(setting, found, here)
            print(f"{setting}: {found}", file=sys.stderr, flush=True)


def _heading(world: World, tries: float, seconds: float) -> Iterator[str]:
    worker, machine = world.worker, world.machine
    yield f"{machine.cores} cores, Python {sys.version.split()[0]}. One worker without a limit took"
    yield f"{1000 * worker.tile:.2f} ms of CPU for a tile and made {worker.serial} requests a block besides its tiles;"
    yield f"the server took {1000 * machine.server:.2f} ms of CPU for a request. {THREADS} puts that were always"
    yield f"refused were tried {tries:.0f} times each, {refused(worker).allowed.mean():.0f} in the model,"
    yield f"until {seconds:.1f} s after the first."
    yield ""
    heads = ("workers", "limit, PUT/s", "patience, s", "measured tiles/s", "flow", "ratio", "put by put", "ratio")
    pairs = ("refused, measured / flow", "came again, measured / flow", "CPUs that others used")
    yield f"| {' | '.join(heads + pairs)} |"
    yield f"{'| ---: ' * len(heads + pairs)}|"


def _row(setting: Setting, found: Measured, world: World) -> str:
    blocks = setting.blocks
    fluid = simulate(world, Job(blocks * TILES, (ZOOM,), (blocks,), {LEAF: blocks}))
    exact = played(world, blocks)
    rates = [run.done * TILES / run.seconds for run in (fluid, exact)]
    share = found.refused / (found.puts + found.refused)
    limit = "none" if setting.limit == FOREVER else f"{setting.limit:.0f}"
    cells = [
        f"{setting.workers}",
        limit,
        f"{setting.patience:.1f}",
        f"{found.rate:.0f}",
        *(cell for rate in rates for cell in (f"{rate:.0f}", f"{rate / found.rate:.2f}")),
        f"{100 * share:.0f}% / {100 * fluid.throttled:.0f}%",
        f"{found.again} / {fluid.again:.0f}",
        f"{found.others:.1f}",
    ]
    return f"| {' | '.join(cells)} |"
