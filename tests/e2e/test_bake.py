"""Layers baked by workers from scenes in S3: the bytes of a local bake, few requests, and tiles after a publication."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import cloudfront
from tests.e2e.bakery import HASTY, Bakery, baked_here, bakery, paint
from tests.e2e.proxy import Fault, Proxy
from tests.e2e.s3 import S3
from tests.e2e.sqs import Sqs
from tiler.keys import parse_tile_key

PARTS = 15  # of all scenes: 9, 4, 1 and 1 in four tiers


@pytest.fixture(scope="module")
def wires(s3: S3) -> Iterator[Proxy]:
    """Between the functions and S3, to count requests."""
    with Proxy(s3.endpoint) as made:
        yield made


@pytest.fixture(scope="module")
def made(s3: S3, sqs: Sqs, wires: Proxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bakery]:
    """A deployment that the tests of this module share; each has its own layers."""
    with bakery(s3, sqs, tmp_path_factory.mktemp("bakery"), endpoint=wires.url) as deployment:
        yield deployment


def test_ten_workers_at_once_make_the_bytes_of_the_local_bake(made: Bakery, wires: Proxy, tmp_path: Path) -> None:
    """Six functions and four processes of `seeder worker`: receipts of base parts wait until ten wait at the same time.

    Every message to a function is delivered twice at once. The command that sends ends before the first function runs.
    """
    wires.add(Fault("delay", "PUT", "/bakes/flight-[^/]+/done/0/", seconds=25))  # less than a request may take
    with (
        made.with_function(HASTY, concurrency=6) as hasty,
        hasty.worker(jobs=4, AWS_ENDPOINT_URL_S3=wires.url) as worker,
    ):
        hasty.bake.warm_up()
        expected = baked_here(made, tmp_path / "data", made.source())("flight")
        sent = made.ingest("flight", made.source())
        assert (sent["parts"], sent["seed"]) == (PARTS, "")
        with hasty.functions(max_concurrency=3, duplicate=1) as mapping:
            wires.until_waiting(10)
            assert made.revision("flight") == ""
            wires.clear()
            assert hasty.ended(sent["job"]) == "done"
            mapping.drained()
    assert made.objects("flight") == expected
    told = made.status(sent["job"])
    assert (told["state"], told["done"], told["failed"]) == ("done", PARTS, 0)
    assert not mapping.errors
    assert worker.returncode == 0


def test_a_virtual_layer_is_refused(made: Bakery) -> None:
    refused = made.stack.run(
        "ingest", made.source("a.tif"), "--layer", "virtual", "--virtual", "--queue", "sqs", check=False
    )
    assert refused.returncode == 2
    assert "leave --virtual or --queue out" in refused.stderr
    assert made.keys("jobs/bakes/virtual") == []


def test_one_raster_is_read_with_few_requests(made: Bakery, wires: Proxy, tmp_path: Path) -> None:
    """A base part reads the header and the pixels of its scene, and checks before and after that it is the same."""
    expected = baked_here(made, tmp_path / "data", made.source("c.tif"))("one")
    sent = made.ingest("one", made.source("c.tif"))
    assert sent["parts"] == 4
    wires.targets.clear()
    with made.functions(max_concurrency=1) as mapping:
        made.ended(sent["job"])
        mapping.drained()
    assert made.objects("one") == expected
    counted = Counter((method, _kind(what)) for method, what in wires.targets)
    assert counted["GET", "scene"] + counted["HEAD", "scene"] + counted["GET", "scenes"] <= 4, counted
    assert (counted["GET", "part"], counted["PUT", "part"], counted["HEAD", "part"]) == (3, 2 * 4, 4), counted
    assert counted["PUT", "index"] == 1
    assert len(wires.targets) <= 130, counted


def _kind(what: str) -> str:
    """The folder of a key, or of a listing."""
    path = what.partition("?")[0]
    kinds = {"/scenes/": "scene", "/parts/": "part", "/shards/": "shard", "/jobs/": "ledger", "one/index.json": "index"}
    listed = re.search(r"[?&]prefix=(\w+)", what)
    return listed[1] if listed else next((kind for text, kind in kinds.items() if text in path), path)


ZOOMS = range(6, 10)


def test_tiles_are_seeded_after_a_publication_renewed_by_a_refresh_and_seeded_again(
    made: Bakery, sqs: Sqs, tmp_path: Path
) -> None:
    """Both ids are told before anything is sent: the first command may not send.

    Then a scene changes and another one, alone on its tiles, is gone. Then it is back, and the other changes again.
    """
    words, cdn = ("--seed", f"{ZOOMS[0]}-{ZOOMS[-1]}"), {"TILER_CLOUDFRONT": cloudfront.ID}
    sources = [made.source("b.tif"), made.source("c.tif")]
    with Proxy(sqs.endpoint) as queues:
        queues.add(Fault("denied", "POST", "SendMessage"))
        sender = ("ingest", *sources, "--layer", "may", "--queue", "sqs", "--format", "png", *words)
        refused = made.stack.run(*sender, check=False, AWS_ENDPOINT_URL_SQS=queues.url, **cdn)
    assert refused.returncode == 2
    sent = made.ingest("may", *sources, *words, **cdn)
    assert {sent["job"], sent["seed"]} <= set(refused.stderr.split())
    with (
        cloudfront.running(tmp_path, {}) as (distribution, api),
        made.with_function(HASTY, AWS_ENDPOINT_URL_CLOUDFRONT=api) as hasty,
        hasty.functions() as mapping,
    ):
        with made.stack.working() as tiling:
            assert made.ended(sent["job"]) == "done"
            tiling.drained()
        first = made.stack.stored("may")
        assert made.status(sent["seed"])["state"] == "done"
        assert addressed(made, "may") == sent["revision"]
        assert {(z, *corner(z)) for z in ZOOMS} < {place_of(key) for key in first}

        made.put(paint(tmp_path, "b", seed=1), "later")
        later = made.refresh("may", f"s3://{made.bucket}/later/", **cdn, AWS_ENDPOINT_URL_CLOUDFRONT=api)
        while made.revision("may") == sent["revision"]:
            time.sleep(0.1)
        assert (made.revision("may"), addressed(made, "may")) == (later["revision"], sent["revision"])
        assert made.stack.stored("may") == first
        with made.stack.working() as tiling:
            assert made.ended(later["job"]) == "done"
            tiling.drained()
        second = made.stack.stored("may")
        assert made.stack.run("verify", "may", *("--zooms", words[1]), "--deep").stdout == ""
        assert addressed(made, "may") == later["revision"]

        made.put(paint(tmp_path, "b", seed=2), "last")
        last = made.ingest("may", f"s3://{made.bucket}/last/", made.source("c.tif"), *words, **cdn)
        with made.stack.working() as tiling:
            assert made.ended(last["job"]) == "done"
            tiling.drained()
        mapping.drained()
    assert {place_of(key) for key in first.keys() - second.keys()} == {(z, *corner(z)) for z in ZOOMS}
    assert second.keys() < first.keys()
    assert any(second[key] != first[key] for key in second)
    third = made.stack.stored("may")
    assert third.keys() == first.keys()
    assert any(third[key] != second[key] for key in second)
    assert made.status(last["seed"])["state"] == "done"
    assert made.stack.run("verify", "may", *("--zooms", words[1]), "--deep").stdout == ""
    assert addressed(made, "may") == last["revision"]
    assert distribution.invalidated


def addressed(made: Bakery, layer: str) -> str:
    """The revision in the addresses of TileJSON."""
    found = made.stack.s3.client().get_object(Bucket=made.stack.tiles, Key=f"{layer}/tile.json")["Body"].read()
    return str(json.loads(found)["tiles"][0]).partition("?v=")[2]


def place_of(key: str) -> tuple[int, int, int]:
    """The tile of a key."""
    x, y, z = parse_tile_key(key).tile
    return z, x, y


def corner(z: int) -> tuple[int, int]:
    """Column and row of the tile on which scene c lies alone."""
    return 2 ** (z - 1) + 3 * 2 ** (z - 5), 2 ** (z - 1) + 5 * 2 ** (z - 5)
