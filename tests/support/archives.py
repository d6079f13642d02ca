"""Independent readers of archives, and layers to export."""

from __future__ import annotations

import gzip
import json
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import strategies as st
from mercantile import Tile

from seeder.archive.export import Export, Kind, Source, Target
from seeder.select.morton import interleaved
from seeder.select.tileset import TileSet, TileSets
from tests.support.layer_strategies import GLOBE
from tests.support.site import Spy, memory
from tiler.keys import CONTENT_TYPES, TileName, tile_key
from tiler.layers.catalog import Layer
from tiler.layers.publication import publish
from tiler.layers.render import TileVariant
from tiler.storage.store import Store, Stores

NAMES: dict[Kind, str] = {"pmtiles": "out.pmtiles", "mbtiles": "out.mbtiles", "folder": "out"}
READERS: dict[Kind, str] = {"pmtiles": "read_pmtiles", "mbtiles": "read_mbtiles", "folder": "_read_folder"}
KINDS = tuple(NAMES)
PLAIN = TileVariant()
Content = dict[Tile, bytes]


LONG = (
    *("root", "root_size", "metadata", "metadata_size", "leaves", "leaves_size", "data", "data_size"),
    *("tiles", "entries", "contents"),
)
SHORT = (
    *("clustered", "inner", "outer", "type", "minzoom", "maxzoom", "west", "south", "east", "north"),
    *("zoom", "longitude", "latitude"),
)


@dataclass
class Pmtiles:
    """A reader of PMTiles 3, written from the specification."""

    header: dict[str, int]
    metadata: dict[str, Any]
    entries: list[tuple[int, int, int, int]]  # number, run length, length, offset
    depth: int
    tiles: Content


def pmtiles(path: Path) -> Pmtiles:
    data = path.read_bytes()
    assert data[:8] == b"PMTiles\x03"
    header = dict(zip(LONG, struct.unpack_from("<11Q", data, 8), strict=True))
    header |= dict(zip(SHORT, struct.unpack_from("<6B4iB2i", data, 96), strict=True))
    root = data[header["root"] :][: header["root_size"]]
    assert header["root"] + header["root_size"] < 16384
    assert header["data"] + header["data_size"] == len(data)
    entries, depth = list[tuple[int, int, int, int]](), 1
    for number, run, length, offset in directory(root):
        if run:
            entries.append((number, run, length, offset))
        else:
            depth = 2
            leaf = directory(data[header["leaves"] + offset :][:length])
            assert leaf[0][0] == number
            entries += leaf
    body = data[header["data"] :]
    tiles = {
        hilbert_tile(number + step): body[offset : offset + length]
        for number, run, length, offset in entries
        for step in range(run)
    }
    metadata = json.loads(gzip.decompress(data[header["metadata"] :][: header["metadata_size"]]))
    return Pmtiles(header, metadata, entries, depth, tiles)


def directory(data: bytes) -> list[tuple[int, int, int, int]]:
    numbers = varints(gzip.decompress(data))
    total = next(numbers)
    steps, runs, lengths, offsets = ([next(numbers) for _ in range(total)] for _ in range(4))
    places = np.cumsum(steps).tolist()
    for at, offset in enumerate(offsets):
        offsets[at] = offset - 1 if offset else offsets[at - 1] + lengths[at - 1]
    assert next(numbers, None) is None
    return list(zip(places, runs, lengths, offsets, strict=True))


