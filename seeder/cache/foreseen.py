"""The tiles that a planned bake may change: those over its parts that the layer does not have yet, or has no more.

Nothing is baked: parts are told by the hashes of their inputs. So a tile over such a part may turn out as before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

import numpy as np

from seeder.cache.changes import reach_above
from seeder.cache.stale import History
from seeder.select.morton import code_of
from seeder.select.morton import places as axes
from seeder.select.selection import data_tiles
from seeder.select.tileset import TileSet
from seeder.select.widened import widened
from tiler.grid import Bounds, TileRange, tile_ranges
from tiler.image.style import KERNELS
from tiler.ingest.chunks import CHUNK
from tiler.ingest.planned_parts import PlannedParts
from tiler.ingest.survey import Survey
from tiler.keys import Scale, TileName
from tiler.layers.catalog import Layer
from tiler.layers.footprint import CELLS, Footprint
from tiler.layers.pyramid import SERVED, SIDE, Place, Pyramid
from tiler.raster.options import Options, file_format
from tiler.storage.store import Store


class Differences(Protocol):
    """Which tiles may differ from those of the revision to render."""

    @property
    def mixed(self) -> bool:
        """Whether tiles of another revision may be stored."""

    @property
    def compared(self) -> bool:
        """Whether some tiles certainly do not differ."""

    def suspect(self, name: TileName, modified: datetime) -> bool:
        """Whether a tile, last written at a time (UTC), may differ."""

    def changed(self, z: int, scale: Scale) -> TileSet | None:
        """The tiles of a zoom that may differ from any other revision; None for all."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """The differences that a bake will make to `layer`, at most, and those that its history tells already.

    `places` are the parts of the base that it will change.
    """

    layer: Layer
    places: frozenset[Place]
    history: History
    _known: dict[tuple[int, int], TileSet] = field(default_factory=dict, compare=False, repr=False)

    @property
    def mixed(self) -> bool:
        """See `Differences`: the bake makes another revision."""
        return True

    @property
    def compared(self) -> bool:
        """See `Differences`."""
        return self.history.compared

    def suspect(self, name: TileName, modified: datetime) -> bool:
        """See `Differences`."""
        tiles, code = self.over(name.tile.z, name.scale), code_of(name.tile.x, name.tile.y)
        run = bisect_right(tiles.stops, code)
        held = run < len(tiles.starts) and bool(tiles.starts[run] <= code)
        return held or self.history.suspect(name, modified)

    def changed(self, z: int, scale: Scale) -> TileSet | None:
        """See `Differences`."""
        before = self.history.changed(z, scale)
        return None if before is None else before | self.over(z, scale)

    def over(self, z: int, scale: Scale) -> TileSet:
        """The tiles of a zoom over the parts, and those beside them that read their pixels."""
        if (z, scale) not in self._known:
            self._known[z, scale] = self._pixels(z + scale - 1).at(z)
        return self._known[z, scale]

    def _pixels(self, zoom: int) -> TileSet:
        base = self.layer.bake.z if self.layer.bake else 0
        tiles = _tiles(self.places, base)
        kernel = self.layer.style.terrain in KERNELS
        if zoom > base:
            return widened(tiles.at(zoom), reach_above(self.layer, zoom - base))
        return widened(tiles.at(zoom), int(kernel or zoom < base))  # a level reads around the pixels of the one below


def _tiles(places: Iterable[Place], base: int) -> TileSet:
    """The tiles of the base in some parts."""
    side = min(SIDE, 1 << base)
    ranges = (
        TileRange(base, column * side, row * side, (column + 1) * side, (row + 1) * side) for _, column, row in places
    )
    return TileSet.ranges(base, ranges)


def foreseen(
    layer: Layer, survey: Survey, options: Options, parts: PlannedParts, sources: Store, history: History
) -> Foreseen | None:
    """The differences that a bake of `parts` will make to `layer`; None if all tiles may differ.

    Raises:
        CatalogError, StoreError: the layer's parts could not be read.
    """
    if not isinstance(layer.bake, Pyramid) or not _rendered_alike(layer, survey, options):
        return None
    before = {
        place: part.name.partition("-")[0]
        for place, part in layer.bake.parts(layer.id, sources).items()
        if place.tier == 0
    }
    places = {*before, *parts.inputs}
    differing = frozenset(place for place in places if before.get(place) != parts.inputs.get(place))
    return Foreseen(layer, differing, history) if len(differing) < len(places) else None


def _rendered_alike(layer: Layer, survey: Survey, options: Options) -> bool:
    """Whether a layer and its next revision differ in nothing but their parts, as far as renders read them."""
    assert layer.bake
    bands = tuple(range(1, survey.reading.count + 1))
    automatic = options.format == layer.asked.format == "auto"
    own = layer.style, layer.resampling, layer.bands, layer.bounds.crosses, layer.minzoom, layer.maxzoom, layer.bake.z
    new = survey.style, survey.resampling, bands, survey.bounds.crosses, survey.minzoom, survey.maxzoom, survey.base
    finished = layer.bake.finished == (SERVED if survey.finished else 0)
    same_format = automatic or (options.format == layer.asked.format and file_format(options.format) == layer.format)
    return own == new and finished and same_format


def with_parts(layer: Layer, survey: Survey, parts: PlannedParts, places: frozenset[Place] | None) -> Layer:
    """`layer` with the bounds and zooms of a survey, and at most the tiles that it has once some `places` are baked.

    None stands for all places. All tiles of a planned chunk count, whether its pixels are valid or not.
    """
    base = survey.base
    step = min(CHUNK, 1 << base)
    chunks = (chunk for place, each in parts.chunks.items() if places is None or place in places for chunk in each)
    tiles = TileSet.ranges(
        base,
        (
            TileRange(base, chunk.column * step, chunk.row * step, (chunk.column + 1) * step, (chunk.row + 1) * step)
            for chunk in chunks
        ),
    )
    if places is not None:
        tiles |= data_tiles(layer.footprint).at(base) - _tiles(places, base)
    footprint = _footprint(tiles, survey.bounds)
    return replace(layer, bounds=survey.bounds, minzoom=survey.minzoom, maxzoom=survey.maxzoom, footprint=footprint)


def _footprint(tiles: TileSet, bounds: Bounds) -> Footprint:
    """The footprint of tiles within bounds."""
    z = tiles.z
    while z and sum(map(len, tile_ranges(bounds, z))) > CELLS:
        z -= 1
    ranges = tile_ranges(bounds, z)
    west, north, rows = ranges[0].x0, ranges[0].y0, ranges[0].y1 - ranges[0].y0
    cells = np.zeros((rows, sum(each.x1 - each.x0 for each in ranges)), bool)
    x, y = axes((tiles.at(z) & TileSet.ranges(z, ranges)).codes)
    cells[y - north, (x - west) % (1 << z)] = True
    return Footprint(z, west, north, cells)
