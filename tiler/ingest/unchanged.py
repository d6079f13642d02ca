"""A check of a virtual layer's files, before tiles are rendered from them."""

from __future__ import annotations

from tiler.layers.catalog import Layer
from tiler.layers.origin import check_origins
from tiler.raster.datasets import OpenOptions
from tiler.scenes.source_files import beneath


def check_unchanged(layer: Layer) -> None:
    """Reject a virtual layer if its files changed since ingest, or new sidecars appeared.

    Raises:
        BadSource, SourceReadError: they changed.
    """
    if layer.origins:
        check_origins(layer.id, layer.source, layer.origins)  # first, because a missing file cannot be opened below
        now = beneath(layer.source, OpenOptions.of(layer.asked)).origins
        check_origins(layer.id, layer.source, layer.origins, now)
