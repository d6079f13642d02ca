"""Operations on jobs: resume, follow, retry, cancel, and their results in each state."""

from __future__ import annotations

from pathlib import Path

import pytest

from seeder.operations.jobs import cancel_job, follow_job, job_failures, job_progress, resume_job, retry_job
from seeder.operations.run import RunOptions, queue_url
from tests.support.begun import Begun
from tests.support.function import png_tiles
from tests.support.reports import Recorded
from tiler.errors import BadOption, UnknownJob
from tiler.settings import Settings


@pytest.fixture
def begun(alps_copy: Path) -> Begun:
    """A planned job without finished blocks."""
    return Begun(alps_copy)


def here(before: str) -> RunOptions:
    """Run on this machine."""
    assert before == ""
    return RunOptions(jobs=1, most=1)


def test_a_resumed_job_does_what_is_left(begun: Begun) -> None:
    begun.work(end=1)
    report = Recorded()
    result = resume_job(begun.id, here, begun.settings, report)
    assert result.passed
    assert report.unfinished == []
    (stage,) = report.stages
    assert stage.begun > 0
    assert result.tally.done == stage.total == len(png_tiles(begun.data))


def test_what_failed_is_retried_and_nothing_else(begun: Begun) -> None:
    begun.work(end=1)
    with begun.unreadable():
        begun.work(1)
        _, failed = job_failures(begun.id, here, begun.settings)
    report = Recorded()
    job, result = retry_job(begun.id, here, begun.settings, report)
    assert result
    assert (job.id, result.passed) == (begun.id, True)
    assert report.unfinished == []
    assert report.stages[0].total == sum(len(each.block_mask) for each in failed) == result.tally.written
    assert job_failures(begun.id, here, begun.settings)[1] == []
    assert retry_job(begun.id, here, begun.settings, Recorded()) == (job, None)


def test_a_cancelled_job_is_not_retried_or_followed_but_resumed(begun: Begun) -> None:
    begun.work(end=1)
    assert not cancel_job(begun.id, begun.settings).before
    assert cancel_job(begun.id, begun.settings).before
    with pytest.raises(BadOption, match="was cancelled"):
        retry_job(begun.id, here, begun.settings, Recorded())
    followed = follow_job(begun.id, 1, begun.settings, Recorded())
    assert (followed.passed, followed.why) == (False, "the job was cancelled")
    assert job_progress(begun.plan.job, begun.sources, begun.settings).state == "cancelled"
    assert resume_job(begun.id, here, begun.settings, Recorded()).passed
    assert job_progress(begun.plan.job, begun.sources, begun.settings).state == "done"
    with pytest.raises(BadOption, match="nothing to cancel"):
        cancel_job(begun.id, begun.settings)


def test_a_job_that_is_not_there_is_our_error(begun: Begun) -> None:
    for operation in (
        lambda name: cancel_job(name, begun.settings),
        lambda name: resume_job(name, here, begun.settings, Recorded()),
        lambda name: follow_job(name, 1, begun.settings, Recorded()),
        lambda name: retry_job(name, here, begun.settings, Recorded()),
        lambda name: job_failures(name, here, begun.settings),
    ):
        with pytest.raises(UnknownJob):
            operation("relief")


def test_a_queue_is_named_by_kind_or_by_url() -> None:
    local = Settings("file:///tiles", "file:///private", queue="http://queue.test/blocks")
    bucket = Settings("s3://tiles", "s3://private", queue="https://sqs.eu-west-1.amazonaws.com/1/blocks")
    assert queue_url("local", bucket) == ""
    assert queue_url("sqs", bucket) == bucket.queue
    assert queue_url("sqs", local) == queue_url(local.queue, local) == local.queue
    for choice, settings in (("there", local), (bucket.queue, local), ("sqs", Settings("memory://a", "memory://b"))):
        with pytest.raises(BadOption):
            queue_url(choice, settings)
