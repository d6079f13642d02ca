"""Polygons, lines and points as sets of tiles: those that they touch, and those that lie wholly inside.

The rule is supermercado's, which is GDAL's `ALL_TOUCHED` (`alg/llrasterize.cpp` of GDAL 3.10): the tiles whose middle
is inside, and those that GDAL comes through where it walks along rings and lines. Both are found from rows of
segments, so that shapes cost what their edges cost. Where a line passes a tile's corner, or ends on its edge, within
ROUNDING, the answers may differ: GDAL's hangs on how it happens to round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from seeder.select.morton import Flags, Numbers, interleaved, once
from seeder.select.tileset import TileSet
from tiler.grid import TileRange

Floats = npt.NDArray[np.float64]

LINE = -1  # stands for a polygon's number where a segment is a line's
NEAR = 1e-4  # tiles; what is as near to a tile's edge lies on it, to GDAL
FLAT = 0.01  # tiles; a segment that leans by less does not lean, to GDAL
ROUNDING = 1e-9  # tiles; what is as near to a tile's edge is on it
AT_ONCE = 1 << 17  # rows of segments, or tiles: as many as make good use of numpy
ROW = 32  # bits that a row is shifted by, to be told and sorted with a column as one number


@dataclass(frozen=True, slots=True, eq=False)
class Shapes:
    """Polygons, lines and points in the plane of the square world.

    (0, 0) is the world's north-west corner and (1, 1) its south-east one; an x beyond 0 to 1 comes around, a y beyond
    is off the grid. `segments`, `(segments, 4)`, are x0, y0, x1, y1 of those of all rings, which are closed, and of
    all lines; `polygons`, `(segments,)`, are the numbers, from 0, of the polygons that the rings are of, or LINE.
    `points` are `(points, 2)`.
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
        """The tiles of `window`, of zoom `z`, that a shape touches: what supermercado burns of each, together."""
        bands = _Edges.of(self._in_world(), window).bands()
        return TileSet.union(z, [TileSet.of(z, self._places(window)), *(edges.touched() for edges in bands)])

    def within(self, z: int, window: TileRange) -> TileSet:
        """The tiles of `window`, of zoom `z`, that lie wholly in a polygon: no ring runs through them.

        A ring that is within NEAR of a tile's edge runs along it.
        """
        bands = _Edges.of(self._in_world(), window).bands()
        return TileSet.union(z, (edges.within() for edges in bands))

    def _places(self, window: TileRange) -> Numbers:
        """The codes of the tiles of `window` that points lie on."""
        x, y = np.floor(_in_tiles(self.points, window.z)).T
        x %= 2**window.z
        held = (x >= window.x0) & (x < window.x1) & (y >= window.y0) & (y < window.y1)
        return interleaved(x[held].astype(np.int64), y[held].astype(np.int64))

    def _in_world(self) -> Shapes:
        """The segments, once for each turn around the world in which their polygons, or the lines', lie.

        What only reaches the antimeridian lies to its west if it is a polygon, as in GDAL, and to its east if a line.
        """
        if self.segments[:, ::2].min(initial=0) >= 0 and self.segments[:, ::2].max(initial=0) < 1:
            return self
        ring = self.polygons != LINE
        polygons = self.polygons[ring]
        west, east = self.segments[:, ::2].min(1), self.segments[:, ::2].max(1)
        for ends, furthest in ((west, np.minimum), (east, np.maximum)):
            found = np.full(polygons.max(initial=LINE) + 1, -furthest(-np.inf, np.inf))
            furthest.at(found, polygons, ends[ring])
            ends[ring] = found[polygons]
        turns = range(int(np.floor(west.min(initial=0))), int(np.floor(east.max(initial=0))) + 1)
        near = [(west < turn + 1) & (east >= turn) & ((east > turn) | ~ring) for turn in turns]
        return Shapes.joined(
            Shapes(self.segments[some] - [turn, 0, turn, 0], self.polygons[some])
            for turn, some in zip(turns, near, strict=True)
        )


