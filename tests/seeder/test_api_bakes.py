"""`Workspace.bake` sends what `ingest --queue` sends, and its handle follows, cancels and resumes."""

from __future__ import annotations

from pathlib import Path

import pytest

import seeder
from tests.support.bakery import Bakery
from tests.support.rasters import Recipe, scene, write_raster
from tiler.errors import BadOption


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A raster of zooms 0 to 5."""
    return write_raster(tmp_path / "land.tif", Recipe(scene(64, 64)))


def test_a_bake_is_followed_to_a_seeded_layer(bakery: Bakery, source: Path) -> None:
    ws = seeder.open()
    bake = ws.bake(source, "land", seed="0-2")
    assert (ws.layers(), [each.id for each in ws.bakes("land")], ws.bakes("other")) == ([], [bake.id], [])
    status = bake.status()
    assert status
    assert (status.state, status.done) == ("running", 0)
    bakery.work()
    ended = bake.wait()
    assert ended
    assert (ended.state, ended.done, bake.failures()) == ("done", ended.parts, {})
    assert bake.job
    assert [job.id for job in ws.jobs()] == [bake.job.id]
    assert bake.job.status().state == "done"
    again = ws.bake(source, "land")
    assert (again.id, again.status(), again.wait(), again.job, again.failures()) == ("", None, None, None, {})
    assert again.resume() is again


def test_a_bake_is_cancelled_and_resumed_here(bakery: Bakery, source: Path) -> None:
    bake = seeder.open().bake(source, "land")
    bake.cancel()
    bakery.work()
    status = bake.status()
    assert status
    assert status.state == "cancelled"
    bake.resume()
    assert bakery.bakes.depth().waiting == 1
    bake.resume(queue="local")
    assert seeder.open().layer("land").name == "land"
    with pytest.raises(BadOption, match="nothing to cancel"):
        bake.cancel()


def test_what_workers_cannot_do_is_refused(bakery: Bakery, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ws = seeder.open()
    with pytest.raises(BadOption, match="a virtual layer has no parts"):
        ws.bake(source, "land", virtual=True)
    with pytest.raises(BadOption, match="copies files to a bucket"):
        ws.bake(source, "land", upload=True)
    monkeypatch.delenv("TILER_BAKE_QUEUE")
    with pytest.raises(BadOption, match="no bake queue is known"):
        seeder.open().bake(source, "land")
    assert not bakery.bakes.depth()
