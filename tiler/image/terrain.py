"""Terrain kernels: hillshade and slope from heights, by Horn's formula as in gdaldem.

B. K. P. Horn, Hill shading and the reflectance map, Proceedings of the IEEE 69 (1981).
R. K. Mark, A multidirectional, oblique-weighted, shaded-relief image of the Island of Hawaii, USGS Open-File Report
92-422 (1992).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from tiler.choices import Terrain
from tiler.grid import EXTENT, RADIUS, Window
from tiler.image.light import DEFAULT, Light
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
Shape = Callable[[Floats, Floats, Floats], None]  # rises to west and north per metre, which it may change; the result


def derived(terrain: Terrain, area: Area, window: Window, light: Light = DEFAULT) -> Area:
    """Slope (degrees), or else shade (1 to 255), of one band of heights in metres, as float32, and the mask.

    `area` covers `window` and one pixel more on each side. A transparent neighbour counts as high as the pixel itself.
    Ground metres are Mercator metres times the cosine of the latitude, row by row.
    """
    values, mask = area
    out = np.empty((window.height, window.width), np.float32)
    shape = _slope if terrain == "slope" else _shape_of(light)
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


def _shape_of(light: Light) -> Shape:
    """The function that shades as a light does."""
    if light == DEFAULT:
        return _shade
    if light.shading == "multidirectional":
        return partial(_shade_from_four_sides, light)
    return partial(_shade_combined if light.shading == "combined" else _shade_from, light)


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


def _shade_from(light: Light, west: Floats, north: Floats, out: Floats) -> None:
    """Hillshade with light from anywhere: 1, and 254 times the cosine of its angle to the ground's normal."""
    cosine, _ = _cosine(light, west, north)
    np.maximum(cosine, 0, out=cosine)
    cosine *= 254
    np.add(cosine, 1, out=out)


def _cosine(light: Light, west: Floats, north: Floats) -> tuple[Floats, Floats]:
    """The cosine of the light's angle to the ground's normal; the square of the ground's slope.

    The normal is (west, -north, 1) to east, north and above, divided by its length.
    """
    _exaggerate(light, west, north)
    azimuth, altitude = math.radians(light.azimuth), math.radians(light.altitude)
    steepness = _squares(west, north)
    cosine = west * np.float32(math.sin(azimuth) * math.cos(altitude))
    cosine -= north * np.float32(math.cos(azimuth) * math.cos(altitude))
    cosine += np.float32(math.sin(altitude))
    cosine /= np.sqrt(steepness + 1)
    return cosine, steepness


def _shade_combined(light: Light, west: Floats, north: Floats, out: Floats) -> None:
    """Hillshade combined with slope: 1, and 254 times 1 less the angle to the light times the slope, in right angles.

    It is gdaldem's `-combined`, level ground is white.
    """
    cosine, steepness = _cosine(light, west, north)
    np.clip(cosine, -1, 1, out=cosine)
    slope, angle = np.empty_like(out), np.empty_like(out)
    _degrees(np.sqrt(steepness), 1, slope)
    _degrees(np.sqrt(1 - cosine), np.sqrt(1 + cosine), angle)  # half of the angle, by its tangent
    slope *= angle
    slope *= np.float32(-2 / 90**2)
    slope += 1
    np.maximum(slope, 0, out=slope)
    slope *= 254
    np.add(slope, 1, out=out)


def _shade_from_four_sides(light: Light, west: Floats, north: Floats, out: Floats) -> None:
    """The mean of hillshades lit from 225, 270, 315 and 360 degrees, weighted as gdaldem does.

    R. K. Mark weights each by the square of the sine of the angle between aspect and azimuth. gdaldem measures that
    aspect from the east and counterclockwise, the azimuth from north and clockwise; so does this.
    """
    _exaggerate(light, west, north)
    high = np.float32(math.sin(math.radians(light.altitude)))
    low = np.float32(math.cos(math.radians(light.altitude)))
    slanting = np.float32(math.cos(math.radians(light.altitude)) * ALONG)
    steepness = _squares(west, north)
    product = west * north
    half = steepness * np.float32(0.5)
    lit = (
        (half - product, slanting * (north - west)),
        (west * west, -low * west),
        (half + product, -slanting * (west + north)),
        (north * north, -low * north),
    )
    total = np.zeros_like(out)
    for weight, rise in lit:
        np.add(rise, high, out=rise)
        np.maximum(rise, 0, out=rise)
        total += np.multiply(rise, weight, out=rise)
    level = steepness == 0
    steepness[level] = 1
    total /= steepness * np.sqrt(steepness + 1)
    total *= 127
    total[level] = 254 * high
    np.add(total, 1, out=out)


def _exaggerate(light: Light, west: Floats, north: Floats) -> None:
    """Multiply rises by the factor of heights."""
    west *= np.float32(light.z_factor)
    north *= np.float32(light.z_factor)


def _squares(west: Floats, north: Floats) -> Floats:
    """The square of the slope."""
    sums: Floats = west * west
    sums += north * north
    return sums


def _slope(west: Floats, north: Floats, out: Floats) -> None:
    """The angle of steepest descent, in degrees; rises are per metre."""
    west *= west
    north *= north
    west += north
    np.sqrt(west, out=west)
    _degrees(west, 1, out)


def _degrees(rise: Floats, run: Floats | int, out: Floats) -> None:
    """The angle with the tangent `rise / run`, in degrees, 0 to 90; not both are 0."""
    steep = rise > run
    tangent = np.minimum(rise, run) / np.maximum(rise, run)  # of the angle, or of its complement
    square = tangent * tangent
    out[:] = ARCTANGENT[-1]
    for factor in reversed(ARCTANGENT[:-1]):
        out *= square
        out += factor
    out *= tangent
    np.subtract(90, out, out=out, where=steep)
