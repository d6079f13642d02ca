"""What follows the parts of a bake job, done by its workers: publish the layer, renew its stored tiles, seed it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from seeder.cache.fence import seconds_remaining, settled
from seeder.cache.prepare_job import prepare
from seeder.cache.query import TileQuery
from seeder.cache.rerender import StoredTiles
from seeder.cache.stale import History
from seeder.cache.stored import StoredFilter
from seeder.jobs.bake_ledger import (
    BakeJob,
    End,
    EndState,
    delete_claims,
    done_parts,
    load_end,
    load_renewal,
    put_end,
    put_renewal,
    read_receipts,
)
from seeder.jobs.bake_messages import BakeMessage
from seeder.jobs.bake_parts import forget_lost
from seeder.jobs.bake_status import is_superseded
from seeder.jobs.ledger import load_job
from seeder.jobs.plan import Plan
from seeder.jobs.status import FINAL
from seeder.operations.jobs import job_progress
from seeder.operations.renew import end_renewal, list_stored_tiles
from seeder.operations.update import UpdateContext, UpdateOptions, UpdateTask
from seeder.workers.bake_part import BakeWorker, PlannedBake, is_over, remaining
from tiler import timing
from tiler.errors import (
    BadInput,
    CatalogError,
    MissingObject,
    NewerMetadata,
    SourceReadError,
    StoreError,
    Superseded,
    UnknownLayer,
)
from tiler.ingest.baked_parts import BakedPart, Summary
from tiler.ingest.drafts import baked_layer, publish, with_format
from tiler.ingest.existing import current_layer
from tiler.keys import index_key
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.history import publications
from tiler.layers.publication import index_version
from tiler.settings import Settings
from tiler.storage.store import Store, Stores


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
    try:
        planned = worker.planned(message.job)
    except MissingObject:
        return Step("dropped", f"there is no bake job {message.job}")
    if message.kind == "part":
        result = worker.bake(message, again=again, last=last)
        return Step(result.fate, result.why)
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

    If some parts lack a receipt after all, or were removed, these are baked first. A job whose layer was published
    meanwhile, or that has no valid pixel, ends; unless the layer has the job's revision.

    Raises:
        StoreError, MessageError: something cannot be read or stored.
        Superseded: others write the layer's TileJSON: try again.
    """
    job, sources = planned.job, stores.sources
    if load_end(sources, job.id) or is_over(sources, job):
        return []
    left = _left(planned, sources)
    if left != [BakeMessage("publish", job.id)]:
        return left
    try:
        _publish(planned, stores)
    except Superseded as error:
        return _superseded(planned, sources, error)
    except BadInput as error:
        put_end(sources, job.id, End("failed", str(error)))
        return []
    except (StoreError, SourceReadError, CatalogError):
        if not forget_lost(job, sources):
            raise
        return _left(planned, sources)
    return [BakeMessage("renew", job.id)]


def _left(planned: PlannedBake, sources: Store) -> list[BakeMessage]:
    """The messages that are left before the publication, or that of the publication."""
    done = {place for place, _ in done_parts(sources, planned.job.id)}
    left = list(remaining(planned.job.id, planned.plan, done))
    if left != [BakeMessage("publish", planned.job.id)]:
        delete_claims(sources, planned.job.id)
    return left


def _publish(planned: PlannedBake, stores: Stores) -> None:
    """Publish a layer of parts that all have receipts."""
    job, plan, sources = planned.job, planned.plan, stores.sources
    summary = Summary(plan.survey)
    places = (place for tier in plan.tiers for place in tier)
    for place, fields in read_receipts(sources, job.id, places):
        summary.add(BakedPart.from_json(place, fields or {}))
    draft = replace(plan.draft, gdal=planned.gdal)
    layer = baked_layer(draft, plan.survey, summary, sources)
    layer, _ = with_format(layer, current_layer(sources, job.layer, repair=True), sources)
    publish(layer, plan.listed, replace(stores, url=job.url), plan.current)


