"""The model of docs/scale.md keeps the laws of what it models, and the page shows what it says."""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.effort import examples
from tests.support.paths import ROOT

sys.path.insert(0, str(ROOT / "bench"))

import pages
import scale
import scale_bake
from bucket import grid
from scale_block import LEFT, SHARES, profile, profile_of, refused
from scale_events import played
from scale_fluid import Run, simulate
from scale_world import FOREVER, TILES, Bucket, Job, Machine, Queue, Worker, World, job

from seeder.jobs.messages import SIZES
from seeder.jobs.prices import GETS, LISTS, LOGGED, Prices
from seeder.select.selection import Selection, regions
from tiler.settings import S3
from tiler.storage.store import open_store

BOUNDLESS = Bucket(puts=FOREVER, reads=FOREVER)
PAGE = (ROOT / "docs" / "scale.md").read_text()


def leaves(number: int) -> Job:
    """A job of so many blocks of 8 x 8, none to be split."""
    return Job(number * TILES, (18,), (number,), {SIZES[0]: number})


buckets = st.builds(
    Bucket,
    puts=st.sampled_from([500.0, 3500.0, FOREVER]),
    partitions=st.integers(1, 20),
    split=st.sampled_from([60.0, 1800.0, FOREVER]),
)
queues = st.builds(Queue, concurrency=st.integers(2, 1000), shuffled=st.booleans(), boxes=st.sampled_from([1, 16]))
worlds = st.builds(World, bucket=buckets, queue=queues)
jobs = st.sampled_from([1_000, 50_000, 1_000_000]).map(job)
few = settings(max_examples=examples(6))


@given(worlds, jobs)
@few
def test_every_block_ends_done_or_dead_and_every_receive_is_accounted_for(world: World, made: Job) -> None:
    run = simulate(world, made)
    assert run.done + run.dead == pytest.approx(made.leaves, abs=1)
    assert min(run.done, run.dead, run.again, run.seconds) >= 0
    assert run.received == pytest.approx(made.leaves + run.again, abs=1)
    assert run.again <= made.leaves * (world.queue.receives - 1) + 1
    assert run.splits == pytest.approx(sum(made.splits.values()))
    assert run.done * TILES * (1 - 1e-6) - TILES <= run.puts <= made.leaves * TILES * (1 + 1e-6), "none is put twice"
    assert run.attempts >= run.puts * (1 - 1e-9)


@given(worlds, jobs)
@few
def test_no_step_has_more_workers_than_the_ramp_or_puts_than_the_partitions_take(world: World, made: Job) -> None:
    trace = simulate(world, made).trace
    known = zip(trace.at, trace.length, trace.workers, trace.puts, trace.partitions, strict=True)
    for at, length, workers, puts, partitions in known:
        last = at + max(1.0, length)
        assert workers <= min(world.queue.concurrency, 5 + 300 / 60 * last) + 1e-6
        assert puts <= partitions * world.bucket.puts * (1 + 1e-6)
    assert np.all(np.diff(trace.at) >= 0)
    assert np.all(np.diff(trace.partitions) >= 0)


@given(st.integers(2, 500), st.integers(1, 500), jobs)
@few
def test_more_workers_are_never_slower_where_nothing_limits(workers: int, more: int, made: Job) -> None:
    few, many = (simulate(World(bucket=BOUNDLESS, queue=Queue(number)), made) for number in (workers, workers + more))
    assert many.seconds <= few.seconds * 1.001 + 1
    assert many.throttled == few.throttled == many.again == 0


@pytest.fixture(scope="module")
def pressed() -> tuple[scale.Case, scale.Case]:
    """A job at a partition that never splits, with 16 workers and with 1000."""
    world = World(bucket=Bucket(split=FOREVER))
    return scale.case(world, 1_000_000, 16), scale.case(world, 1_000_000, 1000)


def test_far_more_workers_are_dearer_and_hardly_faster_where_s3_limits(pressed: tuple[scale.Case, scale.Case]) -> None:
    some, many = pressed
    assert many.run.seconds > 0.7 * some.run.seconds
    assert many.once > 1.5 * some.once
    assert many.cost.compute > 20 * some.cost.compute


