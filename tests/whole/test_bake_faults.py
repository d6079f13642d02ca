"""Bake jobs whose scenes change or vanish, and workers of another build: published whole after a resume, or not."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeder.operations.bake_failures import failures
from seeder.workers import bake_part
from tests.support.bake_laws import NOWHERE, PLACES, SEEDS, STEPS, Expected, at, end_of, few, published, stores
from tests.support.bake_queue import BakeQueue, recorded, resumed
from tests.support.bake_scenes import listed, painted, planned, scenes_in

pytestmark = pytest.mark.usefixtures("no_fence")


@few(6)
@given(SEEDS, STEPS)
def test_a_scene_that_changes_fails_its_part_by_name(seed: int, step: int) -> None:
    with stores() as there, TemporaryDirectory() as folder:
        paths = [painted(Path(folder, f"{number}.tif"), *place, number) for number, place in enumerate(PLACES)]
        queue = BakeQueue(Random(seed))

        def change() -> None:
            painted(paths[1], *PLACES[1], 77)
            os.utime(paths[1], (1, 1))

        job = recorded(planned(listed(paths), there), there, queue)
        queue.work(there, NOWHERE, meanwhile=at(step, change))
        if end_of(job, there) == "done":  # the part was baked before
            return
        assert not published(there)
        assert any("1.tif" in error and "changed" in error for error in failures(job.id, there.sources, NOWHERE))
        resumed(job, there, queue)
        queue.work(there, NOWHERE)
        assert not published(there)


@few(4)
@given(SEEDS)
def test_an_unreadable_scene_fails_by_name_and_resume_finishes_once_it_is_back(seed: int) -> None:
    with stores() as there, TemporaryDirectory() as folder:
        expected = Expected(scenes_in(Path(folder), PLACES), Path(folder, "data"))
        queue, scene = BakeQueue(Random(seed)), Path(folder, "1.tif")
        job = recorded(planned(expected.scenes, there), there, queue)
        scene.rename(Path(folder, "away"))
        queue.work(there, NOWHERE)
        assert not published(there)
        (error,) = failures(job.id, there.sources, NOWHERE)
        assert "1.tif" in error
        Path(folder, "away").rename(scene)
        resumed(job, there, queue)
        queue.work(there, NOWHERE)
        assert not failures(job.id, there.sources, NOWHERE)
        assert end_of(job, there) == "done"
        expected.check(there)


@few(5)
@given(SEEDS, st.lists(st.booleans(), min_size=9, max_size=20))
def test_workers_of_another_build_leave_parts_to_others(first: Expected, seed: int, foreign: list[bool]) -> None:
    with stores() as there:
        queue, numbers = BakeQueue(Random(seed)), count()
        job = recorded(planned(first.scenes, there), there, queue)
        builds = ["GDAL 3.9.9 on z80" if each else bake_part.build() for each in [False, *foreign]]
        with patch.object(bake_part, "build", lambda: builds[min(next(numbers) // 2, len(builds) - 1)]):
            queue.work(there, NOWHERE, most=len(builds) * 2)
        queue.work(there, NOWHERE)
        assert not failures(job.id, there.sources, NOWHERE)
        assert end_of(job, there) == "done"
        first.check(there)
