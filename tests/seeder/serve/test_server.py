"""The local server: the same responses as the bucket and the http Lambda, and the API of the pages."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from mercantile import Tile
from PIL import Image

from seeder.aws.stack import read_stack
from seeder.cache import coverage
from seeder.cli.common import where
from seeder.cli.main import main
from seeder.serve import pages
from tests.support.aws import MakeStack, upload
from tests.support.damaged import damage
from tests.support.paths import ROOT
from tests.support.rasters import MakeRaster, scene
from tests.support.served import ask, events, serving, told
from tiler.grid import Block
from tiler.ingest.ingest import ingest
from tiler.keys import Format, Scale, TileName, tile_key
from tiler.layers.catalog import load_layer
from tiler.layers.render import TileVariant, render
from tiler.raster.options import Options
from tiler.settings import ANY_FORMAT, Settings
from tiler.storage.store import Stores


@pytest.fixture
def settings(alps_copy: Path) -> Settings:
    return Settings.from_env({}, data=str(alps_copy))


@pytest.fixture
def url(settings: Settings, assets: Path) -> Iterator[str]:  # noqa: ARG001 - whoever needs the pages gets them built
    with serving(replace(settings, variants=ANY_FORMAT), " --data '/my maps'") as address:
        yield address


def fresh(stores: Stores, key: TileName) -> bytes | None:
    """The freshly rendered tile."""
    layer, block = load_layer(stores.sources, key.layer), Block.of(key.tile)
    ((_, data),) = render(layer, stores.sources, block, block.bit(key.tile), TileVariant(key.scale, key.format))
    return data


@pytest.mark.parametrize(("scale", "form"), [(1, "png"), (2, "webp")])
def test_a_tile_is_rendered_stored_and_then_there(url: str, settings: Settings, scale: Scale, form: Format) -> None:
    """Three responses, as from the bucket, the Lambda and the bucket again; the next time one."""
    stores = Stores.open(settings)
    name = TileName("alps", some_tile(stores), scale, form)
    key = tile_key(name)
    missed = ask(f"{url}/{key}")
    assert (missed.status, missed.headers["location"]) == (307, f"{url}/_/render/{key}".replace("@", "%40"))
    made = ask(missed.headers["location"])
    revision = load_layer(stores.sources, "alps").revision
    assert (made.status, made.headers["location"]) == (302, f"{url}/_/stored/{key}?v={revision}")
    there = ask(made.headers["location"])
    again = ask(f"{url}/{key}")
    assert there.status == again.status == 200
    assert there.data == again.data == stores.tiles.get(key) == fresh(stores, name)
    assert {each.headers["access-control-allow-origin"] for each in (missed, made, there, again)} == {"*"}
    assert again.headers["content-type"] == f"image/{name.format}"


def some_tile(stores: Stores) -> Tile:
    """A tile of the layer at zoom 3."""
    found = load_layer(stores.sources, "alps").ranges(3)[0]
    return Tile(found.x0, found.y0, 3)


def test_the_buckets_of_a_stack_are_served_and_filled(make_stack: MakeStack, alps_data: Path, alps_copy: Path) -> None:
    """Stored tiles of a bucket are shown, missing ones are stored; both equal the tiles from a folder."""
    stack = read_stack(make_stack(WebsiteUrl="http://tiles.test", TileUrl="https://direct.test"), "us-east-1")
    upload(alps_data / "private", stack.outputs["SourceBucket"])
    deployed = stack.settings(Settings.from_env(os.environ))
    local = Settings.from_env({}, data=str(alps_copy))
    key = tile_key(TileName("alps", some_tile(Stores.open(local)), 1, "png"))
    with serving(deployed, where(deployed)) as url, serving(local) as other:
        made = ask(f"{url}/{key}", redirect=True)
        assert made.status == 200
        assert made.data == ask(f"{other}/{key}", redirect=True).data
        assert told(f"{url}/alps/tile.json")["tiles"][0].startswith(f"{url}/alps/")
    assert Stores.open(deployed).tiles.typed(key) == (made.data, "image/png")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("alps/3/0/0.png", 404),  # outside the bounds
        ("alps/12/2144/1440.png", 404),  # deeper than the layer
        ("alps/3/9/9.png", 400),  # off the grid
        ("alps/3/4/2.gif", 400),
        ("nothing/0/0/0.png", 404),
        ("..%2Fprivate%2Fsources%2Falps%2Findex.json", 400),
        ("sources/alps/index.json", 400),
    ],
)
def test_what_is_no_tile_is_refused_as_the_lambda_does(url: str, settings: Settings, path: str, status: int) -> None:
    stores = Stores.open(settings)
    answer = ask(f"{url}/{path}", redirect=True)
    assert answer.status == status
    assert json.loads(answer.data)["message"]
    assert [entry.key for entry in stores.tiles.list("")] == ["alps/tile.json"]


def test_a_tile_that_cannot_be_read_is_a_502_and_not_stored(url: str, settings: Settings, alps_copy: Path) -> None:
    stores = Stores.open(settings)
    damage(alps_copy, lambda _: b"no COG")
    answer = ask(f"{url}/alps/0/0/0.png", redirect=True)
    assert (answer.status, answer.headers["cache-control"]) == (502, "no-store")
    assert not stores.tiles.has("alps/0/0/0.png")


def test_tilejson_names_the_host_that_was_asked(url: str, settings: Settings) -> None:
    port = url.rpartition(":")[2]
    for host in ("127.0.0.1", "localhost"):
        said = told(f"http://{host}:{port}/alps/tile.json")
        assert said["tiles"][0].startswith(f"http://{host}:{port}/alps/{{z}}/{{x}}/{{y}}.png?v=")
    stored = json.loads(Stores.open(settings).tiles.get("alps/tile.json"))
    assert {**said, "tiles": stored["tiles"]} == stored


def test_a_new_layer_is_there_without_a_restart(url: str, settings: Settings, make_raster: MakeRaster) -> None:
    assert [layer["layer"] for layer in told(f"{url}/_/layers")["layers"]] == ["alps"]
    path = make_raster(values=scene(60, 60), name="later.tif")
    ingest(str(path), "later", Options(), Stores.open(settings), jobs=1, progress=lambda *_: None)
    assert [layer["layer"] for layer in told(f"{url}/_/layers")["layers"]] == ["alps", "later"]
    assert told(f"{url}/later/tile.json")["name"] == "later"


def test_the_pages_know_whom_to_ask(url: str, settings: Settings) -> None:
    config = {"api": "/_", "where": " --data '/my maps'"}
    root = Stores.open(settings).tiles.root
    assert root
    listed = {"demo": "yes", "place": str(root.parent)}
    for path, said in {"/": {**config, **listed}, "/alps/": {"layer": "alps", **config}}.items():
        answer = ask(f"{url}{path}")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        found = answer.data.decode().partition('id="config">')[2].partition("</script>")[0]
        assert json.loads(found) == said
    assert ask(f"{url}/alps/preview.js").data == ask(f"{url}/preview.js").data == b"export {}"
    assert "javascript" in ask(f"{url}/preview.js").headers["content-type"]
    assert ask(f"{url}/alps").headers["location"] == f"{url}/alps/"
    assert ask(f"{url}/nothing/").status == 404


def test_without_built_pages_the_tiles_are_served_all_the_same(url: str, assets: Path) -> None:
    shutil.rmtree(assets)
    answer = ask(f"{url}/alps/")
    assert answer.status == 503
    assert b"scripts/preview" in answer.data
    assert ask(f"{url}/alps/0/0/0.png", redirect=True).status == 200


def test_the_cure_of_missing_pages_exists_where_it_is_named(tmp_path: Path) -> None:
    assert (ROOT / "scripts" / "preview").exists()
    assert "run scripts/preview" in pages.cure(ROOT)
    installed = pages.cure(tmp_path)  # it has no scripts
    assert "scripts/" not in installed
    assert "TILER_BUILD_PAGES" in installed
    assert "TILER_BUILD_PAGES" in (ROOT / "setup.py").read_text()


@pytest.mark.usefixtures("assets")
def test_what_config_holds_cannot_end_the_script() -> None:
    said = pages.page(pages.LAYERS, {"where": "</script><b>"}).decode()
    assert said.count("</script>") == 1
    assert json.loads(said.partition('id="config">')[2].partition("</script>")[0]) == {"where": "</script><b>"}


def test_a_thumbnail_shows_the_layer_and_stores_nothing(url: str, settings: Settings) -> None:
    image = Image.open(io.BytesIO(ask(f"{url}/_/thumbnail/alps").data)).convert("RGBA")
    large = Image.open(io.BytesIO(ask(f"{url}/_/thumbnail/alps?width=640").data)).convert("RGBA")
    for picture, width in ((image, 320), (large, 640)):
        frame = picture.width / width, picture.height / (width * 5 / 8)
        assert 0.5 < max(frame) <= 1
        assert np.asarray(picture)[picture.height // 2, picture.width // 2, 3] == 255  # its middle is the layer's
    assert large.width == pytest.approx(2 * image.width, abs=2)
    for odd in ("-1", "0", "99999999999", "x", "1e3"):
        assert ask(f"{url}/_/thumbnail/alps?width={odd}").status == 200
    assert not Stores.open(settings).tiles.folders("alps/")


def test_an_earlier_revision_can_be_looked_at(url: str, settings: Settings, make_raster: MakeRaster) -> None:
    stores = Stores.open(settings)
    old = load_layer(stores.sources, "alps")
    name = TileName("alps", some_tile(stores), 1, "png")
    before = fresh(stores, name)
    path = make_raster(values=255 - scene(), name="new.tif")
    assert told(f"{url}/_/layers/alps")["revision"] == old.revision
    new = ingest(str(path), "alps", Options(), stores, jobs=1, progress=lambda *_: None).layer
    found = told(f"{url}/_/layers/alps")["revisions"]
    assert [each["revision"] for each in found] == [new.revision, old.revision]
    key = tile_key(name).removeprefix("alps/")
    assert ask(f"{url}/_/revisions/alps/{old.revision}/{key}").data == before
    assert ask(f"{url}/_/revisions/alps/{new.revision}/{key}").data == fresh(stores, name) != before
    assert ask(f"{url}/_/revisions/alps/0123456789ab/{key}").status == 404
    assert not stores.tiles.folders("alps/")


def test_coverage_is_told_a_zoom_at_a_time(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CliRunner().invoke(main, ["seed", "alps", "--zooms", "0-3", "--jobs", "1"]).exit_code == 0
    zooms = told(f"{url}/_/coverage/alps")["zooms"]
    assert [each["z"] for each in zooms] == list(range(10))
    for each in zooms:
        said = told(f"{url}/_/coverage/alps/{each['z']}")
        warm = each["tiles"] if each["z"] <= 3 else 0
        assert said["tiles"] == {
            "planned": each["tiles"],
            "stored": warm,
            "empty": 0,
            "missing": each["tiles"] - warm,
            "failed": 0,
            "stale": 0,
        }
        assert len(said["blocks"]) == each["blocks"]
    assert told(f"{url}/_/coverage/alps/3?scale=2")["tiles"]["stored"] == 0
    assert told(f"{url}/_/coverage/alps/9?bbox=170,-10,171,-9")["blocks"] == []
    assert ask(f"{url}/_/coverage/alps/10").status == ask(f"{url}/_/coverage/alps/3?bbox=1,2").status == 400
    monkeypatch.setattr(coverage, "MAX_BLOCKS", 1)
    assert ask(f"{url}/_/coverage/alps/9").status == 413


def test_the_stream_tells_of_layers_and_of_jobs(url: str, settings: Settings) -> None:
    assert CliRunner().invoke(main, ["seed", "alps", "--zooms", "0-3", "--jobs", "1"]).exit_code == 0
    layer = load_layer(Stores.open(settings).sources, "alps")
    (first, layers), (second, jobs) = events(f"{url}/_/events?layer=alps", 2)
    assert (first, second) == ("layers", "jobs")
    assert layers == [{"layer": "alps", "revision": layer.revision}]
    assert [(job["layer"], job["state"], job["percent"], job["failed"]) for job in jobs] == [("alps", "done", 100, 0)]
    assert events(f"{url}/_/events?layer=other", 2)[1] == ("jobs", [])
