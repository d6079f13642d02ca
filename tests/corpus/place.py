"""Where the pixels of a raster lie in the Web Mercator square."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio.warp
from affine import Affine
from rasterio.crs import CRS

HALF = 20037508.342789244  # metres from the middle of the Web Mercator world to its side
TILE = 256
GRID = 65  # points a side at which a raster is asked where it lies

Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class Place:
    """Where some covered pixels lie: `points` `(pixels, 2)`, 0 to 1 from the north-west of the square.

    `across` and `down` are the lengths of a pixel's sides in Web Mercator metres, the median of these pixels, and
    `finest` the root of the smallest pixel's area; 0 if nothing is known.
    """

    points: Numbers
    across: float
    down: float
    finest: float


def place_of(crs: CRS, transform: Affine, cover: Numbers) -> Place:
    """The place of a raster with this cover, `(height, width)`."""
    rows, columns = (np.unique(np.linspace(0, side - 1, GRID).astype(int)) for side in cover.shape)
    grid = np.array([(row, column) for row in rows for column in columns if cover[row, column] > 128]).reshape(-1, 2)
    corners = []
    for down, right in ((0, 0), (1, 0), (0, 1)):  # of the middle of a pixel
        xs, ys = transform @ (grid[:, 1] + 0.25 + right / 2, grid[:, 0] + 0.25 + down / 2)
        corners.append(_mercator(crs, np.asarray(xs), np.asarray(ys)))
    known = np.isfinite(np.array(corners)).all(axis=(0, 2)) & (np.abs(corners[0][:, 1]) < HALF)
    if not known.any():
        return Place(np.zeros((0, 2)), 0.0, 0.0, 0.0)
    corner, below, beside = (each[known] for each in corners)
    sides = beside - corner, below - corner
    areas = np.abs(np.linalg.det(np.stack(sides, axis=-1)))
    across, down = (2 * float(np.median(np.hypot(*side.T))) for side in sides)
    points = np.stack([(corner[:, 0] / HALF + 1) / 2 % 1, (1 - corner[:, 1] / HALF) / 2], axis=-1)
    return Place(points, across, down, 2 * math.sqrt(float(areas[areas > 0].min())) if areas.any() else 0.0)


def _mercator(crs: CRS, xs: Numbers, ys: Numbers) -> Numbers:
    """Points in Web Mercator metres, NaN where they have no place."""
    if not len(xs):
        return np.zeros((0, 2))
    try:
        there = np.stack([np.asarray(axis) for axis in rasterio.warp.transform(crs, "EPSG:3857", xs, ys)], axis=-1)
    except Exception:  # noqa: BLE001  # one point fails all of them
        if len(xs) == 1:
            return np.full((1, 2), np.nan)
        half = len(xs) // 2
        return np.concatenate([_mercator(crs, xs[:half], ys[:half]), _mercator(crs, xs[half:], ys[half:])])
    return np.where(np.isfinite(there).all(axis=1, keepdims=True), there, np.nan)
