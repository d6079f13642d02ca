"""A command ends with the next step: the tiles' address, a smaller format, the next command, or where to begin."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from seeder.cli.main import main
from tests.support.paths import ROOT
from tests.support.rasters import Recipe, scene, write_raster
from tiler.layers.catalog import load_layer
from tiler.settings import Settings
from tiler.storage.store import Stores

METRES = Recipe(scene(64, 64), (14.0, 44.0, 15.0, 45.0), "EPSG:3857")  # which look like degrees
SITE = "https://tiles.example.com"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for a data folder, which TILER_DATA names."""
    monkeypatch.setenv("TILER_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TILER_URL", SITE)
    return tmp_path / "data"


def run(*words: object) -> Result:
    extra = ("--jobs", "1") if words[0] in ("ingest", "seed") else ()
    return CliRunner().invoke(main, [*map(str, words), *extra])


def ingested(recipe: Recipe, folder: Path, *words: str) -> Result:
    path = write_raster(folder / "land.tif", recipe)
    return run("ingest", path, *words)


def address(result: Result) -> str:
    """The tiles' address that a command names."""
    (found,) = re.findall(r"^tiles: (\S+)$", result.stdout, re.MULTILINE)
    return str(found)


@pytest.mark.parametrize("form", ["png", "jpg", "webp"])
def test_ingest_names_the_address_that_the_tilejson_has(form: str, data: Path, tmp_path: Path) -> None:
    result = ingested(Recipe(scene(64, 64)), tmp_path, "--max-zoom", "6", "--format", form)
    said = json.loads((data / "tiles" / "land" / "tile.json").read_text())
    assert address(result) == said["tiles"][0].partition("?")[0] == f"{SITE}/land/{{z}}/{{x}}/{{y}}.{form}"
    assert result.stdout.splitlines()[-1] == "next: seed land --zooms 0-6"


@pytest.mark.parametrize(("scale", "form"), [("1", None), ("2", None), ("1", "webp"), ("2", "jpg")])
def test_seed_names_the_address_of_the_tiles_that_it_made(
    scale: str, form: str | None, data: Path, alps_data: Path
) -> None:
    shutil.copytree(alps_data, data)
    result = run("seed", "alps", "--zooms", "5-6", "--scale", scale, *(("--format", form) if form else ()))
    pattern = address(result).removeprefix(SITE)
    made = list((data / "tiles" / "alps").glob("*/*/*"))
    assert made
    for path in made:
        z, x = path.parent.parent.name, path.parent.name
        y = path.name.partition(".")[0].partition("@")[0]
        assert pattern.format(z=z, x=x, y=y) == "/" + str(path.relative_to(data / "tiles"))


def test_seed_ends_with_the_command_that_shows_the_tiles_and_a_page_that_exists(data: Path, alps_data: Path) -> None:
    shutil.copytree(alps_data, data)
    last = run("seed", "alps", "--zooms", "5", "--data", data).stdout.splitlines()[-1]
    assert last.startswith(f"next: seeder serve --data {data} (")
    assert "http://localhost:8000/alps/" in last
    (page,) = re.findall(r"docs/[\w/-]+\.md", last)
    assert page == "docs/guides/use-the-tiles.md"
    if (ROOT / "docs" / "guides").exists():
        assert (ROOT / page).exists()


def test_json_and_sent_jobs_have_no_next_step(data: Path, alps_data: Path) -> None:
    shutil.copytree(alps_data, data)
    for words in (("seed", "alps", "--zooms", "5"), ("ingest", write_raster(data / "new.tif", Recipe(scene(64, 64))))):
        (line,) = run(*words, "--json").stdout.splitlines()
        assert "next" not in json.loads(line)


PHOTO = Recipe(scene(256, 384), (-180.0, -85.06, 180.0, 85.06))
FLAT = Recipe(np.full((3, 64, 64), 90, np.uint8))


@pytest.mark.parametrize(
    ("recipe", "words", "smaller"),
    [
        (PHOTO, ("--format", "png"), "jpg"),
        (PHOTO, (), ""),
        (PHOTO, ("--format", "jpg"), ""),
        (PHOTO, ("--format", "auto"), ""),
        (PHOTO, ("--virtual", "--format", "png"), ""),
        (FLAT, ("--format", "png"), ""),
        (Recipe(scene(256, 256, 1)), ("--colormap", "viridis", "--format", "png"), ""),
        (Recipe(scene(256, 256, 1)), ("--style", "terrain-rgb", "--format", "png"), ""),
    ],
)
def test_a_smaller_format_is_named_where_auto_would_choose_it(
    recipe: Recipe, words: tuple[str, ...], smaller: str, data: Path, tmp_path: Path
) -> None:
    result = ingested(recipe, tmp_path, *words)
    assert result.exit_code == 0, result.output
    line = r"^--format auto would choose (\w+): about ([\d.]+) KB a tile, png ([\d.]+) KB$"
    found = re.findall(line, result.stdout, re.MULTILINE)
    assert [form for form, _, _ in found] == ([smaller] if smaller else [])
    if smaller:
        assert 2 * float(found[0][1]) <= float(found[0][2]) * 1.01
        ingested(recipe, tmp_path, "--layer", "other", "--format", "auto")
        sources = Stores.open(Settings.from_env({}, data=str(data))).sources
        assert load_layer(sources, "other").format == smaller


@pytest.mark.parametrize("recipe", [METRES, Recipe(scene(64, 64))], ids=["doubted", "plain"])
def test_a_doubt_comes_before_the_next_command(recipe: Recipe, data: Path, tmp_path: Path) -> None:
    assert not data.exists()
    result = ingested(recipe, tmp_path)
    assert result.exit_code == 0, result.output
    doubted = "look like degrees" in result.stderr
    assert doubted == (recipe is METRES)
    last = result.stdout.splitlines()[-1]
    assert last.startswith("next: check the warnings above." if doubted else "next: seed land")
    assert "seed land --zooms" in last


# Where to begin


EMPTY: dict[str, tuple[Any, ...]] = {
    "layers": ("layers",),
    "status": ("status",),
    "seed": ("seed", "land"),
    "verify": ("verify", "land"),
    "count": ("count", "land"),
}


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("name", EMPTY)
def test_a_folder_without_layers_is_named(name: str, there: bool, data: Path) -> None:
    if there:
        (data / "private").mkdir(parents=True)
    result = run(*EMPTY[name])
    (line,) = result.stderr.splitlines()
    assert re.search(rf"no (layers|jobs) yet in {data}: run `seed", line)
    assert result.exit_code == (0 if name in ("layers", "status") else 2)
    assert result.stdout == ""


def test_a_bucket_without_layers_is_named(data: Path, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILER_SOURCES", f"{s3_url}/private")
    assert f"no layers yet in {s3_url}/private: run `seeder ingest SOURCE`" in run("layers").stderr
    assert not data.exists()
