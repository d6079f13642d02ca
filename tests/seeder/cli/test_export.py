"""The command `export`: stored tiles in one file that other programs can open, despite interruptions."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import mercantile
import numpy as np
import pytest
import rasterio
from click.testing import CliRunner, Result
from mercantile import Tile
from rasterio.windows import Window

from seeder.archive.export import Kind, Target
from seeder.cache.prepare_job import prepare
from seeder.cli.export import export
from seeder.select.selection import Selection
from seeder.workers.local_pool import LocalPool
from tests.support.archives import KINDS, NAMES, Content, pmtiles, read
from tests.support.aws import upload
from tests.support.paths import ROOT
from tiler.errors import StoreError
from tiler.image.encode import decode
from tiler.keys import parse_tile_key
from tiler.layers.catalog import load_layer
from tiler.layers.publication import publish
from tiler.layers.render import TileVariant
from tiler.settings import Settings
from tiler.storage.store import Store, Stores

ZOOMS = tuple(range(9))


@pytest.fixture(scope="module")
def seeded(alps_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the layer `alps` and stored zooms 0 to 8; to be copied."""
    data = Path(shutil.copytree(alps_data, tmp_path_factory.mktemp("seeded") / "data"))
    for variant in (TileVariant(), TileVariant(scale=2, format="webp")):
        seed(data, variant, ZOOMS if variant.scale == 1 else ZOOMS[3:6])
    return data


def seed(data: Path, variant: TileVariant, zooms: tuple[int, ...]) -> None:
    given = Settings.from_env({}, data=str(data))
    stores = Stores.open(given)
    plan = prepare(load_layer(stores.sources, "alps"), Selection(zooms), variant, force=False, stores=stores)
    LocalPool(given, 1, lambda _: None).send(plan.messages((8,)))


