"""What is stored, held against what should be: by listing, and on request by rendering a sample anew."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from mercantile import Tile

from seeder.jobs import Receipt
from seeder.ledger import jobs, layer_of, load_job
from seeder.selection import GOLDEN, Piece, Region, Selection, regions
from seeder.tilelist import tile_line
from tiler.catalog import Layer, load_layer
from tiler.encode import blank, decode
from tiler.errors import BadImage, BadInput, MissingObject
from tiler.grid import LEAF, Block
from tiler.keys import (
    CONTENT_TYPES,
    TileName,
    job_key,
    layer_prefix,
    parse_tile_key,
    tile_key,
    tile_prefix,
    zoom_prefix,
)
from tiler.overlap import overlap
from tiler.processes import stream
from tiler.render import Look, render
from tiler.settings import Settings
from tiler.storage import Entry, Store, Stores
from tiler.style import Pixels

Problem = Literal[
    "missing",  # planned, not known to be empty, not stored
    "no bytes",  # stored, but empty
    "unexpected",  # stored where the layer has nothing, or no tile at all
    "wrong type",  # its content type, its format or its size is another
    "damaged",  # it cannot be decoded
    "differs",  # it shows something else than a fresh render
]
TO_SEED: frozenset[Problem] = frozenset({"missing", "no bytes", "wrong type", "damaged", "differs"})
TOLERANCE = 3  # levels of 255 that a pixel may be off: libraries of another version or machine round differently


@dataclass(frozen=True, slots=True)
class Finding:
    """An object that is not as it should be; `tile` is its z/x/y, empty where it is not a tile of the layer."""

    key: str
    problem: Problem
    tile: str = ""


@dataclass(frozen=True, slots=True)
class Audit:
    """What is to be checked. `known` are the jobs whose receipts may say that a tile is empty, the newest first."""

    layer: Layer
    selection: Selection
    look: Look
    stores: Stores
    known: tuple[str, ...]

    @classmethod
    def of(cls, layer: Layer, selection: Selection, look: Look, stores: Stores) -> Audit:
        """The audit of a selection, with the jobs of the layer's revision that rendered at its scale."""
        known = []
        for job in reversed(jobs(stores.sources)):
            if layer_of(job) == layer.id:
                try:
                    spec = load_job(stores.sources, job, listed=False).spec
                except MissingObject:  # it was cut off before it was on record
                    continue
                if spec.revision == layer.revision and spec.look.scale == look.scale:
                    known.append(job)
        return cls(layer, selection, look, stores, tuple(known))

    def not_empty(self, block: Block, tiles: int) -> int:
        """Those of the block's `tiles` that no receipt says to be empty."""
        for job in self.known:
            if not tiles:
                break
            try:
                data = self.stores.sources.get(job_key(job, "done", str(block)))
            except MissingObject:
                continue
            tiles &= ~Receipt.decode(str(block), data).outcome.empty
        return tiles

    def findings(self, progress: Callable[[int], object]) -> Iterator[Finding]:
        """All that a listing shows, about in order. Memory holds a few columns of blocks, whatever the layer's size.

        `progress` is told of planned tiles as they are checked.

        Raises:
            StoreError: something could not be listed or read.
        """
        for planned, found in overlap(_Strip.check, self._strips()):
            yield from found
            progress(planned)
        if self.selection.whole:
            yield from self._strays()

    def _strips(self) -> Iterator[_Strip]:
        """The columns of blocks that tiles are planned in, and what is stored there."""
        for region in regions(self.layer, self.selection):
            prefix = zoom_prefix(self.layer.id, region.z)
            names = set(self.stores.tiles.folders(prefix))
            for x, strip in region.strips():
                yield _Strip(self, strip, tuple(name for name in map(str, range(x, x + LEAF)) if name in names))

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
        return (Finding(entry.key, "unexpected") for entry in found if not self.variant(entry.key))

    def variant(self, key: str) -> bool:
        """Whether it is the key of a tile in another format or scale, which is another audit's."""
        try:
            name = parse_tile_key(key)
        except BadInput:
            return False
        return (name.scale, name.format) != (self.look.scale, self.look.format)


