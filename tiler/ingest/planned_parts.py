"""The parts that a bake would make: their inputs, and those that no earlier bake has stored."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from tiler import keys
from tiler.grid import TILE, Window, tile_ranges
from tiler.ingest.chunks import CHUNK, BakeTask, chunks_of
from tiler.ingest.filled import filled_of
from tiler.ingest.mosaic import Source, gaps_in, source_of
from tiler.ingest.survey import RECIPE, Survey
from tiler.layers.pyramid import SERVED, SIDE, Part, Place, across
from tiler.layers.tiers import children_of, parent_of
from tiler.raster.datasets import versions
from tiler.raster.sparse import Regions, Share
from tiler.storage.store import Entry, Store

NEAR = 16  # one over the largest share of the world's width to check at once, because projections bend

PART_CHUNKS = (SIDE // CHUNK) ** 2  # of a full part

Range = tuple[int, int, int, int]  # first and last column and row of tiles, half-open


class StoredPart(NamedTuple):
    """The name of a stored part, and the age of its facts."""

    name: str
    age: timedelta


class Raster(Protocol):
    """The subject of a bake."""

    @property
    def survey(self) -> Survey:
        """Its survey."""

    def content_in(self, window: Window) -> object:
        """A value that identifies its pixels in a window."""

    def check_in(self, window: Window) -> None:
        """Reject it if its pixels in a window may have changed."""


@dataclass(frozen=True, slots=True)
class TierWork:
    """The parts of a tier to bake, their chunks, and those of the part with the most.

    `filled` is the number of whole chunks that their pixels would fill, at most; `fullest` that of the fullest part.
    """

    parts: int
    chunks: int
    longest: int
    filled: float
    fullest: float


@dataclass(frozen=True, slots=True)
class BakeWork:
    """The work of a bake by tier: parts of the base, then the overview parts above them."""

    tiers: tuple[TierWork, ...] = ()

    @property
    def parts(self) -> int:
        """Parts of the base."""
        return sum(tier.parts for tier in self.tiers[:1])

    @property
    def overviews(self) -> int:
        """Overview parts."""
        return sum(tier.parts for tier in self.tiers[1:])

    @property
    def chunks(self) -> int:
        """The chunks of all parts."""
        return sum(tier.chunks for tier in self.tiers)


@dataclass(frozen=True, slots=True)
class PlannedParts:
    """The parts of a layer's base: the input of each, the places of those to bake, and the chunks of each.

    `filled` is the number of whole chunks that the pixels of each would fill, at most. Places where a raster may turn
    out to have no pixels count too.
    """

    inputs: Mapping[Place, str]
    missing: frozenset[Place]
    chunks: Mapping[Place, tuple[BakeTask, ...]]
    filled: Mapping[Place, float]

    def work(self, base: int, places: Collection[Place]) -> BakeWork:
        """The work of baking some of the parts, cut at zoom `base`, and all overview parts that read them."""
        return work_of(base, {place: len(chunks) for place, chunks in self.chunks.items()}, self.filled, places)


def planned_parts(layer: str, sources: Store, raster: Raster) -> PlannedParts:
    """The parts of the base that a bake of `raster` would make, without baking.

    Raises:
        SourceReadError: its header could not be read.
        StoreError: the stored parts could not be listed.
    """
    survey, known = raster.survey, stored_parts(layer, sources)
    chunks = chunks_of_base(survey)
    inputs = {place: input_of(raster, place, survey.base, {}) for place in chunks}
    missing = frozenset(place for place, wanted in inputs.items() if wanted not in known)
    return PlannedParts(inputs, missing, chunks, _filled(survey, chunks))


def whole_work(survey: Survey) -> BakeWork:
    """The work of baking all parts of a survey's layer."""
    chunks = chunks_of_base(survey)
    numbers = {place: len(each) for place, each in chunks.items()}
    return work_of(survey.base, numbers, _filled(survey, chunks), chunks)


def _filled(survey: Survey, chunks: Mapping[Place, tuple[BakeTask, ...]]) -> dict[Place, float]:
    return filled_of(survey, {place: len(each) for place, each in chunks.items()})


def chunks_of_base(survey: Survey) -> dict[Place, tuple[BakeTask, ...]]:
    """The chunks of each part of the base, without those where a raster or scenes surely have no pixels."""
    gaps = gaps_in(survey)
    regions = regions_of(source_of(survey, gaps), survey.base) if gaps or survey.scenes else Regions()
    planned = (
        (place, tuple(chunk for chunk in chunks if not regions.bare(chunk.row, chunk.column)))
        for place, chunks in planned_of(0, survey.base, {}, base_ranges(survey))
    )
    return {place: written for place, written in planned if written}