@pytest.fixture
def data(seeded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `seeded` for the command, and the working folder beside it."""
    folder = Path(shutil.copytree(seeded, tmp_path / "data"))
    monkeypatch.setenv("TILER_DATA", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def stored(data: Path, ending: str = ".png") -> Content:
    root = data / "tiles"
    keys = (str(path.relative_to(root)) for path in root.glob(f"alps/*/*/*{ending}"))
    return {parse_tile_key(key).tile: (root / key).read_bytes() for key in keys}


def run(*words: str) -> Result:
    return CliRunner().invoke(export, ["alps", *words])


def said(*words: str) -> dict[str, Any]:
    done = run(*words, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def target(name: str) -> Target:
    return Target.parse(name, overwrite=True)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_stored_is_exported_and_told(kind: Kind, data: Path) -> None:
    done = run(NAMES[kind])
    assert done.exit_code == 0, done.output
    tiles = stored(data)
    assert read(target(NAMES[kind])) == tiles
    assert done.stdout.startswith(
        f"{len(tiles)} tiles, {len(set(tiles.values()))} of them distinct, in {NAMES[kind]}: "
    )
    told = said(NAMES[kind], "--overwrite")
    assert told == {
        "layer": "alps",
        "revision": load_layer(Stores.open(Settings.from_env({}, data=str(data))).sources, "alps").revision,
        "file": str(Path(NAMES[kind]).absolute()),
        "kind": kind,
        "format": "png",
        "scale": 1,
        "tiles": len(tiles),
        "distinct": len(set(tiles.values())),
        "resumed": 0,
        "left_out": 0,
        "rendered": 0,
        "bytes": target(NAMES[kind]).size,
    }


def test_selectors_say_which(data: Path) -> None:
    box = "6.1,46.1,6.9,46.4"
    assert run("some.pmtiles", "--zooms", "3-8", "--bbox", box).exit_code == 0
    found = pmtiles(Path("some.pmtiles"))
    wanted = set(mercantile.tiles(*map(float, box.split(",")), range(3, 9)))
    tiles = stored(data)
    assert found.tiles == {tile: tiles[tile] for tile in wanted}
    west, south, east, north = (found.header[name] / 1e7 for name in ("west", "south", "east", "north"))
    assert max(west - 6.1, 6.9 - east, south - 46.1, 46.4 - north) <= 0
    assert (found.header["minzoom"], found.header["maxzoom"]) == (3, 8)


def test_tiles_of_another_scale_and_format_are_other_tiles(data: Path) -> None:
    told = said("double", "--scale", "2", "--format", "webp")
    tiles = stored(data, "@2x.webp")
    assert (told["scale"], told["format"], told["tiles"]) == (2, "webp", len(tiles))
    assert read(target("double")) == tiles
    assert not (Path("double") / "6").exists()


@pytest.mark.parametrize("words", [(), ("--scale", "2", "--format", "webp")])
def test_gdal_opens_mbtiles_and_sees_the_same(words: tuple[str, ...], data: Path) -> None:
    assert run("out.mbtiles", *words).exit_code == 0
    tiles = stored(data, "@2x.webp" if words else ".png")
    deepest = max(tile.z for tile in tiles)
    for options, z in (({}, deepest), ({"OVERVIEW_LEVEL": 0}, deepest - 1)):
        with rasterio.open("out.mbtiles", **options) as file:
            assert file.crs.to_epsg() == 3857
            assert file.tags()["name"] == "alps"
            for tile in (tile for tile in tiles if tile.z == z):
                pixels = decode(tiles[tile])[1].transpose(2, 0, 1)
                seen = file.read(window=window(file, tile, pixels.shape[1]), boundless=True, fill_value=0)
                shown = (pixels[3] > 0) & (seen[3] > 0)
                assert shown.any()
                assert np.array_equal(seen[:3, shown], pixels[:3, shown])


def window(file: Any, tile: Tile, side: int) -> Window:
    """The window of a tile in a raster of its resolution."""
    corner, edge = mercantile.xy_bounds(tile), file.transform
    return Window(round((corner.left - edge.c) / edge.a), round((corner.top - edge.f) / edge.e), side, side)


@pytest.mark.usefixtures("alps_copy")
def test_nothing_warm_is_told_with_the_cure(tmp_path: Path) -> None:
    done = run(str(tmp_path / "out.pmtiles"))
    assert done.exit_code == 2
    assert "`seed alps` first" in done.stderr
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (["out.zip"], "use .pmtiles or .mbtiles"),
        (["data"], "already exists"),
        (["data", "--overwrite"], "contains files other than tiles"),
        (["out.pmtiles", "--missing"], "leave --missing out"),
        (["out.pmtiles", "--zooms", "12"], "has zooms 0-9"),
        (["out.pmtiles", "--scale", "2"], "`seed alps` first"),
    ],
)
def test_what_cannot_be_is_refused_with_the_cure(words: list[str], cure: str, data: Path) -> None:
    done = run(*words)
    assert done.exit_code == 2
    assert cure in done.stderr
    assert [each.name for each in data.parent.iterdir()] == ["data"]


def test_tiles_of_the_revision_before_are_told(data: Path) -> None:
    stores = Stores.open(Settings.from_env({}, data=str(data)))
    layer = load_layer(stores.sources, "alps")
    publish(replace(layer, revision="beef"), stores)
    done = run("out.mbtiles", "--zooms", "0-2")
    assert done.exit_code == 0
    assert f"tiles of revision {layer.revision} are stored" in done.stderr
    with closing(sqlite3.connect("out.mbtiles")) as base:
        assert base.execute("SELECT value FROM metadata WHERE name = 'revision'").fetchone() == (
            f"{layer.revision}..beef",
        )


def stops_at(number: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    given, whole = 0, Store.get

    def get(store: Store, key: str) -> bytes:
        nonlocal given
        given += key.endswith(".png")
        if given > number:
            raise error
        return whole(store, key)

    monkeypatch.setattr(Store, "get", get)


def test_an_error_of_the_store_ends_the_run_and_what_is_there_is_kept(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stops_at(30, StoreError("read", "alps/5/1/1.png", "the line is dead"), patch)
        done = run("out.pmtiles")
    assert done.exit_code == 1
    assert "error: cannot read alps/5/1/1.png: the line is dead" in done.stderr
    assert not Path("out.pmtiles").exists()
    done = run("out.pmtiles")
    assert done.exit_code == 0
    assert "30 tiles already fetched: resuming from out.pmtiles.part" in done.stderr
    assert read(target("out.pmtiles")) == stored(data)


def test_ctrl_c_is_130_with_a_hint(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("seeder.archive.export.digest", interrupt)
        done = run("out.pmtiles")
    assert done.exit_code == 130
    assert "run the same command again to resume from out.pmtiles.part" in done.stderr
    told = said("out.pmtiles")
    assert told["resumed"] == told["tiles"] == len(stored(data))


def interrupt(_: bytes) -> str:
    raise KeyboardInterrupt


def test_a_part_of_another_format_is_begun_anew_and_that_is_said(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stops_at(30, StoreError("read", "a tile", "the line is dead"), patch)
        assert run("out.pmtiles").exit_code == 1
    done = run("out.pmtiles", "--scale", "2", "--format", "webp")
    assert done.exit_code == 0
    assert "out.pmtiles.part held other tiles (png, 1): starting over" in done.stderr
    assert read(target("out.pmtiles")) == stored(data, "@2x.webp")


def test_a_killed_run_is_taken_up(data: Path) -> None:
    """A process killed by SIGKILL in the middle of a commit's tiles."""
    script = """
import os, signal
from seeder.archive import export as archive
from seeder.cli.export import export
from tiler.storage.store import Store
given, whole = 0, Store.get
def get(store, key):
    global given
    given += key.endswith(".png")
    if given == 33:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(store, key)
archive.COMMIT = 8
Store.get = get
export(["alps", "out.mbtiles"])
"""
    where = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=where, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not Path("out.mbtiles").exists()
    told = said("out.mbtiles")
    assert told["resumed"] in (16, 24, 32), "at most 16 tiles are on their way, and those since the last commit"
    assert told["tiles"] == len(stored(data))
    assert read(target("out.mbtiles")) == stored(data)


def test_tiles_of_a_bucket_are_exported(data: Path, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    upload(data / "tiles", s3_url.removeprefix("s3://"))
    tiles = {tile: seen for tile, seen in stored(data).items() if tile.z in (0, 7)}
    monkeypatch.setenv("TILER_TILES", s3_url)
    monkeypatch.setenv("TILER_SOURCES", (data / "private").as_uri())
    assert said("out.pmtiles", "--zooms", "0,7")["tiles"] == len(tiles)
    assert read(target("out.pmtiles")) == tiles


def test_gdal_reads_the_same_bytes_from_pmtiles(data: Path) -> None:
    there = {f"{tile.z}/{tile.x}/{tile.y}.png": content for tile, content in stored(data).items()}
    assert said("alps.pmtiles")["tiles"] == len(there) > 30
    reader = [
        sys.executable,
        "-m",
        "tests.support.gdal_pmtiles",
        str(data.parent / "alps.pmtiles"),
        *there,
        "8/0/0.png",
    ]
    done = subprocess.run(reader, cwd=ROOT, capture_output=True, text=True, check=True)
    found = dict(line.split() for line in done.stdout.splitlines())
    absent = found.pop("8/0/0.png")
    assert found == {name: sha256(content).hexdigest() for name, content in there.items()}
    assert absent == sha256(b"").hexdigest()
