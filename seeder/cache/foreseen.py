"""The tiles that a planned bake may change: those over its parts that the layer does not have yet, or has no more.

Nothing is baked: parts are told by the hashes of their inputs. So a tile over such a part may turn out as before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from seeder.cache.changes import reach_above
from seeder.cache.stale import History
from seeder.select.morton import code_of
from seeder.select.selection import planned
from seeder.select.tileset import TileSet
from seeder.select.widened import widened
from tiler.grid import TileRange
from tiler.ingest.planned_parts import PlannedParts
from tiler.ingest.survey import Survey
from tiler.keys import Scale, TileName
from tiler.layers.catalog import Layer
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

    def common(self, z: int) -> TileSet | None:
        """The tiles of a zoom that all other revisions have; None without these."""


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

    def common(self, z: int) -> TileSet | None:
        """See `Differences`."""
        before, own = self.history.common(z), planned(self.layer, z)
        return own if before is None else own & before

    def over(self, z: int, scale: Scale) -> TileSet:
        """The tiles of a zoom over the parts, and those beside them that read their pixels."""
        if (z, scale) not in self._known:
            self._known[z, scale] = self._pixels(z + scale - 1).at(z)
        return self._known[z, scale]

    def _pixels(self, zoom: int) -> TileSet:
        base = self.layer.bake.z if self.layer.bake else 0
        tiles = tiles_of(self.places, base)
        if zoom > base:
            return widened(tiles.at(zoom), reach_above(self.layer, zoom - base))
        around = self.layer.style.reach or zoom < base  # a level reads around the pixels of the one below
        return widened(tiles.at(zoom), int(around > 0))


def tiles_of(places: Iterable[Place], base: int) -> TileSet:
    """The tiles of the base in some parts."""
    side = min(SIDE, 1 << base)
    ranges = (
        TileRange(base, column * side, row * side, (column + 1) * side, (row + 1) * side) for _, column, row in places
    )
    return TileSet.ranges(base, ranges)


def changed_places(layer: Layer, survey: Survey, parts: PlannedParts, sources: Store) -> frozenset[Place] | None:
    """The parts of the base that a bake of `parts` will change; None if it cuts others.

    Raises:
        CatalogError, StoreError: the layer's parts could not be read.
    """
    if not isinstance(layer.bake, Pyramid) or layer.bake.z != survey.base:
        return None
    before = {
        place: part.name.partition("-")[0]
        for place, part in layer.bake.parts(layer.id, sources).items()
        if place.tier == 0
    }
    places = {*before, *parts.inputs}
    return frozenset(place for place in places if before.get(place) != parts.inputs.get(place))


def foreseen(
    layer: Layer, survey: Survey, options: Options, places: frozenset[Place] | None, history: History
) -> Foreseen | None:
    """The differences that a bake will make to `layer`, if it changes these `places`; None if all tiles may differ."""
    alike = places is not None and _rendered_alike(layer, survey, options)
    return Foreseen(layer, places, history) if places is not None and alike else None


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
