"""Legends with the shares of classes, counted once for each revision."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock

from tiler.layers.catalog import Layer
from tiler.layers.class_shares import shares
from tiler.layers.pyramid import Pyramid
from tiler.raster.legend import Classes, Legend
from tiler.storage.store import Store

KEPT = 64  # revisions whose shares are kept


@dataclass(slots=True)
class Shares:
    """The shares of classes by layer and revision. Ask in a thread that keeps rasters open."""

    sources: Store
    _known: dict[tuple[str, str], dict[int, float]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def legend(self, layer: Layer) -> Legend | None:
        """The legend of a layer, with the shares of its classes if the layer has parts.

        Raises:
            SourceReadError, CatalogError, StoreError: see `shares`.
        """
        legend, name = layer.legend, (layer.id, layer.revision)
        if not isinstance(legend, Classes) or not isinstance(layer.bake, Pyramid):
            return legend
        with self._lock:
            if name not in self._known:
                counted = shares(layer, layer.bake, self.sources)
                while len(self._known) >= KEPT:
                    del self._known[next(iter(self._known))]
                self._known[name] = counted
            return legend.with_shares(self._known[name])
