"""Refreshes keep a layer complete, including tiles that were empty, and report new places."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from seeder.cli import main as cli
from seeder.cli.seed import seed
from tests.support.clock import nothing_in_flight
from tests.support.hints import cut_off, follow, hints
from tests.support.rasters import Recipe, scene, write_raster
from tiler.image.encode import blank_tile

BOX = (5.0, 15.0, 45.0, 55.0)
BLANKS = {blank_tile(size, "png") for size in (256, 512)}
JOBS = ("ingest", "seed", "refresh", "verify", "rollback", "invalidate")
PART = "--bbox", "6,16,20,30"


def dots(path: Path, seed: int) -> Path:
    """A raster with few pixels, so that most tiles of high zooms are empty."""
    values = np.zeros((3, 160, 160), np.uint8)
    for row, column in np.random.default_rng(seed).integers(0, 160, (9, 2)):
        values[:, row, column] = 40 + 20 * seed
    return write_raster(path, Recipe(values=values, bounds=BOX, nodata=0))


@dataclass(frozen=True)
class Islands:
    """The layer `land` in a data folder, and named rasters."""

    data: Path
    rasters: Path

    def run(self, *words: object, code: int = 0) -> Result:
        """Run a command with one process; rasters are given by name."""
        some = ("--jobs", "1") if words[0] in JOBS else ()
        program, rest = (seed, words[1:]) if words[0] == "seed" else (cli.main, words)
        said = [str(self.rasters / word) if str(word).endswith(".tif") else str(word) for word in rest]
        result = CliRunner().invoke(program, [*said, *some], env={"TILER_DATA": str(self.data)})
        assert result.exit_code == code, f"{result.output}{result.exception!r}"
        return result

    def ingest(self, raster: str) -> None:
        """Publish a raster."""
        self.run("ingest", raster, "--layer", "land", "--max-zoom", "5", "--format", "png")

    def jobs(self) -> set[str]:
        """The recorded jobs."""
        return {path.name for path in (self.data / "private" / "jobs").iterdir()}

    def seen(self) -> dict[str, bytes]:
        """The stored tiles that are not blank."""
        folder = self.data / "tiles" / "land"
        found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("*/*/*.png")}
        return {name: data for name, data in found.items() if data not in BLANKS}


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Islands:
    """A data folder with a completely seeded layer."""
    folder = tmp_path_factory.mktemp("islands")
    for number in (1, 2):
        dots(folder / f"{number}.tif", number)
    islands = Islands(folder / "data", folder)
    islands.ingest("1.tif")
    islands.run("seed", "land")
    return islands


@pytest.fixture(scope="module")
def right(seeded: Islands) -> dict[str, dict[str, bytes]]:
    """The objects of an empty folder after seeding a raster."""
    other = Islands(seeded.data.with_name("other"), seeded.rasters)
    other.ingest("2.tif")
    other.run("seed", "land")
    return {"1.tif": seeded.seen(), "2.tif": other.seen()}


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that the fence has passed, so that nothing waits."""
    nothing_in_flight(monkeypatch)


@pytest.fixture
def islands(seeded: Islands, tmp_path: Path) -> Islands:
    """A copy of `seeded`."""
    return Islands(Path(shutil.copytree(seeded.data, tmp_path / "data")), seeded.rasters)


def refreshed(islands: Islands) -> None:
    islands.run("refresh", "land", "2.tif")


def ingested(islands: Islands) -> None:
    islands.ingest("2.tif")
    islands.run("refresh", "land")


def reseeded(islands: Islands) -> None:
    islands.ingest("2.tif")
    islands.run("invalidate", "land", "--all", "--reseed")


def rolled_back(islands: Islands) -> None:
    for job in (islands.data / "private" / "jobs").iterdir():
        shutil.rmtree(job / "done")
    islands.ingest("2.tif")
    islands.run("seed", "land", "--force")
    islands.run("refresh", "land")
    islands.run("rollback", "land")


def interrupted(islands: Islands) -> None:
    cut_off(islands.run, ("refresh", "land", "2.tif"), "put", 3)
    islands.run("refresh", "land")


def twice(islands: Islands) -> None:
    islands.ingest("2.tif")
    islands.ingest("1.tif")
    islands.run("refresh", "land", "2.tif")


