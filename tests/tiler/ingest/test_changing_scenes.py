"""A raster or scene that changes while it is read fails by name, and no part of mixed content is used again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seeder.operations.report import Report
from seeder.operations.scenes import Sources, read_sources
from tests.support.layers import local_stores, silent
from tests.support.rasters import Recipe, scene, write_raster
from tiler import keys
from tiler.errors import BadSource
from tiler.ingest import baker
from tiler.ingest.ingest import ingest
from tiler.layers.catalog import load_layer
from tiler.layers.pyramid import Pyramid
from tiler.raster.datasets import forget
from tiler.raster.options import Options
from tiler.storage.store import Stores

VALUES = scene(300, 300, 1)
WEST, EAST = (5.0, 45.0, 6.0, 46.0), (6.0, 45.0, 7.0, 46.0)


def written(folder: Path, name: str, bounds: tuple[float, float, float, float], seed: int = 1) -> Path:
    """A scene."""
    return write_raster(folder / f"{name}.tif", Recipe(values=scene(300, 300, 1, seed=seed), bounds=bounds))


def aged(path: Path) -> Path:
    """The file, last written long ago."""
    os.utime(path, ns=(10**18, 10**18))
    return path


def ingested(paths: list[Path], stores: Stores) -> dict[Any, str]:
    """The hashes of the parts of one raster, or of scenes."""
    names = tuple(map(str, paths))
    source = read_sources(Sources(names), Options(), Report(), jobs=1)
    layer = ingest(source, "layer", Options(), stores, jobs=1, progress=silent).layer
    assert isinstance(layer.bake, Pyramid)
    return {place: part.hash for place, part in layer.bake.parts("layer", stores.sources).items()}


def meanwhile(patch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Act once, before the first chunk is read."""
    bake, todo = baker.Baker.bake_chunk, [act]

    def acting(self: baker.Baker, task: Any) -> Any:
        if todo:
            todo.pop()()
            forget()
        return bake(self, task)

    patch.setattr(baker.Baker, "bake_chunk", acting)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("number", [1, 2])
def test_what_changes_while_it_is_read_fails_by_name(
    number: int, old: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = local_stores(tmp_path / "data")
    paths = [written(tmp_path, "one", WEST), written(tmp_path, "two", EAST)][:number]
    before = {path: shutil.copy2(path, tmp_path / f"{path.stem}.kept") for path in paths}
    truth = ingested(paths, local_stores(tmp_path / "truth"))
    for path in paths if old else ():
        aged(path)
    with monkeypatch.context() as patch:
        meanwhile(patch, lambda: written(tmp_path, "one", WEST, seed=2))
        with pytest.raises(BadSource, match=r"one\.tif.*changed while it was read"):
            ingested(paths, stores)
    assert not stores.sources.has(keys.index_key("layer"))
    assert not list(stores.sources.list(keys.parts_prefix("layer")))
    for path in paths:
        shutil.copyfile(before[path], path)
    assert ingested(paths, stores) == truth


@pytest.mark.parametrize("number", [1, 2])
def test_content_that_comes_back_before_the_end_is_noticed(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = local_stores(tmp_path / "data")
    paths = [written(tmp_path, "one", WEST), written(tmp_path, "two", EAST)][:number]
    data = paths[0].read_bytes()
    truth = ingested(paths, local_stores(tmp_path / "truth"))
    read: list[object] = []
    real = baker.Baker.bake_chunk

    def mixed(self: baker.Baker, task: Any) -> Any:
        if read:
            return real(self, task)
        read.append(task)
        written(tmp_path, "one", WEST, seed=2)
        forget()
        found = real(self, task)
        paths[0].write_bytes(data)
        forget()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(baker.Baker, "bake_chunk", mixed)
        with pytest.raises(BadSource, match=r"one\.tif.*changed while it was read"):
            ingested(paths, stores)
    assert not list(stores.sources.list(keys.parts_prefix("layer")))
    assert ingested(paths, stores) == truth


def test_a_scene_that_is_removed_while_it_is_read_fails_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = local_stores(tmp_path / "data")
    paths = [written(tmp_path, "one", WEST), written(tmp_path, "two", EAST)]
    bake = baker.Baker.bake_chunk

    def removing(self: baker.Baker, task: Any) -> Any:
        found = bake(self, task)
        paths[1].unlink(missing_ok=True)
        return found

    monkeypatch.setattr(baker.Baker, "bake_chunk", removing)
    with pytest.raises(BadSource, match=r"two\.tif.*changed while it was read"):
        ingested(paths, stores)
    assert not stores.sources.has(keys.index_key("layer"))


def test_an_update_with_a_scene_that_changes_leaves_the_layer_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = local_stores(tmp_path / "data")
    paths = [written(tmp_path, "one", WEST), written(tmp_path, "two", EAST)]
    ingested(paths, stores)
    layer = load_layer(stores.sources, "layer")
    written(tmp_path, "one", WEST, seed=3)
    meanwhile(monkeypatch, lambda: written(tmp_path, "one", WEST, seed=2))
    with pytest.raises(BadSource, match=r"one\.tif"):
        ingested(paths, stores)
    assert load_layer(stores.sources, "layer") == layer


def test_a_scene_with_new_times_and_the_same_pixels_bakes_no_part_above_the_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = local_stores(tmp_path / "data")
    paths = [aged(written(tmp_path, "one", WEST)), aged(written(tmp_path, "two", EAST))]
    truth = ingested(paths, stores)
    os.utime(paths[0], ns=(10**18, 10**18 + 10**9))
    bake, tiers = baker.Baker.bake_chunk, set[int]()

    def seen(self: baker.Baker, task: Any) -> Any:
        tiers.add(self.tier)
        return bake(self, task)

    monkeypatch.setattr(baker.Baker, "bake_chunk", seen)
    assert ingested(paths, stores) == truth
    assert tiers == {0}
