"""Checks of the queues: their messages, their dead letters, and the functions that they feed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from seeder.aws import clients
from seeder.aws.check import CheckResult, guarded
from seeder.aws.concurrency import check_concurrency
from seeder.aws.queue import QueueClient
from seeder.aws.stack import Stack
from tiler.settings import Settings


class Feed(NamedTuple):
    """A queue and the function that it feeds: names of their checks, the cure for dead letters, output and param."""

    queue: str
    dead: str
    function: str
    cure: str
    output: str  # the name of the function
    param: str  # its maximum concurrency


TILES = Feed("queue", "dead letters", "workers", "seed again", "WorkerFunction", "maximumConcurrency")
BAKES = Feed(
    "bake queue", "bake dead letters", "bake function", "run `seeder resume JOB`", "BakeFunction", "bakeConcurrency"
)


def check_queues(settings: Settings, stack: Stack | None) -> Iterator[CheckResult]:
    """Check the tile queue, the bake queue, their functions, and the concurrency that both functions need."""
    maxima: dict[str, int] = {}
    for feed, url in ((TILES, settings.queue), (BAKES, settings.bake_queue)):
        if url:
            yield from guarded(feed.queue, partial(_check_queue, feed, url, settings.s3.region))
            if stack and stack.outputs.get(feed.output):
                yield from guarded(feed.function, partial(_check_function, feed, stack, maxima))
    if stack and not settings.bake_queue:
        yield CheckResult(BAKES.queue, "none; `npm run deploy` adds one, to bake with `ingest --queue sqs`")
    if maxima:
        yield from guarded("concurrency", partial(check_concurrency, settings, maxima))


def _check_queue(feed: Feed, url: str, region: str) -> Iterator[CheckResult]:
    queue = QueueClient.open(url, region)
    dead = queue.dead_letters(queue.attributes())
    depth = queue.depth()
    yield CheckResult(feed.queue, f"{queue.url}: {depth.waiting:,} waiting, {depth.hidden:,} in progress")
    if not dead:
        yield CheckResult(feed.dead, "no dead-letter queue: failed messages return forever; deploy again", well=False)
    else:
        cure = f": read one with `aws sqs receive-message`, then {feed.cure}" if depth.dead else ""
        yield CheckResult(feed.dead, f"{depth.dead:,} in {dead}{cure}", not depth.dead)


def _check_function(feed: Feed, stack: Stack, maxima: dict[str, int]) -> Iterator[CheckResult]:
    """Check the event-source mapping, and add the function's maximum concurrency to `maxima`."""
    client = clients.client("lambda", stack.region)
    with clients.translated("list the event-source mappings"):
        answer = client.list_event_source_mappings(FunctionName=stack.outputs[feed.output])
    mappings = answer["EventSourceMappings"]
    maxima[feed.param] = sum(int(each.get("ScalingConfig", {}).get("MaximumConcurrency", 0)) for each in mappings)
    states = [each["State"] for each in mappings]
    scenes = stack.outputs.get("SceneBuckets", "")
    reads = f", reads scenes in {'the private bucket only' if scenes == 'none' else scenes}" * bool(scenes)
    seen = f"event-source mapping {', '.join(states) or 'is missing'}"
    yield CheckResult(feed.function, seen + reads * (feed is BAKES), states == ["Enabled"])
