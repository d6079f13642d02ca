"""Commands in messages can be run as printed: they use the stores of the command before."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from seeder.cli import main as cli
from tests.support.aws import MakeStack
from tests.support.clock import nothing_in_flight
from tests.support.hints import follow, hints, run
from tests.support.rasters import Recipe, scene, write_raster

SITE = "http://tiles.test"


@pytest.fixture
def rasters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two rasters of one place. The fence has passed, so nothing waits."""
    nothing_in_flight(monkeypatch)
    monkeypatch.setenv("TILER_DATA", str(tmp_path / "elsewhere"))
    one, other = (
        write_raster(tmp_path / f"the {seed}.tif", Recipe(values=scene(64, 64, seed=seed))) for seed in (1, 2)
    )
    return one, other


@pytest.fixture
def data(tmp_path: Path) -> tuple[str, str]:
    """A folder with a name that needs quotes, as an option."""
    return "--data", str(tmp_path / "my maps")


def test_the_next_step_can_be_run_as_printed(rasters: tuple[Path, Path], data: tuple[str, str], tmp_path: Path) -> None:
    said = [hint for raster in rasters for hint in followed(raster, data)]
    assert [hint.split()[:2] for hint in said] == [["seed", "land"], ["seeder", "refresh"]]
    assert not (tmp_path / "elsewhere").exists()


def followed(raster: Path, data: tuple[str, str]) -> list[str]:
    """Ingest a raster and run the suggested command."""
    found = hints(run("ingest", raster, "--layer", "land", "--max-zoom", "5", *data))
    for hint in found:
        result = follow(hint)
        assert result.exit_code == 0, result.output
    assert run("verify", "land", "--deep", *data).exit_code == 0
    return found


def stale(rasters: tuple[Path, Path], data: tuple[str, str]) -> None:
    """A layer with tiles of another revision."""
    for words in (("ingest", rasters[0]), ("seed",), ("ingest", rasters[1])):
        more = ("--layer", "land", "--max-zoom", "6") if words[0] == "ingest" else ("land",)
        assert run(*words, *more, *data).exit_code == 0


SAID: dict[str, Callable[[tuple[str, str]], Result]] = {
    "no such layer": lambda data: run("seed", "nowhere", *data),
    "stale, by seed": lambda data: run("seed", "land", *data),
    "stale, by verify": lambda data: run("verify", "land", *data),
    "stale, by export": lambda data: run("export", "land", str(Path(data[1], "a.pmtiles")), *data),
    "cancelled": lambda data: run("cancel", "land", *data),
    "no such job": lambda data: run("status", "nowhere", *data),
    "an option too much": lambda data: run("refresh", "land", "--nodata", "3", *data),
    "no layers": lambda data: run("layers", data[0], f"{data[1]}/private"),
    "no jobs": lambda data: run("status", data[0], f"{data[1]}/private"),
    "no folder": lambda data: run("layers", data[0], f"{data[1]}/none"),
}


@pytest.mark.parametrize("message", SAID)
def test_whatever_command_a_message_names_means_the_same_stores(
    message: str, rasters: tuple[Path, Path], data: tuple[str, str]
) -> None:
    stale(rasters, data)
    next(Path(data[1]).glob("private/jobs/*/done/*")).unlink()  # so that a job can be cancelled
    found = hints(SAID[message](data))
    assert found
    assert all(data[1] in " ".join(shlex.split(hint)) and "--data" in hint for hint in found), found


def test_what_was_not_typed_is_not_named(rasters: tuple[Path, Path]) -> None:
    (hint,) = hints(run("ingest", rasters[0], "--layer", "land", "--max-zoom", "5"))
    assert hint.split() == ["seed", "land", "--zooms", "0-5"]


def test_a_stack_that_was_typed_is_named(make_stack: MakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    name, other = (make_stack(WebsiteUrl=SITE, TileUrl=f"{SITE}/tiles") for _ in range(2))
    for words in (("seed", "nowhere", "--stack", name), ("--stack", name, "seed", "nowhere")):
        monkeypatch.setenv("TILER_STACK", other)
        (hint,) = hints(CliRunner().invoke(cli.main, words))
        assert hint == f"seeder ingest SOURCE --stack {name}"
    (hint,) = hints(run("seed", "nowhere"))
    assert hint == "seeder ingest SOURCE"


@pytest.mark.parametrize(
    "words", [("layers",), ("layers", "--json"), ("status",), ("doctor",), ("serve", "--port", "0")]
)
def test_a_folder_that_does_not_exist_is_bad_input(words: tuple[str, ...], tmp_path: Path) -> None:
    result = run(*words, "--data", tmp_path / "nowhere")
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: no folder {tmp_path / 'nowhere'}: ")
    assert list(tmp_path.iterdir()) == []
