"""Take the screenshots in docs/images: the pages in a browser, with layers made of real rasters.

`sizes-*` show a page on a desktop, a tablet and a phone, light and dark; each of the others is one view.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from PIL import Image
from playwright.sync_api import Browser

from seeder.cache.prepare_job import prepare
from seeder.jobs.ledger import Run, put_run
from seeder.select.selection import Selection
from seeder.workers.process_block import Worker
from tests.e2e.browser import Window, launched, looking, run
from tests.support.served import serving
from tiler.grid import LEAF
from tiler.layers.catalog import load_layer
from tiler.layers.render import TileVariant
from tiler.settings import Settings
from tiler.storage.store import Stores

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
PHONE: dict[str, Any] = {"size": (390, 844), "is_mobile": True, "has_touch": True}
SIZES: tuple[dict[str, Any], ...] = ({"size": (1440, 900)}, {"size": (820, 900)}, PHONE)
DESK = (1280, 800)  # pixels
MOST = 150_000  # bytes of an image with all its colours
COMMON = 96  # colours that are kept
SHARE = 0.8  # fraction of finished blocks in the job
GAP = 16  # pixels between the windows of a sheet

LANDCOVER = "Twelve classes of land cover along a river. Lower zooms keep the classes: colours are never mixed."
LAYERS: tuple[tuple[str, tuple[str, ...]], ...] = (  # rasters, and the arguments of `seeder ingest`
    ("landcover_palette.tif", ("--layer", "landcover", "--title", "Land cover", "--resampling", "mode")),
    ("landcover_palette.tif", ("--layer", "landcover", "--description", LANDCOVER, "--attribution", "Sample data")),
    ("sentinel2_tci_utm.tif", ("--layer", "sentinel", "--title", "Sentinel-2, Tobruk", "--seed", "0-11")),
    ("drone_rgba_utm.tif", ("--layer", "drone", "--title", "Drone survey, Bali", "--seed", "0-19")),
    ("dem.tif", ("--layer", "shade", "--style", "hillshade")),
    (
        "dem.tif",
        ("--layer", "heights", "--title", "Elevation, Valais", "--style", "relief", "--seed", "0-15"),
    ),
)
BUSY = "landcover"  # whose job is not yet done
TABS = ("use", "look", "stored", "box", "about")
PAGES = {"list": "", **{tab: f"landcover/#{tab}" for tab in TABS}}


def prepare_layers(rasters: Path, data: Path) -> None:
    """Make the layers of a folder of rasters."""
    for raster, words in LAYERS:
        run(data, "ingest", str(rasters / raster), *words)


def half_done(settings: Settings, name: str) -> None:
    """Start a job for all tiles of a layer, and leave it running with most blocks done."""
    stores = Stores.open(settings)
    layer = load_layer(stores.sources, name)
    everything = Selection(tuple(range(layer.minzoom, layer.maxzoom + 1)))
    plan = prepare(layer, everything, TileVariant(1, layer.format), force=True, stores=stores)
    put_run(stores.sources, plan.job.id, Run("", datetime.now(UTC), 1.0))
    worker = Worker.open(settings)
    for message in islice(plan.messages((LEAF,)), round(SHARE * plan.blocks)):
        worker.work(message)


def picture(window: Window) -> Image.Image:
    """The window, once it is still."""
    before = b""
    while (now := window.page.screenshot(scale="css", animations="disabled")) != before:
        before = now
        window.page.wait_for_timeout(700)
    return Image.open(io.BytesIO(now)).convert("RGB")


def save(shot: Image.Image, name: str) -> None:
    """Save a picture, with fewer colours if the file is too large."""
    path = IMAGES / f"{name}.png"
    shot.save(path, optimize=True)
    if path.stat().st_size > MOST:
        _reduced(shot).save(path, optimize=True)
    click.echo(f"{path.relative_to(IMAGES.parent.parent)} {path.stat().st_size:,} bytes")


def _reduced(shot: Image.Image) -> Image.Image:
    """The picture in 256 colours: the most frequent ones, which are the page's own, and others for the rest."""
    counted = Counter(zip(*(band.tobytes() for band in shot.split()), strict=True))
    common = [part for colour, _ in counted.most_common(COMMON) for part in colour]
    rare = shot.quantize(256 - COMMON, Image.Quantize.MAXCOVERAGE)  # those of legends too
    others = (rare.getpalette() or [])[: 3 * (256 - COMMON)]
    few = Image.new("P", (1, 1))
    few.putpalette([*common, *others])
    return shot.quantize(palette=few, dither=Image.Dither.NONE)


