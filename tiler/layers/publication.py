"""Make a layer's revision the current one, unless another publication came first."""

from __future__ import annotations

import json
from contextlib import suppress

from tiler import keys
from tiler.errors import Changed, Superseded, UnknownLayer
from tiler.inputs import read_json
from tiler.layers import history, version
from tiler.layers.catalog import Layer, dump, load_layer, version_of
from tiler.layers.tilejson import named, put_tilejson, rewrite_address, stored, tilejson
from tiler.storage.store import Store, Stores

ATTEMPTS = 3  # of a publication, while others write TileJSON


def publish(layer: Layer, stores: Stores, undone: str = "", *, planned_from: str | None = None) -> None:
    """Make `layer` the current revision: put the public TileJSON first and `index.json` last, each atomically.

    While tiles are stored, the TileJSON keeps naming their revision: a browser that requested them under the new name
    would cache them for an hour. `announce` names the new revision once its tiles are stored. `undone` is the revision
    that a rollback replaces. `planned_from` is the `index_version` that the layer was planned from, by default the
    present one. Publishing the same metadata again changes nothing. The metadata of a revision that lost stays kept.

    Raises:
        BadOption: deployed functions could not read it.
        Superseded: another publication or a removal came first; it is left as it is.
    """
    version.check_readers(stores, version_of(layer))
    index = dump(layer)
    if undone:
        index = _with_undone(index, undone)
    key, sources = keys.index_key(layer.id), stores.sources
    now = sources.version(key)
    if planned_from not in (None, now):
        if sources.holds(key, index):
            return
        raise _superseded(layer.id, sources)
    for _ in range(ATTEMPTS):
        if _put_over(layer, stores, index, now):
            return
        if sources.version(key) != now:  # otherwise TileJSON alone was changed
            break
    raise _superseded(layer.id, sources)


def _with_undone(index: bytes, revision: str) -> bytes:
    """An `index.json` that names the revision that a rollback replaced."""
    return (json.dumps({**read_json(index), "undone": revision}, indent=1) + "\n").encode()


def _put_over(layer: Layer, stores: Stores, index: bytes, now: str) -> bool:
    """Publish over `now`, the version of `index.json`; return whether neither it nor the TileJSON changed meanwhile."""
    sources, json_type = stores.sources, "application/json"
    public = stores.tiles.version(keys.tilejson_key(layer.id))
    recorded = sources.version(keys.history_key(layer.id))
    has_tiles = stored(layer.id, stores.tiles)
    before = named(layer.id, stores.tiles)
    known = history.so_far(sources, layer.id, lambda: before)
    if has_tiles and not known:  # left by an earlier layer of that name without metadata
        known = (history.Publication(before or history.UNKNOWN),)
    old = before if has_tiles else ""
    try:
        put_tilejson(layer, stores, old or layer.revision, expected=public)
        sources.put(keys.revision_key(layer.id, layer.revision), dump(layer), content_type=json_type)
        sources.put(keys.index_key(layer.id), index, content_type=json_type, expected=now)
    except Changed:
        _take_back_tilejson(layer, stores, old)
        return False
    history.follow(sources, layer.id, known, layer.revision, recorded)
    return True


def describe(layer: Layer, stores: Stores, *, planned_from: str) -> None:
    """Give the current revision another title, description or legend; the public TileJSON first, as `publish` does.

    `planned_from` is the `index_version` that the layer comes from. The metadata kept for a rollback stays as it is, so
    its time remains that of the publication.

    Raises:
        Superseded: another publication or a removal came first; it is left as it is.
    """
    sources, key = stores.sources, keys.index_key(layer.id)
    check_index(layer.id, sources, planned_from)
    undone = read_json(sources.get(key)).get("undone")
    index = _with_undone(dump(layer), undone) if undone else dump(layer)
    rewrite_address(layer, stores)
    try:
        sources.put(key, index, content_type="application/json", expected=planned_from)
    except Changed:
        with suppress(UnknownLayer):
            rewrite_address(load_layer(sources, layer.id), stores)
        raise _superseded(layer.id, sources) from None


def check_index(layer: str, sources: Store, planned_from: str) -> None:
    """Check that no other publication and no removal of the layer came first.

    Raises:
        Superseded: one did.
    """
    if index_version(sources, layer) != planned_from:
        raise _superseded(layer, sources)


def index_version(sources: Store, layer: str) -> str:
    """The version of the layer's `index.json`, for a later `publish`; empty if there is no such layer."""
    return sources.version(keys.index_key(keys.check_layer(layer)))


def _superseded(layer: str, sources: Store) -> Superseded:
    try:
        happened = f"changed to revision {load_layer(sources, layer).revision}"
    except UnknownLayer:
        happened = "was removed"
    return Superseded(f"layer {layer} {happened} meanwhile: nothing was published; run the same command again")


def _take_back_tilejson(layer: Layer, stores: Stores, revision: str) -> None:
    """Replace the TileJSON of a publication that lost by that of the current revision, unless the latter put its own.

    `revision` is that of stored tiles, empty if there were none.
    """
    key = keys.tilejson_key(layer.id)
    present = stores.tiles.version(key)
    if not stores.tiles.holds(key, tilejson(layer, stores.url, revision or layer.revision)):
        return
    try:
        current = load_layer(stores.sources, layer.id)
    except UnknownLayer:
        stores.tiles.delete([key])
        return
    with suppress(Changed):
        put_tilejson(current, stores, revision or current.revision, expected=present)
