"""Selectors: different kinds intersect, repeats unite, and every command means the same tiles by them."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import mercantile
import numpy as np
import numpy.typing as npt
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from mercantile import Tile
from supermercado import burntiles

from tests.support.commands import Tiles, complaint, geojson, listed, said, seeder, together
from tests.support.layer_strategies import GLOBE, cells_of, held
from tests.support.queues import MakeQueue, taken
from tests.support.strategies import bounds, tiles
from tests.support.tilesets import touched
from tiler.grid import Bounds
from tiler.layers.footprint import Footprint
from tiler.layers.publication import publish
from tiler.settings import Settings
from tiler.storage.store import Stores, open_store

CELLS = np.array([list(row) for row in ("0110", "1101", "1111", "1101", "1110", "1011", "0010")]) == "1"
PACIFIC = replace(
    GLOBE, id="pacific", bounds=Bounds(140, -50, -140, 60), maxzoom=6, footprint=Footprint(4, 14, 4, CELLS)
)
ZOOMS = tuple(range(PACIFIC.maxzoom + 1))

Ring = list[tuple[float, float]]
Floats = npt.NDArray[np.float64]


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip rasterio's slow search for AWS keys whenever supermercado burns."""
    monkeypatch.setattr("rasterio.session.boto3", None)


@pytest.fixture(scope="module")
def pacific(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the layer `pacific`, across the antimeridian, without stored tiles."""
    data = tmp_path_factory.mktemp("pacific")
    publish(PACIFIC, Stores.open(Settings.from_env({}, data=str(data)), create=True))
    return data


# Meaning of options, tile by tile


@dataclass(frozen=True)
class Kind:
    """Options of one kind, each with its value or, as bytes, its file's text; and their tiles."""

    given: tuple[tuple[str, str | bytes], ...]
    means: Callable[[int], Tiles]  # of a zoom, and others outside the layer's range


@cache
def all_of(z: int) -> frozenset[Tile]:
    """The tiles of the layer's bounds."""
    return frozenset(touched(PACIFIC.bounds, z))


def burnt(geometry: Mapping[str, Any], z: int) -> Tiles:
    """Supermercado's burn of a geometry that may cross the antimeridian."""
    found = set[Tile]()
    for turn in (-360, 0, 360):
        moved = shapely.transform(shapely.geometry.shape(geometry), lambda at, by=turn: np.add(at, [by, 0]))
        if moved.bounds[0] < 180 and moved.bounds[2] > -180:
            feature = {"geometry": json.loads(shapely.to_geojson(moved))}
            found |= {Tile(x=int(x), y=int(y), z=z) for x, y, _ in burntiles.burn([feature], z)}
    return found


def in_world(degrees: Floats) -> Floats:
    """Places in the square world, with (0, 0) its north-west corner."""
    size = 2 * math.pi * 6378137
    metres = np.array([mercantile.xy(*place) for place in degrees])
    return np.asarray(metres * [1 / size, -1 / size] + 0.5)


def inside(geometries: Sequence[Mapping[str, Any]], z: int) -> Tiles:
    """The tiles wholly inside the union of the polygons."""
    shape = shapely.union_all([shapely.transform(shapely.geometry.shape(each), in_world) for each in geometries])
    shapely.prepare(shape)
    some = sorted(all_of(z))
    x, y = np.array([[tile.x for tile in some], [tile.y for tile in some]]) / 2**z
    turned = [shapely.covers(shape, shapely.box(x + by, y, x + by + 2.0**-z, y + 2.0**-z)) for by in (-1, 0, 1)]
    return {tile for tile, held_ in zip(some, np.any(turned, axis=0), strict=True) if held_}


def related(one: Tile, other: Tile) -> bool:
    """Whether one of the tiles contains the other."""
    low, deep = sorted((one, other), key=lambda tile: tile.z)
    return (deep.x >> deep.z - low.z, deep.y >> deep.z - low.z) == (low.x, low.y)


SPOTS = np.random.default_rng(8).random((1000, 2)) * [0.28, 0.45] + [0.86, 0.27]  # in and around the layer; on no edge


def on_earth(world: Floats) -> Ring:
    """Degrees of places in the square world; the inverse of `in_world`."""
    longitudes, latitudes = world[:, 0] * 360 - 180, np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * world[:, 1]))))
    return list(zip(longitudes.tolist(), latitudes.tolist(), strict=True))


