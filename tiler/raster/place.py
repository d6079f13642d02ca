"""Where a raster lies: its box of longitudes and latitudes, its pixels under those of the grid, its resolution.

Points go from one CRS to another by PROJ and nowhere else, so that box, plan and pixels agree: degrees may belong to
another datum, begin at another meridian, or be no degrees at all.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import rasterio.warp
from affine import Affine
from rasterio._err import CPLE_BaseError, CPLE_NotSupportedError
from rasterio.crs import CRS
from rasterio.io import DatasetReader

from tiler.errors import BadSource
from tiler.grid import EXTENT, MAX_LATITUDE, Bounds, Window
from tiler.image.separable import Coordinates
from tiler.raster.bodies import AS_EARTH, called, foreign_radius, horizontal

MERCATOR = CRS.from_epsg(3857)
LONLAT = CRS.from_epsg(4326)
# What earlier versions warped to. PROJ takes a CRS with +over for one without a datum and leaves the shift out.
FORMER = CRS.from_proj4(
    "+proj=merc +a=6378137 +b=6378137 +lat_ts=0 +lon_0=0 +x_0=0 +y_0=0 +k=1 +units=m +nadgrids=@null "
    "+wktext +over +no_defs"
)
MISPLACED = 0.02  # of a pixel, which a layer may be off before its tiles count as wrong
FARTHEST = 1e11  # of any unit, from the origin of a CRS; the globe takes a billion inches and a half
GRID = 257  # places along each side of a box that are looked up in a raster
POLAR = 89.9  # degrees of latitude; beyond, longitudes say little
AROUND = 0.84  # of a turn; GDAL takes so much for a whole one
ON_EDGE = 1e-12  # turns that rounding adds or takes away
BEYOND = "it lies beyond 85.05 degrees of latitude, where Web Mercator ends"
NAME_CRS = "add --crs EPSG:CODE"
NAME_BOX = "add --bounds W,S,E,N, in the units of its CRS"
MAPS = {"GeographicCRS", "DerivedGeographicCRS", "ProjectedCRS", "DerivedProjectedCRS"}


class Reach(NamedTuple):
    """How far a raster is seen to reach, degrees, and the steps, of longitude and latitude, that it was looked for in.

    `east` is larger than `west`, and may pass 180.
    """

    west: float
    south: float
    east: float
    north: float
    step: tuple[float, float]


def check_place(dataset: DatasetReader, *, placed: bool = False, missing: str = "EPSG:CODE") -> None:
    """Refuse a raster that no CRS and geotransform place on the earth.

    `placed` says that the user gave the geotransform; `missing` is what to name as a CRS where there is none.

    Raises:
        BadSource: its CRS is missing or of no map of the earth; its geotransform is missing or leads off the globe.
    """
    name, crs = dataset.name, dataset.crs
    if not crs and dataset.transform.is_identity and not placed:
        raise BadSource(name, f"it has no CRS and no geotransform: add --crs {missing} --bounds W,S,E,N")
    if not crs:
        raise BadSource(name, f"it has no CRS: add --crs {missing}")
    if horizontal(crs).get("type") not in MAPS:
        raise BadSource(name, f"its CRS, {called(crs)}, is not that of a map of the earth: {NAME_CRS}")
    radius = foreign_radius(crs)  # PROJ may take minutes to fail on other bodies
    if radius:
        why = f"its CRS, {called(crs)}, belongs to another body, of radius {radius:,.12g} m"
        raise BadSource(name, f"{why}: add {AS_EARTH} to use its degrees as the earth's")
    if dataset.transform.is_degenerate or (dataset.transform.is_identity and not placed):
        raise BadSource(name, f"it has no geotransform: {NAME_BOX}")
    xs, ys = corners(dataset)
    if not max(np.abs(xs).max(), np.abs(ys).max()) < FARTHEST:  # PROJ would turn around the globe for ever
        raise BadSource(name, f"its geotransform places it off the globe: {NAME_BOX}")
    if crs.is_geographic:
        _check_turn(name, crs, float(np.abs(xs).max()))


def _check_turn(name: str, crs: CRS, longitude: float) -> None:
    """Refuse the largest longitude of a raster, in units of its CRS, where GDAL turns it: by 360, whatever the unit."""
    turn = _turn(crs)
    reach = min(turn / 2, 360 - turn / 2)
    if turn != 360 and longitude > reach:
        said = f"its longitudes pass {reach:g} {crs.units_factor[0]}s, where GDAL misreads them"
        raise BadSource(name, f"{said}: give a CRS and a box in degrees with `--crs` and `--bounds`")


def lonlat_bounds(dataset: DatasetReader) -> Bounds:
    """The box of longitudes and latitudes, degrees of WGS 84, that holds the raster, cut at Web Mercator's latitudes.

    Raises:
        BadSource: nothing of it lies in the Web Mercator world.
    """
    box, whole = _outlined(dataset)
    return box if whole else _joined(box, _reached(dataset, box))


def _outlined(dataset: DatasetReader) -> tuple[Bounds, bool]:
    """The box of the points of the raster's outline that lie on the globe, and whether that is all there is."""
    xs, ys = applied(dataset.transform, *_outline(dataset))
    longitudes, latitudes = carried(dataset.crs, LONLAT, xs, ys)
    known = np.isfinite(longitudes) & np.isfinite(latitudes)
    if not known.any():
        raise BadSource(dataset.name, f"none of it can be placed on the globe from {called(dataset.crs)}: {NAME_CRS}")
    xs, longitudes, latitudes = xs[known], longitudes[known], latitudes[known]
    continuous = _greenwich(dataset.crs)
    if continuous:
        off_poles = np.abs(latitudes) < POLAR
        if off_poles.any():
            xs, longitudes = xs[off_poles], longitudes[off_poles]
        longitudes = _unrolled(longitudes, xs * (360 / _turn(dataset.crs)), 360)
    return _box(dataset.name, longitudes, latitudes, continuous=continuous), continuous or bool(known.all())