def test_blocks_that_come_again_cost_their_lists_and_no_second_put(pressed: tuple[scale.Case, scale.Case]) -> None:
    some, many = pressed
    assert many.run.again > 100
    assert many.run.dead == pytest.approx(some.run.again, abs=1) == pytest.approx(0, abs=1)
    assert many.run.puts == pytest.approx(some.run.puts, rel=1e-4)
    prices = Prices()
    dollars = LISTS * prices.s3_million_puts + GETS * prices.s3_million_gets
    assert many.cost.s3 - some.cost.s3 == pytest.approx(many.run.again * dollars / 1e6, rel=0.01)


def test_without_a_limit_time_is_work_over_workers() -> None:
    worker, number, workers = Worker(), 20_000, 40
    run = simulate(World(worker, BOUNDLESS, Queue(workers, first=workers)), leaves(number))
    assert run.seconds == pytest.approx(worker.cold + number * profile(worker).seconds[0] / workers, rel=0.01)


def test_a_partition_that_never_splits_bounds_the_time_from_below(pressed: tuple[scale.Case, scale.Case]) -> None:
    for one in pressed:
        assert one.run.partitions == 1
        assert one.run.seconds >= one.job.tiles * one.run.done / one.job.leaves / 3500


def test_partitions_split_only_when_throttled() -> None:
    made = job(20_000_000)
    calm, hot = (simulate(World(bucket=Bucket(split=60.0), queue=Queue(workers)), made) for workers in (8, 64))
    assert (calm.partitions, calm.throttled) == (1, 0)
    assert hot.partitions > 1
    assert hot.seconds < made.tiles / 3500


