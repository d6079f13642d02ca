"""Choose the tile format of a layer with `--format auto`: lossy if that halves the bytes, else PNG."""

from __future__ import annotations

import numpy as np
from mercantile import Tile

from tiler.keys import Format
from tiler.layers.catalog import Layer
from tiler.layers.pyramid import Pyramid
from tiler.layers.render import TileVariant, render_tile
from tiler.storage.store import Store

SAMPLE = 12  # tiles to render
FEW = 4  # sample tiles of a suggestion
WORTH = 0.5  # largest share of PNG's bytes at which a lossy format is chosen


def smaller_format(layer: Layer, sources: Store) -> str:
    """The format that `auto` would choose for a PNG layer and why, from few tiles; empty if it would choose PNG.

    A virtual layer is not sampled, because its raster may take long to read.

    Raises:
        SourceReadError: some pixel could not be read.
    """
    if layer.format != "png" or layer.asked.format == "auto" or layer.bake is None:
        return ""
    form, reason = choose(layer, sources, sample=FEW)
    return f"{form}: {reason}" if form != "png" else ""


def choose(layer: Layer, sources: Store, *, sample: int = SAMPLE) -> tuple[Format, str]:
    """The format for the tiles of `layer`, and the reason for it.

    Palettes, colormaps and terrain styles stay lossless. For imagery, sample tiles are rendered and compared.

    Raises:
        SourceReadError: some pixel could not be read.
    """
    style = layer.style
    if style.palette or style.colours or style.stops:
        return "png", "a palette or colormap needs exact colours"
    if style.terrain:
        return "png", f"{style.terrain} needs exact colours"
    lossy: Format = "jpg" if _opaque(layer) else "webp"
    tiles = [Tile(x=x, y=y, z=z) for z, x, y in _sample_tiles(layer, sample)]
    lossless_bytes, lossy_bytes = (_bytes(layer, sources, tiles, form) for form in ("png", lossy))
    if not lossless_bytes:
        return "png", "the sample tiles are empty"
    reason = f"{len(tiles)} sample tiles as {lossy} take {lossy_bytes / lossless_bytes:.0%} of their bytes as png"
    return (lossy if lossy_bytes <= WORTH * lossless_bytes else "png"), reason


def _opaque(layer: Layer) -> bool:
    """Whether no tile of any zoom has a transparent pixel: its pixels are opaque, and its COG ends on tile edges."""
    bake = layer.bake
    if bake is None or not bake.opaque or isinstance(bake, Pyramid):
        return bake is not None and bake.opaque
    side = 1 << max(0, bake.z - layer.minzoom)
    return not any(edge % side for edge in (bake.x, bake.y, bake.columns, bake.rows))


def _sample_tiles(layer: Layer, sample: int) -> list[tuple[int, int, int]]:
    """Tiles (z, x, y) with data, spread over the footprint, at the highest zoom that has pixels of its own."""
    footprint = layer.footprint
    cells = np.argwhere(footprint.cells)
    chosen = cells[np.unique(np.linspace(0, len(cells) - 1, sample).round().astype(int))]
    z = min(layer.maxzoom, layer.bake.z if layer.bake else layer.maxzoom)
    tiles = set()
    for row, column in chosen.tolist():
        x, y = (footprint.x + column) % 2**footprint.z, footprint.y + row
        if z >= footprint.z:  # the cell's middle
            half = (1 << (z - footprint.z)) // 2
            x, y = (x << (z - footprint.z)) + half, (y << (z - footprint.z)) + half
        else:
            x, y = x >> (footprint.z - z), y >> (footprint.z - z)
        tiles.add((z, x, y))
    return sorted(tiles)


def _bytes(layer: Layer, sources: Store, tiles: list[Tile], form: Format) -> int:
    """The total size of tiles in a format, in bytes."""
    return sum(len(render_tile(layer, sources, tile, TileVariant(format=form)) or b"") for tile in tiles)