def sheet(browser: Browser, url: str, name: str, path: str) -> None:
    """Save a page at all sizes, light above dark, at half the size."""
    rows = [[_shown(browser, f"{url}/{path}", scheme, size) for size in SIZES] for scheme in ("light", "dark")]
    width = sum(each.width for each in rows[0]) + GAP * (len(SIZES) + 1)
    height = max(each.height for each in rows[0])
    whole = Image.new("RGB", (width, 2 * height + 3 * GAP), "#8a8a8a")
    for row, pictures in enumerate(rows):
        left = GAP
        for each in pictures:
            whole.paste(each, (left, GAP + row * (height + GAP)))
            left += each.width + GAP
    save(whole.resize((whole.width // 2, whole.height // 2), Image.Resampling.LANCZOS), f"sizes-{name}")


def _shown(browser: Browser, url: str, scheme: str, size: dict[str, Any]) -> Image.Image:
    with looking(browser, url, color_scheme=scheme, **size) as window:
        if window.page.locator("#map").count():
            window.still()
        return picture(window)


@contextmanager
def layer(browser: Browser, url: str, **options: Any) -> Iterator[Window]:
    """The page of a layer, still."""
    with looking(browser, url, **{"size": DESK, **options}) as window:
        window.still()
        yield window


def boxed(window: Window) -> None:
    """Choose a box on the land cover."""
    for edge, number in {"north": "39.865", "west": "-79.42", "east": "-79.38", "south": "39.83", "low": "14"}.items():
        window.part(f"box-{edge}").fill(number)
    window.page.wait_for_timeout(1500)  # until it is counted


def take(browser: Browser, url: str) -> None:
    """Take all screenshots."""
    with looking(browser, f"{url}/?order=name", size=SIZES[0]["size"]) as window:
        save(picture(window), "layers")
    views: dict[str, tuple[str, Callable[[Window], object]]] = {
        "preview": ("landcover/#use", lambda _: None),
        "coverage": (f"{BUSY}/#stored", lambda _: None),
        "box": ("landcover/#box", boxed),
        "about": ("landcover/#about", lambda _: None),
        "compare": ("landcover/#look", lambda window: window.page.locator("#compare-time button").first.click()),
    }
    views["ground"] = ("sentinel/#6/33/22/look", lambda _: None)
    for name, (path, act) in views.items():
        with layer(browser, f"{url}/{path}") as window:
            act(window)
            save(picture(window), name)
    with layer(browser, f"{url}/landcover/", **PHONE) as window:
        save(picture(window), "phone")
    for name, path in PAGES.items():
        sheet(browser, url, name, path)


@click.command()
@click.argument("rasters", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(rasters: Path) -> None:
    """Take the screenshots in docs/images with the rasters in the folder RASTERS: see LAYERS for their names.

    \b
    Example:
      scripts/screenshots ../rasters
    """
    IMAGES.mkdir(parents=True, exist_ok=True)
    rasters = rasters.resolve()
    with TemporaryDirectory() as folder, chdir(folder):  # so that the pages name ./data
        data = Path(folder) / "data"
        prepare_layers(rasters, data)
        settings = Settings.from_env({}, data=str(data))
        half_done(settings, BUSY)
        with launched() as browser, serving(settings) as url:
            take(browser, url)


if __name__ == "__main__":
    main()
