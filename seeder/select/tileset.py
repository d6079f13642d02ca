"""Sets of tiles of one zoom as runs along the Z curve: their size grows with their edge, not with their area."""

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
from seeder.select.morton import Flags, Numbers, begins, consecutive, distinct, interleaved, places, spread, squares_of
from tiler.grid import LEAF, TileRange

RUNS_AT_ONCE = 65_536  # runs converted to blocks at a time
LARGEST = 1 << 32  # bytes of runs to read at most: a quarter of a billion runs

_DAMAGED = (  # raised by numpy and zipfile for damaged archives; numpy parses headers with Python's tokenizer
    *(BadZipFile, EOFError, KeyError, MemoryError, OSError, OverflowError, RuntimeError, SyntaxError, TokenError),
    *(TypeError, ValueError, zlib.error),
)


@dataclass(frozen=True, eq=False)
class TileSet:
    """Tiles of zoom `z`: codes from `starts` up to but without `stops`, in ascending runs with gaps between them.

    Both are `(runs,)` int64. `|`, `&` and `-` give the union, intersection and difference of sets of one zoom.
    """

    z: int
    starts: Numbers
    stops: Numbers

    # Constructors

    @classmethod
    def of(cls, z: int, codes: Numbers) -> TileSet:
        """The tiles with these codes, in any order and possibly repeated."""
        starts = np.sort(codes)
        return cls.runs(z, starts, starts + 1)

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
        """The tiles of runs, in any order, which may touch, overlap or be empty."""
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
        """The tiles for which `inside` is true; it takes columns and rows and returns `(tiles,)` bool.

        `edge` are the codes, in any order, of tiles that may differ from their neighbours. An aligned square without
        such a tile is wholly inside or wholly outside, so `inside` is called for few tiles.
        """
        edge = distinct(np.sort(edge))
        corners, sizes = [edge], [np.ones(len(edge), np.int64)]
        parts = edge  # at each level, the codes of the squares with tiles of the edge
        for level in range(z):
            above = distinct(parts >> 2)
            children = (above[:, None] << 2 | np.arange(4)).ravel()
            clean = np.setdiff1d(children, parts, assume_unique=True)
            corners.append(clean << 2 * level)
            sizes.append(np.full(len(clean), 1 << 2 * level, np.int64))
            parts = above
        if not len(parts):  # no edge at all
            corners.append(np.zeros(1, np.int64))
            sizes.append(np.full(1, 4**z))
        codes, size = np.concatenate(corners), np.concatenate(sizes)
        held = inside(*places(codes))
        return cls.runs(z, codes[held], codes[held] + size[held])

    def at(self, z: int) -> TileSet:
        """The tiles of zoom `z` that are ancestors or descendants of these tiles."""
        if z >= self.z:
            deeper = 2 * (z - self.z)
            return TileSet(z, self.starts << deeper, self.stops << deeper)
        higher = 2 * (self.z - z)
        return TileSet.runs(z, self.starts >> higher, ((self.stops - 1) >> higher) + 1)

    # Set operations

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
        """The union of sets of zoom `z`."""
        several = list(sets)
        if not several:
            return cls.nothing(z)
        return cls.runs(
            z, np.concatenate([each.starts for each in several]), np.concatenate([each.stops for each in several])
        )

    def __or__(self, other: TileSet) -> TileSet:
        return TileSet.union(self.z, (self, other))

    def __and__(self, other: TileSet) -> TileSet:
        few, many = (self, other) if len(self.starts) <= len(other.starts) else (other, self)
        first = np.searchsorted(many.stops, few.starts, "right")
        last = np.searchsorted(many.starts, few.stops, "left")
        number = np.maximum(last - first, 0)
        mine = np.repeat(np.arange(len(few.starts)), number)
        theirs = consecutive(first, number)
        starts = np.maximum(few.starts[mine], many.starts[theirs])
        stops = np.minimum(few.stops[mine], many.stops[theirs])
        return TileSet(self.z, starts, stops)

    def __sub__(self, other: TileSet) -> TileSet:
        return self & TileSet.runs(self.z, np.r_[0, other.stops], np.r_[other.starts, 4**self.z])

    def holds(self, codes: Numbers) -> Flags:
        """Whether the set contains the tile of each code, as `(tiles,)` bool."""
        run = np.searchsorted(self.stops, codes, "right")
        flags: Flags = np.r_[self.starts, 4**self.z][run] <= codes
        return flags

    @property
    def codes(self) -> Numbers:
        """The codes of all tiles, eight bytes each."""
        return consecutive(self.starts, self.stops - self.starts)

    def squares(self) -> tuple[Numbers, Numbers]:
        """The fewest aligned squares that cover the tiles: codes of their north-west tiles, sides in tiles."""
        return squares_of(self.starts, self.stops, range(self.z + 1))

    # Blocks

    def total(self) -> Count:
        """Exact numbers of tiles and blocks, without listing the tiles."""
        first, last = self.starts // IN_BLOCK, (self.stops - 1) // IN_BLOCK
        shared = int((first[1:] == last[:-1]).sum())  # blocks with tiles of two runs
        return Count(len(self), int((last - first + 1).sum()) - shared)

    def block_masks(self, sizes: Container[int] = (LEAF,)) -> Iterator[BlockMask]:
        """The blocks with tiles, in Z-order; complete blocks have the largest of `sizes` possible."""
        for part in self.batches(sizes):
            yield from part.at(self.z)

    def batches(self, sizes: Container[int] = (LEAF,)) -> Iterator[BlockMasks]:
        """The same as `block_masks`, as arrays of some thousands of blocks."""
        levels = [3, *(level for level in range(4, self.z + 1) if 1 << level in sizes)]
        for part in self._parts(1 << 2 * (levels[-1] + 6)):
            yield part._block_masks(levels)  # noqa: SLF001 - another instance of this class

    def _parts(self, most: int) -> Iterator[TileSet]:
        """The tiles in parts of whole blocks, each of at most RUNS_AT_ONCE runs and a span of `most` codes."""
        at, end = 0, 0  # the next run; the end of the codes already yielded
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
        alone = block == past  # within one block, not reaching its end
        head, tail = first > block, (self.stops > past * IN_BLOCK) & ~alone
        starts = np.concatenate([self.starts[alone | head], past[tail] * IN_BLOCK])
        stops = np.concatenate([np.where(alone, self.stops, first * IN_BLOCK)[alone | head], self.stops[tail]])
        whole = first < last
        codes, sides = squares_of(first[whole] * IN_BLOCK, last[whole] * IN_BLOCK, levels)
        cut, masks = masks_of(starts, stops)
        block_masks = BlockMasks(
            np.concatenate([codes, cut]),
            np.concatenate([sides, np.full(len(cut), LEAF)]),
            np.concatenate([np.where(sides == LEAF, BELOW[-1], np.uint64(0)), masks]),
        )
        return block_masks.take(np.argsort(block_masks.codes))

    def block_mask_of(self, number: int) -> BlockMask:
        """The 8 x 8 block of the tile with this number; tiles are numbered from 0 in Z-order."""
        before = np.cumsum(self.stops - self.starts)
        run = int(np.searchsorted(before, number, "right"))
        code = int(self.stops[run]) - int(before[run]) + number
        start = code // IN_BLOCK * IN_BLOCK
        (block_mask,) = (self & TileSet(self.z, np.array([start]), np.array([start + IN_BLOCK]))).block_masks()
        return block_mask

    def strips(self, columns: Iterable[int] = ()) -> Iterator[tuple[int, TileSet]]:
        """The tiles of each column of blocks, with the x of the column's westernmost tiles, ascending.

        Columns without tiles are left out, except those in `columns`.
        """
        codes, sides = self.squares()
        x, y = places(codes)
        top, bottom = int(y.min(initial=2**self.z)) // LEAF * LEAF, int((y + sides).max(initial=0))
        rows = spread(np.arange(top, bottom, LEAF)) << 1
        blocks = min(IN_BLOCK, 4**self.z)
        some = consecutive(x // LEAF, (x + sides - 1) // LEAF - x // LEAF + 1) * LEAF
        for column in sorted({*np.unique(some).tolist(), *columns}):
            starts = rows | spread(np.array([column]))
            yield column, self & TileSet.runs(self.z, starts, starts + blocks)

    def columns(self) -> tuple[Numbers, Numbers, Numbers]:
        """Vertical runs of tiles: their columns, and their rows first <= y < last.

        Ascending by column; a column is repeated for each of its runs.
        """
        codes, sides = self.squares()
        x, y = places(codes)
        column = consecutive(x, sides)
        top, bottom = np.repeat(y, sides), np.repeat(y + sides, sides)
        order = np.lexsort((top, column))
        column, top, bottom = column[order], top[order], bottom[order]
        first = begins(column)
        first[1:] |= top[1:] != bottom[:-1]
        last = np.r_[first[1:], True][: len(first)]
        return column[first], top[first], bottom[last]


@dataclass(frozen=True)
class TileSets:
    """Sets of tiles by zoom, low zooms first. Two with the same tiles are equal."""

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
        """The zooms with tiles, ascending."""
        return tuple(z for z, each in sorted(self.sets.items()) if len(each.starts))

    def at(self, z: int) -> TileSet:
        """The tiles of zoom `z`."""
        return self.sets.get(z) or TileSet.nothing(z)

    def __or__(self, other: TileSets) -> TileSets:
        return TileSets({z: self.at(z) | other.at(z) for z in sorted({*self.zooms, *other.zooms})})

    def expanded(self, zooms: Iterable[int]) -> TileSets:
        """The tiles of these zooms that are ancestors or descendants of a tile of the set."""
        return TileSets({z: TileSet.union(z, (each.at(z) for each in self.sets.values())) for z in zooms})

    @property
    def digest(self) -> str:
        """A hash of the tiles, 16 hex digits."""
        digest = hashlib.blake2b(digest_size=8)
        for z in self.zooms:
            each = self.sets[z]
            digest.update(f"{z}:{len(each.starts)}:".encode())
            digest.update(each.starts.astype("<i8").tobytes() + each.stops.astype("<i8").tobytes())
        return digest.hexdigest()

    def encode(self) -> bytes:
        """A compressed npz archive with an array `(2, runs)` of starts and stops for each zoom."""
        data = io.BytesIO()
        runs: dict[str, Any] = {str(z): [self.sets[z].starts, self.sets[z].stops] for z in self.zooms}
        np.savez_compressed(data, **runs)
        return data.getvalue()

    @classmethod
    def decode(cls, data: bytes) -> TileSets:
        """The inverse of `encode`.

        Raises:
            ValueError: the archive is damaged, too large or holds something else.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                if sum(each.file_size for each in arrays.zip.infolist()) > LARGEST:
                    raise ValueError(f"more than {LARGEST >> 30} GB unpacked")
                return cls({int(z): TileSet.runs(int(z), *_runs(arrays[z])) for z in sorted(arrays, key=int)})
        except _DAMAGED as error:
            raise ValueError(f"not an archive of tile sets: {error!r}") from error


def _runs(array: Any) -> Numbers:
    """Check stored starts and stops.

    Raises:
        ValueError: the array has another type or shape.
    """
    if array.dtype != np.int64 or array.ndim != 2 or len(array) != 2:
        raise ValueError(f"{array.dtype} of shape {array.shape}, not int64 of shape (2, runs)")
    runs: Numbers = array
    return runs
