"""Tiles named one by one: in Z-order, eight bytes each, so that a million take little memory and less time."""

from __future__ import annotations

import hashlib
import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from mercantile import Tile

from tiler.errors import BadOption
from tiler.grid import MAX_ZOOM

Codes = npt.NDArray[np.uint64]  # sorted, once each: the bits of x and y in turn, x lowest
Columns = npt.NDArray[np.int64]

_LINE = re.compile(r"(\d{1,2})/(\d{1,9})/(\d{1,9})")
_STEPS = (  # of spreading the bits of a number: shift, then keep
    (16, 0x0000FFFF0000FFFF),
    (8, 0x00FF00FF00FF00FF),
    (4, 0x0F0F0F0F0F0F0F0F),
    (2, 0x3333333333333333),
    (1, 0x5555555555555555),
)


@dataclass(frozen=True)
class TileList:
    """Tiles by zoom. The same tiles are the same list, however they were ordered or repeated."""

    codes: dict[int, Codes]

    def __len__(self) -> int:
        return sum(len(codes) for codes in self.codes.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TileList) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def zooms(self) -> tuple[int, ...]:
        """The zooms that tiles are of, ascending."""
        return tuple(self.codes)

    @property
    def digest(self) -> str:
        """16 hex digits that tell this list from others."""
        found = hashlib.blake2b(digest_size=8)
        for z, codes in self.codes.items():
            found.update(f"{z}:{len(codes)}:".encode() + codes.astype("<u8").tobytes())
        return found.hexdigest()

    @classmethod
    def parse(cls, lines: Iterable[str], name: str) -> TileList:
        """The tiles that `lines` name, one `z/x/y` each; what follows a `#` is a comment. `name` is the file's.

        Raises:
            BadOption: a line names no tile; says which.
        """
        places: dict[int, tuple[array[int], array[int]]] = defaultdict(lambda: (array("q"), array("q")))
        for number, line in enumerate(lines, 1):
            text = line.partition("#")[0].strip()
            if text:
                z, x, y = _numbers(text, f"{name}, line {number}")
                columns, rows = places[z]
                columns.append(x)
                rows.append(y)
        return cls({z: _codes(*(np.frombuffer(each, np.int64) for each in places[z])) for z in sorted(places)})

    def lines(self) -> Iterator[str]:
        """The tiles as `parse` takes them, low zooms first, in Z-order."""
        for z, codes in self.codes.items():
            for x, y in zip(*(each.tolist() for each in places(codes)), strict=True):
                yield f"{z}/{x}/{y}"


def tile_line(tile: Tile) -> str:
    """A tile as a list names it."""
    return f"{tile.z}/{tile.x}/{tile.y}"


def places(codes: Codes) -> tuple[Columns, Columns]:
    """Columns and rows of tiles; the inverse of how they became codes."""
    return _joined(codes), _joined(codes >> np.uint64(1))


def _numbers(text: str, where: str) -> tuple[int, int, int]:
    match = _LINE.fullmatch(text)
    if not match:
        raise BadOption(f"{where}: {text[:80]!r} is not a tile: write z/x/y, one a line, as in 5/16/11")
    z, x, y = (int(part) for part in match.groups())
    if z > MAX_ZOOM or x >= 2**z or y >= 2**z:
        raise BadOption(f"{where}: tile {text} is off the grid of its zoom")
    return z, x, y


def interleaved(x: Columns, y: Columns) -> Codes:
    """The codes of tiles, in the order of the tiles; the inverse of `places`."""
    return _spread(x) | _spread(y) << np.uint64(1)


def _codes(x: Columns, y: Columns) -> Codes:
    found: Codes = np.unique(interleaved(x, y))
    return found


def _spread(numbers: Columns) -> Codes:
    """Each number with a zero between any two of its bits (Morton 1966)."""
    found = numbers.astype(np.uint64)
    for shift, keep in _STEPS:
        found = (found | found << np.uint64(shift)) & np.uint64(keep)
    return found


def _joined(codes: Codes) -> Columns:
    """Every other bit of each code, the lowest first; the inverse of `_spread`."""
    found = codes & np.uint64(_STEPS[-1][1])
    for (shift, _), keep in zip(reversed(_STEPS), [*(keep for _, keep in _STEPS[-2::-1]), 0xFFFFFFFF], strict=True):
        found = (found | found >> np.uint64(shift)) & np.uint64(keep)
    return found.astype(np.int64)