def renumbered(several: Iterable[Numbers]) -> Numbers:
    """Polygons' numbers, one after those of the other, so that no two of `several` share one; LINE stays."""
    found, number = [], 0
    for polygons in several:
        found.append(np.where(polygons == LINE, LINE, polygons + number))
        number += int(polygons.max(initial=LINE)) + 1
    return np.concatenate(found)


@dataclass(frozen=True, slots=True, eq=False)
class _Edges:
    """Segments that reach the rows of `window`, in tiles, each from its western end to its eastern one."""

    window: TileRange
    cut: bool  # whether some of the shapes reach beyond the window
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
        """Those that are flagged."""
        x0, y0, x1, y1 = (each[flags] for each in (self.x0, self.y0, self.x1, self.y1))
        return _Edges(self.window, self.cut, x0, y0, x1, y1, self.polygons[flags])

    def bands(self) -> Iterator[_Edges]:
        """The same in bands of rows that each run through about AT_ONCE tiles at most, so that they take little memory.

        A row lies in one band, so that nothing is found twice.
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
        """The tiles of the window that they touch, or whose middles lie in their polygons."""
        sloped = self.take(~self.flat).tiles()
        flat = self.take(self.flat & self.rings).tiles()
        straight = self.take(self.flat & ~(self.aligned & self.rings)).straight()
        filled = self.take(self.rings).filled(np.concatenate([sloped, flat]))
        return filled | TileSet.of(self.window.z, np.concatenate([sloped, straight]))

    def within(self) -> TileSet:
        """The tiles of the window that lie wholly in their polygons."""
        rings = self.take(self.rings)
        return rings.filled(rings.tiles()) - TileSet.of(self.window.z, rings.take(~rings.along).tiles())

    @property
    def rings(self) -> Flags:
        """Which are of polygons."""
        return np.not_equal(self.polygons, LINE)

    @property
    def north(self) -> Floats:
        """Where each begins, from the north."""
        return np.minimum(self.y0, self.y1)

    @property
    def south(self) -> Floats:
        """Where each ends, from the north."""
        return np.maximum(self.y0, self.y1)

    @property
    def steep(self) -> Flags:
        """Which GDAL draws as if they went straight to the south."""
        return _level(self.x0, self.x1)

    @property
    def flat(self) -> Flags:
        """Which GDAL draws as if they went straight to the south or to the east."""
        return self.steep | _level(self.y0, self.y1)

    @property
    def aligned(self) -> Flags:
        """Which of those that are `flat` GDAL passes over in polygons: they begin and end on tiles' edges."""
        return np.where(self.steep, _near(self.x0) & _near(self.x1), _near(self.y0) & _near(self.y1))

    @property
    def along(self) -> Flags:
        """Which run along an edge of tiles."""
        x, y = np.rint(self.x0) == np.rint(self.x1), np.rint(self.y0) == np.rint(self.y1)
        found: Flags = x & _near(self.x0) & _near(self.x1) | y & _near(self.y0) & _near(self.y1)
        return found

    def tiles(self) -> Numbers:
        """The codes of the tiles that they run through, a tile once or more often.

        They begin where they are and end short of it, and tiles hold their northern and western edges, so that what
        comes through a corner touches three tiles if it comes from the south-west, and two if from the north-west.
        """
        last = np.where(self.y0 < self.y1, np.ceil(self.south) - 1, np.floor(self.south))
        return self._codes(np.floor(self.north), last, self._columns)

    def _columns(self, owner: Numbers, row: Floats) -> tuple[Floats, Floats]:
        """The first and the last columns of segments, by their numbers, in rows that they come through."""
        x0, y0, x1, y1 = self.x0[owner], self.y0[owner], self.x1[owner], self.y1[owner]
        down = y0 <= y1
        lean = (x1 - x0) / np.maximum(np.abs(y1 - y0), 1e-200)  # columns a row
        begin = np.clip(x0 + lean * np.where(down, row - y0, y0 - row - 1), x0, x1)
        end = np.clip(x0 + lean * np.where(down, row + 1 - y0, y0 - row), x0, x1)
        first = np.floor(begin)
        last = np.where(down | (row <= y1), np.ceil(end) - 1, np.floor(end))
        return first, np.maximum(first, last)

    def straight(self) -> Numbers:
        """The codes of the tiles that GDAL draws for those that are `flat`, a tile once or more often.

        A steep one lies in the column of its eastern end, another in the row of its western one; both lack the last
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
        window, found = self.window, [np.zeros(0, np.int64)]
        near = (self.x1 >= window.x0) & (self.x0 < window.x1)
        for owner, row in _rows(first, np.where(near, last, -np.inf), window):
            west, east = columns(owner, row)
            west, east = np.maximum(west, window.x0), np.minimum(east, window.x1 - 1)
            for at, across in _each(east - west + 1):
                x, y = (west[at] + across).astype(np.int64), row[at].astype(np.int64)
                found.append(once(np.sort(interleaved(x, y))))
        return np.concatenate(found)

    def filled(self, edge: Numbers) -> TileSet:
        """The tiles of the window whose middles are in polygons; `edge` are the codes of all that rings run through."""
        keys, depths = self._crossings()
        window = self.window if self.cut else TileRange(self.window.z, 0, 0, 0, 0)

        def inside(x: Numbers, y: Numbers) -> Flags:
            # of a square that lies across the window's edge the part within is told of
            place = np.maximum(y, window.y0) << ROW | np.maximum(x, window.x0)
            return np.greater(depths[np.searchsorted(keys, place, "right")], 0)

        found = TileSet.filled(window.z, edge, inside)
        return found & TileSet.ranges(window.z, [window]) if self.cut else found

    def _crossings(self) -> tuple[Numbers, Numbers]:
        """Where one comes into polygons, or out of them, along the middles of rows.

        The row and the first column whose middle lies behind, as one number, ascending; and how many polygons one is
        in behind none of these, behind the first, behind the second and so on.
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


