"""The redirect: answers to clients, stored tiles, and reads of stores."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from mercantile import Tile
from PIL import Image

from seeder.cli import main as cli
from seeder.select.morton import interleaved
from seeder.select.selection import Selection, regions
from tests.support.effort import examples
from tests.support.layer_strategies import layers
from tests.support.layers import MakeLayer, silent
from tests.support.oracle import alone, tiles_of
from tests.support.paths import ROOT
from tests.support.rasters import MakeRaster, Recipe, scene, write_raster
from tests.support.site import DIRECT, URL, Answer, Site, Spy, answered, copied, deaf, event, memory, private
from tiler import http
from tiler.grid import MAX_ZOOM
from tiler.image.encode import blank_tile
from tiler.ingest.ingest import ingest
from tiler.keys import CONTENT_TYPES, TileName, index_key, parse_tile_key, tile_key
from tiler.layers.catalog import Layer, dump
from tiler.layers.fill import Outcome, Request
from tiler.layers.footprint import Footprint
from tiler.layers.publication import publish
from tiler.layers.render import TileVariant
from tiler.raster.options import Options
from tiler.settings import LAYER_FORMAT
from tiler.storage.store import Store, Stores, open_store
from tiler.timing import LAYER_TTL_SECONDS

SHORTLY = 60  # seconds that a client may believe that there is no such tile
NAMES = ["7/66/45.png", "7/66/45@2x.png", "7/66/45.jpg", "7/66/45@2x.webp"]
OUTSIDE = {
    "bounds": "/alps/7/10/10.png",
    "zooms": "/alps/10/530/362.png",
    "layer": "/andes/7/66/45.png",
}
MALFORMED = [
    "",
    "/",
    "/favicon.ico",
    "/alps",
    "/alps/7/66",
    "/alps/7/66/45",
    "/alps/7/66/45.",
    "/alps/7/66/45.gif",
    "/alps/7/66/45.PNG",
    "/alps/7/66/45.png/",
    "/alps/7/66/45.png.png",
    "/alps/7/66/45@3x.png",
    "/alps/7/66/45@1x.png",
    "/alps/7/66/45@2X.png",
    "/alps/07/66/45.png",
    "/alps/7/-66/45.png",
    "/alps/7/+66/45.png",
    "/alps/7/66/4_5.png",
    "/alps/7/6 6/45.png",
    "/alps/7/٦٦/45.png",
    "/alps/7/66/45.png\n",
    "/alps/7/66/45.png%0A",
    "/alps/7/66/45.png%00",
    "/alps/7/128/45.png",
    "/alps/7/66/128.png",
    "/alps/29/66/45.png",
    "/alps/7/99999999999999999999/45.png",
    "//alps/7/66/45.png",
    "/alps//66/45.png",
    "/prefix/alps/7/66/45.png",
    "/../alps/7/66/45.png",
    "/alps/../alps/7/66/45.png",
    "/%2e%2e/7/66/45.png",
    "/.alps/7/66/45.png",
    "/Alps/7/66/45.png",
    "/alps%2F..%2Fandes/7/66/45.png",
    "/sources/7/66/45.png",
    "/jobs/0/0/0.png",
    "/sources/alps/index.json",
    "/alps/index.html",
    "/alps/tile.json/",
    "/alps/tiles.json",
    "/Alps/tile.json",
    "/sources/tile.json",
    "/../tile.json",
    "//tile.json",
    "/" + "a" * 64 + "/7/66/45.png",
    "/" + "a" * 64 + "/tile.json",
]


@pytest.fixture
def deployed(s3_url: str, alps_data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The environment of the function, its buckets with the layer `alps`; the URL of the bucket."""
    monkeypatch.setenv("TILER_TILES", f"{s3_url}/public")
    monkeypatch.setenv("TILER_SOURCES", f"{s3_url}/private")
    monkeypatch.setenv("TILER_URL", URL)
    monkeypatch.setenv("TILER_DIRECT", DIRECT)
    monkeypatch.setenv("TILER_VARIANTS", "all,all@2x")
    copied(private(alps_data), open_store(f"{s3_url}/private"))
    http._service.cache_clear()
    yield s3_url
    http._service.cache_clear()


def asked(path: str, method: str = "GET") -> Answer:
    """The answer of the function itself."""
    return answered(http.handler(event(path, method), None))


