"""The order in which a worker starts its received messages, so that no untried message becomes a dead letter.

SQS counts receives, and moves a message to the dead-letter queue after a number of them (`maxReceiveCount`). A receive
without a try must not count: if the time of the invocation is up, or if another message of the batch ended the process.
So a worker releases messages that it does not start: it replaces each by a new one with the same number of tries. A
message tried before may have ended a process: it is started last and alone, after all others are settled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from seeder.aws.delivery import Delivery
from tiler import timing

MAX_TRIES = len(timing.RETRY_DELAYS_SECONDS) + 1


def turns(
    deliveries: Sequence[Delivery],
    goes_on: Callable[[int], bool],
    release: Callable[[Sequence[Delivery]], object],
    bury: Callable[[Delivery], bool],
) -> Iterator[Delivery]:
    """Yield the messages to start, fewest tries first, and release the rest.

    `goes_on` gets the number of started messages and returns whether there is time for another one. `release` also
    settles finished messages before a message tried earlier is started. `bury` moves a message whose tries all ended
    without a result to the dead-letter queue, and returns whether it was moved.
    """
    lost = [each for each in deliveries if each.copied and each.tries > MAX_TRIES and bury(each)]
    waiting = sorted((each for each in deliveries if each not in lost), key=lambda each: each.tries)
    begun = 0
    while waiting and goes_on(begun):
        delivery = waiting.pop(0)
        if delivery.tries > 1 and (waiting or begun):
            release(waiting)
            waiting = []
        begun += 1
        yield delivery
    if waiting:
        release(waiting)


def is_spent(delivery: Delivery) -> bool:
    """Whether a failed message has used all its tries, although SQS counts fewer receives."""
    return delivery.copied and delivery.tries >= MAX_TRIES
