"""Cubic resampling of one axis after the other, by sums of picked rows and columns.

If all pixels of a row come from the same source rows, and those of a column from the same source columns, a cubic
kernel is separable, as in a warp from degrees to Web Mercator. Each tap of the kernel is one pick, one product and one
sum of whole arrays, in a fixed order. So a pixel has the same bits on every processor and in every window. A product
of matrices is faster where there are several bands, but its last bits depend on the processor. Half the size, where all
pixels have the same weights, is faster by `half`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tiler.image.style import Values

ROWS = 64  # rows to compute at once, few enough for a processor's cache
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
    groups = [_group(rows, top) for top in range(0, height, ROWS)]
    most = max(ROWS, *(source.stop - source.start for source, _ in groups))
    wide, tall, spare = np.empty((3, most, width), np.float32)  # made once: new memory takes as long as the sums
    with np.errstate(over="ignore", invalid="ignore"):
        for number, (source, taps) in enumerate(groups):
            lines = slice(number * ROWS, number * ROWS + taps.places.shape[1])
            for band, made in zip(values, out, strict=True):
                across = _summed(band[source].astype(np.float32), columns, 1, wide, spare)
                made[lines] = _cast(_summed(across, taps, 0, tall, spare), dtype)
    return out


def _group(rows: Taps, top: int) -> tuple[slice, Taps]:
    """The source rows of the ROWS rows from `top`, and their taps in these, the weights as columns."""
    places, weights = rows.places[:, top : top + ROWS], rows.weights[:, top : top + ROWS]
    first, last = int(places.min()), int(places.max())
    return slice(first, last + 1), Taps(places - first, weights[..., np.newaxis])


def _summed(source: Floats, taps: Taps, axis: int, out: Floats, spare: Floats) -> Floats:
    """Sums of `source` picked along `axis` and weighted, tap after tap, in the first rows of `out`."""
    count = len(source) if axis else taps.places.shape[1]
    out, spare = out[:count], spare[:count]
    for number, (places, weights) in enumerate(zip(*taps, strict=True)):
        picked = spare if number else out
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
