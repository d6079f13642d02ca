"""`seeder worker` loses nothing: stopped it drains, killed it is replaced, without a queue it waits."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from moto.server import ThreadedMotoServer

from seeder.aws.delivery import Delivery
from seeder.jobs.ledger import finished
from seeder.jobs.messages import Message
from seeder.workers import daemon
from seeder.workers.sqs import SqsQueue
from tests.support.effort import some
from tests.support.held import HANG, ending, workers
from tests.support.paths import ROOT
from tests.support.queues import MakeQueue, taken
from tiler.errors import QueueError
from tiler.grid import Block
from tiler.layers.catalog import load_layer
from tiler.layers.fill import Request
from tiler.layers.render import TileVariant
from tiler.settings import Settings
from tiler.storage.store import Stores

JOB = "nightly"
SLOW = """
import os, time
from pathlib import Path
from botocore.config import Config
from seeder.aws import clients
from seeder.cli import main as cli
from seeder.workers import daemon
from seeder.workers import process_block
from tiler.layers.fill import fill

def slowly(layer, stores, request, superseded):  # and tells when it begins
    with open(os.environ["BEGUN"], "a") as file:
        file.write(f"{request.block} {os.getpid()}\\n")
    time.sleep(float(os.environ["SECONDS"]))
    return fill(layer, stores, request, superseded)

process_block.fill = slowly
clients.CONFIG = clients.CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 2}))
daemon.RECEIVE_SECONDS, daemon.REPLACE_SECONDS = 1, 0.5
if __name__ == "__main__":
    cli.main()
"""  # spawned processes run it too, so their blocks are slow as well


def eventually(claim: Any, within: float = HANG) -> None:
    end = time.monotonic() + within
    while not claim():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


@dataclass
class Crew:
    """The command at work on a queue. The start of each block is recorded in `begun`."""

    process: subprocess.Popen[str]
    queue: SqsQueue
    stores: Stores
    file: Path
    log: Path
    errors: Path

    @property
    def begun(self) -> Counter[str]:
        """The number of starts of each block."""
        return Counter(line.split()[0] for line in self._lines())

    @property
    def busy(self) -> set[int]:
        """Processes that started a block."""
        return {int(line.split()[1]) for line in self._lines()}

    @property
    def done(self) -> set[str]:
        """The blocks with a receipt."""
        return {str(block) for block in finished(self.stores.sources, JOB)}

    def logged(self, message: str) -> list[dict[str, Any]]:
        """The log lines with this message."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines(keepends=True) if line.endswith("}\n")]
        return [line for line in lines if line["message"] == message]

    def _lines(self) -> list[str]:
        return self.file.read_text().splitlines() if self.file.exists() else []

    def stopped(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop it like Ctrl-C in a terminal, for all processes at once; return the exit code."""
        os.killpg(self.process.pid, how) if how == signal.SIGINT else self.process.send_signal(how)
        self.process.wait(timeout=HANG)
        return self.process.returncode


@pytest.fixture
def sent(alps_copy: Path) -> list[Message]:
    """Messages of the deepest zoom's blocks, more than are received at once."""
    revision = load_layer(Stores.open(Settings.from_env({}, data=str(alps_copy))).sources, "alps").revision
    blocks = [Block(9, x, y) for y in range(160, 208, 8) for x in range(248, 280, 8)]
    return [Message(JOB, "alps", revision, Request(block, 1, TileVariant())) for block in blocks]


@contextmanager
def working(queue: SqsQueue, data: Path, *, seconds: float, jobs: int = 2, endpoint: str = "") -> Iterator[Crew]:
    """`seeder worker` in a session of its own, each block taking `seconds`; remaining processes are killed."""
    folder = data.parent
    (folder / "slow.py").write_text(SLOW)
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TILER_QUEUE": queue.url,
        "BEGUN": str(folder / "begun"),
        "SECONDS": str(seconds),
        **({"AWS_ENDPOINT_URL": endpoint} if endpoint else {}),
    }
    with (folder / "log").open("w") as log, (folder / "errors").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, str(folder / "slow.py"), "worker", "--jobs", str(jobs)],
            env=environ,
            stdout=log,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    stores = Stores.open(Settings.from_env({}, data=str(data)))
    try:
        yield Crew(process, queue, stores, folder / "begun", folder / "log", folder / "errors")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert "Traceback" not in (folder / "errors").read_text()


