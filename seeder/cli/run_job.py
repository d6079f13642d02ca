"""What `seed`, `resume` and `errors --retry` share: work is done here or by a queue, shown, and exits by the truth."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import click

from seeder.cache.closing_check import Check
from seeder.cli.common import interruptible, jobs_option, say, tile_bar, tiles_said
from seeder.jobs.ledger import record_stale
from seeder.jobs.plan import Plan, Tally, Work, run
from seeder.workers.breaker import DEFAULT
from seeder.workers.local_pool import LocalPool
from tiler.errors import BadOption
from tiler.ingest.ingest import check_unchanged
from tiler.settings import Settings
from tiler.storage.store import Stores

if TYPE_CHECKING:
    from seeder.workers.sqs import SqsQueue

Command = Callable[..., None]
MakeRunOptions = Callable[..., "RunOptions"]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How work is done: by whom, by how many processes, what share of failed blocks is borne, followed or not."""

    queue: str  # URL, empty for this machine
    jobs: int
    most: float
    as_json: bool
    wait: bool = True


def run_flags(default: str | None) -> Callable[[Command], Command]:
    """Option `--wait` and those of `follow_flags`, for commands that need not follow a job to its end."""

    def decorate(command: Command) -> Command:
        @follow_flags(default)
        @click.option("--wait", is_flag=True, help="Follow a job in SQS to its end; exit 1 if a tile is missing then.")
        @wraps(command)
        def given(*args: Any, run_options: MakeRunOptions, wait: bool, **kwargs: Any) -> None:
            def patient(settings: Settings, before: str, *, as_json: bool) -> RunOptions:
                return replace(run_options(settings, before, as_json=as_json), wait=wait)

            command(*args, run_options=patient, **kwargs)

        return given

    return decorate


def follow_flags(default: str | None) -> Callable[[Command], Command]:
    """Options `--queue`, `--jobs` and `--max-failed`; `default` is the queue unless one is named.

    The command gets `run_options`, which makes RunOptions of the settings, the queue that was named before,
    and whether JSON is asked for.
    """

    def decorate(command: Command) -> Command:
        @click.option(
            "--queue",
            metavar="local|sqs|URL",
            envvar="TILER_QUEUE" if default else None,
            default=default,
            show_default=default or "as before",
            help="Who renders: this machine, or the workers of the stack's queue.",
        )
        @click.option(
            "--max-failed",
            type=click.FloatRange(0, 100),
            default=100 * DEFAULT,
            show_default=True,
            metavar="PERCENT",
            help="Stop the job when more of its last 1000 blocks fail, and at least 20; 100 never stops.",
        )
        @jobs_option
        @wraps(command)
        def given(*args: Any, queue: str | None, max_failed: float, jobs: int, **kwargs: Any) -> None:
            def run_options(settings: Settings, before: str, *, as_json: bool) -> RunOptions:
                url = before if queue is None else _queue_url(queue, settings)
                return RunOptions(url, jobs, max_failed / 100, as_json)

            command(*args, run_options=run_options, **kwargs)

        return given

    return decorate


def _queue_url(choice: str, settings: Settings) -> str:
    """The URL of the queue that `--queue` means, empty for this machine."""
    if choice == "sqs" and not settings.queue:
        raise BadOption("--queue sqs needs a queue: name a deployed stack with --stack, or give the queue's URL")
    if choice not in ("local", "sqs") and "://" not in choice:
        raise BadOption(f"{choice!r} is no queue: write local, sqs or a queue's URL")
    url = {"local": "", "sqs": settings.queue}.get(choice, choice)
    if ".amazonaws.com" in url and not settings.sources.startswith("s3:"):
        raise BadOption(f"workers in AWS cannot see {settings.sources}: name a deployed stack with --stack")
    return url


def perform_plan(
    plan: Plan,
    run_options: RunOptions,
    settings: Settings,
    stores: Stores,
    *,
    again: bool = False,
    since: datetime | None = None,
) -> None:
    """Do what is left of a plan. What is in a queue already is sent only `again` if asked; for `since` see `History`.

    Raises:
        Exit: with 1 if tiles failed or are missing.
    """
    if plan.resumed:
        click.echo(f"resuming job {plan.job.id}: {plan.tally.done:,} of {plan.tally.tiles:,} tiles are done", err=True)
    why = ""
    if run_options.queue:
        from seeder.workers.sqs import SqsQueue  # noqa: PLC0415 - boto3 takes a third of a second

        queue = SqsQueue.open(run_options.queue, settings.s3.region)
        messages = 0 if len(plan.done) == plan.blocks else send_all(plan, queue, run_options, stores, again=again)
        if not run_options.wait:
            print_sent(plan.tally, messages, run_options)
            return
        why = _follow(plan, queue, stores)
    elif len(plan.done) < plan.blocks:
        check_unchanged(plan.layer)
        why = run_all(plan, run_options, settings, stores)
    check = None if why or plan.tally.failed else Check.of(plan, stores, settings, run_options.jobs, since)
    if check:
        record_stale(stores.sources, plan.job.id, check.stale + check.unsure)
    print_tally(plan.tally, stores.tiles.url, why, as_json=run_options.as_json, check=check)


