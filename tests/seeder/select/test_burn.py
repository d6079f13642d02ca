"""Shapes touch the tiles burnt by supermercado, and by GDAL up to rounding; their cost grows with their edges."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import mercantile
import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mercantile import Tile
from rasterio.features import rasterize
from supermercado import burntiles

from seeder.select.burn import LINE, NEAR, ROUNDING, Floats, Shapes
from seeder.select.morton import Flags, Numbers, places
from seeder.select.tileset import TileSet
from tests.support.effort import examples
from tests.support.strategies import tiles
from tiler.grid import TileRange

Grid = Flags  # of a zoom's tiles, by row and column
Place = tuple[float, float]

# GDAL before 3.12 also draws a segment within one row or column as straight, so without its last NEAR
DOUBT = NEAR if tuple(map(int, rasterio.__gdal_version__.split(".")[:2])) < (3, 12) else ROUNDING


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip rasterio's slow search for AWS keys at every call."""
    monkeypatch.setattr("rasterio.session.boto3", None)


class Drawn(NamedTuple):
    """A feature: closed rings, one line, or one point."""

    kind: str
    parts: Sequence[Sequence[Place]]

    def moved(self, by: Callable[[Place], Place]) -> Drawn:
        """The feature with all places transformed."""
        return Drawn(self.kind, [[by(place) for place in part] for part in self.parts])

    def east(self, by: float) -> Drawn:
        """The feature shifted to the east."""
        return self.moved(lambda place: (place[0] + by, place[1]))

    @property
    def geometry(self) -> dict[str, object]:
        """Its GeoJSON."""
        line = self.parts[0]
        coordinates = {"Polygon": self.parts, "LineString": line, "Point": line[0]}[self.kind]
        return {"type": self.kind, "coordinates": coordinates}

    @property
    def xs(self) -> list[float]:
        """All x coordinates."""
        return [x for part in self.parts for x, _ in part]

    def shapes(self, side: float = 1.0) -> Shapes:
        """The feature as shapes in a world `side` wide."""
        if self.kind == "Point":
            return Shapes(points=np.array(self.parts[0]) / side)
        segments = [np.hstack([part[:-1], part[1:]]) for part in map(np.array, self.parts)]
        joined = np.concatenate(segments)
        return Shapes(joined / side, np.full(len(joined), 0 if self.kind == "Polygon" else LINE))


def world(z: int) -> TileRange:
    return TileRange(z, 0, 0, 2**z, 2**z)


def grid(found: TileSet) -> Grid:
    flags = np.zeros((2**found.z, 2**found.z), bool)
    x, y = places(found.codes)
    flags[y, x] = True
    return flags


def together(some: Iterable[Grid]) -> Grid:
    return np.asarray(np.logical_or.reduce(list(some)))


def turned(feature: Drawn, burn: Callable[[Drawn], Grid], side: float) -> Grid:
    """The burn of a feature in a world `side` wide, with the parts outside wrapped into it."""
    first, last = math.floor(min(feature.xs) / side), math.floor(max(feature.xs) / side)
    if feature.kind == "Polygon" and last > first and max(feature.xs) == last * side:
        last -= 1  # it touches the world's edge from the west
    return together(burn(feature.east(-turn * side)) for turn in range(first, last + 1))


def by_gdal(feature: Drawn, z: int) -> Grid:
    """GDAL's burn of a feature in tiles of a zoom."""
    return np.asarray(rasterize([feature.geometry], out_shape=(2**z, 2**z), all_touched=True), np.bool_)


def by_supermercado(feature: Drawn, z: int) -> Grid:
    """Supermercado's burn of a feature in degrees."""
    found = np.zeros((2**z, 2**z), bool)
    burnt = burntiles.burn([{"geometry": feature.geometry}], z)
    found[burnt[:, 1], burnt[:, 0]] = True
    return found


