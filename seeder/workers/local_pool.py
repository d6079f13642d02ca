"""The queue of this machine: a pool of processes that render blocks. `sqs` has the other queue."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from functools import partial

from seeder.jobs.messages import Message, Receipt
from seeder.workers.process_block import Worker
from tiler.grid import LEAF
from tiler.ingest.processes import stream
from tiler.settings import Settings


@dataclass(frozen=True, slots=True)
class LocalPool:
    """A queue without AWS: `jobs` processes of this machine, each with its own worker.

    `send` returns after the last message was processed; `on_receipt` is called with each receipt.
    """

    settings: Settings
    jobs: int
    on_receipt: Callable[[Receipt], None]

    @property
    def sizes(self) -> Container[int]:
        """See `Queue.sizes`."""
        return (LEAF,)

    def send(self, messages: Iterable[Message]) -> int:
        """Process `messages`; see `Queue.send`."""
        sent = 0
        for receipt in stream(partial(_working, self.settings), messages, jobs=self.jobs):
            self.on_receipt(receipt)
            sent += 1
        return sent


def _working(settings: Settings) -> Callable[[Message], Receipt]:
    """The task of a worker process."""
    return Worker.open(settings).work
