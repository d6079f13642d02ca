"""AWS Lambda's event-source mapping for SQS: receives batches, invokes, deletes what succeeded.

As with `ReportBatchItemFailures`: an answer may name the messages that failed. An exception, a timeout or an
answer that cannot be understood fails the whole batch. Failed messages are left alone; the queue shows them
again when their visibility timeout is over, and gives them up to the dead-letter queue in the end.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from tests.e2e.lambdas import Function, FunctionError

POLL = 1  # seconds of one long poll
COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)

Message = Mapping[str, Any]


class SqsMapping:
    """Feeds `function` from a queue between `start` and `stop`; `with` does both.

    The counts grow while it runs. Deliveries of one batch that overlap need as much room in the function.

    Args:
        client: A boto3 client of SQS.
        queue_url: The queue.
        function: What is invoked.
        batch_size: Messages of one event at most.
        max_concurrency: Events at a time.
        duplicate: The part of the batches, 0 to 1, that is delivered twice, both at the same time.
        seed: Chooses those batches.
    """

    def __init__(
        self,
        client: Any,
        queue_url: str,
        function: Function,
        *,
        batch_size: int = 10,
        max_concurrency: int = 2,
        duplicate: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.invocations = 0
        self.duplicates = 0  # invocations that repeat another
        self.failures = 0  # invocations that failed as a whole
        self.failed_items = 0  # messages that an answer called failed
        self.deleted: list[str] = []  # ids of messages, one for every successful delivery
        self.errors: list[FunctionError] = []
        self.outages = 0  # calls that the queue did not answer
        self._client = client
        self._queue_url = queue_url
        self._function = function
        self._batch_size = batch_size
        self._max_concurrency = max_concurrency
        self._duplicate = duplicate
        self._chance = random.Random(seed)
        self._arn = client.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        self._guard = threading.Lock()
        self._poll = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._working = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to receive."""
        self._stop.clear()
        self._threads = [threading.Thread(target=self._loop, daemon=True) for _ in range(self._max_concurrency)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Receive no more, and wait until the events under way are done."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._threads = []

    def drained(self, within: float = 60.0) -> None:
        """Wait until the queue has no message, visible, in flight or delayed, and no event is under way.

        Raises:
            TimeoutError: it still has after `within` seconds.
        """
        end = time.monotonic() + within
        while True:
            with self._guard:
                working = self._working
            told = self._client.get_queue_attributes(QueueUrl=self._queue_url, AttributeNames=list(COUNTS))
            left = {name.removeprefix("ApproximateNumberOf"): int(told["Attributes"][name]) for name in COUNTS}
            if not working and not any(left.values()):
                return
            if time.monotonic() > end:
                raise TimeoutError(f"not drained after {within:g} s: {left}, {working} events under way, {self.errors}")
            time.sleep(0.05)

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                self._step()
            except (BotoCoreError, ClientError):
                with self._guard:
                    self.outages += 1
                self._stop.wait(0.5)

    def _step(self) -> None:
        with self._poll:  # one long poll at a time is enough to keep every thread busy
            if self._stop.is_set():
                return
            messages = self._receive()
            with self._guard:
                self._working += bool(messages)
                twice = bool(messages) and self._chance.random() < self._duplicate
                self.duplicates += twice
        if not messages:
            return
        try:
            if twice:
                other = threading.Thread(target=self._again, args=(messages,), daemon=True)
                other.start()
                self._deliver(messages)
                other.join()
            else:
                self._deliver(messages)
        finally:
            with self._guard:
                self._working -= 1

    def _again(self, messages: list[Message]) -> None:
        try:
            self._deliver(messages)
        except (BotoCoreError, ClientError):
            with self._guard:
                self.outages += 1

    def _receive(self) -> list[Message]:
        answer = self._client.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=self._batch_size,
            WaitTimeSeconds=POLL,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return list(answer.get("Messages", []))

    def _deliver(self, messages: list[Message]) -> None:
        """Invoke once with `messages`, then delete those that succeeded."""
        with self._guard:
            self.invocations += 1
        try:
            answer = self._function.invoke({"Records": [self._record(message) for message in messages]})
            failed = failures(answer, {message["MessageId"] for message in messages})
        except FunctionError as error:
            with self._guard:
                self.errors.append(error)
            failed = None
        with self._guard:
            self.failures += failed is None
            self.failed_items += len(failed or ())
        done = [message for message in messages if failed is not None and message["MessageId"] not in failed]
        if done:
            self._delete(done)

    def _delete(self, messages: list[Message]) -> None:
        entries = [
            {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]} for number, message in enumerate(messages)
        ]
        answer = self._client.delete_message_batch(QueueUrl=self._queue_url, Entries=entries)
        with self._guard:
            self.deleted += [messages[int(entry["Id"])]["MessageId"] for entry in answer.get("Successful", [])]

    def _record(self, message: Message) -> dict[str, Any]:
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": {name: str(value) for name, value in message.get("Attributes", {}).items()},
            "messageAttributes": {
                name: _attribute(value) for name, value in message.get("MessageAttributes", {}).items()
            },
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self._arn,
            "awsRegion": self._arn.split(":")[3],
        }


def _attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    told = {name[0].lower() + name[1:]: value[name] for name in value if name != "BinaryValue"}
    return {"stringListValues": [], "binaryListValues": [], **told}


def failures(answer: Any, ids: set[str]) -> set[str] | None:
    """The messages of `ids` that `answer` calls failed, or None where it fails them all.

    No answer, an empty one and an empty list mean success. A list that cannot be read, or that names a message
    that was not in the batch, means that nothing is known to have succeeded.
    """
    if answer is None:
        return set()
    listed = (answer.get("batchItemFailures") or []) if isinstance(answer, dict) else None
    if not isinstance(listed, list):
        return None
    named = [item.get("itemIdentifier") if isinstance(item, dict) else None for item in listed]
    if not all(isinstance(name, str) and name in ids for name in named):
        return None
    return {str(name) for name in named}
