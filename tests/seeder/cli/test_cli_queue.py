"""`seed --queue` sends and prints the job at once; with --wait it follows the job to a correct exit code."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from click.testing import CliRunner, Result

from seeder.aws import clients
from seeder.aws.queue import Depth
from seeder.aws.stack import read_stack
from seeder.cli import main as cli
from seeder.workers import fanout
from seeder.workers.sqs import SqsQueue
from tests.support.aws import MakeStack, upload
from tests.support.damaged import cut, damage
from tests.support.function import png_tiles
from tests.support.held import HANG, holding, running
from tests.support.queues import MakeQueue, emptied, taken, working
from tiler import timing
from tiler.settings import Settings

Run = Callable[..., Result]
ZOOMS = ("--zooms", "5-7")


@pytest.fixture
def queue(make_queue: MakeQueue, alps_copy: Path) -> SqsQueue:
    """An empty queue, and the layer `alps` in the data folder of every command."""
    assert alps_copy
    return make_queue()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short timeouts of half a second."""
    monkeypatch.setattr(fanout, "Watch", partial(fanout.Watch, pause=0.05))
    monkeypatch.setattr(timing, "STUCK_SECONDS", 0.5)
    monkeypatch.setattr(
        clients, "CONFIG", clients.CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))
    )


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.main, ["seed", "alps", *ZOOMS, *words])


