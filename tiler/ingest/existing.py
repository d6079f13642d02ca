"""The parts of a layer that its stores hold already."""

from __future__ import annotations

from tiler import keys
from tiler.errors import CatalogError, UnknownLayer
from tiler.layers import catalog, history
from tiler.layers.catalog import Layer
from tiler.layers.pyramid import Pyramid, missing_objects
from tiler.storage.store import Store, Stores


def current_layer(sources: Store, layer: str, *, repair: bool = False) -> Layer | None:
    """The current revision; None if there is none, or with `repair` if its metadata is damaged.

    Raises:
        CatalogError: the metadata is damaged.
        NewerMetadata: it is of a newer version, which nothing repairs.
    """
    try:
        return catalog.load_layer(sources, layer)
    except UnknownLayer:
        return None
    except CatalogError:
        if not repair:
            raise
        return None


def kept_revision(sources: Store, layer: str, revision: str) -> Layer | None:
    """A revision, if its metadata is kept and undamaged.

    Raises:
        NewerMetadata: the metadata is of a newer version.
    """
    try:
        return catalog.load_revision(sources, layer, revision)
    except CatalogError:
        return None


def is_current(layer: Layer | None, revision: str, source: str, stores: Stores) -> bool:
    """Whether a layer is complete and of this `revision`; a virtual layer must also name `source`."""
    if layer is None or layer.revision != revision:
        return False
    return bool(layer.bake or layer.source == source) and is_complete(layer, stores)


def is_complete(layer: Layer, stores: Stores) -> bool:
    """Whether the history, TileJSON and parts of a layer's current revision are stored."""
    if not history.sound(stores.sources, layer.id):
        return False
    published = stores.tiles.has(keys.tilejson_key(layer.id))
    return published and is_stored(layer, stores.sources)


def is_stored(layer: Layer, sources: Store) -> bool:
    """Whether all that was baked for a layer is stored, with an undamaged manifest."""
    if isinstance(layer.bake, Pyramid):
        try:
            return not missing_objects(layer.id, sources, layer.bake)
        except CatalogError:
            return False
    return layer.bake is None or sources.has(layer.source)
