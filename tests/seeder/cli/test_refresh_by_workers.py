"""`refresh --queue` asks first and sends the parts; workers publish the layer and re-render its stored tiles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from seeder.jobs.bake_ledger import bakes, load_bake
from seeder.operations import bake as baking
from tests.support.bakery import Bakery
from tests.support.commands import complaint, seeder
from tests.support.files import snapshot
from tests.support.queues import emptied, working
from tests.support.rasters import Recipe, scene, write_raster
from tiler.layers.catalog import load_layer

ZOOMS = "0-3"


def raster(folder: Path, name: str, seed: int, west: float = 0.0) -> Path:
    """A scene of 64 x 64 pixels, one degree wide."""
    box = (west, 40.0, west + 1, 41.0)
    return write_raster(folder / f"{name}.tif", Recipe(scene(64, 64, seed=seed), crs="EPSG:4326", bounds=box))


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """A folder of two scenes."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    raster(folder, "april", 1)
    raster(folder, "may", 2, west=0.5)
    return folder


@pytest.fixture
def layer(bakery: Bakery, scenes: Path) -> str:
    """A seeded layer of both."""
    done = seeder("ingest", scenes, "--layer", "flight", "--seed", ZOOMS, "--queue", "local", "--jobs", "1")
    assert done.exit_code == 0, done.output
    assert bakery
    return "flight"


