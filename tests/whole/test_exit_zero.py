"""Exit 0 means what the summary says, for every command: each number is held against files, read without our code."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mercantile
import pytest
import rasterio
from click.testing import CliRunner

from seeder.cli import main as cli
from tests.support.rasters import Recipe, scene, write_raster

ZOOMS = "5-7"
BOUNDS = (5.0, 45.0, 9.0, 48.0)  # of `alps`
NO_CLAIM = {
    "empty-stack": "needs a stack: operations/test_empty_stack",
    "doctor": "its lines are its checks: test_doctor",
    "serve": "ends with a signal: test_serve, test_answers",
    "worker": "needs a queue: test_poll",
}


@dataclass(frozen=True)
class Ground:
    """A data folder with the layer `alps`, and what a command said of it."""

    root: Path

    def run(self, *words: object) -> list[Any]:
        """What a command prints, as JSON where it is; it must exit with 0."""
        result = CliRunner().invoke(cli.main, [str(word) for word in words])
        assert (result.exit_code, "Traceback" in result.output) == (0, False), result.output
        return [json.loads(line) if line.startswith("{") else line for line in result.stdout.splitlines()]

    def seeded(self) -> dict[str, Any]:
        """What `seed` says."""
        (said,) = self.run("seed", "alps", "--zooms", ZOOMS, "--jobs", 1, "--json")
        return dict(said)

    @property
    def tiles(self) -> dict[str, bytes]:
        """The files below the layer's zooms, by z/x/y."""
        folder = self.root / "data" / "tiles" / "alps"
        return {str(path.relative_to(folder).with_suffix("")): path.read_bytes() for path in folder.glob("*/*/*")}

    def private(self, *parts: str) -> Any:
        """A JSON file of the private store."""
        return json.loads(Path(self.root, "data", "private", *parts).read_text())

    def other(self) -> Path:
        """Another raster of the same place."""
        return write_raster(self.root / "other.tif", Recipe(values=255 - scene()))


def planned(*zooms: int) -> set[str]:
    """The tiles of the bounds."""
    return {f"{tile.z}/{tile.x}/{tile.y}" for tile in mercantile.tiles(*BOUNDS, zooms)}


def ingest(ground: Ground) -> None:
    (said,) = ground.run("ingest", ground.other(), "--layer", "alps", "--jobs", 1, "--json")
    index = ground.private("sources", "alps", "index.json")
    assert (said["fresh"], index["revision"]) == (True, said["revision"])
    shards = [ground.private("sources", "alps", "shards", f"{name}.json") for name in index["parts"]["shards"].values()]
    parts = {part["name"] for shard in shards for part in shard}
    assert parts
    folder = ground.root / "data" / "private" / "sources" / "alps" / "parts"
    assert all((folder / f"{name}{kind}").stat().st_size for name in parts for kind in (".tif", ".json"))


def info(ground: Ground) -> None:
    raster = ground.other()
    (told,) = ground.run("info", raster, "--json")
    (said,) = ground.run("ingest", raster, "--layer", "other", "--jobs", 1, "--json")
    index = ground.private("sources", "other", "index.json")
    assert {name: told[name] for name in ("minzoom", "maxzoom")} == {
        name: index[name] for name in ("minzoom", "maxzoom")
    }
    assert told["bounds"] == pytest.approx(said["bounds"])
    assert told["tiles"] == sum(told["by_zoom"].values())


def apply(ground: Ground) -> None:
    text = f'[layers.other]\nsource = "{ground.other()}"\nseed = "{ZOOMS}"\n'
    Path(ground.root, "layers.toml").write_text(text)
    (*_, done) = ground.run("apply", ground.root / "layers.toml", "--jobs", 1, "--json")
    assert (done["layer"], done["revision"]) == ("other", ground.private("sources", "other", "index.json")["revision"])
    assert done["written"] == len([*Path(ground.root, "data", "tiles", "other").glob("*/*/*")])
    (plan, *rest) = ground.run("apply", ground.root / "layers.toml", "--jobs", 1, "--json")
    assert (plan["state"], rest[-1]["to_do"]) == ("unchanged", [])


def layers(ground: Ground) -> None:
    there = {path.parent.name for path in (ground.root / "data" / "private" / "sources").glob("*/index.json")}
    assert {said["layer"] for said in ground.run("layers", "--json")} == there == {"alps"}


def scenes(ground: Ground) -> None:
    west, east = (
        write_raster(ground.root / f"{name}.tif", Recipe(values=scene(60, 80), bounds=(left, 45, left + 1, 46)))
        for name, left in (("west", 5), ("east", 5.9))
    )
    ground.run("ingest", west, east, "--layer", "flight", "--jobs", 1)
    said = ground.run("scenes", "flight", "--json")
    assert [each["address"] for each in said] == [str(west), str(east)]
    for each in said:
        with rasterio.open(each["address"]) as raster:
            assert each["bounds"] == pytest.approx(raster.bounds)
            assert each["size"] == [raster.width, raster.height]
    (outlines,) = ground.run("scenes", "flight", "--geojson")
    assert len(outlines["features"]) == 2


def count(ground: Ground) -> None:
    (said,) = ground.run("count", "alps", "--zooms", ZOOMS, "--json")
    assert said["tiles"] == len(planned(5, 6, 7))
    assert {int(z): n for z, n in said["by_zoom"].items()} == {z: len(planned(z)) for z in (5, 6, 7)}


