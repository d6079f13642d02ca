"""A layer's tiles, block by block: read, derive from neighbours, style, cut, encode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import rasterio
from mercantile import Tile
from rasterio.io import DatasetReader
from rasterio.session import DummySession

from tiler.errors import BadOption
from tiler.grid import TILE, Block, Window, resolution
from tiler.image.encode import blank_tile, encode
from tiler.image.style import KERNELS, Area
from tiler.image.terrain import derived
from tiler.keys import FORMATS, Format, Scale
from tiler.layers.catalog import Layer
from tiler.layers.cog_layout import CogLayout
from tiler.layers.origin import check_origins
from tiler.raster.datasets import OpenOptions, opened
from tiler.raster.options import Resampling
from tiler.raster.pixels import reading_of
from tiler.raster.place import resolution_of
from tiler.raster.reading import Reading
from tiler.raster.warp import overview_for, read, warp
from tiler.storage.gdal_reads import location
from tiler.storage.store import Store

CACHE = 128  # megabytes of decoded blocks that GDAL keeps in a process


@dataclass(frozen=True, slots=True)
class TileVariant:
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


Read = Callable[[Window], Area]


def render(
    layer: Layer, sources: Store, block: Block, mask: int, variant: TileVariant
) -> Iterator[tuple[Tile, bytes | None]]:
    """The tiles of `block` that `mask` names; None for a tile with nothing on it.

    A tile is the same bytes whether it is asked for alone or with its neighbours.

    Raises:
        BadOption: the layer cannot be had in that format.
        SourceReadError: some pixel could not be read, or the raster of a virtual layer changed since it was ingested;
            tiles given before that are whole.
    """
    layer.check_format(variant.format)
    if layer.origins:
        made = list(_rendered(layer, sources, block, mask, variant))
        check_origins(layer.id, layer.source, layer.origins)  # no file was touched until all was read
        yield from made
    else:
        yield from _rendered(layer, sources, block, mask, variant)


def _rendered(
    layer: Layer, sources: Store, block: Block, mask: int, variant: TileVariant
) -> Iterator[tuple[Tile, bytes | None]]:
    """The same, of a raster that is as it was."""
    path = location(sources, layer.source, layer.bake.head) if layer.bake else layer.source
    zoom = block.z + variant.scale - 1  # at scale 2 a tile shows the pixels of the next zoom
    size = variant.size
    with rasterio.Env(session=DummySession(), GDAL_CACHEMAX=CACHE, **sources.gdal_options):
        level = _level(layer.bake, zoom) if layer.bake else None
        if layer.bake and level is not None:
            runs, read_area = _side_by_side(layer, block, mask), _reading(layer, layer.bake, path, level)
        else:
            runs, read_area = ([tile] for tile in block.tiles(mask)), _warping(layer, path, zoom)
        if layer.style.terrain in KERNELS:
            read_area = _bordered(read_area, _first(layer, zoom) * TILE)
        for tiles in runs:
            left, top = min(tile.x for tile in tiles), min(tile.y for tile in tiles)
            columns = max(tile.x for tile in tiles) - left + 1
            rows = max(tile.y for tile in tiles) - top + 1
            x = _unwrapped(layer, left, block.z)
            window = Window(zoom, x * size, top * size, columns * size, rows * size)
            area = read_area(window)
            if block.z == 0 and layer.bounds.crosses:  # the one tile that holds both ends of such a layer
                area = _over(area, read_area(replace(window, x=window.x + size)))
            area = layer.style.meaning(area[0]), area[1]
            if layer.style.terrain in KERNELS:
                area = derived(layer.style.terrain, area, window)
            picture = layer.style.apply(*area)
            for tile in tiles:
                yield tile, encode(picture.cut((tile.y - top) * size, (tile.x - left) * size, size), variant.format)


def render_tile(layer: Layer, sources: Store, tile: Tile, variant: TileVariant) -> bytes | None:
    """One tile alone; see `render`."""
    block = Block.of(tile)
    ((_, data),) = render(layer, sources, block, block.bit(tile), variant)
    return data


def nothing(layer: Layer, variant: TileVariant) -> bytes:
    """What stands for a tile of the layer with nothing on it where there must be something."""
    return blank_tile(variant.size, variant.format, layer.style.ground)


def _level(bake: CogLayout, zoom: int) -> int | None:
    """Which level of the COG has the pixels of `zoom`, if one has."""
    level = bake.z - zoom
    return level if 0 <= level < bake.levels else None


def _side_by_side(layer: Layer, block: Block, mask: int) -> Iterator[list[Tile]]:
    """The wanted tiles, together where the layer's columns run on without a turn around the world."""
    turns: dict[int, list[Tile]] = {}
    for tile in block.tiles(mask):
        turns.setdefault(_unwrapped(layer, tile.x, block.z) - tile.x, []).append(tile)
    return iter(turns.values())


