"""A published layer in Chromium, by both deliveries: tiles of the function, of a cache, of S3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.delivery import CloudFront, Delivery, cloudfront, names_resolved, website
from tests.e2e.s3 import S3
from tests.e2e.sqs import Sqs
from tests.e2e.tls import TlsServer, certificate
from tests.e2e.wire import Exchange
from tests.e2e.world import Deployed, deployed
from tests.support.effort import LONG

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.e2e.browser import Desk, Look, Window

pytest_plugins = ["tests.e2e.browser"]

PLACES = [(-8.0, 8.0), (11.0, 8.0), (-8.0, -11.0)]
YELLOW = (250, 220, 30)
PHONE: dict[str, Any] = {"size": (390, 844), "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
NONE = {"stored": 0, "rendered": 0, "empty": 0, "failed": 0}
IMAGE = """(url) => new Promise((done) => {
  const image = new Image();
  image.onload = () => done(image.naturalWidth);
  image.onerror = () => done(0);
  image.src = url;
})"""
FETCHED = "(url) => fetch(url).then((answer) => answer.status, () => 0)"
long = pytest.mark.skipif(not LONG, reason="scripts/full runs it")


@pytest.fixture(scope="module")
def stack(s3: S3, sqs: Sqs, flats_data: Path) -> Iterator[Deployed]:
    """A deployment, not yet by either delivery."""
    with names_resolved(), deployed(s3, sqs, flats_data) as made:
        yield made


@pytest.fixture(scope="module", params=["website", "cloudfront"])
def delivery(
    request: pytest.FixtureRequest, stack: Deployed, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Delivery]:
    """Each delivery of the deployment, with a published preview."""
    made = website(stack) if request.param == "website" else cloudfront(stack, tmp_path_factory.mktemp("tls"))
    with made as site:
        site.refresh("flats")
        site.run("publish-preview", "flats")
        yield site


@pytest.fixture
def site(delivery: Delivery) -> Delivery:
    """The deployment with no tile stored, nothing in a cache and nothing broken."""
    delivery.reset("flats")
    return delivery


@pytest.fixture
def page(site: Delivery) -> str:
    """The address of the layer's page."""
    return f"{site.url}/flats/"


@pytest.fixture
def view(site: Delivery, look: Look, page: str) -> Look:
    """Opens a window on the layer's page."""
    return lambda **options: look(page, home=site.home, **site.profile, **options)


def settled(window: Window, **states: int) -> None:
    """Wait until the tiles in view are in those states."""
    window.still()
    window.until(lambda: window.summary == NONE | states)


def test_a_page_shows_tiles_of_the_function_then_the_stored_ones(site: Delivery, desk: Desk, view: Look) -> None:
    truth = desk.truth("flats", PLACES)
    with view() as window:
        settled(window, rendered=4)
        window.until(lambda: window.colours(PLACES) == truth)
        assert [each.status for each in site.stack.gateway.served] == [site.function] * 4
        window.page.reload()
        settled(window, stored=4)
        site.forget()
        window.page.reload()
        settled(window, stored=4)
        window.until(lambda: window.colours(PLACES) == truth)
        assert not [request.url for request in window.requests if "/_/" in request.url]
        for part in ("compare", "count-again", "jobs"):  # they would need a server
            assert not window.part(part).is_visible()
    assert (site.renders, len(site.stack.stored("flats"))) == (4, 4)


def test_an_https_page_shows_tiles_unless_they_are_mixed_content(
    site: Delivery, chromium: Browser, tmp_path: Path
) -> None:
    tile = f"{site.url}/flats/6/31/31.png"

    def answer(exchange: Exchange) -> None:
        exchange.send(200, [("Content-Type", "text/html")], b"<!doctype html><title>a map</title>")

    with closing(TlsServer(answer, certificate(tmp_path, "map.test"))) as server:
        context = chromium.new_context(ignore_https_errors=True)
        with closing(context):
            tab = context.new_page()
            complaints: list[str] = []
            tab.on("console", lambda message: complaints.append(message.text))
            tab.goto(f"https://map.test:{server.port}/")
            shown = (tab.evaluate(IMAGE, tile), tab.evaluate(FETCHED, tile))
    assert shown == ((256, 200) if site.on_https_pages else (0, 0))
    assert any("Mixed Content" in each for each in complaints) == (not site.on_https_pages)


@long
def test_a_phone_shows_sharp_tiles(site: Delivery, desk: Desk, view: Look) -> None:
    with view(**PHONE) as window:
        window.still()
        window.until(lambda: window.colours(PLACES) == desk.truth("flats", PLACES))
        assert window.summary["rendered"] == sum(window.summary.values()) > 0
    assert {key.partition(".")[0][-3:] for key in site.stack.stored("flats")} == {"@2x"}


@long
def test_tiles_of_a_throttled_function_appear_by_themselves(site: Delivery, view: Look) -> None:
    gateway = site.stack.gateway
    gateway.throttled = True
    try:
        with view(excused=".") as window:  # the page complains of answers of the API that allow no origin
            window.until(lambda: [each.status for each in gateway.served].count(429) >= 4)
            assert window.summary == NONE
            gateway.throttled = False
            settled(window, rendered=4)
    finally:
        gateway.throttled = False


@long
def test_a_refresh_shows_new_tiles_on_a_page_that_was_open_before(site: Delivery, flats_data: Path, view: Look) -> None:
    with view() as window:
        settled(window, rendered=4)
        site.refresh("flats", str(flats_data / "other.tif"))
        window.page.reload()
        settled(window, stored=4)
        window.until(lambda: window.colours(PLACES) == [YELLOW] * 3)
    site.refresh("flats", str(flats_data / "flats.tif"))


@long
@pytest.mark.parametrize("delivery", ["cloudfront"], indirect=True, scope="module")
def test_a_broken_access_control_of_cloudfront_is_a_visible_403(site: Delivery, page: str, view: Look) -> None:
    assert isinstance(site, CloudFront)
    with view(excused=".") as window:  # without the bucket everything fails
        settled(window, rendered=4)
        site.cdn.unsigned.add("tiles")
        window.jump(5, 0.0, 1.5)
        window.until(lambda: window.summary["failed"] > 0)
        assert window.summary["rendered"] == window.summary["stored"] == 0
        assert {each.origins for each in site.cdn.served if each.status == 403} <= {("tiles",), ()}
        answer = window.page.goto(page)
        assert answer
        assert (answer.status, "<Code>AccessDenied</Code>" in answer.text(), site.renders) == (403, True, 4)
