"""The order in which a worker begins the messages that it received, so that none is a dead letter before it was tried.

SQS counts receives, and moves a message to the dead-letter queue after so many (`maxReceiveCount`). A receive without a
try must not count: if the time of the invocation is up, or if another message of the batch ended the process. So a
worker releases the messages that it does not begin: it replaces each by a new one with the same number of tries. And a
message that was tried before may be what ended a process: it is begun last and alone, after all others are settled.
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
    """Yield the messages to begin, fewest tries first, and release the rest.

    `goes_on` takes the number of messages begun and returns whether there is time for another one. `release` also
    settles the messages that are done, before one that was tried before is begun. `bury` moves a message
    to the dead-letter queue and returns whether it could: all its tries ended without an answer.
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
    """Whether a failed message is a dead letter by its tries, although SQS counts fewer receives."""
    return delivery.copied and delivery.tries >= MAX_TRIES
