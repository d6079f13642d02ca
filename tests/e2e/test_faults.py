"""What breaks on the way costs time, never a tile: nothing is lost, nothing wrong is stored, nothing spins."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import urllib3

from tests.e2e.proxy import PASSED, Fault, Proxy
from tests.e2e.s3 import S3
from tests.e2e.sqs import Sqs
from tests.e2e.world import ALPS, Deployed, deployed, log_lines
from tests.support.damaged import halved

TILE = rf"/{ALPS}/\d+/\d+/\d+\.png"


@pytest.fixture
def stack(s3: S3, sqs: Sqs, data: Path, proxy: Proxy) -> Iterator[Deployed]:
    """A deployment whose functions reach S3 through the proxy and whose messages come again soon."""
    with deployed(s3, sqs, data, endpoint=proxy.url, visibility=5) as made:
        yield made


def warm(stack: Deployed, *words: str) -> dict[str, int]:
    """Seed and follow to a good end; what was said."""
    said: dict[str, int] = json.loads(stack.run("seed", ALPS, "--queue", "sqs", "--wait", "--json", *words).stdout)
    return said


def test_throttling_lost_answers_and_cut_bodies_are_overcome(
    stack: Deployed, proxy: Proxy, alps: dict[str, bytes]
) -> None:
    proxy.add(
        Fault("slow down", "PUT", TILE, probability=0.2),
        Fault("lose", "PUT", TILE, probability=0.1),
        Fault("error", "GET", "index", probability=0.1),
        Fault("cut", "GET", r"\.tif", probability=0.1),
        Fault("drop", "GET", probability=0.05),
    )
    with stack.working(max_concurrency=2, batch_size=3, duplicate=0.2) as mapping:
        said = warm(stack)
        mapping.drained()
    assert said["tiles"] == said["written"] + said["skipped"] == len(alps)
    assert stack.stored(ALPS) == alps
    assert sum(number for (_, kind), number in proxy.requests.items() if kind != PASSED) > 5, "nothing was disturbed"
    assert stack.queue.dead() == []


def test_a_function_that_is_killed_loses_nothing(stack: Deployed, proxy: Proxy, alps: dict[str, bytes]) -> None:
    proxy.add(Fault("delay", "PUT", TILE, seconds=0.2))
    killed = 0
    with stack.working(max_concurrency=2, batch_size=2) as mapping, ThreadPoolExecutor(1) as threads:
        job = threads.submit(warm, stack)
        while killed < 3 and not job.done():
            time.sleep(0.3)
            killed += stack.worker.kill_running()
        said = job.result()
        mapping.drained()
    assert killed >= 3
    assert mapping.failures >= 1
    assert said["tiles"] == said["written"] + said["skipped"] == len(alps)
    assert stack.stored(ALPS) == alps


def test_what_is_refused_goes_back_to_the_queue_and_is_done_later(
    stack: Deployed, proxy: Proxy, alps: dict[str, bytes]
) -> None:
    proxy.add(Fault("denied", "PUT", TILE, count=3))
    with stack.working() as mapping:
        said = warm(stack)
        mapping.drained()
    assert mapping.failed_items >= 1
    assert said["failed"] == 0
    assert stack.stored(ALPS) == alps
    assert stack.ledger("failed") == []


def test_an_unreadable_source_is_told_and_nothing_of_it_is_stored(
    stack: Deployed, alps: dict[str, bytes], http_client: urllib3.PoolManager
) -> None:
    """The second half of each part is overwritten: about half of the blocks of its highest zoom."""
    stack.damage(ALPS, halved)
    with stack.working() as mapping:
        ended = stack.run("seed", ALPS, "--queue", "sqs", "--wait", "--json", "--max-failed", "100", check=False)
        mapping.drained()
    said = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert "cannot read" in ended.stderr
    assert said["failed"] > 0
    # a block that is delivered again finds what its first delivery stored
    assert said["written"] + said["skipped"] + said["failed"] == len(alps)
    stored = stack.stored(ALPS)
    assert len(stored) == said["written"] + said["skipped"]
    assert stored.items() <= alps.items()
    assert len(stack.ledger("failed")) >= 1
    assert stack.queue.dead() == [], "a permanent fault is acknowledged"
    asked = max(set(alps) - set(stored), key=lambda tile: [int(part) for part in re.findall(r"\d+", tile)][::2])
    answer = http_client.request("GET", f"{stack.gateway.url}/{asked}")
    assert (answer.status, answer.headers["Cache-Control"]) == (502, "no-store")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert stack.sources not in answer.data.decode()
    assert asked not in stack.stored(ALPS)


def test_poison_ends_in_the_dead_letter_queue_and_hinders_nobody(
    s3: S3, sqs: Sqs, data: Path, alps: dict[str, bytes]
) -> None:
    poison = ["{", "not a message", json.dumps({"v": 99})]
    with deployed(s3, sqs, data, visibility=1, receives=2) as stack:
        stack.queue.send(*poison)
        with stack.working() as mapping:
            said = warm(stack)
            # a block that comes again after a second finds what its first delivery stored
            assert said["written"] + said["skipped"] == len(alps)
            mapping.drained(within=90)
        # one may be released, and received again, within the second that it is hidden: then it dies twice
        assert set(stack.queue.dead()) == set(poison)
        assert stack.stored(ALPS) == alps


def test_a_lost_endpoint_is_waited_for_without_spinning(stack: Deployed, proxy: Proxy, alps: dict[str, bytes]) -> None:
    away = 4.0
    stack.run("seed", ALPS, "--queue", "sqs")
    proxy.stop_listening()
    back = threading.Timer(away, proxy.resume)
    back.start()
    with stack.working(max_concurrency=2) as mapping:
        time.sleep(away)
        invoked = mapping.invocations
        said = warm(stack)
        mapping.drained()
    assert invoked <= 20, "the queue was emptied into an endpoint that is not there"
    assert said["written"] + said["skipped"] == len(alps)
    assert stack.stored(ALPS) == alps


def test_a_stale_or_cancelled_message_is_dropped_unrendered(stack: Deployed) -> None:
    sent = json.loads(stack.run("seed", ALPS, "--queue", "sqs", "--json").stdout)
    stack.s3.client().put_object(Bucket=stack.sources, Key=f"jobs/{sent['job']}/cancelled", Body=b"")
    with stack.working() as mapping:
        mapping.drained()
    assert stack.stored(ALPS) == {}
    assert stack.ledger("done") == stack.ledger("failed") == []
    assert {line["message"] for line in log_lines(stack.worker) if "job" in line} == {"dropped"}
