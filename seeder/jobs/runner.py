"""The process that runs a job, and whether it still exists, as far as this machine can tell."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tiler.alive import alive

PROC = Path("/proc")
NAMES = ("host", "machine", "boot", "room", "started")
ENDED = ("Z", "X")  # states of a process of which only the entry in the table is left


@dataclass(frozen=True, slots=True)
class Runner:
    """A process: machine, boot, process-id namespace, id and start time.

    `started` is in the kernel's ticks since the boot and tells the process from a later one of the same id. What a
    system does not tell is empty.
    """

    host: str
    machine: str
    boot: str
    room: str
    pid: int
    started: str

    @classmethod
    def here(cls) -> Runner:
        """The process that asks."""
        return cls(*_place(), os.getpid(), _started(os.getpid()))

    @classmethod
    def from_json(cls, said: Any) -> Runner | None:
        """The process of that JSON form, None where it is none."""
        try:
            host, machine, boot, room, started = (str(said[name]) for name in NAMES)
            return cls(host, machine, boot, room, int(said["pid"]), started)
        except (KeyError, TypeError, ValueError):
            return None

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)

    @property
    def gone(self) -> bool:
        """Whether the process has certainly ended; False for a process of another machine."""
        host, machine, boot, room = _place()
        if self.host != host or self.machine != machine:
            return False
        if self.boot != boot:
            return bool(machine)  # a machine that is known by more than its name was started again since
        return self.room == room and not _lives(self.pid, self.started)


def _lives(pid: int, started: str) -> bool:
    """Whether the process that started then is there."""
    if not alive(pid):
        return False
    now = _started(pid)
    return not (started and now) or now == started


def _started(pid: int) -> str:
    """When the process started, in ticks since the boot; empty where nobody tells, `ended` of one that has."""
    state, *fields = _said(PROC / str(pid) / "stat").rpartition(")")[2].split() or [""]
    return "ended" if state in ENDED else fields[18] if len(fields) > 18 else ""


@cache
def _place() -> tuple[str, str, str, str]:
    """Host, machine, boot and room of process ids of this process."""
    try:
        room = (PROC / "self" / "ns" / "pid").readlink().name
    except OSError:
        room = ""
    machine = _said(Path("/etc/machine-id"))
    return socket.gethostname(), machine, _said(PROC / "sys" / "kernel" / "random" / "boot_id"), room


def _said(path: Path) -> str:
    """The text of a file; empty if unreadable."""
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""