@pytest.mark.parametrize(("scale", "form"), [("1", "png"), ("2", "png"), ("1", "jpg"), ("2", "webp")])
def test_a_tile_is_stored_as_seed_stores_it_and_the_client_sent_to_it(
    scale: str, form: str, deployed: str, s3_server: str, alps: Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILER_TILES", f"{deployed}/seeded")
    words = ["seed", "alps", "--zooms", "6", "--scale", scale, "--format", form, "--jobs", "1"]
    assert CliRunner().invoke(cli.main, words).exit_code == 0
    monkeypatch.setenv("TILER_TILES", f"{deployed}/public")
    client, bucket = boto3.client("s3", endpoint_url=s3_server), deployed.removeprefix("s3://")
    keys = [entry.key for entry in open_store(f"{deployed}/seeded").list("alps/")]
    assert len(keys) == 4
    for key in keys:
        answer, there = asked(f"/{key}"), f"{DIRECT}/{key}?v={alps.revision}"
        assert (answer.status, answer.headers["Location"], answer.body) == (302, there, b"")
        assert answer.headers["Cache-Control"] == "no-store"
        seeded, made = (client.get_object(Bucket=bucket, Key=f"{kind}/{key}") for kind in ("seeded", "public"))
        assert made["Body"].read() == seeded["Body"].read()
        for header in ("ContentType", "CacheControl"):
            assert made[header] == seeded[header]
        assert made["ContentType"] == CONTENT_TYPES[parse_tile_key(key).format]


def test_one_miss_stores_one_tile(site: Site, alps: Layer) -> None:
    assert site.ask("/alps/7/66/45.png").status == 302
    stores = Stores(memory(), site.sources.store, URL)
    assert site.stored() == {"alps/7/66/45.png": alone(alps, stores, Tile(x=66, y=45, z=7))}


@pytest.mark.parametrize("name", NAMES)
def test_the_second_request_finds_the_tile_and_renders_nothing(
    name: str, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = site.ask(f"/alps/{name}")
    before = site.stored()
    site.tiles.seen.clear()
    site.sources.seen.clear()
    monkeypatch.setattr("tiler.layers.fill.render", pytest.fail)
    assert site.ask(f"/alps/{name}") == first
    assert first.status == 302
    assert site.stored() == before
    assert (site.tiles.count("put"), site.sources.seen) == (0, [])


@pytest.mark.parametrize("sharp", ["", "@2x"])
@pytest.mark.parametrize("form", ["jpg", "webp"])
def test_another_format_than_the_layers_leads_to_the_layers_own_tile(form: str, sharp: str, site: Site) -> None:
    """Not to the website, which would send the client here again."""
    strict = Site(site.tiles, site.sources, variants=LAYER_FORMAT)
    own = strict.ask(f"/alps/7/66/45{sharp}.png")
    before = strict.stored()
    assert list(before) == [f"alps/7/66/45{sharp}.png"]
    assert strict.ask(f"/alps/7/66/45{sharp}.{form}") == own
    assert strict.stored() == before
    assert own.status == 302
    assert strict.ask(f"/alps/7/0/0.{form}").status == 404


def test_where_the_bucket_is_gone_another_format_is_answered_as_the_layers_own(site: Site, s3_url: str) -> None:
    gone = Site(Spy(open_store(f"{s3_url}-gone")), site.sources, variants=LAYER_FORMAT)
    own, other = gone.ask("/alps/7/66/45.png"), gone.ask("/alps/7/66/45.webp")
    assert (other, other.headers["Content-Type"]) == (own, "image/png")


def test_unless_the_environment_allows_it_the_function_makes_no_other_format(
    deployed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TILER_VARIANTS")
    answer = asked("/alps/7/66/45.webp")
    assert (answer.status, answer.headers["Location"].partition("?")[0]) == (302, f"{DIRECT}/alps/7/66/45.png")
    assert not open_store(f"{deployed}/public").has("alps/7/66/45.webp")


def test_a_tile_that_seed_stored_is_found(site: Site, alps: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    site.tiles.store.put("alps/7/66/45.png", b"seeded", content_type="image/png")
    monkeypatch.setattr("tiler.layers.fill.render", pytest.fail)
    assert site.ask("/alps/7/66/45.png").headers["Location"] == f"{DIRECT}/alps/7/66/45.png?v={alps.revision}"
    assert site.stored() == {"alps/7/66/45.png": b"seeded"}


def test_a_path_may_come_with_its_at_sign_encoded(site: Site) -> None:
    assert site.ask("/alps/7/66/45%402x.png") == site.ask("/alps/7/66/45@2x.png")
    assert list(site.stored()) == ["alps/7/66/45@2x.png"]


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> tuple[Layer, Store]:
    """A layer whose west is data and whose east is empty, and its sources."""
    values = scene(300, 400)
    values[:, :, 40:] = 0
    values[:, 290:, 390:] = 9  # so that its bounds reach that far
    path = write_raster(tmp_path_factory.mktemp("half") / "half.tif", Recipe(values=values, nodata=0))
    stores = Stores(memory(), memory(), URL)
    return ingest(str(path), "half", Options(), stores, jobs=1, progress=silent).layer, stores.sources


def empties(layer: Layer, sources: Store) -> list[Tile]:
    """Empty tiles of the highest zoom, within the bounds."""
    stores = Stores(memory(), sources, URL)
    return [tile for tile in tiles_of(layer, layer.maxzoom) if alone(layer, stores, tile) is None]


@pytest.mark.parametrize(
    "variant", [TileVariant(1, "png"), TileVariant(2, "png"), TileVariant(1, "jpg"), TileVariant(2, "webp")], ids=str
)
def test_an_empty_tile_within_the_bounds_is_stored_as_the_one_blank_tile(
    variant: TileVariant, half: tuple[Layer, Store]
) -> None:
    layer, sources = half
    site = Site.on(memory(), sources)
    tiles = empties(layer, sources)[:3]
    assert len(tiles) == 3
    keys = [tile_key(TileName("half", tile, variant.scale, variant.format)) for tile in tiles]
    for key in keys:
        answer = site.ask(f"/{key}")
        assert (answer.status, answer.headers["Location"]) == (302, f"{DIRECT}/{key}?v={layer.revision}")
    assert site.stored() == dict.fromkeys(keys, blank_tile(variant.size, variant.format))
    assert Image.open(io.BytesIO(blank_tile(variant.size, variant.format))).size == (variant.size, variant.size)


def test_where_the_bucket_is_gone_an_empty_tile_is_answered_as_the_blank_one(
    half: tuple[Layer, Store], s3_url: str
) -> None:
    layer, sources = half
    tile = empties(layer, sources)[0]
    answer = Site.on(open_store(f"{s3_url}-gone"), sources).ask(f"/half/{tile.z}/{tile.x}/{tile.y}.png")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    assert (answer.headers["Content-Type"], answer.body) == ("image/png", blank_tile(256, "png"))


@pytest.mark.parametrize("where", OUTSIDE)
def test_what_lies_outside_is_not_found_and_reads_no_pixel(where: str, site: Site) -> None:
    answer = site.ask(OUTSIDE[where])
    assert answer.status == 404
    assert answer.message
    assert answer.headers["Cache-Control"] == f"public, max-age={SHORTLY}"
    layer = OUTSIDE[where].split("/")[1]
    assert site.sources.seen == [("get", f"sources/{layer}/index.json")]
    assert site.tiles.seen == []


def test_outside_a_virtual_layer_its_raster_is_not_opened(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = make_layer(make_raster(values=scene(200, 300)), virtual=True)
    monkeypatch.setattr("tiler.layers.raster_pixels.opened", pytest.fail)
    site = Site.on(stores.tiles, stores.sources)
    before = site.stored()
    for z in range(layer.maxzoom + 2):
        inside = set(tiles_of(layer, z))
        around = {Tile(x=x, y=y, z=z) for x in (0, 2**z - 1) for y in (0, 2**z - 1)} - inside
        assert {site.ask(f"/layer/{t.z}/{t.x}/{t.y}.png").status for t in around} <= {404}
        assert around or z == 0
    assert site.stored() == before


@pytest.mark.parametrize("path", MALFORMED)
def test_a_malformed_path_is_refused_before_anything_is_asked(path: str) -> None:
    answer = answered(deaf().answer(event(path)))
    assert answer.status == 400
    assert answer.message.isprintable()
    assert answer.headers["Cache-Control"] == f"public, max-age={SHORTLY}"


@pytest.mark.parametrize("path", ["/alps/7/66/45.png", "/alps/tile.json", "/", "/..", "/andes/0/0/0.png"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused_before_anything_is_asked(method: str, path: str) -> None:
    answer = answered(deaf().answer(event(path, method)))
    assert answer.status == 405
    assert method in answer.message


@pytest.mark.parametrize("path", ["/alps/7/66/45.png", "/alps/tile.json", "/alps/7/0/0.png", "/andes/tile.json", "/"])
def test_head_is_answered_as_get(path: str, site: Site) -> None:
    head = site.ask(path, "HEAD")
    got = site.ask(path)
    assert (head.status, head.headers) == (got.status, got.headers)


def test_tilejson_is_what_the_tile_store_holds(alps_data: Path) -> None:
    tiles = open_store((alps_data / "tiles").as_uri())
    answer = Site.on(memory(), private(alps_data)).ask("/alps/tile.json")
    assert (answer.status, answer.body) == (200, tiles.get("alps/tile.json"))
    assert (answer.headers["Content-Type"], answer.headers["Cache-Control"]) == ("application/json", "no-cache")


def test_tilejson_of_an_unknown_layer_is_not_found(site: Site) -> None:
    answer = site.ask("/andes/tile.json")
    assert answer.status == 404
    assert "andes" in answer.message
    assert site.tiles.seen == []


def test_a_layers_metadata_is_believed_for_a_while(deployed: str, alps: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("tiler.layers.layer_cache.time.monotonic", lambda: now[0])
    before = asked("/alps/tile.json").body
    stores = Stores(memory(), open_store(f"{deployed}/private"), URL)
    publish(replace(alps, revision="0000", maxzoom=8, attribution="new"), stores)
    now[0] += LAYER_TTL_SECONDS - 0.1
    assert asked("/alps/tile.json").body == before
    assert asked("/alps/9/266/180.png").status == 302
    now[0] += 0.2
    assert json.loads(asked("/alps/tile.json").body)["attribution"] == "new"
    assert asked("/alps/9/266/180.png").status == 404


def test_that_there_is_no_such_layer_is_believed_for_a_while(
    deployed: str, alps: Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("tiler.layers.layer_cache.time.monotonic", lambda: now[0])
    assert asked("/andes/tile.json").status == 404
    publish(replace(alps, id="andes"), Stores(memory(), open_store(f"{deployed}/private"), URL))
    now[0] += LAYER_TTL_SECONDS - 0.1
    assert asked("/andes/tile.json").status == 404
    now[0] += 0.2
    assert asked("/andes/tile.json").status == 200


EVERYWHERE = Footprint(0, 0, 0, np.ones((1, 1), bool))


@st.composite
def near(draw: st.DrawFn, layer: Layer) -> Tile:
    """A tile of any zoom: within the layer's bounds, at their edge, or anywhere."""
    z = draw(st.integers(layer.minzoom, layer.maxzoom) | st.integers(0, layer.maxzoom + 1))
    ranges = replace(layer, minzoom=0, maxzoom=MAX_ZOOM).ranges(z)
    edges = [each for r in ranges for each in ((r.x0, r.y0), (r.x1 - 1, r.y1 - 1))]
    x, y = draw(st.sampled_from(edges))
    step = st.integers(-1, 1) | st.integers(-(2**z), 2**z)
    return Tile(x=min(max(x + draw(step), 0), 2**z - 1), y=min(max(y + draw(step), 0), 2**z - 1), z=z)


def planned(layer: Layer, tile: Tile) -> bool:
    """Whether the seeder counts the tile."""
    if not layer.minzoom <= tile.z <= layer.maxzoom:
        return False
    (region,) = regions(layer, Selection((tile.z,)))
    return bool(region.holds(interleaved(np.array([tile.x]), np.array([tile.y]))).all())


@settings(max_examples=examples(150))
@given(st.data())
def test_a_tile_is_served_exactly_if_the_seeder_counts_it_to_the_bounds(data: st.DataObject) -> None:
    layer = data.draw(layers())
    tile = data.draw(near(layer))
    sources = memory()
    sources.put(index_key(layer.id), dump(layer), content_type="application/json")
    site = Site.on(memory(), sources)
    filled: list[Request] = []

    def fill(_layer: Layer, _stores: Stores, request: Request) -> Outcome:
        filled.append(request)
        return Outcome(written=request.tiles)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http, "fill", fill)
        status = site.ask(f"/{tile_key(TileName(layer.id, tile, 1, layer.format))}").status
    served = status == 302
    assert served or status == 404
    assert served == planned(replace(layer, footprint=EVERYWHERE), tile)
    assert served or not planned(layer, tile)  # the footprint only leaves tiles out
    assert [list(request.block.tiles(request.tiles)) for request in filled] == [[tile]] * served


SLOW = {"boto3", "botocore", "aws_lambda_powertools", "tqdm", "tabulate", "tenacity", "seeder"}  # click is rasterio's
COLD = """
import json, sys
from tiler import http
loaded = sorted({name.split(".")[0] for name in sys.modules})
event = json.loads(sys.argv[1])
print(json.dumps([loaded, http.handler(event, None), sorted({name.split(".")[0] for name in sys.modules})]))
"""


def test_neither_the_start_nor_a_tile_loads_what_only_others_need(alps_data: Path, tmp_path: Path) -> None:
    environ = {
        "PATH": "",
        "PYTHONPATH": str(ROOT),
        "AWS_ACCESS_KEY_ID": "testing",
        "TILER_SOURCES": (alps_data / "private").as_uri(),
        "TILER_TILES": f"memory://{tmp_path.name}",
    }
    words = [sys.executable, "-c", COLD, json.dumps(event("/alps/7/66/45.png"))]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, check=True, cwd=tmp_path)
    first, answer, last = json.loads(done.stdout)
    assert answered(answer).status == 302
    assert "rasterio" in first
    assert SLOW.isdisjoint(first)
    assert SLOW.isdisjoint(last)
