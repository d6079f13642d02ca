"""The Python API does the same as the commands: the same tiles, bytes and findings, without output."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mercantile import Tile

import seeder
from seeder.archive.export import Target
from seeder.operations.checks import ARGUMENTS, as_arguments
from seeder.operations.ingest_arguments import Ingesting
from seeder.operations.selector_arguments import _PARSERS, Selecting
from seeder.workers import fanout
from tests.support.archives import KINDS, NAMES, read
from tests.support.aws import MakeStack, upload
from tests.support.begun import Begun
from tests.support.commands import geojson, said
from tests.support.commands import seeder as command
from tests.support.files import files_of, snapshot
from tests.support.function import png_tiles
from tests.support.paths import ROOT
from tests.support.queues import MakeQueue, working
from tests.support.rasters import MakeRaster, Recipe, scene
from tiler.layers.catalog import load_layer
from tiler.layers.publication import publish
from tiler.raster.options import Options
from tiler.settings import Settings
from tiler.storage.store import Stores

BOX = (6.0, 45.5, 7.0, 46.5)
HOLE = {"type": "Polygon", "coordinates": [[[6, 45.5], [7, 45.5], [6.5, 46.5], [6, 45.5]]]}


@pytest.fixture
def ws(alps_copy: Path) -> seeder.Workspace:
    """A workspace with the layer `alps`, shared with every command."""
    return seeder.open(alps_copy)


@pytest.fixture
def alps(ws: seeder.Workspace) -> seeder.Layer:
    """The layer of the workspace."""
    return ws.layer("alps")


@pytest.fixture(autouse=True)
def silence(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[[], None]]:
    """Fail a test that prints anything; commands of a test print elsewhere."""
    yield lambda: None
    assert capfd.readouterr() == ("", "")


# Imports


def test_import_seeder_alone_imports_nothing_dear() -> None:
    code = (
        "import sys, seeder; dir(seeder), seeder.errors.TilerError\n"
        "print(sorted({'boto3', 'click', 'numpy', 'obstore', 'rasterio', 'tqdm'} & set(sys.modules)))\n"
        "seeder.open('./nowhere').layers()\n"
        "print('boto3' in sys.modules, 'seeder.cli' in sys.modules, 'tqdm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "False False False"]


def test_all_that_is_public_is_there() -> None:
    assert set(seeder.__all__) <= set(dir(seeder))
    assert all(getattr(seeder, name).__doc__ for name in seeder.__all__)
    with pytest.raises(AttributeError, match="no attribute 'close'"):
        seeder.close  # noqa: B018


# Workspaces


def test_a_folder_that_is_named_goes_before_the_environment(
    alps_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert repr(seeder.open().layers()[0]).startswith("<Layer alps: revision ")
    monkeypatch.setenv("TILER_TILES", "s3://elsewhere")
    monkeypatch.setenv("TILER_STACK", "another")
    assert [layer.name for layer in seeder.open(alps_copy).layers()] == ["alps"]
    assert seeder.open(tmp_path / "new").layers() == []
    assert not (tmp_path / "new").exists()


def test_a_stack_is_opened_with_its_buckets_and_its_queue(
    make_stack: MakeStack, alps_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = make_stack(WebsiteUrl="http://tiles.test/", TileUrl="http://direct.test/")
    ws = seeder.open(stack=name, region="us-east-1")
    upload(alps_copy / "private", ws.settings.sources.removeprefix("s3://"))
    assert [layer.name for layer in ws.layers()] == ["alps"]
    assert ws.settings.queue
    monkeypatch.delenv("TILER_DATA")
    monkeypatch.setenv("TILER_STACK", name)
    assert seeder.open().settings == ws.settings
    with pytest.raises(seeder.errors.BadOption, match="give one of them"):
        seeder.open("data", stack=name)


# Selections

WORDS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "all": ({}, ()),
    "zooms": ({"zooms": "3,5-7"}, ("--zooms", "3,5-7")),
    "range of zooms": ({"zooms": range(5, 8)}, ("--zooms", "5-7")),
    "one zoom": ({"zooms": 6}, ("--zooms", "6")),
    "box": ({"zooms": "5-9", "bbox": BOX}, ("--zooms", "5-9", "--bbox", "6,45.5,7,46.5")),
    "boxes": (
        {"bbox": [(5, 45, 5.5, 46), (8, 47, 9, 48)]},
        ("--bbox", "5,45,5.5,46", "--bbox", "8,47,9,48"),
    ),
    "geojson": ({"geojson": HOLE}, ("--geojson", "{hole}")),
    "file of geojson": ({"geojson": ["{hole}"], "buffer": 9000}, ("--geojson", "{hole}", "--buffer", "9000")),
    "around": ({"around": (7, 46), "radius": 20}, ("--around", "7,46", "--radius", "20")),
    "two places": (
        {"around": [(7, 46), (8, 47)], "radius": 5},
        ("--around", "7,46", "--around", "8,47", "--radius", "5"),
    ),
    "tiles": (
        {"tiles": [Tile(x=132, y=90, z=8), "9/265/181", "120221"]},
        ("--tiles", "{list}"),
    ),
    "file of tiles": ({"tiles": "{list}", "expand": (6, 9)}, ("--tiles", "{list}", "--expand", "6,9")),
    "areas": (
        {"area": {"0-6": "world", "7-8": BOX, "9": HOLE}},
        ("--area", "0-6=world", "--area", "7-8=6,45.5,7,46.5", "--area", "9={hole}"),
    ),
    "exclude": ({"zooms": 9, "exclude": HOLE}, ("--zooms", "9", "--exclude", "{hole}")),
    "traffic": ({"traffic": "{log}", "top": 2}, ("--traffic", "{log}", "--top", "2")),
    "share": ({"traffic": ["{log}"], "share": 0.9}, ("--traffic", "{log}", "--share", "90%")),
    "without data": ({"zooms": "8-9", "footprint": False}, ("--zooms", "8-9", "--no-footprint")),
    "missing": ({"zooms": "5-7", "missing": True}, ("--zooms", "5-7", "--missing")),
    "existing": ({"zooms": "5-8", "existing": True}, ("--zooms", "5-8", "--existing")),
}


@pytest.mark.parametrize("which", WORDS)
def test_a_call_selects_the_tiles_of_the_command(ws: seeder.Workspace, tmp_path: Path, which: str) -> None:
    alps = ws.layer("alps")
    alps.seed(alps.select(zooms=6), jobs=1)
    files = {"hole": tmp_path / "hole.json", "list": tmp_path / "list.txt", "log": tmp_path / "access.log"}
    files["hole"].write_text(geojson(HOLE))
    files["list"].write_text("8/132/90\n9/265/181\n120221\n")
    log = '1.2.3.4 - - [10/Oct/2025:13:55:36 +0000] "GET /alps/{} HTTP/1.1" 200 2326\n'
    files["log"].write_text("".join(map(log.format, ("9/265/181.png", "9/265/181.png", "9/266/181.png"))))
    given, words = WORDS[which]

    def named(value: Any) -> Any:
        if isinstance(value, str) and value.startswith("{"):
            return files[value[1:-1]]
        return [named(each) for each in value] if isinstance(value, list) else value

    tiles = alps.select(**{name: named(value) for name, value in given.items()})
    spelled = [re.sub(r"\{(\w+)\}", lambda found: str(files[found[1]]), word) for word in words]
    result = command("list", "alps", *spelled)
    assert result.exit_code == 0, result.output
    assert [f"{tile.z}/{tile.x}/{tile.y}" for tile in tiles] == result.stdout.splitlines()
    counted = said(command("count", "alps", *spelled, "--json"))
    assert {str(z): number for z, number in tiles.count().items()} == counted["by_zoom"]
    assert len(tiles) == counted["tiles"] == sum(tiles.count().values())
    assert all(tile in tiles for tile in tiles)
    assert Tile(x=0, y=0, z=9) not in tiles
    assert "9/265/181" not in tiles


def test_every_selector_is_typed() -> None:
    assert Selecting.__annotations__.keys() == _PARSERS.keys()


def test_tiles_stay_what_they_were_when_they_were_selected(alps: seeder.Layer) -> None:
    missing = alps.select(zooms="5-6", missing=True)
    before = list(missing)
    assert missing
    alps.seed(missing, jobs=1)
    assert list(missing) == before
    assert alps.verify(missing).passed
    nothing = alps.select(zooms="5-6", missing=True)
    assert (len(nothing), bool(nothing), list(nothing)) == (0, False, [])
    assert repr(nothing) == "<Tiles of alps: 0, png>"


# Seeding


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"zooms": "5-8", "bbox": BOX}, ("--zooms", "5-8", "--bbox", "6,45.5,7,46.5")),
        ({"zooms": "5-7", "scale": 2, "format": "webp"}, ("--zooms", "5-7", "--scale", "2", "--format", "webp")),
    ],
)
def test_a_call_seeds_what_the_command_seeds(
    alps_data: Path, tmp_path: Path, given: dict[str, Any], words: tuple[str, ...]
) -> None:
    one, other = (Path(shutil.copytree(alps_data, tmp_path / name)) for name in ("one", "other"))
    layer = seeder.open(one).layer("alps")
    tiles = layer.select(**given)
    job = layer.seed(tiles, jobs=1)
    done = said(command("seed", "alps", *words, "--jobs", "1", "--json", "--data", str(other)))
    assert files_of(one / "tiles") == files_of(other / "tiles")
    assert job.result
    mine = job.result.to_json()
    assert job.result.passed
    assert mine.keys() == done.keys()
    same = done.keys() - {"job", "seconds"}
    assert {name: mine[name] for name in same} == {name: done[name] for name in same}
    assert job.id.rpartition("-")[0] == done["job"].rpartition("-")[0]  # of the same spec
    assert job.status().state == job.wait().state == "done"


def test_a_job_that_was_cut_off_is_gone_on_with_by_either(ws: seeder.Workspace, alps_copy: Path) -> None:
    alps = ws.layer("alps")
    tiles = alps.select(zooms="5-8")

    def stop(done: int, _: int) -> None:
        raise KeyboardInterrupt if done else AssertionError

    with pytest.raises(KeyboardInterrupt):
        alps.seed(tiles, jobs=1, progress=stop)
    (job,) = ws.jobs()
    assert job.status().state == "stalled"
    assert job.wait().state == "stalled"
    again = alps.seed(tiles, jobs=1)
    assert again.id == job.id
    assert again.result
    assert again.result.tally.written == len(tiles) == len(png_tiles(alps_copy))
    assert said(command("seed", "alps", "--zooms", "5-8", "--jobs", "1", "--json"))["skipped"] == len(tiles)


def test_without_tiles_the_whole_layer_is_meant(alps: seeder.Layer) -> None:
    seeded = alps.seed(jobs=1).result
    assert seeded
    assert seeded.tally.tiles == len(alps.select()) == alps.verify().tiles


def test_where_nothing_is_to_be_done_a_job_says_so(alps: seeder.Layer) -> None:
    alps.seed(alps.select(zooms=5), jobs=1)
    job = alps.seed(alps.select(zooms=5, missing=True), jobs=1)
    assert (job.id, job.result, job.status().state, job.status().percent) == ("", None, "done", 100.0)
    assert job.wait().state == job.resume().retry().wait().state == "done"
    assert job.failures() == []
    assert repr(job) == "<Job of alps: nothing to do>"
    job.cancel()


def test_what_may_cost_too_much_is_refused(ws: seeder.Workspace, alps_copy: Path) -> None:
    alps = ws.layer("alps")
    before = snapshot(alps_copy)
    tiles = alps.select(zooms=5)
    estimate = alps.estimate(tiles, queue="http://queue.test/blocks", jobs=1)
    assert estimate.demand.tiles == len(tiles)
    assert estimate.most > 0
    with pytest.raises(seeder.errors.BadOption, match="the estimate is up to"):
        alps.seed(tiles, queue="http://queue.test/blocks", jobs=1, max_cost=0)
    assert snapshot(alps_copy) == before


# Jobs


def test_a_job_that_failed_is_retried(alps_copy: Path) -> None:
    begun = Begun(alps_copy)
    ws = seeder.open(alps_copy)
    job = ws.job(begun.id)
    with begun.unreadable():
        assert not job.resume(jobs=1, max_failed=1).result.passed  # type: ignore[union-attr]
    assert job.status().state == "failed"
    failed = {line.split()[0] for failure in job.failures() for line in failure.lines()}
    assert failed == {line.split()[0] for line in command("errors", job.id, "--export", "-").stdout.splitlines()}
    assert job.retry(jobs=1).result.passed  # type: ignore[union-attr]
    assert job.failures() == []
    assert ws.job("alps").status().state == "done"
    assert {name.removesuffix(".png") for name in png_tiles(alps_copy)} == failed
    with pytest.raises(seeder.errors.BadOption, match="nothing to cancel"):
        job.cancel()


def test_a_job_in_a_queue_is_cancelled_resumed_and_followed(
    make_queue: MakeQueue, ws: seeder.Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "Watch", partial(fanout.Watch, pause=0.05))
    queue, alps = make_queue(), ws.layer("alps")
    tiles = alps.select(zooms="5-7")
    sent: list[tuple[int, int]] = []
    job = alps.seed(tiles, queue=queue.url, progress=lambda *seen: sent.append(seen))
    assert job.result
    assert job.result.messages == 3
    assert sent[-1] == (len(tiles), len(tiles))
    assert job.status().state == "running"
    job.cancel()
    assert job.wait().state == "cancelled"
    job.resume()
    seen: list[tuple[int, int]] = []
    with working(queue, ws.settings):
        assert ws.job(job.id).wait(jobs=1).state == "done"
        assert job.wait(jobs=1, progress=lambda *each: seen.append(each)).state == "done"
    assert job.result.passed
    assert job.result.check
    assert alps.verify(tiles).passed
    stores = Stores.open(ws.settings)
    publish(replace(load_layer(stores.sources, "alps"), revision="0000"), stores)
    assert ws.job(job.id).wait(jobs=1).state == "done"
    assert seen in ([], [(len(tiles), len(tiles))]) or seen[-1] == (len(tiles), len(tiles))


# Verify, export, tile


def test_a_call_finds_what_the_command_finds(ws: seeder.Workspace, alps_copy: Path) -> None:
    alps = ws.layer("alps")
    tiles = alps.select(zooms="5-8")
    alps.seed(tiles, jobs=1)
    assert alps.verify(tiles, deep=True, sample=None, jobs=1).passed
    folder = alps_copy / "tiles" / "alps"
    names = sorted(png_tiles(alps_copy))
    (folder / names[0]).unlink()
    (folder / names[1]).write_bytes(b"")
    (folder / names[2]).write_bytes(b"no picture")
    (folder / names[3]).write_bytes((folder / names[4]).read_bytes())
    (folder / "8" / "0").mkdir()
    (folder / "8" / "0" / "0.png").write_bytes(b"astray")
    found = alps.verify(tiles, deep=True, sample=None, jobs=1)
    words = ("verify", "alps", "--zooms", "5-8", "--deep", "--sample", "all", "--jobs", "1", "--json")
    result = command(*words)
    assert result.exit_code == 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    mine = [{"key": each.key, "problem": each.problem, "tile": each.tile} for each in found.findings]
    assert sorted(mine, key=str) == sorted(lines, key=str)  # findings are in order
    assert set(found.problems) == {"missing", "no bytes", "damaged", "differs", "unexpected"}
    assert (found.passed, found.tiles) == (False, len(tiles))


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_exports_what_the_command_exports(ws: seeder.Workspace, tmp_path: Path, kind: Any) -> None:
    alps = ws.layer("alps")
    alps.seed(alps.select(zooms="5-7"), jobs=1)
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    done = alps.export(one / NAMES[kind], alps.select(zooms="5-6"))
    told = said(command("export", "alps", other / NAMES[kind], "--zooms", "5-6", "--json"))
    same = told.keys() - {"file", "bytes"}
    assert {name: getattr(done, name) for name in same} == {name: told[name] for name in same}
    tiles = read(Target(one / NAMES[kind], kind))
    assert tiles == read(Target(other / NAMES[kind], kind))
    assert set(tiles) == set(alps.select(zooms="5-6"))
    with pytest.raises(seeder.errors.BadOption, match="overwrite"):
        alps.export(one / NAMES[kind], alps.select(zooms=7))
    assert alps.export(str(one / NAMES[kind]), alps.select(zooms=7), overwrite=True).tiles == len(alps.select(zooms=7))


def test_a_tile_is_had_as_a_map_gets_it(ws: seeder.Workspace, alps_copy: Path) -> None:
    alps = ws.layer("alps")
    tiles = list(alps.select(zooms="5-6"))
    rendered = {tile: alps.tile(tile.z, tile.x, tile.y) for tile in tiles}
    assert png_tiles(alps_copy) == {}
    alps.seed(alps.select(zooms="5-6"), jobs=1)
    assert {f"{tile.z}/{tile.x}/{tile.y}.png": data for tile, data in rendered.items()} == png_tiles(alps_copy)
    first = tiles[0]
    (alps_copy / "tiles" / "alps" / f"{first.z}/{first.x}/{first.y}.png").write_bytes(b"as it is stored")
    assert alps.tile(first.z, first.x, first.y) == b"as it is stored"
    assert alps.tile(first.z, first.x, first.y, format="webp", scale=2) not in (None, rendered[first])
    assert alps.tile(9, 0, 0) is None
    assert alps.tile(12, 0, 0) is None
    for place in ((3, 8, 0), (-1, 0, 0), (29, 0, 0)):
        with pytest.raises(seeder.errors.GridError):
            alps.tile(*place)


def test_tilejson_is_what_is_published(ws: seeder.Workspace, alps_copy: Path) -> None:
    alps = ws.layer("alps")
    published = json.loads((alps_copy / "tiles" / "alps" / "tile.json").read_text())
    base = {**published, "tiles": [published["tiles"][0].replace("http://tiles.test", ws.settings.url)]}
    assert alps.tilejson() == base
    assert alps.facts() == said(command("layers", "--json"))
    assert (alps.minzoom, alps.maxzoom, alps.format) == (0, 9, "png")
    assert alps.revision in published["tiles"][0]
    assert list(alps.bounds) == [5, 45, 9, 48]


# Progress


def stages(seen: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Progress by stages: each starts where the count falls."""
    found: list[list[tuple[int, int]]] = []
    for each in seen:
        if not found or each[0] <= found[-1][-1][0]:
            found.append([])
        found[-1].append(each)
    return found


