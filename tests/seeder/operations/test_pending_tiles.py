"""An update renders the stored tiles whose pixels changed, whatever was interrupted, repeated or reversed before."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from seeder.operations.refresh import plan_refresh, plan_rollback, rollback
from tests.support.clock import nothing_in_flight
from tests.support.data_folder import ONE
from tests.support.oracle import files_under
from tests.support.parts import as_one_cog, only_part
from tests.support.plain import Plain, Puts, ground, raster, taken
from tests.support.reports import Recorded
from tiler.errors import BadOption
from tiler.grid import TILE
from tiler.keys import digests_key, index_key, revision_key
from tiler.layers.catalog import Layer, dump
from tiler.layers.cog_layout import CogLayout
from tiler.layers.digests import decode

Begin = Callable[[str], Plain]


@pytest.fixture(scope="module")
def rasters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small rasters: `a`, `b` and `c` with changes, `cut` without its east, `hole` with a hole."""
    folder = tmp_path_factory.mktemp("small")
    plain = ground(9)
    raster(folder, "a", plain)
    for name, row, column, value in (("b", 1100, 1300, 3), ("c", 700, 300, 9), ("hole", 1024, 512, 0)):
        values = plain.copy()
        values[:, row : row + 256, column : column + 300] = value
        raster(folder, name, values)
    raster(folder, "cut", plain[:, :, : 6 * TILE])
    return folder


@pytest.fixture(scope="module")
def truth(rasters: Path) -> dict[str, Plain]:
    """Each raster ingested and seeded alone."""
    return {path.stem: taken(rasters, path.stem) for path in rasters.glob("*.tif")}


def of_an_earlier_version(world: Plain) -> Layer:
    """The layer of a world, baked as one COG without digests, as by an earlier version."""
    layer = as_one_cog(world.layer, only_part(world.layer, world.stores))
    for key in (index_key("plain"), revision_key("plain", layer.revision)):
        world.stores.sources.put(key, dump(layer), content_type="application/json")
    return layer


@pytest.fixture
def begin(truth: dict[str, Plain], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Begin:
    """Copies the world of a raster; the fence has passed, so nothing waits."""
    nothing_in_flight(monkeypatch)
    return lambda name: Plain(Path(shutil.copytree(truth[name].data, tmp_path / "data")), truth[name].rasters)


def test_a_then_b_killed_midway_then_a_again_and_b_again(begin: Begin, truth: dict[str, Plain]) -> None:
    world = begin("a")
    differ = {key for key, data in truth["b"].tiles().items() if truth["a"].tiles()[key] != data}
    assert 8 < len(differ) < 40
    assert len(world.refresh("b", most=5)) == 5
    assert 0 < world.problems() < len(differ)
    again = world.refresh("a")
    assert 5 <= len(again) <= 5 + 2
    assert world.tiles() == truth["a"].tiles()
    assert world.problems() == world.problems(deep=True, sample=None) == 0
    put = world.refresh("b")
    assert differ <= set(put)
    assert len(put) <= 1.1 * len(differ) + 3
    assert world.tiles() == truth["b"].tiles()
    assert world.problems() == 0


@pytest.mark.parametrize("seed", range(4))
def test_after_any_updates_kills_and_rollbacks_the_tiles_are_those_of_the_last_raster(
    seed: int, begin: Begin, truth: dict[str, Plain]
) -> None:
    rng, world, name = np.random.default_rng(seed), begin("a"), "a"
    for _ in range(4):
        name = str(rng.choice(["a", "b", "c", "cut", "hole"]))
        world.refresh(name, most=int(rng.integers(0, 25)))
    with Puts(int(rng.integers(0, 9))).counted(), suppress(BadOption):  # the first revision has no previous one
        rollback("plain", world.context(), ONE)
    name = str(rng.choice(["a", "b", "c", "cut"]))
    world.refresh(name)
    world.seed()  # where ground was lost and has come back, less than half may be stored
    assert world.tiles() == truth[name].tiles()
    assert world.problems() == world.problems(deep=True, sample=None) == 0


def test_new_ground_is_rendered_where_half_of_a_zoom_is_stored(begin: Begin, truth: dict[str, Plain]) -> None:
    world = begin("cut")
    before = world.times()
    put = world.refresh("a")
    assert world.tiles() == truth["a"].tiles()
    assert set(put) >= truth["a"].tiles().keys() - before.keys()
    assert {key for key, time in world.times().items() if before.get(key) == time} == before.keys() - set(put)
    assert len(before.keys() - set(put)) > 40
    world.refresh("cut")
    assert world.tiles() == truth["cut"].tiles()


def test_where_less_is_stored_only_stored_tiles_are_rendered(begin: Begin, truth: dict[str, Plain]) -> None:
    world = begin("a")
    few = [key for number, key in enumerate(sorted(world.tiles())) if number % 3]
    world.stores.tiles.delete(few)
    kept = set(world.tiles())
    assert set(world.refresh("b")) <= kept
    assert world.tiles() == {key: truth["b"].tiles()[key] for key in kept}


def test_tiles_without_data_now_are_removed(begin: Begin, truth: dict[str, Plain]) -> None:
    world = begin("a")
    world.refresh("hole")
    assert world.tiles() == truth["hole"].tiles()
    assert len(truth["hole"].tiles()) < len(truth["a"].tiles())
    world.refresh("a")
    assert world.tiles() == truth["a"].tiles()


def test_a_layer_of_an_earlier_version_is_digested_first(begin: Begin, truth: dict[str, Plain]) -> None:
    world, report = begin("a"), Recorded()
    layer = of_an_earlier_version(world)
    key = digests_key("plain", layer.revision)
    assert not world.stores.sources.has(key)
    assert isinstance(layer.bake, CogLayout)
    put = world.refresh("b", report=report)
    assert len(put) < len(world.tiles()) / 3
    digests = decode(world.stores.sources.get(key), layer.bake, layer.gdal)
    assert digests
    assert np.count_nonzero(digests[0]) == 9 * 9
    assert world.tiles() == truth["b"].tiles()


def test_without_the_earlier_cog_all_stored_tiles_are_rendered(begin: Begin, truth: dict[str, Plain]) -> None:
    world, report = begin("a"), Recorded()
    layer = of_an_earlier_version(world)
    number = len(world.tiles())
    world.stores.sources.delete([layer.source])
    assert len(world.refresh("b", report=report)) == number
    assert world.tiles() == truth["b"].tiles()
    assert not any("differ" in note for note in report.notes)


def test_a_plan_for_a_known_revision_counts_what_differs(begin: Begin) -> None:
    world = begin("a")
    put = world.refresh("b")
    files = files_under(world.data)
    for plan in (plan_rollback("plain", world.context()), plan_refresh("plain", world.context(), world.source("a"))):
        assert plan.stored_tiles.differing == plan.stored_tiles.rendered == len(put)
        assert plan.to_json()["differ"] == len(put)
    plan = plan_refresh("plain", world.context(), world.source("c"))
    assert (plan.stored_tiles.differing, plan.at_most) == (plan.stored_tiles.tiles, True)
    assert plan_refresh("plain", world.context(), world.source("b")).to_json()["differ"] == 0
    assert files_under(world.data) == files
