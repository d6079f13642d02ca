"""The commands that act on jobs: `status`, `errors`, `cancel`, `resume`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from functools import cache
from typing import TextIO

import click
from tabulate import tabulate

from seeder.cache.prepare_job import current, resume
from seeder.cli.common import (
    TerminalReport,
    check_folder,
    guarded,
    interruptible,
    json_option,
    located,
    say,
    tiles_said,
)
from seeder.cli.run_job import MakeRunOptions, perform_plan, print_result, print_sent, run_flags
from seeder.jobs.failures import DeadLetters, Group, Retry, dead_letters, failures, grouped
from seeder.jobs.ledger import (
    CANCELLED,
    Stop,
    complete,
    find_job,
    jobs,
    layer_of,
    load_job,
    load_run,
    reopen,
    stop,
    stopped,
)
from seeder.jobs.messages import Job
from seeder.jobs.status import FINAL, Progress, progress, queue_depth, utcnow
from seeder.operations.run import RunOptions, RunResult, render_work, send_work
from tiler import timing
from tiler.errors import BadOption, MessageError, MissingObject
from tiler.layers.catalog import Layers
from tiler.settings import Settings
from tiler.storage.store import Store, Stores

GOOD = ("planning", "running", "done")  # states that need nobody's attention


@click.command("status")
@click.argument("job", required=False)
@click.option("--layer", metavar="NAME", help="List only this layer's jobs.")
@click.option("--watch", is_flag=True, help="Look again every two seconds, until the job has ended.")
@json_option
@guarded
@located
def status(job: str | None, layer: str | None, watch: bool, as_json: bool, settings: Settings) -> None:
    """Say how far JOB is, or list all jobs; exit 1 if JOB failed, stopped or stalled.

    JOB is an id, the beginning of one, or a layer's name for its newest job.

    \b
    Examples:
      seeder status
      seeder status relief --watch
    """
    sources = Stores.open(settings).sources
    if job is None and watch:
        raise BadOption("--watch watches one job: name it, `seeder status` lists them")
    if job is None:
        check_folder(settings)
        _list(sources, layer, settings, as_json=as_json)
        return
    found = find_job(sources, job, listed=False)
    if watch:
        _watch(found, sources, settings, as_json=as_json)
    else:
        _show(_look(found, sources, settings), as_json=as_json)


def _watch(job: Job, sources: Store, settings: Settings, *, as_json: bool) -> None:
    """Show how far the job is until it has ended; see `_show`."""
    with interruptible("stopped watching; the job goes on"):
        while True:
            start = time.monotonic()
            seen = _look(job, sources, settings)
            if not as_json and sys.stdout.isatty():
                click.clear()
            if seen.state in FINAL:
                break
            _show(seen, as_json=as_json)
            time.sleep(max(timing.POLL_SECONDS, 2 * (time.monotonic() - start)))
    _show(seen, as_json=as_json)


def _show(seen: Progress, *, as_json: bool) -> None:
    """Print how far a job is.

    Raises:
        Exit: with 1 where nothing more will be done by itself, and something is left.
    """
    if as_json:
        click.echo(json.dumps(seen.to_json()))
    else:
        say("\n".join(_report(seen)))
    if seen.state not in GOOD:
        raise click.exceptions.Exit(1)


def _look(job: Job, sources: Store, settings: Settings) -> Progress:
    """How far the job is, and how deep its queue, whatever the state."""
    seen = progress(job, sources, Layers(sources), lambda url: queue_depth(url, settings.s3.region), utcnow())
    if not seen.queue or seen.depth is not None:
        return seen
    return replace(seen, depth=queue_depth(seen.queue, settings.s3.region))


def _list(sources: Store, layer: str | None, settings: Settings, *, as_json: bool) -> None:
    layers, depth_of = Layers(sources, ttl=60), cache(lambda url: queue_depth(url, settings.s3.region))
    found = []
    for name in reversed(jobs(sources)):
        if layer in (None, layer_of(name)):
            try:
                found.append(progress(load_job(sources, name, listed=False), sources, layers, depth_of, utcnow()))
            except (MissingObject, MessageError) as error:
                click.echo(f"job {name} cannot be told: {error}", err=True)
    if as_json:
        for seen in found:
            click.echo(json.dumps(seen.to_json()))
    elif found:
        rows = [
            (
                seen.job,
                seen.state,
                f"{seen.percent:.1f}%",
                f"{seen.tiles:,}",
                f"{seen.rate:,.0f}",
                _ago((utcnow() - seen.begun).total_seconds()),
            )
            for seen in found
        ]
        click.echo(
            tabulate(
                rows,
                headers=("job", "state", "done", "tiles", "tiles/s", "age"),
                colalign=("left", "left", *("right",) * 4),
                disable_numparse=True,
            )
        )
    else:
        say("no jobs yet: run `seed LAYER`", err=True)


def _report(seen: Progress) -> Iterator[str]:
    yield f"job {seen.job}: {seen.state}" + (f", {seen.why}" if seen.why else "")
    rows = [
        (z, f"{zoom.tiles:,}", f"{zoom.done:,} of {zoom.blocks:,}", f"{zoom.failed:,}", _share(zoom.done, zoom.blocks))
        for z, zoom in seen.zooms.items()
    ]
    if rows:
        yield tabulate(
            rows,
            headers=("zoom", "tiles", "blocks done", "failed", ""),
            colalign=("right",) * 5,
            disable_numparse=True,
        )
    ends = f", {_ago(seen.left)} left" if seen.left is not None else ""
    yield f"{seen.percent:.1f}% of {tiles_said(seen.tiles)}, {seen.rate:,.0f} tiles/s{ends}"
    if seen.state in ("failed", "cancelled", "stalled") and seen.percent < 100:
        yield f"`seeder resume {seen.job}` does what is left"
    if seen.depth is not None:
        yield (
            f"queue: {seen.depth.waiting:,} messages wait, {seen.depth.hidden:,} are in work or come again later, "
            f"{seen.depth.dead:,} dead letters (of all jobs)"
        )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f}%" if whole else ""


def _ago(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"


@click.command("cancel")
@click.argument("job")
@json_option
@guarded
@located
def cancel(job: str, as_json: bool, settings: Settings) -> None:
    """Stop JOB: workers end with the block they are at, and messages that are left drain unrendered.

    \b
    Example:
      seeder cancel relief
    """
    sources = Stores.open(settings).sources
    found = find_job(sources, job, listed=False)
    before = stopped(sources, found.id)
    if before is not None and before.asked:
        _say_cancelled(found, "was cancelled before", as_json=as_json)
        return
    if complete(sources, found.id):
        raise BadOption(f"job {found.id} is done: there is nothing to cancel")
    stop(sources, found.id, Stop(CANCELLED))
    _say_cancelled(found, "is cancelled", as_json=as_json)


def _say_cancelled(job: Job, how: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"job": job.id, "state": "cancelled"}))
    else:
        say(f"job {job.id} {how}; `seeder resume {job.id}` goes on with it")


@click.command("resume")
@click.argument("job")
@json_option
@guarded
@located
@run_flags(None)
def resume_command(job: str, run_options: MakeRunOptions, as_json: bool, settings: Settings) -> None:
    """Do what is left of JOB: after cancel, failures, dead letters, lost messages or a killed run.

    \b
    Example:
      seeder resume relief --wait
    """
    stores = Stores.open(settings, create=True)
    found = find_job(stores.sources, job)
    how = run_options(settings, _queue(found, stores.sources))
    plan = resume(found, stores)
    perform_plan(plan, how, settings, stores, as_json=as_json, again=True)


def _queue(job: Job, sources: Store) -> str:
    """The queue that the job was in last, empty for this machine."""
    run = load_run(sources, job.id)
    return run.queue if run else ""


@click.command("errors")
@click.argument("job")
@click.option(
    "--export", metavar="FILE|-", type=click.File("w"), help="Write the failed tiles as `seed --tiles` reads."
)
@click.option("--retry", is_flag=True, help="Do what failed once more.")
@json_option
@guarded
@located
@run_flags(None)
def errors(
    job: str, export: TextIO | None, retry: bool, run_options: MakeRunOptions, as_json: bool, settings: Settings
) -> None:
    """Say what of JOB failed and why, dead letters too; exit 1 if anything did.

    \b
    Examples:
      seeder errors relief
      seeder errors relief --export failed.txt
      seeder errors relief --retry --wait
    """
    stores = Stores.open(settings, create=retry)
    found = find_job(stores.sources, job, listed=False)
    url = _queue(found, stores.sources)
    how = run_options(settings, url)
    with _letters(url, found, settings) as letters:
        dead = letters.open(stores.sources, found.id)
        if retry:
            again = Retry.of(found, stores.sources, dead)
            _retry(again, letters, how, settings, stores, as_json=as_json)
        else:
            failed = [*failures(stores.sources, found.id), *(letter.failure for letter in dead)]
    if retry:
        if again.block_masks and how.queue and how.wait:
            _watch(found, stores.sources, settings, as_json=as_json)
        return
    if export:
        export.writelines(f"{line}\n" for failure in failed for line in failure.lines())
    if not (export and export.name == "<stdout>"):
        _print_errors(found, grouped(failed), as_json=as_json)
    if failed:
        raise click.exceptions.Exit(1)


def _letters(url: str, job: Job, settings: Settings) -> AbstractContextManager[DeadLetters]:
    """The job's dead letters; a job of this machine has none."""
    if not url:
        return nullcontext(DeadLetters(None, []))
    from seeder.workers.sqs import SqsQueue  # noqa: PLC0415 - boto3 takes a third of a second

    return dead_letters(SqsQueue.open(url, settings.s3.region), job.id)


