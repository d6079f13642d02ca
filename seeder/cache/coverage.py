"""What is stored of a layer, block by block, for a map: an audit's listing, told of every tile."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, NamedTuple

from seeder.cache.audit import Audit, AuditBatch, BlockAudit
from seeder.jobs.ledger import block_of
from seeder.jobs.messages import Job
from seeder.select.selection import Selection, regions
from tiler.errors import BadOption
from tiler.grid import LEAF, Block
from tiler.keys import job_key
from tiler.layers.catalog import Layer
from tiler.layers.render import TileVariant
from tiler.storage.concurrent import overlap
from tiler.storage.store import Stores

AUDIT_TTL_SECONDS = 5.0  # seconds
MAX_BLOCKS = 20_000  # blocks that are looked at: a map cannot show more, nor anybody wait for their listings


class Tiles(NamedTuple):
    """Numbers of tiles; those that are planned are each in one of the other states."""

    planned: int
    stored: int
    empty: int
    missing: int
    failed: int
    stale: int = 0


class Covered(NamedTuple):
    """What became of a block's tiles, as masks; those that are planned are each in one of the other states.

    An object counts as stored if it has bytes, be it a blank tile, unless it is stale. What is not stored is
    empty if the receipt of a done block says so, else failed if the latest word on it says so, else missing.
    """

    block: Block
    planned: int
    stored: int
    empty: int
    failed: int
    stale: int = 0

    @property
    def missing(self) -> int:
        """The tiles that are in no other state."""
        return self.planned & ~(self.stored | self.stale | self.empty | self.failed)

    @property
    def tiles(self) -> Tiles:
        """How many they are."""
        masks = (self.planned, self.stored, self.empty, self.missing, self.failed, self.stale)
        return Tiles(*(mask.bit_count() for mask in masks))


@dataclass(frozen=True, slots=True)
class ZoomCoverage:
    """The planned blocks of one zoom, row by row."""

    z: int
    blocks: tuple[Covered, ...]

    @classmethod
    def of(cls, audit: Audit, z: int) -> ZoomCoverage:
        """What is stored of one zoom of the audit's layer, as far as its boxes and tiles allow.

        Raises:
            BadOption, ZoomOutside, StoreError: as `coverage`.
        """
        found = coverage(replace(audit, selection=replace(audit.selection, zooms=(z,))))
        return cls(z, tuple(sorted(found, key=lambda each: (each.block.y, each.block.x))))

    @property
    def tiles(self) -> Tiles:
        """How many tiles they hold."""
        return Tiles(*map(sum, zip(*(each.tiles for each in self.blocks), strict=True))) if self.blocks else NOTHING

    def to_json(self) -> dict[str, Any]:
        """The JSON form. `side` is in tiles; a block is named by its north-west tile, with its numbers of tiles."""
        return {
            "z": self.z,
            "side": min(LEAF, 2**self.z),
            "tiles": self.tiles._asdict(),
            "blocks": [[each.block.x, each.block.y, *each.tiles] for each in self.blocks],
        }


NOTHING = Tiles(0, 0, 0, 0, 0)


def check_size(layer: Layer, selection: Selection) -> None:
    """Nothing, if the selection has few enough blocks to be looked at; found by arithmetic.

    Raises:
        BadOption: it has more than `MAX_BLOCKS`.
        ZoomOutside: the layer lacks one of the zooms.
    """
    blocks = sum(region.total().blocks for region in regions(layer, selection))
    if blocks > MAX_BLOCKS:
        raise BadOption(
            f"{blocks:,} blocks of layer {layer.id!r} are too many for a map: ask for {MAX_BLOCKS:,} with a bbox"
        )


def coverage(audit: Audit) -> Iterator[Covered]:
    """Every planned block of the audit's selection, about in order; none where nothing is selected.

    Memory holds a few columns of blocks, and the names of blocks that failed.

    Raises:
        BadOption, ZoomOutside: as `check_size`, at once; what follows only while it is drawn from.
        StoreError: something could not be listed or read.
    """
    check_size(audit.layer, audit.selection)
    walk = _Coverage(audit)
    return chain.from_iterable(overlap(walk.states, walk.parts()))


@dataclass(slots=True)
class Audits:
    """Audits that are kept for a few seconds: which jobs know of a layer's tiles is asked once for all its zooms."""

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
    """An audit, and of the zooms that have gaps the blocks that failed, with the jobs that say so."""

    audit: Audit
    failed: dict[int, dict[Block, set[str]]] = field(default_factory=dict)

    def parts(self) -> Iterator[AuditBatch]:
        """What the audit sees. Which blocks of a zoom failed is known before the first that has gaps is given."""
        for part in self.audit.batches():
            if part.blocks and part.blocks[-1].gaps:
                self._learn(part.blocks[-1].block.z)
            yield part

    def _learn(self, z: int) -> None:
        """List a zoom's failed receipts, unless that was done."""
        if z in self.failed:
            return
        sources, found = self.audit.stores.sources, defaultdict[Block, set[str]](set)

        def listed(job: Job) -> list[tuple[Block, str]]:
            root = job_key(job.id, "failed", "")
            entries = sources.list(root, after=f"{root}{z}-", before=f"{root}{z}.")  # the dot follows the dash
            return [(block_of(entry.key), job.id) for entry in entries]

        for pairs in overlap(listed, self.audit.jobs_of(z)):
            for block, job in pairs:
                found[block].add(job)
        self.failed[z] = dict(found)

    def states(self, batch: AuditBatch) -> list[Covered]:
        """The states of the tiles of blocks."""
        return [self._state(seen) for seen in batch.blocks]

    def _state(self, seen: BlockAudit) -> Covered:
        empty = self.audit.empty(seen.block, seen.gaps)
        failed = self._failed(seen.block, seen.gaps & ~empty)
        stored = seen.stored & ~seen.zero_bytes & ~seen.stale
        return Covered(seen.block, seen.planned, stored, empty, failed, seen.stale & ~seen.zero_bytes)

    def _failed(self, block: Block, tiles: int) -> int:
        """Those of the block's `tiles` of which the latest receipt that speaks of them says that they failed.

        Of a job's own two the one that says done is the later.
        """
        said = self.failed[block.z].get(block, set()) if tiles else set()
        failed = 0
        for job in self.audit.jobs_of(block.z) if said else ():
            words = [self.audit.told(job, "done", block)]
            if job.id in said:
                words.append(self.audit.told(job, "failed", block))
            for word in words:
                failed |= word.failed & tiles
                tiles &= ~word.all
        return failed