def _reached(dataset: DatasetReader, box: Bounds) -> Reach:
    """How far the raster reaches around `box` where its outline leaves the globe: a disc, an oval.

    Its sides say nothing there, so places on the globe are looked up in the raster.
    """
    around, high = min(2 * box.width, 360), box.north - box.south
    first = box.west + box.width / 2 - around / 2
    low, top = max(box.south - high / 2, -MAX_LATITUDE), min(box.north + high / 2, MAX_LATITUDE)
    grid = np.meshgrid(np.linspace(first, first + around, GRID), np.linspace(low, top, GRID))
    longitudes, latitudes = (axis.ravel() for axis in grid)
    columns, rows = applied(~dataset.transform, *carried(LONLAT, dataset.crs, longitudes, latitudes))
    with np.errstate(invalid="ignore"):  # neither inside nor outside
        inside = (columns >= 0) & (columns <= dataset.width) & (rows >= 0) & (rows <= dataset.height)
    step = (around / (GRID - 1), (top - low) / (GRID - 1))
    if not inside.any():
        return Reach(box.west, box.south, box.west + box.width, box.north, step)
    west, south = float(longitudes[inside].min()), float(latitudes[inside].min())
    return Reach(west, south, float(longitudes[inside].max()), float(latitudes[inside].max()), step)


def _joined(box: Bounds, reach: Reach) -> Bounds:
    """The box that holds `box`, and `reach` with a step around it."""
    across, along = reach.step
    west, east = min(box.west, reach.west - across), max(box.west + box.width, reach.east + across)
    south, north = max(reach.south - along, -MAX_LATITUDE), min(reach.north + along, MAX_LATITUDE)
    if east - west >= 360 - 1e-9:
        west, east = -180.0, 180.0
    turned = _turned(west, at_half_turn=-180.0), _turned(east, at_half_turn=180.0)
    return Bounds(turned[0], min(box.south, south), turned[1], max(box.north, north))


def _box(name: str, longitudes: Coordinates, latitudes: Coordinates, *, continuous: bool) -> Bounds:
    south, north = max(float(latitudes.min()), -MAX_LATITUDE), min(float(latitudes.max()), MAX_LATITUDE)
    if south >= north:
        raise BadSource(name, BEYOND)
    west, east = _arc(longitudes, continuous=continuous)
    return Bounds(west, south, east, north)


def corners(dataset: DatasetReader) -> tuple[Coordinates, Coordinates]:
    """The coordinates of a raster's four corners, in its own CRS."""
    columns, rows = np.array([0, dataset.width] * 2), np.repeat([0, dataset.height], 2)
    return applied(dataset.transform, columns, rows)


