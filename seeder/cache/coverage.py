"""Coverage of a layer for a map: the states of all tiles, block by block, from an audit."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, NamedTuple

from seeder.cache.audit import Audit, AuditBatch, BlockAudit
from seeder.jobs.messages import Job
from seeder.jobs.receipts import Receipts
from seeder.select.selection import Selection, regions
from tiler.errors import BadOption
from tiler.grid import LEAF, Block
from tiler.layers.catalog import Layer
from tiler.layers.render import TileVariant
from tiler.storage.concurrent import overlap
from tiler.storage.store import Stores

AUDIT_TTL_SECONDS = 5.0
MAX_BLOCKS = 20_000  # blocks of a coverage map at most, for the sake of the screen and of waiting time


class Tiles(NamedTuple):
    """Numbers of tiles by state; each planned tile is in one of the other states."""

    planned: int
    stored: int
    empty: int
    missing: int
    failed: int
    stale: int = 0


class Covered(NamedTuple):
    """The states of a block's tiles, as masks; each planned tile is in one of the other states.

    For `bytes` and `newest` see `BlockAudit`.

    An object with bytes counts as stored, even a blank tile, unless it is stale. A tile that is not stored is empty if
    the receipt of a done block says so, otherwise failed if its latest receipt says so, otherwise missing.
    """

    block: Block
    planned: int
    stored: int
    empty: int
    failed: int
    stale: int = 0
    bytes: int = 0
    newest: float = 0.0

    @property
    def missing(self) -> int:
        """The planned tiles in no other state."""
        return self.planned & ~(self.stored | self.stale | self.empty | self.failed)

    @property
    def tiles(self) -> Tiles:
        """The numbers of tiles."""
        masks = (self.planned, self.stored, self.empty, self.missing, self.failed, self.stale)
        return Tiles(*(mask.bit_count() for mask in masks))


@dataclass(frozen=True, slots=True)
class ZoomCoverage:
    """The planned blocks of one zoom, row by row."""

    z: int
    blocks: tuple[Covered, ...]

    @classmethod
    def of(cls, audit: Audit, z: int) -> ZoomCoverage:
        """The coverage of one zoom, within the audit's selection.

        Raises:
            BadOption, ZoomOutside, StoreError: as `coverage`.
        """
        blocks = coverage(replace(audit, selection=replace(audit.selection, zooms=(z,))))
        return cls(z, tuple(sorted(blocks, key=lambda each: (each.block.y, each.block.x))))

    @property
    def tiles(self) -> Tiles:
        """The numbers of tiles in all blocks."""
        return Tiles(*map(sum, zip(*(each.tiles for each in self.blocks), strict=True))) if self.blocks else NOTHING

    def to_json(self) -> dict[str, Any]:
        """The JSON form. `side` is in tiles; a block is its north-west tile's x and y, then its numbers of tiles.

        `gaps` are the blocks with missing, stale or failed tiles: x and y, then two masks of tiles in hexadecimal, of
        the missing and stale ones, and of the failed ones.
        """
        return {
            "z": self.z,
            "side": min(LEAF, 2**self.z),
            "tiles": self.tiles._asdict(),
            "blocks": [[each.block.x, each.block.y, *each.tiles] for each in self.blocks],
            "gaps": [
                [each.block.x, each.block.y, f"{each.missing | each.stale:016x}", f"{each.failed:016x}"]
                for each in self.blocks
                if each.missing | each.stale | each.failed
            ],
        }


NOTHING = Tiles(0, 0, 0, 0, 0)


def check_size(layer: Layer, selection: Selection, most: int | None = None) -> None:
    """Check the number of blocks in the selection, at most `most` or `MAX_BLOCKS`, without listing anything.

    Raises:
        BadOption: there are more.
        ZoomOutside: the layer lacks one of the zooms.
    """
    most = MAX_BLOCKS if most is None else most
    blocks = sum(region.total().blocks for region in regions(layer, selection))
    if blocks > most:
        raise BadOption(
            f"{blocks:,} blocks of layer {layer.id!r} are too many at once: choose a bbox with at most {most:,}"
        )


def coverage(audit: Audit, most: int | None = None) -> Iterator[Covered]:
    """The coverage of every planned block of the audit's selection, roughly in order; for `most` see `check_size`.

    Memory holds a few columns of blocks, and the names of failed blocks.

    Raises:
        BadOption, ZoomOutside: as `check_size`, when called.
        StoreError: an object could not be listed or read, during iteration.
    """
    check_size(audit.layer, audit.selection, most)
    walk = _Coverage(audit)
    return chain.from_iterable(overlap(walk.states, walk.parts()))


@dataclass(slots=True)
class Audits:
    """A cache of audits for a few seconds, so that a layer's jobs are listed once for all its zooms."""

    stores: Stores
    _kept: dict[tuple[str, str, TileVariant], tuple[float, Audit]] = field(default_factory=dict)

    def of(self, layer: Layer, selection: Selection, variant: TileVariant) -> Audit:
        """The audit of a selection; see `Audit.of`."""
        name, now = (layer.id, layer.revision, variant), time.monotonic()
        made, audit = self._kept.get(name, (-AUDIT_TTL_SECONDS, None))
        if audit is None or now - made >= AUDIT_TTL_SECONDS:
            self._kept = {each: known for each, known in self._kept.items() if now - known[0] < AUDIT_TTL_SECONDS}
            audit = Audit.of(layer, selection, variant, self.stores)
            self._kept[name] = now, audit
        return replace(audit, selection=selection)


