"""What is stored of a job when it ends: planned tiles that are missing, and stale ones that it left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from seeder.cache.audit import Audit, Finding, deep_findings
from seeder.cache.fence import left
from seeder.cache.stale import History, settle
from seeder.cache.stored import Cost, StoredFilter, stored
from seeder.jobs.ledger import delete_receipts
from seeder.jobs.plan import Plan
from seeder.select.blocks import BlockMask
from seeder.select.tilelist import tile_line
from tiler.grid import Block
from tiler.layers.catalog import Layer, named
from tiler.settings import Settings
from tiler.storage.store import Stores

NAMED = 5  # missing tiles that are named to people
COMPARED = 10_000  # tiles that are compared with a fresh render at most

Progress = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Check:
    """Numbers of a job's planned tiles. `unsure` may be stale: they are too many to be compared."""

    missing: int
    names: tuple[str, ...]  # z/x/y of the first missing tiles
    stale: int
    unsure: int
    named: str = ""  # revision in TileJSON, if it is not the current one

    @property
    def passed(self) -> bool:
        """Whether every planned tile is stored or empty, and none is stale or unsure."""
        return not self.missing and not self.stale and not self.unsure

    def to_json(self) -> dict[str, int]:
        """The JSON fields of a summary."""
        return {"missing": self.missing, "stale": self.stale, "unsure": self.unsure}

    @classmethod
    def of(cls, plan: Plan, stores: Stores, settings: Settings, jobs: int, since: datetime | None = None) -> Check:
        """Compare what is stored with the plan of a job that has ended; for `since` see `History`.

        Receipts of blocks with missing tiles are deleted, so that the job can be resumed. Where all stored tiles of
        the layer turn out to be of its current revision, TileJSON names that one from now on.

        Raises:
            StoreError: something could not be listed or read.
        """
        spec, layer = plan.job.spec, plan.layer
        audit = Audit(layer, spec.selection, spec.variant, stores, (plan.job,), History.of(layer, stores, since))
        missing = stale = 0
        names: list[str] = []
        broken: list[Block] = []
        unsure: list[BlockMask] = []
        for seen in (seen for batch in audit.batches() for seen in batch.blocks):
            gaps = seen.lacking & ~audit.empty(seen.block, seen.lacking) if seen.lacking else 0
            if gaps:
                missing += gaps.bit_count()
                names += map(tile_line, islice(seen.block.tiles(gaps), NAMED - len(names)))
                broken.append(seen.block)
            stale += seen.stale.bit_count()
            if seen.unsure:
                unsure.append(BlockMask(seen.block, seen.unsure))
        delete_receipts(stores.sources, plan.job.id, "done", broken)
        doubtful = sum(map(len, unsure))
        compared = doubtful <= COMPARED
        if doubtful and compared:
            stale += sum(1 for _ in _differing(audit, unsure, settings, jobs))
        found = cls(missing, tuple(names), stale, 0 if compared else doubtful)
        mixed = audit.history.mixed
        if mixed and found.passed and suspects(layer, stores, audit.history, Cost(), most=doubtful) <= doubtful:
            _settle(audit)
        old = named(layer.id, stores.tiles) if mixed and since is None else ""
        return replace(found, named=old) if old != layer.revision else found


def _differing(audit: Audit, block_masks: list[BlockMask], settings: Settings, jobs: int) -> list[Finding]:
    """The tiles that differ from a fresh render."""
    few = min(jobs, len(block_masks))
    return list(deep_findings(audit, block_masks, settings, jobs=few, progress=lambda _: None))


def suspects(layer: Layer, stores: Stores, history: History, cost: Cost, *, most: int = 0) -> int:
    """Count stored tiles that are stale or unsure; stop soon after `most`. `cost` adds up the requests."""
    number = 0
    for batch in stored(stores.tiles, StoredFilter(layer), cost):
        number += sum(history.suspect(each.modified) for each in batch)
        if number > most:
            break
    return number


def _settle(audit: Audit) -> None:
    """Have TileJSON name the current revision, unless tiles of another one may still be put."""
    if not left(audit.layer, audit.stores):
        settle(audit.layer, audit.stores)