def test_progress_adds_up(ws: seeder.Workspace, tmp_path: Path, make_raster: MakeRaster) -> None:
    alps, seen = ws.layer("alps"), list[tuple[int, int]]()
    tiles = alps.select(zooms="5-7")
    total = len(tiles)

    def tell(done: int, of: int) -> None:
        seen.append((done, of))

    def ended(*totals: int) -> bool:
        found = stages(seen)
        seen.clear()
        return [stage[-1] for stage in found] == [(each, each) for each in totals]

    alps.seed(tiles, jobs=1, progress=tell)
    assert ended(total)
    alps.verify(tiles, progress=tell)
    assert ended(total)
    alps.verify(tiles, deep=True, sample=5, jobs=1, progress=tell)
    assert ended(total, 5)
    alps.export(tmp_path / "out.pmtiles", tiles, progress=tell)
    assert ended(total, total, total, total)
    ws.ingest(make_raster(Recipe(values=scene(300, 300))), jobs=1, progress=tell)
    assert seen
    assert ended(seen[-1][1])


# Ingest


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, ()),
        ({"rescale": (0, 200), "bands": (3, 2, 1)}, ("--rescale", "0,200", "--bands", "3,2,1")),
        ({"bands": 1, "colormap": "viridis", "rescale": [(0, 255)]}, ("--bands", "1", "--colormap", "viridis")),
        ({"nodata": 0, "resampling": "nearest", "max_zoom": 8}, ("--nodata", "0", "--resampling", "nearest")),
        ({"scale": 2, "offset": [1, 1, 1], "format": "webp"}, ("--scale", "2", "--offset", "1,1,1")),
        ({"bounds": [5, 45, 6, 46], "crs": "EPSG:4326"}, ("--bounds", "5,45,6,46", "--crs", "EPSG:4326")),
        ({"virtual": True, "nodata": (), "alpha": 0}, ("--virtual", "--nodata", "none", "--no-alpha")),
    ],
)
def test_a_call_ingests_what_the_command_ingests(
    make_raster: MakeRaster, tmp_path: Path, given: dict[str, Any], words: tuple[str, ...]
) -> None:
    path = make_raster(Recipe(values=scene(200, 200)), name="ortho.tif")
    more = {
        "colormap": ("--rescale", "0,255"),
        "max_zoom": ("--max-zoom", "8"),
        "format": ("--format", "webp"),
    }
    spelled = [*words, *(word for name, some in more.items() if name in given for word in some)]
    layer = seeder.open(tmp_path / "one").ingest(path, jobs=1, **given)
    told = said(command("ingest", path, *spelled, "--jobs", "1", "--json", "--data", str(tmp_path / "other")))
    assert layer.name == "ortho"
    assert layer.facts() == {name: told[name] for name in layer.facts()}


