"""The footprint of a layer: a bitmap of the tiles with data at one zoom."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from mercantile import Tile

from tiler.errors import CatalogError
from tiler.grid import MAX_ZOOM

CELLS = 1 << 18  # most cells of a footprint; larger ones are reduced to a lower zoom

LARGEST = 1 << 24  # most bytes to read; more than CELLS, for other versions

Cells = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Footprint:
    """The tiles of zoom `z` with data.

    `cells` is `(rows, columns)` bool; its north-west cell is tile (x, y). Columns continue past the antimeridian:
    x + columns may pass 2**z, and column numbers count modulo 2**z.
    """

    z: int
    x: int
    y: int
    cells: Cells = field(repr=False)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Footprint)
            and (self.z, self.x, self.y) == (other.z, other.x, other.y)
            and np.array_equal(self.cells, other.cells)
        )

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def within(cls, z: int, x: int, y: int, cells: Cells) -> Footprint:
        """A footprint of at most CELLS cells, at a lower zoom if necessary."""
        while cells.size > CELLS and z > 0:
            z, x, y, cells = _coarser(z, x, y, cells)
        return cls(z, x, y, cells)

    def central_tile(self, z: int) -> Tile:
        """A tile of zoom `z` in a cell with data near the middle of `cells`; at higher zooms in the cell's middle.

        A cell with data in all eight neighbours is preferred to one at an edge.

        Raises:
            ValueError: no cell has data.
        """
        padded = np.pad(self.cells, 1)
        inner = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).all(axis=(2, 3))
        places = np.argwhere(inner if inner.any() else self.cells)
        if not len(places):
            raise ValueError("no cell of the footprint has data")
        middle = (np.array(self.cells.shape) - 1) / 2
        row, column = places[((places - middle) ** 2).sum(axis=1).argmin()].tolist()
        x, y, deeper = (self.x + column) % 2**self.z, self.y + row, z - self.z
        if deeper <= 0:
            return Tile(x=x >> -deeper, y=y >> -deeper, z=z)
        half = (1 << deeper) // 2
        return Tile(x=(x << deeper) + half, y=(y << deeper) + half, z=z)

    def to_json(self) -> dict[str, object]:
        """The JSON form: bits row by row, deflated, base64."""
        rows, columns = self.cells.shape
        bits = base64.b64encode(zlib.compress(np.packbits(self.cells).tobytes(), 9)).decode()
        return {"zoom": self.z, "x": self.x, "y": self.y, "columns": columns, "rows": rows, "bits": bits}

    @classmethod
    def from_json(cls, fields: dict[str, object], key: str) -> Footprint:
        """The inverse of `to_json`; `key` is the object that contains `fields`.

        Raises:
            CatalogError: a field is missing or invalid.
        """
        try:
            z, x, y, columns, rows = (int(str(fields[name])) for name in ("zoom", "x", "y", "columns", "rows"))
            if not (0 <= z <= MAX_ZOOM and 0 <= x < 2**z and y >= 0 and 0 < columns <= 2**z and 0 < rows <= 2**z - y):
                raise CatalogError(
                    key, f"{columns} x {rows} footprint cells from {x}, {y} are off the grid of zoom {z}"
                )
            size = -(-rows * columns // 8)
            if size > LARGEST:
                raise CatalogError(key, f"too many footprint cells: {columns} x {rows}")
            stream = zlib.decompressobj()
            packed = np.frombuffer(stream.decompress(base64.b64decode(str(fields["bits"])), size + 1), np.uint8)
            if packed.size != size or not stream.eof:
                raise CatalogError(key, f"{packed.size} bytes do not fit {columns} x {rows} footprint cells")
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
    if joined.shape[1] > 2 ** (z - 1):  # both ends of a footprint around the world fall into one column
        extra = joined.shape[1] - 2 ** (z - 1)
        joined[:, :extra] |= joined[:, -extra:]
        joined = joined[:, :-extra]
    return z - 1, x // 2, y // 2, joined