@st.composite
def spots(draw: st.DrawFn, number: int) -> Floats:
    """Places in the square world, near each other or far apart, some shifted by a whole world."""
    some = SPOTS[draw(st.lists(st.integers(0, 999), min_size=number, max_size=number, unique=True))]
    scale, turn = draw(st.sampled_from([1.0, 0.3, 0.02])), draw(st.sampled_from([0, -1]))
    return np.asarray(some[0] + scale * (some - some[0]) + [turn, 0])


@st.composite
def polygons(draw: st.DrawFn) -> dict[str, Any]:
    """Triangles, some with a smaller one as a hole."""
    corners = draw(spots(3))
    middle = corners.mean(axis=0)
    rings = [corners, middle + 0.4 * (corners - middle)][: draw(st.integers(1, 2))]
    return {"type": "Polygon", "coordinates": [on_earth(np.vstack([ring, ring[:1]])) for ring in rings]}


def geometries() -> st.SearchStrategy[dict[str, Any]]:
    lines = spots(3).map(lambda line: {"type": "LineString", "coordinates": on_earth(line)})
    return polygons() | lines | spots(1).map(lambda point: {"type": "Point", "coordinates": on_earth(point)[0]})


def few() -> st.SearchStrategy[list[int]]:
    return st.lists(st.sampled_from(ZOOMS), min_size=1, max_size=4, unique=True)


def said_zooms(zooms: Iterable[int]) -> str:
    return ",".join(map(str, zooms))


def boxes() -> st.SearchStrategy[Bounds]:
    """Any boxes, and boxes around the layer."""

    def between(ends: Floats) -> Bounds:
        (west, south), (east, north) = on_earth(ends % 1)
        return Bounds(west, min(south, north), east, max(south, north))

    return bounds() | spots(2).map(between)


@st.composite
def box_kinds(draw: st.DrawFn) -> Kind:
    some = draw(st.lists(boxes(), min_size=1, max_size=3))
    near = [box for box in some if box.overlaps(PACIFIC.bounds)]
    words = tuple(("--bbox", ",".join(map(repr, box))) for box in some)
    return Kind(words, lambda z: together(touched(box, z) for box in near))


@st.composite
def shape_kinds(draw: st.DrawFn) -> Kind:
    files = draw(st.lists(st.lists(geometries(), min_size=1, max_size=2), min_size=1, max_size=2))
    words = tuple(("--geojson", geojson(*file).encode()) for file in files)
    return Kind(words, lambda z: together(burnt(each, z) for file in files for each in file))


def lists() -> st.SearchStrategy[Tiles]:
    """Tiles, most of them the layer's."""
    own = st.sampled_from(sorted(together(map(all_of, ZOOMS))))
    return st.sets(own | tiles(8), min_size=1, max_size=8)


def text_of(some: Iterable[Tile]) -> bytes:
    return "".join(f"{tile.z}/{tile.x}/{tile.y}\n" for tile in some).encode()


@st.composite
def list_kinds(draw: st.DrawFn) -> Kind:
    some, zooms = draw(lists()), draw(st.none() | few())
    if zooms is None:
        return Kind((("--tiles", text_of(some)),), lambda _: some)
    words = (("--tiles", text_of(some)), ("--expand", said_zooms(zooms)))
    return Kind(words, lambda z: {t for t in all_of(z) if z in zooms and any(related(t, each) for each in some)})


