"""Workers that finish parts at the same time: each part is baked once, and no message is lost."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from seeder.bakes.handle import handle
from seeder.jobs import bake_ledger
from seeder.jobs.bake_messages import BakeMessage
from seeder.workers import bake_part
from seeder.workers.bake_part import BakeWorker, following
from tests.support.bake_laws import NOWHERE, end_of
from tests.support.bake_queue import BakeQueue, Killed, recorded, resumed
from tests.support.bake_scenes import planned, scenes_in
from tiler.ingest.bake_plan import BakePlan
from tiler.storage.store import Stores

pytestmark = pytest.mark.usefixtures("no_fence")
WORKERS = 10
ABOVE = [(1000 + 16384 * column, 1000 + 16384 * row, 40) for row in range(2) for column in range(5)]  # ten parts


@pytest.fixture
def plan(tmp_path: Path, stores: Stores) -> BakePlan:
    """The plan of a layer with a part of the base for each worker, below the same part or two."""
    return planned(scenes_in(tmp_path, ABOVE), stores)


class Waiting(queue.Queue[str]):
    """The messages of workers in threads, in place of SQS."""

    def send(self, messages: Iterable[BakeMessage], _delay: int = 0) -> None:
        """Send messages."""
        for message in messages:
            self.put(message.encode())


def work_at_once(stores: Stores, waiting: Waiting) -> Counter[str]:
    """Work off the messages by threads that put the receipts of their first parts together; returns the handled."""
    together, handled = threading.Barrier(WORKERS), list[str]()
    put, held = bake_ledger.put_receipt, threading.local()

    def put_together(*words: Any) -> bool:
        done = put(*words)
        if not getattr(held, "begun", False):
            held.begun = True
            together.wait(30)
        return done

    def work() -> None:
        worker = BakeWorker(stores, waiting.send, 1)
        while True:
            try:
                body = waiting.get(timeout=3)
            except queue.Empty:
                return
            message = BakeMessage.decode(body)
            handled.append(message.name)
            handle(worker, NOWHERE, body, 1)

    with patch.object(bake_part, "put_receipt", put_together):
        threads = [threading.Thread(target=work) for _ in range(WORKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return Counter(handled)


def test_ten_workers_that_finish_at_once_bake_each_part_once(plan: BakePlan, stores: Stores) -> None:
    waiting = Waiting()
    first = BakeQueue(duplicates=False)
    job = recorded(plan, stores, first)
    assert len(first.waiting) == WORKERS
    for body, _ in first.waiting:
        waiting.put(body)
    handled = work_at_once(stores, waiting)
    assert end_of(job, stores) == "done"
    assert set(handled.values()) == {1}, handled
    assert handled.total() == plan.parts + 2  # the publication and the renewal


def test_a_message_that_a_worker_claimed_and_never_sent_is_sent_when_its_own_comes_again(
    plan: BakePlan, stores: Stores
) -> None:
    waiting = BakeQueue(duplicates=False)
    job = recorded(plan, stores, waiting)

    def dying(messages: Iterable[BakeMessage], delay: int = 0) -> None:
        if list(messages):
            raise Killed
        waiting.send([], delay)

    bodies = [body for body, _ in waiting.waiting]
    waiting.waiting.clear()
    for body in bodies[:-1]:
        handle(BakeWorker(stores, dying, 1), NOWHERE, body, 1)
    with pytest.raises(Killed):
        handle(BakeWorker(stores, dying, 1), NOWHERE, bodies[-1], 1)
    handle(BakeWorker(stores, waiting.send, 1), NOWHERE, bodies[0], 1)
    assert waiting.waiting == [], "a duplicate of another part sends nothing: it is claimed"
    handle(BakeWorker(stores, waiting.send, 1), NOWHERE, bodies[-1], 2)
    waiting.work(stores, NOWHERE)
    assert end_of(job, stores) == "done"


@pytest.mark.parametrize("lost", ["a message", "receipts"])
def test_claims_do_not_hold_up_a_job_that_is_resumed(plan: BakePlan, stores: Stores, lost: str) -> None:
    waiting = BakeQueue(duplicates=False)
    job = recorded(plan, stores, waiting)
    waiting.work(stores, NOWHERE, most=WORKERS)
    assert len(waiting.waiting) == 1  # of the part above
    assert list(following(stores.sources, job.id, plan, min(plan.tiers[0])))
    waiting.waiting.clear()
    if lost == "receipts":
        bake_ledger.delete_receipts(stores.sources, job.id, plan.tiers[0])
    resumed(job, stores, waiting)
    waiting.work(stores, NOWHERE)
    assert end_of(job, stores) == "done"


def test_parts_removed_before_the_publication_are_baked_again(plan: BakePlan, stores: Stores) -> None:
    waiting = BakeQueue(duplicates=False)
    job = recorded(plan, stores, waiting)
    waiting.work(stores, NOWHERE, most=plan.parts)
    assert [BakeMessage.decode(body).kind for body, _ in waiting.waiting] == ["publish"]
    gone = [entry.key for entry in stores.sources.list("sources/layer/parts/")]
    stores.sources.delete(gone)
    waiting.work(stores, NOWHERE)
    assert end_of(job, stores) == "done"
