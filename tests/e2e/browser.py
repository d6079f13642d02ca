"""A real browser before the real server: windows that see pixels and requests, and layers made to be looked at.

A plugin: a test module names it in `pytest_plugins` and imports nothing of it but types.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import rasterio
from axe_playwright_python.sync_playwright import Axe
from mercantile import LngLatBbox, Tile
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, Response, expect, sync_playwright

from seeder.cli.common import where
from seeder.serve import events, pages
from tests.support.damaged import damage
from tests.support.layers import silent
from tests.support.paths import ROOT
from tests.support.rasters import Recipe, write_raster
from tests.support.served import serving
from tiler import timing
from tiler.grid import Block
from tiler.image.style import Values
from tiler.ingest.ingest import ingest
from tiler.layers.catalog import Layer, load_layer
from tiler.raster.options import Options
from tiler.settings import Settings
from tiler.storage.store import Stores

PATIENCE = 60_000  # milliseconds that a condition may take to come true
STATES = ("stored", "rendered", "empty", "failed")
TILE = re.compile(r"/(?P<layer>[^/]+)/(?P<z>\d+)/(?P<x>\d+)/(?P<y>\d+)(?P<double>@2x)?\.(png|jpg|webp)")
HARMLESS = "GL Driver Message"  # software WebGL says that reading pixels back is slow

Place = tuple[float, float]  # longitude and latitude, degrees
Colour = tuple[int, int, int]

READY = "Boolean(window.preview || !document.querySelector('[data-testid=map]'))"
STILL = """() => {
  const map = window.preview?.map;
  if (!Object.keys(map?.getStyle()?.sources ?? {}).length) return false;
  return new Promise((done) => {
    map.once("idle", () => requestAnimationFrame(() => requestAnimationFrame(() => done(true))));
    map.triggerRepaint();
    setTimeout(done, 2000, false);
  });
}"""
SPOTS = """(places) => {
  const { map } = window.preview;
  const frame = map.getContainer().getBoundingClientRect();
  return places.map((place) => map.project(place)).map(({ x, y }) => [frame.x + x, frame.y + y]);
}"""
WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
EDGES = "() => window.preview.map.getBounds().toArray().flat()"
JUMP = "([zoom, latitude, longitude]) => window.preview.map.jumpTo({ center: [longitude, latitude], zoom: zoom - 1 })"


@dataclass(eq=False)
class Window:
    """A page in a profile of its own, and all that it asked for and complained of.

    `home` are the origins that it may ask; requests whose address `excused` matches may fail.
    """

    page: Page
    home: Collection[str]
    excused: str
    requests: list[Request] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))
        self.page.on("request", self._asked)
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._answered)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and HARMLESS not in message.text:
            self._fault(message.location["url"], f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        self.requests.append(request)
        scheme, host = urlsplit(request.url)[:2]
        if scheme in ("http", "https") and f"{scheme}://{host}" not in self.home:
            self.faults.append(f"asked a stranger: {request.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # by the page itself
            self._fault(request.url, f"{request.failure}: {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self._fault(response.url, f"{response.status}: {response.url}")

    def _fault(self, url: str, what: str) -> None:
        if not (self.excused and re.search(self.excused, url)):
            self.faults.append(what)

    def part(self, name: str) -> Locator:
        """The part of the page with that test id."""
        return self.page.get_by_test_id(name)

    def tab(self, name: str) -> None:
        """Show a tab of a layer's page."""
        self.page.locator(f"#tab-{name}").click()

    def still(self) -> None:
        """Wait until the map shows all that it will, and what is told of its tiles is up to date."""
        self.until(lambda: self.page.evaluate(STILL))

    def until(self, come: Callable[[], object]) -> None:
        """Wait until `come` gives something true: here, for the pages' policy forbids the browser to evaluate text."""
        end = time.monotonic() + PATIENCE / 1000
        while not come():
            assert time.monotonic() < end, "it did not come about"
            self.page.wait_for_timeout(100)  # a look may be a screenshot

    def jump(self, zoom: float, latitude: float, longitude: float) -> None:
        """Move the map; `zoom` is that of the tiles of 256 pixels at their full size."""
        self.page.evaluate(JUMP, [zoom, latitude, longitude])
        self.still()

    @property
    def view(self) -> LngLatBbox:
        """What the map shows; longitudes go on past 180 degrees."""
        return LngLatBbox(*self.page.evaluate(EDGES))

    def spots(self, places: Iterable[Place]) -> list[tuple[float, float]]:
        """Where places are on the page, pixels from its north-west corner."""
        return [(x, y) for x, y in self.page.evaluate(SPOTS, [list(place) for place in places])]

    def picture(self) -> Image.Image:
        """What is seen, one pixel for each of CSS."""
        return Image.open(io.BytesIO(self.page.screenshot(scale="css"))).convert("RGB")

    def colours(self, places: Iterable[Place]) -> list[Colour]:
        """What colours places have on the screen."""
        picture, spots = self.picture(), self.spots(places)
        return [picture.getpixel((int(x), int(y))) for x, y in spots]  # type: ignore[misc]

    @property
    def summary(self) -> dict[str, int]:
        """How many tiles in view are in each state, as the page says."""
        part = self.part("tile-summary")
        return {state: int(part.get_attribute(f"data-{state}") or -1) for state in STATES}

    def asked(self, layer: str) -> list[tuple[Tile, bool]]:
        """The tiles of `layer` that were asked for, in order, each with whether it was the one of 512 pixels."""
        found = [
            TILE.fullmatch(urlsplit(request.url).path) for request in self.requests if request.redirected_from is None
        ]
        return [
            (Tile(x=int(each["x"]), y=int(each["y"]), z=int(each["z"])), bool(each["double"]))
            for each in found
            if each and each["layer"] == layer
        ]

    def barriers(self) -> list[str]:
        """What keeps people from using the page, by all rules of axe-core."""
        found = Axe().run(self.page).response["violations"]
        return [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]

    @property
    def wide(self) -> bool:
        """Whether the page is wider than the window."""
        return bool(self.page.evaluate(WIDE))


