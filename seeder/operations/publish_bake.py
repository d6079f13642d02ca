"""What follows the parts of a bake job, done by its workers: publish the layer, renew its stored tiles, seed it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from seeder.cache.fence import seconds_remaining
from seeder.cache.prepare_job import prepare
from seeder.cache.query import TileQuery
from seeder.cache.stale import History
from seeder.cache.stored import StoredFilter
from seeder.jobs.bake_ledger import (
    BakeJob,
    End,
    EndState,
    done_parts,
    load_end,
    load_renewal,
    put_end,
    put_renewal,
    read_receipts,
)
from seeder.jobs.bake_messages import BakeMessage
from seeder.jobs.ledger import cancelled, load_job
from seeder.jobs.plan import Plan
from seeder.jobs.status import FINAL
from seeder.operations.jobs import job_progress
from seeder.operations.renew import list_stored_tiles, renew
from seeder.operations.run import RunOptions
from seeder.operations.update import UpdateContext, UpdateOptions, UpdateTask
from seeder.workers.bake_part import BakeWorker, PlannedBake, remaining
from tiler import timing
from tiler.errors import BadInput, MissingObject, Superseded, UnknownLayer
from tiler.ingest.baked_parts import BakedPart, Summary
from tiler.ingest.drafts import baked_layer, publish, with_format
from tiler.ingest.existing import current_layer
from tiler.keys import index_key
from tiler.layers.catalog import Layer, load_layer
from tiler.settings import Settings
from tiler.storage.store import Stores


@dataclass(frozen=True, slots=True)
class Step:
    """What became of a message of a bake job, and why."""

    fate: str
    why: str = ""


def take_step(worker: BakeWorker, settings: Settings, message: BakeMessage, *, again: bool = False, last: bool) -> Step:
    """Handle a message of a bake job, and send the next ones. Harmless to repeat.

    Raises:
        TilerError, MemoryError: it must be tried again; not by a part in its `last` try.
    """
    if message.kind == "part":
        result = worker.bake(message, again=again, last=last)
        return Step(result.fate, result.why)
    planned = worker.planned(message.job)
    if message.kind == "publish":
        following = publish_bake(planned, worker.stores)
        worker.send(following, 0)
        return Step("published" if following == [BakeMessage("renew", message.job)] else "not published")
    seconds = renew_after_bake(planned.job, worker.stores, settings)
    if seconds is None:
        return Step("ended")
    worker.send([message], seconds)
    return Step("waits", f"{seconds} s")


def publish_bake(planned: PlannedBake, stores: Stores) -> list[BakeMessage]:
    """Publish a baked layer; returns the messages to send next. Harmless to repeat.

    If some parts lack a receipt after all, these are baked first. A job whose layer was published meanwhile, or that
    has no valid pixel, ends.

    Raises:
        StoreError, MessageError: something cannot be read or stored.
    """
    job, plan, sources = planned.job, planned.plan, stores.sources
    if load_end(sources, job.id) or cancelled(sources, job.ledger):
        return []
    done = {place for place, _ in done_parts(sources, job.id)}
    left = list(remaining(job.id, plan, done))
    if left != [BakeMessage("publish", job.id)]:
        return left
    summary = Summary(plan.survey)
    places = (place for tier in plan.tiers for place in tier)
    for place, fields in read_receipts(sources, job.id, places):
        summary.add(BakedPart.from_json(place, fields or {}))
    try:
        draft = replace(plan.draft, gdal=planned.gdal)
        layer = baked_layer(draft, plan.survey, summary, sources)
        layer, _ = with_format(layer, current_layer(sources, job.layer, repair=True), sources)
        publish(layer, plan.listed, replace(stores, url=job.url), plan.current)
    except Superseded as error:
        put_end(sources, job.id, End("superseded", str(error)))
        return []
    except BadInput as error:
        put_end(sources, job.id, End("failed", str(error)))
        return []
    return [BakeMessage("renew", job.id)]


def renew_after_bake(job: BakeJob, stores: Stores, settings: Settings) -> int | None:
    """Take the next step after the publication; returns the seconds until the step after it, None at the end.

    The steps: wait for the fence, send the stored tiles that changed and the first tiles as jobs, wait until the former
    are rendered, remove uncovered tiles, invalidate CloudFront, and name the revision in TileJSON. Harmless to repeat.

    Raises:
        StoreError, QueueError, BadCloud: a store, a queue or CloudFront does not answer.
    """
    sources = stores.sources
    if load_end(sources, job.id) or cancelled(sources, job.ledger):
        return None
    try:
        return _next_step(job, replace(stores, url=job.url), settings)
    except _Ended as ended:
        put_end(sources, job.id, ended.end)
        return None


class _Ended(Exception):
    """The bake job ends."""

    def __init__(self, state: EndState, why: str = "") -> None:
        super().__init__(why)
        self.end = End(state, why)


def _next_step(job: BakeJob, stores: Stores, settings: Settings) -> int:
    """Take the next step; returns the seconds until the step after it.

    Raises:
        _Ended: it was the last one.
    """
    layer = _published(job, stores)
    if seconds := seconds_remaining(layer, stores):
        return math.ceil(seconds)
    task = UpdateTask(StoredFilter(layer), UpdateContext(stores, settings, UpdateOptions(cdn=job.cdn)))
    sent = load_renewal(stores.sources, job.id)
    if sent is None:
        sent = tuple(_send(job, task, settings))
        put_renewal(stores.sources, job.id, sent)
    if not all(_is_done(name, task, settings) for name in sent):
        return _pause(layer, stores)
    result = renew(task, RunOptions(job.queue, wait=False), History.of(layer, stores))
    if any(run.messages for run in result.runs):  # tiles that were stored meanwhile
        put_renewal(stores.sources, job.id, [*sent, *(run.tally.job for run in result.runs)])
        return _pause(layer, stores)
    if result.passed:
        raise _Ended("done")
    raise _Ended("failed", f"some tiles were not removed: run `seeder refresh {layer.id}`")


def _published(job: BakeJob, stores: Stores) -> Layer:
    """The layer at the job's revision.

    Raises:
        _Ended: it has another one now, or was removed.
    """
    try:
        layer = load_layer(stores.sources, job.layer)
    except UnknownLayer:
        raise _Ended("superseded", f"layer {job.layer} was removed") from None
    if layer.revision != job.revision:
        raise _Ended("superseded", f"layer {job.layer} is at revision {layer.revision} now")
    return layer


def _is_done(name: str, task: UpdateTask, settings: Settings) -> bool:
    """Whether a job for tiles is done.

    Raises:
        _Ended: it ended otherwise.
    """
    try:
        seen = job_progress(load_job(task.stores.sources, name, listed=False), task.stores.sources, settings)
    except MissingObject:
        return True
    if seen.state in FINAL and seen.state != "done":
        raise _Ended("failed", f"job {name} {seen.state}: run `seeder refresh {task.layer.id}` to render its tiles")
    return seen.state == "done"


def _send(job: BakeJob, task: UpdateTask, settings: Settings) -> Iterator[str]:
    """Send the stored tiles that changed, and the first tiles; yields the ids of jobs to wait for."""
    from seeder.workers.fanout import send  # noqa: PLC0415 - boto3 takes a third of a second
    from seeder.workers.sqs import SqsQueue  # noqa: PLC0415 - as above

    queue = SqsQueue.open(job.queue, settings.s3.region) if job.queue else None

    def sent(plan: Plan) -> str:
        assert queue, "a job without a queue for tiles has none to send"
        if len(plan.done) < plan.blocks:
            send(plan, queue, task.stores, progress=lambda _: None, most=job.most)
        return plan.job.id

    if queue:
        stored_tiles = list_stored_tiles(task, History.of(task.layer, task.stores))
        yield from map(sent, stored_tiles.plans(task.stores))
        if job.first:
            sent(first_tiles(job, task.layer, task.stores))


def first_tiles(job: BakeJob, layer: Layer, stores: Stores) -> Plan:
    """The job that seeds the zooms chosen with the bake, under the id that was told at its start."""
    assert job.first, "only of a bake job with first tiles"
    query = TileQuery(job.first.zooms)
    selection, _ = query.selection(layer, stores, int)
    return prepare(layer, selection, query.variant(layer), force=False, stores=stores, name=job.first.job)


def _pause(layer: Layer, stores: Stores) -> int:
    """Seconds until the next look at jobs, a quarter of the time since the publication."""
    elapsed = (datetime.now(UTC) - stores.sources.written(index_key(layer.id))).total_seconds()
    return round(min(max(timing.BAKE_POLL_SECONDS, elapsed / 4), timing.BAKE_LONGEST_POLL_SECONDS))
