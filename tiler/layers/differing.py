"""Compare pixels of two revisions of a layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.session import DummySession

from tiler.grid import TILE, Window
from tiler.image.style import Pixels
from tiler.layers.catalog import Layer
from tiler.layers.part_pixels import PartPixels
from tiler.layers.pyramid import Pyramid
from tiler.storage.store import Store

CACHE = 16 << 20  # bytes of GDAL's block cache: few blocks are read twice

Flags = npt.NDArray[np.bool_]


def differing_pixels(
    old: tuple[Layer, Pyramid], new: tuple[Layer, Pyramid], sources: Store, z: int, tiles: Iterable[tuple[int, int]]
) -> Iterator[Flags]:
    """The pixels that differ in each tile, `(TILE, TILE)`; `z` is at most the base, tiles are columns and rows.

    Raises:
        CatalogError, SourceReadError, StoreError: some pixel could not be read.
    """
    one, other = (PartPixels(layer, pyramid, sources, z) for layer, pyramid in (old, new))
    with rasterio.Env(session=DummySession(), GDAL_CACHEMAX=CACHE):
        for x, y in tiles:
            window = Window(z, x * TILE, y * TILE, TILE, TILE)
            (before, mask), (after, new_mask) = one.read(window), other.read(window)
            yield (before != after).any(axis=0) | (_opacity(mask) != _opacity(new_mask))


def _opacity(mask: Pixels | None) -> Pixels:
    return np.full((TILE, TILE), 255, np.uint8) if mask is None else mask
