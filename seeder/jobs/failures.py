"""Failures of a job: failed blocks with their errors, and messages in the dead-letter queue."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from seeder.jobs.ledger import complete
from seeder.jobs.messages import Job, Message, Receipt, error_kind
from seeder.jobs.plan import Tally
from seeder.jobs.receipts import Receipts
from seeder.select.blocks import BlockMask
from seeder.select.tilelist import tile_line
from tiler.errors import MessageError, TilerError
from tiler.grid import LEAF, Block
from tiler.storage.concurrent import overlap
from tiler.storage.store import Store

if TYPE_CHECKING:
    from seeder.aws.delivery import Delivery
    from seeder.aws.queue import QueueClient  # imports boto3, which takes 0.3 s

HIDE_SECONDS = 900  # seconds to hide dead letters from other readers
DEAD = "dead letter: no worker could process this message"


@dataclass(frozen=True, slots=True)
class Failure:
    """The failed tiles of a block, and their error."""

    block_mask: BlockMask
    error: str

    def lines(self) -> Iterator[str]:
        """The tiles as lines of a list, with the error as a comment."""
        block = self.block_mask.block
        mask = self.block_mask.tiles if block.size == LEAF else None
        comment = " ".join(self.error.split())
        return (f"{tile_line(tile)}  # {comment}" for tile in block.tiles(mask))


@dataclass(slots=True)
class Group:
    """Failures with similar errors; `error` is the first of them."""

    error: str
    blocks: int = 0
    tiles: int = 0
    first: list[str] = field(default_factory=list)  # blocks, at most three

    def add(self, failure: Failure) -> None:
        """Count a failure."""
        self.blocks += 1
        self.tiles += len(failure.block_mask)
        if len(self.first) < 3:
            self.first.append(str(failure.block_mask.block))


def grouped(failures: Iterable[Failure]) -> list[Group]:
    """Group failures by similar errors, the most frequent first."""
    groups: dict[str, Group] = {}
    for failure in failures:
        groups.setdefault(error_kind(failure.error), Group(failure.error)).add(failure)
    return sorted(groups.values(), key=lambda group: -group.tiles)


def failed_blocks(sources: Store, job: str) -> Iterator[Receipt]:
    """The receipts of failed blocks that are not done since, in any order.

    Raises:
        StoreError: the ledger could not be read.
    """
    done, failed = Receipts(sources, job), Receipts(sources, job, "failed")

    def undone(block: Block) -> Block | None:
        return None if done.has(block) else block

    return failed.read_all(block for block in overlap(undone, failed.blocks()) if block)


def failures(sources: Store, job: str) -> Iterator[Failure]:
    """The failures of a job, block by block."""
    for receipt in failed_blocks(sources, job):
        yield Failure(BlockMask(receipt.block, receipt.outcome.failed), receipt.outcome.error)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of the job in the dead-letter queue."""

    delivery: Delivery
    message: Message

    @property
    def failure(self) -> Failure:
        """The message as a failure."""
        request = self.message.request
        return Failure(BlockMask(request.block, request.tiles), DEAD)


@dataclass(frozen=True, slots=True)
class DeadQueue:
    """The dead-letter queue of a queue, if there is one, and all its messages."""

    queue: QueueClient | None
    deliveries: list[Delivery] = field(default_factory=list)

    def delete(self, deliveries: Iterable[Delivery]) -> None:
        """Delete messages."""
        for delivery in deliveries:
            if self.queue:
                self.queue.delete(delivery)


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The dead-letter queue, if there is one, and its messages of one job."""

    queue: DeadQueue
    found: list[DeadLetter]

    def open(self, sources: Store, job: str) -> list[DeadLetter]:
        """The dead letters of blocks that are not done; a resumed job may have done them since."""
        if not self.found or complete(sources, job):
            return []
        done = Receipts(sources, job)
        return [letter for letter in self.found if not done.has(letter.message.request.block)]

    def delete(self) -> None:
        """Delete the messages from the queue."""
        self.queue.delete(letter.delivery for letter in self.found)


@contextmanager
def dead_queue(queue: QueueClient) -> Iterator[DeadQueue]:
    """The messages in the dead-letter queue of `queue`; the ones not deleted in the block return afterwards.

    Raises:
        BadCloud, QueueError: the queue cannot be read.
    """
    dead = DeadQueue(queue.dead_queue())
    try:
        while dead.queue and (received := dead.queue.receive(10, wait=1, hide=HIDE_SECONDS)):
            dead.deliveries.extend(received)
        yield dead
    finally:
        for delivery in dead.deliveries:
            if dead.queue:
                _give_back(dead.queue, delivery)


@contextmanager
def dead_letters(queue: QueueClient, job: str) -> Iterator[DeadLetters]:
    """The messages of `job` in the dead-letter queue of `queue`; messages not deleted in the block return afterwards.

    Raises:
        BadCloud, QueueError: the queue cannot be read.
    """
    with dead_queue(queue) as dead:
        yield DeadLetters(
            dead, [letter for letter in map(_letter, dead.deliveries) if letter and letter.message.job == job]
        )


def _letter(delivery: Delivery) -> DeadLetter | None:
    try:
        return DeadLetter(delivery, Message.decode(delivery.body))
    except MessageError:
        return None


def _give_back(dead: QueueClient, delivery: Delivery) -> None:
    try:
        dead.hide(delivery.handle, 0)
    except TilerError:
        return  # it was deleted, or returns after HIDE_SECONDS


@dataclass(frozen=True, slots=True)
class Retry:
    """The failed blocks of a job, to be rendered again."""

    job: Job
    tally: Tally
    block_masks: list[BlockMask]

    @classmethod
    def of(cls, job: Job, sources: Store, letters: list[DeadLetter]) -> Retry:
        """All failed blocks of the ledger, and those of dead letters."""
        block_masks = {}
        for receipt in failed_blocks(sources, job.id):
            block_masks[receipt.block] = BlockMask(receipt.block, receipt.outcome.all)
        for letter in letters:
            block_masks.setdefault(letter.message.request.block, letter.failure.block_mask)
        tiles = sum(map(len, block_masks.values()))
        return cls(job, Tally(job.id, job.spec.layer, job.spec.revision, tiles), list(block_masks.values()))

    def messages(self, sizes: Container[int]) -> Iterator[Message]:
        """The messages of failed blocks; see `Work.messages`."""
        return (self.job.message(part) for block_mask in self.block_masks for part in block_mask.divided(sizes))
