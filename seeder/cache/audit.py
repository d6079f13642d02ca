"""Compare stored tiles with the plan, by listing, and optionally with fresh renders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from itertools import chain, islice
from operator import or_
from typing import Literal, NamedTuple

from mercantile import Tile

from seeder.cache.stale import UNMIXED, History
from seeder.jobs.ledger import jobs, jobs_of, layer_of
from seeder.jobs.messages import Job, Receipt
from seeder.jobs.receipts import Kind, Receipts
from seeder.select.blocks import BlockMask
from seeder.select.order import stride
from seeder.select.selection import Selection, regions
from seeder.select.tilelist import tile_line
from seeder.select.tileset import TileSet
from tiler.errors import BadInput
from tiler.grid import LEAF, Block
from tiler.keys import (
    TileName,
    job_key,
    layer_prefix,
    parse_tile_key,
    sources_prefix,
    tile_key,
    tile_prefix,
    zoom_prefix,
)
from tiler.layers.catalog import Layer
from tiler.layers.fill import Outcome
from tiler.layers.render import TileVariant, nothing
from tiler.storage.concurrent import THREADS, overlap
from tiler.storage.leftovers import sweep
from tiler.storage.store import PAGE, Entry, Stores

Problem = Literal[
    "missing",  # planned, not known to be empty, not stored
    "no bytes",  # stored with 0 bytes
    "unexpected",  # stored outside the layer, or not a tile
    "wrong type",  # another content type, format or size
    "damaged",  # cannot be decoded
    "differs",  # differs from a fresh render
    "stale",  # of another revision than the current one
]
TO_SEED: frozenset[Problem] = frozenset({"missing", "no bytes", "wrong type", "damaged", "differs", "stale"})
COLUMN = sum(1 << LEAF * dy for dy in range(LEAF))  # mask of a block's westernmost column


@dataclass(frozen=True, slots=True)
class Finding:
    """An object with a problem; `tile` is its z/x/y, empty if it is not a tile of the layer."""

    key: str
    problem: Problem
    tile: str = ""


class BlockAudit(NamedTuple):
    """The result of listing a block: masks of planned tiles, and of their states.

    `bytes` are those of its stored planned tiles, `newest` is the latest time of last write in seconds since 1970, 0 if
    none is stored.
    """

    block: Block
    planned: int
    stored: int
    zero_bytes: int  # stored with 0 bytes
    stale: int = 0  # stored, of another revision than the current one
    unsure: int = 0  # stored, current or stale: only a comparison decides
    bytes: int = 0
    newest: float = 0.0

    @property
    def lacking(self) -> int:
        """The planned tiles that are not stored or have 0 bytes."""
        return self.gaps | self.zero_bytes

    @property
    def gaps(self) -> int:
        """The planned tiles that are not stored."""
        return self.planned & ~self.stored


class AuditBatch(NamedTuple):
    """The result of listings of one zoom: planned blocks, and unexpected objects among their tiles."""

    blocks: list[BlockAudit]
    strays: list[Finding]

    @property
    def planned(self) -> int:
        """The number of planned tiles."""
        return sum(audited.planned.bit_count() for audited in self.blocks)

    def parts(self) -> Iterator[AuditBatch]:
        """Divide the batch after each block with gaps, so that the receipts of several blocks are read in parallel."""
        part, strays = list[BlockAudit](), self.strays
        for audited in self.blocks:
            part.append(audited)
            if audited.gaps:
                yield AuditBatch(part, strays)
                part, strays = [], []
        if part or strays:
            yield AuditBatch(part, strays)


@dataclass(frozen=True, slots=True)
class Audit:
    """A selection to be checked. `known` are the jobs with receipts for its tiles, the newest first.

    The same jobs can check another selection of the layer (`dataclasses.replace`).
    """

    layer: Layer
    selection: Selection
    variant: TileVariant
    stores: Stores
    known: tuple[Job, ...]
    history: History = UNMIXED
    _receipts: dict[tuple[str, Kind], Receipts] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, layer: Layer, selection: Selection, variant: TileVariant, stores: Stores) -> Audit:
        """The audit of a selection, with the jobs of the layer's current revision and the variant's scale."""
        own, wanted = jobs_of(stores.sources, layer.id), (layer.revision, variant.scale)
        known = (job for job in own if (job.spec.revision, job.spec.variant.scale) == wanted)
        return cls(layer, selection, variant, stores, tuple(known), History.of(layer, stores))

    def jobs_of(self, z: int) -> Iterator[Job]:
        """The known jobs with blocks of zoom `z`, the newest first."""
        return (job for job in self.known if z in job.spec.selection.zooms)

    def outcome(self, job: Job, kind: Kind, block: Block) -> Outcome:
        """The outcome in a job's receipt of this kind for the block; without a receipt, one with no tiles."""
        receipts = self._receipts.setdefault((job.id, kind), Receipts(self.stores.sources, job.id, kind))
        return (receipts.read(block) or Receipt(block, Outcome())).outcome

    def empty(self, block: Block, tiles: int) -> int:
        """The tiles among the block's `tiles` that are empty in a job's receipt."""
        remaining = tiles
        for job in self.jobs_of(block.z):
            if not remaining:
                break
            remaining &= ~self.outcome(job, "done", block).empty
        return tiles & ~remaining

    def findings(self, progress: Callable[[int], object]) -> Iterator[Finding]:
        """All problems found by listing, roughly in order. Memory holds a few columns of blocks, for any layer.

        `progress` gets the number of checked tiles.

        Raises:
            StoreError: an object could not be listed or read.
        """
        for planned, problems in overlap(self._problems, self.batches()):
            yield from problems
            progress(planned)
        if self.selection.whole:
            yield from self._strays()

    def batches(self) -> Iterator[AuditBatch]:
        """All planned blocks with the results of listing, roughly in order; see `AuditBatch.parts`."""
        for strip in overlap(_Strip.batch, self._strips()):
            yield from strip.parts()

    def sweep(self) -> None:
        """Remove leftovers of killed puts from the planned columns and the layer's private folders."""
        tiles, sources = self.stores.tiles.root, self.stores.sources.root
        for strip in self._strips() if tiles else ():
            for dx in range(LEAF):
                sweep(tiles, tile_prefix(self.layer.id, strip.region.z, strip.x + dx))
        own = (job_key(name) for name in jobs(self.stores.sources) if layer_of(name) == self.layer.id)
        for folder in (sources_prefix(self.layer.id), *own) if sources else ():
            sweep(sources, folder, deep=True)

    def unsure(self) -> Iterator[BlockMask]:
        """The stored tiles that may be stale, as far as times tell, block by block."""
        if self.history.mixed:
            for batch in self.batches():
                yield from (BlockMask(each.block, each.unsure) for each in batch.blocks if each.unsure)

    def _problems(self, batch: AuditBatch) -> tuple[int, list[Finding]]:
        """The number of planned tiles, and the problems found."""
        problems = list(batch.strays)
        for audited in batch.blocks:
            block, missing = audited.block, audited.gaps & ~self.empty(audited.block, audited.gaps)
            problems += [self._finding(tile, "missing") for tile in block.tiles(missing)]
            problems += [self._finding(tile, "no bytes") for tile in block.tiles(audited.zero_bytes)]
            problems += [self._finding(tile, "stale") for tile in block.tiles(audited.stale)]
        return batch.planned, problems

    def _finding(self, tile: Tile, problem: Problem) -> Finding:
        key = tile_key(TileName(self.layer.id, tile, self.variant.scale, self.variant.format))
        return Finding(key, problem, tile_line(tile))

    def _strips(self) -> Iterator[_Strip]:
        """The columns of blocks with planned tiles.

        Existing columns are listed first for a whole layer, or if this is faster than listing every column: it takes
        one request per `PAGE` columns, one after the other, instead of one per column, `THREADS` at a time.
        """
        for region in regions(self.layer, self.selection):
            wide = sum(each.x1 - each.x0 for each in self.layer.ranges(region.z))
            strips = region.strips(self._block_columns(region.z) if self.selection.whole else ())
            few = THREADS * (1 + wide // PAGE) // LEAF
            first = list(islice(strips, few + 1))
            stored = None
            if self.selection.whole or len(first) > few:
                stored = frozenset(self.stores.tiles.folders(zoom_prefix(self.layer.id, region.z)))
            for x, strip in chain(first, strips):
                yield _Strip(self, strip, x, stored)

    def _strays(self) -> Iterator[Finding]:
        """Objects outside the layer's columns, in the selected zooms.

        If all zooms are selected, also objects in zooms outside the layer's range.
        """
        tiles = self.stores.tiles
        for z in self.selection.zooms:
            prefix = zoom_prefix(self.layer.id, z)
            names, objects = tiles.below(prefix)
            own = {str(x + dx) for x in self._block_columns(z) for dx in range(LEAF)}
            for entry in objects:
                yield Finding(entry.key, "unexpected")
            for name in sorted(set(names) - own):
                yield from self._all_below(f"{prefix}{name}/")
        if self.selection.zooms == tuple(range(self.layer.minzoom, self.layer.maxzoom + 1)):
            for name in tiles.folders(layer_prefix(self.layer.id)):
                if name not in map(str, self.selection.zooms):
                    yield from self._all_below(f"{layer_prefix(self.layer.id)}{name}/")

    def _block_columns(self, z: int) -> set[int]:
        """The columns of blocks that the layer touches; these are checked completely."""
        return {x // LEAF * LEAF for each in self.layer.ranges(z) for x in range(each.x0, each.x1)}

    def _all_below(self, prefix: str) -> Iterator[Finding]:
        entries = self.stores.tiles.list(prefix)
        return (Finding(entry.key, "unexpected") for entry in entries if not self.is_other_variant(entry.key))

    def is_other_variant(self, key: str) -> bool:
        """Whether the key is of a tile in another format or scale, which this audit ignores."""
        try:
            name = parse_tile_key(key)
        except BadInput:
            return False
        return (name.scale, name.format) != (self.variant.scale, self.variant.format)


@dataclass(frozen=True, slots=True)
class _Strip:
    """One column of blocks, and the tiles planned in it."""

    audit: Audit
    region: TileSet
    x: int  # of the westernmost tiles
    stored: frozenset[str] | None  # the columns of tiles with objects, None if not listed

    def batch(self) -> AuditBatch:
        """The results of listing this column, and unexpected objects."""
        audited = {
            block_mask.block: BlockAudit(block_mask.block, block_mask.tiles, 0, 0)
            for block_mask in self.region.block_masks()
        }
        strays: list[Finding] = []
        for column in self._columns(audited):
            prefix = tile_prefix(self.audit.layer.id, self.region.z, column)
            for entry in self.audit.stores.tiles.list(prefix):
                strays += self._record(entry, audited)
        return AuditBatch(list(audited.values()), strays)

    def _columns(self, audited: dict[Block, BlockAudit]) -> Iterator[int]:
        """The columns of tiles to list; without a check for strays, only those with planned tiles."""
        planned = reduce(or_, (each.planned for each in audited.values()), 0)
        wanted = (dx for dx in range(LEAF) if self.audit.selection.whole or planned & COLUMN << dx)
        return (self.x + dx for dx in wanted if self.stored is None or str(self.x + dx) in self.stored)

    def _record(self, entry: Entry, audited: dict[Block, BlockAudit]) -> Iterator[Finding]:
        """Record a stored object."""
        whole = self.audit.selection.whole
        try:
            name = parse_tile_key(entry.key)
        except BadInput:
            if whole:
                yield Finding(entry.key, "unexpected")
            return
        if self.audit.is_other_variant(entry.key):
            return
        block = Block.of(name.tile)
        bit = block.bit(name.tile)
        before = audited.get(block)
        if before and before.planned & bit:
            history = self.audit.history
            state = history.state(name, entry.modified) if history.mixed else "current"
            audited[block] = before._replace(
                stored=before.stored | bit,
                zero_bytes=before.zero_bytes | (0 if entry.size else bit),
                stale=before.stale | (bit if state == "stale" else 0),
                unsure=before.unsure | (bit if state == "unsure" else 0),
                bytes=before.bytes + entry.size,
                newest=max(before.newest, entry.modified.timestamp()),
            )
        elif whole and not self._on_demand(entry, name):
            yield Finding(entry.key, "unexpected")

    def _on_demand(self, entry: Entry, name: TileName) -> bool:
        """Whether the object may be a blank tile, stored by the redirect path outside the footprint."""
        layer = self.audit.layer
        return layer.has(name.tile) and entry.size == len(nothing(layer, self.audit.variant))


def sampled(audit: Audit, number: int | None) -> Iterator[BlockMask]:
    """A reproducible random sample of `number` planned tiles of all zooms; None means all tiles, block by block."""
    tile_sets = list(regions(audit.layer, audit.selection))
    if number is None:
        for region in tile_sets:
            yield from region.block_masks()
        return
    counts = [region.total().tiles for region in tile_sets]
    total = sum(counts)
    start, step = int(audit.layer.revision, 16), stride(total)
    for turn in range(min(number, total)):
        position = (start + turn * step) % total
        for region, tiles in zip(tile_sets, counts, strict=True):
            if position < tiles:
                block_mask = region.block_mask_of(position)
                bits = [block_mask.block.bit(tile) for tile in block_mask.block.tiles(block_mask.tiles)]
                yield BlockMask(block_mask.block, bits[position % len(bits)])
                break
            position -= tiles
