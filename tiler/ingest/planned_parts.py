"""The parts that a bake would make: their inputs, and those that no earlier bake has stored."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from tiler import keys
from tiler.grid import TILE, Window, tile_ranges
from tiler.ingest.chunks import CHUNK, BakeTask, chunks_of
from tiler.ingest.mosaic import Source, gaps_in, source_of
from tiler.ingest.survey import RECIPE, Survey
from tiler.layers.pyramid import SERVED, SIDE, Part, Place, across
from tiler.raster.datasets import versions
from tiler.raster.sparse import Regions, Share
from tiler.storage.store import Store

NEAR = 16  # one over the largest share of the world's width to check at once, because projections bend

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
class PlannedParts:
    """The parts of a layer's base: the input of each, and the places of those to bake.

    Places where a raster may turn out to have no pixels count too.
    """

    inputs: Mapping[Place, str]
    missing: frozenset[Place]


def planned_parts(layer: str, sources: Store, raster: Raster) -> PlannedParts:
    """The parts of the base that a bake of `raster` would make, without baking.

    Raises:
        SourceReadError: its header could not be read.
        StoreError: the stored parts could not be listed.
    """
    survey, known = raster.survey, stored_parts(layer, sources)
    gaps = gaps_in(survey)
    regions = regions_of(source_of(survey, gaps), survey.base) if gaps or survey.scenes else Regions()
    inputs = {
        place: input_of(raster, place, survey.base, {})
        for place, chunks in planned_of(0, survey.base, {}, base_ranges(survey))
        if not all(regions.bare(chunk.row, chunk.column) for chunk in chunks)
    }
    return PlannedParts(inputs, frozenset(place for place, wanted in inputs.items() if wanted not in known))


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
        content = [below[each].hash for each in _children(place, zoom + SERVED) if each in below]
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
    now = datetime.now(UTC)
    entries = {entry.key: entry for entry in sources.list(keys.parts_prefix(layer))}
    found = {}
    for key in sorted(entries):
        name = keys.part_of_facts(key)
        if name and keys.part_key(layer, name) in entries:
            found[name.partition("-")[0]] = StoredPart(name, now - entries[key].modified)
    return found


def planned_of(
    tier: int, zoom: int, below: Mapping[Place, Part], ranges: list[Range]
) -> Iterator[tuple[Place, list[BakeTask]]]:
    """The parts of a tier, each with its chunks."""
    if tier:
        groups: dict[Place, list[BakeTask]] = {}
        for child in sorted(below, key=lambda place: (place.row, place.column)):
            place = Place(tier, child.column // CHUNK, child.row // CHUNK)
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


def _children(place: Place, zoom: int) -> Iterator[Place]:
    """The parts that a part of the next tier reads: those within it, and the ring around them; `zoom` is theirs."""
    around = across(zoom)
    for row in range(place.row * CHUNK - 1, (place.row + 1) * CHUNK + 1):
        columns = range(place.column * CHUNK - 1, (place.column + 1) * CHUNK + 1)
        for column in dict.fromkeys(each % around for each in columns):
            yield Place(place.tier - 1, column, row)


def regions_of(source: Source, zoom: int) -> Regions:
    """The regions of the base whose chunks may have pixels, in chunks of the absolute grid."""

    def share(row: int, column: int, side: int) -> Share:
        step = min(CHUNK, 1 << zoom) * TILE
        return source.share(Window(zoom, column * step, row * step, side * step, side * step))

    chunks = max(1, across(zoom, CHUNK) // NEAR)
    return Regions(share, 1 << math.floor(math.log2(chunks)))
