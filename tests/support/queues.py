"""SQS queues, their messages, and a worker that processes them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

import boto3

from seeder.jobs.messages import Message
from seeder.workers.lambda_handler import handle_record
from seeder.workers.process_block import Worker
from seeder.workers.settle import settle
from seeder.workers.sqs import SqsQueue
from tiler.raster import datasets
from tiler.settings import Settings

MakeQueue = Callable[..., SqsQueue]


def new_queue(*, visibility: int = 30, receives: int = 5) -> SqsQueue:
    """An empty queue with a visibility timeout in seconds and a number of receives before the dead-letter queue."""
    client, name = boto3.client("sqs"), f"blocks-{uuid4().hex[:12]}"
    dead = client.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    arn = client.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": receives})
    attributes = {"VisibilityTimeout": str(visibility), "RedrivePolicy": redrive}
    return SqsQueue.open(client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"], "")


def taken(queue: SqsQueue) -> list[Message]:
    """Receive and delete all visible messages."""
    found = []
    while deliveries := queue.receive(10, wait=0):
        for delivery in deliveries:
            queue.delete(delivery)
            found.append(Message.decode(delivery.body))
    return found


def emptied(queue: SqsQueue) -> None:
    """Wait until the queue is empty."""
    end = time.monotonic() + 300
    while queue.depth():
        assert time.monotonic() < end, "the queue is not processed"
        time.sleep(0.02)


@contextmanager
def working(queue: SqsQueue, settings: Settings) -> Iterator[None]:
    """A worker on the queue, in a thread, until the end of the block.

    GDAL must close a raster of a bucket in the thread that opened it, so none stays open between threads.
    """
    stop = threading.Event()
    station = Worker.open(settings, queue.send)

    def work() -> None:
        while not stop.wait(0.02):
            for delivery in queue.receive(10, wait=0):
                settle(queue, delivery, handle_record(station, delivery.body, delivery.tries))
        datasets.forget()

    datasets.forget()
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
        assert thread.is_alive(), "the worker died"
    finally:
        stop.set()
        thread.join()
