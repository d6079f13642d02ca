"""Choose the tile format of a layer with `--format auto`: lossy if that halves the bytes, else PNG."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from mercantile import Tile

from tiler.image.style import Style
from tiler.keys import Format, part_facts_key
from tiler.layers.catalog import Layer
from tiler.layers.part_facts import PartFacts
from tiler.layers.pyramid import Pyramid
from tiler.layers.render import TileVariant, render_tile
from tiler.storage.store import Store

SAMPLE = 12  # tiles to render
FEW = 4  # sample tiles of a suggestion
MEASURED = tuple(map(np.dtype, ("int16", "int32", "float32", "float64")))  # of one band: no photograph has them
WORTH = 0.5  # largest share of PNG's bytes at which a lossy format is chosen


@dataclass(frozen=True, slots=True)
class Chosen:
    """A format, the reason for it, and the mean bytes of the sample tiles by format; none if nothing was sampled."""

    format: Format
    why: str = ""
    tile_bytes: Mapping[Format, int] = field(default_factory=dict)


def smaller_format(layer: Layer, sources: Store) -> str:
    """The format that `auto` would choose for a PNG layer and why, from few tiles; empty if it would choose PNG.

    A virtual layer is not sampled, because its raster may take long to read.

    Raises:
        SourceReadError: some pixel could not be read.
    """
    if layer.format != "png" or layer.asked.format == "auto" or layer.bake is None:
        return ""
    chosen = choose(layer, sources, sample=FEW)
    return f"{chosen.format}: {chosen.why}" if chosen.format != "png" else ""


def choose(layer: Layer, sources: Store, *, sample: int = SAMPLE) -> Chosen:
    """The format for the tiles of `layer`, and the reason for it.

    Palettes, colormaps, terrain styles and measured values stay lossless. For imagery, sample tiles are rendered and
    compared.

    Raises:
        SourceReadError: some pixel could not be read.
    """
    if why := exact(layer.style, layer.bake.dtype if isinstance(layer.bake, Pyramid) else ""):
        return Chosen("png", why)
    lossy: Format = "jpg" if _opaque(layer) else "webp"
    if isinstance(layer.bake, Pyramid):
        tiles = _tiles_of_parts(layer.id, layer.bake, sources, sample)
    else:
        tiles = _tiles_of_footprint(layer, sample)
    forms: tuple[Format, ...] = ("png", lossy)
    sizes = {form: _mean_bytes(layer, sources, tiles, form) for form in forms}
    if not sizes["png"]:
        return Chosen("png", "the sample tiles are empty")
    chosen, other = forms[::-1] if sizes[lossy] <= WORTH * sizes["png"] else forms
    return Chosen(chosen, f"about {_kilobytes(sizes[chosen])} a tile, {other} {_kilobytes(sizes[other])}", sizes)


def exact(style: Style, dtype: str) -> str:
    """Why the tiles of a style must be lossless, with values of `dtype`, "" if unknown; empty if they need not be."""
    if style.palette or style.colours or style.stops:
        return "a palette or colormap needs exact colours"
    if style.terrain:
        return f"{style.terrain} needs exact colours"
    if dtype and len(style.rescale) == 1 and np.dtype(dtype) in MEASURED:
        return "one band of measured values, such as heights, needs exact greys"
    return ""


def _kilobytes(size: int) -> str:
    """A number of bytes for people: two digits or more."""
    return f"{size / 1000:.1f} KB" if size < 10_000 else f"{size / 1000:.0f} KB"


def _opaque(layer: Layer) -> bool:
    """Whether no tile of any zoom has a transparent pixel: its pixels are opaque, and its COG ends on tile edges."""
    bake = layer.bake
    if bake is None or not bake.opaque or isinstance(bake, Pyramid):
        return bake is not None and bake.opaque
    side = 1 << max(0, bake.z - layer.minzoom)
    return not any(edge % side for edge in (bake.x, bake.y, bake.columns, bake.rows))


def _tiles_of_parts(layer: str, pyramid: Pyramid, sources: Store, sample: int) -> list[Tile]:
    """Tiles with data of the base zoom, from parts that are spread over the layer; the digests of parts list them.

    Scenes may lie far apart, so that most of the footprint's cells are nearly empty.
    """
    parts = [part for place, part in sorted(pyramid.parts(layer, sources).items()) if place.tier == 0]
    found = []
    for number in _spread(len(parts), sample):
        key = part_facts_key(layer, parts[number].name)
        facts = PartFacts.parse(sources.get(key), key)
        rows, columns = np.nonzero(facts.digests[0])
        across = 1 << pyramid.z
        x, y = (facts.layout.x + columns) % across, facts.layout.y + rows
        found += list(zip(x.tolist(), y.tolist(), strict=True))
    return [Tile(*found[number], z=pyramid.z) for number in _spread(len(found), sample)]


def _tiles_of_footprint(layer: Layer, sample: int) -> list[Tile]:
    """Tiles with data, spread over the footprint, at the highest zoom that has pixels of its own."""
    footprint = layer.footprint
    cells = np.argwhere(footprint.cells)
    z = min(layer.maxzoom, layer.bake.z if layer.bake else layer.maxzoom)
    tiles = set()
    for row, column in cells[_spread(len(cells), sample)].tolist():
        x, y = (footprint.x + column) % 2**footprint.z, footprint.y + row
        if z >= footprint.z:  # the cell's middle
            half = (1 << (z - footprint.z)) // 2
            x, y = (x << (z - footprint.z)) + half, (y << (z - footprint.z)) + half
        else:
            x, y = x >> (footprint.z - z), y >> (footprint.z - z)
        tiles.add(Tile(x=x, y=y, z=z))
    return sorted(tiles)


def _spread(total: int, sample: int) -> list[int]:
    """At most `sample` of the numbers below `total`, evenly spread."""
    chosen: list[int] = np.unique(np.linspace(0, total - 1, sample).round().astype(int)).tolist() if total else []
    return chosen


def _mean_bytes(layer: Layer, sources: Store, tiles: list[Tile], form: Format) -> int:
    """The mean size of tiles in a format, in bytes; empty tiles count nothing."""
    sizes = [len(render_tile(layer, sources, tile, TileVariant(format=form)) or b"") for tile in tiles]
    return round(sum(sizes) / max(1, sum(map(bool, sizes))))
