"""Sets of tiles of one zoom as runs along the Z curve: as large as their edge is long, whatever they enclose."""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

import numpy as np

from seeder.select.blocks import BELOW, IN_BLOCK, NONE, SHIFTS, BlockMask, BlockMasks, Count, masks_of
from seeder.select.morton import Flags, Numbers, begins, counted, interleaved, once, places, spread, squares_of
from tiler.grid import LEAF, TileRange

RUNS_AT_ONCE = 65_536  # runs that are made blocks at a time
LARGEST = 1 << 32  # bytes of runs that are read; a quarter of a billion runs

_DAMAGED = (  # numpy reads a header with Python's tokenizer
    *(BadZipFile, EOFError, KeyError, MemoryError, OSError, OverflowError, RuntimeError, SyntaxError, TokenError),
    *(TypeError, ValueError, zlib.error),
)


@dataclass(frozen=True, eq=False)
class TileSet:
    """Tiles of zoom `z`: codes from `starts` up to `stops`, in runs that are ascending and do not touch.

    Both are `(runs,)` int64. Sets of one zoom can be joined, shared and taken from each other by `|`, `&` and `-`.
    """

    z: int
    starts: Numbers
    stops: Numbers

    # Sets from what there is

    @classmethod
    def of(cls, z: int, codes: Numbers) -> TileSet:
        """The tiles that have those codes, in any order and however often."""
        found = np.sort(codes)
        return cls.runs(z, found, found + 1)

    @classmethod
    def marked(cls, z: int, block_masks: Iterable[BlockMask]) -> TileSet:
        """The tiles of blocks of 8 x 8, which may overlap."""
        places = [(block_mask.block.x, block_mask.block.y, block_mask.tiles) for block_mask in block_masks]
        x, y, masks = (np.array(each, np.uint64) for each in zip(*places, strict=True)) if places else 3 * [NONE]
        corners = interleaved(x.astype(np.int64), y.astype(np.int64))
        bits = masks[:, None] >> SHIFTS & np.uint64(1) > 0
        return cls.of(z, (corners[:, None] + np.arange(IN_BLOCK))[bits])

    @classmethod
    def runs(cls, z: int, starts: Numbers, stops: Numbers) -> TileSet:
        """The tiles of runs that may touch, overlap, be empty or stand in any order."""
        some = starts < stops
        starts, stops = starts[some], stops[some]
        if not len(starts):
            return cls(z, starts, stops)
        if np.any(starts[1:] < starts[:-1]):
            order = np.argsort(starts, kind="stable")
            starts, stops = starts[order], stops[order]
        reach = np.maximum.accumulate(stops)
        first = np.r_[True, starts[1:] > reach[:-1]]
        return cls(z, starts[first], reach[np.r_[first[1:], True]])

    @classmethod
    def nothing(cls, z: int) -> TileSet:
        """No tile."""
        return cls(z, np.zeros(0, np.int64), np.zeros(0, np.int64))

    @classmethod
    def world(cls, z: int) -> TileSet:
        """Every tile."""
        return cls(z, np.zeros(1, np.int64), np.full(1, 4**z))

    @classmethod
    def ranges(cls, z: int, ranges: Iterable[TileRange]) -> TileSet:
        """The tiles of ranges, which may overlap."""
        return cls.union(z, map(cls._range, ranges))

    @classmethod
    def _range(cls, area: TileRange) -> TileSet:
        starts, stops = [], []
        x = y = np.zeros(1, np.int64)
        for level in range(area.z, -1, -1):
            side = 1 << level
            near = (x < area.x1) & (x + side > area.x0) & (y < area.y1) & (y + side > area.y0)
            x, y = x[near], y[near]
            whole = (x >= area.x0) & (x + side <= area.x1) & (y >= area.y0) & (y + side <= area.y1)
            codes = interleaved(x[whole], y[whole])
            starts.append(codes)
            stops.append(codes + (1 << 2 * level))
            x, y, half = x[~whole], y[~whole], side >> 1
            x, y = np.concatenate([x, x + half, x, x + half]), np.concatenate([y, y, y + half, y + half])
        return cls.runs(area.z, np.concatenate(starts), np.concatenate(stops))

    @classmethod
    def filled(cls, z: int, edge: Numbers, inside: Callable[[Numbers, Numbers], Flags]) -> TileSet:
        """The tiles that `inside` says to be in, of (x, y) as `(tiles,)` bool.

        `edge` are the codes, in any order, of tiles that may differ from their neighbours: an aligned square that
        holds none of them is wholly in or wholly out, so that few tiles are asked about.
        """
        edge = once(np.sort(edge))
        asked, sizes = [edge], [np.ones(len(edge), np.int64)]
        parts = edge  # the codes, at each level, of the squares that hold some of the edge
        for level in range(z):
            above = once(parts >> 2)
            children = (above[:, None] << 2 | np.arange(4)).ravel()
            clean = np.setdiff1d(children, parts, assume_unique=True)
            asked.append(clean << 2 * level)
            sizes.append(np.full(len(clean), 1 << 2 * level, np.int64))
            parts = above
        if not len(parts):  # no edge at all
            asked.append(np.zeros(1, np.int64))
            sizes.append(np.full(1, 4**z))
        codes, size = np.concatenate(asked), np.concatenate(sizes)
        held = inside(*places(codes))
        return cls.runs(z, codes[held], codes[held] + size[held])

    def at(self, z: int) -> TileSet:
        """All tiles of zoom `z` that lie in these, or in which one of these lies."""
        if z >= self.z:
            deeper = 2 * (z - self.z)
            return TileSet(z, self.starts << deeper, self.stops << deeper)
        higher = 2 * (self.z - z)
        return TileSet.runs(z, self.starts >> higher, ((self.stops - 1) >> higher) + 1)

    # Sets as sets

    def __len__(self) -> int:
        return int((self.stops - self.starts).sum())

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, TileSet)
            and self.z == other.z
            and np.array_equal(self.starts, other.starts)
            and np.array_equal(self.stops, other.stops)
        )

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def union(cls, z: int, sets: Iterable[TileSet]) -> TileSet:
        """The tiles of any of the sets, which are of zoom `z`."""
        found = list(sets)
        if not found:
            return cls.nothing(z)
        return cls.runs(
            z, np.concatenate([each.starts for each in found]), np.concatenate([each.stops for each in found])
        )

    def __or__(self, other: TileSet) -> TileSet:
        return TileSet.union(self.z, (self, other))

    def __and__(self, other: TileSet) -> TileSet:
        few, many = (self, other) if len(self.starts) <= len(other.starts) else (other, self)
        first = np.searchsorted(many.stops, few.starts, "right")
        last = np.searchsorted(many.starts, few.stops, "left")
        number = np.maximum(last - first, 0)
        mine = np.repeat(np.arange(len(few.starts)), number)
        theirs = counted(first, number)
        starts = np.maximum(few.starts[mine], many.starts[theirs])
        stops = np.minimum(few.stops[mine], many.stops[theirs])
        return TileSet(self.z, starts, stops)

    def __sub__(self, other: TileSet) -> TileSet:
        return self & TileSet.runs(self.z, np.r_[0, other.stops], np.r_[other.starts, 4**self.z])

    def holds(self, codes: Numbers) -> Flags:
        """Which of the tiles that have those codes are in, as `(tiles,)` bool."""
        run = np.searchsorted(self.stops, codes, "right")
        found: Flags = np.r_[self.starts, 4**self.z][run] <= codes
        return found

    @property
    def codes(self) -> Numbers:
        """The codes of all tiles, eight bytes each."""
        return counted(self.starts, self.stops - self.starts)

    def squares(self) -> tuple[Numbers, Numbers]:
        """The fewest aligned squares that the tiles make: the codes of their north-west tiles, their sides in tiles."""
        return squares_of(self.starts, self.stops, range(self.z + 1))

    # Sets as work

    def total(self) -> Count:
        """Exact totals, without listing the tiles."""
        first, last = self.starts // IN_BLOCK, (self.stops - 1) // IN_BLOCK
        again = int((first[1:] == last[:-1]).sum())  # blocks that two runs share
        return Count(len(self), int((last - first + 1).sum()) - again)

    def block_masks(self, sizes: Container[int] = (LEAF,)) -> Iterator[BlockMask]:
        """The blocks that hold tiles, in Z-order; wholly wanted ones as large as `sizes` has them."""
        for part in self.batches(sizes):
            yield from part.at(self.z)

    def batches(self, sizes: Container[int] = (LEAF,)) -> Iterator[BlockMasks]:
        """The same as arrays, some thousands of blocks at a time."""
        levels = [3, *(level for level in range(4, self.z + 1) if 1 << level in sizes)]
        for part in self._parts(1 << 2 * (levels[-1] + 6)):
            yield part._block_masks(levels)  # noqa: SLF001 - its own kind

    def _parts(self, most: int) -> Iterator[TileSet]:
        """The tiles in parts of whole blocks: of not many runs, and within so many codes."""
        at, end = 0, 0  # the next run, and up to which code all is given
        while at < len(self.starts):
            start, few = max(end, int(self.starts[at])), min(at + RUNS_AT_ONCE, len(self.starts)) - 1
            reach = int((self.stops if few == len(self.starts) - 1 else self.starts)[few])
            end = min((start // most + 1) * most, -(-reach // IN_BLOCK) * IN_BLOCK)
            last = int(np.searchsorted(self.starts, end, "left"))
            yield TileSet(self.z, np.maximum(self.starts[at:last], start), np.minimum(self.stops[at:last], end))
            at = last if self.stops[last - 1] <= end else last - 1

    def _block_masks(self, levels: list[int]) -> BlockMasks:
        block, past = self.starts // IN_BLOCK, self.stops // IN_BLOCK
        first, last = -(-self.starts // IN_BLOCK), past  # whole blocks, first <= n < last
        alone = block == past  # within one block and short of its end
        head, tail = first > block, (self.stops > past * IN_BLOCK) & ~alone
        starts = np.concatenate([self.starts[alone | head], past[tail] * IN_BLOCK])
        stops = np.concatenate([np.where(alone, self.stops, first * IN_BLOCK)[alone | head], self.stops[tail]])
        whole = first < last
        codes, sides = squares_of(first[whole] * IN_BLOCK, last[whole] * IN_BLOCK, levels)
        cut, masks = masks_of(starts, stops)
        found = BlockMasks(
            np.concatenate([codes, cut]),
            np.concatenate([sides, np.full(len(cut), LEAF)]),
            np.concatenate([np.where(sides == LEAF, BELOW[-1], np.uint64(0)), masks]),
        )
        return found.take(np.argsort(found.codes))

    def block_mask_of(self, number: int) -> BlockMask:
        """The block of 8 x 8 that holds a tile; tiles are numbered from 0 in Z-order."""
        before = np.cumsum(self.stops - self.starts)
        run = int(np.searchsorted(before, number, "right"))
        code = int(self.stops[run]) - int(before[run]) + number
        start = code // IN_BLOCK * IN_BLOCK
        (block_mask,) = (self & TileSet(self.z, np.array([start]), np.array([start + IN_BLOCK]))).block_masks()
        return block_mask

    def strips(self, columns: Iterable[int] = ()) -> Iterator[tuple[int, TileSet]]:
        """What lies in each column of blocks, by the x of the column's west-most tiles, ascending.

        That is of the columns in which something lies, and of `columns`, which may hold nothing.
        """
        codes, sides = self.squares()
        x, y = places(codes)
        top, bottom = int(y.min(initial=2**self.z)) // LEAF * LEAF, int((y + sides).max(initial=0))
        rows = spread(np.arange(top, bottom, LEAF)) << 1
        blocks = min(IN_BLOCK, 4**self.z)
        some = counted(x // LEAF, (x + sides - 1) // LEAF - x // LEAF + 1) * LEAF
        for column in sorted({*np.unique(some).tolist(), *columns}):
            starts = rows | spread(np.array([column]))
            yield column, self & TileSet.runs(self.z, starts, starts + blocks)

    def columns(self) -> tuple[Numbers, Numbers, Numbers]:
        """Columns of tiles, and of each the rows first <= y < last of some that follow each other.

        Ascending by column; a column stands as often as its tiles are cut.
        """
        codes, sides = self.squares()
        x, y = places(codes)
        column = counted(x, sides)
        top, bottom = np.repeat(y, sides), np.repeat(y + sides, sides)
        order = np.lexsort((top, column))
        column, top, bottom = column[order], top[order], bottom[order]
        first = begins(column)
        first[1:] |= top[1:] != bottom[:-1]
        last = np.r_[first[1:], True][: len(first)]
        return column[first], top[first], bottom[last]


@dataclass(frozen=True)
class TileSets:
    """Tiles by zoom, low zooms first. Sets of the same tiles are equal."""

    sets: Mapping[int, TileSet]

    def __len__(self) -> int:
        return sum(map(len, self.sets.values()))

    def __bool__(self) -> bool:
        return any(len(each.starts) for each in self.sets.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TileSets) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def zooms(self) -> tuple[int, ...]:
        """The zooms that tiles are of, ascending."""
        return tuple(z for z, each in sorted(self.sets.items()) if len(each.starts))

    def at(self, z: int) -> TileSet:
        """The tiles of zoom `z`."""
        return self.sets.get(z) or TileSet.nothing(z)

    def expanded(self, zooms: Iterable[int]) -> TileSets:
        """Of those zooms the tiles that lie in one of these, or that one of these lies in."""
        return TileSets({z: TileSet.union(z, (each.at(z) for each in self.sets.values())) for z in zooms})

    @property
    def digest(self) -> str:
        """16 hex digits that tell these tiles from others."""
        found = hashlib.blake2b(digest_size=8)
        for z in self.zooms:
            each = self.sets[z]
            found.update(f"{z}:{len(each.starts)}:".encode())
            found.update(each.starts.astype("<i8").tobytes() + each.stops.astype("<i8").tobytes())
        return found.hexdigest()

    def encode(self) -> bytes:
        """A compressed npz archive: of each zoom `(2, runs)` starts and stops."""
        data = io.BytesIO()
        runs: dict[str, Any] = {str(z): [self.sets[z].starts, self.sets[z].stops] for z in self.zooms}
        np.savez_compressed(data, **runs)
        return data.getvalue()

    @classmethod
    def decode(cls, data: bytes) -> TileSets:
        """The inverse of `encode`.

        Raises:
            ValueError: it is none.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as found:
                if sum(each.file_size for each in found.zip.infolist()) > LARGEST:
                    raise ValueError(f"they take more than {LARGEST >> 30} GB")
                return cls({int(z): TileSet.runs(int(z), *_runs(found[z])) for z in sorted(found, key=int)})
        except _DAMAGED as error:
            raise ValueError(f"these are no tiles: {error!r}") from error


def _runs(found: Any) -> Numbers:
    """Check stored starts and stops.

    Raises:
        ValueError: they are something else.
    """
    if found.dtype != np.int64 or found.ndim != 2 or len(found) != 2:
        raise ValueError(f"{found.dtype} of shape {found.shape} are not runs")
    runs: Numbers = found
    return runs
