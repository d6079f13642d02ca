"""CloudFront in front of the tiles: wildcard paths for a selection, and their invalidation.

A wildcard is only allowed at the end of a path and matches anything, including the query string.
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

MOST = 15  # wildcard paths in progress at a time, a quota of CloudFront
WORTH = 12_500  # tiles: fetching this many from S3 again costs as much as a path
DIGITS = "0123456789"
MILLION = 1_000_000

Spans = list[tuple[int, int]]  # ranges of numbers, low <= n < high


@dataclass(frozen=True, slots=True)
class _Part:
    """Tiles with a common prefix of zoom, column and row in their paths; a final slash or dot ends a number."""

    z: str = ""
    x: str = ""
    y: str = ""

    def paths(self, layer: str) -> list[str]:
        """The wildcard paths for CloudFront."""
        stem = f"/{layer}/{self.z}{self.x}"
        ends = (".", "@") if self.y.endswith(".") else ("",)  # a row's tiles of scale 1 and 2
        return [f"{stem}{self.y.rstrip('.')}{end}*" for end in ends]

    def smaller(self) -> Iterator[_Part]:
        """The same tiles in smaller parts; nothing for a single row."""
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
    """The numbers below 2**z with the decimal prefix `text`."""
    if not text:
        return [(0, 2**z)]
    if not text.isdecimal():
        return [(int(text[:-1]), int(text[:-1]) + 1)]
    spans = [(int(text) * 10**more, min((int(text) + 1) * 10**more, 2**z)) for more in range(10)]
    return [(low, high) for low, high in (spans[:1] if text == "0" else spans) if low < high]


class _Rectangles(NamedTuple):
    """Tiles of a zoom as disjoint rectangles: `(rectangles,)` x0 <= x < x1, y0 <= y < y1."""

    x0: Numbers
    x1: Numbers
    y0: Numbers
    y1: Numbers

    @classmethod
    def of(cls, tiles: TileSet) -> _Rectangles:
        """The tiles of a set: equal runs of rows in consecutive columns become one rectangle."""
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
        """The tiles within disjoint ranges."""
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
        """The number of tiles in these columns and rows."""
        return int((_shared(self.x0, self.x1, columns) * _shared(self.y0, self.y1, rows)).sum())


def _shared(low: Numbers, high: Numbers, spans: Spans) -> Numbers:
    """The number of n with low <= n < high in any of the spans."""
    shared = (np.minimum(high, end) - np.maximum(low, start) for start, end in spans)
    return sum((np.maximum(each, 0) for each in shared), np.zeros_like(low))


def _disjoint(ranges: Iterable[TileRange]) -> list[TileRange]:
    """The same tiles in disjoint ranges."""
    disjoint: list[TileRange] = []
    for each in ranges:
        parts = [each]
        for other in disjoint:
            parts = [rest for part in parts for rest in _less(part, other)]
        disjoint += [part for part in parts if len(part)]
    return disjoint


def _less(one: TileRange, other: TileRange) -> list[TileRange]:
    """`one` without `other`: up to four ranges, above, below, left and right of their intersection."""
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
    """Tiles by zoom: selected tiles, tiles within the layer's bounds, and their intersection."""

    chosen: dict[int, _Rectangles]
    own: dict[int, _Rectangles]
    both: dict[int, _Rectangles]

    @classmethod
    def of(cls, stored_filter: StoredFilter, zooms: tuple[int, ...]) -> _Cover:
        """The tiles selected by `stored_filter` in these zooms."""
        layer = stored_filter.layer
        ranges = {z: tile_ranges(layer.bounds, z) for z in {*range(layer.minzoom, layer.maxzoom + 1), *zooms}}
        chosen = {z: _chosen(stored_filter, z) for z in zooms}
        both = {z: each.clipped(ranges[z]) for z, each in chosen.items()}
        return cls(chosen, {z: _Rectangles.of_ranges(each) for z, each in ranges.items()}, both)

    def selected(self, part: _Part) -> int:
        """The number of selected tiles in the part."""
        return _count(self.chosen, part)

    def others(self, part: _Part) -> int:
        """The number of tiles in the part that are within the layer's bounds but not selected."""
        return _count(self.own, part) - _count(self.both, part)

    @property
    def steps(self) -> int:
        """The limit of divisions into smaller parts, for about a second of work."""
        return max(50, MILLION // (500 + sum(len(each.x0) for each in self.chosen.values()) // 10))

    def smaller(self, part: _Part) -> list[_Part]:
        """The smaller parts with selected tiles."""
        return [each for each in part.smaller() if self.selected(each)]


def _chosen(stored_filter: StoredFilter, z: int) -> _Rectangles:
    """The selected tiles of zoom `z`; boxes, which may be large, by arithmetic."""
    if stored_filter.tiles is not None or stored_filter.footprint:
        return _Rectangles.of(stored_filter.at(z))
    world = (TileRange(z, 0, 0, 2**z, 2**z),)
    return _Rectangles.of_ranges(
        [each for box in stored_filter.boxes for each in tile_ranges(box, z)] if stored_filter.boxes else world
    )


def _count(tiles: dict[int, _Rectangles], part: _Part) -> int:
    return sum(
        each.within(_spans(part.x, z), _spans(part.y, z)) for z, each in tiles.items() if f"{z}/".startswith(part.z)
    )


def paths(stored_filter: StoredFilter) -> list[str]:
    """The fewest wildcard paths that cover exactly the tiles selected by `stored_filter`, of any age.

    If these are more than MOST, the cheapest paths: other tiles that they cover have to be fetched from S3 again.
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
    """Parts that contain exactly the selected tiles; none if they are too many."""
    parts: list[_Part] = []
    todo = [_Part()]
    while todo:
        if len(todo) + sum(len(each.paths("")) for each in parts) > MOST:
            return []
        each = todo.pop()
        smaller = cover.smaller(each) if cover.others(each) else []
        if smaller:
            todo += reversed(smaller)
        else:
            parts.append(each)
    return parts if sum(len(each.paths("")) for each in parts) <= MOST else []


def _cheapest(cover: _Cover, part: _Part, worth: int, steps: int) -> tuple[float, list[_Part]]:
    """The lowest cost, in paths, to invalidate the selected tiles of `part`, and the parts with this cost.

    `steps` limits the number of divided parts.
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
    """Check that the distribution exists; skip the check without permission for it.

    Raises:
        BadCloud, QueueError: it does not exist, or CloudFront does not answer.
    """
    client = clients.client("cloudfront", region)
    with clients.translated(f"find CloudFront distribution {distribution!r}"), suppress(client.exceptions.AccessDenied):
        client.get_distribution(Id=distribution)


def invalidate(distribution: str, wildcards: list[str], region: str) -> str:
    """Invalidate paths in CloudFront; return the id of the invalidation.

    Raises:
        BadCloud, QueueError: the distribution does not exist, or CloudFront refuses.
    """
    client = clients.client("cloudfront", region)
    batch = {"Paths": {"Quantity": len(wildcards), "Items": wildcards}, "CallerReference": f"seeder-{time.time_ns()}"}
    with clients.translated(f"invalidate paths of CloudFront distribution {distribution}"):
        answer = client.create_invalidation(DistributionId=distribution, InvalidationBatch=batch)
    return str(answer["Invalidation"]["Id"])


def wait(distribution: str, invalidation: str, region: str) -> None:
    """Wait until the invalidation is complete everywhere.

    Raises:
        BadCloud, QueueError: it takes longer than ten minutes, or CloudFront does not answer.
    """
    client = clients.client("cloudfront", region)
    with clients.translated(f"wait for invalidation {invalidation}"):
        client.get_waiter("invalidation_completed").wait(DistributionId=distribution, Id=invalidation)
