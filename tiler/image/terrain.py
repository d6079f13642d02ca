"""Terrain kernels: hillshade and slope from heights, by Horn's formula as in gdaldem.

B. K. P. Horn, Hill shading and the reflectance map, Proceedings of the IEEE 69 (1981).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tiler.choices import Terrain
from tiler.grid import EXTENT, RADIUS, Window
from tiler.image.style import Area, Pixels, Values

PIXELS = 1 << 15  # pixels to compute at once: twice as fast while they fit into the processor's cache
ALONG = math.sqrt(0.5)  # sine and cosine of the light's altitude, 45 degrees
ACROSS = 0.5  # sine and cosine of its azimuth, 315 degrees, times ALONG
# degrees by odd powers of the tangent, up to 45 degrees; formula 4.4.49 of Abramowitz and Stegun, exact to 1e-6 degrees
ARCTANGENT = tuple(
    np.float32(math.degrees(factor))
    for factor in (
        *(1, -0.3333314528, 0.1999355085, -0.1420889944, 0.1065626393),
        *(-0.0752896400, 0.0429096138, -0.0161657367, 0.0028662257),
    )
)

Floats = npt.NDArray[np.float32]


def derived(terrain: Terrain, area: Area, window: Window) -> Area:
    """Shade (1 to 255) or slope (degrees) of one band of heights in metres, as float32, and the mask.

    `area` covers `window` and one pixel more on each side. A transparent neighbour counts as high as the pixel itself.
    Ground metres are Mercator metres times the cosine of the latitude, row by row.
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
    """Ground metres per pixel in each row of `window`, `(height,)`."""
    rows = window.y + 0.5 + np.arange(window.height)
    angles = (EXTENT - rows * window.pixel) / RADIUS
    # not by numpy, whose functions beyond sums, products and roots depend on the processor
    metres: npt.NDArray[np.float64] = window.pixel / np.array([math.cosh(angle) for angle in angles.tolist()])
    return metres


def _rises(heights: Values, mask: Pixels | None) -> tuple[Floats, Floats]:
    """Eight times the rises from east to west and from south to north.

    Both arrays are smaller than `heights` by a pixel on each side.
    """
    z = heights.astype(np.float32)
    if mask is not None and not mask.all():
        return _rises_with_gaps(z, mask == 0)
    down = z[:-2] + z[2:]
    down += 2 * z[1:-1]
    along = z[:, :-2] + z[:, 2:]
    along += 2 * z[:, 1:-1]
    return down[:, :-2] - down[:, 2:], along[:-2] - along[2:]


def _rises_with_gaps(z: Floats, missing: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """The same with missing neighbours."""
    middle = z[1:-1, 1:-1]

    def at(row: int, column: int) -> Floats:
        shifted = (slice(row, row + middle.shape[0]), slice(column, column + middle.shape[1]))
        return np.where(missing[shifted], middle, z[shifted])

    corners = {(row, column): at(row, column) for row in (0, 2) for column in (0, 2)}
    falling, rising = corners[0, 0] - corners[2, 2], corners[2, 0] - corners[0, 2]
    return falling + rising + 2 * (at(1, 0) - at(1, 2)), falling - rising + 2 * (at(0, 1) - at(2, 1))


def _shade(west: Floats, north: Floats, out: Floats) -> None:
    """Hillshade with light from the north-west, 45 degrees high; rises are per metre."""
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
    """The angle of steepest descent, in degrees; rises are per metre."""
    west *= west
    north *= north
    west += north
    np.sqrt(west, out=west)
    steep = west > 1
    np.divide(np.minimum(west, 1), np.maximum(west, 1), out=west)  # the tangent of the angle, or of its complement
    np.multiply(west, west, out=north)
    out[:] = ARCTANGENT[-1]
    for factor in reversed(ARCTANGENT[:-1]):
        out *= north
        out += factor
    out *= west
    np.subtract(90, out, out=out, where=steep)
