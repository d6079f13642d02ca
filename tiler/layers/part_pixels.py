"""Read pixels of a level from parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tiler.grid import TILE, Window
from tiler.image.style import Area
from tiler.layers.pyramid import SIDE, Part, Place, across
from tiler.raster.datasets import opened
from tiler.raster.warp import read

Find = Callable[[Place], Part | None]
Location = Callable[[Part, int], tuple[str, int]]


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

    The window's zoom is that of the level; its columns count modulo the world. `location` gives the name
    of the COG that holds a level of a part, and the level in it.

    Raises:
        SourceReadError: a part cannot be read.
    """
    pieces = [
        (y, x, piece, part)
        for y, x, piece, place in _pieces(tier, zoom, level, window)
        if (part := find(place)) is not None
    ]
    if len(pieces) == 1 and pieces[0][2].width == window.width and pieces[0][2].height == window.height:
        ((_, _, piece, part),) = pieces
        return _read(location, part, level, piece, bands)
    values = np.moveaxis(np.zeros((window.height, window.width, bands), dtype), -1, 0)
    mask = np.zeros((window.height, window.width), np.uint8)
    for y, x, piece, part in pieces:
        target = slice(y, y + piece.height), slice(x, x + piece.width)
        found, opacity = _read(location, part, level, piece, bands)
        values[:, *target] = found
        mask[target] = 255 if opacity is None else opacity
    return values, mask


def _read(location: Location, part: Part, level: int, window: Window, bands: int) -> Area:
    layout, (path, own) = part.layout, location(part, level)
    place = (window.x - (layout.x * TILE >> level), window.y - (layout.y * TILE >> level), window.width, window.height)
    return read(opened(path, own, cog=True), place, bands=bands, masked=not layout.opaque)


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
