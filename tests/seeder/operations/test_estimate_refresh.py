"""The estimate of a refresh: a bound of what it then does, and never more than everything."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import seeder
from seeder.cache.stored import StoredFilter
from seeder.jobs.forecast import Pixels
from seeder.operations.estimate_refresh import PlannedWork, RefreshEstimate, pixels_of
from seeder.operations.next_revision import plan_with_estimate
from seeder.operations.refresh import plan_rollback, refresh
from seeder.operations.run import RunOptions
from seeder.operations.update import UpdateContext, UpdateOptions, UpdateTask
from tests.support.clock import nothing_in_flight
from tests.support.islands import Islands
from tests.support.oracle import files_under
from tests.support.reports import Recorded
from tiler import timing
from tiler.ingest.planned_parts import BakeWork, TierWork
from tiler.ingest.survey import survey
from tiler.layers.catalog import load_layer
from tiler.raster.options import Options
from tiler.scenes.headers import read_scenes
from tiler.scenes.scene import Listed
from tiler.settings import Settings
from tiler.storage.store import Stores

COUNT = 4
OLD = 1_000_000_000  # seconds
FENCE = 15.0  # seconds, in a folder


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four scenes, ingested and seeded."""
    folder = tmp_path_factory.mktemp("estimates")
    with pytest.MonkeyPatch.context() as patch:
        nothing_in_flight(patch)
        patch.setenv("TILER_DATA", str(folder / "data"))
        islands = Islands(folder / "scenes")
        islands.folder.mkdir()
        for number in range(COUNT):
            os.utime(islands.scene(f"s{number}", number), (OLD, OLD))
        islands.run("ingest", str(islands.folder), "--layer", "isles", "--rescale", "0,255")
        islands.run("seed", "isles", "--zooms", "0-12")
    return folder