Look = Callable[..., AbstractContextManager[Window]]


@contextmanager
def looking(
    browser: Browser,
    url: str,
    *,
    size: tuple[int, int] = (960, 600),
    home: Collection[str] = (),
    excused: str = "",
    **options: Any,
) -> Iterator[Window]:
    """A window on `url`. Leaving it fails if the page complained, or asked anybody but its own origin and `home`.

    `size` is in pixels of CSS; `options` are those of the profile.
    """
    scheme, host = urlsplit(url)[:2]
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
    try:
        context.set_default_timeout(PATIENCE)
        window = Window(context.new_page(), {f"{scheme}://{host}", *home}, excused)
        window.page.goto(url)
        window.until(lambda: window.page.evaluate(READY))
        yield window
        window.page.evaluate("0")  # hears what was said until now
        assert not window.faults
    finally:
        context.close()


@contextmanager
def launched(*flags: str) -> Iterator[Browser]:
    """Chromium without a screen.

    Raises:
        RuntimeError: it is not installed, or the pages are not built.
    """
    path = shutil.which("chromium")
    if path is None:
        raise RuntimeError("no chromium: install Debian's package of that name")
    if not pages.assets():
        raise RuntimeError(pages.CURE)
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(flags), timeout=60_000)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser of this process. It finds all websites of the S3 server on this machine."""
    with launched("--host-resolver-rules=MAP *.test 127.0.0.1") as browser:
        yield browser


@pytest.fixture
def look(chromium: Browser) -> Look:
    """Opens a window on an address; see `looking`."""
    return partial(looking, chromium)


# layers


FLATS = "flats"  # zooms 0 to 6: three flat colours, the south-east transparent
OTHER = "other"  # the same, all of another colour
GLOBE = "globe"  # zooms 0 to 4, of the whole world, no tile empty
BOUNDS = (-18.0, -21.0, 21.0, 18.0)  # of FLATS; its colours meet at 1.5 east, 1.5 south


def flat(*colours: Colour) -> Values:
    """A picture of four quarters, row by row; the fourth is transparent unless it has a colour."""
    values = np.zeros((4, 512, 512), np.uint8)
    for (row, column), colour in zip(((0, 0), (0, 256), (256, 0), (256, 256)), colours, strict=False):
        values[:, row : row + 256, column : column + 256] = np.array([*colour, 255], np.uint8).reshape(4, 1, 1)
    return values


@dataclass(frozen=True)
class Desk:
    """A data folder, and the server before it at `url`."""

    data: Path
    url: str

    @property
    def stores(self) -> Stores:
        """Its stores."""
        return Stores.open(Settings.from_env({}, data=str(self.data)))

    def layer(self, name: str) -> Layer:
        """A layer as it is now."""
        return load_layer(self.stores.sources, name)

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command of the project on the folder, to its end."""
        return run(self.data, *words, check=check)

    def add(self, name: str, values: Values, **options: Any) -> Layer:
        """Make `values` the next revision of a layer where FLATS is."""
        return add(self.data, name, Recipe(values=values, bounds=BOUNDS, alpha=True), **options)

    def tiles(self, layer: str, kind: str = "*.png") -> set[Tile]:
        """The tiles that are stored."""
        folder = self.data / "tiles" / layer
        parts = [path.relative_to(folder).parts for path in folder.glob(f"*/*/{kind}")]
        return {Tile(x=int(x), y=int(y.partition(".")[0].removesuffix("@2x")), z=int(z)) for z, x, y in parts}

    def truth(self, name: str, places: Iterable[Place]) -> list[Colour]:
        """The colours that the raster itself has at places."""
        with rasterio.open(self.data / f"{name}.tif") as source:
            return [(int(red), int(green), int(blue)) for red, green, blue in source.sample(places, (1, 2, 3))]


