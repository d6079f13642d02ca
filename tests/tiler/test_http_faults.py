"""The redirect when a store fails: the client gets the tile or an error, and no wrong tile is stored."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.proxy import Fault, Proxy
from tests.support.layers import MakeLayer
from tests.support.oracle import alone, tiles_of
from tests.support.parts import key_with, pyramid_of
from tests.support.rasters import MakeRaster, scene
from tests.support.site import URL, Answer, Site, copied, memory, private, without_blocks
from tiler import timing
from tiler.image.encode import blank_tile
from tiler.keys import (
    CONTENT_TYPES,
    index_key,
    parse_tile_key,
    parts_prefix,
    shard_key,
    shards_prefix,
    sources_prefix,
)
from tiler.layers import pyramid
from tiler.layers.catalog import Layer
from tiler.layers.publication import publish
from tiler.layers.render import TileVariant
from tiler.settings import S3
from tiler.storage.store import Store, Stores, open_store

NAMES = ["7/66/45.png", "7/66/45@2x.png", "7/66/45.jpg", "7/66/45@2x.webp"]


def unstored(answer: Answer, key: str, layer: Layer, sources: Store) -> None:
    """Checks that `answer` is the tile itself."""
    name = parse_tile_key(key)
    made = alone(layer, Stores(memory(), sources, URL), name.tile, TileVariant(name.scale, name.format))
    assert answer.status == 200
    assert answer.body == (made or blank_tile(256 * name.scale, name.format))
    assert answer.headers["Content-Type"] == CONTENT_TYPES[name.format]
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("name", NAMES)
def test_where_the_bucket_is_gone_the_client_gets_the_bytes_and_an_alarm_the_line(
    name: str, alps: Layer, site: Site, s3_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    gone = Site.on(open_store(f"{s3_url}-gone"), site.sources.store)
    unstored(gone.ask(f"/alps/{name}"), f"alps/{name}", alps, site.sources.store)
    counted = [record.message for record in caplog.records if record.levelno >= logging.ERROR]  # at every logLevel
    assert counted == ["not stored"]


@pytest.mark.parametrize("method", ["PUT", "HEAD", None], ids=["put", "look", "all"])
@pytest.mark.parametrize("kind", ["slow down", "denied", "drop"])
def test_where_the_tile_store_fails_the_client_gets_the_bytes(
    kind: Any, method: str | None, alps: Layer, site: Site, s3_url: str, proxy: Proxy
) -> None:
    proxy.add(Fault(kind, method))
    tiles = open_store(s3_url, s3=S3(proxy.url, patience=0.1))
    failing = Site.on(tiles, site.sources.store)
    unstored(failing.ask("/alps/7/66/45.png"), "alps/7/66/45.png", alps, site.sources.store)
    proxy.clear()
    assert failing.stored() == {}
    assert failing.ask("/alps/7/66/45.png").status == 302
    assert set(failing.stored()) == {"alps/7/66/45.png"}


def halved(data: bytes) -> bytes:
    """The rest of a truncated file."""
    return data[: len(data) // 2]


BREAKS: dict[str, Callable[[Store, str], None]] = {
    "missing": lambda sources, key: sources.delete([key]),
    "empty": lambda sources, key: sources.put(key, b"", content_type="image/tiff"),
    "zeros": lambda sources, key: sources.put(key, bytes(100_000), content_type="image/tiff"),
    "blocks of zeros": lambda sources, key: sources.put(
        key, without_blocks(sources.get(key)), content_type="image/tiff"
    ),
    "half": lambda sources, key: sources.put(key, halved(sources.get(key)), content_type="image/tiff"),
}


def refused(answer: Answer, *secrets: str) -> None:
    """Check that `answer` reports a failed source, without details."""
    assert answer.status == 502
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.message
    for secret in (".tif", ".json", "sources/", "memory:", "s3:", "/vsi", "127.0.0.1", *secrets):
        assert secret not in answer.message


BASE = ["/alps/9/266/180.png", "/alps/9/266/180@2x.webp"]  # read in place, and enlarged


def object_of(path: str, layer: Layer, sources: Store, kind: str) -> str:
    """The key of the part that a tile is read from, or of the shard that lists it."""
    tile = parse_tile_key(path.removeprefix("/")).tile
    if kind == "part":
        return key_with(layer, Stores(memory(), sources, URL), tile)
    own = pyramid_of(layer)
    (name,) = (name for (tier, _, _), name in own.shards.items() if tier == own.tier_of(tile.z)[0])
    return shard_key(layer.id, name)


@pytest.mark.parametrize(
    ("kind", "how", "path"),
    [
        *product(["part"], BREAKS, [*BASE, "/alps/5/16/11.png", "/alps/0/0/0.png"]),
        *product(["shard"], ("missing", "empty", "zeros", "half"), [*BASE, "/alps/0/0/0.png"]),
    ],
)
def test_a_source_that_cannot_be_read_is_a_bad_gateway_and_stores_nothing(
    kind: str,
    how: str,
    path: str,
    site: Site,
    alps: Layer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = object_of(path, alps, site.sources.store, kind)
    monkeypatch.setattr(pyramid, "_shards", {})  # as a process that has just begun
    BREAKS[how](site.sources.store, key)
    for _ in range(2):
        refused(site.ask(path), key.rpartition("/")[2].partition(".")[0], site.sources.url)
    assert site.stored() == {}
    told = [record.__dict__["error"] for record in caplog.records if record.name == "tiler.http"]
    assert told
    assert all(key in each for each in told)  # those who run it learn where to look


@pytest.mark.parametrize("path", BASE)
def test_a_source_that_cannot_be_read_spoils_no_other_layer(path: str, site: Site, alps: Layer) -> None:
    sources = site.sources.store
    for entry in sources.list(sources_prefix("alps")):
        if entry.key.startswith((parts_prefix("alps"), shards_prefix("alps"))):
            data = without_blocks(sources.get(entry.key)) if entry.key.endswith(".tif") else sources.get(entry.key)
            sources.put(entry.key.replace("alps", "andes"), data, content_type="image/tiff")
    andes = replace(alps, id="andes", revision="0000", source=parts_prefix("andes"))
    publish(andes, Stores(memory(), sources, URL))
    well, broken = path.replace("266", "268"), path.replace("alps", "andes")
    for _ in range(2):
        assert site.ask(well).status == 302
        refused(site.ask(broken))
        for key in site.stored():
            site.tiles.store.delete([key])


@pytest.mark.parametrize("kind", ["slow down", "denied", "drop", "gone"])
def test_a_source_that_is_out_of_reach_is_a_bad_gateway_until_it_is_back(
    kind: Any, alps: Layer, alps_data: Path, s3_url: str, proxy: Proxy
) -> None:
    copied(private(alps_data), open_store(s3_url))
    site = Site.on(memory(), open_store(s3_url, s3=S3(proxy.url, patience=0.1)))
    assert site.ask("/alps/7/0/0.png").status == 404  # the metadata is known
    if kind == "gone":
        proxy.stop_listening()
    else:
        proxy.add(Fault(kind))
    refused(site.ask("/alps/7/66/45.png"), alps.source, s3_url, proxy.url)
    assert site.stored() == {}
    proxy.resume()
    proxy.clear()
    assert site.ask("/alps/7/66/45.png").status == 302


def test_a_source_that_is_out_of_reach_is_given_up_well_before_the_gateway_gives_up(
    alps_data: Path, s3_url: str, proxy: Proxy
) -> None:
    patience, most = 2.0, 20 / timing.HTTP_RETRY_SECONDS  # seconds, patiences; the gateway gives up after 29 seconds
    copied(private(alps_data), open_store(s3_url))
    site = Site.on(memory(), open_store(s3_url, s3=S3(proxy.url, patience=patience)))
    assert site.ask("/alps/7/0/0.png").status == 404
    proxy.add(Fault("slow down"))
    start = time.monotonic()
    refused(site.ask("/alps/7/66/45.png"))
    assert time.monotonic() - start < most * patience


def test_metadata_that_cannot_be_read_is_a_bad_gateway(s3_url: str, site: Site) -> None:
    refused(
        Site.on(memory(), open_store(f"{s3_url}/x", s3=S3("http://127.0.0.1:9", patience=0.1))).ask("/alps/0/0/0.png")
    )
    site.sources.store.put(index_key("alps"), b"{", content_type="application/json")
    refused(site.ask("/alps/0/0/0.png"), "index.json")
    refused(site.ask("/alps/tile.json"), "index.json")


def test_where_a_virtual_layers_raster_lies_is_not_told(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores, tmp_path: Path
) -> None:
    path = make_raster(values=scene(200, 300))
    layer = make_layer(path, virtual=True)
    path.unlink()
    tile = tiles_of(layer, layer.maxzoom)[0]
    answer = Site.on(stores.tiles, stores.sources).ask(f"/layer/{tile.z}/{tile.x}/{tile.y}.png")
    refused(answer, str(tmp_path), path.name)
