"""Leaflet, OpenLayers and MapLibre in Chromium, on a page of another origin than the tiles'."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

from PIL import Image

from tests.clients.view import INSIDE, PATIENCE, SIZE, Client, Failed, View, picture
from tests.e2e.browser import launched
from tests.e2e.wire import files_served

HERE = Path(__file__).parent


def _draw(page_name: str, view: View, _folder: Path) -> Image.Image:
    """What the page shows when its map is done, in a browser that was just started."""
    said = {"template": view.template, "tilejson": view.tilejson, "zoom": view.tile.z}
    said |= {"longitude": view.middle.lng, "latitude": view.middle.lat}
    with files_served(HERE) as server, launched() as browser:
        page = browser.new_page(viewport={"width": SIZE, "height": SIZE})
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"{server}/{INSIDE.name}/{page_name}.html?{urlencode(said)}")
        try:
            page.wait_for_function("window.drawn || null", timeout=1000 * PATIENCE / 2)
        except Exception as error:
            raise Failed(faults[0] if faults else "the map is never done") from error
        return picture(page.screenshot(scale="css"))


def _version(package: str) -> str:
    return str(json.loads((HERE / "node_modules" / package / "package.json").read_text())["version"])


CLIENTS = [
    Client(name, partial(_version, package), partial(_draw, name.lower()))
    for name, package in (("Leaflet", "leaflet"), ("OpenLayers", "ol"), ("MapLibre", "maplibre-gl"))
]
