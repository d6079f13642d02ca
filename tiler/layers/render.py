"""Render a layer's tiles block by block: read, apply terrain kernels, style, cut, encode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import rasterio
from mercantile import Tile
from rasterio.io import DatasetReader
from rasterio.session import DummySession

from tiler.choices import Resampling
from tiler.errors import BadOption, SourceReadError
from tiler.grid import TILE, Block, Window, resolution
from tiler.image.encode import blank_tile, encode
from tiler.image.style import KERNELS, Area
from tiler.image.terrain import derived
from tiler.keys import FORMATS, Format, Scale
from tiler.layers.catalog import Layer
from tiler.layers.cog_layout import CogLayout
from tiler.layers.finished import Place, copied
from tiler.layers.origin import check_origins
from tiler.raster.datasets import OpenOptions, opened
from tiler.raster.pixels import reading_of
from tiler.raster.place import resolution_of
from tiler.raster.reading import Reading
from tiler.raster.warp import overview_for, read, warp
from tiler.storage.gdal_reads import location, shown
from tiler.storage.store import Store

CACHE = 128  # megabytes of GDAL's block cache per process


@dataclass(frozen=True, slots=True)
class TileVariant:
    """The scale and format of tiles: 256 pixels per side at scale 1, 512 at scale 2.

    Raises:
        BadOption: the scale or format is invalid.
    """

    scale: Scale = 1
    format: Format = "png"

    def __post_init__(self) -> None:
        if self.scale not in get_args(Scale) or self.format not in FORMATS:
            raise BadOption(
                f"no tiles at scale {self.scale} as {self.format}: use scale 1 or 2, as {', '.join(FORMATS)}"
            )

    @property
    def size(self) -> int:
        """Pixels along a tile's side."""
        return TILE * self.scale


Read = Callable[[Window], Area]


def render(
    layer: Layer, sources: Store, block: Block, mask: int, variant: TileVariant
) -> Iterator[tuple[Tile, bytes | None]]:
    """The tiles of `block` in `mask`; None for an empty tile.

    A tile has the same bytes whether it is rendered alone or with its neighbours.

    Raises:
        BadOption: the layer cannot have that format.
        SourceReadError: some pixel could not be read, or the raster of a virtual layer changed since it was ingested;
            tiles yielded before are complete.
    """
    layer.check_format(variant.format)
    if layer.origins:
        tiles = list(_render(layer, sources, block, mask, variant))
        check_origins(layer.id, layer.source, layer.origins)  # after all reads, so no change can be missed
        yield from tiles
    else:
        yield from _render(layer, sources, block, mask, variant)


def _render(
    layer: Layer, sources: Store, block: Block, mask: int, variant: TileVariant
) -> Iterator[tuple[Tile, bytes | None]]:
    """The same without checking the files of a virtual layer."""
    path = location(sources, layer.source, layer.bake.head) if layer.bake else layer.source
    zoom = block.z + variant.scale - 1  # at scale 2 a tile has the pixels of the next zoom
    size = variant.size
    with rasterio.Env(session=DummySession(), GDAL_CACHEMAX=CACHE):
        level = _level(layer.bake, zoom) if layer.bake else None
        if layer.bake and level is not None and is_copied(layer, block.z, variant):
            yield from copied(path, level, list(_places(layer, layer.bake, level, block, mask)), variant.format)
            return
        if layer.bake and level is not None:
            runs, read_area = _runs(layer, block, mask), _cog_reader(layer, layer.bake, path, level)
        else:
            runs, read_area = ([tile] for tile in block.tiles(mask)), _warper(layer, path, zoom)
        if layer.style.terrain in KERNELS:
            read_area = _bordered(read_area, _first_column(layer, zoom) * TILE)
        for tiles in runs:
            left, top = min(tile.x for tile in tiles), min(tile.y for tile in tiles)
            columns = max(tile.x for tile in tiles) - left + 1
            rows = max(tile.y for tile in tiles) - top + 1
            x = _unwrapped(layer, left, block.z)
            window = Window(zoom, x * size, top * size, columns * size, rows * size)
            area = read_area(window)
            if block.z == 0 and layer.bounds.crosses:  # the only tile with both ends of such a layer
                area = _over(area, read_area(replace(window, x=window.x + size)))
            area = layer.style.meaning(area[0]), area[1]
            if layer.style.terrain in KERNELS:
                area = derived(layer.style.terrain, area, window)
            picture = layer.style.apply(*area)
            for tile in tiles:
                cut = picture.cut((tile.y - top) * size, (tile.x - left) * size, size)
                yield tile, encode(cut, variant.format, lossless=layer.lossless_webp)


def is_copied(layer: Layer, zoom: int, variant: TileVariant) -> bool:
    """Whether tiles of `zoom` are blocks of the COG, which are copied instead of rendered."""
    bake = layer.bake
    own = (variant.scale, variant.format) == (1, layer.format)
    return bake is not None and own and 0 <= bake.z - zoom < bake.finished


