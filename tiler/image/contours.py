"""Contours: lines of equal height, on transparent ground.

A pixel's colour depends on the heights around it and on nothing else, so lines continue across tiles. Where two
neighbours lie on different sides of a height, the line between them passes at most half a pixel from one of
them, so lines have no gaps.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tiler.image.style import REACH, Picture, Pixels, Values

COLOUR = (139, 90, 43)
FIFTH = 5  # every fifth line is thicker
THIN, THICK = 1.0, 2.0  # pixels of a tile at scale 1
LEVELS = 15  # of opacity: with the transparent ground 16 colours, a PNG of 4 bits
PIXELS = 1 << 17  # pixels to compute at once
BEYOND = 1 << 30  # of intervals: heights are cut off there
DIAGONAL = math.sqrt(2)
MARGIN = REACH["contours"]
STEPS = ((0, 1, 1.0), (1, 0, 1.0), (1, 1, DIAGONAL), (1, -1, DIAGONAL))  # rows and columns to a neighbour, its distance

Floats = npt.NDArray[np.float32]
Marks = npt.NDArray[np.bool_]


def contours(heights: Values, mask: Pixels | None, interval: float, scale: int) -> Picture:
    """The contours of `heights` in metres, `(height + 6, width + 6)`: the picture has 3 pixels less on each side.

    Lines are `interval` metres apart and as thick on every scale. There is none beside a transparent pixel.
    """
    shape = heights.shape[0] - 2 * MARGIN, heights.shape[1] - 2 * MARGIN
    opacity = np.empty(shape, np.uint8)
    step = max(64, PIXELS // heights.shape[1])
    for top in range(0, shape[0], step):
        rows = slice(top, min(top + step, shape[0]))
        around = slice(rows.start, rows.stop + 2 * MARGIN)
        opacity[rows] = _opacity(heights[around], None if mask is None else mask[around] > 0, interval, scale)
    if mask is not None:
        np.minimum(opacity, mask[MARGIN:-MARGIN, MARGIN:-MARGIN], out=opacity)
    return Picture(np.broadcast_to(np.array(COLOUR, np.uint8), (*shape, 3)), opacity)


def _opacity(heights: Values, known: Marks | None, interval: float, scale: int) -> Pixels:
    """The opacity of some rows, without their margin."""
    metres = np.clip(heights, -BEYOND * interval, BEYOND * interval).astype(np.float32)
    if known is not None:
        metres[~known] = 0
    cover = np.zeros((heights.shape[0] - 2 * MARGIN, heights.shape[1] - 2 * MARGIN), np.float32)
    for apart, width, reach in ((interval, THIN, scale - 1), (interval * FIFTH, THICK, scale)):
        numbers = metres / np.float32(apart)
        distance = _distances(numbers, known)
        for _ in range(reach):
            distance = _spread(distance)
        inner = distance[MARGIN:-MARGIN, MARGIN:-MARGIN]
        np.maximum(cover, np.float32((width * scale + 1) / 2) - inner, out=cover)
    np.minimum(cover, 1, out=cover)
    cover *= LEVELS
    opacity: Pixels = np.rint(cover).astype(np.uint8) * np.uint8(255 // LEVELS)
    return opacity


def _distances(numbers: Floats, known: Marks | None) -> Floats:
    """The pixels from each pixel to the next line, infinite where no line passes before its eight neighbours.

    Lines are where `numbers` are whole. They are placed between neighbours, and by the gradient if that is nearer.
    """
    width = numbers.shape[1]
    below = np.floor(numbers).astype(np.int32)
    found = np.full(numbers.shape, np.inf, np.float32)
    flat, floors, distances = numbers.ravel(), below.ravel(), found.ravel()
    for down, right, length in STEPS:
        one = slice(0, numbers.shape[0] - down), slice(max(0, -right), width - max(0, right))
        other = slice(down, None), slice(max(0, right), width - max(0, -right))
        crossed = below[one] != below[other]
        if known is not None:
            crossed &= known[one] & known[other]
        rows, columns = np.nonzero(crossed)
        here = rows * width + columns + max(0, -right)
        there = here + (down * width + right)
        steps = np.abs(flat[there] - flat[here])
        rising = floors[there] > floors[here]
        for place, up in ((here, rising), (there, ~rising)):
            share = flat[place] - floors[place]
            apart = np.where(up, 1 - share, share) / steps * np.float32(length)
            distances[place] = np.minimum(distances[place], apart)
    _refine(flat, known, found)
    return found


def _refine(flat: Floats, known: Marks | None, found: Floats) -> None:
    """Lower the finite distances, except on the outermost pixels, to those that the gradient gives."""
    width = found.shape[1]
    rows, columns = np.nonzero(np.isfinite(found[1:-1, 1:-1]))
    near = (rows + 1) * width + columns + 1
    middle = flat[near]

    def at(offset: int) -> Floats:
        values: Floats = flat[near + offset]
        if known is not None:
            np.copyto(values, middle, where=~known.ravel()[near + offset])
        return values

    east, south = at(1) - at(-1), at(width) - at(-width)
    doubled = np.sqrt(east * east + south * south)  # the change over two pixels
    share = middle - np.floor(middle)
    share = np.minimum(share, 1 - share) * 2
    sloping = doubled > share / 2  # others are more than two pixels away, or level
    near = near[sloping]
    distances = found.ravel()
    distances[near] = np.minimum(distances[near], share[sloping] / doubled[sloping])


def _spread(distances: Floats) -> Floats:
    """The distances, also by way of each of the eight neighbours; of inner pixels."""
    spread = distances.copy()
    middle = spread[1:-1, 1:-1]
    height, width = distances.shape
    for down in (0, 1, 2):
        for right in (0, 1, 2):
            length = math.hypot(down - 1, right - 1)
            shifted = distances[down : down + height - 2, right : right + width - 2]
            np.minimum(middle, shifted + np.float32(length), out=middle)
    return spread
