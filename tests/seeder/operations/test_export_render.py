"""`export --render` gives the archive of `seed` then `export`, and stores nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import seeder as api
from seeder.archive.export import Kind, Target
from seeder.operations import render_missing
from tests.support.archives import KINDS, NAMES, read
from tests.support.commands import complaint, said, seeder
from tests.support.effort import examples
from tests.support.layers import layer_of, local_stores
from tests.support.rasters import Recipe, scene, write_raster
from tiler.errors import SourceReadError
from tiler.keys import parts_prefix
from tiler.layers.render import render
from tiler.storage.store import open_store

HOLED = scene(1200, 1600)
HOLED[:, 200:900, 300:1300] = 0  # some tiles are empty


@pytest.fixture(scope="module")
def holed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the layer `holed`, some of whose tiles are empty."""
    folder = tmp_path_factory.mktemp("holed")
    path = write_raster(folder / "holed.tif", Recipe(HOLED, (5.0, 45.0, 9.0, 48.0), nodata=0))
    layer_of(path, "holed", local_stores(folder / "data"))
    return folder / "data"


def copied(data: Path, folder: Path) -> Path:
    return Path(shutil.copytree(data, folder / "data"))


def stored(data: Path) -> list[str]:
    return sorted(str(path.relative_to(data)) for path in data.rglob("*") if path.is_file())


def files(path: Path) -> dict[str, bytes]:
    """The content of an archive's files."""
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {str(each.relative_to(path)): each.read_bytes() for each in found if each.is_file()}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=examples(4), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_archive_is_that_of_seed_then_export(
    kind: Kind, data: st.DataObject, holed: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("law")
    place = copied(holed, folder)
    layer = api.open(place).layer("holed")
    top = data.draw(st.integers(5, layer.maxzoom))
    scale = data.draw(st.sampled_from((1, 2)))
    form = data.draw(st.sampled_from((None, "webp")))
    selected: dict[str, Any] = {"zooms": f"{top - 2}-{top}", "scale": scale, "format": form}
    box = (5.5, 45.5, data.draw(st.sampled_from((6.5, 8.5))), 47.5)
    before = data.draw(st.sampled_from((None, (5.0, 45.0, 6.0, 46.0), box)))
    if before:
        layer.seed(layer.select(bbox=before, **selected), jobs=1)
    known = [each for each in stored(place) if each.startswith("tiles/")]
    wanted = layer.select(bbox=box, **selected)
    one = layer.export(folder / f"one-{NAMES[kind]}", wanted, render=True, jobs=1)
    assert [each for each in stored(place) if each.startswith("tiles/")] == known
    job = layer.seed(wanted, jobs=1)
    assert job.result
    assert before or job.result.tally.written == one.rendered == one.tiles
    two = layer.export(folder / f"two-{NAMES[kind]}", wanted)
    assert (one.tiles, one.distinct) == (two.tiles, two.distinct)
    assert read(Target(Path(one.file), kind)) == read(Target(Path(two.file), kind))
    if kind != "mbtiles":  # in which the order of rows differs
        assert files(Path(one.file)) == files(Path(two.file))


def test_several_processes_give_the_same_file(holed: Path, tmp_path: Path) -> None:
    place = copied(holed, tmp_path)
    for jobs in (1, 2):
        words = ("export", "holed", tmp_path / f"{jobs}.pmtiles", "--render", "--jobs", jobs, "--data", place, "--json")
        facts = said(seeder(*words))
        assert facts["rendered"] == facts["tiles"] > 40
    assert (tmp_path / "1.pmtiles").read_bytes() == (tmp_path / "2.pmtiles").read_bytes()
    assert not (place / "tiles" / "holed" / "9").exists()


def broken_after(number: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make the rendering of blocks fail after some of them; counts the rendered blocks."""
    done = [0]

    def rendering(*arguments: Any) -> Iterator[Any]:
        if done[0] == number:
            raise SourceReadError("part.tif", "the disk is gone")
        done[0] += 1
        yield from render(*arguments)

    monkeypatch.setattr("tiler.layers.fill.render", rendering)
    return done


def test_a_failed_read_leaves_no_archive_and_the_next_run_resumes(
    holed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = copied(holed, tmp_path)
    words = ("export", "holed", tmp_path / "out.pmtiles", "--render", "--jobs", 1, "--data", place)
    with monkeypatch.context() as patch:
        broken_after(6, patch)
        failed = seeder(*words)
        assert failed.exit_code == 1
        assert "part.tif" in failed.stderr
        assert "the disk is gone" in failed.stderr
        assert not (tmp_path / "out.pmtiles").exists()
    done = broken_after(10_000, monkeypatch)
    resumed = seeder(*words)
    assert resumed.exit_code == 0, resumed.output
    assert "already fetched: resuming from out.pmtiles.part" in resumed.stderr
    again = done[0]
    seeder(*words[:2], tmp_path / "whole.pmtiles", *words[3:])
    assert done[0] - again > again > 0
    assert (tmp_path / "out.pmtiles").read_bytes() == (tmp_path / "whole.pmtiles").read_bytes()


def test_parts_that_are_gone_are_an_error(holed: Path, tmp_path: Path) -> None:
    place = copied(holed, tmp_path)
    for path in (place / "private" / parts_prefix("holed")).glob("*.tif"):
        path.unlink()
    failed = seeder("export", "holed", tmp_path / "out.mbtiles", "--render", "--jobs", 1, "--data", place)
    assert failed.exit_code == 1, failed.output
    assert not (tmp_path / "out.mbtiles").exists()


def test_rendered_tiles_do_not_stay_in_memory(holed: Path, tmp_path: Path) -> None:
    layer = api.open(copied(holed, tmp_path)).layer("holed")
    layer.export(tmp_path / "out.pmtiles", render=True, jobs=1)
    assert not list(open_store(render_missing.SCRATCH).list(""))


@pytest.mark.parametrize("flag", ["--missing", "--existing"])
def test_a_state_does_not_go_with_rendering(flag: str, holed: Path, tmp_path: Path) -> None:
    assert flag in complaint(seeder("export", "holed", tmp_path / "a.pmtiles", "--render", flag, "--data", holed))


def test_without_it_the_error_names_it(holed: Path, tmp_path: Path) -> None:
    line = complaint(seeder("export", "holed", tmp_path / "a.pmtiles", "--zooms", 8, "--data", holed))
    assert line.endswith(" first, or add --render")