def test_an_ingest_seeds_the_zooms_that_it_is_given(make_raster: MakeRaster, tmp_path: Path) -> None:
    path, new = make_raster(Recipe(values=scene(64, 64)), name="land.tif"), tmp_path / "new"
    wrong: dict[str, Any] = {"ZoomOutside": "4-6", "GridError": "5-4"}
    for error, zooms in wrong.items():
        with pytest.raises(getattr(seeder.errors, error)):
            seeder.open(new).ingest(path, jobs=1, seed=zooms)
    assert not new.exists()
    layer = seeder.open(new).ingest(path, jobs=1, seed=(4, 5))
    assert layer.job
    assert layer.job.result
    assert layer.job.result.passed
    apart = seeder.open(tmp_path / "apart").ingest(path, jobs=1)
    assert apart.job is None
    apart.seed(apart.select(zooms="4-5"), jobs=1)
    assert files_of(new / "tiles") == files_of(tmp_path / "apart" / "tiles")
    again = seeder.open(new).ingest(path, jobs=1, seed=(4, 5)).job
    assert again
    assert again.result
    assert (again.result.passed, again.result.tally.written) == (True, 0)


def test_every_option_of_an_ingest_is_typed() -> None:
    assert Ingesting.__annotations__.keys() == Options.__dataclass_fields__.keys()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"rescaling": (0, 1)}, "unknown option of ingest: rescaling"),
        ({"style": "shade"}, "choose one of hillshade"),
        ({"format": "gif"}, "choose one of"),
        ({"max_zoom": 29}, "zooms run from 0 to 28"),
        ({"rescale": "1,2"}, "rescale='1,2' is invalid"),
        ({"rescale": (1, 2, 3)}, "rescale=(1, 2, 3) is invalid: give (low, high), or one such pair per band"),
        ({"bands": "red"}, "bands='red' is invalid: give a band's number, or several"),
        ({"bounds": (1, 2, 3)}, "`bounds` takes four numbers"),
        ({"crs": "EPSG:0"}, "not a CRS"),
        ({"scale": float("nan")}, "finite"),
        ({"colormap": "no such"}, "no such"),
        ({"alpha": -1}, "give a band's number"),
        ({"unit": "ell"}, "not a unit of heights"),
    ],
)
def test_options_that_cannot_be_are_refused(
    make_raster: MakeRaster, tmp_path: Path, given: dict[str, Any], why: str
) -> None:
    path = make_raster(Recipe(values=scene(50, 50)))
    with pytest.raises(seeder.errors.BadOption, match=re.escape(why)):
        seeder.open(tmp_path / "new").ingest(path, jobs=1, **given)
    assert not (tmp_path / "new").exists()


