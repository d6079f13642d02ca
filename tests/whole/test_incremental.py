"""A layer updated scene by scene has the parts and tiles of one ingested at once from its last scenes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from seeder.cache.changes import rendered_alike
from seeder.operations.scenes import kept_scenes
from tests.support.clock import nothing_in_flight
from tests.support.effort import examples
from tests.support.plain import Puts
from tests.support.scene_sets import Sequence, World, described, sequences
from tiler.errors import BadSource
from tiler.grid import TILE
from tiler.image.encode import blank_tile
from tiler.raster.options import Options


@pytest.fixture(autouse=True, scope="module")
def no_fence() -> Iterator[None]:
    """No waits for the fence."""
    with pytest.MonkeyPatch.context() as patch:
        nothing_in_flight(patch)
        yield


def full(world: World, folder: Path) -> World:
    """A new data folder with a full ingest of a layer's scenes, with its options."""
    other, layer = World(folder / "full", world.scenes), world.layer
    listed = kept_scenes(layer, world.stores.sources)
    index = other.listed({scene.listed.path: scene.listed.date for scene in listed.scenes})
    other.ingest((index,), listed.overlap, layer.asked)
    return other


@settings(max_examples=examples(20), deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(sequence=sequences())
def test_after_any_changes_the_parts_and_tiles_are_those_of_a_full_ingest(sequence: Sequence) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = World(folder / "data", folder / "scenes")
        try:
            world.ingest(world.index(sequence.first), sequence.overlap, Options())
        except BadSource:
            reject()  # no pixel of the grid has its centre in it
        world.seed()
        for step in sequence.steps:
            before, old = world.tiles(), world.layer
            try:
                with Puts().counted() as puts:
                    assert world.step(step).passed
            except BadSource:
                reject()  # as above
            after, stored = world.fresh(), world.tiles()
            assert stored.items() <= after.items()
            assert stored.keys() >= before.keys() & after.keys()
            differ = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
            if rendered_alike(old, world.layer):
                assert set(puts.keys) <= after.keys()
                assert len(puts.keys) <= 1.1 * len(differ) + 2
            world.seed()
            assert world.tiles() == after
        other = full(world, folder)
        assert described(world.layer) == described(other.layer)
        assert world.parts() == other.parts()
        assert after == other.fresh()


BLANK = blank_tile(TILE, "png")


def filled(tiles: dict[str, bytes]) -> dict[str, bytes]:
    """Tiles with pixels: a stored tile that becomes empty is replaced by a blank one, so that none is stale."""
    return {key: data for key, data in tiles.items() if data != BLANK}


@settings(max_examples=examples(8), deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(sequence=sequences(most=1), kills=st.tuples(st.integers(0, 12), st.integers(0, 12)))
def test_after_updates_that_are_killed_repeated_and_reversed_the_tiles_are_those_of_the_last(
    sequence: Sequence, kills: tuple[int, int]
) -> None:
    one, other = sequence.first, sequence.steps[0].after(sequence.first)
    with tempfile.TemporaryDirectory() as name:
        world = World(Path(name) / "data", Path(name) / "scenes")
        try:
            world.ingest(world.index(one), sequence.overlap, Options())
            world.seed()
            with Puts(kills[0]).counted():
                world.whole(other)
            with Puts(kills[1]).counted():
                world.whole(one)
            world.whole(one)
            assert filled(world.tiles()).items() <= world.fresh().items()
            world.whole(other)
        except BadSource:
            reject()  # no pixel of the grid has its centre in it
        assert filled(world.tiles()).items() <= world.fresh().items()
        world.seed()
        assert filled(world.tiles()) == world.fresh()
