"""The queue in SQS: batches of ten, many under way, what is refused tried again and at last reported by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_random_exponential

from seeder import aws
from seeder.jobs import SIZES, Message
from tiler.errors import QueueError
from tiler.inputs import read_json
from tiler.overlap import in_batches, overlap

BATCH = 10  # messages that one request takes
ATTEMPTS = 6  # at an entry that SQS refuses
LONGEST_WAIT = 20  # seconds that SQS lets a receiver wait
_RETRYING = Retrying(
    retry=retry_if_result(bool),
    stop=stop_after_attempt(ATTEMPTS),
    wait=wait_random_exponential(multiplier=0.2, max=10),
    retry_error_callback=lambda state: state.outcome and state.outcome.result(),
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as it was received; `handle` is valid until the visibility timeout passes."""

    id: str
    handle: str
    body: str
    receives: int  # this one included


@dataclass(frozen=True, slots=True)
class Depth:
    """How many messages a queue holds, about: SQS counts with up to a minute's delay."""

    waiting: int  # visible, or delayed
    hidden: int  # received by a worker that has not deleted it yet
    dead: int  # in the dead-letter queue

    def __bool__(self) -> bool:
        return bool(self.waiting or self.hidden)


@dataclass(frozen=True, slots=True)
class SqsQueue:
    """The queue at `url`."""

    url: str
    client: Any
    region: str

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the blocks that it takes."""
        return SIZES

    @classmethod
    def open(cls, url: str, region: str) -> SqsQueue:
        """The queue at `url`; nothing is asked of it yet.

        Raises:
            BadCloud: there is no region.
        """
        return cls(url, aws.client("sqs", region), region)

    def send(self, messages: Iterable[Message]) -> int:
        """Send `messages` as they come, ten to a request, many requests under way; return how many.

        Raises:
            BadCloud: the queue is not there, or may not be used.
            QueueError: some were refused again and again; names their blocks. Of the others, some may not have been
                sent either.
        """
        refused: list[str] = []
        reason = ""

        def batches() -> Iterator[list[Message]]:
            for batch in in_batches(messages, BATCH):
                if refused:
                    return
                yield batch

        sent = 0
        for number, left in overlap(self._send, batches()):
            sent += number
            for block, why in left.items():
                refused.append(block)
                reason = why
        if refused:
            raise QueueError(f"the queue refused {len(refused)} blocks ({reason})", refused)
        return sent

    def _send(self, batch: Sequence[Message]) -> tuple[int, dict[str, str]]:
        """Send up to ten; returns how many were sent, and of the others block and reason."""
        left = {str(number): message for number, message in enumerate(batch)}

        def attempt() -> dict[str, str]:
            nonlocal left
            refused = self._try_to_send(left)
            left = {name: left[name] for name in refused}
            return refused

        reasons = _RETRYING(attempt)
        return len(batch) - len(left), {str(left[name].request.block): why for name, why in reasons.items()}

    def _try_to_send(self, messages: dict[str, Message]) -> dict[str, str]:
        """Send up to ten; returns the refused ones with the reason. SQS says so inside an answer of 200."""
        entries = [{"Id": name, "MessageBody": message.encode()} for name, message in messages.items()]
        with aws.translated(f"send to {self.url}"):
            answer = self.client.send_message_batch(QueueUrl=self.url, Entries=entries)
        return {each["Id"]: f"{each['Code']}: {each.get('Message', '')}" for each in answer.get("Failed", [])}

    def receive(self, most: int, *, wait: int, hide: int | None = None) -> list[Delivery]:
        """Up to `most` messages, after `wait` seconds at the latest.

        Other receivers do not see them for `hide` seconds, else for as long as the queue says.
        """
        hidden = {} if hide is None else {"VisibilityTimeout": hide}
        with aws.translated(f"receive from {self.url}"):
            answer = self.client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=min(most, BATCH),
                WaitTimeSeconds=min(wait, LONGEST_WAIT),
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
                **hidden,
            )
        return [
            Delivery(
                each["MessageId"],
                each["ReceiptHandle"],
                each["Body"],
                int(each["Attributes"]["ApproximateReceiveCount"]),
            )
            for each in answer.get("Messages", [])
        ]

    def delete(self, delivery: Delivery) -> None:
        """Tell that the message was worked off."""
        with aws.translated(f"take a message off {self.url}"):
            self.client.delete_message(QueueUrl=self.url, ReceiptHandle=delivery.handle)

    def hide(self, handle: str, seconds: int) -> None:
        """Keep a received message from other workers for so long from now; 0 gives it back at once."""
        with aws.translated(f"change visibility in {self.url}"):
            self.client.change_message_visibility(QueueUrl=self.url, ReceiptHandle=handle, VisibilityTimeout=seconds)

    def attributes(self) -> dict[str, str]:
        """All that SQS says of the queue."""
        return self._attributes(self.url)

    def dead_queue(self) -> SqsQueue | None:
        """Its dead-letter queue, if it has one."""
        url = self.dead_letters(self.attributes())
        return replace(self, url=url) if url else None

    def dead_letters(self, attributes: dict[str, str]) -> str:
        """The URL of the dead-letter queue that the queue's `attributes` name, or nothing."""
        arn = read_json(attributes.get("RedrivePolicy", "{}")).get("deadLetterTargetArn", "")
        if not arn:
            return ""
        with aws.translated(f"find {arn}"):
            found = self.client.get_queue_url(QueueName=arn.rpartition(":")[2])
        return str(found["QueueUrl"])

    def depth(self) -> Depth:
        """How many messages there are."""
        said = self.attributes()
        dead = self.dead_letters(said)
        return Depth(
            waiting=int(said["ApproximateNumberOfMessages"]) + int(said["ApproximateNumberOfMessagesDelayed"]),
            hidden=int(said["ApproximateNumberOfMessagesNotVisible"]),
            dead=int(self._attributes(dead)["ApproximateNumberOfMessages"]) if dead else 0,
        )

    def _attributes(self, url: str) -> dict[str, str]:
        with aws.translated(f"look at {url}"):
            found: dict[str, str] = self.client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return found
