"""Messages received from SQS. This module does not import boto3."""

from __future__ import annotations

from dataclasses import dataclass

TRIES = "Tries"  # message attribute: tries of the messages replaced by this one


@dataclass(frozen=True, slots=True)
class Delivery:
    """A received message; `handle` is valid until the visibility timeout ends."""

    id: str
    handle: str
    body: str
    tries: int  # including this one; a receive is a try unless the message is released
    copied: bool = False  # whether it replaces a released message, so that SQS does not count all its tries


def delivered(id: str, handle: str, body: str, receives: str, earlier: str | None) -> Delivery:  # noqa: A002 - SQS's name
    """A message with tries computed from SQS's receives and from the tries of replaced messages."""
    before = int(earlier) if earlier and earlier.isdecimal() else 0
    return Delivery(id, handle, body, before + int(receives), copied=before > 0)
