"""Heights to what depends on their neighbours: shade and slope, by Horn's formula as gdaldem has it.

B. K. P. Horn, Hill shading and the reflectance map, Proceedings of the IEEE 69 (1981).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tiler.grid import EXTENT, RADIUS, Window
from tiler.image.style import Area, Pixels, Terrain, Values

PIXELS = 1 << 15  # that are worked on at once: what is still in the processor's cache takes half the time
ALONG = math.sqrt(0.5)  # sine and cosine of the light's height, 45 degrees
ACROSS = 0.5  # those of its azimuth, 315 degrees, times that

Floats = npt.NDArray[np.float32]


def derived(terrain: Terrain, area: Area, window: Window) -> Area:
    """Shade (1 to 255) or slope (degrees) of one band of heights in metres, float32, and the mask.

    `area` is of `window` and one pixel more on each side. A neighbour that is transparent counts as high as the pixel
    itself. Ground metres are Mercator's times the cosine of the latitude, row by row.
    """
    values, mask = area
    out = np.empty((window.height, window.width), np.float32)
    shape = _shade if terrain == "hillshade" else _slope
    scales = (1 / (8 * ground(window))).astype(np.float32)[:, np.newaxis]
    step = max(1, PIXELS // window.width)
    for top in range(0, window.height, step):
        rows = slice(top, min(top + step, window.height))
        around = slice(rows.start, rows.stop + 2)
        west, north = _rises(values[0, around], None if mask is None else mask[around])
        west *= scales[rows]
        north *= scales[rows]
        shape(west, north, out[rows])
    return out[np.newaxis], None if mask is None else mask[1:-1, 1:-1]


def ground(window: Window) -> npt.NDArray[np.float64]:
    """Metres that a pixel of each row of `window` measures on the ground, `(height,)`."""
    rows = window.y + 0.5 + np.arange(window.height)
    metres: npt.NDArray[np.float64] = window.pixel / np.cosh((EXTENT - rows * window.pixel) / RADIUS)
    return metres


def _rises(heights: Values, mask: Pixels | None) -> tuple[Floats, Floats]:
    """How much the west is higher than the east, and the north than the south, eight times over.

    Both are smaller than `heights` by a pixel on each side.
    """
    z = heights.astype(np.float32)
    if mask is not None and not mask.all():
        return _broken(z, mask == 0)
    down = z[:-2] + z[2:]
    down += 2 * z[1:-1]
    along = z[:, :-2] + z[:, 2:]
    along += 2 * z[:, 1:-1]
    return down[:, :-2] - down[:, 2:], along[:-2] - along[2:]


def _broken(z: Floats, gone: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """The same where neighbours are missing."""
    middle = z[1:-1, 1:-1]

    def at(row: int, column: int) -> Floats:
        there = (slice(row, row + middle.shape[0]), slice(column, column + middle.shape[1]))
        return np.where(gone[there], middle, z[there])

    corners = {(row, column): at(row, column) for row in (0, 2) for column in (0, 2)}
    falling, rising = corners[0, 0] - corners[2, 2], corners[2, 0] - corners[0, 2]
    return falling + rising + 2 * (at(1, 0) - at(1, 2)), falling - rising + 2 * (at(0, 1) - at(2, 1))


def _shade(west: Floats, north: Floats, out: Floats) -> None:
    """Light from the north-west, 45 degrees high; both rises are by the metre."""
    steepness = west * west
    steepness += north * north
    steepness += 1
    np.sqrt(steepness, out=steepness)
    west += north
    west *= -254 * ACROSS
    west += 254 * ALONG
    west /= steepness
    np.maximum(west, 0, out=west)
    np.add(west, 1, out=out)


def _slope(west: Floats, north: Floats, out: Floats) -> None:
    """The angle of the steepest way down."""
    west *= west
    north *= north
    west += north
    np.sqrt(west, out=west)
    np.arctan(west, out=west)
    np.multiply(west, math.degrees(1), out=out)
