"""Rendering into the store: the only path that creates tiles."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from tiler.catalog import Layer
from tiler.encode import blank
from tiler.errors import GridError, SourceReadError
from tiler.grid import LEAF, Block
from tiler.keys import CONTENT_TYPES, TileName, tile_key
from tiler.render import Look, render
from tiler.storage import Stores

CACHE_CONTROL = "public, max-age=3600"  # of tiles; TileJSON carries the revision for those who cannot wait


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a block's tiles, each once, as masks; and the bytes written, the milliseconds, the error."""

    written: int = 0
    empty: int = 0
    skipped: int = 0
    failed: int = 0
    bytes: int = 0
    milliseconds: int = 0
    error: str = ""

    @property
    def why(self) -> str:
        """The error without the name of what could not be read."""
        return self.error.partition(": ")[2]

    @property
    def all(self) -> int:
        """The tiles that it speaks of."""
        return self.written | self.empty | self.skipped | self.failed


@dataclass(frozen=True, slots=True)
class Request:
    """A block to fill: which of its tiles, how they look, and whether to render those that exist.

    A block larger than 8 x 8 is wholly wanted; its mask is 0. `blanks` stores a transparent tile where there is
    nothing, so that it is found the next time.

    Raises:
        GridError: the mask has bits that are no tile of the block.
    """

    block: Block
    tiles: int  # mask
    look: Look
    force: bool = False
    blanks: bool = False

    def __post_init__(self) -> None:
        whole = self.block.full if self.block.size == LEAF else 0
        if self.tiles < 0 or self.tiles & ~whole:
            raise GridError(f"mask {self.tiles:x} has bits off block {self.block}")


def fill(layer: Layer, stores: Stores, request: Request) -> Outcome:
    """Render the request's tiles and put them in the store.

    Tiles that exist are left alone unless `force`; tiles with nothing on them are not stored, but where an older tile
    lies in such a place a transparent one takes it. After a read error no further tile is written and those that are
    left count as failed.

    Raises:
        StoreError: a tile could not be looked for or written.
    """
    start = time.monotonic()
    block, look = request.block, request.look
    names = {tile: tile_key(TileName(layer.id, tile, look.scale, look.format)) for tile in block.tiles(request.tiles)}
    skipped = 0
    if not request.force:
        there = stores.tiles.existing(names.values())
        skipped = sum(block.bit(tile) for tile, key in names.items() if key in there)
    left = request.tiles & ~skipped
    drawn: dict[str, tuple[int, int]] = {}  # key: bit, bytes
    written = empty = size = 0
    error = ""

    def tiles() -> Iterator[tuple[str, bytes]]:
        nonlocal empty
        for tile, data in render(layer, stores.sources, block, left, look):
            if data is None and not request.blanks:
                empty |= block.bit(tile)
                continue
            shown = data or blank(look.size, look.format)
            drawn[names[tile]] = (block.bit(tile), len(shown))
            yield names[tile], shown

    kind = CONTENT_TYPES[look.format]
    try:
        if left:
            for key in stores.tiles.put_all(tiles(), content_type=kind, cache_control=CACHE_CONTROL):
                bit, length = drawn[key]
                written |= bit
                size += length
        if empty and request.force:
            clear = blank(look.size, look.format)
            old = stores.tiles.existing(names[tile] for tile in block.tiles(empty))
            for _ in stores.tiles.put_all(
                ((key, clear) for key in old), content_type=kind, cache_control=CACHE_CONTROL
            ):
                size += len(clear)
    except SourceReadError as fault:
        error = str(fault)
    return Outcome(
        written=written,
        empty=empty,
        skipped=skipped,
        failed=left & ~written & ~empty,
        bytes=size,
        milliseconds=round((time.monotonic() - start) * 1000),
        error=error,
    )
