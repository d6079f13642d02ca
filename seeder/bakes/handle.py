"""Handle one message of a bake queue and log the result as JSON."""

from __future__ import annotations

import time

from seeder.jobs.bake_messages import BakeMessage
from seeder.operations.publish_bake import Step, take_step
from seeder.workers.bake_part import BakeWorker, Interrupted
from seeder.workers.lambda_handler import Redeliver, log, redelivery
from seeder.workers.turns import MAX_TRIES
from tiler.settings import Settings


def handle(worker: BakeWorker, settings: Settings, body: str, tries: int) -> Step | Redeliver:
    """Handle one message; `tries` includes this one."""
    start = time.monotonic()
    try:
        message = BakeMessage.decode(body)
        step = take_step(worker, settings, message, again=tries > 1, last=tries >= MAX_TRIES)
    except Interrupted as error:
        log.info("returned", error=str(error), body=body)
        return Redeliver(0, tried=False)
    except Exception as error:  # noqa: BLE001 - logged, and the message returns
        return redelivery(error, body, tries)
    seconds = round(time.monotonic() - start, 3)
    log.info(step.fate, job=message.job, step=message.name, seconds=seconds, why=step.why)
    return step
