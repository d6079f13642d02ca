"""What is stored of a layer: the tiles that a selection means, of every format and scale, found by listing.

S3 does not say whether a key that it deletes was there, so planned keys are looked for too: each planned column of
tiles by a LIST between its first and its last row, or, where that costs more requests, the whole zoom.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seeder.selection import disjoint, inside
from seeder.tilelist import Codes, Columns, TileList, interleaved, places
from tiler.catalog import Layer
from tiler.errors import BadInput
from tiler.grid import MAX_ZOOM, Bounds, TileRange, tile_ranges
from tiler.keys import TileName, layer_prefix, parse_tile_key, tile_prefix, zoom_prefix
from tiler.overlap import in_batches, overlap
from tiler.storage import PAGE, Entry, Store

FEW = 5  # requests that one listing after the other may take; what takes more is made in parts at the same time
FULL = 4  # requests that a part should take
MANY = 4  # planned columns for each request that would tell which of them are there
PAST = "A"  # sorts after what follows the row in a key, "." or "@", and digits
AFTER = "0"  # sorts after the slash
NUMBER = re.compile("0|[1-9][0-9]{0,8}")
NONE = np.array([], np.uint64)


class Stored(NamedTuple):
    """A tile that is stored, and when it was last written (UTC)."""

    key: str
    name: TileName
    modified: datetime


@dataclass(frozen=True, slots=True)
class Pick:
    """Which of a layer's stored tiles are meant, whether or not the layer still has them.

    No zooms mean every one that is stored, no boxes the whole world; a tile that touches any of the boxes is meant.
    With `tiles` only those are, with `before` (UTC) only what was written earlier.
    """

    layer: Layer
    zooms: tuple[int, ...] | None = None
    boxes: tuple[Bounds, ...] = ()
    tiles: TileList | None = None
    before: datetime | None = None

    @property
    def whole(self) -> bool:
        """Whether all of each zoom is meant."""
        return not self.boxes and self.tiles is None

    @property
    def everything(self) -> bool:
        """Whether every stored tile is meant."""
        return self.whole and self.zooms is None and self.before is None

    def ranges(self, z: int) -> tuple[TileRange, ...]:
        """The tiles of zoom `z` that the boxes allow, in ranges that do not overlap."""
        return _ranges(self.boxes, z)

    def codes(self, z: int) -> Codes:
        """Of the tiles that were named one by one, those of zoom `z` that the boxes allow."""
        codes = NONE if self.tiles is None else self.tiles.codes.get(z, NONE)
        return codes[inside(self.ranges(z), *places(codes))]

    def meant(self, z: int, found: Sequence[Stored]) -> list[Stored]:
        """Those of the stored tiles of zoom `z` that are meant."""
        late = [] if self.before is None else [each.modified >= self.before for each in found]
        fit = self._fits(z, found)
        return [each for number, each in enumerate(found) if fit[number] and not (late and late[number])]

    def _fits(self, z: int, found: Sequence[Stored]) -> npt.NDArray[np.bool_]:
        """Which of them lie where they should, as `(tiles,)` bool."""
        if self.whole:
            return np.ones(len(found), bool)
        x, y = columns_rows(found)
        here = inside(self.ranges(z), x, y)
        return here if self.tiles is None else here & np.isin(interleaved(x, y), self.tiles.codes.get(z, NONE))


@lru_cache(maxsize=MAX_ZOOM + 1)
def _ranges(boxes: tuple[Bounds, ...], z: int) -> tuple[TileRange, ...]:
    if not boxes:
        return (_world(z),)
    return tuple(disjoint([each for box in boxes for each in tile_ranges(box, z)]))


def _world(z: int) -> TileRange:
    return TileRange(z, 0, 0, 2**z, 2**z)


def columns_rows(found: Sequence[Stored]) -> tuple[Columns, Columns]:
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


def stored(tiles: Store, pick: Pick, cost: Cost) -> Iterator[list[Stored]]:
    """The stored tiles that `pick` means, in lists, about low zooms first; `cost` is told of the requests.

    Memory holds a few pages of listings, whatever is stored.

    Raises:
        StoreError: something could not be listed.
    """

    def look(span: _Span) -> tuple[_Span, int, list[Stored], bool]:
        """What is left of the span if the last is true, the requests that it took, and what was found."""
        found, pages = list[Stored](), 0
        for page in tiles.pages(span.prefix, after=span.after, before=span.before):
            pages += 1
            found += _tiles_of(page)
            if tiles.ordered and page and len(found) > FULL * PAGE:
                return replace(span, after=page[-1].key), pages, found, True
        return span, max(1, pages), found, False

    spans: Iterable[_Span] = _spans(tiles, pick, cost)
    while spans:
        rest = []
        for span, pages, found, more in overlap(look, spans):
            cost.lists += pages if tiles.ordered else 0
            rest += [span] if more else []
            if meant := pick.meant(span.z, found):
                yield meant
        spans = rest


def _tiles_of(page: Iterable[Entry]) -> Iterator[Stored]:
    """The tiles among what a listing shows."""
    for entry in page:
        try:
            yield Stored(entry.key, parse_tile_key(entry.key), entry.modified)
        except BadInput:
            continue  # it lies among the tiles and is none


def _folders(tiles: Store, prefix: str, cost: Cost) -> list[int]:
    """The numbers that folders below `prefix` are named by."""
    names, entries = tiles.below(prefix)
    cost.lists += max(1, -(-(len(names) + len(entries)) // PAGE)) if tiles.ordered else 0
    return [int(name) for name in names if NUMBER.fullmatch(name)]


def _spans(tiles: Store, pick: Pick, cost: Cost) -> Iterator[_Span]:
    """What is to be listed, one zoom after the other."""
    there = {z for z in _folders(tiles, layer_prefix(pick.layer.id), cost) if z <= MAX_ZOOM}
    for z in sorted(there if pick.zooms is None else there.intersection(pick.zooms)):
        if pick.tiles is None or len(pick.codes(z)):
            if _planned_cost(pick, z) < _listed_cost(pick, z):
                cost.planned.append(z)
                yield from _planned(tiles, pick, z, cost)
            else:
                cost.listed.append(z)
                yield from _listed(tiles, pick, z, cost)


def _planned_cost(pick: Pick, z: int) -> float:
    """Requests that asking for each planned column takes."""
    if pick.whole:
        return math.inf
    tall = _tall(pick, z)
    if pick.tiles is not None:
        return len(np.unique(places(pick.codes(z))[0])) * (1 + tall / PAGE)
    return sum((each.x1 - each.x0) * (1 + min(each.y1 - each.y0, tall) / PAGE) for each in pick.ranges(z))


def _listed_cost(pick: Pick, z: int) -> float:
    """Requests that listing the zoom takes, if what the layer's bounds hold is stored."""
    return 1 + sum(map(len, tile_ranges(pick.layer.bounds, z))) / PAGE


