"""Parts of a baked COG in a store, in few requests: its directories, its blocks with their masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tiler.storage import cog_header
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
    """The bytes of one object's directories that were read so far."""

    def __init__(self, store: Store, key: str, head: int) -> None:
        self.store, self.key = store, key
        self._head, self.size = store.first(key, head)
        self._kept: dict[int, bytes] = {}
        self._levels = cog_header.levels(self.head, self.size)
        self._stretches: dict[int, Span] = {}  # by the offset of the block, and of its mask
        for level in self._levels:
            for offset, size, behind in zip(*(each.ravel().tolist() for each in level), strict=True):
                if size and offset + size + behind <= self.size:
                    self._stretches[offset] = offset, size + behind
                    if behind:
                        self._stretches[offset + size] = offset, size + behind

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
        spans = list[Span]()
        for level in self._levels[window.level : window.level + 1]:
            offsets = level.offsets[window.rows, window.columns].ravel().tolist()
            spans += [self._stretches[offset] for offset in offsets if offset in self._stretches]
        return spans

    def stretch(self, start: int, length: int) -> Span | None:
        """Offset and size of the block at `start` and the mask behind it, also for that mask; None for other bytes."""
        found = self._stretches.get(start)
        return found if found and start + length <= sum(found) else None

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
