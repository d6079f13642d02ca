"""An overview from the level below: pixels at half the size."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tiler.catalog import Halving
from tiler.style import Area, Pixels, Values

REACH = 3  # pixels to each side that a cubic halving looks at
SCANT = 64  # of 255; with less cover under it, a kernel whose sides are negative is no mean

Exact = npt.NDArray[np.float32]


def halved(area: Area, how: Halving) -> Area:
    """The area at half the size, width and height being even.

    `cubic` is the kernel that GDAL warps with, stretched to the new pixels, so that an overview looks as if it had
    been warped from the raster; within REACH pixels of the area's sides it has too little to go by. `average` is the
    mean of each 2 x 2 pixels. Both weigh pixels by the mask. `nearest` is the north-west one of the four, `mode` the
    most frequent. The new mask is the mean of the four; for nearest and mode it is the chosen pixel's.
    """
    values, mask = area
    if how == "cubic" and values.dtype.kind in "ui" and values.dtype.itemsize > 2:
        how = "average"  # such integers do not fit the floats that Pillow's kernel takes
    if how in ("nearest", "mode"):
        return _picked(values, mask, often=how == "mode")
    if mask is None:
        return (_cubic(values) if how == "cubic" else _mean(values)), None
    cover = ((_sum(mask[np.newaxis].astype(np.uint16))[0] + 2) // 4).astype(np.uint8)
    return _weighted(values, mask, how), cover


def _cubic(values: Values) -> Values:
    """Bytes are Pillow's own; other types go through 32-bit floats."""
    if values.dtype == np.uint8:
        return np.stack([np.asarray(_shrunk(Image.fromarray(band))) for band in values])
    return _cast(np.stack([_smooth(band) for band in values]), values.dtype)


def _smooth(band: Values) -> Exact:
    return np.asarray(_shrunk(Image.fromarray(band.astype(np.float32))))


def _shrunk(picture: Image.Image) -> Image.Image:
    """Half the size, by the cubic kernel with a = -0.5, stretched to twice its width."""
    return picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BICUBIC)


def _cast(exact: npt.NDArray[np.floating], dtype: np.dtype[Any]) -> Values:
    """To `dtype`: integers rounded and kept within their range."""
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)
        exact = np.clip(np.rint(exact.astype(np.float64)), limits.min, limits.max)
    return exact.astype(dtype)


def _weighted(values: Values, mask: Pixels, how: Halving) -> Values:
    """Means weighted by the mask; where a cubic kernel finds too little cover, of the 2 x 2 alone.

    Band by band, since the exact sums take many times the room of the values.
    """
    weights = _sum(mask[np.newaxis].astype(np.float64))[0]
    cover = _smooth(mask) if how == "cubic" else None
    out = np.empty((len(values), *weights.shape), values.dtype)
    for band, half in zip(values, out, strict=True):
        weighted = band * mask.astype(np.float64)
        mean = np.divide(_sum(weighted[np.newaxis])[0], weights, out=np.zeros(weights.shape), where=weights > 0)
        if cover is not None:
            np.divide(_smooth(weighted), cover, out=mean, where=(cover > SCANT) & (weights > 0))
        half[:] = _cast(mean, values.dtype)
    return out


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


def _picked(values: Values, mask: Pixels | None, *, often: bool) -> Area:
    rows, columns = values.shape[1] // 2, values.shape[2] // 2
    four = [values[:, y::2, x::2] for y in (0, 1) for x in (0, 1)]
    covers = [
        np.full((rows, columns), 255, np.uint8) if mask is None else mask[y::2, x::2] for y in (0, 1) for x in (0, 1)
    ]
    best, cover = four[0].copy(), covers[0].copy()
    if often:
        votes = np.zeros((rows, columns), np.int8)
        for value, own in zip(four, covers, strict=True):
            same = [((value == other).all(axis=0) & (there > 0)) for other, there in zip(four, covers, strict=True)]
            count = np.where(own > 0, np.sum(same, axis=0), 0).astype(np.int8)
            better = count > votes
            best[:, better], cover[better], votes[better] = value[:, better], own[better], count[better]
        if mask is not None:  # a pixel half covered or more is shown
            shown = np.sum([c > 0 for c in covers], axis=0) >= 2
            best[:, ~shown], cover[~shown] = 0, 0
    return best, None if mask is None else cover