@st.composite
def area_kinds(draw: st.DrawFn) -> Kind:
    """Places for some zooms; nothing at the others."""
    areas = draw(st.lists(st.tuples(few(), st.none() | boxes() | geometries()), min_size=1, max_size=3))

    def word(zooms: list[int], place: Bounds | dict[str, Any] | None) -> str | bytes:
        if isinstance(place, dict):
            return f"{said_zooms(zooms)}={json.dumps(place)}".encode()
        return f"{said_zooms(zooms)}={'world' if place is None else ','.join(map(repr, place))}"

    def there(place: Bounds | dict[str, Any] | None, z: int) -> Iterable[Tile]:
        if place is None:
            return all_of(z)
        return touched(place, z) if isinstance(place, Bounds) else burnt(place, z)

    words = tuple(("--area", word(*area)) for area in areas)
    return Kind(words, lambda z: together(there(place, z) for zooms, place in areas if z in zooms))


@st.composite
def exclude_kinds(draw: st.DrawFn) -> Kind:
    """The tiles remaining after excluding polygons, of one file together, and lists."""
    files = draw(st.lists(lists() | st.lists(polygons(), min_size=1, max_size=2), min_size=1, max_size=2))
    words = tuple(("--exclude", text_of(file) if isinstance(file, set) else geojson(*file).encode()) for file in files)
    return Kind(
        words, lambda z: all_of(z) - together(file if isinstance(file, set) else inside(file, z) for file in files)
    )


def zoom_kinds() -> st.SearchStrategy[Kind]:
    def only(zooms: list[int]) -> Kind:
        return Kind((("--zooms", said_zooms(zooms)),), lambda z: all_of(z) if z in zooms else set())

    return few().map(only)


def footprint_kinds() -> st.SearchStrategy[Kind]:
    return st.sampled_from([FOOTPRINT, NO_FOOTPRINT])


FOOTPRINT = Kind((("--footprint", ""),), lambda z: held(PACIFIC.footprint, z))
NO_FOOTPRINT = Kind((("--no-footprint", ""),), all_of)
KINDS = (zoom_kinds, box_kinds, shape_kinds, list_kinds, area_kinds, exclude_kinds, footprint_kinds)


@st.composite
def questions(draw: st.DrawFn) -> list[Kind]:
    """Options of some kinds, in any order."""
    return [draw(kind()) for kind in draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4, unique=True))]


def meant(kinds: Sequence[Kind], z: int) -> Tiles:
    """The layer's tiles that match each kind, and have data unless the footprint is ignored."""
    found: Tiles = all_of(z) if NO_FOOTPRINT in kinds else all_of(z) & held(PACIFIC.footprint, z)
    for kind in kinds:
        found = found and found & kind.means(z)
    return found


def words_of(kinds: Iterable[Kind], folder: Path) -> list[str]:
    """The command line; its files are written to a folder."""
    words = list[str]()
    for number, (option, value) in enumerate(each for kind in kinds for each in kind.given):
        name = folder / f"{number}.txt"
        if isinstance(value, bytes):
            zooms, _, text = value.rpartition(b"=")
            name.write_bytes(text)
            words += [option, f"{zooms.decode()}={name}" if zooms else str(name)]
        else:
            words += [option, value] if value else [option]
    return words


@pytest.mark.filterwarnings("ignore:Mercantile 2.0:FutureWarning")  # supermercado asks it for column 2**z
@given(questions())
def test_kinds_narrow_each_other_and_repeats_of_one_join(pacific: Path, kinds: list[Kind]) -> None:
    wanted = {z: meant(kinds, z) for z in ZOOMS}
    words = ("pacific", "--data", pacific, *words_of(kinds, pacific))
    if not any(wanted.values()):
        for result in (seeder("count", *words, "--json"), seeder("list", *words)):
            assert complaint(result)
        return
    assert listed(*words) == together(wanted.values())
    found = said(seeder("count", *words, "--json"))
    assert {int(z): number for z, number in found["by_zoom"].items() if number} == {
        z: len(some) for z, some in wanted.items() if some
    }
    assert found["tiles"] == sum(map(len, wanted.values()))


