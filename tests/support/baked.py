"""The parts of a baked layer: their keys, their bytes, and their pixels as one array per zoom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

from tests.support.parts import parts_of, pyramid_of
from tiler.grid import TILE, Window
from tiler.image.style import Area
from tiler.keys import part_key, parts_prefix
from tiler.layers.catalog import Layer
from tiler.layers.part_pixels import PartPixels
from tiler.layers.pyramid import Place
from tiler.storage.store import Stores


def keys_of_parts(layer: Layer, stores: Stores) -> list[str]:
    """The keys of the COGs of all parts of a layer."""
    return sorted(part_key(layer.id, part.name) for part in parts_of(layer, stores).values())


def bytes_of_parts(layer: Layer, stores: Stores) -> dict[str, bytes]:
    """The COGs of all parts of a layer by their keys."""
    return {key: stores.sources.get(key) for key in keys_of_parts(layer, stores)}


def hashes_of_parts(layer: Layer, stores: Stores) -> dict[Place, str]:
    """The hashes of the blocks of all parts of a layer."""
    return {place: part.hash for place, part in parts_of(layer, stores).items()}


def remove_parts(layer: Layer, stores: Stores) -> None:
    """Delete the COGs of a layer."""
    stores.sources.delete(keys_of_parts(layer, stores))


def stored_parts(layer: str, stores: Stores) -> set[str]:
    """The keys of all stored COGs of parts, also of those that no revision names."""
    return {entry.key for entry in stores.sources.list(parts_prefix(layer)) if entry.key.endswith(".tif")}


def window_at(layer: Layer, z: int) -> Window:
    """The smallest window of tiles that contains all that a layer covers at zoom `z`, within the world."""
    first, last = layer.ranges(z)[0], layer.ranges(z)[-1]
    columns = sum(each.x1 - each.x0 for each in layer.ranges(z))
    assert (first.y0, first.y1) == (last.y0, last.y1)
    return Window(z, first.x0 * TILE, first.y0 * TILE, columns * TILE, (first.y1 - first.y0) * TILE)


def read_zoom(layer: Layer, stores: Stores, z: int, window: Window | None = None) -> Area:
    """Values and mask of a window of a zoom, by default all that the layer covers; the mask is never None."""
    pixels = PartPixels(layer, pyramid_of(layer), stores.sources, z)
    values, mask = pixels.read(window or window_at(layer, z))
    return values, np.full(values.shape[1:], 255, np.uint8) if mask is None else mask


def write_zoom(layer: Layer, stores: Stores, z: int, path: Path) -> Path:
    """Write the pixels of a zoom as one GeoTIFF with a mask."""
    window = window_at(layer, z)
    values, mask = read_zoom(layer, stores, z, window)
    profile = {"count": len(values), "dtype": values.dtype, "width": window.width, "height": window.height}
    place = {"crs": "EPSG:3857", "transform": from_origin(*window.corner, window.pixel, window.pixel)}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", driver="GTiff", **profile, **place) as out,
    ):
        out.write(values)
        out.write_mask(mask)
    return path
