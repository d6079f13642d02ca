"""When a job is stuck: nothing more comes of it unless somebody resumes it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tiler import timing

if TYPE_CHECKING:
    from seeder.aws.queue import Depth  # which imports boto3: a third of a second of every command


def is_stuck(silence: float, depth: Depth | None, *, asked: bool, empty: float = math.inf) -> bool:
    """Whether a job is stuck that had no receipt for `silence` seconds.

    `asked` says that its messages are all in a queue, `depth` what that holds (None if it does not answer). A message
    that failed comes again after a quarter of an hour. `empty` is the number of seconds since the queue last held
    something, where that is known: its counts are late.
    """
    if asked and (depth is None or depth):
        return silence > timing.STUCK_BUSY_SECONDS
    return min(silence, empty) > timing.STUCK_SECONDS