def work_of(
    base: int, chunks: Mapping[Place, int], filled: Mapping[Place, float], places: Collection[Place]
) -> BakeWork:
    """The work of baking some `places` of a base of these `chunks`, and all overview parts that read them.

    An overview part has a chunk for each part below it, `filled` by its share of that part's square.
    """
    baked, zoom, tiers = set(places), base, list[TierWork]()
    while True:
        numbers, full = [chunks[place] for place in baked], [filled[place] for place in baked]
        longest, fullest = max(numbers, default=0), max(full, default=0.0)
        tiers.append(TierWork(len(baked), sum(numbers), longest, math.fsum(full), fullest))
        if zoom < SERVED:
            return BakeWork(tuple(tiers))
        above, share = dict[Place, int](), dict[Place, float]()
        for place in chunks:
            parent = parent_of(place)
            above[parent] = above.get(parent, 0) + 1
            share[parent] = share.get(parent, 0.0) + filled[place] / PART_CHUNKS
        baked = {parent_of(each) for place in baked for each in _around(place, zoom)} & above.keys()
        chunks, filled, zoom = above, share, zoom - SERVED


def _around(place: Place, zoom: int) -> Iterator[Place]:
    """A part and its neighbours, whose parents read it; `zoom` is theirs."""
    for row in range(place.row - 1, place.row + 2):
        for column in range(place.column - 1, place.column + 2):
            yield Place(place.tier, column % across(zoom), row)


def chunks_in(zoom: int, ranges: list[Range]) -> int:
    """The number of chunks of all tiers of a bake with these tiles at its base zoom, at most."""
    total, step = 0, min(CHUNK, 1 << zoom)
    while zoom >= 0:
        total += sum((-(-x1 // step) - x0 // step) * (-(-y1 // step) - y0 // step) for x0, y0, x1, y1 in ranges)
        ranges = [(x0 // 8, y0 // 8, -(-x1 // 8), -(-y1 // 8)) for x0, y0, x1, y1 in ranges]
        zoom -= SERVED
        step = min(CHUNK, 1 << max(zoom, 0))
    return total


def base_ranges(survey: Survey) -> list[Range]:
    """The tiles of the base."""
    return [(each.x0, each.y0, each.x1, each.y1) for each in tile_ranges(survey.bounds, survey.base)]


def input_of(raster: Raster, place: Place, zoom: int, below: Mapping[Place, Part]) -> str:
    """A hash of all that the pixels of a part depend on, 16 hex digits; `below` are the parts of the tier below."""
    survey = raster.survey
    if place.tier == 0:
        content = raster.content_in(window_of(place, zoom))
    else:
        content = [below[each].hash for each in children_of(place, zoom + SERVED) if each in below]
    recipe = (
        *(RECIPE, versions()[0], survey.dtype, survey.reading.count, survey.resampling, survey.overview),
        *(survey.base, survey.finished, survey.style.palette),
    )
    return hashlib.blake2b(repr((*recipe, tuple(place), content)).encode(), digest_size=8).hexdigest()


def window_of(place: Place, zoom: int) -> Window:
    """The window of a part."""
    side = min(SIDE, 1 << zoom) * TILE
    return Window(zoom, place.column * side, place.row * side, side, side)


def stored_parts(layer: str, sources: Store) -> dict[str, StoredPart]:
    """The stored parts by their input: those whose COG and facts are there."""
    return _by_input(layer, sources.list(keys.parts_prefix(layer)))


def _by_input(layer: str, listed: Iterable[Entry]) -> dict[str, StoredPart]:
    now = datetime.now(UTC)
    entries = {entry.key: entry for entry in listed}
    found = {}
    for key in sorted(entries):
        name = keys.part_of_facts(key)
        if name and keys.part_key(layer, name) in entries:
            found[name.partition("-")[0]] = StoredPart(name, now - entries[key].modified)
    return found


def stored_part(layer: str, sources: Store, wanted: str) -> StoredPart | None:
    """The stored part of an input, or None; one request, where listings are sorted."""
    folder = keys.parts_prefix(layer)
    entries = sources.list(folder, after=f"{folder}{wanted}-", before=f"{folder}{wanted}.")
    return _by_input(layer, entries).get(wanted)


def planned_of(
    tier: int, zoom: int, below: Mapping[Place, Part], ranges: list[Range]
) -> Iterator[tuple[Place, list[BakeTask]]]:
    """The parts of a tier, each with its chunks."""
    if tier:
        groups: dict[Place, list[BakeTask]] = {}
        for child in sorted(below, key=lambda place: (place.row, place.column)):
            place = parent_of(child)
            groups.setdefault(place, []).append(BakeTask(place, child.row, child.column))
        yield from groups.items()
        return
    side = min(SIDE, 1 << zoom)
    places = {
        Place(0, column, row)
        for x0, y0, x1, y1 in ranges
        for row in range(y0 // side, -(-y1 // side))
        for column in range(x0 // side, -(-x1 // side))
    }
    for place in sorted(places, key=lambda place: (place.row, place.column)):
        yield place, list(chunks_of(place, zoom, ranges))


def regions_of(source: Source, zoom: int) -> Regions:
    """The regions of the base whose chunks may have pixels, in chunks of the absolute grid."""

    def share(row: int, column: int, side: int) -> Share:
        step = min(CHUNK, 1 << zoom) * TILE
        return source.share(Window(zoom, column * step, row * step, side * step, side * step))

    chunks = max(1, across(zoom, CHUNK) // NEAR)
    return Regions(share, 1 << math.floor(math.log2(chunks)))