def _outline(dataset: DatasetReader) -> tuple[Coordinates, Coordinates]:
    """Pixel corners along the sides, closely, and across the inside, coarsely."""
    along = np.linspace(0, 1, 513)
    across = np.linspace(0, 1, 33)
    inside = np.meshgrid(across, across)
    columns = np.concatenate([along, along, np.zeros(513), np.ones(513), inside[0].ravel()])
    rows = np.concatenate([np.zeros(513), np.ones(513), along, along, inside[1].ravel()])
    return columns * dataset.width, rows * dataset.height


def _arc(longitudes: Coordinates, *, continuous: bool) -> tuple[float, float]:
    """West and east of the shortest arc that holds all `longitudes`; -180 and 180 if they go around the globe."""
    if continuous:
        west, east = float(longitudes.min()), float(longitudes.max())
    else:
        around = np.unique(longitudes % 360)
        gaps = np.diff(np.append(around, around[0] + 360))
        widest = int(gaps.argmax())
        east = float(around[widest])
        west = east - (360 - float(gaps[widest]))
        if gaps[widest] < 5:  # less than the points are apart: the raster holds a pole
            west, east = -180.0, 180.0
    if east - west >= 360 - 1e-9:
        return -180.0, 180.0
    return _turned(west, at_half_turn=-180.0), _turned(east, at_half_turn=180.0)


def _turned(longitude: float, *, at_half_turn: float) -> float:
    """`longitude` within -180 to 180; exact there in spite of rounding, with the sign that an edge has there."""
    if abs(abs(longitude) - 180) < 1e-9:
        return at_half_turn
    return (longitude + 180) % 360 - 180 if abs(longitude) > 180 else longitude


def _turn(crs: CRS) -> float:
    """How many units of a geographic CRS go around the globe: 360 degrees, 400 grads. 0 for any other CRS."""
    return round(math.tau / crs.units_factor[1], 9) if crs.is_geographic else 0.0


def _greenwich(crs: CRS) -> bool:
    """Whether the longitudes of a CRS are those of WGS 84 but for a constant, a unit, and the shift of its datum."""
    return bool(horizontal(crs).get("type") == "GeographicCRS")


def _unrolled(longitudes: Coordinates, guide: Coordinates, turn: float) -> Coordinates:
    """`longitudes` as they run along `guide`, from which they differ by next to nothing, a constant, and turns."""
    apart = guide - longitudes
    known = np.flatnonzero(np.isfinite(apart))
    if not known.size:
        return longitudes
    with np.errstate(invalid="ignore"):  # infinite less infinite
        unrolled: Coordinates = longitudes + np.round((apart - apart[known[0]]) / turn) * turn
    return unrolled


def beneath_window(
    dataset: DatasetReader, window: Window, xs: Coordinates, ys: Coordinates
) -> tuple[Coordinates, Coordinates]:
    """Where points of `window`, in its pixels, lie in the raster, in its own; infinite where its projection ends.

    190 degrees east is also 170 west: of the turns of a window, its middle lies nearest to the raster's.
    """
    left, top = window.corner
    east = left + xs.ravel() * window.pixel
    there = carried(MERCATOR, dataset.crs, east, top - ys.ravel() * window.pixel)
    turn = _turn(dataset.crs)
    if turn:
        middle = dataset.transform.c + (dataset.transform.a * dataset.width + dataset.transform.b * dataset.height) / 2
        along = there[0]
        if _greenwich(dataset.crs):
            along = _unrolled(along, east * (turn / (2 * EXTENT)), turn)
            known = along[np.isfinite(along)]
            along = along - np.round(((known.mean() if known.size else middle) - middle) / turn) * turn
        else:
            along = along - np.round((along - middle) / turn) * turn
        there = along, there[1]
    columns, rows = applied(~dataset.transform, *there)
    return columns.reshape(xs.shape), rows.reshape(ys.shape)


def turns(dataset: DatasetReader) -> tuple[tuple[float, float], ...]:
    """How many columns and rows away a point lies again: nowhere else, or a turn around the globe to each side."""
    turn = _turn(dataset.crs)
    if not turn:
        return ((0.0, 0.0),)
    back = ~dataset.transform
    return tuple((back.a * turn * side, back.d * turn * side) for side in (0, -1, 1))


def applied(transform: Affine, xs: Coordinates, ys: Coordinates) -> tuple[Coordinates, Coordinates]:
    """Points carried by an affine transform."""
    a, b, c, d, e, f = transform[:6]
    with np.errstate(invalid="ignore"):  # nothing times infinity
        return a * xs + b * ys + c, d * xs + e * ys + f


