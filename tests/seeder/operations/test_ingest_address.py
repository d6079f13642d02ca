"""An unchanged raster, ingested again: TileJSON names the store's address, and nothing else is written."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import cast

import pytest

from seeder.operations.ingest import ingest
from seeder.operations.report import Report
from tests.support.rasters import MakeRaster, scene
from tests.support.site import Spy, memory
from tiler.ingest.ingest import Ingested
from tiler.keys import index_key, tilejson_key
from tiler.layers.tilejson import has_other_address
from tiler.raster.options import Options
from tiler.storage.store import Store, Stores

OLD, NEW = "http://tiles.s3-website.test", "https://d1234.cloudfront.test"
KEY = tilejson_key("layer")


def take(path: object, stores: Stores) -> Ingested:
    return ingest(str(path), "layer", Options(resampling="nearest"), stores, Report(), jobs=1)


def addresses(stores: Stores) -> list[str]:
    found: list[str] = json.loads(stores.tiles.get(KEY))["tiles"]
    return found


@pytest.fixture
def spies() -> tuple[Spy, Spy]:
    """Stores of tiles and of sources."""
    return Spy(memory()), Spy(memory())


def at(spies: tuple[Spy, Spy], url: str) -> Stores:
    """The same stores, with their tiles at `url`."""
    return Stores(*(cast(Store, spy) for spy in spies), url)


def test_only_an_address_that_differs_is_written_anew(make_raster: MakeRaster, spies: tuple[Spy, Spy]) -> None:
    path = make_raster(values=scene(60, 80, 1))
    layer = take(path, at(spies, OLD)).layer
    for url, puts in ((OLD, []), (NEW, [("put", KEY)]), (NEW, [])):
        stores = at(spies, url)
        for spy in spies:
            spy.seen.clear()
        assert has_other_address("layer", stores) == bool(puts)
        done = take(path, stores)
        assert (done.layer, done.fresh) == (layer, False)
        written = [each for spy in spies for each in spy.seen if each[0] in ("put", "put_file")]
        assert [each for each in written if "clock" not in each[1]] == puts
        assert addresses(stores) == [f"{url}/layer/{{z}}/{{x}}/{{y}}.png?v={layer.revision}"]


def test_the_revision_in_the_address_stays_that_of_the_tiles_that_are_stored(
    make_raster: MakeRaster, spies: tuple[Spy, Spy]
) -> None:
    first = take(make_raster(values=scene(60, 80, 1)), at(spies, OLD)).layer
    spies[0].store.put("layer/0/0/0.png", b"of the first", content_type="image/png")
    path = make_raster(values=scene(60, 80, 1, seed=2))
    second = take(path, at(spies, OLD)).layer
    index = spies[1].store.get(index_key("layer"))
    assert take(path, at(spies, NEW)).layer == second
    assert addresses(at(spies, NEW)) == [f"{NEW}/layer/{{z}}/{{x}}/{{y}}.png?v={first.revision}"]
    assert spies[1].store.get(index_key("layer")) == index


@pytest.mark.parametrize("other", [f"{NEW}/maps", f"{NEW}.test", "", "/"])
def test_an_address_is_the_stores_only_as_a_whole(make_raster: MakeRaster, spies: tuple[Spy, Spy], other: str) -> None:
    stores = at(spies, other)
    take(make_raster(values=scene(60, 80, 1)), stores)
    assert not has_other_address("layer", stores)
    assert has_other_address("layer", replace(stores, url=NEW))
