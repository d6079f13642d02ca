"""What is stored of a layer: the tiles that a selection means, of every format and scale, found by listing.

S3 does not say whether a key that it deletes was there, so planned keys are looked for too: each planned column of
tiles by a LIST between its first and its last row, or, where that costs more requests, the whole zoom.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
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

FEW = 5  # requests that one listing after the other may take; what takes more is made in parts at the same time
FULL = 4  # requests that a part should take
COLUMNS_A_REQUEST = 4  # planned columns for each request that would tell which of them are there
PAST = "A"  # sorts after what follows the row in a key, "." or "@", and digits
AFTER = "0"  # sorts after the slash
NUMBER = re.compile("0|[1-9][0-9]{0,8}")


class StoredTile(NamedTuple):
    """A tile that is stored, and when it was last written (UTC)."""

    key: str
    name: TileName
    modified: datetime


class TilesByZoom(Protocol):
    """Tiles that are asked for zoom by zoom."""

    def at(self, z: int) -> TileSet:
        """Those of zoom `z`."""
        ...


@dataclass(frozen=True, slots=True)
class StoredFilter:
    """Which of a layer's stored tiles are meant, whether or not the layer still has them.

    No zooms mean every one that is stored, no boxes the whole world; a tile that touches any of the boxes is meant.
    With `tiles` only those are, with `before` (UTC) only what was written earlier, with `footprint` only tiles of which
    the layer's current revision has data.
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
        """Whether all of each zoom is meant."""
        return not self.boxes and self.tiles is None and not self.footprint

    @property
    def named(self) -> TileSets | None:
        """The tiles, if they were named one by one."""
        return self.tiles if isinstance(self.tiles, TileSets) else None

    @property
    def everything(self) -> bool:
        """Whether every stored tile is meant."""
        return self.whole and self.zooms is None and self.before is None

    def at(self, z: int) -> TileSet:
        """The tiles of zoom `z` that are meant, stored or not."""
        if z not in self._known:
            found = boxed(self.boxes, z) if self.boxes else TileSet.world(z)
            if self.footprint:
                found &= data_tiles(self.layer.footprint).at(z)
            self._known[z] = found if self.tiles is None else found & self.tiles.at(z)
        return self._known[z]

    def meant(self, z: int, found: Sequence[StoredTile]) -> list[StoredTile]:
        """Those of the stored tiles of zoom `z` that are meant."""
        late = [] if self.before is None else [each.modified >= self.before for each in found]
        fit = [True] * len(found) if self.whole else self.at(z).holds(interleaved(*columns_rows(found)))
        return [each for number, each in enumerate(found) if fit[number] and not (late and late[number])]


def columns_rows(found: Sequence[StoredTile]) -> tuple[Numbers, Numbers]:
    """The columns and the rows of tiles."""
    x, y = ([getattr(each.name.tile, axis) for each in found] for axis in "xy")
    return np.array(x, np.int64), np.array(y, np.int64)


@dataclass(slots=True)
class Cost:
    """The zooms that were looked through in either way, and how many LIST requests S3 was sent."""

    planned: list[int] = field(default_factory=list)
    listed: list[int] = field(default_factory=list)
    lists: int = 0


@dataclass(frozen=True, slots=True)
class _Span:
    """Keys of one zoom that one listing shows: those below `prefix` between two keys."""

    z: int
    prefix: str
    after: str = ""
    before: str = ""


