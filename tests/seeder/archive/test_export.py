"""Archives contain the stored tiles, byte for byte, for independent readers, after any interruption."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mercantile
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mercantile import Tile
from pmtiles.reader import Reader
from pmtiles.tile import Entry, serialize_directory, zxy_to_tileid

from seeder.archive import pmtiles as pmtiles_file
from seeder.archive.export import Export, Kind, Source, Target, extent
from seeder.archive.mbtiles import APPLICATION
from seeder.archive.pmtiles import LEAVES, ROOT, ordered
from seeder.select.tileset import TileSet, TileSets
from tests.support.archives import (
    KINDS,
    NAMES,
    Content,
    Shelf,
    chosen,
    contents,
    each_of,
    hilbert_tile,
    made,
    mbtiles,
    pmtiles,
    pyramid,
    read,
)
from tests.support.effort import examples
from tests.support.layer_strategies import GLOBE, layers
from tests.support.site import memory
from tiler.errors import BadOption, MissingObject
from tiler.grid import Bounds
from tiler.layers.catalog import Layer
from tiler.layers.render import TileVariant
from tiler.raster.options import Options
from tiler.storage.store import Store, Stores


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=examples(10))
@given(contents(), st.data())
def test_an_archive_holds_what_is_stored_byte_for_byte(kind: Kind, content: Content, data: st.DataObject) -> None:
    shelf = Shelf.of(content)
    gone = data.draw(st.sets(st.sampled_from(sorted(content)), max_size=len(content) - 1))
    for tile in gone:
        if data.draw(st.booleans()):
            shelf.tiles.delete([shelf.key(tile)])
        else:
            shelf.tiles.put(shelf.key(tile), b"", content_type="image/png")
    with TemporaryDirectory() as name:
        target = Target.parse(f"{name}/{NAMES[kind]}")
        assert made(shelf.source(chosen(content)), target) == len(gone)
        assert read(target) == {tile: seen for tile, seen in content.items() if tile not in gone}
        assert [each.name for each in Path(name).iterdir()] == [target.path.name]


@given(contents(deepest=9))
def test_tiles_come_in_the_order_of_pmtiles_numbers(content: Content) -> None:
    found = list(ordered(chosen(content)))
    assert [tile for _, tile in found] == sorted(content, key=lambda tile: zxy_to_tileid(tile.z, tile.x, tile.y))
    assert [number for number, _ in found] == [zxy_to_tileid(tile.z, tile.x, tile.y) for _, tile in found]
    assert [hilbert_tile(number) for number, _ in found] == [tile for _, tile in found]


@settings(max_examples=examples(15))
@given(contents(), st.integers(1, 5))
def test_pmtiles_are_clustered_and_hold_each_picture_once(content: Content, size: int) -> None:
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(pmtiles_file, "LEAF", size)
        target = Target.parse(f"{name}/out.pmtiles")
        made(Shelf.of(content).source(chosen(content)), target)
        found = pmtiles(target.path)
        assert found.tiles == content
        assert found.depth == 1 + (len(found.entries) > size)
        end = 0
        for _, _, length, offset in found.entries:
            assert offset <= end
            end = max(end, offset + length)
        runs = [run for _, run, _, _ in found.entries]
        pictures = len(set(content.values()))
        assert (end, found.header["data_size"]) == (sum(map(len, set(content.values()))),) * 2
        said = [found.header[name] for name in ("tiles", "entries", "contents", "clustered", "inner", "outer", "type")]
        assert said == [sum(runs), len(runs), pictures, 1, 2, 1, 2]
        zooms = [tile.z for tile in content]
        assert (found.header["minzoom"], found.header["maxzoom"]) == (min(zooms), max(zooms))
        for one, after in zip(found.entries, found.entries[1:], strict=False):
            assert one[0] + one[1] <= after[0]
            assert one[0] + one[1] < after[0] or one[3] != after[3], "a run was cut"


def test_a_large_pmtiles_directory_has_leaves_and_a_root_that_is_read_at_once(tmp_path: Path) -> None:
    content = pyramid(6)
    target = Target.parse(str(tmp_path / "out.pmtiles"))
    made(Shelf.of(content).source(chosen(content)), target)
    found = pmtiles(target.path)
    assert found.tiles == content
    assert found.depth == 2
    data = target.path.read_bytes()
    reader = Reader(lambda offset, length: data[offset : offset + length])
    for tile in list(content)[::500]:
        assert reader.get(tile.z, tile.x, tile.y) == content[tile]
    assert reader.get(7, 0, 0) is None


def test_the_root_directory_has_room_for_all_its_leaves() -> None:
    """The largest entries: far apart at the deepest zooms, of lengths that vary as much as possible."""
    rng = np.random.default_rng(5)
    numbers = np.sort(rng.integers(0, 4**28, LEAVES)).tolist()
    lengths = rng.integers(1 << 14, 1 << 20, LEAVES).tolist()
    offsets = [0, *np.cumsum(lengths).tolist()]
    root = [Entry(number, *each, 0) for number, *each in zip(numbers, offsets, lengths, strict=False)]
    assert len(serialize_directory(root)) <= ROOT


TOLD = Options(title="The globe", description="All of it.")


def test_mbtiles_are_what_the_specification_says(tmp_path: Path) -> None:
    content = pyramid(3) | dict.fromkeys(each_of(3), b"sea")
    layer = replace(GLOBE, asked=TOLD, attribution="© <b>us</b>", bounds=Bounds(-10.0, -20.0, 30.0, 40.0))
    target = Target.parse(str(tmp_path / "out.mbtiles"))
    made(Shelf.of(content, layer).source(chosen(content)), target)
    tiles, said = mbtiles(target.path)
    assert tiles == content
    assert said == {
        "name": "The globe",
        "description": "All of it.",
        "layer": "globe",
        "format": "png",
        "bounds": "-10,-20,30,40",
        "center": "10,10,3",
        "minzoom": "0",
        "maxzoom": "3",
        "attribution": "© us",
        "type": "overlay",
        "version": "1",
        "scheme": "tms",
        "revision": "9f2c",
        "scale": "1",
    }
    with closing(sqlite3.connect(target.path)) as base:
        assert base.execute("PRAGMA application_id").fetchone() == (APPLICATION,)
        assert APPLICATION.to_bytes(4, "big") == b"MPBX"
        assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert base.execute("SELECT count(*) FROM images").fetchone() == (len(set(content.values())),)
        plan = base.execute("EXPLAIN QUERY PLAN SELECT tile_data FROM tiles WHERE zoom_level = 3 AND tile_column = 1")
        assert not any("SCAN" in step for *_, step in plan), "a tile is found by an index"


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_tells_what_the_layer_s_tilejson_does(kind: Kind, tmp_path: Path) -> None:
    content = {tile: data for tile, data in pyramid(4).items() if tile.z >= 2}
    layer = replace(GLOBE, asked=TOLD, attribution="us", format="jpg")
    variant = TileVariant(scale=2, format="jpg")
    target = Target.parse(str(tmp_path / NAMES[kind]))
    made(Shelf.of(content, layer, variant).source(chosen(content)), target)
    if kind == "pmtiles":
        found = pmtiles(target.path)
        said: dict[str, Any] = found.metadata
        header = found.header
        assert [header[name] for name in ("minzoom", "maxzoom", "zoom", "type")] == [2, 4, 2, 3]
        box = [header[name] / 1e7 for name in ("west", "south", "east", "north")]
        assert (header["longitude"], header["latitude"]) == (0, 0)
    elif kind == "mbtiles":
        said = mbtiles(target.path)[1]
        assert (said["minzoom"], said["maxzoom"], said["center"]) == ("2", "4", "0,0,2")
        box = [float(edge) for edge in said["bounds"].split(",")]
    else:
        said = json.loads((target.path / "tile.json").read_text())
        assert (said["minzoom"], said["maxzoom"], said["center"]) == (2, 4, [0, 0, 2])
        assert said["tiles"] == ["{z}/{x}/{y}@2x.jpg"]
        assert (target.path / "2/1/0@2x.jpg").read_bytes() == content[Tile(x=1, y=0, z=2)]
        box = said["bounds"]
    assert box == pytest.approx([-180, -85.0511287798, 180, 85.0511287798])
    names = ("name", "description", "layer", "attribution", "type", "format", "scale")
    assert [said[name] for name in names] == [*("The globe", "All of it.", "globe", "us", "baselayer", "jpg", "2")]


@given(contents())
def test_bounds_touch_every_tile_and_lie_within_those_that_have_none_below(content: Content) -> None:
    box = extent(chosen(content))
    above = {mercantile.parent(tile, zoom=z) for tile in content for z in range(tile.z)}
    ends = [mercantile.bounds(tile) for tile in content if tile not in above]
    assert all(box.overlaps(Bounds(*mercantile.bounds(tile))) for tile in content)
    edges = (each(values) for each, values in zip((min, min, max, max), zip(*ends, strict=True), strict=True))
    assert tuple(box) == pytest.approx(tuple(edges), abs=1e-9)


@given(layers(deepest=4), st.data())
def test_bounds_of_an_archive_lie_within_the_layer_s(layer: Layer, data: st.DataObject) -> None:
    tiles = {}
    for z in data.draw(st.sets(st.integers(layer.minzoom, layer.maxzoom), min_size=1)):
        codes = TileSet.ranges(z, layer.ranges(z)).codes
        if len(codes):
            tiles[z] = TileSet.of(z, codes[data.draw(st.lists(st.integers(0, len(codes) - 1), min_size=1))])
    assume(tiles)
    source = Source(layer, TileVariant(format=layer.format), Stores(memory(), memory(), ""), TileSets(tiles))
    zooms = tuple(sorted(tiles))
    said = source.tilejson(zooms, {"revision": "1"})
    west, south, east, north = said["bounds"]
    plain = layer.bounds.plain
    assert plain.west <= west < east <= plain.east
    assert plain.south <= south < north <= plain.north
    assert said["minzoom"] <= said["center"][2] <= said["maxzoom"]
    assert south <= said["center"][1] <= north


# Destination


def test_nothing_to_export_is_told_with_the_cure(tmp_path: Path) -> None:
    content = pyramid(1)
    shelf = Shelf.of(content)
    target = Target.parse(str(tmp_path / "out.pmtiles"))
    with pytest.raises(BadOption, match="`seed globe` first"), Export.open(shelf.source(TileSets({})), target):
        pass
    assert list(tmp_path.iterdir()) == []
    shelf.tiles.delete([shelf.key(tile) for tile in content])
    with pytest.raises(BadOption, match="were removed: seed them again"):
        made(shelf.source(chosen(content)), target)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.pmtiles", "pmtiles"),
        ("a.PMTiles", "pmtiles"),
        ("a.mbtiles", "mbtiles"),
        ("tiles", "folder"),
        ("tiles/", "folder"),
        ("alps-1.0", "folder"),
        ("alps.old/", "folder"),
    ],
)
def test_a_name_tells_the_kind(name: str, kind: Kind, tmp_path: Path) -> None:
    assert Target.parse(f"{tmp_path}/{name}") == Target(tmp_path / name, kind)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.zip", "use .pmtiles or .mbtiles, or end a folder with a slash"),
        ("no/a.pmtiles", "create it first"),
        ("there.pmtiles", "--overwrite"),
        ("there", "--overwrite"),
        ("folder.pmtiles", "is a folder"),
        ("file", "is not a folder"),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_the_cure(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "there.pmtiles").touch()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "tile.json").touch()
    (tmp_path / "folder.pmtiles").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(BadOption, match=said):
        Target.parse(f"{tmp_path}/{name}")


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_is_replaced_only_when_that_is_asked_for(kind: Kind, tmp_path: Path) -> None:
    name = str(tmp_path / NAMES[kind])
    for deepest in (2, 1):
        content = pyramid(deepest)
        target = Target.parse(name, overwrite=deepest == 1)
        made(Shelf.of(content).source(chosen(content)), target)
        assert read(target) == content
    assert [each.name for each in tmp_path.iterdir()] == [NAMES[kind]]


@pytest.mark.parametrize("others", [["notes.txt", "tile.json"], ["5"]])
def test_a_folder_that_is_no_archive_is_never_replaced(others: list[str], tmp_path: Path) -> None:
    for other in others:
        (tmp_path / other).touch()
    with pytest.raises(BadOption, match="contains files other than tiles"):
        Target.parse(f"{tmp_path}/", overwrite=True)


def test_tiles_come_from_every_store(store: Store, tmp_path: Path) -> None:
    content = pyramid(2)
    shelf = Shelf.of(content, store=store)
    target = Target.parse(str(tmp_path / "out.pmtiles"))
    tiles = chosen(content | {Tile(x=0, y=0, z=3): b"never stored"})
    assert made(shelf.source(tiles), target) == 1
    assert read(target) == content
    with pytest.raises(MissingObject):
        store.get(shelf.key(Tile(x=0, y=0, z=3)))
