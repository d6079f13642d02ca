"""Bake jobs in commands: start them, show their progress and failures, cancel and resume them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from seeder.cli.messages import duration, say, say_next, state_in_words, table
from seeder.cli.progress import TerminalReport
from seeder.cli.watching import watch_job
from seeder.defaults import CORES
from seeder.operations.report import Report
from tiler.errors import MessageError, MissingObject
from tiler.settings import Settings

if TYPE_CHECKING:
    from seeder.cli.run_job import RunArguments
    from seeder.jobs.bake_status import BakeProgress
    from seeder.operations.bake import BakeOptions, BakeSent
    from tiler.ingest.examine import Approve, Examined, ExaminedScenes
    from tiler.ingest.ingest import Ingested
    from tiler.raster.options import Options
    from tiler.scenes.scene_list import SceneList
    from tiler.storage.store import Store

GOOD = ("planning", "running", "publishing", "renewing", "done")  # states that need no action


def bake_of(job: str, sources: Store) -> str | None:
    """The id of the bake job that a name means; None if it means a job for tiles, or nothing."""
    from seeder.jobs.bake_ledger import find_bake

    return find_bake(sources, job)


def print_bake_sent(sent: BakeSent, queue: str, *, as_json: bool) -> None:
    """Print the number of messages in the bake queue, and the ids of both jobs."""
    job = sent.job
    parts = sum(map(len, job.tiers))
    if as_json:
        fields: dict[str, Any] = {"job": job.id, "layer": job.layer, "revision": job.revision}
        seed = job.first.job if job.first else ""
        click.echo(json.dumps({**fields, "parts": parts, "messages": sent.messages, "queue": queue, "seed": seed}))
        return
    if sent.messages:
        click.echo(f"bake job {job.id}: {_messages(sent.messages)} for {parts:,} parts sent to {queue}")
    else:
        click.echo(f"bake job {job.id} is running in {queue}")
    if job.first:
        click.echo(f"job {job.first.job} follows: it renders the tiles of its zooms")
    say_next(f"follow it: `seeder status {job.id} --watch`; stop it: `seeder cancel {job.id}`")


def _messages(number: int) -> str:
    return f"{number:,} message{'' if number == 1 else 's'}"


def show_bake(seen: BakeProgress, *, as_json: bool) -> None:
    """Print a bake job's progress.

    Raises:
        Exit: with 1 if the job ended, or stalled, before the layer was published and renewed.
    """
    if as_json:
        click.echo(json.dumps(seen.to_json()))
    else:
        say("\n".join(_report(seen)))
    if seen.state not in GOOD:
        raise click.exceptions.Exit(1)


def _report(seen: BakeProgress) -> Iterator[str]:
    yield f"bake job {seen.job}: {state_in_words(seen.state, seen.why)}"
    rows = [
        (
            number,
            f"{tier.parts:,}",
            f"{tier.done:,}",
            f"{tier.failed:,}",
            f"{100 * tier.done / max(1, tier.parts):.0f}%",
        )
        for number, tier in enumerate(seen.tiers)
    ]
    yield table(rows, ("tier", "parts", "baked", "failed", ""), ("right",) * 5)
    ends = f", {duration(seen.left)} left" if seen.left is not None else ""
    yield f"{seen.percent:.1f}% of {seen.parts:,} parts, {seen.rate:,.1f} parts/min{ends}"
    if seen.failed:
        yield f"`seeder errors {seen.job}` names what failed"
    if seen.state in GOOD:
        for name in seen.renewal:
            yield f"job {name} renders stored tiles that changed"
        if seen.first not in ("", *seen.renewal):
            yield f"job {seen.first} renders the first tiles"
    if seen.changed:
        yield "scenes changed since the bake was planned: run the same `seeder ingest` or `seeder refresh` again"
    elif seen.state in ("failed", "cancelled", "stalled"):
        yield f"`seeder resume {seen.job}` continues it"
    if seen.depth is not None:
        yield (
            f"bake queue: {_messages(seen.depth.waiting)} waiting, {seen.depth.hidden:,} in flight, "
            f"{seen.depth.dead:,} dead letters (of all jobs)"
        )


def list_bakes(sources: Store, layer: str | None, settings: Settings) -> list[BakeProgress]:
    """The progress of all bake jobs, or those of a layer, the newest first; unreadable ones are reported."""
    from seeder.jobs.bake_ledger import bakes
    from seeder.jobs.ledger import begun, layer_of
    from seeder.operations.bake import progress_of

    listed = []
    for name in sorted(bakes(sources), key=begun, reverse=True):
        if layer in (None, layer_of(name)):
            try:
                listed.append(progress_of(name, sources, settings))
            except (MissingObject, MessageError) as error:
                click.echo(f"cannot read bake job {name}: {error}", err=True)
    return listed


def print_bakes(listed: Sequence[BakeProgress]) -> None:
    """Print a table of bake jobs."""
    from seeder.jobs.status import utcnow

    rows = [
        (
            *(seen.job, seen.state, f"{seen.percent:.1f}%", f"{seen.parts:,}", f"{seen.rate:,.1f}"),
            duration((utcnow() - seen.begun).total_seconds()),
        )
        for seen in listed
    ]
    headers = ("bake job", "state", "done", "parts", "parts/min", "age")
    click.echo(table(rows, headers, ("left", "left", *("right",) * 4)))


def follow_or_show(name: str, sources: Store, settings: Settings, *, watch: bool, as_json: bool) -> None:
    """Show a bake job's progress, with `watch` until the job ends; see `show_bake`."""
    from seeder.operations.bake import progress_of

    if watch:
        watch_bake(name, sources, settings, as_json=as_json)
    else:
        show_bake(progress_of(name, sources, settings), as_json=as_json)


