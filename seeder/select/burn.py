"""Polygons, lines and points as sets of tiles: the tiles they touch, and the tiles wholly inside.

The rule is supermercado's, and so GDAL's `ALL_TOUCHED` (`alg/llrasterize.cpp` of GDAL 3.12): tiles with their centre
inside, and tiles crossed by rings and lines. Both are computed from rows of segments, so the cost of a shape grows
with the length of its edges. Where a line passes a tile's corner or ends on its edge within ROUNDING, the result may
differ: GDAL's depends on its rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from seeder.select.morton import Flags, Numbers, distinct, interleaved
from seeder.select.tileset import TileSet
from tiler.grid import TileRange

Floats = npt.NDArray[np.float64]

LINE = -1  # instead of a polygon's number, for segments of lines
NEAR = 1e-4  # tiles; GDAL snaps to a tile's edge within this distance
FLAT = 0.01  # tiles; GDAL draws segments with a smaller slope as straight
ROUNDING = 1e-9  # tiles; coordinates this near to a tile's edge are on it
AT_ONCE = 1 << 17  # rows of segments, or tiles, per numpy call
ROW = 32  # bits to shift a row by, so that row and column sort as one number


@dataclass(frozen=True, slots=True, eq=False)
class Shapes:
    """Polygons, lines and points in the plane of the square world.

    (0, 0) is the world's north-west corner and (1, 1) its south-east one; an x outside 0 to 1 wraps around, a y
    outside is off the grid. `segments`, `(segments, 4)`, are x0, y0, x1, y1 of all closed rings and all lines;
    `polygons`, `(segments,)`, are polygon numbers from 0, or LINE. `points` are `(points, 2)`.
    """

    segments: Floats = field(default_factory=lambda: np.zeros((0, 4)))
    polygons: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))
    points: Floats = field(default_factory=lambda: np.zeros((0, 2)))

    @classmethod
    def joined(cls, several: Iterable[Shapes]) -> Shapes:
        """The shapes of all of `several`."""
        parts = [cls(), *several]
        segments, points = [part.segments for part in parts], [part.points for part in parts]
        return cls(np.concatenate(segments), renumbered(part.polygons for part in parts), np.concatenate(points))

    def touched(self, z: int, window: TileRange) -> TileSet:
        """The tiles of `window`, at zoom `z`, that any shape touches: the union of supermercado's burns."""
        bands = _Edges.of(self._in_world(), window).bands()
        return TileSet.union(z, [TileSet.of(z, self._point_codes(window)), *(edges.touched() for edges in bands)])

    def within(self, z: int, window: TileRange) -> TileSet:
        """The tiles of `window`, at zoom `z`, wholly inside a polygon: no ring crosses them.

        A ring within NEAR of a tile's edge counts as running along it.
        """
        bands = _Edges.of(self._in_world(), window).bands()
        return TileSet.union(z, (edges.within() for edges in bands))

    def _point_codes(self, window: TileRange) -> Numbers:
        """The codes of the tiles of `window` that contain points."""
        x, y = np.floor(_in_tiles(self.points, window.z)).T
        x %= 2**window.z
        held = (x >= window.x0) & (x < window.x1) & (y >= window.y0) & (y < window.y1)
        return interleaved(x[held].astype(np.int64), y[held].astype(np.int64))

    def _in_world(self) -> Shapes:
        """The segments, repeated for each turn around the world that their polygon or line covers.

        A polygon that only touches the antimeridian lies to its west, as in GDAL; a line to its east.
        """
        if self.segments[:, ::2].min(initial=0) >= 0 and self.segments[:, ::2].max(initial=0) < 1:
            return self
        ring = self.polygons != LINE
        polygons = self.polygons[ring]
        west, east = self.segments[:, ::2].min(1), self.segments[:, ::2].max(1)
        for ends, furthest in ((west, np.minimum), (east, np.maximum)):
            extremes = np.full(polygons.max(initial=LINE) + 1, -furthest(-np.inf, np.inf))
            furthest.at(extremes, polygons, ends[ring])
            ends[ring] = extremes[polygons]
        turns = range(int(np.floor(west.min(initial=0))), int(np.floor(east.max(initial=0))) + 1)
        near = [(west < turn + 1) & (east >= turn) & ((east > turn) | ~ring) for turn in turns]
        return Shapes.joined(
            Shapes(self.segments[some] - [turn, 0, turn, 0], self.polygons[some])
            for turn, some in zip(turns, near, strict=True)
        )


