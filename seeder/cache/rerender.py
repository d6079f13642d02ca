"""Tiles rendered anew where they lie: which of those that are stored, and which have nothing to come back to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from mercantile import Tile

from seeder.cache.empties import Empties, empties
from seeder.cache.prepare_job import prepare
from seeder.cache.stored import Cost, StoredFilter, StoredTile, columns_rows, stored
from seeder.jobs.plan import Plan
from seeder.select.morton import Flags, Numbers, interleaved, places
from seeder.select.selection import Selection, count, covered, regions
from seeder.select.tileset import TileSet, TileSets
from tiler.keys import TileName, tile_key
from tiler.layers.catalog import Layer
from tiler.layers.render import TileVariant
from tiler.storage.store import Store, Stores

StaleAt = Callable[[datetime], bool]  # whether a tile that was last written then is to be rendered anew

STORED_SHARE = 0.5  # share of a zoom's tiles that must be stored for the zoom to be rendered whole


@dataclass(frozen=True, slots=True)
class StoredZoom:
    """Stored tiles of one zoom and look; which of them are stale, and which the layer has, as `(tiles,)` bool."""

    codes: Numbers
    stale: Flags
    own: Flags


BARE = StoredZoom(np.zeros(0, np.int64), np.zeros(0, bool), np.zeros(0, bool))


@dataclass(slots=True)
class StoredTiles:
    """What is stored of a layer, shelves by look and zoom; and of what is not, what earlier receipts say is empty."""

    stored_filter: StoredFilter
    stored_zooms: dict[TileVariant, dict[int, StoredZoom]]
    empties: dict[TileVariant, dict[int, Empties]] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)

    @property
    def tiles(self) -> int:
        """All tiles."""
        return sum(len(stored_zoom.codes) for zooms in self.stored_zooms.values() for stored_zoom in zooms.values())

    @property
    def stale(self) -> int:
        """Those that are to be rendered anew or removed."""
        return sum(
            int(stored_zoom.stale.sum()) for zooms in self.stored_zooms.values() for stored_zoom in zooms.values()
        )

    @classmethod
    def take(
        cls, tiles: Store, stored_filter: StoredFilter, stale_at: StaleAt | None, progress: Callable[[int], object]
    ) -> StoredTiles:
        """What is stored of what `stored_filter` means; stale is what `stale_at` says of its time (UTC), or all of it.

        Ten bytes a tile are held. `progress` is told of tiles as they are found.

        Raises:
            StoreError: something could not be listed.
        """
        stored_tiles = cls(stored_filter, {})
        found: dict[tuple[TileVariant, int], list[tuple[Numbers, Flags]]] = defaultdict(list)
        for batch in stored(tiles, stored_filter, stored_tiles.cost):
            progress(len(batch))
            for variant, each in _by_variant(batch).items():
                stale = np.array([stale_at is None or stale_at(one.modified) for one in each], bool)
                found[variant, each[0].name.tile.z].append((interleaved(*columns_rows(each)), stale))
        for variant, z in sorted(found, key=lambda place: (place[0].scale, place[0].format, place[1])):
            codes, stale = (np.concatenate(parts) for parts in zip(*found[variant, z], strict=True))
            order = np.argsort(codes)
            own = covered(stored_filter.layer, z, codes[order]) & stored_filter.layer.takes(variant.format)
            stored_zoom = StoredZoom(codes[order], stale[order], own)
            stored_tiles.stored_zooms.setdefault(variant, {})[z] = stored_zoom
        return stored_tiles

    def recall(self, stores: Stores, revisions: Collection[str]) -> None:
        """Learn which tiles are not stored because one of `revisions` had nothing on them.

        Raises:
            StoreError: the ledger could not be read.
        """
        if self.stored_filter.before is None:
            self.empties = empties(self.stored_filter.layer, stores, revisions, self._gaps)

    @property
    def left(self) -> int:
        """How many tiles were empty that nobody has looked at since."""
        return sum(len(each.left) for zooms in self.empties.values() for each in zooms.values())

    def selections(self) -> Iterator[tuple[TileVariant, Selection]]:
        """What is to be rendered anew: the stale tiles, and those that were empty before.

        Of a zoom of which at least STORED_SHARE is stored or was empty, all that was selected, so that it is as
        complete as before where the layer has grown. Where tiles were picked one by one or by age, only those.
        """
        for variant in {**self.stored_zooms, **self.empties}:
            whole, single = self._divided(variant)
            if whole:
                yield variant, self._selected(*whole)
            if single:
                yield variant, Selection(tuple(single), (), TileSets(single))

    def grown(self, before: Layer) -> Iterator[tuple[TileVariant, tuple[int, ...]]]:
        """Zooms of which enough was stored of the revision `before`, that are not rendered whole and have new tiles."""
        for variant, stored_zooms in self.stored_zooms.items():
            if not self.stored_filter.layer.takes(variant.format):
                continue
            whole, _ = self._divided(variant)
            zooms = (z for z in stored_zooms if z not in whole and before.minzoom <= z <= before.maxzoom)
            found = tuple(z for z in zooms if self._outgrown(before, variant, z))
            if found:
                yield variant, found

    def _outgrown(self, before: Layer, variant: TileVariant, z: int) -> bool:
        had = planned(before, z)
        there = int(had.holds(self.stored_zooms[variant][z].codes).sum()) + len(self._empties(variant, z).known)
        return there >= STORED_SHARE * len(had) and len(planned(self.stored_filter.layer, z) - had) > 0

    def _divided(self, variant: TileVariant) -> tuple[list[int], dict[int, TileSet]]:
        """The zooms that are rendered whole, and tiles of others."""
        grows = self.stored_filter.named is None and self.stored_filter.before is None
        whole, single = [], {}
        for z in sorted({*self.stored_zooms.get(variant, ()), *self.empties.get(variant, ())}):
            stored_zoom, known = self.stored_zooms.get(variant, {}).get(z, BARE), self._empties(variant, z)
            work = TileSet.of(z, stored_zoom.codes[stored_zoom.stale & stored_zoom.own]) | known.left
            if not len(work):
                continue
            if grows and stored_zoom.own.sum() + len(known.known) >= STORED_SHARE * len(self._planned(z)):
                whole.append(z)
            else:
                single[z] = work
        return whole, single

    def _empties(self, variant: TileVariant, z: int) -> Empties:
        return self.empties.get(variant, {}).get(z) or Empties.nothing(z)

    def _gaps(self, variant: TileVariant, z: int) -> TileSet:
        """What is selected of a zoom and not stored."""
        if not self.stored_filter.layer.takes(variant.format) or (
            self.stored_filter.zooms is not None and z not in self.stored_filter.zooms
        ):
            return TileSet.nothing(z)
        stored_zoom = self.stored_zooms.get(variant, {}).get(z, BARE)
        return self._planned(z) - TileSet.of(z, stored_zoom.codes)

    @property
    def rendered(self) -> int:
        """How many tiles would be rendered anew, those that are not stored among them."""
        found = (count(self.stored_filter.layer, selection) for _, selection in self.selections())
        return sum(zoom.tiles for zooms in found for zoom in zooms.values())

    def plans(self, stores: Stores) -> Iterator[Plan]:
        """Jobs, put on record as they are drawn, that render anew what is stale."""
        for variant, selection in self.selections():
            yield prepare(self.stored_filter.layer, selection, variant, force=True, stores=stores)

    def uncovered(self) -> Iterator[str]:
        """The keys of stale tiles that the layer does not have any more."""
        for variant, stored_zooms in self.stored_zooms.items():
            for z, stored_zoom in stored_zooms.items():
                rest = stored_zoom.codes[stored_zoom.stale & ~stored_zoom.own]
                for x, y in zip(*(axis.tolist() for axis in places(rest)), strict=True):
                    yield tile_key(
                        TileName(self.stored_filter.layer.id, Tile(x=x, y=y, z=z), variant.scale, variant.format)
                    )

    def _selected(self, *zooms: int) -> Selection:
        """All tiles of zooms that are selected, stored or not."""
        tiles = None if self.stored_filter.tiles is None else TileSets({z: self.stored_filter.at(z) for z in zooms})
        return Selection(zooms, self.stored_filter.boxes, tiles)

    def _planned(self, z: int) -> TileSet:
        """All of the layer's tiles of a zoom that are selected, stored or not."""
        return planned(self.stored_filter.layer, z, self._selected(z))


def planned(layer: Layer, z: int, selection: Selection | None = None) -> TileSet:
    """The layer's tiles of zoom `z`, which it may lack, as far as they are selected."""
    if not layer.minzoom <= z <= layer.maxzoom:
        return TileSet.nothing(z)
    (region,) = regions(layer, selection or Selection((z,)))
    return region


def _by_variant(batch: list[StoredTile]) -> dict[TileVariant, list[StoredTile]]:
    found: dict[TileVariant, list[StoredTile]] = defaultdict(list)
    for each in batch:
        found[TileVariant(each.name.scale, each.name.format)].append(each)
    return found
