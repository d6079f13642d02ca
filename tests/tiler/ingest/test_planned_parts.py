"""The work of a bake, counted before it, against the tiers of a bake part by part."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tiler.ingest.planned_parts import BakeWork, work_of
from tiler.layers.pyramid import SERVED, SIDE, Place

BASES = (2, 5, 7, 10, 12)


@st.composite
def bakes(draw: st.DrawFn) -> tuple[int, dict[Place, int], set[Place]]:
    """A base zoom, the chunks of its parts, and some of these."""
    base = draw(st.sampled_from(BASES))
    side = max(1, (1 << base) // SIDE)
    axis = st.integers(0, side - 1)
    places = draw(st.sets(st.builds(Place, st.just(0), axis, axis), min_size=1, max_size=30))
    chunks = {place: draw(st.integers(1, 64)) for place in sorted(places)}
    return base, chunks, draw(st.sets(st.sampled_from(sorted(places)), max_size=5))


def tier_by_tier(base: int, chunks: dict[Place, int], places: set[Place]) -> BakeWork:
    """The same from each overview part's point of view: it is baked if a part within it or beside it is."""
    below, baked, overviews, overview_chunks = set(chunks), set(places), 0, 0
    longest = [max((chunks[place] for place in places), default=0)]
    for tier in range(1, base // SERVED + 1):
        zoom = base - SERVED * (tier - 1)
        around = max(1, (1 << zoom) // SIDE)
        longest.append(0)
        above, renewed = {Place(tier, place.column // 8, place.row // 8) for place in below}, set()
        for place in above:
            columns = {each % around for each in range(8 * place.column - 1, 8 * place.column + 9)}
            rows = range(8 * place.row - 1, 8 * place.row + 9)
            if any(child.column in columns and child.row in rows for child in baked):
                renewed.add(place)
                overviews += 1
                inside = sum((c.column // 8, c.row // 8) == (place.column, place.row) for c in below)
                overview_chunks += inside
                longest[-1] = max(longest[-1], inside)
        below, baked = above, renewed
    return BakeWork(len(places), sum(chunks[place] for place in places), overviews, overview_chunks, tuple(longest))


@given(bakes())
@settings(max_examples=150)
def test_overview_parts_are_those_that_read_a_baked_part(bake: tuple[int, dict[Place, int], set[Place]]) -> None:
    base, chunks, places = bake
    assert work_of(base, chunks, places) == tier_by_tier(base, chunks, places)
