"""After every fault the same commands lead to the same bytes, by a comparison that asks nothing of the project."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import undisturbed
from tests.support.effort import some
from tests.support.held import BLOCK, CHUNK, MANIFEST, PUBLICATION, RECEIPT, TILE, ending, holding, workers
from tests.support.large_alps import SEED, ingest, large_seeded, large_source, unseeded


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raster of 14 blocks or more."""
    return large_source(tmp_path_factory)


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing disturbed."""
    return large_seeded(tmp_path_factory)


@pytest.fixture
def data(right: Path, tmp_path: Path) -> Path:
    """A folder with the layer, of which no tile is stored."""
    return unseeded(right, tmp_path / "data")


def killed(at: str, calls: int, data: Path, *words: str) -> None:
    """Kill a command that is held at a point, after so many calls were let go."""
    with holding(at, *words, "--data", str(data)) as (process, gate):
        gate.passed(calls, jobs=1)
        with ending(workers(process.pid)):
            process.send_signal(signal.SIGKILL)


def again(data: Path, *words: str) -> None:
    """The command, undisturbed."""
    subprocess.run([sys.executable, "-m", "seeder", *words, "--data", str(data)], capture_output=True, check=True)


@pytest.mark.parametrize("at", some([BLOCK, TILE, RECEIPT], RECEIPT))
def test_a_seeding_that_was_killed_comes_to_the_same_bytes(data: Path, right: Path, at: str) -> None:
    killed(at, 3, data, "seed", *SEED)
    assert list(undisturbed.differences(data, right)), "nothing was disturbed"
    again(data, "seed", *SEED)
    assert list(undisturbed.differences(data, right)) == []


@pytest.mark.parametrize(
    ("at", "left"), [(CHUNK, set[str]()), (MANIFEST, {"parts"}), (PUBLICATION, {"parts", "shards"})]
)
def test_an_ingest_that_was_killed_comes_to_the_same_bytes(
    source: Path, right: Path, tmp_path: Path, at: str, left: set[str]
) -> None:
    """It leaves parts at most, and a manifest that nothing names; the next ingest does not write them again."""
    data = tmp_path / "data"
    killed(at, 0, data, "ingest", *ingest(source))
    stored = [path for path in data.rglob("*") if path.is_file() and "scratch" not in path.parts]
    assert {path.relative_to(data / "private" / "sources" / "alps").parts[0] for path in stored} == left
    cogs = {path: path.stat().st_mtime_ns for path in stored if path.suffix == ".tif"}
    again(data, "ingest", *ingest(source))
    assert {path: path.stat().st_mtime_ns for path in cogs} == cogs
    again(data, "seed", *SEED)
    assert list(undisturbed.differences(data, right)) == []


def test_tiles_that_were_deleted_by_hand_are_made_again(data: Path, right: Path) -> None:
    again(data, "seed", *SEED)
    for path in sorted((data / "tiles" / "alps").glob("*/*/*.png"))[::3]:
        path.unlink()
    again(data, "seed", *SEED)
    assert list(undisturbed.differences(data, right)) == []


def test_it_tells_what_is_missing_too_many_or_of_other_bytes(
    source: Path, right: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(shutil.copytree(right, tmp_path / "data"))
    tiles = sorted(path for path in data.glob("tiles/alps/10/*/*.png"))
    tiles[0].unlink()
    tiles[1].write_bytes(b"")
    (data / "tiles" / "alps" / "10" / "0.png").write_bytes(b"x")
    one, two = (path.relative_to(data) for path in tiles[:2])
    said = {f"missing: {one}", f"other bytes: {two}", "too many: tiles/alps/10/0.png"}
    assert set(undisturbed.differences(data, right)) == said

    def run(folder: Path, *words: object) -> Path:  # `right` shows what the real one does
        assert words == ([*ingest(source)], [*SEED])
        return Path(shutil.copytree(right, folder))

    monkeypatch.setattr(undisturbed, "run", run)
    for subject, code, lines in ((data, 1, said), (right, 0, set[str]())):
        words = ["undisturbed", str(subject), "--ingest", " ".join(ingest(source)), "--seed", " ".join(SEED)]
        monkeypatch.setattr(sys, "argv", words)
        assert undisturbed.main() == code
        *found, last = capsys.readouterr().out.splitlines()
        assert set(found) == lines
        assert last.endswith(f" files compared, {len(lines)} differ")
