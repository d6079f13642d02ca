"""The command `seeder`, killed like by `kill -9` before one of its puts.

As a module it takes the number of that put, counted from 0, then the words of the command; no fence waits.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT


def killed(at: int, data: Path, *words: str) -> bool:
    """Run a command until it is killed before put number `at`; whether it was."""
    command = [sys.executable, "-m", "tests.support.killed", str(at), *words, "--data", str(data), "--jobs", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def _deadly(numbers: count[int], at: int, put: Callable[..., Any]) -> Callable[..., Any]:
    def deadly(*args: Any, **kwargs: Any) -> Any:
        if next(numbers) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return put(*args, **kwargs)

    return deadly


if __name__ == "__main__":
    from seeder.cli.main import main
    from tiler import timing
    from tiler.storage.store import Store

    timing.fence_seconds = lambda *, folder: 0.0  # noqa: ARG005
    puts, last = count(), int(sys.argv.pop(1))
    for name in ("put", "put_file"):
        setattr(Store, name, _deadly(puts, last, getattr(Store, name)))
    main()
