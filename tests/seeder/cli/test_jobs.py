"""`status`, `cancel`, `resume`: their output in every state of a job, exit codes, and the final tiles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from seeder.cli import watching as watching_module
from seeder.jobs.ledger import CANCELLED, Run, Stop, load_run, put_run, receipts, stop
from seeder.jobs.messages import Job
from seeder.jobs.status import State
from seeder.operations import housekeeping
from seeder.operations.housekeeping import tidy
from seeder.workers import process_block
from tests.support.begun import ZOOMS, Begun, seeder, told
from tests.support.files import snapshot
from tests.support.function import png_tiles
from tests.support.held import HANG
from tiler.layers.catalog import Layer
from tiler.layers.fill import Outcome, Request, fill
from tiler.layers.publication import publish
from tiler.storage.store import Stores

HERE = Run("", datetime(2025, 3, 1, tzinfo=UTC), 0.01)


@pytest.fixture
def begun(alps_copy: Path) -> Begun:
    """A planned job without finished blocks."""
    return Begun(alps_copy)


@pytest.fixture
def made(truth: dict[str, bytes]) -> dict[str, bytes]:
    """The job's tiles from an undisturbed seeding."""
    return {name: data for name, data in truth.items() if int(name.partition("/")[0]) in ZOOMS}


def running(job: Begun) -> None:
    job.work(end=1)
    put_run(job.sources, job.id, replace(HERE, begun=datetime.now(UTC)))


def interrupted(job: Begun) -> None:
    job.work(end=1)
    put_run(job.sources, job.id, replace(HERE, ended=True, why="interrupted"))


def failed(job: Begun) -> None:
    job.work(end=1)
    with job.unreadable():
        job.work(1)
    put_run(job.sources, job.id, replace(HERE, ended=True))


def broken(job: Begun) -> None:
    job.work(end=1)
    with job.unreadable():
        job.work(1, 2)
    stop(job.sources, job.id, Stop("20 of 30 blocks failed", asked=False))
    put_run(job.sources, job.id, replace(HERE, ended=True))


def cancelled(job: Begun) -> None:
    interrupted(job)
    stop(job.sources, job.id, Stop(CANCELLED))


def superseded(job: Begun) -> None:
    interrupted(job)
    publish(replace(job.plan.layer, revision="0000", resampling="nearest"), job.stores)  # so that its tiles may differ


VERBS = {
    "status": ("status", "{job}"),
    "status --json": ("status", "{job}", "--json"),
    "list": ("status",),
    "errors": ("errors", "{job}"),
    "retry": ("errors", "{job}", "--retry"),
    "cancel": ("cancel", "{job}"),
    "resume": ("resume", "{job}"),
    "seed": ("seed", "alps", "--zooms", "5-7"),
}
SITUATIONS: dict[str, tuple[Callable[[Begun], None], State, str, str]] = {
    # cause, state, reason, and exit codes of the commands in their order
    "planned": (lambda _: None, "planning", "", "00000000"),
    "running": (running, "running", "", "00000000"),
    "done": (Begun.work, "done", "", "00000200"),
    "failed": (failed, "failed", "2 blocks failed", "11010000"),
    "broken": (broken, "failed", "20 of 30 blocks failed", "11010000"),
    "cancelled": (cancelled, "cancelled", "cancelled", "11002000"),
    "superseded": (superseded, "superseded", "revision 0000", "11002021"),
    "interrupted": (interrupted, "stalled", "interrupted", "11000000"),
}


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_exits_by_the_truth_in_every_state(
    begun: Begun, made: dict[str, bytes], verb: str, situation: str
) -> None:
    come_about, state, why, exits = SITUATIONS[situation]
    come_about(begun)
    before = snapshot(begun.data)
    result = seeder(*(word.format(job=begun.id) for word in VERBS[verb]))
    expected = int(exits[list(VERBS).index(verb)])
    assert (result.exit_code, "Traceback" in result.stderr) == (expected, False), result.output
    if verb.startswith("status"):
        assert why in result.stdout
        assert state in result.stdout
    if verb in ("status", "status --json", "list", "errors") or expected == 2:
        assert snapshot(begun.data) == before, "it changed something"
    elif verb in ("resume", "seed") or (verb, situation) == ("retry", "failed"):
        assert png_tiles(begun.data) == made
        assert verb == "seed" or begun.state() == "done"
    if expected == 2:
        assert len([line for line in result.stderr.splitlines() if line.startswith("error: ")]) == 1


def test_the_state_is_told_zoom_by_zoom(begun: Begun) -> None:
    failed(begun)
    lines = seeder("status", begun.id).stdout.splitlines()
    assert lines[0] == f"job {begun.id}: failed, 2 blocks failed"
    assert [line.split() for line in lines[3:6]] == [
        ["5", "1", "1", "of", "1", "0", "100%"],
        ["6", "4", "0", "of", "1", "1", "0%"],
        ["7", "9", "0", "of", "1", "1", "0%"],
    ]
    assert lines[6].startswith("7.1% of 14 tiles")
    said = told(seeder("status", begun.id, "--json"))
    assert said["by_zoom"]["6"] == {"tiles": 4, "blocks": 1, "done": 0, "failed": 1}
    assert (said["job"], said["state"], said["done"], said["percent"]) == (begun.id, "failed", 1, 7.1)


