"""Whichever write a full disk refuses, it is one line, exit code 1, and what was there is what it was."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner, Result

from seeder.archive import mbtiles
from seeder.cli.export import export
from seeder.cli.ingest import ingest
from seeder.cli.seed import seed
from tests.support.damaged import cogs
from tests.support.full_disk import Disk
from tests.support.rasters import Recipe, scene, write_raster
from tests.support.undisturbed import contents
from tiler.errors import NoRoom
from tiler.ingest import disk_space
from tiler.ingest.disk_space import check_rest, check_target
from tiler.ingest.survey import survey
from tiler.raster.options import Options

Run = Callable[[Path], Result]
MANY = 400  # writes that none of these commands makes


def run(command: click.Command, *words: object) -> Result:
    return CliRunner().invoke(command, list(map(str, words)))


def files(data: Path) -> dict[str, bytes]:
    """All that a data folder holds."""
    return {str(path.relative_to(data)): path.read_bytes() for path in data.rglob("*") if path.is_file()}


def unbaked(files: dict[str, bytes]) -> dict[str, bytes]:
    """All files but parts and shards, which only metadata gives a meaning."""
    return {name: data for name, data in files.items() if not {"parts", "shards"} & set(Path(name).parts)}


@contextmanager
def full_after(writes: int) -> Iterator[Disk]:
    with pytest.MonkeyPatch.context() as patch:
        yield Disk(patch, writes)


def told(done: Result) -> str:
    """The one line that a failure says, besides bars."""
    assert done.exit_code == 1, done.output
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in done.stderr
    assert "free some space and run the same command again" in line
    return line


@pytest.mark.parametrize("again", [False, True], ids=["new", "another revision"])
def test_an_ingest_changes_nothing_whichever_write_fails(again: bool, tmp_path: Path) -> None:
    old, new = (
        write_raster(tmp_path / f"{seed}.tif", Recipe(values=scene(40, 48, seed=seed), bounds=bounds))
        for seed, bounds in ((1, (5, 40, 25, 58)), (2, (5, 40, 25, 60)))
    )
    start = tmp_path / "start"
    start.mkdir()
    if again:
        assert run(ingest, old, "--layer", "alps", "--data", start).exit_code == 0
    for number in range(MANY):
        data = Path(shutil.copytree(start, tmp_path / "data"))
        before = files(data)
        with full_after(number) as disk:
            done = run(ingest, new, "--layer", "alps", "--data", data, "--jobs", 1)
        if not disk.failed:
            assert done.exit_code == 0
            break
        said = told(done)
        after = files(data)
        assert before.items() <= after.items() or again
        if unbaked(after) != unbaked(before):  # published: what is left to write then tells only of stored tiles
            assert again
            assert "history.json" in said
        assert not (data / "scratch").exists()
        shutil.rmtree(data)
    assert 10 < number < MANY - 1


def test_a_seeding_goes_on_after_any_write_that_failed(alps_data: Path, tmp_path: Path) -> None:
    zooms = ("--zooms", "0-5", "--jobs", 1)
    right = Path(shutil.copytree(alps_data, tmp_path / "right"))
    assert run(seed, "alps", *zooms, "--data", right).exit_code == 0
    for number in range(MANY):
        data = Path(shutil.copytree(alps_data, tmp_path / "data"))
        with full_after(number) as disk:
            done = run(seed, "alps", *zooms, "--data", data)
        if not disk.failed:
            break
        if done.exit_code == 0:  # what could not be written says only how the job ended, which receipts say too
            assert contents(data) == contents(right)
        else:
            assert "cannot write " in told(done)
        assert contents(data).items() <= contents(right).items()
        assert run(seed, "alps", *zooms, "--data", data).exit_code == 0
        assert contents(data) == contents(right)
        shutil.rmtree(data)
    assert 10 < number < MANY - 1


@pytest.mark.parametrize("name", ["alps.pmtiles", "alps"])
def test_an_export_leaves_only_what_it_goes_on_with(name: str, alps_data: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(alps_data, tmp_path / "data"))
    assert run(seed, "alps", "--zooms", "0-5", "--jobs", 1, "--data", data).exit_code == 0
    folder = tmp_path / "out"
    for number in range(MANY):
        folder.mkdir()
        with full_after(number) as disk:
            done = run(export, "alps", folder / name, "--data", data)
        if not disk.failed:
            break
        told(done)
        assert [path.name for path in folder.iterdir()] == [f"{name}.part"]
        assert run(export, "alps", folder / name, "--data", data).exit_code == 0
        shutil.rmtree(folder)
    assert 3 < number < MANY - 1


def test_a_database_that_cannot_grow_is_told(alps_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Path(shutil.copytree(alps_data, tmp_path / "data"))
    assert run(seed, "alps", "--zooms", "0-6", "--jobs", 1, "--data", data).exit_code == 0
    connect = mbtiles._connect

    def small(path: Path) -> object:
        base = connect(path)
        base.execute("PRAGMA max_page_count = 12")
        return base

    with monkeypatch.context() as patch:
        patch.setattr(mbtiles, "_connect", small)
        assert "alps.mbtiles.part" in told(run(export, "alps", tmp_path / "alps.mbtiles", "--data", data))
    assert run(export, "alps", tmp_path / "alps.mbtiles", "--data", data).exit_code == 0


@pytest.mark.parametrize("kilobytes", [1, 30, 300])
def test_a_limit_of_the_system_in_a_worker_process_is_one_line(kilobytes: int, tmp_path: Path) -> None:
    source = write_raster(tmp_path / "alps.tif", Recipe(values=scene(700, 900)))
    words = ["ingest", str(source), "--data", str(tmp_path / "data"), "--jobs", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "seeder", *words],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes << 10, kilobytes << 10)),
    )
    assert done.returncode == 1
    assert f"error: File too large: {tmp_path}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not unbaked(files(tmp_path / "data"))
    assert not (tmp_path / "data" / "scratch").exists()


def test_a_bake_is_refused_only_where_a_sample_needs_twice_what_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_raster(tmp_path / "alps.tif", Recipe(values=scene(700, 900)))
    found = survey(str(path), Options())
    free = 10**12
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    check_target(tmp_path, found)
    free = 1
    with pytest.raises(NoRoom) as refused:
        check_target(tmp_path, found)
    assert f"not enough disk space in {tmp_path}: about " in str(refused.value)
    needed = int(disk_space.OVERVIEWS * 700 * 900 * disk_space._bytes_per_pixel(found))
    free = needed // 2 + 1
    check_target(tmp_path, found)
    free = needed // 2 - 1
    with pytest.raises(NoRoom):
        check_target(tmp_path, found)


def test_what_a_sample_says_is_near_what_the_bake_takes(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "alps.tif", Recipe(values=scene(1100, 1500)))
    said = disk_space.OVERVIEWS * 1100 * 1500 * disk_space._bytes_per_pixel(survey(str(path), Options()))
    assert run(ingest, path, "--data", tmp_path / "data", "--jobs", 1).exit_code == 0
    baked = sum(cog.stat().st_size for cog in cogs(tmp_path / "data"))
    assert 0.5 < baked / said < 2


def test_a_bake_ends_where_a_part_cannot_fit_beside_what_is_spooled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    check_rest(tmp_path, 1000)
    with pytest.raises(NoRoom, match="not enough disk space in"):
        check_rest(tmp_path, 1001)
