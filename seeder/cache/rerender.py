"""Re-render stored tiles in place: choose the tiles to render, and find those outside the layer's new range."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
from mercantile import Tile

from seeder.cache.empties import Empties, empties
from seeder.cache.foreseen import Differences
from seeder.cache.prepare_job import prepare
from seeder.cache.stored import Cost, StoredFilter, StoredTile, columns_rows, stored
from seeder.jobs.plan import Plan
from seeder.select.morton import Flags, Numbers, interleaved, places
from seeder.select.selection import Selection, count, covered, planned
from seeder.select.tileset import TileSet, TileSets
from tiler.keys import TileName, tile_key
from tiler.layers.catalog import Layer
from tiler.layers.render import TileVariant
from tiler.storage.store import Store, Stores

STORED_SHARE = 0.5  # fraction of a zoom's tiles that must be stored or empty to complete the zoom where it has grown


CHANGED_SHARE = 0.1  # fraction of the stored tiles up to which a CDN forgets changed tiles only


@dataclass(frozen=True, slots=True)
class StoredZoom:
    """Stored tiles of one variant and zoom; whether each is stale, and whether the layer has it, as `(tiles,)` bool."""

    codes: Numbers
    stale: Flags
    own: Flags


BARE = StoredZoom(np.zeros(0, np.int64), np.zeros(0, bool), np.zeros(0, bool))


@dataclass(slots=True)
class StoredTiles:
    """The stored tiles of a layer by variant and zoom, and the tiles that are empty in earlier receipts.

    `history` gives the tiles that may differ from earlier revisions; without it all may. Until the layer is baked,
    `least` has the tiles only that it will surely have.
    """

    stored_filter: StoredFilter
    stored_zooms: dict[TileVariant, dict[int, StoredZoom]]
    history: Differences | None = None
    least: Layer | None = None
    empties: dict[TileVariant, dict[int, Empties]] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)

    @property
    def tiles(self) -> int:
        """The number of stored tiles."""
        return sum(len(stored_zoom.codes) for zooms in self.stored_zooms.values() for stored_zoom in zooms.values())

    @property
    def stale(self) -> int:
        """The number of tiles to be re-rendered or removed."""
        return sum(
            int(stored_zoom.stale.sum()) for zooms in self.stored_zooms.values() for stored_zoom in zooms.values()
        )

    @property
    def differing(self) -> int | None:
        """The number of tiles that may differ from earlier revisions; None if these could not be compared."""
        return self.stale if self.history and self.history.compared else None

    def few_changed(self) -> TileSets | None:
        """The tiles that may differ from earlier revisions, of all scales, stored or not, with tiles to be removed.

        None if they are more than CHANGED_SHARE of the stored ones, unknown, or of one revision only.
        """
        history, layer = self.history, self.stored_filter.layer
        if history is None or not (history.mixed and self.stored_filter.everything):
            return None
        own = {z: TileSet.ranges(z, layer.ranges(z)) for z in range(layer.minzoom, layer.maxzoom + 1)}
        changed = {z: _either(history.changed(z, 1), history.changed(z, 2), area) for z, area in own.items()}
        number = 0
        for z, stored_zoom in ((z, each) for zooms in self.stored_zooms.values() for z, each in zooms.items()):
            gone = TileSet.of(z, stored_zoom.codes[stored_zoom.stale])
            changed[z] = changed.get(z, TileSet.nothing(z)) | gone
            number += int(changed[z].holds(stored_zoom.codes).sum())
        return TileSets(changed) if number <= CHANGED_SHARE * self.tiles else None

    @classmethod
    def take(
        cls, tiles: Store, stored_filter: StoredFilter, history: Differences | None, progress: Callable[[int], object]
    ) -> StoredTiles:
        """List the stored tiles of `stored_filter`; all are to be re-rendered without `history`, else suspect ones.

        Memory takes ten bytes per tile. `progress` gets the number of listed tiles.

        Raises:
            StoreError: an object could not be listed.
        """
        stored_tiles = cls(stored_filter, {}, history)
        suspect = history.suspect if history else _all
        groups: dict[tuple[TileVariant, int], list[tuple[Numbers, Flags]]] = defaultdict(list)
        for batch in stored(tiles, stored_filter, stored_tiles.cost):
            progress(len(batch))
            for variant, each in _by_variant(batch).items():
                stale = np.array([suspect(one.name, one.modified) for one in each], bool)
                groups[variant, each[0].name.tile.z].append((interleaved(*columns_rows(each)), stale))
        for variant, z in sorted(groups, key=lambda group: (group[0].scale, group[0].format, group[1])):
            codes, stale = (np.concatenate(parts) for parts in zip(*groups[variant, z], strict=True))
            order = np.argsort(codes)
            own = covered(stored_filter.layer, z, codes[order]) & stored_filter.layer.takes(variant.format)
            stored_zoom = StoredZoom(codes[order], stale[order], own)
            stored_tiles.stored_zooms.setdefault(variant, {})[z] = stored_zoom
        return stored_tiles

    def recall(self, stores: Stores, revisions: Collection[str]) -> None:
        """Find the missing tiles that were empty in one of `revisions`.

        Raises:
            StoreError: the ledger could not be read.
        """
        if self.stored_filter.before is None:
            self.empties = empties(self.stored_filter.layer, stores, revisions, self._gaps)

    @property
    def all_stale(self) -> StoredTiles:
        """The same tiles, all of them to be re-rendered."""
        zooms = {
            variant: {z: replace(each, stale=np.ones(len(each.codes), bool)) for z, each in stored_zooms.items()}
            for variant, stored_zooms in self.stored_zooms.items()
        }
        return replace(self, stored_zooms=zooms)

    @property
    def left(self) -> int:
        """The number of tiles that were empty and not rendered since."""
        return sum(len(each.left) for zooms in self.empties.values() for each in zooms.values())

    def selections(self) -> Iterator[tuple[TileVariant, Selection]]:
        """The tiles to be re-rendered, by variant: stale tiles, and tiles that were empty before.

        If at least STORED_SHARE of a zoom is stored or was empty, of its tiles now and of those before, also its
        missing tiles that may differ from earlier revisions or that one did not have, so that the zoom stays as
        complete as before where the layer has grown. If the differences are unknown, all its selected tiles. If tiles
        were selected one by one or by age, only those.
        """
        for variant in {**self.stored_zooms, **self.empties}:
            whole, single = self._divided(variant)
            if whole:
                yield variant, self._selected(*whole)
            if single:
                yield variant, Selection(tuple(single), (), TileSets(single))

    def grown(self, before: Layer) -> Iterator[tuple[TileVariant, tuple[int, ...]]]:
        """Zooms with new tiles that are not rendered whole, although enough of the revision `before` was stored.

        A new zoom counts if enough of the nearest one was stored.
        """
        for variant, stored_zooms in self.stored_zooms.items():
            if not self.stored_filter.layer.takes(variant.format):
                continue
            whole, _ = self._divided(variant)
            known = (z for z in stored_zooms if self._grows(variant, z) and self._changed(variant, z) is not None)
            completed = {*whole, *known}
            layer = self.stored_filter.layer
            zooms = (z for z in range(layer.minzoom, layer.maxzoom + 1) if z not in completed)
            outgrown = tuple(z for z in zooms if self._outgrown(before, variant, z))
            if outgrown:
                yield variant, outgrown

    def _outgrown(self, before: Layer, variant: TileVariant, z: int) -> bool:
        near = min(max(z, before.minzoom), before.maxzoom)
        old, stored_zoom = planned(before, near), self.stored_zooms[variant].get(near, BARE)
        finished = int(old.holds(stored_zoom.codes).sum()) + len(self._empties(variant, near).known)
        complete = len(stored_zoom.codes) > 0 and finished >= STORED_SHARE * len(old)
        return complete and len(planned(self.stored_filter.layer, z) - planned(before, z)) > 0

    def _divided(self, variant: TileVariant) -> tuple[list[int], dict[int, TileSet]]:
        """The zooms to be rendered whole, and single tiles of other zooms."""
        whole, single = [], {}
        for z in sorted({*self.stored_zooms.get(variant, ()), *self.empties.get(variant, ())}):
            stored_zoom = self.stored_zooms.get(variant, {}).get(z, BARE)
            work = TileSet.of(z, stored_zoom.codes[stored_zoom.stale & stored_zoom.own])
            work |= self._empties(variant, z).left
            grows = self._grows(variant, z)
            changed = self._changed(variant, z) if grows else None
            if changed is not None:
                work |= (changed | self._new(z)) & self._gaps(variant, z)
            if len(work) and grows and changed is None:
                whole.append(z)
            elif len(work):
                single[z] = work
        return whole, single

    def _grows(self, variant: TileVariant, z: int) -> bool:
        """Whether enough of a zoom is stored or empty to complete it where the layer has grown."""
        if self.stored_filter.named is not None or self.stored_filter.before is not None:
            return False
        stored_zoom, empty = self.stored_zooms.get(variant, {}).get(z, BARE), len(self._empties(variant, z).known)
        now = planned(self.least, z, self._selected(z)) if self.least else self._planned(z)
        if stored_zoom.own.sum() + empty < STORED_SHARE * len(now):
            return False
        before = self._common(z)
        return before is None or int(before.holds(stored_zoom.codes).sum()) + empty >= STORED_SHARE * len(before)

    def _common(self, z: int) -> TileSet | None:
        """The selected tiles of a zoom that all earlier revisions have; None without these."""
        common = self.history.common(z) if self.history else None
        return common if common is None or self.stored_filter.whole else common & self.stored_filter.at(z)

    def _new(self, z: int) -> TileSet:
        """The selected tiles of a zoom that an earlier revision does not have."""
        common = self._common(z)
        return TileSet.nothing(z) if common is None else self._planned(z) - common

    def _changed(self, variant: TileVariant, z: int) -> TileSet | None:
        """The tiles of a zoom that may differ from earlier revisions; None for all."""
        return self.history.changed(z, variant.scale) if self.history else None

    def _empties(self, variant: TileVariant, z: int) -> Empties:
        return self.empties.get(variant, {}).get(z) or Empties.nothing(z)

    def _gaps(self, variant: TileVariant, z: int) -> TileSet:
        """The selected tiles of a zoom that are not stored."""
        if not self.stored_filter.layer.takes(variant.format) or (
            self.stored_filter.zooms is not None and z not in self.stored_filter.zooms
        ):
            return TileSet.nothing(z)
        stored_zoom = self.stored_zooms.get(variant, {}).get(z, BARE)
        return self._planned(z) - TileSet.of(z, stored_zoom.codes)

    @property
    def rendered(self) -> int:
        """The number of tiles to be rendered, including tiles not yet stored."""
        counts = (count(self.stored_filter.layer, selection) for _, selection in self.selections())
        return sum(zoom.tiles for zooms in counts for zoom in zooms.values())

    def plans(self, stores: Stores) -> Iterator[Plan]:
        """Jobs to re-render stale tiles; each is recorded when yielded."""
        for variant, selection in self.selections():
            yield prepare(self.stored_filter.layer, selection, variant, force=True, stores=stores)

    def uncovered(self) -> Iterator[str]:
        """The keys of stale tiles outside the layer's current range."""
        for variant, stored_zooms in self.stored_zooms.items():
            for z, stored_zoom in stored_zooms.items():
                rest = stored_zoom.codes[stored_zoom.stale & ~stored_zoom.own]
                for x, y in zip(*(axis.tolist() for axis in places(rest)), strict=True):
                    yield tile_key(
                        TileName(self.stored_filter.layer.id, Tile(x=x, y=y, z=z), variant.scale, variant.format)
                    )

    def _selected(self, *zooms: int) -> Selection:
        """All selected tiles of zooms, stored or not."""
        tiles = None if self.stored_filter.tiles is None else TileSets({z: self.stored_filter.at(z) for z in zooms})
        return Selection(zooms, self.stored_filter.boxes, tiles)

    def _planned(self, z: int) -> TileSet:
        """All selected tiles of the layer at a zoom, stored or not."""
        return planned(self.stored_filter.layer, z, self._selected(z))


def _either(one: TileSet | None, other: TileSet | None, area: TileSet) -> TileSet:
    """The tiles of `area` in either set; None stands for all tiles."""
    return area if one is None or other is None else (one | other) & area


def _all(_name: TileName, _modified: datetime) -> bool:
    """Re-render every tile."""
    return True


def _by_variant(batch: list[StoredTile]) -> dict[TileVariant, list[StoredTile]]:
    groups: dict[TileVariant, list[StoredTile]] = defaultdict(list)
    for each in batch:
        groups[TileVariant(each.name.scale, each.name.format)].append(each)
    return groups
