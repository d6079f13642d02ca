"""What `seed`, `resume` and `errors --retry` share: work is done here or by a queue, shown, and exits by the truth."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import wraps
from typing import Any

import click

from seeder.cache.closing_check import Check
from seeder.cli.common import jobs_option, say, tiles_said
from seeder.jobs.plan import Tally
from seeder.operations.run import RunOptions, RunResult, queue_url
from seeder.workers.breaker import MAX_FAILED_SHARE
from tiler.settings import Settings

Command = Callable[..., None]
MakeRunOptions = Callable[[Settings, str], RunOptions]


def run_flags(default: str | None) -> Callable[[Command], Command]:
    """Option `--wait` and those of `follow_flags`, for commands that need not follow a job to its end."""

    def decorate(command: Command) -> Command:
        @follow_flags(default)
        @click.option("--wait", is_flag=True, help="Follow a job in SQS to its end; exit 1 if a tile is missing then.")
        @wraps(command)
        def given(*args: Any, run_options: MakeRunOptions, wait: bool, **kwargs: Any) -> None:
            def patient(settings: Settings, before: str) -> RunOptions:
                return replace(run_options(settings, before), wait=wait)

            command(*args, run_options=patient, **kwargs)

        return given

    return decorate


def follow_flags(default: str | None) -> Callable[[Command], Command]:
    """Options `--queue`, `--jobs` and `--max-failed`; `default` is the queue unless one is named.

    The command gets `run_options`, which makes RunOptions of the settings and the queue that was named before.
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
            default=100 * MAX_FAILED_SHARE,
            show_default=True,
            metavar="PERCENT",
            help="Stop the job when more of its last 1000 blocks fail, and at least 20; 100 never stops.",
        )
        @jobs_option
        @wraps(command)
        def given(*args: Any, queue: str | None, max_failed: float, jobs: int, **kwargs: Any) -> None:
            def run_options(settings: Settings, before: str) -> RunOptions:
                url = before if queue is None else queue_url(queue, settings)
                return RunOptions(url, jobs, max_failed / 100)

            command(*args, run_options=run_options, **kwargs)

        return given

    return decorate


def show_result(result: RunResult, url: str, *, as_json: bool) -> None:
    """Print what became of a job; its tiles are in the store at `url`.

    Raises:
        Exit: with 1 if tiles failed or are missing.
    """
    if result.messages is not None:
        print_sent(result.tally, result.messages, result.queue, as_json=as_json)
    else:
        print_result(result, url, as_json=as_json)


def print_sent(tally: Tally, messages: int, queue: str, *, as_json: bool) -> None:
    """Say what is in the queue now."""
    if as_json:
        said: dict[str, Any] = {"job": tally.job, "layer": tally.layer, "revision": tally.revision}
        click.echo(json.dumps({**said, "tiles": tally.tiles, "messages": messages, "queue": queue}))
    elif messages:
        click.echo(f"job {tally.job}: {messages:,} messages for {tally.tiles - tally.done:,} tiles are in {queue}")
        say(f"`seeder status {tally.job} --watch` follows it, `seeder cancel {tally.job}` stops it")
    elif tally.done == tally.tiles:
        click.echo(f"job {tally.job}: all of {tally.tiles:,} tiles are done")
    else:
        click.echo(f"job {tally.job} is under way in {queue}: {tally.done:,} of {tally.tiles:,} tiles are done")


def print_result(result: RunResult, url: str, *, as_json: bool) -> None:
    """Print a summary of the tiles, which are in the store at `url`.

    Raises:
        Exit: with 1 if it did not pass.
    """
    tally, check = result.tally, result.check
    click.echo(json.dumps(result.to_json()) if as_json else "\n".join(_summary(tally, url)))
    for error, number in tally.errors.items():
        click.echo(f"failed: {tiles_said(number)}: {error}", err=True)
    if result.why:
        left = tally.tiles - tally.done
        click.echo(f"error: {tiles_said(left)} {'was' if left == 1 else 'were'} not made: {result.why}", err=True)
    for line in _shortfall(tally, check) if check else ():
        say(line, err=True)
    if not result.passed:
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
