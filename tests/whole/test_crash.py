"""What is killed, interrupted or starved never leaves a wrong cache, and the next run finishes it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.support.effort import some
from tests.support.held import BLOCK, CHUNK, HANG, MANIFEST, RECEIPT, TILE, Gate, ending, holding, workers
from tests.support.large_alps import ZOOMS, large_seeded, unseeded
from tests.support.rasters import Recipe, scene, write_raster


def command(data: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "seeder", *words, "--data", str(data), "--jobs", "2"]


def seeded(data: Path, *words: str) -> dict[str, int]:
    """What a seeding that nothing disturbs says at its end."""
    done = subprocess.run(
        command(data, "seed", "alps", "--zooms", ZOOMS, "--json", *words), capture_output=True, text=True, check=True
    )
    said: dict[str, int] = json.loads(done.stdout)
    return said


def tiles(data: Path) -> dict[str, bytes]:
    folder = data / "tiles" / "alps"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("*/*/*.png")}


def finished_blocks(data: Path) -> int:
    return len(list(data.glob("private/jobs/*/done/*")))


def jobs_next(data: Path) -> int:
    """How many jobs there will be after the next seeding: it resumes the last one if a block of it is left."""
    begun = sorted(data.glob("private/jobs/*"))
    plan = json.loads((begun[-1] / "plan.json").read_text())
    left = sum(zoom["blocks"] for zoom in plan["zooms"].values()) - len(list(begun[-1].glob("done/*")))
    return len(begun) + (left == 0)


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a seeding that nothing disturbed."""
    return large_seeded(tmp_path_factory)


@pytest.fixture
def data(right: Path, tmp_path: Path) -> Path:
    """A data folder with the layer `alps`, of which no tile is stored."""
    return unseeded(right, tmp_path / "data")


@pytest.fixture(scope="module")
def undisturbed(right: Path) -> dict[str, bytes]:
    """Its tiles."""
    return tiles(right)


@contextmanager
def seeding(data: Path, at: str = BLOCK) -> Iterator[tuple[Any, Gate]]:
    """A seeding of two processes that are held at a point."""
    with holding(at, *command(data, "seed", "alps", "--zooms", ZOOMS)[3:]) as held:
        yield held


@pytest.mark.parametrize(("at", "calls"), some([*product((BLOCK, TILE, RECEIPT), (0, 1, 7))], (TILE, 7), (RECEIPT, 1)))
def test_a_killed_seeding_is_finished_by_the_next_run(
    data: Path, undisturbed: dict[str, bytes], at: str, calls: int
) -> None:
    with seeding(data, at) as (process, gate):
        gate.passed(calls, jobs=2)
        started = workers(process.pid)
        assert len(started) == 2
        with ending(started):
            process.kill()
    assert tiles(data).items() <= undisturbed.items()
    expected = jobs_next(data)
    said = seeded(data)
    assert tiles(data) == undisturbed
    assert said["tiles"] == said["written"] + said["empty"] + said["skipped"] == len(undisturbed)
    assert len(list(data.glob("private/jobs/*"))) == expected, "a job was not resumed but begun again"


def test_a_run_killed_again_and_again_still_ends_right(data: Path, undisturbed: dict[str, bytes]) -> None:
    for finished in (1, 3, 5):
        with seeding(data) as (process, gate):
            gate.passed(finished - finished_blocks(data), jobs=2)
            with ending(workers(process.pid)):
                process.kill()
        assert finished_blocks(data) == finished
        assert len(list(data.glob("private/jobs/*"))) == 1
    seeded(data)
    assert tiles(data) == undisturbed


def test_a_killed_worker_is_reported_and_the_next_run_finishes(data: Path, undisturbed: dict[str, bytes]) -> None:
    with seeding(data) as (process, gate):
        held = gate.passed(3, jobs=2)
        os.kill(held[0].pid, signal.SIGKILL)
        _, errors = process.communicate(timeout=HANG)
        assert process.returncode == 1
        assert "a worker process died" in errors
        assert "Traceback" not in errors
    seeded(data)
    assert tiles(data) == undisturbed


def test_an_interrupt_says_how_to_resume_and_leaves_no_process(data: Path, undisturbed: dict[str, bytes]) -> None:
    with seeding(data) as (process, gate):
        gate.passed(3, jobs=2)
        with ending(workers(process.pid)):
            os.killpg(process.pid, signal.SIGINT)
            _, errors = process.communicate(timeout=HANG)
        assert process.returncode == 130
        assert "run the same command again" in errors
        assert "Traceback" not in errors
    resumed = subprocess.run(
        command(data, "seed", "alps", "--zooms", ZOOMS), capture_output=True, text=True, check=True
    )
    assert "resuming job" in resumed.stderr
    assert tiles(data) == undisturbed


def test_tiles_removed_between_two_runs_are_made_again(data: Path, undisturbed: dict[str, bytes]) -> None:
    with seeding(data) as (process, gate):
        gate.passed(8, jobs=2)
        process.kill()
    shutil.rmtree(data / "tiles" / "alps")
    seeded(data)
    assert tiles(data) == undisturbed


@pytest.mark.parametrize("at", [CHUNK, MANIFEST])
@pytest.mark.parametrize("how", some([signal.SIGINT, signal.SIGKILL], signal.SIGKILL))
def test_an_ingest_that_is_stopped_leaves_no_half_layer(tmp_path: Path, how: signal.Signals, at: str) -> None:
    """Parts that are complete stay for the next ingest, and nothing names them."""
    source = write_raster(tmp_path / "big.tif", Recipe(values=scene(1200, 1500), bounds=(5, 45, 5.1, 45.07)))
    data = tmp_path / "data"
    words = ["ingest", str(source), "--layer", "alps", "--format", "png"]
    with holding(at, *command(data, *words)[3:]) as (process, gate):
        gate.next()
        assert bool(list(data.glob("**/*.spool"))) == (at == CHUNK)
        with ending(workers(process.pid)):
            os.killpg(process.pid, how) if how == signal.SIGINT else process.kill()
            _, errors = process.communicate(timeout=HANG)
        assert "Traceback" not in errors
    parts = list(data.glob("private/sources/alps/parts/*"))
    assert [path for path in data.glob("private/sources/**/*") if path.is_file()] == parts
    assert bool(parts) == (at == MANIFEST)
    assert not list(data.glob("tiles/**/*"))
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert not list(data.glob("**/*.spool"))
    subprocess.run(command(data, *words), capture_output=True, check=True)
    assert not list(data.glob("**/*.spool")), "what a killed ingest left is swept by the next"
    assert (data / "private" / "sources" / "alps" / "index.json").exists()


def test_a_raster_that_breaks_off_is_named_by_whichever_process_reads_it(tmp_path: Path) -> None:
    options = (("tiled", True), ("blockxsize", 256), ("blockysize", 256), ("compress", "deflate"))
    source = write_raster(tmp_path / "half.tif", Recipe(values=scene(2400, 3000), options=options))
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    done = subprocess.run(
        command(tmp_path / "data", "ingest", str(source)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "is the file complete?" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "data").glob("**/*.*"))


def test_a_store_that_fails_in_a_worker_ends_the_run_with_its_reason(data: Path) -> None:
    (data / "tiles" / "alps").mkdir(parents=True, exist_ok=True)
    (data / "tiles" / "alps" / "9").write_text("in the way of the folder of zoom 9")
    done = subprocess.run(command(data, "seed", "alps", "--zooms", ZOOMS), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "error: cannot write alps/9/" in done.stderr
    assert "Traceback" not in done.stderr