@pytest.mark.parametrize("how", some([signal.SIGTERM, signal.SIGINT], signal.SIGTERM))
def test_told_to_stop_it_finishes_what_it_began_and_gives_back_the_rest(
    make_queue: MakeQueue, alps_copy: Path, sent: list[Message], how: signal.Signals
) -> None:
    queue = make_queue(visibility=120)
    queue.send(sent)
    with working(queue, alps_copy, seconds=1.0) as crew:
        eventually(lambda: len(crew.busy) == 2)
        in_hand = queue.depth().hidden + len(crew.done)
        with ending(workers(crew.process.pid)):
            assert crew.stopped(how) == 0
        assert crew.done == set(crew.begun)
        assert len(crew.begun) < in_hand
    rest = taken(queue)
    assert Counter(str(message.request.block) for message in rest) + crew.begun == Counter(
        str(message.request.block) for message in sent
    )
    assert not queue.depth()


def test_a_process_that_is_killed_is_replaced_and_its_blocks_are_done_all_the_same(
    make_queue: MakeQueue, alps_copy: Path, sent: list[Message]
) -> None:
    queue = make_queue(visibility=2)
    queue.send(sent)
    with working(queue, alps_copy, seconds=0.2) as crew:
        eventually(lambda: len(crew.busy) == 2)
        victim = crew.busy.pop()
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: not queue.depth())
        assert crew.done == {str(message.request.block) for message in sent}
        assert queue.depth().dead == 0
        eventually(lambda: len(workers(crew.process.pid)) == 2)
        assert victim not in workers(crew.process.pid)
        assert [line["code"] for line in crew.logged("worker died")] == [-signal.SIGKILL]
        assert crew.stopped() == 0


def test_processes_end_when_the_command_is_killed(make_queue: MakeQueue, alps_copy: Path, sent: list[Message]) -> None:
    queue = make_queue()
    queue.send(sent)
    with working(queue, alps_copy, seconds=0.2) as crew:
        eventually(lambda: len(crew.busy) == 2)
        with ending(workers(crew.process.pid)):
            crew.process.kill()


def test_a_block_that_takes_longer_than_the_visibility_timeout_is_worked_on_once(
    make_queue: MakeQueue, alps_copy: Path, sent: list[Message]
) -> None:
    queue = make_queue(visibility=4)  # it is extended every 1.3 seconds
    with working(queue, alps_copy, seconds=6.0, jobs=1) as crew:
        queue.send(sent[:1])
        eventually(lambda: crew.done)
        eventually(lambda: not queue.depth())
        assert list(crew.begun.values()) == [1]
        assert crew.stopped() == 0


def test_an_endpoint_that_is_lost_is_waited_for(make_queue: MakeQueue, alps_copy: Path, sent: list[Message]) -> None:
    queue = make_queue()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)  # a second endpoint of the same queues
    server.start()
    host, port = server.get_host_and_port()
    there = replace(queue, url=f"http://{host}:{port}{urlsplit(queue.url).path}")
    with working(there, alps_copy, seconds=0, jobs=1, endpoint=f"http://{host}:{port}") as crew:
        queue.send(sent[:1])
        eventually(lambda: crew.done)
        started = workers(crew.process.pid)
        server.stop()
        eventually(lambda: crew.logged("the queue does not answer"))
        time.sleep(2)
        assert len(crew.logged("the queue does not answer")) <= 8, "it spins"
        queue.send(sent[1:2])
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
        server.start()
        eventually(lambda: len(crew.done) == 2)
        assert workers(crew.process.pid) == started
        assert crew.stopped() == 0
    server.stop()


def test_a_queue_that_is_removed_ends_the_command_with_its_reason(
    make_queue: MakeQueue, alps_copy: Path, sent: list[Message]
) -> None:
    queue = make_queue()
    queue.send(sent[:1])
    with working(queue, alps_copy, seconds=0, jobs=1) as crew:
        eventually(lambda: crew.done)
        queue.client.delete_queue(QueueUrl=queue.url)
        assert crew.process.wait(timeout=HANG) == 2
        assert re.match(r"error: .*queue does not exist", crew.errors.read_text().splitlines()[-1])


def test_a_queue_that_does_not_answer_is_asked_more_and_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    class Stop(threading.Event):
        """Set after a dozen waits without duration."""

        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            waits.append(timeout)
            if len(waits) == 12:
                self.set()
            return self.is_set()

    def receive(_: SqsQueue, _most: int, *, wait: int) -> list[Delivery]:
        assert wait
        raise QueueError("no answer")

    monkeypatch.setattr(SqsQueue, "receive", receive)
    assert daemon._received(SqsQueue("", None, ""), Stop(), 4, 5) == []
    assert len(waits) == 12, "it did not stop when it was told to"
    assert all(seconds <= min(60, 2**number) for number, seconds in enumerate(waits))
    assert max(waits) > 1
