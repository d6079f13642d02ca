"""The commands: output, results, exit codes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import mercantile
import numpy as np
import pytest
from click.testing import CliRunner, Result

from seeder.cli import main as cli
from seeder.cli.seed import seed
from tests.support.files import snapshot
from tests.support.rasters import MakeRaster, scene

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `seeder` with one process and data in an empty folder."""
    monkeypatch.setenv("TILER_DATA", str(tmp_path / "data"))

    def call(*words: object) -> Result:
        several = words[0] in ("ingest", "seed") and "--help" not in words
        extra = ("--jobs", "1") if several else ()
        return CliRunner().invoke(cli.main, [*map(str, words), *extra])

    return call


@pytest.fixture
def alps(alps_data: Path, tmp_path: Path) -> str:
    """A layer of zooms 0 to 9 with data in all tiles."""
    shutil.copytree(alps_data, tmp_path / "data")
    return "alps"


def tiles(root: Path, layer: str, *, data: str = "data") -> dict[str, bytes]:
    folder = root / data / "tiles" / layer
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("*/*/*")}


def summary(result: Result) -> dict[str, Any]:
    lines = result.stdout.splitlines()
    assert len(lines) == 1
    said: dict[str, Any] = json.loads(lines[0])
    return said


def test_ingest_then_seed_makes_every_tile_of_the_bounds(run: Run, alps: str, tmp_path: Path) -> None:
    result = run("seed", alps, "--zooms", "5-8")
    assert result.exit_code == 0
    wanted = {f"{t.z}/{t.x}/{t.y}.png" for t in mercantile.tiles(5.0, 45.0, 9.0, 48.0, range(5, 9))}
    assert set(tiles(tmp_path, alps)) == wanted
    assert f"{len(wanted):,} written" in result.stdout


def test_the_json_summary_adds_up(run: Run, alps: str, tmp_path: Path) -> None:
    said = summary(run("seed", alps, "--zooms", "0-7", "--json"))
    names = ["job", "layer", "revision", "tiles", "written", "empty", "skipped", "failed", "bytes", "seconds"]
    assert list(said) == [*names, "missing", "stale", "unsure"]
    assert said["tiles"] == said["written"] + said["empty"] + said["skipped"] + said["failed"]
    made = tiles(tmp_path, alps)
    assert (said["written"], said["bytes"]) == (len(made), sum(map(len, made.values())))


def test_a_second_run_leaves_existing_tiles_alone(run: Run, alps: str, tmp_path: Path) -> None:
    first = summary(run("seed", alps, "--zooms", "6-7", "--json"))
    marked = next((tmp_path / "data" / "tiles" / alps / "7").glob("*/*.png"))
    marked.write_bytes(b"not rendered again")
    second = summary(run("seed", alps, "--zooms", "6-7", "--json"))
    assert (second["written"], second["skipped"]) == (0, first["written"])
    assert second["job"] != first["job"]
    assert marked.read_bytes() == b"not rendered again"


def test_force_renders_existing_tiles_again(run: Run, alps: str, tmp_path: Path) -> None:
    run("seed", alps, "--zooms", "6")
    before = tiles(tmp_path, alps)
    marked = next((tmp_path / "data" / "tiles" / alps / "6").glob("*/*.png"))
    marked.write_bytes(b"stale")
    assert summary(run("seed", alps, "--zooms", "6", "--force", "--json"))["written"] == len(before)
    assert tiles(tmp_path, alps) == before


def test_a_run_after_tiles_were_removed_makes_them_again(run: Run, alps: str, tmp_path: Path) -> None:
    run("seed", alps, "--zooms", "5-8")
    before = tiles(tmp_path, alps)
    shutil.rmtree(tmp_path / "data" / "tiles" / alps / "8")
    assert run("seed", alps, "--zooms", "5-8").exit_code == 0
    assert tiles(tmp_path, alps) == before