def _tall(pick: Pick, z: int) -> int:
    """How many rows the layer has."""
    return max((each.y1 - each.y0 for each in tile_ranges(pick.layer.bounds, z)), default=1)


def _planned(tiles: Store, pick: Pick, z: int, cost: Cost) -> Iterator[_Span]:
    """A listing for each planned column, from its first row to its last as S3 sorts them, which is as text.

    Where they are far more than listing the zoom's columns takes requests, those that are not there are left out.
    """
    ends = _ends(pick, z)
    columns = set(ends)
    if tiles.ordered and len(columns) > MANY * (1 + _wide(pick, z) / PAGE):
        columns.intersection_update(_folders(tiles, zoom_prefix(pick.layer.id, z), cost))
    for x in sorted(columns):
        prefix, (first, last) = tile_prefix(pick.layer.id, z, x), ends[x]
        yield _Span(z, prefix, f"{prefix}{first}", f"{prefix}{last}")


def _ends(pick: Pick, z: int) -> dict[int, tuple[str, str]]:
    """Each planned column's first and last row, as text."""
    ends: dict[int, tuple[str, str]] = {}

    def widen(x: int, low: str, high: str) -> None:
        first, last = ends.get(x, (low, high))
        ends[x] = min(first, low), max(last, high)

    if pick.tiles is not None:
        for x, y in zip(*(axis.tolist() for axis in places(pick.codes(z))), strict=True):
            widen(x, str(y), f"{y}{PAST}")
        return ends
    for each in pick.ranges(z):
        rows = _text_ends(each.y0, each.y1)
        for x in range(each.x0, each.x1):
            widen(x, *rows)
    return ends


def _text_ends(low: int, high: int) -> tuple[str, str]:
    """What sorts before and after the numbers low <= n < high as text: those of each length are in order."""
    runs = [(max(low, 10**digits if digits else 0), min(high, 10 ** (digits + 1)) - 1) for digits in range(9)]
    ends = [(str(first), f"{last}{PAST}") for first, last in runs if first <= last]
    return min(first for first, _ in ends), max(last for _, last in ends)


def _listed(tiles: Store, pick: Pick, z: int, cost: Cost) -> Iterator[_Span]:
    """Listings of all columns that are there and meant; in S3 several small ones in one."""
    prefix = zoom_prefix(pick.layer.id, z)
    if tiles.ordered and len(_world(z)) <= FEW * PAGE:
        yield _Span(z, prefix)
        return
    meant = _columns(pick, z)
    there = (x for x in _folders(tiles, prefix, cost) if any(low <= x < high for low, high in meant))
    together = max(1, FULL * PAGE // _tall(pick, z)) if tiles.ordered else 1
    for group in in_batches(sorted(map(str, there)), together):
        if tiles.ordered:
            yield _Span(z, prefix, f"{prefix}{group[0]}/", f"{prefix}{group[-1]}{AFTER}")
        else:
            yield _Span(z, f"{prefix}{group[0]}/")


def _columns(pick: Pick, z: int) -> list[tuple[int, int]]:
    """Columns that are meant, low <= x < high; with a list of tiles all between the first and the last."""
    if pick.tiles is None:
        return [(each.x0, each.x1) for each in pick.ranges(z)]
    x = places(pick.codes(z))[0]
    return [(int(x.min()), int(x.max()) + 1)]


def _wide(pick: Pick, z: int) -> int:
    """How many columns the layer has."""
    return sum(each.x1 - each.x0 for each in tile_ranges(pick.layer.bounds, z))
