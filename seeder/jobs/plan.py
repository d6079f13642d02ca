"""Seeding a layer: plan its blocks, send those that are not done, add up what became of them."""

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
    """What became of a job's tiles so far. `tiles` is all that it has to do; the rest counts what is done."""

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
    errors: dict[str, int] = field(default_factory=dict)  # the first of its kind: tiles

    @property
    def done(self) -> int:
        """Tiles that are settled, one way or another."""
        return self.written + self.empty + self.skipped + self.failed

    def to_json(self) -> dict[str, str | int | float]:
        """The summary's JSON form."""
        return {name: value for name, value in asdict(self).items() if name != "errors"}

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Adds the seconds that pass within."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds = round(self.seconds + time.monotonic() - start, 3)

    def add(self, outcome: Outcome) -> int:
        """Count a block's tiles; returns how many there were."""
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
    """A job and what is left of it: `tally` counts what earlier runs did, `done` holds their blocks.

    `fresh` are the zooms of which no tile was there when the plan was made, so that none need be looked for.
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
        """Whether an earlier run did part of it."""
        return bool(self.done)

    @property
    def blocks(self) -> int:
        """Blocks of 8 x 8 tiles, those that are done included."""
        return Count.total(self.counts).blocks

    def messages(self, sizes: Container[int]) -> Iterator[Message]:
        """The blocks that are left, in `sizes`, as they are drawn."""
        for block_mask in self.order.block_masks(regions(self.layer, self.job.spec.selection), sizes):
            for left in self._left(block_mask):
                yield self.job.message(left, force=left.block.z in self.fresh)

    def _left(self, block_mask: BlockMask) -> Iterator[BlockMask]:
        """What of a piece is not done."""
        if not self.done.touches(block_mask.block):
            yield block_mask
        elif block_mask.block.size > LEAF:
            for part in block_mask.parts():
                yield from self._left(part)


class Work(Protocol):
    """What is to be rendered of a job."""

    @property
    def job(self) -> Job:
        """The job."""
        ...

    @property
    def tally(self) -> Tally:
        """What is done already, and who hears of what follows."""
        ...

    def messages(self, sizes: Container[int]) -> Iterator[Message]:
        """What is left, in blocks of `sizes`."""
        ...


def run(
    work: Work,
    queue: Callable[[Callable[[Receipt], None]], Queue],
    stores: Stores,
    *,
    most: float,
    progress: Callable[[int], object],
) -> str:
    """Send what is left and add up the receipts; returns why not all of it was done, or nothing.

    `queue` makes the queue from what hears of receipts. `most` is the share of failed blocks beyond which the job is
    stopped. `progress` is told of tiles as they are settled.
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
    with tally.timed(), _on_record(job, stores.sources, Run("", datetime.now(UTC), most, by=Runner.here())):
        pool = queue(add_receipt)
        pool.send(takewhile(lambda _: not dropped, work.messages(pool.sizes)))
    stop = stopped(stores.sources, job) if dropped else None
    return stop.why if stop else dropped


@contextmanager
def _on_record(job: str, sources: Store, run: Run) -> Iterator[None]:
    """The run stands in the ledger, with its end."""
    put_run(sources, job, run)
    why = "it was interrupted"
    try:
        yield
        why = ""
    except (TilerError, OSError, MemoryError) as error:
        why = str(error) or type(error).__name__
        raise
    finally:
        with suppress(StoreError):  # what made it end matters more
            now = load_run(sources, job)
            if now and now.begun == run.begun:  # nobody took over meanwhile
                put_run(sources, job, replace(run, ended=True, why=why))