def watch_bake(name: str, sources: Store, settings: Settings, *, as_json: bool) -> None:
    """Show the progress until the job ends; see `show_bake`."""
    from seeder.jobs.bake_status import ENDED
    from seeder.operations.bake import progress_of

    show = partial(show_bake, as_json=as_json)
    look = partial(progress_of, name, sources, settings)
    show(watch_job(look, lambda seen: seen.state in ENDED, show, as_json=as_json))


def cancel_bake(name: str, sources: Store, *, as_json: bool) -> None:
    """Stop workers after their current chunk."""
    from seeder.operations.bake import cancel

    before = cancel(name, sources)
    if as_json:
        click.echo(json.dumps({"job": name, "state": "cancelled"}))
        return
    click.echo(f"bake job {name} {'was already' if before else 'is'} cancelled")
    say_next(f"continue it: `seeder resume {name}`")


def print_bake_errors(name: str, sources: Store, settings: Settings, *, as_json: bool) -> None:
    """Print failed parts and dead letters by error.

    Raises:
        Exit: with 1 if there are some.
    """
    from seeder.operations.bake_failures import failures

    groups = failures(name, sources, settings)
    for error, names in groups.items():
        parts = sum("/" in each for each in names)
        if as_json:
            click.echo(json.dumps({"job": name, "parts": parts, "first": names[:3], "error": error}))
        else:
            some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            click.echo(f"{parts:,} part{'' if parts == 1 else 's'} ({some}): {error}" if parts else error)
    if groups:
        raise click.exceptions.Exit(1)
    if not as_json:
        click.echo(f"no part of bake job {name} failed")


def resume_bake_job(name: str, run_options: RunArguments, settings: Settings, *, as_json: bool) -> None:
    """Go on with a bake job in its queue, in another one, or here."""
    from seeder.operations.bake import bake_queue, follow_bake, resume_bake, run_here
    from tiler.storage.store import Stores

    stores, report = Stores.open(settings, create=True), TerminalReport()
    typed = run_options.queue
    if typed == "local":
        show_bake(run_here(name, settings, stores, report), as_json=as_json)
        return
    url = bake_queue(typed, settings) if typed == "sqs" else typed or ""
    sent = resume_bake(name, url, settings, stores, report)
    if run_options.wait:
        show_bake(follow_bake(name, settings, stores.sources, report), as_json=as_json)
    else:
        print_bake_sent(sent, url or settings.bake_queue, as_json=as_json)


def typed_queue() -> str:
    """The queue of the command line; empty for this machine. That of TILER_QUEUE is for tiles only."""
    context = click.get_current_context()
    typed = context.params.get("queue") or ""
    alone = context.get_parameter_source("queue") is ParameterSource.COMMANDLINE
    return typed if alone and typed != "local" else ""


def bake_by_workers(
    rasters: str | SceneList | Examined | ExaminedScenes,
    layer: str,
    options: Options,
    settings: Settings,
    how: BakeOptions,
    approve: Approve,
    *,
    repair: bool,
    wait: bool,
    as_json: bool,
) -> Ingested | None:
    """Plan a layer and send its parts to a bake queue; with `wait`, follow the job. Returns a layer that needs no bake.

    A job that published the layer and still renders its tiles is followed.

    Raises:
        Exit: with 1 if the followed job failed.
    """
    from seeder.operations.bake import plan_bake, renewing_bake, send_bake
    from seeder.operations.ingest import created_stores
    from tiler.ingest.bake_plan import BakePlan

    report = TerminalReport()
    with created_stores(settings) as stores:
        plan = plan_bake(rasters, layer, options, stores, report, repair=repair, approve=approve)
        if isinstance(plan, BakePlan):
            sent = send_bake(plan, how, settings, stores, report)
        elif renewing := renewing_bake(layer, plan.layer.revision, how, settings, stores, report):
            sent = renewing
        else:
            return plan
    print_or_follow(sent, how.queue, settings, stores.sources, report, wait=wait, as_json=as_json)
    return None


def print_or_follow(
    sent: BakeSent, queue: str, settings: Settings, sources: Store, report: Report, *, wait: bool, as_json: bool
) -> None:
    """Print the ids of a sent bake job and its first tiles; with `wait`, follow both to their end.

    Raises:
        Exit: with 1 if a followed job failed.
    """
    from seeder.operations.bake import follow_bake

    if not wait:
        print_bake_sent(sent, queue, as_json=as_json)
        return
    show_bake(follow_bake(sent.job.id, settings, sources, report), as_json=as_json)
    if sent.job.first:
        _follow_first(sent.job.first.job, settings, report, as_json=as_json)


def _follow_first(job: str, settings: Settings, report: Report, *, as_json: bool) -> None:
    """Follow the job of the first tiles to its end, and print its result.

    Raises:
        Exit: with 1 if tiles failed or are missing.
    """
    from seeder.cli.run_job import show_result
    from seeder.operations.jobs import follow_job

    show_result(follow_job(job, CORES, settings, report), settings.tiles, as_json=as_json)
