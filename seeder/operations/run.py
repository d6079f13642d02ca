"""Run a plan here or through a queue, follow it to its end, and compare it with the stored tiles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from seeder.cache.closing_check import Check
from seeder.defaults import CORES, MAX_FAILED_SHARE
from seeder.jobs.ledger import record_stale
from seeder.jobs.plan import Plan, Tally, Work, run
from seeder.operations.housekeeping import tidy
from seeder.operations.report import Report
from seeder.workers.local_pool import LocalPool
from tiler.errors import BadOption
from tiler.ingest.unchanged import check_unchanged
from tiler.layers.catalog import Layer
from tiler.settings import Settings
from tiler.storage.store import Stores

if TYPE_CHECKING:
    from seeder.workers.sqs import SqsQueue


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run a plan: where, in how many processes, and whether to follow it. `most` failed of 1 stop the job.

    `jobs` is None for one process per core, and fewer for few tiles of a baked layer; see `LocalPool`.
    """

    queue: str = ""  # URL, empty for this machine
    jobs: int | None = None
    most: float = MAX_FAILED_SHARE
    wait: bool = True

    @property
    def processes(self) -> int:
        """The most processes on this machine."""
        return self.jobs or CORES

    def of_layer(self, layer: Layer) -> RunOptions:
        """These options, with one process per core for a virtual layer: one of its blocks may take seconds."""
        return self if layer.bake else replace(self, jobs=self.processes)


@dataclass(frozen=True, slots=True)
class RunResult:
    """The outcome of a job.

    `why` is the reason if it is unfinished; `messages` counts those sent if the job is not followed; `queue` is the
    URL of its queue, empty for this machine.
    """

    tally: Tally
    why: str = ""
    check: Check | None = None  # of all planned tiles, where nothing failed
    messages: int | None = None
    queue: str = ""

    @property
    def passed(self) -> bool:
        """Whether every tile is stored or empty and current, as far as the job was followed."""
        return not self.tally.failed and not self.why and (self.check is None or self.check.passed)

    def to_json(self) -> dict[str, Any]:
        """Tiles by outcome, bytes, seconds, and the findings of the closing check."""
        return {**self.tally.to_json(), **(self.check.to_json() if self.check else {})}


def queue_url(choice: str, settings: Settings) -> str:
    """The URL of the queue named by `local`, `sqs` or its URL; empty for this machine.

    Raises:
        BadOption: it names no queue, or workers there cannot read the stores.
    """
    if choice == "sqs" and not settings.queue:
        raise BadOption("no queue is known: name a deployed stack with --stack, or give the queue's URL to --queue")
    parts = urlsplit(choice)
    if choice not in ("local", "sqs") and not (parts.scheme in ("http", "https") and parts.netloc):
        raise BadOption(f"{choice!r} is not a queue: give local, sqs or a queue's URL")
    url = {"local": "", "sqs": settings.queue}.get(choice, choice)
    if ".amazonaws.com" in url and not settings.sources.startswith("s3:"):
        raise BadOption(f"workers in AWS cannot read {settings.sources}: name a deployed stack with --stack")
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
    """Finish a plan, and tidy the ledger after a followed run.

    Blocks that are in a queue already are sent `again` on request; for `since` see `History`.

    Raises:
        BadSource: the raster of a virtual layer changed.
        BadCloud, QueueError: the queue cannot be used, or refused blocks.
        StoreError, WorkerDied: this machine cannot continue.
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
        why = render_work(plan, options.of_layer(plan.layer), settings, stores, report)
    check = None
    if not why and not plan.tally.failed:
        check = Check.of(plan, stores, settings, options.processes, since)
        record_stale(stores.sources, plan.job.id, check.stale + check.unsure)
    tidy(plan.layer.id, stores.sources, report)
    return RunResult(plan.tally, why, check, queue=options.queue)


def render_work(work: Work, options: RunOptions, settings: Settings, stores: Stores, report: Report) -> str:
    """Render on this machine; returns the reason if work is left."""
    tally = work.tally
    hint = f"interrupted: finished tiles are kept; run the same command again, or `seeder resume {tally.job}`"
    with report.stage(f"seed {tally.layer}", tally.tiles, done=tally.done, interrupted=hint) as advance:
        return run(work, partial(LocalPool, settings, options.jobs), stores, most=options.most, progress=advance)


def send_work(work: Work, queue: SqsQueue, options: RunOptions, stores: Stores, report: Report, *, again: bool) -> int:
    """Send the remaining blocks unless they are in the queue; returns the number of messages."""
    from seeder.workers.fanout import send  # noqa: PLC0415 - as above

    tally = work.tally
    report.note(f"job {tally.job}")
    hint = f"interrupted: not all of job {tally.job} was sent; run the same command again to send the rest"
    with report.stage(f"send {tally.layer}", tally.tiles, done=tally.done, interrupted=hint) as advance:
        return send(work, queue, stores, progress=advance, most=options.most, again=again)


def _follow(plan: Plan, queue: SqsQueue, stores: Stores, report: Report) -> str:
    """Follow the job to its end; returns the reason if work is left."""
    from seeder.workers.fanout import Watch, follow  # noqa: PLC0415 - as above

    tally = plan.tally
    hint = f"interrupted: job {tally.job} continues; run the same command again to follow it"
    stage = report.stage(f"seed {tally.layer}", tally.tiles, done=tally.done, interrupted=hint)
    with stage as advance, tally.timed():
        return follow(Watch(plan, queue, stores, advance))
