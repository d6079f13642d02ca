"""The operation `seed`: progress of stages, limits, and notes if nothing is to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from seeder.cache.query import SpatialFilter, TileQuery
from seeder.operations import run
from seeder.operations.budget import dollars
from seeder.operations.run import RunOptions
from seeder.operations.seed import Limits, SeedRequest, estimate_seed, seed
from seeder.select.tileset import TileSets
from tests.support.begun import ZOOMS, Begun
from tests.support.files import snapshot
from tests.support.function import png_tiles
from tests.support.reports import Recorded
from tiler import processes
from tiler.errors import BadOption, UnknownLayer, ZoomOutside
from tiler.layers.catalog import load_layer
from tiler.settings import Settings
from tiler.storage.store import Stores

HERE = RunOptions(jobs=1)
LOW = TileQuery(zooms=(5, 6))


@pytest.fixture
def settings(alps_copy: Path) -> Settings:
    """The stores of `alps`."""
    return Settings.from_env({}, data=str(alps_copy))


def test_the_stage_ends_when_all_tiles_are_done(settings: Settings, alps_copy: Path) -> None:
    report = Recorded()
    result = seed(SeedRequest("alps", LOW), HERE, settings, report)
    assert result
    assert result.passed
    assert result.queue == ""
    assert result.messages is None
    assert [stage.label for stage in report.stages] == ["seed alps"]
    assert report.unfinished == []
    assert report.stages[0].total == result.tally.written == len(png_tiles(alps_copy))
    again = Recorded()
    assert seed(SeedRequest("alps", LOW, force=True), HERE, settings, again)
    assert again.unfinished == []


def test_few_tiles_of_a_baked_layer_start_no_process(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("a process was started")

    monkeypatch.setattr(processes, "_Worker", refuse)
    result = seed(SeedRequest("alps", LOW), RunOptions(), settings, Recorded())
    assert result
    assert result.passed
    with pytest.raises(AssertionError, match="a process"):
        seed(SeedRequest("alps", LOW, force=True), RunOptions(jobs=2), settings, Recorded())


def test_a_virtual_layer_has_one_process_per_core(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "CORES", 4)
    baked = load_layer(Stores.open(settings).sources, "alps")
    virtual = replace(baked, bake=None)
    assert [RunOptions().of_layer(layer).jobs for layer in (baked, virtual)] == [None, 4]
    assert [RunOptions(jobs=3).of_layer(layer).jobs for layer in (baked, virtual)] == [3, 3]


def test_what_is_left_of_a_job_begins_where_it_was_left(alps_copy: Path) -> None:
    begun, report = Begun(alps_copy), Recorded()
    begun.work(end=1)
    result = seed(SeedRequest("alps", TileQuery(zooms=ZOOMS)), HERE, begun.settings, report)
    assert result
    assert result.tally.job == begun.id
    (stage,) = report.stages
    assert report.unfinished == []
    assert stage.begun > 0
    assert report.notes == [f"resuming job {begun.id}: {stage.begun} of {stage.total} tiles are done"]


def test_an_estimate_writes_nothing(settings: Settings, alps_copy: Path) -> None:
    before, report = snapshot(alps_copy), Recorded()
    found = estimate_seed(SeedRequest("alps", LOW), HERE, settings, report)
    assert found
    assert [(stage.label, stage.total) for stage in report.stages] == [("sample", None)]
    assert report.stages[0].done == sum(zoom.sample for zoom in found.zooms.values())
    assert snapshot(alps_copy) == before


@pytest.mark.parametrize(
    ("query", "note"),
    [
        (TileQuery(places=SpatialFilter(lists=(TileSets({}),))), "the list is empty: nothing to do"),
        (TileQuery(zooms=(5,), state="existing"), "no selected tile is stored: nothing to do"),
    ],
)
def test_nothing_to_do_is_noted(settings: Settings, alps_copy: Path, query: TileQuery, note: str) -> None:
    before, report = snapshot(alps_copy), Recorded()
    assert seed(SeedRequest("alps", query), HERE, settings, report) is None
    assert estimate_seed(SeedRequest("alps", query), HERE, settings, report) is None
    assert report.notes == [note, note]
    assert snapshot(alps_copy) == before


def test_limits_are_kept_before_anything_is_written(settings: Settings, alps_copy: Path) -> None:
    before, asked = snapshot(alps_copy), list[int]()

    def refuse(tiles: int, _: object) -> None:
        asked.append(tiles)
        raise BadOption("not meant")

    request = SeedRequest("alps", LOW)
    with pytest.raises(BadOption, match="not meant"):
        seed(request, HERE, settings, Recorded(), Limits(tiles=0, confirm=refuse))
    queued = RunOptions("http://queue.test/blocks", 1)
    with pytest.raises(BadOption, match="above --max-cost 0:"):
        seed(request, queued, settings, Recorded(), Limits(dollars=0, tiles=0, confirm=refuse))
    assert snapshot(alps_copy) == before
    result = seed(request, HERE, settings, Recorded(), Limits(tiles=asked[0], confirm=refuse))
    assert result
    assert asked == [result.tally.tiles]


@pytest.mark.parametrize(
    ("layer", "query", "error"),
    [
        ("alp", LOW, UnknownLayer),
        ("alps", TileQuery(zooms=(12,)), ZoomOutside),
        ("alps", TileQuery(format="gif"), BadOption),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_seeded_is_our_error(
    settings: Settings, layer: str, query: TileQuery, error: type[Exception]
) -> None:
    with pytest.raises(error):
        seed(SeedRequest(layer, query), HERE, settings, Recorded())


def test_dollars_are_rounded_up() -> None:
    assert [dollars(each) for each in (0, 0.00001, 0.0234, 0.1, 1234.5)] == [
        *("$0", "$0.0001", "$0.0234", "$0.10", "$1,234.50"),
    ]
