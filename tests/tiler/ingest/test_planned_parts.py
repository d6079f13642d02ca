"""The work of a bake, counted before it, against the tiers of a bake part by part."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bake_scenes import scenes_in
from tests.support.layers import local_stores
from tiler.ingest.examine import examined
from tiler.ingest.planned_parts import PART_CHUNKS, BakeWork, TierWork, planned_parts, work_of
from tiler.layers.pyramid import SERVED, SIDE, Place
from tiler.raster.options import Options

BASES = (2, 5, 7, 10, 12)


@st.composite
def bakes(draw: st.DrawFn) -> tuple[int, dict[Place, int], dict[Place, float], set[Place]]:
    """A base zoom, the chunks of its parts, their filled ones, and some of these parts."""
    base = draw(st.sampled_from(BASES))
    side = max(1, (1 << base) // SIDE)
    axis = st.integers(0, side - 1)
    places = draw(st.sets(st.builds(Place, st.just(0), axis, axis), min_size=1, max_size=30))
    chunks = {place: draw(st.integers(1, 64)) for place in sorted(places)}
    filled = {place: draw(st.integers(0, 4)) / 4 * number for place, number in chunks.items()}
    return base, chunks, filled, draw(st.sets(st.sampled_from(sorted(places)), max_size=5))


def tier_by_tier(base: int, chunks: dict[Place, int], filled: dict[Place, float], places: set[Place]) -> BakeWork:
    """The same from each overview part's point of view: it is baked if a part within it or beside it is."""
    below, baked = dict(filled), set(places)
    tiers = [tier_of([(chunks[place], filled[place]) for place in places])]
    for tier in range(1, base // SERVED + 1):
        zoom = base - SERVED * (tier - 1)
        around = max(1, (1 << zoom) // SIDE)
        above, renewed, numbers = {Place(tier, place.column // 8, place.row // 8): 0.0 for place in below}, set(), []
        for place in list(above):
            columns = {each % around for each in range(8 * place.column - 1, 8 * place.column + 9)}
            rows = range(8 * place.row - 1, 8 * place.row + 9)
            inside = [full for c, full in below.items() if (c.column // 8, c.row // 8) == (place.column, place.row)]
            above[place] = sum(inside) / PART_CHUNKS
            if any(child.column in columns and child.row in rows for child in baked):
                renewed.add(place)
                numbers.append((len(inside), above[place]))
        tiers.append(tier_of(numbers))
        below, baked = above, renewed
    return BakeWork(tuple(tiers))


def tier_of(parts: list[tuple[int, float]]) -> TierWork:
    """The work of a tier of parts with so many chunks, and filled ones."""
    chunks, filled = [each for each, _ in parts], [each for _, each in parts]
    full = pytest.approx(sum(filled)), pytest.approx(max(filled, default=0))
    return TierWork(len(parts), sum(chunks), max(chunks, default=0), *full)


@given(bakes())
@settings(max_examples=150)
def test_overview_parts_are_those_that_read_a_baked_part(
    bake: tuple[int, dict[Place, int], dict[Place, float], set[Place]],
) -> None:
    base, chunks, filled, places = bake
    assert work_of(base, chunks, filled, places) == tier_by_tier(base, chunks, filled, places)


def filled_chunks(folder: Path, places: list[tuple[int, int, int]]) -> tuple[float, int]:
    """The filled chunks of the base of scenes, and their pixels."""
    raster = examined(scenes_in(folder, places), Options())
    planned = planned_parts("layer", local_stores(folder / "data").sources, raster)
    scale = 1 << 2 * (raster.survey.base - 11)  # the scenes have pixels of zoom 11
    assert all(filled <= len(planned.chunks[place]) for place, filled in planned.filled.items())
    return sum(planned.filled.values()), scale * sum(size**2 for _, _, size in places)


@pytest.mark.parametrize(
    "places",
    [
        [(100, 100, 300)],
        [(16380, -16400, 40), (-5000, 20000, 300)],  # across a corner of four parts
        [(262144 - 20, 100, 40)],  # across the antimeridian
    ],
    ids=["one", "corner", "antimeridian"],
)
def test_as_many_chunks_are_filled_as_scenes_have_pixels(tmp_path: Path, places: list[tuple[int, int, int]]) -> None:
    filled, pixels = filled_chunks(tmp_path, places)
    assert filled == pytest.approx(pixels / 2048**2, rel=1e-6)


def test_scenes_that_overlap_fill_a_chunk_once(tmp_path: Path) -> None:
    filled, _ = filled_chunks(tmp_path, [(0, 0, 2048), (0, 0, 2048)])
    assert filled == pytest.approx(1)