def test_what_ingest_remarks_is_kept(make_raster: MakeRaster, tmp_path: Path) -> None:
    values = np.zeros((1, 100, 100), np.uint8)
    values[:, 40:60, 40:60] = 99
    layer = seeder.open(tmp_path / "new").ingest(make_raster(Recipe(values=values)), "spot", jobs=1)
    assert isinstance(layer.notes, tuple)
    assert seeder.open(tmp_path / "new").layer("spot").notes == ()


# Errors


@pytest.mark.parametrize(
    ("given", "kind", "why"),
    [
        ({"zoom": 5}, "BadOption", "unknown selector: zoom; choose from"),
        ({"zooms": "9-5"}, "GridError", "runs backwards"),
        ({"zooms": 12}, "ZoomOutside", "has zooms 0-9, not 12"),
        ({"zooms": []}, "GridError", "is not a zoom range"),
        ({"zooms": range(10**12)}, "GridError", "too many zooms"),
        ({"bbox": (1, 2, 3)}, "GridError", "is not a box"),
        ({"bbox": (100, 0, 110, 10)}, "BadOption", "no tile of layer 'alps' is selected"),
        ({"geojson": {"type": "Pumpkin"}}, "BadOption", "geojson"),
        ({"geojson": {"type": {1, 2}}}, "BadOption", "geojson is not GeoJSON"),
        ({"geojson": "no/such.json"}, "BadOption", "cannot be read"),
        ({"buffer": 5}, "BadOption", "`buffer` needs `shapes`"),
        ({"around": (7, 46)}, "BadOption", "`around` needs `radius`"),
        ({"around": (7, 46), "radius": -1}, "BadOption", "radius=-1 is too small"),
        ({"tiles": [(5, 16, 11)]}, "BadOption", r"give mercantile.Tile(x, y, z) or 'z/x/y'"),
        ({"tiles": ["5/99/11"]}, "BadOption", "tiles, line 1: tile 5/99/11 does not exist"),
        ({"tiles": []}, "BadOption", "the list of tiles is empty"),
        ({"missing": True, "existing": True}, "BadOption", "exclude each other"),
        ({"format": "gif"}, "BadOption", "no tiles at scale 1 as gif"),
        ({"scale": 3}, "BadOption", "scale 1 or 2"),
        ({"traffic": "no.log", "share": 1.5}, "BadOption", "share=1.5"),
        ({"bbox": 5}, "BadOption", "bbox=5 is invalid"),
        ({"around": 7, "radius": 1}, "BadOption", "around=7 is invalid"),
        ({"area": "world"}, "BadOption", "area='world' is invalid"),
        ({"tiles": 5}, "BadOption", "tiles=5 is invalid"),
        ({"geojson": HOLE, "buffer": "5"}, "BadOption", "buffer='5' is invalid"),
    ],
)
def test_selectors_that_cannot_be_are_refused(alps: seeder.Layer, given: dict[str, Any], kind: str, why: str) -> None:
    with pytest.raises(getattr(seeder.errors, kind), match=re.escape(why)):
        alps.select(**given)


