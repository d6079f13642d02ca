"""The pages of the guides, and those that the preview offers to copy, opened in a real browser as files.

Each shows the tiles' own colours.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.e2e.wire import files_served
from tests.support.paths import ROOT
from tests.support.rasters import Recipe
from tests.support.served import ask

if TYPE_CHECKING:
    from tests.e2e.browser import Colour, Desk, Look, Window

pytest_plugins = ["tests.e2e.browser"]

GUIDES = ROOT / "docs" / "guides"
SNIPPETS = ROOT / "preview" / "src" / "snippets.js"
PACKAGES = ROOT / "tests" / "clients"
CDN = re.compile(r"https://unpkg\.com/([\w-]+)@([\d.]+)")
SERVER = "http://localhost:8000"
BOUNDS = (6.0, 45.0, 8.0, 47.0)
CREDIT = "Survey of the test"
COLOURS = ((230, 60, 40), (40, 160, 60), (50, 80, 220), (250, 220, 30))  # of the quarters, row by row
WIDTH, HEIGHT = 960, 600  # pixels of the window
FITTING = 8  # the zoom at which a pixel of a tile is about one of the window, when the window shows all of the layer
NEAR = 30  # pixels from its middle to a place in each quarter
ZOOM_BY = {  # each library's call for two zooms beyond the tiles
    "Leaflet": "shown.setZoom(11)",
    "OpenLayers": "shown.getView().setZoom(11)",
    "MapLibre GL JS": "shown.setZoom(10)",
}


@pytest.fixture(scope="module")
def library() -> Iterator[str]:
    """The address of a server that stands in for the CDN."""
    folder = PACKAGES / "node_modules"
    assert folder.is_dir(), "the libraries are not installed: run `npm ci` in tests/clients"
    with files_served(folder, origins="*") as address:
        yield address


@pytest.fixture(scope="module")
def guide_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with `ortho`, four flat quarters, and `heights`, a ridge from north to south; no tile is stored."""
    from tests.e2e.browser import add, flat  # noqa: PLC0415 - a plugin is not imported

    data = tmp_path_factory.mktemp("guides") / "data"
    add(data, "ortho", Recipe(values=flat(*COLOURS), bounds=BOUNDS, alpha=True), attribution=CREDIT)
    slopes = 8000 - 30 * np.abs(np.arange(512) - 255.5)
    ridge = np.broadcast_to(slopes, (1, 512, 512)).astype(np.float32)
    add(data, "heights", Recipe(values=ridge, bounds=BOUNDS), style="terrain-rgb")
    return data


@pytest.fixture
def desk_data(guide_data: Path) -> Path:
    """The folder that the server has a copy of."""
    return guide_data


def page(guide: str, section: str, folder: Path, *, tiles: str, library: str) -> str:
    """The address of a guide's page, saved as a file, with servers of this machine, and its map as `shown`."""
    text = (GUIDES / guide).read_text()
    found = re.search(rf"^## {section}\n.*?^```html\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found
    return saved(found[1], folder, tiles=tiles, library=library)


def saved(html: str, folder: Path, *, tiles: str, library: str) -> str:
    """The address of a page that is saved as a file; see `page`."""
    pinned = json.loads((PACKAGES / "package.json").read_text())["dependencies"]
    assert CDN.findall(html)
    for name, version in CDN.findall(html):
        assert pinned[name] == version
    html = CDN.sub(rf"{library}/\1", html).replace(SERVER, tiles)
    file = folder / "page.html"
    file.write_text(html.replace("const map =", "const map = window.shown ="))
    return file.as_uri()


def snippet(desk: Desk, layer: str, key: str) -> str:
    """The whole page that the preview offers to copy for a map library, by the key of its snippet."""
    known = json.loads(ask(f"{desk.url}/{layer}/tile.json").data)
    folder = f"{desk.url}/{layer}"
    shown = {
        **{name: known[name] for name in ("minzoom", "maxzoom", "bounds")},
        "layer": layer,
        "title": known["name"],
        "template": known["tiles"][0],
        "encoding": known.get("encoding", ""),
        "tilejson": f"{folder}/tile.json",
        "wmts": f"{folder}/wmts.xml",
        "attribution": known.get("attribution", ""),
    }
    script = f"import('{SNIPPETS.as_uri()}').then((m) => console.log(JSON.stringify(m.snippets({json.dumps(shown)}))))"
    said = subprocess.run(["node", "-e", script], check=True, capture_output=True, text=True, timeout=60).stdout
    return next(each["page"] for each in json.loads(said) if each["key"] == key)


def quarters(window: Window) -> list[Colour]:
    """The colours around the middle of the window."""
    picture = window.picture()
    places = [(x, y) for y in (-NEAR, NEAR) for x in (-NEAR, NEAR)]
    return [picture.getpixel((WIDTH // 2 + x, HEIGHT // 2 + y)) for x, y in places]  # type: ignore[misc]


def right(window: Window) -> bool:
    """Whether the quarters have the tiles' colours."""
    return bool(np.abs(np.subtract(quarters(window), COLOURS)).max() <= 3)


@pytest.mark.parametrize("density", [1, 2])
@pytest.mark.parametrize("section", list(ZOOM_BY))
def test_a_page_shows_the_tiles_and_requests_no_other(
    desk: Desk, look: Look, library: str, tmp_path: Path, section: str, density: int
) -> None:
    url = page("use-the-tiles.md", section, tmp_path, tiles=desk.url, library=library)
    with look(url, size=(WIDTH, HEIGHT), home={desk.url, library}, device_scale_factor=density) as window:
        window.until(lambda: right(window))
        assert max(tile.z for tile, _ in window.asked("ortho")) == FITTING
        assert CREDIT in window.page.content()
        window.page.evaluate(ZOOM_BY[section])
        window.until(lambda: right(window) and max(tile.z for tile, _ in window.asked("ortho")) == 9)
        layer = desk.layer("ortho")
        assert layer.maxzoom == 9
        for tile, double in window.asked("ortho"):
            assert layer.has(tile)
            assert double == (density == 2)


@pytest.mark.parametrize("key", ["maplibre", "leaflet", "openlayers"])
def test_a_snippet_runs_as_pasted(desk: Desk, look: Look, library: str, tmp_path: Path, key: str) -> None:
    url = saved(snippet(desk, "ortho", key), tmp_path, tiles=SERVER, library=library)
    with look(url, size=(WIDTH, HEIGHT), home={desk.url, library}) as window:
        window.until(lambda: right(window))
        assert all(desk.layer("ortho").has(tile) for tile, _ in window.asked("ortho"))
        assert CREDIT in window.page.content()


@pytest.mark.parametrize("from_guide", [True, False], ids=["guide", "snippet"])
def test_the_page_of_heights_shows_the_lit_slope_lighter_than_the_other(
    desk: Desk, look: Look, library: str, tmp_path: Path, from_guide: bool
) -> None:
    section, servers = "Encoded heights: shade and 3D in the browser", {"tiles": desk.url, "library": library}
    if from_guide:
        url = page("terrain.md", section, tmp_path, **servers)
    else:
        url = saved(snippet(desk, "heights", "maplibre"), tmp_path, **servers)
    with look(url, size=(WIDTH, HEIGHT), home={desk.url, library}) as window:

        def grey(x: int) -> float:
            box = (WIDTH // 2 + x, HEIGHT // 2 - NEAR, WIDTH // 2 + x + NEAR, HEIGHT // 2 + NEAR)
            return float(np.asarray(window.picture().crop(box).convert("L")).mean())

        window.until(lambda: grey(-2 * NEAR) > grey(NEAR) + 8)  # light comes from the north-west
