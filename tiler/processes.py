"""A pool of worker processes that never outlives its parent and stops within a second.

Workers are spawned, not forked, because GDAL and obstore run threads. They ignore Ctrl-C and SIGHUP, which the parent
handles, and they end with the parent, however it ends.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import chain, islice
from multiprocessing.connection import wait as wait_for
from typing import Any, NoReturn, TypeVar

from tiler.errors import TilerError, WorkerDied
from tiler.undecodable import log_undecodable

T = TypeVar("T")
R = TypeVar("R")

# the parent handles these for all workers, and ends them by SIGTERM
INTERRUPTS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name))
STOPS = (signal.SIGTERM, *INTERRUPTS)
AHEAD = 2  # queued tasks per worker, so that no worker waits for the parent


def stream(make: Callable[[], Callable[[T], R]], items: Iterable[T], *, jobs: int) -> Iterator[R]:
    """The results of a task for each of `items`, as they complete; takes an item when a worker is free.

    `make` runs once in every worker and returns the task, with any state that it keeps between items. With one job, or
    one item, it runs in this process. There are no more workers than items. Closing the iterator, or an error or Ctrl-C
    within it, ends the workers at once.

    Raises:
        WorkerDied: a worker ended without a result (killed, out of memory, crashed).
    """
    source = iter(items)
    first = list(islice(source, jobs))  # a worker takes longer to start than many a task
    items, jobs = chain(first, source), min(jobs, len(first))
    if not first:
        return
    if jobs == 1:
        yield from map(make(), items)
        return
    before = multiprocessing.active_children()
    executor = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin, (make,))
    try:
        with interrupts_ignored():  # spawned processes inherit this
            ready = [executor.submit(os.getpid) for _ in range(jobs)]
        workers = [child for child in multiprocessing.active_children() if child not in before]
        try:
            yield from _flow(executor, items, jobs * AHEAD)
            wait(ready)
        except BrokenProcessPool as error:
            started = any(each.done() and each.exception() is None for each in ready)
            raise WorkerDied(starting=not started) from error
        except BaseException:
            for worker in workers:
                worker.terminate()
            raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _flow(executor: ProcessPoolExecutor, items: Iterable[T], room: int) -> Iterator[Any]:
    source = iter(items)
    running: set[Future[Any]] = set()
    while True:
        running |= {executor.submit(_run, item) for item in islice(source, room - len(running))}
        if not running:
            return
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            yield future.result()


_task: Callable[[Any], Any] | None = None  # of this worker process


def _begin(make: Callable[[], Callable[[Any], Any]]) -> None:
    global _task  # noqa: PLW0603 - a pool offers no other place to keep it
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)
    log_undecodable()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # they would mix with the output of the command
    end_with_parent()
    try:
        _task = make()
    except (TilerError, OSError, MemoryError) as error:  # a pool would print a traceback and lose the error
        _task = partial(_fail, error)


def _fail(error: Exception, _item: object) -> NoReturn:
    raise error


def _run(item: Any) -> Any:
    assert _task is not None, "_begin runs first"
    return _task(item)


def end_with_parent() -> None:
    """End this process when its parent ends, however the parent ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


@contextlib.contextmanager
def signals(act: Callable[[], object]) -> Iterator[None]:
    """Within, call `act` on SIGTERM, SIGHUP and Ctrl-C, unless SIGHUP is ignored (`nohup`); main thread only."""
    handled = [number for number in STOPS if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, lambda *_: act()) for number in handled}
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


@contextlib.contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Ignore Ctrl-C within, also in processes started within."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
