"""List the stored tiles of a layer that match a filter, in every format and scale.

S3 does not report whether a deleted key existed, so planned tiles are listed too: each planned column of tiles by a
LIST between its first and its last row, or the whole zoom if that takes fewer requests.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from threading import Lock
from typing import NamedTuple, Protocol

import numpy as np

from seeder.select.morton import Numbers, interleaved
from seeder.select.selection import boxed, data_tiles
from seeder.select.tileset import TileSet, TileSets
from tiler.errors import BadInput
from tiler.grid import MAX_ZOOM, Bounds, tile_ranges
from tiler.keys import TileName, layer_prefix, parse_tile_key, tile_prefix, zoom_prefix
from tiler.layers.catalog import Layer
from tiler.storage.concurrent import in_batches, overlap
from tiler.storage.store import PAGE, Entry, Store

FEW = 5  # sequential LIST requests at most; longer listings are divided into parallel parts
FULL = 4  # LIST requests of a part
COLUMNS_A_REQUEST = 4  # planned columns per request for listing the existing columns
PAST = "A"  # sorts after "." and "@", which follow the row in a key, and after digits
AFTER = "0"  # sorts after a slash
NUMBER = re.compile("0|[1-9][0-9]{0,8}")


class StoredTile(NamedTuple):
    """A stored tile, and its time of last write (UTC)."""

    key: str
    name: TileName
    modified: datetime


class TilesByZoom(Protocol):
    """Tiles available zoom by zoom."""

    def at(self, z: int) -> TileSet:
        """The tiles of zoom `z`."""
        ...


@dataclass(frozen=True, slots=True)
class StoredFilter:
    """A filter of a layer's stored tiles, including tiles outside its current range.

    No zooms mean all stored ones, no boxes the whole world; a tile matches if it touches any of the boxes. With `tiles`
    only these match, with `before` (UTC) only tiles written earlier, with `footprint` only tiles with data in the
    layer's current revision.
    """

    layer: Layer
    zooms: tuple[int, ...] | None = None
    boxes: tuple[Bounds, ...] = ()
    tiles: TilesByZoom | None = None
    before: datetime | None = None
    footprint: bool = False
    _known: dict[int, TileSet] = field(default_factory=dict, compare=False, repr=False)

    @property
    def whole(self) -> bool:
        """Whether all tiles of each zoom match."""
        return not self.boxes and self.tiles is None and not self.footprint

    @property
    def named(self) -> TileSets | None:
        """The tiles if they were listed one by one, otherwise None."""
        return self.tiles if isinstance(self.tiles, TileSets) else None

    @property
    def everything(self) -> bool:
        """Whether every stored tile matches."""
        return self.whole and self.zooms is None and self.before is None

    def at(self, z: int) -> TileSet:
        """The matching tiles of zoom `z`, stored or not."""
        if z not in self._known:
            matching = boxed(self.boxes, z) if self.boxes else TileSet.world(z)
            if self.footprint:
                matching &= data_tiles(self.layer.footprint).at(z)
            self._known[z] = matching if self.tiles is None else matching & self.tiles.at(z)
        return self._known[z]

    def matching(self, z: int, tiles: Sequence[StoredTile]) -> list[StoredTile]:
        """The matching ones among stored tiles of zoom `z`."""
        late = [] if self.before is None else [each.modified >= self.before for each in tiles]
        fit = [True] * len(tiles) if self.whole else self.at(z).holds(interleaved(*columns_rows(tiles)))
        return [each for number, each in enumerate(tiles) if fit[number] and not (late and late[number])]


def columns_rows(tiles: Sequence[StoredTile]) -> tuple[Numbers, Numbers]:
    """The columns and rows of tiles."""
    x, y = ([getattr(each.name.tile, axis) for each in tiles] for axis in "xy")
    return np.array(x, np.int64), np.array(y, np.int64)


COUNTING = Lock()


@dataclass(slots=True)
class Cost:
    """The zooms listed by planned columns and as a whole, and the number of LIST requests sent to S3."""

    planned: list[int] = field(default_factory=list)
    listed: list[int] = field(default_factory=list)
    lists: int = 0

    def count(self, tiles: Store, lists: int) -> None:
        """Add requests, from any thread; a folder takes none."""
        with COUNTING:
            self.lists += lists if tiles.ordered else 0


@dataclass(frozen=True, slots=True)
class _Span:
    """The keys of one listing, in one zoom: below `prefix`, between two keys."""

    z: int
    prefix: str
    after: str = ""
    before: str = ""


def stored(tiles: Store, stored_filter: StoredFilter, cost: Cost) -> Generator[list[StoredTile], None, None]:
    """The stored tiles matching `stored_filter`, in lists, low zooms roughly first; `cost` counts the requests.

    All of them are counted once the generator is closed. Memory holds a few pages of listings, for any number of tiles.

    Raises:
        StoreError: an object could not be listed.
    """

    def list_part(span: _Span) -> tuple[_Span, list[StoredTile], bool]:
        """The rest of the span if the last value is true, and the listed tiles."""
        listed, pages = list[StoredTile](), 0
        for page in tiles.pages(span.prefix, after=span.after, before=span.before):
            pages += 1
            listed += _tiles_of(page)
            if tiles.ordered and page and len(listed) > FULL * PAGE:
                cost.count(tiles, pages)
                return replace(span, after=page[-1].key), listed, True
        cost.count(tiles, max(1, pages))
        return span, listed, False

    spans: Iterable[_Span] = _spans(tiles, stored_filter, cost)
    while spans:
        rest = []
        with closing(overlap(list_part, spans)) as parts:
            for span, listed, more in parts:
                rest += [span] if more else []
                if matching := stored_filter.matching(span.z, listed):
                    yield matching
        spans = rest


def _tiles_of(page: Iterable[Entry]) -> Iterator[StoredTile]:
    """The tiles among the objects of a listing."""
    for entry in page:
        try:
            yield StoredTile(entry.key, parse_tile_key(entry.key), entry.modified)
        except BadInput:
            continue  # another object among the tiles


def _folders(tiles: Store, prefix: str, cost: Cost) -> list[int]:
    """The folders below `prefix` with a number as their name."""
    names, entries = tiles.below(prefix)
    cost.count(tiles, max(1, -(-(len(names) + len(entries)) // PAGE)))
    return [int(name) for name in names if NUMBER.fullmatch(name)]


def _spans(tiles: Store, stored_filter: StoredFilter, cost: Cost) -> Iterator[_Span]:
    """The listings to make, one zoom after the other."""
    existing = {z for z in _folders(tiles, layer_prefix(stored_filter.layer.id), cost) if z <= MAX_ZOOM}
    for z in sorted(existing if stored_filter.zooms is None else existing.intersection(stored_filter.zooms)):
        size = _Size.of(stored_filter.layer, z)
        if stored_filter.whole:
            cost.listed.append(z)
            yield from _listed(tiles, stored_filter.layer, size, None, cost)
            continue
        rows = stored_filter.at(z).columns()
        columns, first = np.unique(rows[0], return_index=True)
        if not len(columns):
            continue
        tall = np.maximum.reduceat(rows[2], first) - np.minimum.reduceat(rows[1], first)
        if _columns_first(size, tall):
            cost.planned.append(z)
            yield from _planned(tiles, stored_filter.layer, size, rows, cost)
        else:
            cost.listed.append(z)
            yield from _listed(tiles, stored_filter.layer, size, columns, cost)


class _Size(NamedTuple):
    """The extent of the layer's bounds at a zoom: columns, rows, tiles."""

    z: int
    wide: int
    tall: int
    tiles: int

    @classmethod
    def of(cls, layer: Layer, z: int) -> _Size:
        ranges = tile_ranges(layer.bounds, z)
        wide, tall = sum(each.x1 - each.x0 for each in ranges), (each.y1 - each.y0 for each in ranges)
        return cls(z, wide, max(tall, default=1), sum(map(len, ranges)))

    @property
    def together(self) -> int:
        """The number of columns in one listing at best."""
        return max(1, FULL * PAGE // self.tall)


def _columns_first(size: _Size, tall: Numbers) -> bool:
    """Whether listing each planned column, of `tall` rows each, takes fewer requests than listing the zoom."""
    return bool(len(tall) + np.minimum(tall, size.tall).sum() / PAGE < 1 + size.tiles / PAGE)


def _planned(
    tiles: Store, layer: Layer, size: _Size, rows: tuple[Numbers, Numbers, Numbers], cost: Cost
) -> Iterator[_Span]:
    """A listing for each planned column, from its first to its last row in S3's order, which is text order.

    If the columns are many more than the requests for listing the zoom's existing columns, missing ones are left out.
    """
    ends: dict[int, tuple[str, str]] = {}
    for x, top, bottom in zip(*(each.tolist() for each in rows), strict=True):
        low, high = _text_ends(top, bottom)
        first, last = ends.get(x, (low, high))
        ends[x] = min(first, low), max(last, high)
    columns = set(ends)
    if tiles.ordered and len(columns) > COLUMNS_A_REQUEST * (1 + size.wide / PAGE):
        columns.intersection_update(_folders(tiles, zoom_prefix(layer.id, size.z), cost))
    for x in sorted(columns):
        prefix, (first, last) = tile_prefix(layer.id, size.z, x), ends[x]
        yield _Span(size.z, prefix, f"{prefix}{first}", f"{prefix}{last}")


@lru_cache(maxsize=1)  # a box has the same rows in each column
def _text_ends(low: int, high: int) -> tuple[str, str]:
    """The lowest and highest text of the numbers low <= n < high; numbers of one length sort numerically."""
    runs = [(max(low, 10**digits if digits else 0), min(high, 10 ** (digits + 1)) - 1) for digits in range(9)]
    ends = [(str(first), f"{last}{PAST}") for first, last in runs if first <= last]
    return min(first for first, _ in ends), max(last for _, last in ends)


def _listed(tiles: Store, layer: Layer, size: _Size, columns: Numbers | None, cost: Cost) -> Iterator[_Span]:
    """Listings of all existing selected columns, and columns in small gaps; in S3 several columns per listing."""
    prefix = zoom_prefix(layer.id, size.z)
    if tiles.ordered and 4**size.z <= FEW * PAGE:
        yield _Span(size.z, prefix)
        return
    existing = np.array(_folders(tiles, prefix, cost), np.int64)
    if columns is not None:
        after = np.searchsorted(columns, existing)
        low, high = columns[np.maximum(after, 1) - 1], columns[np.minimum(after, len(columns) - 1)]
        existing = existing[(high == existing) | (low < existing) & (existing < high) & (high - low <= size.together)]
    for group in in_batches(sorted(map(str, existing.tolist())), size.together if tiles.ordered else 1):
        if tiles.ordered:
            yield _Span(size.z, prefix, f"{prefix}{group[0]}/", f"{prefix}{group[-1]}{AFTER}")
        else:
            yield _Span(size.z, f"{prefix}{group[0]}/")
