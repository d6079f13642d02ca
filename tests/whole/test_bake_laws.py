"""Whatever happens to a bake job, its layer is published whole, with the bytes of the local bake, or not at all."""

from __future__ import annotations

import json
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeder.jobs.bake_ledger import BakeJob, End, load_end
from seeder.operations import publish_bake
from seeder.operations.bake import cancel
from tests.support.bake_laws import NOWHERE, SEEDS, STEPS, Expected, at, end_of, few, published, stores
from tests.support.bake_queue import BakeQueue, killed, recorded, resumed
from tests.support.bake_scenes import planned
from tests.support.baked import bytes_of_parts
from tests.support.layers import silent
from tiler.errors import BadOption, Superseded
from tiler.ingest.ingest import ingest
from tiler.keys import index_key
from tiler.layers.catalog import load_layer
from tiler.raster.options import Options
from tiler.storage.store import Stores

pytestmark = pytest.mark.usefixtures("no_fence")


@few(8)
@given(SEEDS, st.lists(st.integers(0, 400), min_size=5, max_size=40))
def test_killed_workers_lose_nothing(first: Expected, seed: int, kills: list[int]) -> None:
    with stores() as there:
        queue = BakeQueue(Random(seed))
        job = recorded(planned(first.scenes, there), there, queue)
        with killed(*kills):
            queue.work(there, NOWHERE)
        assert not queue.dead
        assert end_of(job, there) == "done"
        first.check(there)


@few(6)
@given(SEEDS, st.lists(STEPS, min_size=1, max_size=4))
def test_lost_messages_are_sent_again_by_resume(first: Expected, seed: int, steps: list[int]) -> None:
    with stores() as there:
        queue = BakeQueue(Random(seed), duplicates=False)
        job = recorded(planned(first.scenes, there), there, queue)
        queue.work(there, NOWHERE, meanwhile=lambda number: queue.lose() if number in steps else None)
        while end_of(job, there) != "done":
            resumed(job, there, queue)
            queue.work(there, NOWHERE)
        first.check(there)


@few(6)
@given(SEEDS, st.lists(STEPS, min_size=1, max_size=3))
def test_a_cancelled_job_goes_on_where_it_was(first: Expected, seed: int, steps: list[int]) -> None:
    with stores() as there:
        queue = BakeQueue(Random(seed))
        job = recorded(planned(first.scenes, there), there, queue)
        for step in steps:
            if end_of(job, there) == "done":
                break
            queue.work(there, NOWHERE, meanwhile=at(step, lambda: end_of(job, there) or cancel(job.id, there.sources)))
            if end_of(job, there) != "done":
                resumed(job, there, queue)
        queue.work(there, NOWHERE)
        assert end_of(job, there) == "done"
        first.check(there)


@few(6)
@given(SEEDS)
def test_of_two_jobs_of_a_layer_one_is_published(first: Expected, second: Expected, seed: int) -> None:
    with stores() as there:
        queue = BakeQueue(Random(seed))
        jobs = [recorded(planned(each.scenes, there), there, queue) for each in (first, second)]
        queue.work(there, NOWHERE)
        winner = load_layer(there.sources, "layer").revision
        (first if winner == jobs[0].revision else second).check(there)
        for job in jobs:
            assert end_of(job, there) in (["done"] if job.revision == winner else ["superseded", ""])
            if job.revision != winner:
                with pytest.raises(BadOption, match="superseded"):
                    resumed(job, there, queue)


@few(8)
@given(SEEDS, STEPS, st.lists(st.integers(0, 300), max_size=9))
def test_a_publication_meanwhile_stays(
    first: Expected, second: Expected, seed: int, step: int, kills: list[int]
) -> None:
    with stores() as there:
        queue, ours = BakeQueue(Random(seed)), []

        def publish_other() -> None:
            ours.append(published(there))
            ingest(second.scenes, "layer", Options(), there, jobs=1, progress=silent)

        job = recorded(planned(first.scenes, there), there, queue)
        queue.work(there, NOWHERE, most=step)
        publish_other()
        with killed(*kills):
            queue.work(there, NOWHERE)
        assert not queue.dead
        layer = load_layer(there.sources, "layer")
        assert bytes_of_parts(layer, there) == second.parts
        end = load_end(there.sources, job.id)
        assert end is None or end.state in ("superseded", "done")
        assert ours == [True] or end is None or end.state == "superseded"


@few(4)
@given(SEEDS)
def test_a_job_published_before_its_successor_is_not_told_otherwise(
    first: Expected, second: Expected, seed: int
) -> None:
    with stores() as there:
        queue = BakeQueue(Random(seed), duplicates=False)
        job = recorded(planned(first.scenes, there), there, queue)
        while not published(there):
            queue.work(there, NOWHERE, most=1)
        queue.waiting = [(f'{{"v":1,"kind":"publish","job":"{job.id}"}}', 0)]  # its worker was killed
        ingest(second.scenes, "layer", Options(), there, jobs=1, progress=silent)
        queue.work(there, NOWHERE)
        revision = load_layer(there.sources, "layer").revision
        why = f"layer layer was published, and is at revision {revision} now"
        assert load_end(there.sources, job.id) == End("superseded", why)


def before_publication(first: Expected, there: Stores) -> tuple[BakeJob, BakeQueue]:
    """A job whose parts are all baked."""
    queue = BakeQueue(duplicates=False)
    job = recorded(planned(first.scenes, there), there, queue)
    while not any('"publish"' in body for body, _ in queue.waiting):
        queue.work(there, NOWHERE, most=1)
    return job, queue


def test_a_publication_of_the_same_revision_by_another_command_counts(first: Expected) -> None:
    with stores() as there:
        job, queue = before_publication(first, there)
        ingest(first.scenes, "layer", Options(), there, jobs=1, progress=silent)
        index = json.dumps({**json.loads(there.sources.get(index_key("layer"))), "undone": "aaaa"})
        there.sources.put(index_key("layer"), index.encode(), content_type="application/json")
        queue.work(there, NOWHERE)
        assert load_end(there.sources, job.id) == End("done")
        first.check(there)


def test_a_publication_that_only_met_other_writers_of_tilejson_is_tried_again(first: Expected) -> None:
    with stores() as there:
        job, queue = before_publication(first, there)
        with patch.object(publish_bake, "publish", side_effect=Superseded("tile.json changed")) as publish:
            queue.work(there, NOWHERE, most=2)
        assert publish.call_count == 2
        queue.work(there, NOWHERE)
        assert load_end(there.sources, job.id) == End("done")
        first.check(there)
