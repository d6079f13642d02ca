"""A message as a worker receives it from SQS. Importing this imports no boto3."""

from __future__ import annotations

from dataclasses import dataclass

TRIES = "Tries"  # message attribute: the tries of the messages that this one replaces


@dataclass(frozen=True, slots=True)
class Delivery:
    """A received message; `handle` is valid until the visibility timeout passes."""

    id: str
    handle: str
    body: str
    tries: int  # including this one; a receive is a try unless the message is released
    copied: bool = False  # whether it replaces a released message, so that SQS does not count all its tries


def delivered(id: str, handle: str, body: str, receives: str, earlier: str | None) -> Delivery:  # noqa: A002 - SQS's name
    """A message by the counts of SQS: its receives, and the tries of the messages that it replaces."""
    before = int(earlier) if earlier and earlier.isdecimal() else 0
    return Delivery(id, handle, body, before + int(receives), copied=before > 0)
