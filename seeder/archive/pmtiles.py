"""PMTiles 3: a directory and tiles along the Hilbert curve in one file, identical tiles stored once.

The library's own writer needs all tiles in one run and holds the whole directory in memory. So only its functions for
parts of the directory and for reading are used here.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Any

import numpy as np
from mercantile import Tile
from pmtiles.reader import all_tiles
from pmtiles.tile import Compression, Entry, TileType, serialize_directory, serialize_header, tileid_to_zxy

from seeder.archive.mbtiles import Part
from seeder.select.morton import Numbers, places
from seeder.select.order import hilbert
from seeder.select.tileset import TileSets
from tiler.keys import Format
from tiler.storage.concurrent import in_batches

HEADER = 127  # bytes
ROOT = 16384 - HEADER  # bytes, the largest root directory
LEAF = 4096  # entries of a leaf directory, more if there were too many leaves
LEAVES = 1200  # leaf directories in the root: an entry takes at most 12 bytes
SPOOL = 1 << 24  # bytes of the directory kept in memory
TYPES: dict[Format, TileType] = {"png": TileType.PNG, "jpg": TileType.JPEG, "webp": TileType.WEBP}


def ordered(tiles: TileSets) -> Iterator[tuple[int, Tile]]:
    """All tiles and their PMTiles numbers, ascending."""
    for z in tiles.zooms:
        codes, sides = tiles.at(z).squares()
        before, area = (4**z - 1) // 3, sides**2
        first = hilbert(z, *places(codes)) // area * area + before  # the tiles of a square are consecutive
        order = np.argsort(first)
        for batch in in_batches(order, LEAF):
            for start, number in zip(first[batch].tolist(), area[batch].tolist(), strict=True):
                for place in range(start, start + number):
                    _, x, y = tileid_to_zxy(place)
                    yield place, Tile(x=x, y=y, z=z)


@dataclass(slots=True)
class _Layout:
    """The layout of the tile section: offsets of images by their number, -1 for unused images, and counts."""

    offsets: Numbers
    end: int = 0
    tiles: int = 0
    entries: int = 0

    def entry(self, place: int, number: int, length: int) -> Entry:
        """A directory entry of one tile; a new image is placed at the end."""
        self.tiles += 1
        if self.offsets[number] < 0:
            self.offsets[number] = self.end
            self.end += length
        return Entry(place, int(self.offsets[number]), length, 1)

    @property
    def images(self) -> Numbers:
        """The numbers of the used images, in the order of their offsets."""
        order = np.argsort(self.offsets, kind="stable")
        return order[self.offsets[order] >= 0]


def write_pmtiles(
    path: Path, part: Part, tiles: TileSets, tilejson: Mapping[str, Any], progress: Callable[[int], object]
) -> None:
    """Write the tiles of `tiles` in `part`, at least one, with metadata from `tilejson`.

    Memory holds 8 bytes per image and one root entry per leaf directory. `progress` gets the number of tiles added to
    the directory.
    """
    layout = _Layout(np.full(part.last + 1, -1, np.int64))
    metadata = gzip.compress(json.dumps(_metadata(tilejson)).encode(), mtime=0)
    with SpooledTemporaryFile(SPOOL, dir=str(path.parent)) as leaves, path.open("wb") as file:
        root = _directory(_merged(_entries(part, tiles, layout, progress), layout), len(part), leaves)
        file.write(_header(tilejson, layout, (len(root), len(metadata), leaves.tell())))
        file.write(root)
        file.write(metadata)
        leaves.seek(0)
        shutil.copyfileobj(leaves, file)
        for number in layout.images:
            file.write(part.bytes_of(int(number)))
        file.flush()
        os.fsync(file.fileno())


def _entries(part: Part, tiles: TileSets, layout: _Layout, progress: Callable[[int], object]) -> Iterator[Entry]:
    """A directory entry for each tile in the part."""
    for place, tile in ordered(tiles):
        image = part.image(tile)
        if image:
            yield layout.entry(place, *image)
            progress(1)


def _merged(entries: Iterator[Entry], layout: _Layout) -> Iterator[Entry]:
    """The same entries, with runs of identical tiles merged into one."""
    last = next(entries)
    for entry in entries:
        if (entry.tile_id, entry.offset) == (last.tile_id + last.run_length, last.offset):
            last.run_length += 1
            continue
        layout.entries += 1
        yield last
        last = entry
    layout.entries += 1
    yield last


def _directory(entries: Iterator[Entry], most: int, leaves: IO[bytes]) -> bytes:
    """The root directory; leaf directories are written to `leaves`, unless all entries fit into the root."""
    parts = in_batches(entries, max(LEAF, -(-most // LEAVES)))
    first = next(parts)
    second = next(parts, None)
    if second is None and len(whole := serialize_directory(first)) <= ROOT:
        return whole
    root = []
    for part in chain([first], [second] if second else [], parts):
        leaf = serialize_directory(part)
        root.append(Entry(part[0].tile_id, leaves.tell(), len(leaf), 0))
        leaves.write(leaf)
    return serialize_directory(root)


def _metadata(tilejson: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON metadata: properties without a field in the header."""
    names = ("name", "description", "layer", "attribution", "encoding", "type", "format", "legend")
    rest = {name: tilejson[name] for name in names if name in tilejson}
    return {**rest, "version": tilejson["revision"], "scale": tilejson["scale"]}


def _header(tilejson: Mapping[str, Any], layout: _Layout, lengths: tuple[int, int, int]) -> bytes:
    root, metadata, leaves = lengths
    west, south, east, north = (round(1e7 * edge) for edge in tilejson["bounds"])
    longitude, latitude, zoom = tilejson["center"]
    header: bytes = serialize_header(
        {
            "version": 3,
            "root_offset": HEADER,
            "root_length": root,
            "metadata_offset": HEADER + root,
            "metadata_length": metadata,
            "leaf_directory_offset": HEADER + root + metadata,
            "leaf_directory_length": leaves,
            "tile_data_offset": HEADER + root + metadata + leaves,
            "tile_data_length": layout.end,
            "addressed_tiles_count": layout.tiles,
            "tile_entries_count": layout.entries,
            "tile_contents_count": len(layout.images),
            "clustered": True,
            "internal_compression": Compression.GZIP,
            "tile_compression": Compression.NONE,
            "tile_type": TYPES[tilejson["format"]],
            "min_zoom": tilejson["minzoom"],
            "max_zoom": tilejson["maxzoom"],
            "min_lon_e7": west,
            "min_lat_e7": south,
            "max_lon_e7": east,
            "max_lat_e7": north,
            "center_zoom": zoom,
            "center_lon_e7": round(1e7 * longitude),
            "center_lat_e7": round(1e7 * latitude),
        }
    )
    return header


def read_pmtiles(path: Path, _: Iterable[Tile]) -> Iterator[tuple[Tile, bytes]]:
    """All tiles of the file with their bytes, read by the library; reading stops where the directory is damaged."""
    with path.open("rb") as file:

        def part(offset: int, length: int) -> bytes:
            file.seek(offset)
            return file.read(length)

        with suppress(gzip.BadGzipFile, zlib.error, EOFError, ValueError):
            for (z, x, y), data in all_tiles(part):  # type: ignore[no-untyped-call]
                yield Tile(x=x, y=y, z=z), data