@dataclass(frozen=True, slots=True)
class _Strip:
    """One column of blocks: what is planned in it, and the columns of tiles that are stored."""

    audit: Audit
    region: Region
    columns: tuple[str, ...]

    def check(self) -> tuple[int, list[Finding]]:
        """How many tiles are planned, and what is wrong."""
        found: list[Finding] = []
        planned = {piece.block: piece.tiles for piece in self.region.pieces()}
        there = dict.fromkeys(planned, 0)
        for column in self.columns:
            prefix = tile_prefix(self.audit.layer.id, self.region.z, int(column))
            for entry in self.audit.stores.tiles.list(prefix):
                found += self._place(entry, planned, there)
        for block, tiles in planned.items():
            missing = tiles & ~there[block]
            if missing:
                missing = self.audit.not_empty(block, missing)
            found += [Finding(self._key(tile), "missing", tile_line(tile)) for tile in block.tiles(missing)]
        return sum(tiles.bit_count() for tiles in planned.values()), found

    def _key(self, tile: Tile) -> str:
        return tile_key(TileName(self.audit.layer.id, tile, self.audit.look.scale, self.audit.look.format))

    def _place(self, entry: Entry, planned: dict[Block, int], there: dict[Block, int]) -> Iterator[Finding]:
        """Note an object that is stored."""
        whole = self.audit.selection.whole
        try:
            name = parse_tile_key(entry.key)
        except BadInput:
            if whole:
                yield Finding(entry.key, "unexpected")
            return
        if self.audit.variant(entry.key):
            return
        block = Block.of(name.tile)
        bit = block.bit(name.tile)
        if planned.get(block, 0) & bit:
            there[block] |= bit
            if not entry.size:
                yield Finding(entry.key, "no bytes", tile_line(name.tile))
        elif whole and not self._on_demand(entry, name):
            yield Finding(entry.key, "unexpected")

    def _on_demand(self, entry: Entry, name: TileName) -> bool:
        """Whether the object may be the blank tile that the redirect path stores where the layer has no data."""
        inside = any(name.tile in each for each in self.audit.layer.ranges(name.tile.z))
        return inside and entry.size == len(blank(self.audit.look.size, self.audit.look.format))


def sampled(audit: Audit, number: int | None) -> Iterator[Piece]:
    """Planned tiles one by one, so many of all zooms at random, the same each time; None means all, block by block."""
    found = list(regions(audit.layer, audit.selection))
    if number is None:
        for region in found:
            yield from region.pieces()
        return
    counts = [region.total().tiles for region in found]
    total = sum(counts)
    start, step = int(audit.layer.revision, 16), _stride(total)
    for turn in range(min(number, total)):
        place = (start + turn * step) % total
        for region, tiles in zip(found, counts, strict=True):
            if place < tiles:
                piece = region.piece_of(place)
                bits = [piece.block.bit(tile) for tile in piece.block.tiles(piece.tiles)]
                yield Piece(piece.block, bits[place % len(bits)])
                break
            place -= tiles


def _stride(total: int) -> int:
    """A step near the golden section of `total` that, taken again and again, comes to every place once."""
    step = max(1, round(total * GOLDEN))
    while math.gcd(step, total) != 1:
        step += 1
    return step


def deep_findings(
    audit: Audit, pieces: Iterable[Piece], settings: Settings, *, jobs: int, progress: Callable[[int], object]
) -> Iterator[Finding]:
    """What decoding the stored tiles of `pieces` shows, and holding them against a fresh render, by `jobs` processes.

    Tiles that are not stored or have no bytes are passed over: a listing shows them.

    Raises:
        SourceReadError: the layer cannot be read.
        StoreError: a tile cannot be read.
    """
    for planned, found in stream(partial(_comparing, settings, audit.layer.id, audit.look), pieces, jobs=jobs):
        yield from found
        progress(planned)


def _comparing(settings: Settings, name: str, look: Look) -> Callable[[Piece], tuple[int, list[Finding]]]:
    """A process's task: compare the tiles of a piece."""
    stores = Stores.open(settings)
    layer = load_layer(stores.sources, name)

    def compared(piece: Piece) -> tuple[int, list[Finding]]:
        found = []
        for tile, fresh in render(layer, stores.sources, piece.block, piece.tiles, look):
            key = tile_key(TileName(layer.id, tile, look.scale, look.format))
            problem = _problem(stores.tiles, key, fresh or blank(look.size, look.format), look)
            if problem:
                found.append(Finding(key, problem, tile_line(tile)))
        return len(piece), found

    return compared


def _problem(tiles: Store, key: str, fresh: bytes, look: Look) -> Problem | None:
    """What is wrong with the tile under `key`, which should show what `fresh` does."""
    try:
        data, kind = tiles.typed(key)
    except MissingObject:
        return None
    if not data or (data == fresh and kind in ("", CONTENT_TYPES[look.format])):
        return None
    if kind not in ("", CONTENT_TYPES[look.format]):
        return "wrong type"
    try:
        form, pixels = decode(data)
    except BadImage:
        return "damaged"
    if form != look.format or pixels.shape[:2] != (look.size, look.size):
        return "wrong type"
    return None if _alike(pixels, decode(fresh)[1]) else "differs"


def _alike(one: Pixels, other: Pixels) -> bool:
    """Whether two RGBA pictures show the same within TOLERANCE; colours that cannot be seen do not count."""
    a, b = (each[..., :3] * (each[..., 3:] / 255) for each in (one, other))
    alpha = one[..., 3].astype(int) - other[..., 3]
    return bool(np.abs(a - b).max() <= TOLERANCE and np.abs(alpha).max() <= TOLERANCE)
