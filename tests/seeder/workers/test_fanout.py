"""A sent job is followed to a correct end, and is never sent twice without need."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Semaphore
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest

from seeder.aws.queue import Depth
from seeder.cache.prepare_job import prepare
from seeder.jobs.compaction import Compactor
from seeder.jobs.ledger import finished, load_run, put_receipt
from seeder.jobs.messages import Receipt
from seeder.jobs.plan import Plan
from seeder.select.selection import Selection
from seeder.workers import fanout
from seeder.workers.fanout import Watch, follow, send
from seeder.workers.sqs import SqsQueue
from tests.support.held import HANG
from tests.support.layer_strategies import GLOBE
from tests.support.queues import MakeQueue, taken, working
from tests.support.site import Spy
from tiler import timing
from tiler.errors import BadCloud, QueueError
from tiler.grid import Block
from tiler.layers.catalog import load_layer
from tiler.layers.fill import Outcome
from tiler.layers.publication import publish
from tiler.layers.render import TileVariant
from tiler.settings import Settings
from tiler.storage.store import Store, Stores, open_store

ZOOMS = (3, 4, 5)
BLOCKS = 1 + 4 + 16
QUIET = 0.3  # seconds without a receipt until a job is stuck


def sent(stores: Stores, plan: Plan) -> bool:
    """Whether all messages are recorded as sent."""
    run = load_run(stores.sources, plan.job.id)
    return run is not None and run.sent


@pytest.fixture
def stores() -> Stores:
    """Stores in memory with the layer."""
    name = uuid4().hex
    made = Stores(open_store(f"memory://{name}-tiles"), open_store(f"memory://{name}-sources"), "http://tiles.test")
    publish(GLOBE, made)
    return made


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short limits for a stuck job."""
    monkeypatch.setattr(timing, "STUCK_SECONDS", QUIET)


def planned(stores: Stores) -> Plan:
    """The plan of a command run now."""
    return prepare(GLOBE, Selection(ZOOMS), TileVariant(), force=False, stores=stores)


def silent(_: int) -> None:
    """Ignore progress."""


def watch(plan: Plan, queue: SqsQueue, stores: Stores, progress: Callable[[int], object] = silent) -> Watch:
    return Watch(plan, queue, stores, progress, pause=0.02)


def settle(stores: Stores, plan: Plan, blocks: list[Block], **failure: Any) -> None:
    """Put receipts of `blocks` like a worker, and their tiles, unless they failed."""
    for block in blocks:
        outcome = Outcome(failed=block.full, **failure) if failure else Outcome(written=block.full, bytes=7)
        if not failure:
            for tile in block.tiles():
                key = f"globe/{tile.z}/{tile.x}/{tile.y}.png"
                stores.tiles.put(key, b"tile", content_type="image/png")
        put_receipt(stores.sources, plan.job.id, Receipt(block, outcome))


