"""The process of a run, and whether it still exists, as far as this machine knows."""

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
ENDED = ("Z", "X")  # states of an ended process that is still in the process table


@dataclass(frozen=True, slots=True)
class Runner:
    """A process: machine, boot, process-id namespace, id and start time.

    `started`, in kernel ticks since the boot, distinguishes the process from a later one with the same id. Unknown
    fields are empty.
    """

    host: str
    machine: str
    boot: str
    room: str
    pid: int
    started: str

    @classmethod
    def here(cls) -> Runner:
        """The current process."""
        return cls(*_identity(), os.getpid(), _started(os.getpid()))

    @classmethod
    def from_json(cls, document: Any) -> Runner | None:
        """The inverse of `to_json`; None for anything else."""
        try:
            host, machine, boot, room, started = (str(document[name]) for name in NAMES)
            return cls(host, machine, boot, room, int(document["pid"]), started)
        except (KeyError, TypeError, ValueError):
            return None

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)

    @property
    def gone(self) -> bool:
        """Whether the process has ended for certain; False for a process of another machine."""
        host, machine, boot, room = _identity()
        if self.host != host or self.machine != machine:
            return False
        if self.boot != boot:
            return bool(machine)  # the same machine, not just the same name, was restarted since
        return self.room == room and not _lives(self.pid, self.started)


def _lives(pid: int, started: str) -> bool:
    """Whether the process with this id and start time exists."""
    if not alive(pid):
        return False
    now = _started(pid)
    return not (started and now) or now == started


def _started(pid: int) -> str:
    """The start of a process in ticks since the boot; empty if unknown, `ended` if it has ended."""
    state, *fields = _text(PROC / str(pid) / "stat").rpartition(")")[2].split() or [""]
    return "ended" if state in ENDED else fields[18] if len(fields) > 18 else ""


@cache
def _identity() -> tuple[str, str, str, str]:
    """Host, machine, boot and process-id namespace of this process."""
    try:
        room = (PROC / "self" / "ns" / "pid").readlink().name
    except OSError:
        room = ""
    machine = _text(Path("/etc/machine-id"))
    return socket.gethostname(), machine, _text(PROC / "sys" / "kernel" / "random" / "boot_id"), room


def _text(path: Path) -> str:
    """The text of a file; empty if unreadable."""
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""
