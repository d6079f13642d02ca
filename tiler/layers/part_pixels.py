"""Read pixels of a layer from its parts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np
from affine import Affine
from mercantile import Tile
from rasterio.io import DatasetReader

from tiler import keys
from tiler.errors import SourceReadError
from tiler.grid import TILE, Block, Window, grown
from tiler.image.style import Area
from tiler.keys import Format
from tiler.layers.catalog import Layer
from tiler.layers.finished import copied
from tiler.layers.pyramid import SIDE, Part, Place, Pyramid, across
from tiler.raster.datasets import opened
from tiler.raster.warp import KERNEL, enlarged, read
from tiler.storage.cog_bytes import BlockWindow
from tiler.storage.gdal_reads import location, read_ahead, shown
from tiler.storage.store import Store

NEAR = 1e-4  # pixels

Find = Callable[[Collection[Place]], Mapping[Place, Part]]
Location = Callable[[Part, int], tuple[str, int]]


class PartPixels:
    """The pixels of a zoom; columns count modulo the world."""

    def __init__(self, layer: Layer, pyramid: Pyramid, sources: Store, zoom: int) -> None:
        self._layer = layer
        self._pyramid = pyramid
        self._sources = sources
        self._zoom = zoom

    def runs(self, block: Block, mask: int) -> Iterator[list[Tile]]:
        """The requested tiles in groups to read at once: all, or single ones where they are enlarged."""
        tiles = list(block.tiles(mask))
        return ([tile] for tile in tiles) if self._zoom > self._pyramid.z else iter([tiles])

    def column(self, x: int, _z: int) -> int:
        """Tile column `x`."""
        return x

    def copied(self, block: Block, mask: int, form: Format) -> Iterator[tuple[Tile, bytes | None]]:
        """The requested tiles, which are blocks of a part; see `tiler.layers.finished.copied`."""
        tier, level = self._pyramid.tier_of(block.z)
        side = max(1, min(SIDE, 1 << self._pyramid.zoom_of(tier)) >> level)
        place = Place(tier, block.x // side, block.y // side)
        part = self._find([place]).get(place)
        tiles = list(block.tiles(mask))
        if part is None:
            yield from ((tile, None) for tile in tiles)
            return
        layout = part.layout
        left, top = layout.x >> level, layout.y >> level
        columns, rows = (max(1, each >> level) for each in (layout.columns, layout.rows))
        inside = [tile for tile in tiles if 0 <= tile.x - left < columns and 0 <= tile.y - top < rows]
        path, _ = self._location(part, level)
        _opened(part, path, level, level)
        found = dict(copied(path, level, [(tile, (tile.x - left, tile.y - top)) for tile in inside], form))
        yield from ((tile, found.get(tile)) for tile in tiles)

    def read(self, window: Window, border: int = 0) -> Area:
        """The pixels of a window, with a `border` of pixels more on each side.

        Raises:
            SourceReadError: some pixel could not be read.
            CatalogError: the manifest is damaged.
        """
        wide = grown(window, border)
        if self._zoom <= self._pyramid.z:
            return self._read(wide)
        shift = self._zoom - self._pyramid.z
        reach = KERNEL[self._layer.resampling] + 2  # pixels of the base, one more than the kernel and its rounding
        left, top = (wide.x >> shift) - reach, (wide.y >> shift) - reach
        right, bottom = (
            -(-(start + size) >> shift) + reach for start, size in ((wide.x, wide.width), (wide.y, wide.height))
        )
        own = Window(self._pyramid.z, left, top, right - left, bottom - top)
        return enlarged(self._read(own), own, wide, self._layer.resampling)

    def _read(self, window: Window) -> Area:
        tier, level = self._pyramid.tier_of(window.z)
        zoom = self._pyramid.zoom_of(tier)
        bands, dtype = len(self._layer.bands), self._pyramid.dtype
        return read_parts(self._find, self._location, tier, zoom, level, window, bands=bands, dtype=dtype)

    def _find(self, places: Collection[Place]) -> Mapping[Place, Part]:
        return self._pyramid.parts_at(self._layer.id, self._sources, places)

    def _location(self, part: Part, level: int) -> tuple[str, int]:
        return location(self._sources, keys.part_key(self._layer.id, part.name), part.layout.head), level


def read_parts(
    find: Find,
    location: Location,
    tier: int,
    zoom: int,
    level: int,
    window: Window,
    *,
    bands: int,
    dtype: str,
) -> Area:
    """Pixels of `window` from a level of a tier that is cut at `zoom`; transparent where there is no part.

    The window's zoom is that of the level; its columns count modulo the world. `find` gives the parts at
    some places, `location` the name of the COG that holds a level of a part, and the level in it.

    Raises:
        SourceReadError: a part cannot be read.
        StoreError: the store failed.
    """
    cut = list(_pieces(tier, zoom, level, window))
    parts = find([place for *_, place in cut])
    pieces = [(y, x, piece, parts[place]) for y, x, piece, place in cut if place in parts]
    if len(pieces) == 1 and pieces[0][2].width == window.width and pieces[0][2].height == window.height:
        ((_, _, piece, part),) = pieces
        return _read(location, part, level, piece, bands)
    values = np.moveaxis(np.zeros((window.height, window.width, bands), dtype), -1, 0)
    mask = np.zeros((window.height, window.width), np.uint8)
    read_ahead([_block_window(location, part, level, piece) for *_, piece, part in pieces])
    for y, x, piece, part in pieces:
        found, opacity = _read(location, part, level, piece, bands)
        target = slice(y, y + piece.height), slice(x, x + piece.width)
        values[:, *target] = found
        mask[target] = 255 if opacity is None else opacity
    return values, mask


def _block_window(location: Location, part: Part, level: int, window: Window) -> BlockWindow:
    """The blocks with the pixels of a window."""
    left, top = _offset(part, level, window)
    rows, columns = (
        slice(max(0, start) // TILE, max(0, -(-(start + size) // TILE)))
        for start, size in ((top, window.height), (left, window.width))
    )
    return BlockWindow(*location(part, level), rows, columns)


def _read(location: Location, part: Part, level: int, window: Window, bands: int) -> Area:
    path, own = location(part, level)
    place = (*_offset(part, level, window), window.width, window.height)
    return read(_opened(part, path, own, level), place, bands=bands, masked=not part.layout.opaque)


def _offset(part: Part, level: int, window: Window) -> tuple[int, int]:
    """The column and row, in pixels, of a window in a level of a part."""
    return window.x - (part.layout.x * TILE >> level), window.y - (part.layout.y * TILE >> level)


def _opened(part: Part, path: str, own: int, level: int) -> DatasetReader:
    """Open level `own` of the COG at `path`, which is `level` of the part; one elsewhere would give empty tiles.

    Raises:
        SourceReadError: it cannot be opened, or has another place than the part.
    """
    layout, dataset = part.layout, opened(path, own, cog=True)
    width, height = (side * TILE >> level for side in (layout.columns, layout.rows))
    window = Window(layout.z - level, layout.x * TILE >> level, layout.y * TILE >> level, width, height)
    west, north = window.corner
    place = Affine(window.pixel, 0, west, 0, -window.pixel, north)
    if dataset.shape != (height, width) or not dataset.transform.almost_equals(place, window.pixel * NEAR):
        raise SourceReadError(shown(path), "damaged header: it has another place than the layer's part")
    return dataset


def _pieces(tier: int, zoom: int, level: int, window: Window) -> Iterator[tuple[int, int, Window, Place]]:
    """The pieces of a window by part: row and column in the window, the piece within the world, the part's place."""
    side, world = SIDE * TILE >> level, TILE << zoom >> level
    for top, height in _cuts(max(window.y, 0), min(window.y + window.height, world), side):
        for left, width in _cuts(window.x, window.x + window.width, min(side, world)):
            x = left % world
            place = Place(tier, x // side % across(zoom), top // side)
            yield top - window.y, left - window.x, Window(window.z, x, top, width, height), place


def _cuts(start: int, stop: int, side: int) -> Iterator[tuple[int, int]]:
    """First pixel and length of the pieces between `start` and `stop`, cut at multiples of `side`."""
    while start < stop:
        following = min(stop, (start // side + 1) * side)
        yield start, following - start
        start = following
