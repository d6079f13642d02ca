"""Forecasts of a bake: laws, and figures by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeder.defaults import BAKE_PROCESSES
from seeder.jobs.forecast import (
    START_SECONDS,
    BakeForecast,
    Bakers,
    PartKind,
    Pixels,
    bake_forecast,
    chunk_seconds,
    cpu_seconds,
    tile_seconds,
)
from seeder.jobs.prices import BAKE_PUTS, Cost, Prices, bake_second
from tiler import timing
from tiler.ingest.planned_parts import BakeWork, TierWork, work_of
from tiler.layers.pyramid import Place

RGB = Pixels("uint8", 3)
HERE, PRICES = Bakers(1), Prices()
pixels = st.builds(Pixels, st.sampled_from(["uint8", "uint16", "float32"]), st.integers(1, 4))
numbers = st.integers(1, 1000)


def square(side: int, *, chunks: int = 64, share: float = 1.0) -> BakeWork:
    """The bake of a square of parts at zoom 16, each filled to a share."""
    places = {Place(0, column, row): chunks for column in range(side) for row in range(side)}
    return work_of(16, places, dict.fromkeys(places, share * chunks), places)


def full(*tiers: tuple[int, int]) -> BakeWork:
    """The bake of so many parts and whole chunks by tier, all in the longest part."""
    return BakeWork(tuple(TierWork(parts, chunks, chunks, chunks, chunks) for parts, chunks in tiers))


shares = st.sampled_from([0.001, 0.3, 1.0])
works = st.builds(
    lambda side, chunks, share: square(side, chunks=chunks, share=share), st.integers(1, 12), st.integers(1, 64), shares
)
bakers = st.builds(Bakers, numbers, st.booleans())


def forecast(work: BakeWork, kind: Pixels = RGB, by: Bakers = HERE, prices: Prices = PRICES) -> BakeForecast:
    """The forecast of a bake into S3."""
    return bake_forecast(work, kind, by, prices, in_s3=True)


@given(st.integers(1, 10), st.integers(1, 64), pixels, bakers)
def test_more_parts_take_no_less_time_money_and_room(side: int, chunks: int, kind: Pixels, by: Bakers) -> None:
    few, many = (forecast(square(each, chunks=chunks), kind, by) for each in (side, side + 1))
    assert few.seconds <= many.seconds
    assert few.cost.total < many.cost.total
    assert few.bytes < many.bytes
    assert few.part_seconds <= many.part_seconds


@given(works, pixels, bakers, numbers)
def test_more_hands_are_never_slower_and_cost_the_same(work: BakeWork, kind: Pixels, by: Bakers, more: int) -> None:
    others = forecast(work, kind, Bakers(by.number + more, by.queued))
    assert others.seconds <= forecast(work, kind, by).seconds * (1 + 1e-9)
    assert others.cost == forecast(work, kind, by).cost


@given(works, pixels, numbers)
def test_workers_are_bounded_by_their_work_and_by_the_parts_above_one_another(
    work: BakeWork, kind: Pixels, number: int
) -> None:
    found = forecast(work, kind, Bakers(number, queued=True))
    cpu = cpu_seconds(work, kind)
    assert found.seconds * number * BAKE_PROCESSES >= cpu
    assert found.seconds >= found.part_seconds
    dearest = bake_second(PRICES)
    assert found.cost.compute >= cpu / BAKE_PROCESSES * dearest
    assert found.cost.storage == forecast(work, kind).cost.storage


def test_a_single_worker_takes_the_sum_and_a_thousand_take_the_longest_path() -> None:
    work = square(6)
    steady = Prices(lambda_first=1000)
    one, many = (forecast(work, RGB, Bakers(number, queued=True), steady) for number in (1, 1000))
    assert one.seconds > 30 * one.part_seconds
    assert one.part_seconds < many.seconds < 2.5 * one.part_seconds


def test_nothing_takes_nothing_and_a_folder_costs_nothing() -> None:
    for by in (HERE, Bakers(9, queued=True)):
        assert forecast(BakeWork(), RGB, by) == BakeForecast()
    assert bake_forecast(square(3), RGB, HERE, PRICES, in_s3=False).cost == Cost()
    assert bake_forecast(square(3), RGB, Bakers(9, queued=True), PRICES, in_s3=False).cost.s3 == 0


def test_a_full_part_by_hand() -> None:
    found = forecast(full((1, 64), (1, 1)), RGB, Bakers(2))
    assert found.seconds == pytest.approx(START_SECONDS + 64.5 * chunk_seconds(RGB) / 2)
    assert found.bytes == 65 * 2048**2 * 3 * 1.33 / 2
    puts = 2 * 3 + -(-found.bytes // (8 << 20))
    assert found.cost == Cost(s3=pytest.approx(puts * 5e-6), storage=pytest.approx(found.bytes / 1e9 * 0.023))
    assert found.part_seconds == 0


def test_a_full_part_of_any_kind_fits_into_the_function_and_into_its_puts() -> None:
    work = full((1, 64))
    for kind in (RGB, Pixels("uint16", 3), Pixels("float32", 1), Pixels("uint8", 3, "webp")):
        found = forecast(work, kind, Bakers(1, queued=True))
        assert found.part_seconds < 900 - timing.BAKE_MARGIN_SECONDS
    assert forecast(work, RGB).bytes / (8 << 20) < BAKE_PUTS


@given(st.integers(1, 6), st.integers(1, 64), pixels)
def test_one_worker_takes_each_part_after_the_other_and_counts_none_twice(side: int, chunks: int, kind: Pixels) -> None:
    work = square(side, chunks=chunks)
    found = forecast(work, kind, Bakers(1, queued=True), Prices(bake_wait=0))
    one = PartKind(kind, BAKE_PROCESSES, Prices(bake_wait=0))
    means = [one.mean_seconds(each, overview=tier > 0) for tier, each in enumerate(work.tiers)]
    assert found.seconds == pytest.approx(sum(mean * each.parts for mean, each in zip(means, work.tiers, strict=True)))


@given(st.integers(1, 6), st.integers(1, 64), pixels)
def test_chunks_that_are_hardly_filled_take_less_and_have_no_bytes(side: int, chunks: int, kind: Pixels) -> None:
    thin, whole = square(side, chunks=chunks, share=1e-6), square(side, chunks=chunks)
    assert forecast(thin, kind).bytes == pytest.approx(forecast(whole, kind).bytes * 1e-6)
    assert cpu_seconds(thin, kind) < cpu_seconds(whole, kind)
    for by in (HERE, Bakers(9, queued=True)):
        assert forecast(thin, kind, by).seconds < forecast(whole, kind, by).seconds


def test_overviews_of_small_parts_take_as_much_as_their_pixels() -> None:
    work = square(1, chunks=1)  # one chunk of 64: the part above it has 1/64 of a chunk
    assert [round(tier.filled * 64**number, 9) for number, tier in enumerate(work.tiers)] == [1] * 6
    assert cpu_seconds(work, RGB) < 1.5 * chunk_seconds(RGB)


def test_less_memory_is_slower_and_slow_requests_are_dearer() -> None:
    work, by = square(3), Bakers(4, queued=True)
    usual = forecast(work, RGB, by)
    assert forecast(work, RGB, by, Prices(bake_gb=0.8)).seconds > 1.5 * usual.seconds
    assert forecast(work, RGB, by, Prices(bake_wait=0.1)).cost.compute > usual.cost.compute
    assert forecast(work, RGB, by, Prices(lambda_speed=2)).seconds < usual.seconds


def test_jpeg_2000_takes_longer_to_bake_and_not_to_halve() -> None:
    slow = RGB._replace(jp2=True)
    assert chunk_seconds(slow) > chunk_seconds(RGB)
    assert chunk_seconds(slow, overview=True) == chunk_seconds(RGB, overview=True)
    for by in (HERE, Bakers(8, queued=True)):
        assert forecast(square(2), slow, by).seconds > forecast(square(2), RGB, by).seconds


def test_finished_tiles_move_the_encoding_into_the_bake() -> None:
    finished = Pixels("uint8", 3, "webp")
    assert forecast(square(1), finished).seconds > forecast(square(1)).seconds
    common = {"scale": 1, "palette": False, "virtual": False}
    assert tile_seconds("webp", finished=True, **common) < tile_seconds("webp", finished=False, **common)


def test_kinds_of_tiles_differ() -> None:
    plain = tile_seconds("png", scale=1, palette=False, finished=False, virtual=False)
    assert tile_seconds("png", scale=2, palette=False, finished=False, virtual=False) == 4 * plain
    assert tile_seconds("png", scale=1, palette=True, finished=False, virtual=False) < plain
    assert tile_seconds("png", scale=1, palette=False, finished=False, virtual=True) > 5 * plain
