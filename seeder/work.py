"""What a worker does with a message: check it, fill its block, leave a receipt."""

from __future__ import annotations

from dataclasses import dataclass

from seeder.jobs import Message, Receipt, put_receipt
from tiler import keys
from tiler.catalog import Layer, parse
from tiler.errors import MissingObject
from tiler.fill import Outcome, fill
from tiler.settings import Settings
from tiler.storage import Stores


@dataclass(slots=True)
class Worker:
    """What a worker keeps between messages: its stores, and each layer's metadata as last read."""

    stores: Stores
    layers: dict[str, tuple[bytes, Layer]]

    @classmethod
    def open(cls, settings: Settings) -> Worker:
        """A worker on the stores of `settings`."""
        return cls(Stores.open(settings, create=True), {})

    def work(self, message: Message) -> Receipt:
        """Fill the message's block and put the receipt on record.

        A message of a revision that is not the layer's current one is dropped: its tiles would be out of date.

        Raises:
            StoreError: a store failed; nothing says that the block is done, and the message may be sent again.
        """
        layer = self._layer(message.layer)
        request = message.request
        if layer is None or layer.revision != message.revision:
            now = f"revision {layer.revision}" if layer else "nothing"
            error = f"revision {message.revision} was superseded by {now}"
            return Receipt(request.block, Outcome(failed=request.tiles, error=error), dropped=True)
        receipt = Receipt(request.block, fill(layer, self.stores, request))
        put_receipt(self.stores.sources, message.job, receipt)
        return receipt

    def _layer(self, name: str) -> Layer | None:
        """The layer as it is now; parsed again only where its metadata changed."""
        key = keys.index_key(name)
        try:
            data = self.stores.sources.get(key)
        except MissingObject:
            return None
        known = self.layers.get(name)
        if known is None or known[0] != data:
            known = self.layers[name] = (data, parse(data, key))
        return known[1]
