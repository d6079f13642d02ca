"""Whatever happens to a bake job, its layer is published whole, with the bytes of the local bake, or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from seeder.jobs.bake_ledger import BakeJob, End, load_end
from seeder.operations.bake import cancel, failures
from seeder.operations.remove import old_revisions, remove
from seeder.operations.update import UpdateContext, UpdateOptions
from seeder.workers import bake_part
from tests.support.bake_queue import BakeQueue, killed, recorded, resumed
from tests.support.bake_scenes import listed, painted, planned, scenes_in
from tests.support.baked import bytes_of_parts
from tests.support.clock import nothing_in_flight
from tests.support.layers import local_stores, silent
from tests.support.parts import pyramid_of
from tiler import timing
from tiler.errors import BadOption
from tiler.ingest.ingest import ingest
from tiler.keys import index_key, revision_key, sources_prefix
from tiler.layers.catalog import dump, load_layer
from tiler.layers.pyramid import missing_objects
from tiler.raster.options import Options
from tiler.scenes.scene_list import SceneList
from tiler.settings import Settings
from tiler.storage.store import Stores

NOWHERE = Settings(tiles="memory://none", sources="memory://none")
PLACES = [(0, 0, 40), (-30000, 100, 40), (33900, -20000, 40)]  # the last two are neighbours across the antimeridian
OTHERS = [(20000, 20000, 40)]
SEEDS, STEPS = st.integers(0, 10_000), st.integers(0, 30)


class Expected:
    """Scenes, and the layer that this machine bakes of them."""

    def __init__(self, scenes: SceneList, folder: Path) -> None:
        self.scenes, self.stores = scenes, local_stores(folder)
        layer = ingest(scenes, "layer", Options(), self.stores, jobs=1, progress=silent).layer
        self.index, self.parts = dump(layer), bytes_of_parts(layer, self.stores)

    def check(self, stores: Stores) -> None:
        """Check that the layer is published whole, with these bytes."""
        layer = load_layer(stores.sources, "layer")
        assert dump(layer) == self.index
        assert bytes_of_parts(layer, stores) == self.parts
        assert not missing_objects("layer", stores.sources, pyramid_of(layer))


@pytest.fixture(scope="module", autouse=True)
def no_fence() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        nothing_in_flight(patched)
        yield


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Expected:
    folder = tmp_path_factory.mktemp("first")
    return Expected(scenes_in(folder, PLACES), folder / "data")


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Expected:
    folder = tmp_path_factory.mktemp("second")
    return Expected(scenes_in(folder, OTHERS), folder / "data")


@contextmanager
def stores() -> Iterator[Stores]:
    with TemporaryDirectory() as folder:
        yield local_stores(Path(folder))


def end_of(job: BakeJob, there: Stores) -> str:
    end = load_end(there.sources, job.id)
    return end.state if end else ""


def published(there: Stores) -> bool:
    return there.sources.has(index_key("layer"))


def at(step: int, action: Callable[[], object]) -> Callable[[int], object]:
    """An event before delivery number `step`."""
    return lambda number: action() if number == step else None


@settings(phases=[Phase.generate], max_examples=8)
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


@settings(phases=[Phase.generate], max_examples=6)
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


@settings(phases=[Phase.generate], max_examples=6)
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


@settings(phases=[Phase.generate], max_examples=6)
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
                    queue.work(there, NOWHERE)
                    resumed(job, there, queue)


@settings(phases=[Phase.generate], max_examples=8)
@given(SEEDS, STEPS, st.lists(st.integers(0, 300), max_size=9))
def test_a_publication_meanwhile_stays(
    first: Expected, second: Expected, seed: int, step: int, kills: list[int]
) -> None:
    with stores() as there:
        queue, ours = BakeQueue(Random(seed)), []

        def publish_other() -> None:
            ours.append(published(there))
            with ExitStack() as stack:
                stack.enter_context(patch.object(bake_part, "forget", lambda: None))
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


@settings(phases=[Phase.generate], max_examples=4)
@given(SEEDS, STEPS)
def test_a_job_published_before_its_successor_is_not_told_otherwise(
    first: Expected, second: Expected, seed: int, number: int
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


@settings(phases=[Phase.generate], max_examples=6)
@given(SEEDS, STEPS)
def test_a_scene_that_changes_fails_its_part_by_name(seed: int, step: int) -> None:
    with stores() as there, TemporaryDirectory() as folder:
        paths = [painted(Path(folder, f"{number}.tif"), *place, number) for number, place in enumerate(PLACES)]
        queue, touched = BakeQueue(Random(seed)), []

        def change() -> None:
            painted(paths[1], *PLACES[1], 77)
            os.utime(paths[1], (1, 1))
            touched.append(job_done(job, there))

        job = recorded(planned(listed(paths), there), there, queue)
        queue.work(there, NOWHERE, meanwhile=at(step, change))
        if end_of(job, there) == "done":  # the part was baked before
            return
        assert not published(there)
        assert any("1.tif" in error and "changed" in error for error in failures(job.id, there.sources))
        resumed(job, there, queue)
        queue.work(there, NOWHERE)
        assert not published(there)


def job_done(job: BakeJob, there: Stores) -> bool:
    return end_of(job, there) == "done"


@settings(phases=[Phase.generate], max_examples=4)
@given(SEEDS)
def test_an_unreadable_scene_fails_by_name_and_resume_finishes_once_it_is_back(seed: int) -> None:
    with stores() as there, TemporaryDirectory() as folder:
        expected = Expected(scenes_in(Path(folder), PLACES), Path(folder, "data"))
        queue, scene = BakeQueue(Random(seed)), Path(folder, "1.tif")
        job = recorded(planned(expected.scenes, there), there, queue)
        scene.rename(Path(folder, "away"))
        queue.work(there, NOWHERE)
        assert not published(there)
        (error,) = failures(job.id, there.sources)
        assert "1.tif" in error
        Path(folder, "away").rename(scene)
        resumed(job, there, queue)
        queue.work(there, NOWHERE)
        assert not failures(job.id, there.sources)
        assert end_of(job, there) == "done"
        expected.check(there)


@settings(phases=[Phase.generate], max_examples=5)
@given(SEEDS, st.lists(st.booleans(), min_size=9, max_size=20))
def test_workers_of_another_build_leave_parts_to_others(first: Expected, seed: int, foreign: list[bool]) -> None:
    with stores() as there:
        queue, numbers = BakeQueue(Random(seed)), count()
        job = recorded(planned(first.scenes, there), there, queue)
        builds = ["GDAL 3.9.9 on z80" if each else bake_part.build() for each in [False, *foreign]]
        with patch.object(bake_part, "build", lambda: builds[min(next(numbers) // 2, len(builds) - 1)]):
            queue.work(there, NOWHERE, most=len(builds) * 2)
        queue.work(there, NOWHERE)
        if end_of(job, there) != "done":
            assert all("z80" in error and "seeder cancel" in error for error in failures(job.id, there.sources))
            resumed(job, there, queue)
            queue.work(there, NOWHERE)
        first.check(there)


@settings(phases=[Phase.generate], max_examples=5)
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


@settings(phases=[Phase.generate], max_examples=8)
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


@settings(phases=[Phase.generate], max_examples=6)
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


@settings(phases=[Phase.generate], max_examples=6)
@given(SEEDS, STEPS)
def test_a_removed_layer_is_not_published(first: Expected, seed: int, step: int) -> None:
    with stores() as there:
        queue = BakeQueue(Random(seed))
        job = recorded(planned(first.scenes, there), there, queue)
        context = UpdateContext(there, NOWHERE, UpdateOptions(hurry=True))
        queue.work(there, NOWHERE, meanwhile=at(step, lambda: remove("layer", context)))
        if step >= 17:
            return  # it may have been published before
        assert not queue.dead
        assert not published(there)
        assert there.sources.empty(f"jobs/bakes/{job.id}/")
        assert there.sources.empty(sources_prefix("layer"))