def renumbered(several: Iterable[Numbers]) -> Numbers:
    """Concatenated polygon numbers, shifted so that no two arrays share a number; LINE stays."""
    shifted, number = [], 0
    for polygons in several:
        shifted.append(np.where(polygons == LINE, LINE, polygons + number))
        number += int(polygons.max(initial=LINE)) + 1
    return np.concatenate(shifted)


@dataclass(frozen=True, slots=True, eq=False)
class _Edges:
    """Segments in the rows of `window`, in tiles, each from its western to its eastern end."""

    window: TileRange
    cut: bool  # whether any shape extends beyond the window
    x0: Floats
    y0: Floats
    x1: Floats
    y1: Floats
    polygons: Numbers

    @classmethod
    def of(cls, shapes: Shapes, window: TileRange) -> _Edges:
        """The segments of shapes."""
        x0, y0, x1, y1 = _in_tiles(shapes.segments, window.z).T
        west, east, north, south = np.minimum(x0, x1), np.maximum(x0, x1), np.minimum(y0, y1), np.maximum(y0, y1)
        near = (south >= window.y0) & (north <= window.y1)
        inside = (west >= window.x0) & (east < window.x1) & (north >= window.y0) & (south < window.y1)
        y0, y1 = np.where(x0 <= x1, y0, y1), np.where(x0 <= x1, y1, y0)
        return cls(window, not inside.all(), west[near], y0[near], east[near], y1[near], shapes.polygons[near])

    def take(self, flags: Flags) -> _Edges:
        """The flagged edges."""
        x0, y0, x1, y1 = (each[flags] for each in (self.x0, self.y0, self.x1, self.y1))
        return _Edges(self.window, self.cut, x0, y0, x1, y1, self.polygons[flags])

    def bands(self) -> Iterator[_Edges]:
        """The same edges in bands of rows, each band crossing at most about AT_ONCE tiles, to save memory.

        Each row lies in exactly one band, so no tile is found twice.
        """
        window = self.window
        rows = np.minimum(self.south, window.y1) - np.maximum(self.north, window.y0)
        columns = np.clip(self.x1, window.x0, window.x1) - np.clip(self.x0, window.x0, window.x1)
        tiles = rows * (1 + columns / np.maximum(self.south - self.north, 1e-200))
        middle = (window.y0 + window.y1) // 2
        if middle == window.y0 or tiles.sum() <= AT_ONCE:
            yield self
            return
        for part in (replace(window, y1=middle), replace(window, y0=middle)):
            edges = self.take((self.south >= part.y0) & (self.north <= part.y1))
            yield from replace(edges, window=part, cut=True).bands()

    def touched(self) -> TileSet:
        """The tiles of the window that the edges touch, or that have their centre in a polygon."""
        sloped = self.take(~self.flat).tiles()
        flat = self.take(self.flat & self.rings).tiles()
        straight = self.take(self.flat & ~(self.aligned & self.rings)).straight()
        filled = self.take(self.rings).filled(np.concatenate([sloped, flat]))
        return filled | TileSet.of(self.window.z, np.concatenate([sloped, straight]))

    def within(self) -> TileSet:
        """The tiles of the window wholly inside the polygons."""
        rings = self.take(self.rings)
        return rings.filled(rings.tiles()) - TileSet.of(self.window.z, rings.take(~rings.along).tiles())

    @property
    def rings(self) -> Flags:
        """Whether each edge belongs to a polygon."""
        return np.not_equal(self.polygons, LINE)

    @property
    def north(self) -> Floats:
        """The northern end of each edge, in rows."""
        return np.minimum(self.y0, self.y1)

    @property
    def south(self) -> Floats:
        """The southern end of each edge, in rows."""
        return np.maximum(self.y0, self.y1)

    @property
    def steep(self) -> Flags:
        """Whether GDAL draws each edge as a vertical line."""
        return _level(self.x0, self.x1)

    @property
    def flat(self) -> Flags:
        """Whether GDAL draws each edge as a vertical or a horizontal line."""
        return self.steep | _level(self.y0, self.y1)

    @property
    def aligned(self) -> Flags:
        """Whether GDAL skips a `flat` edge of a polygon, because it runs along an edge of tiles."""
        return np.where(self.steep, _near(self.x0) & _near(self.x1), _near(self.y0) & _near(self.y1))

    @property
    def along(self) -> Flags:
        """Whether each edge runs along an edge of tiles."""
        x, y = np.rint(self.x0) == np.rint(self.x1), np.rint(self.y0) == np.rint(self.y1)
        along: Flags = x & _near(self.x0) & _near(self.x1) | y & _near(self.y0) & _near(self.y1)
        return along

    def tiles(self) -> Numbers:
        """The codes of the tiles that the edges cross, possibly with repeats.

        An edge includes its start and excludes its end, and tiles include their northern and western edges. So an edge
        through a corner touches three tiles if it comes from the south-west, and two if from the north-west.
        """
        last = np.where(self.y0 < self.y1, np.ceil(self.south) - 1, np.floor(self.south))
        return self._codes(np.floor(self.north), last, self._columns)

    def _columns(self, owner: Numbers, row: Floats) -> tuple[Floats, Floats]:
        """The first and last columns of segments, given by their indices, in the rows they cross."""
        x0, y0, x1, y1 = self.x0[owner], self.y0[owner], self.x1[owner], self.y1[owner]
        down = y0 <= y1
        lean = (x1 - x0) / np.maximum(np.abs(y1 - y0), 1e-200)  # columns per row
        begin = np.clip(x0 + lean * np.where(down, row - y0, y0 - row - 1), x0, x1)
        end = np.clip(x0 + lean * np.where(down, row + 1 - y0, y0 - row), x0, x1)
        first = np.floor(begin)
        last = np.where(down | (row <= y1), np.ceil(end) - 1, np.floor(end))
        return first, np.maximum(first, last)

    def straight(self) -> Numbers:
        """The codes of the tiles that GDAL draws for `flat` edges, possibly with repeats.

        A steep edge lies in the column of its eastern end, any other in the row of its western end; both lack the last
        NEAR of their length.
        """
        steep = self.steep
        row = np.floor(np.where(steep, self.north, self.y0))
        last = np.where(steep, np.floor(self.south - NEAR), row)
        west, east = np.floor(np.where(steep, self.x1, self.x0)), np.floor(np.where(steep, self.x1, self.x1 - NEAR))
        return self._codes(row, last, lambda owner, _: (west[owner], east[owner]))

    def _codes(
        self, first: Floats, last: Floats, columns: Callable[[Numbers, Floats], tuple[Floats, Floats]]
    ) -> Numbers:
        """The codes of the tiles of the window in the segments' rows `first` to `last` and their `columns` there."""
        window, codes = self.window, [np.zeros(0, np.int64)]
        near = (self.x1 >= window.x0) & (self.x0 < window.x1)
        for owner, row in _rows(first, np.where(near, last, -np.inf), window):
            west, east = columns(owner, row)
            west, east = np.maximum(west, window.x0), np.minimum(east, window.x1 - 1)
            for at, across in _each(east - west + 1):
                x, y = (west[at] + across).astype(np.int64), row[at].astype(np.int64)
                codes.append(distinct(np.sort(interleaved(x, y))))
        return np.concatenate(codes)

    def filled(self, edge: Numbers) -> TileSet:
        """The tiles of the window with their centre in a polygon; `edge` are the codes of tiles on rings."""
        keys, depths = self._crossings()
        window = self.window if self.cut else TileRange(self.window.z, 0, 0, 0, 0)

        def inside(x: Numbers, y: Numbers) -> Flags:
            # a square across the window's edge is tested at its first tile inside
            key = np.maximum(y, window.y0) << ROW | np.maximum(x, window.x0)
            return np.greater(depths[np.searchsorted(keys, key, "right")], 0)

        tiles = TileSet.filled(window.z, edge, inside)
        return tiles & TileSet.ranges(window.z, [window]) if self.cut else tiles

    def _crossings(self) -> tuple[Numbers, Numbers]:
        """The places where the middles of rows enter or leave polygons, and the polygons' depth between them.

        A place is a row and the first column with its middle beyond the crossing, as one number, ascending. Depths are
        numbers of enclosing polygons: before the first place, after the first, after the second and so on.
        """
        window, north, south = self.window, self.north, self.south
        start, stop = np.where(self.y0 < self.y1, (self.x0, self.x1), (self.x1, self.x0))
        keys, polygons = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for owner, row in _rows(np.ceil(north - 0.5), np.ceil(south - 0.5) - 1, window):
            x, y = start[owner], north[owner]
            x += (row + 0.5 - y) * (stop[owner] - x) / (south[owner] - y)
            column = np.clip(np.floor(x + 0.5), window.x0, window.x1)
            keys.append(row.astype(np.int64) << ROW | column.astype(np.int64))
            polygons.append(self.polygons[owner])
        key, polygon = np.concatenate(keys), np.concatenate(polygons)
        order = np.lexsort((key, polygon))
        key, step = key[order], np.resize([1, -1], len(key))  # along a row each polygon is left as often as entered
        order = np.argsort(key, kind="stable")
        return key[order], np.r_[0, np.cumsum(step[order])]