def carried(source: CRS, target: CRS, xs: Coordinates, ys: Coordinates) -> tuple[Coordinates, Coordinates]:
    """Points carried from one CRS to another; infinite where the projection has no answer."""
    try:
        there = rasterio.warp.transform(source, target, xs, ys)
    except CPLE_BaseError as error:
        if xs.size == 1 or isinstance(error, CPLE_NotSupportedError):  # which no point helps
            return np.full(xs.size, np.inf), np.full(xs.size, np.inf)
        halves = [
            carried(source, target, *half) for half in zip(np.array_split(xs, 2), np.array_split(ys, 2), strict=True)
        ]
        return np.concatenate([half[0] for half in halves]), np.concatenate([half[1] for half in halves])
    return np.asarray(there[0]), np.asarray(there[1])


def resolution_of(dataset: DatasetReader) -> float:
    """Mercator metres a pixel, the smallest over the raster: the square root of a pixel's area."""
    steps = np.linspace(0.02, 0.98, 9)
    columns, rows = (grid.ravel() for grid in np.meshgrid(steps * dataset.width, steps * dataset.height))
    step_x, step_y = dataset.width / 100, dataset.height / 100  # pixels; short, to stay on the globe
    right, down = np.array([[0.0, step_x, 0.0], [0.0, 0.0, step_y]])[..., None]
    xs, ys = applied(dataset.transform, columns + right, rows + down)
    corners = np.reshape(carried(dataset.crs, MERCATOR, xs.ravel(), ys.ravel()), (2, *xs.shape)).swapaxes(0, 1)
    with np.errstate(invalid="ignore"):  # infinite less infinite
        across, along = _step(corners[0], corners[1]) / step_x, _step(corners[0], corners[2]) / step_y
    areas = np.abs(across[0] * along[1] - across[1] * along[0])
    usable = np.isfinite(areas) & (areas > 0) & (np.abs(corners[0][1]) <= EXTENT)
    if not usable.any():
        raise BadSource(dataset.name, BEYOND)
    return float(np.sqrt(areas[usable].min()))


def _step(start: Coordinates, stop: Coordinates) -> Coordinates:
    """From points of Web Mercator, `(2, points)`, to others, the short way around the globe."""
    step = stop - start
    step[0] -= np.round(step[0] / (2 * EXTENT)) * (2 * EXTENT)
    return step


def differs_in_place(dataset: DatasetReader, bounds: Bounds, resolution: float) -> bool:
    """Whether earlier versions drew the raster elsewhere, or cut it off, by more than MISPLACED.

    They left the shift of a datum out, took the coordinates of every geographic CRS for degrees of WGS 84, and lost
    much of a map that leaves the globe.
    `resolution` is Mercator metres a pixel.
    """
    inside = np.meshgrid(np.linspace(0.02, 0.98, 9) * dataset.width, np.linspace(0.02, 0.98, 9) * dataset.height)
    xs, ys = applied(dataset.transform, *(axis.ravel() for axis in inside))
    now, then = (np.asarray(carried(dataset.crs, target, xs, ys)) for target in (MERCATOR, FORMER))
    known = np.isfinite(now).all(axis=0) & (np.abs(now[1]) <= EXTENT)
    with np.errstate(invalid="ignore"):  # infinite less infinite
        off = np.hypot(*_step(now[:, known], then[:, known]))
    allowed = MISPLACED * resolution
    if not (off <= allowed).all():
        return True
    if not dataset.crs.is_geographic:
        return not _outlined(dataset)[1]
    try:
        former = _box(dataset.name, *applied(dataset.transform, *_outline(dataset)), continuous=True)
    except BadSource:
        return True
    edges = np.abs(np.subtract(list(former), list(bounds)))
    return bool((np.minimum(edges, 360 - edges) > math.degrees(allowed / EXTENT * math.pi)).any())


def past_seam(dataset: DatasetReader) -> bool:
    """Whether the raster goes around the globe, and past the sides of the map.

    GDAL takes the whole of it for the source of a window beside the antimeridian, and widens its kernel accordingly:
    earlier versions blurred it there.
    """
    turn = _turn(dataset.crs)
    if not turn:
        return False
    xs, _ = corners(dataset)
    west, east = float(xs.min()) / turn, float(xs.max()) / turn
    side = math.floor(west - 0.5 + ON_EDGE) + 1.5  # the first side of the map beyond the raster's own, in turns
    return east - west > AROUND and side < east - ON_EDGE
