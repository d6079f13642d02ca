"""The worker Lambda, and what it shares with the `seeder worker` command: one record worked off, and told in JSON."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, cast

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from seeder.aws.delivery import TRIES, Delivery, delivered
from seeder.jobs.messages import Message, Receipt
from seeder.workers.process_block import Worker
from seeder.workers.turns import is_spent, turns
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
    """Process a batch of SQS records; returns those that must come again.

    Failed ones come again after a delay that grows with each try. Those without time left are released: they come
    again at once, as if this worker had not received them. At least one is begun.
    """
    back: list[tuple[Delivery, int]] = []
    done: list[Delivery] = []

    def release(deliveries: Sequence[Delivery]) -> None:
        _delete(done)
        back.extend((delivery, 0) for delivery in _released(deliveries))

    def goes_on(begun: int) -> bool:
        return not begun or context.get_remaining_time_in_millis() / 1000 >= max(MARGIN, 2 * _slowest)

    for delivery in turns([_delivery(record) for record in event["Records"]], goes_on, release, _buried):
        answer = attend(_worker(), delivery.body, delivery.tries)
        if isinstance(answer, Receipt):
            _count(answer)
            done.append(delivery)
        elif not (is_spent(delivery) and _buried(delivery)):
            back.append((delivery, answer.seconds))
    if back:
        metrics.add_metric("Returned", MetricUnit.Count, len(back))
        _give_back(back)
    metrics.flush_metrics()
    return {"batchItemFailures": [{"itemIdentifier": delivery.id} for delivery, _ in back]}


def _delivery(record: Event) -> Delivery:
    """A record of the event-source mapping."""
    receives = record["attributes"]["ApproximateReceiveCount"]
    earlier = record["messageAttributes"].get(TRIES, {}).get("stringValue")
    return delivered(record["messageId"], record["receiptHandle"], record["body"], receives, earlier)


def attend(worker: Worker, body: str, tries: int) -> Receipt | Again:
    """Process one message and log it; `tries` includes this one."""
    global _slowest  # noqa: PLW0603 - learnt over the life of the process
    start = time.monotonic()
    try:
        message = Message.decode(body)
        receipt = worker.work(message, again=tries > 1)
    except Exception as error:
        if isinstance(error, TilerError):
            log.warning("returned", error=str(error), body=body)
        else:
            log.exception("returned", body=body)
        # a message that nobody understands need not wait for better times: it is soon a dead letter
        delays = timing.RETRY_DELAYS_SECONDS
        return Again(0 if isinstance(error, MessageError) else delays[min(tries, len(delays)) - 1])
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


def _delete(done: Sequence[Delivery]) -> None:
    """Delete messages now that Lambda would delete after the invocation."""
    try:
        if done:
            _queue().delete_all(done)
    except TilerError as error:
        log.warning("not deleted", error=str(error))


def _released(deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
    """Release messages; returns those that SQS did not take."""
    if not deliveries:
        return ()
    metrics.add_metric("Released", MetricUnit.Count, len(deliveries))
    try:
        return cast("Sequence[Delivery]", _queue().release(deliveries))
    except TilerError as error:
        log.warning("not released", error=str(error))
        return deliveries


def _buried(delivery: Delivery) -> bool:
    """Move a message to the dead-letter queue; returns whether that was possible."""
    try:
        if not _queue().bury(delivery):
            return False
    except TilerError as error:
        log.warning("not moved to the dead-letter queue", error=str(error))
        return False
    metrics.add_metric("DeadLetters", MetricUnit.Count, 1)
    return True


def _give_back(back: Sequence[tuple[Delivery, int]]) -> None:
    """Set when messages come again. If that fails they come after the visibility timeout."""
    try:
        for delivery, seconds in back:
            _queue().hide(delivery.handle, seconds)
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