@pytest.mark.parametrize("tiles", [1, 60, 70_000])
def test_a_job_has_the_blocks_and_messages_that_the_planner_sends(tiles: int) -> None:
    made = job(tiles)
    sizes: Counter[int] = Counter()
    side = max(1, int((tiles * 3 / 4) ** 0.5))
    for z in reversed(made.zooms):
        (region,) = regions(grid("layer", z, side), Selection((z,)))
        assert region.total().blocks == made.blocks[made.zooms.index(z)]
        sizes.update(
            block_mask.block.size if block_mask.block.size in SIZES else SIZES[0]
            for block_mask in region.block_masks(SIZES)
        )
        side = -(-side // 2)
    assert {size: number for size, number in made.messages.items() if number} == sizes
    assert made.leaves == sizes[8] + 64 * made.splits[64]


@pytest.mark.parametrize("patience", [0.5, 8.0, 40.0])
def test_a_refused_request_is_tried_again_as_the_product_does_it(patience: float) -> None:
    worker = Worker(patience=patience)
    said = open_store("s3://tiles", s3=S3("http://127.0.0.1:9", patience=patience)).backend.retry_config
    assert worker.longest == pytest.approx(said["backoff"]["max_backoff"].total_seconds())
    assert patience - worker.longest == pytest.approx(said["retry_timeout"].total_seconds())
    assert (worker.backoff, worker.retries) == (said["backoff"]["init_backoff"].total_seconds(), said["max_retries"])
    tries = refused(worker)
    number = np.arange(len(tries.ends))[:, None, None]
    pauses = np.diff(tries.ends, axis=0)
    assert np.all(pauses >= worker.backoff)
    answers = tries.ends[0].max() * 3  # a generous bound of one answer's time
    assert np.all(pauses <= worker.longest + answers)
    ended = np.where(number < tries.allowed, tries.ends, 0).max(axis=0)
    assert np.all(ended > patience - worker.longest)
    assert np.all(ended <= patience + 2 * answers)


@given(st.floats(0, 0.99), st.floats(0, 1), st.sampled_from([1, 16]))
def test_keys_lie_within_their_zooms(first: float, part: float, boxes: int) -> None:
    made = job(1_000_000)
    keys = made.keys(first, first + (1 - first) * part, 100, boxes)
    assert np.all((keys >= 0) & (keys < len(made.zooms)))


def test_work_in_the_order_of_the_plan_lies_in_few_columns_and_boxes_spread_it() -> None:
    made = job(1_000_000_000)
    whole, window, boxes = (made.keys(*args) for args in ((0.9, 1, 512), (0.9, 0.905, 512), (0.9, 0.905, 512, 16)))
    assert np.ptp(window) < np.ptp(whole) / 4
    assert np.ptp(boxes) > np.ptp(whole) / 2


@pytest.mark.parametrize("worker", [Worker(), Worker(tile=0.01, latency=0.005, threads=1), Worker(retries=3)])
def test_a_block_takes_longer_and_fails_more_the_more_is_refused(worker: Worker) -> None:
    known = profile(worker)
    assert known.attempts[0] == known.puts[0] == known.tiles[0] == TILES
    assert known.failed[0] == 0
    assert np.all(np.diff(known.failed) >= 0)
    assert np.all(np.diff(known.puts) <= 0)
    assert np.all(known.puts <= known.attempts)
    whole = known.failed == 0
    assert np.all(np.diff(known.seconds[whole]) >= 0)
    kept = known.attempts * (1 - SHARES)  # what is not refused
    assert known.puts == pytest.approx(kept, rel=0.1, abs=0.5)


def test_what_is_left_of_a_block_that_comes_again_takes_no_more_than_is_left() -> None:
    worker = Worker()
    whole = profile(worker)
    for left in LEFT:
        again, fresh = (profile(worker, left, again=each) for each in (True, False))
        assert again.puts[0] == again.tiles[0] == left
        assert np.all(again.puts <= left)
        assert np.all(again.failed <= whole.failed + 0.01)
        looked = again.seconds - fresh.seconds
        assert looked == pytest.approx(looked[0])
        assert worker.looking * worker.mean_latency < looked[0] < 2 * worker.looking * worker.mean_latency
        assert again.others - fresh.others == pytest.approx(worker.looking - 1 + LISTS)
    between = profile_of(worker, 12, again=True)
    assert between.puts[0] == pytest.approx(12)
    assert np.all(between.failed <= profile(worker, 16, again=True).failed)


@pytest.mark.parametrize("workers", [1, 4])
def test_a_block_never_beats_its_cpu_nor_its_latency(workers: int) -> None:
    worker = Worker(spread=0.0, threads=workers, between=0.0)
    waves = TILES / workers
    least = max(worker.cpu, waves * worker.latency) + worker.serial * worker.latency
    assert least <= profile(worker).seconds[0] <= least + worker.cpu + worker.latency


NEAR = {  # limit, workers: how near flow and events are in time
    (FOREVER, 4): 0.01,
    (FOREVER, 16): 0.02,
    (1000, 16): 0.03,
    (1000, 48): 0.05,
}


@pytest.mark.parametrize(("limit", "workers"), NEAR)
def test_the_flow_agrees_with_every_put_played_out(limit: float, workers: int) -> None:
    number, near = 8 * workers + 200, NEAR[limit, workers]
    world = World(bucket=Bucket(puts=limit, split=FOREVER), queue=Queue(workers, delay=1, longest=60))
    fluid, exact = simulate(world, leaves(number)), played(world, number)
    last = world.worker.batch * profile(world.worker).seconds[0]  # of a worker, when others have nothing left
    assert abs(fluid.seconds - exact.seconds) <= near * exact.seconds + last
    assert fluid.puts == pytest.approx(exact.puts, rel=0.05)
    assert fluid.throttled == pytest.approx(exact.throttled, abs=0.1)
    assert (exact.done, exact.dead) == (number, 0)
    assert fluid.again == pytest.approx(exact.again, abs=1)


@pytest.mark.parametrize("workers", [1, 2, 4, 8])
def test_the_flow_agrees_with_the_events_on_a_machine_of_two_cores(workers: int) -> None:
    worker = Worker(spread=0.0, cold=0.0, between=0.0, batch=1)
    world = World(worker, BOUNDLESS, Queue(workers, first=workers), Machine(2, 0.0003))
    fluid, exact = simulate(world, leaves(100)), played(world, 100)
    assert fluid.seconds == pytest.approx(exact.seconds, rel=0.15)
    assert exact.seconds >= 100 * worker.cpu / 2


def test_too_many_workers_kill_messages_in_both() -> None:
    world = World(Worker(patience=4.0), Bucket(puts=20, split=FOREVER), Queue(40, delay=1, longest=4))
    fluid, exact = simulate(world, leaves(50)), played(world, 50)
    assert exact.done + exact.dead == 50
    assert min(fluid.dead, exact.dead) > 10


def test_the_flow_agrees_with_the_events_where_most_blocks_come_again() -> None:
    world = World(Worker(patience=2.5), Bucket(puts=100, split=FOREVER), Queue(8, delay=1, longest=4))
    fluid, exact = simulate(world, leaves(60)), played(world, 60)
    assert exact.again > 15
    assert fluid.again == pytest.approx(exact.again, rel=0.4)
    assert (exact.done, exact.dead, exact.puts) == (60, 0, 60 * TILES)
    assert fluid.seconds == pytest.approx(exact.seconds, rel=0.15)


def test_what_a_quiet_job_costs_is_arithmetic() -> None:
    prices, one = Prices(), scale.case(World(bucket=BOUNDLESS), 1_000_000, 16)
    blocks, splits = one.job.leaves, sum(one.job.splits.values())
    calls = blocks + splits
    assert one.run.throttled == 0
    paid = one.cost
    assert one.run.splits == splits
    s3 = (blocks * TILES + blocks) * prices.s3_million_puts + calls * GETS * prices.s3_million_gets
    assert paid.s3 == pytest.approx(s3 / 1e6)
    assert paid.sqs == pytest.approx((calls / 10 + 2 * calls / 5) * prices.sqs_million_requests / 1e6)
    assert paid.logs == pytest.approx(calls * LOGGED / 1e9 * prices.logs_gb)
    requests = calls / 5 * prices.lambda_million_requests / 1e6
    gigabytes = one.run.busy * 1769 / 1024
    assert paid.compute == pytest.approx(gigabytes * prices.lambda_gb_second + requests)
    assert paid.storage == pytest.approx(one.job.tiles * 25_000 / 1e9 * prices.s3_gb_month)
    assert one.once == pytest.approx(paid.total - paid.storage)


def test_the_model_is_the_same_each_time() -> None:
    world = World(queue=Queue(64))
    assert simulate(world, job(50_000)) == simulate(world, job(50_000))
    assert isinstance(simulate(world, job(50_000)), Run)


def test_the_page_shows_what_the_command_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "TRIED", (16, 20, 24, 32))  # around the knee; all of them take a second
    monkeypatch.setattr(scale, "CONCURRENCY", (16, 32, 1000))
    lines = PAGE.splitlines()
    assert all(line in lines for line in scale.of_job("1 M"))
    one = scale.knee(scale.WORLD, scale.JOBS["1 M"])
    assert (
        f"| 1 M | **{one.world.queue.concurrency}** | {scale.span(one.run.seconds)} | {scale.dollars(one.once)} |"
        in PAGE
    )


