"""The interface of queues: destinations for the blocks of a job."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Protocol

from seeder.jobs.messages import Message


class Queue(Protocol):
    """Delivers messages to workers, each at least once."""

    @property
    def sizes(self) -> Container[int]:
        """The supported sizes of blocks, in tiles per side."""
        ...

    def send(self, messages: Iterable[Message]) -> int:
        """Send a stream of `messages`, holding only a few; return their number.

        Raises:
            QueueError: some were refused.
            StoreError, WorkerDied: a local worker failed.
        """
        ...