def run(data: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """A command of the project on a data folder, to its end."""
    command = [sys.executable, "-m", "seeder", *words, "--data", str(data)]
    return subprocess.run(command, cwd=ROOT, check=check, capture_output=True, text=True, timeout=60)


def add(data: Path, name: str, recipe: Recipe, **options: Any) -> Layer:
    """Make a raster, kept beside the layers, the next revision of a layer."""
    data.mkdir(exist_ok=True)
    source = write_raster(data / f"{name}.tif", recipe)
    stores = Stores.open(Settings.from_env({}, data=str(data)), create=True)
    return ingest(str(source), name, Options(**options), stores, jobs=1, progress=silent).layer


@pytest.fixture(scope="session")
def flats_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with FLATS and OTHER, to be copied."""
    data = tmp_path_factory.mktemp("flats") / "data"
    colours = ((230, 60, 40), (40, 160, 60), (50, 80, 220))
    add(data, FLATS, Recipe(values=flat(*colours), bounds=BOUNDS, alpha=True), max_zoom=6)
    add(data, OTHER, Recipe(values=flat(*[(250, 220, 30)] * 4), bounds=BOUNDS, alpha=True))
    return data


@pytest.fixture(scope="session")
def mixed_data(flats_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with tiles in every state, to be copied.

    Of zoom 6 the block in the north-west is stored, that in the north-east missing, that in the south-west failed, and
    that in the south-east warm where the others' colours reach into it, and empty elsewhere. Two more are missing.
    """
    data = Path(shutil.copytree(flats_data, tmp_path_factory.mktemp("mixed") / "data"))
    run(data, "seed", FLATS, "--jobs", "1", "--zooms", "0-5")
    run(data, "seed", FLATS, "--jobs", "1", "--zooms", "6", "--bbox=-18,0.1,21,18", "--bbox=0.1,-21,21,-0.1")
    restore = damage(data, lambda _: b"no COG", FLATS)
    run(data, "seed", FLATS, "--jobs", "1", "--zooms", "6", "--bbox=-18,-21,-0.1,-0.1", check=False)
    restore()
    for tile in [*Block(6, 32, 24).tiles(), Tile(x=16, y=15, z=5), Tile(x=0, y=0, z=0)]:
        (data / f"tiles/{FLATS}/{tile.z}/{tile.x}/{tile.y}.png").unlink(missing_ok=True)
    return data


@pytest.fixture(scope="session")
def globe_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with GLOBE, all of it stored, to be copied."""
    data = tmp_path_factory.mktemp("globe") / "data"
    rows, columns = np.mgrid[0:2048, 0:4096]
    pattern = (40 + (columns // 256 * 17 + rows // 256 * 31) % 200).astype(np.uint8)[np.newaxis]
    add(data, GLOBE, Recipe(values=pattern, bounds=(-180, -90, 180, 90)))
    run(data, "seed", GLOBE, "--jobs", "1")
    return data


@pytest.fixture
def desk_data(flats_data: Path) -> Path:
    """The data folder that a desk has a copy of; modules have their own."""
    return flats_data


@pytest.fixture
def desk(desk_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A desk of this test; its server tells quickly of what changes."""
    monkeypatch.setattr(timing, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(events, "LISTING_RATIO", 1)
    data = Path(shutil.copytree(desk_data, tmp_path / "data"))
    settings = Settings.from_env({}, data=str(data))
    with serving(settings, where(settings)) as url:
        yield Desk(data, url)
