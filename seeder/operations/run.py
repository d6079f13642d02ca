"""A plan is run: here or by a queue, followed to its end, compared with what is stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from seeder.cache.closing_check import Check
from seeder.jobs.ledger import record_stale
from seeder.jobs.plan import Plan, Tally, Work, run
from seeder.operations.report import Report
from seeder.workers.breaker import MAX_FAILED_SHARE
from seeder.workers.local_pool import LocalPool
from tiler.errors import BadOption
from tiler.ingest.ingest import check_unchanged
from tiler.ingest.processes import CORES
from tiler.settings import Settings
from tiler.storage.store import Stores

if TYPE_CHECKING:
    from seeder.workers.sqs import SqsQueue


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How work is done: by whom, by how many processes, what share of failed blocks is borne, followed or not."""

    queue: str = ""  # URL, empty for this machine
    jobs: int = CORES
    most: float = MAX_FAILED_SHARE
    wait: bool = True


@dataclass(frozen=True, slots=True)
class RunResult:
    """What became of a job. `why` says why not all was done; `messages` were sent, of a job that is not followed.

    `queue` is the URL of the queue that has the job, empty for this machine.
    """

    tally: Tally
    why: str = ""
    check: Check | None = None  # of all planned tiles, where nothing failed
    messages: int | None = None
    queue: str = ""

    @property
    def passed(self) -> bool:
        """Whether every tile is stored or empty and of the layer's revision, as far as the job was followed."""
        return not self.tally.failed and not self.why and (self.check is None or self.check.passed)

    def to_json(self) -> dict[str, Any]:
        """The numbers: tiles by what became of them, bytes, seconds, and what the closing check found."""
        return {**self.tally.to_json(), **(self.check.to_json() if self.check else {})}


def queue_url(choice: str, settings: Settings) -> str:
    """The URL of a queue by `local`, `sqs` or its URL; empty for this machine.

    Raises:
        BadOption: it names none, or workers there could not see the stores.
    """
    if choice == "sqs" and not settings.queue:
        raise BadOption("--queue sqs needs a queue: name a deployed stack with --stack, or give the queue's URL")
    parts = urlsplit(choice)
    if choice not in ("local", "sqs") and not (parts.scheme in ("http", "https") and parts.netloc):
        raise BadOption(f"{choice!r} is no queue: write local, sqs or a queue's URL")
    url = {"local": "", "sqs": settings.queue}.get(choice, choice)
    if ".amazonaws.com" in url and not settings.sources.startswith("s3:"):
        raise BadOption(f"workers in AWS cannot see {settings.sources}: name a deployed stack with --stack")
    return url


def run_plan(
    plan: Plan,
    options: RunOptions,
    settings: Settings,
    stores: Stores,
    report: Report,
    *,
    again: bool = False,
    since: datetime | None = None,
) -> RunResult:
    """Do what is left of a plan. What is in a queue already is sent only `again` if asked; for `since` see `History`.

    Raises:
        BadSource: the raster of a virtual layer changed.
        BadCloud, QueueError: the queue cannot be used, or refused blocks.
        StoreError, WorkerDied: this machine could not go on.
    """
    if plan.resumed:
        report.note(f"resuming job {plan.job.id}: {plan.tally.done:,} of {plan.tally.tiles:,} tiles are done")
    why = ""
    if options.queue:
        from seeder.workers.sqs import SqsQueue  # noqa: PLC0415 - boto3 takes a third of a second

        queue = SqsQueue.open(options.queue, settings.s3.region)
        settled = len(plan.done) == plan.blocks
        messages = 0 if settled else send_work(plan, queue, options, stores, report, again=again)
        if not options.wait:
            return RunResult(plan.tally, messages=messages, queue=options.queue)
        why = _follow(plan, queue, stores, report)
    elif len(plan.done) < plan.blocks:
        check_unchanged(plan.layer)
        why = render_work(plan, options, settings, stores, report)
    if why or plan.tally.failed:
        return RunResult(plan.tally, why, queue=options.queue)
    check = Check.of(plan, stores, settings, options.jobs, since)
    record_stale(stores.sources, plan.job.id, check.stale + check.unsure)
    return RunResult(plan.tally, check=check, queue=options.queue)


def render_work(work: Work, options: RunOptions, settings: Settings, stores: Stores, report: Report) -> str:
    """Render on this machine; returns why not all was."""
    tally = work.tally
    hint = f"interrupted: what is done is kept; run the same command again, or `seeder resume {tally.job}`"
    with report.stage(f"seed {tally.layer}", tally.tiles, done=tally.done, interrupted=hint) as advance:
        return run(work, partial(LocalPool, settings, options.jobs), stores, most=options.most, progress=advance)


def send_work(work: Work, queue: SqsQueue, options: RunOptions, stores: Stores, report: Report, *, again: bool) -> int:
    """Send what is left, or see to it that it is under way; returns how many messages were sent."""
    from seeder.workers.fanout import send  # noqa: PLC0415 - as above

    tally = work.tally
    report.note(f"job {tally.job}")
    hint = f"interrupted: not all of job {tally.job} was sent; run the same command again to send the rest"
    with report.stage(f"send {tally.layer}", tally.tiles, done=tally.done, interrupted=hint) as advance:
        return send(work, queue, stores, progress=advance, most=options.most, again=again)


def _follow(plan: Plan, queue: SqsQueue, stores: Stores, report: Report) -> str:
    """Follow the job to its end; returns why it did not come to a good one."""
    from seeder.workers.fanout import Watch, follow  # noqa: PLC0415 - as above

    tally = plan.tally
    hint = f"interrupted: job {tally.job} goes on; run the same command again to follow it"
    stage = report.stage(f"seed {tally.layer}", tally.tiles, done=tally.done, interrupted=hint)
    with stage as advance, tally.timed():
        return follow(Watch(plan, queue, stores, advance))