def render_tile(layer: Layer, sources: Store, tile: Tile, variant: TileVariant) -> bytes | None:
    """One tile alone; see `render`."""
    block = Block.of(tile)
    ((_, data),) = render(layer, sources, block, block.bit(tile), variant)
    return data


def nothing(layer: Layer, variant: TileVariant) -> bytes:
    """The blank tile of the layer, for an empty tile that must have bytes."""
    return blank_tile(variant.size, variant.format, layer.style.ground, lossless=layer.lossless_webp)


def _level(bake: CogLayout, zoom: int) -> int | None:
    """The level of the COG with the pixels of `zoom`; None if there is none."""
    level = bake.z - zoom
    return level if 0 <= level < bake.levels else None


def _runs(layer: Layer, block: Block, mask: int) -> Iterator[list[Tile]]:
    """The requested tiles in groups that are contiguous in the COG: one, or two around the antimeridian."""
    turns: dict[int, list[Tile]] = {}
    for tile in block.tiles(mask):
        turns.setdefault(_unwrapped(layer, tile.x, block.z) - tile.x, []).append(tile)
    return iter(turns.values())


def _places(layer: Layer, bake: CogLayout, level: int, block: Block, mask: int) -> Iterator[tuple[Tile, Place]]:
    """The requested tiles, each with the place of its block in a level of the COG."""
    for tile in block.tiles(mask):
        yield tile, (_unwrapped(layer, tile.x, block.z) - (bake.x >> level), tile.y - (bake.y >> level))


def _unwrapped(layer: Layer, x: int, z: int) -> int:
    """Column `x` of zoom `z` in the layer's numbering, which continues past the antimeridian."""
    first = _first_column(layer, z)
    return first + (x - first) % (1 << z)


def _first_column(layer: Layer, z: int) -> int:
    """The layer's first column of zoom `z`."""
    west = layer.bake.x if layer.bake else layer.footprint.x
    zoom = layer.bake.z if layer.bake else layer.footprint.z
    return west >> (zoom - z) if zoom >= z else west << (z - zoom)


def _bordered(read_area: Read, first: int) -> Read:
    """A reader that adds one pixel on each side of the window.

    In a layer around the globe, the first column of pixels, `first`, and the last are neighbours.
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
            values[..., side], side_mask = _over((values[..., side], mask[:, side]), beyond)
            mask[:, side] = 255 if side_mask is None else side_mask
        return values, mask

    return read_bordered


def _over(area: Area, other: Area) -> Area:
    """An area over another of the same size."""
    (values, mask), (below, below_mask) = area, other
    if mask is None:
        return area
    clear = mask == 0
    return np.where(clear, below, values), np.where(clear, 255 if below_mask is None else below_mask, mask)


def _cog_reader(layer: Layer, bake: CogLayout, path: str, level: int) -> Read:
    """A reader of the COG's own pixels."""
    dataset = opened(path, level, cog=True)
    left, top = bake.x * TILE >> level, bake.y * TILE >> level

    def read_area(window: Window) -> Area:
        place = (window.x - left, window.y - top, window.width, window.height)
        return read(dataset, place, bands=len(layer.bands), masked=not bake.opaque)

    return read_area


def _warper(layer: Layer, path: str, zoom: int) -> Read:
    """A reader that warps: for virtual layers, zooms above the COG's base, and zooms below its last overview.

    Only for single tiles: GDAL's warp of a larger window differs in the last bits.
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
    """The dataset to warp for `zoom`, and the kernel.

    That is the base for higher zooms, the last overview for lower ones; for a virtual layer, the coarsest overview that
    is no coarser than `zoom`.
    """
    bake = layer.bake
    if bake is None:
        open_options = OpenOptions.of(layer.asked)
        shrink = resolution(zoom) / resolution_of(opened(path, open_options=open_options))
        return opened(path, overview_for(path, shrink, open_options), open_options=open_options), layer.resampling
    if zoom > bake.z:
        return _placed(opened(path, cog=True), bake), layer.resampling
    shrinking: Resampling = "nearest" if layer.style.palette or layer.resampling == "nearest" else "average"
    return _placed(opened(path, bake.levels - 1, cog=True), bake), shrinking


def _placed(dataset: DatasetReader, bake: CogLayout) -> DatasetReader:
    """Check the georeferencing of a level of the COG, and return the level; a wrong one would give empty tiles.

    Raises:
        SourceReadError: it differs from the layer's.
    """
    base = Window(bake.z, bake.x * TILE, bake.y * TILE, bake.columns * TILE, bake.rows * TILE)
    west, north = base.corner
    own = (west, north - base.height * base.pixel, west + base.width * base.pixel, north)
    if not dataset.crs or not np.allclose(dataset.bounds, own, rtol=0, atol=base.pixel / 10_000):
        raise SourceReadError(shown(dataset.name), "damaged header: its georeferencing differs from the layer's")
    return dataset
