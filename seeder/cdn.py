"""CloudFront in front of the tiles: which wildcard paths cover a selection, and having them invalidated.

A wildcard stands only at the end of a path and matches whatever follows, the query string too.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import numpy.typing as npt

from seeder import aws
from seeder.selection import inside
from seeder.stored import Pick
from seeder.tilelist import Columns, places
from tiler.grid import TileRange, tile_ranges

MOST = 15  # wildcard paths that CloudFront lets be under way at a time
PRICE = 0.005  # US dollars a path, a wildcard or not, after the first thousand of a month (2025-06)
WORTH = 12_500  # tiles: to fetch so many from S3 once more costs as much as a path
DIGITS = "0123456789"
MILLION = 1_000_000

Spans = list[tuple[int, int]]  # of numbers, low <= n < high


@dataclass(frozen=True, slots=True)
class _Part:
    """The tiles whose paths begin alike: what zoom, column and row begin with; a slash or a dot at the end ends one."""

    z: str = ""
    x: str = ""
    y: str = ""

    def paths(self, layer: str) -> list[str]:
        """What CloudFront is told."""
        stem = f"/{layer}/{self.z}{self.x}"
        ends = (".", "@") if self.y.endswith(".") else ("",)  # a row's tiles of scale 1 and 2
        return [f"{stem}{self.y.rstrip('.')}{end}*" for end in ends]

    def zooms(self, among: tuple[int, ...]) -> list[int]:
        """The zooms of its tiles."""
        return [z for z in among if f"{z}/".startswith(self.z)]

    def smaller(self) -> Iterator[_Part]:
        """The same tiles in smaller parts; none where it is a row."""
        if not self.z.endswith("/"):
            yield from (replace(self, z=longer) for longer in _longer(self.z, "/"))
        elif not self.x.endswith("/"):
            yield from (replace(self, x=longer) for longer in _longer(self.x, "/"))
        elif not self.y.endswith("."):
            yield from (replace(self, y=longer) for longer in _longer(self.y, "."))


def _longer(text: str, end: str) -> Iterator[str]:
    if text:
        yield text + end
    if text != "0":
        yield from (text + digit for digit in DIGITS)


def _spans(text: str, z: int) -> Spans:
    """The numbers below 2**z that are written beginning with `text`."""
    if not text:
        return [(0, 2**z)]
    if not text.isdecimal():
        return [(int(text[:-1]), int(text[:-1]) + 1)]
    found = [(int(text) * 10**more, min((int(text) + 1) * 10**more, 2**z)) for more in range(10)]
    return [(low, high) for low, high in (found[:1] if text == "0" else found) if low < high]


@dataclass(frozen=True, slots=True)
class _Cover:
    """Counts of tiles: what is selected, and what the layer may have beside it."""

    pick: Pick
    zooms: tuple[int, ...]  # that are selected
    listed: dict[int, tuple[Columns, Columns]] | None  # the tiles by zoom, where they were named one by one

    @classmethod
    def of(cls, pick: Pick, zooms: tuple[int, ...]) -> _Cover:
        """What `pick` selects of these zooms."""
        return cls(pick, zooms, None if pick.tiles is None else {z: places(pick.codes(z)) for z in zooms})

    def selected(self, part: _Part) -> int:
        """Tiles of the part that are meant."""
        return sum(self._selected(part, z) for z in part.zooms(self.zooms))

    def _selected(self, part: _Part, z: int) -> int:
        columns, rows = _spans(part.x, z), _spans(part.y, z)
        if self.listed is None:
            return _count(self.pick.ranges(z), columns, rows)
        x, y = self.listed[z]
        return int((_within(x, columns) & _within(y, rows)).sum())

    def others(self, part: _Part) -> int:
        """Tiles of the part that lie in the layer's bounds and are not meant."""
        layer = self.pick.layer
        among = tuple(sorted({*range(layer.minzoom, layer.maxzoom + 1), *self.zooms}))
        return sum(self._others(part, z) for z in part.zooms(among))

    def _others(self, part: _Part, z: int) -> int:
        columns, rows = _spans(part.x, z), _spans(part.y, z)
        own = tile_ranges(self.pick.layer.bounds, z)
        there = _count(own, columns, rows)
        if z not in self.zooms:
            return there
        if self.listed is None:
            shared = [one & other for one in own for other in self.pick.ranges(z)]
            return there - _count(shared, columns, rows)
        x, y = self.listed[z]
        return there - int((_within(x, columns) & _within(y, rows) & inside(own, x, y)).sum())

    @property
    def looks(self) -> int:
        """How often it may be asked for smaller parts: about a second's worth."""
        return 2000 if self.pick.tiles is None else max(50, MILLION // (100 + len(self.pick.tiles) // 10))

    def smaller(self, part: _Part) -> list[_Part]:
        """The smaller parts in which something is selected."""
        return [each for each in part.smaller() if self.selected(each)]


def _count(ranges: Iterable[TileRange], columns: Spans, rows: Spans) -> int:
    return sum(
        len(each & TileRange(each.z, left, top, right, bottom))
        for each in ranges
        for left, right in columns
        for top, bottom in rows
    )


def _within(numbers: Columns, spans: Spans) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(numbers), bool)
    for low, high in spans:
        found |= (low <= numbers) & (numbers < high)
    return found


