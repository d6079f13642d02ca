"""Halve an area of pixels, to make an overview from the level below."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tiler.image.separable import Strip, cubic, exact, resampled
from tiler.image.style import Area, Pixels, Values
from tiler.raster.options import Halving

REACH = 3  # pixels to each side that a cubic halving reads
PATCH, MARGIN = 256, 4  # pixels; side of the parts in which a mask is checked, and the margin around each
SCANT = 64  # of 255; with less cover beneath it, a kernel with negative lobes gives no mean

Part = tuple[slice, slice]  # rows and columns


def halved(area: Area, how: Halving) -> Area:
    """The area at half the size; width and height must be even.

    `cubic` is GDAL's warp kernel, stretched to the new pixels, so that an overview looks as if warped from the raster;
    it is inexact within REACH pixels of the area's sides. `average` is the mean of each 2 x 2 pixels. Both weight
    pixels by the mask. `nearest` takes the north-west pixel of the four, `mode` the most frequent. The new mask is the
    mean of the four; for nearest and mode it is that of the chosen pixel.
    """
    values, mask = area
    if how == "cubic" and not exact(values.dtype):
        how = "average"
    if mask is None:
        return _plain(values, how), None
    half = np.zeros((len(values), mask.shape[0] // 2, mask.shape[1] // 2), values.dtype)
    cover = np.full(half.shape[1:], 255, np.uint8)
    opaque, others = _patches(mask)
    if opaque:  # most of an area may be transparent, beside a small raster and in low zooms
        rows, columns = (_around([patch[axis] for patch in opaque], side) for axis, side in enumerate(mask.shape))
        if how == "cubic" and values.dtype != np.uint8:
            columns = slice(0, mask.shape[1])  # the last bit of a product may depend on its width, but not of bytes
        half[:, _halves(rows), _halves(columns)] = _plain(values[:, rows, columns], how)
    for patch, inner, target in others:
        if mask[patch].any():
            part, part_mask = _masked(values[:, *patch], mask[patch], how)
            half[:, *target], cover[target] = part[:, *inner], part_mask[inner]
        else:
            half[:, *target] = cover[target] = 0
    return half, cover


def _plain(values: Values, how: Halving) -> Values:
    """Half the size of opaque values."""
    if how == "cubic":
        return _cubic(values, values.dtype)
    if how == "average":
        return _mean(values)
    return values[:, ::2, ::2].copy() if how == "nearest" else _most(values)


def _masked(values: Values, mask: Pixels, how: Halving) -> tuple[Values, Pixels]:
    """Half the size of values under a mask."""
    if how in ("nearest", "mode"):
        return _picked(values, mask, often=how == "mode")
    return _weighted(values, mask, how), ((_sum(mask[np.newaxis].astype(np.uint16))[0] + 2) // 4).astype(np.uint8)


def _patches(mask: Pixels) -> tuple[list[Part], list[tuple[Part, Part, Part]]]:
    """The patches of an area, as (rows, columns): those opaque within reach of the kernel, and the others.

    The others are three each. They select the patch with its margin in the area; the patch without margin in the
    halved patch; and the patch in the halved area.
    """
    opaque, others = [], []
    rows, columns = (_spans(side) for side in mask.shape)
    for (tall, inner_rows, top), (wide, inner_columns, left) in product(rows, columns):
        if mask[tall, wide].min() == 255:
            opaque.append((slice(2 * top.start, 2 * top.stop), slice(2 * left.start, 2 * left.stop)))
        else:
            others.append(((tall, wide), (inner_rows, inner_columns), (top, left)))
    return opaque, others


def _around(spans: Sequence[slice], side: int) -> slice:
    """From the first to the last of `spans`, and a patch more at each end, to group pixels as in the whole side."""
    first, last = min(span.start for span in spans), max(span.stop for span in spans)
    return slice(max(first - PATCH, 0), min(last + PATCH, side))


def _halves(span: slice) -> slice:
    return slice(span.start // 2, span.stop // 2)


def _spans(side: int) -> list[tuple[slice, slice, slice]]:
    spans = []
    for start in range(0, side, PATCH):
        stop = min(start + PATCH, side)
        first, half = max(start - MARGIN, 0), slice(start // 2, stop // 2)
        inner = slice((start - first) // 2, (stop - first) // 2)
        spans.append((slice(first, min(stop + MARGIN, side)), inner, half))
    return spans


def _cubic(values: Values, dtype: np.dtype[Any]) -> Values:
    """Half the size by the cubic kernel, stretched to twice its width."""
    return resampled(values, _halving(values.shape[1]), _halving(values.shape[2]), dtype)


@lru_cache(maxsize=32)
def _halving(size: int) -> list[Strip]:
    return cubic(np.arange(1, size, 2, dtype=np.float64), size)


def _cast(means: npt.NDArray[np.floating], dtype: np.dtype[Any]) -> Values:
    """Cast to `dtype`: integers are rounded and clipped to their range."""
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)
        means = np.clip(np.rint(means.astype(np.float64)), limits.min, limits.max)
    return means.astype(dtype)


def _weighted(values: Values, mask: Pixels, how: Halving) -> Values:
    """Means weighted by the mask; of the 2 x 2 pixels alone if a cubic kernel covers too few valid ones.

    Where the kernel covers only opaque pixels, the result equals the one without a mask, to the last bit.
    """
    wide = np.float32 if exact(values.dtype) else np.float64
    weights = _sum(mask[np.newaxis].astype(wide))[0]
    cover = _smooth(mask) if how == "cubic" else None
    out = np.empty((len(values), *weights.shape), values.dtype)
    for band, half in zip(values, out, strict=True):
        weighted = band * mask.astype(wide)
        mean = np.divide(_sum(weighted[np.newaxis])[0], weights, out=np.zeros_like(weights), where=weights > 0)
        if cover is not None:
            np.divide(_smooth(weighted), cover, out=mean, where=(cover > SCANT) & (weights > 0))
            half[:] = np.where(cover == 255, _cubic(band[np.newaxis], values.dtype)[0], _cast(mean, values.dtype))
        else:
            half[:] = _cast(mean, values.dtype)
    return out


def _smooth(band: Values) -> Values:
    smooth: Values = _cubic(band[np.newaxis], np.dtype(np.float32))[0]
    return smooth


def _mean(values: Values) -> Values:
    if values.dtype == np.uint8:
        return np.stack([np.asarray(Image.fromarray(band).reduce(2)) for band in values])
    if values.dtype.kind == "f":
        mean: Values = _sum(values) / values.dtype.type(4)
    else:
        mean = (_sum(values.astype(np.int64)) + 2) // 4
    return mean.astype(values.dtype)


def _sum(values: Values) -> Values:
    total: Values = values[:, ::2, ::2] + values[:, ::2, 1::2] + values[:, 1::2, ::2] + values[:, 1::2, 1::2]
    return total


def _four(values: Values) -> list[Values]:
    """The pixels of each 2 x 2: north-west, north-east, south-west, south-east; `(bands, rows, columns)` each."""
    return [np.ascontiguousarray(values[:, y::2, x::2]) for y in (0, 1) for x in (0, 1)]


def _most(values: Values) -> Values:
    """The most frequent of each four pixels; the first of equally frequent ones."""
    one, two, three, four = _four(values)

    def same(left: Values, right: Values) -> npt.NDArray[np.bool_]:
        return np.asarray((left == right).all(axis=0))

    first = same(one, two) | same(one, three) | same(one, four)
    second = ~first & (same(two, three) | same(two, four))
    third = ~first & ~second & same(three, four)
    one[:, second], one[:, third] = two[:, second], three[:, third]
    return one


def _picked(values: Values, mask: Pixels, *, often: bool) -> tuple[Values, Pixels]:
    """The first, or the most frequent, unmasked pixel of each four; and its mask."""
    four = _four(values)
    covers = [cover[0] for cover in _four(mask[np.newaxis])]
    best, cover = four[0].copy(), covers[0].copy()
    if often:
        votes = np.zeros(cover.shape, np.int8)
        for value, own in zip(four, covers, strict=True):
            same = [((value == other).all(axis=0) & (there > 0)) for other, there in zip(four, covers, strict=True)]
            count = np.where(own > 0, np.sum(same, axis=0), 0).astype(np.int8)
            better = count > votes
            best[:, better], cover[better], votes[better] = value[:, better], own[better], count[better]
        shown = np.sum([c > 0 for c in covers], axis=0) >= 2  # at least half of the pixel is covered
        best[:, ~shown], cover[~shown] = 0, 0
    return best, cover
