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
from seeder.cache.stored import Cost, Pick, Stored, columns_rows, stored
from seeder.jobs.plan import Plan
from seeder.select.morton import Flags, Numbers, interleaved, places
from seeder.select.selection import Selection, count, covered, regions
from seeder.select.tileset import TileSet, TileSets
from tiler.keys import TileName, tile_key
from tiler.layers.catalog import Layer
from tiler.layers.render import Look
from tiler.storage.store import Store, Stores

StaleAt = Callable[[datetime], bool]  # whether a tile that was last written then is to be rendered anew

WARM = 0.5  # share of a zoom's tiles that must be stored for the zoom to count as warm


@dataclass(frozen=True, slots=True)
class Shelf:
    """Stored tiles of one zoom and look; which of them are stale, and which the layer has, as `(tiles,)` bool."""

    codes: Numbers
    stale: Flags
    own: Flags


BARE = Shelf(np.zeros(0, np.int64), np.zeros(0, bool), np.zeros(0, bool))


@dataclass(slots=True)
class Stock:
    """What is stored of a layer, shelves by look and zoom; and of what is not, what earlier receipts say is empty."""

    pick: Pick
    shelves: dict[Look, dict[int, Shelf]]
    empties: dict[Look, dict[int, Empties]] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)

    @property
    def tiles(self) -> int:
        """All tiles."""
        return sum(len(shelf.codes) for zooms in self.shelves.values() for shelf in zooms.values())

    @property
    def stale(self) -> int:
        """Those that are to be rendered anew or removed."""
        return sum(int(shelf.stale.sum()) for zooms in self.shelves.values() for shelf in zooms.values())

    @classmethod
    def take(cls, tiles: Store, pick: Pick, stale_at: StaleAt | None, progress: Callable[[int], object]) -> Stock:
        """What is stored now of what `pick` means; stale is what `stale_at` says of its time (UTC), or all of it.

        Ten bytes a tile are held. `progress` is told of tiles as they are found.

        Raises:
            StoreError: something could not be listed.
        """
        stock = cls(pick, {})
        found: dict[tuple[Look, int], list[tuple[Numbers, Flags]]] = defaultdict(list)
        for batch in stored(tiles, pick, stock.cost):
            progress(len(batch))
            for look, each in _by_look(batch).items():
                stale = np.array([stale_at is None or stale_at(one.modified) for one in each], bool)
                found[look, each[0].name.tile.z].append((interleaved(*columns_rows(each)), stale))
        for look, z in sorted(found, key=lambda place: (place[0].scale, place[0].format, place[1])):
            codes, stale = (np.concatenate(parts) for parts in zip(*found[look, z], strict=True))
            order = np.argsort(codes)
            own = covered(pick.layer, z, codes[order]) & pick.layer.takes(look.format)
            shelf = Shelf(codes[order], stale[order], own)
            stock.shelves.setdefault(look, {})[z] = shelf
        return stock

    def recall(self, stores: Stores, revisions: Collection[str]) -> None:
        """Learn which tiles are not stored because one of `revisions` had nothing on them.

        Raises:
            StoreError: the ledger could not be read.
        """
        if self.pick.before is None:
            self.empties = empties(self.pick.layer, stores, revisions, self._gaps)

    @property
    def left(self) -> int:
        """How many tiles were empty that nobody has looked at since."""
        return sum(len(each.left) for zooms in self.empties.values() for each in zooms.values())

    def selections(self) -> Iterator[tuple[Look, Selection]]:
        """What is to be rendered anew: the stale tiles, and those that were empty before.

        Of a zoom of which at least WARM is stored or was empty, all that was selected, so that it is as warm as before
        where the layer has grown. Where tiles were picked one by one or by age, only those.
        """
        for look in {**self.shelves, **self.empties}:
            whole, single = self._divided(look)
            if whole:
                yield look, self._selected(*whole)
            if single:
                yield look, Selection(tuple(single), (), TileSets(single))

    def grown(self, before: Layer) -> Iterator[tuple[Look, tuple[int, ...]]]:
        """Zooms that were warm of the revision `before`, but are not rendered whole; the layer has new tiles there."""
        for look, shelves in self.shelves.items():
            if not self.pick.layer.takes(look.format):
                continue
            whole, _ = self._divided(look)
            zooms = (z for z in shelves if z not in whole and before.minzoom <= z <= before.maxzoom)
            found = tuple(z for z in zooms if self._outgrown(before, look, z))
            if found:
                yield look, found

    def _outgrown(self, before: Layer, look: Look, z: int) -> bool:
        had = planned(before, z)
        there = int(had.holds(self.shelves[look][z].codes).sum()) + len(self._empties(look, z).known)
        return there >= WARM * len(had) and len(planned(self.pick.layer, z) - had) > 0

    def _divided(self, look: Look) -> tuple[list[int], dict[int, TileSet]]:
        """The zooms that are rendered whole, and tiles of others."""
        grows = self.pick.named is None and self.pick.before is None
        whole, single = [], {}
        for z in sorted({*self.shelves.get(look, ()), *self.empties.get(look, ())}):
            shelf, known = self.shelves.get(look, {}).get(z, BARE), self._empties(look, z)
            work = TileSet.of(z, shelf.codes[shelf.stale & shelf.own]) | known.left
            if not len(work):
                continue
            if grows and shelf.own.sum() + len(known.known) >= WARM * len(self._planned(z)):
                whole.append(z)
            else:
                single[z] = work
        return whole, single

    def _empties(self, look: Look, z: int) -> Empties:
        return self.empties.get(look, {}).get(z) or Empties.nothing(z)

    def _gaps(self, look: Look, z: int) -> TileSet:
        """What is selected of a zoom and not stored."""
        if not self.pick.layer.takes(look.format) or (self.pick.zooms is not None and z not in self.pick.zooms):
            return TileSet.nothing(z)
        shelf = self.shelves.get(look, {}).get(z, BARE)
        return self._planned(z) - TileSet.of(z, shelf.codes)

    @property
    def rendered(self) -> int:
        """How many tiles would be rendered anew, those of warm zooms that are not stored among them."""
        found = (count(self.pick.layer, selection) for _, selection in self.selections())
        return sum(zoom.tiles for zooms in found for zoom in zooms.values())

    def plans(self, stores: Stores) -> Iterator[Plan]:
        """Jobs, put on record as they are drawn, that render anew what is stale."""
        for look, selection in self.selections():
            yield prepare(self.pick.layer, selection, look, force=True, stores=stores)

    def uncovered(self) -> Iterator[str]:
        """The keys of stale tiles that the layer does not have any more."""
        for look, shelves in self.shelves.items():
            for z, shelf in shelves.items():
                rest = shelf.codes[shelf.stale & ~shelf.own]
                for x, y in zip(*(axis.tolist() for axis in places(rest)), strict=True):
                    yield tile_key(TileName(self.pick.layer.id, Tile(x=x, y=y, z=z), look.scale, look.format))

    def _selected(self, *zooms: int) -> Selection:
        """All tiles of zooms that are selected, stored or not."""
        tiles = None if self.pick.tiles is None else TileSets({z: self.pick.at(z) for z in zooms})
        return Selection(zooms, self.pick.boxes, tiles)

    def _planned(self, z: int) -> TileSet:
        """All of the layer's tiles of a zoom that are selected, stored or not."""
        return planned(self.pick.layer, z, self._selected(z))


def planned(layer: Layer, z: int, selection: Selection | None = None) -> TileSet:
    """The layer's tiles of zoom `z`, which it may lack, as far as they are selected."""
    if not layer.minzoom <= z <= layer.maxzoom:
        return TileSet.nothing(z)
    (region,) = regions(layer, selection or Selection((z,)))
    return region


def _by_look(batch: list[Stored]) -> dict[Look, list[Stored]]:
    found: dict[Look, list[Stored]] = defaultdict(list)
    for each in batch:
        found[Look(each.name.scale, each.name.format)].append(each)
    return found
