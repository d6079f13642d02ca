"""MBTiles 1.3: tiles in an SQLite file, identical ones stored once. Every archive starts as one, see `Part`."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mercantile import Tile

from seeder.select.morton import Numbers, interleaved
from seeder.select.tileset import TileSet, TileSets
from tiler.errors import BadOption

APPLICATION = 0x4D504258  # application id of MBTiles in SQLite's header
CACHE = 32  # MB, of pages in memory
ROWS_AT_ONCE = 65536  # rows read at a time
# The specification allows `tiles` to be a view. Images are keyed by the MD5 of their bytes, as in other programs that
# store identical tiles once.
SCHEMA = """
BEGIN;
CREATE TABLE metadata (name TEXT NOT NULL PRIMARY KEY, value TEXT);
CREATE TABLE images (tile_id TEXT NOT NULL PRIMARY KEY, tile_data BLOB NOT NULL);
CREATE TABLE map (
    zoom_level INTEGER NOT NULL, tile_column INTEGER NOT NULL, tile_row INTEGER NOT NULL, tile_id TEXT NOT NULL,
    PRIMARY KEY (zoom_level, tile_column, tile_row)
) WITHOUT ROWID;
CREATE VIEW tiles AS
    SELECT zoom_level, tile_column, tile_row, tile_data FROM map JOIN images ON images.tile_id = map.tile_id;
"""


class Image(NamedTuple):
    """The bytes of one or more identical tiles: a number from 1, and a length."""

    number: int
    length: int


def digest(data: bytes) -> str:
    """The key of an image: the MD5 of its bytes."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class Part:
    """The tiles of an unfinished archive, on disk, with the origin of the tiles.

    It is an MBTiles file except for its metadata. Committed tiles survive a killed process; only one process at a time
    can open it.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._base = connection

    @classmethod
    def open(cls, path: Path, origin: Mapping[str, str]) -> tuple[Part, dict[str, str]]:
        """The part at `path`, and the origin of a discarded part; empty if none was discarded.

        Raises:
            BadOption: another kind of file is in the way.
            sqlite3.OperationalError: another process is using it, or it cannot be written.
        """
        base = _connect(path)
        try:
            known = _origin(base, path, origin)
            if known != origin:
                if known:
                    base.close()
                    path.unlink()
                    base = _connect(path)
                base.execute(f"PRAGMA application_id = {APPLICATION}")
                base.executescript(SCHEMA)
                base.executemany("INSERT INTO metadata VALUES (?, ?)", origin.items())
                base.commit()
        except BaseException:
            base.close()
            raise
        return cls(path, base), known if known != origin else {}

    def close(self) -> None:
        """Close the file; uncommitted tiles are lost."""
        self._base.close()

    def __len__(self) -> int:
        return self._number("SELECT count(*) FROM map")

    @property
    def distinct(self) -> int:
        """The number of distinct images."""
        return self._number("SELECT count(*) FROM images")

    @property
    def last(self) -> int:
        """The highest number of an image."""
        return self._number("SELECT coalesce(max(rowid), 0) FROM images")

    @property
    def zooms(self) -> tuple[int, ...]:
        """The zooms with tiles, ascending."""
        return tuple(z for (z,) in self._base.execute("SELECT DISTINCT zoom_level FROM map ORDER BY 1"))

    def tiles(self) -> TileSets:
        """All tiles."""
        return TileSets({z: self._tiles_at(z) for z in self.zooms})

    def _tiles_at(self, z: int) -> TileSet:
        parts = [interleaved(x, 2**z - 1 - row) for x, row in self._places(z)]
        return TileSet.union(z, (TileSet.of(z, codes) for codes in parts))

    def _places(self, z: int) -> Iterator[tuple[Numbers, Numbers]]:
        """The columns and rows of all tiles of a zoom, as arrays of ROWS_AT_ONCE; rows count from the south."""
        last = (-1, -1)
        query = """
            SELECT tile_column, tile_row FROM map WHERE zoom_level = ? AND (tile_column, tile_row) > (?, ?)
            ORDER BY tile_column, tile_row LIMIT ?
        """
        while rows := self._base.execute(query, (z, *last, ROWS_AT_ONCE)).fetchall():
            last = rows[-1]
            x, row = np.array(rows, np.int64).T
            yield x, row

    def put(self, tile: Tile, data: bytes) -> None:
        """Add a tile; it is saved with the next commit."""
        name = digest(data)
        self._base.execute("INSERT OR IGNORE INTO images VALUES (?, ?)", (name, data))
        self._base.execute("INSERT OR REPLACE INTO map VALUES (?, ?, ?, ?)", (*_place(tile), name))

    def commit(self) -> None:
        """Save all added tiles."""
        self._base.commit()

    def keep(self, tiles: TileSets) -> int:
        """Remove every tile outside `tiles`; return their number."""
        number = sum(self._drop(z, tiles.at(z)) for z in self.zooms)
        if number:
            self._base.execute("DELETE FROM images WHERE tile_id NOT IN (SELECT tile_id FROM map)")
            self._base.commit()
        return number

    def _drop(self, z: int, kept: TileSet) -> int:
        """Remove the tiles of zoom `z` outside `kept`; return their number."""
        number = 0
        for x, row in self._places(z):
            outside = ~kept.holds(interleaved(x, 2**z - 1 - row))
            gone = ((z, *place) for place in zip(x[outside].tolist(), row[outside].tolist(), strict=True))
            self._base.executemany("DELETE FROM map WHERE (zoom_level, tile_column, tile_row) = (?, ?, ?)", gone)
            number += int(outside.sum())
        return number

    def digest(self, tile: Tile) -> str:
        """The digest of a tile's bytes when it was added; empty if the tile is missing."""
        row = self._base.execute(
            "SELECT tile_id FROM map WHERE (zoom_level, tile_column, tile_row) = (?, ?, ?)", _place(tile)
        ).fetchone()
        return row[0] if row else ""

    def image(self, tile: Tile) -> Image | None:
        """The image of a tile, or None if the tile is missing."""
        query = """
            SELECT images.rowid, length(tile_data) FROM map JOIN images USING (tile_id)
            WHERE (zoom_level, tile_column, tile_row) = (?, ?, ?)
        """
        row = self._base.execute(query, _place(tile)).fetchone()
        return Image(*row) if row else None

    def bytes_of(self, number: int) -> bytes:
        """The bytes of the image with this number."""
        return bytes(self._base.execute("SELECT tile_data FROM images WHERE rowid = ?", (number,)).fetchone()[0])

    def describe(self, tilejson: Mapping[str, Any]) -> None:
        """Add the metadata of MBTiles from `tilejson`, and unlock the file for readers."""
        names = ("name", "description", "minzoom", "maxzoom", "attribution", "encoding", "type")
        rows = {name: tilejson[name] for name in names if name in tilejson}
        rows |= {name: ",".join(f"{number:.10g}" for number in tilejson[name]) for name in ("bounds", "center")}
        rows |= {"scheme": "tms", "version": 1}
        self._base.executemany("INSERT OR REPLACE INTO metadata VALUES (?, ?)", ((n, str(v)) for n, v in rows.items()))
        self._base.commit()
        self._base.execute("PRAGMA locking_mode = NORMAL")
        len(self)  # the next access releases the lock

    def _number(self, query: str) -> int:
        return int(self._base.execute(query).fetchone()[0])


