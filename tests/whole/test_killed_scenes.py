"""An ingest or refresh of scenes that is killed at any put is finished by the same command, with the same bytes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from seeder.operations.remove import remove_old_revisions
from seeder.operations.report import Report
from seeder.operations.update import UpdateContext, UpdateOptions
from tests.support.clock import nothing_in_flight
from tests.support.effort import some
from tests.support.killed import killed
from tests.support.scene_sets import NAME, SHEETS, Piece, World
from tiler import keys, timing
from tiler.layers.pyramid import Pyramid

FIRST, SECOND = SHEETS["land"]
SCENES = (
    Piece("north", FIRST, 0, 0, 300, 150),
    Piece("south", FIRST, 0, 150, 300, 150, hole=True),
    Piece("utm", SECOND, 200, 60, 97, 200),
)
ADDED = Piece("new", FIRST, 157, 97, 60, 60, version=3)
NEVER = 1_000_000


def words(world: World, kind: str) -> tuple[str, ...]:
    """The command of an ingest, or of a refresh that adds a scene."""
    if kind == "ingest":
        return "ingest", *(str(world.scenes / f"{each.name}.tif") for each in SCENES), "--layer", NAME
    return "refresh", NAME, "--add", str(world.scenes / "new.tif"), "--yes"


def baked(world: World) -> dict[str, bytes]:
    """The bytes of all parts and shards that the layer names."""
    layer = world.layer
    assert isinstance(layer.bake, Pyramid)
    names = [keys.part_key(NAME, part.name) for part in layer.bake.parts(NAME, world.stores.sources).values()]
    names += [keys.shard_key(NAME, name) for name in layer.bake.shards.values()]
    return {name: world.stores.sources.get(name) for name in names}


def strays(world: World) -> set[str]:
    """What is stored beside the parts and shards of the layer, once unused ones were removed."""
    with pytest.MonkeyPatch.context() as patch:
        nothing_in_flight(patch)
        patch.setattr(timing, "BAKE_SECONDS", 0.0)
        remove_old_revisions(NAME, UpdateContext(world.stores, world.settings, UpdateOptions(), Report()))
    layer = world.layer
    assert isinstance(layer.bake, Pyramid)
    parts = {each.name for each in layer.bake.parts(NAME, world.stores.sources).values()}
    listed = {each.key for each in world.stores.sources.list(keys.parts_prefix(NAME))}
    return listed - {key(NAME, part) for part in parts for key in (keys.part_key, keys.part_facts_key)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes, last written long ago; the folder `ingest` with a seeded layer of all but one, `refresh` with all."""
    folder = tmp_path_factory.mktemp("killed")
    world = World(folder / "ingest", folder / "scenes")
    for path in world.write((*SCENES, ADDED)):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    assert not killed(NEVER, world.data, *words(world, "ingest"))
    world.seed()
    shutil.copytree(world.data, folder / "refresh")
    assert not killed(NEVER, folder / "refresh", *words(world, "refresh"))
    return folder


@pytest.mark.parametrize("at", some(range(0, 40, 3), 1, 4, 9))
@pytest.mark.parametrize("kind", ["ingest", "refresh"])
def test_what_is_killed_at_a_put_is_finished_by_the_same_command(
    kind: str, at: int, folder: Path, tmp_path: Path
) -> None:
    world, truth = World(tmp_path / "data", folder / "scenes"), World(folder / kind, folder / "scenes")
    if kind == "refresh":
        shutil.copytree(folder / "ingest", world.data)
    hit = killed(at, world.data, *words(world, kind))
    assert hit or at > 8
    killed(at + 3, world.data, *words(world, kind))
    assert not killed(NEVER, world.data, *words(world, kind))
    assert baked(world) == baked(truth)
    if kind == "ingest":
        world.seed()
        assert not strays(world)
    assert world.tiles() == truth.tiles() == world.fresh()


def test_after_killed_updates_no_part_is_left_that_nothing_names(folder: Path, tmp_path: Path) -> None:
    world = World(tmp_path / "data", folder / "scenes")
    for at in (1, 3, 5):
        killed(at, world.data, *words(world, "ingest"))
    assert not killed(NEVER, world.data, *words(world, "ingest"))
    assert not strays(world)