def test_dry_run_counts_exactly_and_writes_nothing(run: Run, alps: str, tmp_path: Path) -> None:
    before = snapshot(tmp_path)
    said = summary(run("seed", alps, "--zooms", "0-8", "--dry-run", "--json"))
    assert snapshot(tmp_path) == before
    done = summary(run("seed", alps, "--zooms", "0-8", "--json"))
    assert said["tiles"] == done["tiles"]
    for zoom, count in said["by_zoom"].items():
        listed = list(mercantile.tiles(5.0, 45.0, 9.0, 48.0, int(zoom)))
        assert (count["tiles"], count["blocks"]) == (len(listed), len({(t.x // 8, t.y // 8) for t in listed}))
    blocks = (tmp_path / "data" / "private" / "jobs" / done["job"] / "done").iterdir()
    assert said["blocks"] == len(list(blocks))


def test_dry_run_for_people_shows_each_zoom(run: Run, alps: str) -> None:
    rows = [line.split() for line in run("seed", alps, "--zooms", "6-8", "--dry-run").stdout.splitlines()]
    assert rows[0][:3] == ["zoom", "tiles", "blocks"]
    assert [row[0] for row in rows[2:6]] == ["6", "7", "8", "all"]


def test_a_box_limits_what_is_seeded(run: Run, alps: str, tmp_path: Path) -> None:
    assert run("seed", alps, "--zooms", "8", "--bbox", "6,46,6.5,46.5", "--bbox", "8,47,8.2,47.2").exit_code == 0
    boxes = [(6.0, 46.0, 6.5, 46.5), (8.0, 47.0, 8.2, 47.2)]
    wanted = {f"8/{t.x}/{t.y}.png" for box in boxes for t in mercantile.tiles(*box, 8)}
    assert set(tiles(tmp_path, alps)) == wanted


def test_scale_and_format_make_their_own_keys(run: Run, alps: str, tmp_path: Path) -> None:
    assert run("seed", alps, "--zooms", "6", "--scale", "2", "--format", "webp").exit_code == 0
    names = set(tiles(tmp_path, alps))
    assert names
    assert all(re.fullmatch(r"6/\d+/\d+@2x\.webp", name) for name in names)


def test_layers_lists_what_was_ingested(run: Run, alps: str) -> None:
    said = summary(run("layers", "--json"))
    assert (said["layer"], said["minzoom"], said["maxzoom"], said["virtual"]) == (alps, 0, 9, False)
    assert alps in run("layers").stdout


def test_layers_of_an_empty_folder_says_what_to_do(run: Run, tmp_path: Path) -> None:
    result = run("layers")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "seeder ingest" in result.stderr
    assert not (tmp_path / "data").exists()


def test_ingest_prints_the_stretch_it_chose(run: Run, make_raster: MakeRaster) -> None:
    values = np.linspace(1000, 3000, 300 * 400).reshape(1, 300, 400).astype(np.uint16)
    result = run("ingest", make_raster(values=values))
    low, high = (float(part) for part in re.search(r"rescale (\S+),(\S+)", result.stdout).groups())  # type: ignore[union-attr]
    assert abs(low - 1040) < 5
    assert abs(high - 2960) < 5


def test_ingest_names_the_layer_after_the_file(run: Run, make_raster: MakeRaster) -> None:
    said = summary(run("ingest", make_raster(values=scene(), name="Ortho Mosaic (2).tif"), "--json"))
    assert said["layer"] == "ortho-mosaic-2"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("seed", "alp"), "did you mean alps?"),
        (("seed", "Alps!"), "cannot name a layer"),
        (("seed", "alps", "--zooms", "7-5"), "runs backwards"),
        (("seed", "alps", "--zooms", "a"), "not a zoom range"),
        (("seed", "alps", "--zooms", "7-99"), "is too high"),
        (("seed", "alps", "--zooms", "5-14"), "zooms 0-9, not 10, 11, 12, 13, 14"),
        (("seed", "alps", "--bbox", "1,2,3"), "not a bounding box"),
        (("seed", "alps", "--bbox", "5,48,9,45"), "south must lie below north"),
        (("seed", "alps", "--bbox", "100,0,101,1"), "no tile of layer 'alps' is selected"),
        (("seed", "alps", "--scale", "3"), "'3' is not"),
        (("seed", "alps", "--format", "gif"), "'gif' is not"),
        (("ingest", "nowhere.tif"), "cannot ingest nowhere.tif"),
        (("ingest", "nowhere.tif", "--layer", "Bad Name"), "cannot name a layer"),
        (("ingest", "nowhere.tif", "--rescale", "5"), "write MIN,MAX"),
        (("ingest", "nowhere.tif", "--bands", "r,g,b"), "does not name bands"),
    ],
)
def test_bad_input_is_one_clear_line_and_changes_nothing(
    run: Run, alps: str, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    assert alps
    before = snapshot(tmp_path)
    result = run(*words)
    assert result.exit_code == 2
    errors = [line for line in result.stderr.splitlines() if line.lower().startswith("error")]
    assert len(errors) == 1
    assert says in errors[0]
    assert result.stdout == ""
    assert snapshot(tmp_path) == before


def test_a_folder_that_cannot_be_written_is_bad_input(run: Run, tmp_path: Path, alps: str) -> None:
    (tmp_path / "file").write_text("in the way")
    result = run("seed", alps, "--data", tmp_path / "file" / "deeper")
    assert result.exit_code == 2
    result = run("ingest", tmp_path / "source.tif", "--data", tmp_path / "file" / "deeper")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "cannot use file://" in result.stderr


def test_tiles_seeded_into_s3_are_the_local_ones_with_their_type(
    run: Run, alps: str, tmp_path: Path, s3_url: str, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("seed", alps, "--zooms", "5-7")
    local = tiles(tmp_path, alps)
    monkeypatch.setenv("TILER_TILES", s3_url)
    said = summary(run("seed", alps, "--zooms", "5-7", "--json"))
    assert said["written"] == len(local)
    again = summary(run("seed", alps, "--zooms", "5-7", "--force", "--json"))
    assert again["written"] == len(local)
    client, bucket = boto3.client("s3", endpoint_url=s3_server), s3_url.removeprefix("s3://")
    for name, data in local.items():
        answer = client.get_object(Bucket=bucket, Key=f"{alps}/{name}")
        assert (answer["Body"].read(), answer["ContentType"]) == (data, "image/png")


@pytest.mark.parametrize("command", ["main", *cli.main.commands])
def test_every_help_has_an_example(command: str) -> None:
    words = [] if command == "main" else [command]
    lines = CliRunner().invoke(cli.main, [*words, "--help"]).stdout.splitlines()
    start = next(number for number, line in enumerate(lines) if line.strip() in ("Example:", "Examples:"))
    assert re.match(r" +seed(er)? \w", lines[start + 1]), "an example stands on a line of its own"


def test_seed_is_seeder_seed() -> None:
    alone = CliRunner().invoke(seed, ["--help"]).stdout
    assert alone.partition("\n")[2] == CliRunner().invoke(cli.main, ["seed", "--help"]).stdout.partition("\n")[2]


def test_sources_in_s3_give_the_same_tiles(
    run: Run, alps: str, tmp_path: Path, make_raster: MakeRaster, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("seed", alps, "--zooms", "5-7")
    local = tiles(tmp_path, alps)
    monkeypatch.setenv("TILER_SOURCES", f"{s3_url}/private")
    monkeypatch.setenv("TILER_TILES", (tmp_path / "other" / "tiles").as_uri())
    run("ingest", make_raster(values=scene()), "--layer", alps, "--format", "png")
    assert run("seed", alps, "--zooms", "5-7").exit_code == 0
    assert tiles(tmp_path / "other", alps, data=".") == local
