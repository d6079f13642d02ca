"""The worker Lambda, and what it shares with the `seeder worker` command: one record worked off, and told in JSON."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from seeder.jobs.messages import Message, Receipt
from seeder.workers.process_block import Worker
from tiler import timing
from tiler.errors import MessageError, TilerError
from tiler.settings import Settings

FORGET = 0.8  # a block later, so much is left of how slow one was: what throttled it passes
MARGIN = 10.0  # seconds that must be left of an invocation for a block to be begun

log = Logger(service="worker")
metrics = Metrics(namespace="TileSeeder", service="worker")
_slowest = 0.0  # seconds that a block took in this process, of late

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Again:
    """A message that was not worked off must come again after so many seconds."""

    seconds: int


class Context(Protocol):
    """What the handler asks of Lambda's context."""

    def get_remaining_time_in_millis(self) -> int:
        """Until the invocation is ended by force."""
        ...


def handler(event: Event, context: Context) -> Event:
    """Work off a batch of SQS records; says which of them must come again.

    Those that failed come again after a while, longer each time; those that were not begun for lack of time, at once.
    The first is always begun, so that none is put off for ever.
    """
    back: list[tuple[Event, int]] = []
    for number, record in enumerate(event["Records"]):
        if number and context.get_remaining_time_in_millis() / 1000 < max(MARGIN, 2 * _slowest):
            back.append((record, 0))
            continue
        answer = attend(_worker(), record["body"], int(record["attributes"]["ApproximateReceiveCount"]))
        if isinstance(answer, Again):
            back.append((record, answer.seconds))
        else:
            _count(answer)
    if back:
        metrics.add_metric("Returned", MetricUnit.Count, len(back))
        _give_back(back)
    metrics.flush_metrics()
    return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record, _ in back]}


def attend(worker: Worker, body: str, receives: int) -> Receipt | Again:
    """Work one message off and log it; `receives` counts how often it came."""
    global _slowest  # noqa: PLW0603 - learnt over the life of the process
    start = time.monotonic()
    try:
        message = Message.decode(body)
        receipt = worker.work(message, again=receives > 1)
    except Exception as error:
        if isinstance(error, TilerError):
            log.warning("returned", error=str(error), body=body)
        else:
            log.exception("returned", body=body)
        # a message that nobody understands need not wait for better times: it is soon a dead letter
        delays = timing.RETRY_DELAYS_SECONDS
        return Again(0 if isinstance(error, MessageError) else delays[min(receives, len(delays)) - 1])
    _slowest = max(FORGET * _slowest, time.monotonic() - start)
    outcome = receipt.outcome
    log.info(
        receipt.fate,
        job=message.job,
        layer=message.layer,
        block=str(receipt.block),
        written=outcome.written.bit_count(),
        empty=outcome.empty.bit_count(),
        skipped=outcome.skipped.bit_count(),
        failed=outcome.failed.bit_count(),
        bytes=outcome.bytes,
        milliseconds=round(1000 * (time.monotonic() - start)),
        error=outcome.error,
    )
    return receipt


def _count(receipt: Receipt) -> None:
    """Add a receipt to the invocation's metrics."""
    if receipt.fate == "filled":
        outcome = receipt.outcome
        metrics.add_metric("Blocks", MetricUnit.Count, 1)
        metrics.add_metric("Tiles", MetricUnit.Count, outcome.written.bit_count())
        metrics.add_metric("Empty", MetricUnit.Count, outcome.empty.bit_count())
        metrics.add_metric("Skipped", MetricUnit.Count, outcome.skipped.bit_count())
        metrics.add_metric("Failed", MetricUnit.Count, outcome.failed.bit_count())
        metrics.add_metric("Bytes", MetricUnit.Bytes, outcome.bytes)
        metrics.add_metric("Milliseconds", MetricUnit.Milliseconds, outcome.milliseconds)
    else:
        metrics.add_metric("Split" if receipt.fate == "split" else "Dropped", MetricUnit.Count, 1)


def _give_back(back: Iterable[tuple[Event, int]]) -> None:
    """Say when records come again. Where that fails they come when the visibility timeout passes."""
    try:
        for record, seconds in back:
            _queue().hide(record["receiptHandle"], seconds)
    except TilerError as error:
        log.warning("visibility unchanged", error=str(error))


@cache
def _settings() -> Settings:
    return Settings.from_env(os.environ)


@cache
def _worker() -> Worker:
    return Worker.open(_settings(), lambda messages: _queue().send(messages))


@cache
def _queue() -> Any:
    from seeder.workers.sqs import SqsQueue  # noqa: PLC0415 - boto3 takes a third of a second, and most never need it

    return SqsQueue.open(_settings().queue, _settings().s3.region)
