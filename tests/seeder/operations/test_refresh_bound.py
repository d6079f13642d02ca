"""The plan of a refresh of scenes is a bound of what it then renders, bakes and removes."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from seeder.cache import next_layer
from seeder.operations.next_source import NextSource
from seeder.operations.refresh import plan_refresh, refresh
from seeder.operations.scenes import SceneChanges, Sources
from tests.support.clock import nothing_in_flight
from tests.support.data_folder import ONE
from tests.support.effort import examples
from tests.support.islands import Islands
from tests.support.scene_sets import NAME, Sequence, World, sequences
from tiler.errors import BadSource
from tiler.layers import footprint
from tiler.layers.pyramid import SIDE
from tiler.raster.options import Options

SHARES = (0, 1, 2, 3)  # quarters of the tiles that are stored no more


@given(sequences(most=2), st.sampled_from(SHARES), st.randoms(use_true_random=False))
@settings(max_examples=examples(8), deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
def test_a_refresh_renders_at_most_and_removes_at_least_what_its_plan_says(
    sequence: Sequence, quarters: int, chance: random.Random
) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        nothing_in_flight(patch)
        world = World(Path(folder) / "data", Path(folder) / "scenes")
        try:
            world.ingest(world.index(sequence.first), sequence.overlap, Options())
        except BadSource:
            reject()  # no pixel of the grid has its centre in it
        world.seed()
        lost = [key for key in sorted(world.tiles()) if chance.random() * 4 < quarters]
        world.stores.tiles.delete(lost)
        for step in sequence.steps:
            adding, replacing = world.index(step.add), world.index(step.replace)
            changes = SceneChanges(adding, replacing, tuple(f"{each}.tif" for each in step.drop))
            source = NextSource(Sources(()), {}, scene_changes=changes)
            stored = len(world.tiles())
            plan = plan_refresh(NAME, world.context(), source, ONE)
            try:
                result = refresh(NAME, world.context(), ONE, source)
            except BadSource:
                reject()  # as above
            done = sum(run.tally.written + run.tally.empty for run in result.runs)
            assert plan.estimate
            assert done <= plan.stored_tiles.rendered == plan.estimate.update.tiles
            assert result.removed
            assert plan.removed <= result.removed.purged.removed
            assert plan.estimate.update.tiles <= plan.estimate.everything.tiles <= stored + plan.estimate.update.tiles
            if not plan.at_most:
                assert plan.removed == result.removed.purged.removed


def test_a_verified_layer_stays_complete_when_far_ground_makes_its_footprint_coarser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_in_flight(monkeypatch)
    monkeypatch.setenv("TILER_DATA", str(tmp_path / "data"))
    islands = Islands(tmp_path / "scenes")
    islands.folder.mkdir()
    for number, column in enumerate((0, 1, 2 + 1 / SIDE)):  # the last not on whole tiles of zoom 11
        islands.scene(f"s{number}", column)
    islands.run("ingest", str(islands.folder), "--layer", "isles", "--rescale", "0,255")
    islands.run("seed", "isles", "--zooms", "0-12")
    islands.run("verify", "isles")
    for module in (footprint, next_layer):
        monkeypatch.setattr(module, "CELLS", 1500)
    new = str(islands.scene("far", 20))
    plan = islands.facts("refresh", "isles", "--add", new, "--dry-run")[-1]
    done = islands.facts("refresh", "isles", "--add", new)
    (run,) = (each for each in done if "job" in each)
    assert 0 < run["empty"] < run["tiles"] <= plan["rendered"]
    assert "no problems" in islands.run("verify", "isles").output


def test_new_zooms_are_told_with_their_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_in_flight(monkeypatch)
    monkeypatch.setenv("TILER_DATA", str(tmp_path / "data"))
    islands = Islands(tmp_path / "scenes")
    islands.folder.mkdir()
    for number in range(3):
        islands.scene(f"s{number}", number)
    islands.run("ingest", str(islands.folder), "--layer", "isles", "--rescale", "0,255")
    islands.run("seed", "isles", "--zooms", "0-12")
    told = islands.run("refresh", "isles", "--drop", "s0.tif", "--max-zoom", "13").output
    assert "next: seed isles --zooms 13" in told
    missing = islands.run("verify", "isles", code=1).output
    assert "missing" in missing