@pytest.mark.parametrize("folder", ["tiler", "seeder/operations", "seeder/select", "seeder/cache", "seeder/archive"])
def test_an_option_in_a_message_becomes_an_argument_of_a_call(folder: str) -> None:
    """Each is either an argument by its own name, or one of those that are translated."""
    own = (seeder.Workspace.ingest, seeder.Workspace.bake)
    calls = (*own, *(getattr(seeder.Layer, name) for name in dir(seeder.Layer) if name[0] != "_"))
    known = {name for call in calls if callable(call) for name in inspect.signature(call).parameters}
    known |= {*Selecting.__annotations__, *Ingesting.__annotations__, "stack", *ARGUMENTS.values()}
    known = {f"`{name}`" for name in known}
    options = {
        option
        for file in (ROOT / folder).rglob("*.py")
        if file.stem != "empty_stack"  # a command only
        for line in file.read_text().splitlines()
        if re.search(r"Bad(Option|Source)\(|notes|yield|why|cure|[=(] ?f?\"", line) and '"""' not in line
        for option in re.findall(r"(?<![\w`-])--[a-z][a-z-]*", line)
    }
    assert options
    assert {as_arguments(option) for option in options - {"--reseed", "--all"}} <= known  # those two: of a command


def test_handles_on_the_same_thing_are_equal(ws: seeder.Workspace, tmp_path: Path) -> None:
    layer, other = ws.layer("alps"), seeder.open(tmp_path)
    assert layer == ws.layer("alps")
    assert {layer, ws.layer("alps")} == {layer}
    assert layer != seeder.Layer(other.settings, "alps")
    assert layer != "alps"
    job = layer.seed(layer.select(zooms="0-3"))
    assert ws.job(job.id) == job
    assert {ws.job(job.id), job} == {job}
    assert layer.seed(layer.select(zooms="0-3", missing=True)) != layer.seed(layer.select(zooms="0-3", missing=True))


