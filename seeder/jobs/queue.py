"""Where the blocks of a job are sent to be rendered."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Protocol

from seeder.jobs.messages import Message


class Queue(Protocol):
    """Takes messages to workers, each at least once."""

    @property
    def sizes(self) -> Container[int]:
        """Sizes of the blocks that it takes, in tiles a side."""
        ...

    def send(self, messages: Iterable[Message]) -> int:
        """Send `messages` as they come, holding only a few; return how many.

        Raises:
            QueueError: some were refused.
            StoreError, WorkerDied: a local worker could not go on.
        """
        ...
