"""Warp windows whose source pixels are all valid, several times faster than `warp`.

Then GDAL needs no mask and no nodata value. Where the map keeps columns and rows straight, GDAL is not needed at all,
and the source may have holes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import rasterio.warp
import rasterio.windows
from rasterio.io import DatasetReader

from tiler.choices import Resampling
from tiler.grid import Window
from tiler.image.separable import Coordinates, cubic, exact, resampled
from tiler.image.style import Area, Pixels, Values
from tiler.raster import holes
from tiler.raster.datasets import translated
from tiler.raster.pixels import dtype_of, pixels, shown
from tiler.raster.place import beneath_window, past_seam
from tiler.raster.reading import Box, Reading, clipped
from tiler.raster.warp import baked_dtype, kernel_of, needed_boxes, target, window_of

STRAIGHT = 1e-3  # source pixels by which a straight column or row may bend
POINTS: tuple[Resampling, ...] = ("nearest", "bilinear", "cubic", "cubic_spline", "lanczos")  # sampled at pixel centres
ON_PIXEL = 1e-10  # pixels; GDAL rounds a nearest pixel that near to the next one


def warp_valid(
    dataset: DatasetReader, reading: Reading, window: Window, resampling: Resampling, box: Box
) -> Area | None:
    """Values and mask of `warp`, or None if the window needs `warp`.

    It needs none if all pixels of `box`, the source pixels of `covered`, are valid and opaque where the raster has
    them. In straight columns and rows they may be anything for `nearest`, and opaque or transparent for `cubic`, unless
    it shrinks the raster. The mask is None if all is opaque.

    Raises:
        SourceReadError: some pixel could not be read.
    """
    part = clipped(box, dataset.width, dataset.height)
    boxes, known = needed_boxes(dataset, window, resampling)
    once = known and len(boxes) == 1 and bool(boxes[0].own.all()) and not past_seam(dataset)
    if part != box and not (resampling in POINTS and once):
        return None
    by_axis = resampling == "nearest" or (resampling == "cubic" and exact(_dtype(dataset, reading)))
    straight = _straight(dataset, window) if by_axis else None
    read = _read(dataset, reading, part, _accepted(straight, resampling))
    if read is None:
        return None
    values, mask = read
    if straight is None:
        if not boxes:
            return None
        kernel = kernel_of(boxes[0].ratio, resampling)
        return _by_gdal(dataset, values, window, {**target(window, resampling), **kernel}, part, inside=part == box)
    columns, rows = (centres - start for centres, start in zip(straight, part, strict=False))
    if resampling == "nearest":
        return _picked(values, mask, columns, rows)
    return _resampled(values, columns, rows) if _is_opaque(mask) else _with_holes(values, mask, columns, rows)


def _dtype(dataset: DatasetReader, reading: Reading) -> np.dtype[Any]:
    return np.dtype(baked_dtype(dtype_of(dataset, reading.bands[0])))


def _accepted(straight: tuple[Coordinates, Coordinates] | None, resampling: Resampling) -> Callable[[Pixels], bool]:
    """A test of masks that need no `warp`."""
    if straight is None:
        return _is_opaque
    if resampling == "nearest":
        return _is_any
    # a kernel that is not stretched reaches two source pixels to each side
    enlarged = all(np.abs(np.diff(each)).max(initial=0) <= 1 + ON_PIXEL for each in straight)
    return _is_hard if enlarged else _is_opaque


def _is_opaque(mask: Pixels) -> bool:
    return bool(mask.min() == 255)


def _is_hard(mask: Pixels) -> bool:
    return bool(((mask == 0) | (mask == 255)).all())


def _is_any(_mask: Pixels) -> bool:
    return True


def _with_holes(values: Values, mask: Pixels, columns: Coordinates, rows: Coordinates) -> Area:
    """As `_resampled`, of values with holes."""
    np.copyto(values, 0, where=mask == 0)
    made, _ = _resampled(values, columns, rows)
    (cover, beside), _ = _picked(holes.to_pick(mask), None, columns, rows)
    ys, xs = divmod(np.flatnonzero(beside), columns.size)
    holes.replace(made, (ys, xs), values, mask, (columns[xs], rows[ys]))
    np.copyto(made, 0, where=cover == 0)
    return made, None if cover.min() == 255 else cover


def _read(
    dataset: DatasetReader, reading: Reading, box: Box, accepted: Callable[[Pixels], bool]
) -> tuple[Values, Pixels] | None:
    """Values in the baked dtype, and the mask; None unless it is `accepted`."""
    source = window_of(box)
    with translated(dataset.name):
        if reading.alpha:  # before the values, which may be in vain
            alpha = dataset.read(reading.alpha, window=source)
            if not accepted(shown(alpha, reading.top)):
                return None
        values, mask = pixels(dataset, reading, window=source)
    if not accepted(mask):
        return None
    return values.astype(baked_dtype(values.dtype.name), copy=False), mask


def _by_gdal(
    dataset: DatasetReader, values: Values, window: Window, options: dict[str, Any], box: Box, *, inside: bool
) -> Area:
    """Warp opaque values with `options`; unless all of the window is `inside`, its mask is of ones, warped alike."""
    place = {
        "src_transform": rasterio.windows.transform(window_of(box), dataset.transform),
        "src_crs": dataset.crs,
    }
    with translated(dataset.name):
        out = _reprojected(values, window, {**place, **options})
        if inside:
            return out, None
        ones = np.full((1, *values.shape[1:]), 255, np.uint8)
        (mask,) = _reprojected(ones, window, {**place, **target(window, "nearest")})
    return out, mask if mask.min() < 255 else None


def _reprojected(values: Values, window: Window, options: dict[str, Any]) -> Values:
    """Values warped to `window`."""
    out = np.empty((len(values), window.height, window.width), values.dtype)
    rasterio.warp.reproject(values, out, **options)
    return out


def _picked(values: Values, mask: Pixels | None, columns: Coordinates, rows: Coordinates) -> Area:
    """The pixels in which the centres lie."""
    across, down = _within(columns, values.shape[2]), _within(rows, values.shape[1])
    xs, ys = (np.floor(each + ON_PIXEL).astype(np.intp) for each in (columns[across], rows[down]))
    cover = np.zeros((rows.size, columns.size), np.uint8)
    cover[down, across] = 255 if mask is None else mask.take(xs, axis=1).take(ys, axis=0)
    out = np.zeros((len(values), *cover.shape), values.dtype)
    for band, chosen in zip(values, out, strict=True):
        chosen[down, across] = band.take(xs, axis=1).take(ys, axis=0)
    if cover.min() == 255:
        return out, None
    np.copyto(out, 0, where=cover == 0)
    return out, cover


def _resampled(values: Values, columns: Coordinates, rows: Coordinates) -> Area:
    """Opaque values by the cubic kernel, one axis after the other."""
    across, down = _within(columns, values.shape[2]), _within(rows, values.shape[1])
    weights = cubic(rows[down], values.shape[1]), cubic(columns[across], values.shape[2])
    shape = rows.size, columns.size
    out, mask = np.zeros((len(values), *shape), values.dtype), np.zeros(shape, np.uint8)
    if rows[down].size and columns[across].size:
        inner = resampled(values, *weights, values.dtype)
        if inner.shape[1:] == shape:
            return inner, None
        out[:, down, across], mask[down, across] = inner, 255
    return out, mask


def _within(centres: Coordinates, size: int) -> slice:
    """The centres, which are monotonic, that lie in `size` pixels."""
    inside = np.flatnonzero((centres >= 0) & (centres < size))
    return slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 0)


def _straight(dataset: DatasetReader, window: Window) -> tuple[Coordinates, Coordinates] | None:
    """The source column of each column of `window`, and the source row of each row, at pixel centres.

    None if a column or row does not come from a single one.
    """
    across, down = np.linspace(0, window.width, 17), np.linspace(0, window.height, 17)
    columns, rows = beneath_window(dataset, window, *np.meshgrid(across, down))
    if not (np.ptp(columns, axis=0).max() < STRAIGHT and np.ptp(rows, axis=1).max() < STRAIGHT):
        return None
    xs, ys = np.arange(window.width) + 0.5, np.arange(window.height) + 0.5
    columns, _ = beneath_window(dataset, window, xs, np.full(xs.size, window.height / 2))
    _, rows = beneath_window(dataset, window, np.full(ys.size, window.width / 2.0), ys)
    return columns, rows