def _superseded(planned: PlannedBake, sources: Store, error: Superseded) -> list[BakeMessage]:
    """Go on after another publication of the same revision; end the job after that of another one.

    Raises:
        Superseded: there was no other publication: others only wrote TileJSON.
    """
    job = planned.job
    if index_version(sources, job.layer) == planned.plan.current:
        raise error
    if not is_superseded(job, sources):
        return [BakeMessage("renew", job.id)]
    put_end(sources, job.id, End("superseded", _replaced(job, sources) or str(error)))
    return []


def _replaced(job: BakeJob, sources: Store) -> str:
    """The reason why a job that published its layer is superseded; empty if it did not."""
    with suppress(CatalogError, MissingObject, NewerMetadata, UnknownLayer):
        layer = load_layer(sources, job.layer)
        known = {each.revision for each in publications(sources, job.layer, layer.revision, lambda: "")}
        if job.revision in {layer.previous, *known} - {layer.revision}:
            return f"layer {job.layer} was published, and is at revision {layer.revision} now"
    return ""


def renew_after_bake(job: BakeJob, stores: Stores, settings: Settings) -> int | None:
    """Take the next step after the publication; returns the seconds until the step after it, None at the end.

    The steps: wait for the fence, send the stored tiles that changed and the first tiles as jobs, wait until the former
    are rendered, remove uncovered tiles, invalidate CloudFront, and name the revision in TileJSON. Harmless to repeat.

    Raises:
        StoreError, QueueError, BadCloud: a store, a queue or CloudFront does not answer.
    """
    sources = stores.sources
    if load_end(sources, job.id) or is_over(sources, job):
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
    sent = load_renewal(stores.sources, job.id) or ()
    if not all(_is_done(name, job, task) for name in sent):
        return _pause(layer, stores)
    stored_tiles = list_stored_tiles(task, History.of(layer, stores, settled(layer, stores)))
    more = [*_send_changed(job, stored_tiles, task), *(() if sent else _send_first(job, task))]
    if more:
        put_renewal(stores.sources, job.id, [*sent, *more])
        return _pause(layer, stores)
    if end_renewal(task, stored_tiles).passed:
        raise _Ended("done")
    raise _Ended("failed", f"some tiles were not removed: run `seeder resume {job.id}`")


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


def _is_done(name: str, job: BakeJob, task: UpdateTask) -> bool:
    """Whether a job for tiles is done; that of the first tiles is not waited for.

    Raises:
        _Ended: it ended otherwise.
    """
    sources = task.stores.sources
    if job.first and name == job.first.job:
        return True
    try:
        seen = job_progress(load_job(sources, name, listed=False), sources, task.context.settings)
    except MissingObject:
        return True
    if seen.state == "superseded":
        raise _Ended("superseded", seen.why)
    if seen.state in FINAL and seen.state != "done":
        raise _Ended("failed", f"job {name} {seen.state}: run `seeder resume {job.id}` to render the rest of its tiles")
    return seen.state == "done"


def _send_changed(job: BakeJob, stored_tiles: StoredTiles, task: UpdateTask) -> Iterator[str]:
    """Send the stored tiles that changed; yields the ids of their jobs.

    Raises:
        _Ended: there are some, and no queue for them.
    """
    if not job.queue and (tiles := stored_tiles.rendered):
        layer = task.layer.id
        why = f"no queue for tiles is known: run `seeder refresh {layer}` to render {tiles:,} stored tiles again"
        raise _Ended("failed", f"layer {layer} was published, but {why}")
    for plan in stored_tiles.plans(task.stores):
        yield _sent(plan, job, task)


def _send_first(job: BakeJob, task: UpdateTask) -> Iterator[str]:
    """Send the first tiles, if there are any; yields the id of their job."""
    if job.first and job.queue:
        yield _sent(first_tiles(job, task.layer, task.stores), job, task)


def _sent(plan: Plan, job: BakeJob, task: UpdateTask) -> str:
    """Send a plan to the queue for tiles, unless it is there; returns its job."""
    from seeder.workers.fanout import send  # noqa: PLC0415 - boto3 takes a third of a second
    from seeder.workers.sqs import SqsQueue  # noqa: PLC0415 - as above

    if len(plan.done) < plan.blocks:
        queue = SqsQueue.open(job.queue, task.context.settings.s3.region)
        send(plan, queue, task.stores, progress=lambda _: None, most=job.most)
    return plan.job.id


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
