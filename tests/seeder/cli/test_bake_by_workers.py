"""`ingest --queue` sends a layer's parts to the bake queue and returns; workers publish the layer and seed it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from seeder.jobs.bake_ledger import bakes, load_bake, read_receipts
from seeder.jobs.ledger import jobs
from seeder.operations import bake as baking
from tests.support.bakery import Bakery
from tests.support.commands import complaint, said, seeder
from tests.support.damaged import cut
from tests.support.files import files_of
from tests.support.queues import MakeQueue
from tests.support.rasters import Recipe, scene, write_raster
from tiler.layers.catalog import load_layer

LAND = Recipe(scene(64, 64))  # zooms 0-5
OTHER = Recipe(scene(64, 64, seed=8))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A raster of zooms 0 to 5, of two parts."""
    return write_raster(tmp_path / "land.tif", LAND)


def send(source: Path, *words: object) -> Result:
    return seeder("ingest", source, "--queue", "sqs", *words)


def lines(result: Result) -> list[dict[str, Any]]:
    """The lines of JSON on stdout."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def followed_by_workers(bakery: Bakery, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers work off the queue at the first look of a command that follows a job."""
    look = baking.progress_of

    def looked(*words: Any) -> Any:
        seen = look(*words)
        bakery.work()
        return seen

    monkeypatch.setattr(baking, "progress_of", looked)


# Starting


def test_the_command_returns_when_all_is_sent_and_workers_make_the_local_layer(
    bakery: Bakery, source: Path, tmp_path: Path
) -> None:
    sent = said(send(source, "--json"))
    assert list(sent) == ["job", "layer", "revision", "parts", "messages", "queue", "seed"]
    assert (sent["layer"], sent["messages"], sent["queue"], sent["seed"]) == ("land", 1, bakery.bakes.url, "")
    assert not bakery.stores.sources.has("sources/land/index.json")
    assert bakery.work() == sent["parts"] + 2  # the publication and the renewal
    assert load_layer(bakery.stores.sources, "land").revision == sent["revision"]
    here = tmp_path / "here"
    assert said(seeder("ingest", source, "--json", "--data", here, "--jobs", "1"))["revision"] == sent["revision"]
    assert files_of(here / "private/sources/land/parts").keys() == files_of(parts_of(bakery)).keys()


def parts_of(bakery: Bakery) -> Path:
    assert bakery.stores.sources.root
    return bakery.stores.sources.root / "sources/land/parts"


def test_people_get_the_id_and_the_commands_that_go_on(bakery: Bakery, source: Path) -> None:
    result = send(source)
    (job,) = bakes(bakery.stores.sources)
    assert result.exit_code == 0
    assert f"bake job {job}: 1 message for 2 parts sent to {bakery.bakes.url}" in result.stdout
    assert f"follow it: `seeder status {job} --watch`; stop it: `seeder cancel {job}`" in result.stdout


def test_both_ids_of_a_launch_in_one_line_are_told_before_anything_is_baked(bakery: Bakery, source: Path) -> None:
    sent = said(send(source, "--seed", "0-3", "--json"))
    assert sent["seed"]
    assert not jobs(bakery.stores.sources)
    bakery.work()
    assert jobs(bakery.stores.sources) == [sent["seed"]]
    assert said(seeder("status", sent["seed"], "--json"))["state"] == "done"
    assert seeder("verify", "land", "--zooms", "0-3").exit_code == 0


def test_an_unchanged_layer_is_not_sent(bakery: Bakery, source: Path) -> None:
    send(source)
    bakery.work()
    again = said(send(source, "--json"))
    assert (again["layer"], again["fresh"]) == ("land", False)
    assert not bakery.bakes.depth()
    assert len(bakes(bakery.stores.sources)) == 1


def test_a_kept_revision_is_published_at_once(bakery: Bakery, source: Path) -> None:
    for recipe in (LAND, OTHER):
        write_raster(source, recipe)
        send(source)
        bakery.work()
    write_raster(source, LAND)
    again = said(send(source, "--json"))
    assert again["fresh"]
    assert not bakery.bakes.depth()
    assert load_layer(bakery.stores.sources, "land").revision == again["revision"]


@pytest.mark.usefixtures("bakery")
def test_the_same_command_goes_on_with_its_job(source: Path) -> None:
    first = said(send(source, "--json"))
    again = said(send(source, "--json"))
    assert (again["job"], again["messages"]) == (first["job"], 0)


