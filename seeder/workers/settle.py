"""Settle a message that was handled: delete it, let it return, or move it to the dead-letter queue."""

from __future__ import annotations

from collections.abc import Sequence

from seeder.aws.delivery import Delivery
from seeder.workers.lambda_handler import Redeliver, bury, log
from seeder.workers.sqs import SqsQueue
from seeder.workers.turns import is_spent
from tiler.errors import TilerError


def settle(queue: SqsQueue, delivery: Delivery, result: object) -> bool:
    """Delete a message, set when it returns, or move it to the dead-letter queue after its last try.

    Returns whether it is still in the queue. If the queue does not answer, it returns after its visibility timeout.
    """
    try:
        if not isinstance(result, Redeliver):
            queue.delete(delivery)
            return False
        if not result.tried:
            return bool(release(queue, [delivery]))
        if is_spent(delivery) and bury(lambda: queue, delivery):
            return False
        queue.hide(delivery.handle, result.seconds)
    except TilerError as error:
        log.warning("message not settled", error=str(error))
    return True


def release(queue: SqsQueue, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
    """Release messages; the ones that SQS refuses return at once, and count as tried. Returns those."""
    refused: Sequence[Delivery] = ()
    try:
        refused = queue.release(deliveries) if deliveries else ()
        for delivery in refused:
            queue.hide(delivery.handle, 0)
    except TilerError as error:
        log.warning("not released", error=str(error))
    return refused
