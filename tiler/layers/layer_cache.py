"""A cache of layers by name, for processes that serve requests."""

from __future__ import annotations

import math
import time

from tiler import keys
from tiler.errors import MissingObject
from tiler.layers.catalog import Layer, parse
from tiler.storage.store import Store

KNOWN = 256  # layers whose metadata a process caches


class Layers:
    """A cache of layers by name: metadata is read again after `ttl` seconds, and parsed again only if it changed.

    Missing layers are cached as long.
    """

    def __init__(self, sources: Store, ttl: float = 0.0) -> None:
        self._sources = sources
        self._ttl = ttl
        self._known: dict[str, tuple[float, bytes | None, Layer | None]] = {}

    def get(self, name: str) -> Layer | None:
        """The layer's current revision; None if there is no such layer.

        Raises:
            BadName: it is not a valid layer name.
            CatalogError, NewerMetadata: its metadata is damaged, or of a newer version.
            StoreError: its metadata could not be read.
        """
        key = keys.index_key(keys.check_layer(name))
        read, before, layer = self._known.get(name, (-math.inf, None, None))
        now = time.monotonic()
        if now - read < self._ttl:
            return layer
        try:
            data: bytes | None = self._sources.get(key)
        except MissingObject:
            data = None
        if data != before:
            layer = None if data is None else parse(data, key)
        self._known.pop(name, None)
        if len(self._known) == KNOWN:
            del self._known[next(iter(self._known))]
        self._known[name] = (now, data, layer)
        return layer