def test_polygons_of_a_file_leave_out_the_tiles_between_them_too(pacific: Path, tmp_path: Path) -> None:
    words = ("pacific", "--data", pacific, "--zooms", "6", "--no-footprint")
    middle = 171.3  # through a column of tiles
    halves = [shapely.geometry.mapping(shapely.box(*ends)) for ends in ((158, -20, middle, 30), (middle, -20, 189, 30))]
    (tmp_path / "both.json").write_text(geojson(*halves))
    (tmp_path / "west.json").write_text(geojson(halves[0]))
    (tmp_path / "east.json").write_text(geojson(halves[1]))
    border = {tile for tile in inside(halves, 6) if tile.x == mercantile.tile(middle, 0, 6).x}
    assert border
    assert listed(*words, "--exclude", tmp_path / "both.json") == all_of(6) - inside(halves, 6)
    apart = ("--exclude", tmp_path / "west.json", "--exclude", tmp_path / "east.json")
    assert border <= listed(*words, *apart)


def test_invalidate_does_not_stop_at_the_footprint_unless_it_is_told_to(pacific: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(pacific, tmp_path / "data"))
    tiles_ = open_store((data / "tiles").as_uri())
    for tile in all_of(5):
        tiles_.put(f"pacific/5/{tile.x}/{tile.y}.png", b"tile", content_type="image/png")
    words = ("pacific", "--zooms", "5", "--data", data)
    bare, own = all_of(5) - held(PACIFIC.footprint, 5), all_of(5) & held(PACIFIC.footprint, 5)
    assert bare
    assert own
    options = ((), ("--footprint",), ("--no-footprint",))
    looked = [said(seeder("invalidate", *words, *each, "--dry-run", "--json"))["existed"] for each in options]
    counted = [said(seeder("count", *words, *each, "--json"))["tiles"] for each in options]
    assert (looked, counted) == (
        [len(bare | own), len(own), len(bare | own)],
        [len(own), len(own), len(bare | own)],
    )


def away(tile: Tile, place: tuple[float, float]) -> float:
    """Kilometres to the nearest of many places in a tile (the haversine formula; Sinnott 1984)."""
    box = mercantile.bounds(tile)
    x, y = np.meshgrid(np.linspace(box.west, box.east, 33), np.linspace(box.south, box.north, 33))
    lon, lat, lon0, lat0 = (np.radians(degrees) for degrees in (x, y, *place))
    part = np.sin((lat - lat0) / 2) ** 2 + np.cos(lat) * np.cos(lat0) * np.sin((lon - lon0) / 2) ** 2
    return float(2 * 6371.0088 * np.arcsin(np.sqrt(part)).min())


def test_a_circle_is_the_point_with_a_buffer_in_metres(pacific: Path) -> None:
    for place, km in (((179.3, 51.2), 900), ((-178.4, -44.7), 250), ((171.1, 0.3), 1400)):
        words = ("pacific", "--data", pacific, "--no-footprint", "--zooms", "4-6")
        circle = listed(*words, "--around", f"{place[0]},{place[1]}", "--radius", km)
        point = json.dumps({"type": "Point", "coordinates": place})
        assert circle == listed(*words, "--geojson", "-", "--buffer", 1000 * km, stdin=point)
        distances = {tile: away(tile, place) for z in (4, 5, 6) for tile in all_of(z)}
        assert {tile for tile, distance in distances.items() if distance < km} <= circle
        assert all(distances[tile] < 1.01 * km + 60 for tile in circle), "the places are up to 60 km apart"
        assert {tile.x < 2**5 for tile in circle if tile.z == 6} == {True, False}


def test_circles_join_and_narrow_shapes_that_come_in_files(pacific: Path, tmp_path: Path) -> None:
    words = ("pacific", "--data", pacific, "--zooms", "5-6", "--no-footprint")
    west, east = (("--radius", 700, "--around", place) for place in ("168.1,12.3", "-168.7,12.9"))
    both = listed(*words, *west, *east[2:])
    assert both == listed(*words, *west) | listed(*words, *east)
    line = {"type": "LineString", "coordinates": [[160.3, 3.1], [197.7, 21.9]]}
    (tmp_path / "line.json").write_text(json.dumps(line))
    near = listed(*words, "--geojson", tmp_path / "line.json", "--buffer", "90000")
    assert near & both < both
    assert listed(*words, *west, *east[2:], "--geojson", tmp_path / "line.json", "--buffer", "90000") == near & both


