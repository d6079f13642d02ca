"""After a bake job's publication its workers render the stored tiles that changed, then the first tiles."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from seeder.jobs.bake_ledger import BakeJob, End, FirstTiles, load_end, load_renewal, put_bake
from seeder.jobs.ledger import Stop, begun, jobs, load_job, stop
from seeder.operations.bake import next_messages, plan_bake
from seeder.operations.report import Report
from seeder.workers.lambda_handler import handle_record
from seeder.workers.process_block import Worker
from seeder.workers.settle import settle
from seeder.workers.sqs import SqsQueue
from tests.support.bake_jobs import bake_job
from tests.support.bake_queue import BakeQueue, Killed, killed, resumed
from tests.support.effort import examples
from tests.support.plain import ZOOM, ZOOMS, Plain, Puts, ground, raster, taken
from tests.support.queues import MakeQueue
from tiler.grid import TILE
from tiler.ingest.bake_plan import BakePlan
from tiler.layers.catalog import load_layer
from tiler.layers.tilejson import named
from tiler.raster.options import Options

pytestmark = pytest.mark.usefixtures("no_fence")


@pytest.fixture(scope="module")
def rasters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small rasters: `a`, `b` with a change, `cut` without its east."""
    folder = tmp_path_factory.mktemp("small")
    plain = ground(5)
    raster(folder, "a", plain)
    raster(folder, "cut", plain[:, :, : 3 * TILE])
    values = plain.copy()
    values[:, 700:900, 300:600] = 3
    raster(folder, "b", values)
    return folder


@pytest.fixture(scope="module")
def truth(rasters: Path) -> dict[str, Plain]:
    """Each raster ingested and seeded alone."""
    return {path.stem: taken(rasters, path.stem) for path in rasters.glob("*.tif")}


@pytest.fixture
def world(truth: dict[str, Plain], tmp_path: Path) -> Plain:
    """The world of `a`."""
    return Plain(Path(shutil.copytree(truth["a"].data, tmp_path / "data")), truth["a"].rasters)


def begin(world: Plain, name: str, bakes: BakeQueue, tiles: SqsQueue | None, first: str = "") -> BakeJob:
    """Begin a bake job of a raster; `first` is the id of the job of its first tiles."""
    source, options = str(world.rasters / f"{name}.tif"), Options(min_zoom=ZOOMS[0], max_zoom=ZOOM)
    plan = plan_bake(source, "plain", options, world.stores, Report())
    assert isinstance(plan, BakePlan)
    chosen = FirstTiles(ZOOMS, first) if first else None
    queue = tiles.url if tiles else ""
    job = replace(bake_job("plain"), revision=plan.draft.revision, plan=plan.dump(), queue=queue, first=chosen)
    put_bake(world.stores.sources, job, None)
    bakes.send(next_messages(job, plan, world.stores.sources))
    return job


def render(world: Plain, queue: SqsQueue) -> int:
    """Render what is in the queue for tiles; returns the number of messages."""
    worker, number = Worker.open(world.settings, queue.send), 0
    while deliveries := queue.receive(10, wait=0):
        for delivery in deliveries:
            number += 1
            try:
                settle(queue, delivery, handle_record(worker, delivery.body, delivery.tries))
            except Killed:
                queue.hide(delivery.handle, 0)
    return number


def work(world: Plain, bakes: BakeQueue, tiles: SqsQueue, meanwhile: Callable[[int], object] = id) -> None:
    """Work off both queues."""

    def step(number: int) -> None:
        render(world, tiles)
        meanwhile(number)

    bakes.work(world.stores, world.settings, meanwhile=step, most=500)
    assert not bakes.waiting


def check(world: Plain, job: BakeJob, like: Plain) -> None:
    """Check that the layer and its tiles are those of another world."""
    assert load_end(world.stores.sources, job.id) == End("done")
    assert world.tiles() == like.tiles()
    assert world.problems() == 0
    assert named("plain", world.stores.tiles) == load_layer(world.stores.sources, "plain").revision == job.revision


def test_stored_tiles_that_changed_are_rendered_and_no_others(
    world: Plain, truth: dict[str, Plain], make_queue: MakeQueue
) -> None:
    bakes, tiles = BakeQueue(), make_queue()
    differ = {key for key, data in truth["b"].tiles().items() if truth["a"].tiles()[key] != data}
    job = begin(world, "b", bakes, tiles)
    with Puts().counted() as puts:
        work(world, bakes, tiles)
    check(world, job, truth["b"])
    assert set(puts.keys) == differ
    assert {"published", "waits", "ended"} <= set(bakes.fates)


