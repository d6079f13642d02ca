"""If the raster of a virtual layer changes, no tile shows the change, and the error names the command to run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rasterio.shutil
from click.testing import CliRunner, Result

from seeder.cli import main as cli
from tests.support.files import accompanied
from tests.support.rasters import Recipe, scene, write_raster
from tiler.layers import raster_pixels
from tiler.layers.catalog import dump, load_layer, parse
from tiler.layers.origin import check_origins
from tiler.settings import Settings
from tiler.storage.store import Stores

ZOOMS = ("--zooms", "5-6", "--jobs", "1")


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Runs a command on an empty data folder."""

    def call(*words: object) -> Result:
        return CliRunner().invoke(cli.main, [*map(str, words)], env={"TILER_DATA": str(tmp_path / "data")})

    return call


def copy_of(member: Path, path: Path) -> Path:
    """A VRT of a raster."""
    rasterio.shutil.copy(str(member), str(path), driver="VRT")
    return path


@pytest.fixture(params=["tif", "vrt"])
def source(request: pytest.FixtureRequest, tmp_path: Path, run: Callable[..., Result]) -> Path:
    """The raster of the virtual layer `alps`, or the member of its VRT."""
    member = write_raster(tmp_path / "member.tif", Recipe(values=scene(350, 450)))
    path = copy_of(member, tmp_path / "all.vrt") if request.param == "vrt" else member
    assert run("ingest", path, "--layer", "alps", "--virtual", "--jobs", "1").exit_code == 0
    return member


def tiles(tmp_path: Path, layer: str = "alps") -> dict[str, bytes]:
    folder = tmp_path / "data" / "tiles" / layer
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("*/*/*")}


def other(tmp_path: Path) -> Path:
    return write_raster(tmp_path / "other.tif", Recipe(values=255 - scene(350, 450)))


def test_nothing_is_seeded_from_a_raster_that_changed_and_refresh_is_the_cure(
    source: Path, tmp_path: Path, run: Callable[..., Result]
) -> None:
    shutil.copy(other(tmp_path), source)
    result = run("seed", "alps", *ZOOMS)
    assert (result.exit_code, tiles(tmp_path)) == (1, {})
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "it changed since it was ingested" in errors[0]
    assert "seeder refresh" in errors[0]
    top = next(path for path in (tmp_path / "all.vrt", source) if path.exists())
    assert run("refresh", "alps", top, "--no-wait", "--jobs", "1").exit_code == 0
    assert run("seed", "alps", *ZOOMS).exit_code == 0
    assert run("verify", "alps", "--zooms", "5-6", "--deep", "--jobs", "1").exit_code == 0


def test_a_raster_that_was_only_touched_is_taken_again_without_a_new_revision(
    source: Path, tmp_path: Path, run: Callable[..., Result]
) -> None:
    os.utime(source, (1, 1))
    assert run("seed", "alps", *ZOOMS).exit_code == 1
    top = next(path for path in (tmp_path / "all.vrt", source) if path.exists())
    said = run("ingest", top, "--layer", "alps", "--virtual", "--jobs", "1", "--json")
    assert json.loads(said.stdout)["fresh"] is False
    assert run("seed", "alps", *ZOOMS).exit_code == 0


def test_a_sidecar_that_appears_is_a_change(source: Path, tmp_path: Path, run: Callable[..., Result]) -> None:
    accompanied(source, source)
    result = run("seed", "alps", *ZOOMS)
    assert (result.exit_code, tiles(tmp_path)) == (1, {})
    assert f"{source}.aux.xml" in result.stderr


