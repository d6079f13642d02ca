"""A layer warmed through the queue by worker Lambdas: all of it, the same bytes as everywhere else."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from tests.e2e.s3 import S3
from tests.e2e.sqs import Sqs
from tests.e2e.world import ALPS, BELT, Deployed, deployed, log_lines

SAMPLE = 40  # tiles that are asked for before the layer is warmed
TILES = sum(2**z * max(1, 2**z // 64) for z in range(9))  # of BELT: its height is a 64th of the world's


@pytest.fixture
def stack(s3: S3, sqs: Sqs, data: Path) -> Iterator[Deployed]:
    """A new deployment."""
    with deployed(s3, sqs, data) as made:
        yield made


def test_the_queue_warms_every_tile_of_the_plan_and_all_paths_make_the_same(
    stack: Deployed, belt: dict[str, bytes], http_client: urllib3.PoolManager
) -> None:
    asked = random.Random(7).sample(sorted(belt), SAMPLE)
    for tile in asked:
        assert http_client.request("GET", f"{stack.gateway.url}/{tile}", redirect=False).status == 302
    assert stack.stored(BELT) == {tile: belt[tile] for tile in asked}, "the redirect path and a local seeding differ"
    with stack.working(max_concurrency=2, batch_size=5, duplicate=0.3) as mapping:
        done = stack.run("seed", BELT, "--queue", "sqs", "--wait", "--json")
    said = json.loads(done.stdout)
    assert said["tiles"] == said["written"] + said["skipped"] == len(belt) == TILES
    assert said["failed"] == said["empty"] == 0
    assert stack.stored(BELT) == belt
    head = {
        kind: stack.s3.client().head_object(Bucket=stack.tiles, Key=tile)
        for kind, tile in (("asked", asked[0]), ("seeded", min(set(belt) - set(asked))))
    }
    for header in ("ContentType", "CacheControl"):
        assert head["asked"][header] == head["seeded"][header]
    assert mapping.duplicates, "the queue delivered nothing twice"
    assert not mapping.errors


def test_logs_and_metrics_add_up_to_what_was_stored(stack: Deployed, alps: dict[str, bytes]) -> None:
    with stack.working(max_concurrency=2) as mapping:
        job = json.loads(stack.run("seed", ALPS, "--queue", stack.queue.url, "--wait", "--json").stdout)["job"]
        mapping.drained()
    lines = log_lines(stack.worker)
    blocks = [line for line in lines if line.get("message") == "filled"]
    assert {line["job"] for line in blocks} == {job}
    assert sum(line["written"] for line in blocks) == len(alps)
    assert sum(line["bytes"] for line in blocks) == sum(map(len, alps.values()))
    assert len(blocks) == len(stack.ledger("done"))
    metrics = [line for line in lines if "_aws" in line]
    assert sum(sum(line.get("Tiles", [])) for line in metrics) == len(alps)
    assert sum(sum(line.get("Bytes", [])) for line in metrics) == sum(map(len, alps.values()))


def test_a_job_that_is_sent_goes_on_without_its_sender(stack: Deployed, alps: dict[str, bytes]) -> None:
    sent = stack.run("seed", ALPS, "--queue", "sqs", "--json")
    assert json.loads(sent.stdout)["tiles"] == len(alps)
    again = stack.run("seed", ALPS, "--queue", "sqs")
    assert "is running in" in again.stdout
    assert json.loads(sent.stdout)["job"] in again.stdout
    with stack.working() as mapping:
        mapping.drained()
        assert stack.stored(ALPS) == alps
        said = json.loads(stack.run("seed", ALPS, "--queue", "sqs", "--wait", "--json").stdout)
    assert said["tiles"] == said["written"] + said["skipped"] == len(alps)


def test_the_doctor_finds_nothing_wrong(stack: Deployed) -> None:
    found = stack.run("doctor", "--json")
    assert all(json.loads(line)["well"] for line in found.stdout.splitlines())
