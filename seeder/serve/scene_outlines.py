"""The outlines of a layer's scenes for the preview, as GeoJSON. They name files, so they are published on demand."""

from __future__ import annotations

import json

from tiler.keys import scenes_key
from tiler.layers.catalog import Layer
from tiler.scenes.order import ordered
from tiler.scenes.outlines import outlines
from tiler.scenes.scene_list import parse
from tiler.storage.store import Store

NAME, TYPE = "scenes.geojson", "application/geo+json"


def document(layer: Layer, sources: Store) -> bytes:
    """The outlines of the scenes of a layer, the lowest first; none for a layer of one raster.

    Raises:
        CatalogError, StoreError: the list of scenes could not be read.
    """
    if not layer.scenes:
        return json.dumps(outlines(())).encode()
    key = scenes_key(layer.id, layer.revision)
    kept = parse(sources.get(key), key)
    return json.dumps(outlines(ordered(kept.scenes, kept.overlap)), separators=(",", ":")).encode()
