"""Layers whose past is lost, copied or told wrong: no command says that all is right while a tile is not."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from seeder.cache import closing_check
from seeder.cli import main as cli
from seeder.operations import renew, update
from seeder.operations.report import Report
from tests.support.clock import nothing_in_flight
from tests.support.rasters import Recipe, scene, write_raster
from tiler.layers.catalog import load_layer
from tiler.settings import Settings
from tiler.storage.store import Stores

YEAR = 31_536_000


@dataclass(frozen=True)
class Land:
    """The layer `land` in a data folder, seeded from raster `a` to zoom 6; `b` is another raster of the same place."""

    data: Path
    a: Path
    b: Path

    def run(self, *words: object, data: Path | None = None) -> Result:
        """A command."""
        some = ("--jobs", "1") if words[0] in ("ingest", "seed", "refresh", "verify", "rollback") else ()
        said = [*map(str, words), *some]
        return CliRunner().invoke(cli.main, said, env={"TILER_DATA": str(data or self.data)})

    def ingest(self, raster: Path) -> Result:
        """Publish a raster."""
        result = self.run("ingest", raster, "--layer", "land", "--max-zoom", "6", "--format", "png")
        assert result.exit_code == 0, result.output
        return result

    def tiles(self, data: Path | None = None) -> dict[str, bytes]:
        """The stored tiles."""
        folder = (data or self.data) / "tiles" / "land"
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("*/*/*.png")}

    @property
    def history(self) -> Path:
        """The record of publications."""
        return self.data / "private" / "sources" / "land" / "history.json"

    @property
    def index(self) -> Path:
        """The layer's metadata."""
        return self.history.with_name("index.json")


@pytest.fixture
def land(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Land:
    """Nothing is in flight, so nobody waits."""
    nothing_in_flight(monkeypatch)
    rasters = [
        write_raster(tmp_path / f"{name}.tif", Recipe(values=scene(64, 64, 3, seed=seed)))
        for name, seed in (("a", 1), ("b", 2))
    ]
    made = Land(tmp_path / "data", *rasters)
    made.ingest(made.a)
    assert made.run("seed", "land").exit_code == 0
    return made


def all_wrong(land: Land, data: Path | None = None) -> None:
    """Every stored tile is of another raster: neither `seed` nor `verify` says otherwise, and `refresh` is the cure."""
    before = land.tiles(data)
    assert land.run("seed", "land", data=data).exit_code == 1
    assert land.run("verify", "land", data=data).exit_code == 1
    assert land.tiles(data) == before
    cured(land, data)
    after = land.tiles(data)
    assert all(after[key] != tile for key, tile in before.items())


def cured(land: Land, data: Path | None = None) -> None:
    result = land.run("refresh", "land", data=data)
    assert result.exit_code == 0, result.output
    assert land.run("seed", "land", data=data).exit_code == 0
    assert land.run("verify", "land", "--deep", "--sample", "all", data=data).exit_code == 0


def test_tiles_that_a_removal_left_behind_are_not_those_of_the_next_layer_of_that_name(land: Land) -> None:
    land.index.unlink()  # what `remove` does first, before it is cut off
    (land.data / "tiles" / "land" / "tile.json").unlink()
    land.ingest(land.b)
    all_wrong(land)


def test_folders_of_earlier_versions_are_compared_where_another_revision_is_kept(land: Land) -> None:
    land.ingest(land.b)
    assert land.run("seed", "land", "--zooms", "0-3", "--force").exit_code == 0
    land.ingest(land.a)
    land.history.unlink()  # which they did not have
    right = land.tiles()
    result = land.run("seed", "land")
    assert result.exit_code == 1
    assert "stale" in result.stderr
    assert land.run("verify", "land").exit_code == 1
    cured(land)
    assert len(land.tiles()) == len(right)


def test_a_copied_folder_whose_times_are_those_of_the_copy_is_compared(land: Land, tmp_path: Path) -> None:
    land.ingest(land.b)
    copy = tmp_path / "copy"
    shutil.copytree(land.data, copy, copy_function=shutil.copyfile)  # every file as new
    all_wrong(land, copy)


def test_tiles_from_a_clock_ahead_are_compared(land: Land) -> None:
    for path in (land.data / "tiles").rglob("*.png"):
        os.utime(path, (time.time() + YEAR, time.time() + YEAR))
    land.ingest(land.b)
    all_wrong(land)


def test_a_publication_ahead_of_the_clock_ends_in_a_layer_that_is_right(land: Land) -> None:
    land.ingest(land.b)
    said = json.loads(land.history.read_text())
    ahead = time.time() + YEAR
    said["publications"][-1]["at"] = said["publications"][-1]["at"].replace("2026", "2027")
    land.history.write_text(json.dumps(said))
    os.utime(land.index, (ahead, ahead))
    cured(land)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"version": 1, "publications": [{"revision": "x", "at": "2026-11-29T09:00:00"}]}',
        '{"version": 1, "publications": [{"revision": "x", "at": "9999-12-31T23:59:59.999999+00:00"}]}',
        '{"version": 1, "publications": [{"revision": "x", "at": "0001-01-01T00:00:00+14:00"}]}',
        '{"version": 0, "publications": []}',
        '{"version": 1, "publications": []}',
    ],
)
def test_a_damaged_history_is_told_in_one_line_and_the_cure_that_it_names_cures(land: Land, text: str) -> None:
    land.ingest(land.b)
    land.history.write_text(text)
    for verb in ("seed", "verify"):
        result = land.run(verb, "land")
        assert result.exit_code in (1, 2)
        assert "Traceback" not in result.output
        assert "run `seeder ingest` again" in result.stderr
    land.ingest(land.b)
    all_wrong(land)


