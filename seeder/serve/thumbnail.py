"""Thumbnails of layers, made of tiles that are rendered and not stored."""

from __future__ import annotations

import math
from dataclasses import replace

import mercantile
import numpy as np
from mercantile import Tile

from tiler.grid import EXTENT, TILE, resolution
from tiler.image.encode import blank_tile, decode, encode
from tiler.image.style import KERNELS, Picture, Pixels, Style
from tiler.layers.catalog import Layer
from tiler.layers.render import TileVariant, render_tile
from tiler.storage.store import Store

WIDTH, HEIGHT = 320, 200  # pixels


def thumbnail(layer: Layer, sources: Store) -> bytes:
    """The middle of the layer as PNG, 320 x 200 pixels, at the deepest zoom that fits the whole layer.

    Raises:
        SourceReadError: the layer's source could not be read.
    """
    if layer.style.encoding:  # encoded heights are not a picture
        layer = replace(layer, style=Style((KERNELS["hillshade"],), terrain="hillshade"))
    z, left, top = _view(layer)
    side = 2**z
    canvas = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    for y in range(max(0, top // TILE), min(side, -(-(top + HEIGHT) // TILE))):
        for x in range(left // TILE, -(-(left + WIDTH) // TILE)):
            pixels = _tile(layer, sources, Tile(x=x % side, y=y, z=z))
            if pixels is not None:
                _paste(canvas, pixels, y * TILE - top, x * TILE - left)
    return encode(Picture(canvas[..., :3], canvas[..., 3]), "png") or blank_tile(TILE, "png")


def _view(layer: Layer) -> tuple[int, int, int]:
    """Zoom, first column and first row, in pixels; columns outside the world wrap around."""
    bounds = layer.bounds
    (_, south), (_, north) = (mercantile.xy(0, latitude, truncate=True) for latitude in (bounds.south, bounds.north))
    south, north = max(south, -EXTENT), min(north, EXTENT)
    fits = min(WIDTH / (TILE * bounds.width / 360), HEIGHT / (TILE * (north - south) / (2 * EXTENT)))
    z = min(max(math.floor(math.log2(fits)), layer.minzoom), layer.maxzoom)
    across = (mercantile.xy(bounds.center[0], 0)[0] + EXTENT) / resolution(z)
    down = (EXTENT - (south + north) / 2) / resolution(z)
    return z, round(across - WIDTH / 2), round(down - HEIGHT / 2)


def _tile(layer: Layer, sources: Store, tile: Tile) -> Pixels | None:
    """The tile's pixels as `(rows, columns, 4)` RGBA, or None if it is empty."""
    data = render_tile(layer, sources, tile, TileVariant(format=layer.format)) if layer.has(tile) else None
    return None if data is None else decode(data)[1]


def _paste(canvas: Pixels, pixels: Pixels, row: int, column: int) -> None:
    """Copy `pixels` to the canvas at (row, column), which may be outside."""
    height, width = canvas.shape[:2]
    rows = slice(max(0, -row), min(TILE, height - row))
    columns = slice(max(0, -column), min(TILE, width - column))
    canvas[row + rows.start : row + rows.stop, column + columns.start : column + columns.stop] = pixels[rows, columns]
