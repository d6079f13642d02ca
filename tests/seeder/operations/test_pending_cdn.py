"""After an update a CDN forgets changed tiles only, and tile addresses stay, unless many tiles changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from seeder.cache import cloudfront
from seeder.operations.refresh import plan_rollback, refresh, rollback
from tests.support.clock import nothing_in_flight
from tests.support.data_folder import ONE
from tests.support.plain import Plain, ground, raster, taken
from tiler.layers.tilejson import pending

CDN = "E1"
Begin = Callable[[], Plain]


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Plain:
    """A layer of about 1,100 tiles; the raster `few` differs in a few, `many` in most of them."""
    folder = tmp_path_factory.mktemp("cdn")
    plain = ground(28)
    raster(folder, "first", plain)
    raster(folder, "many", plain + 9)
    plain[:, 1100:1200, 1300:1400] = 3
    raster(folder, "few", plain)
    return taken(folder, "first")


@pytest.fixture
def begin(seeded: Plain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Begin:
    """Copies the layer; the fence has passed, so nothing waits."""
    nothing_in_flight(monkeypatch)
    return lambda: Plain(Path(shutil.copytree(seeded.data, tmp_path / "data")), seeded.rasters)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The paths of each invalidation."""
    asked: list[list[str]] = []
    monkeypatch.setattr(cloudfront, "invalidate", lambda _cdn, paths, _region: asked.append(paths) or "I1")
    return asked


def hit(paths: list[str], world: Plain) -> set[str]:
    """The stored tiles below wildcard paths."""
    return {key for key in world.tiles() if any(fnmatchcase(f"/{key}", path) for path in paths)}


def test_the_paths_of_few_changed_tiles_are_invalidated_and_addresses_stay(begin: Begin, told: list[list[str]]) -> None:
    world = begin()
    first = world.layer.revision
    put = world.refresh("few", cdn=CDN)
    (paths,) = told
    assert set(put) <= hit(paths, world)
    assert len(hit(paths, world)) < len(world.tiles()) / 4
    assert "/plain/*" not in paths
    assert world.shown == first != world.layer.revision
    assert pending(world.layer, world.stores) == ""
    assert world.problems() == 0


def test_after_many_changes_all_paths_are_invalidated_and_addresses_change(begin: Begin, told: list[list[str]]) -> None:
    world = begin()
    world.refresh("many", cdn=CDN)
    assert told == [["/plain/*"]]
    assert world.shown == world.layer.revision


def test_without_a_cdn_addresses_change(begin: Begin, told: list[list[str]]) -> None:
    world = begin()
    world.refresh("few")
    assert told == []
    assert world.shown == world.layer.revision


def test_a_killed_update_and_its_reversal_invalidate_what_was_put(begin: Begin, told: list[list[str]]) -> None:
    world = begin()
    first = world.layer.revision
    put = world.refresh("few", most=3, cdn=CDN)
    assert told == []
    world.refresh("first", cdn=CDN)
    (paths,) = told
    assert set(put) <= hit(paths, world)
    assert world.shown == world.layer.revision == first


def test_a_rollback_goes_one_revision_back_although_the_address_stays(begin: Begin, told: list[list[str]]) -> None:
    world = begin()
    revisions = [world.layer.revision]
    for name in ("few", "many"):
        world.refresh(name, cdn=CDN)
        revisions.append(world.layer.revision)
    plan = plan_rollback("plain", world.context(cdn=CDN))
    assert plan.paths == ("/plain/*",)
    assert rollback("plain", world.context(cdn=CDN), ONE).passed
    assert world.layer.revision == revisions[1]
    assert len(plan_rollback("plain", world.context(cdn=CDN)).paths) > 1
    assert rollback("plain", world.context(cdn=CDN), ONE).passed
    assert world.layer.revision == revisions[0]
    assert world.shown == revisions[1]
    assert refresh("plain", world.context(cdn=CDN), ONE).passed
    assert world.shown == revisions[1], "nothing changed"
    assert told[-1] == ["/plain/*"]
    assert world.problems() == 0