CANNOT_BE: dict[str, Callable[[seeder.Layer, seeder.Workspace], object]] = {
    "no process": lambda alps, _: alps.seed(jobs=0),
    "too many failures": lambda alps, _: alps.seed(jobs=1, max_failed=5),
    "a negative cost": lambda alps, _: alps.seed(jobs=1, max_cost=-1),
    "an unknown order": lambda alps, _: alps.seed(jobs=1, order="west"),
    "257 processes": lambda alps, _: alps.verify(jobs=257),
    "no sample": lambda alps, _: alps.verify(deep=True, sample=0),
    "no worker": lambda alps, _: alps.estimate(concurrency=0),
    "a negative number of processes": lambda _, ws: ws.ingest("no.tif", jobs=-1),
    **{
        f"{name} of another type": call
        for name, call in {
            "tiles": lambda alps, _: alps.seed("5-7"),
            "tiles to verify": lambda alps, _: alps.verify([Tile(0, 0, 0)]),
            "tiles to estimate": lambda alps, _: alps.estimate("5"),
            "tiles to export": lambda alps, _: alps.export("a.pmtiles", "5"),
            "older_than": lambda alps, _: alps.invalidate("all", older_than="7d"),
            "order": lambda alps, _: alps.seed(jobs=1, order=5),
            "jobs": lambda alps, _: alps.seed(jobs="2"),
            "part of jobs": lambda alps, _: alps.seed(jobs=1.5, force=True),
            "max_failed": lambda alps, _: alps.seed(jobs=1, max_failed="x"),
            "max_cost": lambda alps, _: alps.seed(jobs=1, max_cost="x"),
            "concurrency": lambda alps, _: alps.estimate(concurrency="x"),
            "sample": lambda alps, _: alps.verify(deep=True, sample="all"),
            "queue": lambda alps, _: alps.seed(queue=5),
            "tile": lambda alps, _: alps.tile("5", 16, 11),
            "part of a tile": lambda alps, _: alps.tile(5.0, 16, 11),
            "layer": lambda _, ws: ws.layer(None),
            "job": lambda _, ws: ws.job(5),
            "source": lambda _, ws: ws.ingest(5),
            "name": lambda _, ws: ws.ingest("no.tif", 5),
            "data": lambda *_: seeder.open(5),
            "file": lambda alps, _: alps.export(None),
            "existing": lambda alps, _: alps.select(existing="no"),
            "progress of remove": lambda alps, _: alps.remove(progress=5),
            "progress of rollback": lambda alps, _: alps.rollback(progress=5),
            "progress of seed": lambda alps, _: alps.seed(jobs=1, progress=5),
        }.items()
    },
    "a queue without a host": lambda alps, _: alps.seed(queue="http://"),
    "a queue of another kind": lambda alps, _: alps.seed(queue="ftp://a/b"),
    "a file that no system has": lambda alps, _: alps.export("a\0.pmtiles"),
    "no box": lambda alps, _: alps.select(bbox=[]),
    "no shape": lambda alps, _: alps.select(geojson=[]),
    "no area": lambda alps, _: alps.select(area={}),
    "no place": lambda alps, _: alps.select(around=[], radius=5),
    "half a box": lambda alps, _: alps.select(bbox=(1, 2)),
}


