"""The circuit breaker: a job of which too much fails is stopped before it costs more.

A worker knows only its own last blocks, and the ledger only what became of all of them. So a job is stopped by
whichever shows it first: that too many of a worker's last blocks failed, or too many of all.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from seeder.jobs.ledger import Stop, finished, load_run, stop
from seeder.jobs.messages import Receipt
from tiler.storage.store import PAGE, Store

LEAST_FAILED = 20  # failed blocks before anything is stopped
WINDOW_BLOCKS = 1000  # blocks that a worker looks back
NEVER = 1.0  # a share of failed blocks that cannot be passed
MAX_FAILED_SHARE = 0.01
KNOWN = 16  # jobs that a worker remembers


def judged(failed: int, blocks: int, most: float) -> str:
    """Why a job of which `failed` of `blocks` failed should be stopped, or nothing; a share of `most` is borne."""
    if failed < LEAST_FAILED or failed <= most * blocks:
        return ""
    return f"{failed:,} of {blocks:,} blocks failed, more than {100 * most:g}%"


@dataclass(slots=True)
class _Window:
    """Whether each of the last blocks of a run failed."""

    begun: datetime | None = None
    last: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW_BLOCKS))


class Breaker:
    """What a worker remembers of its jobs."""

    def __init__(self, sources: Store) -> None:
        self._sources = sources
        self._windows: dict[str, _Window] = {}

    def add_receipt(self, job: str, receipt: Receipt) -> None:
        """Take note of a block of `job`; where that passes the limit, put on record that the job is stopped.

        Raises:
            StoreError: the ledger could not be read or written.
        """
        window = self._window(job)
        window.last.append(bool(receipt.outcome.failed))
        if not receipt.outcome.failed:
            return
        run = load_run(self._sources, job)
        most = run.most if run else MAX_FAILED_SHARE
        if run and window.begun not in (None, run.begun):  # what failed in an earlier run is forgiven
            kept = [*(each for each in window.last if not each), True]
            self._windows[job] = window = _Window(last=deque(kept, WINDOW_BLOCKS))
        window.begun = run.begun if run else None
        if most < NEVER:
            why = self._why(job, window.last, most)
            if why:
                stop(self._sources, job, Stop(f"{why}; the last one: {receipt.outcome.error}", asked=False))

    def _window(self, job: str) -> _Window:
        if job not in self._windows:
            if len(self._windows) == KNOWN:
                del self._windows[next(iter(self._windows))]
            self._windows[job] = _Window()
        return self._windows[job]

    def _why(self, job: str, last: Sequence[bool], most: float) -> str:
        """What the last blocks tell, or else the ledger. It is asked the more rarely the more failed: that is dear."""
        why = judged(sum(last), len(last), most)
        if why:
            return why
        failed = sum(1 for _ in islice(finished(self._sources, job, "failed"), PAGE))
        if failed < LEAST_FAILED or random.random() > LEAST_FAILED / failed:  # noqa: S311 - no secret
            return ""
        enough = round(failed / most) if most else 0  # with so many done besides, nothing is stopped
        done = sum(1 for _ in islice(finished(self._sources, job), enough))
        return judged(failed, failed + done, most)
