"""A base map in a real browser: nobody else is asked until a person chose it twice, at the start and on the page."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import Route, expect

from seeder.serve.basemap import Basemap
from tests.e2e.wire import files_served
from tests.support.served import serving
from tiler.settings import Settings

if TYPE_CHECKING:
    from tests.e2e.browser import Desk, Look, Window

pytest_plugins = ["tests.e2e.browser"]

OSM = Basemap.parse("osm")
STREETS = (120, 200, 90)  # the colour of all its tiles here
MISSING = r"/flats/\d"  # tiles that the folder does not have
INSIDE, BESIDE = (-8.0, 8.0), (11.0, -11.0)  # on the layer, and where it is transparent


def street_tile() -> bytes:
    """A tile of the base map."""
    buffer = io.BytesIO()
    Image.new("RGB", (256, 256), STREETS).save(buffer, "PNG")
    return buffer.getvalue()


def asked(window: Window) -> list[str]:
    """The tiles of the base map that were asked for."""
    return [request.url for request in window.requests if request.url.startswith(OSM.origin)]


def test_streets_are_asked_for_when_chosen_and_lie_below_the_layer(desk: Desk, look: Look) -> None:
    settings = Settings.from_env({}, data=str(desk.data))
    with serving(settings, basemap=OSM) as url, look(f"{url}/flats/", home={OSM.origin}) as window:
        window.still()
        assert asked(window) == []
        window.page.route(f"{OSM.origin}/**", lambda route: route.fulfill(body=street_tile(), content_type="image/png"))
        window.tab("look")
        window.part("base-streets").check()
        window.until(lambda: window.colours([BESIDE]) == [STREETS])
        assert window.colours([INSIDE]) == desk.truth("flats", [INSIDE])
        expect(window.page.get_by_role("link", name="OpenStreetMap")).to_be_visible()
        assert len(asked(window)) == len(set(asked(window))) > 0
        window.part("base-none").check()
        window.until(lambda: window.colours([BESIDE]) != [STREETS])
        expect(window.page.get_by_role("link", name="OpenStreetMap")).to_be_hidden()


def test_another_host_is_forbidden_even_to_the_page_itself(desk: Desk, look: Look) -> None:
    settings = Settings.from_env({}, data=str(desk.data))
    passed: list[Route] = []

    def let(route: Route) -> None:
        passed.append(route)
        route.fulfill(body=street_tile(), content_type="image/png")

    with serving(settings, basemap=OSM) as url, look(f"{url}/flats/") as window:
        window.still()
        window.page.route("https://elsewhere.test/**", let)
        window.page.evaluate("new Image().src = 'https://elsewhere.test/0/0/0.png'")
        window.until(lambda: any("Content Security Policy" in fault for fault in window.faults))
        assert passed == []
        window.faults.clear()


def test_the_published_page_has_the_base_map_too(desk: Desk, look: Look) -> None:
    desk.run("publish-preview", "flats", "--basemap", "osm")
    with files_served(desk.data / "tiles") as address, look(f"{address}/flats/index.html", excused=MISSING) as window:
        window.still()
        window.tab("look")
        expect(window.part("base-streets")).to_be_visible()
