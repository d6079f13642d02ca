"""Handle one message of a bake queue and log the result as JSON."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from seeder.jobs.bake_messages import BakeMessage
from seeder.operations.publish_bake import publish_bake, renew_after_bake
from seeder.workers.bake_part import BakeWorker, Interrupted, Send
from seeder.workers.lambda_handler import Redeliver, log, redelivery
from seeder.workers.sqs import SqsQueue
from seeder.workers.turns import MAX_TRIES
from tiler.settings import Settings


@dataclass(frozen=True, slots=True)
class Handled:
    """The result of a message that is done with: what became of it."""

    fate: str


def handle(worker: BakeWorker, settings: Settings, body: str, tries: int) -> Handled | Redeliver:
    """Handle one message; `tries` includes this one."""
    start = time.monotonic()
    try:
        message = BakeMessage.decode(body)
        fate, why = _handle(worker, settings, message, last=tries >= MAX_TRIES)
    except Interrupted as error:
        log.info("returned", error=str(error), body=body)
        return Redeliver(0)
    except Exception as error:  # noqa: BLE001 - logged, and the message returns
        return redelivery(error, body, tries)
    seconds = round(time.monotonic() - start, 3)
    log.info(fate, job=message.job, step=message.name, seconds=seconds, why=why)
    return Handled(fate)


def _handle(worker: BakeWorker, settings: Settings, message: BakeMessage, *, last: bool) -> tuple[str, str]:
    """Handle a message; returns its fate, and the reason."""
    if message.kind == "part":
        result = worker.bake(message, last=last)
        return result.fate, result.why
    planned = worker.planned(message.job)
    if message.kind == "publish":
        following = publish_bake(planned.job, planned.plan, worker.stores)
        worker.send(following, 0)
        return "published" if following == [BakeMessage("renew", message.job)] else "not published", ""
    seconds = renew_after_bake(planned.job, worker.stores, settings)
    if seconds is None:
        return "ended", ""
    worker.send([message], seconds)
    return "waits", f"{seconds} s"


def sending(queue: SqsQueue) -> Send:
    """A function that sends messages to a bake queue, for `BakeWorker`."""

    def send(messages: Iterable[BakeMessage], delay: int) -> int:
        return queue.send(messages, delay)

    return send
