"""Bake jobs are sent, followed, cancelled and resumed; interrupted at any point, the same command goes on."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from seeder.jobs.bake_ledger import bakes, claim_build, load_bake, load_end
from seeder.jobs.bake_messages import BakeMessage
from seeder.jobs.ledger import load_run
from seeder.operations import bake as module
from seeder.operations.bake import (
    BakeOptions,
    cancel,
    plan_bake,
    progress_of,
    resume_bake,
    run_here,
    send_bake,
)
from seeder.operations.bake_failures import failures
from seeder.operations.report import Report
from seeder.workers.bake_part import build
from seeder.workers.sqs import SqsQueue
from tests.support.bake_laws import PLACES, Expected
from tests.support.bake_queue import BakeQueue, Killed, killed
from tests.support.bake_scenes import planned, scenes_in
from tests.support.effort import examples
from tests.support.queues import MakeQueue
from tests.support.reports import Recorded
from tiler.errors import BadOption
from tiler.ingest.bake_plan import BakePlan
from tiler.ingest.ingest import Ingested, ingest
from tiler.layers.catalog import load_layer
from tiler.raster.options import Options
from tiler.settings import Settings
from tiler.storage.store import Stores

pytestmark = pytest.mark.usefixtures("no_fence")
HERE = Settings(tiles="memory://none", sources="memory://none")


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bake in this process."""
    monkeypatch.setattr(module, "CORES", 1)


def texts(queue: SqsQueue) -> list[str]:
    """Receive and delete all messages."""
    found = []
    while deliveries := queue.receive(10, wait=0):
        for delivery in deliveries:
            queue.delete(delivery)
            found.append(delivery.body)
    return found


def send(plan: BakePlan, queue: SqsQueue, stores: Stores, **options: object) -> module.BakeSent:
    return send_bake(plan, BakeOptions(queue.url, **options), HERE, stores, Report())  # type: ignore[arg-type]


def test_the_parts_of_the_base_are_sent_and_the_workers_do_the_rest(
    first: Expected, stores: Stores, make_queue: MakeQueue
) -> None:
    queue, plan = make_queue(), planned(first.scenes, stores)
    sent = send(plan, queue, stores)
    bodies = texts(queue)
    assert {BakeMessage.decode(body).place for body in bodies} == plan.tiers[0]
    assert sent.messages == len(bodies) == len(plan.tiers[0])
    assert load_bake(stores.sources, sent.job.id).revision == sent.job.revision == plan.draft.revision
    run = load_run(stores.sources, sent.job.ledger)
    assert run
    assert run.sent
    worked = BakeQueue(waiting=[(body, 0) for body in bodies])
    worked.work(stores, HERE)
    assert progress_of(sent.job.id, stores.sources, HERE).state == "done"
    first.check(stores)
    assert isinstance(plan_bake(first.scenes, "layer", Options(), stores, Report()), Ingested)


@pytest.mark.parametrize("seed", range(examples(12)))
def test_a_command_that_is_killed_goes_on_when_it_is_run_again(
    first: Expected, stores: Stores, make_queue: MakeQueue, seed: int
) -> None:
    queue, kills = make_queue(), Random(seed).sample(range(14), 3)
    for _ in range(8):
        try:
            with killed(*kills):
                sent = send(planned(first.scenes, stores), queue, stores)
            break
        except Killed:
            kills = [kill for kill in kills if kill != min(kills)]
    worked = BakeQueue(waiting=[(body, 0) for body in texts(queue)])
    worked.work(stores, HERE)
    assert load_end(stores.sources, sent.job.id)
    assert not worked.dead
    first.check(stores)


def test_the_same_command_again_sends_nothing_while_the_queue_holds_messages(
    first: Expected, stores: Stores, make_queue: MakeQueue
) -> None:
    queue, plan = make_queue(), planned(first.scenes, stores)
    sent = send(plan, queue, stores)
    again = send(plan, queue, stores)
    assert (again.job.id, again.messages) == (sent.job.id, 0)
    texts(queue)  # lost
    assert send(plan, queue, stores).messages == sent.messages
    assert bakes(stores.sources) == [sent.job.id]


