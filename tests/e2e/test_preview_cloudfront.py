"""A layer on an https page, through CloudFront: tiles of the function, of the cache and of S3 in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cloudfront import ID
from tests.e2e.fronted import Fronted, fronted
from tests.e2e.s3 import S3
from tests.e2e.sqs import Sqs
from tests.support.effort import LONG

if TYPE_CHECKING:
    from tests.e2e.browser import Desk, Look, Window

pytest_plugins = ["tests.e2e.browser"]

pytestmark = pytest.mark.skipif(not LONG, reason="scripts/full runs it")
PLACES = [(-8.0, 8.0), (11.0, 8.0), (-8.0, -11.0)]
YELLOW = (250, 220, 30)
HTTP, TILES = ("tiles", "http"), ("tiles",)  # origins of a missing and of a stored tile
SELF_SIGNED = {"ignore_https_errors": True}
PHONE = {**SELF_SIGNED, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
NONE = {"stored": 0, "rendered": 0, "empty": 0, "failed": 0}


@pytest.fixture(scope="module")
def deployment(s3: S3, sqs: Sqs, flats_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fronted]:
    """A deployment with a published preview."""
    with fronted(s3, sqs, flats_data, tmp_path_factory.mktemp("tls")) as made:
        made.stack.run("publish-preview", "flats")
        yield made


@pytest.fixture
def site(deployment: Fronted) -> Fronted:
    """The deployment with no tile stored, nothing in the cache and nothing broken."""
    deployment.delete(*deployment.stack.stored("flats"))
    deployment.cdn.reset()
    deployment.stack.gateway.served.clear()
    return deployment


@pytest.fixture
def page(site: Fronted) -> str:
    """The address of the layer's page."""
    return f"{site.cdn.url}/flats/"


def settled(window: Window, **states: int) -> None:
    """Wait until the tiles in view are in those states."""
    window.still()
    window.until(lambda: window.summary == NONE | states)


def outcomes(site: Fronted) -> set[tuple[str, tuple[str, ...]]]:
    """Cache results and origins of the tiles since the last call."""
    results = set(site.cdn.outcomes(".png"))
    site.cdn.served.clear()
    return results


def test_an_https_page_shows_tiles_of_the_function_then_of_the_cache_then_of_s3(
    site: Fronted, page: str, desk: Desk, look: Look
) -> None:
    truth = desk.truth("flats", PLACES)
    with look(page, **SELF_SIGNED) as window:
        settled(window, rendered=4)
        window.until(lambda: window.colours(PLACES) == truth)
        assert outcomes(site) == {("Miss", HTTP)}
        assert [each.status for each in site.stack.gateway.served] == [200] * 4  # one answer each, and no redirect
        window.page.reload()
        settled(window, stored=4)
        assert outcomes(site) <= {("Hit", ())}
    site.cdn.forget(["/*"])
    with look(page, **SELF_SIGNED) as window:
        settled(window, stored=4)
        window.until(lambda: window.colours(PLACES) == truth)
        assert outcomes(site) == {("Miss", TILES)}
    assert len(site.stack.gateway.served) == 4


def test_a_phone_shows_sharp_tiles(site: Fronted, page: str, desk: Desk, look: Look) -> None:
    with look(page, size=(390, 844), **PHONE) as window:
        window.still()
        window.until(lambda: window.colours(PLACES) == desk.truth("flats", PLACES))
        assert window.summary["rendered"] == sum(window.summary.values()) > 0
    assert site.stack.s3.client().list_objects_v2(Bucket=site.stack.tiles, Prefix="flats/")["KeyCount"] > 0
    assert any("@2x" in each.target for each in site.cdn.served)


def test_a_broken_access_control_is_a_visible_403(site: Fronted, page: str, look: Look) -> None:
    with look(page, excused=".", **SELF_SIGNED) as window:  # without the bucket everything fails
        settled(window, rendered=4)
        site.cdn.unsigned.add("tiles")
        window.jump(5, 0.0, 1.5)
        window.until(lambda: window.summary["failed"] > 0)
        assert window.summary["rendered"] == window.summary["stored"] == 0
        refused = [each for each in site.cdn.served if each.status == 403]
        assert {each.origins for each in refused} <= {TILES, ()}
        rendered = len(site.stack.gateway.served)
        answer = window.page.goto(page)
        assert answer
        assert (answer.status, "<Code>AccessDenied</Code>" in answer.text()) == (403, True)
        assert len(site.stack.gateway.served) == rendered == 4


def test_tiles_of_a_throttled_function_appear_by_themselves(site: Fronted, page: str, look: Look) -> None:
    gateway = site.stack.gateway
    gateway.throttled = True
    try:
        with look(page, excused=r"\.png", **SELF_SIGNED) as window:
            window.until(lambda: [each.status for each in gateway.served].count(429) >= 4)
            assert window.summary == NONE
            gateway.throttled = False
            settled(window, rendered=4)
    finally:
        gateway.throttled = False


def test_a_refresh_shows_new_tiles_on_a_page_that_was_seen_before(
    site: Fronted, page: str, flats_data: Path, look: Look
) -> None:
    with look(page, **SELF_SIGNED) as window:
        settled(window, rendered=4)
        words = ("refresh", "flats", str(flats_data / "other.tif"), "--no-wait", "--yes", "--cloudfront", ID)
        site.stack.run(*words)
        window.page.reload()
        settled(window, stored=4)
        window.until(lambda: window.colours(PLACES) == [YELLOW] * 3)