def only_rims(drawn: Sequence[Drawn], which: Numbers, side: int) -> bool:
    """Whether lines and rings touch only the borders of these tiles, (row, column), to a depth of DOUBT."""
    if not len(which):
        return True
    lines = [each.east(turn * side) for each in drawn if each.kind != "Point" for turn in range(-4, 5)]
    network = shapely.MultiLineString([shapely.LineString(part) for each in lines for part in each.parts])
    y, x = which.T
    outer, inner = (shapely.box(x + by, y + by, x + 1 - by, y + 1 - by) for by in (-ROUNDING, DOUBT))
    return bool(np.all(shapely.intersects(outer, network) & ~shapely.intersects(inner, network)))


# drawings


def lattice(low: int, high: int) -> st.SearchStrategy[float]:
    """Places on tiles' edges and centres, and within GDAL's thresholds of them."""
    offsets = (
        0,
        0,
        NEAR / 2,
        -NEAR / 2,
        NEAR * 0.9,
        NEAR * 1.5,
        -NEAR * 1.5,
        0.003,
        0.005,
        -0.006,
        0.009,
        0.011,
        0.125,
    )
    return st.sampled_from([half / 2 + offset for half in range(2 * low, 2 * high + 1) for offset in offsets])


def anywhere(low: int, high: int) -> st.SearchStrategy[float]:
    """Places never on a tile's edge, nor exactly at GDAL's thresholds."""
    return st.integers(low * 1024, high * 1024).map(lambda part: (part + 0.37) / 1024.7)


@st.composite
def walks(draw: st.DrawFn, start: st.SearchStrategy[Place]) -> list[Place]:
    """A line in steps that may be much shorter than a tile: a coast at a low zoom."""
    scale = draw(st.sampled_from([0.00005, 0.001, 0.008, 0.02, 0.5, 2.0]))
    steps = np.random.default_rng(draw(st.integers(0, 999))).uniform(-scale, scale, (draw(st.integers(2, 30)), 2))
    return [(float(x), float(y)) for x, y in np.cumsum([draw(start), *steps], axis=0)]


@st.composite
def stairs(draw: st.DrawFn, place: st.SearchStrategy[Place], leans: Sequence[float] = (0.0,)) -> list[Place]:
    """A line in steps to the east or west and the north or south in turn, about as straight as `leans`."""
    corners, lean = draw(st.lists(place, min_size=2, max_size=5)), st.sampled_from(leans)
    after = [*corners[1:], corners[0]]
    between = [(x1 + draw(lean), y0 + draw(lean)) for (_, y0), (x1, _) in zip(corners, after, strict=True)]
    return [each for pair in zip(corners, between, strict=True) for each in pair]


@st.composite
def drawn_by(draw: st.DrawFn, path: st.SearchStrategy[list[Place]]) -> Drawn:
    """A polygon of up to three rings, which may cross each other or be slivers, or a line."""
    if draw(st.booleans()):
        return Drawn("Polygon", [[*ring, ring[0]] for ring in draw(st.lists(path, min_size=1, max_size=3))])
    return Drawn("LineString", [draw(path)])


def features(place: st.SearchStrategy[Place]) -> st.SearchStrategy[Drawn]:
    """Polygons, lines and points of every kind."""
    path = st.lists(place, min_size=3, max_size=5) | walks(place) | stairs(place, (0.009, -0.009, 0.011, -0.011))
    return drawn_by(path) | place.map(lambda each: Drawn("Point", [[each]]))


def rectilinear(place: st.SearchStrategy[Place]) -> st.SearchStrategy[Drawn]:
    """Polygons and lines with horizontal and vertical edges only."""
    return drawn_by(stairs(place))


