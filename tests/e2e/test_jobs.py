"""Jobs in the hands of worker Lambdas: watched, stopped, gone on with, and always in a state that tells the truth."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.proxy import Fault, Proxy
from tests.e2e.s3 import S3
from tests.e2e.sqs import Sqs
from tests.e2e.world import ALPS, BELT, Deployed, deployed, log_lines


@pytest.fixture
def stack(s3: S3, sqs: Sqs, data: Path, proxy: Proxy) -> Iterator[Deployed]:
    """A deployment whose functions reach S3 through the proxy; a message that comes back is dead."""
    with deployed(s3, sqs, data, endpoint=proxy.url, visibility=15, receives=1) as made:
        yield made


def sent(stack: Deployed, layer: str, *words: str) -> str:
    """The id of a job that was sent."""
    said = json.loads(stack.run("seed", layer, "--queue", "sqs", "--json", *words).stdout)
    return str(said["job"])


def status(stack: Deployed, job: str) -> dict[str, Any]:
    """What the command says of a job; its exit code is checked."""
    done = stack.run("status", job, "--json", check=False)
    assert done.stdout, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if said["state"] in ("planning", "running", "done") else 1)
    return said


def test_a_job_is_cancelled_within_a_block_others_go_on_and_resume_does_the_rest(
    stack: Deployed, proxy: Proxy, belt: dict[str, bytes], alps: dict[str, bytes]
) -> None:
    job = sent(stack, BELT)
    assert status(stack, job)["state"] == "running"
    proxy.add(Fault("delay", "PUT", rf"/{BELT}/\d+/\d+/\d+\.png", seconds=0.2))
    with stack.working(max_concurrency=2, batch_size=5) as mapping:
        while status(stack, job)["done"] < 100:
            time.sleep(0.1)
        assert stack.run("cancel", job).returncode == 0
        begun = sum(line.get("message") == "filled" for line in log_lines(stack.worker))
        other = sent(stack, ALPS)
        mapping.drained()
    lines = [line for line in log_lines(stack.worker) if line.get("job") == job]
    filled = [line for line in lines if line["message"] == "filled"]
    assert len(filled) <= begun + 2 * 2, "a worker did more than the block that it was at"
    assert any(line["message"] == "dropped" for line in lines)
    said = status(stack, job)
    assert said["state"] == "cancelled"
    assert sum(zoom["done"] for zoom in said["by_zoom"].values()) == len(filled) < 66
    assert status(stack, other)["state"] == "done"
    assert stack.stored(ALPS) == alps
    proxy.clear()
    with stack.working(max_concurrency=2) as mapping:
        ended = json.loads(stack.run("resume", job, "--wait", "--json").stdout)
        mapping.drained()
    assert ended["job"] == job
    assert ended["tiles"] == ended["written"] + ended["skipped"] == len(belt)
    assert status(stack, job)["state"] == "done"
    assert stack.run("verify", BELT, "--deep", "--sample", "200").stdout == ""


def test_a_job_whose_source_is_mostly_unreadable_is_stopped_and_resumed_when_it_is_mended(
    stack: Deployed, belt: dict[str, bytes]
) -> None:
    client = stack.s3.client()
    good = stack.damage(BELT, lambda content: content[: len(content) // 3].ljust(len(content), b"\0"))
    with stack.working(max_concurrency=2, batch_size=2) as mapping:
        ended = stack.run("seed", BELT, "--queue", "sqs", "--wait", "--json", "--max-failed", "5", check=False)
        mapping.drained()
    said = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert "blocks failed, more than 5%" in ended.stderr
    assert "cannot read" in ended.stderr
    job = said["job"]
    seen = status(stack, job)
    assert seen["state"] == "failed"
    assert "more than 5%" in seen["why"]
    failed = len(stack.ledger("failed"))
    assert 20 <= failed <= 20 + 2 * 2
    assert failed + len(stack.ledger("done")) < 66, "all of it was rendered all the same"
    errors = stack.run("errors", job, "--json", check=False)
    assert errors.returncode == 1
    assert sum(json.loads(line)["blocks"] for line in errors.stdout.splitlines()) == failed
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=stack.tiles, Prefix=f"{BELT}/")
    stored = {each["Key"] for page in pages for each in page["Contents"] if each["Key"].endswith(".png")}
    missing = stack.run("verify", BELT, check=False)
    assert missing.returncode == 1
    assert {f"{BELT}/{line}.png" for line in missing.stdout.splitlines()} == belt.keys() - stored
    for key, content in good.items():
        client.put_object(Bucket=stack.sources, Key=key, Body=content)
    stack.worker.kill_running()
    with stack.working(max_concurrency=2) as mapping:
        stack.run("resume", job, "--wait")
        mapping.drained()
    assert status(stack, job)["state"] == "done"
    assert stack.run("verify", BELT, "--deep", "--sample", "200").stdout == ""


def test_lost_messages_and_dead_letters_are_told_and_sent_again(
    stack: Deployed, proxy: Proxy, alps: dict[str, bytes]
) -> None:
    proxy.add(Fault("denied", "PUT", rf"/{ALPS}/9/\d+/\d+\.png"))
    job = sent(stack, ALPS)
    lost = stack.sqs.client().receive_message(QueueUrl=stack.queue.url)["Messages"][0]
    stack.sqs.client().delete_message(QueueUrl=stack.queue.url, ReceiptHandle=lost["ReceiptHandle"])
    with stack.working() as mapping:
        mapping.drained(within=90)
    seen = status(stack, job)
    assert seen["state"] in ("running", "stalled")
    dead = seen["depth"]["dead"]
    assert dead
    for _ in range(2):  # looking takes none away
        told = stack.run("errors", job, check=False)
        assert told.returncode == 1
        (blocks,) = re.findall(r"in (\d+) blocks", told.stdout)
        assert 0 < int(blocks) <= dead, "messages of blocks that are done may have come too often as well"
    proxy.clear()
    with stack.working() as mapping:
        stack.run("errors", job, "--retry")
        mapping.drained()
        assert stack.queue.dead() == []
        assert stack.stored(ALPS).items() < alps.items(), "nothing was lost"
        said = json.loads(stack.run("resume", job, "--wait", "--json").stdout)
    assert said["tiles"] == said["written"] + said["skipped"] == len(alps)
    assert stack.stored(ALPS) == alps
    assert status(stack, job)["state"] == "done"
