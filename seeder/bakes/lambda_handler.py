"""The bake Lambda: handle the messages of the bake queue, one per invocation."""

from __future__ import annotations

import os
import tempfile
from functools import cache, partial
from pathlib import Path
from typing import Any

from seeder.bakes.handle import handle
from seeder.defaults import BAKE_PROCESSES
from seeder.workers.bake_part import BakeWorker
from seeder.workers.lambda_handler import Context, Event, delivery_of
from seeder.workers.settle import settle
from seeder.workers.sqs import SqsQueue
from tiler import timing
from tiler.ingest.disk_space import sweep_scratch
from tiler.settings import Settings
from tiler.storage.store import Stores


def handler(event: Event, context: Context) -> dict[str, Any]:
    """Handle SQS records; return the ones to be redelivered.

    A failed record returns after a delay that grows with each try; after the last it is a dead letter.
    """
    back = []
    for delivery in map(delivery_of, event["Records"]):
        worker = _worker()
        worker.left = partial(_seconds_left, context)
        if settle(_queue(), delivery, handle(worker, _settings(), delivery.body, delivery.tries)):
            back.append(delivery)
    return {"batchItemFailures": [{"itemIdentifier": delivery.id} for delivery in back]}


def _seconds_left(context: Context) -> float:
    return context.get_remaining_time_in_millis() / 1000


@cache
def _settings() -> Settings:
    return Settings.from_env(os.environ)


@cache
def _worker() -> BakeWorker:
    sweep_scratch(Path(tempfile.gettempdir()))  # of an invocation that ended in the middle of a part
    stores = Stores.open(_settings().within(timing.WORKER_RETRY_SECONDS), create=True)
    return BakeWorker(stores, _queue().send, BAKE_PROCESSES)


@cache
def _queue() -> SqsQueue:
    return SqsQueue.open(_settings().bake_queue, _settings().s3.region)