@pytest.fixture
def islands(seeded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Islands:
    """A copy of the data; the scenes stay where they are."""
    nothing_in_flight(monkeypatch)
    shutil.copytree(seeded / "data", tmp_path / "data")
    monkeypatch.setenv("TILER_DATA", str(tmp_path / "data"))
    (tmp_path / "new").mkdir()
    return Islands(tmp_path / "new")


def context(report: Recorded | None = None, **options: Any) -> UpdateContext:
    """The context of an update of the data folder."""
    settings = Settings.from_env(os.environ)
    return UpdateContext(Stores.open(settings), settings, UpdateOptions(**options), report or Recorded())


def told(islands: Islands, *words: str) -> dict[str, Any]:
    """The estimate of a dry run, which changes nothing."""
    before = files_under(islands.folder.parent)
    fields = islands.facts("refresh", "isles", *words, "--dry-run")[-1]
    assert files_under(islands.folder.parent) == before
    estimate: dict[str, Any] = fields["estimate"]
    update, everything = estimate["update"], estimate["everything"]
    assert fields["rendered"] == update["tiles"]
    for name in ("parts", "tiles", "seconds", "dollars", "bake", "render"):
        assert 0 <= update[name] <= everything[name], name
    assert update["seconds"] == pytest.approx(update["bake"] + update["wait"] + update["render"], abs=0.2)
    return estimate


CHANGES = {
    "replace": ("--replace", "s1"),
    "add beyond the bounds": ("--add", "t"),
    "drop": ("--drop", "s3.tif"),
    "all": ("--add", "t", "--replace", "s1", "--drop", "s3.tif"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_refresh_does_no_more_than_its_estimate_and_tells_it_first(name: str, islands: Islands) -> None:
    scenes = {"s1": str(islands.scene("s1", 1, value=30)), "t": str(islands.scene("t", COUNT))}
    words = tuple(scenes.get(word, word) for word in CHANGES[name])
    estimate = told(islands, *words)
    assert estimate["at_most"] is True
    steps = islands.facts("refresh", "isles", *words)
    first = next(number for number, step in enumerate(steps) if "baked" in step)
    (given,) = [number for number, step in enumerate(steps) if "estimate" in step]
    assert given < first
    assert steps[given]["estimate"] == estimate
    update = estimate["update"]
    assert steps[first]["baked"] <= update["parts"]
    assert sum(step["tiles"] for step in steps if "job" in step) <= update["tiles"]
    assert update["scenes"] == len(words) // 2
    left = COUNT + ("--add" in words) - ("--drop" in words)
    assert estimate["everything"]["scenes"] == estimate["everything"]["parts"] == left
    assert update["parts"] < left
    assert update["tiles"] < estimate["everything"]["tiles"]


def test_removed_tiles_are_counted_where_a_part_goes(islands: Islands) -> None:
    plan = islands.facts("refresh", "isles", "--drop", "s3.tif", "--dry-run")[-1]
    done = islands.facts("refresh", "isles", "--drop", "s3.tif")[-1]
    assert 0 < plan["removed"] <= done["removed"]


def test_the_text_compares_this_refresh_with_everything(islands: Islands) -> None:
    path = str(islands.scene("s1", 1, value=30))
    os.utime(path, (OLD, OLD))  # a young file would be read again
    dry = islands.run("refresh", "isles", "--replace", path, "--dry-run").stdout.splitlines()
    lines = [line for line in dry if line.startswith(("this refresh: ", "everything: "))]
    assert re.match(r"this refresh: 1 changed scene, at most 1 part and ", lines[0])
    assert re.match(rf"everything: {COUNT} scenes, {COUNT} parts and ", lines[1])
    assert all(" s bake + " in line and line.endswith(" s render, $0") for line in lines)
    real = islands.run("refresh", "isles", "--replace", path).stdout.splitlines()
    assert [line for line in real if line in lines] == lines
    assert real.index(lines[0]) < next(number for number, line in enumerate(real) if "parts baked" in line)
    assert "this refresh" not in islands.run("refresh", "isles", "--replace", path).stdout, "nothing is left to do"


def test_a_style_bakes_nothing_and_renders_everything(islands: Islands) -> None:
    estimate = told(islands, "--rescale", "0,99")
    update, everything = estimate["update"], estimate["everything"]
    assert (update["parts"], update["bake"], estimate["at_most"]) == (0, 0, False)
    assert update["tiles"] == everything["tiles"] > 0
    assert update["render"] == everything["render"] > 0


def test_a_new_revision_waits_for_the_fence_unless_told_not_to(
    islands: Islands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "fence_seconds", lambda *, folder: FENCE if folder else 0.0)
    path = str(islands.scene("t", COUNT))
    plain, hurry = (told(islands, "--add", path, *more) for more in ((), ("--no-wait",)))
    for name in ("update", "everything"):
        assert (plain[name]["wait"], hurry[name]["wait"]) == (FENCE, 0)


def test_more_processes_take_less_time(islands: Islands) -> None:
    path = str(islands.scene("t", COUNT))
    layer = seeder.open(os.environ["TILER_DATA"]).layer("isles")
    one, four = (layer.estimate_refresh(add=path, jobs=jobs).estimate for jobs in (1, 4))
    assert one is not None
    assert four is not None
    assert one.everything.bake > four.everything.bake
    assert one.update.tiles == four.update.tiles


def test_python_gives_the_same_estimate_before_and_with_the_result(islands: Islands) -> None:
    path = str(islands.scene("s1", 1, value=30))
    layer = seeder.open(os.environ["TILER_DATA"]).layer("isles")
    plan = layer.estimate_refresh(replace=path, jobs=1)
    assert isinstance(plan.estimate, RefreshEstimate)
    assert plan.estimate.to_json() == told(islands, "--replace", path)
    result = layer.refresh(replace=path, jobs=1)
    assert result.estimate == plan.estimate
    assert all("array(" not in repr(each) and len(repr(each)) < 4000 for each in (plan, result))
    assert plan.estimate.update.seconds < plan.estimate.everything.seconds


def test_stale_tiles_and_a_rollback_bake_nothing(islands: Islands) -> None:
    path = str(islands.scene("s1", 1, value=30))
    islands.run("refresh", "isles", "--replace", path)
    assert "this rollback: " in islands.run("rollback", "isles", "--dry-run").stdout
    idle = told(islands)
    assert (idle["update"]["tiles"], idle["update"]["parts"]) == (0, 0)
    assert idle["everything"]["parts"] == COUNT
    estimate = plan_rollback("isles", context()).estimate
    assert estimate is not None
    assert (estimate.update.parts, estimate.everything.parts, estimate.at_most) == (0, COUNT, False)
    assert 0 < estimate.update.tiles < estimate.everything.tiles / 2
    report = Recorded()
    result = refresh("isles", context(report), RunOptions(jobs=1))
    assert result.estimate == next(step for step in report.steps if isinstance(step, RefreshEstimate))


def of_tiers(*tiers: tuple[int, int]) -> BakeWork:
    """The work of so many parts and full chunks by tier."""
    return BakeWork(tuple(TierWork(parts, chunks, chunks, chunks, chunks) for parts, chunks in tiers))


@pytest.mark.usefixtures("islands")
def test_dollars_are_of_parts_tiles_and_paths_where_these_cost() -> None:
    here = context()
    layer = load_layer(here.stores.sources, "isles")
    work = PlannedWork(1, COUNT, of_tiers((1, 9), (2, 5)), of_tiers((COUNT, 36), (3, 12)))

    def dollars(settings: Settings, queue: str = "", cdn: str = "") -> float:
        there = replace(here, settings=settings, options=UpdateOptions(cdn=cdn))
        plan = plan_with_estimate(UpdateTask(StoredFilter(layer), there), None, work, RunOptions(queue), published=True)
        assert plan.estimate is not None
        assert plan.estimate.update.dollars <= plan.estimate.everything.dollars
        assert len(plan.paths) == bool(cdn)
        return plan.estimate.update.dollars

    tiles, sources = "s3://tiles", "s3://sources"
    folders = dollars(here.settings)
    with_parts = dollars(replace(here.settings, sources=sources))
    in_s3 = dollars(replace(here.settings, sources=sources, tiles=tiles))
    queued = dollars(replace(here.settings, sources=sources, tiles=tiles), "https://sqs.test/queue")
    assert folders == 0 < with_parts < in_s3 < queued
    assert dollars(here.settings, cdn="E1") == 0.005


def test_workers_of_a_queue_are_more_and_cost_more(islands: Islands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILER_BAKE_QUEUE", "https://sqs.test/bakes")
    path = str(islands.scene("t", COUNT))
    words = "--add", path, "--queue", "https://sqs.test/tiles"
    few, many = (told(islands, *words, "--concurrency", number) for number in ("1", "100"))
    assert few["everything"]["bake"] > many["everything"]["bake"]
    assert many["update"]["dollars"] > told(islands, "--add", path)["update"]["dollars"] == 0
    assert few["update"]["megabytes"] == many["update"]["megabytes"] > 0


def test_a_refresh_above_the_most_dollars_is_not_begun(islands: Islands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILER_BAKE_QUEUE", "https://sqs.test/bakes")
    path = str(islands.scene("t", COUNT))
    before = files_under(islands.folder.parent)
    words = "--add", path, "--queue", "https://sqs.test/tiles", "--max-cost", "0"
    result = islands.run("refresh", "isles", *words, code=2)
    assert "above --max-cost 0: change fewer scenes, or raise the limit" in result.stderr
    assert files_under(islands.folder.parent) == before
    islands.run("refresh", "isles", "--add", path, "--max-cost", "0")


@pytest.mark.parametrize(
    ("names", "slow"),
    [(["a.jp2"], True), (["a.tif"], False), (["A.JP2", "b.j2k", "c.tif"], True), (["a.jp2", "b.tif", "c.tif"], False)],
)
def test_most_scenes_tell_whether_jpeg_2000_is_decoded(names: list[str], slow: bool, islands: Islands) -> None:
    found = survey(str(islands.scene("t", COUNT)), Options())
    (one,) = read_scenes([Listed("t", found.path)], Options(), jobs=1, progress=lambda *_: None)
    scenes = tuple(replace(one, listed=Listed(name, f"/scenes/{name}")) for name in names)
    assert pixels_of(replace(found, scenes=scenes)).jp2 is slow
    assert pixels_of(found) == Pixels("uint8", found.reading.count)
