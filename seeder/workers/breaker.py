"""The circuit breaker: stop a job with too many failed blocks before it costs more.

A job is stopped as soon as too many of a worker's recent blocks failed, or too many of all blocks in the ledger.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from seeder.defaults import MAX_FAILED_SHARE
from seeder.jobs.ledger import Stop, finished, load_run, stop
from seeder.jobs.messages import Receipt
from tiler.storage.store import PAGE, Store

LEAST_FAILED = 20  # failed blocks before a job can be stopped
WINDOW_BLOCKS = 1000  # recent blocks of a worker that count
NEVER = 1.0  # a fraction of failed blocks that cannot be exceeded
KNOWN = 16  # jobs with a window per worker


def reason_to_stop(failed: int, blocks: int, most: float, unit: str = "blocks") -> str:
    """The reason to stop a job if more than a fraction `most` of `blocks` failed, otherwise nothing."""
    if failed < LEAST_FAILED or failed <= most * blocks:
        return ""
    return f"{failed:,} of {blocks:,} {unit} failed, more than {100 * most:g}%"


@dataclass(slots=True)
class _Window:
    """Flags of a run's recent blocks: whether each failed."""

    begun: datetime | None = None
    last: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW_BLOCKS))


class Breaker:
    """Recent blocks of a worker's jobs."""

    def __init__(self, sources: Store) -> None:
        self._sources = sources
        self._windows: dict[str, _Window] = {}

    def add_receipt(self, job: str, receipt: Receipt) -> None:
        """Count a block of `job`; if too many failed, record that the job is stopped.

        Raises:
            StoreError: the ledger could not be read or written.
        """
        window = self._window(job)
        window.last.append(bool(receipt.outcome.failed))
        if not receipt.outcome.failed:
            return
        run = load_run(self._sources, job)
        most = run.most if run else MAX_FAILED_SHARE
        if run and window.begun not in (None, run.begun):  # failures of an earlier run do not count
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
        """The reason to stop the job. Listing the ledger is expensive, so it is done less often the more failed."""
        why = reason_to_stop(sum(last), len(last), most)
        if why:
            return why
        failed = sum(1 for _ in islice(finished(self._sources, job, "failed"), PAGE))
        if failed < LEAST_FAILED or random.random() > LEAST_FAILED / failed:  # noqa: S311 - not for security
            return ""
        enough = round(failed / most) if most else 0  # with this many done, the limit is not exceeded
        done = sum(1 for _ in islice(finished(self._sources, job), enough))
        return reason_to_stop(failed, failed + done, most)
