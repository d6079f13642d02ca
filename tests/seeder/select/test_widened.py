"""Tiles with their neighbours, compared with tile-by-tile sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import seeder.select.widened as module
from seeder.select.morton import code_of, interleaved, places
from seeder.select.tileset import TileSet
from seeder.select.widened import widened
from tests.support.effort import examples


@st.composite
def some_tiles(draw: st.DrawFn) -> TileSet:
    z = draw(st.integers(0, 5))
    codes = st.integers(0, 4**z - 1)
    runs = draw(st.lists(st.tuples(codes, codes), max_size=4))
    starts = np.array([min(run) for run in runs], np.int64)
    return TileSet.runs(z, starts, np.array([max(run) + 1 for run in runs], np.int64))


def near(tiles: TileSet, by: int) -> set[tuple[int, int]]:
    """The same, one tile after the other."""
    side = 1 << tiles.z
    around = range(-by, by + 1)
    own = zip(*(each.tolist() for each in places(tiles.codes)), strict=True)
    return {((x + dx) % side, y + dy) for x, y in own for dx in around for dy in around if 0 <= y + dy < side}


def listed(tiles: TileSet) -> set[tuple[int, int]]:
    return set(zip(*(each.tolist() for each in places(tiles.codes)), strict=True))


@settings(max_examples=examples(60))
@given(some_tiles(), st.integers(0, 3))
def test_all_neighbours_are_added_and_nothing_else(tiles: TileSet, by: int) -> None:
    assert listed(widened(tiles, by)) == near(tiles, by)


@settings(max_examples=examples(30))
@given(some_tiles(), st.integers(0, 3))
def test_of_too_many_neighbours_more_are_added_and_none_is_lost(tiles: TileSet, by: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST", 30)
        assert listed(widened(tiles, by)) >= near(tiles, by)


@given(st.integers(0, 2**28 - 1), st.integers(0, 2**28 - 1))
def test_the_code_of_one_tile_is_that_of_many(x: int, y: int) -> None:
    assert [code_of(x, y)] == interleaved(np.array([x]), np.array([y])).tolist()