@st.composite
def drawings(draw: st.DrawFn, kind: Callable[..., st.SearchStrategy[Drawn]] = features) -> tuple[int, list[Drawn]]:
    """A zoom, and up to three features in its tiles; some are outside the world."""
    z = draw(st.integers(0, 5))
    side = 2**z
    one = st.sampled_from([lattice, anywhere]).flatmap(
        lambda along: kind(st.tuples(along(-side // 2, side + side // 2), along(-1, side + 1)))
    )
    return z, draw(st.lists(one, min_size=1, max_size=3))


def drawn_together(features_: Sequence[Drawn], side: float) -> Shapes:
    return Shapes.joined(each.shapes(side) for each in features_)


@settings(max_examples=examples(250))
@given(drawings())
@example((3, [Drawn("LineString", [[(NEAR / 2, 0.0), (-3.991, 0.011)]])]))  # its end in tile 0/0 is short
def test_shapes_touch_what_gdal_burns_but_for_rims_that_are_met_alone(drawing: tuple[int, list[Drawn]]) -> None:
    z, drawn = drawing
    found = grid(drawn_together(drawn, 2**z).touched(z, world(z)))
    burnt = together(turned(each, lambda one: by_gdal(one, z), 2**z) for each in drawn)
    assert only_rims(drawn, np.argwhere(found != burnt), 2**z)


@settings(max_examples=examples(100))
@given(drawings(rectilinear))
def test_of_what_runs_along_tiles_gdal_burns_the_same(drawing: tuple[int, list[Drawn]]) -> None:
    z, drawn = drawing
    found = grid(drawn_together(drawn, 2**z).touched(z, world(z)))
    burnt = together(turned(each, lambda one: by_gdal(one, z), 2**z) for each in drawn)
    assert np.array_equal(found, burnt)


# degrees


def on_earth(place: Place) -> Place:
    """Degrees of a place in tiles of zoom 8; near the poles outside the grid."""
    return place[0] / 256 * 360 - 180, math.degrees(math.atan(math.sinh(math.pi * (1 - place[1] / 128))))


def in_world(place: Place) -> Place:
    """The place in the square world of a place in degrees."""
    x, y = mercantile.xy(*place)
    size = 2 * math.pi * 6378137
    return x / size + 0.5, 0.5 - y / size


@pytest.mark.filterwarnings("ignore:Mercantile 2.0:FutureWarning")  # supermercado asks it for column 2**z
@settings(max_examples=examples(100))
@given(
    st.lists(features(st.tuples(anywhere(-100, 356), anywhere(-60, 316))), min_size=1, max_size=3), st.integers(0, 8)
)
def test_shapes_touch_what_supermercado_burns_of_each(drawn: list[Drawn], z: int) -> None:
    degrees = [each.moved(on_earth) for each in drawn]
    shapes = Shapes.joined(each.moved(in_world).shapes() for each in degrees)
    burnt = [turned(each.east(180), lambda one: by_supermercado(one.east(-180), z), 360) for each in degrees]
    in_tiles = [each.moved(lambda at: (at[0] * 2**z / 256, at[1] * 2**z / 256)) for each in drawn]
    found = grid(shapes.touched(z, world(z)))
    assert only_rims(in_tiles, np.argwhere(found != together(burnt)), 2**z)


@given(tiles())
@example(Tile(x=0, y=0, z=0))
@example(Tile(x=127, y=0, z=8))
def test_the_outline_of_a_tile_touches_that_tile_and_those_above_and_below_it(tile: Tile) -> None:
    side = 1 / 2**tile.z  # the tile's corners in the square world, exactly
    west, north = tile.x * side, tile.y * side
    ring = [(west, north), (west + side, north), (west + side, north + side), (west, north + side)]
    outline = Drawn("Polygon", [[*ring, ring[0]]]).shapes()
    own = TileSet.ranges(tile.z, [TileRange(tile.z, tile.x, tile.y, tile.x + 1, tile.y + 1)])
    for z in range(max(0, tile.z - 6), tile.z + 2):  # narrower than 0.01 tiles, GDAL puts it on an edge
        assert outline.touched(z, world(z)) == own.at(z)
        assert outline.within(z, world(z)) == (own.at(z) if z >= tile.z else TileSet.nothing(z))


# parts and wholes


@given(drawings(), st.integers(0, 5), st.data())
def test_a_window_shows_what_is_in_it(drawing: tuple[int, list[Drawn]], deeper: int, data: st.DataObject) -> None:
    shapes, z = drawn_together(drawing[1], 2 ** drawing[0]), drawing[0] + deeper
    ends = st.lists(st.integers(0, 2**z), min_size=2, max_size=2, unique=True).map(sorted)
    (x0, x1), (y0, y1) = data.draw(ends), data.draw(ends)
    window = TileRange(z, x0, y0, x1, y1)
    for find in (shapes.touched, shapes.within):
        assert find(z, window) == find(z, world(z)) & TileSet.ranges(z, [window])


@given(drawings())
def test_shapes_together_touch_what_they_touch_alone(drawing: tuple[int, list[Drawn]]) -> None:
    z, drawn = drawing
    alone = TileSet.nothing(z)
    for each in drawn:
        alone |= each.shapes(2**z).touched(z, world(z))
    assert drawn_together(drawn, 2**z).touched(z, world(z)) == alone


def test_no_shapes_touch_nothing() -> None:
    assert not len(Shapes.joined([]).touched(9, world(9)))
    assert not len(Shapes().within(9, world(9)))


def stars(number: int, rough: float, seed: int) -> Floats:
    """The vertices of a ring around the middle of the world, as ragged as a coast: `(number, 2)`.

    Its distance from there is a sum of waves, each half as high as the one that is half as fast.
    """
    chance = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, number, endpoint=False)
    waves = [np.sin(2**level * angle + chance.uniform(0, 6)) / 2**level for level in range(1, int(math.log2(number)))]
    distance = 0.075 * (1 + rough * np.sum(waves, axis=0))
    return np.stack([0.5 + distance * np.cos(angle), 0.5 + distance * np.sin(angle)], axis=1)


def ring_of(corners: Floats) -> Floats:
    """The segments of a ring, `(segments, 4)`."""
    return np.hstack([corners, np.roll(corners, -1, 0)])


@settings(max_examples=examples(15))
@given(st.integers(3, 400), st.integers(4, 9), st.integers(0, 99))
def test_a_tile_is_within_if_the_polygon_covers_it_and_only_then(number: int, z: int, seed: int) -> None:
    outer, hole = stars(number, 0.5, seed), stars(number, 0.5, seed) * 0.4 + 0.3
    shapes = Shapes(np.concatenate([ring_of(outer), ring_of(hole)]), np.zeros(2 * number, np.int64))
    polygon = shapely.Polygon(outer * 2**z, [hole * 2**z])
    held = grid(shapes.within(z, world(z)))
    shapely.prepare(polygon)
    rows, columns = np.mgrid[0 : 2**z, 0 : 2**z]
    surely, about = (
        shapely.covers(polygon, shapely.box(columns + by, rows + by, columns + 1 - by, rows + 1 - by))
        for by in (-ROUNDING, 2 * NEAR)
    )
    assert held.any() or not surely.any()
    assert not (surely & ~held).any()
    assert not (held & ~about).any()


@pytest.mark.filterwarnings("ignore:Mercantile 2.0:FutureWarning")
@pytest.mark.parametrize("z", [3, 7, 10])
def test_a_coast_touches_what_supermercado_burns(z: int) -> None:
    corners = stars(20_000, 0.8, seed=1) * 256
    coast = Drawn("Polygon", [[*map(tuple, corners.tolist()), tuple(corners[0].tolist())]]).moved(on_earth)
    found = coast.moved(in_world).shapes().touched(z, world(z))
    assert np.array_equal(grid(found), by_supermercado(coast, z))


def test_a_billion_tiles_take_the_room_of_their_edge() -> None:
    corners = stars(100_000, 0.8, seed=2)
    x, y = corners.T * 2**18
    area = abs(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2  # Gauss's formula, in tiles
    shapes = Shapes(ring_of(corners), np.zeros(len(corners), np.int64))
    tracemalloc.start()
    touched = shapes.touched(18, world(18))
    _, room = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert room < 100e6
    assert 10**9 < area < len(touched) < area * 1.001
    assert area * 0.999 < len(shapes.within(18, world(18))) < area
