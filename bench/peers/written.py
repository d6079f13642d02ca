"""Tiles as the tools leave them: a folder of files, or one MBTiles file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mercantile import Tile


class Written(Protocol):
    """The tiles that a tool made, numbered from the north-west whatever it stores."""

    def get(self, tile: Tile) -> bytes | None:
        """The bytes of `tile`; None where it was not made."""

    def size(self) -> tuple[int, int]:
        """How many tiles, and how many bytes they are together."""


@dataclass(frozen=True)
class Folder:
    """Files at `{root}/{z}/{x}/{y}.{format}`."""

    root: Path
    format: str = "png"

    def get(self, tile: Tile) -> bytes | None:
        """See Written."""
        path = self.root / str(tile.z) / str(tile.x) / f"{tile.y}.{self.format}"
        return path.read_bytes() if path.exists() else None

    def size(self) -> tuple[int, int]:
        """See Written."""
        sizes = [path.stat().st_size for path in self.root.glob(f"*/*/*.{self.format}")]
        return len(sizes), sum(sizes)


@dataclass(frozen=True)
class MBTiles:
    """One SQLite file, whose rows are numbered from the south."""

    path: Path

    def get(self, tile: Tile) -> bytes | None:
        """See Written."""
        asked = "SELECT tile_data FROM tiles WHERE zoom_level = ? AND tile_column = ? AND tile_row = ?"
        with closing(sqlite3.connect(self.path)) as database:
            row = database.execute(asked, (tile.z, tile.x, 2**tile.z - 1 - tile.y)).fetchone()
        return row and bytes(row[0])

    def size(self) -> tuple[int, int]:
        """See Written."""
        with closing(sqlite3.connect(self.path)) as database:
            count, total = database.execute("SELECT count(*), sum(length(tile_data)) FROM tiles").fetchone()
        return count, total or 0
