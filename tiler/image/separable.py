"""Cubic resampling of one axis after the other, as products of small matrices.

If all pixels of a row come from the same source rows, and those of a column from the same source columns, a cubic
kernel is separable, as in a warp from degrees to Web Mercator. A matrix holds the weights of STRIP neighbouring pixels;
most are zero, and yet this is several times faster than gathering the sixteen source pixels of each pixel. Half the
size, where all pixels have the same weights, is faster by `half`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tiler.image.style import Values

STRIP = 16  # pixels per matrix
GROUP = 4 * STRIP  # rows to compute at once, few enough for a processor's cache
RADIUS = 2  # pixels to each side of the kernel

Coordinates = npt.NDArray[np.floating[Any]]


class Strip(NamedTuple):
    """Neighbouring pixels along an axis, their source pixels, and the weights.

    `weights` is `(pixels, source pixels)` float32; each row sums to 1.
    """

    pixels: slice
    source: slice
    weights: npt.NDArray[np.float32]


def exact(dtype: np.dtype[Any]) -> bool:
    """Whether a float32 holds every value of `dtype` exactly."""
    return dtype.kind == "f" or dtype.itemsize <= 2


def cubic(centres: Coordinates, size: int) -> list[Strip]:
    """The weights of pixels with their centres at `centres` along a source axis of `size` pixels.

    Coordinates start at the outer edge of the first source pixel, so its centre is 0.5; they must be monotonic. The
    kernel is that of Keys with a = -0.5 ("Cubic convolution interpolation for digital image processing", 1981),
    stretched if pixels are larger than the source's; pixels beyond the source have no weight.
    """
    if not centres.size:
        return []
    steps = np.maximum(1, np.abs(np.gradient(centres))) if centres.size > 1 else np.ones(1)
    starts = np.arange(0, centres.size, STRIP)
    first = np.minimum.reduceat(np.floor(centres - RADIUS * steps), starts).clip(0).astype(np.intp)
    last = np.maximum.reduceat(np.ceil(centres + RADIUS * steps), starts).clip(max=size).astype(np.intp)
    strip = np.arange(centres.size) // STRIP
    source = first[strip, np.newaxis] + np.arange((last - first).max())
    weights = _keys((source + 0.5 - centres[:, np.newaxis]) / steps[:, np.newaxis])
    weights[source >= last[strip, np.newaxis]] = 0
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return [
        Strip(
            slice(start, min(start + STRIP, centres.size)),
            slice(low, high),
            np.ascontiguousarray(weights[start : start + STRIP, : high - low]),
        )
        for start, low, high in zip(starts.tolist(), first.tolist(), last.tolist(), strict=True)
    ]


def _keys(distance: Coordinates) -> Coordinates:
    x = np.abs(distance)
    near, far = (1.5 * x - 2.5) * x * x + 1, ((2.5 - 0.5 * x) * x - 4) * x + 2
    weights: Coordinates = np.where(x < 1, near, np.where(x < RADIUS, far, 0))
    return weights


def resampled(values: Values, rows: Sequence[Strip], columns: Sequence[Strip], dtype: np.dtype[Any]) -> Values:
    """`values`, `(bands, height, width)`, resampled along both axes; integers are rounded and clipped."""
    bands, width = len(values), values.shape[2]
    out = np.empty((bands, rows[-1].pixels.stop, columns[-1].pixels.stop), dtype)
    across = [(strip.pixels, strip.source, np.ascontiguousarray(strip.weights.T)) for strip in columns]
    for start in range(0, len(rows), GROUP // STRIP):
        group = rows[start : start + GROUP // STRIP]
        top, bottom = group[0].pixels.start, group[-1].pixels.stop
        first = min(strip.source.start for strip in group)
        last = max(strip.source.stop for strip in group)
        source = values[:, first:last].astype(np.float32)
        tall = np.empty((bands, bottom - top, width), np.float32)
        for pixels, taken, weights in group:
            part = source[:, taken.start - first : taken.stop - first]
            np.matmul(weights, part, out=tall[:, pixels.start - top : pixels.stop - top])
        tall = tall.reshape(-1, width)
        wide = np.empty((len(tall), out.shape[2]), np.float32)
        for pixels, taken, weights in across:
            np.matmul(tall[:, taken], weights, out=wide[:, pixels])
        if dtype.kind in "ui":
            limits = np.iinfo(dtype)
            wide += np.float32(0.5)
            if limits.min < 0:  # otherwise the cast rounds down
                np.floor(wide, out=wide)
            np.clip(wide, limits.min, limits.max, out=wide)
        out[:, top:bottom] = wide.reshape(bands, bottom - top, -1)
    return out
