"""Process a message: check it, fill or split its block, put a receipt."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from seeder.jobs.ledger import cancelled, load_job, put_receipt
from seeder.jobs.messages import Message, Receipt
from seeder.workers.breaker import Breaker
from tiler import timing
from tiler.errors import MessageError, MissingObject, Superseded
from tiler.grid import LEAF
from tiler.layers.catalog import Layer, superseding
from tiler.layers.fill import Guard, Outcome, Request, fill
from tiler.layers.layer_cache import Layers
from tiler.settings import Settings
from tiler.storage.store import Stores

Send = Callable[[Iterable[Message]], int]


def _refuse(_: Iterable[Message]) -> int:
    raise MessageError("only workers of a queue can split a block larger than 8 x 8")


@dataclass(frozen=True, slots=True)
class Worker:
    """The state of a worker between messages: its stores, cached metadata of layers, and the queue for split blocks.

    `breaker` counts failed blocks and stops a job with too many.
    """

    stores: Stores
    layers: Layers
    send: Send
    breaker: Breaker

    @classmethod
    def open(cls, settings: Settings, send: Send = _refuse) -> Worker:
        """A worker on the stores of `settings`."""
        stores = Stores.open(settings.within(timing.WORKER_RETRY_SECONDS), create=True)
        return cls(stores, Layers(stores.sources), send, Breaker(stores.sources))

    def work(self, message: Message, *, again: bool = False) -> Receipt:
        """Fill the message's block and record the receipt; split a block larger than 8 x 8.

        `again` means that the message was delivered before: tiles stored then are not rendered again. A message of a
        superseded revision or a cancelled job is dropped, if necessary in the middle of its block. Harmless to repeat.

        Raises:
            StoreError, QueueError: the block is not recorded as done; the message must be redelivered.
        """
        request = self._redelivered(message) if again and message.request.force else message.request
        guard = Guard(lambda: self._stale(message, self.layers.get(message.layer)))
        layer = self.layers.get(message.layer)
        why = self._stale(message, layer)
        if layer is None or why:
            return _dropped(request, why)
        if request.block.size > LEAF:
            self.send(message.parts())
            return Receipt(request.block, Outcome(), fate="split")
        try:
            outcome = fill(layer, self.stores, request, guard)
        except Superseded as error:
            return _dropped(request, str(error))
        receipt = Receipt(request.block, outcome)
        put_receipt(self.stores.sources, message.job, receipt)
        self.breaker.add_receipt(message.job, receipt)
        return receipt

    def _redelivered(self, message: Message) -> Request:
        """The request of a redelivered message.

        If its zoom was empty at planning time, the message skips the check for stored tiles. By now some may be stored,
        and only a job that re-renders existing tiles needs them again.
        """
        try:
            forced = load_job(self.stores.sources, message.job, listed=False).spec.force
        except (MissingObject, MessageError):
            return message.request
        return replace(message.request, force=forced)

    def _stale(self, message: Message, layer: Layer | None) -> str:
        """The reason to drop the message, or nothing."""
        if layer is None:
            return f"layer {message.layer} was removed"
        if current := superseding(layer, message.revision):
            return f"revision {message.revision} was superseded by revision {current}"
        return f"job {message.job} was stopped" if cancelled(self.stores.sources, message.job) else ""


def _dropped(request: Request, why: str) -> Receipt:
    return Receipt(request.block, Outcome(failed=request.tiles, error=why), fate="dropped")