def test_after_a_cancellation_resume_goes_on_and_the_same_command_begins_anew(
    first: Expected, stores: Stores, make_queue: MakeQueue
) -> None:
    queue, plan = make_queue(), planned(first.scenes, stores)
    sent = send(plan, queue, stores)
    assert [cancel(sent.job.id, stores.sources) for _ in range(2)] == [False, True]
    assert progress_of(sent.job.id, stores.sources, HERE).state == "cancelled"
    assert resume_bake(sent.job.id, "", HERE, stores, Report()).job.id == sent.job.id
    assert progress_of(sent.job.id, stores.sources, HERE).state == "running"
    cancel(sent.job.id, stores.sources)
    other = send(plan, queue, stores)
    assert other.job.id != sent.job.id
    assert other.messages == len(plan.tiers[0])


def test_jobs_that_are_done_or_superseded_are_neither_resumed_nor_cancelled(
    first: Expected, second: Expected, stores: Stores, make_queue: MakeQueue
) -> None:
    queue = make_queue()
    older = send(planned(first.scenes, stores), queue, stores).job.id
    job = send(planned(second.scenes, stores), queue, stores).job.id
    BakeQueue(waiting=[(body, 0) for body in texts(queue)]).work(stores, HERE)
    states = {name: progress_of(name, stores.sources, HERE).state for name in (older, job)}
    assert set(states.values()) == {"done", "superseded"}
    for name, state in states.items():
        with pytest.raises(BadOption, match=f"{name} is {state}"):
            resume_bake(name, queue.url, HERE, stores, Report())
        if load_end(stores.sources, name):
            with pytest.raises(BadOption, match=f"{name} is {state}: there is nothing to cancel"):
                cancel(name, stores.sources)


def test_a_job_is_baked_here_to_its_end(first: Expected, stores: Stores, make_queue: MakeQueue) -> None:
    sent = send(planned(first.scenes, stores), make_queue(), stores)
    report = Recorded()
    assert run_here(sent.job.id, HERE, stores, report).state == "done"
    first.check(stores)


def test_a_job_that_fails_here_is_told_as_failed(stores: Stores, tmp_path: Path, make_queue: MakeQueue) -> None:
    expected = Expected(scenes_in(tmp_path, PLACES), tmp_path / "expected")
    sent = send(planned(expected.scenes, stores), make_queue(), stores)
    (tmp_path / "1.tif").rename(tmp_path / "away")
    seen = run_here(sent.job.id, HERE, stores, Report())
    assert seen.state == "failed"
    assert seen.failed
    errors = failures(sent.job.id, stores.sources, HERE)
    assert all("1.tif" in error for error in errors), errors
    (tmp_path / "away").rename(tmp_path / "1.tif")
    assert run_here(sent.job.id, HERE, stores, Report()).state == "done"
    expected.check(stores)


def test_a_job_of_another_build_is_not_mixed_with_parts_of_this_machine(
    first: Expected, stores: Stores, make_queue: MakeQueue
) -> None:
    sent = send(planned(first.scenes, stores), make_queue(), stores)
    assert claim_build(stores.sources, sent.job.id, "GDAL 3.9.9 on z80") != build()
    assert run_here(sent.job.id, HERE, stores, Report()).state == "done"  # nothing of the other build was done
    first.check(stores)


def test_parts_of_another_build_need_its_workers(first: Expected, stores: Stores, make_queue: MakeQueue) -> None:
    queue = make_queue()
    sent = send(planned(first.scenes, stores), queue, stores)
    BakeQueue(waiting=[(body, 0) for body in texts(queue)]).work(stores, HERE, most=2)
    stores.sources.put(f"jobs/bakes/{sent.job.id}/build", b"GDAL 3.9.9 on z80", content_type="")
    with pytest.raises(BadOption, match=f"GDAL 3.9.9 on z80, and this machine .*seeder cancel {sent.job.id}"):
        run_here(sent.job.id, HERE, stores, Report())


def test_first_tiles_need_a_queue_for_tiles(first: Expected, stores: Stores, make_queue: MakeQueue) -> None:
    plan = planned(first.scenes, stores)
    with pytest.raises(BadOption, match="queue for tiles"):
        send(plan, make_queue(), stores, first=(0, 1))
    assert bakes(stores.sources) == []


def test_a_layer_that_is_current_needs_no_job(first: Expected, stores: Stores) -> None:
    ingest(first.scenes, "layer", Options(), stores, jobs=1, progress=lambda *_: None)
    assert isinstance(plan_bake(first.scenes, "layer", Options(), stores, Report()), Ingested)
    assert load_layer(stores.sources, "layer")


def test_a_virtual_layer_has_nothing_to_bake(first: Expected, stores: Stores) -> None:
    with pytest.raises(BadOption, match="virtual"):
        plan_bake(first.scenes, "layer", Options(virtual=True), stores, Report())
