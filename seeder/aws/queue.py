"""A client of a queue in SQS: send and receive bodies, count messages, find the dead-letter queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from seeder.aws import clients
from seeder.aws.delivery import TRIES, Delivery, delivered
from tiler.inputs import read_json

BATCH = 10  # messages that one request takes
LONGEST_WAIT = 20  # seconds that SQS lets a receiver wait


@dataclass(frozen=True, slots=True)
class Depth:
    """How many messages a queue holds, about: SQS counts with up to a minute's delay."""

    waiting: int  # visible, or delayed
    hidden: int  # received by a worker that has not deleted it yet
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
        """The queue at `url`; nothing is asked of it yet.

        Raises:
            BadCloud: there is no region.
        """
        return cls(url, clients.client("sqs", region), region)

    def send_bodies(self, bodies: Mapping[str, str], tries: Mapping[str, int] | None = None) -> dict[str, str]:
        """Send up to ten bodies by name, some with earlier tries; returns the refused ones with the reason."""
        entries: list[dict[str, Any]] = [{"Id": name, "MessageBody": body} for name, body in bodies.items()]
        for entry in entries:
            if earlier := (tries or {}).get(entry["Id"]):
                entry["MessageAttributes"] = {TRIES: {"DataType": "Number", "StringValue": str(earlier)}}
        with clients.translated(f"send to {self.url}"):
            answer = self.client.send_message_batch(QueueUrl=self.url, Entries=entries)
        return {each["Id"]: f"{each['Code']}: {each.get('Message', '')}" for each in answer.get("Failed", [])}

    def receive(self, most: int, *, wait: int, hide: int | None = None) -> list[Delivery]:
        """Up to `most` messages, after `wait` seconds at the latest.

        Other receivers do not see them for `hide` seconds, else for as long as the queue says.
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
        """Tell that the message was worked off."""
        with clients.translated(f"take a message off {self.url}"):
            self.client.delete_message(QueueUrl=self.url, ReceiptHandle=delivery.handle)

    def release(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Replace up to ten messages that nobody tried by new ones, so that this receive counts for nothing.

        A crash in between leaves both, and the work of one is done twice. Returns those that SQS refused.
        """
        bodies = {str(number): each.body for number, each in enumerate(deliveries)}
        tries = {str(number): each.tries - 1 for number, each in enumerate(deliveries)}
        refused = self.send_bodies(bodies, tries)
        sent = [each for number, each in enumerate(deliveries) if str(number) not in refused]
        self.delete_all(sent)
        return [each for each in deliveries if each not in sent]

    def bury(self, delivery: Delivery) -> bool:
        """Move a message to the dead-letter queue, if the queue has one; returns whether it was moved."""
        dead = self.dead_queue()
        if dead is None or dead.send_bodies({"0": delivery.body}):
            return False
        self.delete(delivery)
        return True

    def delete_all(self, deliveries: Sequence[Delivery]) -> None:
        """Delete up to ten messages."""
        entries = [{"Id": str(number), "ReceiptHandle": each.handle} for number, each in enumerate(deliveries)]
        if entries:
            with clients.translated(f"take messages off {self.url}"):
                self.client.delete_message_batch(QueueUrl=self.url, Entries=entries)

    def hide(self, handle: str, seconds: int) -> None:
        """Keep a received message from other workers for so long from now; 0 gives it back at once."""
        with clients.translated(f"change visibility in {self.url}"):
            self.client.change_message_visibility(QueueUrl=self.url, ReceiptHandle=handle, VisibilityTimeout=seconds)

    def attributes(self) -> dict[str, str]:
        """All that SQS says of the queue."""
        return self._attributes(self.url)

    def dead_queue(self) -> Self | None:
        """Its dead-letter queue, if it has one."""
        url = self.dead_letters(self.attributes())
        return replace(self, url=url) if url else None

    def dead_letters(self, attributes: dict[str, str]) -> str:
        """The URL of the dead-letter queue that the queue's `attributes` name, or nothing."""
        arn = read_json(attributes.get("RedrivePolicy", "{}")).get("deadLetterTargetArn", "")
        if not arn:
            return ""
        with clients.translated(f"find {arn}"):
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
        with clients.translated(f"look at {url}"):
            found: dict[str, str] = self.client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return found
