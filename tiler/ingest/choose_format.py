"""The format of a layer that was left to be decided: lossy where that saves half of the bytes, else PNG."""

from __future__ import annotations

import numpy as np
from mercantile import Tile

from tiler.keys import Format
from tiler.layers.catalog import Layer
from tiler.layers.render import TileVariant, render_tile
from tiler.storage.store import Store

SAMPLE = 12  # tiles that are rendered, more where one place has several
FEW = 4  # sample tiles of a suggestion
WORTH = 0.5  # of PNG's bytes that a lossy format may take


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
    """The format for the tiles of `layer`, of which everything but that is known, and why.

    Colours that mean something, or come from few, stay as they are. Of pictures a sample is rendered.

    Raises:
        SourceReadError: some pixel could not be read.
    """
    style = layer.style
    if style.palette or style.colours or style.stops:
        return "png", "a palette or a colormap stays exact"
    if style.terrain:
        return "png", f"{style.terrain} stays exact"
    lossy: Format = "jpg" if _opaque(layer) else "webp"
    tiles = [Tile(x=x, y=y, z=z) for z, x, y in _places(layer, sample)]
    plain, small = (_bytes(layer, sources, tiles, form) for form in ("png", lossy))
    if not plain:
        return "png", "the sample holds nothing"
    said = f"{len(tiles)} sample tiles take {small / plain:.0%} of PNG's bytes as {lossy}"
    return (lossy, said) if small <= WORTH * plain else ("png", said)


def _opaque(layer: Layer) -> bool:
    """Whether no tile of any zoom has a transparent pixel: the baked rectangle is opaque and ends on tile edges."""
    bake = layer.bake
    if bake is None or not bake.opaque:
        return False
    side = 1 << max(0, bake.z - layer.minzoom)
    return not any(edge % side for edge in (bake.x, bake.y, bake.columns, bake.rows))


def _places(layer: Layer, sample: int) -> list[tuple[int, int, int]]:
    """Some tiles in which the layer has data, of its deepest zoom with pixels of its own, evenly over the footprint."""
    footprint = layer.footprint
    cells = np.argwhere(footprint.cells)
    some = cells[np.unique(np.linspace(0, len(cells) - 1, sample).round().astype(int))]
    z = min(layer.maxzoom, layer.bake.z if layer.bake else layer.maxzoom)
    found = []
    for row, column in some.tolist():
        x, y = (footprint.x + column) % 2**footprint.z, footprint.y + row
        if z >= footprint.z:  # the middle of the cell
            half = (1 << (z - footprint.z)) // 2
            x, y = (x << (z - footprint.z)) + half, (y << (z - footprint.z)) + half
        else:
            x, y = x >> (footprint.z - z), y >> (footprint.z - z)
        found.append((z, x, y))
    return sorted(set(found))


def _bytes(layer: Layer, sources: Store, tiles: list[Tile], form: Format) -> int:
    """What the tiles take in a format."""
    return sum(len(render_tile(layer, sources, tile, TileVariant(format=form)) or b"") for tile in tiles)
