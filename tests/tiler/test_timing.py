"""Durations that depend on each other keep their order, also in the deployment's files."""

from __future__ import annotations

import re

import pytest

from tests.support.paths import ROOT
from tiler import timing

SQS_LATE = 60.0  # seconds that counts of SQS may be late
GATEWAY = 30.0  # seconds after which API Gateway gives up


def deployed(file: str, name: str) -> float:
    """A number of the deployment, the same wherever it is given."""
    (said,) = set(re.findall(rf"^\s*{name}: (\d+)", (ROOT / file).read_text(), re.MULTILINE))
    return float(said)


def test_the_fence_outlasts_whoever_still_believes_in_a_revision() -> None:
    for longest in (
        timing.HTTP_ANSWER_SECONDS,
        timing.REVISION_CHECK_SECONDS + timing.WORKER_RETRY_SECONDS + timing.STORE_REQUEST_SECONDS,
    ):
        assert timing.fence_seconds(folder=False) >= timing.LAYER_TTL_SECONDS + longest
    assert timing.fence_seconds(folder=True) >= timing.LAYER_TTL_SECONDS + timing.FOLDER_PUT_SECONDS
    assert timing.LEFTOVER_SECONDS > timing.FOLDER_PUT_SECONDS


@pytest.mark.parametrize("name", ["LAYER_TTL_SECONDS", "REVISION_CHECK_SECONDS", "STORE_REQUEST_SECONDS"])
def test_a_longer_time_makes_a_longer_fence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = timing.fence_seconds(folder=False)
    monkeypatch.setattr(timing, name, getattr(timing, name) + 100)
    assert timing.fence_seconds(folder=False) == before + 100


def test_an_answer_comes_before_the_gateway_gives_up() -> None:
    assert timing.HTTP_RETRY_SECONDS < timing.HTTP_ANSWER_SECONDS < GATEWAY
    assert deployed("serverless.yml", "httpTimeout") <= timing.HTTP_ANSWER_SECONDS


def test_a_message_comes_again_before_its_job_counts_as_stuck_and_then_is_a_dead_letter() -> None:
    delays = timing.RETRY_DELAYS_SECONDS
    assert list(delays) == sorted(delays)
    assert delays[-1] + timing.WORKER_RETRY_SECONDS < timing.STUCK_BUSY_SECONDS
    assert deployed("deploy/queue.yml", "maxReceiveCount") == len(delays) + 1
    assert timing.STUCK_BUSY_SECONDS > timing.STUCK_SECONDS > SQS_LATE
    assert timing.POLL_SECONDS < timing.STUCK_SECONDS / 4


def test_no_cache_has_a_404_of_an_earlier_revision_once_the_fence_is_over() -> None:
    # A function believes its metadata for a while, and its last 404 may be kept for another while.
    assert timing.fence_seconds(folder=False) >= timing.LAYER_TTL_SECONDS + timing.MISSING_CACHE_SECONDS
