"""A client of an SQS queue: send and receive message bodies, count messages, find the dead-letter queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from seeder.aws import clients
from seeder.aws.delivery import TRIES, Delivery, delivered
from tiler.inputs import read_json

BATCH = 10  # messages per request at most
LONGEST_WAIT = 20  # seconds, the maximum of SQS for long polling


@dataclass(frozen=True, slots=True)
class Depth:
    """Approximate numbers of messages in a queue: SQS counts with up to a minute's delay."""

    waiting: int  # visible, or delayed
    hidden: int  # received by a worker and not deleted yet
    dead: int  # in the dead-letter queue

    def __bool__(self) -> bool:
        return bool(self.waiting or self.hidden)


@dataclass(frozen=True, slots=True)
class QueueClient:
    """The queue at `url`."""

    url: str
    client: Any
    region: str

    @classmethod
    def open(cls, url: str, region: str) -> Self:
        """A client of the queue at `url`; no request is sent yet.

        Raises:
            BadCloud: no region is configured.
        """
        return cls(url, clients.client("sqs", region), region)

    def send_bodies(
        self, bodies: Mapping[str, str], tries: Mapping[str, int] | None = None, *, delay: int = 0
    ) -> dict[str, str]:
        """Send up to ten bodies by name, some with earlier tries; return the refused ones with the reason.

        They can be received `delay` seconds later, at most 900.
        """
        later = {"DelaySeconds": delay} if delay else {}
        entries: list[dict[str, Any]] = [{"Id": name, "MessageBody": body, **later} for name, body in bodies.items()]
        for entry in entries:
            if earlier := (tries or {}).get(entry["Id"]):
                entry["MessageAttributes"] = {TRIES: {"DataType": "Number", "StringValue": str(earlier)}}
        with clients.translated(f"send to {self.url}"):
            answer = self.client.send_message_batch(QueueUrl=self.url, Entries=entries)
        return {each["Id"]: f"{each['Code']}: {each.get('Message', '')}" for each in answer.get("Failed", [])}

    def receive(self, most: int, *, wait: int, hide: int | None = None) -> list[Delivery]:
        """Receive up to `most` messages, waiting at most `wait` seconds.

        They stay hidden from other receivers for `hide` seconds, by default for the queue's visibility timeout.
        """
        hidden = {} if hide is None else {"VisibilityTimeout": hide}
        with clients.translated(f"receive from {self.url}"):
            answer = self.client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=min(most, BATCH),
                WaitTimeSeconds=min(wait, LONGEST_WAIT),
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
                MessageAttributeNames=[TRIES],
                **hidden,
            )
        return [
            delivered(
                each["MessageId"],
                each["ReceiptHandle"],
                each["Body"],
                each["Attributes"]["ApproximateReceiveCount"],
                each.get("MessageAttributes", {}).get(TRIES, {}).get("StringValue"),
            )
            for each in answer.get("Messages", [])
        ]

    def delete(self, delivery: Delivery) -> None:
        """Delete a processed message from the queue."""
        with clients.translated(f"delete a message from {self.url}"):
            self.client.delete_message(QueueUrl=self.url, ReceiptHandle=delivery.handle)

    def release(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Replace up to ten untried messages by new ones, so that this receive does not count.

        A crash in between leaves both, and one block is rendered twice. Return the messages refused by SQS.
        """
        bodies = {str(number): each.body for number, each in enumerate(deliveries)}
        tries = {str(number): each.tries - 1 for number, each in enumerate(deliveries)}
        refused = self.send_bodies(bodies, tries)
        sent = [each for number, each in enumerate(deliveries) if str(number) not in refused]
        self.delete_all(sent)
        return [each for each in deliveries if each not in sent]

    def bury(self, delivery: Delivery) -> bool:
        """Move a message to the dead-letter queue, if there is one; return whether it was moved."""
        dead = self.dead_queue()
        if dead is None or dead.send_bodies({"0": delivery.body}):
            return False
        self.delete(delivery)
        return True

    def delete_all(self, deliveries: Sequence[Delivery]) -> None:
        """Delete up to ten messages."""
        entries = [{"Id": str(number), "ReceiptHandle": each.handle} for number, each in enumerate(deliveries)]
        if entries:
            with clients.translated(f"delete messages from {self.url}"):
                self.client.delete_message_batch(QueueUrl=self.url, Entries=entries)

    def hide(self, handle: str, seconds: int) -> None:
        """Hide a received message from other workers for `seconds` from now; 0 returns it at once."""
        with clients.translated(f"change the visibility of a message in {self.url}"):
            self.client.change_message_visibility(QueueUrl=self.url, ReceiptHandle=handle, VisibilityTimeout=seconds)

    def attributes(self) -> dict[str, str]:
        """All attributes of the queue."""
        return self._attributes(self.url)

    def dead_queue(self) -> Self | None:
        """A client of the dead-letter queue, or None if there is none."""
        url = self.dead_letters(self.attributes())
        return replace(self, url=url) if url else None

    def dead_letters(self, attributes: dict[str, str]) -> str:
        """The URL of the dead-letter queue in the queue's `attributes`, or an empty string."""
        arn = read_json(attributes.get("RedrivePolicy", "{}")).get("deadLetterTargetArn", "")
        if not arn:
            return ""
        with clients.translated(f"find {arn}"):
            answer = self.client.get_queue_url(QueueName=arn.rpartition(":")[2])
        return str(answer["QueueUrl"])

    def depth(self) -> Depth:
        """The numbers of messages in the queue and its dead-letter queue."""
        counts = self.attributes()
        dead = self.dead_letters(counts)
        return Depth(
            waiting=int(counts["ApproximateNumberOfMessages"]) + int(counts["ApproximateNumberOfMessagesDelayed"]),
            hidden=int(counts["ApproximateNumberOfMessagesNotVisible"]),
            dead=int(self._attributes(dead)["ApproximateNumberOfMessages"]) if dead else 0,
        )

    def _attributes(self, url: str) -> dict[str, str]:
        with clients.translated(f"read the attributes of {url}"):
            answer = self.client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        attributes: dict[str, str] = answer["Attributes"]
        return attributes
