"""The rule for stuck jobs, which make no progress until they are resumed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tiler import timing

if TYPE_CHECKING:
    from seeder.aws.queue import Depth  # imports boto3, which takes 0.3 s


def is_stuck(silence: float, depth: Depth | None, *, sent: bool, empty: float = math.inf) -> bool:
    """Whether a job without a receipt for `silence` seconds is stuck.

    `sent` means that all its messages are in a queue, and `depth` is the depth of this queue (None if it does not
    answer). A failed message returns after up to a quarter of an hour. `empty` is the number of seconds since the queue
    last held a message, if known: its counts are delayed.
    """
    if sent and (depth is None or depth):
        return silence > timing.STUCK_BUSY_SECONDS
    return min(silence, empty) > timing.STUCK_SECONDS
