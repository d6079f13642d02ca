"""`publish-preview`: a page and its assets beside a layer's tiles."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

from seeder.cli.main import main
from seeder.serve import pages
from seeder.serve.wmts import SPACES
from tests.support.rasters import MakeRaster, scene
from tiler.grid import Bounds
from tiler.ingest.ingest import ingest
from tiler.layers.catalog import load_layer
from tiler.layers.publication import publish
from tiler.raster.options import Options
from tiler.settings import Settings
from tiler.storage.store import Store, Stores, open_store


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["publish-preview", *words])


def tiles_of(data: Path) -> Store:
    return open_store((data / "tiles").as_uri())


@pytest.mark.usefixtures("assets")
def test_a_published_page_is_the_built_one_and_knows_its_layer(alps_copy: Path) -> None:
    tiles = tiles_of(alps_copy)
    before = {entry.key for entry in tiles.list("")}
    assert run("alps").exit_code == 0
    new = {entry.key for entry in tiles.list("")} - before
    names = ("index.html", "layer.json", "preview.js", "wmts.xml")  # without the assets of the list of layers
    assert new == {f"alps/{name}" for name in names}
    assert tiles.get("alps/preview.js") == pages.asset("preview.js")
    assert tiles.get("alps/index.html") == pages.page(pages.LAYER, {"layer": "alps", "where": ""})


@pytest.mark.usefixtures("assets")
def test_a_published_page_has_the_base_map_that_was_named(alps_copy: Path) -> None:
    assert run("alps", "--basemap", "osm").exit_code == 0
    assert b"tile.openstreetmap.org" in tiles_of(alps_copy).get("alps/index.html")
    assert run("alps").exit_code == 0
    assert b"openstreetmap" not in tiles_of(alps_copy).get("alps/index.html")
    refused = run("alps", "--basemap", "streets")
    assert (refused.exit_code, "type osm, or an address" in refused.output) == (2, True)


@pytest.mark.usefixtures("assets")
def test_objects_in_s3_have_their_content_types(alps_data: Path, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILER_TILES", f"{s3_url}/tiles")
    monkeypatch.setenv("TILER_SOURCES", (alps_data / "private").as_uri())
    assert run("alps").exit_code == 0
    store = open_store(f"{s3_url}/tiles")
    assert store.typed("alps/index.html")[1] == "text/html; charset=utf-8"
    assert "javascript" in store.typed("alps/preview.js")[1]
    assert store.typed("alps/wmts.xml")[1] == "application/xml"


@pytest.mark.usefixtures("assets")
def test_a_dry_run_says_the_same_and_writes_nothing(alps_copy: Path) -> None:
    dry, before = run("alps", "--dry-run", "--json"), list(tiles_of(alps_copy).list(""))
    assert [entry.key for entry in before] == ["alps/tile.json"]
    real = run("alps", "--json")
    assert {**json.loads(dry.stdout), "dry_run": False} == json.loads(real.stdout)
    assert json.loads(real.stdout)["url"] == "http://localhost:8000/alps/index.html"


@pytest.mark.usefixtures("alps_copy")
def test_without_built_pages_nothing_is_written_and_it_says_what_to_do(assets: Path, alps_copy: Path) -> None:
    for path in assets.iterdir():
        path.unlink()
    done = run("alps")
    assert (done.exit_code, "scripts/preview" in done.stderr) == (2, True)
    assert [entry.key for entry in tiles_of(alps_copy).list("")] == ["alps/tile.json"]


@pytest.mark.usefixtures("assets")
def test_verify_and_seed_do_not_mind_the_page(alps_copy: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(main, ["seed", "alps", "--zooms", "0-4", "--jobs", "1"]).exit_code == 0
    assert run("alps").exit_code == 0
    assert runner.invoke(main, ["verify", "alps", "--zooms", "0-4", "--jobs", "1"]).exit_code == 0
    assert runner.invoke(main, ["verify", "alps", "--jobs", "1"]).stderr.count("unexpected") == 0
    assert tiles_of(alps_copy).has("alps/index.html")


def capabilities(data: Path) -> ET.Element:
    return ET.fromstring(tiles_of(data).get("alps/wmts.xml"))


@pytest.mark.usefixtures("assets")
def test_capabilities_name_the_zooms_and_the_tiles_that_the_layer_has(alps_copy: Path) -> None:
    run("alps")
    layer, root = load_layer(open_store((alps_copy / "private").as_uri()), "alps"), capabilities(alps_copy)
    spaces = {prefix or "wmts": space for prefix, space in SPACES.items()}
    limits = {}
    for found in root.iterfind(".//wmts:TileMatrixLimits", spaces):
        z, *edges = (int(each.text or "") for each in found)
        limits[z] = edges
    expected = {}
    for z in range(layer.minzoom, layer.maxzoom + 1):
        (only,) = layer.ranges(z)
        expected[z] = [only.y0, only.y1 - 1, only.x0, only.x1 - 1]
    assert limits == expected
    (template,) = (each.get("template") for each in root.iterfind(".//wmts:ResourceURL", spaces))
    said = json.loads(tiles_of(alps_copy).get("alps/tile.json"))["tiles"][0]
    said = said.replace("http://tiles.test", "http://localhost:8000")  # the copy was ingested elsewhere
    assert template == said.replace("{z}", "{TileMatrix}").replace("{x}", "{TileCol}").replace("{y}", "{TileRow}")


@pytest.mark.usefixtures("assets")
def test_capabilities_of_a_layer_across_the_antimeridian_run_from_west_to_east(
    stores: Stores, make_raster: MakeRaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_raster(values=scene(50, 80), bounds=(175.0, -20.0, 185.0, -15.0), crs="EPSG:4326")
    layer = ingest(str(path), "fiji", Options(), stores, jobs=1, progress=lambda *_: None).layer
    assert layer.bounds.crosses
    publish(layer, stores)
    monkeypatch.setenv("TILER_TILES", stores.tiles.url)
    monkeypatch.setenv("TILER_SOURCES", stores.sources.url)
    assert run("fiji").exit_code == 0
    root = ET.fromstring(stores.tiles.get("fiji/wmts.xml"))
    west, south = (float(edge) for edge in (root.findtext(".//{*}LowerCorner") or "").split())
    east, north = (float(edge) for edge in (root.findtext(".//{*}UpperCorner") or "").split())
    assert Bounds(west, south, east, north) == layer.bounds.plain
    assert not Bounds(west, south, east, north).crosses


def test_settings_default_to_the_port_of_serve() -> None:
    assert Settings.from_env({}).url == "http://localhost:8000"
