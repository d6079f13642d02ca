"""Small real bakes by workers: the product's, in processes, with scenes, parts and ledger on a server that is S3.

Each part of the base has one scene in UTM, within a chunk. Workers are those of `seeder worker`: one part at a time, in
one process. In SQS's place is a queue of this process.
"""

from __future__ import annotations

import heapq
import os
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any, NamedTuple

import rasterio
import rasterio.warp
from bake_server import counted, kept
from bucket import SPAWN
from rasterio.transform import from_origin
from scale_real import KEYS, used_cpu
from tiny import TINY, relief, sized

from seeder.jobs.bake_ledger import BakeJob, digest_of, load_end, new_id, put_bake
from seeder.jobs.bake_messages import BakeMessage
from seeder.jobs.status import utcnow
from seeder.operations.bake import plan_bake
from seeder.operations.publish_bake import take_step
from seeder.operations.report import Report
from seeder.workers.bake_part import BakeWorker, remaining
from tiler.ingest.bake_plan import BakePlan
from tiler.ingest.planned_parts import BakeWork, planned_parts
from tiler.raster.options import Options
from tiler.scenes.headers import read_scenes
from tiler.scenes.scene import Listed
from tiler.scenes.scene_list import SceneList
from tiler.settings import S3, Settings
from tiler.storage.store import Stores

BASE = 14  # zoom of the bake
CORNER = 132, 87  # first part of the base, in parts: around 8 east, 48 north
SIDE = sized(1900, 300)  # pixels of a scene
MIDDLE = 4.5 / 8  # of a chunk, in sides of its part
WORLD = 2 * 20037508.342789244  # metres
SECONDS = 170  # until a run is given up
BEYOND = 99  # tiers
DRIVERS = {"GTiff": "tif", "JP2OpenJPEG": "jp2"}


@dataclass(frozen=True)
class Setting:
    """A run: workers, parts of the base, seconds that S3 takes for an answer, GDAL's driver of the scenes."""

    workers: int
    parts: int
    latency: float
    driver: str = "GTiff"


class Step(NamedTuple):
    """A message that a worker handled: the seconds of CPU and elapsed that it took, and those without a CPU to run on.

    The latter are of the process's first thread (Linux); what is left is waiting for S3.
    """

    text: str
    cpu: float
    busy: float
    idle: float

    @property
    def tier(self) -> int:
        """The tier of its part; beyond all others for the publication."""
        place = BakeMessage.decode(self.text).place
        return place.tier if place else BEYOND


@dataclass(frozen=True)
class Measured:
    """A run: its work, elapsed seconds and steps.

    `counts` are the server's: requests by kind, bytes of scenes, and its CPU. `others` are CPUs that processes used
    which are not ours.
    """

    setting: Setting
    work: BakeWork
    seconds: float
    steps: list[Step]
    counts: Counter[str]
    others: float

    @property
    def parts(self) -> int:
        """The parts of all tiers."""
        return self.work.parts + self.work.overviews

    @property
    def cpu(self) -> float:
        """Seconds of CPU of all workers."""
        return _cpu(self.steps)

    @property
    def base_cpu(self) -> float:
        """The same for the base."""
        return _cpu([step for step in self.steps if step.tier == 0])

    @property
    def waiting(self) -> float:
        """Seconds that workers waited for S3."""
        return max(0.0, sum(step.busy - step.cpu - step.idle for step in self.steps))

    @property
    def quiet(self) -> float:
        """Elapsed seconds if nobody else had used the machine: the same steps without their wait for a CPU."""
        free, begin = [0.0] * self.setting.workers, 0.0
        for tier in sorted({step.tier for step in self.steps}):
            free = [max(begin, each) for each in free]
            for step in self.steps:
                if step.tier == tier:
                    heapq.heapreplace(free, free[0] + step.busy - step.idle)
            begin = max(free)
            heapq.heapify(free)
        return max(begin, (self.cpu + self.counts["cpu"]) / (os.cpu_count() or 1))

    @property
    def requests(self) -> int:
        """Requests for all but the pixels of scenes."""
        return sum(self.counts[kind] for kind in ("get", "put", "list"))


def write_scenes(folder: Path, number: int, driver: str) -> list[str]:
    """Write scenes, each within a chunk of a part; returns the names of their files."""
    pixel, names = WORLD / 256 / 2**BASE, list[str]()
    side, size = 64 * 256 * pixel, pixel * 0.62  # metres of a part, and of a pixel on the ground
    for part in range(number):
        column, row = CORNER[0] + part % 4, CORNER[1] + part // 4
        x, y = (column + MIDDLE) * side - WORLD / 2, WORLD / 2 - (row + MIDDLE) * side
        (east,), (north,) = rasterio.warp.transform("EPSG:3857", "EPSG:32632", [x], [y])
        place = from_origin(east - size * SIDE / 2, north + size * SIDE / 2, size, size)
        names.append(f"{part:03}.{DRIVERS[driver]}")
        if part and driver == "GTiff":  # the same pixels elsewhere
            shutil.copyfile(folder / names[0], folder / names[-1])
            with rasterio.open(folder / names[-1], "r+") as file:
                file.transform = place
        else:
            _write(folder / names[-1], driver, place)
    return names