def read_mbtiles(path: Path, tiles: Iterable[Tile]) -> Iterator[tuple[Tile, bytes]]:
    """The tiles of `tiles` in the file, with their bytes, read through the public view."""
    base = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        for tile in tiles:
            row = base.execute(
                "SELECT tile_data FROM tiles WHERE (zoom_level, tile_column, tile_row) = (?, ?, ?)", _place(tile)
            ).fetchone()
            if row:
                yield tile, bytes(row[0])
    finally:
        base.close()


def _connect(path: Path) -> sqlite3.Connection:
    """Open the database at `path`, locked for other processes until it is closed.

    Raises:
        BadOption: another kind of file is in the way.
    """
    base = sqlite3.connect(path, timeout=0)
    try:
        base.execute("PRAGMA locking_mode = EXCLUSIVE")
        base.execute(f"PRAGMA cache_size = {-1024 * CACHE}")
        base.execute("BEGIN EXCLUSIVE")
        base.commit()
    except sqlite3.OperationalError:
        base.close()
        raise
    except sqlite3.DatabaseError as error:
        base.close()
        raise _alien(path) from error
    return base


def _alien(path: Path) -> BadOption:
    return BadOption(f"{path} is not a part of an export: move it elsewhere")


def _origin(base: sqlite3.Connection, path: Path, names: Iterable[str]) -> dict[str, str]:
    """Read the properties `names` of a part's origin; empty if the part is new.

    Raises:
        BadOption: it is not a part of an export.
    """
    tables = {name for (name,) in base.execute("SELECT name FROM sqlite_master")}
    if not tables:
        return {}
    (kind,) = base.execute("PRAGMA application_id").fetchone()
    if kind != APPLICATION or not tables >= {"metadata", "map", "images"}:
        raise _alien(path)
    known = dict(base.execute("SELECT name, value FROM metadata"))
    return {name: known.get(name, "") for name in names}


def _place(tile: Tile) -> tuple[int, int, int]:
    """Zoom, column and row of a tile in MBTiles, with rows counted from the south."""
    return tile.z, tile.x, 2**tile.z - 1 - tile.y
