"""A script without a guard for its main module gets an error that names the guard."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tiler.errors import WorkerDied

SCRIPT = """
from tiler.processes import stream

def make():
    return abs

{guard}
    print(sorted(stream(make, [-1, -2, 3], jobs=2)))
"""


@pytest.mark.parametrize("guard", ['if __name__ == "__main__":', "if True:"])
def test_a_script_needs_a_guard_and_the_error_says_so(guard: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(guard=guard))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    if guard == "if True:":
        assert str(WorkerDied(starting=True)) in done.stderr  # Python's warning about semaphores may follow it
    else:
        assert done.stdout == "[1, 2, 3]\n"


def test_each_message_names_its_cause() -> None:
    assert '`if __name__ == "__main__":`' in str(WorkerDied(starting=True))
    assert "out of memory" in str(WorkerDied())
