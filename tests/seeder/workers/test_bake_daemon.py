"""`seeder worker`, stopped in the middle of a part, leaves it to another worker."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from seeder.jobs.bake_ledger import done_parts
from seeder.operations.bake import next_messages
from tests.support.bake_laws import PLACES
from tests.support.bake_queue import BakeQueue, recorded
from tests.support.bake_scenes import planned, scenes_in
from tests.support.held import holding
from tests.support.layers import local_stores
from tests.support.queues import MakeQueue


def test_stopped_in_the_middle_of_a_part_it_returns_the_message_for_another_worker(
    make_queue: MakeQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = local_stores(tmp_path / "data")
    plan, bakes = planned(scenes_in(tmp_path, PLACES[:1]), stores), make_queue(visibility=600)
    job = recorded(plan, stores, BakeQueue())
    bakes.send(next_messages(job, plan, stores.sources))
    total = bakes.depth().waiting
    monkeypatch.setenv("TILER_BAKE_QUEUE", bakes.url)
    words = ["worker", "--data", str(tmp_path / "data"), "--jobs", "1"]
    with holding("seeder.workers.bake_part:BakeWorker._bake", *words) as (one, gate):
        held = gate.next()
        assert bakes.depth().hidden == 1
        one.send_signal(signal.SIGTERM)
        os.kill(held.pid, signal.SIGTERM)  # as the command does soon, but before the part goes on
        gate.open()
        assert one.wait(60) == 0
    assert (bakes.depth().waiting, bakes.depth().hidden) == (total, 0)
    assert [delivery.tries for delivery in bakes.receive(10, wait=0, hide=0)] == [1] * total
    assert list(done_parts(stores.sources, job.id)) == []
