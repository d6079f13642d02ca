"""Synthetic rasters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.transform import from_bounds

from tiler.image.style import Values

MakeRaster = Callable[..., Path]


@dataclass(frozen=True)
class Recipe:
    """A raster to make: `values` is `(bands, height, width)`, `bounds` W,S,E,N in units of `crs`."""

    values: Values
    bounds: tuple[float, float, float, float] = (5.0, 45.0, 9.0, 48.0)
    crs: str = "EPSG:4326"
    nodata: float | None = None
    mask: Values | None = None  # (height, width) uint8: a mask inside the file
    alpha: bool = False  # the last band is alpha
    palette: dict[int, tuple[int, int, int, int]] | None = None
    options: tuple[tuple[str, Any], ...] = (("tiled", True), ("blockxsize", 256), ("blockysize", 256))
    overviews: tuple[int, ...] = ()


def write_raster(path: Path, recipe: Recipe) -> Path:
    """Write the GeoTIFF that `recipe` describes to `path`."""
    bands, height, width = recipe.values.shape
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            width=width,
            height=height,
            count=bands,
            dtype=recipe.values.dtype,
            crs=recipe.crs,
            transform=from_bounds(*recipe.bounds, width, height),
            nodata=recipe.nodata,
            **dict(recipe.options),
        ) as out,
    ):
        if recipe.palette:
            out.write_colormap(1, recipe.palette)
        if bands - recipe.alpha == 3:
            out.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue] + [
                ColorInterp.alpha
            ] * recipe.alpha
        elif recipe.alpha:
            out.colorinterp = [*out.colorinterp[:-1], ColorInterp.alpha]
        out.write(recipe.values)
        if recipe.mask is not None:
            out.write_mask(recipe.mask)
        if recipe.overviews:
            out.build_overviews(list(recipe.overviews))
    return path


def scene(height: int = 700, width: int = 900, bands: int = 3, *, seed: int = 7) -> Values:
    """A picture with slopes, edges and fine grain, `(bands, height, width)` uint8, never 0."""
    return _scene(height, width, bands, seed).copy()  # a test may write into its own


@lru_cache(32)
def _scene(height: int, width: int, bands: int, seed: int) -> Values:
    rows, columns = np.ogrid[0:height, 0:width]
    values = np.random.default_rng(seed).normal(0, 4, (bands, height, width))
    for band in range(bands):
        values[band] += (
            128 + 60 * np.sin(columns / (23 + 9 * band)) + 45 * np.cos(rows / (31 - 5 * band)) + 15 * (rows // 64 % 2)
        )
    return np.clip(values, 1, 255, out=values).astype(np.uint8)
