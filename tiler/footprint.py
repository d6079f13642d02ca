"""Where a layer has data: a bitmap of tiles at one zoom, counted exactly at every other."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tiler.errors import CatalogError
from tiler.grid import MAX_ZOOM, TileRange

CELLS = 1 << 18  # the most cells a footprint holds; deeper zooms are joined until it fits

Cells = npt.NDArray[np.bool_]
Sums = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Footprint:
    """The tiles of zoom `z` that hold data.

    `cells` is `(rows, columns)` bool; its north-west cell is tile (x, y). Columns run on past the
    antimeridian: x + columns may pass 2**z, and column numbers are meant modulo 2**z.
    """

    z: int
    x: int
    y: int
    cells: Cells

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Footprint)
            and (self.z, self.x, self.y) == (other.z, other.x, other.y)
            and np.array_equal(self.cells, other.cells)
        )

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def within(cls, z: int, x: int, y: int, cells: Cells) -> Footprint:
        """A footprint of at most CELLS cells: coarser by as many zooms as that takes."""
        while cells.size > CELLS and z > 0:
            z, x, y, cells = _coarser(z, x, y, cells)
        return cls(z, x, y, cells)

    def at(self, z: int) -> Footprint:
        """The same area as tiles of zoom `z`, this zoom or a lower one: a tile counts if any cell in it does."""
        found = (self.z, self.x, self.y, self.cells)
        while found[0] > z:
            found = _coarser(*found)
        return Footprint(*found)

    @cached_property
    def _sums(self) -> Sums:
        """`(rows + 1, columns + 1)`: the cells set north-west of each corner."""
        sums = np.zeros((self.cells.shape[0] + 1, self.cells.shape[1] + 1), np.int64)
        sums[1:, 1:] = self.cells.cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
        return sums

    def count(self, area: TileRange) -> int:
        """How many tiles of `area`, of this zoom or a deeper one, lie in the footprint. Exact, in O(1)."""
        if len(area) == 0:
            return 0
        scale = 2 ** (area.z - self.z)
        width = scale << self.z
        total = 0
        for turn in (0, width):  # columns past the antimeridian come around
            west, east = area.x0 + turn - self.x * scale, area.x1 + turn - self.x * scale
            north, south = area.y0 - self.y * scale, area.y1 - self.y * scale
            corner = self._corner
            total += corner(east, south, scale) - corner(west, south, scale)
            total -= corner(east, north, scale) - corner(west, north, scale)
        return total

    def _corner(self, x: int, y: int, scale: int) -> int:
        """Tiles in the footprint that lie north-west of the tile corner (x, y), relative to the first cell's.

        Bilinear between the corners of cells, each `scale` tiles wide, and therefore exact.
        """
        rows, columns = self.cells.shape
        column, right = divmod(min(max(x, 0), columns * scale), scale)
        row, down = divmod(min(max(y, 0), rows * scale), scale)
        sums = self._sums
        here = int(sums[row, column])
        total = here * scale * scale
        if right:
            total += right * scale * (int(sums[row, column + 1]) - here)
        if down:
            total += down * scale * (int(sums[row + 1, column]) - here)
        if right and down:
            total += right * down * int(self.cells[row, column])
        return total

    def holds(self, z: int, x: Numbers, y: Numbers) -> Cells:
        """Which of the tiles (x, y) of zoom `z`, its own or a deeper one, lie in it, as `(tiles,)` bool."""
        rows, columns = self.cells.shape
        column = ((x >> (z - self.z)) - self.x) % 2**self.z
        row = (y >> (z - self.z)) - self.y
        inside = (column < columns) & (row >= 0) & (row < rows)
        found: Cells = inside & self.cells[np.where(inside, row, 0), np.where(inside, column, 0)]
        return found

    def to_json(self) -> dict[str, object]:
        """The JSON form: bits row by row, deflated, base64."""
        rows, columns = self.cells.shape
        bits = base64.b64encode(zlib.compress(np.packbits(self.cells).tobytes(), 9)).decode()
        return {"zoom": self.z, "x": self.x, "y": self.y, "columns": columns, "rows": rows, "bits": bits}

    @classmethod
    def from_json(cls, said: dict[str, object], key: str) -> Footprint:
        """The inverse of `to_json`; `key` is the object that `said` stands in.

        Raises:
            CatalogError: a field is missing or does not fit.
        """
        try:
            z, x, y, columns, rows = (int(str(said[name])) for name in ("zoom", "x", "y", "columns", "rows"))
            packed = np.frombuffer(zlib.decompress(base64.b64decode(str(said["bits"]))), np.uint8)
            if not (0 <= z <= MAX_ZOOM and 0 <= x < 2**z and y >= 0 and 0 < columns <= 2**z and 0 < rows <= 2**z - y):
                raise CatalogError(
                    key, f"{columns} x {rows} footprint cells from {x}, {y} are off the grid of zoom {z}"
                )
            if packed.size != -(-rows * columns // 8):
                raise CatalogError(key, f"{packed.size} bytes are not {columns} x {rows} footprint cells")
            cells = np.unpackbits(packed, count=rows * columns).astype(bool).reshape(rows, columns)
        except (KeyError, ValueError, zlib.error) as error:
            raise CatalogError(key, error) from error
        return cls(z, x, y, cells)


def _coarser(z: int, x: int, y: int, cells: Cells) -> tuple[int, int, int, Cells]:
    """The footprint one zoom lower."""
    rows, columns = cells.shape
    left, top = x % 2, y % 2
    padded = np.pad(cells, ((top, (top + rows) % 2), (left, (left + columns) % 2)))
    joined: Cells = np.asarray(padded.reshape(padded.shape[0] // 2, 2, -1, 2).any(axis=(1, 3)))
    if joined.shape[1] > 2 ** (z - 1):  # the ends of a belt around the world meet in one column
        extra = joined.shape[1] - 2 ** (z - 1)
        joined[:, :extra] |= joined[:, -extra:]
        joined = joined[:, :-extra]
    return z - 1, x // 2, y // 2, joined
