"""Refresh, rollback and reseed, called directly: results, plans, progress, errors."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from mercantile import Tile

from seeder.cache.stored import StoredFilter
from seeder.operations.estimate_refresh import RefreshEstimate
from seeder.operations.invalidate import plan_reseed, reseed
from seeder.operations.refresh import (
    NextSource,
    PlannedBake,
    RevisionChange,
    plan_refresh,
    plan_rollback,
    refresh,
    rollback,
)
from seeder.operations.renew import NewTiles, RenewPlan, RenewResult
from seeder.operations.report import Report
from seeder.operations.run import RunResult
from seeder.operations.scenes import Sources
from seeder.operations.update import RemovedTiles, UpdateContext
from seeder.select.selection import Selection, regions
from tests.support.clock import nothing_in_flight
from tests.support.damaged import damage
from tests.support.data_folder import ONE, DataFolder
from tests.support.layers import silent
from tests.support.oracle import files_under
from tests.support.rasters import Recipe, scene, write_raster
from tests.support.reports import Recorded
from tiler.errors import BadOption, BadSource, TilerError, UnknownLayer
from tiler.ingest.ingest import Ingested, ingest
from tiler.layers.catalog import Layer
from tiler.raster.options import Options

WEST, EAST, WIDE = (5.0, 45.0, 8.0, 48.0), (6.5, 45.0, 9.5, 48.0), (4.0, 44.0, 12.0, 49.0)
NOTHING = NextSource(Sources(("no.tif",)), {})


@dataclass(frozen=True)
class Land(DataFolder):
    """The layer `land` in a folder, zooms 4 to 7, all stored; its raster, and another one."""

    rasters: Path

    def source(self, name: str = "east") -> NextSource:
        """Another raster."""
        return NextSource(Sources((self.path(name),)), {})

    def path(self, name: str) -> str:
        """The path of a raster."""
        return str(self.rasters / f"{name}.tif")

    def ingest(self, name: str) -> None:
        """Publish a raster; stored tiles stay."""
        ingest(self.path(name), "land", self.layer.asked, self.stores, jobs=1, progress=silent)

    def prepare(self, operation: str) -> None:
        """Add the revision that an operation needs: for a rollback with its tiles."""
        if operation != "refresh":
            self.ingest("east")
        if operation == "rollback":
            assert refresh("land", self.context(Report()), ONE).passed


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Land:
    """The layer, to be copied."""
    folder = tmp_path_factory.mktemp("land")
    for name, seed, bounds in (("west", 3, WEST), ("east", 4, EAST), ("wide", 5, WIDE)):
        write_raster(folder / f"{name}.tif", Recipe(values=scene(80, 80, seed=seed), bounds=bounds))
    land = Land(folder / "data", folder)
    asked = Options(min_zoom=4, max_zoom=7)
    ingest(land.path("west"), "land", asked, land.stores, jobs=1, progress=silent)
    land.seed()
    return land


@pytest.fixture
def land(seeded: Land, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Land:
    """A copy of `seeded`; the fence has passed, so nothing waits."""
    nothing_in_flight(monkeypatch)
    return Land(Path(shutil.copytree(seeded.data, tmp_path / "data")), seeded.rasters)


def planned(layer: Layer, z: int) -> set[Tile]:
    """The tiles of a zoom."""
    return {
        tile
        for region in regions(layer, Selection((z,)))
        for each in region.block_masks()
        for tile in each.block.tiles(each.tiles)
    }


def reseeded(land: Land, context: UpdateContext) -> RenewResult:
    return reseed(StoredFilter(land.layer), context, ONE)


def refreshed(land: Land, context: UpdateContext) -> RenewResult:
    return refresh("land", context, ONE, land.source())


def rolled_back(_: Land, context: UpdateContext) -> RenewResult:
    return rollback("land", context, ONE)


OPERATIONS: dict[str, Callable[[Land, UpdateContext], RenewResult]] = {
    "refresh": refreshed,
    "rollback": rolled_back,
    "reseed": reseeded,
}
PLANS: dict[str, Callable[[Land, UpdateContext], RenewPlan]] = {
    "refresh": lambda land, context: plan_refresh("land", context, land.source()),
    "rollback": lambda _, context: plan_rollback("land", context),
    "reseed": lambda land, context: plan_reseed(StoredFilter(land.layer), context),
}
FIRST: dict[str, list[type]] = {
    "refresh": [RefreshEstimate, Ingested],
    "rollback": [RefreshEstimate, RevisionChange],
    "reseed": [],
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_result_counts_what_changed_and_every_stage_comes_to_its_whole(land: Land, name: str) -> None:
    land.prepare(name)
    before, report = land.tiles(), Recorded()
    asked = PLANS[name](land, land.context(Report())).stored_tiles.rendered
    result = OPERATIONS[name](land, land.context(report, confirmed=False))
    after = land.tiles()
    assert result.passed
    assert result.removed
    assert (result.layer, result.layer.revision) == (land.layer, land.shown)
    assert result.stored_tiles.tiles == len(before)
    assert result.removed.purged.removed == len(before.keys() - after.keys())
    assert before.keys() - after.keys(), "the other raster covers all"
    written = sum(run.tally.written for run in result.runs)
    assert written == len(after)
    assert report.questions == [(asked, "re-rendered")]
    assert name == "refresh" or asked == sum(run.tally.tiles for run in result.runs)
    assert [type(step) for step in report.steps] == [*FIRST[name], *[RunResult] * len(result.runs), RemovedTiles]
    assert [step for step in report.steps if isinstance(step, RunResult)] == list(result.runs)
    assert report.unfinished == []
    assert report.done("seed land") == sum(run.tally.tiles for run in result.runs)
    assert report.done("remove land") == result.removed.purged.removed
    assert report.done("look for land") == len(before) * (1 if name == "reseed" else 2)  # for each revision


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_plan_changes_nothing_and_names_what_the_operation_then_does(land: Land, name: str) -> None:
    land.prepare(name)
    files, report = files_under(land.data), Recorded()
    plan = PLANS[name](land, land.context(report))
    assert files_under(land.data) == files
    assert report.questions == []
    current = land.layer.revision
    result = OPERATIONS[name](land, land.context(Report()))
    assert plan.stored_tiles.tiles == result.stored_tiles.tiles
    if name != "refresh":  # the extent of the next revision's raster is unknown before the bake
        assert plan.stored_tiles.rendered == sum(run.tally.tiles for run in result.runs)
        assert result.removed
        assert plan.removed == result.removed.existed
    change = RevisionChange("land", land.layer.revision, current, planned=True)
    steps = {"refresh": [PlannedBake("land", bake=1, parts=1), change], "rollback": [change], "reseed": []}
    assert report.steps == steps[name]


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_is_not_meant_is_raised_and_changes_nothing(land: Land, name: str) -> None:
    land.prepare(name)
    files = files_under(land.data)
    with pytest.raises(BadOption, match="not meant"):
        OPERATIONS[name](land, land.context(Recorded(refuse=True), confirmed=False))
    assert files_under(land.data) == files


@pytest.mark.parametrize("name", ["rollback", "reseed"])
def test_a_run_that_fails_is_a_result_and_nothing_is_removed(land: Land, name: str) -> None:
    land.prepare(name)
    before, shown = land.tiles(), land.shown
    damage(land.data, lambda content: content[: len(content) // 3], "land")
    report = Recorded()
    result = OPERATIONS[name](land, land.context(report))
    assert (result.passed, result.removed) == (False, None)
    assert any(run.tally.failed for run in result.runs)
    assert before.keys() <= land.tiles().keys()
    assert land.shown == shown
    assert not any(isinstance(step, RemovedTiles) for step in report.steps)


def test_without_a_source_only_stale_tiles_are_rendered(land: Land) -> None:
    report = Recorded()
    result = refresh("land", land.context(report), ONE)
    assert (result.passed, result.runs) == (True, ())
    assert report.notes == ["no stored tile of layer land needs re-rendering"]
    land.ingest("east")
    stale = len(land.tiles())
    assert plan_refresh("land", land.context(Report())).stored_tiles.stale == stale
    result = refresh("land", land.context(Report()), ONE)
    assert result.stored_tiles.stale == stale
    assert sum(run.tally.written for run in result.runs) == len(land.tiles())
    assert plan_refresh("land", land.context(Report())).stored_tiles.stale == 0


def test_options_are_those_of_the_last_ingest_but_for_the_changes(land: Land) -> None:
    asked = replace(land.layer.asked, trust_source=True)
    layer = replace(land.layer, asked=asked)
    assert NextSource(Sources(("x.tif",)), {}).options(layer) == replace(asked, trust_source=False)
    assert NextSource(Sources(("x.tif",)), {"max_zoom": 5}).options(layer).max_zoom == 5


def test_new_tiles_of_zooms_that_were_seeded_are_counted_where_that_is_asked_for(land: Land) -> None:
    before, report = land.layer, Recorded()
    result = refresh("land", land.context(report), ONE, land.source("wide"))
    (new,) = result.new_tiles
    assert [step for step in report.steps if isinstance(step, NewTiles)] == [new]
    assert new.zooms == {z: len(planned(land.layer, z) - planned(before, z)) for z in new.zooms}
    assert new.tiles == sum(new.zooms.values()) > 0
    assert not refresh("land", land.context(Report()), ONE, land.source("west"), count_new=False).new_tiles


RAISED: dict[str, tuple[type[TilerError], Callable[[Land, UpdateContext], object]]] = {
    "refresh of an unknown layer": (UnknownLayer, lambda _, context: refresh("lan", context, ONE)),
    "plan of it": (UnknownLayer, lambda _, context: plan_refresh("lan", context)),
    "refresh from nothing": (
        BadSource,
        lambda _, context: refresh("land", context, ONE, NOTHING),
    ),
    "rollback of an unknown layer": (UnknownLayer, lambda _, context: rollback("lan", context, ONE)),
    "rollback of the first revision": (BadOption, lambda _, context: rollback("land", context, ONE)),
    "plan of such a rollback": (BadOption, lambda _, context: plan_rollback("land", context)),
    "rollback to nothing": (BadOption, lambda _, context: rollback("land", context, ONE, "nonsense")),
}


@pytest.mark.parametrize("name", RAISED)
def test_what_cannot_be_done_is_raised_and_changes_nothing(land: Land, name: str) -> None:
    error, act = RAISED[name]
    files, report = files_under(land.data), Recorded()
    with pytest.raises(error):
        act(land, land.context(report))
    assert files_under(land.data) == files
    assert report.steps == []
