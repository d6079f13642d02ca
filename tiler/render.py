"""A layer's tiles, block by block: read, style, cut, encode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import rasterio
from mercantile import Tile
from rasterio.io import DatasetReader

from tiler.catalog import Bake, Layer, Resampling
from tiler.encode import encode
from tiler.errors import BadOption
from tiler.grid import EXTENT, TILE, Block, Window
from tiler.keys import FORMATS, Format, Scale
from tiler.raster import opened, overview_for, read, reading_of, resolution_of, warp
from tiler.storage import Store

CACHE = 128  # megabytes of decoded blocks that GDAL keeps in a process


@dataclass(frozen=True, slots=True)
class Look:
    """How tiles are asked for: 256 pixels a side for scale 1, 512 for 2, in one format.

    Raises:
        BadOption: there is no such scale or format.
    """

    scale: Scale = 1
    format: Format = "png"

    def __post_init__(self) -> None:
        if self.scale not in get_args(Scale) or self.format not in FORMATS:
            raise BadOption(f"tiles come at scale 1 or 2 as {', '.join(FORMATS)}, not {self.scale} and {self.format}")

    @property
    def size(self) -> int:
        """Pixels along a tile's side."""
        return TILE * self.scale


def render(layer: Layer, sources: Store, block: Block, mask: int, look: Look) -> Iterator[tuple[Tile, bytes | None]]:
    """The tiles of `block` that `mask` names, row by row; None for a tile with nothing on it.

    A tile is the same bytes whether it is asked for alone or with its neighbours.

    Raises:
        SourceReadError: some pixel could not be read; tiles given before that are whole.
    """
    path = sources.location(layer.source) if layer.bake else layer.source
    zoom = block.z + look.scale - 1  # at scale 2 a tile shows the pixels of the next zoom
    with rasterio.Env(GDAL_CACHEMAX=CACHE, **sources.gdal_options):
        if layer.bake and _level(layer.bake, zoom) is not None:
            yield from _from_bake(layer, layer.bake, path, block, mask, look)
        else:
            yield from _warped(layer, path, block, mask, look)


def _level(bake: Bake, zoom: int) -> int | None:
    """Which level of the COG has the pixels of `zoom`, if one has."""
    level = bake.z - zoom
    return level if 0 <= level < bake.levels else None


def _from_bake(
    layer: Layer, bake: Bake, path: str, block: Block, mask: int, look: Look
) -> Iterator[tuple[Tile, bytes | None]]:
    """Tiles whose pixels lie in the COG as they are: one read for all, or for those a block holds."""
    zoom = block.z + look.scale - 1
    level = bake.z - zoom
    dataset = opened(path, level, cog=True)
    for tiles in _runs(bake, block, mask):
        left, top = tiles[0].x, min(tile.y for tile in tiles)
        columns = max(tile.x for tile in tiles) - left + 1
        rows = max(tile.y for tile in tiles) - top + 1
        x = _unwrapped(layer, left, block.z) * look.size - (bake.x * TILE >> level)
        y = top * look.size - (bake.y * TILE >> level)
        place = (x, y, columns * look.size, rows * look.size)
        values, cover = read(dataset, place, bands=len(layer.bands), masked=not bake.opaque)
        picture = layer.style.apply(values, cover)
        for tile in tiles:
            part = picture.cut((tile.y - top) * look.size, (tile.x - left) * look.size, look.size)
            yield tile, encode(part, look.format)


def _runs(bake: Bake, block: Block, mask: int) -> Iterator[list[Tile]]:
    """The wanted tiles, together where the COG has them side by side.

    A block of zooms 0 to 2 is the whole world, which a COG that crosses the antimeridian holds in two parts.
    """
    tiles = sorted(block.tiles(mask), key=lambda tile: (tile.x, tile.y))
    if block.z >= 3 or bake.x == 0:
        if tiles:
            yield tiles
    else:
        for tile in tiles:
            yield [tile]


def _unwrapped(layer: Layer, x: int, z: int) -> int:
    """Column `x` of zoom `z` as the layer counts columns: past the antimeridian they go on."""
    west = layer.bake.x if layer.bake else layer.footprint.x
    deep = layer.bake.z if layer.bake else layer.footprint.z
    first = west >> (deep - z) if deep >= z else west << (z - deep)
    return first + (x - first) % (1 << z)


def _warped(layer: Layer, path: str, block: Block, mask: int, look: Look) -> Iterator[tuple[Tile, bytes | None]]:
    """Tiles that must be made: of a virtual layer, past the raster's own zoom, or below the last overview.

    Each is warped by itself, so that it does not depend on which others are asked for.
    """
    zoom = block.z + look.scale - 1
    dataset, resampling = _nearest_level(layer, path, zoom)
    reading = reading_of(dataset) if layer.bake else reading_of(dataset, layer.bands, layer.nodata)
    for tile in block.tiles(mask):
        x = _unwrapped(layer, tile.x, block.z) * look.size
        values, cover = warp(dataset, reading, Window(zoom, x, tile.y * look.size, look.size, look.size), resampling)
        yield tile, encode(layer.style.apply(values, cover), look.format)


def _nearest_level(layer: Layer, path: str, zoom: int) -> tuple[DatasetReader, Resampling]:
    """What to warp for `zoom`, and how.

    The base past its zoom, the last overview below it; of a virtual layer the deepest overview that is still finer.
    """
    bake = layer.bake
    if bake is None:
        metres = 2 * EXTENT / (TILE * 2**zoom)
        shrink = metres / resolution_of(opened(path))
        return opened(path, overview_for(path, shrink)), layer.resampling
    if zoom > bake.z:
        return opened(path, cog=True), layer.resampling
    small: Resampling = "nearest" if layer.style.palette or layer.resampling == "nearest" else "average"
    return opened(path, bake.levels - 1, cog=True), small