def test_jobs_are_listed_the_newest_first_and_by_layer(begun: Begun) -> None:
    begun.work()
    later = Job.new(begun.plan.job.spec, datetime.now(UTC))
    (begun.data / "private" / "jobs" / later.id).mkdir()
    (begun.data / "private" / "jobs" / later.id / "job.json").write_bytes(
        (begun.data / "private" / "jobs" / begun.id / "job.json").read_bytes()
    )
    said = [json.loads(line) for line in seeder("status", "--json").stdout.splitlines()]
    assert [(each["job"], each["state"], each["percent"]) for each in said] == [
        (later.id, "planning", 0),
        (begun.id, "done", 100),
    ]
    rows = [line.split() for line in seeder("status", "--layer", "alps").stdout.splitlines()[2:]]
    assert [row[:4] for row in rows] == [[later.id, "planning", "0.0%", "0"], [begun.id, "done", "100.0%", "14"]]
    assert seeder("status", "--layer", "alp", "--json").stdout == ""


def test_without_jobs_the_list_is_empty_and_says_how_to_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILER_DATA", str(tmp_path / "nowhere"))
    result = seeder("status")
    hint = f"no jobs yet in {tmp_path / 'nowhere'}: run `seed LAYER`\n"
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", hint)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", ["status", "cancel", "resume", "errors"])
def test_a_job_that_is_not_plain_is_refused(begun: Begun, verb: str) -> None:
    for layer in ("alps-2", "alps-3"):
        seeder("cancel", begun.id)
        folder = begun.data / "private" / "jobs" / begun.id.replace("alps", layer, 1)
        folder.mkdir()
        (folder / "job.json").write_bytes((begun.data / "private" / "jobs" / begun.id / "job.json").read_bytes())
    before = snapshot(begun.data)
    for named, says in (
        ("nowhere", "run `seeder status` to list jobs"),
        ("alps-", "did you mean alps-"),
        ("", "no job ''"),
    ):
        result = seeder(verb, named)
        assert (result.exit_code, result.stdout) == (2, "")
        assert says in result.stderr
    assert snapshot(begun.data) == before
    assert "alps" in seeder("status", "alps").stdout.split()[1], "the name of a layer is plain"


def watching(monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], object]) -> None:
    """One step is made between two updates of `--watch`."""
    left = iter(steps)
    clock = SimpleNamespace(sleep=lambda _: next(left)(), monotonic=time.monotonic)
    monkeypatch.setattr(watching_module, "time", clock)


def test_watching_shows_the_job_until_it_is_done(begun: Begun, monkeypatch: pytest.MonkeyPatch) -> None:
    running(begun)
    watching(monkeypatch, partial(begun.work, 1, 2), partial(begun.work, 2, 3))
    result = seeder("status", begun.id, "--watch", "--json")
    said = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert [(each["state"], each["done"]) for each in said] == [("running", 1), ("running", 5), ("done", 14)]