def _retry(
    again: Retry, letters: DeadLetters, run_options: RunOptions, settings: Settings, stores: Stores, *, as_json: bool
) -> None:
    """Do what failed once more, here or in the queue. Letters are not needed any more then."""
    job = again.job
    current(job, stores)
    why = stopped(stores.sources, job.id)
    if why is not None and why.asked:
        raise BadOption(f"job {job.id} was cancelled: `seeder resume {job.id}` goes on with it")
    if not again.block_masks:
        letters.delete()
        click.echo(f"nothing of job {job.id} failed")
        return
    reopen(stores.sources, job.id)
    if not run_options.queue:
        why_not = render_work(again, run_options, settings, stores, TerminalReport())
        letters.delete()
        print_result(RunResult(again.tally, why_not), stores.tiles.url, as_json=as_json)
        return
    from seeder.workers.sqs import SqsQueue  # noqa: PLC0415 - as above

    queue = SqsQueue.open(run_options.queue, settings.s3.region)
    number = send_work(again, queue, run_options, stores, TerminalReport(), again=True)
    letters.delete()
    print_sent(again.tally, number, run_options.queue, as_json=as_json)


def _print_errors(job: Job, groups: list[Group], *, as_json: bool) -> None:
    if as_json:
        for group in groups:
            click.echo(json.dumps({"job": job.id, **asdict(group)}))
    elif not groups:
        click.echo(f"nothing of job {job.id} failed")
    for group in [] if as_json else groups:
        some = ", ".join(group.first) + (", ..." if group.blocks > len(group.first) else "")
        blocks = f"{group.blocks:,} block{'' if group.blocks == 1 else 's'}"
        click.echo(f"{tiles_said(group.tiles)} in {blocks} ({some}): {group.error}")
