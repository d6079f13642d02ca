"""The share of each class of a layer with a palette, counted in a few tiles of its overviews."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.session import DummySession

from tiler.grid import TILE, Window, tile_ranges
from tiler.image.terrain import ground
from tiler.layers.catalog import Layer
from tiler.layers.part_pixels import PartPixels
from tiler.layers.pyramid import Pyramid
from tiler.storage.store import Store

MOST = 16  # tiles to count


def shares(layer: Layer, pyramid: Pyramid, sources: Store) -> dict[int, float]:
    """The fraction of the visible ground that each value covers, 0 to 1, at the highest zoom with few tiles.

    Overviews have the most frequent class of each four pixels, so rare classes may be missing.

    Raises:
        SourceReadError, CatalogError: a part cannot be read.
        StoreError: the store failed.
    """
    z = pyramid.z
    while z > 0 and sum(map(len, tile_ranges(layer.bounds, z))) > MOST:
        z -= 1
    visible = np.array([bool(colour[3]) for colour in layer.style.palette])
    totals: npt.NDArray[np.float64] = np.zeros(len(visible))
    pixels = PartPixels(layer, pyramid, sources, z)
    with rasterio.Env(session=DummySession()):
        for each in tile_ranges(layer.bounds, z):
            columns, rows = (each.x1 - each.x0) * TILE, (each.y1 - each.y0) * TILE
            window = Window(z, each.x0 * TILE, each.y0 * TILE, columns, rows)
            values, mask = pixels.read(window)
            band = values[0].astype(np.int64)
            seen = (band >= 0) & (band < len(visible))
            seen &= visible[np.where(seen, band, 0)]
            if mask is not None:
                seen &= mask > 0
            weights = np.broadcast_to(ground(window)[:, np.newaxis] ** 2, band.shape)
            totals += np.bincount(band[seen], weights[seen], minlength=len(visible))
    whole = totals.sum()
    return {value: float(totals[value] / whole) for value in np.flatnonzero(totals).tolist()}
