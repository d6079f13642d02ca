"""Workers on any machine: processes that handle messages of the queue until they are stopped.

The same loop as the worker Lambda's, for EC2, ECS, Kubernetes or any other machine.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential
from tenacity.nap import sleep_using_event
from tenacity.stop import stop_when_event_set

from seeder.aws.delivery import Delivery
from seeder.workers.lambda_handler import bury, handle_record, log
from seeder.workers.process_block import Worker
from seeder.workers.settle import release as released
from seeder.workers.settle import settle
from seeder.workers.sqs import SqsQueue
from seeder.workers.turns import turns
from tiler.errors import QueueError, TilerError
from tiler.processes import end_with_parent, interrupts_ignored, signals
from tiler.settings import Settings
from tiler.undecodable import log_undecodable

AHEAD = 4  # messages that a process receives at once
RECEIVE_SECONDS = 5  # seconds of long polling, and so the longest time to stop an idle process
REPLACE_SECONDS = 2.0  # seconds before a dead worker is replaced


Task = Callable[[str, int], object]  # takes the body of a message and its tries; returns `Redeliver` if it failed


@dataclass(frozen=True, slots=True)
class Station:
    """A queue to work off: its URL, and a function that makes the task of a worker process; it can be pickled.

    `make` gets the settings, the queue, and a function that tells whether the process is to stop. `ahead` messages are
    received at once.
    """

    url: str
    make: Callable[[Settings, SqsQueue, Callable[[], bool]], Task]
    ahead: int = AHEAD


def tile_station(url: str) -> Station:
    """The queue of blocks."""
    return Station(url, _rendering)


def _rendering(settings: Settings, queue: SqsQueue, _stops: Callable[[], bool]) -> Task:
    return partial(handle_record, Worker.open(settings, queue.send))


def work_queues(settings: Settings, stations: Sequence[Station], *, jobs: int) -> None:
    """Work off queues with `jobs` processes until SIGTERM or Ctrl-C, then finish the current blocks.

    A process that dies is replaced; its messages return when their visibility timeout ends.

    Raises:
        BadCloud, QueueError: a queue cannot be used.
    """
    queues = [SqsQueue.open(station.url, settings.s3.region) for station in stations]
    visibility = [int(queue.attributes()["VisibilityTimeout"]) for queue in queues]
    start = partial(_started, settings, list(zip(stations, visibility, strict=True)))
    stop = threading.Event()
    with signals(stop.set):
        workers = [start() for _ in range(jobs)]
        while not stop.is_set():
            wait([worker.sentinel for worker in workers], timeout=0.2)
            for number, worker in enumerate(workers):
                if not worker.is_alive() and not stop.is_set():
                    log.error("worker died", code=worker.exitcode)
                    stop.wait(REPLACE_SECONDS)
                    for queue in queues:
                        queue.attributes()  # raises an error if the queue was deleted
                    workers[number] = start()
        log.info("stopping: finishing the current blocks")
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()


def _started(settings: Settings, stations: list[tuple[Station, int]]) -> SpawnProcess:
    worker = multiprocessing.get_context("spawn").Process(target=_handle_messages, args=(settings, stations))
    with interrupts_ignored():  # spawned processes inherit this: only the command stops them
        worker.start()
    return worker


def _handle_messages(settings: Settings, stations: list[tuple[Station, int]]) -> None:
    """Receive, process and delete messages until SIGTERM, in a process of its own."""
    end_with_parent()
    log_undecodable()
    stop = threading.Event()
    with signals(stop.set), _errors_logged():
        desks = []
        for station, visibility in stations:
            queue = SqsQueue.open(station.url, settings.s3.region)
            desks.append((queue, station.make(settings, queue, stop.is_set), station.ahead, visibility))
        busy = False
        while not stop.is_set():
            wait_seconds = 0 if busy and len(desks) > 1 else RECEIVE_SECONDS
            busy = False
            for number, (queue, task, ahead, visibility) in enumerate(desks):
                last = number == len(desks) - 1
                deliveries = _received(queue, stop, ahead, wait_seconds if last and not busy else 0)
                busy = busy or bool(deliveries)
                _process(queue, task, visibility, deliveries, stop)


def _process(queue: SqsQueue, task: Task, visibility: int, deliveries: list[Delivery], stop: threading.Event) -> None:
    """Process and delete received messages."""
    with _hidden(queue, visibility, deliveries) as hidden:

        def release(rest: Sequence[Delivery]) -> None:
            hidden[:] = [delivery for delivery in hidden if delivery not in rest]
            released(queue, rest)

        for delivery in turns(deliveries, lambda _: not stop.is_set(), release, partial(bury, lambda: queue)):
            result = task(delivery.body, delivery.tries)
            hidden.remove(delivery)
            settle(queue, delivery, result)


@contextmanager
def _errors_logged() -> Iterator[None]:
    """Log an error that a retry cannot cure, and end the process."""
    try:
        yield
    except TilerError as error:
        log.error("stopped", error=str(error))
        raise SystemExit(1) from error


def _received(queue: SqsQueue, stop: threading.Event, most: int, seconds: int) -> list[Delivery]:
    """Receive messages, or none until `seconds` are over or `stop`; retry with growing pauses if there is no answer."""

    def warn(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("the queue does not answer", error=str(error))

    retrying = Retrying(
        retry=retry_if_exception_type(QueueError),
        wait=wait_random_exponential(multiplier=1, max=60),
        stop=stop_when_event_set(stop),
        sleep=sleep_using_event(stop),
        before_sleep=warn,
        retry_error_callback=lambda _: [],
    )
    return list(retrying(queue.receive, most, wait=seconds))


@contextmanager
def _hidden(queue: SqsQueue, visibility: int, deliveries: list[Delivery]) -> Iterator[list[Delivery]]:
    """Hide received messages from other workers as long as they are in the yielded list."""
    hidden = list(deliveries)
    done = threading.Event()

    def extend() -> None:
        while not done.wait(visibility / 3):
            for delivery in deliveries:
                if delivery not in hidden:
                    continue
                try:
                    queue.hide(delivery.handle, visibility)
                except TilerError as error:
                    log.warning("visibility not extended", error=str(error))

    thread = threading.Thread(target=extend, daemon=True)
    thread.start()
    try:
        yield hidden
    finally:
        done.set()
        thread.join()
