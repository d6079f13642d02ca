"""Run a job: plan its blocks, send the unfinished ones, add up their receipts."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import takewhile
from typing import Protocol

from seeder.jobs.block_set import BlockSet
from seeder.jobs.ledger import (
    Run,
    delete_receipts,
    load_run,
    put_run,
    stopped,
)
from seeder.jobs.messages import Job, Message, Receipt, error_kind
from seeder.jobs.queue import Queue
from seeder.jobs.runner import Runner
from seeder.select.blocks import BlockMask, Count
from seeder.select.order import Order
from seeder.select.selection import regions
from tiler.errors import StoreError, TilerError
from tiler.grid import LEAF
from tiler.layers.catalog import Layer
from tiler.layers.fill import Outcome
from tiler.storage.store import Store, Stores


@dataclass(slots=True)
class Tally:
    """Running totals of a job. `tiles` is the number of planned tiles; the other fields count finished ones."""

    job: str
    layer: str
    revision: str
    tiles: int
    written: int = 0
    empty: int = 0
    skipped: int = 0
    failed: int = 0
    bytes: int = 0
    seconds: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)  # first error of each kind: failed tiles

    @property
    def done(self) -> int:
        """The number of finished tiles, whatever their result."""
        return self.written + self.empty + self.skipped + self.failed

    def to_json(self) -> dict[str, str | int | float]:
        """The summary's JSON form."""
        return {name: value for name, value in asdict(self).items() if name != "errors"}

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Add the seconds spent in the block."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds = round(self.seconds + time.monotonic() - start, 3)

    def add(self, outcome: Outcome) -> int:
        """Add the outcome of a block; return its number of tiles."""
        before = self.done
        self.written += outcome.written.bit_count()
        self.empty += outcome.empty.bit_count()
        self.skipped += outcome.skipped.bit_count()
        self.failed += outcome.failed.bit_count()
        self.bytes += outcome.bytes
        if outcome.error:
            alike = next(
                (error for error in self.errors if error_kind(error) == error_kind(outcome.error)), outcome.error
            )
            self.errors[alike] = self.errors.get(alike, 0) + outcome.failed.bit_count()
        return self.done - before


@dataclass(frozen=True, slots=True)
class Plan:
    """A job and its remaining work: `tally` counts the tiles of earlier runs, `done` has their blocks.

    `fresh` are the zooms without any stored tile at planning time, so that workers need not check for tiles.
    """

    job: Job
    layer: Layer
    counts: dict[int, Count]
    tally: Tally
    done: BlockSet
    fresh: frozenset[int]
    order: Order = field(default_factory=Order)

    @property
    def resumed(self) -> bool:
        """Whether an earlier run finished any block."""
        return bool(self.done)

    @property
    def blocks(self) -> int:
        """The number of 8 x 8 blocks, including finished ones."""
        return Count.total(self.counts).blocks

    def messages(self, sizes: Container[int]) -> Iterator[Message]:
        """The messages of the remaining blocks, of `sizes`, generated lazily."""
        for block_mask in self.order.block_masks(regions(self.layer, self.job.spec.selection), sizes):
            for remaining in self._remaining(block_mask):
                yield self.job.message(remaining, force=remaining.block.z in self.fresh)

    def _remaining(self, block_mask: BlockMask) -> Iterator[BlockMask]:
        """The parts of a block mask that are not done."""
        if not self.done.touches(block_mask.block):
            yield block_mask
        elif block_mask.block.size > LEAF:
            for part in block_mask.parts():
                yield from self._remaining(part)


class Work(Protocol):
    """The blocks of a job to be rendered."""

    @property
    def job(self) -> Job:
        """The job."""
        ...

    @property
    def tally(self) -> Tally:
        """The totals so far, to which new receipts are added."""
        ...

    def messages(self, sizes: Container[int]) -> Iterator[Message]:
        """The messages of the remaining blocks, of `sizes`."""
        ...


def run(
    work: Work,
    queue: Callable[[Callable[[Receipt], None]], Queue],
    stores: Stores,
    *,
    most: float,
    progress: Callable[[int], object],
) -> str:
    """Send the remaining blocks and add up their receipts; return the reason if the job was stopped, or nothing.

    `queue` creates the queue, given a callback for receipts. The job is stopped if more than the fraction `most` of its
    blocks fail. `progress` gets the number of finished tiles.
    """
    tally, job = work.tally, work.job.id
    dropped = ""

    def add_receipt(receipt: Receipt) -> None:
        nonlocal dropped
        if receipt.fate == "dropped":
            dropped = receipt.outcome.error
        else:
            progress(tally.add(receipt.outcome))

    delete_receipts(stores.sources, job, "failed")
    with tally.timed(), _recorded(job, stores.sources, Run("", datetime.now(UTC), most, by=Runner.here())):
        pool = queue(add_receipt)
        pool.send(takewhile(lambda _: not dropped, work.messages(pool.sizes)))
    stop = stopped(stores.sources, job) if dropped else None
    return stop.why if stop else dropped


@contextmanager
def _recorded(job: str, sources: Store, run: Run) -> Iterator[None]:
    """Record the start and the end of a run in the ledger."""
    put_run(sources, job, run)
    why = "interrupted"
    try:
        yield
        why = ""
    except (TilerError, OSError, MemoryError) as error:
        why = str(error) or type(error).__name__
        raise
    finally:
        with suppress(StoreError):  # the error that ended the run matters more
            latest = load_run(sources, job)
            if latest and latest.begun == run.begun:  # no other run replaced it meanwhile
                put_run(sources, job, replace(run, ended=True, why=why))
