"""Read pixels of a layer from one raster: the COG of a layer that an earlier version baked, or a virtual layer's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from mercantile import Tile
from rasterio.io import DatasetReader

from tiler.choices import Resampling
from tiler.errors import SourceReadError
from tiler.grid import TILE, Block, Window, grown, resolution
from tiler.image.style import Area
from tiler.keys import Format
from tiler.layers.catalog import Layer
from tiler.layers.cog_layout import CogLayout
from tiler.layers.finished import Place, copied
from tiler.raster.datasets import OpenOptions, opened
from tiler.raster.pixels import reading_of
from tiler.raster.place import resolution_of
from tiler.raster.reading import Reading
from tiler.raster.warp import overview_for, read, warp
from tiler.storage.gdal_reads import location, shown
from tiler.storage.store import Store

Read = Callable[[Window], Area]


class RasterPixels:
    """The pixels of a zoom; columns are numbered on past the antimeridian."""

    def __init__(self, layer: Layer, bake: CogLayout | None, sources: Store, zoom: int) -> None:
        self._layer = layer
        self._bake = bake
        self._zoom = zoom
        self._path = location(sources, layer.source, bake.head) if bake else layer.source
        self._level = _level(bake, zoom) if bake else None
        if bake and self._level is not None:
            self._read = _cog_reader(layer, bake, self._path, self._level)
        else:
            self._read = _warper(layer, self._path, zoom)

    def runs(self, block: Block, mask: int) -> Iterator[list[Tile]]:
        """The requested tiles in groups to read at once.

        Those are contiguous in the COG: one, or two around the antimeridian. Where it is warped, tiles are single.
        """
        return ([tile] for tile in block.tiles(mask)) if self._level is None else _runs(self._layer, block, mask)

    def column(self, x: int, z: int) -> int:
        """Tile column `x` of zoom `z` in the numbering of this raster."""
        return _unwrapped(self._layer, x, z)

    def copied(self, block: Block, mask: int, form: Format) -> Iterator[tuple[Tile, bytes | None]]:
        """The requested tiles, which are blocks of the COG; see `tiler.layers.finished.copied`."""
        assert self._bake is not None, "only tiles of a COG are copied"
        assert self._level is not None, "only tiles of its levels are copied"
        return copied(self._path, self._level, list(_places(self._layer, self._bake, self._level, block, mask)), form)

    def read(self, window: Window, border: int = 0) -> Area:
        """The pixels of a window, with a `border` of pixels more on each side.

        Raises:
            SourceReadError: some pixel could not be read.
        """
        first = _first_column(self._layer, self._zoom) * TILE
        read_area = _bordered(self._read, first, border) if border else self._read
        area = read_area(window)
        world = TILE << self._zoom
        if window.width == world and self._layer.bounds.crosses:  # the only tile with both ends of such a layer
            area = _over(area, read_area(replace(window, x=window.x + world)))
        return area


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
    place = layer.bake if isinstance(layer.bake, CogLayout) else layer.footprint
    west, zoom = place.x, place.z
    return west >> (zoom - z) if zoom >= z else west << (z - zoom)


def _bordered(read_area: Read, first: int, border: int) -> Read:
    """A reader that adds a border of pixels, fewer than a tile has, on each side of the window.

    In a layer around the globe, the first column of pixels, `first`, and the last are neighbours.
    """

    def read_bordered(window: Window) -> Area:
        world = TILE << window.z
        wide = grown(window, border)
        values, mask = read_area(wide)
        for column, turn in ((0, world), (wide.width - border, -world)):
            if mask is None or first <= wide.x + column < first + world:
                continue
            side = slice(column, column + border)
            beyond = read_area(replace(wide, x=wide.x + column + turn, width=border))
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
    bake = layer.bake if isinstance(layer.bake, CogLayout) else None
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
