"""Bake a layer by the workers of a queue: plan its parts, send them, follow the job to its end, resume it."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from seeder.defaults import CORES, MAX_FAILED_SHARE
from seeder.jobs.bake_ledger import (
    BakeJob,
    FirstTiles,
    bakes_of,
    build_of,
    delete_build,
    delete_claims,
    delete_end,
    delete_failures,
    delete_renewal,
    digest_of,
    done_parts,
    ledger_of,
    load_bake,
    load_end,
    load_scenes,
    new_id,
    put_bake,
    unfinished_bake,
)
from seeder.jobs.bake_messages import BakeMessage
from seeder.jobs.bake_parts import forget_lost
from seeder.jobs.bake_status import ENDED, BakeProgress, bake_progress, is_superseded
from seeder.jobs.ledger import CANCELLED, Run, Stop, begun, complete, load_run, put_run, stop, stopped
from seeder.jobs.ledger import reopen as delete_stop
from seeder.jobs.runner import Runner
from seeder.jobs.status import queue_depth, utcnow
from seeder.operations.bake_failures import delete_dead_letters
from seeder.operations.ingest import readdress
from seeder.operations.publish_bake import take_step
from seeder.operations.reachable import check_bakes, check_reachable
from seeder.operations.report import Report
from seeder.workers.bake_part import BakeWorker, build, remaining
from tiler import timing
from tiler.errors import BadOption, BadSource, MissingObject, SourceReadError
from tiler.ingest.bake_plan import BakePlan
from tiler.ingest.examine import Approve, Examined, ExaminedScenes, approved, examined, named
from tiler.ingest.existing import current_layer
from tiler.ingest.ingest import Ingested, previous_of, settled_ingest
from tiler.layers import version
from tiler.layers.history import publications
from tiler.layers.publication import index_version
from tiler.raster.options import Options
from tiler.scenes.scene_list import SceneList
from tiler.settings import Settings
from tiler.storage.store import Store, Stores

PLANNED = "interrupted: nothing was sent"


@dataclass(frozen=True, slots=True)
class BakeOptions:
    """How to bake by workers: the URLs of the bake queue and of the queue for tiles, what to do after the publication.

    `most` failed of 1 stop the job. `first` are the zooms to render once the layer is published. `cdn` is the id of a
    CloudFront distribution, or empty.
    """

    queue: str
    tiles: str = ""
    most: float = MAX_FAILED_SHARE
    first: tuple[int, ...] = ()
    cdn: str = ""


@dataclass(frozen=True, slots=True)
class BakeSent:
    """A bake job, and the number of messages sent: 0 if they are in the queue already."""

    job: BakeJob
    messages: int


def bake_queue(choice: str, settings: Settings) -> str:
    """The URL of the bake queue that goes with `sqs` or the URL of a queue for tiles.

    Raises:
        BadOption: none is known.
    """
    if not settings.bake_queue:
        raise BadOption(
            f"--queue {choice}: no bake queue is known: name a deployed stack with --stack, deploy it again with "
            "`npm run deploy`, or set TILER_BAKE_QUEUE to its URL"
        )
    return settings.bake_queue


def plan_bake(
    source: str | SceneList | Examined | ExaminedScenes,
    layer: str,
    options: Options,
    stores: Stores,
    report: Report,
    *,
    repair: bool = False,
    approve: Approve = approved,
    planned_from: str | None = None,
) -> BakePlan | Ingested:
    """Plan the parts of a layer's next revision; the result of an ingest if there is nothing to bake.

    `source` is a raster or scenes, examined or not. `planned_from` is as for `tiler.ingest.ingest.ingest`.

    Raises:
        BadSource, BadOption, CatalogError, NewerMetadata: see `seeder.operations.ingest.ingest`.
    """
    check_bakes(options)
    version.check_readers(stores, version.version_for(options, parts=True))
    before = index_version(stores.sources, layer) if planned_from is None else planned_from
    current = current_layer(stores.sources, layer, repair=repair)
    try:
        with report.bake(f"plan {layer}", interrupted=PLANNED) as (_, activity):
            raster = (
                source
                if isinstance(source, Examined | ExaminedScenes)
                else examined(source, options, activity, approve)
            )
            plan: BakePlan | Ingested | None = settled_ingest(raster, layer, options, stores, current, before)
            if plan is None:
                activity("planning its parts")
                check_reachable(raster, stores)
                plan = BakePlan.of(layer, raster, previous_of(current, raster.revision), before)
            notes = (*raster.notes({raster.path}), *raster.doubts(options))  # workers compare its version
    except SourceReadError as error:
        name = named(source) if isinstance(source, str | SceneList) else source.path
        raise BadSource(name, f"{error} (is the file complete?)") from error
    for note in notes:
        report.note(note)
    if isinstance(plan, Ingested):
        readdress(plan, stores)
    return plan


def send_bake(plan: BakePlan, options: BakeOptions, settings: Settings, stores: Stores, report: Report) -> BakeSent:
    """Record a bake job and send its base parts; an unfinished one for the same goes on, unless it was cancelled.

    Harmless to repeat.

    Raises:
        BadOption: there are first tiles, and no queue for them.
        BadCloud, QueueError: the queue cannot be used, or refused messages.
        StoreError: the ledger cannot be written.
    """
    if options.first and not options.tiles:
        raise BadOption("no queue for tiles is known: name a deployed stack with --stack, or leave --seed out")
    sources, layer, revision = stores.sources, plan.draft.id, plan.draft.revision
    if options.tiles:
        _check_queue(options.tiles, settings)  # workers would find out only after the publication
    digest = digest_of(revision, plan.current, plan.parts, options.first)
    name = unfinished_bake(sources, layer, digest)
    why = stopped(sources, ledger_of(name)) if name else None
    if name and not (why and why.asked):
        job = load_bake(sources, name)
        if why:
            delete_stop(sources, job.ledger)
        report.note(f"resuming bake job {name}")
    else:
        now = datetime.now(UTC)
        seed = new_id(layer, digest_of(revision, options.first), now)
        job = BakeJob(
            id=new_id(layer, digest, now),
            layer=layer,
            revision=revision,
            plan=plan.dump(),
            url=stores.url,
            most=options.most,
            queue=options.tiles,
            cdn=options.cdn,
            first=FirstTiles(options.first, seed) if options.first else None,
        )
        put_bake(sources, job, plan.dump_scenes())
        report.note(f"bake job {job.id}")
        if job.first:
            report.note(f"then job {job.first.job} renders its tiles")
    return _send(job, plan, options.queue, settings, sources, report)


def _send(
    job: BakeJob, plan: BakePlan, url: str, settings: Settings, sources: Store, report: Report, *, again: bool = False
) -> BakeSent:
    """Send the messages that go on with a job, unless they are in the queue."""
    from seeder.workers.sqs import SqsQueue  # noqa: PLC0415 - boto3 takes a third of a second

    queue, before = SqsQueue.open(url, settings.s3.region), load_run(sources, job.ledger)
    if not again and before and before.sent and before.queue == url and queue.depth():
        return BakeSent(job, 0)
    messages = next_messages(job, plan, sources)
    run = Run(url, datetime.now(UTC), job.most, by=Runner.here())
    put_run(sources, job.ledger, run)
    delete_failures(sources, job.id)
    hint = f"interrupted: not all of bake job {job.id} was sent; run the same command again to send the rest"
    with report.stage(f"send {job.layer}", len(messages), unit="part", interrupted=hint) as advance:
        number = queue.send(messages)
        advance(number)
    put_run(sources, job.ledger, replace(run, sent=True))
    if again and before and before.queue:
        delete_dead_letters(job.id, before.queue, settings)
    return BakeSent(job, number)


def renewing_bake(
    layer: str, revision: str, options: BakeOptions, settings: Settings, stores: Stores, report: Report
) -> BakeSent | None:
    """The bake job that published a layer's revision and still renders its tiles; None if there is none.

    Lost messages are sent again. A job with other first tiles than those of `options` does not count.

    Raises:
        BadCloud, QueueError, StoreError: see `send_bake`.
    """
    sources = stores.sources
    for name in sorted(bakes_of(sources, layer), key=begun, reverse=True):
        if load_end(sources, name) or stopped(sources, ledger_of(name)):
            continue
        with suppress(MissingObject):  # removed, or not yet recorded
            job = load_bake(sources, name)
            if (
                job.revision == revision
                and _still_renews(job, sources)
                and (not options.first or (job.first and job.first.zooms == options.first))
            ):
                plan = BakePlan.parse(job.plan, load_scenes(sources, name), f"bake job {name}")
                report.note(f"bake job {name} published revision {revision}, and re-renders its stored tiles")
                return _send(job, plan, options.queue, settings, sources, report)
    return None


def _still_renews(job: BakeJob, sources: Store) -> bool:
    """Whether stored tiles may be older than a job's publication, and nothing was published since.

    A layer without tiles of earlier revisions has one publication; then the job may have first tiles to render.
    """
    if index_version(sources, job.layer) == job.plan["current"]:
        return False
    known = publications(sources, job.layer, job.revision, str)
    if len(known) == 1:
        return job.first is not None
    return [each.revision for each in known if each.at and each.at >= begun(job.id)] == [job.revision]


def _check_queue(url: str, settings: Settings) -> None:
    """Reject a queue for tiles that does not exist.

    Raises:
        BadCloud, QueueError: it does not exist, or does not answer.
    """
    from seeder.workers.sqs import SqsQueue  # noqa: PLC0415 - boto3 takes a third of a second

    SqsQueue.open(url, settings.s3.region).attributes()


def next_messages(job: BakeJob, plan: BakePlan, sources: Store) -> list[BakeMessage]:
    """The messages that go on with a job; parts that were removed meanwhile are baked again."""
    if index_version(sources, job.layer) != plan.current:
        return [BakeMessage("renew", job.id)]
    forget_lost(job, sources)
    delete_claims(sources, job.id)
    return list(remaining(job.id, plan, {place for place, _ in done_parts(sources, job.id)}))


def resume_bake(name: str, url: str, settings: Settings, stores: Stores, report: Report) -> BakeSent:
    """Go on with a bake job after a cancellation, failures, dead letters or lost messages.

    `url` is that of a bake queue, empty for the job's.

    Raises:
        BadOption: it is done, or the layer was published since.
        BadCloud, QueueError, StoreError: see `send_bake`.
    """
    job, plan = reopened(name, stores.sources)
    run = load_run(stores.sources, job.ledger)
    url = url or (run.queue if run else "") or settings.bake_queue
    if not url:
        raise BadOption(f"bake job {name} has no queue: name one with --queue, or bake it here with --queue local")
    return _send(job, plan, url, settings, stores.sources, report, again=True)


def reopened(name: str, sources: Store) -> tuple[BakeJob, BakePlan]:
    """Reopen a stopped, failed or interrupted bake job; returns it and its plan.

    Raises:
        BadOption: it is done, or the layer was published since.
    """
    job = load_bake(sources, name)
    end = load_end(sources, name)
    if end and end.state == "done":
        raise BadOption(f"bake job {name} is done: there is nothing to resume")
    if (end and end.state == "superseded") or is_superseded(job, sources):
        raise BadOption(f"bake job {name} is superseded: start it again with `seeder ingest` or `seeder refresh`")
    plan = BakePlan.parse(job.plan, load_scenes(sources, name), f"bake job {name}")
    if stopped(sources, job.ledger):
        delete_stop(sources, job.ledger)
    if end:  # a job of its renewal may have failed
        delete_renewal(sources, name)
    delete_end(sources, name)
    return job, plan


def run_here(name: str, settings: Settings, stores: Stores, report: Report) -> BakeProgress:
    """Go on with a bake job on this machine, to its end.

    Raises:
        BadOption: see `resume_bake`; or workers of another build have begun it.
        TilerError: a part failed otherwise than by its scenes.
    """
    sources = stores.sources
    _check_build(name, sources)
    job, plan = reopened(name, sources)
    waiting: deque[tuple[BakeMessage, int]] = deque()
    worker = BakeWorker(stores, lambda messages, delay: waiting.extend((each, delay) for each in messages), CORES)
    run = Run("", datetime.now(UTC), job.most, by=Runner.here())
    put_run(sources, job.ledger, run)
    delete_failures(sources, name)
    waiting.extend((each, 0) for each in next_messages(job, plan, sources))
    done = sum(1 for _ in done_parts(sources, name))
    hint = f"interrupted: finished parts are kept; run the same command again, or `seeder resume {name}`"
    with report.stage(f"bake {job.layer}", plan.parts, done=done, unit="part", interrupted=hint) as advance:
        while waiting:
            message, delay = waiting.popleft()
            time.sleep(delay)
            result = take_step(worker, settings, message, last=True)
            advance(message.kind == "part" and result.fate not in ("known", "dropped"))
    put_run(sources, job.ledger, replace(run, sent=True, ended=True))
    if job.first and not complete(sources, job.first.job):
        cure = f"`seeder resume {job.first.job} --queue local` renders them here"
        report.note(f"the first tiles wait in the queue for tiles: {cure}")
    return progress_of(name, sources, settings)


def _check_build(name: str, sources: Store) -> None:
    """Check that this machine may go on with a job: no part of another build is done.

    Raises:
        BadOption: one is.
    """
    theirs = build_of(sources, name)
    if theirs in ("", build()):
        return
    if next(done_parts(sources, name), None) is None:
        delete_build(sources, name)
        return
    raise BadOption(
        f"bake job {name} was begun by workers with {theirs}, and this machine has {build()}: resume it with "
        f"`--queue sqs`, or run `seeder cancel {name}` and start the bake again"
    )


def cancel(name: str, sources: Store) -> bool:
    """Stop the workers of a bake job; returns whether it was cancelled before.

    Raises:
        BadOption: it has ended.
    """
    job = load_bake(sources, name)
    before = stopped(sources, job.ledger)
    if before is not None and before.asked:
        return True
    if end := load_end(sources, name):
        raise BadOption(f"bake job {name} is {end.state}: there is nothing to cancel")
    stop(sources, job.ledger, Stop(CANCELLED))
    return False


def progress_of(name: str, sources: Store, settings: Settings) -> BakeProgress:
    """A bake job's progress, with the depth of its queue.

    Raises:
        MessageError: another version wrote the ledger.
        StoreError: the ledger could not be read.
    """
    depth_of = partial(queue_depth, region=settings.s3.region)
    return bake_progress(load_bake(sources, name), sources, depth_of, utcnow())


def follow_bake(name: str, settings: Settings, sources: Store, report: Report) -> BakeProgress:
    """Follow a bake job to its end; returns its last progress.

    Raises:
        StoreError: the ledger could not be read.
    """
    seen = progress_of(name, sources, settings)
    hint = f"interrupted: bake job {name} continues; run the same command again to follow it"
    with report.stage(f"bake {seen.layer}", seen.parts, done=seen.done, unit="part", interrupted=hint) as advance:
        while seen.state not in ENDED:
            start = time.monotonic()
            before, seen = seen, progress_of(name, sources, settings)
            advance(seen.done - before.done)
            time.sleep(max(timing.POLL_SECONDS, 2 * (time.monotonic() - start)))
    return seen
