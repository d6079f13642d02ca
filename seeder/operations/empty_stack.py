"""Empty both buckets of a deployed stack, so that CloudFormation can delete it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from seeder.aws.bucket import BucketClient
from seeder.aws.queue import QueueClient
from seeder.aws.stack import Stack
from seeder.jobs.bake_ledger import bakes, load_bake
from seeder.jobs.bake_status import ENDED, bake_progress
from seeder.jobs.ledger import begun, jobs, load_job
from seeder.jobs.status import FINAL, progress, queue_depth, utcnow
from seeder.operations.remove import Share, delete_shares, sizes_json, stop_rendering
from seeder.operations.report import Report
from seeder.operations.update import RERUN_HINT
from tiler.errors import BadOption, CatalogError, MessageError, MissingObject, NewerMetadata
from tiler.keys import JOBS, SOURCES
from tiler.layers.catalog import list_layers
from tiler.layers.layer_cache import Layers
from tiler.storage.store import Stores


@dataclass(frozen=True, slots=True)
class EmptiedStack:
    """Contents of a stack's buckets: layers, number and bytes of objects by kind, unfinished uploads.

    `others` is the number of other objects and of earlier versions; a plan does not count them. `obstacles` are the
    reasons why the buckets cannot be emptied now.
    """

    stack: str
    layers: tuple[str, ...]
    sizes: Mapping[str, tuple[int, int]]
    uploads: int
    others: int = 0
    obstacles: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        counts = {"uploads": self.uploads, "others": self.others}
        return {"stack": self.stack, "layers": list(self.layers), **sizes_json(self.sizes), **counts}


@dataclass(frozen=True, slots=True)
class StackContext:
    """A deployed stack, its stores, the report, and whether to skip the wait for tiles in flight."""

    stack: Stack
    stores: Stores
    report: Report = field(default_factory=Report)
    hurry: bool = False

    def buckets(self) -> list[BucketClient]:
        """The tile bucket and the source bucket; an interrupted removal of the stack may have deleted one."""
        names = (self.stack.outputs[name] for name in ("TileBucket", "SourceBucket"))
        clients = (BucketClient.open(name, self.stack.region) for name in names)
        return [client for client in clients if client.exists()]

    def shares(self, buckets: list[BucketClient]) -> list[Share]:
        """Objects in these buckets, by kind."""
        names = {bucket.name for bucket in buckets}
        tiles, sources = self.stores.tiles, self.stores.sources
        kept = [Share("tiles", tiles, ("",))] if self.stack.outputs["TileBucket"] in names else []
        if self.stack.outputs["SourceBucket"] in names:
            kept += [Share("sources", sources, (SOURCES,)), Share("jobs", sources, (JOBS,))]
        return kept


def plan_emptying(context: StackContext) -> EmptiedStack:
    """Count the contents of both buckets and change nothing.

    Raises:
        StoreError, BadCloud, QueueError: a bucket, CloudFormation or the queue does not answer.
    """
    return replace(_measured(context, context.buckets()), obstacles=tuple(_obstacles(context)))


def empty_stack(context: StackContext) -> EmptiedStack:
    """Delete everything in both buckets for ever: all layers, tiles, sources, jobs, earlier versions, uploads.

    The metadata of layers is removed first, so that nothing renders any more.

    Raises:
        BadOption: it was not confirmed, the stack is protected, or something still renders.
        Superseded: a layer was ingested meanwhile.
        StoreError, BadCloud, QueueError: a bucket, CloudFormation or the queue failed.
    """
    if obstacle := next(_obstacles(context), ""):
        raise BadOption(obstacle)
    buckets = context.buckets()
    planned = _measured(context, buckets)
    context.report.confirm_removal(context.stack.name, planned.sizes)
    if planned.layers:
        stop_rendering(planned.layers, context.stores, context.report, hurry=context.hurry)
    delete_shares(context.shares(buckets), planned.sizes, context.report)
    uploads = others = 0
    with context.report.stage("remove versions", None, unit="object", interrupted=RERUN_HINT) as advance:
        for bucket in buckets:
            uploads += bucket.abort_uploads()
            others += bucket.delete_versions(advance)
    return replace(planned, uploads=uploads, others=others)


def _measured(context: StackContext, buckets: list[BucketClient]) -> EmptiedStack:
    sizes = {}
    for share in context.shares(buckets):
        hint = "interrupted: nothing was removed"
        with context.report.stage(f"count {share.what}", None, unit="object", interrupted=hint) as advance:
            sizes[share.what] = share.size(advance)
    layers = tuple(list_layers(context.stores.sources)) if "sources" in sizes else ()
    uploads = sum(1 for bucket in buckets for _ in bucket.uploads())
    return EmptiedStack(context.stack.name, layers, sizes, uploads)


def _obstacles(context: StackContext) -> Iterator[str]:
    """The reasons why the buckets must not be emptied now."""
    stack = context.stack
    if stack.protected:
        yield stack.protection
    if stack.status.startswith("DELETE_"):
        return  # its queue and workers may be deleted already
    active = [*_active_bakes(context), *_active_jobs(context)]
    if active:
        others = f" and {len(active) - 1} more" if len(active) > 1 else ""
        yield f"job {active[0]}{others} is running: wait for its end, or run `seeder cancel {active[0]}`"
    for url in filter(None, map(stack.outputs.get, ("QueueUrl", "BakeQueueUrl"))):
        depth = QueueClient.open(url, stack.region).depth()
        if depth:
            counts = f"{depth.waiting:,} messages waiting, {depth.hidden:,} in progress"
            purge = f"aws sqs purge-queue --region {stack.region} --queue-url {url}"
            yield f"workers are active: {counts}; wait until both are 0, or run `{purge}`"


def _active_bakes(context: StackContext) -> Iterator[str]:
    """The ids of bake jobs that are planned or running, the newest first."""
    sources, depth_of = context.stores.sources, cache(lambda url: queue_depth(url, context.stack.region))
    for name in sorted(bakes(sources), key=begun, reverse=True):
        try:
            seen = bake_progress(load_bake(sources, name), sources, depth_of, utcnow())
        except (MissingObject, MessageError):
            continue  # interrupted at its start, removed, damaged, or of another version
        if seen.state not in ENDED:
            yield name


def _active_jobs(context: StackContext) -> Iterator[str]:
    """The ids of jobs that are planned or running, the newest first."""
    sources = context.stores.sources
    layers, depth_of = Layers(sources, ttl=60), cache(lambda url: queue_depth(url, context.stack.region))
    for name in reversed(jobs(sources)):
        try:
            seen = progress(load_job(sources, name, listed=False), sources, layers, depth_of, utcnow())
        except (MissingObject, MessageError, CatalogError, NewerMetadata):
            continue  # interrupted at its start, damaged, or of another version
        if seen.state not in FINAL:
            yield name
