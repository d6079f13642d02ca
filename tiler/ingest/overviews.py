"""Halve an area of pixels, to make an overview from the level below."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from tiler.image.half import REACH, half
from tiler.image.separable import exact
from tiler.image.style import Area, Pixels, Values
from tiler.raster.options import Halving

PATCH, MARGIN = 64, REACH + 1  # pixels; side of the patches in which a mask is checked, and the margin around each
ROWS = 4  # most rows of patches in a part, to bound its memory
LIGHT = np.float32(1 / 1024)  # per unit of a mask: exact, and the sum of four weighted pixels does not overflow
SCANT = 64  # of 255; with less cover beneath it, a kernel with negative lobes gives no mean


def halved(area: Area, how: Halving) -> Area:
    """The area at half the size; width and height must be even, and 4 or more.

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
    half_values = np.zeros((len(values), mask.shape[0] // 2, mask.shape[1] // 2), values.dtype)
    cover = np.zeros(half_values.shape[1:], np.uint8)
    for part in _parts(mask):
        around = part.source
        if part.opaque:
            made, made_mask = _plain(values[:, *around], how), None
        else:
            made, made_mask = _masked(values[:, *around], mask[around], how)
        half_values[:, *part.target] = made[:, *part.inner]
        cover[part.target] = 255 if made_mask is None else made_mask[part.inner]
    return half_values, cover


def _plain(values: Values, how: Halving) -> Values:
    """Half the size of opaque values."""
    if how == "cubic":
        return half(values)
    if how == "average":
        return _mean(values)
    return values[:, ::2, ::2].copy() if how == "nearest" else _most(values)


def _masked(values: Values, mask: Pixels, how: Halving) -> tuple[Values, Pixels]:
    """Half the size of values under a mask."""
    if how in ("nearest", "mode"):
        return _picked(values, mask, often=how == "mode")
    return _weighted(values, mask, how), ((_sum(mask[np.newaxis].astype(np.uint16))[0] + 2) // 4).astype(np.uint8)


class Part(NamedTuple):
    """Neighbouring patches of an area, all opaque within reach of the kernel or none, as rows and columns.

    `source` selects them with a margin in the area, `inner` without it in the halved part, `target` in the halved area.
    """

    opaque: bool
    source: tuple[slice, slice]
    inner: tuple[slice, slice]
    target: tuple[slice, slice]


def _parts(mask: Pixels) -> Iterator[Part]:
    """The parts of an area, except those that are transparent."""
    patches = [[_span(start, start + PATCH, side) for start in range(0, side, PATCH)] for side in mask.shape]
    low, high = (_over_patches(mask, patches, reduce) for reduce in (np.minimum.reduce, np.maximum.reduce))
    kinds = (low == 255).astype(np.uint8) + (high > 0)  # 0 transparent, 1 mixed, 2 opaque
    for rows in _runs([kind.tobytes() for kind in kinds], ROWS):
        row = kinds[rows.start].tolist()
        for columns in _runs(row, len(row)):
            if row[columns.start]:
                spans = (
                    _span(run.start * PATCH, run.stop * PATCH, side)
                    for run, side in zip((rows, columns), mask.shape, strict=True)
                )
                yield Part(row[columns.start] == 2, *zip(*spans, strict=True))


def _span(start: int, stop: int, side: int) -> tuple[slice, slice, slice]:
    """`source`, `inner` and `target` of a part along one axis."""
    stop, first = min(stop, side), max(start - MARGIN, 0)
    inner = slice((start - first) // 2, (stop - first) // 2)
    return slice(first, min(stop + MARGIN, side)), inner, slice(start // 2, stop // 2)


def _over_patches(
    mask: Pixels, patches: Sequence[Sequence[tuple[slice, ...]]], reduce: Callable[..., Pixels]
) -> Pixels:
    """The least or the greatest of each patch with its margin, `(rows, columns)`."""
    rows, columns = patches
    of_rows = np.stack([reduce(mask[source], axis=0) for source, *_ in rows])
    return np.stack([reduce(of_rows[:, source], axis=1) for source, *_ in columns], axis=1)


def _runs(kinds: Sequence[Any], most: int) -> Iterator[range]:
    """Ranges of equal neighbours, cut at the multiples of `most`."""
    for _, group in groupby(range(len(kinds)), key=lambda place: (place // most, kinds[place])):
        places = list(group)
        yield range(places[0], places[-1] + 1)


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
    weights = mask[np.newaxis].astype(np.result_type(values, np.float32)) * LIGHT
    weighted = values * weights
    cover = _sum(weights)
    means = _sum(weighted) / np.maximum(cover, LIGHT)
    if how == "cubic":
        smooth = half(weights)
        enough = (smooth > SCANT * LIGHT) & (cover > 0)
        np.divide(half(weighted), smooth, out=means, where=enough)
    opaque = _least(mask, REACH if how == "cubic" else 0) == 255
    return np.where(opaque, _plain(values, how), _cast(means, values.dtype))


def _least(mask: Pixels, reach: int) -> Pixels:
    """The least of each 2 x 2 pixels and those within `reach`, 0 or 3, of them."""
    for _ in mask.shape:
        even, odd = mask[::2], mask[1::2]
        pairs = np.minimum(even, odd)
        mask = pairs.copy()
        if reach:
            for behind, before in ((pairs[:-1], pairs[1:]), (odd[:-2], even[2:])):
                shift = len(pairs) - len(behind)
                np.minimum(mask[shift:], behind, out=mask[shift:])
                np.minimum(mask[:-shift], before, out=mask[:-shift])
        mask = mask.T
    return mask


def _mean(values: Values) -> Values:
    if values.dtype == np.uint8:
        return np.stack([np.asarray(Image.fromarray(band).reduce(2)) for band in values])
    if values.dtype.kind == "f":
        mean: Values = _sum(values * np.float32(0.25))  # not the sum, which may overflow
    else:
        mean = (_sum(values.astype(np.int64)) + 2) // 4
    return mean.astype(values.dtype)


def _sum(values: Values) -> Values:
    tall = values[:, ::2] + values[:, 1::2]
    total: Values = tall[..., ::2] + tall[..., 1::2]
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
