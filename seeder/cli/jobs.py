"""The commands that act on jobs: `status`, `errors`, `cancel`, `resume`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache, partial
from typing import TYPE_CHECKING, TextIO

import click

from seeder.cli.bake_job import (
    bake_of,
    cancel_bake,
    follow_or_show,
    list_bakes,
    print_bake_errors,
    print_bakes,
    resume_bake_job,
)
from seeder.cli.common import check_folder, json_option, located, place_name
from seeder.cli.completion import complete_layer, job_argument
from seeder.cli.grouping import command, option
from seeder.cli.messages import count_of_tiles, duration, guarded, note, say, say_next, state_in_words, table
from seeder.cli.progress import TerminalReport
from seeder.cli.run_job import RunArguments, run_flags, show_result
from seeder.cli.watching import watch_job
from tiler.errors import BadOption, CatalogError, MessageError, MissingObject, NewerMetadata
from tiler.settings import Settings

if TYPE_CHECKING:
    from seeder.jobs.failures import Group
    from seeder.jobs.messages import Job
    from seeder.jobs.status import Progress
    from seeder.operations.jobs import ChooseOptions
    from tiler.storage.store import Store

GOOD = ("planning", "running", "done")  # states that need no action


@command("status")
@job_argument(required=False)
@option(
    "--layer",
    group="Select",
    metavar="NAME",
    shell_complete=complete_layer,
    help="List the jobs of this layer only.",
)
@option(
    "--watch",
    group="Output",
    is_flag=True,
    help="Refresh every two seconds until the job ends, then compact its receipts.",
)
@json_option
@guarded
@located
def status(job: str | None, layer: str | None, watch: bool, as_json: bool, settings: Settings) -> None:
    """Show a job's progress, or list all jobs.

    JOB is a job's id, its first characters, or a layer's name for the layer's newest job. Exit with code 1 if JOB
    failed, stopped or stalled.

    \b
    Examples:
      seeder status
      seeder status relief --watch
    """
    from seeder.jobs.ledger import find_job
    from seeder.operations.jobs import job_progress
    from tiler.storage.store import Stores

    sources = Stores.open(settings).sources
    if job is None and watch:
        raise BadOption("--watch needs a job: name one; `seeder status` lists them")
    if job is None:
        check_folder(settings)
        _list(sources, layer, settings, as_json=as_json)
        return
    if bake := bake_of(job, sources):
        follow_or_show(bake, sources, settings, watch=watch, as_json=as_json)
        return
    target = find_job(sources, job, listed=False)
    if watch:
        _watch(target, sources, settings, as_json=as_json)
    else:
        _show(job_progress(target, sources, settings), as_json=as_json)


def _watch(job: Job, sources: Store, settings: Settings, *, as_json: bool) -> None:
    """Show the progress until the job ends; see `_show`."""
    from seeder.jobs.ledger import layer_of
    from seeder.jobs.status import FINAL
    from seeder.operations.housekeeping import tidy
    from seeder.operations.jobs import job_progress

    show = partial(_show, as_json=as_json)
    look = partial(job_progress, job, sources, settings)
    current = watch_job(look, lambda seen: seen.state in FINAL, show, as_json=as_json)
    tidy(layer_of(job.id), sources, TerminalReport())
    show(current)


def _show(seen: Progress, *, as_json: bool) -> None:
    """Print a job's progress.

    Raises:
        Exit: with 1 if the job ended, or stalled, before all its tiles were done.
    """
    if as_json:
        click.echo(json.dumps(seen.to_json()))
    else:
        say("\n".join(_report(seen)))
    if seen.state not in GOOD:
        raise click.exceptions.Exit(1)


def _list(sources: Store, layer: str | None, settings: Settings, *, as_json: bool) -> None:
    from seeder.jobs.ledger import jobs, layer_of, load_job
    from seeder.jobs.status import progress, queue_depth, utcnow
    from tiler.layers.layer_cache import Layers

    layers, depth_of = Layers(sources, ttl=60), cache(lambda url: queue_depth(url, settings.s3.region))
    listed = []
    for name in reversed(jobs(sources)):
        if layer in (None, layer_of(name)):
            try:
                listed.append(progress(load_job(sources, name, listed=False), sources, layers, depth_of, utcnow()))
            except (MissingObject, MessageError, CatalogError, NewerMetadata) as error:
                click.echo(f"cannot read job {name}: {error}", err=True)
    bakes = list_bakes(sources, layer, settings)
    if as_json:
        for fields in (*(each.to_json() for each in bakes), *(seen.to_json() for seen in listed)):
            click.echo(json.dumps(fields))
        return
    if bakes:
        print_bakes(bakes)
    if listed:
        rows = [
            (
                seen.job,
                seen.state,
                f"{seen.percent:.1f}%",
                f"{seen.tiles:,}",
                f"{seen.rate:,.0f}",
                duration((utcnow() - seen.begun).total_seconds()),
            )
            for seen in listed
        ]
        click.echo(table(rows, ("job", "state", "done", "tiles", "tiles/s", "age"), ("left", "left", *("right",) * 4)))
    elif not bakes:
        note(f"no jobs yet in {place_name(settings)}: run `seed LAYER`")


def _report(seen: Progress) -> Iterator[str]:
    yield f"job {seen.job}: {state_in_words(seen.state, seen.why)}"
    rows = [
        (z, f"{zoom.tiles:,}", f"{zoom.done:,} of {zoom.blocks:,}", f"{zoom.failed:,}", _share(zoom.done, zoom.blocks))
        for z, zoom in seen.zooms.items()
    ]
    if rows:
        yield table(rows, ("zoom", "tiles", "blocks done", "failed", ""), ("right",) * 5)
    ends = f", {duration(seen.left)} left" if seen.left is not None else ""
    yield f"{seen.percent:.1f}% of {count_of_tiles(seen.tiles)}, {seen.rate:,.0f} tiles/s{ends}"
    if seen.state in ("failed", "cancelled", "stalled") and seen.percent < 100:
        yield f"`seeder resume {seen.job}` continues it"
    if seen.depth is not None:
        yield (
            f"queue: {seen.depth.waiting:,} messages waiting, {seen.depth.hidden:,} in flight, "
            f"{seen.depth.dead:,} dead letters (of all jobs)"
        )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f}%" if whole else ""


@command("cancel")
@job_argument()
@json_option
@guarded
@located
def cancel(job: str, as_json: bool, settings: Settings) -> None:
    """Cancel a job.

    Workers finish their current block and discard the remaining messages. JOB is a job's id, its first characters,
    or a layer's name for the layer's newest job.

    \b
    Examples:
      seeder cancel relief
      seeder cancel relief --stack tile-seeder-dev
    """
    from seeder.operations.jobs import cancel_job
    from tiler.storage.store import Stores

    sources = Stores.open(settings).sources
    if bake := bake_of(job, sources):
        cancel_bake(bake, sources, as_json=as_json)
        return
    done = cancel_job(job, settings)
    if as_json:
        click.echo(json.dumps({"job": done.job.id, "state": "cancelled"}))
        return
    click.echo(f"job {done.job.id} {'was already' if done.before else 'is'} cancelled")
    say_next(f"continue it: `seeder resume {done.job.id}`")


@command("resume")
@job_argument()
@json_option
@guarded
@located
@run_flags(None)
def resume_command(job: str, run_options: RunArguments, as_json: bool, settings: Settings) -> None:
    """Resume an unfinished job.

    Render the remaining blocks after a cancellation, failures, dead letters, lost messages or a killed run. JOB is a
    job's id, its first characters, or a layer's name for the layer's newest job.

    \b
    Examples:
      seeder resume relief --wait
      seeder resume relief --queue local
    """
    from seeder.operations.jobs import resume_job
    from tiler.storage.store import Stores

    if bake := bake_of(job, Stores.open(settings).sources):
        resume_bake_job(bake, run_options, settings, as_json=as_json)
        return
    result = resume_job(job, partial(run_options, settings), settings, TerminalReport())
    show_result(result, settings.tiles, as_json=as_json)


@command("errors")
@job_argument()
@option(
    "--export",
    group="Output",
    metavar="FILE|-",
    type=click.File("w"),
    help="Write the failed tiles as a list for `seed --tiles`.",
)
@option("--retry", group="Render", is_flag=True, help="Retry failed blocks.")
@json_option
@guarded
@located
@run_flags(None)
def errors(
    job: str, export: TextIO | None, retry: bool, run_options: RunArguments, as_json: bool, settings: Settings
) -> None:
    """Show or retry a job's failed tiles.

    Dead letters count as failed. JOB is a job's id, its first characters, or a layer's name for the layer's newest
    job. Exit with code 1 if a tile failed.

    \b
    Examples:
      seeder errors relief
      seeder errors relief --export failed.txt
      seeder errors relief --retry --wait
    """
    from seeder.jobs.failures import grouped
    from seeder.operations.jobs import job_failures
    from tiler.storage.store import Stores

    if bake := bake_of(job, Stores.open(settings).sources):
        if export:
            raise BadOption("--export lists tiles, and a bake job has parts: leave it out")
        if retry:
            resume_bake_job(bake, run_options, settings, as_json=as_json)
        else:
            print_bake_errors(bake, Stores.open(settings).sources, settings, as_json=as_json)
        return
    choose = partial(run_options, settings)
    if retry:
        _retry(job, choose, settings, as_json=as_json)
        return
    target, failed = job_failures(job, choose, settings)
    if export:
        export.writelines(f"{line}\n" for failure in failed for line in failure.lines())
    if not (export and export.name == "<stdout>"):
        _print_errors(target, grouped(failed), as_json=as_json)
    if failed:
        raise click.exceptions.Exit(1)


def _retry(job: str, choose: ChooseOptions, settings: Settings, *, as_json: bool) -> None:
    """Retry failed blocks on this machine or in the queue; with `--wait`, follow the job there."""
    from seeder.operations.jobs import retry_job
    from tiler.storage.store import Stores

    target, result = retry_job(job, choose, settings, TerminalReport())
    if result is None:
        click.echo(f"no tile of job {target.id} failed")
        return
    show_result(result, settings.tiles, as_json=as_json)
    if result.queue and choose(result.queue).wait:
        _watch(target, Stores.open(settings).sources, settings, as_json=as_json)


def _print_errors(job: Job, groups: list[Group], *, as_json: bool) -> None:
    if as_json:
        for group in groups:
            click.echo(json.dumps({"job": job.id, **asdict(group)}))
    elif not groups:
        click.echo(f"no tile of job {job.id} failed")
    for group in [] if as_json else groups:
        some = ", ".join(group.first) + (", ..." if group.blocks > len(group.first) else "")
        blocks = f"{group.blocks:,} block{'' if group.blocks == 1 else 's'}"
        click.echo(f"{count_of_tiles(group.tiles)} in {blocks} ({some}): {group.error}")
