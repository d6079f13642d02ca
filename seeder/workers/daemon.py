"""Workers on any machine: processes that take messages from the queue until they are told to stop.

The same loop as the Lambda's, for EC2, ECS, Kubernetes or a machine at hand.
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
from seeder.workers.lambda_handler import Again, attend, log
from seeder.workers.process_block import Worker
from seeder.workers.sqs import SqsQueue
from seeder.workers.turns import is_spent, turns
from tiler.errors import QueueError, TilerError
from tiler.ingest.processes import end_with_parent, interrupts_ignored, signals
from tiler.settings import Settings

AHEAD = 4  # messages that a process takes at once
RECEIVE_SECONDS = 5  # seconds that SQS may let a process wait: what it takes at most to stop an idle one
REPLACE_SECONDS = 2.0  # seconds before a worker that died is replaced


def work_queue(settings: Settings, *, jobs: int) -> None:
    """Work the queue off with `jobs` processes until SIGTERM or Ctrl-C, then finish the blocks that were begun.

    A process that dies is replaced; its messages come again when their visibility timeout passes.

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
                    queue.attributes()  # a queue that is gone ends this
                    workers[number] = _started(settings, visibility)
        log.info("stopping: blocks that were begun are finished")
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()


def _started(settings: Settings, visibility: int) -> SpawnProcess:
    worker = multiprocessing.get_context("spawn").Process(target=_tend, args=(settings, visibility))
    with interrupts_ignored():  # spawned processes inherit this: the command tells them when to stop
        worker.start()
    return worker


def _tend(settings: Settings, visibility: int) -> None:
    """One process: receive, work, delete, until told to stop."""
    end_with_parent()
    stop = threading.Event()
    with signals(stop.set), _last_words():
        queue = SqsQueue.open(settings.queue, settings.s3.region)
        worker = Worker.open(settings, queue.send)
        for deliveries in _received(queue, stop):
            with _held(queue, visibility, deliveries) as held:

                def release(rest: Sequence[Delivery], held: list[Delivery] = held) -> None:
                    held[:] = [delivery for delivery in held if delivery not in rest]
                    _release(queue, rest)

                for delivery in turns(deliveries, lambda _: not stop.is_set(), release, partial(_bury, queue)):
                    answer = attend(worker, delivery.body, delivery.tries)
                    held.remove(delivery)
                    settle(queue, delivery, answer)


@contextmanager
def _last_words() -> Iterator[None]:
    """An error that no waiting mends ends the process with a line."""
    try:
        yield
    except TilerError as error:
        log.error("stopped", error=str(error))
        raise SystemExit(1) from error


def settle(queue: SqsQueue, delivery: Delivery, answer: Receipt | Again) -> None:
    """Delete a message, set when it comes again, or move it to the dead-letter queue after its last try.

    If the queue does not answer, the message comes again after its visibility timeout.
    """
    try:
        if isinstance(answer, Receipt):
            queue.delete(delivery)
        elif not (is_spent(delivery) and _bury(queue, delivery)):
            queue.hide(delivery.handle, answer.seconds)
    except TilerError as error:
        log.warning("message not settled", error=str(error))


def _bury(queue: SqsQueue, delivery: Delivery) -> bool:
    """Move a message to the dead-letter queue; returns whether that was possible."""
    try:
        return queue.bury(delivery)
    except TilerError as error:
        log.warning("not moved to the dead-letter queue", error=str(error))
        return False


def _release(queue: SqsQueue, deliveries: Sequence[Delivery]) -> None:
    """Release messages; those that SQS did not take come again at once, and count as tried."""
    try:
        for delivery in queue.release(deliveries) if deliveries else ():
            queue.hide(delivery.handle, 0)
    except TilerError as error:
        log.warning("not released", error=str(error))


def _received(queue: SqsQueue, stop: threading.Event) -> Iterator[list[Delivery]]:
    """Messages as they come, until `stop`; a queue that does not answer is asked more and more rarely."""

    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("the queue does not answer", error=str(error))

    while not stop.is_set():
        ask = Retrying(
            retry=retry_if_exception_type(QueueError),
            wait=wait_random_exponential(multiplier=1, max=60),
            stop=stop_when_event_set(stop),
            sleep=sleep_using_event(stop),
            before_sleep=tell,
            retry_error_callback=lambda _: [],
        )
        yield ask(queue.receive, AHEAD, wait=RECEIVE_SECONDS)


@contextmanager
def _held(queue: SqsQueue, visibility: int, deliveries: list[Delivery]) -> Iterator[list[Delivery]]:
    """Keeps received messages from other workers as long as they stand in the list that is given."""
    held = list(deliveries)
    done = threading.Event()

    def extend() -> None:
        while not done.wait(visibility / 3):
            for delivery in deliveries:
                if delivery not in held:
                    continue
                try:
                    queue.hide(delivery.handle, visibility)
                except TilerError as error:
                    log.warning("visibility not extended", error=str(error))

    thread = threading.Thread(target=extend, daemon=True)
    thread.start()
    try:
        yield held
    finally:
        done.set()
        thread.join()
