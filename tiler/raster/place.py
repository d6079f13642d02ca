"""The place of a raster: its bounds in degrees, its pixels beneath those of the grid, its resolution.

Only this module transforms points between CRSs, with PROJ, so that bounds, plan and pixels agree: a geographic CRS may
have another datum, another prime meridian, or another unit than degrees.
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
# The target CRS of earlier versions. PROJ ignores the datum of a CRS with +over, and so the datum shift.
FORMER = CRS.from_proj4(
    "+proj=merc +a=6378137 +b=6378137 +lat_ts=0 +lon_0=0 +x_0=0 +y_0=0 +k=1 +units=m +nadgrids=@null "
    "+wktext +over +no_defs"
)
MISPLACED = 0.02  # pixels; tiles of earlier versions count as wrong if they are further off
FARTHEST = 1e11  # units from the origin of a CRS; the globe measures 1.6 billion inches
GRID = 257  # points to look up along each side of a box
SMALL = 5.0  # degrees of longitude
POLAR = 89.9  # degrees of latitude; beyond, longitudes mean little
AROUND = 0.84  # share of a turn that GDAL treats as a whole turn
ON_EDGE = 1e-12  # turns, the rounding error of a longitude
BEYOND = "it lies beyond 85.05 degrees of latitude, where Web Mercator ends"
ANY = "EPSG:CODE"
NAME_CRS = "add --crs EPSG:CODE"
NAME_BOX = "add --bounds W,S,E,N, in units of its CRS"
MAPS = {"GeographicCRS", "DerivedGeographicCRS", "ProjectedCRS", "DerivedProjectedCRS"}


class Reach(NamedTuple):
    """The extent of a raster found on a grid of points, in degrees, and the grid's steps of longitude and latitude.

    `east` is larger than `west`, and may pass 180.
    """

    west: float
    south: float
    east: float
    north: float
    step: tuple[float, float]


def check_place(dataset: DatasetReader, *, placed: bool = False, missing: str = ANY) -> None:
    """Reject a raster without a valid place on the earth.

    With `placed`, the user gave the geotransform. `missing` is the CRS to suggest if there is none.

    Raises:
        BadSource: its CRS is missing or not of a map of the earth; its geotransform is missing or off the globe.
    """
    name, crs = dataset.name, dataset.crs
    if not crs and dataset.transform.is_identity and not placed:
        cure = f"add --crs {missing} --bounds W,S,E,N, or put its world file beside it and add --crs {missing}"
        raise BadSource(name, f"it has no CRS and no geotransform: {cure}")
    if not crs:
        raise BadSource(name, f"it has no CRS{_guess(dataset, missing)}")
    if horizontal(crs).get("type") not in MAPS:
        raise BadSource(name, f"its CRS, {called(crs)}, does not map the earth: {NAME_CRS}")
    radius = foreign_radius(crs)  # first, because PROJ may take minutes to fail on other bodies
    if radius:
        why = f"its CRS, {called(crs)}, belongs to another body, of radius {radius:,.12g} m"
        raise BadSource(name, f"{why}: add {AS_EARTH} to use its degrees as the earth's")
    if dataset.transform.is_degenerate or (dataset.transform.is_identity and not placed):
        raise BadSource(name, f"it has no geotransform: {NAME_BOX}")
    xs, ys = corners(dataset)
    if not max(np.abs(xs).max(), np.abs(ys).max()) < FARTHEST:  # PROJ would loop forever
        raise BadSource(name, f"its geotransform places it off the globe: {NAME_BOX}")
    if crs.is_geographic:
        _check_turn(name, crs, float(np.abs(xs).max()))


def _guess(dataset: DatasetReader, missing: str) -> str:
    """The end of the message about a missing CRS: degrees, if its coordinates look like them."""
    (left, right), (bottom, top) = ((float(axis.min()), float(axis.max())) for axis in corners(dataset))
    if missing == ANY and -180 <= left < right <= 180 and -90 <= bottom < top <= 90:
        return f", and its coordinates look like degrees: if they are, add --crs EPSG:4326, else --crs {missing}"
    return f": add --crs {missing}"


def _check_turn(name: str, crs: CRS, longitude: float) -> None:
    """Reject a largest longitude that GDAL would wrap by 360 units, in a CRS whose turn is not 360.

    Raises:
        BadSource: GDAL would misplace the raster.
    """
    turn = _turn(crs)
    reach = min(turn / 2, 360 - turn / 2)
    if turn != 360 and longitude > reach:
        why = f"its longitudes pass {reach:g} {crs.units_factor[0]}s, where GDAL misreads them"
        raise BadSource(name, f"{why}: set a CRS and bounds in degrees with --crs and --bounds")


def lonlat_bounds(dataset: DatasetReader) -> Bounds:
    """The bounds of the raster in degrees of WGS 84, clipped to the latitudes of Web Mercator.

    Raises:
        BadSource: all of it is outside Web Mercator.
    """
    box, whole = _outlined(dataset)
    return box if whole else _joined(box, _reached(dataset, box))


def _outlined(dataset: DatasetReader) -> tuple[Bounds, bool]:
    """The bounds of the raster's outline as far as it is on the globe, and whether they are its full bounds."""
    points = _points(dataset, SIDES)
    if not _is_plain(*points[1:]):
        points = np.hstack([points, _points(dataset, INSIDE)])
    xs, longitudes, latitudes = points
    known = np.isfinite(longitudes) & np.isfinite(latitudes)
    if not known.any():
        raise BadSource(dataset.name, f"none of it has a place on the globe in {called(dataset.crs)}: {NAME_CRS}")
    xs, longitudes, latitudes = xs[known], longitudes[known], latitudes[known]
    continuous = _greenwich(dataset.crs)
    if continuous:
        off_poles = np.abs(latitudes) < POLAR
        if off_poles.any():
            xs, longitudes = xs[off_poles], longitudes[off_poles]
        longitudes = _unrolled(longitudes, xs * (360 / _turn(dataset.crs)), 360)
    return _box(dataset.name, longitudes, latitudes, continuous=continuous), continuous or bool(known.all())


