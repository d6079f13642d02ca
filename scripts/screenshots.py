"""Take the screenshots in docs/images: the pages in a browser, on a copy of a data folder.

They show one layer on a desktop and a phone, one with an unfinished job, and two in comparison.
"""

from __future__ import annotations

import io
import shutil
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from PIL import Image
from playwright.sync_api import Browser, expect

from seeder.cache.prepare_job import prepare
from seeder.jobs.ledger import Run, put_run
from seeder.select.selection import Selection
from seeder.workers.process_block import Worker
from tests.e2e.browser import Window, launched, looking
from tests.support.served import serving
from tiler.grid import LEAF
from tiler.layers.catalog import load_layer
from tiler.layers.render import TileVariant
from tiler.settings import Settings
from tiler.storage.store import Stores

IMAGES = Path(__file__).parent.parent / "docs" / "images"
DESK, PHONE = (1280, 800), (390, 844)  # pixels
MOST = 300_000  # bytes of a screenshot
SHARE = 0.6  # fraction of finished blocks in the job


def keep(window: Window, name: str) -> None:
    """Save a screenshot once the window is still, with fewer colours if the file is too large."""
    before = b""
    while (now := window.page.screenshot(scale="css")) != before:
        before = now
        window.page.wait_for_timeout(500)
    picture = Image.open(io.BytesIO(now)).convert("RGB")
    path = IMAGES / f"{name}.png"
    picture.save(path, optimize=True)
    for colours in (192, 128, 64):
        if path.stat().st_size > MOST:
            _reduced(picture, colours).save(path, optimize=True)
    click.echo(f"{path.relative_to(IMAGES.parent.parent)} {path.stat().st_size:,} bytes")


def _reduced(picture: Image.Image, colours: int) -> Image.Image:
    """Reduce a picture to a number of colours, plus 64 for the panel at its right."""
    panel = picture.crop((7 * picture.width // 10, 0, *picture.size)).quantize(64, Image.Quantize.MAXCOVERAGE)
    few = Image.new("P", (1, 1))
    few.putpalette([*_palette(picture.quantize(colours), colours), *_palette(panel, 64)])
    return picture.quantize(palette=few, dither=Image.Dither.NONE)


def _palette(picture: Image.Image, colours: int) -> list[int]:
    return (picture.getpalette() or [])[: 3 * colours]


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


def take(browser: Browser, url: str, names: tuple[str, str, str, str]) -> None:
    """Take all screenshots; `names` are the layers to show, with a job, and two to compare."""
    shown, busy, left, right = names
    with looking(browser, f"{url}/", size=DESK) as window:
        for card in window.part("layer-card").all():
            card.scroll_into_view_if_needed()
        window.page.evaluate("scrollTo(0, 0)")
        keep(window, "layers")
    with looking(browser, f"{url}/{shown}/", size=DESK) as window:
        window.still()
        window.part("tiles-toggle").check()
        window.page.reload()  # now the tiles are stored
        window.still()
        window.part("tiles-toggle").check()
        keep(window, "preview")
    with looking(browser, f"{url}/{busy}/", size=DESK) as window:
        window.still()
        window.part("coverage-toggle").check()
        zooms = window.part("coverage").locator("[data-zoom]")
        expect(zooms.locator("[data-state=missing]")).to_have_count(zooms.count())
        expect(window.part("job")).to_have_attribute("data-state", "running")
        window.part("coverage-zoom").select_option(index=zooms.count())  # the deepest; the first is the view's
        _scroll(window, "#coverage-title")
        keep(window, "coverage")
    with looking(browser, f"{url}/{left}/", size=DESK) as window:
        window.still()
        window.part("compare").select_option(f"layer:{right}")
        expect(window.part("compare-slider")).to_be_visible()
        keep(window, "compare")
    with looking(browser, f"{url}/{shown}/", size=PHONE, is_mobile=True, has_touch=True) as window:
        window.still()
        keep(window, "phone")


def _scroll(window: Window, part: str) -> None:
    """Scroll the panel until a part of it is at the top."""
    box = window.page.locator(part).bounding_box()
    assert box
    window.page.mouse.move(box["x"], DESK[1] / 2)
    window.page.mouse.wheel(0, box["y"] - 24)


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--show", required=True, metavar="LAYER", help="Layer for the views with tile borders and on a phone.")
@click.option("--job", required=True, metavar="LAYER", help="Layer for the view of its coverage and of a running job.")
@click.option("--compare", required=True, nargs=2, metavar="LAYER LAYER", help="Layers for the comparison.")
def main(data: Path, show: str, job: str, compare: tuple[str, str]) -> None:
    """Take the screenshots in docs/images from layers in the folder DATA, which is not changed.

    \b
    Example:
      scripts/screenshots data --show drone --job relief --compare heights hillshade
    """
    IMAGES.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        settings = Settings.from_env({}, data=str(shutil.copytree(data, Path(folder) / "data")))
        half_done(settings, job)
        with launched() as browser, serving(settings) as url:
            take(browser, url, (show, job, *compare))


if __name__ == "__main__":
    main()
