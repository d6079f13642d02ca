"""A layer that many workers bake equals the one that this machine bakes, whatever happens to messages and workers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from seeder.jobs.bake_ledger import load_end
from seeder.operations.bake import plan_bake
from seeder.operations.report import Report
from tests.support.bake_queue import BakeQueue, recorded
from tests.support.baked import bytes_of_parts, stored_parts
from tests.support.layers import local_stores, silent
from tests.support.oracle import files_under
from tests.support.rasters import Recipe, write_raster
from tiler.ingest.bake_plan import BakePlan
from tiler.ingest.ingest import ingest
from tiler.layers.catalog import dump, load_layer
from tiler.raster.options import Options
from tiler.scenes.headers import read_scenes
from tiler.scenes.scene import Listed
from tiler.scenes.scene_list import SceneList
from tiler.settings import Settings
from tiler.storage.store import Stores

NOWHERE = Settings(tiles="memory://none", sources="memory://none")
PIXEL = 2 * 20037508.342789244 / 256 / 2**11  # Mercator metres at zoom 11, so that a scene of 300 pixels has parts


def painted(path: Path, column: int, row: int, size: int, seed: int) -> Path:
    """A scene of random pixels; `column` and `row` are those of its corner, in pixels from the middle of the map."""
    values = np.random.default_rng(seed).integers(1, 255, (3, size, size), np.uint8)
    west, north = column * PIXEL, -row * PIXEL
    box = (west, north - size * PIXEL, west + size * PIXEL, north)
    return write_raster(path, Recipe(values, crs="EPSG:3857", bounds=box))


def scenes_in(folder: Path, places: list[tuple[int, int, int]]) -> SceneList:
    """Scenes at some places, read."""
    paths = [painted(folder / f"{seed}.tif", *place, seed) for seed, place in enumerate(places)]
    read = read_scenes([Listed(path.name, str(path)) for path in paths], Options(), jobs=1, progress=silent)
    return SceneList(read, "last")


def planned(source: str | SceneList, stores: Stores, **options: Any) -> BakePlan:
    """The plan of a layer."""
    plan = plan_bake(source, "layer", Options(**options), stores, Report())
    assert isinstance(plan, BakePlan)
    return plan


PLACES = st.lists(
    st.tuples(st.integers(-34000, 34000), st.integers(-34000, 34000), st.sampled_from([40, 300])),
    min_size=1,
    max_size=4,
)


@settings(max_examples=6)
@given(PLACES, st.integers(0, 1000))
def test_workers_make_the_bytes_of_the_local_bake(places: list[tuple[int, int, int]], seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        scenes = scenes_in(Path(folder), places)
        here, there = local_stores(Path(folder, "here")), local_stores(Path(folder, "there"))
        layer = ingest(scenes, "layer", Options(), here, jobs=1, progress=silent).layer
        queue = BakeQueue(Random(seed))
        plan = planned(scenes, there)
        job = recorded(plan, there, queue)
        queue.work(there, NOWHERE)
        assert load_end(there.sources, job.id).state == "done"  # type: ignore[union-attr]
        made = load_layer(there.sources, "layer")
        assert dump(made) == dump(layer)
        assert bytes_of_parts(made, there) == bytes_of_parts(layer, here)
        assert stored_parts("layer", there) == stored_parts("layer", here)
        shards = [files_under(Path(folder, each, "private/sources/layer/shards")).keys() for each in ("here", "there")]
        assert shards[0] == shards[1]
        assert BakePlan.parse(plan.dump(), plan.dump_scenes(), "plan").dump() == plan.dump()
