"""Receipts of one kind of a job, each in an object of its own or compacted into segments; readers take the union.

A segment is put before its receipts are deleted, so a reader that lists first receipts, then segments,
misses none. If a block has a receipt in both, they are equal or the one of its own is newer.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Literal

from tenacity import AttemptManager, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from seeder.jobs.block_set import BlockSet
from seeder.jobs.messages import Receipt, block_named
from seeder.jobs.segment import Rows, Segment, name_of
from tiler.errors import MissingObject
from tiler.grid import LEAF, Block
from tiler.keys import job_key
from tiler.storage.concurrent import overlap
from tiler.storage.store import Entry, Store

Kind = Literal["done", "failed"]

BINARY = "application/octet-stream"
RELIST_SECONDS = 1.0  # between two listings of segments by a reader that misses receipts
ATTEMPTS = 6  # to read segments while others replace them
RETRYING = Retrying(  # copied for each use, as uses are nested
    retry=retry_if_exception_type(MissingObject),
    stop=stop_after_attempt(ATTEMPTS),
    wait=wait_exponential(multiplier=0.05),
    reraise=True,
)
SEGMENTS, CHUNKS = 64, 64  # kept in memory: about 0.3 MB each


class Receipts:
    """The receipts of one kind of a job. Segments are listed on first use, and again if one was replaced.

    Threads may share it.
    """

    def __init__(self, sources: Store, job: str, kind: Kind = "done") -> None:
        self._sources, self._job, self.kind = sources, job, kind
        self._lock = threading.Lock()
        self._listed = -math.inf  # time of the last listing of segments
        self._segments: tuple[Segment, ...] = ()
        self._blocks = BlockSet()
        self._repeated = BlockSet()

    @property
    def root(self) -> str:
        """The prefix of uncompacted receipts."""
        return job_key(self._job, self.kind, "")

    def key(self, block: Block) -> str:
        """The key of a block's uncompacted receipt."""
        return self.root + str(block)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments."""
        self._list_segments(since=0.0)
        return self._segments

    @property
    def compacted(self) -> BlockSet:
        """The blocks in segments."""
        self._list_segments(since=0.0)
        return self._blocks

    def relist(self) -> None:
        """List the segments again."""
        self._list_segments(since=math.inf)

    def _list_segments(self, since: float) -> None:
        """List the segments, unless they were listed after `since`, on the monotonic clock."""
        with self._lock:
            if self._listed > since:
                return
            for attempt in RETRYING.copy():
                with attempt:
                    start = time.monotonic()
                    names = sorted(entry.key for entry in self._sources.list(self._segment_key()))
                    if names != [segment.key for segment in self._segments]:
                        self._open(names)
                    self._listed = start

    def _open(self, names: Iterable[str]) -> None:
        segments = tuple(_segment(_Part(self._sources, key)) for key in names)
        blocks, repeated = BlockSet(), BlockSet()
        for segment in segments:
            for block in segment.add_blocks(blocks):
                repeated.add(block)
        self._segments, self._blocks, self._repeated = segments, blocks, repeated

    def attempts(self) -> Iterator[AttemptManager]:
        """Attempts to read segments: they are listed again after one was replaced by another process.

        Raises:
            MissingObject: the last attempt missed one too.
        """
        yield from RETRYING.copy(before=lambda state: self.relist() if state.attempt_number > 1 else None)

    def confirm(self, segments: tuple[Segment, ...]) -> None:
        """List the segments again.

        Raises:
            MissingObject: they are not `segments` any more.
        """
        self.relist()
        if self._segments is not segments:
            raise MissingObject(self._segment_key())

    def blocks(self, z: int | None = None) -> Iterator[Block]:
        """The blocks with a receipt, each once; with `z`, only those of this zoom."""
        seen = BlockSet()
        after, before = ("", "") if z is None else (f"{self.root}{z}-", f"{self.root}{z}.")  # "." sorts after "-"
        for entry in self._sources.list(self.root, after=after, before=before):
            block = block_of(entry.key)
            seen.add(block)
            yield block
        self.relist()
        yield from (block for block in self._blocks if block not in seen and z in (None, block.z))

    def has(self, block: Block) -> bool:
        """Whether the block has a receipt; one compacted within RELIST_SECONDS may be missed."""
        return block in self.compacted or self._sources.has(self.key(block)) or block in self._after_miss()

    def read(self, block: Block) -> Receipt | None:
        """The block's receipt, or None; see `has`. One of its own is newer than one in a segment."""
        try:
            return Receipt.decode(str(block), self._sources.get(self.key(block)))
        except MissingObject:
            if block not in self.compacted:
                self._after_miss()
            return self._compacted(block)

    def read_all(self, blocks: Iterable[Block]) -> Iterator[Receipt]:
        """The receipts of blocks, in any order; missing ones are skipped, as they may be deleted meanwhile."""
        return (receipt for receipt in overlap(self.read, blocks) if receipt)

    def __iter__(self) -> Iterator[Receipt]:
        """All receipts, one per block, in any order."""
        seen = BlockSet()
        for receipt, _ in read_entries(self._sources, self._sources.list(self.root)):
            seen.add(receipt.block)
            yield receipt
        self.relist()
        for receipt in self._segment_receipts():
            if receipt.block not in seen:
                seen.add(receipt.block)
                yield receipt

    def unread(self, known: BlockSet) -> Iterator[tuple[Receipt, datetime | None]]:
        """The receipts of blocks that are not `known`, in any order, with their times unless they are compacted."""
        entries = (entry for entry in self._sources.list(self.root) if block_of(entry.key) not in known)
        seen = BlockSet()
        for receipt, modified in read_entries(self._sources, entries):
            seen.add(receipt.block)
            yield receipt, modified
        self.relist()
        others = (block for block in self._blocks if block not in known and block not in seen)
        yield from ((receipt, None) for receipt in self.read_all(others))

    def _segment_receipts(self) -> Iterator[Receipt]:
        """The newest receipts of all blocks in segments; from the start if a segment was replaced meanwhile."""
        for attempt in self.attempts():
            with attempt:
                for segment in self.segments:
                    for chunk in segment.chunks(self._sources):
                        yield from (receipt for receipt, _ in chunk if receipt.block not in self._repeated)
                yield from self.read_all(self._repeated)

    def compacted_rows(self, block: Block) -> list[tuple[Receipt, datetime]]:
        """The receipts of the block in segments, with their times."""
        rows = []
        for segment in self.segments:
            number = segment.holding(block)
            if number is not None and (row := _chunk(_Part(self._sources, segment.key, number)).find(block)):
                rows.append(row)
        return rows

    def put_segment(self, rows: Rows) -> str:
        """Put a segment; return its key."""
        data = rows.encode()
        key = self._segment_key(name_of(data))
        self._sources.put(key, data, content_type=BINARY)
        return key

    def unchanged(self, rows: Rows) -> Rows:
        """The rows whose receipts are still there in objects of their own, with the same time of writing."""
        if not rows:
            return rows
        keys = [*map(self.key, rows.blocks())]
        after, before = min(keys)[:-1], max(keys) + "~"  # "~" sorts after all characters of a key
        entries = self._sources.list(self.root, after=after, before=before)
        listed = ((block_of(entry.key), entry.modified) for entry in entries)
        return rows.unchanged(pair for pair in listed if pair[0].size == LEAF)

    def delete(self, blocks: Iterable[Block] | None = None) -> None:
        """Delete the receipts of `blocks`, or all. Segments with some of them are replaced."""
        if blocks is None:
            self._sources.delete(entry.key for entry in self._sources.list(self.root))
            self._sources.delete(entry.key for entry in self._sources.list(self._segment_key()))
            return
        deleted = BlockSet()
        for block in blocks:
            deleted.add(block)
        if not deleted:
            return
        self._sources.delete(map(self.key, deleted))
        for attempt in self.attempts():
            with attempt:
                self.relist()
                for segment in self._segments:
                    self._remove(segment, deleted)

    def _remove(self, segment: Segment, deleted: BlockSet) -> None:
        """Replace a segment by one without the deleted blocks, if it has any."""
        own = BlockSet()
        segment.add_blocks(own)
        common = [block for block in deleted if block in own]
        if not common:
            return
        rest = Rows.joined(segment.chunks(self._sources)).without(common)
        if rest:
            self.put_segment(rest)
        self._sources.delete([segment.key])

    def _compacted(self, block: Block) -> Receipt | None:
        for attempt in self.attempts():
            with attempt:
                rows = self.compacted_rows(block) if block in self.compacted else []
                return max(rows, key=lambda row: row[1])[0] if rows else None
        return None

    def _after_miss(self) -> BlockSet:
        """The blocks in segments, listed at most RELIST_SECONDS ago: a missed receipt may have been compacted."""
        self._list_segments(since=time.monotonic() - RELIST_SECONDS)
        return self._blocks

    def _segment_key(self, name: str = "") -> str:
        return job_key(self._job, "compacted", self.kind, name)


@dataclass(frozen=True, slots=True)
class _Part:
    """A segment or one of its chunks, by address: both never change."""

    sources: Store = field(compare=False)
    key: str
    number: int = 0
    url: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", self.sources.url)


@lru_cache(maxsize=SEGMENTS)
def _segment(part: _Part) -> Segment:
    return Segment.open(part.sources, part.key)


@lru_cache(maxsize=CHUNKS)
def _chunk(part: _Part) -> Rows:
    return _segment(_Part(part.sources, part.key)).chunk(part.sources, part.number)


def read_entries(sources: Store, entries: Iterable[Entry]) -> Iterator[tuple[Receipt, datetime]]:
    """The receipts of a listing with their times, in any order; deleted ones are skipped.

    Raises:
        MessageError: a receipt was not written by this version.
    """

    def read(entry: Entry) -> tuple[Receipt, datetime] | None:
        try:
            return Receipt.decode(str(block_of(entry.key)), sources.get(entry.key)), entry.modified
        except MissingObject:
            return None

    return (pair for pair in overlap(read, entries) if pair)


def block_of(key: str) -> Block:
    """The block of the receipt at `key`."""
    return block_named(key.rpartition("/")[2])
