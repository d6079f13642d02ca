"""Invalidation, called directly: result, progress, order of effects, errors."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tenacity import wait_none

from seeder.cache import cloudfront, fence, purge
from seeder.cache.stored import StoredFilter
from seeder.jobs.prices import CDN_PATH
from seeder.operations import update
from seeder.operations.cdn import CdnInvalidation
from seeder.operations.invalidate import invalidate, plan_invalidation
from seeder.operations.report import Report
from seeder.operations.update import RemovedTiles, UpdateContext, UpdateOptions
from tests.support.door import fill, guard, held
from tests.support.layer_strategies import GLOBE
from tests.support.oracle import files_under
from tests.support.reports import Recorded
from tiler.errors import BadCloud, BadOption, QueueError, Superseded, ZoomOutside
from tiler.grid import Bounds
from tiler.keys import parse_tile_key
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.publication import publish
from tiler.settings import Settings
from tiler.storage.store import Stores

TILES = {f"globe/{z}/{x}/{y}.png" for z in (0, 3, 5) for x in range(min(2**z, 6)) for y in range(min(2**z, 7))}
TILES |= {"globe/3/1/1@2x.webp", "globe/12/9/9.jpg"}
OTHERS = {"globe/tile.json", "globe/index.html", "globe2/3/1/1.png"}
CDN = UpdateOptions(cdn="E2ABCDEF")


@pytest.fixture
def layer(stores: Stores) -> Layer:
    """A layer of two revisions with stored tiles; TileJSON names the first one."""
    publish(GLOBE, stores)
    fill(stores.tiles, TILES | OTHERS - {"globe/tile.json"})
    publish(replace(GLOBE, revision="beef", previous=GLOBE.revision), stores)
    return load_layer(stores.sources, "globe")


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """A report of operations without real waits."""
    monkeypatch.setattr(update, "countdown", lambda seconds: iter((seconds, seconds / 2)))
    return Recorded()


def context(stores: Stores, report: Report, options: UpdateOptions | None = None) -> UpdateContext:
    settings = Settings(stores.tiles.url, stores.sources.url)
    return UpdateContext(stores, settings, options or UpdateOptions(), report)


def zooms(*meant: int) -> set[str]:
    """The stored tiles of some zooms."""
    return {key for key in TILES if parse_tile_key(key).tile.z in meant}


def shown(stores: Stores) -> str:
    """The revision in TileJSON."""
    (address,) = json.loads(stores.tiles.get("globe/tile.json"))["tiles"]
    return str(address).partition("?v=")[2]


SELECTED: dict[str, tuple[StoredFilter, set[str]]] = {
    "all": (StoredFilter(GLOBE), TILES),
    "zooms": (StoredFilter(GLOBE, (3, 12)), zooms(3, 12)),
    "a box": (StoredFilter(GLOBE, (3,), (Bounds(-179, 80, -100, 84),)), {"globe/3/0/0.png", "globe/3/1/0.png"}),
    "nothing stored": (StoredFilter(GLOBE, (7,)), set()),
}


@pytest.mark.parametrize("confirmed", [True, False])
@pytest.mark.parametrize("name", SELECTED)
def test_the_result_counts_what_vanished_and_progress_comes_to_as_many(
    layer: Layer, stores: Stores, report: Recorded, name: str, *, confirmed: bool
) -> None:
    stored_filter, meant = SELECTED[name]
    where = context(stores, report, UpdateOptions(confirmed=confirmed))
    result = invalidate(replace(stored_filter, layer=layer), where)
    assert held(stores.tiles) == (TILES | OTHERS) - meant
    assert (result.existed, result.purged.removed, result.purged.failed) == (len(meant), len(meant), 0)
    assert (result.layer, result.passed, report.steps) == (layer, True, [result])
    assert report.done("remove globe") == len(meant)
    assert report.done("look for globe") == (0 if confirmed else len(meant))
    assert report.unfinished == []
    assert report.questions == ([] if confirmed else [(len(meant), "removed")])
    assert report.notes[: not meant] == ["no selected tile is stored: nothing was removed"][: not meant]
    assert result.to_json()["existed"] == len(meant)


@pytest.mark.parametrize("name", SELECTED)
def test_a_plan_names_as_many_and_changes_nothing(layer: Layer, stores: Stores, report: Recorded, name: str) -> None:
    stored_filter, meant = SELECTED[name]
    assert stores.tiles.root
    before = files_under(Path(stores.tiles.root).parent)
    plan = plan_invalidation(replace(stored_filter, layer=layer), context(stores, report))
    assert plan.zooms == Counter(parse_tile_key(key).tile.z for key in meant)
    assert (plan.tiles, report.done("look for globe")) == (len(meant), len(meant))
    assert (report.questions, report.steps, report.waits) == ([], [], [])
    assert files_under(Path(stores.tiles.root).parent) == before


def test_what_is_not_meant_is_raised_and_nothing_is_removed(layer: Layer, stores: Stores, report: Recorded) -> None:
    report.refuse = True
    with pytest.raises(BadOption, match="not meant"):
        invalidate(StoredFilter(layer), context(stores, report, UpdateOptions(confirmed=False)))
    assert held(stores.tiles) == TILES | OTHERS
    assert report.waits == []


@pytest.mark.parametrize("operation", [invalidate, plan_invalidation])
def test_what_cannot_be_meant_is_raised(layer: Layer, stores: Stores, report: Recorded, operation: object) -> None:
    assert callable(operation)
    with pytest.raises(ZoomOutside):
        operation(StoredFilter(layer, (17,)), context(stores, report))
    assert held(stores.tiles) == TILES | OTHERS


def test_the_wait_is_the_fence_and_is_counted_down_to_nothing(layer: Layer, stores: Stores, report: Recorded) -> None:
    present: list[set[str]] = []
    report.during_wait = lambda: present.append(held(stores.tiles))
    invalidate(StoredFilter(layer), context(stores, report))
    ((whole, *remained),) = report.waits
    assert 0 < whole <= fence.fence(stores.tiles).total_seconds()
    assert remained == [whole, whole / 2, 0.0]
    assert present == [TILES | OTHERS], "something was removed before the wait"
    invalidate(StoredFilter(layer), context(stores, report, UpdateOptions(hurry=True)))
    assert len(report.waits) == 1


def test_tiles_that_come_during_the_wait_go_too(layer: Layer, stores: Stores, report: Recorded) -> None:
    late = {"globe/5/30/30.png", "globe/6/1/1.png"}
    report.during_wait = lambda: fill(stores.tiles, late)
    result = invalidate(StoredFilter(layer), context(stores, report, UpdateOptions(confirmed=False)))
    assert (result.existed, held(stores.tiles)) == (len(TILES | late), OTHERS)


def test_another_revision_after_the_wait_ends_it(layer: Layer, stores: Stores, report: Recorded) -> None:
    report.during_wait = lambda: publish(replace(layer, revision="cafe", previous="beef"), stores)
    with pytest.raises(Superseded, match="from revision beef to cafe"):
        invalidate(StoredFilter(layer), context(stores, report))
    assert held(stores.tiles) == TILES | OTHERS


def test_tiles_that_cannot_be_removed_are_a_result_and_nobody_is_told(
    layer: Layer, stores: Stores, report: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge, "RETRYING", purge.RETRYING.copy(wait=wait_none()))
    monkeypatch.setattr(cloudfront, "invalidate", pytest.fail)
    guard(stores.tiles, {"globe/12/9/9.jpg"}, monkeypatch)
    result = invalidate(StoredFilter(layer), context(stores, report, CDN))
    assert (result.passed, result.purged.failed, result.purged.keys) == (False, 1, ["globe/12/9/9.jpg"])
    assert (result.existed, result.purged.removed) == (len(TILES), len(TILES) - 1)
    assert held(stores.tiles) == OTHERS | {"globe/12/9/9.jpg"}
    assert shown(stores) == GLOBE.revision


def test_cloudfront_is_told_after_the_deletion_and_before_tilejson(
    layer: Layer, stores: Stores, report: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, list[str], set[str], str]] = []

    def tell(distribution: str, paths: list[str], _region: str) -> str:
        seen.append((distribution, paths, held(stores.tiles), shown(stores)))
        return "I123"

    monkeypatch.setattr(cloudfront, "invalidate", tell)
    result = invalidate(StoredFilter(layer), context(stores, report, CDN))
    assert seen == [(CDN.cdn, ["/globe/*"], OTHERS, GLOBE.revision)]
    assert shown(stores) == "beef"
    removed, told = report.steps
    assert isinstance(removed, RemovedTiles)
    assert result == replace(removed, cdn=told)
    assert told == CdnInvalidation(CDN.cdn, ("/globe/*",), "I123", CDN_PATH, done=False)


def test_where_cloudfront_fails_tilejson_stays_and_the_paths_are_named(
    layer: Layer, stores: Stores, report: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise BadCloud("no such distribution")

    monkeypatch.setattr(cloudfront, "invalidate", fail)
    with pytest.raises(QueueError, match=r"the tiles are done, but no such distribution.*/globe/\*"):
        invalidate(StoredFilter(layer), context(stores, report, CDN))
    assert (held(stores.tiles), shown(stores)) == (OTHERS, GLOBE.revision)
    assert [type(step) for step in report.steps] == [RemovedTiles]


def test_ctrl_c_is_raised_as_it_is(layer: Layer, stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> Iterator[float]:
        raise KeyboardInterrupt

    monkeypatch.setattr(update, "countdown", interrupt)
    with pytest.raises(KeyboardInterrupt):
        invalidate(StoredFilter(layer), context(stores, Report()))
    assert held(stores.tiles) == TILES | OTHERS


def test_tiles_of_other_revisions_that_are_left_are_noted(layer: Layer, stores: Stores, report: Recorded) -> None:
    invalidate(StoredFilter(layer, (3,)), context(stores, report))
    assert report.notes == [
        f"tile.json keeps naming revision {GLOBE.revision}: tiles of other revisions are still stored"
    ]
    assert shown(stores) == GLOBE.revision