def lines(result: Result) -> list[dict[str, Any]]:
    """The lines of JSON on stdout."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def by_workers(*words: object) -> Result:
    return seeder("refresh", "flight", *words, "--queue", "sqs", "--yes", "--jobs", "1")


def verified() -> bool:
    return seeder("verify", "flight", "--zooms", ZOOMS).exit_code == 0


@pytest.mark.usefixtures("layer")
@pytest.mark.parametrize("change", ["add", "replace", "drop", "all"])
def test_workers_bake_publish_and_re_render_what_changed(
    bakery: Bakery, scenes: Path, tmp_path: Path, change: str
) -> None:
    june = raster(tmp_path, "june", 3, west=0.7)
    words: dict[str, tuple[object, ...]] = {
        "add": ("--add", june),
        "replace": ("--replace", raster(scenes, "may", 4, west=0.5)),
        "drop": ("--drop", "may.tif"),
        "all": (scenes / "april.tif", june),
    }
    before = load_layer(bakery.stores.sources, "flight").revision
    result = by_workers(*words[change], "--json")
    assert result.exit_code == 0, result.output
    changed, estimate, sent = lines(result)
    assert (changed["layer"], "estimate" in estimate) == ("flight", True)
    assert load_layer(bakery.stores.sources, "flight").revision == before
    bakery.work()
    seen = lines(seeder("status", sent["job"], "--json"))[0]
    assert (seen["state"], seen["revision"]) == ("done", sent["revision"])
    after = load_layer(bakery.stores.sources, "flight")
    assert (after.revision, after.previous) == (sent["revision"], before)
    assert verified()


@pytest.mark.usefixtures("layer")
def test_a_revision_that_is_kept_is_published_at_once_and_rendered_by_the_queue(bakery: Bakery, tmp_path: Path) -> None:
    june = raster(tmp_path, "june", 3, west=0.7)
    for words in (("--drop", "may.tif"), ("--add", june)):
        by_workers(*words)
        bakery.work()
    with working(bakery.tiles, bakery.settings):
        result = by_workers("--drop", "june.tif")
        emptied(bakery.tiles)
    assert result.exit_code == 0, result.output
    assert len(bakes(bakery.stores.sources)) == 2
    assert "layer flight" in result.stdout
    assert verified()


@pytest.mark.usefixtures("layer")
def test_without_a_bake_queue_the_layer_is_baked_here(
    bakery: Bakery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TILER_BAKE_QUEUE")
    june = raster(tmp_path, "june", 3, west=0.7)
    with working(bakery.tiles, bakery.settings):
        result = by_workers("--add", june)
    assert result.exit_code == 0, result.output
    assert bakes(bakery.stores.sources) == []
    assert verified()


@pytest.mark.usefixtures("layer")
@pytest.mark.parametrize("words", [("--queue", "sqs"), ()], ids=["no source", "queue of the environment"])
def test_nothing_else_starts_a_bake_by_workers(bakery: Bakery, tmp_path: Path, words: tuple[str, ...]) -> None:
    june = raster(tmp_path, "june", 3, west=0.7)
    with working(bakery.tiles, bakery.settings):
        result = seeder("refresh", "flight", *(words or ("--add", june)), "--yes", "--jobs", "1")
    assert result.exit_code == 0, result.output
    assert bakes(bakery.stores.sources) == []


@pytest.mark.usefixtures("layer")
def test_wait_follows_the_job_to_its_end(bakery: Bakery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look = baking.progress_of

    def looked(*words: Any) -> Any:
        seen = look(*words)
        bakery.work()
        return seen

    monkeypatch.setattr(baking, "progress_of", looked)
    result = by_workers("--add", raster(tmp_path, "june", 3, west=0.7), "--wait", "--json")
    assert result.exit_code == 0, result.output
    assert lines(result)[-1]["state"] == "done"
    assert verified()


@pytest.mark.usefixtures("layer")
@pytest.mark.parametrize("command", ["refresh", "ingest"])
def test_the_same_command_follows_a_job_that_renews(
    bakery: Bakery, scenes: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raster(scenes, "june", 3, west=0.7)
    words = (command, *(("flight", "--add", scenes) if command == "refresh" else (scenes, "--layer", "flight")))
    rest = ("--queue", "sqs", "--jobs", "1", "--json", *(("--yes",) if command == "refresh" else ()))
    sent = lines(seeder(*words, *rest))[-1]
    bakery.work(sent["parts"] + 2)  # the renewal waits for its job
    assert lines(seeder("status", sent["job"], "--json"))[0]["state"] == "renewing"
    with monkeypatch.context() as patched:
        patched.setattr("seeder.operations.renew.renew", None)  # nothing is rendered besides
        again = lines(seeder(*words, *rest))[-1]
    assert (again["job"], again["messages"]) == (sent["job"], 0)
    bakery.work()
    assert lines(seeder("status", sent["job"], "--json"))[0]["state"] == "done"
    assert verified()
    assert "messages" not in lines(seeder(*words, *rest))[-1]


@pytest.mark.usefixtures("layer")
def test_a_dry_run_sends_nothing(bakery: Bakery, tmp_path: Path) -> None:
    june = raster(tmp_path, "june", 3, west=0.7)
    before = snapshot(tmp_path / "data")
    assert by_workers("--add", june, "--dry-run").exit_code == 0
    assert snapshot(tmp_path / "data") == before
    assert not bakery.bakes.depth()


@pytest.mark.usefixtures("layer")
def test_workers_always_wait_for_tiles_in_flight(bakery: Bakery) -> None:
    assert "leave --no-wait out" in complaint(by_workers("--drop", "may.tif", "--no-wait"))
    assert "--wait needs a CloudFront distribution" in complaint(by_workers("--wait"))
    assert bakes(bakery.stores.sources) == []


@pytest.mark.usefixtures("layer")
def test_the_distribution_goes_into_the_job(bakery: Bakery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seeder.cache.cloudfront.check", lambda *_: None)
    by_workers("--drop", "may.tif", "--cloudfront", "E123")
    (job,) = bakes(bakery.stores.sources)
    assert load_bake(bakery.stores.sources, job).cdn == "E123"


@pytest.mark.usefixtures("layer")
def test_a_layer_that_was_published_meanwhile_stays(bakery: Bakery, tmp_path: Path) -> None:
    result = by_workers("--add", raster(tmp_path, "june", 3, west=0.7), "--json")
    other = seeder("refresh", "flight", "--drop", "may.tif", "--yes", "--queue", "local", "--jobs", "1")
    assert other.exit_code == 0, other.output
    revision = load_layer(bakery.stores.sources, "flight").revision
    bakery.work()
    job = lines(result)[-1]["job"]
    (seen,) = lines(seeder("status", job, "--json"))
    assert (seen["state"], load_layer(bakery.stores.sources, "flight").revision) == ("superseded", revision)
    assert "published meanwhile" in seen["why"]
