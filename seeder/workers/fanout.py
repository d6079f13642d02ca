"""A job for the workers of a queue: sent, and followed by its receipts to an end that tells the truth."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from seeder.aws.queue import Depth
from seeder.jobs.ledger import Run, delete_receipts, finished, load_run, put_run, read_receipts, stopped
from seeder.jobs.messages import Message, Receipt
from seeder.jobs.plan import Plan, Work
from seeder.jobs.runner import Runner
from seeder.jobs.stuck import is_stuck
from seeder.select.blocks import BlockMask
from seeder.workers.breaker import MAX_FAILED_SHARE
from seeder.workers.sqs import SqsQueue
from tiler import timing
from tiler.errors import TilerError
from tiler.grid import Block
from tiler.layers.catalog import Layers, superseding
from tiler.storage.store import Stores


@dataclass(frozen=True, slots=True)
class Watch:
    """A job to follow: who hears of receipts, and how patiently."""

    plan: Plan
    queue: SqsQueue
    stores: Stores
    progress: Callable[[int], object]
    pause: float = timing.POLL_SECONDS

    def add_receipt(self, receipt: Receipt) -> None:
        """Count a receipt."""
        self.progress(self.plan.tally.add(receipt.outcome))


def send(
    work: Work,
    queue: SqsQueue,
    stores: Stores,
    *,
    progress: Callable[[int], object],
    most: float = MAX_FAILED_SHARE,
    again: bool = False,
) -> int:
    """Send what is left to do; returns how many messages, 0 where they are under way already.

    They are taken to be, unless `again`, when all were sent once and the queue is not empty, so that following a job
    does not send it twice. `most` is the share of failed blocks beyond which workers stop the job. `progress` is told
    of tiles as they are sent.

    Raises:
        BadCloud, QueueError: the queue cannot be used, or refused blocks; the same call again sends the rest.
    """
    sources, job = stores.sources, work.job.id
    before = load_run(sources, job)
    if not again and before and before.sent and before.queue == queue.url and queue.depth():
        return 0

    def told() -> Iterator[Message]:
        for message in work.messages(queue.sizes):
            yield message
            progress(len(BlockMask(message.request.block, message.request.tiles)))

    run = Run(queue.url, datetime.now(UTC), most, by=Runner.here())
    put_run(sources, job, run)
    delete_receipts(sources, job, "failed")
    number = queue.send(told())
    put_run(sources, job, replace(run, sent=True))
    return number


@dataclass(slots=True)
class _Silence:
    """How long there was neither a receipt nor a message."""

    since: float = field(default_factory=time.monotonic)
    held: float = 0.0  # when the queue last held messages, or did not answer

    def seconds(self) -> float:
        return time.monotonic() - self.since

    def empty(self) -> float:
        return time.monotonic() - self.held

    def broken(self) -> None:
        self.since = time.monotonic()

    def full(self) -> None:
        self.held = time.monotonic()


def follow(watch: Watch) -> str:
    """Wait until every block has a receipt, done or failed; returns why if that does not come to pass, else nothing.

    The queue's own counts are asked only when no receipt came for a while. When a job is stuck tells `is_stuck`.

    Raises:
        StoreError: the ledger could not be read.
    """
    sources, job, done = watch.stores.sources, watch.plan.job, watch.plan.done
    layers = Layers(sources)
    silence = _Silence()
    while True:
        start = time.monotonic()
        if _read(watch):
            silence.broken()
        failed = [block for block in finished(sources, job.id, "failed") if block not in done]
        why = _ended(watch, layers, failed, silence)
        if why is not None:
            for receipt in read_receipts(sources, job.id, failed, "failed"):
                watch.add_receipt(receipt)
            return why
        time.sleep(max(watch.pause, 2 * (time.monotonic() - start)))


def _ended(watch: Watch, layers: Layers, failed: list[Block], silence: _Silence) -> str | None:
    """Why nothing more is to come: nothing where all is settled, None while something may."""
    plan, spec = watch.plan, watch.plan.job.spec
    if len(plan.done) + len(failed) >= plan.blocks:
        return ""
    layer = layers.get(spec.layer)
    if superseding(layer, spec.revision):
        return f"revision {spec.revision} of the layer was superseded: seed again"
    stop = stopped(watch.stores.sources, plan.job.id)
    if stop is not None:
        return stop.why
    if min(silence.seconds(), silence.empty()) > timing.STUCK_SECONDS / 4:
        depth = _depth(watch)
        if depth is None or depth:
            silence.full()
        if is_stuck(silence.seconds(), depth, asked=True, empty=silence.empty()):
            if _receipts(watch) <= len(plan.done) + len(failed):
                return _lost(watch, failed, depth)
            silence.broken()
    return None


def _receipts(watch: Watch) -> int:
    """How many blocks have a receipt by now; the last may have come after a look, just before the queue was empty."""
    sources, job = watch.stores.sources, watch.plan.job.id
    return len({*finished(sources, job), *finished(sources, job, "failed")})


def _read(watch: Watch) -> int:
    """Count the receipts that are new; returns how many."""
    sources, job, done = watch.stores.sources, watch.plan.job.id, watch.plan.done
    fresh = [block for block in finished(sources, job) if block not in done]
    for receipt in read_receipts(sources, job, fresh):
        done.add(receipt.block)
        watch.add_receipt(receipt)
    return len(fresh)


def _depth(watch: Watch) -> Depth | None:
    """How deep the queue is, None where nobody knows."""
    try:
        return watch.queue.depth()
    except TilerError:
        return None


def _lost(watch: Watch, failed: list[Block], depth: Depth | None) -> str:
    missing = watch.plan.blocks - len(watch.plan.done) - len(failed)
    if depth is None or depth:
        span = timedelta(seconds=timing.STUCK_BUSY_SECONDS)
        return f"{missing:,} blocks have no receipt, and none came for {span}: look at the workers, then run it again"
    dead = f", {depth.dead:,} messages are in the dead-letter queue" if depth.dead else ""
    return f"{missing:,} blocks have no receipt though the queue is empty{dead}: run the same command again"
