"""Shapes from rings, lines and points in degrees, optionally with a buffer in metres on the ground.

Edges are straight in Mercator between their vertices, as in supermercado, and longitudes are not wrapped: a line from
170 to -170 runs the long way, from 170 to 190 across the antimeridian.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from seeder.select.burn import LINE, Floats, Shapes
from seeder.select.geometry import FARTHEST, Paths, Progress, dissolved, no_progress, placed, widened
from seeder.select.morton import Numbers
from tiler.errors import BadOption
from tiler.grid import METRES

MOST_EAST = 540  # degrees; shapes may continue beyond the antimeridian
MOST_POSITIONS = 1 << 23  # parsed, they take 1 GB
POINTS = -2  # instead of a polygon's number, for points

NOWHERE = np.zeros((0, 2))


class Place(NamedTuple):
    """A place in the input, for messages: a file or a line of it, and the number of a feature there."""

    source: str
    feature: int = 0

    def __str__(self) -> str:
        return f"{self.source}, feature {self.feature}" if self.feature else self.source


class Part(NamedTuple):
    """A ring, a line or some points; `owner` is the number of the ring's polygon, LINE or POINTS."""

    place: Place
    owner: int
    positions: Floats  # (positions, 2): longitudes and latitudes, degrees


def shapes_of(
    parts: Iterable[Part],
    name: str,
    *,
    cure: str,
    buffer: float = 0.0,
    dissolve: bool = False,
    progress: Progress = no_progress,
) -> Shapes:
    """The shapes of `parts` of the file `name`; `cure` is what to do about positions in metres.

    `buffer`, in metres on the ground, widens points, lines and polygons; it is up to 1% too wide, never too narrow.
    `dissolve` merges polygons that overlap or share borders, so that no ring crosses the inside of another polygon.
    `progress` gets the number of buffered parts.

    Raises:
        BadOption: there is no part, a position is off the globe, or the buffer is out of range.
    """
    _check_distance(buffer / 1000, "--buffer")
    found = list(parts)
    if not found:
        raise BadOption(f"{name}: no geometry, so no tile is selected: give a feature with a geometry")
    paths, points = _in_plane(found, cure)
    if buffer:
        paths, points = widened(paths, points, buffer, progress), NOWHERE
    return (dissolved(paths) if dissolve else paths).shapes(points)


def around(longitude: float, latitude: float, km: float) -> Shapes:
    """A circle of `km` on the ground around a place in degrees; up to 1% too wide, never too narrow.

    Raises:
        BadOption: the place is off the globe, or the circle is larger than half of the globe.
    """
    _check_distance(km, "--radius")
    centre = np.array([[longitude, latitude]], np.float64)
    _check_on_globe(centre, np.zeros(1, np.int64), [Place("--around")], "")
    return widened(Paths.rings(NOWHERE, np.zeros(0, np.int64)), placed(centre), km * 1000).shapes(NOWHERE)


def _check_distance(km: float, option: str) -> None:
    """Check a radius or a buffer.

    Raises:
        BadOption: it is negative or above FARTHEST.
    """
    if not 0 <= km <= FARTHEST:
        raise BadOption(f"{option}: {km:g} km is out of range: choose 0 to {FARTHEST:,} km, or use --bbox")


def _in_plane(parts: list[Part], cure: str) -> tuple[Paths, Floats]:
    """Paths and points, in the plane of the square world.

    Raises:
        BadOption: a position lies off the globe, or a part has too few of them.
    """
    lengths = np.array([len(part.positions) for part in parts])
    owners = np.array([part.owner for part in parts])
    positions = np.concatenate([part.positions for part in parts]).astype(np.float64)
    places = [part.place for part in parts]
    ends = np.cumsum(lengths)
    _check_on_globe(positions, ends - lengths, places, cure)
    closed = (owners >= 0) & np.all(positions[ends - lengths] == positions[ends - 1], axis=1)
    kept = np.ones(len(positions), bool)
    kept[ends[closed] - 1] = False
    lengths -= closed
    for short, why in (
        ((owners >= 0) & (lengths < 3), "a ring needs at least three positions and a closing one"),
        ((owners == LINE) & (lengths < 2), "a line needs at least two positions"),
    ):
        if short.any():
            raise BadOption(f"{places[int(short.argmax())]}: {why}")
    every = Paths(placed(positions[kept]), lengths, owners)
    return every.take(owners != POINTS), every.take(owners == POINTS).vertices


def _check_on_globe(positions: Floats, starts: Numbers, places: list[Place], cure: str) -> None:
    """Check that all positions are on the globe.

    Raises:
        BadOption: a position is not; names it.
    """
    longitudes, latitudes = positions.T
    good = (np.abs(longitudes) <= MOST_EAST) & (np.abs(latitudes) <= 90)
    if good.all():
        return
    bad = int(good.argmin())
    place = places[int(np.searchsorted(starts, bad, "right")) - 1]
    longitude, latitude = (float(number) for number in positions[bad])
    if not (math.isfinite(longitude) and math.isfinite(latitude)):
        why = "is not finite"
    elif max(abs(longitude), abs(latitude)) >= METRES:
        why = f"looks like metres: {cure}"
    elif abs(latitude) > 90:
        why = "has a latitude outside -90 to 90: write the longitude first"
    else:
        why = f"has a longitude outside -{MOST_EAST} to {MOST_EAST}"
    raise BadOption(f"{place}: position {longitude:.10g}, {latitude:.10g} {why}")
