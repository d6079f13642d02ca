"""Act on a job: resume, follow, retry or cancel it, read its progress and its failures."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from seeder.cache.prepare_job import current, reload, resume
from seeder.jobs.failures import DeadLetters, DeadQueue, Failure, Retry, dead_letters, failures
from seeder.jobs.ledger import CANCELLED, Stop, complete, find_job, load_run, reopen, stop, stopped
from seeder.jobs.messages import Job
from seeder.jobs.status import Progress, progress, queue_depth, utcnow
from seeder.operations.report import Report
from seeder.operations.run import RunOptions, RunResult, render_work, run_plan, send_work
from tiler.errors import BadOption
from tiler.layers.layer_cache import Layers
from tiler.settings import Settings
from tiler.storage.store import Store, Stores

ChooseOptions = Callable[[str], RunOptions]  # takes the URL of the job's queue, empty for this machine


def job_progress(job: Job, sources: Store, settings: Settings) -> Progress:
    """A job's progress, with the depth of its queue in every state.

    Raises:
        MessageError: another version wrote the ledger.
        StoreError: the ledger could not be read.
    """
    seen = progress(job, sources, Layers(sources), lambda url: queue_depth(url, settings.s3.region), utcnow())
    if not seen.queue or seen.depth is not None:
        return seen
    return replace(seen, depth=queue_depth(seen.queue, settings.s3.region))


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A cancelled job; `before` if it was cancelled already."""

    job: Job
    before: bool


def cancel_job(name: str, settings: Settings) -> Cancelled:
    """Stop workers after their current block.

    Raises:
        UnknownJob: the job does not exist.
        BadOption: the job is done.
    """
    sources = Stores.open(settings).sources
    job = find_job(sources, name, listed=False)
    before = stopped(sources, job.id)
    if before is not None and before.asked:
        return Cancelled(job, before=True)
    if complete(sources, job.id):
        raise BadOption(f"job {job.id} is done: there is nothing to cancel")
    stop(sources, job.id, Stop(CANCELLED))
    return Cancelled(job, before=False)


def resume_job(name: str, choose: ChooseOptions, settings: Settings, report: Report) -> RunResult:
    """Finish a job after a cancellation, failures, dead letters, lost messages or a killed run.

    Raises:
        UnknownJob: the job does not exist.
        BadOption, UnknownLayer: its layer has another revision now, or was removed.
        BadSource, BadCloud, QueueError, StoreError, WorkerDied: see `run_plan`.
    """
    stores = Stores.open(settings, create=True)
    job = find_job(stores.sources, name)
    run_options = choose(_queue(job, stores.sources))
    plan = resume(job, stores)
    return run_plan(plan, run_options, settings, stores, report, again=True)


def follow_job(name: str, jobs: int, settings: Settings, report: Report) -> RunResult:
    """Follow a job in a queue to its end, then compare the stored tiles with its plan in `jobs` processes.

    Unsent blocks are sent first. A cancelled job stays cancelled.

    Raises:
        UnknownJob, BadOption, UnknownLayer, BadCloud, QueueError, StoreError: see `resume_job`.
    """
    stores = Stores.open(settings, create=True)
    job = find_job(stores.sources, name)
    plan, why = reload(job, stores), stopped(stores.sources, job.id)
    queue = _queue(job, stores.sources)
    if why:
        return RunResult(plan.tally, why.why, queue=queue)
    return run_plan(plan, RunOptions(queue, jobs), settings, stores, report)


def job_failures(name: str, choose: ChooseOptions, settings: Settings) -> tuple[Job, list[Failure]]:
    """A job and its open failures, including dead letters.

    Raises:
        UnknownJob: the job does not exist.
        BadCloud, QueueError: its queue cannot be used.
        StoreError, MessageError: the ledger cannot be read.
    """
    stores = Stores.open(settings)
    job = find_job(stores.sources, name, listed=False)
    url = _queue(job, stores.sources)
    choose(url)
    with _letters(url, job, settings) as letters:
        dead = letters.open(stores.sources, job.id)
        return job, [*failures(stores.sources, job.id), *(letter.failure for letter in dead)]


def retry_job(name: str, choose: ChooseOptions, settings: Settings, report: Report) -> tuple[Job, RunResult | None]:
    """Retry a job's failed blocks, here or in its queue; no result if nothing failed.

    Their dead letters are deleted. A job in a queue is not followed.

    Raises:
        UnknownJob: the job does not exist.
        BadOption, UnknownLayer: it was cancelled, or its layer has another revision now, or was removed.
        BadCloud, QueueError, StoreError, WorkerDied: see `run_plan`.
    """
    stores = Stores.open(settings, create=True)
    job = find_job(stores.sources, name, listed=False)
    url = _queue(job, stores.sources)
    run_options = choose(url)
    with _letters(url, job, settings) as letters:
        again = Retry.of(job, stores.sources, letters.open(stores.sources, job.id))
        return job, _retried(again, letters, run_options, settings, stores, report)


def _retried(
    again: Retry, letters: DeadLetters, run_options: RunOptions, settings: Settings, stores: Stores, report: Report
) -> RunResult | None:
    job = again.job
    layer = current(job, stores)
    why = stopped(stores.sources, job.id)
    if why is not None and why.asked:
        raise BadOption(f"job {job.id} was cancelled: run `seeder resume {job.id}` to continue it")
    if not again.block_masks:
        letters.delete()
        return None
    reopen(stores.sources, job.id)
    if not run_options.queue:
        why_not = render_work(again, run_options.of_layer(layer), settings, stores, report)
        letters.delete()
        return RunResult(again.tally, why_not)
    from seeder.workers.sqs import SqsQueue  # noqa: PLC0415 - boto3 takes a third of a second

    queue = SqsQueue.open(run_options.queue, settings.s3.region)
    messages = send_work(again, queue, run_options, stores, report, again=True)
    letters.delete()
    return RunResult(again.tally, messages=messages, queue=run_options.queue)


def _queue(job: Job, sources: Store) -> str:
    """The URL of the job's last queue, empty for this machine."""
    run = load_run(sources, job.id)
    return run.queue if run else ""


def _letters(url: str, job: Job, settings: Settings) -> AbstractContextManager[DeadLetters]:
    """The job's dead letters; none without a queue."""
    if not url:
        return nullcontext(DeadLetters(DeadQueue(None), []))
    from seeder.workers.sqs import SqsQueue  # noqa: PLC0415 - as above

    return dead_letters(SqsQueue.open(url, settings.s3.region), job.id)
