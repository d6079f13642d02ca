"""A handle on a bake job: the bake of a layer by the workers of a queue."""

from __future__ import annotations

from seeder.api.job import Job
from seeder.api.progress import CallbackReport, Progress
from seeder.jobs.bake_ledger import load_bake
from seeder.jobs.bake_status import BakeProgress
from seeder.jobs.ledger import layer_of
from seeder.operations import bake as operations
from seeder.operations.bake_failures import failures
from seeder.operations.checks import check_text
from tiler.settings import Settings
from tiler.storage.store import Store, Stores


class Bake:
    """A bake job of a layer; without work, because the layer is up to date, its id is ""."""

    __slots__ = ("_settings", "id", "layer")

    def __init__(self, settings: Settings, layer: str, job: str) -> None:
        self._settings = settings
        self.layer = layer
        self.id = job

    @classmethod
    def named(cls, settings: Settings, job: str) -> Bake:
        """The bake job of an id."""
        return cls(settings, layer_of(job), job)

    @property
    def job(self) -> Job | None:
        """The job that renders the zooms of `seed` once the layer is published; None without any.

        Raises:
            MissingObject, MessageError, StoreError: the ledger cannot be read.
        """
        first = load_bake(Stores.open(self._settings).sources, self.id).first if self.id else None
        return Job(self._settings, self.layer, first.job) if first else None

    def status(self) -> BakeProgress | None:
        """The progress: `state`, `percent`, `done` of `parts`, `left`, and the same by tier; None without work.

        Raises:
            StoreError, MessageError: the ledger cannot be read.
        """
        return operations.progress_of(self.id, self._sources, self._settings) if self.id else None

    def wait(self, *, progress: Progress | None = None) -> BakeProgress | None:
        """Wait until the job has ended, and return its status; `progress` takes the parts baked and all parts.

        Raises:
            BadCloud, QueueError, StoreError, MessageError: the queue or the ledger cannot be read.
        """
        report = CallbackReport(progress)
        return operations.follow_bake(self.id, self._settings, self._sources, report) if self.id else None

    def failures(self) -> dict[str, list[str]]:
        """The failed parts, as tier/column/row, by error; dead letters too, `publish` and `renew` for those of no part.

        Raises:
            BadCloud, QueueError, StoreError: the queue or the ledger cannot be read.
        """
        return failures(self.id, self._sources, self._settings) if self.id else {}

    def cancel(self) -> None:
        """Stop workers after their current chunk; `resume` continues.

        Raises:
            BadOption: the job has ended.
        """
        if self.id:
            operations.cancel(self.id, self._sources)

    def resume(self, *, queue: str | None = None, progress: Progress | None = None) -> Bake:
        """Send what is left to `queue`, by default the job's; `queue="local"` bakes it here.

        Raises:
            BadOption: the job is done, or the layer was published since.
            BadCloud, QueueError, StoreError: the queue or a store failed.
        """
        if not self.id:
            return self
        stores, report = Stores.open(self._settings, create=True), CallbackReport(progress)
        if queue is not None:
            check_text("queue", queue)
        if queue == "local":
            operations.run_here(self.id, self._settings, stores, report)
        else:
            url = operations.bake_queue("sqs", self._settings) if queue == "sqs" else queue or ""
            operations.resume_bake(self.id, url, self._settings, stores, report)
        return self

    @property
    def _sources(self) -> Store:
        return Stores.open(self._settings).sources

    def __repr__(self) -> str:
        return f"<Bake {self.id}>" if self.id else f"<Bake of {self.layer}: nothing to do>"