CHANGES: dict[str, Callable[[Path], object]] = {
    "another raster": lambda source: write_raster(source, Recipe(values=255 - scene(350, 450))),
    "a sidecar more": lambda source: accompanied(source, source),
    "gone": Path.unlink,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("deep", [(), ("--deep",)], ids=["", "deep"])
def test_a_look_at_stored_tiles_tells_that_the_raster_changed(
    deep: tuple[str, ...], change: str, source: Path, run: Callable[..., Result]
) -> None:
    assert run("seed", "alps", *ZOOMS).exit_code == 0
    words = ("verify", "alps", *ZOOMS, *deep)
    assert run(*words).exit_code == 0
    CHANGES[change](source)
    result = run(*words)
    (line,) = result.output.splitlines()
    assert result.exit_code == 1
    assert "it changed since it was ingested" in line
    assert "run `seeder refresh alps " in line


@pytest.mark.parametrize("when", range(0, 20, 3))
def test_a_raster_that_changes_in_the_middle_of_a_seed_leaves_no_wrong_tile(
    when: int, tmp_path: Path, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, successor = write_raster(tmp_path / "a.tif", Recipe(values=scene(350, 450))), other(tmp_path)
    assert run("ingest", path, "--layer", "alps", "--virtual", "--jobs", "1").exit_code == 0
    assert run("seed", "alps", *ZOOMS).exit_code == 0
    right = tiles(tmp_path)
    shutil.rmtree(tmp_path / "data" / "tiles" / "alps")
    real, reads = raster_pixels.warp, 0

    def disturbed(*words: Any) -> Any:
        nonlocal reads
        reads += 1
        if reads == when + 1:
            shutil.copy(successor, path)
            monkeypatch.setattr(raster_pixels, "opened", fresh)  # as a process that has just begun
        return real(*words)

    def fresh(*words: Any, **more: Any) -> Any:
        from tiler.raster.datasets import forget, opened  # noqa: PLC0415

        forget()
        return opened(*words, **more)

    monkeypatch.setattr(raster_pixels, "warp", disturbed)
    result = run("seed", "alps", *ZOOMS, "--max-failed", "100")
    found = tiles(tmp_path)
    assert found.items() <= right.items()
    assert (result.exit_code == 0) == (found == right)
    assert reads <= when or result.exit_code == 1


def test_layers_of_earlier_versions_are_read_and_not_checked(
    source: Path, tmp_path: Path, run: Callable[..., Result]
) -> None:
    index = tmp_path / "data" / "private" / "sources" / "alps" / "index.json"
    said = json.loads(index.read_text())
    assert said.pop("origins")
    index.write_text(json.dumps(said))
    os.utime(source, (1, 1))
    assert run("seed", "alps", *ZOOMS).exit_code == 0


def test_what_is_on_record_is_what_was_there(source: Path, tmp_path: Path) -> None:
    stores = Stores.open(Settings.from_env({}, data=str(tmp_path / "data")))
    layer = load_layer(stores.sources, "alps")
    assert str(source) in {each.path for each in layer.origins}
    assert parse(dump(layer), "key") == layer
    check_origins(layer.id, layer.source, layer.origins)


def test_a_vrt_in_one_line_named_relatively_is_read_from_any_folder(
    tmp_path: Path, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    for folder in (here, elsewhere):
        folder.mkdir()
    path = write_raster(here / "x.tif", Recipe(values=scene(350, 450)))
    write_raster(elsewhere / "x.tif", Recipe(values=255 - scene(350, 450)))
    monkeypatch.chdir(here)
    assert run("ingest", "vrt://x.tif?bands=3,2,1", "--layer", "alps", "--virtual", "--jobs", "1").exit_code == 0
    monkeypatch.chdir(elsewhere)
    result = run("seed", "alps", *ZOOMS)
    assert result.exit_code == 0, result.output
    assert run("verify", "alps", "--zooms", "5-6", "--deep", "--jobs", "1").exit_code == 0
    found = tiles(tmp_path)
    whole = f"vrt://{path}?bands=3,2,1"
    assert run("ingest", whole, "--layer", "whole", "--virtual", "--jobs", "1").exit_code == 0
    assert run("seed", "whole", *ZOOMS).exit_code == 0
    assert found
    assert found == tiles(tmp_path, "whole")
