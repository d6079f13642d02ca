"""Workers on any machine: processes that handle messages of the queue until they are stopped.

The same loop as the worker Lambda's, for EC2, ECS, Kubernetes or any other machine.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential
from tenacity.nap import sleep_using_event
from tenacity.stop import stop_when_event_set

from seeder.aws.delivery import Delivery
from seeder.jobs.messages import Receipt
from seeder.workers.lambda_handler import Redeliver, bury, handle_record, log
from seeder.workers.process_block import Worker
from seeder.workers.sqs import SqsQueue
from seeder.workers.turns import is_spent, turns
from tiler.errors import QueueError, TilerError
from tiler.processes import end_with_parent, interrupts_ignored, signals
from tiler.settings import Settings
from tiler.undecodable import log_undecodable

AHEAD = 4  # messages that a process receives at once
RECEIVE_SECONDS = 5  # seconds of long polling, and so the longest time to stop an idle process
REPLACE_SECONDS = 2.0  # seconds before a dead worker is replaced


def work_queue(settings: Settings, *, jobs: int) -> None:
    """Process the queue with `jobs` processes until SIGTERM or Ctrl-C, then finish the current blocks.

    A process that dies is replaced; its messages return when their visibility timeout ends.

    Raises:
        BadCloud, QueueError: the queue cannot be used.
    """
    queue = SqsQueue.open(settings.queue, settings.s3.region)
    visibility = int(queue.attributes()["VisibilityTimeout"])
    stop = threading.Event()
    with signals(stop.set):
        workers = [_started(settings, visibility) for _ in range(jobs)]
        while not stop.is_set():
            wait([worker.sentinel for worker in workers], timeout=0.2)
            for number, worker in enumerate(workers):
                if not worker.is_alive() and not stop.is_set():
                    log.error("worker died", code=worker.exitcode)
                    stop.wait(REPLACE_SECONDS)
                    queue.attributes()  # raises an error if the queue was deleted
                    workers[number] = _started(settings, visibility)
        log.info("stopping: finishing the current blocks")
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()


def _started(settings: Settings, visibility: int) -> SpawnProcess:
    worker = multiprocessing.get_context("spawn").Process(target=_handle_messages, args=(settings, visibility))
    with interrupts_ignored():  # spawned processes inherit this: only the command stops them
        worker.start()
    return worker


def _handle_messages(settings: Settings, visibility: int) -> None:
    """Receive, process and delete messages until SIGTERM, in a process of its own."""
    end_with_parent()
    log_undecodable()
    stop = threading.Event()
    with signals(stop.set), _errors_logged():
        queue = SqsQueue.open(settings.queue, settings.s3.region)
        worker = Worker.open(settings, queue.send)
        for deliveries in _received(queue, stop):
            with _hidden(queue, visibility, deliveries) as hidden:

                def release(rest: Sequence[Delivery], hidden: list[Delivery] = hidden) -> None:
                    hidden[:] = [delivery for delivery in hidden if delivery not in rest]
                    _release(queue, rest)

                for delivery in turns(deliveries, lambda _: not stop.is_set(), release, partial(bury, lambda: queue)):
                    result = handle_record(worker, delivery.body, delivery.tries)
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


def settle(queue: SqsQueue, delivery: Delivery, result: Receipt | Redeliver) -> None:
    """Delete a message, set when it returns, or move it to the dead-letter queue after its last try.

    If the queue does not answer, the message returns after its visibility timeout.
    """
    try:
        if isinstance(result, Receipt):
            queue.delete(delivery)
        elif not (is_spent(delivery) and bury(lambda: queue, delivery)):
            queue.hide(delivery.handle, result.seconds)
    except TilerError as error:
        log.warning("message not settled", error=str(error))


def _release(queue: SqsQueue, deliveries: Sequence[Delivery]) -> None:
    """Release messages; the ones refused by SQS return at once, and count as tried."""
    try:
        for delivery in queue.release(deliveries) if deliveries else ():
            queue.hide(delivery.handle, 0)
    except TilerError as error:
        log.warning("not released", error=str(error))


def _received(queue: SqsQueue, stop: threading.Event) -> Iterator[list[Delivery]]:
    """Receive messages until `stop`; retry with growing pauses if the queue does not answer."""

    def warn(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("the queue does not answer", error=str(error))

    while not stop.is_set():
        retrying = Retrying(
            retry=retry_if_exception_type(QueueError),
            wait=wait_random_exponential(multiplier=1, max=60),
            stop=stop_when_event_set(stop),
            sleep=sleep_using_event(stop),
            before_sleep=warn,
            retry_error_callback=lambda _: [],
        )
        yield retrying(queue.receive, AHEAD, wait=RECEIVE_SECONDS)


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
