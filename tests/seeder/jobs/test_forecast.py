"""Forecasts of a bake: laws, and figures by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeder.jobs.forecast import START_SECONDS, Pixels, bake_cost, bake_seconds, tile_seconds
from seeder.jobs.prices import Cost, Prices
from tiler.ingest.planned_parts import BakeWork

RGB = Pixels("uint8", 3)
numbers = st.integers(0, 10**6)
works = st.builds(BakeWork, numbers, numbers, numbers, numbers)
pixels = st.builds(Pixels, st.sampled_from(["uint8", "uint16", "float32"]), st.integers(1, 4))


def whole(one: BakeWork, other: BakeWork) -> BakeWork:
    """The sum of two bakes."""
    return BakeWork(
        one.parts + other.parts,
        one.chunks + other.chunks,
        one.overviews + other.overviews,
        one.overview_chunks + other.overview_chunks,
    )


@given(works, works, pixels, st.integers(1, 64))
def test_more_work_takes_no_less_time_and_money(some: BakeWork, more: BakeWork, kind: Pixels, processes: int) -> None:
    both = whole(some, more)
    assert bake_cost(some, kind, Prices(), in_s3=True).total <= bake_cost(both, kind, Prices(), in_s3=True).total
    assert bake_seconds(some, kind, 1) <= bake_seconds(both, kind, 1)
    assert bake_seconds(both, kind, processes) <= bake_seconds(both, kind, 1)


def test_nothing_takes_nothing_and_a_folder_costs_nothing() -> None:
    assert bake_seconds(BakeWork(), RGB, 2) == 0
    assert bake_cost(BakeWork(), RGB, Prices(), in_s3=True) == Cost()
    assert bake_cost(BakeWork(9, 99, 9, 99), RGB, Prices(), in_s3=False) == Cost()


def test_a_full_part_by_hand() -> None:
    work = BakeWork(parts=1, chunks=64, overviews=1, overview_chunks=1)
    assert bake_seconds(work, RGB, 2) == pytest.approx(START_SECONDS + 64.5 * (0.12 + 3 * 0.06) / 2)
    size = 65 * 2048**2 * 3 * 1.33 / 2
    puts = 2 * 3 + -(-size // (8 << 20))
    assert bake_cost(work, RGB, Prices(), in_s3=True) == Cost(s3=puts * 5e-6, storage=pytest.approx(size / 1e9 * 0.023))


def test_finished_tiles_move_the_encoding_into_the_bake() -> None:
    work, finished = BakeWork(1, 64, 1, 1), Pixels("uint8", 3, "webp")
    assert bake_seconds(work, finished, 1) > bake_seconds(work, RGB, 1)
    common = {"scale": 1, "palette": False, "virtual": False}
    assert tile_seconds("webp", finished=True, **common) < tile_seconds("webp", finished=False, **common)


def test_kinds_of_tiles_differ() -> None:
    plain = tile_seconds("png", scale=1, palette=False, finished=False, virtual=False)
    assert tile_seconds("png", scale=2, palette=False, finished=False, virtual=False) == 4 * plain
    assert tile_seconds("png", scale=1, palette=True, finished=False, virtual=False) < plain
    assert tile_seconds("png", scale=1, palette=False, finished=False, virtual=True) > 5 * plain