def _reached(dataset: DatasetReader, box: Bounds) -> Reach:
    """The extent of the raster around `box` if its outline leaves the globe, as in a disc or an oval.

    Its sides have no coordinates there, so a grid of points on the globe is looked up in the raster.
    """
    around, high = min(2 * box.width, 360), box.north - box.south
    first = box.west + box.width / 2 - around / 2
    low, top = max(box.south - high / 2, -MAX_LATITUDE), min(box.north + high / 2, MAX_LATITUDE)
    grid = np.meshgrid(np.linspace(first, first + around, GRID), np.linspace(low, top, GRID))
    longitudes, latitudes = (axis.ravel() for axis in grid)
    columns, rows = applied(~dataset.transform, *carried(LONLAT, dataset.crs, longitudes, latitudes))
    with np.errstate(invalid="ignore"):  # points without coordinates
        inside = (columns >= 0) & (columns <= dataset.width) & (rows >= 0) & (rows <= dataset.height)
    step = (around / (GRID - 1), (top - low) / (GRID - 1))
    if not inside.any():
        return Reach(box.west, box.south, box.west + box.width, box.north, step)
    west, south = float(longitudes[inside].min()), float(latitudes[inside].min())
    return Reach(west, south, float(longitudes[inside].max()), float(latitudes[inside].max()), step)


def _joined(box: Bounds, reach: Reach) -> Bounds:
    """The bounds of both `box` and `reach`, the latter with a margin of one step."""
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


def _sides() -> tuple[Coordinates, Coordinates]:
    """Points along the sides of a square of size 1."""
    along = np.linspace(0, 1, 513)
    return np.concatenate([along, along, np.zeros(513), np.ones(513)]), np.concatenate(
        [np.zeros(513), np.ones(513), along, along]
    )


def _inside() -> tuple[Coordinates, Coordinates]:
    """Points in a square of size 1."""
    across = np.linspace(0, 1, 33)
    columns, rows = np.meshgrid(across, across)
    return columns.ravel(), rows.ravel()


SIDES, INSIDE = _sides(), _inside()


def _outline(dataset: DatasetReader, *parts: tuple[Coordinates, Coordinates]) -> tuple[Coordinates, Coordinates]:
    """Pixel corners at `parts` of the raster: dense along the sides, sparse inside."""
    columns, rows = (np.concatenate(each) for each in zip(*parts, strict=True))
    return columns * dataset.width, rows * dataset.height


def _points(dataset: DatasetReader, part: tuple[Coordinates, Coordinates]) -> Coordinates:
    """The coordinates in x, the longitudes and the latitudes of some points of the raster, `(3, points)`."""
    xs, ys = applied(dataset.transform, *_outline(dataset, part))
    return np.array([xs, *carried(dataset.crs, LONLAT, xs, ys)])


