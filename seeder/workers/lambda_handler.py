"""The worker Lambda, and `handle_record`, shared with the `seeder worker` command: process one message and log JSON."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
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

FORGET = 0.8  # decay of the slowest time with each block: throttling passes
MARGIN = 10.0  # seconds that an invocation must have left to start a block

log = Logger(service="worker")
metrics = Metrics(namespace="TileSeeder", service="worker")
_slowest = 0.0  # seconds of the slowest recent block in this process

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Redeliver:
    """The result of a failed message: redeliver it after `seconds`. Unless `tried`, the delivery does not count."""

    seconds: int
    tried: bool = True


class Context(Protocol):
    """The part of Lambda's context in use."""

    function_name: str

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the invocation."""
        ...


def handler(event: Event, context: Context) -> Event:
    """Process a batch of SQS records; return the ones to be redelivered.

    Failed records return after a delay that grows with each try. Records without time left are released: they return at
    once, as if this worker had not received them. At least one is started.
    """
    back: list[tuple[Delivery, int]] = []
    done: list[Delivery] = []

    def release(deliveries: Sequence[Delivery]) -> None:
        _delete(done)
        back.extend((delivery, 0) for delivery in _released(deliveries))

    def goes_on(begun: int) -> bool:
        return not begun or context.get_remaining_time_in_millis() / 1000 >= max(MARGIN, 2 * _slowest)

    for delivery in turns([delivery_of(record) for record in event["Records"]], goes_on, release, _buried):
        result = handle_record(_worker(), delivery.body, delivery.tries)
        if isinstance(result, Receipt):
            _count(result)
            done.append(delivery)
        elif not (is_spent(delivery) and _buried(delivery)):
            back.append((delivery, result.seconds))
    if back:
        metrics.add_metric("Returned", MetricUnit.Count, len(back))
        _give_back(back)
    # another series of each metric: stages of an account share `service`
    metrics.add_dimensions(FunctionName=context.function_name)
    metrics.flush_metrics()
    return {"batchItemFailures": [{"itemIdentifier": delivery.id} for delivery, _ in back]}


def delivery_of(record: Event) -> Delivery:
    """A record of the event-source mapping."""
    receives = record["attributes"]["ApproximateReceiveCount"]
    earlier = record["messageAttributes"].get(TRIES, {}).get("stringValue")
    return delivered(record["messageId"], record["receiptHandle"], record["body"], receives, earlier)


def handle_record(worker: Worker, body: str, tries: int) -> Receipt | Redeliver:
    """Process one message and log the result; `tries` includes this one."""
    global _slowest  # noqa: PLW0603 - kept for the life of the process
    start = time.monotonic()
    try:
        message = Message.decode(body)
        receipt = worker.work(message, again=tries > 1)
    except Exception as error:  # noqa: BLE001 - logged, and the message returns
        return redelivery(error, body, tries)
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


def redelivery(error: Exception, body: str, tries: int) -> Redeliver:
    """Log the error of a message, and decide when it returns; `tries` includes the failed one."""
    if isinstance(error, TilerError):
        log.warning("returned", error=str(error), body=body)
    else:
        log.error("returned", exc_info=error, body=body)
    # an invalid message is redelivered at once, so that it soon becomes a dead letter
    delays = timing.RETRY_DELAYS_SECONDS
    return Redeliver(0 if isinstance(error, MessageError) else delays[min(tries, len(delays)) - 1])


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
    """Delete messages now; Lambda would delete them only after the invocation."""
    try:
        if done:
            _queue().delete_all(done)
    except TilerError as error:
        log.warning("not deleted", error=str(error))


def _released(deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
    """Release messages; return the ones refused by SQS."""
    if not deliveries:
        return ()
    metrics.add_metric("Released", MetricUnit.Count, len(deliveries))
    try:
        return cast("Sequence[Delivery]", _queue().release(deliveries))
    except TilerError as error:
        log.warning("not released", error=str(error))
        return deliveries


def bury(queue: Callable[[], Any], delivery: Delivery) -> bool:
    """Move a message to the dead-letter queue of `queue()`; return whether it was moved, and log an error."""
    try:
        return bool(queue().bury(delivery))
    except TilerError as error:
        log.warning("not moved to the dead-letter queue", error=str(error))
        return False


def _buried(delivery: Delivery) -> bool:
    """Bury a message, and count it."""
    buried = bury(_queue, delivery)
    if buried:
        metrics.add_metric("DeadLetters", MetricUnit.Count, 1)
    return buried


def _give_back(back: Sequence[tuple[Delivery, int]]) -> None:
    """Set when messages return. If that fails, they return after the visibility timeout."""
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
    from seeder.workers.sqs import SqsQueue  # noqa: PLC0415 - boto3 takes 0.3 s, rarely needed

    return SqsQueue.open(_settings().queue, _settings().s3.region)
