"""The HTTP function behind CloudFront answers with the tile itself, as the store would, and with its state."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tests.e2e.proxy import Fault, Proxy
from tests.support.oracle import alone
from tests.support.site import URL, Answer, Site, Spy, answered, copied, event, memory, private
from tiler import http
from tiler.image.encode import blank_tile
from tiler.keys import CONTENT_TYPES, parse_tile_key
from tiler.layers.catalog import Layer
from tiler.layers.fill import CACHE_CONTROL
from tiler.layers.render import TileVariant
from tiler.settings import LAYER_FORMAT, S3
from tiler.storage.store import Stores, open_store

NAMES = ["7/66/45.png", "7/66/45@2x.png", "7/66/45.jpg", "7/66/45@2x.webp"]
MISSING = {"bounds": "/alps/7/10/10.png", "zooms": "/alps/10/530/362.png", "layer": "/andes/7/66/45.png"}


@pytest.fixture
def inline(site: Site) -> Site:
    """The site, behind CloudFront."""
    return Site(site.tiles, site.sources, inline=True, url="")


@pytest.fixture
def deployed(s3_url: str, alps_data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The environment of the function as the stack sets it, its buckets with the layer `alps`; the buckets' URL."""
    monkeypatch.setenv("TILER_TILES", f"{s3_url}/public")
    monkeypatch.setenv("TILER_SOURCES", f"{s3_url}/private")
    monkeypatch.setenv("TILER_DELIVERY", "cloudfront")
    copied(private(alps_data), open_store(f"{s3_url}/private"))
    http._service.cache_clear()
    yield s3_url
    http._service.cache_clear()


def picture(answer: Answer) -> tuple[int, str, str]:
    """Status, state and caching of an answer that is a tile."""
    return answer.status, answer.headers["X-Tile-State"], answer.headers["Cache-Control"]


def test_the_function_answers_with_what_it_stores_and_the_headers_that_it_stores(deployed: str, s3_server: str) -> None:
    key = "alps/7/66/45.png"
    answer = answered(http.handler(event(f"/{key}"), None))
    stored = boto3.client("s3", endpoint_url=s3_server).get_object(
        Bucket=deployed.removeprefix("s3://"), Key=f"public/{key}"
    )
    assert answer.body == stored["Body"].read()
    assert picture(answer) == (200, "rendered", stored["CacheControl"])
    assert answer.headers["Content-Type"] == stored["ContentType"]
    assert "X-Tile-State" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("name", NAMES)
def test_the_second_answer_differs_only_in_the_tile_s_state(
    name: str, inline: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = inline.ask(f"/alps/{name}")
    before = inline.stored()
    monkeypatch.setattr("tiler.layers.fill.render", pytest.fail)
    second = inline.ask(f"/alps/{name}")
    assert picture(first) == (200, "rendered", CACHE_CONTROL)
    assert picture(second) == (200, "stored", CACHE_CONTROL)
    assert first.headers.pop("X-Tile-State") != second.headers.pop("X-Tile-State")
    assert first == second
    assert before == inline.stored() == {f"alps/{name}": first.body}


@pytest.mark.parametrize("sharp", ["", "@2x"])
@pytest.mark.parametrize("form", ["jpg", "webp"])
def test_another_format_than_the_layer_s_is_answered_as_the_layer_s_own(form: str, sharp: str, inline: Site) -> None:
    strict = Site(inline.tiles, inline.sources, variants=LAYER_FORMAT, inline=True, url="")
    own, other = strict.ask(f"/alps/7/66/45{sharp}.png"), strict.ask(f"/alps/7/66/45{sharp}.{form}")
    assert (other.body, other.headers["Content-Type"]) == (own.body, "image/png")
    assert picture(other) == (200, "stored", CACHE_CONTROL)
    assert list(strict.stored()) == [f"alps/7/66/45{sharp}.png"]


@pytest.mark.parametrize("where", MISSING)
def test_a_404_may_be_kept_for_a_minute(where: str, inline: Site) -> None:
    answer = inline.ask(MISSING[where])
    assert (answer.status, answer.headers["Cache-Control"]) == (404, "public, max-age=60")
    assert inline.tiles.seen == []


@pytest.mark.parametrize("method", ["PUT", "HEAD", "GET", None], ids=["put", "look", "get", "all"])
def test_a_tile_that_cannot_be_stored_or_read_back_is_answered_and_kept_nowhere(
    method: str | None, alps: Layer, site: Site, s3_url: str, proxy: Proxy
) -> None:
    proxy.add(Fault("slow down", method))
    tiles = open_store(s3_url, s3=S3(proxy.url, patience=0.1))
    failing = Site(Spy(tiles), site.sources, inline=True)
    answer = failing.ask("/alps/7/66/45.png")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    made = alone(alps, Stores(memory(), site.sources.store, URL), parse_tile_key("alps/7/66/45.png").tile)
    assert answer.body == made


def test_a_source_that_cannot_be_read_is_an_error_that_nobody_keeps(inline: Site) -> None:
    broken = copied(inline.sources.store, memory())
    parts = [entry.key for entry in broken.list("sources/") if entry.key.endswith(".tif")]
    assert parts
    for part in parts:
        broken.put(part, b"", content_type="image/tiff")
    answer = Site(Spy(memory()), Spy(broken), inline=True).ask("/alps/7/66/45.png")
    assert (answer.status, answer.headers["Cache-Control"]) == (502, "no-store")


def test_an_empty_tile_is_the_blank_one(inline: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiler.layers.fill.render", lambda *_: iter([(parse_tile_key("alps/7/66/45.png").tile, None)]))
    answer = inline.ask("/alps/7/66/45.png")
    assert (answer.body, picture(answer)) == (blank_tile(256, "png"), (200, "rendered", CACHE_CONTROL))


def test_without_an_address_the_tilejson_is_not_made_up(inline: Site) -> None:
    answer = inline.ask("/alps/tile.json")
    assert answer.status == 404
    assert "`seeder refresh alps`" in answer.message
    own = Site(inline.tiles, inline.sources, inline=True, url="https://tiles.test").ask("/alps/tile.json")
    assert json.loads(own.body)["tiles"][0].startswith("https://tiles.test/alps/")


@pytest.mark.parametrize("path", ["/alps/7/66/45%402x.png", "/alps/7/66/45@2x.png"])
def test_a_function_url_passes_the_path_on_as_it_was_sent(path: str, inline: Site, alps: Layer) -> None:
    answer = inline.ask(path)
    stores = Stores(memory(), inline.sources.store, URL)
    assert answer.body == alone(alps, stores, parse_tile_key("alps/7/66/45.png").tile, TileVariant(2, "png"))
    assert answer.headers["Content-Type"] == CONTENT_TYPES["png"]


def test_head_is_answered_as_get(inline: Site) -> None:
    inline.ask("/alps/7/66/45.png")
    head, got = inline.ask("/alps/7/66/45.png", "HEAD"), inline.ask("/alps/7/66/45.png")
    assert (head.status, head.headers) == (got.status, got.headers)


class Emptied(Spy):
    """A store in which every object is deleted before it is read."""

    def get(self, key: str) -> bytes:
        """See `Store.get`."""
        self.store.delete([key])
        return self.store.get(key)


def test_a_tile_that_vanishes_before_it_is_read_back_is_answered_all_the_same(site: Site) -> None:
    emptied = Site(Emptied(site.tiles.store), site.sources, inline=True)
    answer = emptied.ask("/alps/7/66/45.png")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
