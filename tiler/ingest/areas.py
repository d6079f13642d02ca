"""Cut and join areas: values `(bands, rows, columns)`, and a mask `(rows, columns)` or None if all is opaque."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tiler.image.style import Area


def inner(area: Area, halo: int) -> Area:
    """The area without its halo; the mask is None if it is all opaque."""
    values, mask = area
    inside = (slice(halo, values.shape[1] - halo), slice(halo, values.shape[2] - halo))
    return values[:, *inside], None if mask is None or mask[inside].min() == 255 else mask[inside]


def pasted(parts: Sequence[tuple[int, int, Area]], height: int, width: int) -> Area | None:
    """One area from (row, column, area) parts, cut to its size; transparent outside the parts; None without parts."""
    if not parts:
        return None
    first = parts[0][2][0]
    values = np.zeros((len(first), height, width), first.dtype)
    mask = np.zeros((height, width), np.uint8)
    for y, x, (part, part_mask) in parts:
        target = (slice(max(y, 0), y + part.shape[1]), slice(max(x, 0), x + part.shape[2]))
        source = (slice(max(-y, 0), height - y), slice(max(-x, 0), width - x))
        values[:, *target] = part[:, *source]
        mask[target] = 255 if part_mask is None else part_mask[source]
    return values, None if mask.min() == 255 else mask


def over(top: Area, below: Area) -> Area:
    """An area over another of the same size: each pixel from the upper one, unless the lower one is more opaque."""
    (values, mask), (lower, lower_mask) = top, below
    if mask is None:
        return top
    better = mask < 255 if lower_mask is None else lower_mask > mask
    joined = np.where(better, 255 if lower_mask is None else lower_mask, mask).astype(np.uint8)
    return np.where(better, lower, values), None if joined.min() == 255 else joined
