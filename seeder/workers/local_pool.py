"""The queue of this machine: a pool of processes that render blocks. `sqs` has the other queue."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain

from seeder.defaults import CORES
from seeder.jobs.messages import Message, Receipt
from seeder.workers.process_block import Worker
from tiler.grid import LEAF
from tiler.processes import stream
from tiler.settings import Settings

TILES_PER_PROCESS = 256  # of 256 pixels: their rendering takes as long as the start of a process, about 0.6 s


@dataclass(frozen=True, slots=True)
class LocalPool:
    """A queue without AWS: `jobs` processes of this machine, each with its own worker.

    Without `jobs`, there is one process per core, but at least `TILES_PER_PROCESS` tiles for each. A single process is
    this one. `send` returns after the last message was processed; `on_receipt` is called with each receipt.
    """

    settings: Settings
    jobs: int | None
    on_receipt: Callable[[Receipt], None]

    @property
    def sizes(self) -> Container[int]:
        """See `Queue.sizes`."""
        return (LEAF,)

    def send(self, messages: Iterable[Message]) -> int:
        """Process `messages`; see `Queue.send`."""
        sent = 0
        messages, jobs = (messages, self.jobs) if self.jobs else _counted(messages)
        for receipt in stream(partial(_working, self.settings), messages, jobs=jobs):
            self.on_receipt(receipt)
            sent += 1
        return sent


def processes_for(tiles: int) -> int:
    """The number of processes that the rendering of `tiles`, of 256 pixels, is worth on this machine."""
    return max(1, min(CORES, tiles // TILES_PER_PROCESS))


def _counted(messages: Iterable[Message]) -> tuple[Iterator[Message], int]:
    """The messages, and the number of processes that their tiles are worth."""
    source = iter(messages)
    taken: list[Message] = []
    tiles = 0
    while tiles < CORES * TILES_PER_PROCESS and (message := next(source, None)):
        taken.append(message)
        tiles += message.request.tiles.bit_count() * message.request.variant.scale**2
    return chain(taken, source), processes_for(tiles)


def _working(settings: Settings) -> Callable[[Message], Receipt]:
    """The task of a worker process."""
    return Worker.open(settings).work