@pytest.mark.parametrize("what", CANNOT_BE)
def test_an_argument_that_cannot_be_is_refused_and_changes_nothing(
    what: str, alps: seeder.Layer, ws: seeder.Workspace, alps_copy: Path
) -> None:
    before = snapshot(alps_copy)
    with pytest.raises((seeder.errors.BadOption, seeder.errors.GridError)) as refused:
        CANNOT_BE[what](alps, ws)
    assert len(str(refused.value).splitlines()) == 1
    assert snapshot(alps_copy) == before


def test_a_file_name_that_is_too_long_is_refused_in_a_short_line(alps: seeder.Layer, tmp_path: Path) -> None:
    with pytest.raises(seeder.errors.BadOption, match="File name too long: choose another name") as raised:
        alps.export(tmp_path / f"{'x' * 5000}.pmtiles")
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("where", ["tiles/alps", "tiles/a.pmtiles", "private/out", ".", ".."])
def test_an_archive_never_takes_the_place_of_the_tiles(where: str, alps: seeder.Layer, alps_copy: Path) -> None:
    alps.seed(alps.select(zooms="5-6"), jobs=1)
    before = snapshot(alps_copy)
    with pytest.raises(seeder.errors.BadOption):
        alps.export(alps_copy / where, alps.select(zooms=5), overwrite=True)
    assert snapshot(alps_copy) == before


