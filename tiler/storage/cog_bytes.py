"""Parts of a baked COG in a store, in few requests: its directories, its blocks with their masks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tiler.storage import cog_header
from tiler.storage.cog_header import Sizes
from tiler.storage.store import Store

PAGE = 1 << 16  # bytes per read of the directories beyond the first read
PAGES = 32  # cached pages per file

Span = tuple[int, int]  # offset and size in bytes


class BlockWindow(NamedTuple):
    """A window of blocks in a level of the baked COG at `path`, from `location`."""

    path: str
    level: int
    rows: slice
    columns: slice


class CogBytes:
    """A baked COG in a store: what was read of its directories, and the places of its blocks."""

    def __init__(self, store: Store, key: str, head: int) -> None:
        self.store, self.key = store, key
        self._head, self.size = store.first(key, head)
        self._kept: dict[int, bytes] = {}
        self._levels = cog_header.levels(self.head, self.size)
        self._lengths: dict[int, int] = {}  # of blocks with the masks behind them, by offset
        self._masked: dict[int, int] = {}  # offsets of blocks by those of the masks behind them
        for offsets, sizes, behind in self._levels:
            inside = (sizes > 0) & (offsets < self.size) & (offsets + sizes + behind <= self.size)
            covered = inside & (behind > 0)
            self._lengths.update(_pairs(offsets[inside], (sizes + behind)[inside]))
            self._masked.update(_pairs((offsets + sizes)[covered], offsets[covered]))

    def head(self, start: int, length: int) -> bytes:
        """`length` bytes from `start`, if the first read has them; fewer at the object's end.

        Raises:
            LookupError: they were not read.
        """
        if start + length > len(self._head) < self.size:
            raise LookupError
        return self._head[start : start + length]

    def stretches(self, window: BlockWindow) -> list[Span]:
        """Offset and size of each block of a window, with the mask behind it; none if the header is damaged."""
        if window.level >= len(self._levels):
            return []
        offsets = self._levels[window.level].offsets[window.rows, window.columns].ravel().tolist()
        return [(offset, self._lengths[offset]) for offset in offsets if offset in self._lengths]

    def stretch(self, start: int, length: int) -> Span | None:
        """Offset and size of the block at `start` and the mask behind it, also for that mask; None for other bytes."""
        first = self._masked.get(start, start)
        size = self._lengths.get(first, 0)
        return (first, size) if start + length <= first + size else None

    def part(self, start: int, length: int) -> bytes:
        """`length` bytes from `start`; the object must have them all."""
        if length > PAGE or start + length <= len(self._head):
            return self.read([(start, length)])[0]
        first, last = start // PAGE, (start + length - 1) // PAGE
        data = b"".join(self._page(number) for number in range(first, last + 1))
        return data[start - first * PAGE :][:length]

    def read(self, spans: Sequence[Span]) -> list[bytes]:
        """The bytes of `spans`, in few parallel requests; those in the first read take none."""
        missing = [span for span in spans if sum(span) > len(self._head)]
        parts = iter(self.store.ranges(self.key, *zip(*missing, strict=True)) if missing else ())
        return [next(parts) if sum(span) > len(self._head) else self._head[span[0] :][: span[1]] for span in spans]

    def _page(self, number: int) -> bytes:
        if number not in self._kept:
            start = number * PAGE
            (data,) = self.store.ranges(self.key, [start], [min(PAGE, self.size - start)])
            if len(self._kept) == PAGES:
                del self._kept[max(self._kept)]  # the first pages are read most often
            self._kept[number] = data
        return self._kept[number]


def _pairs(keys: Sizes, values: Sizes) -> Iterable[Span]:
    return zip(keys.tolist(), values.tolist(), strict=True)
