"""A browser's way to a tile that nobody warmed, hop by hop, on a real S3 website."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from tests.e2e.s3 import S3, Get
from tests.e2e.sqs import Sqs
from tests.e2e.world import ALPS, Deployed, deployed, key
from tests.support.site import private
from tiler.layers.catalog import load_layer

ORIGIN = {"Origin": "https://map.test"}


@pytest.fixture(scope="module")
def stack(s3: S3, sqs: Sqs, data: Path) -> Iterator[Deployed]:
    """A deployment with no tile warmed."""
    with deployed(s3, sqs, data) as made:
        yield made


@pytest.fixture(scope="module")
def website(stack: Deployed, http_client: urllib3.PoolManager) -> Get:
    """Gets a key from the website of the tile bucket."""
    return stack.s3.website(stack.tiles, http_client)


def test_a_miss_goes_to_the_api_and_back_and_the_next_request_is_a_hit(
    stack: Deployed, website: Get, http_client: urllib3.PoolManager, alps: dict[str, bytes], data: Path
) -> None:
    tile, revision = key(ALPS, 7, 66, 45), load_layer(private(data), ALPS).revision
    miss = website(tile, headers=ORIGIN)
    assert (miss.status, miss.headers["Location"]) == (307, f"{stack.gateway.url}/{tile}")
    api = http_client.request("GET", miss.headers["Location"], headers=ORIGIN, redirect=False)
    assert (api.status, api.headers["Location"]) == (302, f"{stack.s3.endpoint}/{stack.tiles}/{tile}?v={revision}")
    assert api.headers["Cache-Control"] == "no-store"
    last = http_client.request("GET", api.headers["Location"], headers=ORIGIN, redirect=False)
    assert (last.status, last.headers["Content-Type"]) == (200, "image/png")
    assert last.data == alps[tile]
    for hop in (miss, api, last):
        assert hop.headers["Access-Control-Allow-Origin"] == "*"
    invoked = len(stack.gateway.served)
    hit = website(tile, headers=ORIGIN)
    assert (hit.status, hit.data) == (200, alps[tile])
    assert hit.headers["Access-Control-Allow-Origin"] == "*"
    assert len(stack.gateway.served) == invoked


def test_a_sharp_tile_keeps_its_sign_on_the_way(
    stack: Deployed, website: Get, http_client: urllib3.PoolManager
) -> None:
    miss = website(f"{ALPS}/6/33/22%402x.png")
    assert miss.status == 307
    api = http_client.request("GET", miss.headers["Location"], redirect=False)
    assert api.status == 302
    assert http_client.request("GET", api.headers["Location"], redirect=False).status == 200
    assert stack.s3.client().head_object(Bucket=stack.tiles, Key=f"{ALPS}/6/33/22@2x.png")["ContentType"] == "image/png"


@pytest.mark.parametrize(
    ("path", "status"),
    [("nowhere/3/1/2.png", 404), (f"{ALPS}/3/0/0.png", 404), (f"{ALPS}/20/0/0.png", 404), ("favicon.ico", 400)],
)
def test_what_cannot_be_ends_at_the_api_in_words(
    website: Get, http_client: urllib3.PoolManager, path: str, status: int
) -> None:
    miss = website(path, headers=ORIGIN)
    assert miss.status == 307
    api = http_client.request("GET", miss.headers["Location"], headers=ORIGIN, redirect=False)
    assert (api.status, api.headers["Access-Control-Allow-Origin"]) == (status, "*")
    assert json.loads(api.data)["message"]


def test_a_layer_says_what_it_has_even_if_its_tilejson_is_gone(
    stack: Deployed, website: Get, http_client: urllib3.PoolManager, data: Path
) -> None:
    stored, revision = website(f"{ALPS}/tile.json"), load_layer(private(data), ALPS).revision
    assert stored.status == 200
    stack.s3.client().delete_object(Bucket=stack.tiles, Key=f"{ALPS}/tile.json")
    miss = website(f"{ALPS}/tile.json", headers=ORIGIN)
    assert miss.status == 307
    made = json.loads(http_client.request("GET", miss.headers["Location"]).data)
    assert made["tiles"] == [f"http://tiles.test/{ALPS}/{{z}}/{{x}}/{{y}}.png?v={revision}"]
    assert {name: made[name] for name in made if name != "tiles"} == {
        name: value for name, value in json.loads(stored.data).items() if name != "tiles"
    }


def test_nobody_may_list_the_tiles(stack: Deployed, http_client: urllib3.PoolManager) -> None:
    assert http_client.request("GET", f"{stack.s3.endpoint}/{stack.tiles}/", redirect=False).status == 403