def run_all(work: Work, run_options: RunOptions, settings: Settings, stores: Stores) -> str:
    """Render on this machine; returns why not all was."""
    tally = work.tally
    hint = f"interrupted: what is done is kept; run the same command again, or `seeder resume {tally.job}`"
    with interruptible(hint), tile_bar(f"seed {tally.layer}", tally.tiles, tally.done) as bar:
        return run(
            work, partial(LocalPool, settings, run_options.jobs), stores, most=run_options.most, progress=bar.update
        )


def send_all(work: Work, queue: SqsQueue, run_options: RunOptions, stores: Stores, *, again: bool) -> int:
    """Send what is left, or see to it that it is under way; returns how many messages were sent."""
    tally = work.tally
    click.echo(f"job {tally.job}", err=True)
    hint = f"interrupted: not all of job {tally.job} was sent; run the same command again to send the rest"
    from seeder.workers.fanout import send  # noqa: PLC0415 - as above

    with interruptible(hint), tile_bar(f"send {tally.layer}", tally.tiles, tally.done) as bar:
        return send(work, queue, stores, progress=bar.update, most=run_options.most, again=again)


def _follow(plan: Plan, queue: SqsQueue, stores: Stores) -> str:
    """Follow the job to its end; returns why it did not come to a good one."""
    from seeder.workers.fanout import Watch, follow  # noqa: PLC0415 - as above

    tally = plan.tally
    hint = f"interrupted: job {tally.job} goes on; run the same command again to follow it"
    with interruptible(hint), tile_bar(f"seed {tally.layer}", tally.tiles, tally.done) as bar, tally.timed():
        return follow(Watch(plan, queue, stores, bar.update))


def print_sent(tally: Tally, messages: int, run_options: RunOptions) -> None:
    """Say what is in the queue now."""
    if run_options.as_json:
        said: dict[str, Any] = {"job": tally.job, "layer": tally.layer, "revision": tally.revision}
        click.echo(json.dumps({**said, "tiles": tally.tiles, "messages": messages, "queue": run_options.queue}))
    elif messages:
        click.echo(
            f"job {tally.job}: {messages:,} messages for {tally.tiles - tally.done:,} tiles are in {run_options.queue}"
        )
        say(f"`seeder status {tally.job} --watch` follows it, `seeder cancel {tally.job}` stops it")
    elif tally.done == tally.tiles:
        click.echo(f"job {tally.job}: all of {tally.tiles:,} tiles are done")
    else:
        click.echo(
            f"job {tally.job} is under way in {run_options.queue}: {tally.done:,} of {tally.tiles:,} tiles are done"
        )


def print_tally(tally: Tally, url: str, why: str, *, as_json: bool, check: Check | None = None) -> None:
    """Print a summary of the tiles.

    Raises:
        Exit: with 1 if some failed, if `why` says why some were not made, or if `check` did not pass.
    """
    said = {**tally.to_json(), **(check.to_json() if check else {})}
    click.echo(json.dumps(said) if as_json else "\n".join(_summary(tally, url)))
    for error, number in tally.errors.items():
        click.echo(f"failed: {tiles_said(number)}: {error}", err=True)
    if why:
        left = tally.tiles - tally.done
        click.echo(f"error: {tiles_said(left)} {'was' if left == 1 else 'were'} not made: {why}", err=True)
    for line in _shortfall(tally, check) if check else ():
        say(line, err=True)
    if tally.failed or why or (check and not check.passed):
        raise click.exceptions.Exit(1)


def _shortfall(tally: Tally, check: Check) -> Iterator[str]:
    """The tiles that are missing or stale, and the cure."""
    if check.missing:
        names = ", ".join(check.names) + (", ..." if check.missing > len(check.names) else "")
        yield f"error: not stored: {tiles_said(check.missing)} ({names}): run the same command again"
    cure = f"`seeder refresh {tally.layer}` renders them again"
    if check.stale:
        yield f"error: stale, of another revision than {tally.revision}: {tiles_said(check.stale)}: {cure}"
    if check.unsure:
        yield f"error: perhaps stale, too many to be compared: {tiles_said(check.unsure)}: {cure}"
    if check.passed and check.named:
        left = f"`seeder refresh {tally.layer}` renders its remaining tiles"
        yield f"tile.json goes on to name revision {check.named}: {left}"


def _summary(tally: Tally, url: str) -> Iterator[str]:
    yield (
        f"{tiles_said(tally.tiles)} in {tally.seconds:.1f} s: {tally.written:,} written ({tally.bytes / 1e6:,.1f} MB), "
        f"{tally.empty:,} empty, {tally.skipped:,} there already, {tally.failed:,} failed"
    )
    yield f"job {tally.job}; tiles in {url}/{tally.layer}"
