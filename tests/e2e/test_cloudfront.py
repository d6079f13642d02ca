"""The way to a tile through CloudFront: from the function, from the cache, from S3; and when something breaks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import urllib3

from tests.e2e.cloudfront import ID
from tests.e2e.fronted import Fronted, fronted
from tests.e2e.proxy import Fault, Proxy
from tests.e2e.s3 import S3
from tests.e2e.sqs import Sqs
from tests.e2e.world import ALPS, GLOBE, key
from tests.support.effort import LONG
from tests.support.rasters import Recipe, scene, write_raster
from tests.support.site import private
from tiler.layers.catalog import load_layer
from tiler.layers.fill import CACHE_CONTROL

pytestmark = pytest.mark.skipif(not LONG, reason="scripts/full runs it")
HTTP, TILES = ("tiles", "http"), ("tiles",)  # origins of a missing and of a stored tile
TILE = key(ALPS, 7, 66, 45)

Get = Callable[..., urllib3.BaseHTTPResponse]


@pytest.fixture(scope="module")
def wire(s3: S3) -> Iterator[Proxy]:
    """What stands between the distribution and S3."""
    with Proxy(s3.endpoint) as made:
        yield made


@pytest.fixture(scope="module")
def deployment(
    s3: S3, sqs: Sqs, data: Path, tmp_path_factory: pytest.TempPathFactory, wire: Proxy
) -> Iterator[Fronted]:
    """A deployment that the tests of this module share."""
    with fronted(s3, sqs, data, tmp_path_factory.mktemp("tls"), endpoint=wire.url) as made:
        yield made


@pytest.fixture
def site(deployment: Fronted, wire: Proxy) -> Fronted:
    """The deployment with no tile stored, nothing in the cache and nothing broken."""
    wire.clear()
    deployment.delete(*deployment.stack.stored(ALPS))
    deployment.cdn.reset()
    deployment.stack.gateway.served.clear()
    return deployment


@pytest.fixture
def get(site: Fronted) -> Iterator[Get]:
    """Gets a path of the distribution, over TLS."""
    port = int(site.cdn.url.rpartition(":")[2])
    with urllib3.HTTPSConnectionPool("127.0.0.1", port, cert_reqs="CERT_NONE", retries=False) as pool:

        def ask(path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> urllib3.BaseHTTPResponse:
            return pool.request(method, f"/{path}", headers=headers, redirect=False)

        yield ask


@pytest.fixture
def elapse(site: Fronted) -> Callable[[float], None]:
    """Puts the distribution's clock forward by so many seconds."""
    now = [1000.0]
    site.cdn.clock = lambda: now[0]

    def forward(seconds: float) -> None:
        now[0] += seconds

    return forward


pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")


def test_a_tile_comes_from_the_function_then_from_the_cache_then_from_s3(
    site: Fronted, get: Get, alps: dict[str, bytes]
) -> None:
    origin = {"Origin": "https://map.test"}
    first, second = get(TILE, headers=origin), get(TILE, headers=origin)
    site.cdn.forget(["/*"])
    third = get(TILE, headers=origin)
    assert site.cdn.outcomes() == [("Miss", HTTP), ("Hit", ()), ("Miss", TILES)]
    for answer in (first, second, third):
        assert (answer.status, answer.data, answer.headers["Content-Type"]) == (200, alps[TILE], "image/png")
        assert answer.headers["Cache-Control"] == CACHE_CONTROL
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert (first.headers["X-Tile-State"], "X-Tile-State" in third.headers) == ("rendered", False)
    assert len(site.stack.gateway.served) == 1


def test_only_the_revision_divides_the_cache(site: Fronted, get: Get) -> None:
    for query in ("v=1", "v=1&utm=x", "key=y&v=1", "v=2"):
        assert get(f"{TILE}?{query}").status == 200
    assert site.cdn.outcomes() == [("Miss", HTTP), ("Hit", ()), ("Hit", ()), ("Miss", TILES)]


