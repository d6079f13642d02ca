"""What is stored of a layer: the tiles that a selection means, of every format and scale, found by listing.

S3 does not say whether a key that it deletes was there, so planned keys are looked for too: each planned column of
tiles by a LIST between its first and its last row, or, where that costs more requests, the whole zoom.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seeder.selection import disjoint
from seeder.tilelist import TileList, interleaved, places
from tiler.catalog import Layer
from tiler.errors import BadInput
from tiler.grid import MAX_ZOOM, Bounds, TileRange, tile_ranges
from tiler.keys import TileName, layer_prefix, parse_tile_key, tile_prefix, zoom_prefix
from tiler.overlap import in_batches, overlap
from tiler.storage import PAGE, Store

FEW = 5  # requests that one listing after the other may take; what takes more is made in parts at the same time
FULL = 4  # requests that a part should take
PAST = "A"  # sorts after what follows the row in a key, "." or "@", and digits
AFTER = "0"  # sorts after the slash


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

    def ranges(self, z: int) -> tuple[TileRange, ...]:
        """The tiles of zoom `z` that the boxes allow, in ranges that do not overlap."""
        return tuple(disjoint([each for box in self.boxes for each in tile_ranges(box, z)])) or (_world(z),)

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
        inside = np.zeros(len(found), bool)
        for each in self.ranges(z):
            inside |= (each.x0 <= x) & (x < each.x1) & (each.y0 <= y) & (y < each.y1)
        if self.tiles is not None:
            inside &= np.isin(interleaved(x, y), self.tiles.codes.get(z, np.array([], np.uint64)))
        return inside


def _world(z: int) -> TileRange:
    return TileRange(z, 0, 0, 2**z, 2**z)


def columns_rows(found: Sequence[Stored]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
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
    """The stored tiles that `pick` means, in lists, low zooms first; `cost` is told of the requests.

    Memory holds a few columns of tiles, whatever the layer's size.

    Raises:
        StoreError: something could not be listed.
    """

    def look(span: _Span) -> tuple[int, int, list[Stored]]:
        found, seen = [], 0
        for entry in tiles.list(span.prefix, after=span.after, before=span.before):
            seen += 1
            try:
                found.append(Stored(entry.key, parse_tile_key(entry.key), entry.modified))
            except BadInput:
                continue  # it lies among the tiles and is none
        return span.z, seen, found

    for z, seen, found in overlap(look, _spans(tiles, pick, cost)):
        cost.lists += max(1, -(-seen // PAGE)) if tiles.ordered else 0
        meant = pick.meant(z, found)
        if meant:
            yield meant


def _spans(tiles: Store, pick: Pick, cost: Cost) -> Iterator[_Span]:
    """What is to be listed, one zoom after the other."""
    names = tiles.folders(layer_prefix(pick.layer.id))
    cost.lists += tiles.ordered
    there = {int(name) for name in names if name.isdecimal() and int(name) <= MAX_ZOOM}
    for z in sorted(there if pick.zooms is None else there.intersection(pick.zooms)):
        if pick.tiles is None or z in pick.tiles.codes:
            if _planned_cost(pick, z) < _listed_cost(pick, z):
                cost.planned.append(z)
                yield from _planned(pick, z)
            else:
                cost.listed.append(z)
                yield from _listed(tiles, pick, z, cost)


def _planned_cost(pick: Pick, z: int) -> float:
    """Requests that asking for each planned column takes."""
    if pick.whole:
        return math.inf
    tall = max((each.y1 - each.y0 for each in tile_ranges(pick.layer.bounds, z)), default=0)
    if pick.tiles is not None:
        return len(np.unique(places(pick.tiles.codes[z])[0])) * (1 + tall / PAGE)
    return sum((each.x1 - each.x0) * (1 + min(each.y1 - each.y0, tall) / PAGE) for each in pick.ranges(z))


def _listed_cost(pick: Pick, z: int) -> float:
    """Requests that listing the zoom takes, if what the layer's bounds hold is stored."""
    return 1 + sum(map(len, tile_ranges(pick.layer.bounds, z))) / PAGE


def _planned(pick: Pick, z: int) -> Iterator[_Span]:
    """A listing for each planned column, from its first row to its last as S3 sorts them, which is as text."""
    ends: dict[int, tuple[str, str]] = {}

    def widen(x: int, low: str, high: str) -> None:
        first, last = ends.get(x, (low, high))
        ends[x] = min(first, low), max(last, high)

    for each in pick.ranges(z) if pick.tiles is None else ():
        rows = _text_ends(each.y0, each.y1)
        for x in range(each.x0, each.x1):
            widen(x, *rows)
    if pick.tiles is not None:
        for x, y in zip(*(axis.tolist() for axis in places(pick.tiles.codes[z])), strict=True):
            widen(x, str(y), str(y))
    for x, (first, last) in ends.items():
        prefix = tile_prefix(pick.layer.id, z, x)
        yield _Span(z, prefix, f"{prefix}{first}", f"{prefix}{last}{PAST}")


def _text_ends(low: int, high: int) -> tuple[str, str]:
    """The first and the last of the numbers low <= n < high, sorted as text: those of each length are in order."""
    runs = [(max(low, 10**digits if digits else 0), min(high, 10 ** (digits + 1)) - 1) for digits in range(9)]
    ends = [(str(first), str(last)) for first, last in runs if first <= last]
    return min(first for first, _ in ends), max(last for _, last in ends)


def _listed(tiles: Store, pick: Pick, z: int, cost: Cost) -> Iterator[_Span]:
    """Listings of all columns that are there and meant; in S3 several small ones in one."""
    prefix = zoom_prefix(pick.layer.id, z)
    if tiles.ordered and len(_world(z)) <= FEW * PAGE:
        yield _Span(z, prefix)
        return
    there = sorted(name for name in tiles.folders(prefix) if name.isdecimal())
    meant = _columns(pick, z)
    names = [name for name in there if any(low <= int(name) < high for low, high in meant)]
    if not tiles.ordered:
        yield from (_Span(z, f"{prefix}{name}/") for name in names)
        return
    cost.lists += 1 + len(there) // PAGE
    own = tile_ranges(pick.layer.bounds, z)
    grown = len(there) > sum(each.x1 - each.x0 for each in own)  # by what an earlier revision left behind
    tall = 2**z if grown else max((each.y1 - each.y0 for each in own), default=1)
    for group in in_batches(names, max(1, FULL * PAGE // tall)):
        yield _Span(z, prefix, f"{prefix}{group[0]}/", f"{prefix}{group[-1]}{AFTER}")


def _columns(pick: Pick, z: int) -> list[tuple[int, int]]:
    """Columns that are meant, low <= x < high; with a list of tiles those between the first and the last."""
    found = [(each.x0, each.x1) for each in pick.ranges(z)]
    if pick.tiles is None:
        return found
    x = places(pick.tiles.codes[z])[0]
    return [(max(low, int(x.min())), min(high, int(x.max()) + 1)) for low, high in found]