def stored(tiles: Store, stored_filter: StoredFilter, cost: Cost) -> Iterator[list[StoredTile]]:
    """The stored tiles that `stored_filter` means, in lists, about low zooms first; `cost` is told of the requests.

    Memory holds a few pages of listings, whatever is stored.

    Raises:
        StoreError: something could not be listed.
    """

    def variant(span: _Span) -> tuple[_Span, int, list[StoredTile], bool]:
        """What is left of the span if the last is true, the requests that it took, and what was found."""
        found, pages = list[StoredTile](), 0
        for page in tiles.pages(span.prefix, after=span.after, before=span.before):
            pages += 1
            found += _tiles_of(page)
            if tiles.ordered and page and len(found) > FULL * PAGE:
                return replace(span, after=page[-1].key), pages, found, True
        return span, max(1, pages), found, False

    spans: Iterable[_Span] = _spans(tiles, stored_filter, cost)
    while spans:
        rest = []
        for span, pages, found, more in overlap(variant, spans):
            cost.lists += pages if tiles.ordered else 0
            rest += [span] if more else []
            if meant := stored_filter.meant(span.z, found):
                yield meant
        spans = rest


def _tiles_of(page: Iterable[Entry]) -> Iterator[StoredTile]:
    """The tiles among what a listing shows."""
    for entry in page:
        try:
            yield StoredTile(entry.key, parse_tile_key(entry.key), entry.modified)
        except BadInput:
            continue  # it lies among the tiles and is none


def _folders(tiles: Store, prefix: str, cost: Cost) -> list[int]:
    """The numbers that folders below `prefix` are named by."""
    names, entries = tiles.below(prefix)
    cost.lists += max(1, -(-(len(names) + len(entries)) // PAGE)) if tiles.ordered else 0
    return [int(name) for name in names if NUMBER.fullmatch(name)]


def _spans(tiles: Store, stored_filter: StoredFilter, cost: Cost) -> Iterator[_Span]:
    """What is to be listed, one zoom after the other."""
    there = {z for z in _folders(tiles, layer_prefix(stored_filter.layer.id), cost) if z <= MAX_ZOOM}
    for z in sorted(there if stored_filter.zooms is None else there.intersection(stored_filter.zooms)):
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
    """What the layer's bounds hold of a zoom: columns, rows, tiles."""

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
        """How many columns one listing shows at best."""
        return max(1, FULL * PAGE // self.tall)


def _columns_first(size: _Size, tall: Numbers) -> bool:
    """Whether asking for each planned column, of which so many rows are looked through, takes fewer requests."""
    return bool(len(tall) + np.minimum(tall, size.tall).sum() / PAGE < 1 + size.tiles / PAGE)


def _planned(
    tiles: Store, layer: Layer, size: _Size, rows: tuple[Numbers, Numbers, Numbers], cost: Cost
) -> Iterator[_Span]:
    """A listing for each planned column, from its first row to its last as S3 sorts them, which is as text.

    Where they are far more than listing the zoom's columns takes requests, those that are not there are left out.
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
    """What sorts before and after the numbers low <= n < high as text: those of each length are in order."""
    runs = [(max(low, 10**digits if digits else 0), min(high, 10 ** (digits + 1)) - 1) for digits in range(9)]
    ends = [(str(first), f"{last}{PAST}") for first, last in runs if first <= last]
    return min(first for first, _ in ends), max(last for _, last in ends)


def _listed(tiles: Store, layer: Layer, size: _Size, columns: Numbers | None, cost: Cost) -> Iterator[_Span]:
    """Listings of all columns that are there and meant, with those in small gaps; in S3 several columns in one."""
    prefix = zoom_prefix(layer.id, size.z)
    if tiles.ordered and 4**size.z <= FEW * PAGE:
        yield _Span(size.z, prefix)
        return
    there = np.array(_folders(tiles, prefix, cost), np.int64)
    if columns is not None:
        after = np.searchsorted(columns, there)
        low, high = columns[np.maximum(after, 1) - 1], columns[np.minimum(after, len(columns) - 1)]
        there = there[(high == there) | (low < there) & (there < high) & (high - low <= size.together)]
    for group in in_batches(sorted(map(str, there.tolist())), size.together if tiles.ordered else 1):
        if tiles.ordered:
            yield _Span(size.z, prefix, f"{prefix}{group[0]}/", f"{prefix}{group[-1]}{AFTER}")
        else:
            yield _Span(size.z, f"{prefix}{group[0]}/")
