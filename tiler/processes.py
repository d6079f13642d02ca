"""Worker processes that never outlive their parent and stop within a second.

Workers are spawned, not forked, because GDAL and obstore run threads. They ignore Ctrl-C and SIGHUP, which the parent
handles, and they end with the parent, however it ends. Each has a pipe to the parent and shares nothing else with it:
AWS Lambda has no shared memory, and so no semaphores, queues or pools of `multiprocessing`.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from multiprocessing.reduction import ForkingPickler
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from tiler.errors import WorkerDied
from tiler.undecodable import log_undecodable

T = TypeVar("T")
R = TypeVar("R")

# the parent handles these for all workers, and ends them by SIGTERM
INTERRUPTS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name))
STOPS = (signal.SIGTERM, *INTERRUPTS)
AHEAD = 2  # tasks that a worker holds, so that it does not wait for the parent
RETURN, END = b"return", b"end"  # instead of a task, which begins with another byte
STARTED, RESULT, ERROR, RETURNED = range(4)  # kinds of answers; with the last, a task or None


def stream(make: Callable[[], Callable[[T], R]], items: Iterable[T], *, jobs: int) -> Iterator[R]:
    """The results of a task for each of `items`, as they complete; takes an item when a worker is free.

    `make` runs once in every worker and returns the task, with any state that it keeps between items. With one job, or
    one item, it runs in this process. There are no more workers than items. Closing the iterator, or an error or Ctrl-C
    within it, ends the workers at once. An error of `make` or of a task is raised here; one that cannot be pickled, as
    a RuntimeError with its text.

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
    workers = list[_Worker]()
    try:
        with interrupts_ignored():  # spawned processes inherit this
            for _ in range(jobs):
                workers.append(_Worker(make))
        yield from _Flow(workers, items).results()
        for worker in workers:
            worker.end()
    except BaseException:
        for worker in workers:
            worker.process.terminate()
        raise
    finally:
        for worker in workers:
            worker.close()


class _Worker:
    """A worker process, for its parent."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self.connection, other = multiprocessing.Pipe()
        with other:
            context = multiprocessing.get_context("spawn")
            self.process = context.Process(target=_work, args=(make, other), daemon=True)
            self.process.start()
        self.started = False
        self.held = 0  # tasks without a result
        self.asked = False  # to return a task

    def send(self, data: bytes) -> None:
        """Send a task, `RETURN` or `END`; to a dead worker nothing, because its last answers may be unread."""
        with contextlib.suppress(OSError):
            self.connection.send_bytes(data)

    def end(self) -> None:
        """Let the process end: it has no task."""
        if self.started:
            self.send(END)
        else:
            self.process.terminate()

    def close(self) -> None:
        """Wait for the end of the process."""
        self.process.join()
        self.process.close()
        self.connection.close()


class _Flow:
    """Tasks to workers, and results from them."""

    def __init__(self, workers: list[_Worker], items: Iterable[Any]) -> None:
        self._workers = workers
        self._tasks = (bytes(ForkingPickler.dumps(item)) for item in items)
        self._returned = list[bytes]()
        self._all_taken = False

    def results(self) -> Iterator[Any]:
        """See `stream`."""
        workers: dict[Any, _Worker] = {worker.connection: worker for worker in self._workers}
        while True:
            self._hand_out()
            if self._all_taken and not any(worker.held for worker in self._workers):
                return
            results, failures = list[Any](), list[BaseException]()
            for connection in wait_for(list(workers)):
                self._take(workers[connection], results, failures)
            yield from results
            if failures:
                raise failures[0]

    def _hand_out(self) -> None:
        """Give tasks to workers, one to each before a second to any; a worker without one gets another's second."""
        for held in range(AHEAD):
            for worker in self._workers:
                if worker.started and worker.held == held:
                    task = self._next()
                    if task is None:
                        break
                    worker.held += 1
                    worker.send(task)
        if self._all_taken:
            idle = sum(worker.started and not worker.held for worker in self._workers)
            idle -= sum(worker.asked for worker in self._workers)
            for worker in [each for each in self._workers if each.held > 1 and not each.asked][: max(0, idle)]:
                worker.asked = True
                worker.send(RETURN)

    def _next(self) -> bytes | None:
        if self._returned:
            return self._returned.pop()
        task = None if self._all_taken else next(self._tasks, None)
        self._all_taken = task is None
        return task

    def _take(self, worker: _Worker, results: list[Any], failures: list[BaseException]) -> None:
        """Receive an answer."""
        try:
            kind, value = worker.connection.recv()
        except (EOFError, OSError) as error:
            failures.append(WorkerDied(starting=not any(each.started for each in self._workers)))
            failures[-1].__cause__ = error
            return
        if kind == STARTED:
            worker.started = True
        elif kind == RESULT:
            worker.held -= 1
            results.append(value)
        elif kind == ERROR:
            failures.append(value[0])
            failures[-1].add_note(f"In a worker process:\n{value[1]}")
        else:
            worker.asked = False
            if value is not None:
                worker.held -= 1
                self._returned.append(value)
                self._all_taken = False


def _work(make: Callable[[], Callable[[Any], Any]], connection: Connection) -> None:
    """Run tasks in a worker process until `END`."""
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)
    log_undecodable()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # they would mix with the output of the command
    tasks, answers = SimpleQueue[bytes](), _Answers(connection)
    threading.Thread(target=_receive, args=(connection, tasks, answers), daemon=True).start()
    answers.send(STARTED, None)
    try:
        task = make()
        for data in iter(tasks.get, END):
            answers.send(RESULT, task(ForkingPickler.loads(data)))
    except BaseException as error:  # noqa: BLE001 - the parent raises it
        answers.send_error(error)


class _Answers:
    """The answers of a worker process, sent by two threads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._guard = threading.Lock()

    def send(self, kind: int, value: object) -> None:
        """Send an answer; end the process if the parent has ended."""
        data = ForkingPickler.dumps((kind, value))
        try:
            with self._guard:
                self._connection.send_bytes(data)
        except OSError:
            os._exit(1)

    def send_error(self, error: BaseException) -> None:
        """Send an error, or its text if pickle cannot copy it."""
        text = "".join(traceback.format_exception(error))
        try:
            ForkingPickler.loads(ForkingPickler.dumps(error))
        except Exception:  # noqa: BLE001 - whatever its class raises
            error = RuntimeError(f"{type(error).__name__}: {error}")
        self.send(ERROR, (error, text))


def _receive(connection: Connection, tasks: SimpleQueue[bytes], answers: _Answers) -> None:
    """Receive tasks at any time, so that the parent need not wait; end this process when the parent ends."""
    try:
        while True:
            data = connection.recv_bytes()
            if data == RETURN:
                answers.send(RETURNED, _unbegun(tasks))
            else:
                tasks.put(data)
    except (EOFError, OSError):
        os._exit(1)


def _unbegun(tasks: SimpleQueue[bytes]) -> bytes | None:
    try:
        return tasks.get_nowait()
    except Empty:
        return None


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