def _is_plain(longitudes: Coordinates, latitudes: Coordinates) -> bool:
    """Whether points along the sides of a raster bound all of it: it is small and near no pole nor end of its map.

    Within it, longitudes and latitudes then have no extremes.
    """
    if not (np.isfinite(longitudes).all() and np.isfinite(latitudes).all()):
        return False
    return bool(np.ptp(longitudes) < SMALL and np.abs(latitudes).max() < MAX_LATITUDE)


def _arc(longitudes: Coordinates, *, continuous: bool) -> tuple[float, float]:
    """West and east of the shortest arc with all `longitudes`; -180 and 180 if they go around the globe."""
    if continuous:
        west, east = float(longitudes.min()), float(longitudes.max())
    else:
        around = np.unique(longitudes % 360)
        gaps = np.diff(np.append(around, around[0] + 360))
        widest = int(gaps.argmax())
        east = float(around[widest])
        west = east - (360 - float(gaps[widest]))
        if gaps[widest] < 5:  # less than the distance of the points: the raster contains a pole
            west, east = -180.0, 180.0
    if east - west >= 360 - 1e-9:
        return -180.0, 180.0
    return _turned(west, at_half_turn=-180.0), _turned(east, at_half_turn=180.0)


def _turned(longitude: float, *, at_half_turn: float) -> float:
    """`longitude` wrapped to -180 to 180; `at_half_turn` if it is 180 or -180 except for rounding."""
    if abs(abs(longitude) - 180) < 1e-9:
        return at_half_turn
    return (longitude + 180) % 360 - 180 if abs(longitude) > 180 else longitude


def _turn(crs: CRS) -> float:
    """Units of a turn around the globe in a geographic CRS: 360 degrees, 400 grads. 0 for any other CRS."""
    return round(math.tau / crs.units_factor[1], 9) if crs.is_geographic else 0.0


def _greenwich(crs: CRS) -> bool:
    """Whether longitudes of a CRS differ from WGS 84 only by an offset, a unit and a datum shift."""
    return bool(horizontal(crs).get("type") == "GeographicCRS")


def _unrolled(longitudes: Coordinates, guide: Coordinates, turn: float) -> Coordinates:
    """`longitudes` without jumps of a turn; `guide` is continuous and differs by turns and nearly a constant."""
    offset = guide - longitudes
    known = np.flatnonzero(np.isfinite(offset))
    if not known.size:
        return longitudes
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        unrolled: Coordinates = longitudes + np.round((offset - offset[known[0]]) / turn) * turn
    return unrolled


def beneath_window(
    dataset: DatasetReader, window: Window, xs: Coordinates, ys: Coordinates
) -> tuple[Coordinates, Coordinates]:
    """Columns and rows of the raster at points of `window`, in its pixels; infinite where its projection ends.

    190 degrees east is also 170 west: the turn is chosen that puts the window's middle nearest to the raster's.
    """
    left, top = window.corner
    east = left + xs.ravel() * window.pixel
    points = carried(MERCATOR, dataset.crs, east, top - ys.ravel() * window.pixel)
    turn = _turn(dataset.crs)
    if turn:
        middle = dataset.transform.c + (dataset.transform.a * dataset.width + dataset.transform.b * dataset.height) / 2
        along = points[0]
        if _greenwich(dataset.crs):
            along = _unrolled(along, east * (turn / (2 * EXTENT)), turn)
            known = along[np.isfinite(along)]
            along = along - np.round(((known.mean() if known.size else middle) - middle) / turn) * turn
        else:
            along = along - np.round((along - middle) / turn) * turn
        points = along, points[1]
    columns, rows = applied(~dataset.transform, *points)
    return columns.reshape(xs.shape), rows.reshape(ys.shape)


def turns(dataset: DatasetReader) -> tuple[tuple[float, float], ...]:
    """The offsets, in columns and rows, at which points repeat: none, or a turn around the globe to each side."""
    turn = _turn(dataset.crs)
    if not turn:
        return ((0.0, 0.0),)
    back = ~dataset.transform
    return tuple((back.a * turn * side, back.d * turn * side) for side in (0, -1, 1))


def applied(transform: Affine, xs: Coordinates, ys: Coordinates) -> tuple[Coordinates, Coordinates]:
    """Apply an affine transform to points."""
    a, b, c, d, e, f = transform[:6]
    with np.errstate(invalid="ignore"):  # zero times infinity
        return a * xs + b * ys + c, d * xs + e * ys + f


