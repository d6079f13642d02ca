"""The worker Lambda, and what it shares with the `seeder worker` command: one record worked off, and told in JSON."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from functools import cache
from typing import Any, Protocol

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from seeder.jobs import Message, Receipt
from seeder.work import Worker
from tiler.errors import TilerError
from tiler.settings import Settings

PATIENCE = 40.0  # seconds that one request to a store is tried again before the message goes back to the queue
MARGIN = 10.0  # seconds that must be left of an invocation for a block to be begun

log = Logger(service="worker")
metrics = Metrics(namespace="TileSeeder", service="worker")
_slowest = 0.0  # seconds that a block took in this process

Event = dict[str, Any]


class Context(Protocol):
    """What the handler asks of Lambda's context."""

    def get_remaining_time_in_millis(self) -> int:
        """Until the invocation is ended by force."""
        ...


def handler(event: Event, context: Context) -> Event:
    """Work off a batch of SQS records; says which of them must come again.

    Those that failed come again after a while, longer each time, those that were not begun for lack of time at once.
    """
    left: list[Event] = []
    late: list[Event] = []
    for record in event["Records"]:
        if context.get_remaining_time_in_millis() / 1000 < max(MARGIN, 2 * _slowest):
            late.append(record)
        elif not _count(attend(_worker(), record["body"])):
            left.append(record)
    if left or late:
        metrics.add_metric("Returned", MetricUnit.Count, len(left) + len(late))
        _give_back(left, late)
    metrics.flush_metrics()
    return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in (*left, *late)]}


def attend(worker: Worker, body: str) -> Receipt | None:
    """Work one message off and log it; None where it must come again."""
    global _slowest  # noqa: PLW0603 - learnt over the life of the process
    start = time.monotonic()
    try:
        message = Message.decode(body)
        receipt = worker.work(message)
    except Exception as error:
        if isinstance(error, TilerError):
            log.warning("returned", error=str(error), body=body)
        else:
            log.exception("returned", body=body)
        return None
    _slowest = max(_slowest, time.monotonic() - start)
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


def _count(receipt: Receipt | None) -> Receipt | None:
    """Add a receipt to the invocation's metrics."""
    if receipt and receipt.fate == "filled":
        outcome = receipt.outcome
        metrics.add_metric("Blocks", MetricUnit.Count, 1)
        metrics.add_metric("Tiles", MetricUnit.Count, outcome.written.bit_count())
        metrics.add_metric("Empty", MetricUnit.Count, outcome.empty.bit_count())
        metrics.add_metric("Skipped", MetricUnit.Count, outcome.skipped.bit_count())
        metrics.add_metric("Failed", MetricUnit.Count, outcome.failed.bit_count())
        metrics.add_metric("Bytes", MetricUnit.Bytes, outcome.bytes)
        metrics.add_metric("Milliseconds", MetricUnit.Milliseconds, outcome.milliseconds)
    elif receipt:
        metrics.add_metric("Split" if receipt.fate == "split" else "Dropped", MetricUnit.Count, 1)
    return receipt


def _give_back(failed: Iterable[Event], late: Iterable[Event]) -> None:
    """Say when records come again. Where that fails they come when the visibility timeout passes."""
    from seeder.sqs import retry_delay  # noqa: PLC0415 - boto3 takes a third of a second, and most never need it

    delays = [(record, retry_delay(int(record["attributes"]["ApproximateReceiveCount"]))) for record in failed]
    try:
        for record, seconds in (*delays, *((record, 0) for record in late)):
            _queue().hide(record["receiptHandle"], seconds)
    except TilerError as error:
        log.warning("visibility unchanged", error=str(error))


@cache
def _settings() -> Settings:
    return Settings.from_env(os.environ).within(PATIENCE)


@cache
def _worker() -> Worker:
    return Worker.open(_settings(), lambda messages: _queue().send(messages))


@cache
def _queue() -> Any:
    from seeder.sqs import SqsQueue  # noqa: PLC0415 - as above

    return SqsQueue.open(_settings().queue, _settings().s3.region)