def settling(stores: Stores, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a receipt between any two polls, a little before the queue would be read."""
    left, now = blocks_of(plan), [time.monotonic()]

    def sleep(_: float) -> None:
        now[0] += QUIET / 4 * 0.9
        settle(stores, plan, [left.pop()])

    monkeypatch.setattr(fanout, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))


def blocks_of(plan: Plan) -> list[Block]:
    return [message.request.block for message in plan.messages((8,))]


# --- Sending


def test_a_job_is_sent_once_however_often_it_is_asked_for(make_queue: MakeQueue, stores: Stores) -> None:
    queue, plan = make_queue(), planned(stores)
    assert not sent(stores, plan)
    assert send(plan, queue, stores, progress=silent) == BLOCKS
    assert sent(stores, plan)
    for _ in range(2):
        again = planned(stores)
        assert again.job == plan.job
        assert send(again, queue, stores, progress=silent) == 0
    assert Counter(message.request.block for message in taken(queue)) == Counter(blocks_of(plan))


def test_a_job_is_under_way_while_a_worker_holds_its_last_message(make_queue: MakeQueue, stores: Stores) -> None:
    queue, plan = make_queue(visibility=60), planned(stores)
    send(plan, queue, stores, progress=silent)
    held = [delivery for _ in range(3) for delivery in queue.receive(10, wait=0)]
    for delivery in held[1:]:
        queue.delete(delivery)
    assert queue.depth() == Depth(waiting=0, hidden=1, dead=0)
    assert send(planned(stores), queue, stores, progress=silent) == 0


def test_messages_that_were_lost_are_sent_again_and_only_those(make_queue: MakeQueue, stores: Stores) -> None:
    queue, plan = make_queue(), planned(stores)
    send(plan, queue, stores, progress=silent)
    taken(queue)
    done = blocks_of(plan)[::3]
    settle(stores, plan, done)
    rest = planned(stores)
    assert rest.tally.written == sum(block.side**2 for block in done)
    assert send(rest, queue, stores, progress=silent) == BLOCKS - len(done)
    assert {message.request.block for message in taken(queue)} == set(blocks_of(plan)) - set(done)


def test_dead_letters_do_not_count_as_under_way(make_queue: MakeQueue, stores: Stores) -> None:
    queue, plan = make_queue(receives=1), planned(stores)
    send(plan, queue, stores, progress=silent)
    for _ in range(2 * BLOCKS // 10 + 2):
        for delivery in queue.receive(10, wait=0):
            queue.hide(delivery.handle, 0)
    assert queue.depth() == Depth(waiting=0, hidden=0, dead=BLOCKS)
    assert send(planned(stores), queue, stores, progress=silent) == BLOCKS


def test_a_job_whose_sending_was_interrupted_is_sent_again(make_queue: MakeQueue, stores: Stores) -> None:
    queue, plan = make_queue(), planned(stores)
    told = []

    def interrupt(tiles: int) -> None:
        told.append(tiles)
        if len(told) == 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        send(plan, queue, stores, progress=interrupt)
    assert not sent(stores, plan)
    assert send(planned(stores), queue, stores, progress=silent) == BLOCKS
    assert {message.request.block for message in taken(queue)} == set(blocks_of(plan))


def test_a_job_that_was_refused_in_part_is_not_taken_for_sent(
    make_queue: MakeQueue, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, plan = make_queue(), planned(stores)
    with monkeypatch.context() as patch:
        patch.setattr(SqsQueue, "_try_to_send", lambda _, messages, _delay: dict.fromkeys(messages, "InternalError"))
        patch.setattr("seeder.workers.sqs._RETRYING", lambda attempt: attempt())
        with pytest.raises(QueueError, match="refused"):
            send(plan, queue, stores, progress=silent)
    assert not sent(stores, plan)
    assert send(planned(stores), queue, stores, progress=silent) == BLOCKS


def test_a_job_that_is_done_is_not_sent(make_queue: MakeQueue, stores: Stores) -> None:
    plan = planned(stores)
    for block in blocks_of(plan):
        plan.done.add(block)
    queue = make_queue()
    assert send(plan, queue, stores, progress=silent) == 0
    assert not queue.depth()


def test_other_jobs_in_the_queue_do_not_keep_a_new_one_from_being_sent(make_queue: MakeQueue, stores: Stores) -> None:
    queue, one = make_queue(), planned(stores)
    send(one, queue, stores, progress=silent)
    other = prepare(GLOBE, Selection((6,)), TileVariant(), force=False, stores=stores)
    assert send(other, queue, stores, progress=silent) == 1  # a block of 64 x 64
    assert send(other, queue, stores, progress=silent) == 0


def test_sending_again_forgives_old_failures(make_queue: MakeQueue, stores: Stores) -> None:
    queue, plan = make_queue(), planned(stores)
    send(plan, queue, stores, progress=silent)
    taken(queue)
    bad = blocks_of(plan)[:4]
    settle(stores, plan, bad, error="cannot read globe.tif")
    settle(stores, plan, blocks_of(plan)[4:])
    assert send(planned(stores), queue, stores, progress=silent) == 4
    assert list(finished(stores.sources, plan.job.id, "failed")) == []
    assert {message.request.block for message in taken(queue)} == set(bad)


def test_failures_stay_on_record_while_the_job_is_under_way(make_queue: MakeQueue, stores: Stores) -> None:
    queue, plan = make_queue(), planned(stores)
    send(plan, queue, stores, progress=silent)
    settle(stores, plan, blocks_of(plan)[:4], error="cannot read globe.tif")
    assert send(planned(stores), queue, stores, progress=silent) == 0
    assert len(list(finished(stores.sources, plan.job.id, "failed"))) == 4


def test_sending_tells_of_every_tile_that_is_left(make_queue: MakeQueue, stores: Stores) -> None:
    queue, first = make_queue(), planned(stores)
    settle(stores, first, blocks_of(first)[:5])
    plan, told = planned(stores), list[int]()
    send(plan, queue, stores, progress=told.append)
    assert sum(told) == plan.tally.tiles - plan.tally.done


def test_a_queue_that_is_not_there_leaves_the_job_unsent(make_queue: MakeQueue, stores: Stores) -> None:
    plan, queue = planned(stores), make_queue()
    wrong = replace(queue, url=f"{queue.url}-nowhere")
    with pytest.raises(BadCloud):
        send(plan, wrong, stores, progress=silent)
    assert not sent(stores, plan)


# --- Following


def test_following_ends_well_when_every_block_is_done(make_queue: MakeQueue, stores: Stores) -> None:
    plan, told = planned(stores), list[int]()
    settle(stores, plan, blocks_of(plan))
    assert follow(watch(plan, make_queue(), stores, told.append)) == ""
    assert (plan.tally.written, plan.tally.failed) == (plan.tally.tiles, 0)
    assert plan.tally.bytes == 7 * BLOCKS
    assert sum(told) == plan.tally.tiles


def test_receipts_are_counted_once_though_they_come_while_one_follows(
    make_queue: MakeQueue, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, queue, told = planned(stores), make_queue(), list[int]()
    settling(stores, plan, monkeypatch)
    assert follow(watch(plan, queue, stores, told.append)) == ""
    assert len(told) == BLOCKS
    assert plan.tally.written == sum(told) == plan.tally.tiles


def test_receipts_are_compacted_as_they_are_followed_and_read_once(
    make_queue: MakeQueue, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, queue, told = planned(stores), make_queue(), list[int]()
    every = set(blocks_of(plan))
    settling(stores, plan, monkeypatch)
    monkeypatch.setattr(fanout, "Compactor", partial(Compactor, size=5, least=1))
    spy = Spy(stores.sources)
    assert follow(watch(plan, queue, replace(stores, sources=cast(Store, spy)), told.append)) == ""
    assert len(told) == BLOCKS
    assert plan.tally.written == sum(told) == plan.tally.tiles
    root = f"jobs/{plan.job.id}"
    assert sum(verb == "get" and key.startswith(f"{root}/done/") for verb, key in spy.seen) == BLOCKS
    assert stores.sources.empty(f"{root}/done/")
    assert len([*stores.sources.list(f"{root}/compacted/done/")]) == -(-BLOCKS // 5)
    assert set(finished(stores.sources, plan.job.id)) == every


def test_a_resumed_job_is_followed_from_where_it_was(make_queue: MakeQueue, stores: Stores) -> None:
    first = planned(stores)
    settle(stores, first, blocks_of(first)[:9])
    plan, told = planned(stores), list[int]()
    settle(stores, plan, blocks_of(plan))
    follow(watch(plan, make_queue(), stores, told.append))
    assert len(told) == BLOCKS - 9
    assert plan.tally.written == plan.tally.tiles


def test_blocks_that_failed_are_counted_and_end_it_too(make_queue: MakeQueue, stores: Stores) -> None:
    plan = planned(stores)
    settle(stores, plan, blocks_of(plan)[:3], error="cannot read globe.tif: it ends too early")
    settle(stores, plan, blocks_of(plan)[3:])
    assert follow(watch(plan, make_queue(), stores)) == ""
    failed = sum(block.side**2 for block in blocks_of(plan)[:3])
    assert (plan.tally.failed, plan.tally.done) == (failed, plan.tally.tiles)
    assert plan.tally.errors == {"cannot read globe.tif: it ends too early": failed}


def test_a_failure_that_was_made_up_for_does_not_count(make_queue: MakeQueue, stores: Stores) -> None:
    plan = planned(stores)
    settle(stores, plan, blocks_of(plan)[:3], error="cannot read globe.tif")
    settle(stores, plan, blocks_of(plan))
    assert follow(watch(plan, make_queue(), stores)) == ""
    assert (plan.tally.failed, plan.tally.written) == (0, plan.tally.tiles)


def test_a_layer_that_was_ingested_again_ends_it(make_queue: MakeQueue, stores: Stores) -> None:
    plan = planned(stores)
    settle(stores, plan, blocks_of(plan)[:5])
    publish(replace(GLOBE, revision="0000"), stores)
    why = follow(watch(plan, make_queue(), stores))
    assert why == "revision 9f2c of the layer was superseded: run `seed` again"
    assert plan.tally.written == sum(block.side**2 for block in blocks_of(plan)[:5])


def test_a_job_that_was_finished_in_time_is_done_though_the_layer_was_ingested_again(
    make_queue: MakeQueue, stores: Stores
) -> None:
    plan = planned(stores)
    settle(stores, plan, blocks_of(plan))
    publish(replace(GLOBE, revision="0000"), stores)
    assert follow(watch(plan, make_queue(), stores)) == ""


def test_a_layer_that_was_removed_ends_it(make_queue: MakeQueue, stores: Stores) -> None:
    plan = planned(stores)
    stores.sources.delete(["sources/globe/index.json"])
    assert "superseded" in follow(watch(plan, make_queue(), stores))


def test_a_job_that_was_cancelled_ends(make_queue: MakeQueue, stores: Stores) -> None:
    plan = planned(stores)
    stores.sources.put(f"jobs/{plan.job.id}/cancelled", b"", content_type="text/plain")
    assert follow(watch(plan, make_queue(), stores)) == "the job was cancelled"


def test_blocks_that_nobody_will_work_on_are_lost(make_queue: MakeQueue, stores: Stores) -> None:
    plan = planned(stores)
    settle(stores, plan, blocks_of(plan)[:5])
    settle(stores, plan, blocks_of(plan)[5:7], error="cannot read globe.tif")
    why = follow(watch(plan, make_queue(), stores))
    assert why == f"{BLOCKS - 7} blocks have no receipt although the queue is empty: run the same command again"


def test_receipts_of_tiles_that_were_removed_since_do_not_count(make_queue: MakeQueue, stores: Stores) -> None:
    queue, first = make_queue(), planned(stores)
    settle(stores, first, blocks_of(first)[:5])
    stores.tiles.delete([entry.key for entry in stores.tiles.list("globe/")])
    plan = planned(stores)
    assert send(plan, queue, stores, progress=silent) == BLOCKS
    taken(queue)
    settle(stores, plan, blocks_of(plan)[5:])
    assert follow(watch(plan, queue, stores)).startswith("5 blocks have no receipt")
    assert plan.tally.written == sum(block.side**2 for block in blocks_of(first)[5:])


def test_dead_letters_are_named_where_blocks_are_lost(make_queue: MakeQueue, stores: Stores) -> None:
    plan, queue = planned(stores), make_queue(receives=1)
    queue.send(list(plan.messages((8,)))[:3])
    for _ in range(2):
        for delivery in queue.receive(10, wait=0):
            queue.hide(delivery.handle, 0)
    assert ", 3 messages are in the dead-letter queue: run" in follow(watch(plan, queue, stores))


@pytest.fixture
def following(make_queue: MakeQueue, stores: Stores) -> Iterator[tuple[SqsQueue, Plan, list[str]]]:
    """A queue, and a job followed in a thread; its result goes into the list."""
    queue, plan, ends = make_queue(visibility=60), planned(stores), []
    thread = threading.Thread(target=lambda: ends.append(follow(watch(plan, queue, stores))))
    queue.send(list(plan.messages((8,)))[:1])
    thread.start()
    yield queue, plan, ends
    thread.join(timeout=HANG)
    assert not thread.is_alive()


def test_nothing_is_lost_while_a_message_waits_or_is_worked_on(
    following: tuple[SqsQueue, Plan, list[str]], stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, plan, ends = following
    asked, depth = Semaphore(0), SqsQueue.depth

    def counted(queue: SqsQueue) -> Depth:
        found = depth(queue)
        asked.release()
        return found

    def looked(times: int) -> None:
        """Wait until the queue was read a number of times, each after a quarter of QUIET."""
        assert all(asked.acquire(timeout=HANG) for _ in range(times))

    monkeypatch.setattr(SqsQueue, "depth", counted)
    looked(8)
    assert ends == [], "a message waits"
    (delivery,) = queue.receive(10, wait=0)
    looked(8)
    assert ends == [], "a message is in somebody's hands"
    settle(stores, plan, blocks_of(plan))
    queue.delete(delivery)


def test_nothing_is_lost_while_nobody_knows_how_deep_the_queue_is(
    following: tuple[SqsQueue, Plan, list[str]], stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, plan, ends = following
    asked = Semaphore(0)

    def fail(_: SqsQueue) -> Depth:
        asked.release()
        raise QueueError("the queue does not answer")

    monkeypatch.setattr(SqsQueue, "depth", fail)
    taken(queue)
    assert all(asked.acquire(timeout=HANG) for _ in range(8)), "each time a quarter of QUIET was over"
    assert ends == []
    settle(stores, plan, blocks_of(plan))


def test_the_queue_is_not_asked_while_receipts_come(
    make_queue: MakeQueue, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, queue, asked = planned(stores), make_queue(), list[SqsQueue]()
    monkeypatch.setattr(SqsQueue, "depth", asked.append)
    settling(stores, plan, monkeypatch)
    assert follow(watch(plan, queue, stores)) == ""
    assert asked == []


# --- Sent, worked off, followed


def test_a_job_goes_through_the_queue_to_its_end(make_queue: MakeQueue, alps_copy: Path) -> None:
    settings = Settings.from_env({}, data=str(alps_copy))
    stores, queue = Stores.open(settings), make_queue()
    plan = prepare(load_layer(stores.sources, "alps"), Selection((5, 6, 7)), TileVariant(), force=False, stores=stores)
    with working(queue, settings):
        assert send(plan, queue, stores, progress=silent) == plan.blocks
        assert follow(watch(plan, queue, stores)) == ""
    assert plan.tally.written == plan.tally.tiles == len(list((alps_copy / "tiles" / "alps").glob("*/*/*.png")))
    assert send(plan, queue, stores, progress=silent) == 0