def _write(path: Path, driver: str, place: Any) -> None:
    shape = {"width": SIDE, "height": SIDE, "count": 3, "dtype": "uint8", "crs": "EPSG:32632", "transform": place}
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "zlevel": 1}
    lossy = {"QUALITY": 25, "REVERSIBLE": "NO"}
    with rasterio.open(path, "w", driver, **shape, **(tiles if driver == "GTiff" else lossy)) as out:
        out.write(relief(2 * SIDE)[:, :SIDE, :SIDE])


def _settings(address: str) -> Settings:
    return Settings("s3://tiles", "s3://private", s3=S3(endpoint=address, region="us-east-1"))


def _work(address: str, tasks: Any, results: Any) -> None:
    """A worker: bake what comes until there is nothing more."""
    stores = Stores.open(_settings(address))

    def send(messages: Any, delay: float) -> None:
        results.put(("sent", [(each.encode(), delay) for each in messages]))

    worker = BakeWorker(stores, send, 1)
    results.put(("ready", None))
    while (text := tasks.get()) is not None:
        cpu, start, idle = time.process_time(), time.perf_counter(), _idle()
        take_step(worker, _settings(address), BakeMessage.decode(text), last=True)
        spent = time.process_time() - cpu, time.perf_counter() - start, _idle() - idle
        results.put(("done", Step(text, *spent)))


def _idle() -> float:
    """Seconds that this thread was ready to run, and did not (Linux)."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


def _planned(address: str, names: list[str]) -> tuple[BakeJob, BakePlan, Stores]:
    """A bake job of scenes on the server, recorded there."""
    stores = Stores.open(_settings(address), create=True)
    listed = [Listed(f"s3://scenes/{name}", f"/vsis3/scenes/{name}") for name in names]
    options = Options(max_zoom=BASE)
    scenes = SceneList(read_scenes(listed, options, jobs=1, progress=lambda *_: None), "last")
    plan = plan_bake(scenes, "bench", options, stores, Report())
    assert isinstance(plan, BakePlan), "it was not baked before"
    now = utcnow()
    job = BakeJob(new_id("bench", digest_of(now), now), "bench", plan.draft.revision, plan.dump(), stores.url, 0.05)
    put_bake(stores.sources, job, plan.dump_scenes())
    return job, plan, stores


def _done(address: str, workers: int, first: list[str]) -> tuple[list[Step], float, Counter[str]]:
    """The steps of workers from the first messages on, their seconds, and the server's counts."""
    tasks, results = (Queue(), Queue()) if TINY else (SPAWN.Queue(), SPAWN.Queue())
    begin = Thread if TINY else SPAWN.Process
    each = [begin(target=_work, args=(address, tasks, results), daemon=True) for _ in range(workers)]
    for worker in each:
        worker.start()
    try:
        for _ in each:
            results.get(timeout=120)
        before, start, steps, left = counted(address), time.perf_counter(), list[Step](), len(first)
        for text in first:
            tasks.put(text)
        while left:
            kind, what = results.get(timeout=SECONDS)
            if kind == "done":
                steps.append(what)
                left -= 1
            for text, delay in what if kind == "sent" else ():
                left += 1
                assert not delay, "the layer is new: nothing waits"
                tasks.put(text)
        seconds, counts = time.perf_counter() - start, counted(address)
        counts.subtract(before)
        return steps, seconds, counts
    finally:
        for _ in each:
            tasks.put(None)
        for worker in each:
            worker.join(30)


def measured(folder: Path, names: list[str], setting: Setting) -> Measured:
    """Bake a layer of scenes by workers."""
    os.environ |= dict.fromkeys(KEYS, "bench") | {"POWERTOOLS_LOG_LEVEL": "CRITICAL", "AWS_REGION": "us-east-1"}
    with kept(str(folder), setting.latency) as address:
        os.environ["AWS_ENDPOINT_URL"] = address
        job, plan, stores = _planned(address, names[: setting.parts])
        parts = planned_parts("bench", stores.sources, plan.raster())
        work, used = parts.work(plan.survey.base, parts.missing), used_cpu()
        steps, seconds, counts = _done(
            address, setting.workers, [each.encode() for each in remaining(job.id, plan, ())]
        )
        used = used_cpu() - used
        end = load_end(stores.sources, job.id)
        assert end, "the last worker published the layer"
        assert end.state == "done", end
    return Measured(setting, work, seconds, steps, counts, max(0.0, (used - _cpu(steps) - counts["cpu"]) / seconds))


def _cpu(steps: list[Step]) -> float:
    return sum(step.cpu for step in steps)
