"""The public TileJSON of layers, and the revision that it names."""

from __future__ import annotations

import json
import math

from tiler import keys
from tiler.errors import MissingObject
from tiler.inputs import read_json
from tiler.layers import history
from tiler.layers.catalog import Layer
from tiler.layers.credit import plain_markup
from tiler.storage.store import Store, Stores

DAMAGED = f"?v={history.UNKNOWN}"  # stands for the address in a damaged TileJSON


def announce(layer: Layer, stores: Stores, *, keep: bool = False) -> None:
    """Put the current revision into the TileJSON, so that browsers and CDNs request its tiles.

    With `keep`, the revision in its addresses stays, if it has one: few tiles changed, and the CDN forgets these.
    """
    old = named(layer.id, stores.tiles) if keep else ""
    put_tilejson(layer, stores, layer.revision if old in ("", history.UNKNOWN) else old)


def has_other_address(layer: str, stores: Stores) -> bool:
    """Whether the layer's TileJSON has another address than that of `stores`, or is missing."""
    return not address(layer, stores.tiles).startswith(f"{stores.url}/{layer}/")


def rewrite_address(layer: Layer, stores: Stores) -> None:
    """Rewrite TileJSON with the address of `stores`; keep the revision in it."""
    put_tilejson(layer, stores, addressed(layer, stores.tiles))


def put_tilejson(layer: Layer, stores: Stores, revision: str, *, expected: str | None = None) -> None:
    """Put the TileJSON of a layer with `revision` in its addresses; for `expected` see `Store.put`.

    Raises:
        Changed: it is not the TileJSON of that version.
    """
    key, public = keys.tilejson_key(layer.id), tilejson(layer, stores.url, revision)
    stores.tiles.put(key, public, content_type="application/json", cache_control="no-cache", expected=expected)


def shown(layer: str, tiles: Store) -> str:
    """The revision in the layer's TileJSON; empty unless tiles are stored."""
    return named(layer, tiles) if stored(layer, tiles) else ""


def pending(layer: Layer, stores: Stores) -> str:
    """The revision in the layer's TileJSON, if tiles of another than the current one may be stored; else empty."""
    old = shown(layer.id, stores.tiles)
    known = history.publications(stores.sources, layer.id, layer.revision, lambda: old)
    return old if old != layer.revision and any(each.revision != layer.revision for each in known) else ""


def stored(layer: str, tiles: Store) -> bool:
    """Whether any tile of the layer is stored."""
    zooms = (int(name) for name in tiles.folders(keys.layer_prefix(layer)) if name.isdecimal())
    return any(not tiles.empty(keys.zoom_prefix(layer, z)) for z in zooms)


def named(layer: str, tiles: Store) -> str:
    """The revision in the layer's TileJSON; empty if there is none, `history.UNKNOWN` if it cannot be read."""
    return address(layer, tiles).partition("?v=")[2]


def address(layer: str, tiles: Store) -> str:
    """The address of tiles in the layer's TileJSON; empty if there is none, DAMAGED if it cannot be read."""
    try:
        return str(read_json(tiles.get(keys.tilejson_key(layer)))["tiles"][0])
    except MissingObject:
        return ""
    except (KeyError, IndexError, TypeError, ValueError):
        return DAMAGED


def addressed(layer: Layer, tiles: Store) -> str:
    """The revision in the URLs of the layer's tiles."""
    return named(layer.id, tiles) or layer.revision


def tilejson(layer: Layer, url: str, revision: str) -> bytes:
    """TileJSON 3.0.0 of `layer`, with tiles below `url` and `revision` in their URLs.

    TileJSON bounds must not cross the antimeridian; for a layer that does, they span all longitudes, and `center` gives
    its place.
    """
    longitude, latitude = layer.bounds.center
    first = max(
        layer.minzoom, min(layer.maxzoom, round(math.log2(360 / layer.bounds.width)) + 1)
    )  # about two tiles wide
    fields = {
        "tilejson": "3.0.0",
        "name": layer.title,
        "scheme": "xyz",
        "tiles": [f"{url}/{keys.tile_template(layer.id, layer.format)}?v={revision}"],
        "bounds": list(layer.bounds.plain),
        "center": [longitude, latitude, first],
        "minzoom": layer.minzoom,
        "maxzoom": layer.maxzoom,
    }
    if layer.description:
        fields["description"] = layer.description
    if legend := layer.legend:
        fields["legend"] = legend.to_json()
    if layer.attribution:
        fields["attribution"] = plain_markup(layer.attribution)  # earlier versions stored it unfiltered
    if layer.encoding:  # for MapLibre's raster-dem sources
        fields["encoding"] = layer.encoding
    return (json.dumps(fields, indent=1) + "\n").encode()
