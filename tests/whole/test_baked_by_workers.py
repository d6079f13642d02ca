"""A layer that many workers bake equals the one that this machine bakes, whatever happens to messages and workers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from seeder.jobs.bake_ledger import load_end
from tests.support.bake_queue import BakeQueue, recorded
from tests.support.bake_scenes import planned, scenes_in
from tests.support.baked import bytes_of_parts, stored_parts
from tests.support.layers import local_stores, silent
from tests.support.oracle import files_under
from tiler.ingest.bake_plan import BakePlan
from tiler.ingest.ingest import ingest
from tiler.layers.catalog import dump, load_layer
from tiler.raster.options import Options
from tiler.settings import Settings

NOWHERE = Settings(tiles="memory://none", sources="memory://none")
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
