"""An ingest that ends after a newer one fails, and the newer one stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.rasters import scene
from tests.support.site import memory
from tiler.errors import Superseded
from tiler.ingest.ingest import Ingested, ingest, restore
from tiler.keys import history_key, index_key, tilejson_key
from tiler.layers.catalog import load_layer
from tiler.layers.publication import index_version
from tiler.raster.options import Options
from tiler.storage.store import Stores, open_store

NAME = "layer"
MakeRaster = Callable[..., Path]


@pytest.fixture(params=["folder", "memory"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    """Empty stores."""
    if request.param == "memory":
        return Stores(memory(), memory(), "http://tiles.test")
    tiles, sources = (open_store((tmp_path / "data" / name).as_uri(), create=True) for name in ("tiles", "private"))
    return Stores(tiles, sources, "http://tiles.test")


def take(path: Path, stores: Stores, **how: Any) -> Ingested:
    quick = Options(resampling="nearest", virtual=how.pop("virtual", False))
    return ingest(str(path), NAME, quick, stores, jobs=1, progress=how.pop("progress", lambda *_: None), **how)


def seen(stores: Stores) -> dict[str, bytes]:
    """What others see of the layer."""
    places = (
        (stores.sources, index_key(NAME)),
        (stores.sources, history_key(NAME)),
        (stores.tiles, tilejson_key(NAME)),
    )
    return {key: store.get(key) for store, key in places if store.has(key)}


@pytest.mark.parametrize("virtual", [False, True], ids=["baked", "virtual"])
@pytest.mark.parametrize("first", [True, False], ids=["first", "next"])
@pytest.mark.parametrize("at", ["approve", "bake"])
def test_an_older_ingest_that_ends_after_a_newer_one_leaves_it_as_it_is(
    at: str, first: bool, virtual: bool, stores: Stores, make_raster: MakeRaster
) -> None:
    if at == "bake" and virtual:
        pytest.skip("nothing is baked")
    old, older, newer = (make_raster(values=scene(60, 80, 1, seed=seed), name=f"{seed}.tif") for seed in range(3))
    if not first:
        take(old, stores)
    after: list[dict[str, bytes]] = []

    def overtake(*_: object) -> None:
        if not after:
            take(newer, stores, virtual=virtual)
            after.append(seen(stores))

    approve = {"approve": overtake, "progress": lambda *_: pytest.fail("a long bake for nothing")}
    how = approve if at == "approve" else {"progress": overtake}
    with pytest.raises(Superseded, match="nothing was published; run the same command again") as caught:
        take(older, stores, virtual=virtual, **how)
    assert load_layer(stores.sources, NAME).revision in str(caught.value)
    assert [seen(stores)] == after
    again = take(older, stores, virtual=virtual)
    assert again.fresh
    assert load_layer(stores.sources, NAME) == again.layer


def test_two_ingests_of_one_raster_that_end_at_once_both_succeed(stores: Stores, make_raster: MakeRaster) -> None:
    old, raster = (make_raster(values=scene(60, 80, 1, seed=seed), name=f"{seed}.tif") for seed in range(2))
    take(old, stores)
    after: list[dict[str, bytes]] = []

    def overtake(*_: object) -> None:
        if not after:
            take(raster, stores)
            after.append(seen(stores))

    take(raster, stores, progress=overtake)
    assert [seen(stores)] == after


def test_an_ingest_that_fails_after_a_newer_one_leaves_it_as_it_is(stores: Stores, make_raster: MakeRaster) -> None:
    older, newer = (make_raster(values=scene(60, 80, 1, seed=seed), name=f"{seed}.tif") for seed in range(2))
    after: list[dict[str, bytes]] = []

    def overtake(*_: object) -> None:
        if not after:
            take(newer, stores)
            after.append(seen(stores))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take(older, stores, progress=overtake)
    assert [seen(stores)] == after


def test_a_restore_that_was_planned_before_a_newer_revision_leaves_that(
    stores: Stores, make_raster: MakeRaster
) -> None:
    paths = [make_raster(values=scene(60, 80, 1, seed=seed), name=f"{seed}.tif") for seed in range(3)]
    first = take(paths[0], stores).layer
    take(paths[1], stores)
    planned_from = index_version(stores.sources, NAME)
    take(paths[2], stores)
    before = seen(stores)
    with pytest.raises(Superseded):
        restore(NAME, first.revision, stores, planned_from=planned_from)
    assert seen(stores) == before
    assert restore(NAME, first.revision, stores) == load_layer(stores.sources, NAME)
