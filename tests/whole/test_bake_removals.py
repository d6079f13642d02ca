"""Parts, old revisions and layers that are removed during a bake job, and damaged facts of stored parts."""

from __future__ import annotations

from random import Random
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeder.operations.remove import old_revisions, remove
from seeder.operations.update import UpdateContext, UpdateOptions
from tests.support.bake_laws import NOWHERE, SEEDS, STEPS, Expected, at, end_of, few, published, stores
from tests.support.bake_queue import BakeQueue, recorded, resumed
from tests.support.bake_scenes import planned
from tests.support.baked import bytes_of_parts
from tests.support.layers import silent
from tiler import timing
from tiler.ingest.ingest import ingest
from tiler.keys import index_key, revision_key, sources_prefix
from tiler.layers.catalog import load_layer
from tiler.raster.options import Options
from tiler.storage.store import Stores

pytestmark = pytest.mark.usefixtures("no_fence")


@few(5)
@given(SEEDS, st.data())
def test_damaged_facts_of_stored_parts_are_written_anew(first: Expected, seed: int, data: st.DataObject) -> None:
    with stores() as there:
        ingest(first.scenes, "layer", Options(), there, jobs=1, progress=silent)
        revision = load_layer(there.sources, "layer").revision
        there.sources.delete([index_key("layer"), revision_key("layer", revision)])
        for key in data.draw(st.lists(st.sampled_from(sorted(first.parts)), min_size=1, max_size=4)):
            facts = key.replace(".tif", ".json")
            content = data.draw(st.sampled_from([b"", b"{", b"{}", there.sources.get(facts)[:-9]]))
            there.sources.put(facts, content, content_type="application/json")
        queue = BakeQueue(Random(seed))
        job = recorded(planned(first.scenes, there), there, queue)
        queue.work(there, NOWHERE)
        assert end_of(job, there) == "done"
        first.check(there)
        assert all(facts_of(key, there) == facts_of(key, first.stores) for key in first.parts)


def facts_of(key: str, there: Stores) -> bytes:
    return there.sources.get(key.replace(".tif", ".json"))


@few(8)
@given(SEEDS, STEPS, st.data())
def test_parts_removed_during_the_bake_are_baked_again(
    first: Expected, seed: int, step: int, data: st.DataObject
) -> None:
    gone = data.draw(st.sets(st.sampled_from(sorted(first.parts)), min_size=1, max_size=6))
    with stores() as there:
        queue = BakeQueue(Random(seed))
        job = recorded(planned(first.scenes, there), there, queue)
        queue.work(there, NOWHERE, meanwhile=at(step, lambda: published(there) or there.sources.delete(gone)))
        for _ in range(3):
            if end_of(job, there) != "done":
                assert not published(there)
                resumed(job, there, queue)
                queue.work(there, NOWHERE)
        assert end_of(job, there) == "done"
        first.check(there)


@few(6)
@given(SEEDS, st.lists(STEPS, min_size=1, max_size=4))
def test_removal_of_old_revisions_keeps_the_parts_of_unfinished_jobs(
    first: Expected, second: Expected, seed: int, steps: list[int]
) -> None:
    with stores() as there, patch.object(timing, "BAKE_SECONDS", 0.0):
        ingest(second.scenes, "layer", Options(), there, jobs=1, progress=silent)
        queue = BakeQueue(Random(seed))
        job = recorded(planned(first.scenes, there), there, queue)

        def sweep(number: int) -> None:
            if number in steps:
                for share in old_revisions("layer", there, there.sources.clock("jobs/clock")):
                    there.sources.delete(list(share.keys()))

        queue.work(there, NOWHERE, meanwhile=sweep)
        assert "failed" not in queue.fates
        assert end_of(job, there) == "done"
        assert bytes_of_parts(load_layer(there.sources, "layer"), there) == first.parts


@few(6)
@given(SEEDS, STEPS)
def test_a_removed_layer_is_not_published(first: Expected, seed: int, step: int) -> None:
    with stores() as there:
        queue = BakeQueue(Random(seed))
        job = recorded(planned(first.scenes, there), there, queue)
        context = UpdateContext(there, NOWHERE, UpdateOptions(hurry=True))
        removed = []
        queue.work(there, NOWHERE, meanwhile=at(step, lambda: removed.append(remove("layer", context))))
        assert not queue.dead
        assert bool(removed) != published(there)
        if removed:
            assert there.sources.empty(f"jobs/bakes/{job.id}/")
            assert there.sources.empty(sources_prefix("layer"))
