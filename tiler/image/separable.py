"""Cubic resampling of one axis after the other, by sums of picked rows and columns.

If all pixels of a row come from the same source rows, and those of a column from the same source columns, a cubic
kernel is separable, as in a warp from degrees to Web Mercator. Each tap of the kernel is one pick, one product and one
sum of whole arrays, in a fixed order. So a pixel has the same bits on every processor and in every window. A product
of matrices is faster where there are several bands, but its last bits depend on the processor. Half the size, where all
pixels have the same weights, is faster by `half`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tiler.image.style import Values

ROWS = 96  # rows to compute at once, few enough for a processor's cache
BESIDE = 8  # rows side by side in memory, so that to pick a column is to copy as many values at once
RADIUS = 2  # pixels to each side of the kernel
UNIT = 2.0**24  # weights are multiples of 1 / UNIT, so that errors of rounding in their places rarely change one

Coordinates = npt.NDArray[np.floating[Any]]
Floats = npt.NDArray[np.float32]


class Taps(NamedTuple):
    """The source pixels of each pixel along an axis, and their weights, both `(taps, pixels)`.

    Weights are float32; those of a pixel sum to 1. A place beyond the source has no weight.
    """

    places: npt.NDArray[np.intp]
    weights: Floats


def exact(dtype: np.dtype[Any]) -> bool:
    """Whether a float32 holds every value of `dtype` exactly."""
    return dtype.kind == "f" or dtype.itemsize <= 2


def cubic(centres: Coordinates, size: int) -> Taps:
    """The taps of pixels with their centres at `centres` along a source axis of `size` pixels.

    Coordinates start at the outer edge of the first source pixel, so its centre is 0.5; they must be monotonic. The
    kernel is that of Keys with a = -0.5 ("Cubic convolution interpolation for digital image processing", 1981),
    stretched if pixels are larger than the source's; pixels beyond the source have no weight.
    """
    steps = np.maximum(1, np.abs(np.gradient(centres))) if centres.size > 1 else np.ones(centres.size)
    taps = np.arange(np.ceil(2 * RADIUS * steps.max(initial=1)))[:, np.newaxis]
    places = np.floor(centres - 0.5 - RADIUS * steps) + 1 + taps
    weights = _keys((places + 0.5 - centres) / steps)
    weights[(places < 0) | (places >= size)] = 0
    weights = np.rint(weights / weights.sum(axis=0) * UNIT) / UNIT
    used = weights.any(axis=1)
    return Taps(places[used].clip(0, size - 1).astype(np.intp), weights[used].astype(np.float32))


def _keys(distance: Coordinates) -> Coordinates:
    x = np.abs(distance)
    near, far = (1.5 * x - 2.5) * x * x + 1, ((2.5 - 0.5 * x) * x - 4) * x + 2
    weights: Coordinates = np.where(x < 1, near, np.where(x < RADIUS, far, 0))
    return weights


def resampled(values: Values, rows: Taps, columns: Taps, dtype: np.dtype[Any]) -> Values:
    """`values`, `(bands, height, width)`, resampled along both axes; integers are rounded and clipped."""
    bands, height, width = len(values), rows.places.shape[1], columns.places.shape[1]
    out = np.empty((bands, height, width), dtype)
    across = Taps(columns.places, columns.weights[..., np.newaxis].repeat(BESIDE, axis=2))
    groups = [_group(rows, top) for top in range(0, height, ROWS)]
    most = max(ROWS, *(source.size for source, _ in groups))
    wide, tall, spare = np.empty((3, most * width), np.float32)  # made once: new memory takes as long as the sums
    with np.errstate(over="ignore", invalid="ignore"):
        for number, (source, down) in enumerate(groups):
            lines = slice(number * ROWS, number * ROWS + down.places.shape[1])
            for band, made in zip(values, out, strict=True):
                beside = band.take(source, axis=0, mode="clip").reshape(-1, BESIDE, band.shape[1])
                sums = _summed(beside.transpose(0, 2, 1).astype(np.float32, order="C"), across, 1, wide, spare)
                upright = tall[: sums.size].reshape(-1, BESIDE, width)
                upright[:] = sums.transpose(0, 2, 1)
                made[lines] = _cast(_summed(upright.reshape(-1, width), down, 0, wide, spare), dtype)
    return out


def _group(rows: Taps, top: int) -> tuple[npt.NDArray[np.intp], Taps]:
    """The source rows of ROWS rows, a multiple of BESIDE, and the taps in these, their weights as columns."""
    places, weights = rows.places[:, top : top + ROWS], rows.weights[:, top : top + ROWS]
    first, count = int(places.min()), int(np.ptp(places)) + 1
    return first + np.arange(-(-count // BESIDE) * BESIDE), Taps(places - first, weights[..., np.newaxis])


def _summed(source: Floats, taps: Taps, axis: int, room: Floats, spare: Floats) -> Floats:
    """Sums of `source` picked along `axis` and weighted, tap after tap, in `room`, which is flat as `spare` is."""
    shape = *source.shape[:axis], taps.places.shape[1], *source.shape[axis + 1 :]
    size = math.prod(shape)
    out, following = (each[:size].reshape(shape) for each in (room, spare))
    for number, (places, weights) in enumerate(zip(*taps, strict=True)):
        picked = following if number else out
        np.take(source, places, axis, out=picked, mode="wrap")  # the fastest mode; all places are inside
        picked *= weights
        if number:
            out += picked
    return out


def _cast(means: Floats, dtype: np.dtype[Any]) -> Floats:
    """The same, ready to be assigned to `dtype`: integers are rounded and clipped, in place."""
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)
        means += np.float32(0.5)
        if limits.min < 0:  # otherwise the cast rounds down
            np.floor(means, out=means)
        np.clip(means, limits.min, limits.max, out=means)
    return means
