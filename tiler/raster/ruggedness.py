"""The steepness of heights, and the metres between contours that it leaves room for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rasterio.io import DatasetReader

from tiler.errors import BadOption
from tiler.grid import resolution
from tiler.image.style import Meaning, Values, meant
from tiler.raster.datasets import translated
from tiler.raster.pixels import pixels
from tiler.raster.place import resolution_of
from tiler.raster.reading import Reading
from tiler.raster.sample import patches, stretch

APART = 6  # pixels between two lines, at least
STEEP = 90  # percent of the ground that is less steep
CELL = 16  # pixels per side of the squares whose steepness is measured
LINES = 6  # in the range of heights, at least
CLOSEST, FARTHEST = 0.01, 100_000  # metres between contours; closer ones are lost in heights of 32 bits
LEAST = 0.01  # metres
LEVEL = 10.0  # metres, where all ground is level
NICE = [float(f"{digit}e{power}") for power in range(-2, 12) for digit in (1, 2, 5)]  # of metres, or of intervals


@dataclass(frozen=True, slots=True)
class Ruggedness:
    """The rise of steep ground in metres per Mercator metre; the heights in metres between which most are."""

    rise: float
    low: float
    high: float

    @classmethod
    def around(cls, several: Iterable[Ruggedness]) -> Ruggedness:
        """That of several rasters: the steepest, and the whole range."""
        rises, lows, highs = zip(*((each.rise, each.low, each.high) for each in several), strict=True)
        return cls(max(rises), min(lows), max(highs))


def ruggedness(dataset: DatasetReader, reading: Reading, meaning: Meaning) -> Ruggedness:
    """The ruggedness of one band of heights, from squares of full resolution that are spread over the raster."""
    rises, heights = [np.zeros(0)], [np.zeros(0)]
    with translated(dataset.name):
        for options in patches(dataset):
            values, mask = pixels(dataset, reading, **options)
            metres, valid = meant(values[0], meaning).astype(np.float64), mask > 0
            rises.append(_rises(metres, valid))
            heights.append(metres[::CELL, ::CELL][valid[::CELL, ::CELL]])
    steep = np.concatenate(rises)
    rise = float(np.percentile(steep, STEEP)) if steep.size else 0.0
    return Ruggedness(rise / resolution_of(dataset), *stretch(np.concatenate(heights)))


def intervals(ground: Ruggedness, asked: tuple[float, ...], zoom: int) -> tuple[float, ...]:
    """The metres between contours at the zooms 0 to `zoom`, the raster's own.

    At `zoom` it is the one that was asked for, else the first of 1, 2, 5, 10, ... at which lines on steep ground are
    APART pixels apart. At lower zooms it is multiplied by 2, 5, 10, ... until they are, but not so far that fewer than
    LINES remain in the range of heights. Several that were asked for are those of the zooms.

    Raises:
        BadOption: one is out of the range CLOSEST to FARTHEST.
    """
    for each in asked:
        if not CLOSEST <= each <= FARTHEST:
            why = f"write metres above 0, such as 20, from {CLOSEST:g} to {FARTHEST:,}"
            raise BadOption(f"--interval {each:g}: {why}")
    if len(asked) > 1:
        return asked
    needed = [APART * ground.rise * resolution(z) for z in range(zoom + 1)]
    own = asked[0] if asked else _next(needed[-1], LEAST) if ground.rise else LEVEL
    most = (ground.high - ground.low) / LINES
    factors = [factor for factor in NICE if factor == 1 or (factor > 1 and own * factor <= most)]
    chosen = (next((factor for factor in factors if own * factor >= each), factors[-1]) for each in needed[:-1])
    return (*(own if factor == 1 else round(own * factor, 10) for factor in chosen), own)


def _next(metres: float, least: float) -> float:
    """The first nice number that is not below `metres`."""
    return next((each for each in NICE if each >= max(metres, least)), NICE[-1])


def _rises(heights: Values, valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """The mean rise per pixel in each square of CELL pixels, without level squares."""
    rows, columns = ((side - 1) // CELL * CELL for side in heights.shape)
    if not rows or not columns:
        return np.zeros(0)
    inside = slice(0, rows), slice(0, columns)
    known = valid[inside] & valid[:rows, 1 : columns + 1] & valid[1 : rows + 1, :columns]
    means = []
    with np.errstate(invalid="ignore", over="ignore"):
        for other in (heights[:rows, 1 : columns + 1], heights[1 : rows + 1, :columns]):
            change = np.where(known, np.abs(other - heights[inside]), 0)
            means.append(change.reshape(rows // CELL, CELL, -1, CELL).sum(axis=(1, 3)))
    counts = known.reshape(rows // CELL, CELL, -1, CELL).sum(axis=(1, 3))
    found: npt.NDArray[np.float64] = np.sqrt(means[0] ** 2 + means[1] ** 2)[counts > 0] / counts[counts > 0]
    return found[found > 0]