def test_without_a_bake_queue_the_error_names_the_cures(
    bakery: Bakery, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TILER_BAKE_QUEUE")
    line = complaint(send(source))
    assert "no bake queue is known" in line
    assert "TILER_BAKE_QUEUE" in line
    assert not bakes(bakery.stores.sources)


def test_without_a_bake_queue_a_layer_to_seed_is_baked_here_and_seeded_by_the_queue(
    bakery: Bakery, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TILER_BAKE_QUEUE")
    done = send(source, "--seed", "0-2", "--json", "--jobs", "1")
    layer, sent = lines(done)
    assert (layer["layer"], layer["fresh"]) == ("land", True)
    assert sent["queue"] == bakery.tiles.url


def test_a_virtual_layer_is_made_here_and_seeded_by_the_queue(bakery: Bakery, source: Path) -> None:
    layer, sent = lines(send(source, "--virtual", "--seed", "0-2", "--json"))
    assert (layer["layer"], sent["queue"]) == ("land", bakery.tiles.url)
    assert "a virtual layer has no parts" in complaint(send(source, "--virtual", "--layer", "other"))


def test_the_queue_of_the_environment_starts_no_bake(bakery: Bakery, source: Path) -> None:
    done = said(seeder("ingest", source, "--json", "--jobs", "1"))
    assert (done["layer"], done["fresh"]) == ("land", True)
    assert not bakes(bakery.stores.sources)


# Following


def test_wait_follows_the_job_to_its_end(bakery: Bakery, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    followed_by_workers(bakery, monkeypatch)
    bake, tiles = lines(send(source, "--wait", "--seed", "0-2", "--json"))
    assert (bake["kind"], bake["state"], bake["done"]) == ("bake", "done", bake["parts"])
    assert tiles["written"] == tiles["tiles"]


def test_a_scene_that_cannot_be_read_fails_the_job_and_publishes_nothing(
    bakery: Bakery, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = said(send(source, "--json"))["job"]
    whole = source.read_bytes()
    source.write_bytes(cut(whole))
    bakery.work()
    result = seeder("status", job, "--json")
    (seen,) = lines(result)
    assert (result.exit_code, seen["state"], seen["failed"]) == (1, "failed", 1)
    failed = seeder("errors", "land", "--json")
    (group,) = lines(failed)
    assert failed.exit_code == 1
    assert (group["job"], group["parts"], group["first"]) == (job, 1, ["0/0/0"])
    assert str(source) in group["error"]
    text = seeder("errors", job)
    assert (text.exit_code, "1 part (0/0/0): " in text.stdout) == (1, True)
    assert "--export lists tiles" in complaint(seeder("errors", job, "--export", "-"))
    assert not bakery.stores.sources.has("sources/land/index.json")
    source.write_bytes(whole)
    followed_by_workers(bakery, monkeypatch)
    again = seeder("errors", job, "--retry", "--wait", "--json")
    assert (again.exit_code, lines(again)[-1]["state"]) == (0, "done")


def test_a_scene_that_was_mended_under_its_name_needs_the_same_command_and_bakes_its_own_parts_only(
    bakery: Bakery, tmp_path: Path
) -> None:
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    for name, west in (("one", -90.0), ("two", 90.0)):
        box = (west, 40.0, west + 0.5, 40.5)
        write_raster(scenes / f"{name}.tif", Recipe(scene(64, 64), crs="EPSG:4326", bounds=box))
    os.utime(scenes / "one.tif", (1.7e9, 1.7e9))  # one that was just written is known by its bytes, later by its time
    words = (scenes, "--layer", "land", "--max-zoom", "7", "--json")
    job = said(send(*words))["job"]
    torn = scenes / "two.tif"
    write_raster(torn, Recipe(scene(64, 64, seed=8), crs="EPSG:4326", bounds=(90.0, 40.0, 90.5, 40.5)))
    bakery.work()
    seeder("resume", job)
    bakery.work()
    (group,) = lines(seeder("errors", job, "--json"))
    told = f"cannot ingest {torn}: it changed since its bake was planned: run the same `seeder ingest` or "
    assert group["error"].startswith(told)
    shown = seeder("status", job).stdout
    assert "run the same `seeder ingest` or `seeder refresh` again" in shown
    assert "seeder resume" not in shown
    again = said(send(*words))
    assert again["job"] != job
    bakery.work()
    assert said(seeder("status", again["job"], "--json"))["state"] == "done"
    sources = bakery.stores.sources
    base = sorted(load_bake(sources, again["job"]).tiers[0])
    receipts = [receipt or {} for _, receipt in read_receipts(sources, again["job"], base)]
    assert sorted(each["reused"] for each in receipts) == [False, True]


def test_messages_that_were_lost_are_sent_again(bakery: Bakery, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = said(send(source, "--json"))["job"]
    assert f"no part of bake job {job} failed" in seeder("errors", "land").stdout
    bakery.bakes.client.purge_queue(QueueUrl=bakery.bakes.url)
    assert said(seeder("resume", job, "--json"))["job"] == job
    followed_by_workers(bakery, monkeypatch)
    assert lines(seeder("resume", job, "--wait", "--json"))[-1]["state"] == "done"
    assert "is done: there is nothing to resume" in complaint(seeder("resume", job))


@pytest.mark.parametrize(
    ("kind", "parts", "first"), [("part", 1, "0/0/0"), ("publish", 0, "publish")], ids=["part", "publication"]
)
def test_dead_letters_count_as_failed_until_they_are_sent_again(
    bakery: Bakery, source: Path, kind: str, parts: int, first: str
) -> None:
    """Those of other jobs stay where they are."""
    job = said(send(source, "--json"))["job"]
    bodies = ["{", json.dumps({"v": 1, "kind": "publish", "job": "other-12345678-20260101T000000Z"})]
    while not any(f'"{kind}"' in body for body in waiting(bakery)):
        bakery.work(1)
    bodies += waiting(bakery)
    while deliveries := bakery.bakes.receive(10, wait=0):
        bakery.bakes.delete_all(deliveries)
    dead = bakery.bakes.dead_queue()
    assert dead
    dead.send_bodies({str(number): body for number, body in enumerate(bodies)})
    for _ in range(2):  # looking takes none away
        told = seeder("errors", job, "--json")
        (group,) = lines(told)
        assert (told.exit_code, group["parts"], group["first"]) == (1, parts, [first])
        assert group["error"].startswith("dead letter: no worker could")
    assert seeder("errors", job).stdout.count("dead letter") == 1
    assert said(seeder("errors", job, "--retry", "--json"))["messages"] == 1
    assert bakery.bakes.depth().dead == 2
    bakery.work()
    assert lines(seeder("status", job, "--json"))[0]["state"] == "done"
    assert seeder("errors", job).exit_code == 0


def waiting(bakery: Bakery) -> list[str]:
    """The bodies of the messages in the bake queue, which they stay in."""
    deliveries = bakery.bakes.receive(10, wait=0)
    for delivery in deliveries:
        bakery.bakes.hide(delivery.handle, 0)
    return [delivery.body for delivery in deliveries]


def test_status_lists_both_kinds_of_jobs_and_finds_one_by_prefix_or_layer(bakery: Bakery, source: Path) -> None:
    sent = said(send(source, "--seed", "0-2", "--json"))
    (seen,) = lines(seeder("status", "--json"))
    assert (seen["job"], seen["kind"], seen["state"]) == (sent["job"], "bake", "running")
    assert seen["by_tier"]["0"] == {"parts": 1, "done": 0, "failed": 0}
    for name in ("land", sent["job"], sent["job"][:-2]):
        assert said(seeder("status", name, "--json"))["job"] == sent["job"]
    text = seeder("status", "land").stdout
    assert f"bake job {sent['job']}: running" in text
    assert f"job {sent['seed']} renders the first tiles" in text
    assert re.search(r"tier +parts +baked +failed", text)
    assert "bake queue: 1 message waiting" in text
    bakery.work()
    table = seeder("status")
    assert table.exit_code == 0
    assert sent["job"] in table.stdout
    assert sent["seed"] in table.stdout
    kinds = {each["job"]: each.get("kind", "tiles") for each in lines(seeder("status", "--layer", "land", "--json"))}
    assert kinds == {sent["job"]: "bake", sent["seed"]: "tiles"}
    assert said(seeder("status", sent["job"], "--watch", "--json"))["state"] == "done"
    assert "no job" in complaint(seeder("status", "nothing")).lower()


def test_cancelled_messages_are_dropped_and_resume_goes_on_here(bakery: Bakery, source: Path) -> None:
    job = said(send(source, "--json"))["job"]
    assert said(seeder("cancel", "land", "--json")) == {"job": job, "state": "cancelled"}
    assert f"bake job {job} was already cancelled" in seeder("cancel", job).stdout
    assert bakery.work() == 1
    shown = seeder("status", job)
    assert (shown.exit_code, f"`seeder resume {job}` continues it" in shown.stdout) == (1, True)
    assert shown.stdout.startswith(f"bake job {job}: cancelled\n")
    assert not bakery.stores.sources.has("sources/land/index.json")
    assert said(seeder("resume", job, "--queue", "local", "--json"))["state"] == "done"
    assert load_layer(bakery.stores.sources, "land").id == "land"
    assert "there is nothing to cancel" in complaint(seeder("cancel", job))


def test_resume_sends_to_the_job_s_queue_or_another_one(bakery: Bakery, source: Path, make_queue: MakeQueue) -> None:
    job = said(send(source, "--json"))["job"]
    seeder("cancel", job)
    bakery.work()
    assert said(seeder("resume", job, "--json"))["queue"] == bakery.bakes.url
    other = make_queue()
    sent = said(seeder("resume", job, "--queue", other.url, "--json"))
    assert (sent["queue"], other.depth().waiting) == (other.url, 1)


@pytest.mark.parametrize("words", [(), ("--queue", "local")], ids=str)
def test_a_worker_needs_a_queue_of_either_kind(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.delenv("TILER_QUEUE")
    monkeypatch.delenv("TILER_BAKE_QUEUE")
    assert "no queue: name a deployed stack" in complaint(seeder("worker", *words))
    taken: list[str] = []
    monkeypatch.setattr(
        "seeder.workers.daemon.work_queues",
        lambda _, stations, jobs: taken.extend(station.url for station in stations if jobs),
    )
    assert seeder("worker", "--bake-queue", bakery.bakes.url).exit_code == 0
    assert taken == [bakery.bakes.url]
