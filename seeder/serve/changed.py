"""The tiles that differ between two revisions of a layer, few enough for a map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from seeder.cache.changes import changed_tiles
from seeder.select.morton import places
from seeder.select.selection import planned
from seeder.select.tileset import TileSet
from tiler.layers.catalog import Layer
from tiler.storage.store import Stores

MOST = 4000  # tiles on a map


@dataclass(frozen=True, slots=True)
class ChangedTiles:
    """The tiles of a layer's highest zoom that may differ between two revisions: their `count`.

    `tiles` are they, or at a lower zoom those that contain them, so that they are at most `MOST`.
    """

    count: int
    tiles: TileSet

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        columns, rows = places(self.tiles.codes)
        return {
            "count": self.count,
            "z": self.tiles.z,
            "tiles": list(zip(columns.tolist(), rows.tolist(), strict=True)),
        }


def changed(old: Layer, new: Layer, stores: Stores) -> ChangedTiles:
    """The tiles of `new` and `old` that may differ between the two; all, if these cannot be compared.

    Raises:
        StoreError: the digests of what was baked could not be read.
    """
    z = new.maxzoom
    tiles = planned(old, z) | planned(new, z)
    may_differ = changed_tiles(old, new, stores).at(z, 1)
    tiles = tiles if may_differ is None else tiles & may_differ
    shown = tiles
    while len(shown) > MOST and shown.z > 0:
        shown = tiles.at(shown.z - 1)
    return ChangedTiles(len(tiles), shown)
