"""The state of a stored tile, from its time of last write and the tiles that differ between revisions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mercantile import Tile

from seeder.cache.changes import Changes
from seeder.cache.stale import Earlier, History
from tiler.keys import Scale, TileName
from tiler.layers.history import Publication

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TILES = [Tile(x=x, y=0, z=3) for x in range(4)]


@dataclass(frozen=True)
class Differing:
    """Changes in some tiles."""

    tiles: frozenset[Tile]
    known: bool = True

    def has(self, tile: Tile, scale: Scale) -> bool:
        """Whether a tile differs, of scale 1 only."""
        return scale == 1 and tile in self.tiles


@dataclass(frozen=True)
class Known:
    """The changes from other revisions."""

    by_revision: dict[str, Differing]

    def changes(self, revision: str) -> Changes:
        """Those from one revision."""
        return cast(Changes, self.by_revision[revision])


def history(publications: str, **differing: Any) -> History:
    """A revision each ten minutes before noon, the last at noon, with the tiles that differ from the last one."""
    first = NOON - 10 * (len(publications) - 1) * MINUTE
    known = tuple(Publication(name, first + 10 * number * MINUTE) for number, name in enumerate(publications))
    known = (replace(known[0], at=None), *known[1:])
    earlier = Known({name: Differing(frozenset(tiles)) for name, tiles in differing.items()})
    return History(known, MINUTE, timedelta(0), earlier=cast(Earlier, earlier))


def state(given_history: History, tile: Tile, minutes: float, scale: Scale = 1) -> str:
    """The state of a tile written some minutes after noon."""
    return given_history.state(TileName("layer", tile, scale, "png"), NOON + minutes * MINUTE)


ONE, TWO = TILES[:2]


@pytest.mark.parametrize(
    ("tile", "minutes", "expected"),
    [
        (ONE, -5, "stale"),
        (TWO, -5, "current"),
        (ONE, 0.5, "unsure"),  # within the fence
        (TWO, 0.5, "current"),
        (ONE, 5, "current"),
    ],
)
def test_a_tile_is_stale_if_its_revision_differs_there(tile: Tile, minutes: float, expected: str) -> None:
    assert state(history("ab", a=[ONE]), tile, minutes) == expected


def test_a_tile_of_an_interrupted_revision_is_stale_after_the_reversal() -> None:
    reversed_history = history("aba", b=[TWO])
    assert state(reversed_history, TWO, -15) == "current"
    assert state(reversed_history, TWO, -9.5) == "unsure"
    assert state(reversed_history, TWO, -5) == "stale"
    assert state(reversed_history, TWO, 0.5) == "unsure"


def test_a_tile_of_two_possible_revisions_is_unsure_if_one_of_them_differs_there() -> None:
    three = history("abc", a=[ONE], b=[])
    assert state(three, ONE, -15) == "stale"
    assert state(three, ONE, -9.5) == "unsure"
    assert state(three, ONE, -5) == "current"


def test_scales_differ_apart() -> None:
    assert state(history("ab", a=[ONE]), ONE, -5, 2) == "current"


@given(st.text("abc", min_size=2, max_size=5), st.sampled_from(TILES), st.floats(-60, 60))
def test_without_known_changes_only_the_time_decides(publications: str, tile: Tile, minutes: float) -> None:
    unknown = replace(history(publications), earlier=None)
    possible = unknown.revisions(NOON + minutes * MINUTE)
    current = unknown.current in possible
    assert state(unknown, tile, minutes) == ("stale" if not current else "unsure" if len(possible) > 1 else "current")
    everything = history(publications, **dict.fromkeys("abc", TILES))
    assert state(everything, tile, minutes) == state(unknown, tile, minutes)


@given(st.text("abc", min_size=2, max_size=5), st.sampled_from(TILES), st.floats(-60, 60))
def test_no_tile_is_stale_where_no_revision_differs(publications: str, tile: Tile, minutes: float) -> None:
    assert state(history(publications, a=[], b=[], c=[]), tile, minutes) == "current"
