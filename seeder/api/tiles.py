"""Selected tiles of a layer."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from mercantile import Tile

from seeder.api.progress import CallbackReport
from seeder.cache.query import SpatialFilter, TileQuery
from seeder.operations.checks import check_whole
from seeder.operations.select import select_tiles
from seeder.select.morton import interleaved
from seeder.select.order import Order
from seeder.select.selection import regions
from seeder.select.tileset import TileSet
from tiler.errors import GridError, MissingObject
from tiler.grid import MAX_ZOOM
from tiler.keys import TileName, tile_key
from tiler.layers.catalog import Layer
from tiler.layers.render import TileVariant, render_tile
from tiler.storage.store import Stores


class Tiles:
    """Selected tiles of a layer: `len`, `in`, `count()`, and iteration from low zooms to high.

    The list of tiles is fixed when it is selected. Iteration yields `mercantile.Tile` with the fields x, y, z. A
    billion tiles take little memory.
    """

    __slots__ = ("_asked", "_query", "_sets", "layer", "variant")

    def __init__(
        self, layer: str, variant: TileVariant, asked: TileQuery, query: TileQuery, sets: list[TileSet]
    ) -> None:
        self.layer = layer
        self.variant = variant
        self._asked = asked
        self._query = query
        self._sets = sets

    @classmethod
    def of(cls, layer: Layer, asked: TileQuery, stores: Stores) -> Tiles:
        """Select the tiles of a query.

        Raises:
            ZoomOutside, BadOption: the layer lacks one of the zooms, or no tile is selected.
            StoreError: the stored tiles cannot be listed.
        """
        asked.check_listed()
        variant = asked.variant(layer)
        selection, _ = select_tiles(asked, layer, stores, CallbackReport(None))
        lists = () if selection.tiles is None else (selection.tiles,)
        query = TileQuery(
            zooms=selection.zooms,
            boxes=selection.boxes,
            places=SpatialFilter(lists=lists),
            footprint=selection.footprint,
            scale=variant.scale,
            format=variant.format,
        )
        return cls(layer.id, variant, asked, query, list(regions(layer, selection)))

    @property
    def query(self) -> TileQuery:
        """The query for exactly these tiles."""
        return self._query

    @property
    def asked(self) -> TileQuery:
        """The query of their selectors."""
        return self._asked

    def count(self) -> dict[int, int]:
        """The number of tiles by zoom, from arithmetic."""
        return {each.z: len(each) for each in self._sets}

    def __len__(self) -> int:
        return sum(map(len, self._sets))

    def __bool__(self) -> bool:
        return len(self) > 0

    def __iter__(self) -> Iterator[Tile]:
        for block_mask in Order().block_masks(self._sets):
            yield from block_mask.block.tiles(block_mask.tiles)

    def __contains__(self, tile: object) -> bool:
        if not isinstance(tile, Tile) or not (0 <= tile.x < 2**tile.z and 0 <= tile.y < 2**tile.z):
            return False
        code = interleaved(np.array([tile.x]), np.array([tile.y]))
        return any(each.z == tile.z and bool(each.holds(code)[0]) for each in self._sets)

    def __repr__(self) -> str:
        zooms = [z for z, number in self.count().items() if number]
        span = f", zooms {zooms[0]}-{zooms[-1]}" if zooms else ""
        scale = " @2x" if self.variant.scale == 2 else ""
        return f"<Tiles of {self.layer}: {len(self):,}{span}, {self.variant.format}{scale}>"


def tile_bytes(layer: Layer, stores: Stores, tile: Tile, variant: TileVariant) -> bytes | None:
    """The stored tile, else a fresh render; None where the layer has no data, and outside its zooms.

    Raises:
        SourceReadError, StoreError: the tile cannot be rendered or read.
    """
    if not layer.has(tile):
        return None
    try:
        data = stores.tiles.get(tile_key(TileName(layer.id, tile, variant.scale, variant.format)))
    except MissingObject:
        data = b""
    return data or render_tile(layer, stores.sources, tile, variant)


def check_tile(z: int, x: int, y: int) -> Tile:
    """The tile of these numbers.

    Raises:
        BadOption: one is not a whole number.
        GridError: the tile does not exist.
    """
    for name, each in (("z", z), ("x", x), ("y", y)):
        check_whole(name, each, -math.inf, math.inf)
    if not (0 <= z <= MAX_ZOOM and 0 <= x < 2**z and 0 <= y < 2**z):
        raise GridError(f"tile {z}/{x}/{y} does not exist: zooms run from 0 to {MAX_ZOOM}, columns and rows to 2^z - 1")
    return Tile(x=x, y=y, z=z)