def _in_tiles(places: Floats, z: int) -> Floats:
    """Places of the square world in tiles of zoom `z`."""
    places = places * 2.0**z
    edges = np.rint(places)
    return np.where(np.abs(places - edges) < ROUNDING, edges, places)


def _level(one: Floats, other: Floats) -> Flags:
    """Which pairs of places are in one column, or in one row, to GDAL."""
    found: Flags = (np.floor(one) == np.floor(other)) | (np.abs(one - other) < FLAT)
    return found


def _near(places: Floats) -> Flags:
    """Which of the places are at the edge of a column, or of a row."""
    found: Flags = np.abs(places - np.rint(places)) < NEAR
    return found


def _rows(first: Floats, last: Floats, window: TileRange) -> Iterator[tuple[Numbers, Floats]]:
    """The rows `first` to `last` of each segment, but those out of `window`: numbers of segments, and their rows."""
    first, last = np.maximum(first, window.y0), np.minimum(last, window.y1 - 1)
    for owner, at in _each(last - first + 1):
        yield owner, first[owner] + at


def _each(number: Floats) -> Iterator[tuple[Numbers, Numbers]]:
    """Each index as often as `number` says, if that is above 0, with 0, 1, 2 ... beside it; AT_ONCE at a time."""
    ends = np.cumsum(np.maximum(number, 0).astype(np.int64))
    for start in range(0, int(ends[-1]) if len(ends) else 0, AT_ONCE):
        every = np.arange(start, min(start + AT_ONCE, int(ends[-1])))
        owner = np.searchsorted(ends, every, "right")
        yield owner, every - np.where(owner > 0, ends[owner - 1], 0)
