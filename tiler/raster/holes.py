"""Warp values with holes as if they had none, and then replace the pixels beside holes.

This gives the pixels of GDAL's cubic warp with a mask, of which each takes long: a pixel is as transparent as the
source pixel that it lies in, and the mean of the two by two source pixels around it, as far as visible, if one of the
four by four of the kernel is hidden.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tiler.image.separable import Coordinates
from tiler.image.style import Pixels, Values

AT_ONCE = 1 << 16  # pixels to replace at once

Places = npt.NDArray[np.intp]
Visible = npt.NDArray[np.bool_]


def to_pick(mask: Pixels) -> Pixels:
    """The mask, and 255 at visible pixels near holes, `(2, height, width)`, of which to pick the nearest pixels."""
    visible = mask > 0
    return np.stack([mask, np.where(visible & ~_around(visible, 2, 2), np.uint8(255), np.uint8(0))])


def replace(
    made: Values,
    places: tuple[Places, ...],
    values: Values,
    mask: Pixels,
    centres: tuple[Coordinates, Coordinates],
) -> None:
    """Replace the pixels of `made` at `places`, rows and columns, if their kernel has hidden pixels.

    `centres` are their columns and rows in the source, `values` and `mask`.
    """
    visible = mask > 0
    whole = _around(visible, 1, 2)
    for start in range(0, len(places[0]), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        across, down = (each[part] - 0.5 for each in centres)
        left, top = (np.floor(each).astype(np.intp) for each in (across, down))
        cut = ~whole[np.maximum(top, 0), np.maximum(left, 0)]
        rows, columns = (each[part][cut] for each in places)
        made[:, rows, columns] = _bilinear(values, visible, (left[cut], top[cut]), (across[cut], down[cut]))


def _around(visible: Visible, before: int, after: int) -> Visible:
    """Whether all pixels from `before` before to `after` after each, along both axes, are visible or outside."""
    for _ in visible.shape:
        every = visible.copy()
        for step in range(1, max(before, after) + 1):
            if step <= before:
                every[step:] &= visible[:-step]
            if step <= after:
                every[:-step] &= visible[step:]
        visible = every.T
    return visible


def _bilinear(
    values: Values, visible: Visible, first: tuple[Places, Places], places: tuple[Coordinates, Coordinates]
) -> Values:
    """Means of the visible pixels among two by two, of which `first` is the north-west one."""
    height, width = visible.shape
    sums, weights = np.zeros((len(values), len(first[0]))), np.zeros(len(first[0]))
    for y in (0, 1):
        for x in (0, 1):
            columns, rows = first[0] + x, first[1] + y
            weight = (1 - np.abs(places[0] - columns)) * (1 - np.abs(places[1] - rows))
            inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
            rows, columns = rows.clip(0, height - 1), columns.clip(0, width - 1)
            weight *= inside & visible[rows, columns]
            sums += weight * values[:, rows, columns]
            weights += weight
    sums /= np.maximum(weights, np.finfo(weights.dtype).tiny)
    return np.floor(sums + 0.5).astype(values.dtype) if values.dtype.kind in "ui" else sums.astype(values.dtype)
