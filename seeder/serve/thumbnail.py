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

WIDTH = 320  # pixels of a thumbnail, unless wanted larger
WIDEST = 1280
SHAPE = 5 / 8  # height of the frame by its width


def width_of(wanted: str) -> int:
    """The width that a request wants, within limits; the usual one if it is no number."""
    return min(WIDEST, max(WIDTH, int(wanted))) if wanted.isdecimal() and len(wanted) < 6 else WIDTH


def thumbnail(layer: Layer, sources: Store, width: int = WIDTH) -> bytes:
    """The layer, cut at its bounds, as PNG of at most `width` x 5/8 `width` pixels.

    It is of the deepest zoom that fits, and only its middle if none does.

    Raises:
        SourceReadError: the layer's source could not be read.
    """
    if layer.style.encoding:  # encoded heights are not a picture
        layer = replace(layer, style=Style((KERNELS["hillshade"],), terrain="hillshade"))
    z, columns, rows = _view(layer, width, round(width * SHAPE))
    side = 2**z
    canvas = np.zeros((len(rows), len(columns), 4), np.uint8)
    for y in range(rows.start // TILE, -(-rows.stop // TILE)):
        for x in range(columns.start // TILE, -(-columns.stop // TILE)):
            pixels = _tile(layer, sources, Tile(x=x % side, y=y, z=z))
            if pixels is not None:
                _paste(canvas, pixels, y * TILE - rows.start, x * TILE - columns.start)
    return encode(Picture(canvas[..., :3], canvas[..., 3]), "png") or blank_tile(TILE, "png")


def _view(layer: Layer, width: int, height: int) -> tuple[int, range, range]:
    """Zoom, columns and rows, in pixels; columns outside the world wrap around."""
    bounds = layer.bounds
    (_, south), (_, north) = (mercantile.xy(0, latitude, truncate=True) for latitude in (bounds.south, bounds.north))
    south, north = max(south, -EXTENT), min(north, EXTENT)
    across, down = bounds.width / 360 * 2 * EXTENT, north - south  # metres
    fits = min(width / (across / resolution(0)), height / (down / resolution(0)))
    z = min(max(math.floor(math.log2(fits)), layer.minzoom), layer.maxzoom)
    middle = (mercantile.xy(bounds.center[0], 0)[0] + EXTENT, EXTENT - (south + north) / 2)
    columns, rows = (
        _pixels(centre / resolution(z), min(most, max(1, math.ceil(extent / resolution(z)))))
        for centre, extent, most in zip(middle, (across, down), (width, height), strict=True)
    )
    return z, columns, range(max(0, rows.start), min(TILE * 2**z, rows.stop))


def _pixels(middle: float, count: int) -> range:
    start = round(middle - count / 2)
    return range(start, start + count)


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
