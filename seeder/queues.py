"""Where blocks are sent to be rendered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from seeder.jobs import Message, Receipt
from seeder.worker import Worker
from tiler.processes import stream
from tiler.settings import Settings


class Queue(Protocol):
    """Takes messages to workers, each at least once."""

    def send(self, messages: Iterable[Message]) -> int:
        """Send `messages` as they come, holding only a few; return how many.

        Raises:
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

    def send(self, messages: Iterable[Message]) -> int:
        """Work `messages` off; see `Queue.send`."""
        sent = 0
        for receipt in stream(_work, messages, jobs=self.jobs, setup=partial(_prepare, self.settings)):
            self.on_receipt(receipt)
            sent += 1
        return sent


_worker: Worker | None = None  # one a process


def _prepare(settings: Settings) -> None:
    global _worker
    _worker = Worker.open(settings)


def _work(message: Message) -> Receipt:
    assert _worker is not None, "stream() runs the setup first"
    return _worker.work(message)
