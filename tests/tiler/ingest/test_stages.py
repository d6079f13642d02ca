"""The steps before the first chunk are reported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from seeder.cli import progress
from seeder.cli.progress import Stages, TerminalReport
from seeder.operations import ingest as operation
from tests.support.clock import Rounds
from tests.support.layers import silent
from tests.support.rasters import Recipe, scene, write_raster
from tiler.ingest.ingest import Ingested, ingest
from tiler.ingest.survey import hashes_of
from tiler.raster.options import Options
from tiler.storage.store import Stores


def test_a_stage_that_lasts_is_told_again_and_again_ever_more_rarely(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "on_terminal", lambda: True)
    stages, clock = Stages("ingest alps"), Rounds(6)
    monkeypatch.setattr(stages, "_ended", clock)
    stages("sampling its values")
    stages.watch()
    told = capsys.readouterr()
    assert told.out == ""
    assert len(re.findall(r"^ingest alps: sampling its values \(\d+ s\)$", told.err, re.MULTILINE)) == 6
    assert clock.pauses == [4, 8, 16, 32, 60, 60, 60]


def test_nothing_is_told_of_what_is_quick(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stages = Stages("ingest alps")
    stages("sampling its values")
    monkeypatch.setattr(stages, "_ended", Rounds(0))
    stages.watch()
    assert capsys.readouterr().err == ""


def test_all_that_may_last_is_told_before_the_first_chunk(tmp_path: Path, stores: Stores) -> None:
    path = write_raster(tmp_path / "alps.tif", Recipe(values=scene(60, 80)))
    told: list[str] = []
    ingest(
        str(path),
        "alps",
        Options(),
        stores,
        jobs=1,
        progress=lambda *_: told.append("chunk"),
        stage=told.append,
    )
    assert told[: told.index("chunk")] == [
        "listing its files",
        "sampling its values",
        "reading it to compute its revision",
        "reading 0 MB to compute its revision, 100% done",
        "baking the first chunks",
    ]


def test_how_much_of_a_raster_is_read_for_its_revision_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_raster(tmp_path / "alps.tif", Recipe(values=scene(60, 80)))
    monkeypatch.setattr("tiler.ingest.survey.HASH_CHUNK", 1000)
    told: list[int] = []
    assert hashes_of(str(path), Options(), progress=told.append) == hashes_of(str(path), Options())
    size = path.stat().st_size
    assert told == [*range(1000, size, 1000), size]


def test_stages_end_with_the_first_chunk(tmp_path: Path, stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_raster(tmp_path / "alps.tif", Recipe(values=scene(60, 80)))
    ended: list[str] = []
    monkeypatch.setattr(Stages, "watch", lambda _: None)
    monkeypatch.setattr(Stages, "end", lambda _: ended.append("end"))

    def make(*_: object, jobs: int, progress: object, stage: object, **_more: object) -> Ingested:
        assert not ended
        done = ingest(str(path), "alps", Options(), stores, jobs=jobs, progress=silent)
        assert callable(progress)
        assert callable(stage)
        stage("baking the first chunks")
        progress(1, 2)
        assert ended
        return done

    monkeypatch.setattr(operation, "ingest_raster", make)
    operation.ingest(str(path), "alps", Options(), stores, TerminalReport(), jobs=1)