@dataclass(frozen=True, slots=True)
class _Coverage:
    """An audit with the failed blocks of each zoom with gaps, and the jobs in which they failed."""

    audit: Audit
    failed: dict[int, dict[Block, set[str]]] = field(default_factory=dict)

    def parts(self) -> Iterator[AuditBatch]:
        """The audit's batches. A zoom's failed blocks are listed before its first block with gaps is yielded."""
        for part in self.audit.batches():
            if part.blocks and part.blocks[-1].gaps:
                self._list_failed(part.blocks[-1].block.z)
            yield part

    def _list_failed(self, z: int) -> None:
        """List a zoom's failed receipts, once."""
        if z in self.failed:
            return
        sources, failed = self.audit.stores.sources, defaultdict[Block, set[str]](set)

        def listed(job: Job) -> list[tuple[Block, str]]:
            return [(block, job.id) for block in Receipts(sources, job.id, "failed").blocks(z)]

        for pairs in overlap(listed, self.audit.jobs_of(z)):
            for block, job in pairs:
                failed[block].add(job)
        self.failed[z] = dict(failed)

    def states(self, batch: AuditBatch) -> list[Covered]:
        """The states of the tiles of blocks."""
        return [self._state(audited) for audited in batch.blocks]

    def _state(self, audited: BlockAudit) -> Covered:
        empty = self.audit.empty(audited.block, audited.gaps)
        failed = self._failed(audited.block, audited.gaps & ~empty)
        stored = audited.stored & ~audited.zero_bytes & ~audited.stale
        stale = audited.stale & ~audited.zero_bytes
        return Covered(audited.block, audited.planned, stored, empty, failed, stale, audited.bytes, audited.newest)

    def _failed(self, block: Block, tiles: int) -> int:
        """The tiles among the block's `tiles` that failed in the latest receipt that contains them.

        Of a job's own two receipts, the `done` one is the later.
        """
        jobs = self.failed[block.z].get(block, set()) if tiles else set()
        failed = 0
        for job in self.audit.jobs_of(block.z) if jobs else ():
            outcomes = [self.audit.outcome(job, "done", block)]
            if job.id in jobs:
                outcomes.append(self.audit.outcome(job, "failed", block))
            for outcome in outcomes:
                failed |= outcome.failed & tiles
                tiles &= ~outcome.all
        return failed
