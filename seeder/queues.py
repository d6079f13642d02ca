"""Where blocks are sent to be rendered: the protocol, and the pool of this machine. `sqs` has the other queue."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from seeder.jobs import Message, Receipt
from seeder.work import Worker
from tiler.grid import LEAF
from tiler.processes import stream
from tiler.settings import Settings


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


@dataclass(frozen=True, slots=True)
class LocalPool:
    """The queue that needs no cloud: `jobs` processes of this machine, each with its own worker.

    `send` returns when the last message was worked off; `on_receipt` hears of each as it is.
    """

    settings: Settings
    jobs: int
    on_receipt: Callable[[Receipt], None]

    @property
    def sizes(self) -> Container[int]:
        """See `Queue.sizes`."""
        return (LEAF,)

    def send(self, messages: Iterable[Message]) -> int:
        """Work `messages` off; see `Queue.send`."""
        sent = 0
        for receipt in stream(partial(_working, self.settings), messages, jobs=self.jobs):
            self.on_receipt(receipt)
            sent += 1
        return sent


def _working(settings: Settings) -> Callable[[Message], Receipt]:
    """A worker process's task."""
    return Worker.open(settings).work