def test_a_sharp_tile_keeps_its_sign_on_the_way(site: Fronted, get: Get) -> None:
    for path in (f"{ALPS}/6/33/22@2x.png", f"{ALPS}/6/33/22%402x.png"):
        assert get(path).status == 200
    assert site.cdn.outcomes() == [("Miss", HTTP), ("Hit", ())]
    assert list(site.stack.stored(ALPS)) == [f"{ALPS}/6/33/22@2x.png"]


def test_without_the_bucket_s_access_control_the_403_is_visible_and_nothing_is_rendered(
    site: Fronted, get: Get, elapse: Callable[[float], None]
) -> None:
    site.cdn.unsigned.add("tiles")
    refused = get(TILE)
    assert (refused.status, b"<Code>AccessDenied</Code>" in refused.data) == (403, True)
    assert (site.cdn.outcomes(), site.stack.gateway.served) == ([("Error", TILES)], [])
    site.cdn.unsigned.clear()
    elapse(4)
    assert get(TILE).status == 403
    elapse(2)
    assert get(TILE).status == 200


def test_without_the_function_s_access_control_the_403_is_visible_too(site: Fronted, get: Get) -> None:
    site.cdn.unsigned.add("http")
    refused = get(TILE)
    assert (refused.status, "Message" in json.loads(refused.data)) == (403, True)
    assert site.stack.gateway.served == []


def test_the_function_s_url_and_the_bucket_refuse_everybody_else(
    site: Fronted, http_client: urllib3.PoolManager
) -> None:
    for url in (f"{site.stack.gateway.url}/{TILE}", f"{site.stack.s3.endpoint}/{site.stack.tiles}/{ALPS}/tile.json"):
        assert http_client.request("GET", url).status == 403


@pytest.mark.parametrize("kind", ["slow down", "error"])
def test_a_failing_s3_has_no_stored_tile_rendered(
    site: Fronted, get: Get, wire: Proxy, elapse: Callable[[float], None], kind: str
) -> None:
    assert get(TILE).status == 200
    site.cdn.forget(["/*"])
    wire.add(Fault(kind, "GET", TILE))  # type: ignore[arg-type]
    rendered = len(site.stack.gateway.served)
    assert get(TILE).status == {"slow down": 503, "error": 500}[kind]
    wire.clear()
    elapse(2)
    assert get(TILE).status == 200
    assert len(site.stack.gateway.served) == rendered


def test_a_missing_tile_is_a_404_with_a_message_for_a_minute(
    site: Fronted, get: Get, elapse: Callable[[float], None]
) -> None:
    for path, status in (("nowhere/3/1/2.png", 404), (f"{ALPS}/3/0/0.png", 404), ("favicon.ico", 400), ("", 400)):
        answer = get(path)
        assert (answer.status, bool(json.loads(answer.data)["message"])) == (status, True)
    calls = len(site.stack.gateway.served)
    elapse(59)
    assert get("nowhere/3/1/2.png").status == 404
    assert len(site.stack.gateway.served) == calls
    elapse(2)
    assert get("nowhere/3/1/2.png").status == 404
    assert len(site.stack.gateway.served) == calls + 1


def test_a_tile_outside_is_missing_for_an_hour_below_the_current_revision(
    site: Fronted, get: Get, data: Path, elapse: Callable[[float], None]
) -> None:
    outside = f"{ALPS}/3/0/0.png"
    for revision, seconds in ((load_layer(private(data), ALPS).revision, 3600), ("earlier", 60)):
        calls = len(site.stack.gateway.served)
        for wait, more in ((0, 1), (seconds - 1, 1), (2, 2)):
            elapse(wait)
            assert get(f"{outside}?v={revision}").status == 404
            assert len(site.stack.gateway.served) == calls + more