def test_what_is_too_much_to_be_compared_is_not_said_to_be_right(land: Land, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing_check, "COMPARED", 3)
    land.ingest(land.b)
    os.utime(land.index, (1, 1))  # so that times tell nothing
    result = land.run("seed", "land", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout.splitlines()[-1])["unsure"] > 3
    cured(land)


@pytest.mark.parametrize("compared", [10_000, 3])
def test_a_job_is_not_done_where_its_seed_was_not_until_the_cure_has_cured(
    compared: int, land: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing_check, "COMPARED", compared)
    land.ingest(land.b)
    os.utime(land.index, (1, 1))  # so that times tell nothing
    said = land.run("seed", "land", "--json")
    assert said.exit_code == 1
    told = json.loads(said.stdout.splitlines()[-1])
    result = land.run("status", told["job"])
    assert result.exit_code == 1
    assert f"failed, {told['stale'] + told['unsure']} tiles are stale or may be" in result.stdout
    assert "`seeder refresh land`" in result.stdout
    assert "resume" not in result.stdout, "nothing is left to be done"
    assert [json.loads(line)["state"] for line in land.run("status", "--json").stdout.splitlines()] == [
        "failed",
        "done",  # of the revision before
    ]
    assert land.run("resume", told["job"], "--jobs", "1").exit_code == 1
    assert land.run("status", told["job"], "--watch").exit_code == 1
    cured(land)
    assert "done" in land.run("status", told["job"]).stdout.splitlines()[0]


def test_heights_of_another_revision_are_stale_however_alike_their_colours_are(tmp_path: Path, land: Land) -> None:
    heights = [np_heights(100.0), np_heights(100.0 + 76.8)]  # 3 in the second of three bytes
    paths = [write_raster(tmp_path / f"h{n}.tif", Recipe(values=each)) for n, each in enumerate(heights)]

    def take(path: Path) -> None:
        result = land.run("ingest", path, "--layer", "dem", "--style", "terrain-rgb", "--max-zoom", "6")
        assert result.exit_code == 0, result.output

    take(paths[0])
    assert land.run("seed", "dem").exit_code == 0
    take(paths[1])
    os.utime(land.data / "private" / "sources" / "dem" / "index.json", (1, 1))  # so that times tell nothing
    assert land.run("seed", "dem").exit_code == 1


def np_heights(base: float) -> object:
    return scene(64, 64, 1, seed=1).astype("float32") * 0 + base


@pytest.mark.parametrize("words", [("refresh", "land", "far", "--yes"), ("invalidate", "land", "--all", "--yes")])
def test_a_command_that_waited_leaves_a_layer_alone_that_has_another_revision_by_then(
    land: Land, tmp_path: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    far = write_raster(
        tmp_path / "far.tif", Recipe(values=scene(64, 64, 3, seed=3), bounds=(-60.0, -20.0, -55.0, -15.0))
    )
    newest = write_raster(tmp_path / "newest.tif", Recipe(values=scene(64, 64, 3, seed=4)))

    def meanwhile(*_: object) -> bool:
        monkeypatch.setattr(update, "count_down", lambda *_: True)
        land.ingest(newest)
        assert land.run("seed", "land", "--force").exit_code == 0
        return True

    monkeypatch.setattr(update, "count_down", meanwhile)
    result = land.run(*(far if word == "far" else word for word in words))
    assert result.exit_code == 1, result.output
    assert "changed from revision" in result.stderr
    monkeypatch.setattr(update, "count_down", lambda *_: True)
    assert land.run("verify", "land", "--deep", "--sample", "all").exit_code == 0
    stores = Stores.open(Settings.from_env({}, data=str(land.data)))
    current = load_layer(stores.sources, "land")
    said = json.loads((land.data / "tiles" / "land" / "tile.json").read_text())
    assert said["maxzoom"] == current.maxzoom


def test_nothing_is_deleted_beyond_a_link_that_leads_out(land: Land, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    for path in (outside / "notes.txt", outside / "deep" / "1.png"):
        path.write_text("mine")
    (land.data / "tiles" / "land" / "notes").symlink_to(outside)
    result = land.run("remove", "land", "--confirm", "land", "--no-wait")
    assert result.exit_code == 1
    assert "is outside the folder" in result.stderr
    assert [path.read_text() for path in (outside / "notes.txt", outside / "deep" / "1.png")] == ["mine", "mine"]


def interrupted(*_: object) -> bool:
    raise KeyboardInterrupt


def test_a_rollback_that_was_cut_off_is_finished_by_the_same_command_also_after_an_unfinished_refresh(
    land: Land, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    third = write_raster(tmp_path / "c.tif", Recipe(values=scene(64, 64, 3, seed=5)))
    assert land.run("refresh", "land", land.b, "--no-wait").exit_code == 0
    wanted = json.loads(land.index.read_text())["revision"]
    go_on: Callable[..., bool] = update.count_down
    for words in (("refresh", "land", third), ("rollback", "land")):
        monkeypatch.setattr(renew, "wait_for_fence", interrupted)
        assert land.run(*words).exit_code == 130
    monkeypatch.setattr(renew, "wait_for_fence", lambda *_: go_on(0.0, "", Report()))
    assert land.run("rollback", "land").exit_code == 0
    assert json.loads(land.index.read_text())["revision"] == wanted
