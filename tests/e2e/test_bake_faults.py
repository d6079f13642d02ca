"""What breaks while a layer is baked costs time, never a byte: it is published whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import urllib3

from tests.e2e.bakery import HASTY, SIZE, Bakery, Objects, baked_here, bakery, mosaic, paint
from tests.e2e.proxy import Fault, Proxy
from tests.e2e.s3 import S3
from tests.e2e.sqs import Sqs
from tests.support.oracle import decoded

COG = r"/sources/{}/parts/[^/?]+\.tif"


@pytest.fixture(scope="module")
def wires(s3: S3) -> Iterator[Proxy]:
    """Between the workers and S3."""
    with Proxy(s3.endpoint, seed=5) as made:
        yield made


@pytest.fixture(scope="module")
def shared(s3: S3, sqs: Sqs, wires: Proxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bakery]:
    """A deployment that the tests of this module share."""
    with bakery(
        s3, sqs, tmp_path_factory.mktemp("bakery"), endpoint=wires.url, handler=HASTY, visibility=8
    ) as deployment:
        yield deployment


@pytest.fixture
def made(shared: Bakery, wires: Proxy) -> Iterator[Bakery]:
    """The deployment without faults; each test has its own layers."""
    wires.clear()
    yield shared
    wires.clear()


@pytest.fixture(scope="module")
def pair(shared: Bakery) -> list[str]:
    """Two scenes, in nine parts."""
    return [shared.source("b.tif"), shared.source("c.tif")]


@pytest.fixture(scope="module")
def whole(shared: Bakery, pair: list[str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Objects]:
    """Both, as this machine bakes them."""
    return baked_here(shared, tmp_path_factory.mktemp("whole"), *pair)


@pytest.fixture(scope="module")
def single(shared: Bakery, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Objects]:
    """One scene, as this machine bakes it."""
    return baked_here(shared, tmp_path_factory.mktemp("single"), shared.source("c.tif"))


def parts(objects: Objects) -> Objects:
    """The parts and shards, which no other revision changes."""
    return {key: data for key, data in objects.items() if not key.endswith("index.json") and "scenes" not in key}


def cogs(objects: Objects) -> set[str]:
    return {key for key in objects if key.endswith(".tif")}


def test_throttling_is_overcome_and_poison_hinders_nobody(
    made: Bakery, wires: Proxy, pair: list[str], whole: Callable[[str], Objects]
) -> None:
    poison = ["{", json.dumps({"v": 3, "kind": "part", "job": "no", "tier": -1}), json.dumps({"v": 99})]
    made.bakes.send(*poison)
    sent = made.ingest("busy", *pair)
    wires.add(*(Fault("slow down", method, probability=0.2) for method in ("PUT", "GET", "HEAD")))
    struck = wires.requests.copy()
    with made.functions() as mapping:
        made.ended(sent["job"])
        mapping.drained(within=90)
    struck = wires.requests - struck
    assert made.objects("busy") == whole("busy")
    assert min(struck[method, "slow down"] for method in ("GET", "PUT", "HEAD")) > 3, struck
    assert set(made.bakes.dead()) == set(poison)


def test_after_the_sender_is_gone_and_a_worker_was_killed_another_machine_resumes(
    shared: Bakery, sqs: Sqs, wires: Proxy, tmp_path: Path
) -> None:
    """The scenes were uploaded. The message of the killed worker is still hidden when the job is resumed."""
    bakes = sqs.queue()
    made = replace(
        shared, bakes=bakes, stack=replace(shared.stack, env={**shared.stack.env, "TILER_BAKE_QUEUE": bakes.url})
    )
    wires.clear()
    wires.targets.clear()
    scene = paint(tmp_path, "c", seed=3)
    sent = made.ingest("killed", str(scene), "--upload")
    scene.unlink()
    (key,) = made.keys("sources/killed/scenes/")
    wires.add(Fault("delay", "PUT", COG.format("killed"), seconds=60, count=1))
    with made.worker(AWS_ENDPOINT_URL_S3=wires.url) as worker:
        while not any(method == "PUT" and "/parts/" in what for method, what in wires.targets):
            time.sleep(0.05)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
    wires.clear()
    assert made.receipts(sent["job"]) == 0
    assert made.revision("killed") == ""
    with made.worker():
        assert json.loads(made.stack.run("resume", sent["job"], "--json").stdout)["messages"] == 1
        assert made.ended(sent["job"]) == "done"
    whole = baked_here(made, tmp_path / "data", f"s3://{made.stack.sources}/{key}")("killed")
    assert {name: data for name, data in made.objects("killed").items() if not name.startswith("scenes/")} == whole
    assert made.bakes.dead() == []


def test_nothing_is_written_from_a_member_of_a_vrt_that_could_not_be_read(
    made: Bakery, wires: Proxy, http_client: urllib3.PoolManager, tmp_path: Path
) -> None:
    """Neither a part nor a tile; once the network is better both are right."""
    files = mosaic(tmp_path)
    for file in files:
        made.put(file, "vrt")
    source, trust = f"s3://{made.bucket}/vrt/all.vrt", "--trust-source"
    made.stack.run("ingest", source, trust, "--layer", "seen", "--virtual", "--format", "png")
    sent = made.ingest("members", source, trust)
    tile, place = f"{made.stack.gateway.url}/seen/11/1216/1344.png", "/vrt/[01].tif"
    with made.functions() as mapping:
        for kind in ("cut", "drop"):
            wires.clear()
            wires.add(Fault(kind, "GET", place))
            assert http_client.request("GET", tile).status >= 500
        mapping.drained()
        assert made.status(sent["job"])["state"] == "failed"
        assert source in made.stack.run("errors", sent["job"], check=False).stdout
        assert made.objects("members") == made.stack.stored("seen") == {}
        wires.clear()
        wires.add(Fault("cut", "GET", place, count=1))  # the second try of a part succeeds
        made.stack.run("resume", sent["job"])
        assert made.ended(sent["job"]) == "done"
        mapping.drained()
    assert made.objects("members") == baked_here(made, tmp_path / "data", source, trust)("members")
    assert http_client.request("GET", tile, redirect=False).status < 400
    (data,) = made.stack.stored("seen").values()
    pixels = [rasterio.open(file).read() for file in files[1:]]
    assert np.array_equal(decoded(data)[:SIZE, :, :3], np.concatenate(pixels, axis=2)[:, :, :256].transpose(1, 2, 0))


def test_a_torn_scene_fails_its_parts_by_name_and_resume_publishes_when_it_is_mended(
    made: Bakery, pair: list[str], whole: Callable[[str], Objects], http_client: urllib3.PoolManager
) -> None:
    made.stack.run("ingest", made.source("c.tif"), "--layer", "torn", "--queue", "local", "--format", "png")
    before = made.revision("torn")
    sent = made.ingest("torn", *pair, "--max-failed", "100")
    good = made.tear("scenes/b.tif")
    try:
        with made.functions() as mapping:
            mapping.drained()
        told = made.status(sent["job"])
        assert (told["state"], told["failed"]) == ("failed", 2)
        errors = made.stack.run("errors", sent["job"], check=False)
        assert errors.returncode == 1
        assert "2 parts" in errors.stdout
        assert "/scenes/b.tif" in errors.stdout
        assert made.revision("torn") == before
        tile = http_client.request("GET", f"{made.stack.gateway.url}/torn/9/304/336.png")
        assert tile.status < 400
    finally:
        made.stack.s3.client().put_object(Bucket=made.bucket, Key="scenes/b.tif", Body=good)
    with made.functions() as mapping:
        made.stack.run("resume", sent["job"])
        assert made.ended(sent["job"]) == "done"
        mapping.drained()
    assert made.revision("torn") == sent["revision"]
    assert parts(whole("torn")).items() <= made.objects("torn").items()


def test_a_scene_that_was_torn_before_is_dropped_by_the_next_ingest(
    made: Bakery, single: Callable[[str], Objects], tmp_path: Path
) -> None:
    """The older job ends without a publication, also if it is resumed."""
    made.put(paint(tmp_path, "b"), "dropped")
    made.tear("dropped/b.tif")
    good, bad = made.source("c.tif"), f"s3://{made.bucket}/dropped/b.tif"
    with made.functions() as mapping:
        older = made.ingest("dropped", good, bad)
        mapping.drained()
        assert made.status(older["job"])["state"] == "failed"
        assert "/dropped/b.tif" in made.stack.run("errors", older["job"], check=False).stdout
        assert made.revision("dropped") == ""
        newer = made.ingest("dropped", good)
        assert made.ended(newer["job"]) == "done"
        mapping.drained()
    assert parts(single("dropped")).items() <= made.objects("dropped").items()
    assert made.revision("dropped") == newer["revision"]
    assert made.status(older["job"])["state"] == "superseded"
    resumed = made.stack.run("resume", older["job"], check=False)
    assert resumed.returncode == 2
    assert "superseded" in resumed.stderr


def test_a_cancelled_job_bakes_no_further_part_and_resume_does_the_rest(
    made: Bakery, wires: Proxy, pair: list[str], whole: Callable[[str], Objects]
) -> None:
    sent = made.ingest("stopped", *pair)
    wires.add(Fault("delay", "PUT", COG.format("stopped"), seconds=0.5))
    with made.functions(max_concurrency=1) as mapping:
        while not made.receipts(sent["job"]):
            time.sleep(0.05)
        made.stack.run("cancel", sent["job"])
        mapping.drained()
    baked = made.receipts(sent["job"])
    assert baked < sent["parts"]
    assert made.status(sent["job"])["state"] == "cancelled"
    assert made.revision("stopped") == ""
    kept = cogs(made.objects("stopped"))
    wires.clear()
    wires.add(Fault("delay", "PUT", COG.format("stopped"), seconds=0))  # which counts them
    count = wires.requests["PUT", "delay"]
    with made.functions() as mapping:
        resumed = made.stack.run("resume", sent["job"], "--wait", "--json")
        mapping.drained()
    assert json.loads(resumed.stdout)["state"] == "done"
    assert made.objects("stopped") == whole("stopped")
    assert wires.requests["PUT", "delay"] - count == len(cogs(whole("stopped")) - kept)


def test_an_older_job_never_overwrites_a_newer_publication(
    made: Bakery, wires: Proxy, single: Callable[[str], Objects]
) -> None:
    """The older job's put of `index.json` is under way while the newer revision is published from this machine."""
    older = made.ingest("raced", made.source("b.tif"))
    wires.add(Fault("delay", "PUT", "/sources/raced/index.json", seconds=25, count=1))
    count = wires.requests["PUT", "delay"]
    with made.functions() as mapping:
        while wires.requests["PUT", "delay"] == count:
            time.sleep(0.05)
        assert made.revision("raced") == ""
        made.stack.run("ingest", made.source("c.tif"), "--layer", "raced")
        newer = made.revision("raced")
        wires.clear()
        assert made.ended(older["job"]) == "superseded"
        mapping.drained()
    assert newer != older["revision"]
    assert made.revision("raced") == newer
    assert parts(single("raced")).items() <= made.objects("raced").items()
    tile_json = made.stack.s3.client().get_object(Bucket=made.stack.tiles, Key="raced/tile.json")["Body"].read()
    assert json.loads(tile_json)["tiles"][0].endswith(f"?v={newer}")