def at_the_first_look(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Run an action once the job is followed."""
    acts, read = [act], fanout._read

    def acted(*arguments: Any) -> Any:
        if acts:
            acts.pop()()
        return read(*arguments)

    monkeypatch.setattr(fanout, "_read", acted)


def told(result: Result) -> dict[str, Any]:
    """The one line of JSON on stdout."""
    (line,) = result.stdout.splitlines()
    said: dict[str, Any] = json.loads(line)
    return said


def jobs(data: Path) -> list[str]:
    return sorted(path.name for path in data.glob("private/jobs/*"))


def worked_off(queue: SqsQueue, data: Path) -> None:
    """Run a worker until the queue is empty."""
    with working(queue, Settings.from_env({}, data=str(data))):
        emptied(queue)


def test_sending_prints_the_job_and_returns_before_any_tile_is_made(queue: SqsQueue, alps_copy: Path) -> None:
    result = run("--queue", queue.url)
    assert result.exit_code == 0
    (job,) = jobs(alps_copy)
    assert f"job {job}: 3 messages for 14 tiles are in {queue.url}" in result.stdout
    assert f"follow it: `seeder status {job} --watch`" in result.stdout
    assert f"job {job}" in result.stderr
    assert png_tiles(alps_copy) == {}
    sent = taken(queue)
    assert {message.job for message in sent} == {job}
    assert sum(message.request.tiles.bit_count() for message in sent) == 14


def test_sending_tells_the_same_as_json(queue: SqsQueue, alps_copy: Path) -> None:
    result = run("--queue", queue.url, "--json")
    assert result.exit_code == 0
    (job,) = jobs(alps_copy)
    said = told(result)
    assert list(said) == ["job", "layer", "revision", "tiles", "messages", "queue"]
    assert (said["job"], said["layer"], said["tiles"], said["messages"]) == (job, "alps", 14, 3)
    assert said["queue"] == queue.url


@pytest.mark.parametrize("words", [(), ("--queue", "sqs")], ids=["alone", "with --queue sqs"])
def test_the_environment_may_name_the_queue(
    queue: SqsQueue, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("TILER_QUEUE", queue.url)
    assert told(run(*words, "--json"))["messages"] == 3
    assert len(taken(queue)) == 3


def test_local_overrides_the_queue_of_the_environment(
    queue: SqsQueue, alps_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILER_QUEUE", queue.url)
    assert run("--queue", "local", "--jobs", "1").exit_code == 0
    assert len(png_tiles(alps_copy)) == 14
    assert not queue.depth()


@pytest.mark.parametrize(
    ("words", "variable", "says"),
    [
        (("--queue", "sqs"), "", "name a deployed stack with --stack, or give the queue's URL"),
        ((), "sqs", "name a deployed stack with --stack, or give the queue's URL"),
        (("--queue", "nonsense"), "", "'nonsense' is not a queue: give local, sqs or a queue's URL"),
        ((), "nonsense", "'nonsense' is not a queue"),
        (("--queue", "https://sqs.eu-west-1.amazonaws.com/1/blocks"), "", "workers in AWS cannot read file://"),
        (("--queue", "{nowhere}"), "", "queue does not exist"),
        (("--queue", "{nowhere}", "--wait"), "", "queue does not exist"),
    ],
)
def test_a_queue_that_cannot_be_is_one_clear_line(
    queue: SqsQueue, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], variable: str, says: str
) -> None:
    if variable:
        monkeypatch.setenv("TILER_QUEUE", variable)
    result = run(*(word.format(nowhere=f"{queue.url}-nowhere") for word in words))
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert (result.exit_code, result.stdout, len(errors)) == (2, "", 1)
    assert says in errors[0]


@pytest.mark.parametrize("choice", ["sqs", "nonsense"])
def test_a_queue_that_cannot_be_leaves_no_job(alps_copy: Path, choice: str) -> None:
    assert run("--queue", choice).exit_code == 2
    assert jobs(alps_copy) == []


@pytest.mark.usefixtures("hasty")
def test_a_queue_that_does_not_answer_is_a_failure(
    queue: SqsQueue, alps_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    result = run("--queue", queue.url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "error: cannot send to" in result.stderr
    monkeypatch.setenv("AWS_ENDPOINT_URL", queue.client.meta.endpoint_url)
    assert told(run("--queue", queue.url, "--json"))["messages"] == 3
    assert len(jobs(alps_copy)) == 1, "the job was not resumed but begun again"


def test_a_dry_run_sends_nothing(queue: SqsQueue, alps_copy: Path) -> None:
    assert told(run("--queue", queue.url, "--dry-run", "--json"))["tiles"] == 14
    assert not queue.depth()
    assert jobs(alps_copy) == []


def test_the_same_command_again_does_not_send_again(queue: SqsQueue, alps_copy: Path) -> None:
    run("--queue", queue.url)
    again = run("--queue", queue.url)
    (job,) = jobs(alps_copy)
    assert again.exit_code == 0
    assert f"job {job} is running in {queue.url}: 0 of 14 tiles done" in again.stdout
    assert len(taken(queue)) == 3


def test_what_was_lost_is_sent_by_the_same_command(queue: SqsQueue, alps_copy: Path) -> None:
    run("--queue", queue.url)
    lost = taken(queue)
    queue.send(lost[:1])
    worked_off(queue, alps_copy)
    again = run("--queue", queue.url)
    left = 14 - lost[0].request.tiles.bit_count()
    assert f"2 messages for {left} tiles" in again.stdout
    assert "resuming job" in again.stderr
    worked_off(queue, alps_copy)
    assert len(png_tiles(alps_copy)) == 14


@pytest.mark.usefixtures("hasty")
def test_waiting_ends_well_when_all_tiles_are_made(queue: SqsQueue, alps_copy: Path) -> None:
    with working(queue, Settings.from_env({}, data=str(alps_copy))):
        result = run("--queue", queue.url, "--wait")
    assert result.exit_code == 0
    assert re.search(r"14 tiles in .* s: 14 written \(.* MB\), 0 empty, 0 already stored, 0 failed", result.stdout)
    assert "error" not in result.stderr
    assert len(png_tiles(alps_copy)) == 14


@pytest.mark.usefixtures("hasty")
def test_waiting_tells_the_same_as_a_local_seeding(queue: SqsQueue, alps_copy: Path) -> None:
    with working(queue, Settings.from_env({}, data=str(alps_copy))):
        far = told(run("--queue", queue.url, "--wait", "--json"))
    made = png_tiles(alps_copy)
    near = told(run("--force", "--jobs", "1", "--json"))
    assert png_tiles(alps_copy) == made
    for said in (far, near):
        del said["job"], said["seconds"]
    assert far == near


@pytest.mark.usefixtures("hasty")
def test_waiting_for_a_job_that_others_finished_tells_its_sums(queue: SqsQueue, alps_copy: Path) -> None:
    run("--queue", queue.url)
    with working(queue, Settings.from_env({}, data=str(alps_copy))):
        result = run("--queue", queue.url, "--wait", "--json")
    assert result.exit_code == 0
    assert told(result)["written"] == 14
    assert len(jobs(alps_copy)) == 1


@pytest.mark.usefixtures("hasty")
def test_waiting_fails_when_tiles_failed(queue: SqsQueue, alps_copy: Path) -> None:
    damage(alps_copy, cut)
    with working(queue, Settings.from_env({}, data=str(alps_copy))):
        result = run("--queue", queue.url, "--wait", "--json")
    assert result.exit_code == 1
    assert (told(result)["failed"], told(result)["written"]) == (14, 0)
    failed = re.findall(r"^failed: (\d+) tiles?: cannot read", result.stderr, re.MULTILINE)
    assert sum(map(int, failed)) == 14
    assert png_tiles(alps_copy) == {}


@pytest.mark.parametrize("whole", [True, False])
def test_blocks_that_end_between_a_look_at_the_ledger_and_one_at_the_queue_are_not_lost(
    queue: SqsQueue, alps_copy: Path, monkeypatch: pytest.MonkeyPatch, *, whole: bool
) -> None:
    if not whole:
        damage(alps_copy, cut)
    depth = fanout._depth
    works = [lambda: worked_off(queue, alps_copy)]

    def late(watch: fanout.Watch) -> Depth | None:
        if works:
            works.pop()()
        return depth(watch)

    monkeypatch.setattr(fanout, "Watch", partial(fanout.Watch, pause=0.01))
    monkeypatch.setattr(timing, "STUCK_SECONDS", 0.0)
    monkeypatch.setattr(fanout, "_depth", late)
    result = run("--queue", queue.url, "--wait", "--json")
    assert "no receipt" not in result.stderr
    assert (told(result)["written"], told(result)["failed"]) == ((14, 0) if whole else (0, 14))


@pytest.mark.usefixtures("hasty")
def test_what_failed_is_tried_again_by_the_same_command(queue: SqsQueue, alps_copy: Path) -> None:
    restore = damage(alps_copy, cut)
    with working(queue, Settings.from_env({}, data=str(alps_copy))):
        assert run("--queue", queue.url, "--wait").exit_code == 1
        restore()
        result = run("--queue", queue.url, "--wait", "--json")
    assert result.exit_code == 0
    assert (told(result)["failed"], told(result)["written"]) == (0, 14)
    assert len(jobs(alps_copy)) == 1


@pytest.mark.usefixtures("hasty")
def test_waiting_fails_when_messages_were_lost(
    queue: SqsQueue, alps_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("--queue", queue.url)
    at_the_first_look(monkeypatch, lambda: taken(queue))
    result = run("--queue", queue.url, "--wait", "--json")
    assert result.exit_code == 1
    assert told(result)["written"] == 0
    assert "error: 14 tiles not rendered: 3 blocks have no receipt although the queue is empty" in result.stderr
    assert "run the same command again" in result.stderr
    assert len(jobs(alps_copy)) == 1


@pytest.mark.usefixtures("hasty")
def test_waiting_fails_when_the_job_is_cancelled(
    queue: SqsQueue, alps_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("--queue", queue.url)
    (job,) = jobs(alps_copy)
    at_the_first_look(monkeypatch, (alps_copy / "private" / "jobs" / job / "cancelled").touch)
    result = run("--queue", queue.url, "--wait")
    assert result.exit_code == 1
    assert "error: 14 tiles not rendered: the job was cancelled" in result.stderr


def test_ctrl_c_while_waiting_says_that_the_job_goes_on_and_the_same_command_picks_it_up(
    queue: SqsQueue, alps_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with holding("seeder.workers.fanout:_read", "seed", "alps", *ZOOMS, "--queue", queue.url, "--wait") as (
        process,
        gate,
    ):
        gate.next()
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=HANG)
    assert (process.returncode, out) == (130, "")
    (job,) = jobs(alps_copy)
    assert f"interrupted: job {job} continues; run the same command again to follow it" in errors
    assert "Traceback" not in errors
    assert queue.depth().waiting == 3
    monkeypatch.setattr(fanout, "Watch", partial(fanout.Watch, pause=0.05))
    monkeypatch.setattr(timing, "STUCK_SECONDS", 0.5)
    with working(queue, Settings.from_env({}, data=str(alps_copy))):
        result = run("--queue", queue.url, "--wait", "--json")
    assert (result.exit_code, told(result)["job"], told(result)["written"]) == (0, job, 14)


def test_ctrl_c_while_sending_says_that_the_rest_is_sent_by_the_same_command(
    queue: SqsQueue, alps_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SqsQueue, "send", interrupt)
        result = run("--queue", queue.url)
    (job,) = jobs(alps_copy)
    assert (result.exit_code, result.stdout) == (130, "")
    assert f"interrupted: not all of job {job} was sent; run the same command again to send the rest" in result.stderr
    again = told(run("--queue", queue.url, "--json"))
    assert (again["job"], again["messages"]) == (job, 3)


@pytest.mark.usefixtures("hasty")
def test_a_stack_is_seeded_from_its_buckets_through_its_queue(make_stack: MakeStack, alps_data: Path) -> None:
    name = make_stack(WebsiteUrl="http://tiles.test", TileUrl="https://tiles.test/direct")
    outputs = read_stack(name, "us-east-1").outputs
    upload(alps_data / "private", outputs["SourceBucket"])
    words = [sys.executable, "-m", "seeder", "worker", "--stack", name, "--jobs", "1"]
    with running(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        result = run("--stack", name, "--queue", "sqs", "--wait", "--json")
    assert result.exit_code == 0
    listed = boto3.client("s3").list_objects_v2(Bucket=outputs["TileBucket"], Prefix="alps/")["Contents"]
    assert told(result)["written"] == len(listed) == 14


@pytest.mark.parametrize("words", [(), ("--queue", "sqs"), ("--queue", "local")], ids=str)
def test_a_worker_without_a_queue_says_which_to_name(alps_copy: Path, words: tuple[str, ...]) -> None:
    assert alps_copy
    result = CliRunner().invoke(cli.main, ["worker", *words])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: no queue: name a deployed stack with --stack")


def test_a_worker_on_a_queue_that_is_not_there_ends_at_once(queue: SqsQueue) -> None:
    result = CliRunner().invoke(cli.main, ["worker", "--queue", f"{queue.url}-nowhere", "--jobs", "1"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "queue does not exist" in result.stderr
