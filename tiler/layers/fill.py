"""Render tiles into the store; the only code that creates tiles."""

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

TRIES = 3  # attempts to check the revision in time
CACHE_CONTROL = f"public, max-age={timing.TILE_CACHE_SECONDS}"  # of tiles; the revision in TileJSON's URLs bypasses it


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a block: each tile in one of four masks, the bytes written, the milliseconds, and the error."""

    written: int = 0
    empty: int = 0
    skipped: int = 0
    failed: int = 0
    bytes: int = 0
    milliseconds: int = 0
    error: str = ""

    @property
    def fault(self) -> SourceReadError:
        """The error as an exception; it names the part, COG or raster that could not be read."""
        source, _, why = self.error.removeprefix("cannot read ").partition(": ")
        return SourceReadError(source, why)

    @property
    def all(self) -> int:
        """The mask of all tiles in the outcome."""
        return self.written | self.empty | self.skipped | self.failed


@dataclass(frozen=True, slots=True)
class Request:
    """A block to fill: its tiles as a mask, their variant, and whether to re-render existing tiles.

    A block larger than 8 x 8 is requested completely; its mask is 0. With `blanks`, empty tiles are stored as blank
    tiles, so that the next request finds them.

    Raises:
        GridError: the mask has bits outside the block.
    """

    block: Block
    tiles: int  # mask
    variant: TileVariant
    force: bool = False
    blanks: bool = False

    def __post_init__(self) -> None:
        whole = self.block.full if self.block.size == LEAF else 0
        if self.tiles < 0 or self.tiles & ~whole:
            raise GridError(f"mask {self.tiles:x} has bits outside block {self.block}")


@dataclass(slots=True)
class Guard:
    """Ensures that no tile is put more than REVISION_CHECK_SECONDS after a check that its revision is current.

    Create it before reading the layer's metadata. `superseded` returns the reason to put no more tiles of the revision,
    or an empty text; the result counts from the time of the call.
    """

    superseded: Callable[[], str]
    checked: float = field(default_factory=time.monotonic)

    def check(self) -> None:
        """Check that a tile may be put now.

        Raises:
            Superseded: it may not.
            StoreError: each check took longer than its result is valid.
        """
        for _ in range(TRIES):
            now = time.monotonic()
            if now - self.checked <= timing.REVISION_CHECK_SECONDS:
                return
            if why := self.superseded():
                raise Superseded(why)
            self.checked = now
        raise StoreError(
            "read", "the layer's metadata", f"each of {TRIES} attempts took over {timing.REVISION_CHECK_SECONDS:.0f} s"
        )


def fill(layer: Layer, stores: Stores, request: Request, guard: Guard | None = None) -> Outcome:
    """Render the request's tiles and put them into the store, while `guard` allows it.

    Existing tiles are skipped unless `force`. Empty tiles are not stored, but with `force` a blank tile replaces an
    older stored tile. After a read error no further tile is written, and the remaining ones count as failed.

    Raises:
        StoreError: a tile could not be looked up or written.
        Superseded: the layer has a newer revision or was removed; the remaining tiles were not put.
    """
    start, guard = time.monotonic(), guard or Guard(lambda: "")
    block, variant = request.block, request.variant
    names = {
        tile: tile_key(TileName(layer.id, tile, variant.scale, variant.format)) for tile in block.tiles(request.tiles)
    }
    skipped = 0
    if not request.force:
        stored = stores.tiles.existing(names.values(), least=1)  # an object of 0 bytes is not a tile
        skipped = sum(block.bit(tile) for tile, key in names.items() if key in stored)
    left = request.tiles & ~skipped
    rendered: dict[str, tuple[int, int]] = {}  # key: bit, bytes
    written = empty = size = 0
    error = ""

    def tiles() -> Generator[tuple[str, bytes], None, None]:
        nonlocal empty
        for tile, data in render(layer, stores.sources, block, left, variant):
            guard.check()
            if data is None and not request.blanks:
                empty |= block.bit(tile)
                continue
            body = data or nothing(layer, variant)
            rendered[names[tile]] = (block.bit(tile), len(body))
            yield names[tile], body

    kind, lone = CONTENT_TYPES[variant.format], left.bit_count() == 1
    try:
        if left:
            with closing(tiles()) as new:  # close at once, also after an error, to reset GDAL's settings
                for key in stores.tiles.put_all(new, content_type=kind, cache_control=CACHE_CONTROL, lone=lone):
                    bit, length = rendered[key]
                    written |= bit
                    size += length
        if empty and request.force:
            old = (names[tile] for tile in block.tiles(empty))
            size += _put_blank(stores.tiles, old, nothing(layer, variant), kind, guard)
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


def _put_blank(tiles: Store, keys: Iterable[str], blank: bytes, kind: str, guard: Guard) -> int:
    """Replace the stored tiles among `keys` with the tile `blank`; returns the bytes written."""

    def old() -> Iterator[tuple[str, bytes]]:
        for key in tiles.existing(keys):
            guard.check()
            yield key, blank

    return sum(len(blank) for _ in tiles.put_all(old(), content_type=kind, cache_control=CACHE_CONTROL))
