"""Send a job to the workers of a queue, and follow its receipts to the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from seeder.aws.queue import Depth
from seeder.defaults import MAX_FAILED_SHARE
from seeder.jobs.compaction import Compactor
from seeder.jobs.ledger import Run, delete_receipts, finished, load_run, put_run, read_receipts, stopped
from seeder.jobs.messages import Message, Receipt
from seeder.jobs.plan import Plan, Work
from seeder.jobs.receipts import Receipts
from seeder.jobs.runner import Runner
from seeder.jobs.stuck import is_stuck
from seeder.select.blocks import BlockMask
from seeder.workers.sqs import SqsQueue
from tiler import timing
from tiler.errors import TilerError
from tiler.grid import Block
from tiler.layers.catalog import superseding
from tiler.layers.layer_cache import Layers
from tiler.storage.store import Stores


@dataclass(frozen=True, slots=True)
class Watch:
    """A job to follow. `progress` gets the number of finished tiles; `pause` is the polling interval in seconds."""

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
    """Send the remaining messages; return their number, 0 if they are in the queue already.

    If all were sent before and the queue is not empty, nothing is sent unless `again`, so following a job does not send
    it twice. Workers stop the job if more than the fraction `most` of its blocks fail. `progress` gets the number of
    tiles sent.

    Raises:
        BadCloud, QueueError: the queue cannot be used, or refused blocks; repeat the call to send the rest.
    """
    sources, job = stores.sources, work.job.id
    before = load_run(sources, job)
    if not again and before and before.sent and before.queue == queue.url and queue.depth():
        return 0

    def counted() -> Iterator[Message]:
        for message in work.messages(queue.sizes):
            yield message
            progress(len(BlockMask(message.request.block, message.request.tiles)))

    run = Run(queue.url, datetime.now(UTC), most, by=Runner.here())
    put_run(sources, job, run)
    delete_receipts(sources, job, "failed")
    number = queue.send(counted())
    put_run(sources, job, replace(run, sent=True))
    return number


@dataclass(slots=True)
class _Silence:
    """Times since the last receipt and since the queue last held a message."""

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
    """Wait until every block has a receipt, done or failed; return nothing, or the reason if this cannot happen.

    The queue's counts are read only if no receipt came for a while. `is_stuck` decides when to give up. Receipts are
    compacted as they are read, so that the next listing shows only new ones.

    Raises:
        StoreError: the ledger could not be read.
    """
    sources, job, done = watch.stores.sources, watch.plan.job, watch.plan.done
    layers = Layers(sources)
    silence, compactor = _Silence(), Compactor(sources, job.id)
    while True:
        start = time.monotonic()
        if _read(watch, compactor):
            silence.broken()
        failed = [block for block in finished(sources, job.id, "failed") if block not in done]
        why = _ended(watch, layers, failed, silence)
        if why is not None:
            for receipt in read_receipts(sources, job.id, failed, "failed"):
                watch.add_receipt(receipt)
            compactor.close()
            return why
        time.sleep(max(watch.pause, 2 * (time.monotonic() - start)))


def _ended(watch: Watch, layers: Layers, failed: list[Block], silence: _Silence) -> str | None:
    """The reason why no more receipts will come, empty if all blocks have one; None while more may come."""
    plan, spec = watch.plan, watch.plan.job.spec
    if len(plan.done) + len(failed) >= plan.blocks:
        return ""
    layer = layers.get(spec.layer)
    if superseding(layer, spec.revision):
        return f"revision {spec.revision} of the layer was superseded: run `seed` again"
    stop = stopped(watch.stores.sources, plan.job.id)
    if stop is not None:
        return stop.why
    if min(silence.seconds(), silence.empty()) > timing.STUCK_SECONDS / 4:
        depth = _depth(watch)
        if depth is None or depth:
            silence.full()
        if is_stuck(silence.seconds(), depth, sent=True, empty=silence.empty()):
            if _receipts(watch) <= len(plan.done) + len(failed):
                return _stuck(watch, failed, depth)
            silence.broken()
    return None


def _receipts(watch: Watch) -> int:
    """Count the blocks with a receipt again: the last may have been written just before the queue became empty."""
    sources, job = watch.stores.sources, watch.plan.job.id
    return len({*finished(sources, job), *finished(sources, job, "failed")})


def _read(watch: Watch, compactor: Compactor) -> int:
    """Add up new receipts, and compact them; return their number."""
    done, before = watch.plan.done, len(watch.plan.done)
    for receipt, modified in Receipts(watch.stores.sources, watch.plan.job.id).unread(done):
        done.add(receipt.block)
        watch.add_receipt(receipt)
        if modified:
            compactor.add(receipt, modified)
    return len(done) - before


def _depth(watch: Watch) -> Depth | None:
    """The depth of the queue, or None if it cannot be read."""
    try:
        return watch.queue.depth()
    except TilerError:
        return None


def _stuck(watch: Watch, failed: list[Block], depth: Depth | None) -> str:
    missing = watch.plan.blocks - len(watch.plan.done) - len(failed)
    if depth is None or depth:
        span = timedelta(seconds=timing.STUCK_BUSY_SECONDS)
        return (
            f"{missing:,} blocks have no receipt, and none came for {span}: "
            "check the workers, then run the same command again"
        )
    dead = f", {depth.dead:,} messages are in the dead-letter queue" if depth.dead else ""
    return f"{missing:,} blocks have no receipt although the queue is empty{dead}: run the same command again"