def test_uncovered_tiles_are_removed_once_all_others_are_rendered(
    world: Plain, truth: dict[str, Plain], make_queue: MakeQueue
) -> None:
    bakes, tiles = BakeQueue(), make_queue()
    job = begin(world, "cut", bakes, tiles)
    work(world, bakes, tiles)
    check(world, job, truth["cut"])


def test_without_a_queue_for_tiles_the_stored_ones_stay_and_the_cure_is_told(world: Plain) -> None:
    bakes, before = BakeQueue(), world.tiles()
    job = begin(world, "b", bakes, None)
    with Puts().counted() as puts:
        bakes.work(world.stores, world.settings)
    end = load_end(world.stores.sources, job.id)
    assert end
    assert end.state == "failed"
    assert "seeder refresh plain" in end.why
    assert puts.keys == []
    assert world.tiles() == before
    assert load_layer(world.stores.sources, "plain").revision == job.revision


def test_without_a_queue_for_tiles_a_layer_without_tiles_is_done(world: Plain) -> None:
    shutil.rmtree(world.data / "tiles" / "plain")
    bakes = BakeQueue()
    job = begin(world, "b", bakes, None)
    bakes.work(world.stores, world.settings)
    assert load_end(world.stores.sources, job.id) == End("done")
    assert named("plain", world.stores.tiles) == job.revision


def test_a_failed_renewal_fails_the_job_and_resume_renders_the_rest(
    world: Plain, truth: dict[str, Plain], make_queue: MakeQueue
) -> None:
    bakes, tiles, sources = BakeQueue(), make_queue(), world.stores.sources
    job = begin(world, "b", bakes, tiles)
    while not load_renewal(sources, job.id):
        bakes.work(world.stores, world.settings, most=1)
    (renewal,) = load_renewal(sources, job.id) or ()
    stop(sources, renewal, Stop("too many failed", asked=False))
    work(world, bakes, tiles)
    end = load_end(sources, job.id)
    assert end
    assert end.state == "failed"
    assert renewal in end.why
    assert "seeder resume" in end.why
    resumed(job, world.stores, bakes)
    work(world, bakes, tiles)
    check(world, job, truth["b"])


def test_first_tiles_are_rendered_under_the_id_that_was_told(
    world: Plain, truth: dict[str, Plain], make_queue: MakeQueue
) -> None:
    shutil.rmtree(world.data / "tiles" / "plain")
    bakes, tiles = BakeQueue(), make_queue()
    first = bake_job("plain", "00000001").id
    job = begin(world, "b", bakes, tiles, first)
    work(world, bakes, tiles)
    check(world, job, truth["b"])
    spec = load_job(world.stores.sources, first).spec
    assert spec.variant.format == load_layer(world.stores.sources, "plain").format
    assert spec.revision == job.revision
    assert first in jobs(world.stores.sources)
    assert begun(first)


def test_tiles_of_an_earlier_revision_that_appear_meanwhile_are_rendered_too(
    world: Plain, truth: dict[str, Plain], make_queue: MakeQueue
) -> None:
    bakes, tiles, sources = BakeQueue(duplicates=False), make_queue(), world.stores.sources
    job = begin(world, "b", bakes, tiles)
    key = next(key for key, data in sorted(truth["b"].tiles().items()) if truth["a"].tiles()[key] != data)
    late = []

    def appear(_number: int) -> None:
        if load_renewal(sources, job.id) and not late and not tiles.depth():
            file = world.data / "tiles" / key
            file.write_bytes(truth["a"].tiles()[key])
            os.utime(file, (1e9, 1e9))
            late.append(key)

    work(world, bakes, tiles, appear)
    assert late
    check(world, job, truth["b"])
    assert len(load_renewal(sources, job.id) or ()) == 2


@pytest.mark.parametrize("seed", range(examples(9)))
def test_killed_workers_end_the_renewal_all_the_same(
    world: Plain, truth: dict[str, Plain], make_queue: MakeQueue, seed: int
) -> None:
    chance = Random(seed)
    bakes, tiles, first = BakeQueue(chance), make_queue(), bake_job("plain", "00000001").id
    job = begin(world, "b", bakes, tiles, first)
    with killed(*chance.sample(range(160), 25)):
        work(world, bakes, tiles)
    assert not bakes.dead
    check(world, job, truth["b"])
    assert first in jobs(world.stores.sources)
