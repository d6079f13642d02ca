"""CloudFront in front of the tiles: which wildcard paths cover a selection, and having them invalidated.

A wildcard stands only at the end of a path and matches whatever follows, the query string too.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

import numpy as np

from seeder.aws import clients
from seeder.cache.stored import StoredFilter
from seeder.select.morton import Numbers
from seeder.select.tileset import TileSet
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


class _Rectangles(NamedTuple):
    """Tiles of a zoom as rectangles that do not overlap: `(rectangles,)` x0 <= x < x1, y0 <= y < y1."""

    x0: Numbers
    x1: Numbers
    y0: Numbers
    y1: Numbers

    @classmethod
    def of(cls, tiles: TileSet) -> _Rectangles:
        """The tiles of a set: what is alike in columns that follow each other is one rectangle."""
        x, top, bottom = tiles.columns()
        order = np.lexsort((x, bottom, top))
        x, top, bottom = x[order], top[order], bottom[order]
        new = (np.diff(x) != 1) | (np.diff(top) != 0) | (np.diff(bottom) != 0)
        first, last = np.r_[True, new][: len(x)], np.r_[new, True][: len(x)]
        return cls(x[first], x[last] + 1, top[first], bottom[first])

    @classmethod
    def of_ranges(cls, ranges: Iterable[TileRange]) -> _Rectangles:
        """The tiles of ranges, which may overlap."""
        apart = [(each.x0, each.x1, each.y0, each.y1) for each in _disjoint(ranges)]
        return cls(*np.array(apart, np.int64).reshape(-1, 4).T)

    def clipped(self, ranges: Iterable[TileRange]) -> _Rectangles:
        """Those of the tiles that lie in ranges, which do not overlap."""
        parts = [
            (
                np.clip(self.x0, r.x0, r.x1),
                np.clip(self.x1, r.x0, r.x1),
                np.clip(self.y0, r.y0, r.y1),
                np.clip(self.y1, r.y0, r.y1),
            )
            for r in ranges
        ]
        return _Rectangles(*map(np.concatenate, zip(*parts, strict=True))) if parts else _Rectangles.of_ranges(())

    def within(self, columns: Spans, rows: Spans) -> int:
        """How many of the tiles lie there."""
        return int((_shared(self.x0, self.x1, columns) * _shared(self.y0, self.y1, rows)).sum())


def _shared(low: Numbers, high: Numbers, spans: Spans) -> Numbers:
    """How many of the numbers from low on, below high, lie in one of the spans."""
    shared = (np.minimum(high, end) - np.maximum(low, start) for start, end in spans)
    return sum((np.maximum(each, 0) for each in shared), np.zeros_like(low))


def _disjoint(ranges: Iterable[TileRange]) -> list[TileRange]:
    """The same tiles in ranges that do not overlap."""
    found: list[TileRange] = []
    for each in ranges:
        parts = [each]
        for other in found:
            parts = [rest for part in parts for rest in _less(part, other)]
        found += [part for part in parts if len(part)]
    return found


def _less(one: TileRange, other: TileRange) -> list[TileRange]:
    """`one` without `other`: up to four ranges, above, below, left and right of what they share."""
    shared = one & other
    if not len(shared):
        return [one]
    z = one.z
    return [
        TileRange(z, one.x0, one.y0, one.x1, shared.y0),
        TileRange(z, one.x0, shared.y1, one.x1, one.y1),
        TileRange(z, one.x0, shared.y0, shared.x0, shared.y1),
        TileRange(z, shared.x1, shared.y0, one.x1, shared.y1),
    ]


@dataclass(frozen=True, slots=True)
class _Cover:
    """Tiles by zoom: those that are selected, those that the layer may have, and those that are both."""

    meant: dict[int, _Rectangles]
    own: dict[int, _Rectangles]
    both: dict[int, _Rectangles]

    @classmethod
    def of(cls, stored_filter: StoredFilter, zooms: tuple[int, ...]) -> _Cover:
        """What `stored_filter` selects of these zooms."""
        layer = stored_filter.layer
        ranges = {z: tile_ranges(layer.bounds, z) for z in {*range(layer.minzoom, layer.maxzoom + 1), *zooms}}
        meant = {z: _meant(stored_filter, z) for z in zooms}
        both = {z: each.clipped(ranges[z]) for z, each in meant.items()}
        return cls(meant, {z: _Rectangles.of_ranges(each) for z, each in ranges.items()}, both)

    def selected(self, part: _Part) -> int:
        """Tiles of the part that are meant."""
        return _count(self.meant, part)

    def others(self, part: _Part) -> int:
        """Tiles of the part that lie in the layer's bounds and are not meant."""
        return _count(self.own, part) - _count(self.both, part)

    @property
    def steps(self) -> int:
        """How often it may be asked for smaller parts: about a second's worth."""
        return max(50, MILLION // (500 + sum(len(each.x0) for each in self.meant.values()) // 10))

    def smaller(self, part: _Part) -> list[_Part]:
        """The smaller parts in which something is selected."""
        return [each for each in part.smaller() if self.selected(each)]


def _meant(stored_filter: StoredFilter, z: int) -> _Rectangles:
    """The tiles of zoom `z` that are meant; boxes, which may be large, by arithmetic."""
    if stored_filter.tiles is not None or stored_filter.footprint:
        return _Rectangles.of(stored_filter.at(z))
    world = (TileRange(z, 0, 0, 2**z, 2**z),)
    return _Rectangles.of_ranges(
        [each for box in stored_filter.boxes for each in tile_ranges(box, z)] if stored_filter.boxes else world
    )


def _count(found: dict[int, _Rectangles], part: _Part) -> int:
    return sum(
        each.within(_spans(part.x, z), _spans(part.y, z)) for z, each in found.items() if f"{z}/".startswith(part.z)
    )


def paths(stored_filter: StoredFilter) -> list[str]:
    """The fewest wildcard paths that cover what `stored_filter` selects, of any age, and nothing else of the layer.

    Where that takes more than MOST, the paths that cost least: what they cover beside it is fetched from S3 again.
    """
    layer = stored_filter.layer
    zooms = tuple(range(layer.minzoom, layer.maxzoom + 1)) if stored_filter.zooms is None else stored_filter.zooms
    if stored_filter.zooms is None and stored_filter.named is not None:
        zooms = stored_filter.named.zooms
    cover = _Cover.of(stored_filter, zooms)
    if not cover.selected(_Part()):
        return []
    parts = [_Part()] if stored_filter.whole and stored_filter.zooms is None else _exact(cover)
    worth = WORTH
    while not parts:
        parts = _cheapest(cover, _Part(), worth, cover.steps)[1]
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


def _cheapest(cover: _Cover, part: _Part, worth: int, steps: int) -> tuple[float, list[_Part]]:
    """What it costs, in paths, to invalidate what is selected of `part`, and the parts that cost so little.

    `steps` bounds how many parts are divided to find that out.
    """
    whole = len(part.paths("")) + cover.others(part) / worth
    smaller = cover.smaller(part) if steps and whole > 2 else []
    if whole <= len(smaller) or not smaller:
        return whole, [part]
    costs = [_cheapest(cover, each, worth, (steps - 1) // len(smaller)) for each in smaller]
    divided = sum(cost for cost, _ in costs)
    if whole <= divided:
        return whole, [part]
    return divided, list(chain.from_iterable(parts for _, parts in costs))


def check(distribution: str, region: str) -> None:
    """Nothing, if there is such a distribution, or if that may not be asked.

    Raises:
        BadCloud, QueueError: there is none, or CloudFront does not answer.
    """
    client = clients.client("cloudfront", region)
    with clients.translated(f"find CloudFront distribution {distribution!r}"), suppress(client.exceptions.AccessDenied):
        client.get_distribution(Id=distribution)


def invalidate(distribution: str, found: list[str], region: str) -> str:
    """Have CloudFront forget those paths; returns the id of the invalidation.

    Raises:
        BadCloud, QueueError: there is no such distribution, or CloudFront refuses.
    """
    client = clients.client("cloudfront", region)
    batch = {"Paths": {"Quantity": len(found), "Items": found}, "CallerReference": f"seeder-{time.time_ns()}"}
    with clients.translated(f"invalidate paths of CloudFront distribution {distribution}"):
        answer = client.create_invalidation(DistributionId=distribution, InvalidationBatch=batch)
    return str(answer["Invalidation"]["Id"])


def wait(distribution: str, invalidation: str, region: str) -> None:
    """Return when the invalidation is carried out everywhere.

    Raises:
        BadCloud, QueueError: it takes longer than ten minutes, or CloudFront does not answer.
    """
    client = clients.client("cloudfront", region)
    with clients.translated(f"wait for invalidation {invalidation}"):
        client.get_waiter("invalidation_completed").wait(DistributionId=distribution, Id=invalidation)