def test_what_is_not_there_is_said(ws: seeder.Workspace, alps: seeder.Layer, tmp_path: Path) -> None:
    errors = seeder.errors
    with pytest.raises(errors.UnknownLayer, match="did you mean alps"):
        ws.layer("alp")
    with pytest.raises(errors.BadName):
        ws.layer("../alps")
    with pytest.raises(errors.UnknownJob):
        ws.job("alps")
    with pytest.raises(errors.BadOption, match="seed"):
        alps.export(tmp_path / "out.pmtiles")
    with pytest.raises(errors.BadSource):
        ws.ingest(tmp_path / "no.tif", jobs=1)
    with pytest.raises(errors.BadOption, match="is not a queue"):
        alps.seed(queue="somewhere")
    with pytest.raises(errors.BadOption, match="no queue is known: name a deployed stack with `stack`"):
        alps.seed(queue="sqs")
    ws.ingest(*_tiny(tmp_path), jobs=1)
    with pytest.raises(errors.BadOption, match="the tiles belong to layer 'tiny', not to 'alps'"):
        alps.seed(ws.layer("tiny").select())
    shutil.rmtree(tmp_path / "data" / "private")
    assert repr(alps) == "<Layer alps: not readable>"
    with pytest.raises(errors.UnknownLayer):
        alps.revision  # noqa: B018


def _tiny(folder: Path) -> tuple[Path, str]:
    from tests.support.rasters import write_raster  # noqa: PLC0415

    return write_raster(folder / "tiny.tif", Recipe(values=scene(30, 30))), "tiny"


# Notebooks


def test_a_layer_shows_itself_in_a_notebook(alps: seeder.Layer) -> None:
    html = alps._repr_html_()
    assert '<img alt="alps" src="data:image/png;base64,iVBORw0KGgo' in html
    assert f"<td>{alps.revision}</td>" in html


def test_what_others_named_is_escaped_in_a_notebook(make_raster: MakeRaster, tmp_path: Path) -> None:
    path = make_raster(Recipe(values=scene(50, 50)), name="<script>&.tif")
    ws = seeder.open(tmp_path / "data")
    layer = ws.ingest(path, "odd", jobs=1, virtual=True, attribution='<b onclick="x">me & you</b>')
    html = layer._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;&amp;.tif" in html
    path.unlink()
    html = layer._repr_html_()
    assert "<img" not in html
    assert "<script>" not in html


def test_settings_are_those_of_the_commands(ws: seeder.Workspace, alps_copy: Path) -> None:
    assert ws.settings == Settings.from_env({"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x"}, data=str(alps_copy))
    assert repr(ws) == f"<Workspace {(alps_copy).as_uri()}>"
