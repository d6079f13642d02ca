"""Source values to what a screen shows: bands, rescale, palette."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.errors import BadOption

ROWS = 64  # of a block that are stretched at once: what is still in the processor's cache takes half the time

Pixels = npt.NDArray[np.uint8]
Values = npt.NDArray[Any]
Area = tuple[Values, Pixels | None]  # values (bands, height, width), and the mask
Rgba = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Picture:
    """What one tile or block looks like.

    `pixels` is `(height, width, channels)` uint8, channels 1 (grey, or an index into `palette`) or 3 (RGB).
    `mask` is `(height, width)` uint8, 0 transparent to 255 opaque, or None where all is opaque.
    `palette` is `(256, 4)` uint8 RGBA, or None.
    """

    pixels: Pixels
    mask: Pixels | None = None
    palette: Pixels | None = None

    def cut(self, row: int, column: int, size: int) -> Picture:
        """The square of `size` pixels whose north-west pixel is (row, column)."""
        rows, columns = slice(row, row + size), slice(column, column + size)
        mask = None if self.mask is None else self.mask[rows, columns]
        return Picture(self.pixels[rows, columns], mask, self.palette)


@dataclass(frozen=True, slots=True)
class Style:
    """How values become colours.

    `rescale` holds (low, high) a band, stretched linearly to 0-255; empty means that values are 0-255 already.
    `palette` holds RGBA for the values 0, 1, 2, ...; values beyond it are transparent.
    """

    rescale: tuple[tuple[float, float], ...] = ()
    palette: tuple[Rgba, ...] = ()

    def __post_init__(self) -> None:
        for low, high in self.rescale:
            if not low < high or math.isinf(low) or math.isinf(high):
                raise BadOption(f"rescale {low:g},{high:g}: the first value must be below the second, both numbers")
        if self.rescale and self.palette:
            raise BadOption("a palette shows values as they are: drop --rescale")

    def apply(self, values: Values, mask: Pixels | None) -> Picture:
        """The picture of `values`.

        `values` is `(bands, height, width)` of any real dtype, bands 1 or 3; `mask` is `(height, width)`
        uint8, 0 transparent to 255 opaque, or None where all is valid.
        """
        if self.palette:
            return _indexed(values[0], mask, self.palette)
        if not self.rescale:
            return Picture(np.moveaxis(values, 0, -1), mask)
        pixels = np.empty((*values.shape[1:], values.shape[0]), np.uint8)
        for top in range(0, len(pixels), ROWS):
            rows = slice(top, top + ROWS)
            for band, (low, high) in enumerate(self.rescale):
                pixels[rows, :, band] = _stretched(values[band, rows], low, high)
        return Picture(pixels, mask)


def _stretched(values: Values, low: float, high: float) -> Pixels:
    """`values` with low at 0 and high at 255, the nearest of the 256 steps; same shape, uint8."""
    if values.dtype.kind in "ui" and values.dtype.itemsize <= 2:
        return _lookup(values.dtype.str, low, high).take(values.view(f"u{values.dtype.itemsize}"))
    return _steps(values if values.dtype == np.float32 else values.astype(np.float64), low, high)


def _steps(values: npt.NDArray[np.floating[Any]], low: float, high: float) -> Pixels:
    scaled = (np.clip(values, low, high) - low) * (255 / (high - low))
    steps: Pixels = np.rint(scaled).astype(np.uint8)
    return steps


@lru_cache(maxsize=16)
def _lookup(dtype: str, low: float, high: float) -> Pixels:
    """The stretch of every value that a 1 or 2 byte integer can hold, in the order of its unsigned view."""
    kind = np.dtype(dtype)
    every = np.arange(256**kind.itemsize, dtype=f"u{kind.itemsize}").view(kind)
    return _steps(every.astype(np.float64), low, high)


def _indexed(band: Values, mask: Pixels | None, palette: tuple[Rgba, ...]) -> Picture:
    """`band` as indexes into the palette; what is no index is transparent."""
    if band.dtype != np.uint8:
        known = (band >= 0) & (band < 256)
        if not known.all():
            mask = np.where(known, np.uint8(255) if mask is None else mask, np.uint8(0))
        band = np.where(known, band, 0).astype(np.uint8)
    return Picture(band[..., np.newaxis], mask, _table(palette))


@lru_cache(maxsize=16)
def _table(palette: tuple[Rgba, ...]) -> Pixels:
    table = np.zeros((256, 4), np.uint8)
    table[: len(palette)] = palette
    return table
