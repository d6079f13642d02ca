"""MBTiles 1.3: tiles in an SQLite file, of those that are alike one. Every archive begins as one, see `Part`."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mercantile import Tile

from seeder.select.morton import interleaved
from seeder.select.tileset import TileSet, TileSets
from tiler.errors import BadOption

APPLICATION = 0x4D504258  # tells files of this kind from other databases
CACHE = 32  # MB of the file that are kept at hand
ROWS_AT_ONCE = 65536  # rows that are looked at at once
# As the specification allows, `tiles` is a view. That a picture is found by the MD5 of its bytes is what other
# programs that keep each once do too.
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
    """Bytes that tiles show: a number from 1, how many they are."""

    number: int
    length: int


def digest(data: bytes) -> str:
    """What tells bytes from others."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class Part:
    """What there is of an archive in the making, on disk: tiles, and what they are of.

    It is an MBTiles file already, but for its metadata. Nothing is lost of what was committed, whenever its process
    ends; only one process at a time can have it open.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._base = connection

    @classmethod
    def open(cls, path: Path, origin: Mapping[str, str]) -> tuple[Part, dict[str, str]]:
        """The part at `path`, and of what other origin the one was that had to go; empty if none had.

        Raises:
            BadOption: something else is there.
            sqlite3.OperationalError: another process has it open, or it cannot be written.
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
        """Let go of the file; what was not committed is lost."""
        self._base.close()

    def __len__(self) -> int:
        return self._number("SELECT count(*) FROM map")

    @property
    def distinct(self) -> int:
        """How many tiles are unlike each other."""
        return self._number("SELECT count(*) FROM images")

    @property
    def last(self) -> int:
        """The highest number of an image."""
        return self._number("SELECT coalesce(max(rowid), 0) FROM images")

    @property
    def zooms(self) -> tuple[int, ...]:
        """The zooms that tiles are of, ascending."""
        return tuple(z for (z,) in self._base.execute("SELECT DISTINCT zoom_level FROM map ORDER BY 1"))

    def put(self, tile: Tile, data: bytes) -> None:
        """Take a tile, to be kept from the next commit on."""
        name = digest(data)
        self._base.execute("INSERT OR IGNORE INTO images VALUES (?, ?)", (name, data))
        self._base.execute("INSERT OR REPLACE INTO map VALUES (?, ?, ?, ?)", (*_place(tile), name))

    def commit(self) -> None:
        """Keep what was taken."""
        self._base.commit()

    def keep(self, tiles: TileSets) -> int:
        """Give up every tile that is not one of `tiles`; how many those were."""
        number = sum(self._drop(z, tiles.at(z)) for z in self.zooms)
        if number:
            self._base.execute("DELETE FROM images WHERE tile_id NOT IN (SELECT tile_id FROM map)")
            self._base.commit()
        return number

    def _drop(self, z: int, kept: TileSet) -> int:
        """Give up the tiles of zoom `z` that are not to be kept; how many those were."""
        found, last = 0, (-1, -1)
        query = """
            SELECT tile_column, tile_row FROM map WHERE zoom_level = ? AND (tile_column, tile_row) > (?, ?)
            ORDER BY tile_column, tile_row LIMIT ?
        """
        while rows := self._base.execute(query, (z, *last, ROWS_AT_ONCE)).fetchall():
            x, row = np.array(rows, np.int64).T
            beside = np.flatnonzero(~kept.holds(interleaved(x, 2**z - 1 - row))).tolist()
            gone = ((z, *rows[number]) for number in beside)
            self._base.executemany("DELETE FROM map WHERE (zoom_level, tile_column, tile_row) = (?, ?, ?)", gone)
            found, last = found + len(beside), rows[-1]
        return found

    def digest(self, tile: Tile) -> str:
        """The digest that a tile's bytes had when they were taken; empty if the tile is not there."""
        found = self._base.execute(
            "SELECT tile_id FROM map WHERE (zoom_level, tile_column, tile_row) = (?, ?, ?)", _place(tile)
        ).fetchone()
        return found[0] if found else ""

    def image(self, tile: Tile) -> Image | None:
        """What a tile shows, None if it is not there."""
        query = """
            SELECT images.rowid, length(tile_data) FROM map JOIN images USING (tile_id)
            WHERE (zoom_level, tile_column, tile_row) = (?, ?, ?)
        """
        found = self._base.execute(query, _place(tile)).fetchone()
        return Image(*found) if found else None

    def bytes_of(self, number: int) -> bytes:
        """The bytes of the image of that number."""
        return bytes(self._base.execute("SELECT tile_data FROM images WHERE rowid = ?", (number,)).fetchone()[0])

    def describe(self, said: Mapping[str, Any]) -> None:
        """Make it an MBTiles file, of which `said` is the TileJSON, and let others read it."""
        rows = {name: said[name] for name in ("minzoom", "maxzoom", "attribution", "encoding", "type") if name in said}
        rows |= {name: ",".join(f"{number:.10g}" for number in said[name]) for name in ("bounds", "center")}
        rows |= {"scheme": "tms", "version": 1}
        self._base.executemany("INSERT OR REPLACE INTO metadata VALUES (?, ?)", ((n, str(v)) for n, v in rows.items()))
        self._base.commit()
        self._base.execute("PRAGMA locking_mode = NORMAL")
        len(self)  # the lock goes with the next access

    def _number(self, query: str) -> int:
        return int(self._base.execute(query).fetchone()[0])


def read_mbtiles(path: Path, tiles: Iterable[Tile]) -> Iterator[tuple[Tile, bytes]]:
    """Those of `tiles` that the file has, with their bytes, as any reader finds them."""
    base = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        for tile in tiles:
            found = base.execute(
                "SELECT tile_data FROM tiles WHERE (zoom_level, tile_column, tile_row) = (?, ?, ?)", _place(tile)
            ).fetchone()
            if found:
                yield tile, bytes(found[0])
    finally:
        base.close()


def _connect(path: Path) -> sqlite3.Connection:
    """The database at `path`, for nobody else until it is closed.

    Raises:
        BadOption: there is something else.
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
    return BadOption(f"{path} is in the way and no part of an export: move it away")


def _origin(base: sqlite3.Connection, path: Path, asked: Iterable[str]) -> dict[str, str]:
    """What a part says of itself under the names that are `asked` for, nothing if it is a new one.

    Raises:
        BadOption: it is no part.
    """
    tables = {name for (name,) in base.execute("SELECT name FROM sqlite_master")}
    if not tables:
        return {}
    (kind,) = base.execute("PRAGMA application_id").fetchone()
    if kind != APPLICATION or not tables >= {"metadata", "map", "images"}:
        raise _alien(path)
    known = dict(base.execute("SELECT name, value FROM metadata"))
    return {name: known.get(name, "") for name in asked}


def _place(tile: Tile) -> tuple[int, int, int]:
    """Zoom, column and row of a tile as MBTiles counts them: rows from the south."""
    return tile.z, tile.x, 2**tile.z - 1 - tile.y
