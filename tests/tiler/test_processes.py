"""Workers give every result once, need no semaphores, and end with the stream, whatever ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tiler.errors import WorkerDied
from tiler.processes import stream

WAIT = 60.0  # seconds after which a task counts as lost
SCRIPT = """
{before}
from tiler.processes import stream

def make():
    return abs

{guard}
    print(sorted(stream(make, [-1, -2, 3], jobs=2)))
"""


@pytest.mark.parametrize("guard", ['if __name__ == "__main__":', "if True:"])
def test_a_script_needs_a_guard_and_the_error_says_so(guard: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(guard=guard, before=""))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    if guard == "if True:":
        assert str(WorkerDied(starting=True)) in done.stderr
    else:
        assert done.stdout == "[1, 2, 3]\n"


def test_each_message_names_its_cause() -> None:
    assert '`if __name__ == "__main__":`' in str(WorkerDied(starting=True))
    assert "out of memory" in str(WorkerDied())


NO_SEMAPHORES = """
import _multiprocessing

def refuse(*_):
    raise OSError(38, "Function not implemented")  # as AWS Lambda, which has no /dev/shm

_multiprocessing.SemLock = refuse
"""


def test_a_system_without_semaphores_has_workers(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(before=NO_SEMAPHORES, guard='if __name__ == "__main__":'))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.stderr) == ("[1, 2, 3]\n", "")


def counting() -> Callable[[int], tuple[int, int, int]]:
    """A task that returns its item, its process and how many items that had before."""
    before: list[int] = []

    def task(item: int) -> tuple[int, int, int]:
        before.append(item)
        return item, os.getpid(), len(before) - 1

    return task


@pytest.mark.parametrize(("items", "jobs"), [(0, 3), (1, 3), (2, 3), (40, 3), (5, 1)])
def test_each_item_has_one_result_and_each_worker_one_state(items: int, jobs: int) -> None:
    results = list(stream(counting, iter(range(items)), jobs=jobs))
    assert sorted(item for item, _, _ in results) == list(range(items))
    workers = {pid for _, pid, _ in results}
    assert len(workers) <= min(jobs, items)
    assert (os.getpid() in workers) == (min(jobs, items) == 1)
    for worker in workers:
        assert [count for _, pid, count in results if pid == worker] == list(
            range(sum(p == worker for _, p, _ in results))
        )


def done_in(folder: Path) -> Callable[[int], int]:
    """A task that marks its item; item 0 waits for the marks of all others below 6."""

    def task(item: int) -> int:
        end = time.monotonic() + WAIT
        while item == 0 and len(list(folder.iterdir())) < 5:
            assert time.monotonic() < end, "an item waits for the worker of another"
            time.sleep(0.01)
        (folder / str(item)).touch()
        return item

    return task


def test_no_item_waits_for_another_while_a_worker_is_idle(tmp_path: Path) -> None:
    assert list(stream(partial(done_in, tmp_path), range(6), jobs=2))[-1] == 0


def same() -> Callable[[bytes], bytes]:
    return bytes


def test_items_and_results_larger_than_a_pipe_stop_nobody() -> None:
    items = [bytes([number]) * 3_000_000 for number in range(6)]
    results: list[bytes] = []
    for result in stream(same, items, jobs=2):
        time.sleep(0.05)  # the workers' results wait
        results.append(result)
    assert sorted(results) == items


class Stubborn(Exception):
    """An error that can be pickled but not unpickled."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


def failing(kind: str) -> Callable[[int], Any]:
    """A task that fails at item 3."""

    def task(item: int) -> Any:
        if item != 3:
            return item
        match kind:
            case "result":
                return threading.Lock()
            case "stubborn":
                raise Stubborn("no", "copy")
            case "exit":
                raise SystemExit(3)
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
        raise KeyError(kind)

    return task


def unmade() -> NoReturn:
    raise ZeroDivisionError("by make")


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (partial(failing, "key"), KeyError, "key"),
        (partial(failing, "result"), TypeError, "cannot pickle"),
        (partial(failing, "stubborn"), RuntimeError, "Stubborn: no copy"),
        (partial(failing, "exit"), SystemExit, "3"),
        (partial(failing, "killed"), WorkerDied, "a worker process died"),
        (unmade, ZeroDivisionError, "by make"),
    ],
)
def test_an_error_of_a_worker_is_raised(
    make: Any, error: type[BaseException], text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(error, match=text) as raised:
        list(stream(make, range(9), jobs=2))
    if error is not WorkerDied:
        assert "Traceback" in raised.value.__notes__[0]
    assert capfd.readouterr() == ("", "")


def test_an_item_that_pickle_cannot_copy_is_an_error_of_the_caller() -> None:
    with pytest.raises(TypeError, match="cannot pickle"):
        list(stream(counting, [1, threading.Lock(), 2], jobs=2))  # type: ignore[list-item]


def sleeping() -> Callable[[int], int]:
    """A task that tells its process, then takes a minute."""

    def task(item: int) -> int:
        time.sleep(item * WAIT)
        return os.getpid()

    return task


@pytest.mark.parametrize("end", ["close", "error of items", "throw"])
def test_busy_workers_end_at_once(end: str) -> None:
    def items() -> Any:
        yield from (0, 0, 1, 1)
        raise ZeroDivisionError

    results = stream(sleeping, items() if end == "error of items" else [0, 0, 1, 1, 1, 1], jobs=2)
    pids = {next(results)}
    start = time.monotonic()
    if end == "close":
        results.close()  # type: ignore[attr-defined]
    elif end == "throw":
        with pytest.raises(KeyboardInterrupt):
            results.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    else:
        with pytest.raises(ZeroDivisionError):
            pids.update(results)
    assert time.monotonic() - start < WAIT / 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
