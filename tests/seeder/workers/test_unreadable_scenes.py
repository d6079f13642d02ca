"""Scenes that a worker of a bake queue cannot read."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import NoReturn

import pytest

from seeder.jobs.bake_ledger import failed_parts, read_failures
from seeder.jobs.bake_messages import BakeMessage
from seeder.operations.bake import plan_bake
from seeder.operations.report import Report
from seeder.workers.bake_part import BakeWorker, remaining
from tests.support.bake_queue import BakeQueue, recorded
from tests.support.layers import local_stores
from tests.support.rasters import Recipe, scene, write_raster
from tiler.errors import SourceReadError, StoreError
from tiler.ingest.bake_plan import BakePlan
from tiler.raster.options import Options

SCENE = "s3://flights/relief.tif"


def begun(folder: Path) -> tuple[BakeWorker, BakeMessage, Path]:
    """A worker, the message of a base part, and the raster that it reads."""
    path = write_raster(folder / "relief.tif", Recipe(values=scene(40, 40)))
    stores, queue = local_stores(folder / "data"), BakeQueue(Random(1))
    plan = plan_bake(str(path), "layer", Options(), stores, Report())
    assert isinstance(plan, BakePlan)
    job = recorded(plan, stores, queue)
    return BakeWorker(stores, queue.send, 1), next(remaining(job.id, plan, ())), path


def failing(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """Let every read of `key` fail."""

    def bake(*_: object) -> NoReturn:
        raise StoreError("read", key, "TIFFReadEncodedTile() failed")

    monkeypatch.setattr(BakeWorker, "_bake", bake)


def test_a_scene_on_the_network_is_damaged_if_it_is_unreadable_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, message, _ = begun(tmp_path)
    failing(monkeypatch, SCENE)
    with pytest.raises(StoreError):
        worker.bake(message)
    assert failed_parts(worker.sources, message.job) == []
    result = worker.bake(message, again=True)
    assert result.fate == "failed"
    assert result.why == "cannot read s3://flights/relief.tif: TIFFReadEncodedTile() failed"
    assert list(read_failures(worker.sources, message.job, [message.place])) == [(message.place, result.why)]


def test_a_scene_that_changed_fails_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, message, path = begun(tmp_path)
    failing(monkeypatch, SCENE)
    write_raster(path, Recipe(values=scene(40, 40, seed=8)))
    result = worker.bake(message)
    assert (result.fate, "it changed" in result.why) == ("failed", True)


def test_a_scene_on_this_disk_is_damaged_if_it_is_unreadable_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, message, path = begun(tmp_path)

    def bake(*_: object) -> NoReturn:
        raise SourceReadError(str(path), "TIFFReadEncodedTile() failed")

    monkeypatch.setattr(BakeWorker, "_bake", bake)
    with pytest.raises(SourceReadError):
        worker.bake(message)
    assert failed_parts(worker.sources, message.job) == []
    result = worker.bake(message, again=True)
    assert (result.fate, result.why) == ("failed", f"cannot read {path}: TIFFReadEncodedTile() failed")
    write_raster(path, Recipe(values=scene(40, 40, seed=8)))
    assert "it changed since its bake was planned" in worker.bake(message).why


def test_a_ledger_that_does_not_answer_fails_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, message, _ = begun(tmp_path)
    failing(monkeypatch, "sources/layer/parts/one.tif")
    for again in (False, True):  # the last try is recorded whatever failed
        with pytest.raises(StoreError):
            worker.bake(message, again=again)
    assert failed_parts(worker.sources, message.job) == []