def varints(data: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in data:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield number
            number = shift = 0


def hilbert_tile(number: int) -> Tile:
    """The tile of a PMTiles number, by descending through the quarters."""
    z = 0
    while number >= 4**z:
        number -= 4**z
        z += 1
    x = y = 0
    for level in range(z):  # from the smallest square up
        side, quarter = 1 << level, number >> 2 * level & 3
        if quarter == 0:
            x, y = y, x
        elif quarter == 3:
            x, y = side - 1 - y, side - 1 - x
        x, y = x + side * (quarter >> 1), y + side * (quarter in (1, 2))
    return Tile(x=x, y=y, z=z)


def mbtiles(path: Path) -> tuple[Content, dict[str, str]]:
    with closing(sqlite3.connect(path)) as base:
        rows = base.execute("SELECT zoom_level, tile_column, tile_row, tile_data FROM tiles").fetchall()
        tiles = {Tile(x=x, y=2**z - 1 - row, z=z): data for z, x, row, data in rows}
        assert len(tiles) == len(rows)
        return tiles, dict(base.execute("SELECT name, value FROM metadata"))


def folder(path: Path) -> Content:
    def tile(file: Path) -> Tile:
        z, x, y = file.relative_to(path).with_suffix("").parts
        return Tile(x=int(x), y=int(y.removesuffix("@2x")), z=int(z))

    return {tile(file): file.read_bytes() for file in path.glob("*/*/*")}


def read(target: Target) -> Content:
    readers: dict[Kind, Callable[[Path], Content]] = {
        "pmtiles": lambda path: pmtiles(path).tiles,
        "mbtiles": lambda path: mbtiles(path)[0],
        "folder": folder,
    }
    return readers[target.kind](target.path)


def chosen(tiles: Content) -> TileSets:
    zooms = {tile.z for tile in tiles}
    columns = {z: np.array([(tile.x, tile.y) for tile in tiles if tile.z == z]).T for z in sorted(zooms)}
    return TileSets({z: TileSet.of(z, interleaved(*each)) for z, each in columns.items()})


@st.composite
def contents(draw: st.DrawFn, deepest: int = 6) -> Content:
    """Sparse pyramids with many identical tiles."""
    found = Content()
    for z in draw(st.sets(st.integers(0, deepest), min_size=1, max_size=4)):
        column = st.integers(0, 2**z - 1)
        for x, y in draw(st.sets(st.tuples(column, column), min_size=1, max_size=30)):
            found[Tile(x=x, y=y, z=z)] = draw(st.sampled_from([b"sea", b"land", b"\0" * 70]) | st.binary(min_size=1))
    return found


def pyramid(deepest: int) -> Content:
    return {tile: f"{tile}".encode() for z in range(deepest + 1) for tile in each_of(z)}


def each_of(z: int) -> Iterator[Tile]:
    return (Tile(x=x, y=y, z=z) for x in range(2**z) for y in range(2**z))


@dataclass
class Shelf:
    """A layer with stored tiles in a store that records requests."""

    layer: Layer
    tiles: Spy
    sources: Store
    variant: TileVariant = PLAIN

    @classmethod
    def of(
        cls, content: Content, layer: Layer = GLOBE, variant: TileVariant = PLAIN, store: Store | None = None
    ) -> Shelf:
        """A shelf with these tiles, in a store of its own unless given."""
        shelf = cls(layer, Spy(store or memory()), memory(), variant)
        publish(layer, shelf.stores)
        for tile, data in content.items():
            shelf.tiles.put(shelf.key(tile), data, content_type=CONTENT_TYPES[variant.format])
        shelf.tiles.seen.clear()
        return shelf

    @property
    def stores(self) -> Stores:
        """The stores for an export."""
        return Stores(cast(Store, self.tiles), self.sources, "http://tiles.test")

    def key(self, tile: Tile) -> str:
        """The key of a tile."""
        return tile_key(TileName(self.layer.id, tile, self.variant.scale, self.variant.format))

    def source(self, tiles: TileSets) -> Source:
        """The source of an export."""
        return Source(self.layer, self.variant, self.stores, tiles)

    def fetched(self) -> int:
        """Tiles fetched since the last call."""
        number = sum(verb == "get" and not key.endswith(".json") for verb, key in self.tiles.seen)
        self.tiles.seen.clear()
        return number


def nobody(_: int) -> None:
    """Ignore progress."""


def made(source: Source, target: Target) -> int:
    """Make an archive; return the number of omitted tiles."""
    with Export.open(source, target) as work:
        left = work.fetch(nobody)
        work.write(nobody)
        work.check(nobody)
        work.place()
    return left


def fails_after(number: int, error: BaseException, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the store raise after a number of tiles."""
    given, whole = 0, store.get

    def get(key: str) -> bytes:
        nonlocal given
        given += not key.endswith(".json")
        if given > number:
            raise error
        return cast(bytes, whole(key))

    monkeypatch.setattr(store, "get", get, raising=False)
