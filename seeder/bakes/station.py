"""The bake queue of `seeder worker`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from seeder.bakes.handle import handle
from seeder.workers.bake_part import BakeWorker
from seeder.workers.daemon import Station, Task
from seeder.workers.sqs import SqsQueue
from tiler import timing
from tiler.ingest.staging import Staging
from tiler.settings import Settings
from tiler.storage.store import Stores


def bake_station(url: str) -> Station:
    """The bake queue: one message at a time, because a part takes minutes."""
    return Station(url, _baking, ahead=1)


def _baking(settings: Settings, queue: SqsQueue, stops: Callable[[], bool]) -> Task:
    """The task of a worker process: it bakes a part by itself."""
    stores = Stores.open(settings.within(timing.WORKER_RETRY_SECONDS), create=True)
    worker = BakeWorker(stores, queue.send, 1, Staging(temporary=settings.temporary), stops=stops)
    return partial(handle, worker, settings)
