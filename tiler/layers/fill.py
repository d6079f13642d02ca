"""Rendering into the store: the only path that creates tiles."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from tiler import timing
from tiler.errors import GridError, SourceReadError, StoreError, Superseded
from tiler.grid import LEAF, Block
from tiler.keys import CONTENT_TYPES, TileName, tile_key
from tiler.layers.catalog import Layer
from tiler.layers.render import TileVariant, nothing, render
from tiler.storage.store import Store, Stores

TRIES = 3  # at finding that out in less time
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

    A block larger than 8 x 8 is wholly wanted; its mask is 0. `blanks` stores a blank tile where there is nothing, so
    that it is found the next time.

    Raises:
        GridError: the mask has bits that are no tile of the block.
    """

    block: Block
    tiles: int  # mask
    variant: TileVariant
    force: bool = False
    blanks: bool = False

    def __post_init__(self) -> None:
        whole = self.block.full if self.block.size == LEAF else 0
        if self.tiles < 0 or self.tiles & ~whole:
            raise GridError(f"mask {self.tiles:x} has bits off block {self.block}")


@dataclass(slots=True)
class Guard:
    """Sees to it that no tile is put later than REVISION_CHECK_SECONDS after its layer was the current revision.

    It is made before the layer's metadata is read. `superseded` says why no more tiles of that revision may be put,
    or nothing; what it says is believed as of when it was asked.
    """

    superseded: Callable[[], str]
    checked: float = field(default_factory=time.monotonic)

    def check(self) -> None:
        """Nothing, if a tile may be put now.

        Raises:
            Superseded: it may not.
            StoreError: that takes longer to find out than the answer holds.
        """
        for _ in range(TRIES):
            now = time.monotonic()
            if now - self.checked <= timing.REVISION_CHECK_SECONDS:
                return
            if why := self.superseded():
                raise Superseded(why)
            self.checked = now
        raise StoreError("read", "the layer's metadata", f"it takes longer than {timing.REVISION_CHECK_SECONDS:.0f} s")


def fill(layer: Layer, stores: Stores, request: Request, guard: Guard | None = None) -> Outcome:
    """Render the request's tiles and put them in the store, as long as `guard` lets them.

    Tiles that exist are left alone unless `force`; tiles with nothing on them are not stored, but where an older tile
    lies in such a place a blank one takes it. After a read error no further tile is written and those that are
    left count as failed.

    Raises:
        StoreError: a tile could not be looked for or written.
        Superseded: the layer has another revision by now, or none; the tiles that were left were not put.
    """
    start, guard = time.monotonic(), guard or Guard(lambda: "")
    block, variant = request.block, request.variant
    names = {
        tile: tile_key(TileName(layer.id, tile, variant.scale, variant.format)) for tile in block.tiles(request.tiles)
    }
    skipped = 0
    if not request.force:
        there = stores.tiles.existing(names.values(), least=1)  # one without a byte is none
        skipped = sum(block.bit(tile) for tile, key in names.items() if key in there)
    left = request.tiles & ~skipped
    drawn: dict[str, tuple[int, int]] = {}  # key: bit, bytes
    written = empty = size = 0
    error = ""

    def tiles() -> Generator[tuple[str, bytes], None, None]:
        nonlocal empty
        for tile, data in render(layer, stores.sources, block, left, variant):
            guard.check()
            if data is None and not request.blanks:
                empty |= block.bit(tile)
                continue
            shown = data or nothing(layer, variant)
            drawn[names[tile]] = (block.bit(tile), len(shown))
            yield names[tile], shown

    kind, lone = CONTENT_TYPES[variant.format], left.bit_count() == 1
    try:
        if left:
            with closing(tiles()) as made:  # at once, also after a fault: it holds GDAL's settings
                for key in stores.tiles.put_all(made, content_type=kind, cache_control=CACHE_CONTROL, lone=lone):
                    bit, length = drawn[key]
                    written |= bit
                    size += length
        if empty and request.force:
            old = (names[tile] for tile in block.tiles(empty))
            size += _cleared(stores.tiles, old, nothing(layer, variant), kind, guard)
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


def _cleared(tiles: Store, keys: Iterable[str], clear: bytes, kind: str, guard: Guard) -> int:
    """Lay the tile `clear` over those of `keys` that are stored; returns the bytes."""

    def old() -> Iterator[tuple[str, bytes]]:
        for key in tiles.existing(keys):
            guard.check()
            yield key, clear

    return sum(len(clear) for _ in tiles.put_all(old(), content_type=kind, cache_control=CACHE_CONTROL))
