"""Cubic resampling to half the size, by sums of shifted arrays.

The kernel is that of `separable`, stretched to twice its width: at half the size its eight weights are -3, -9, 29, 111,
111, 29, -9, -3 (of 256). Their polynomial has the factors (1 + x)^3 and -3 + 38 x^2 - 3 x^4. The second has even powers
only, so it applies after three of four pixels are gone: first the weights 1, 3, 3, 1 of each second pixel, then
-3, 38, -3. No result depends on the place of a pixel in its array, to the last bit. Floats are scaled by a power of two
before the sums, exactly except for the very smallest, so that no sum overflows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.image.style import Pixels, Values

REACH = 3  # pixels to each side of two that a halving reads
STRIP = 1 << 18  # pixels to halve at once, few enough for a processor's cache
LOBE, PEAK = np.float32(-3 / 32), np.float32(38 / 32)
SCALE = np.float32(1 / 64)  # of sums by 1, 3, 3, 1 along both axes
ROOM = np.float32(4)  # more than two pixels, or than the sum of the absolute weights, 1.9

Sums = npt.NDArray[Any]  # uint16 of bytes, float64 of such pixels, else float32
Floats = npt.NDArray[np.floating]


def half(values: Values) -> Values:
    """`values`, `(bands, height, width)`, at half the size; integers are rounded and clipped.

    Height and width must be even, and 4 or more. Beyond the sides the outermost pixels are repeated.
    """
    bands, height, width = values.shape
    out = np.empty((bands, height // 2, width // 2), values.dtype)
    limits = np.iinfo(values.dtype) if values.dtype.kind in "ui" else None
    for band, halved in zip(values, out, strict=True):
        for rows, strip in _strips(band):
            if limits:
                means = _sharpened(_blurred(strip), SCALE)
                means += np.float32(0.5)
                if limits.min < 0:  # otherwise the cast rounds down
                    np.floor(means, out=means)
                np.clip(means, limits.min, limits.max, out=means)
            else:
                means = _sharpened(_blurred(strip * (SCALE / ROOM)), np.float32(1))
                means *= ROOM
            halved[rows] = means
    return out


def _strips(band: Values) -> Iterator[tuple[slice, Values]]:
    """Rows of the result, and the rows of `band` that they need."""
    height, width = band.shape
    step = max(1, STRIP // (2 * width))
    for top in range(0, height // 2, step):
        bottom = min(top + step, height // 2)
        first, last = 2 * top - REACH, 2 * bottom + REACH
        inside = first >= 0 and last <= height
        strip = band[first:last] if inside else band[np.arange(first, last).clip(0, height - 1)]
        yield slice(top, bottom), strip


def _blurred(strip: Values) -> Floats:
    """Sums of 1, 3, 3, 1 at half the size; the first and last row of `strip` are neighbours of the others."""
    if strip.dtype == np.uint8:
        return _down(_across(*_columns(strip))).astype(np.float32)
    floats = strip.astype(np.result_type(strip, np.float32), copy=False)
    sums = _down(floats)  # first, because to pick columns takes longest
    return _across(np.ascontiguousarray(sums[:, ::2]), np.ascontiguousarray(sums[:, 1::2]))


def _columns(strip: Pixels) -> tuple[Sums, Sums]:
    """The even and the odd columns: as halves of two bytes, several times faster than picked."""
    pairs = np.ascontiguousarray(strip).view("<u2")
    return pairs & 255, pairs >> 8


def _across(even: Sums, odd: Sums) -> Sums:
    sums = even + odd
    sums *= 3
    first, last = sums[:, 0] + even[:, 0] + even[:, 1], sums[:, -1] + odd[:, -2] + odd[:, -1]
    flat = sums.ravel()  # one dimension is faster; wrong where two rows meet
    flat[:-1] += even.ravel()[1:]
    flat[1:] += odd.ravel()[:-1]
    sums[:, 0], sums[:, -1] = first, last
    return sums


def _down(rows: Sums) -> Sums:
    sums = rows[1:-1:2] + rows[2:-1:2]
    sums *= 3
    sums += rows[:-3:2]
    sums += rows[3::2]
    return sums


def _sharpened(sums: Floats, scale: np.float32) -> Floats:
    """Means of sums by the weights -3, 38, -3, times `scale`; the first and last row are neighbours of the others."""
    tall = sums[:-2] + sums[2:]
    tall *= LOBE
    tall += sums[1:-1] * PEAK
    wide = np.empty_like(tall)
    flat = tall.ravel()
    np.add(flat[:-2], flat[2:], out=wide.ravel()[1:-1])
    wide[:, 0], wide[:, -1] = tall[:, 0] + tall[:, 1], tall[:, -2] + tall[:, -1]
    wide *= LOBE * scale
    tall *= PEAK * scale
    tall += wide
    return tall
