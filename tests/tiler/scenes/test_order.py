"""Overlapping scenes lie on each other as the option says."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.scenes import made, many
from tiler.choices import OVERLAPS, Overlap
from tiler.grid import Bounds
from tiler.scenes.order import UNDATED, moment, ordered
from tiler.scenes.scene import Scene


@given(many(), st.sampled_from(OVERLAPS))
def test_every_scene_is_there_once(scenes: list[Scene], overlap: Overlap) -> None:
    assert sorted(each.address for each in ordered(scenes, overlap)) == sorted(each.address for each in scenes)


@given(many())
def test_the_last_or_the_first_listed_is_on_top(scenes: list[Scene]) -> None:
    assert ordered(scenes, "last") == tuple(scenes)
    assert ordered(scenes, "first") == tuple(reversed(scenes))


@given(many())
def test_no_scene_lies_on_a_newer_one_and_no_undated_one_on_a_dated(scenes: list[Scene]) -> None:
    for below, above in pairwise(ordered(scenes, "newest")):
        assert moment(below.listed.date) <= moment(above.listed.date)
        if moment(below.listed.date) == moment(above.listed.date):
            assert scenes.index(below) < scenes.index(above)


@given(many())
def test_no_scene_lies_on_one_that_is_much_finer(scenes: list[Scene]) -> None:
    for below, above in pairwise(ordered(scenes, "finest")):
        assert ground(above) <= ground(below) * 1.03


def ground(scene: Scene) -> float:
    """Metres on a sphere: sech of the Mercator ordinate is the cosine of the latitude."""
    south, north = scene.bounds.south, scene.bounds.north
    edge = next(each for each in sorted((0.0, south, north), key=abs) if south <= each <= north)
    return scene.resolution / math.cosh(math.asinh(math.tan(math.radians(edge))))


@given(many(), st.data())
def test_a_scene_added_to_the_list_does_not_reorder_the_others(scenes: list[Scene], data: st.DataObject) -> None:
    overlap = data.draw(st.sampled_from(OVERLAPS))
    without = [each for each in scenes if data.draw(st.booleans())]
    kept = {each.address for each in without}
    assert [each for each in ordered(scenes, overlap) if each.address in kept] == list(ordered(without, overlap))


def test_scenes_of_one_grid_are_equally_fine_at_every_latitude() -> None:
    """Their Mercator resolutions differ by the cosine of the latitude, so the list decides."""
    far = made("far.tif", resolution=20.0, bounds=Bounds(7, 60.0, 8, 61))
    near = made("near.tif", resolution=10.0001, bounds=Bounds(7, 0.0, 8, 1))
    assert ordered([near, far], "finest") == (near, far)
    assert ordered([far, near], "finest") == (far, near)


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2026-05-01", datetime(2026, 5, 1, tzinfo=UTC)),
        ("2026-05", datetime(2026, 5, 1, tzinfo=UTC)),
        ("2026", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-05-01T10:00:00Z", datetime(2026, 5, 1, 10, tzinfo=UTC)),
        ("2026-05-01T10:00:00+02:00", datetime(2026, 5, 1, 8, tzinfo=UTC)),
    ],
)
def test_a_date_is_read_in_utc(date: str, expected: datetime) -> None:
    assert moment(date) == expected.timestamp()


@pytest.mark.parametrize("date", ["", "yesterday", "0000-99-99"])
def test_no_date_is_below_all(date: str) -> None:
    assert moment(date) == UNDATED
