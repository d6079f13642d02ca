"""PMTiles 3: tiles in one file along the Hilbert curve, of those that are alike one, under a directory.

The library's writer takes all tiles in one run and holds the whole directory in memory; so it writes the directory's
parts here, and reads what is written.
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
ROOT = 16384 - HEADER  # bytes that the root directory may take
LEAF = 4096  # entries of a leaf directory, unless that makes too many
LEAVES = 1200  # that the root has room for: an entry takes 12 bytes at most
SPOOL = 1 << 24  # bytes of the directory that are kept in memory
TYPES: dict[Format, TileType] = {"png": TileType.PNG, "jpg": TileType.JPEG, "webp": TileType.WEBP}


def ordered(tiles: TileSets) -> Iterator[tuple[int, Tile]]:
    """All tiles and their PMTiles numbers, ascending."""
    for z in tiles.zooms:
        codes, sides = tiles.at(z).squares()
        before, area = (4**z - 1) // 3, sides**2
        first = hilbert(z, *places(codes)) // area * area + before  # the tiles of a square follow each other
        order = np.argsort(first)
        for batch in in_batches(order, LEAF):
            for start, number in zip(first[batch].tolist(), area[batch].tolist(), strict=True):
                for place in range(start, start + number):
                    _, x, y = tileid_to_zxy(place)
                    yield place, Tile(x=x, y=y, z=z)


@dataclass(slots=True)
class _Laid:
    """Where the bytes of each image begin in the section of tiles, by its number, -1 where nothing shows it."""

    offsets: Numbers
    end: int = 0
    tiles: int = 0
    entries: int = 0

    def entry(self, place: int, number: int, length: int) -> Entry:
        """A directory entry of one tile; bytes that are met for the first time come next."""
        self.tiles += 1
        if self.offsets[number] < 0:
            self.offsets[number] = self.end
            self.end += length
        return Entry(place, int(self.offsets[number]), length, 1)

    @property
    def images(self) -> Numbers:
        """The numbers of the images that are shown, in the order of their bytes."""
        order = np.argsort(self.offsets, kind="stable")
        return order[self.offsets[order] >= 0]


def write_pmtiles(
    path: Path, part: Part, tiles: TileSets, said: Mapping[str, Any], progress: Callable[[int], object]
) -> None:
    """Write those of `tiles` that `part` has, one at least, under a TileJSON.

    Memory holds 8 bytes for each image, and an entry of the root directory for each leaf. `progress` is told of tiles
    that are in the directory.
    """
    laid = _Laid(np.full(part.last + 1, -1, np.int64))
    metadata = gzip.compress(json.dumps(_metadata(said)).encode(), mtime=0)
    with SpooledTemporaryFile(SPOOL, dir=str(path.parent)) as leaves, path.open("wb") as file:
        root = _directory(_merged(_entries(part, tiles, laid, progress), laid), len(part), leaves)
        file.write(_header(said, laid, (len(root), len(metadata), leaves.tell())))
        file.write(root)
        file.write(metadata)
        leaves.seek(0)
        shutil.copyfileobj(leaves, file)
        for number in laid.images:
            file.write(part.bytes_of(int(number)))
        file.flush()
        os.fsync(file.fileno())


def _entries(part: Part, tiles: TileSets, laid: _Laid, progress: Callable[[int], object]) -> Iterator[Entry]:
    """An entry for each tile that there is."""
    for place, tile in ordered(tiles):
        image = part.image(tile)
        if image:
            yield laid.entry(place, *image)
            progress(1)


def _merged(entries: Iterator[Entry], laid: _Laid) -> Iterator[Entry]:
    """The same, with tiles in a row that show the same as one entry."""
    last = next(entries)
    for entry in entries:
        if (entry.tile_id, entry.offset) == (last.tile_id + last.run_length, last.offset):
            last.run_length += 1
            continue
        laid.entries += 1
        yield last
        last = entry
    laid.entries += 1
    yield last


def _directory(entries: Iterator[Entry], most: int, leaves: IO[bytes]) -> bytes:
    """The root directory; leaf directories are written to `leaves`, unless the root has room for all."""
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


def _metadata(said: Mapping[str, Any]) -> dict[str, Any]:
    """What the header has no place for."""
    rest = {name: said[name] for name in ("name", "attribution", "encoding", "type", "format") if name in said}
    return {**rest, "version": said["revision"], "scale": said["scale"]}


def _header(said: Mapping[str, Any], laid: _Laid, lengths: tuple[int, int, int]) -> bytes:
    root, metadata, leaves = lengths
    west, south, east, north = (round(1e7 * edge) for edge in said["bounds"])
    longitude, latitude, zoom = said["center"]
    found: bytes = serialize_header(
        {
            "version": 3,
            "root_offset": HEADER,
            "root_length": root,
            "metadata_offset": HEADER + root,
            "metadata_length": metadata,
            "leaf_directory_offset": HEADER + root + metadata,
            "leaf_directory_length": leaves,
            "tile_data_offset": HEADER + root + metadata + leaves,
            "tile_data_length": laid.end,
            "addressed_tiles_count": laid.tiles,
            "tile_entries_count": laid.entries,
            "tile_contents_count": len(laid.images),
            "clustered": True,
            "internal_compression": Compression.GZIP,
            "tile_compression": Compression.NONE,
            "tile_type": TYPES[said["format"]],
            "min_zoom": said["minzoom"],
            "max_zoom": said["maxzoom"],
            "min_lon_e7": west,
            "min_lat_e7": south,
            "max_lon_e7": east,
            "max_lat_e7": north,
            "center_zoom": zoom,
            "center_lon_e7": round(1e7 * longitude),
            "center_lat_e7": round(1e7 * latitude),
        }
    )
    return found


def read_pmtiles(path: Path, _: Iterable[Tile]) -> Iterator[tuple[Tile, bytes]]:
    """All tiles of the file with their bytes, as the library reads them, up to where its directory is damaged."""
    with path.open("rb") as file:

        def part(offset: int, length: int) -> bytes:
            file.seek(offset)
            return file.read(length)

        with suppress(gzip.BadGzipFile, zlib.error, EOFError, ValueError):
            for (z, x, y), data in all_tiles(part):  # type: ignore[no-untyped-call]
                yield Tile(x=x, y=y, z=z), data
