"""The fence: the time for which a superseded revision may still put tiles.

An instance of the http Lambda caches a layer's metadata for some seconds, and then needs some time to render a tile. A
worker checks the metadata before each block and every few seconds while it renders; its last put may be retried for
long.
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
    """The time after a publication for which tiles of the previous revision may still be put."""
    return timedelta(seconds=timing.fence_seconds(folder=bool(tiles.root)))


def settled(layer: Layer, stores: Stores) -> datetime:
    """The time (UTC) from which only tiles of the layer's current revision are put.

    If the publication's date is ahead of the store's clock, the true time is unknown. This date is then later than all
    tiles, so that each of them counts as older. `seconds_remaining` does not wait for it.

    Raises:
        StoreError: the layer's metadata could not be read.
    """
    published = stores.sources.written(index_key(layer.id))
    others = set(revisions(stores.sources, layer.id)) - {layer.revision}
    return published + _whole(stores) if others else published


def _whole(stores: Stores) -> timedelta:
    """The fence by the private store's clock."""
    return fence(stores.tiles) + timedelta(seconds=0 if stores.sources.root else timing.S3_ROUNDING_SECONDS)


def seconds_remaining(layer: Layer, stores: Stores) -> float:
    """Seconds until `settled`, by the store's clock; at least 0 and at most the whole fence."""
    remaining = settled(layer, stores) - stores.sources.clock(clock_key())
    return max(0.0, min(remaining, _whole(stores)).total_seconds())


def countdown(seconds: float) -> Iterator[float]:
    """Yield the remaining seconds, about once per second, until `seconds` have passed."""
    end = time.monotonic() + seconds
    while (remaining := end - time.monotonic()) > 0:
        yield remaining
        time.sleep(min(remaining, 1.0))