def carried(source: CRS, target: CRS, xs: Coordinates, ys: Coordinates) -> tuple[Coordinates, Coordinates]:
    """Transform points from one CRS to another; infinite where the projection has no result."""
    try:
        points = rasterio.warp.transform(source, target, xs, ys)
    except CPLE_BaseError as error:
        if xs.size == 1 or isinstance(error, CPLE_NotSupportedError):  # which fewer points do not help
            return np.full(xs.size, np.inf), np.full(xs.size, np.inf)
        halves = [
            carried(source, target, *half) for half in zip(np.array_split(xs, 2), np.array_split(ys, 2), strict=True)
        ]
        return np.concatenate([half[0] for half in halves]), np.concatenate([half[1] for half in halves])
    return np.asarray(points[0]), np.asarray(points[1])


def resolution_of(dataset: DatasetReader) -> float:
    """Mercator metres per pixel, the smallest in the raster: the square root of a pixel's area.

    Raises:
        BadSource: all of it is outside Web Mercator.
    """
    steps = np.linspace(0.02, 0.98, 9)
    columns, rows = (grid.ravel() for grid in np.meshgrid(steps * dataset.width, steps * dataset.height))
    step_x, step_y = dataset.width / 100, dataset.height / 100  # pixels; short, to stay on the globe
    right, down = np.array([[0.0, step_x, 0.0], [0.0, 0.0, step_y]])[..., None]
    xs, ys = applied(dataset.transform, columns + right, rows + down)
    corners = np.reshape(carried(dataset.crs, MERCATOR, xs.ravel(), ys.ravel()), (2, *xs.shape)).swapaxes(0, 1)
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        across, along = _step(corners[0], corners[1]) / step_x, _step(corners[0], corners[2]) / step_y
    areas = np.abs(across[0] * along[1] - across[1] * along[0])
    usable = np.isfinite(areas) & (areas > 0) & (np.abs(corners[0][1]) <= EXTENT)
    if not usable.any():
        raise BadSource(dataset.name, BEYOND)
    return float(np.sqrt(areas[usable].min()))


def _step(start: Coordinates, stop: Coordinates) -> Coordinates:
    """The difference between points of Web Mercator, `(2, points)`, the short way around the globe."""
    step = stop - start
    step[0] -= np.round(step[0] / (2 * EXTENT)) * (2 * EXTENT)
    return step


def differs_in_place(dataset: DatasetReader, bounds: Bounds, resolution: float) -> bool:
    """Whether earlier versions misplaced or clipped the raster by more than MISPLACED.

    They ignored datum shifts, read the coordinates of every geographic CRS as degrees of WGS 84, and lost parts of maps
    that leave the globe. `resolution` is in Mercator metres per pixel.
    """
    inside = np.meshgrid(np.linspace(0.02, 0.98, 9) * dataset.width, np.linspace(0.02, 0.98, 9) * dataset.height)
    xs, ys = applied(dataset.transform, *(axis.ravel() for axis in inside))
    now, then = (np.asarray(carried(dataset.crs, target, xs, ys)) for target in (MERCATOR, FORMER))
    known = np.isfinite(now).all(axis=0) & (np.abs(now[1]) <= EXTENT)
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        off = np.hypot(*_step(now[:, known], then[:, known]))
    allowed = MISPLACED * resolution
    if not (off <= allowed).all():
        return True
    if not dataset.crs.is_geographic:
        return not _outlined(dataset)[1]
    try:
        former = _box(dataset.name, *applied(dataset.transform, *_outline(dataset, SIDES, INSIDE)), continuous=True)
    except BadSource:
        return True
    edges = np.abs(np.subtract(list(former), list(bounds)))
    return bool((np.minimum(edges, 360 - edges) > math.degrees(allowed / EXTENT * math.pi)).any())


def past_seam(dataset: DatasetReader) -> bool:
    """Whether the raster goes around the globe and past the sides of the map.

    GDAL uses all of it as the source of a window at the antimeridian and widens its kernel accordingly: earlier
    versions blurred it there.
    """
    turn = _turn(dataset.crs)
    if not turn:
        return False
    xs, _ = corners(dataset)
    west, east = float(xs.min()) / turn, float(xs.max()) / turn
    side = math.floor(west - 0.5 + ON_EDGE) + 1.5  # the first side of the map east of the raster's west edge, in turns
    return east - west > AROUND and side < east - ON_EDGE
