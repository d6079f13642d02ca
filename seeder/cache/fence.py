"""How long a revision that is no longer the current one may still put tiles.

An instance of the HTTP function believes a layer's metadata for a while and then takes its time for one tile. A worker
looks at the metadata before each block and every few seconds of it; its last put may be tried again for long.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

from tiler import timing
from tiler.keys import clock_key, index_key
from tiler.layers.catalog import Layer, revisions
from tiler.storage.store import Store, Stores


def fence(tiles: Store) -> timedelta:
    """How long after another revision was published a tile of the one before may still be put."""
    return timedelta(seconds=timing.fence_seconds(folder=bool(tiles.root)))


def settled(layer: Layer, stores: Stores) -> datetime:
    """From when on (UTC) nothing but tiles of the layer's current revision is put.

    A date ahead of the store's clock tells nothing of when the revision was published: it lies ahead of all tiles then,
    so that each of them counts as older. Nobody waits for it; see `left`.

    Raises:
        StoreError: the layer's metadata could not be looked at.
    """
    published = stores.sources.written(index_key(layer.id))
    others = set(revisions(stores.sources, layer.id)) - {layer.revision}
    return published + _whole(stores) if others else published


def _whole(stores: Stores) -> timedelta:
    """The fence by the private store's clock."""
    return fence(stores.tiles) + timedelta(seconds=0 if stores.sources.root else timing.S3_ROUNDING_SECONDS)


def left(layer: Layer, stores: Stores) -> float:
    """Seconds until then, by the store's clock; 0 where it is past, and never more than the whole fence."""
    rest = settled(layer, stores) - stores.sources.clock(clock_key())
    return max(0.0, min(rest, _whole(stores)).total_seconds())


def countdown(seconds: float) -> Iterator[float]:
    """What is left of `seconds`, about one after the other as they pass."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        yield left
        time.sleep(min(left, 1.0))
