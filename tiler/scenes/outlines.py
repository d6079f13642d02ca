"""The outlines of scenes as GeoJSON (RFC 7946), for maps."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from affine import Affine

from tiler.image.separable import Coordinates
from tiler.raster.place import LONLAT, applied, carried
from tiler.scenes.scene import Scene

SIDE = 16  # points along each side
DIGITS = 7  # of degrees: a centimetre
POLE = 90.0  # degrees
PARTING, ENDING = re.compile(r"[/\\]"), re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,7}$")
NEAR = 1e-9  # degrees or turns, the rounding error of a longitude

Point = tuple[float, float]  # longitude, latitude
Ring = list[Point]  # without a closing point


def outlines(scenes: Iterable[Scene]) -> dict[str, Any]:
    """A FeatureCollection with a feature per scene, in their order.

    Properties are a short name, the address, the CRS, the resolution in metres per pixel on the Mercator map, and the
    date. An outline that crosses the antimeridian is split there.
    """
    listed = list(scenes)
    names = short_names([scene.address for scene in listed])
    return {"type": "FeatureCollection", "features": list(map(_feature, listed, names))}


def short_names(addresses: Sequence[str]) -> list[str]:
    """The last part of each address, or as many parts as tell it from the others, without the ending of a file."""
    parts = [PARTING.split(address.rstrip("/\\")) for address in addresses]
    names, counts = [_last(each, 1) for each in parts], [1] * len(parts)
    while repeated := {name for name, number in Counter(names).items() if number > 1}:
        longer = [each for each, name in enumerate(names) if name in repeated and counts[each] < len(parts[each])]
        if not longer:
            break
        for each in longer:
            counts[each] += 1
            names[each] = _last(parts[each], counts[each])
    return names


def _last(parts: Sequence[str], number: int) -> str:
    return ENDING.sub("", "/".join(parts[-number:])) or parts[-1]


def _feature(scene: Scene, name: str) -> dict[str, Any]:
    rings = [[*map(list, ring), list(ring[0])] for ring in parts_of(scene)]
    geometry: dict[str, Any] = {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]}
    if len(rings) == 1:
        geometry = {"type": "Polygon", "coordinates": rings}
    properties = {
        "name": name,
        "address": scene.address,
        "crs": scene.crs.to_string(),
        "resolution": scene.resolution,
        "date": scene.listed.date,
    }
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def parts_of(scene: Scene) -> list[Ring]:
    """The outline of a scene as rings in degrees, counterclockwise, each within -180 to 180."""
    ring, polar = _unrolled(_outline(scene))
    longitudes, latitudes = zip(*ring, strict=True)
    west, east = min(longitudes), max(longitudes)
    if not polar and east - west >= 360 - NEAR:  # around the globe
        return _boxes(-180.0, min(latitudes), 180.0, max(latitudes))
    first, last = (math.floor((each + 180) / 360) for each in (west, east))
    if polar:  # a whole turn of the two
        first = last = math.ceil((west + 180) / 360 - NEAR)
    parts = []
    for turn in range(first, last + 1):
        part = _cut(_cut(ring, turn * 360 - 180.0, side=1), turn * 360 + 180.0, side=-1)
        moved = _distinct((round(x - turn * 360, DIGITS), round(y, DIGITS)) for x, y in part)
        if len(moved) >= 3 and _area(moved) != 0:
            parts.append(moved if _area(moved) > 0 else moved[::-1])
    return parts or _boxes(*scene.bounds)


def _outline(scene: Scene) -> tuple[Coordinates, Coordinates]:
    """Longitudes and latitudes along the sides of a scene, as far as they are on the globe."""
    along = np.arange(SIDE) / SIDE
    still = np.zeros(SIDE)
    columns = np.concatenate([along, still + 1, 1 - along, still]) * scene.size[0]
    rows = np.concatenate([still, along, still + 1, 1 - along]) * scene.size[1]
    longitudes, latitudes = carried(scene.crs, LONLAT, *applied(Affine(*scene.transform), columns, rows))
    known = np.isfinite(longitudes) & np.isfinite(latitudes)
    return longitudes[known], np.clip(latitudes[known], -POLE, POLE)


def _unrolled(outline: tuple[Coordinates, Coordinates]) -> tuple[Ring, bool]:
    """A ring without jumps of a turn; whether it is around a pole, and then it makes two turns along the pole."""
    longitudes, latitudes = outline
    if longitudes.size < 3:
        return [(0.0, 0.0)], False
    closed = np.unwrap(np.append(longitudes, longitudes[0]), period=360)
    ring: Ring = [(float(x), float(y)) for x, y in zip(closed, np.append(latitudes, latitudes[0]), strict=True)]
    turn = 360.0 * round((ring[-1][0] - ring[0][0]) / 360)
    if not turn:
        return ring[:-1], False
    pole = math.copysign(POLE, float(latitudes.mean()))
    twice = ring[:-1] + [(x + turn, y) for x, y in ring]
    return [*twice, (twice[-1][0], pole), (twice[0][0], pole)], True


def _cut(ring: Ring, longitude: float, *, side: int) -> Ring:
    """The part of a ring east (`side` 1) or west (-1) of a meridian (Sutherland and Hodgman, 1974)."""
    kept: Ring = []
    for start, stop in zip(ring[-1:] + ring[:-1], ring, strict=True):
        inside = [(point[0] - longitude) * side >= 0 for point in (start, stop)]
        if inside[0] != inside[1]:
            share = (longitude - start[0]) / (stop[0] - start[0])
            kept.append((longitude, start[1] + share * (stop[1] - start[1])))
        if inside[1]:
            kept.append(stop)
    return kept


def _distinct(points: Iterable[Point]) -> Ring:
    """Points without repetitions in a row."""

    def each() -> Iterator[Point]:
        last = None
        for point in points:
            if point != last:
                yield point
            last = point

    ring = list(each())
    return ring[:-1] if len(ring) > 1 and ring[0] == ring[-1] else ring


def _area(ring: Ring) -> float:
    """Twice the area in square degrees; negative if clockwise."""
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(ring, ring[1:] + ring[:1], strict=True))


def _boxes(west: float, south: float, east: float, north: float) -> list[Ring]:
    """A box, split if west > east."""
    spans = [(west, east)] if west < east else [(west, 180.0), (-180.0, east)]
    return [[(left, south), (right, south), (right, north), (left, north)] for left, right in spans if left < right]