@pytest.mark.filterwarnings("ignore:Mercantile 2.0:FutureWarning")  # as above
def test_a_polygon_across_the_antimeridian_goes_to_a_queue_whole(make_queue: MakeQueue, pacific: Path) -> None:
    queue = make_queue()
    deep = replace(PACIFIC, id="deep", maxzoom=9, bounds=Bounds(135, -60, -135, 68))
    publish(deep, Stores.open(Settings.from_env({}, data=str(pacific))))
    ring = [[131.7, -31.7], [203.9, -42.1], [214.2, 3.3], [196.7, 51.8], [131.1, 47.3], [131.7, -31.7]]
    shape = {"type": "Polygon", "coordinates": [ring]}
    words = ("--data", pacific, "--zooms", "0,9", "--geojson", "-", "--order", "hilbert", "--queue", queue.url)
    sent = said(seeder("seed", "deep", *words, "--json", stdin=json.dumps(shape)))
    requests = [message.request for message in taken(queue)]
    assert {request.block.size for request in requests} == {8, 64}
    found = [
        tile for request in requests for tile in request.block.tiles(request.tiles if request.block.size == 8 else None)
    ]
    assert len(found) == len(set(found)) == sent["tiles"]
    cells = cells_of(deep.footprint)
    wanted = {tile for tile in burnt(shape, 9) if Tile(x=tile.x >> 5, y=tile.y >> 5, z=4) in cells}
    assert set(found) == wanted | {Tile(0, 0, 0)}
    assert {tile.x < 2**8 for tile in wanted} == {True, False}


@pytest.mark.usefixtures("alps_copy")
@pytest.mark.parametrize(
    ("box", "mistake"),
    [
        ("45.5,6,46.5,8", "if latitudes and longitudes are swapped in 45.5,6,46.5,8, write 6,45.5,8,46.5"),
        ("100,10,110,20", ""),
    ],
)
def test_a_box_that_misses_the_layer_in_the_wrong_order_is_told(box: str, mistake: str) -> None:
    line = complaint(seeder("count", "alps", "--zooms", 9, "--bbox", box))
    assert "no tile of layer 'alps' is selected" in line
    assert line.endswith(f"(W,S,E,N); {mistake}" if mistake else "(W,S,E,N)")


@pytest.mark.usefixtures("alps_copy")
@pytest.mark.parametrize("command", ["count", "seed", "invalidate"])
@pytest.mark.parametrize("option", ["--bbox=", "--area=9="])
def test_a_box_around_the_globe_is_refused(command: str, option: str) -> None:
    line = complaint(seeder(command, "alps", "--zooms", 9, f"{option}-170,45.5,-175,46.5"))
    assert "box -170,45.5,-175,46.5 spans 355 degrees across the antimeridian: write -175,45.5,-170,46.5" in line


def test_a_layer_across_the_antimeridian_takes_a_box_around_the_globe(pacific: Path) -> None:
    result = seeder("count", "pacific", "--zooms", 3, "--bbox=10,-80,5,80", "--data", pacific)
    assert result.exit_code == 0
    assert "if west and east are swapped, write 5,-80,10,80" in result.stderr


@pytest.mark.usefixtures("alps_copy")
@pytest.mark.parametrize("world", [(), ("--area", "0-5=world")])
def test_an_area_in_the_wrong_order_is_told(world: tuple[str, ...]) -> None:
    line = complaint(seeder("count", "alps", *world, "--area", "6-9=45.5,6,46.5,8"))
    assert "an --area misses layer 'alps'" in line
    assert "write 6,45.5,8,46.5" in line
