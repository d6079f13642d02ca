"""What a command takes."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from demo import Figures, held

ROOT = Path(__file__).parent.parent.parent  # where `python -m seeder` is this checkout's, for any Python
TICK = 0.2  # seconds between two looks at the memory


@dataclass(frozen=True)
class Run:
    """What a tool took for all tiles of a source, command by command, and what it made."""

    steps: tuple[Figures, ...]
    tiles: int
    size: int  # bytes of all tiles


class Failed(Exception):
    """A tool is missing, or said no."""


def timed(command: list[str]) -> Figures:
    """Run `command` to its end and measure it and all its processes.

    Raises:
        Failed: it did not end well; the last line that it wrote to stderr.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TILER_")}
    done = threading.Event()
    variants = [0.0]

    def variant(pid: int) -> None:
        while not done.wait(TICK):
            variants.append(held(pid))

    with tempfile.TemporaryFile() as errors:
        start = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=environ, cwd=ROOT)
        watch = threading.Thread(target=variant, args=(process.pid,))
        watch.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        done.set()
        watch.join()
        errors.seek(0)
        said = errors.read().decode(errors="replace").split("\n")
    if process.returncode:
        last = next((line.strip() for line in reversed(said) if line.strip()), "it said nothing")
        raise Failed(f"exit {process.returncode}: {last}")
    return Figures(wall, usage.ru_utime + usage.ru_stime, max(variants))


@cache
def printed(*command: str, lines: int | None = 1) -> str:
    """The first `lines` that `command` prints, or all.

    Raises:
        Failed: it cannot be run.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "").strip().rpartition("\n")[2]
        raise Failed(f"{Path(command[0]).name} cannot be run{said and ': '}{said}") from error
    return "\n".join(done.stdout.strip().split("\n")[:lines])
