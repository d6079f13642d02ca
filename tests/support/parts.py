"""The parts of a layer as stored: their COGs, and the pixels of a zoom as one picture, read by GDAL alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from mercantile import Tile
from rasterio.io import DatasetReader, MemoryFile

from tiler import keys
from tiler.grid import EXTENT, TILE, Window, tile_ranges
from tiler.image.style import Pixels, Values
from tiler.layers.catalog import Layer
from tiler.layers.part_facts import PartFacts
from tiler.layers.pyramid import Part, Place, Pyramid
from tiler.storage.store import Stores


class Picture(NamedTuple):
    """The pixels of a window: values `(bands, height, width)`, and the mask, 255 where they are opaque.

    Where no part has a block, both are 0. Columns of the window run on past the antimeridian. The bands are those of
    the COGs without alpha: three in a layer of finished WebP tiles.
    """

    window: Window
    values: Values
    mask: Pixels

    def tile(self, tile: Tile) -> tuple[Values, Pixels]:
        """Values and mask of a tile within the window."""
        x = (tile.x - self.window.x // TILE) % (1 << self.window.z) * TILE
        y = tile.y * TILE - self.window.y
        place = slice(y, y + TILE), slice(x, x + TILE)
        return self.values[:, *place], self.mask[place]


def pyramid_of(layer: Layer) -> Pyramid:
    """The manifest of a layer that has parts."""
    assert isinstance(layer.bake, Pyramid)
    return layer.bake


def parts_of(layer: Layer, stores: Stores, tier: int | None = None) -> dict[Place, Part]:
    """The parts of a layer, or of one of its tiers, by place."""
    parts = pyramid_of(layer).parts(layer.id, stores.sources)
    return {place: parts[place] for place in sorted(parts) if tier in (None, place.tier)}


def only_part(layer: Layer, stores: Stores, tier: int = 0) -> Part:
    """The one part of a tier."""
    (part,) = parts_of(layer, stores, tier).values()
    return part


def key_of(layer: Layer, part: Part) -> str:
    """The key of a part's COG."""
    return keys.part_key(layer.id, part.name)


def key_with(layer: Layer, stores: Stores, tile: Tile) -> str:
    """The key of the COG that has a tile's block."""
    tier, level = pyramid_of(layer).tier_of(tile.z)
    (key,) = (
        key_of(layer, part)
        for part in parts_of(layer, stores, tier).values()
        if 0 <= tile.x - (part.layout.x >> level) < max(1, part.layout.columns >> level)
        and 0 <= tile.y - (part.layout.y >> level) < max(1, part.layout.rows >> level)
    )
    return key


def file_with(layer: Layer, stores: Stores, tile: Tile) -> Path:
    """The file of the COG that has a tile's block, in a data folder."""
    assert stores.sources.root
    return stores.sources.root / key_with(layer, stores, tile)


def cog_bytes(layer: Layer, stores: Stores) -> dict[str, bytes]:
    """The COGs of all parts of a layer, by name; their facts are `facts_of`."""
    parts = parts_of(layer, stores).values()
    return {part.name: stores.sources.get(key_of(layer, part)) for part in parts}


def facts_of(layer: Layer, stores: Stores, part: Part) -> PartFacts:
    """The facts of a part."""
    key = keys.part_facts_key(layer.id, part.name)
    return PartFacts.parse(stores.sources.get(key), key)


def as_one_cog(layer: Layer, part: Part) -> Layer:
    """The layer as of an earlier version: its COG is the one of a part of the first tier."""
    return replace(layer, source=key_of(layer, part), bake=part.layout)


def pixels_at(layer: Layer, stores: Stores, zoom: int, *, tier: int | None = None) -> Picture:
    """The pixels of the layer's tiles of a zoom, as GDAL reads them from the parts.

    `tier` is the tier of the parts to read, by default the one that renderers read; the tier below it also has them, in
    its last level.
    """
    pyramid, ranges = pyramid_of(layer), tile_ranges(layer.bounds, zoom)
    tier = pyramid.tier_of(zoom)[0] if tier is None else tier
    level = pyramid.zoom_of(tier) - zoom
    left, top, columns = ranges[0].x0, ranges[0].y0, sum(each.x1 - each.x0 for each in ranges)
    window = Window(zoom, left * TILE, top * TILE, columns * TILE, (ranges[0].y1 - top) * TILE)
    webp = pyramid.finished and layer.format == "webp"
    values = np.zeros((3 if webp else len(layer.bands), window.height, window.width), pyramid.dtype)
    mask = np.zeros((window.height, window.width), np.uint8)
    for part in parts_of(layer, stores, tier).values():
        with MemoryFile(stores.sources.get(key_of(layer, part))) as file:
            _paste(file, level, window, values, mask)
    return Picture(window, values, mask)


def _paste(file: MemoryFile, level: int, window: Window, values: Values, mask: Pixels) -> None:
    """Paste a level of a part into a window, tile by tile, by the georeferencing of its COG."""
    with file.open(**({"overview_level": level - 1} if level else {})) as cog:
        assert np.allclose(cog.res, window.pixel)
        left = round((cog.transform.c + EXTENT) / window.pixel) - window.x
        top = round((EXTENT - cog.transform.f) / window.pixel) - window.y
        for row, column in _blocks(cog):
            x, y = (left + column) % (TILE << window.z), top + row
            if 0 <= x < window.width and 0 <= y < window.height:
                block, place = (
                    rasterio.windows.Window(column, row, TILE, TILE),
                    (slice(y, y + TILE), slice(x, x + TILE)),
                )
                values[:, *place] = cog.read(list(range(1, len(values) + 1)), window=block)
                mask[place] = cog.read_masks(1, window=block)


def _blocks(cog: DatasetReader) -> Iterator[tuple[int, int]]:
    """First row and column of each block."""
    return ((row, column) for row in range(0, cog.height, TILE) for column in range(0, cog.width, TILE))