def _in_tiles(coordinates: Floats, z: int) -> Floats:
    """Convert coordinates of the square world to tiles of zoom `z`."""
    coordinates = coordinates * 2.0**z
    edges = np.rint(coordinates)
    return np.where(np.abs(coordinates - edges) < ROUNDING, edges, coordinates)


def _level(one: Floats, other: Floats) -> Flags:
    """Whether GDAL takes each pair of coordinates for the same column, or the same row.

    GDAL before 3.12 also did so for any two within one column or row, and missed tiles at the ends of such edges.
    """
    level: Flags = np.abs(one - other) < FLAT
    return level


def _near(coordinates: Floats) -> Flags:
    """Whether each coordinate is at the edge of a column, or of a row."""
    near: Flags = np.abs(coordinates - np.rint(coordinates)) < NEAR
    return near


def _rows(first: Floats, last: Floats, window: TileRange) -> Iterator[tuple[Numbers, Floats]]:
    """Rows `first` to `last` of each segment, clipped to `window`: indices of segments, and their rows."""
    first, last = np.maximum(first, window.y0), np.minimum(last, window.y1 - 1)
    for owner, at in _each(last - first + 1):
        yield owner, first[owner] + at


def _each(number: Floats) -> Iterator[tuple[Numbers, Numbers]]:
    """Each index repeated `number` times, with a counter 0, 1, 2 ...; AT_ONCE at a time."""
    ends = np.cumsum(np.maximum(number, 0).astype(np.int64))
    for start in range(0, int(ends[-1]) if len(ends) else 0, AT_ONCE):
        every = np.arange(start, min(start + AT_ONCE, int(ends[-1])))
        owner = np.searchsorted(ends, every, "right")
        yield owner, every - np.where(owner > 0, ends[owner - 1], 0)
