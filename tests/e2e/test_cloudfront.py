"""What CloudFront alone has: access controls, a cache with lifetimes, preflights, invalidations."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.delivery import CloudFront, cloudfront, names_resolved
from tests.e2e.s3 import S3
from tests.e2e.sqs import Sqs
from tests.e2e.world import ALPS, deployed, key
from tests.support.effort import LONG
from tests.support.site import private
from tiler.layers.catalog import load_layer

pytestmark = pytest.mark.skipif(not LONG, reason="scripts/full runs it")
HTTP, TILES = ("tiles", "http"), ("tiles",)  # origins of a missing and of a stored tile
TILE = key(ALPS, 7, 66, 45)


@pytest.fixture(scope="module")
def deployment(s3: S3, sqs: Sqs, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudFront]:
    """A deployment that the tests of this module share."""
    with names_resolved(), deployed(s3, sqs, data) as stack, cloudfront(stack, tmp_path_factory.mktemp("tls")) as made:
        yield made


@pytest.fixture
def site(deployment: CloudFront) -> CloudFront:
    """The deployment with no tile stored, nothing in the cache and nothing broken."""
    deployment.reset(ALPS)
    return deployment


@pytest.fixture
def elapse(site: CloudFront) -> Callable[[float], None]:
    """Puts the distribution's clock forward by so many seconds."""
    now = [1000.0]
    site.cdn.clock = lambda: now[0]

    def forward(seconds: float) -> None:
        now[0] += seconds

    return forward


def test_only_the_revision_divides_the_cache(site: CloudFront) -> None:
    for query in ("v=1", "v=1&utm=x", "key=y&v=1", "v=2"):
        assert site.get(f"{TILE}?{query}").last.status == 200
    assert site.cdn.outcomes() == [("Miss", HTTP), ("Hit", ()), ("Hit", ()), ("Miss", TILES)]


def test_without_the_bucket_s_access_control_the_403_is_visible_and_nothing_is_rendered(
    site: CloudFront, elapse: Callable[[float], None]
) -> None:
    site.cdn.unsigned.add("tiles")
    refused = site.get(TILE).last
    assert (refused.status, b"<Code>AccessDenied</Code>" in refused.data) == (403, True)
    assert (site.cdn.outcomes(), site.renders) == ([("Error", TILES)], 0)
    (result,) = [
        line for line in site.run("doctor", "--json", check=False).stdout.splitlines() if '"distribution"' in line
    ]
    assert f"S3 denies CloudFront access to bucket {site.stack.tiles}" in json.loads(result)["seen"]
    site.cdn.unsigned.clear()
    elapse(4)
    assert site.get(TILE).last.status == 403
    elapse(2)
    assert site.get(TILE).last.status == 200


def test_without_the_right_to_list_a_missing_tile_is_a_visible_403_too(site: CloudFront) -> None:
    s3, bucket = site.stack.s3, site.stack.tiles
    policy = json.loads(s3.client().get_bucket_policy(Bucket=bucket)["Policy"])
    granted = [(each["Action"], each["Resource"]) for each in policy["Statement"]]
    assert site.get(TILE).state == "rendered"
    site.forget()
    s3.close_website(bucket, [each for each in granted if each[0] != "s3:ListBucket"])
    stored, missing = site.get(TILE), site.get(key(ALPS, 7, 67, 45))
    s3.close_website(bucket, granted)
    assert (stored.state, missing.last.status, site.renders) == ("stored", 403, 1)


def test_without_the_function_s_access_control_the_403_is_visible_too(site: CloudFront) -> None:
    site.cdn.unsigned.add("http")
    refused = site.get(TILE).last
    assert (refused.status, "Message" in json.loads(refused.data), site.renders) == (403, True, 0)


def test_the_function_s_url_and_the_bucket_refuse_everybody_else(site: CloudFront) -> None:
    for url in (f"{site.stack.gateway.url}/{TILE}", f"{site.stack.s3.endpoint}/{site.stack.tiles}/{ALPS}/tile.json"):
        assert site.pool.request("GET", url).status == 403


def test_a_missing_tile_is_a_404_for_a_minute(site: CloudFront, elapse: Callable[[float], None]) -> None:
    statuses, calls = [], []
    for seconds in (0, 59, 2):
        elapse(seconds)
        statuses.append(site.get("nowhere/3/1/2.png").last.status)
        calls.append(site.renders)
    assert (statuses, calls) == ([404] * 3, [1, 1, 2])


def test_a_tile_outside_is_missing_for_an_hour_below_the_current_revision(
    site: CloudFront, data: Path, elapse: Callable[[float], None]
) -> None:
    outside = f"{ALPS}/3/0/0.png"
    for revision, seconds in ((load_layer(private(data), ALPS).revision, 3600), ("earlier", 60)):
        calls = site.renders
        for wait, more in ((0, 1), (seconds - 1, 1), (2, 2)):
            elapse(wait)
            assert site.get(f"{outside}?v={revision}").last.status == 404
            assert site.renders == calls + more


def test_a_throttled_request_is_kept_nowhere_and_the_next_gets_the_tile(
    site: CloudFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as limited:
        limited.setattr(site.stack.gateway, "throttled", True)
        assert site.get(TILE).last.status == 429
    assert site.get(TILE).last.status == 200
    assert site.cdn.outcomes() == [("Error", HTTP), ("Miss", HTTP)]


def test_a_preflight_is_answered_without_an_origin(site: CloudFront) -> None:
    preflight = {"Origin": "https://map.test", "Access-Control-Request-Method": "GET"}
    answer = site.get(TILE, "OPTIONS", {**preflight, "Access-Control-Request-Headers": "x-any"}).last
    assert (answer.status, answer.headers["Access-Control-Allow-Methods"]) == (204, "GET, HEAD")
    assert site.cdn.outcomes() == [("Miss", ())]


def test_commands_invalidate_the_stack_s_distribution(site: CloudFront) -> None:
    assert site.get(TILE).state == "rendered"
    site.run("invalidate", ALPS, "--zooms", "7", "--no-wait", "--wait")
    assert len(site.cdn.invalidated) == 1
    assert site.get(TILE).state == "rendered"
