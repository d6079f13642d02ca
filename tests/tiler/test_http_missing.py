"""Tiles that a layer has not, or that are not rendered on request: the words, and how long caches may keep them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.support.site import URL, Site, memory
from tiler import timing
from tiler.layers.catalog import Layer
from tiler.layers.fill import CACHE_CONTROL
from tiler.layers.publication import publish
from tiler.settings import RenderedVariants
from tiler.storage.store import Stores

SHORTLY = f"public, max-age={timing.MISSING_CACHE_SECONDS}"
OUTSIDE = ["/alps/7/10/10.png", "/alps/10/530/362.png", "/alps/7/10/10@2x.png", "/alps/7/10/10.webp"]


@pytest.fixture(params=[False, True], ids=["website", "cloudfront"])
def either(request: pytest.FixtureRequest, site: Site) -> Site:
    """The site with each delivery."""
    return Site(site.tiles, site.sources, inline=request.param)


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_tile_outside_is_missing_as_long_as_a_tile_lasts_only_below_the_current_revision(
    path: str, either: Site, alps: Layer
) -> None:
    lasting = (f"?v={alps.revision}", f"?utm=x&v={alps.revision}")
    others = ("", "?", "?v=", "?v=0000", f"?V={alps.revision}")
    kept = {query: either.ask(path + query).headers["Cache-Control"] for query in (*lasting, *others)}
    assert kept == {query: CACHE_CONTROL if query in lasting else SHORTLY for query in kept}


@pytest.mark.parametrize("path", ["/andes/7/66/45.png", "/alps/7/66", "/favicon.ico", "/andes/tile.json"])
def test_a_layer_that_may_come_is_missing_for_a_minute_only(path: str, either: Site, alps: Layer) -> None:
    answer = either.ask(f"{path}?v={alps.revision}")
    assert (answer.status in (400, 404), answer.headers["Cache-Control"]) == (True, SHORTLY)


def test_an_ingest_that_adds_a_tile_is_not_hidden_by_a_404_under_its_own_addresses(site: Site, alps: Layer) -> None:
    """A function that still has the older metadata answers for the new revision."""
    later = replace(alps, revision="1111", maxzoom=alps.maxzoom + 1)
    stale = Site(site.tiles, site.sources, inline=True)
    tile = f"/alps/{later.maxzoom}/530/362.png"
    assert stale.ask(f"{tile}?v={alps.revision}").headers["Cache-Control"] == CACHE_CONTROL
    publish(later, Stores(memory(), site.sources.store, URL))
    answer = stale.ask(f"{tile}?v=1111")
    assert (answer.status, answer.headers["Cache-Control"]) == (404, SHORTLY)


def rendered(listed: str, path: str, site: Site) -> tuple[int, list[str]]:
    """The status of a request, and the tiles that it stored."""
    asked = Site(site.tiles, site.sources, variants=RenderedVariants.parse(listed), inline=True)
    site.tiles.store.delete(list(asked.stored()))
    return asked.ask(path).status, list(asked.stored())


@pytest.mark.parametrize(
    ("listed", "path", "status", "stored"),
    [
        ("layer", "7/66/45.png", 200, "7/66/45.png"),
        ("layer", "7/66/45.webp", 200, "7/66/45.png"),
        ("layer", "7/66/45@2x.png", 404, None),
        ("layer", "7/66/45@2x.jpg", 404, None),
        ("layer,webp", "7/66/45.webp", 200, "7/66/45.webp"),
        ("layer,webp@2x", "7/66/45.webp", 200, "7/66/45.png"),
        ("layer,webp@2x", "7/66/45@2x.webp", 200, "7/66/45@2x.webp"),
        ("layer,webp@2x", "7/66/45@2x.png", 404, None),
        ("webp", "7/66/45.png", 404, None),
        ("all@2x", "7/66/45@2x.jpg", 200, "7/66/45@2x.jpg"),
    ],
)
def test_listed_variants_are_rendered_and_a_listed_own_format_stands_for_the_others(
    listed: str, path: str, status: int, stored: str | None, site: Site
) -> None:
    assert rendered(listed, f"/alps/{path}", site) == (status, [f"alps/{stored}"] if stored else [])


def test_a_variant_that_is_not_rendered_is_named_for_a_minute_because_seed_may_store_it(
    either: Site, alps: Layer
) -> None:
    plain = Site(either.tiles, either.sources, variants=RenderedVariants.parse("layer"), inline=either.service.inline)
    either.tiles.seen.clear()
    answer = plain.ask(f"/alps/7/66/45@2x.png?v={alps.revision}")
    assert (answer.status, answer.headers["Cache-Control"]) == (404, SHORTLY)
    assert json.loads(answer.body) == {"message": answer.message}
    assert answer.message.startswith("alps/7/66/45@2x.png is not stored, and this scale or format is not rendered")
    assert (either.tiles.seen, answer.message.count(". ")) == ([], 0)
