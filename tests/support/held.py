"""Commands in separate processes, held at a known point so that tests need no sleeps.

As a module it is the command `seeder`, except that each call of the function named in the environment first notifies
the test, then waits until the test releases it. Worker processes import this module too, so they are held as well.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.support.damaged import damage, halved
from tests.support.paths import ROOT

AT, PORT = "HELD_AT", "HELD_PORT"
HANG = 120  # seconds after which a missing process counts as hanging


@dataclass(frozen=True)
class Held:
    """A process waiting at the point."""

    pid: int
    blocks: list[str]  # blocks among the arguments of the function
    _connection: socket.socket

    def go(self) -> None:
        """Release the process."""
        self._connection.close()


class Gate:
    """A gate before each call of a function, given as `module:name` or `module:Class.name`."""

    def __init__(self, at: str) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(HANG)
        self._held: list[Held] = []
        self.environ = {AT: at, PORT: str(self._listener.getsockname()[1])}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.open()

    def next(self) -> Held:
        """The next process at the point, past or future."""
        connection, _ = self._listener.accept()
        with connection.makefile() as lines:
            said = json.loads(lines.readline())
        self._held.append(Held(said["pid"], said["blocks"], connection))
        return self._held[-1]

    def passed(self, calls: int, *, jobs: int) -> list[Held]:
        """Release a number of calls, then return the next `jobs` processes: no other work is in progress then."""
        for _ in range(calls):
            self.next().go()
        return [self.next() for _ in range(jobs)]

    def open(self) -> None:
        """Release all processes."""
        self._listener.close()
        for held in self._held:
            held.go()


@contextmanager
def running(words: Sequence[str], environ: Mapping[str, str] = os.environ, **options: Any) -> Iterator[Any]:
    """A process in a session of its own, as from a terminal; remaining processes are killed and reaped."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    process = subprocess.Popen(words, cwd=ROOT, env=dict(environ), text=True, start_new_session=True, **options)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@contextmanager
def holding(at: str, *words: str) -> Iterator[tuple[Any, Gate]]:
    """The command `seeder` with arguments, held at a point."""
    command = [sys.executable, "-m", "tests.support.held", *words]
    with Gate(at) as gate, running(command, os.environ | gate.environ) as process:
        yield process, gate


@contextmanager
def ending(pids: Sequence[int]) -> Iterator[None]:
    """Check that processes alive before the block end in it or soon after."""
    files = [os.pidfd_open(pid) for pid in pids]
    try:
        yield
        for file in files:
            assert select.select([file], [], [], HANG)[0], "a process outlived its parent"
    finally:
        for file in files:
            os.close(file)


def _hold(at: str, port: int) -> None:
    """Add the wait before the function."""
    module, _, path = at.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for each in owners:
        owner = getattr(owner, each)
    function: Callable[..., Any] = getattr(owner, name)

    def held(*args: Any, **kwargs: Any) -> Any:
        blocks = [str(each.block) for each in args if hasattr(each, "block")]
        with suppress(ConnectionError), socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(json.dumps({"pid": os.getpid(), "blocks": blocks}).encode() + b"\n")
            connection.recv(1)  # the other side closes without data
        return function(*args, **kwargs)

    setattr(owner, name, held)


if AT in os.environ:
    _hold(os.environ[AT], int(os.environ[PORT]))

if __name__ == "__main__":
    from seeder.cli.main import main

    main()


BLOCK, RECEIPT = (
    "seeder.workers.process_block:fill",
    "seeder.workers.process_block:put_receipt",
)  # points in a seeding: before a block, before its receipt
TILE = "tiler.layers.fill:Guard.check"  # before each tile
CHUNK = "tiler.ingest.baker:Baked"  # point in an ingest: a chunk is in the spool file
MANIFEST = "tiler.ingest.drafts:put_manifest"  # point in an ingest: all parts are stored, and nothing names them
PUBLICATION = "tiler.layers.publication:publish"  # point in an ingest: all is stored but the metadata


def children(pid: int) -> list[int]:
    """The child processes of `pid`."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def workers(pid: int) -> list[int]:
    return [child for child in children(pid) if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


@contextmanager
def unreadable(data: Path) -> Iterator[None]:
    """Overwrite the second half of each part of `alps` within the block."""
    restore = damage(data, halved)
    try:
        yield
    finally:
        restore()