def test_a_throttled_request_is_kept_nowhere_and_the_next_gets_the_tile(
    site: Fronted, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as limited:
        limited.setattr(site.stack.gateway, "throttled", True)
        assert get(TILE).status == 429
    assert get(TILE).status == 200
    assert site.cdn.outcomes() == [("Error", HTTP), ("Miss", HTTP)]


def test_nobody_may_list_or_write(site: Fronted, get: Get) -> None:
    assert site.stack.tiles.encode() not in get("").data
    assert b"<ListBucketResult" not in get("?list-type=2").data
    assert get(TILE, "PUT").status == get(TILE, "DELETE").status == 403
    assert site.stack.stored(ALPS) == {}


def test_a_preflight_is_answered_without_an_origin(site: Fronted, get: Get) -> None:
    preflight = {"Origin": "https://map.test", "Access-Control-Request-Method": "GET"}
    answer = get(TILE, "OPTIONS", {**preflight, "Access-Control-Request-Headers": "x-any"})
    assert (answer.status, answer.headers["Access-Control-Allow-Methods"]) == (204, "GET, HEAD")
    assert site.cdn.outcomes() == [("Miss", ())]


def test_an_unchanged_raster_ingested_again_and_a_refresh_write_the_distribution_s_address(
    site: Fronted, get: Get, data: Path
) -> None:
    before = json.loads(get(f"{ALPS}/tile.json").data)["tiles"]
    raster = data.parent / "alps.tif"
    site.stack.run("ingest", str(raster), "--layer", ALPS)
    site.cdn.forget(["/*"])
    (address,) = json.loads(get(f"{ALPS}/tile.json").data)["tiles"]
    assert before != [address]
    assert address.startswith(f"{site.cdn.url}/{ALPS}/{{z}}/{{x}}/{{y}}.png?v=")
    site.delete(f"{ALPS}/tile.json")
    assert "seeder refresh" in json.loads(get(f"{ALPS}/tile.json").data)["message"]
    site.stack.run("refresh", ALPS, "--no-wait", "--cloudfront", ID)
    assert json.loads(get(f"{ALPS}/tile.json").data)["tiles"] == [address]


def test_a_refresh_shows_new_tiles_under_old_addresses_too(
    site: Fronted, get: Get, alps: dict[str, bytes], tmp_path: Path
) -> None:
    assert get(TILE).data == get(f"{TILE}?v=old").data == alps[TILE]
    raster = write_raster(tmp_path / "later.tif", Recipe(values=scene(seed=11)))
    words = ("refresh", ALPS, str(raster), "--no-wait", "--yes", "--cloudfront", ID, "--wait")
    site.stack.run(*words)
    new = get(TILE)
    assert new.data == site.stack.stored(ALPS)[TILE] != alps[TILE]
    assert get(f"{TILE}?v=old").data == new.data
    assert site.cdn.invalidated == [[f"/{ALPS}/*"]]
    assert "X-Tile-State" not in new.headers  # stored by the refresh, not rendered for this request


def test_invalidate_removes_a_tile_from_the_bucket_and_the_cache(site: Fronted, get: Get) -> None:
    assert get(TILE).status == 200
    site.stack.run("invalidate", ALPS, "--zooms", "7", "--no-wait", "--cloudfront", ID)
    assert site.stack.stored(ALPS) == {}
    assert get(TILE).headers["X-Tile-State"] == "rendered"
    assert site.cdn.outcomes() == [("Miss", HTTP)] * 2


def test_a_stage_that_changed_its_delivery_has_all_its_tiles_and_a_refresh_writes_the_new_address(
    site: Fronted, get: Get
) -> None:
    put, bucket = site.stack.s3.client().put_object, site.stack.tiles
    before = json.loads(get(f"{GLOBE}/tile.json").data)["tiles"]
    tiles = {key(GLOBE, 3, x, 2): b"tile %d" % x for x in range(8)}
    for name, data in tiles.items():
        put(Bucket=bucket, Key=name, Body=data, ContentType="image/png", CacheControl=CACHE_CONTROL)
    site.stack.run("refresh", GLOBE, "--no-wait", "--cloudfront", ID)
    assert site.stack.stored(GLOBE) == tiles
    assert [get(name).data for name in tiles] == list(tiles.values())
    assert set(site.cdn.outcomes(".png")) == {("Miss", TILES)}
    after = json.loads(get(f"{GLOBE}/tile.json").data)["tiles"]
    assert after == [each.replace("http://localhost:8000", site.cdn.url) for each in before] != before
