"""A handle on a job: its progress, its result, what failed, and what to do about it."""

from __future__ import annotations

import time
from dataclasses import replace

from seeder.api.checks import check_between, check_text, processes_of
from seeder.api.progress import CallbackReport, Progress
from seeder.jobs.failures import Failure
from seeder.jobs.ledger import find_job, layer_of
from seeder.jobs.status import FINAL, ZoomProgress, utcnow
from seeder.jobs.status import Progress as JobProgress
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
from seeder.workers.breaker import MAX_FAILED_SHARE
from tiler import timing
from tiler.errors import BadOption, UnknownLayer
from tiler.settings import Settings
from tiler.storage.store import Stores


class Job:
    """A job of a layer. `result` is what became of it, as far as this process ran or followed it to the end.

    A job for which nothing was to do has the id "".
    """

    __slots__ = ("_settings", "id", "layer", "result")

    def __init__(self, settings: Settings, layer: str, job: str, result: RunResult | None = None) -> None:
        self._settings = settings
        self.layer = layer
        self.id = job
        self.result = result

    @classmethod
    def named(cls, settings: Settings, name: str) -> Job:
        """The job of that id, or the only one whose id begins so, or the newest of the layer of that name.

        Raises:
            UnknownJob: there is none, or there are several.
        """
        check_text("job", name)
        job = find_job(Stores.open(settings).sources, name, listed=False).id
        return cls(settings, layer_of(job), job)

    def status(self) -> JobProgress:
        """How far the job is: `state`, `percent`, `done` of `tiles`, `rate`, `left`, and `zooms` one by one.

        Raises:
            StoreError, MessageError: the ledger cannot be read.
        """
        if not self.id:
            nothing = {0: ZoomProgress(0, 0)}
            return JobProgress("", self.layer, "", "done", "", nothing, utcnow(), None, 0.0, "", None)
        sources = Stores.open(self._settings).sources
        return job_progress(find_job(sources, self.id, listed=False), sources, self._settings)

    def wait(self, *, jobs: int | None = None, progress: Progress | None = None) -> JobProgress:
        """Wait until the job has ended; returns its status then.

        A job in a queue is followed, and its stored tiles are compared with the plan by `jobs` processes: `result`
        has what was found.

        Raises:
            BadOption: `jobs` can be no number of processes.
            BadCloud, QueueError, StoreError: the queue or the ledger cannot be read.
        """
        workers = processes_of(jobs)
        while self._goes_on():
            seen = self.status()
            if seen.queue and seen.state in ("running", "done"):
                try:
                    self.result = follow_job(self.id, workers, self._settings, CallbackReport(progress))
                except (BadOption, UnknownLayer):  # another revision took the layer's place: nothing is left to compare
                    return self.status()
            elif seen.state in FINAL:
                return seen
            else:
                if progress:
                    progress(seen.done, seen.tiles)
                time.sleep(timing.POLL_SECONDS)
        return self.status()

    def _goes_on(self) -> bool:
        """Whether the job may go on without this process."""
        return bool(self.id) and (self.result is None or self.result.messages is not None)

    def resume(
        self,
        *,
        queue: str | None = None,
        jobs: int | None = None,
        max_failed: float = MAX_FAILED_SHARE,
        progress: Progress | None = None,
    ) -> Job:
        """Do what is left of the job, here or in `queue`: where it was before, unless another is named.

        Raises:
            BadOption, UnknownLayer: the layer has another revision by now, or is gone.
            BadSource, BadCloud, QueueError, StoreError, WorkerDied: the work cannot go on.
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
        """Do what failed of the job once more, dead letters too; see `resume`.

        Raises:
            BadOption: the job was cancelled; and as `resume`.
        """
        if self.id:
            choose = chooser(self._settings, queue, jobs, max_failed)
            _, result = retry_job(self.id, choose, self._settings, CallbackReport(progress))
            self.result = result or self.result
        return self

    def failures(self) -> list[Failure]:
        """What failed and was not done since, with the error, dead letters too.

        Raises:
            BadCloud, QueueError, StoreError, MessageError: the queue or the ledger cannot be read.
        """
        return job_failures(self.id, chooser(self._settings), self._settings)[1] if self.id else []

    def cancel(self) -> None:
        """Have workers stop after the block that they are at; `resume` goes on.

        Raises:
            BadOption: the job is done.
        """
        if self.id:
            cancel_job(self.id, self._settings)

    def __repr__(self) -> str:
        return f"<Job {self.id}>" if self.id else f"<Job of {self.layer}: nothing to do>"


def chooser(
    settings: Settings,
    queue: str | None = None,
    jobs: int | None = None,
    max_failed: float = MAX_FAILED_SHARE,
) -> ChooseOptions:
    """Makes the options of a run of the queue that a job was in, unless `queue` names another. Jobs are not followed.

    Raises:
        BadOption: when called: an argument cannot be.
    """

    def choose(before: str) -> RunOptions:
        if queue is not None:
            check_text("queue", queue)
        url = before if queue is None else queue_url(queue, settings)
        check_between("max_failed", max_failed, 0, 1)
        return RunOptions(url, processes_of(jobs), max_failed, wait=False)

    return choose


def followed(settings: Settings, queue: str | None, jobs: int | None) -> RunOptions:
    """Options of a run to be followed to its end, on this machine unless a queue is named.

    Raises:
        BadOption: an argument cannot be.
    """
    return replace(chooser(settings, queue, jobs)(""), wait=True)