def lists(ground: Ground) -> None:
    assert sorted(ground.run("list", "alps", "--zooms", ZOOMS)) == sorted(planned(5, 6, 7))


def seed(ground: Ground) -> None:
    said = ground.seeded()
    there = ground.tiles
    assert there.keys() == planned(5, 6, 7)
    assert (said["written"], said["bytes"]) == (len(there), sum(map(len, there.values())))
    assert (said["tiles"], said["missing"], said["stale"], said["failed"]) == (len(there), 0, 0, 0)


def verify(ground: Ground) -> None:
    ground.seeded()
    assert ground.run("verify", "alps", "--zooms", ZOOMS, "--deep") == []
    gone = next((ground.root / "data" / "tiles" / "alps").glob("7/*/*"))
    gone.unlink()
    result = CliRunner().invoke(cli.main, ["verify", "alps", "--zooms", ZOOMS])
    assert (result.exit_code, result.stdout.split()) == (1, [f"7/{gone.parent.name}/{gone.stem}"])


def export(ground: Ground) -> None:
    ground.seeded()
    target = ground.root / "alps.mbtiles"
    (said,) = ground.run("export", "alps", target, "--json")
    with closing(sqlite3.connect(target)) as database:
        rows = database.execute("SELECT zoom_level, tile_column, tile_row, tile_data FROM tiles").fetchall()
    found = {f"{z}/{x}/{(1 << z) - 1 - row}": bytes(data) for z, x, row, data in rows}  # TMS counts from the south
    assert found == ground.tiles
    assert said["tiles"] == len(found)


def invalidate(ground: Ground) -> None:
    ground.seeded()
    before = ground.tiles
    (said,) = ground.run("invalidate", "alps", "--zooms", "6", "--json")
    assert before.keys() - ground.tiles.keys() == planned(6)
    assert (said["removed"], said["failed"]) == (len(planned(6)), 0)


def refresh(ground: Ground) -> None:
    ground.seeded()
    before = ground.tiles
    told = ground.run("refresh", "alps", ground.other(), "--jobs", 1, "--no-wait", "--json")
    after = ground.tiles
    assert after.keys() == before.keys()
    assert all(after[tile] != data for tile, data in before.items())
    assert sum(each.get("written", 0) for each in told) == len(after)
    assert told[-1]["revision"] == ground.private("sources", "alps", "index.json")["revision"]


def rollback(ground: Ground) -> None:
    ground.seeded()
    before, index = ground.tiles, ground.private("sources", "alps", "index.json")
    ground.run("refresh", "alps", ground.other(), "--jobs", 1, "--no-wait")
    ground.run("rollback", "alps", "--jobs", 1, "--no-wait")
    assert ground.tiles == before
    assert ground.private("sources", "alps", "index.json")["revision"] == index["revision"]


def remove(ground: Ground) -> None:
    ground.seeded()
    ground.run("remove", "alps", "--confirm", "alps", "--no-wait")
    left = [path for path in (ground.root / "data").rglob("*") if path.is_file() and "alps" in str(path)]
    assert left == []


def status(ground: Ground) -> None:
    job = ground.seeded()["job"]
    (said,) = ground.run("status", job, "--json")
    receipts = list((ground.root / "data" / "private" / "jobs" / job / "done").iterdir())
    assert (said["state"], sum(zoom["done"] for zoom in said["by_zoom"].values())) == ("done", len(receipts))
    assert not (ground.root / "data" / "private" / "jobs" / job / "failed").exists()


def errors(ground: Ground) -> None:
    job = ground.seeded()["job"]
    assert ground.run("errors", job, "--json") == []


def cancel(ground: Ground) -> None:
    job = ground.seeded()["job"]
    shutil.rmtree(ground.root / "data" / "private" / "jobs" / job / "done")
    ground.run("cancel", job)
    assert (ground.root / "data" / "private" / "jobs" / job / "cancelled").exists()
    assert CliRunner().invoke(cli.main, ["status", job]).exit_code == 1


def resume(ground: Ground) -> None:
    job = ground.seeded()["job"]
    shutil.rmtree(ground.root / "data" / "private" / "jobs" / job / "done")
    before = ground.tiles
    shutil.rmtree(ground.root / "data" / "tiles" / "alps" / "7")
    (said,) = ground.run("resume", job, "--jobs", 1, "--json")
    assert ground.tiles == before
    assert (said["written"], said["missing"]) == (len(planned(7)), 0)


def publish_preview(ground: Ground) -> None:
    (said,) = ground.run("publish-preview", "alps", "--json")
    files = [ground.root / "data" / "tiles" / "alps" / name for name in said["files"]]
    assert files
    assert sum(file.stat().st_size for file in files) == said["bytes"]


CLAIMS: dict[str, Callable[[Ground], None]] = {
    "list": lists,
    "publish-preview": publish_preview,
    **{
        each.__name__: each
        for each in (
            ingest,
            info,
            apply,
            layers,
            scenes,
            count,
            seed,
            verify,
            export,
            invalidate,
            refresh,
            rollback,
            remove,
        )
    },
    **{each.__name__: each for each in (info, apply, status, errors, cancel, resume)},
}


@pytest.mark.parametrize("command", CLAIMS)
def test_exit_0_means_what_is_said(command: str, alps_copy: Path) -> None:
    CLAIMS[command](Ground(alps_copy.parent))


def test_every_command_has_a_claim_or_a_test_of_its_own() -> None:
    assert set(cli.main.commands) == CLAIMS.keys() | NO_CLAIM.keys()