def test_watching_a_job_to_its_end_compacts_its_receipts_and_prints_the_same(
    begun: Begun, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(begun)
    begun.work(1, 3)
    monkeypatch.setattr(housekeeping, "tidy", partial(tidy, least=1))
    commands = (("status", "--json"), ("status",), ("errors",), ("errors", "--json"), ("verify", "--json"))

    def printed() -> list[list[str]]:
        return [sorted(seeder(verb, "alps", *rest).stdout.splitlines()) for verb, *rest in commands]

    before = printed()
    assert seeder("status", "alps", "--watch", "--json").exit_code == 0
    assert not [path for path in begun.data.glob("private/jobs/*/done/*") if path.is_file()]
    assert len([*begun.data.glob("private/jobs/*/compacted/done/*")]) == 1
    assert printed() == before


@pytest.mark.parametrize("end", [cancelled, superseded, interrupted, failed], ids=lambda end: end.__name__)
def test_watching_ends_with_a_job_that_ends_badly(
    begun: Begun, monkeypatch: pytest.MonkeyPatch, end: Callable[[Begun], None]
) -> None:
    running(begun)
    watching(monkeypatch, partial(end, begun))
    result = seeder("status", "alps", "--watch")
    assert result.exit_code == 1
    _, state, why, _ = SITUATIONS[end.__name__]
    (line,) = [line for line in result.stdout.splitlines() if line.startswith(f"job {begun.id}: {state}")]
    assert why in line


def test_ctrl_c_while_watching_leaves_the_job_alone(begun: Begun, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    running(begun)
    before = snapshot(begun.data)
    watching(monkeypatch, interrupt)
    result = seeder("status", begun.id, "--watch")
    assert result.exit_code == 130
    assert "the job continues" in result.stderr
    assert snapshot(begun.data) == before


PAUSED = """
import sys, time, pathlib
from seeder.cli import main as cli
from seeder.workers import process_block
fill, folder = process_block.fill, pathlib.Path(sys.argv.pop(1))
def slow(layer, stores, request, superseded):
    (folder / str(request.block)).touch()
    while len(list(folder.glob("*-*"))) == 2 and not (folder / "go").exists():
        time.sleep(0.005)
    return fill(layer, stores, request, superseded)
process_block.fill = slow
cli.main()
"""


@dataclass
class Paused:
    """A seeding in another process. It ends its second block when `go` is in the folder, which lists started blocks."""

    job: Begun
    process: subprocess.Popen[str]
    folder: Path

    def went_on(self) -> tuple[int, str, str]:
        """Let it run to its end: its exit code and output."""
        (self.folder / "go").touch()
        out, errors = self.process.communicate(timeout=HANG)
        return self.process.returncode, out, errors

    def blocks(self) -> list[str]:
        """The started blocks."""
        return [path.name for path in self.folder.glob("*-*")]


@pytest.fixture
def paused(alps_copy: Path, tmp_path: Path) -> Iterator[Paused]:
    """A seeding in another process with one finished block and a second one in progress."""
    folder = tmp_path / "begun"
    folder.mkdir()
    words = [sys.executable, "-c", PAUSED, str(folder), "seed", "alps", "--zooms", "5-7", "--jobs", "1"]
    process = subprocess.Popen(words, env=dict(os.environ), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        while len(list(folder.iterdir())) < 2:
            assert process.poll() is None, "it ended before it could be disturbed"
            time.sleep(0.005)
        yield Paused(Begun(alps_copy), process, folder)
    finally:
        process.kill()
        process.communicate()


def test_cancel_stops_a_seeding_in_another_process_within_a_block(paused: Paused, made: dict[str, bytes]) -> None:
    job = paused.job
    hint = f"\ncontinue it: `seeder resume {job.id}`\n"
    said = [seeder("cancel", "alps").stdout for _ in range(2)]
    assert said == [f"job {job.id} is cancelled{hint}", f"job {job.id} was already cancelled{hint}"]
    assert json.loads(seeder("cancel", "alps", "--json").stdout) == {"job": job.id, "state": "cancelled"}
    code, out, errors = paused.went_on()
    assert code == 1
    assert "5 written" in out
    assert f"error: 9 tiles not rendered: {CANCELLED}" in errors
    assert "Traceback" not in errors
    assert len(paused.blocks()) == job.blocks() == 2, "a block was begun after the job was cancelled"
    assert seeder("status", job.id).stdout.startswith(f"job {job.id}: cancelled\n")
    result = seeder("resume", job.id, "--json")
    assert (result.exit_code, told(result)["written"]) == (0, 14)
    assert png_tiles(job.data) == made
    assert job.state() == "done"


def test_a_seeding_that_was_killed_is_stalled_after_a_while_and_resumed(
    paused: Paused, made: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = paused.job
    paused.process.kill()
    paused.process.communicate()
    result = seeder("status", job.id)
    assert result.exit_code == 1
    assert f"job {job.id}: stalled, its process ended" in result.stdout
    run = load_run(job.sources, job.id)
    assert run
    put_run(job.sources, job.id, replace(run, by=None))  # process unknown, as for another machine
    assert job.state() == "running"
    with monkeypatch.context() as patch:
        patch.setattr("seeder.operations.jobs.utcnow", lambda: datetime.now(UTC) + timedelta(seconds=130))
        result = seeder("status", job.id)
    assert result.exit_code == 1
    assert f"job {job.id}: stalled, no receipt for 0:02:1" in result.stdout
    assert job.blocks() == 1
    result = seeder("resume", job.id)
    assert result.exit_code == 0
    assert f"resuming job {job.id}: 1 of 14 tiles are done" in result.stderr
    assert png_tiles(job.data) == made


def test_a_seeding_that_is_resumed_elsewhere_may_go_on_too(paused: Paused, made: dict[str, bytes]) -> None:
    job = paused.job
    assert seeder("resume", job.id).exit_code == 0
    assert job.state() == "done"
    code, out, _ = paused.went_on()
    assert (code, "13 written" in out or "already stored" in out) == (0, True)
    assert job.state() == "done"
    assert png_tiles(job.data) == made
    assert sum(receipt.outcome.all.bit_count() for receipt in receipts(job.sources, job.id)) == 14


def test_an_interrupted_seeding_says_so_until_it_is_resumed(
    begun: Begun, made: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(layer: Layer, stores: Stores, request: Request, superseded: Callable[[], str]) -> Outcome:
        if request.block.z == 6:
            raise KeyboardInterrupt
        return fill(layer, stores, request, superseded)

    with monkeypatch.context() as patch:
        patch.setattr(process_block, "fill", interrupt)
        result = seeder("seed", "alps", "--zooms", "5-7")
    assert result.exit_code == 130
    assert f"`seeder resume {begun.id}`" in result.stderr
    result = seeder("status", begun.id)
    assert (result.exit_code, "stalled, interrupted" in result.stdout) == (1, True)
    assert seeder("resume", begun.id).exit_code == 0
    assert png_tiles(begun.data) == made
