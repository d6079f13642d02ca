"""The state of a bake job, and its progress by tier."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from seeder.aws.queue import Depth
from seeder.jobs.bake_ledger import BakeJob, End, put_end, put_failure
from seeder.jobs.bake_status import BakeProgress, BakeState, TierProgress, bake_progress
from seeder.jobs.ledger import Run, Stop, put_run, stop
from seeder.jobs.runner import Runner
from tests.support.bake_jobs import TIERS, bake_all, bake_job, memory, put
from tests.support.layer_strategies import GLOBE
from tiler.keys import index_key
from tiler.layers.catalog import dump
from tiler.layers.pyramid import Place
from tiler.storage.store import Store

NOW = datetime.now(UTC)
QUEUE = "https://sqs.test/bakes"
IDLE, BUSY = Depth(0, 0, 0), Depth(3, 1, 0)
ALL = [Place(tier, *place) for tier, places in enumerate(TIERS) for place in places]


def job_of(sources: Store, **fields: object) -> BakeJob:
    return put(sources, bake_job(now=NOW - timedelta(seconds=30), **fields))


def seen(sources: Store, job: BakeJob, depth: Depth | None = BUSY, minutes: float = 0) -> BakeProgress:
    return bake_progress(job, sources, lambda _: depth, NOW + timedelta(minutes=minutes))


def state(sources: Store, job: BakeJob, depth: Depth | None = BUSY, minutes: float = 0) -> BakeState:
    return seen(sources, job, depth, minutes).state


def ran(sources: Store, job: BakeJob, queue: str = QUEUE, **fields: object) -> None:
    put_run(sources, job.ledger, replace(Run(queue, NOW, 0.05, sent=True, by=Runner.here()), **fields))  # type: ignore[arg-type]


def publish(sources: Store, revision: str) -> None:
    layer = replace(GLOBE, id="relief", revision=revision)
    sources.put(index_key("relief"), dump(layer), content_type="application/json")


def test_a_job_goes_from_planning_to_done() -> None:
    sources = memory()
    job = job_of(sources)
    assert state(sources, job) == "planning"
    ran(sources, job, sent=False)
    assert state(sources, job) == "planning"
    ran(sources, job)
    assert state(sources, job) == "running"
    bake_all(sources, job)
    assert state(sources, job) == "publishing"
    publish(sources, job.revision)
    assert state(sources, job) == "renewing"
    put_end(sources, job.id, End("done"))
    assert state(sources, job) == "done"


def test_progress_is_counted_by_tier() -> None:
    sources = memory()
    job = job_of(sources)
    ran(sources, job, begun=NOW - timedelta(seconds=30))
    bake_all(sources, job, [ALL[0], ALL[3]])
    for place in (ALL[0], ALL[1]):  # the first was baked after it had failed
        put_failure(sources, job.id, place, "torn")
    told = seen(sources, job)
    assert told.tiers == (TierProgress(3, 1, 1), TierProgress(2, 1), TierProgress(1))
    assert (told.parts, told.done, told.failed, round(told.percent)) == (6, 2, 1, 33)
    assert told.rate > 0
    assert told.left
    fields = json.loads(json.dumps(told.to_json()))
    assert fields["kind"] == "bake"
    assert fields["by_tier"]["0"] == {"parts": 3, "done": 1, "failed": 1}


@pytest.mark.parametrize("asked", [True, False])
def test_a_stopped_job_is_cancelled_or_failed(asked: bool) -> None:
    sources = memory()
    job = job_of(sources)
    ran(sources, job)
    stop(sources, job.ledger, Stop("enough", asked=asked))
    told = seen(sources, job)
    assert (told.state, told.why) == ("cancelled" if asked else "failed", "enough")


@pytest.mark.parametrize("all_done", [False, True])
def test_another_publication_supersedes_a_job(all_done: bool) -> None:
    sources = memory()
    job = job_of(sources)
    ran(sources, job)
    bake_all(sources, job, None if all_done else ALL[:1])
    publish(sources, "another1")
    assert state(sources, job) == "superseded"


def test_a_removed_or_unreadable_layer_supersedes_its_refresh() -> None:
    sources = memory()
    job = job_of(sources)
    job = put(sources, replace(job, plan={**job.plan, "current": "some version"}))
    ran(sources, job)
    assert state(sources, job) == "superseded"
    sources.put(index_key("relief"), b"{", content_type="application/json")
    assert state(sources, job) == "superseded"


def test_failed_parts_fail_a_job_once_its_queue_is_empty() -> None:
    sources = memory()
    job = job_of(sources)
    ran(sources, job)
    bake_all(sources, job, ALL[:2])
    put_failure(sources, job.id, ALL[2], "torn")
    assert state(sources, job) == "running"
    told = seen(sources, job, IDLE)
    assert (told.state, told.why) == ("failed", "1 of 4 parts that are left could not be baked")


def test_a_job_has_failed_once_failed_parts_hold_up_all_others_whatever_other_jobs_have_in_the_queue() -> None:
    sources = memory()
    job = job_of(sources)
    ran(sources, job)
    bake_all(sources, job, ALL[:2])
    put_failure(sources, job.id, ALL[2], "torn")
    assert state(sources, job, BUSY) == "running"  # the part above the first two can still be baked
    bake_all(sources, job, [ALL[3]])
    assert state(sources, job, BUSY) == "failed"


def test_a_silent_job_is_stalled() -> None:
    sources = memory()
    job = job_of(sources)
    ran(sources, job)
    assert [state(sources, job, depth, 1) for depth in (IDLE, BUSY, None)] == ["running"] * 3
    assert [state(sources, job, depth, 10) for depth in (IDLE, BUSY, None)] == ["stalled", "running", "running"]
    assert [state(sources, job, depth, 30) for depth in (IDLE, BUSY, None)] == ["stalled"] * 3


@pytest.mark.parametrize("failed", [False, True])
def test_a_run_on_this_machine_is_running_until_it_ends(failed: bool) -> None:
    sources = memory()
    job = job_of(sources)
    ran(sources, job, "", sent=False)
    bake_all(sources, job, ALL[:2])
    if failed:
        put_failure(sources, job.id, ALL[2], "torn")
    assert state(sources, job) == "running"
    ran(sources, job, "", ended=True)
    assert state(sources, job) == ("failed" if failed else "stalled")
