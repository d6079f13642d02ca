"""Figures of earlier runs, so that an interrupted benchmark continues and only changed figures are measured again."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tiny import TINY

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "bench" / ".kept"
PACKAGES = ("tiler", "seeder")
BUSY = 0.5  # processes that are ready to run, above which figures by the clock are doubtful


class Kept:
    """JSON values by key, in `bench/.kept/{name}.json`; a tiny run keeps none.

    A key begins with words for people; `digest` of all else that the value depends on ends it.
    """

    def __init__(self, name: str, *, fresh: bool = False) -> None:
        self._path = FOLDER / f"{name}.json"
        known = not (TINY or fresh) and self._path.exists()
        self._values: dict[str, Any] = json.loads(self._path.read_text()) if known else {}

    def get(self, *key: str) -> Any:
        """The value at `key`, or None."""
        return self._values.get(" ".join(key))

    def put(self, value: Any, *key: str) -> None:
        """Store `value` at `key`, on disk at once."""
        self._values[" ".join(key)] = value
        if not TINY:
            FOLDER.mkdir(exist_ok=True)
            part = self._path.with_suffix(".part")
            part.write_text(json.dumps(self._values, indent=1) + "\n")
            part.replace(self._path)


def digest(*parts: str) -> str:
    """A short hash of `parts` and of the machine."""
    return hashlib.sha256("\0".join((*parts, *machine().values())).encode()).hexdigest()[:16]


def code(*files: Path) -> str:
    """A hash of this project's code and of `files`."""
    ours = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in (*ours, *files))).hexdigest()


def machine() -> dict[str, str]:
    """The processor and the number of its cores."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {"processor": model, "cores": str(os.cpu_count())}


@contextmanager
def clocked() -> Iterator[None]:
    """Print the duration of the block on stderr, and a warning first if the machine is busy."""
    load = os.getloadavg()[0]
    if load > BUSY and not TINY:
        print(f"the machine is busy (load {load:.1f}): wall seconds will be too long", file=sys.stderr)
    start = time.monotonic()
    try:
        yield
    finally:
        print(f"took {(time.monotonic() - start) / 60:.1f} minutes", file=sys.stderr)
