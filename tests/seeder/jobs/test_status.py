"""A job's state follows from its ledger; counts are exact for every way of listing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeder.aws.queue import Depth
from seeder.jobs import status
from seeder.jobs.ledger import CANCELLED, Run, Stop, put_job, put_plan, put_receipt, put_run, stop
from seeder.jobs.messages import Job, Receipt, Spec
from seeder.jobs.runner import Runner
from seeder.jobs.status import FINAL, Progress, ZoomProgress, progress
from seeder.select.blocks import Count
from seeder.select.selection import Selection
from tests.support.layer_strategies import GLOBE
from tests.support.site import Spy
from tiler.grid import Block
from tiler.keys import index_key
from tiler.layers.catalog import dump
from tiler.layers.fill import Outcome
from tiler.layers.layer_cache import Layers
from tiler.layers.render import TileVariant
from tiler.storage.store import Store, open_store
from tiler.timing import STUCK_BUSY_SECONDS, STUCK_SECONDS

SPEC = Spec("globe", GLOBE.revision, Selection((3, 4, 5)), TileVariant())
PLAN = {3: Count(64, 1), 4: Count(256, 4), 5: Count(1000, 16)}
BLOCKS = [Block(3, 0, 0)] + [Block(z, x, y) for z in (4, 5) for x in range(0, 2**z, 8) for y in range(0, 2**z, 8)]
TILES = 1320
GOOD, BAD = Outcome(written=1), Outcome(failed=1, error="cannot read")
URL = "https://sqs.test/1/blocks"
SECOND = timedelta(seconds=1)

states = st.lists(st.sampled_from(["left", "done", "failed", "redone"]), min_size=len(BLOCKS), max_size=len(BLOCKS))


def memory() -> Store:
    """A store in memory with the layer."""
    store = open_store(f"memory://{uuid4().hex}")
    store.put(index_key("globe"), dump(GLOBE), content_type="application/json")
    return store


def unasked(_: str) -> Depth | None:
    """The depth of a queue that must not be read."""
    pytest.fail("the queue was asked")


def settle(store: Store, job: Job, done: list[Block], failed: list[Block]) -> None:
    for block in failed:
        put_receipt(store, job.id, Receipt(block, BAD))
    for block in done:
        put_receipt(store, job.id, Receipt(block, GOOD))


def look(store: Store, job: Job, now: datetime, depth_of: Callable[[str], Depth | None] = unasked) -> Progress:
    return progress(job, store, Layers(store), depth_of, now)


@dataclass(frozen=True)
class Case:
    """A situation and the expected state and reason. Times are in seconds; receipts are written now."""

    state: str
    why: str
    done: int = 0  # blocks, the first ones
    failed: int = 0  # blocks, the last ones
    run: Run | None = None
    begun: float = 10.0  # seconds ago: job and run
    later: float = 0.0  # time of the check, in seconds after the last receipt
    stop: Stop | None = None
    plan: dict[int, Count] = field(default_factory=lambda: PLAN)
    depth: Depth | None = None
    revision: str = GLOBE.revision  # of the layer now

    def seen(self) -> Progress:
        """The progress of the job."""
        store, start = memory(), datetime.now(UTC)
        if self.revision:
            moved = replace(GLOBE, revision=self.revision)
            store.put(index_key("globe"), dump(moved), content_type="application/json")
        else:
            store.delete([index_key("globe")])
        ago = start - self.begun * SECOND
        job = Job.new(SPEC, ago)
        put_job(store, job)
        if self.plan:
            put_plan(store, job.id, self.plan)
        if self.run:
            put_run(store, job.id, replace(self.run, begun=ago))
        settle(store, job, BLOCKS[: self.done], BLOCKS[len(BLOCKS) - self.failed :])
        if self.stop:
            stop(store, job.id, self.stop)
        heard = [entry.modified for kind in ("done", "failed") for entry in store.list(f"jobs/{job.id}/{kind}/")]
        now = max([start, *heard]) + self.later * SECOND
        return look(store, job, now, lambda url: self.depth if url == URL else unasked(url))


HERE = Run("", datetime.now(UTC), 0.01)
SENDING = replace(HERE, queue=URL)
SENT = replace(SENDING, sent=True)
ME = Runner.here()
DEAD_HERE, DEAD_THERE = replace(ME, started="1"), replace(ME, host="elsewhere", started="1")
FULL, EMPTY, DEAD = Depth(3, 0, 0), Depth(0, 0, 0), Depth(0, 0, 1200)
ASKED, BROKEN = Stop(CANCELLED), Stop("20 of 30 blocks failed", asked=False)
GONE = "its process ended: run `seeder resume JOB`"
CASES = {
    "just begun": Case("planning", "", plan={}),
    "planned and not begun": Case("planning", ""),
    "planned and killed": Case("stalled", "no receipt for 0:02:01", begun=STUCK_SECONDS + 1),
    "killed while planning": Case("stalled", "no receipt for 0:02:01", plan={}, begun=STUCK_SECONDS + 1),
    "being sent": Case("planning", "", run=SENDING, depth=FULL),
    "being sent, and worked off": Case("planning", "", done=3, run=SENDING, depth=FULL, begun=9000),
    "running here": Case("running", "", run=HERE),
    "running here, some done": Case("running", "", done=3, run=HERE, later=STUCK_SECONDS - 5, begun=9000),
    "running here, some failed": Case("running", "", done=3, failed=2, run=HERE),
    "running in a queue": Case("running", "", done=3, run=SENT, depth=FULL),
    "running in a queue, quiet": Case("running", "", done=3, run=SENT, depth=FULL, later=STUCK_BUSY_SECONDS - 5),
    "running in a queue, all in work": Case(
        "running", "", done=3, run=SENT, depth=Depth(0, 2, 0), later=STUCK_BUSY_SECONDS - 5
    ),
    "running in a queue that nobody can ask": Case("running", "", done=3, run=SENT, later=STUCK_BUSY_SECONDS - 5),
    "the queue is empty, just so": Case("running", "", done=3, run=SENT, depth=EMPTY, later=STUCK_SECONDS - 5),
    "all done": Case("done", "", done=21, run=replace(HERE, ended=True)),
    "all done, long ago": Case("done", "", done=21, run=SENT, later=1e6),
    "all done, and cancelled": Case("done", "", done=21, stop=ASKED),
    "all done, and out of date": Case("done", "", done=21, revision="0000"),
    "all done at the second try": Case("done", "", done=21, failed=5),
    "the rest failed": Case("failed", "2 blocks failed", done=19, failed=2, run=replace(HERE, ended=True)),
    "all failed": Case("failed", "21 blocks failed", failed=21, run=SENT),
    "stopped for failures": Case("failed", "20 of 30 blocks failed", done=3, failed=2, stop=BROKEN, run=SENT),
    "cancelled": Case("cancelled", CANCELLED, done=3, stop=ASKED, run=SENT),
    "cancelled before it began": Case("cancelled", CANCELLED, plan={}, stop=ASKED),
    "cancelled, and the rest failed": Case("cancelled", CANCELLED, done=19, failed=2, stop=ASKED),
    "superseded": Case("superseded", "the layer is now at revision 0000", done=3, revision="0000", run=SENT),
    "superseded by nothing": Case("superseded", "the layer was removed", revision=""),
    "superseded and cancelled": Case("superseded", "the layer is now at revision 0000", revision="0000", stop=ASKED),
    "ended before its end": Case(
        "stalled", "the run ended before all blocks were done", done=3, run=replace(HERE, ended=True)
    ),
    "interrupted": Case("stalled", "interrupted", done=3, run=replace(HERE, ended=True, why="interrupted")),
    "killed here": Case("stalled", "no receipt for 0:02:05", done=3, run=HERE, later=STUCK_SECONDS + 5),
    "killed before the first receipt": Case("stalled", "no receipt for 0:02:05", run=HERE, begun=STUCK_SECONDS + 5),
    "silent for days": Case("stalled", "no receipt for 2 days, 0:00:00", done=3, run=HERE, later=2 * 86400),
    "begun by a clock a year ahead": Case(
        "stalled", "no receipt for 0:02:05", run=HERE, begun=-31_536_000, later=STUCK_SECONDS + 5, done=3
    ),
    "begun by a clock a little ahead": Case("running", "", run=HERE, begun=-5),
    "running here, by one that lives": Case("running", "", done=3, run=replace(HERE, by=ME)),
    "killed here, a moment ago": Case("stalled", f"{GONE} to continue", done=3, run=replace(HERE, by=DEAD_HERE)),
    "killed elsewhere, a moment ago": Case("running", "", done=3, run=replace(HERE, by=DEAD_THERE)),
    "killed elsewhere": Case(
        "stalled", "no receipt for 0:02:05", done=3, run=replace(HERE, by=DEAD_THERE), later=STUCK_SECONDS + 5
    ),
    "ended with a reason, by one that is gone": Case(
        "stalled", "no space", done=3, run=replace(HERE, ended=True, why="no space", by=DEAD_HERE)
    ),
    "all done by one that is gone": Case("done", "", done=21, run=replace(HERE, by=DEAD_HERE)),
    "killed while sending, a moment ago": Case("stalled", f"{GONE} to continue", run=replace(SENDING, by=DEAD_HERE)),
    "in a queue, the sender gone": Case("running", "", done=3, run=replace(SENT, by=DEAD_HERE), depth=FULL),
    "killed while sending": Case(
        "stalled",
        "no receipt for 0:02:05, and only some messages were sent",
        run=SENDING,
        begun=STUCK_SECONDS + 5,
        depth=FULL,
    ),
    "messages lost": Case(
        "stalled",
        "no receipt for 0:02:05, and the queue is empty",
        done=3,
        run=SENT,
        depth=EMPTY,
        later=STUCK_SECONDS + 5,
    ),
    "dead letters": Case(
        "stalled",
        "no receipt for 0:02:05, and the queue is empty; 1,200 messages are dead letters",
        done=3,
        run=SENT,
        depth=DEAD,
        later=STUCK_SECONDS + 5,
    ),
    "nobody works": Case(
        "stalled", "no receipt for 0:20:05", done=3, run=SENT, depth=FULL, later=STUCK_BUSY_SECONDS + 5
    ),
    "nobody can ask for long": Case(
        "stalled", "no receipt for 0:20:05", done=3, run=SENT, later=STUCK_BUSY_SECONDS + 5
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_state_follows_from_the_situation(case: Case) -> None:
    seen = case.seen()
    assert (seen.state, seen.why.replace(seen.job, "JOB")) == (case.state, case.why)


def test_every_state_has_a_case() -> None:
    assert {case.state for case in CASES.values()} == {*FINAL, "planning", "running"}


@pytest.mark.parametrize("state", ["done", "failed", "cancelled", "superseded"])
def test_the_queue_is_not_asked_where_the_state_is_plain(state: str) -> None:
    for case in CASES.values():
        if case.state == state and case.run and case.run.queue:
            assert replace(case, run=replace(case.run, queue="https://sqs.test/other")).seen().depth is None


def written(store: Store, job: Job, kind: str, blocks: list[Block], when: datetime) -> None:
    """Set the time at which receipts in a folder were written."""
    assert store.root
    for block in blocks:
        os.utime(store.root / "jobs" / job.id / kind / str(block), (when.timestamp(), when.timestamp()))


@given(states)
def test_counts_are_exact_and_only_the_whole_is_a_hundred_percent(given: list[str]) -> None:
    store, now = memory(), datetime.now(UTC)
    job = Job.new(SPEC, now)
    put_job(store, job)
    put_plan(store, job.id, PLAN)
    became = dict(zip(BLOCKS, given, strict=True))
    settle(
        store,
        job,
        [block for block in BLOCKS if became[block] in ("done", "redone")],
        [block for block in BLOCKS if became[block] in ("failed", "redone")],
    )
    seen = look(store, job, now + SECOND)
    for z, count in PLAN.items():
        of_zoom = [became[block] for block in BLOCKS if block.z == z]
        done, failed = of_zoom.count("done") + of_zoom.count("redone"), of_zoom.count("failed")
        assert seen.zooms[z] == ZoomProgress(count.tiles, count.blocks, done, failed)
    assert seen.tiles == TILES
    left = given.count("left") + given.count("failed")
    assert (seen.percent == 100) == (seen.state == "done") == (left == 0)
    assert 0 <= seen.done <= seen.tiles
    assert (seen.state == "failed") == (left == given.count("failed") > 0)
    assert round(seen.percent, 1) < 100 or left == 0


def test_one_block_of_a_million_is_not_rounded_away() -> None:
    zooms = {3: ZoomProgress(64_000_000, 1_000_000, 999_999)}
    seen = replace(CASES["running here"].seen(), zooms=zooms)
    assert seen.percent == 99.9
    assert replace(seen, zooms={3: replace(zooms[3], done=1_000_000)}).percent == 100


def test_a_job_that_is_not_planned_is_at_nought_percent() -> None:
    seen = CASES["just begun"].seen()
    assert (seen.zooms, seen.tiles, seen.percent, seen.rate, seen.left) == ({}, 0, 0, 0, None)


@dataclass(frozen=True)
class Timed:
    """A job in a folder with receipts at given times. `start` is its start."""

    store: Store
    job: Job
    start: datetime

    def at(self, seconds: float, *blocks: Block, kind: str = "done") -> None:
        """Write receipts of `blocks` a number of seconds after the start."""
        settle(self.store, self.job, *((list(blocks), []) if kind == "done" else ([], list(blocks))))
        written(self.store, self.job, kind, list(blocks), self.start + seconds * SECOND)

    def run(self, seconds: float, *, ended: bool = False) -> None:
        """Start a run a number of seconds after the start."""
        put_run(self.store, self.job.id, replace(HERE, begun=self.start + seconds * SECOND, ended=ended))

    def seen(self, seconds: float) -> Progress:
        """The progress a number of seconds after the start."""
        return look(self.store, self.job, self.start + seconds * SECOND)


@pytest.fixture
def timed(tmp_path: Path) -> Timed:
    """A job started at noon, the beginning of a time step of receipts."""
    store = open_store(tmp_path.as_uri(), create=True)
    store.put(index_key("globe"), dump(GLOBE), content_type="application/json")
    start = datetime(2025, 3, 1, 12, tzinfo=UTC)
    job = Job.new(SPEC, start)
    put_job(store, job)
    put_plan(store, job.id, PLAN)
    return Timed(store, job, start)


def test_rate_and_time_left_are_those_of_the_last_minute(timed: Timed) -> None:
    """Zooms 3 and 4 have 64 tiles per block, zoom 5 has 62.5."""
    timed.run(0)
    timed.at(20, *BLOCKS[:5])  # 320 tiles, more than a minute before the last one
    timed.at(71, *BLOCKS[5:7])
    timed.at(101, *BLOCKS[7:13])  # together with those, 500 tiles in 60 seconds
    seen = timed.seen(102)
    assert seen.state == "running"
    assert seen.done == 820
    assert seen.rate == pytest.approx(500 / 60)
    assert seen.left == pytest.approx(500 / (500 / 60))
    assert seen.last == timed.start + 101 * SECOND
    assert seen.begun == timed.start


def test_failed_tiles_are_not_waited_for(timed: Timed) -> None:
    timed.run(0)
    timed.at(50, *BLOCKS[:5])
    timed.at(40, *BLOCKS[17:], kind="failed")
    seen = timed.seen(55)
    assert seen.rate == pytest.approx(320 / 50)
    assert seen.left == pytest.approx((TILES - 320 - 250) / (320 / 50))


def test_a_job_of_which_block_after_block_fails_is_not_stalled(timed: Timed) -> None:
    """A failed receipt also counts as progress."""
    timed.run(0)
    timed.at(10, *BLOCKS[:5])
    timed.at(900, *BLOCKS[17:], kind="failed")
    seen = timed.seen(902)
    assert (seen.state, seen.why) == ("running", "")


def test_the_rate_of_a_job_that_ended_is_that_of_its_last_run(timed: Timed) -> None:
    timed.at(30, *BLOCKS[:5])
    timed.run(1000, ended=True)
    timed.at(1010, *BLOCKS[5:13])
    timed.at(1200, *BLOCKS[13:])
    seen = timed.seen(9000)
    assert seen.state == "done"
    assert seen.rate == pytest.approx(1000 / 200)
    assert seen.left is None


def test_a_rate_over_no_time_at_all_is_none_that_frightens(timed: Timed) -> None:
    timed.run(10)
    timed.at(10, *BLOCKS[:1])
    assert timed.seen(11).rate <= 64 / 2


def test_times_are_said_in_the_json(timed: Timed) -> None:
    timed.run(0)
    timed.at(32, *BLOCKS[:5])
    said = timed.seen(33).to_json()
    assert said == {
        "job": timed.job.id,
        "layer": "globe",
        "revision": GLOBE.revision,
        "state": "running",
        "why": "",
        "tiles": TILES,
        "done": 320,
        "failed": 0,
        "percent": 24.2,
        "rate": 10.0,
        "left": 100,
        "begun": "2025-03-01T12:00:00+00:00",
        "last": "2025-03-01T12:00:32+00:00",
        "queue": "",
        "depth": None,
        "by_zoom": {
            "3": {"tiles": 64, "blocks": 1, "done": 1, "failed": 0},
            "4": {"tiles": 256, "blocks": 4, "done": 4, "failed": 0},
            "5": {"tiles": 1000, "blocks": 16, "done": 0, "failed": 0},
        },
    }


def test_the_depth_of_the_queue_is_told_where_it_was_asked() -> None:
    seen = CASES["dead letters"].seen()
    assert (seen.queue, seen.depth) == (URL, DEAD)
    assert seen.to_json()["depth"] == {"waiting": 0, "hidden": 0, "dead": 1200}


def test_every_store_tells_the_same(store: Store) -> None:
    store.put(index_key("globe"), dump(GLOBE), content_type="application/json")
    now = datetime.now(UTC)
    job = Job.new(SPEC, now)
    put_job(store, job)
    put_plan(store, job.id, PLAN)
    settle(store, job, BLOCKS[:7], BLOCKS[5:9])
    put_receipt(store, Job.new(SPEC, now - SECOND).id, Receipt(BLOCKS[9], GOOD))
    seen = look(store, job, now + SECOND)
    assert seen.state == "planning"
    assert {z: (zoom.done, zoom.failed) for z, zoom in seen.zooms.items()} == {3: (1, 0), 4: (4, 0), 5: (2, 2)}


LARGE = {1: Count(4, 1), 9: Count(64, 64), 10: Count(16384, 1 << 14), 12: Count(1 << 18, 1 << 18), 13: Count(128, 2)}


def test_a_listing_in_parts_tells_the_same_as_one_in_a_piece(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(f"{s3_url}/some/prefix")
    store.put(index_key("globe"), dump(GLOBE), content_type="application/json")
    now = datetime.now(UTC)
    job = Job.new(SPEC, now)
    put_job(store, job)
    put_plan(store, job.id, LARGE)
    columns = {9: range(0, 512, 120), 10: range(0, 1024, 104), 12: range(0, 4096, 136), 13: (0, 8184)}
    blocks = [Block(1, 0, 0)] + [Block(z, x, 8 * (x % 3)) for z, each in columns.items() for x in each]
    settle(store, job, blocks[::2], blocks[::3])
    spy = Spy(store)
    whole = look(cast(Store, spy), job, now + SECOND)
    assert spy.count("list") == 2 * (1 + 10 + 10 + 2), "zooms of many blocks were not listed in ten parts each"
    monkeypatch.setattr(status, "_cuts", lambda *_: iter(()))
    assert look(store, job, now + SECOND) == whole
    done = {z: sum(block.z == z for block in blocks[::2]) for z in LARGE}
    failed = {z: sum(block.z == z for block in set(blocks[::3]) - set(blocks[::2])) for z in LARGE}
    assert {z: (zoom.done, zoom.failed) for z, zoom in whole.zooms.items()} == {z: (done[z], failed[z]) for z in LARGE}


@given(st.dictionaries(st.integers(0, 28), st.integers(0, 5000).map(lambda blocks: Count(blocks, blocks)), min_size=1))
def test_no_block_is_named_as_a_place_where_a_listing_is_cut(plan: dict[int, Count]) -> None:
    """The object at a cut would be in neither part."""
    cuts = list(status._cuts(plan, 0))
    assert len(set(cuts)) == len(cuts)
    assert not {cut.count("-") for cut in cuts} - {1}
