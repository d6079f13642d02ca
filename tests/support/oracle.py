"""Oracles for tiles: GDAL's own warp, direct sampling, slow arithmetic."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.warp
from affine import Affine
from mercantile import Tile
from PIL import Image
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from seeder.select.tilelist import tile_line
from seeder.select.tileset import TileSets
from tiler.grid import Block
from tiler.image.style import Pixels, Values
from tiler.layers.catalog import Layer
from tiler.layers.render import TileVariant, render
from tiler.storage.store import Stores

HALF = math.pi * 6378137  # metres from the middle of the world to its edge
PNG = TileVariant()
EXACT = 99.0  # psnr() of equal pictures


def psnr(one: Values, other: Values) -> float:
    """Peak signal-to-noise ratio of two 8-bit pictures, dB."""
    assert one.shape == other.shape
    assert one.size
    error = float(np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2))
    return EXACT if error == 0 else 10 * math.log10(255**2 / error)


def decoded(data: bytes | None, size: int = 256) -> Pixels:
    """A tile as `(size, size, 4)` RGBA; all 0 if it is empty."""
    if data is None:
        return np.zeros((size, size, 4), np.uint8)
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def alone(layer: Layer, stores: Stores, tile: Tile, variant: TileVariant = PNG) -> bytes | None:
    """The bytes of a tile rendered alone."""
    block = Block.of(tile)
    ((_, data),) = render(layer, stores.sources, block, block.bit(tile), variant)
    return data


def drawn(layer: Layer, stores: Stores, tile: Tile, variant: TileVariant = PNG) -> Pixels:
    """The pixels of one tile, RGBA."""
    return decoded(alone(layer, stores, tile, variant), variant.size)


def colours(pixels: Pixels) -> set[tuple[int, ...]]:
    """Every RGBA in `(height, width, 4)`."""
    whole = np.unique(np.ascontiguousarray(pixels).view(np.uint32))  # faster by far than rows of four
    return set(map(tuple, whole.view(np.uint8).reshape(-1, 4).tolist()))


def tiles_of(layer: Layer, z: int) -> list[Tile]:
    """The tiles that touch the layer's bounds."""
    return [
        Tile(x=x, y=y, z=z)
        for each in layer.ranges(z)
        for y in range(each.y0, each.y1)
        for x in range(each.x0, each.x1)
    ]


def joined(draw: Callable[[Tile], Pixels], corner: Tile, *, columns: int = 2, rows: int = 2) -> Pixels:
    """`columns` x `rows` tiles from the north-west one `corner`, as one picture."""
    return np.vstack(
        [
            np.hstack([draw(Tile(x=corner.x + x, y=corner.y + y, z=corner.z)) for x in range(columns)])
            for y in range(rows)
        ]
    )


def warped(
    path: str | Path,
    corner: Tile,
    *,
    columns: int = 1,
    rows: int = 1,
    size: int = 256,
    how: str = "cubic",
    **options: Any,
) -> tuple[Values, Pixels]:
    """GDAL's warp of a raster to tiles, in one piece: `(height, width, bands)` and alpha, 0 to 255.

    `options` are WarpedVRT's.
    """
    metres = 2 * HALF / (size * 2**corner.z)
    transform = Affine(metres, 0, corner.x * size * metres - HALF, 0, -metres, HALF - corner.y * size * metres)
    with rasterio.open(path) as source:
        own = rasterio.enums.ColorInterp.alpha in source.colorinterp
        with WarpedVRT(
            source,
            crs="EPSG:3857",
            transform=transform,
            width=columns * size,
            height=rows * size,
            resampling=Resampling[how],
            add_alpha=not own,
            **options,
        ) as vrt:
            bands = vrt.read()
    return np.moveaxis(bands[:-1], 0, -1), as_alpha(bands[-1])


def as_alpha(band: Values) -> Pixels:
    """GDAL's alpha scaled to 0 to 255; its maximum is the largest value of the dtype (255 for floats)."""
    full = 255 if band.dtype.kind == "f" else np.iinfo(band.dtype).max
    return np.clip(np.rint(band.astype(np.float64) * 255 / full), 0, 255).astype(np.uint8)


def sampled(values: Values, transform: Affine, crs: str, tile: Tile) -> tuple[Values, npt.NDArray[np.bool_]]:
    """The nearest pixels of a raster, `(256, 256, bands)`, with longitudes wrapped, and the mask of valid ones."""
    steps = (np.arange(256) + 0.5) / 256
    longitudes, ys = np.meshgrid((tile.x + steps) / 2**tile.z * 360 - 180, (1 - 2 * (tile.y + steps) / 2**tile.z))
    latitudes = np.degrees(np.arctan(np.sinh(np.pi * ys)))
    found = np.zeros((256, 256, values.shape[0]), values.dtype)
    there = np.zeros((256, 256), bool)
    for turn in (-360, 0, 360) if crs == "EPSG:4326" else (0,):
        xs, ys = longitudes + turn, latitudes
        if crs != "EPSG:4326":
            moved = rasterio.warp.transform("EPSG:4326", crs, xs.ravel(), ys.ravel())
            xs, ys = (np.asarray(axis).reshape(256, 256) for axis in moved)
        columns = np.floor((xs - transform.c) / transform.a).astype(int)
        rows = np.floor((ys - transform.f) / transform.e).astype(int)
        inside = (columns >= 0) & (rows >= 0) & (columns < values.shape[2]) & (rows < values.shape[1])
        found[inside] = values[:, rows[inside], columns[inside]].T
        there |= inside
    return found, there


def quarters(picture: Values) -> Iterator[Values]:
    """The four pixels of each 2 x 2, in reading order, as four pictures of half the size."""
    return (picture[y::2, x::2] for y in (0, 1) for x in (0, 1))


def landscape(height: int = 700, width: int = 900, bands: int = 3) -> Values:
    """A picture as smooth as an aerial photograph, with one soft edge; `(bands, height, width)`, never 0."""
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [
        128
        + 50 * np.sin(columns / (61 + 9 * band) + rows / 97)
        + 50 * np.cos(rows / (53 - 5 * band) - columns / 140)
        + 15 * np.tanh((rows - columns * 0.7 - 100) / 6)
        for band in range(bands)
    ]
    return np.clip(np.array(waves), 1, 255).astype(np.uint8)


def files_under(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder below, with its size and its modification time (0 for folders)."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else (0, 0)
        for path in folder.rglob("*")
    }


def lines(tiles: TileSets) -> list[str]:
    """All tiles as lines of a list."""
    block_masks = (block_mask for z in tiles.zooms for block_mask in tiles.at(z).block_masks())
    return [tile_line(tile) for block_mask in block_masks for tile in block_mask.block.tiles(block_mask.tiles)]