WAYS: dict[str, tuple[Callable[[Islands], None], str]] = {
    "refresh with a raster": (refreshed, "2.tif"),
    "ingest and refresh": (ingested, "2.tif"),
    "ingest and reseed": (reseeded, "2.tif"),
    "rollback": (rolled_back, "1.tif"),
    "cut off and refreshed": (interrupted, "2.tif"),
    "one after the other": (twice, "2.tif"),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_was_seeded_is_seeded_of_the_next_revision(
    way: str, islands: Islands, right: dict[str, dict[str, bytes]]
) -> None:
    assert len(islands.seen()) < 40, "zooms of which less than half is stored"
    change, raster = WAYS[way]
    change(islands)
    islands.run("verify", "land")
    assert islands.seen() == right[raster]
    said = json.loads(islands.run("seed", "land", "--json").stdout)
    assert (said["missing"], said["stale"], said["written"]) == (0, 0, 0)
    before = islands.jobs()
    assert "needs re-rendering" in islands.run("refresh", "land").stderr
    assert islands.jobs() == before


def test_at_every_scale(islands: Islands) -> None:
    islands.run("seed", "land", "--scale", "2", "--zooms", "5", *PART)
    islands.run("refresh", "land", "2.tif")
    islands.run("verify", "land", "--zooms", "5", "--scale", "2", *PART)
    islands.run("verify", "land", "--zooms", "5", "--scale", "2", code=1)
    islands.run("verify", "land")


@pytest.fixture
def partly(islands: Islands) -> Islands:
    """Less than half of the highest zoom is seeded."""
    for name in ("tiles/land/5", "private/jobs"):
        shutil.rmtree(islands.data / name)
    islands.run("seed", "land", "--zooms", "5", *PART)
    return islands


def test_nothing_is_said_to_be_empty_that_was_never_looked_at(partly: Islands) -> None:
    partly.run("refresh", "land", "2.tif")
    partly.run("verify", "land", "--zooms", "5", *PART)
    assert partly.run("verify", "land", "--zooms", "5", code=1).stdout.startswith("5/")


def test_a_block_that_lost_a_tile_excuses_none(partly: Islands) -> None:
    gone = min(name for name in partly.seen() if name.startswith("5/"))
    (partly.data / "tiles" / "land" / gone).unlink()
    partly.run("refresh", "land", "2.tif")
    missing = partly.run("verify", "land", "--zooms", "5", *PART, code=1).stdout.split()
    assert gone.removesuffix(".png") in missing
    partly.run("seed", "land", "--zooms", "5", *PART)
    partly.run("verify", "land", "--zooms", "5", *PART)


def test_a_dry_run_and_the_limit_count_what_was_empty(islands: Islands) -> None:
    said = json.loads(islands.run("refresh", "land", "2.tif", "--dry-run", "--json").stdout.splitlines()[-1])
    refused = islands.run("refresh", "land", "2.tif", "--confirm-above", str(said["rendered"] - 1), code=2)
    assert f"{said['rendered']} tiles would be re-rendered" in refused.stderr
    told = islands.run("refresh", "land", "2.tif", "--json").stdout.splitlines()
    assert sum(json.loads(line).get("tiles", 0) for line in told) == said["rendered"]


# rasters that cover more


@pytest.fixture
def grown(tmp_path: Path) -> Islands:
    """A seeded layer of a raster, and another raster of four times its area."""
    for name, size in (("small", 150), ("large", 300)):
        recipe = Recipe(values=scene(size, size), bounds=(5.0, 25.0, 5.0 + size / 15, 25.0 + size / 15))
        write_raster(tmp_path / f"{name}.tif", recipe)
    made = Islands(tmp_path / "more", tmp_path)
    made.run("ingest", "small.tif", "--layer", "land", "--max-zoom", "5", "--format", "png")
    made.run("seed", "land")
    return made


def test_new_tiles_of_warm_zooms_are_told_with_the_command_that_seeds_them(
    grown: Islands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILER_DATA", "nowhere")
    data = ("--data", grown.data)
    result = grown.run("refresh", "land", "large.tif", *data)
    missing = grown.run("verify", "land", code=1).stdout.split()
    assert f" ({len(missing)} tiles of these zooms are new)" in result.stdout
    (hint,) = hints(result)
    zooms = sorted({int(tile.partition("/")[0]) for tile in missing})
    assert hint.split() == ["seed", "land", "--zooms", f"{zooms[0]}-{zooms[-1]}", *map(str, data)]
    assert hints(grown.run("refresh", "land", *data)) == [hint], "nobody did it yet"
    assert follow(hint).exit_code == 0
    grown.run("verify", "land")
    assert hints(grown.run("refresh", "land", *data)) == []


def test_new_tiles_of_zooms_that_were_not_warm_are_not_told(grown: Islands) -> None:
    for path in sorted((grown.data / "tiles" / "land" / "5").glob("*/*.png"))[1:]:
        path.unlink()
    (hint,) = hints(grown.run("refresh", "land", "large.tif"))
    assert hint.split()[3][-1] == "4"


def test_a_raster_of_the_same_place_has_nothing_new(islands: Islands, grown: Islands, tmp_path: Path) -> None:
    assert hints(islands.run("refresh", "land", "2.tif")) == []
    write_raster(tmp_path / "again.tif", Recipe(values=scene(150, 150, seed=2), bounds=(5.0, 25.0, 15.0, 35.0)))
    assert hints(grown.run("refresh", "land", "again.tif")) == []
    assert all("next" not in line for line in grown.run("refresh", "land", "large.tif", "--json").stdout.splitlines())


def test_a_damaged_earlier_revision_keeps_nobody_from_a_refresh(grown: Islands) -> None:
    (index,) = (grown.data / "private" / "sources" / "land").glob("*/index.json")
    index.write_text("{")
    assert hints(grown.run("refresh", "land", "large.tif")) == []
