"""The check at the end of a job: planned tiles that are missing, and stale tiles that the job skipped."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from seeder.cache.audit import Audit, Finding
from seeder.cache.deep import deep_findings
from seeder.cache.fence import seconds_remaining
from seeder.cache.stale import History, settle
from seeder.cache.stored import Cost, StoredFilter, stored
from seeder.jobs.ledger import delete_receipts
from seeder.jobs.plan import Plan
from seeder.select.blocks import BlockMask
from seeder.select.tilelist import tile_line
from tiler.grid import Block
from tiler.layers.catalog import Layer
from tiler.layers.tilejson import named
from tiler.settings import Settings
from tiler.storage.store import Stores

NAMED = 5  # missing tiles listed by name
COMPARED = 10_000  # tiles compared with fresh renders at most

Progress = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Check:
    """Counts of a job's planned tiles. `unsure` tiles may be stale, but are too many to compare."""

    missing: int
    names: tuple[str, ...]  # z/x/y of the first missing tiles
    stale: int
    unsure: int
    named: str = ""  # revision in TileJSON if not the current one

    @property
    def passed(self) -> bool:
        """Whether every planned tile is stored or empty, and none is stale or unsure."""
        return not self.missing and not self.stale and not self.unsure

    def to_json(self) -> dict[str, int]:
        """The JSON fields of a summary."""
        return {"missing": self.missing, "stale": self.stale, "unsure": self.unsure}

    @classmethod
    def of(cls, plan: Plan, stores: Stores, settings: Settings, jobs: int, since: datetime | None = None) -> Check:
        """Compare stored tiles with the plan of a finished job; for `since` see `History`.

        Receipts of blocks with missing tiles are deleted, so that the job can be resumed. If all stored tiles of the
        layer are of its current revision, TileJSON names this revision from now on, except within a renewal.

        Raises:
            StoreError: an object could not be listed or read.
        """
        spec, layer = plan.job.spec, plan.layer
        audit = Audit(layer, spec.selection, spec.variant, stores, (plan.job,), History.of(layer, stores, since))
        missing = stale = 0
        names: list[str] = []
        broken: list[Block] = []
        unsure: list[BlockMask] = []
        for audited in (each for batch in audit.batches() for each in batch.blocks):
            gaps = audited.lacking & ~audit.empty(audited.block, audited.lacking) if audited.lacking else 0
            if gaps:
                missing += gaps.bit_count()
                names += map(tile_line, islice(audited.block.tiles(gaps), NAMED - len(names)))
                broken.append(audited.block)
            stale += audited.stale.bit_count()
            if audited.unsure:
                unsure.append(BlockMask(audited.block, audited.unsure))
        delete_receipts(stores.sources, plan.job.id, "done", broken)
        suspected = sum(map(len, unsure))
        compared = suspected <= COMPARED
        if suspected and compared:
            stale += sum(1 for _ in _differing(audit, unsure, settings, jobs))
        check = cls(missing, tuple(names), stale, 0 if compared else suspected)
        if not audit.history.mixed or since is not None:  # a renewal settles once the CDN is told
            return check
        if check.passed and suspects(layer, stores, audit.history, Cost(), most=suspected) <= suspected:
            _settle(audit)
        revision = named(layer.id, stores.tiles)
        return replace(check, named=revision) if revision != layer.revision else check


def _differing(audit: Audit, block_masks: list[BlockMask], settings: Settings, jobs: int) -> list[Finding]:
    """The tiles that differ from a fresh render."""
    few = min(jobs, len(block_masks))
    return list(deep_findings(audit, block_masks, settings, jobs=few, progress=lambda _: None))


def suspects(layer: Layer, stores: Stores, history: History, cost: Cost, *, most: int = 0) -> int:
    """Count stored tiles that are stale or unsure; stop soon after `most`. `cost` adds up the requests."""
    number = 0
    with closing(stored(stores.tiles, StoredFilter(layer), cost)) as batches:
        for batch in batches:
            number += sum(history.suspect(each.name, each.modified) for each in batch)
            if number > most:
                break
    return number


def _settle(audit: Audit) -> None:
    """Name the current revision in TileJSON, unless tiles of another one may still be put."""
    if not seconds_remaining(audit.layer, audit.stores):
        settle(audit.layer, audit.stores)
