"""Workers that bake at the same time, not in turns: duplicates, deaths and delays cost no byte."""

from __future__ import annotations

import time
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeder.jobs.bake_ledger import BakeJob
from seeder.operations.bake import cancel
from tests.support.bake_laws import NOWHERE, SEEDS, Expected, end_of, few, published, stores
from tests.support.bake_queue import BakeQueue, Killed, at_writes, recorded, resumed
from tests.support.bake_scenes import planned
from tiler.errors import BadOption
from tiler.storage.store import Stores

pytestmark = pytest.mark.usefixtures("no_fence")
WRITES = st.integers(0, 160)  # before and after each write to a store


@st.composite
def disturbances(draw: st.DrawFn) -> tuple[set[int], dict[int, float]]:
    """The writes at which a worker is killed, and those at which one is delayed, in seconds."""
    kills = draw(st.sets(WRITES, min_size=2, max_size=12))
    return kills, draw(st.dictionaries(WRITES, st.sampled_from([0.001, 0.02, 0.1]), min_size=5, max_size=25))


def disturb(kills: set[int], delays: dict[int, float], number: int) -> None:
    """Delay or kill the worker at a write."""
    time.sleep(delays.get(number, 0))
    if number in kills:
        raise Killed


@few(8)
@given(SEEDS, st.integers(2, 6), disturbances())
def test_workers_at_the_same_time_publish_the_bytes_of_the_local_bake(
    first: Expected, seed: int, workers: int, around: tuple[set[int], dict[int, float]]
) -> None:
    with stores() as there:
        queue = BakeQueue(Random(seed))
        job = recorded(planned(first.scenes, there), there, queue)
        queue.waiting *= 2  # each base part is baked by two at once
        with at_writes(lambda number: disturb(*around, number)):
            queue.work_at_once(there, NOWHERE, workers)
        assert not queue.dead
        assert end_of(job, there) == "done"
        first.check(there)


@few(8)
@given(SEEDS, st.integers(2, 6), disturbances(), WRITES)
def test_a_job_cancelled_under_its_workers_is_published_whole_or_not_at_all(
    first: Expected, seed: int, workers: int, around: tuple[set[int], dict[int, float]], step: int
) -> None:
    with stores() as there:
        queue = BakeQueue(Random(seed))
        job = recorded(planned(first.scenes, there), there, queue)

        def happens(number: int) -> None:
            if number == step:
                stop(job, there)
            disturb(*around, number)

        with at_writes(happens):
            queue.work_at_once(there, NOWHERE, workers)
        if published(there):
            first.check(there)
        if end_of(job, there) != "done":
            resumed(job, there, queue)
            queue.work_at_once(there, NOWHERE, workers)
        assert not queue.dead
        assert end_of(job, there) == "done"
        first.check(there)


def stop(job: BakeJob, there: Stores) -> None:
    """Cancel a job, unless it has ended."""
    try:
        cancel(job.id, there.sources)
    except BadOption:
        assert end_of(job, there) == "done"
