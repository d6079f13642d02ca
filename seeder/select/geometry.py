"""Lines, rings and points in the plane of the square world: projection, buffers in metres on the ground, union."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import shapely

from seeder.select.burn import LINE, Floats, Shapes, renumbered
from seeder.select.morton import Flags, Numbers, consecutive
from tiler.grid import MAX_LATITUDE

GLOBE = 6_371_008.8  # metres, the mean radius of the earth (Moritz 2000, R1)
FARTHEST = 10_000  # km around a place, a little less than a quarter of the globe's circumference
SIDES = ((100, 32), (5_000, 64), (FARTHEST, 256))  # (largest radius in km, sides of a circle); up to 0.6% too wide
SIMPLER = 0.0005  # of a buffer: tolerance of simplification before a line is widened
STEP = 0.01  # radians of Mercator north; over this step a circle's size changes by 1%
POLE = 10.0  # radians of Mercator north; half a kilometre short of the pole
CAP = 5760  # steps around a pole, for the edge of a shape around it
CAP_STEP = 0.1  # of a buffer: distance of the circles along such an edge
CAP_WIDER = 1.004  # widens enough to cover the gaps between these steps and circles
TINY = 1e-12  # distance of a circle from the pole, on a globe of radius 1
FINEST = 2.0**40  # steps in the world's width, 0.04 mm each: borders are rounded to them before a union
AT_ONCE = 1 << 16  # sides, or points of an edge, per numpy call
THREADS = os.cpu_count() or 1  # shapely releases the GIL during a union

Progress = Callable[[int, int], object]  # gets the number of finished parts and the total


def placed(positions: Floats) -> Floats:
    """Project positions to the plane of the square world; the poles, infinitely far, are put five worlds away."""
    north = np.arcsinh(np.tan(np.radians(positions[:, 1])))
    return np.column_stack([positions[:, 0] / 360 + 0.5, 0.5 - north / math.tau])


class Paths(NamedTuple):
    """Lines and rings: `vertices`, `(vertices, 2)`, one path after the other; a ring's last vertex joins its first.

    `lengths` are the numbers of vertices of each path, `owners` the polygon number of each ring, or LINE.
    """

    vertices: Floats
    lengths: Numbers
    owners: Numbers

    @classmethod
    def rings(cls, vertices: Floats, lengths: Numbers) -> Paths:
        """Each ring as a polygon of its own."""
        return cls(vertices, lengths, np.arange(len(lengths)))

    @classmethod
    def joined(cls, *several: Paths) -> Paths:
        """The paths of all of `several`, with polygons renumbered."""
        vertices, lengths, owners = zip(*several, strict=True)
        return cls(np.concatenate(vertices), np.concatenate(lengths), renumbered(owners))

    def take(self, flags: Flags) -> Paths:
        """The flagged paths."""
        return Paths(self.vertices[np.repeat(flags, self.lengths)], self.lengths[flags], self.owners[flags])

    def shapes(self, points: Floats) -> Shapes:
        """The paths as segments, together with points."""
        ends = np.cumsum(self.lengths)
        following = np.arange(1, len(self.vertices) + 1)
        following[ends - 1] = ends - self.lengths
        kept = np.ones(len(following), bool)
        kept[ends[self.owners == LINE] - 1] = False
        segments = np.hstack([self.vertices[kept], self.vertices[following[kept]]])
        return Shapes(segments, np.repeat(self.owners, self.lengths)[kept], points)

    def polygons(self) -> Any:
        """The rings as shapely polygons, the first ring of each being the outer one; the paths must have no lines."""
        rings = shapely.linearrings(self.vertices, indices=np.repeat(np.arange(len(self.lengths)), self.lengths))
        return shapely.polygons(rings, indices=np.unique(self.owners, return_inverse=True)[1])

    def simplified(self, tolerance: float) -> Floats:
        """The segments, `(segments, 4)`, of the simplified lines and rings (Douglas and Peucker 1973)."""
        ring = self.owners != LINE
        ends = np.cumsum(self.lengths)
        closed = np.insert(self.vertices, ends[ring], self.vertices[(ends - self.lengths)[ring]], axis=0)
        lines = shapely.linestrings(closed, indices=np.repeat(np.arange(len(ends)), self.lengths + ring))
        simple = shapely.simplify(lines, tolerance, preserve_topology=False)
        vertices, line = shapely.get_coordinates(simple, return_index=True)
        same = line[1:] == line[:-1]
        return np.hstack([vertices[:-1][same], vertices[1:][same]])


def no_progress(done: int, total: int) -> None:
    """Ignore progress."""


def widened(paths: Paths, points: Floats, metres: float, progress: Progress = no_progress) -> Paths:
    """The polygons among `paths`, and a buffer of `metres` on the ground around all `paths` and `points`.

    A segment's buffer is the hull of the circles around its ends, unless a circle contains a pole. On the map a
    circle's size is convex in latitude, so the hull contains the circles between the ends too; segments are cut into
    STEPs so that it contains little else. `metres` are at most FARTHEST km.
    """
    sides = next(sides for km, sides in SIDES if metres <= km * 1000)
    radius = metres / GLOBE
    lines = paths.simplified(SIMPLER * radius / math.tau)
    lines = np.concatenate([lines, np.hstack([points, points])])
    radians = (lines - 0.5) * [math.tau, -math.tau, math.tau, -math.tau]
    polar = 2 * radius > math.radians(90 - MAX_LATITUDE)  # a circle around a pole may reach the grid
    begin, end = _cut(radians, radius, CAP_STEP * radius if polar else math.inf)
    parts = [paths.take(paths.owners != LINE)]
    if polar:
        radius = min(radius * CAP_WIDER, math.pi / 2)
        capped = [_holds_pole(each, radius) for each in (begin, end)]
        parts.append(_caps(np.concatenate([begin[capped[0]], end[capped[1]]]), radius))
        alone = [begin[capped[1] & ~capped[0]], end[capped[0] & ~capped[1]]]  # ends next to a circle around a pole
        free = ~(capped[0] | capped[1])
        begin, end = np.concatenate([begin[free], *alone]), np.concatenate([end[free], *alone])
    return Paths.joined(*parts, *_united(begin, end, radius, sides, progress))


def _united(begin: Floats, end: Floats, radius: float, sides: int, progress: Progress) -> Iterator[Paths]:
    """Union the hulls in batches of AT_ONCE sides; a tenth of the vertices remain."""
    several = AT_ONCE // sides
    parts = [slice(first, first + several) for first in range(0, len(begin), several)]
    pool = ThreadPoolExecutor(THREADS, "unite")
    try:
        work = pool.map(lambda part: _outlined(_hulls(begin[part], end[part], radius, sides).polygons()), parts)
        for done, outline in enumerate(work, 1):
            yield outline
            progress(done, len(parts))
    finally:
        pool.shutdown(cancel_futures=True)


def _cut(lines: Floats, radius: float, longest: float) -> tuple[Floats, Floats]:
    """Cut segments into pieces near the grid: where each piece begins and ends, both `(pieces, 2)`.

    `lines` are `(segments, 4)`; all are radians of Mercator east and north. A segment wholly too far from the grid
    becomes a point there.
    """
    most = min(float(np.arcsinh(np.tan(min(math.radians(MAX_LATITUDE) + 1.05 * radius, math.pi / 2)))), POLE)
    start, extent = lines[:, :2], lines[:, 2:] - lines[:, :2]
    level = extent[:, 1] == 0
    rise = np.where(level, 1, extent[:, 1])
    first, last = (np.clip((np.clip(y, -most, most) - start[:, 1]) / rise, 0, 1) for y in lines[:, 1::2].T)
    first, last = np.where(level, 0, first), np.where(level, 1, last)
    length = (last - first)[:, None] * extent
    steps = np.maximum(np.abs(length[:, 1]) / STEP, np.hypot(*length.T) / longest)
    number = np.maximum(np.ceil(steps), 1).astype(np.int64)
    line = np.repeat(np.arange(len(lines)), number)
    part = consecutive(np.zeros_like(number), number)
    begin, end = (
        start[line] + extent[line] * (first[line] + (last - first)[line] * at / number[line])[:, None]
        for at in (part, part + 1)
    )
    return np.clip(begin, [-np.inf, -most], [np.inf, most]), np.clip(end, [-np.inf, -most], [np.inf, most])


def _holds_pole(centres: Floats, radius: float) -> Flags:
    """Whether each circle contains a pole; touching it does not count."""
    holds: Flags = np.tanh(np.abs(centres[:, 1])) > math.cos(radius) + TINY
    return holds


def _hulls(begin: Floats, end: Floats, radius: float, sides: int) -> Paths:
    """The convex hulls of pairs of circles around `begin` and `end`; no circle contains a pole."""
    one, reach = _circles(begin, radius, sides)
    other, beyond = _circles(end, radius, sides)
    outer = reach >= beyond  # per direction of a side; a corner is on the hull if it is outer at one of its two sides
    after = np.roll(outer, -1, axis=1)
    corners = np.stack([np.where(each[..., None], one, other) for each in (outer, after)], axis=2)
    kept = np.stack([np.ones_like(outer), outer != after], axis=2)
    return Paths.rings(corners[kept] / [math.tau, -math.tau] + 0.5, kept.sum((1, 2)))


def _circles(centres: Floats, radius: float, sides: int) -> tuple[Floats, Floats]:
    """Corners `(circles, sides, 2)` of polygons around circles, and the distances of their sides `(circles, sides)`.

    A circle of radius r around (0, q) has the points (longitude l, latitude p) with cos r = sin p sin q +
    cos p cos q cos l. With tanh y = sin p this is cos l = k cosh(y - m), where tanh m = sin q / cos r and k**2 =
    1 - g**2, g = sin r / cos q. On the map it is convex; its outward normal has the direction t at
    l = asin(g cos t), y = m + asinh(g sin t / k).
    """
    turn = math.tau / sides
    across, along = (each(turn * np.arange(sides)) for each in (np.cos, np.sin))
    sine, stretch = np.tanh(np.abs(centres[:, 1])), np.cosh(centres[:, 1])
    free = np.maximum(math.cos(radius) - sine, TINY)
    middle = np.sign(centres[:, 1]) * np.log1p(2 * sine / free) / 2
    wide = np.minimum(math.sin(radius) * stretch, 1)[:, None]
    narrow = (np.sqrt(free * (free + 2 * sine)) * stretch)[:, None]
    out = np.arcsin(wide * across) * across + np.arcsinh(wide * along / narrow) * along
    after = np.roll(out, -1, axis=1)
    east = (out * np.roll(along, -1) - after * along) / math.sin(turn)
    north = (after * across - out * np.roll(across, -1)) / math.sin(turn)
    centres = np.column_stack([centres[:, 0], middle])
    return np.stack([east, north], axis=2) + centres[:, None], out + centres @ np.stack([across, along])


def _caps(centres: Floats, radius: float) -> Paths:
    """The union of circles around `centres`, which all contain a pole: up to two polygons.

    With the symbols of `_circles`, a circle's edge is y = m - asinh(c cos l), where tanh m = cos r / sin q and
    c = cos q / sqrt(sin**2 q - cos**2 r).
    """
    around, rings = np.linspace(-math.pi, math.pi, CAP + 1), []
    for pole in (-1, 1):
        edge = np.full(CAP + 1, POLE)
        near = centres[np.sign(centres[:, 1]) == pole]
        for first in range(0, len(near), AT_ONCE // CAP):
            longitude, north = near[first : first + AT_ONCE // CAP].T[..., None]
            sine, cosine = np.tanh(np.abs(north)), math.cos(radius)
            past = sine - cosine
            bulge = 1 / (np.cosh(north) * np.sqrt(past * (sine + cosine)))
            middle = np.log1p(2 * cosine / past) / 2
            edge = np.minimum(edge, (middle - np.arcsinh(bulge * np.cos(around - longitude))).min(axis=0))
        if len(near):
            ring = np.column_stack([np.r_[around, math.pi, -math.pi], pole * np.r_[edge, POLE, POLE]])
            rings.append(ring / [math.tau, -math.tau] + 0.5)
    return Paths.rings(np.reshape(rings, (-1, 2)), np.full(len(rings), CAP + 3))


def dissolved(paths: Paths) -> Paths:
    """Lines unchanged, and the union of the polygons within the world."""
    line = paths.owners == LINE
    rings = paths.take(~line)
    if not len(rings.lengths):
        return paths
    rings = rings._replace(vertices=np.rint(rings.vertices * FINEST) / FINEST)
    polygons = shapely.make_valid(rings.polygons())
    if rings.vertices[:, 0].min() < 0 or rings.vertices[:, 0].max() > 1:  # shapes that wrap around meet the rest
        polygons = np.concatenate([shapely.transform(polygons, partial(np.add, [turn, 0])) for turn in (-1, 0, 1)])
    return Paths.joined(paths.take(line), _outlined(polygons, shapely.box(0, -POLE, 1, POLE)))


def _outlined(polygons: Any, within: Any = None) -> Paths:
    """The rings of the union of shapely polygons, clipped to the polygon `within`."""
    whole = shapely.union_all(polygons)
    parts = shapely.get_parts(whole if within is None else shapely.intersection(whole, within))
    rings, owners = shapely.get_rings(
        parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON], return_index=True
    )
    vertices, ring = shapely.get_coordinates(rings, return_index=True)
    lengths = np.bincount(ring, minlength=len(rings))
    kept = np.ones(len(vertices), bool)
    kept[np.cumsum(lengths) - 1] = False  # a ring of shapely repeats its first vertex
    return Paths(vertices[kept], lengths - 1, owners)