def _unwrapped(layer: Layer, x: int, z: int) -> int:
    """Column `x` of zoom `z` as the layer counts columns: past the antimeridian they go on."""
    first = _first(layer, z)
    return first + (x - first) % (1 << z)


def _first(layer: Layer, z: int) -> int:
    """The first column of zoom `z` that the layer counts."""
    west = layer.bake.x if layer.bake else layer.footprint.x
    deep = layer.bake.z if layer.bake else layer.footprint.z
    return west >> (deep - z) if deep >= z else west << (z - deep)


def _bordered(read_area: Read, first: int) -> Read:
    """Reads one pixel more on each side than it is asked for.

    Of a layer around the globe the neighbour of the first column of pixels, `first`, is the last, and the other way
    around.
    """

    def read_bordered(window: Window) -> Area:
        world = TILE << window.z
        wide = replace(window, x=window.x - 1, y=window.y - 1, width=window.width + 2, height=window.height + 2)
        values, mask = read_area(wide)
        for column, turn in ((0, world), (wide.width - 1, -world)):
            if mask is None or first <= wide.x + column < first + world:
                continue
            side = slice(column, column + 1)
            beyond = read_area(replace(wide, x=wide.x + column + turn, width=1))
            values[..., side], cover = _over((values[..., side], mask[:, side]), beyond)
            mask[:, side] = 255 if cover is None else cover
        return values, mask

    return read_bordered


def _over(area: Area, other: Area) -> Area:
    """One area laid over another of the same size."""
    (values, cover), (below, below_cover) = area, other
    if cover is None:
        return area
    hidden = cover == 0
    return np.where(hidden, below, values), np.where(hidden, 255 if below_cover is None else below_cover, cover)


def _reading(layer: Layer, bake: CogLayout, path: str, level: int) -> Read:
    """Reads pixels that lie in the COG as they are."""
    dataset = opened(path, level, cog=True)
    left, top = bake.x * TILE >> level, bake.y * TILE >> level

    def read_area(window: Window) -> Area:
        place = (window.x - left, window.y - top, window.width, window.height)
        return read(dataset, place, bands=len(layer.bands), masked=not bake.opaque)

    return read_area


def _warping(layer: Layer, path: str, zoom: int) -> Read:
    """Makes pixels that lie nowhere: of a virtual layer, past the raster's own zoom, below the last overview.

    Only for single tiles: GDAL's warp of a larger window is not the same to the last bit.
    """
    dataset, resampling = _nearest_level(layer, path, zoom)
    if layer.bake:
        reading = Reading(layer.bands, masked=not layer.bake.opaque, soft=True)
    else:
        reading = layer.reading or reading_of(dataset, layer.bands, layer.nodata)

    def read_area(window: Window) -> Area:
        return warp(dataset, reading, window, resampling)

    return read_area


def _nearest_level(layer: Layer, path: str, zoom: int) -> tuple[DatasetReader, Resampling]:
    """What to warp for `zoom`, and how.

    The base past its zoom, the last overview below it; of a virtual layer the deepest overview that is still finer.
    """
    bake = layer.bake
    if bake is None:
        open_options = OpenOptions.of(layer.asked)
        shrink = resolution(zoom) / resolution_of(opened(path, open_options=open_options))
        return opened(path, overview_for(path, shrink, open_options), open_options=open_options), layer.resampling
    if zoom > bake.z:
        return opened(path, cog=True), layer.resampling
    small: Resampling = "nearest" if layer.style.palette or layer.resampling == "nearest" else "average"
    return opened(path, bake.levels - 1, cog=True), small
