"""What a worker does with a message: check it, fill its block or split it, leave a receipt."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from seeder.jobs.ledger import cancelled, load_job, put_receipt
from seeder.jobs.messages import Message, Receipt
from seeder.workers.breaker import Breaker
from tiler import timing
from tiler.errors import MessageError, MissingObject, Superseded
from tiler.grid import LEAF
from tiler.layers.catalog import Layer, Layers, superseding
from tiler.layers.fill import Guard, Outcome, Request, fill
from tiler.settings import Settings
from tiler.storage.store import Stores

Send = Callable[[Iterable[Message]], int]


def _refuse(_: Iterable[Message]) -> int:
    raise MessageError("a block larger than 8 x 8 can be split only by workers of a queue")


@dataclass(frozen=True, slots=True)
class Worker:
    """What a worker keeps between messages: its stores, each layer's metadata as last read, where parts are sent.

    And how its last blocks went: `breaker` stops a job of which too much fails.
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
        """Fill the message's block and put the receipt on record; split a block larger than 8 x 8.

        `again` says that the message was delivered before: what it stored then is not made once more. A message of a
        revision that is not the layer's current one is dropped, for its tiles would be out of date,
        and so is one of a cancelled job; if need be in the middle of its block. Harmless to repeat.

        Raises:
            StoreError, QueueError: nothing says that the block is done; the message must come again.
        """
        request = self._left(message) if again and message.request.force else message.request
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

    def _left(self, message: Message) -> Request:
        """The request of a message that comes again.

        Where its zoom was empty it says not to look for tiles, but by now some may be there; only a job that renders
        what exists needs them once more.
        """
        try:
            forced = load_job(self.stores.sources, message.job, listed=False).spec.force
        except (MissingObject, MessageError):
            return message.request
        return replace(message.request, force=forced)

    def _stale(self, message: Message, layer: Layer | None) -> str:
        """Why the message is dropped, or nothing."""
        if layer is None:
            return f"layer {message.layer} was removed"
        if now := superseding(layer, message.revision):
            return f"revision {message.revision} was superseded by revision {now}"
        return f"job {message.job} was stopped" if cancelled(self.stores.sources, message.job) else ""


def _dropped(request: Request, why: str) -> Receipt:
    return Receipt(request.block, Outcome(failed=request.tiles, error=why), fate="dropped")
