"""Between two revisions: the revision in `tile.json`, and the target of `rollback`, while tiles are pending."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from seeder.cli import main as cli
from tests.support.clock import nothing_in_flight
from tests.support.site import private
from tiler.choices import Resampling
from tiler.ingest.ingest import restore
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.publication import publish
from tiler.layers.tilejson import announce
from tiler.settings import Settings
from tiler.storage.store import Stores


@pytest.fixture
def stores(alps_copy: Path, monkeypatch: pytest.MonkeyPatch) -> Stores:
    """The layer `alps` with stored zooms 0 to 4; the fence has passed."""
    nothing_in_flight(monkeypatch)
    run("seed", "alps", "--zooms", "0-4", "--jobs", "1")
    return Stores.open(Settings.from_env({}, data=str(alps_copy)))


@pytest.fixture
def first(stores: Stores, alps_copy: Path) -> Layer:
    """The layer's first revision."""
    assert stores.sources.has("sources/alps/index.json")
    return load_layer(private(alps_copy), "alps")


def run(*words: str) -> Result:
    result = CliRunner().invoke(cli.main, list(words))
    assert result.exit_code == 0, result.output
    return result


def named(stores: Stores) -> str:
    """The revision that the public TileJSON names."""
    (address,) = json.loads(stores.tiles.get("alps/tile.json"))["tiles"]
    return str(address).partition("?v=")[2]


def following(layer: Layer, revision: str) -> Layer:
    """Another revision after `layer`, of the same parts; its kernel differs, so that any of its tiles may differ."""
    kernel: Resampling = "nearest" if layer.resampling == "cubic" else "cubic"
    return replace(layer, revision=revision, previous=layer.revision, resampling=kernel)


def test_the_old_revision_is_named_until_none_of_its_tiles_is_left(stores: Stores, first: Layer) -> None:
    publish(following(first, "0002"), stores)
    told = run("invalidate", "alps", "--zooms", "2", "--yes")
    assert f"tile.json keeps naming revision {first.revision}" in told.stderr
    assert named(stores) == first.revision
    run("invalidate", "alps", "--bbox", "5.5,45.5,8.5,47.5", "--zooms", "0-3", "--yes")
    assert named(stores) == first.revision
    run("invalidate", "alps", "--zooms", "4-9", "--yes")
    assert named(stores) == "0002"


def test_the_new_revision_is_named_once_every_tile_was_meant(stores: Stores, first: Layer) -> None:
    publish(following(first, "0002"), stores)
    run("invalidate", "alps", "--all", "--yes")
    assert named(stores) == "0002"


def test_the_same_revision_stays_named_whatever_is_removed(stores: Stores, first: Layer) -> None:
    told = run("invalidate", "alps", "--zooms", "2", "--yes")
    assert "keeps naming" not in told.stderr
    assert named(stores) == first.revision


def test_a_rollback_that_was_cut_off_is_finished_and_goes_no_further(stores: Stores, first: Layer) -> None:
    second = following(first, "0002")
    publish(second, stores)
    announce(second, stores)
    publish(following(second, "0003"), stores)
    announce(following(second, "0003"), stores)
    assert restore("alps", "0002", stores).previous == first.revision  # interrupted here
    run("rollback", "alps", "--jobs", "1")
    assert load_layer(stores.sources, "alps").revision == named(stores) == "0002"
    run("rollback", "alps", "--jobs", "1")
    assert load_layer(stores.sources, "alps").revision == named(stores) == first.revision


def test_going_to_and_fro_between_two_revisions_does_not_look_like_a_rollback(stores: Stores, first: Layer) -> None:
    second = following(first, "0002")
    for layer in (second, replace(first, previous="0002")):
        publish(layer, stores)
        announce(layer, stores)
    publish(second, stores)  # its tiles were not rendered yet
    run("rollback", "alps", "--jobs", "1")
    assert load_layer(stores.sources, "alps").revision == named(stores) == first.revision
