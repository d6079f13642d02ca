"""A layer updated scene by scene has the parts and tiles of one ingested at once from its last scenes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, settings

from tests.support.clock import nothing_in_flight
from tests.support.effort import examples
from tests.support.scene_sets import Sequence, World, described, sequences, small_parts
from tiler.errors import BadSource
from tiler.raster.options import Options


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    """Small parts, and no waits for the fence."""
    with small_parts(), pytest.MonkeyPatch.context() as patch:
        nothing_in_flight(patch)
        yield


def full(world: World, folder: Path) -> World:
    """A new data folder with a full ingest of a layer's scenes, with its options."""
    from seeder.operations.scenes import kept_scenes

    other, layer = World(folder / "full", world.scenes), world.layer
    listed = kept_scenes(layer, world.stores.sources)
    other.ingest(tuple(scene.listed.path for scene in listed.scenes), listed.overlap, layer.asked)
    return other


@settings(
    max_examples=examples(20), deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
@given(sequence=sequences())
def test_after_any_changes_the_parts_and_tiles_are_those_of_a_full_ingest(sequence: Sequence) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = World(folder / "data", folder / "scenes")
        world.ingest(world.write(sequence.first), sequence.overlap, Options())
        world.seed()
        for step in sequence.steps:
            before = world.tiles()
            world.step(step)
            after = world.fresh()
        other = full(world, folder)
        assert described(world.layer) == described(other.layer)
        assert world.parts() == other.parts()
        assert world.fresh() == other.fresh()
