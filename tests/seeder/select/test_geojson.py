"""GeoJSON of all kinds is read unchanged, and a buffer contains the near places and nothing else."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from itertools import pairwise
from typing import Any

import mercantile
import numpy as np
import pytest
import shapely
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mercantile import Tile
from mercantile.scripts import cli as mercantile_cli
from supermercado.burntiles import burn
from supermercado.super_utils import filter_features

from seeder.select import geometry as plane
from seeder.select.burn import LINE, Floats, Shapes
from seeder.select.geojson import looks_like_geojson, read_geojson
from seeder.select.geometry import GLOBE, Paths, widened
from seeder.select.morton import Flags, interleaved, places
from seeder.select.parts import NOWHERE, around
from seeder.select.tileset import TileSet
from tests.support.effort import examples
from tests.support.paths import ROOT
from tests.support.strategies import tiles
from tiler.errors import BadOption
from tiler.grid import EXTENT, MAX_LATITUDE, TileRange

Place = tuple[float, float]
Geometry = dict[str, Any]

DEGREES = "GeoJSON uses degrees, longitude first: convert it with `ogr2ogr -t_srs EPSG:4326 OUT.geojson IN.geojson`"
LOOSE = 1.01  # of a buffer: largest excess width


def world(z: int) -> TileRange:
    return TileRange(z, 0, 0, 2**z, 2**z)


def geometry(kind: str, coordinates: Any) -> Geometry:
    return {"type": kind, "coordinates": coordinates}


def feature(of: Geometry | None) -> dict[str, Any]:
    return {"type": "Feature", "properties": {"name": "one\ntwo"}, "geometry": of}


def collection(*of: Geometry | None) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": [feature(each) for each in of]}


def read(document: object, **options: Any) -> Shapes:
    return read_geojson(json.dumps(document), "a.geojson", **options)


def same(one: Shapes, other: Shapes) -> bool:
    return all(
        np.array_equal(getattr(one, field), getattr(other, field)) for field in ("segments", "polygons", "points")
    )


# Places not on any tile's edge or centre, so that rounding is irrelevant, in any turn of the world
longitudes = st.integers(-900, 900).map(lambda number: number * 0.59 + 0.0137)
latitudes = st.integers(-200, 200).map(lambda number: number * 0.41 + 0.0137)
spots = st.tuples(longitudes, latitudes)
lines = st.lists(spots, min_size=2, max_size=5)
rings = st.lists(spots, min_size=3, max_size=6).map(lambda ring: [*ring, ring[0]])
geometries: st.SearchStrategy[Geometry] = (
    st.builds(geometry, st.just("Point"), spots)
    | st.builds(geometry, st.just("MultiPoint"), st.lists(spots, min_size=1, max_size=3))
    | st.builds(geometry, st.just("LineString"), lines)
    | st.builds(geometry, st.just("MultiLineString"), st.lists(lines, min_size=1, max_size=3))
    | st.builds(geometry, st.just("Polygon"), st.lists(rings, min_size=1, max_size=3))
    | st.builds(
        geometry, st.just("MultiPolygon"), st.lists(st.lists(rings, min_size=1, max_size=2), min_size=1, max_size=2)
    )
)


# Reading


def in_plane(place: Place) -> Place:
    """A place in the plane, from mercantile."""
    x, y = mercantile.xy(*place)
    return 0.5 + x / 2 / EXTENT, 0.5 - y / 2 / EXTENT


def edges(of: Geometry) -> tuple[list[Floats], list[Place]]:
    """The segments of each polygon and each line, and the points, one by one."""
    kind, coordinates = of["type"], of["coordinates"]
    several = coordinates if kind.startswith("Multi") else [coordinates]
    if kind.endswith("Point"):
        return [], [in_plane(place) for place in several]
    found = []
    for one in several:
        parts = one if kind.endswith("Polygon") else [one]
        found.append(np.array([[*in_plane(a), *in_plane(b)] for part in parts for a, b in pairwise(part)]))
    return found, []


@given(st.lists(geometries, min_size=1, max_size=4))
def test_shapes_are_the_edges_and_points_of_geometries_where_mercantile_puts_them(several: list[Geometry]) -> None:
    found = read(collection(*several))
    segments, polygons, points, number = [np.zeros((0, 4))], [], [], 0
    for of in several:
        parts, places = edges(of)
        segments += parts
        points += places
        ring = of["type"].endswith("Polygon")
        for part in parts:
            polygons += [number if ring else LINE] * len(part)
            number += ring
    assert np.allclose(found.segments, np.concatenate(segments), rtol=0, atol=1e-14)
    assert np.allclose(found.points, np.reshape(points, (-1, 2)), rtol=0, atol=1e-14)
    assert found.polygons.tolist() == polygons


@pytest.mark.filterwarnings("ignore:Mercantile 2.0:FutureWarning")  # supermercado asks it for column 2**z
@settings(max_examples=examples(20))
@given(st.lists(geometries.filter(lambda of: not of["type"].startswith("Multi")), min_size=1, max_size=3))
def test_tiles_are_those_that_supermercado_burns(several: list[Geometry]) -> None:
    inside = [
        json.loads(json.dumps(of))
        for of in several
        if np.abs(shapely.get_coordinates(shapely.geometry.shape(of))[:, 0]).max() < 180
    ]
    if not inside:
        return
    found: set[Tile] = set()
    for each in filter_features([feature(of) for of in inside]):
        found |= {Tile(*map(int, tile)) for tile in burn([each], 6)}
    touched = read(collection(*inside)).touched(6, world(6))
    assert {Tile(x, y, 6) for x, y in zip(*(each.tolist() for each in places(touched.codes)), strict=True)} == found


@given(st.lists(geometries, min_size=1, max_size=4))
def test_the_same_geometries_are_the_same_shapes_however_they_are_wrapped(several: list[Geometry]) -> None:
    features = [feature(of) for of in several]
    whole = collection(*several)
    together = {"type": "GeometryCollection", "geometries": several}
    nested = {"type": "GeometryCollection", "geometries": [{**together, "geometries": [of]} for of in several]}
    spread = [json.dumps(each, indent=1) for each in features]
    texts = [
        json.dumps(whole, indent=2),
        "\ufeff\r\n" + json.dumps(whole) + "\r\n",
        json.dumps({**whole, "features": [feature(None), *features, feature(None)]}),
        json.dumps(feature(together)),
        json.dumps(nested),
        "\n".join(map(json.dumps, features)),
        "\n\n".join(map(json.dumps, several)) + "\n",
        "".join(f"\x1e{each}\n" for each in spread),
        "".join(f"{each}" for each in spread),
    ]
    wanted = read(whole)
    for text in texts:
        assert looks_like_geojson(text)
        assert same(read_geojson(text, "a"), wanted)


@given(st.lists(spots, min_size=3, max_size=6, unique=True))
def test_rings_may_be_left_open_and_heights_left_out_here_and_there(ring: list[Place]) -> None:
    closed = [*ring, ring[0]]
    wanted = read(geometry("Polygon", [closed]))
    assert same(read(geometry("Polygon", [ring])), wanted)
    assert same(read(geometry("Polygon", [[(*place, 8848.9) for place in closed]])), wanted)
    assert same(read(geometry("Polygon", [[(*place, 0)[: 2 + i % 2] for i, place in enumerate(closed)]])), wanted)


@pytest.mark.parametrize("kind", ["Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon"])
def test_an_empty_geometry_is_passed_over(kind: str) -> None:
    point = geometry("Point", [7.5, 46.5])
    assert same(read(collection(geometry(kind, []), point)), read(point))


def test_a_long_ring_is_one_chain_that_ends_where_it_began() -> None:
    angle = np.linspace(0, math.tau, 20_000, endpoint=False)
    ring = np.column_stack([8 + 3 * np.cos(angle), 47 + np.sin(angle)]).tolist()
    found = read(geometry("Polygon", [ring]))
    assert len(found.segments) == len(ring)
    assert np.array_equal(found.segments[1:, :2], found.segments[:-1, 2:])
    assert np.array_equal(found.segments[0, :2], found.segments[-1, 2:])


@pytest.mark.parametrize("options", [[], ["--collect"], ["--seq"], ["--seq", "--indent", "2"], ["--geographic"]])
@given(tile=tiles(deepest=16))
@settings(max_examples=examples(10))
def test_mercantiles_shapes_of_a_tile_are_that_tile(options: list[str], tile: Tile) -> None:
    tile = Tile(x=tile.x, y=tile.y, z=tile.z)
    printed = CliRunner().invoke(mercantile_cli, ["shapes", *options], f"[{tile.x}, {tile.y}, {tile.z}]\n")
    assert printed.exit_code == 0
    found = read_geojson(printed.output, "-")
    wanted = TileSet.of(tile.z, interleaved(np.array([tile.x]), np.array([tile.y])))
    assert found.touched(tile.z, world(tile.z)) == wanted
    assert found.within(tile.z, world(tile.z)) == wanted


@given(latitude=st.sampled_from([90, -90]), longitude=longitudes)
def test_a_pole_is_finite_and_off_the_grid(latitude: float, longitude: float) -> None:
    found = read(geometry("MultiPoint", [[longitude, latitude], [longitude, latitude / 2]]))
    assert np.isfinite(found.points).all()
    assert len(found.touched(9, world(9))) == 1
    cap = [[-180, latitude], [180, latitude], [180, latitude * 0.9], [-180, latitude * 0.9]]
    touched = read(geometry("Polygon", [cap])).touched(5, world(5))
    _, rows = places(touched.codes)
    edge = mercantile.tile(0, latitude * 0.9, 5).y
    assert len(touched) == 32 * len(set(rows.tolist()))
    assert set(rows.tolist()) == set(range(edge + 1) if latitude > 0 else range(edge, 32))


def test_170_to_minus_170_runs_the_long_way_and_170_to_190_the_short_one() -> None:
    long = read(geometry("LineString", [[170.3, 1], [-170.3, 1]])).touched(5, world(5))
    short = read(geometry("LineString", [[170.3, 1], [189.7, 1]])).touched(5, world(5))
    west = read(geometry("LineString", [[-189.7, 1], [-170.3, 1]])).touched(5, world(5))
    assert (len(long), len(short), len(long & short)) == (32, 2, 2)
    assert west == short


@pytest.mark.parametrize(
    "name",
    [
        "EPSG:4326",
        "epsg:4326",
        "urn:ogc:def:crs:EPSG::4326",
        "urn:ogc:def:crs:EPSG:6.9:4326",
        "urn:ogc:def:crs:OGC:1.3:CRS84",
        "urn:ogc:def:crs:OGC::CRS84h",
        "http://www.opengis.net/def/crs/EPSG/0/4326",
        "CRS84",
    ],
)
def test_the_reference_system_of_geojson_may_be_named(name: str) -> None:
    point = geometry("Point", [7.5, 46.5])
    named = {"type": "name", "properties": {"name": name}}
    assert same(read({**collection(point), "crs": named}), read(point))
    assert same(read({**collection(point), "crs": None}), read(point))


# Errors

SQUARE = [[0, 0], [1, 0], [1, 1]]


def crs(name: object) -> Geometry:
    return {**geometry("Point", [7, 46]), "crs": {"type": "name", "properties": {"name": name}}}


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (collection(), "a.geojson: no geometry, so no tile is selected"),
        (collection(None), "a.geojson: no geometry, so no tile is selected"),
        (None, "a.geojson: no geometry, so no tile is selected"),
        (geometry("Point", []), "a.geojson: no geometry, so no tile is selected"),
        ({}, "a.geojson: {} is not GeoJSON"),
        ([5, 16, 11], "a.geojson: [5, 16, 11] is not GeoJSON: give a FeatureCollection, a Feature or a geometry"),
        ({"x": 1, "y": 2, "z": 3}, "use --tiles for a list of tiles"),
        ({"type": "Topology", "arcs": [[0] * 99]}, 'a.geojson: {"type": "Topology", "arcs": [[0'),
        ({"type": "FeatureCollection"}, 'a.geojson: "features" must be an array'),
        ({"type": "GeometryCollection", "geometries": {}}, 'a.geojson: "geometries" must be an array'),
        (collection(None, {"type": "Point"}), 'a.geojson, feature 2: "coordinates" must be an array'),
        (geometry("Polygon", [7]), "a.geojson: a position must be two or three numbers"),
        (geometry("MultiPolygon", [7]), "a.geojson: a polygon's rings must be an array"),
        (geometry("Polygon", SQUARE), "a.geojson: a position must be two or three numbers"),
        (geometry("Point", [[1, 2]]), "a.geojson: a position must be two or three numbers"),
        (geometry("Point", [1]), "a.geojson: a position must be two or three numbers"),
        (geometry("Point", [1, 2, 3, 4]), "a.geojson: a position must be two or three numbers"),
        (geometry("Point", ["7", "46"]), "a.geojson: a position must be two or three numbers"),
        (geometry("Point", [7, None]), "a.geojson: a position must be two or three numbers"),
        (geometry("Point", [True, False]), "a.geojson: a position must be two or three numbers"),
        (geometry("MultiPoint", [[1, 2], [3, [4]]]), "a.geojson: a position must be two or three numbers"),
        (geometry("MultiPoint", [{"lon": 1, "lat": 2}]), "a.geojson: a position must be two or three numbers"),
        (geometry("Point", [10**400, 2]), "a.geojson: a position must be two or three numbers"),
        (geometry("Point", [math.nan, 2]), "a.geojson: position nan, 2 is not finite"),
        (geometry("Point", [7, -math.inf]), "a.geojson: position 7, -inf is not finite"),
        (geometry("Point", [46.5, 97.5]), "46.5, 97.5 has a latitude outside -90 to 90: write the longitude first"),
        (geometry("Point", [540.5, 0]), "position 540.5, 0 has a longitude outside -540 to 540"),
        (geometry("Point", [830000, 5800000]), f"position 830000, 5800000 looks like metres: {DEGREES}"),
        (collection(geometry("Point", [1, 2]), geometry("LineString", [[1, 2]])), "feature 2: a line needs at least"),
        (geometry("Polygon", [SQUARE, SQUARE[:2]]), "a ring needs at least three positions and a closing one"),
        (geometry("Polygon", [[*SQUARE[:2], SQUARE[0]]]), "a ring needs at least three positions"),
        (crs("EPSG:3857"), f"a.geojson: unsupported CRS 'EPSG:3857': {DEGREES}"),
        (crs("urn:ogc:def:crs:EPSG::14326"), "unsupported CRS 'urn:ogc:def:crs:EPSG::14326'"),
        (crs(None), 'unsupported CRS {"type": "name"'),
        ({**collection(), "crs": "EPSG:4326"}, 'unsupported CRS "EPSG:4326"'),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_one_line_that_says_where(document: object, why: str) -> None:
    with pytest.raises(BadOption) as refused:
        read(document)
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{\n "type": "Point"\n "x": 1}', "a.geojson, line 3: invalid JSON ("),
        ("tiles:\n5/16/11\n", "a.geojson, line 1: invalid JSON ("),
        ("5/16/11\n", "a.geojson, line 1: 5 is not GeoJSON"),
        ("[" * 100_000, "a.geojson, line 1: invalid JSON (nested too deeply"),
        ("9" * 5000, "a.geojson, line 1: invalid JSON ("),
        ('{"type": "Point", "coordinates": [1, 2]}\n{"type": "Po', "a.geojson, line 2: invalid JSON ("),
        (
            '{"type": "Point",\n "coordinates": [1, 2]}\n\n{"type": "Point", "coordinates": [1, 92]}\n',
            "a.geojson, line 4: position 1, 92",
        ),
        (
            f"{json.dumps(collection(None))}\n{json.dumps(collection(None, geometry('Point', [1, 92])))}",
            "a.geojson, line 2, feature 2: position 1, 92",
        ),
    ],
)
def test_a_line_that_cannot_be_read_is_named(text: str, why: str) -> None:
    with pytest.raises(BadOption) as refused:
        read_geojson(text, "a.geojson")
    assert str(refused.value).startswith(why)


@pytest.mark.parametrize("km", [-1, 10_001, math.nan, math.inf])
def test_a_distance_that_no_circle_has_is_refused(km: float) -> None:
    with pytest.raises(BadOption, match=r"--buffer: .* choose 0 to 10,000 km, or use --bbox"):
        read(geometry("Point", [7, 46]), buffer=km * 1000)
    with pytest.raises(BadOption, match=r"--radius: .* choose 0 to 10,000 km, or use --bbox"):
        around(7, 46, km)


def test_a_place_off_the_globe_is_refused() -> None:
    with pytest.raises(BadOption, match="--around: position 7, 91 has a latitude outside -90 to 90"):
        around(7, 91, 5)


@pytest.mark.parametrize(
    "text", ["", "5/16/11\n", "5-16-11\n", "0231\n", "[16, 11, 5]\n", "\x1e[16, 11, 5]\n", '{"x": 1, "y": 2, "z": 3}\n',
             ' { "z": 3, "x": 1, "y": 2}\n', "# {\n5/16/11\n"]
)  # fmt: skip
def test_a_list_of_tiles_does_not_look_like_geojson(text: str) -> None:
    assert not looks_like_geojson(text)


@pytest.mark.parametrize("text", ["{}", '{"type": "Feature"', '\x1e\ufeff {\n"bbox": [0, 0, 1, 1], "type"'])
def test_what_is_meant_to_be_geojson_looks_like_it_broken_or_not(text: str) -> None:
    assert looks_like_geojson(text)


# Buffers


def holds(shapes: Shapes, longitude: Floats, latitude: Floats) -> Flags:
    """Whether each place is in a polygon, in any turn of the world: by even-odd, one by one."""
    x, y = (
        part[:, None] for part in (longitude / 360 + 0.5, 0.5 - np.arcsinh(np.tan(np.radians(latitude))) / math.tau)
    )
    order = np.argsort(shapes.polygons, kind="stable")
    polygons = shapes.polygons[order]
    x0, y0, x1, y1 = shapes.segments[order].T
    starts = np.flatnonzero(np.r_[True, polygons[1:] != polygons[:-1]])
    across = (y0 <= y) != (y1 <= y)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
    found = np.zeros(len(longitude), bool)
    for turn in (-2, -1, 0, 1, 2) if len(polygons) else ():
        crossed = np.add.reduceat(across & (at > x + turn), starts, axis=1)
        found |= (crossed % 2 == 1).any(axis=1)
    return found


def distances(longitude: Floats, latitude: Floats, others: Floats) -> Floats:
    """Metres from each place to the nearest of `others`, on the sphere, by the chords between them."""
    here, there = on_the_sphere(longitude, latitude), on_the_sphere(*others.T)
    squares = np.zeros((len(longitude), len(others)))
    for one, other in zip(here, there, strict=True):
        apart = np.subtract.outer(one, other)
        squares += np.multiply(apart, apart, out=apart)
    found: Floats = 2 * GLOBE * np.arcsin(np.sqrt(np.clip(squares.min(axis=1) / 4, 0, 1)))
    return found


def on_the_sphere(longitude: Floats, latitude: Floats) -> Floats:
    """Places as `(3, places)`, on a sphere of radius 1."""
    east, north = np.radians(longitude), np.radians(latitude)
    return np.array([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)])


def on_the_way(line: list[Place], number: int) -> Floats:
    """Places along a line that is straight in Mercator."""
    heights = np.arcsinh(np.tan(np.radians([latitude for _, latitude in line])))
    found = []
    for ((west, _), low), ((east, _), high) in pairwise(zip(line, heights, strict=True)):
        part = np.linspace(0, 1, number)
        if max(abs(low), abs(high)) > 4:  # the way to a pole is infinite, most of it outside the grid
            part = np.clip(np.r_[part, (np.linspace(-4, 4, 2 * number) - low) / (high - low or 1)], 0, 1)
        found.append(
            np.column_stack([west + part * (east - west), np.degrees(np.arctan(np.sinh(low + part * (high - low))))])
        )
    return np.concatenate(found)


def scattered(near: Floats, metres: float, seed: int, number: int = 160) -> tuple[Floats, Floats]:
    """Places on the grid near others, most of them about `metres` away, by distance and bearing."""
    drawn = np.random.default_rng(seed)
    away = metres / GLOBE * drawn.choice([0.3, 0.9, 0.99, 0.999, 0.9999, 1.011, 1.02, 1.1, 2], number)
    longitude, latitude = np.radians(near[drawn.integers(0, len(near), len(away))]).T
    bearing = drawn.uniform(0, math.tau, len(away))
    north = np.arcsin(
        np.clip(np.sin(latitude) * np.cos(away) + np.cos(latitude) * np.sin(away) * np.cos(bearing), -1, 1)
    )
    east = longitude + np.arctan2(
        np.sin(bearing) * np.sin(away) * np.cos(latitude), np.cos(away) - np.sin(latitude) * np.sin(north)
    )
    kept = np.abs(np.degrees(north)) < MAX_LATITUDE
    return (np.degrees(east)[kept] + 180) % 360 - 180, np.degrees(north)[kept]


def check_buffer(found: Shapes, near: Floats, metres: float, seed: int, number: int = 160) -> None:
    longitude, latitude = scattered(near, metres, seed, number)
    away = distances(longitude, latitude, near)
    held = holds(found, longitude, latitude)
    assert held[away < metres * (1 - 1e-6)].all()
    assert not held[away > metres * LOOSE].any()
    x, y = found.segments[:, :2].T
    corners = np.column_stack([x * 360 - 180, np.degrees(np.arctan(np.sinh(math.pi * (1 - 2 * y))))])
    corners = corners[np.abs(corners[:, 1]) < MAX_LATITUDE][:: 1 + len(corners) * len(near) // 4_000_000]
    assert distances(*corners.T, near).max(initial=0) <= metres * LOOSE


anywhere = st.tuples(st.floats(-180, 180), st.floats(-90, 90) | st.floats(80, 90) | st.sampled_from([0.0, -90.0, 85.1]))
metres_wide = st.floats(0, 7).map(lambda digits: 10.0**digits)
seeds = st.integers(0, 1 << 30)


@given(anywhere, metres_wide, seeds)
@example((0.0, 0.0), 1e7, 1)
@example((12.0, 0.002), 1e7, 2)
@example((179.999, -16.5), 3e5, 3)
@example((-180.0, 89.0), 4e6, 4)
@example((5.0, 0.0), 1.0, 5)
def test_what_is_around_a_place_is_a_circle_on_the_ground(place: Place, metres: float, seed: int) -> None:
    found = around(*place, metres / 1000)
    check_buffer(found, np.array([place]), metres, seed)
    assert same(read(geometry("Point", place), buffer=metres), found)


@st.composite
def walks(draw: st.DrawFn) -> tuple[list[Place], float]:
    """A line of up to about twenty times its buffer, and the buffer in metres; often near a pole."""
    metres = draw(st.floats(0, 6.2).map(lambda digits: 10.0**digits))
    line = [draw(anywhere)]
    for _ in range(draw(st.integers(1, 3))):
        far = math.degrees(draw(st.floats(0, 8)) * metres / GLOBE)
        bearing = draw(st.floats(0, math.tau))
        latitude = min(max(line[-1][1] + far * math.cos(bearing), -89.99), 89.99)
        east = far * math.sin(bearing) / max(math.cos(math.radians(latitude)), 0.02)
        line.append((min(max(line[-1][0] + east, -540.0), 540.0), latitude))
    return line, metres


@given(walks(), seeds)
def test_a_buffer_of_a_line_holds_what_is_near_on_the_ground(walk: tuple[list[Place], float], seed: int) -> None:
    line, metres = walk
    check_buffer(read(geometry("LineString", line), buffer=metres), on_the_way(line, 400), metres, seed)


ZIGZAG = [(8 + number * 0.003, 47 + number % 2 * 0.0015) for number in range(40)]  # 170 m wide


@pytest.mark.parametrize(
    ("line", "metres"),
    [
        ([(0.0, 0.0), (0.0, 1e-9)], 9.7e6),  # nearly half the globe, so nearly a square on the map
        ([(0.0, 5.0), (60.0, 80.0)], 150e3),  # three sizes on the map
        ([(0.0, -84.9), (90.0, -84.9)], 20e3),
        (ZIGZAG, 5e3),
        (ZIGZAG, 100.0),
        ([(20.0, 87.4), (20.0, 87.5)], 300e3),  # around the pole, with only its nearer side on the grid
        ([(-60.0, 78.0), (60.0, 89.0)], 700e3),  # towards the pole
        ([(0.0, 32.6), (4.5, 32.8)], 6345e3),  # contains the pole around one end, not around the other
        ([(-100.0, -80.0), (100.0, -80.0)], 1150e3),  # all of it
        ([(0.0, 20.0), (1.0, 20.0)], 7790e3),  # barely
    ],
)
def test_a_buffer_is_as_wide_as_it_should_be_where_maps_stretch(line: list[Place], metres: float) -> None:
    found = read(geometry("LineString", line), buffer=metres)
    check_buffer(found, on_the_way(line, 4000 // len(line)), metres, seed=1, number=3000)


@pytest.mark.parametrize("place", [(7.5, 46.5), (-179.99, -80.0)])
def test_however_small_a_buffer_is_its_tile_is_selected(place: Place) -> None:
    point = geometry("Point", place)
    assert read(point, buffer=1e-12).touched(18, world(18)) == read(point).touched(18, world(18))


@given(walks(), seeds)
def test_a_buffer_of_a_polygon_adds_what_is_near_its_ring(walk: tuple[list[Place], float], seed: int) -> None:
    line, metres = walk
    ring = [*line, (line[0][0] + math.degrees(metres / GLOBE), line[0][1]), line[0]]
    bare, wide = read(geometry("Polygon", [ring])), read(geometry("Polygon", [ring]), buffer=metres)
    along = on_the_way(ring, 400)
    longitude, latitude = scattered(along, metres, seed)
    away = distances(longitude, latitude, along)
    inside, held = holds(bare, longitude, latitude), holds(wide, longitude, latitude)
    assert held[inside | (away < metres * (1 - 1e-6))].all()
    assert not held[~inside & (away > metres * LOOSE)].any()


@given(st.lists(st.tuples(st.floats(-179, 179), st.floats(-84, 84)), min_size=1, max_size=5), st.floats(10, 400))
@settings(max_examples=examples(15))
def test_every_tile_that_has_ground_within_the_buffer_is_selected(several: list[Place], km: float) -> None:
    z, samples = 5, 4
    touched = read(geometry("MultiPoint", several), buffer=km * 1000).touched(z, world(z))
    x, y = (part.ravel() for part in np.meshgrid(*[(np.arange(2**z * samples) + 0.5) / samples] * 2))
    longitude = x / 2**z * 360 - 180
    latitude = np.degrees(np.arctan(np.sinh(math.pi * (1 - 2 * y / 2**z))))
    near = distances(longitude, latitude, np.array(several)) < km * 1000
    assert touched.holds(interleaved(x[near].astype(np.int64), y[near].astype(np.int64))).all()


@pytest.mark.parametrize("latitude", [84.0, -88.0])
def test_a_circle_that_holds_a_pole_reaches_the_end_of_the_world_at_every_longitude(latitude: float) -> None:
    touched = around(100, latitude, 1400).touched(6, world(6))
    x, y = places(touched.codes)
    assert set(x[y == (0 if latitude > 0 else 63)].tolist()) == set(range(64))
    assert len(touched) < 64 * 20


def test_a_buffer_of_a_detailed_line_needs_few_segments() -> None:
    """Around a coast with positions 20 m apart, few matter for 5 km; for 2 m, most do."""
    drawn = np.random.default_rng(5)
    steps = np.cumsum(drawn.normal([1e-4, 0], 2e-4, (4000, 2)), axis=0)
    coast = geometry("LineString", (steps + np.array([8, 47])).tolist())
    assert len(read(coast, buffer=5000).segments) < 1000
    assert len(read(coast, buffer=2).segments) < 12 * len(steps)


def in_one(paths: Paths, points: Floats, metres: float) -> Any:
    """The buffer as one geometry of shapely, made by one union."""
    return shapely.union_all(widened(paths, points, metres).polygons())


@given(st.lists(rings, min_size=1, max_size=2), st.floats(1e3, 2e5))
@settings(max_examples=examples(5))
def test_a_buffer_is_the_same_however_it_is_cut_to_be_united(several: list[list[Place]], metres: float) -> None:
    """Parts keep their order, and progress counts each, independent of the threads."""
    vertices = np.concatenate([np.reshape([in_plane(place) for place in ring[:-1]], (-1, 2)) for ring in several])
    paths, told = Paths(vertices, np.array([len(ring) - 1 for ring in several]), np.full(len(several), LINE)), []
    whole = in_one(paths, NOWHERE, metres)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plane, "AT_ONCE", 256)
        parts = in_one(paths, NOWHERE, metres)
        found = [widened(paths, NOWHERE, metres, lambda *each: told.append(each)) for _ in "12"]
    assert shapely.symmetric_difference(whole, parts).area <= 1e-9 * whole.area
    assert np.array_equal(found[0].vertices, found[1].vertices)
    done, totals = zip(*told, strict=True)
    assert done == (*range(1, totals[0] + 1),) * 2
    assert set(totals) == {len(told) // 2}


# Dissolved polygons


def square(west: float, east: float, south: float = 1, north: float = 60) -> list[list[Place]]:
    return [[(west, south), (east, south), (east, north), (west, north)]]


@pytest.mark.parametrize(
    ("one", "other", "west", "east"),
    [
        (square(2, 17.3), square(17.3, 40), 2, 40),
        (square(2, 22), square(17.3, 40), 2, 40),
        (square(150, 180), square(-180, -150), 150, 210),
        (square(150, 190), square(-170, -150), 150, 210),
        (square(-190.5, -150), square(150, 169.5), 150, 210),
        (square(-180, 0), square(0, 180), 0, 360),
    ],
)
def test_a_tile_across_a_shared_border_is_within_what_is_dissolved(
    one: object, other: object, west: float, east: float
) -> None:
    z, apart, together = 5, *(read(geometry("MultiPolygon", [one, other]), dissolve=each) for each in (False, True))
    assert apart.touched(z, world(z)) == together.touched(z, world(z))
    x, y = places(together.within(z, world(z)).codes)
    side = 360 / 2**z
    columns = {column % 2**z for column in range(math.ceil((west + 180) / side), math.floor((east + 180) / side))}
    rows = range(mercantile.tile(0, 60, z).y + 1, mercantile.tile(0, 1, z).y)
    assert set(zip(x.tolist(), y.tolist(), strict=True)) == {(column, row) for column in columns for row in rows}


@given(st.lists(st.lists(st.integers(3, 6), min_size=1, max_size=2), min_size=1, max_size=3), seeds)
def test_dissolved_polygons_hold_what_one_of_them_holds(several: list[list[int]], seed: int) -> None:
    """Also for rings that cross themselves and each other, by even-odd, in any turn of the world."""
    drawn = np.random.default_rng(seed)
    coordinates = [
        [drawn.uniform([-500, -85], [500, 85], (sides, 2)).tolist() for sides in polygon] for polygon in several
    ]
    bare, found = (read(geometry("MultiPolygon", coordinates), dissolve=each) for each in (False, True))
    longitude, latitude = drawn.uniform(-180, 180, 200), drawn.uniform(-85, 85, 200)
    assert np.array_equal(holds(found, longitude, latitude), holds(bare, longitude, latitude))
    assert ((found.segments[:, ::2] >= 0) & (found.segments[:, ::2] <= 1)).all()


def test_lines_and_points_are_left_as_they_are_when_polygons_are_dissolved() -> None:
    line, point = geometry("LineString", [[1, 2], [3, 4]]), geometry("Point", [5, 6])
    assert same(read(collection(line, point), dissolve=True), read(collection(line, point)))
    found = read(collection(line, geometry("Polygon", square(7, 8)), point), dissolve=True)
    assert (found.polygons == LINE).sum() == len(found.points) == 1
    assert len(found.segments) == 5


def test_no_lambda_loads_what_geometry_needs() -> None:
    loaded = "import sys, seeder.workers.lambda_handler, tiler.http; print('shapely' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
