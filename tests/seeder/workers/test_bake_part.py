"""A worker of parts: its log, tries and failures, the circuit breaker, and its time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seeder.bakes.handle import handle
from seeder.jobs.bake_ledger import BakeJob, done_parts, failed_parts
from seeder.jobs.bake_messages import BakeMessage
from seeder.jobs.ledger import Run, put_run, stopped
from seeder.jobs.status import utcnow
from seeder.operations.bake_failures import failures
from seeder.operations.publish_bake import Step
from seeder.workers import bake_part, breaker
from seeder.workers.bake_part import OUT_OF_TIME, BakeWorker, following, is_ready, remaining
from seeder.workers.lambda_handler import Redeliver
from seeder.workers.turns import MAX_TRIES
from tests.support.bake_laws import NOWHERE, PLACES, end_of
from tests.support.bake_queue import BakeQueue, recorded, resumed
from tests.support.bake_scenes import planned, scenes_in
from tiler import timing
from tiler.errors import (
    BadSource,
    ChangedSource,
    NoRoom,
    OutOfMemory,
    QueueError,
    SourceReadError,
    StoreError,
    WorkerDied,
)
from tiler.ingest.bake import Bake
from tiler.ingest.bake_plan import BakePlan
from tiler.layers.pyramid import Place
from tiler.storage.store import Stores

pytestmark = pytest.mark.usefixtures("no_fence")

Fault = Callable[[], BaseException]


@pytest.fixture
def queue() -> BakeQueue:
    return BakeQueue(duplicates=False)


@pytest.fixture
def plan(tmp_path: Path, stores: Stores) -> BakePlan:
    """The plan of a layer of three scenes."""
    return planned(scenes_in(tmp_path, PLACES), stores)


@pytest.fixture
def job(plan: BakePlan, stores: Stores, queue: BakeQueue) -> BakeJob:
    return recorded(plan, stores, queue)


def part(job: BakeJob, place: Place | None = None) -> str:
    return BakeMessage("part", job.id, place or min(job.tiers[0])).encode()


def raising(monkeypatch: pytest.MonkeyPatch, fault: BaseException) -> None:
    """Make each bake of a part raise an error."""

    def parts(*_: Any) -> Any:
        raise fault

    monkeypatch.setattr(Bake, "parts", parts)


def test_each_message_is_logged_with_job_step_and_seconds(
    job: BakeJob, stores: Stores, queue: BakeQueue, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="worker")
    queue.work(stores, NOWHERE)
    logged = [vars(record) for record in caplog.records if record.name == "worker"]
    assert {line["job"] for line in logged} == {job.id}
    steps = {line["step"] for line in logged if line["message"] in ("baked", "empty")}
    assert steps == {"/".join(map(str, place)) for tier in job.tiers for place in tier}
    assert [line["step"] for line in logged][-2:] == ["publish", "renew"]
    assert all(line["seconds"] >= 0 for line in logged)


@pytest.mark.parametrize(
    "fault",
    [
        NoRoom("/", 1, 2),
        OutOfMemory(),
        MemoryError(),
        WorkerDied(),
        StoreError("put", "a", "no"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_fault_of_the_machine_is_retried_and_recorded_after_the_last_try(
    job: BakeJob, stores: Stores, queue: BakeQueue, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    raising(monkeypatch, fault)
    worker = BakeWorker(stores, queue.send, 1)
    for tries in range(1, MAX_TRIES):
        assert handle(worker, NOWHERE, part(job), tries) == Redeliver(timing.RETRY_DELAYS_SECONDS[tries - 1])
        assert failed_parts(stores.sources, job.id) == []
    step = handle(worker, NOWHERE, part(job), MAX_TRIES)
    assert isinstance(step, Step)
    assert (step.fate, step.why) == ("failed", str(fault) or "it ran out of memory")
    assert failures(job.id, stores.sources, NOWHERE) == {step.why: ["/".join(map(str, min(job.tiers[0])))]}
    monkeypatch.undo()
    resumed(job, stores, queue)
    queue.work(stores, NOWHERE)
    assert failures(job.id, stores.sources, NOWHERE) == {}
    assert end_of(job, stores) == "done"


@pytest.mark.parametrize("fault", [SourceReadError("1.tif", "torn"), BadSource("1.tif", "torn")], ids=str)
def test_an_unreadable_scene_fails_its_part_at_the_second_try_on_this_disk_as_on_the_network(
    job: BakeJob, stores: Stores, queue: BakeQueue, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    raising(monkeypatch, fault)
    worker = BakeWorker(stores, queue.send, 1)
    assert handle(worker, NOWHERE, part(job), 1) == Redeliver(timing.RETRY_DELAYS_SECONDS[0])
    assert failed_parts(stores.sources, job.id) == []
    assert handle(worker, NOWHERE, part(job), 2) == Step("failed", str(fault))


def test_a_scene_that_changed_fails_its_part_at_once_with_the_command_that_helps(
    job: BakeJob, stores: Stores, queue: BakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    raising(monkeypatch, ChangedSource("1.tif"))
    step = handle(BakeWorker(stores, queue.send, 1), NOWHERE, part(job), 1)
    assert isinstance(step, Step)
    assert step.why.startswith(
        "cannot ingest 1.tif: it changed since its bake was planned: run the same `seeder ingest`"
    )


def test_messages_that_cannot_be_sent_return_even_after_the_last_try(job: BakeJob, stores: Stores) -> None:
    def refuse(*_: object) -> None:
        raise QueueError("refused")

    result = handle(BakeWorker(stores, refuse, 1), NOWHERE, part(job), MAX_TRIES)
    assert isinstance(result, Redeliver)
    assert failed_parts(stores.sources, job.id) == []


def test_a_part_that_takes_too_long_for_the_function_fails_with_the_cure(
    job: BakeJob, stores: Stores, queue: BakeQueue
) -> None:
    worker = BakeWorker(stores, queue.send, 1, left=lambda: timing.BAKE_MARGIN_SECONDS - 1)
    fates = [handle(worker, NOWHERE, part(job, place), 1) for place in sorted(job.tiers[0])]
    assert Step("failed", OUT_OF_TIME) in fates
    assert {each.fate for each in fates if isinstance(each, Step)} <= {"failed", "empty"}
    resumed(job, stores, queue)
    queue.work(stores, NOWHERE)  # by `seeder worker`, without a limit
    assert end_of(job, stores) == "done"


def test_a_worker_that_stops_returns_its_part_at_once_and_untried(
    job: BakeJob, stores: Stores, queue: BakeQueue
) -> None:
    worker = BakeWorker(stores, queue.send, 1, stops=lambda: True)
    fates = [handle(worker, NOWHERE, part(job, place), MAX_TRIES) for place in sorted(job.tiers[0])]
    assert Redeliver(0, tried=False) in fates
    assert failed_parts(stores.sources, job.id) == []


def test_a_part_of_a_cancelled_job_ends_between_chunks(
    job: BakeJob, stores: Stores, queue: BakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["", *["it was stopped"] * 99])
    monkeypatch.setattr(bake_part, "is_over", lambda *_: next(answers))
    monkeypatch.setattr(timing, "REVISION_CHECK_SECONDS", -1.0)
    for place in sorted(job.tiers[0]):
        answers = iter(["", *["it was stopped"] * 99])
        step = handle(BakeWorker(stores, queue.send, 1), NOWHERE, part(job, place), 1)
        assert step in (Step("dropped", "it was stopped"), Step("empty"))
    assert all(not place.tier for place, _ in done_parts(stores.sources, job.id))


def test_too_many_failed_parts_stop_the_job_until_it_is_resumed(
    job: BakeJob, stores: Stores, queue: BakeQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "LEAST_FAILED", 2)
    scenes = list(tmp_path.glob("*.tif"))
    for path in scenes:
        path.rename(path.with_suffix(".away"))
    queue.work(stores, NOWHERE)
    why = stopped(stores.sources, job.ledger)
    assert why
    assert not why.asked
    assert "2 of" in why.why
    assert "parts failed, more than 5%; the last one: " in why.why
    assert queue.fates.count("failed") == 2
    assert "dropped" in queue.fates
    for path in scenes:
        path.with_suffix(".away").rename(path)
    resumed(job, stores, queue)
    assert stopped(stores.sources, job.ledger) is None
    queue.work(stores, NOWHERE)
    assert end_of(job, stores) == "done"


def test_the_limit_of_the_run_counts(
    job: BakeJob, stores: Stores, queue: BakeQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "LEAST_FAILED", 1)
    put_run(stores.sources, job.ledger, Run("", utcnow(), 1.0))
    for path in tmp_path.glob("*.tif"):
        path.unlink()
    queue.work(stores, NOWHERE)
    assert stopped(stores.sources, job.ledger) is None
    assert queue.fates.count("failed") >= 3


@pytest.mark.parametrize("body", ["", "{}", '{"v":1,"kind":"part","job":"../x","tier":0,"column":0,"row":0}'])
def test_a_poison_message_soon_becomes_a_dead_letter(stores: Stores, queue: BakeQueue, body: str) -> None:
    queue.waiting = [(body, 0)]
    queue.work(stores, NOWHERE)
    assert queue.dead == [body]


@pytest.mark.parametrize("kind", ["part", "publish", "renew"])
def test_a_message_of_an_unknown_job_is_dropped(stores: Stores, queue: BakeQueue, kind: Any) -> None:
    place = Place(0, 0, 0) if kind == "part" else None
    body = BakeMessage(kind, "relief-9f2c81aa-20260301T120000.000000", place).encode()
    step = handle(BakeWorker(stores, queue.send, 1), NOWHERE, body, 1)
    assert isinstance(step, Step)
    assert step.fate == "dropped"
    assert "no bake job relief-9f2c81aa-" in step.why


def test_a_part_outside_the_plan_is_empty(job: BakeJob, stores: Stores, queue: BakeQueue) -> None:
    step = handle(BakeWorker(stores, queue.send, 1), NOWHERE, part(job, Place(0, 30, 30)), 1)
    assert step == Step("empty")


def test_parts_are_sent_once_all_that_they_read_have_receipts(job: BakeJob, plan: BakePlan, stores: Stores) -> None:
    done: set[Place] = set()
    sources = stores.sources
    queue = BakeQueue(duplicates=False)
    worker = BakeWorker(stores, queue.send, 1)
    for place in [place for tier in plan.tiers for place in sorted(tier)]:
        assert is_ready(sources, job.id, plan, place) == (set(plan.children(place)) <= done)
        handle(worker, NOWHERE, part(job, place), 1)
        done.add(place)
        sent = {message.place for message in following(sources, job.id, plan, place)}
        ready = {each for tier in plan.tiers[1:] for each in tier if set(plan.children(each)) <= done}
        assert sent - {None} <= ready
        left = {message.place for message in remaining(job.id, plan, done)}
        assert left == (
            {each for tier in plan.tiers for each in tier if set(plan.children(each)) <= done} - done or {None}
        )
