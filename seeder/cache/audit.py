"""What is stored, held against what should be: by listing, and on request by rendering a sample anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial, reduce
from itertools import chain, islice
from operator import or_
from typing import Literal, NamedTuple

import numpy as np
from mercantile import Tile

from seeder.cache.stale import UNMIXED, History
from seeder.jobs.ledger import Kind, jobs, jobs_of, layer_of, read_receipt
from seeder.jobs.messages import Job
from seeder.select.blocks import BlockMask
from seeder.select.order import stride
from seeder.select.selection import Selection, regions
from seeder.select.tilelist import tile_line
from seeder.select.tileset import TileSet
from tiler.errors import BadImage, BadInput, MissingObject
from tiler.grid import LEAF, Block
from tiler.image.encode import decode
from tiler.image.style import Pixels
from tiler.ingest.processes import stream
from tiler.keys import (
    CONTENT_TYPES,
    TileName,
    job_key,
    layer_prefix,
    parse_tile_key,
    sources_prefix,
    tile_key,
    tile_prefix,
    zoom_prefix,
)
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.fill import Outcome
from tiler.layers.render import TileVariant, nothing, render
from tiler.settings import Settings
from tiler.storage.concurrent import THREADS, overlap
from tiler.storage.leftovers import sweep
from tiler.storage.store import PAGE, Entry, Store, Stores

Problem = Literal[
    "missing",  # planned, not known to be empty, not stored
    "no bytes",  # stored, but empty
    "unexpected",  # stored where the layer has nothing, or no tile at all
    "wrong type",  # its content type, its format or its size is another
    "damaged",  # it cannot be decoded
    "differs",  # it shows something else than a fresh render
    "stale",  # it is of another revision than the current one
]
TO_SEED: frozenset[Problem] = frozenset({"missing", "no bytes", "wrong type", "damaged", "differs", "stale"})
COLUMN = sum(1 << LEAF * dy for dy in range(LEAF))  # the west-most tiles of a block's mask
TOLERANCE = 3  # levels of 255 that a pixel may be off: libraries of another version or machine round differently


@dataclass(frozen=True, slots=True)
class Finding:
    """An object that is not as it should be; `tile` is its z/x/y, empty where it is not a tile of the layer."""

    key: str
    problem: Problem
    tile: str = ""


class BlockAudit(NamedTuple):
    """A block as listings show it: masks of the tiles that are planned, and of those of them that are stored."""

    block: Block
    planned: int
    stored: int
    zero_bytes: int  # stored, but without a byte
    stale: int = 0  # stored, but of another revision than the current one
    unsure: int = 0  # stored, and perhaps of another revision: a comparison tells

    @property
    def lacking(self) -> int:
        """The tiles that are planned and not stored with at least a byte."""
        return self.gaps | self.zero_bytes

    @property
    def gaps(self) -> int:
        """The tiles that are planned and not stored."""
        return self.planned & ~self.stored


class AuditBatch(NamedTuple):
    """What listings of one zoom show: planned blocks, and what is unexpected among their tiles."""

    blocks: list[BlockAudit]
    strays: list[Finding]

    @property
    def planned(self) -> int:
        """How many tiles are planned."""
        return sum(seen.planned.bit_count() for seen in self.blocks)

    def parts(self) -> Iterator[AuditBatch]:
        """The same in parts: only the last block of each may have gaps, so that many are asked about at once."""
        part, strays = list[BlockAudit](), self.strays
        for seen in self.blocks:
            part.append(seen)
            if seen.gaps:
                yield AuditBatch(part, strays)
                part, strays = [], []
        if part or strays:
            yield AuditBatch(part, strays)


@dataclass(frozen=True, slots=True)
class Audit:
    """What is to be checked. `known` are the jobs whose receipts tell of its tiles, the newest first.

    Another selection of the same layer can be checked by the same jobs (`dataclasses.replace`).
    """

    layer: Layer
    selection: Selection
    variant: TileVariant
    stores: Stores
    known: tuple[Job, ...]
    history: History = UNMIXED

    @classmethod
    def of(cls, layer: Layer, selection: Selection, variant: TileVariant, stores: Stores) -> Audit:
        """The audit of a selection, with the jobs of the layer's revision that rendered at its scale."""
        own, wanted = jobs_of(stores.sources, layer.id), (layer.revision, variant.scale)
        known = (job for job in own if (job.spec.revision, job.spec.variant.scale) == wanted)
        return cls(layer, selection, variant, stores, tuple(known), History.of(layer, stores))

    def jobs_of(self, z: int) -> Iterator[Job]:
        """The known jobs that have blocks of zoom `z`, the newest first."""
        return (job for job in self.known if z in job.spec.selection.zooms)

    def told(self, job: Job, kind: Kind, block: Block) -> Outcome:
        """What a job's receipt of that kind says of the block, nothing at all if there is none."""
        receipt = read_receipt(self.stores.sources, job.id, kind, block)
        return receipt.outcome if receipt else Outcome()

    def empty(self, block: Block, tiles: int) -> int:
        """Those of the block's `tiles` of which the receipt of a job says that there is nothing on them."""
        left = tiles
        for job in self.jobs_of(block.z):
            if not left:
                break
            left &= ~self.told(job, "done", block).empty
        return tiles & ~left

    def findings(self, progress: Callable[[int], object]) -> Iterator[Finding]:
        """All that a listing shows, about in order. Memory holds a few columns of blocks, whatever the layer's size.

        `progress` is told of planned tiles as they are checked.

        Raises:
            StoreError: something could not be listed or read.
        """
        for planned, found in overlap(self._wrong, self.batches()):
            yield from found
            progress(planned)
        if self.selection.whole:
            yield from self._strays()

    def batches(self) -> Iterator[AuditBatch]:
        """All planned blocks as listings show them, about in order; see `AuditBatch.parts`."""
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
        """The stored tiles of which a listing cannot tell whether they are stale, block by block."""
        if self.history.mixed:
            for batch in self.batches():
                yield from (BlockMask(seen.block, seen.unsure) for seen in batch.blocks if seen.unsure)

    def _wrong(self, batch: AuditBatch) -> tuple[int, list[Finding]]:
        """How many tiles are planned, and what is wrong."""
        found = list(batch.strays)
        for seen in batch.blocks:
            missing = seen.gaps & ~self.empty(seen.block, seen.gaps)
            found += [self._finding(tile, "missing") for tile in seen.block.tiles(missing)]
            found += [self._finding(tile, "no bytes") for tile in seen.block.tiles(seen.zero_bytes)]
            found += [self._finding(tile, "stale") for tile in seen.block.tiles(seen.stale)]
        return batch.planned, found

    def _finding(self, tile: Tile, problem: Problem) -> Finding:
        key = tile_key(TileName(self.layer.id, tile, self.variant.scale, self.variant.format))
        return Finding(key, problem, tile_line(tile))

    def _strips(self) -> Iterator[_Strip]:
        """The columns of blocks that tiles are planned in.

        Which columns of tiles are there at all is asked where all matter, or where that is sooner told than all are
        listed: the one takes a request for every `PAGE` columns in turn, the other one for each, `THREADS` at once.
        """
        for region in regions(self.layer, self.selection):
            wide = sum(each.x1 - each.x0 for each in self.layer.ranges(region.z))
            strips = region.strips(self._block_columns(region.z) if self.selection.whole else ())
            few = THREADS * (1 + wide // PAGE) // LEAF
            first = list(islice(strips, few + 1))
            there = None
            if self.selection.whole or len(first) > few:
                there = frozenset(self.stores.tiles.folders(zoom_prefix(self.layer.id, region.z)))
            for x, strip in chain(first, strips):
                yield _Strip(self, strip, x, there)

    def _strays(self) -> Iterator[Finding]:
        """What is stored beside the layer's columns, in the zooms that are selected.

        All zooms selected, also what is stored of zooms that the layer lacks.
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
        """The columns of blocks that the layer touches, which are checked whole."""
        return {x // LEAF * LEAF for each in self.layer.ranges(z) for x in range(each.x0, each.x1)}

    def _all_below(self, prefix: str) -> Iterator[Finding]:
        found = self.stores.tiles.list(prefix)
        return (Finding(entry.key, "unexpected") for entry in found if not self.is_other_variant(entry.key))

    def is_other_variant(self, key: str) -> bool:
        """Whether it is the key of a tile in another format or scale, which is another audit's."""
        try:
            name = parse_tile_key(key)
        except BadInput:
            return False
        return (name.scale, name.format) != (self.variant.scale, self.variant.format)


@dataclass(frozen=True, slots=True)
class _Strip:
    """One column of blocks, and what is planned in it."""

    audit: Audit
    region: TileSet
    x: int  # of the west-most tiles
    there: frozenset[str] | None  # the columns of tiles in which something is stored, None where nobody knows

    def batch(self) -> AuditBatch:
        """What is stored of what is planned, and beside it."""
        seen = {
            block_mask.block: BlockAudit(block_mask.block, block_mask.tiles, 0, 0)
            for block_mask in self.region.block_masks()
        }
        strays: list[Finding] = []
        for column in self._columns(seen):
            prefix = tile_prefix(self.audit.layer.id, self.region.z, column)
            for entry in self.audit.stores.tiles.list(prefix):
                strays += self._place(entry, seen)
        return AuditBatch(list(seen.values()), strays)

    def _columns(self, seen: dict[Block, BlockAudit]) -> Iterator[int]:
        """The columns of tiles to be listed: where strays do not count, those alone that tiles are planned in."""
        planned = reduce(or_, (each.planned for each in seen.values()), 0)
        meant = (dx for dx in range(LEAF) if self.audit.selection.whole or planned & COLUMN << dx)
        return (self.x + dx for dx in meant if self.there is None or str(self.x + dx) in self.there)

    def _place(self, entry: Entry, seen: dict[Block, BlockAudit]) -> Iterator[Finding]:
        """Note an object that is stored."""
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
        before = seen.get(block)
        if before and before.planned & bit:
            history = self.audit.history
            state = history.state(entry.modified) if history.mixed else "current"
            seen[block] = before._replace(
                stored=before.stored | bit,
                zero_bytes=before.zero_bytes | (0 if entry.size else bit),
                stale=before.stale | (bit if state == "stale" else 0),
                unsure=before.unsure | (bit if state == "unsure" else 0),
            )
        elif whole and not self._on_demand(entry, name):
            yield Finding(entry.key, "unexpected")

    def _on_demand(self, entry: Entry, name: TileName) -> bool:
        """Whether the object may be the blank tile that the redirect path stores where the layer has no data."""
        layer = self.audit.layer
        return layer.has(name.tile) and entry.size == len(nothing(layer, self.audit.variant))


def sampled(audit: Audit, number: int | None) -> Iterator[BlockMask]:
    """Planned tiles one by one, so many of all zooms at random, the same each time; None means all, block by block."""
    found = list(regions(audit.layer, audit.selection))
    if number is None:
        for region in found:
            yield from region.block_masks()
        return
    counts = [region.total().tiles for region in found]
    total = sum(counts)
    start, step = int(audit.layer.revision, 16), stride(total)
    for turn in range(min(number, total)):
        place = (start + turn * step) % total
        for region, tiles in zip(found, counts, strict=True):
            if place < tiles:
                block_mask = region.block_mask_of(place)
                bits = [block_mask.block.bit(tile) for tile in block_mask.block.tiles(block_mask.tiles)]
                yield BlockMask(block_mask.block, bits[place % len(bits)])
                break
            place -= tiles


def deep_findings(
    audit: Audit, block_masks: Iterable[BlockMask], settings: Settings, *, jobs: int, progress: Callable[[int], object]
) -> Iterator[Finding]:
    """What the stored tiles of `block_masks` are, decoded and compared with a fresh render, by `jobs` processes.

    Tiles that are not stored or have no bytes are passed over: a listing shows them.

    Raises:
        SourceReadError: the layer cannot be read.
        StoreError: a tile cannot be read.
    """
    for planned, found in stream(partial(_comparing, settings, audit.layer.id, audit.variant), block_masks, jobs=jobs):
        yield from found
        progress(planned)


def _comparing(settings: Settings, name: str, variant: TileVariant) -> Callable[[BlockMask], tuple[int, list[Finding]]]:
    """A process's task: compare the tiles of a piece."""
    stores = Stores.open(settings)
    layer = load_layer(stores.sources, name)

    def compared(block_mask: BlockMask) -> tuple[int, list[Finding]]:
        found, void = [], nothing(layer, variant)
        for tile, fresh in render(layer, stores.sources, block_mask.block, block_mask.tiles, variant):
            key = tile_key(TileName(layer.id, tile, variant.scale, variant.format))
            problem = _problem(stores.tiles, key, fresh or void, variant, encoded=bool(layer.style.encoding))
            if problem:
                found.append(Finding(key, problem, tile_line(tile)))
        return len(block_mask), found

    return compared


def _problem(tiles: Store, key: str, fresh: bytes, variant: TileVariant, *, encoded: bool) -> Problem | None:
    """What is wrong with the tile under `key`, which should show what `fresh` does."""
    try:
        data, kind = tiles.typed(key)
    except MissingObject:
        return None
    if not data or (data == fresh and kind in ("", CONTENT_TYPES[variant.format])):
        return None
    if kind not in ("", CONTENT_TYPES[variant.format]):
        return "wrong type"
    try:
        form, pixels = decode(data)
    except BadImage:
        return "damaged"
    if form != variant.format or pixels.shape[:2] != (variant.size, variant.size):
        return "wrong type"
    return None if _alike(pixels, decode(fresh)[1], encoded=encoded) else "differs"


def _alike(one: Pixels, other: Pixels, *, encoded: bool = False) -> bool:
    """Whether two RGBA pictures show the same within TOLERANCE, of colours or of `encoded` heights that can be seen."""
    if encoded:
        a, b = (each[..., :3] @ np.array([65536, 256, 1]) * (each[..., 3] > 0) for each in (one, other))
    else:
        a, b = (each[..., :3] * (each[..., 3:] / 255) for each in (one, other))
    alpha = one[..., 3].astype(int) - other[..., 3]
    return bool(np.abs(a - b).max() <= TOLERANCE and np.abs(alpha).max() <= TOLERANCE)
