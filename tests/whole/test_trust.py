"""Whatever goes wrong with a job, its state and `verify` tell the truth, and resuming it ends with every tile."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pytest

from seeder.cache.audit import Audit
from seeder.cache.prepare_job import resume
from seeder.jobs.failures import dead_letters
from seeder.jobs.messages import Job
from seeder.jobs.plan import Plan
from seeder.jobs.status import Progress, progress, utcnow
from seeder.workers.fanout import send
from seeder.workers.sqs import SqsQueue
from tests.support.function import planned, png_tiles
from tests.support.held import unreadable
from tests.support.queues import MakeQueue, emptied, working
from tiler.layers.layer_cache import Layers
from tiler.settings import Settings
from tiler.storage.store import Stores
from tiler.timing import STUCK_SECONDS


def lose(queue: SqsQueue, number: int) -> None:
    """Messages that nobody will ever see."""
    for _ in range(number):
        for delivery in queue.receive(1, wait=0):
            queue.delete(delivery)


def die(queue: SqsQueue, number: int) -> None:
    """Workers that take a message and are never heard of again."""
    for _ in range(number):
        queue.receive(1, wait=0)


def poison(queue: SqsQueue, number: int) -> None:
    """Messages that nobody understands."""
    for _ in range(number):
        queue.client.send_message(QueueUrl=queue.url, MessageBody="{")


def told(data: Path, queue: SqsQueue, job: Job) -> Progress:
    """What is told of the job a good while later."""
    stores = Stores.open(Settings.from_env({}, data=str(data)))
    later = utcnow() + timedelta(seconds=STUCK_SECONDS + 1)
    return progress(job, stores.sources, Layers(stores.sources), lambda _: queue.depth(), later)


def missing(data: Path, plan: Plan) -> set[str]:
    """The tiles that an audit misses, by z/x/y.png; it must find nothing else."""
    stores = Stores.open(Settings.from_env({}, data=str(data)))
    audit = Audit.of(plan.layer, plan.job.spec.selection, plan.job.spec.variant, stores)
    found = list(audit.findings(lambda _: None))
    assert {finding.problem for finding in found} <= {"missing"}
    return {f"{finding.tile}.png" for finding in found}


@pytest.mark.parametrize("seed", range(6))
def test_a_job_that_met_with_everything_tells_the_truth_and_is_resumed(
    make_queue: MakeQueue, alps_copy: Path, truth: dict[str, bytes], seed: int
) -> None:
    chance = random.Random(seed)
    queue, plan = make_queue(visibility=1, receives=2), planned(alps_copy)
    settings = Settings.from_env({}, data=str(alps_copy))
    stores = Stores.open(settings)
    assert send(plan, queue, stores, progress=silent_tiles) == plan.blocks
    poison(queue, seed % 3)
    lose(queue, chance.choice((0, 1, 3)))
    die(queue, chance.choice((0, 1, 2)))
    if seed % 2:
        with unreadable(alps_copy), working(queue, settings):
            emptied(queue)
    else:
        with working(queue, settings):
            emptied(queue)
    stored = png_tiles(alps_copy)
    assert stored.items() <= truth.items(), "something wrong was stored"
    assert missing(alps_copy, plan) == truth.keys() - stored.keys()
    seen = told(alps_copy, queue, plan.job)
    left = sum(zoom.blocks - zoom.done for zoom in seen.zooms.values())
    assert (seen.state == "done") == (stored == truth) == (left == 0)
    if seen.state != "done":
        all_tried = left == sum(zoom.failed for zoom in seen.zooms.values())
        assert seen.state == ("failed" if all_tried else "stalled")
        assert seen.percent < 100

    rest = resume(plan.job, stores)
    with working(queue, settings):
        send(rest, queue, stores, progress=silent_tiles, again=True)
        emptied(queue)
    assert png_tiles(alps_copy) == truth
    assert missing(alps_copy, plan) == set()
    assert told(alps_copy, queue, plan.job).state == "done"
    with dead_letters(queue, plan.job.id) as letters:
        assert letters.found == [], "a message of the job is dead though every block is done"


def silent_tiles(_: int) -> None:
    """Progress that nobody looks at."""
