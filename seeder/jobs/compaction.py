"""Compaction: the receipts of an ended job are put into segments, then deleted, so that listings of jobs stay short.

Receipts are read one by one at $0.40 per million; listing them costs $5 per million pages of 1000, and deleting them
nothing. So 15 million receipts cost $6, mostly for reading, which following a job does anyway. The result is one object
per half a million blocks.

Every step may be repeated, or end in the middle: a segment is put before its receipts are deleted, and readers take the
union. Two processes that compact the same job put the same receipts twice at worst; the next compaction joins them.
Receipts deleted or replaced after they were read are not compacted: just before a segment is put, the receipts are
listed again, and compaction ends if a new run began. Only in the seconds from there to the deletion is a change lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import chain, islice

from seeder.jobs.ledger import load_run, mark_compacted
from seeder.jobs.messages import Receipt
from seeder.jobs.receipts import Kind, Receipts, read_entries
from seeder.jobs.segment import CHUNK, Rows, Segment, fits
from tiler.errors import MessageError, StoreError
from tiler.storage.concurrent import in_batches
from tiler.storage.store import PAGE, Store

log = logging.getLogger(__name__)

SEGMENT = 1 << 19  # receipts of a segment: 5 MB of data, 180 MB of memory
KINDS: tuple[Kind, ...] = ("done", "failed")

Progress = Callable[[int], object]  # takes the number of receipts compacted since the last call


class Compactor:
    """Puts receipts of one kind into segments of at most `size`. Fewer than `least` receipts stay as they are.

    After an error of the ledger or the start of a new run, the rest stays as it is too, until the next compaction.
    """

    def __init__(
        self, sources: Store, job: str, kind: Kind = "done", *, size: int = SEGMENT, least: int = PAGE
    ) -> None:
        self._sources, self._job = sources, job
        self._receipts = Receipts(sources, job, kind)
        self._size, self._least = size, least
        self._marked = self._failed = False
        self._new: list[tuple[Receipt, datetime]] = []
        self._rows: list[Rows] = []
        self._run: datetime | None = None  # start of the latest run, before any receipt is read
        with self._guarded():
            self._run = self._latest_run()

    def add(self, receipt: Receipt, modified: datetime) -> None:
        """Add a receipt and its time of writing. A damaged receipt stays as it is."""
        if self._failed or not fits(receipt):
            return
        self._new.append((receipt, modified))
        if len(self._new) >= min(CHUNK, self._size):
            self._gather()
            if sum(map(len, self._rows)) >= self._size:
                rows, self._rows = Rows.joined(self._rows), []
                self._replace(rows)

    def begin(self) -> bool:
        """Mark the job as compacted, once; return whether compaction can go on. Without a job, it was removed."""
        if not self._marked and not self._failed:
            with self._guarded():
                self._marked = mark_compacted(self._sources, self._job)
                self._failed = not self._marked
        return not self._failed

    def close(self) -> None:
        """Put the rest, joined with segments that have room."""
        if self._failed:
            return
        self._gather()
        rows, self._rows = Rows.joined(self._rows), []
        self._receipts.relist()
        small = [segment for segment in self._receipts.segments if segment.receipts < self._size]
        if len(rows) + sum(segment.receipts for segment in small) >= self._least and (rows or len(small) > 1):
            self._replace(rows, small)

    def _gather(self) -> None:
        if self._new:
            self._rows.append(Rows.of(self._new))
            self._new = []

    def _replace(self, rows: Rows, small: Collection[Segment] = ()) -> None:
        """Put segments with these receipts and those of `small` ones, then delete what they replace."""
        with self._guarded():
            if not self.begin():
                return
            stored = Rows.joined(chunk for segment in small for chunk in segment.chunks(self._sources))
            replaced = {segment.key for segment in small}
            rows = self._receipts.unchanged(rows)
            self._receipts.relist()
            if self._latest_run() != self._run or not replaced <= {each.key for each in self._receipts.segments}:
                self._failed = True  # receipts of either may be deleted
                return
            joined = Rows.joined([stored, rows])
            put = {self._receipts.put_segment(part) for part in joined.divided(self._size)}
            self._sources.delete(self._receipts.key(block) for block in rows.blocks())
            self._sources.delete(replaced - put)

    def _latest_run(self) -> datetime | None:
        run = load_run(self._sources, self._job)
        return run.begun if run else None

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Log an error of the ledger, and leave the rest as it is."""
        try:
            yield
        except (MessageError, StoreError) as error:
            log.warning("the receipts of job %s are not compacted: %s", self._job, error)
            self._failed = True


def compact(
    sources: Store, job: str, *, progress: Progress = lambda _: None, size: int = SEGMENT, least: int = PAGE
) -> None:
    """Compact the receipts of an ended job, unless there are fewer than `least` of a kind.

    Memory holds one segment.

    Raises:
        StoreError: the ledger could not be read or written.
        MessageError: it was not written by this version.
    """
    for kind in KINDS:
        entries = sources.list(Receipts(sources, job, kind).root)
        first = list(islice(entries, least))
        if len(first) < least:
            continue
        compactor = Compactor(sources, job, kind, size=size, least=least)
        for batch in in_batches(chain(first, entries), CHUNK):
            if not compactor.begin():
                break
            for receipt, modified in read_entries(sources, batch):
                compactor.add(receipt, modified)
            progress(len(batch))
        compactor.close()