def paths(pick: Pick) -> list[str]:
    """The fewest wildcard paths that cover what `pick` selects, whatever its age, and nothing else that the layer has.

    Where that takes more than MOST, the paths that cost least: what they cover beside it is fetched from S3 again.
    """
    layer = pick.layer
    zooms = tuple(range(layer.minzoom, layer.maxzoom + 1)) if pick.zooms is None else pick.zooms
    if pick.tiles is not None:
        zooms = tuple(z for z in (pick.tiles.zooms if pick.zooms is None else zooms) if z in pick.tiles.codes)
    cover = _Cover.of(pick, zooms)
    if not cover.selected(_Part()):
        return []
    parts = [_Part()] if pick.whole and pick.zooms is None else _exact(cover)
    worth = WORTH
    while not parts:
        parts = _cheapest(cover, _Part(), worth, cover.looks)[1]
        if sum(len(each.paths("")) for each in parts) > MOST:
            parts, worth = [], 4 * worth
    return list(chain.from_iterable(part.paths(layer.id) for part in parts))


def _exact(cover: _Cover) -> list[_Part]:
    """Parts that hold what is selected and nothing else; none where they are too many."""
    found: list[_Part] = []
    todo = [_Part()]
    while todo:
        if len(todo) + sum(len(each.paths("")) for each in found) > MOST:
            return []
        each = todo.pop()
        smaller = cover.smaller(each) if cover.others(each) else []
        if smaller:
            todo += reversed(smaller)
        else:
            found.append(each)
    return found if sum(len(each.paths("")) for each in found) <= MOST else []


def _cheapest(cover: _Cover, part: _Part, worth: int, looks: int) -> tuple[float, list[_Part]]:
    """What it costs, in paths, to invalidate what is selected of `part`, and the parts that cost so little.

    `looks` bounds how many parts are divided to find that out.
    """
    whole = len(part.paths("")) + cover.others(part) / worth
    smaller = cover.smaller(part) if looks and whole > 2 else []
    if whole <= len(smaller) or not smaller:
        return whole, [part]
    costs = [_cheapest(cover, each, worth, (looks - 1) // len(smaller)) for each in smaller]
    divided = sum(cost for cost, _ in costs)
    if whole <= divided:
        return whole, [part]
    return divided, list(chain.from_iterable(parts for _, parts in costs))


def check(distribution: str, region: str) -> None:
    """Nothing, if there is such a distribution, or if that may not be asked.

    Raises:
        BadCloud, QueueError: there is none, or CloudFront does not answer.
    """
    client = aws.client("cloudfront", region)
    with aws.translated(f"find CloudFront distribution {distribution!r}"), suppress(client.exceptions.AccessDenied):
        client.get_distribution(Id=distribution)


def invalidate(distribution: str, found: list[str], region: str) -> str:
    """Have CloudFront forget those paths; returns the id of the invalidation.

    Raises:
        BadCloud, QueueError: there is no such distribution, or CloudFront refuses.
    """
    client = aws.client("cloudfront", region)
    batch = {"Paths": {"Quantity": len(found), "Items": found}, "CallerReference": f"seeder-{time.time_ns()}"}
    with aws.translated(f"invalidate paths of CloudFront distribution {distribution}"):
        answer = client.create_invalidation(DistributionId=distribution, InvalidationBatch=batch)
    return str(answer["Invalidation"]["Id"])


def wait(distribution: str, invalidation: str, region: str) -> None:
    """Return when the invalidation is carried out everywhere.

    Raises:
        BadCloud, QueueError: it takes longer than ten minutes, or CloudFront does not answer.
    """
    client = aws.client("cloudfront", region)
    with aws.translated(f"wait for invalidation {invalidation}"):
        client.get_waiter("invalidation_completed").wait(DistributionId=distribution, Id=invalidation)
