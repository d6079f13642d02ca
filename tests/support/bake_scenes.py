"""Small scenes far apart, so that a layer of them has parts in many places, and the plan of its bake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seeder.operations.bake import plan_bake
from seeder.operations.report import Report
from tests.support.layers import silent
from tests.support.rasters import Recipe, write_raster
from tiler.ingest.bake_plan import BakePlan
from tiler.raster.options import Options
from tiler.scenes.headers import read_scenes
from tiler.scenes.scene import Listed
from tiler.scenes.scene_list import SceneList
from tiler.storage.store import Stores

PIXEL = 2 * 20037508.342789244 / 256 / 2**11  # Mercator metres at zoom 11, so that a scene of 300 pixels has parts


def painted(path: Path, column: int, row: int, size: int, seed: int) -> Path:
    """A scene of random pixels; `column` and `row` are those of its corner, in pixels from the middle of the map."""
    values = np.random.default_rng(seed).integers(1, 255, (3, size, size), np.uint8)
    west, north = column * PIXEL, -row * PIXEL
    box = (west, north - size * PIXEL, west + size * PIXEL, north)
    return write_raster(path, Recipe(values, crs="EPSG:3857", bounds=box))


def listed(paths: list[Path], **options: Any) -> SceneList:
    """Scenes, their headers read; the last one is on top."""
    read = read_scenes([Listed(path.name, str(path)) for path in paths], Options(**options), jobs=1, progress=silent)
    return SceneList(read, "last")


def scenes_in(folder: Path, places: list[tuple[int, int, int]]) -> SceneList:
    """Scenes at some places, read."""
    return listed([painted(folder / f"{seed}.tif", *place, seed) for seed, place in enumerate(places)])


def planned(source: str | SceneList, stores: Stores, **options: Any) -> BakePlan:
    """The plan of a layer."""
    plan = plan_bake(source, "layer", Options(**options), stores, Report())
    assert isinstance(plan, BakePlan)
    return plan
