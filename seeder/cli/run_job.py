"""Shared by `seed`, `resume` and `errors --retry`: the options of a run, and its result as text, JSON and exit code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import click

from seeder.cli.common import jobs_option
from seeder.cli.grouping import option
from seeder.cli.messages import count_of_tiles, note, say, say_next
from seeder.defaults import MAX_FAILED_SHARE
from tiler.settings import Settings

if TYPE_CHECKING:
    from seeder.cache.closing_check import Check
    from seeder.jobs.plan import Tally
    from seeder.operations.run import RunOptions, RunResult

Command = Callable[..., None]
MakeRunOptions = Callable[[Settings, str], "RunOptions"]


@dataclass(frozen=True, slots=True)
class RunArguments:
    """Options of a run, as typed: `queue` is None for the queue of the job, `max_failed` is in percent."""

    queue: str | None
    jobs: int | None
    max_failed: float
    wait: bool = True

    def __call__(self, settings: Settings, before: str) -> RunOptions:
        """The run options; `before` is the queue of the job.

        Raises:
            BadOption: see `queue_url`.
        """
        from seeder.operations.run import RunOptions, queue_url

        url = before if self.queue is None else queue_url(self.queue, settings)
        return RunOptions(url, self.jobs, self.max_failed / 100, self.wait)


def run_flags(default: str | None) -> Callable[[Command], Command]:
    """Option `--wait` and those of `follow_flags`, for commands that return before the job ends."""

    def decorate(command: Command) -> Command:
        @follow_flags(default)
        @option(
            "--wait",
            group="Render",
            is_flag=True,
            help="Follow a job in SQS to its end; exit with code 1 if a tile is missing.",
        )
        @wraps(command)
        def run(*args: Any, run_options: RunArguments, wait: bool, **kwargs: Any) -> None:
            command(*args, run_options=replace(run_options, wait=wait), **kwargs)

        return run

    return decorate


def follow_flags(default: str | None) -> Callable[[Command], Command]:
    """Options `--queue`, `--jobs` and `--max-failed`; `default` is the queue, None for the queue of the job.

    The command gets them as `run_options`.
    """

    def decorate(command: Command) -> Command:
        @option(
            "--queue",
            group="Render",
            metavar="local|sqs|URL",
            envvar="TILER_QUEUE" if default else None,
            default=default,
            show_default=default or "the job's queue",
            help="Render on this machine, or send blocks to the stack's queue or to URL.",
        )
        @option(
            "--max-failed",
            group="Safety",
            type=click.FloatRange(0, 100),
            default=100 * MAX_FAILED_SHARE,
            show_default=True,
            metavar="PERCENT",
            help="Stop the job if more of its last 1000 blocks fail, and at least 20; 100 never stops it.",
        )
        @partial(jobs_option, default=None)
        @wraps(command)
        def run(*args: Any, queue: str | None, max_failed: float, jobs: int | None, **kwargs: Any) -> None:
            command(*args, run_options=RunArguments(queue, jobs, max_failed), **kwargs)

        return run

    return decorate


def show_result(result: RunResult, url: str, *, as_json: bool) -> None:
    """Print the result of a run; the tiles are in the store at `url`.

    Raises:
        Exit: with 1 if tiles failed or are missing.
    """
    if result.messages is not None:
        print_sent(result.tally, result.messages, result.queue, as_json=as_json)
    else:
        print_result(result, url, as_json=as_json)


def print_sent(tally: Tally, messages: int, queue: str, *, as_json: bool) -> None:
    """Print the number of messages in the queue."""
    if as_json:
        fields: dict[str, Any] = {"job": tally.job, "layer": tally.layer, "revision": tally.revision}
        click.echo(json.dumps({**fields, "tiles": tally.tiles, "messages": messages, "queue": queue}))
    elif messages:
        click.echo(f"job {tally.job}: {messages:,} messages for {tally.tiles - tally.done:,} tiles are in {queue}")
        say_next(f"follow it: `seeder status {tally.job} --watch`; stop it: `seeder cancel {tally.job}`")
    elif tally.done == tally.tiles:
        click.echo(f"job {tally.job}: all {count_of_tiles(tally.tiles)} done")
    else:
        click.echo(f"job {tally.job} is running in {queue}: {tally.done:,} of {count_of_tiles(tally.tiles)} done")


def print_result(result: RunResult, url: str, *, as_json: bool, within: bool = False) -> None:
    """Print a summary of the tiles, which are in the store at `url`; `within` an update, which ends with TileJSON.

    Raises:
        Exit: with 1 if it did not pass.
    """
    tally, check = result.tally, result.check
    click.echo(json.dumps(result.to_json()) if as_json else "\n".join(_summary(tally, url)))
    for error, number in tally.errors.items():
        click.echo(f"failed: {count_of_tiles(number)}: {error}", err=True)
    if result.why:
        left = tally.tiles - tally.done
        click.echo(f"error: {count_of_tiles(left)} not rendered: {result.why}", err=True)
    for line in _shortfall(tally, check) if check else ():
        say(line, err=True)
    if check and check.passed and check.named and not within:
        cure = f"`seeder refresh {tally.layer}` re-renders its remaining tiles"
        note(f"tile.json keeps naming revision {check.named}: {cure}")
    if not result.passed:
        raise click.exceptions.Exit(1)


def _shortfall(tally: Tally, check: Check) -> Iterator[str]:
    """Missing and stale tiles, and the command that repairs them."""
    if check.missing:
        names = ", ".join(check.names) + (", ..." if check.missing > len(check.names) else "")
        yield f"error: not stored: {count_of_tiles(check.missing)} ({names}): run the same command again"
    cure = f"re-render them with `seeder refresh {tally.layer}`"
    if check.stale:
        yield f"error: stale, of a revision other than {tally.revision}: {count_of_tiles(check.stale)}: {cure}"
    if check.unsure:
        yield f"error: possibly stale, too many to compare: {count_of_tiles(check.unsure)}: {cure}"


def _summary(tally: Tally, url: str) -> Iterator[str]:
    written = f"{tally.written:,} written ({tally.bytes / 1e6:,.1f} MB)"
    yield (
        f"{count_of_tiles(tally.tiles)} in {tally.seconds:.1f} s: {written}, {tally.empty:,} empty, "
        f"{tally.skipped:,} already stored, {tally.failed:,} failed"
    )
    yield f"job {tally.job}; tiles in {url}/{tally.layer}"
