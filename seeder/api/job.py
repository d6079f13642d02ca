"""A handle on a job: status, result, failures, and actions."""

from __future__ import annotations

import time
from dataclasses import replace

from seeder.api.progress import CallbackReport, Progress
from seeder.defaults import MAX_FAILED_SHARE
from seeder.jobs.failures import Failure
from seeder.jobs.ledger import find_job, layer_of
from seeder.jobs.status import FINAL, ZoomProgress, utcnow
from seeder.jobs.status import Progress as JobProgress
from seeder.operations.checks import check_between, check_text, processes_of
from seeder.operations.jobs import (
    ChooseOptions,
    cancel_job,
    follow_job,
    job_failures,
    job_progress,
    resume_job,
    retry_job,
)
from seeder.operations.run import RunOptions, RunResult, queue_url
from tiler import timing
from tiler.errors import BadOption, UnknownLayer
from tiler.settings import Settings
from tiler.storage.store import Stores


class Job:
    """A job of a layer. `result` is its outcome if this process ran it or followed it to its end, else None.

    A job without work has the id "".
    """

    __slots__ = ("_settings", "id", "layer", "result")

    def __init__(self, settings: Settings, layer: str, job: str, result: RunResult | None = None) -> None:
        self._settings = settings
        self.layer = layer
        self.id = job
        self.result = result

    @classmethod
    def named(cls, settings: Settings, name: str) -> Job:
        """Find a job by id, by an unambiguous prefix of it, or as the newest of the layer `name`.

        Raises:
            UnknownJob: no job matches, or several do.
        """
        check_text("job", name)
        job = find_job(Stores.open(settings).sources, name, listed=False).id
        return cls(settings, layer_of(job), job)

    def status(self) -> JobProgress:
        """The progress: `state`, `percent`, `done` of `tiles`, `rate`, `left`, and the same by zoom in `zooms`.

        Raises:
            StoreError, MessageError: the ledger cannot be read.
        """
        if not self.id:
            nothing = {0: ZoomProgress(0, 0)}
            return JobProgress("", self.layer, "", "done", "", nothing, utcnow(), None, 0.0, "", None)
        sources = Stores.open(self._settings).sources
        return job_progress(find_job(sources, self.id, listed=False), sources, self._settings)

    def wait(self, *, jobs: int | None = None, progress: Progress | None = None) -> JobProgress:
        """Wait until the job has ended, and return its status.

        A job in a queue is followed, then its stored tiles are compared with the plan in `jobs` processes; `result`
        holds the findings.

        Raises:
            BadOption: `jobs` is not a number of processes.
            BadCloud, QueueError, StoreError: the queue or the ledger cannot be read.
        """
        workers = processes_of(jobs)
        while self._goes_on():
            seen = self.status()
            if seen.queue and seen.state in ("running", "done"):
                try:
                    self.result = follow_job(self.id, workers, self._settings, CallbackReport(progress))
                except (BadOption, UnknownLayer):  # the layer has another revision: nothing is left to compare
                    return self.status()
            elif seen.state in FINAL:
                return seen
            else:
                if progress:
                    progress(seen.done, seen.tiles)
                time.sleep(timing.POLL_SECONDS)
        return self.status()

    def _goes_on(self) -> bool:
        """Whether the job may continue without this process."""
        return bool(self.id) and (self.result is None or self.result.messages is not None)

    def resume(
        self,
        *,
        queue: str | None = None,
        jobs: int | None = None,
        max_failed: float = MAX_FAILED_SHARE,
        progress: Progress | None = None,
    ) -> Job:
        """Finish the job in `queue`, by default where it ran before.

        Raises:
            BadOption, UnknownLayer: the layer has another revision now, or was removed.
            BadSource, BadCloud, QueueError, StoreError, WorkerDied: the work cannot continue.
        """
        if self.id:
            choose = chooser(self._settings, queue, jobs, max_failed)
            self.result = resume_job(self.id, choose, self._settings, CallbackReport(progress))
        return self

    def retry(
        self,
        *,
        queue: str | None = None,
        jobs: int | None = None,
        max_failed: float = MAX_FAILED_SHARE,
        progress: Progress | None = None,
    ) -> Job:
        """Retry the job's failed blocks and dead letters; see `resume`.

        Raises:
            BadOption: the job was cancelled; and as `resume`.
        """
        if self.id:
            choose = chooser(self._settings, queue, jobs, max_failed)
            _, result = retry_job(self.id, choose, self._settings, CallbackReport(progress))
            self.result = result or self.result
        return self

    def failures(self) -> list[Failure]:
        """The job's open failures with their errors, including dead letters.

        Raises:
            BadCloud, QueueError, StoreError, MessageError: the queue or the ledger cannot be read.
        """
        return job_failures(self.id, chooser(self._settings), self._settings)[1] if self.id else []

    def cancel(self) -> None:
        """Stop workers after their current block; `resume` continues.

        Raises:
            BadOption: the job is done.
        """
        if self.id:
            cancel_job(self.id, self._settings)

    def __eq__(self, other: object) -> bool:
        """Whether both name the same job of the same workspace; a job without an id equals itself only."""
        if not isinstance(other, Job):
            return NotImplemented
        return self is other or (bool(self.id) and (self._settings, self.id) == (other._settings, other.id))

    def __hash__(self) -> int:
        return hash((self._settings, self.id))

    def __repr__(self) -> str:
        return f"<Job {self.id}>" if self.id else f"<Job of {self.layer}: nothing to do>"


def chooser(
    settings: Settings,
    queue: str | None = None,
    jobs: int | None = None,
    max_failed: float = MAX_FAILED_SHARE,
) -> ChooseOptions:
    """A function that returns run options for a job's own queue, or for `queue`. Jobs are not followed.

    Raises:
        BadOption: when called: an argument is invalid.
    """

    def choose(before: str) -> RunOptions:
        if queue is not None:
            check_text("queue", queue)
        url = before if queue is None else queue_url(queue, settings)
        check_between("max_failed", max_failed, 0, 1)
        return RunOptions(url, None if jobs is None else processes_of(jobs), max_failed, wait=False)

    return choose


def followed(settings: Settings, queue: str | None, jobs: int | None) -> RunOptions:
    """Options of a run that is followed to its end, by default on this machine.

    Raises:
        BadOption: an argument is invalid.
    """
    return replace(chooser(settings, queue, jobs)(""), wait=True)