def test_the_page_has_a_place_for_every_table_and_keeps_what_stands_around() -> None:
    for place in ("advice", "jobs", "sensitivity", "validation"):
        page = pages.written(PAGE, place, "a table")
        assert f"<!-- {place}: written by bench/scale.py -->\na table\n<!-- end of {place} -->" in page
        assert page.partition("<!--")[0] == PAGE.partition("<!--")[0]
    with pytest.raises(SystemExit):
        pages.written(PAGE, "nowhere", "")


def test_the_page_shows_the_forecast_of_bakes() -> None:
    lines = PAGE.splitlines()
    for place, text in scale_bake.modelled().items():
        assert all(line in lines for line in text.splitlines()), f"{place}: run `python bench/scale_bake.py --docs`"


@pytest.mark.parametrize("size", [1e9, 1e12])
def test_advised_workers_keep_within_the_reads_of_s3_and_of_lambda(size: float) -> None:
    one = scale_bake.knee(size)
    assert one.gets <= Bucket().reads
    assert one.forecast.seconds >= one.tail
    assert one.forecast.part_seconds < scale_bake.LONGEST
    crowd = scale_bake.case(size, 1000)
    assert crowd.once == pytest.approx(one.once), "a part costs what it takes"
    assert crowd.forecast.seconds > one.tail
