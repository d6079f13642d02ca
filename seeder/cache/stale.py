"""Stale tiles: stored, but of another revision than the layer's current one.

A tile's revision follows from its time of last write and the layer's publications. A tile of another revision is stale
if it may differ between the two (`changes`), otherwise it counts as current. For the length of the fence after a
publication the revision is unsure: then only a comparison with a fresh render decides, if the tile may differ.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial, reduce
from operator import and_
from threading import RLock
from typing import Literal

from seeder.cache.changes import Changes, Load, changed_tiles
from seeder.cache.fence import fence
from seeder.select.selection import planned
from seeder.select.tileset import TileSet
from tiler import timing
from tiler.ingest.existing import kept_revision
from tiler.keys import Scale, TileName, index_key
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.digests import stored_digests
from tiler.layers.history import Publication, forget, publications
from tiler.layers.tilejson import announce, named
from tiler.storage.store import Stores

State = Literal["current", "unsure", "stale"]
NEVER = datetime(9000, 1, 1, tzinfo=UTC)  # a time after all others
SAME = timedelta(milliseconds=1)  # difference between two ways to read the same time from a store


@dataclass(frozen=True, slots=True)
class Earlier:
    """The changes from other revisions to a layer's current one, read when they are asked for."""

    layer: Layer
    stores: Stores
    load: Load = stored_digests
    _known: dict[str, Changes] = field(default_factory=dict, compare=False, repr=False)
    _kept: dict[str, Layer | None] = field(default_factory=dict, compare=False, repr=False)
    _lock: RLock = field(default_factory=RLock, compare=False, repr=False)

    def changes(self, revision: str) -> Changes:
        """The tiles that may differ from those of `revision`; all, if it is not kept."""
        with self._lock:
            if revision not in self._known:
                self._known[revision] = self._changes(revision)
            return self._known[revision]

    def kept(self, revision: str) -> Layer | None:
        """The layer as it was in `revision`, if that is kept."""
        with self._lock:
            if revision not in self._kept:
                self._kept[revision] = kept_revision(self.stores.sources, self.layer.id, revision)
            return self._kept[revision]

    def _changes(self, revision: str) -> Changes:
        old = self.kept(revision)
        return changed_tiles(old, self.layer, self.stores, self.load) if old else Changes(self.layer, None)


@dataclass(frozen=True, slots=True)
class History:
    """The publications with possibly stored tiles, the current one last, and the precision of times.

    A revision may put tiles from its publication until `fence` after the next one. The store may round an object's time
    down by up to `rounded`. Times are useless if `doubted`, as in a copied folder, and for tiles written after `now`.
    From `since` on, by the store's clock, only the current revision puts tiles. Without `earlier`, every tile may
    differ between two revisions.
    """

    known: tuple[Publication, ...]
    fence: timedelta
    rounded: timedelta
    doubted: bool = False
    now: datetime | None = None
    since: datetime | None = None
    earlier: Earlier | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, layer: Layer, stores: Stores, since: datetime | None = None, load: Load = stored_digests) -> History:
        """The history of a layer; `load` gives the digests of a revision's COG.

        Raises:
            CatalogError, StoreError: the history cannot be read.
        """
        known = publications(stores.sources, layer.id, layer.revision, partial(named, layer.id, stores.tiles))
        rounded = timedelta(seconds=0 if stores.tiles.root else timing.S3_ROUNDING_SECONDS)
        now = datetime.now(UTC) if stores.tiles.root else None  # times of S3 are never in the future
        history = cls(known, fence(stores.tiles), rounded, now=now, since=since, earlier=Earlier(layer, stores, load))
        return replace(history, doubted=_doubted(history, layer, stores)) if history.mixed else history

    @property
    def current(self) -> str:
        """The layer's current revision."""
        return self.known[-1].revision

    @property
    def mixed(self) -> bool:
        """Whether tiles of another revision than the current one may be stored."""
        return any(each.revision != self.current for each in self.known)

    def revisions(self, modified: datetime) -> set[str]:
        """The possible revisions of a tile with this time of last write (UTC)."""
        if self.since and modified >= self.since + self.rounded:
            return {self.current}
        if self.doubted or (self.now and modified > self.now):
            return {each.revision for each in self.known}
        return {
            each.revision
            for each, end in zip(self.known, _ends(self.known), strict=True)
            if (each.at is None or modified + self.rounded >= each.at)
            and (end is None or modified < end + self.rounded + self.fence)
        }

    def state(self, name: TileName, modified: datetime) -> State:
        """A tile's state, by the time of its last write (UTC); unsure means current or stale."""
        states = {self._differs(name, revision) for revision in self.revisions(modified)}
        return "unsure" if len(states) > 1 else "stale" if True in states else "current"

    def suspect(self, name: TileName, modified: datetime) -> bool:
        """Whether a tile is stale or unsure."""
        return self.state(name, modified) != "current"

    def _differs(self, name: TileName, revision: str) -> bool:
        """Whether a tile of a revision may differ from the current one's."""
        if revision == self.current:
            return False
        return not self.earlier or self.earlier.changes(revision).has(name.tile, name.scale)

    def changed(self, z: int, scale: Scale) -> TileSet | None:
        """The tiles of a zoom that may differ from those of any other revision with stored tiles; None for all."""
        sets = [self.earlier.changes(each).at(z, scale) if self.earlier else None for each in self.others]
        some = [each for each in sets if each is not None]
        return TileSet.union(z, some) if len(some) == len(sets) else None

    def common(self, z: int) -> TileSet | None:
        """The tiles of a zoom that all other kept revisions with stored tiles have; None without these."""
        kept = [self.earlier.kept(each) for each in self.others] if self.earlier else []
        sets = [planned(each, z) for each in kept if each]
        return reduce(and_, sets) if sets else None

    @property
    def compared(self) -> bool:
        """Whether all other revisions with possibly stored tiles could be compared with the current one."""
        return bool(self.earlier and all(self.earlier.changes(each).known for each in self.others))

    @property
    def others(self) -> list[str]:
        """The other revisions with possibly stored tiles."""
        return sorted({each.revision for each in self.known} - {self.current})

    def followed_by(self, layer: Layer, stores: Stores, load: Load = stored_digests) -> History:
        """The history as soon as `layer`, another revision, is published, before any of its tiles is stored."""
        known = (*self.known, Publication(layer.revision, NEVER))
        return replace(self, known=known, earlier=Earlier(layer, stores, load))


@lru_cache(maxsize=8)
def _ends(known: tuple[Publication, ...]) -> tuple[datetime | None, ...]:
    """For each publication, the date of the next dated one."""
    ends: list[datetime | None] = []
    following = None
    for each in reversed(known):
        ends.append(following)
        following = each.at or following
    return tuple(reversed(ends))


def _doubted(history: History, layer: Layer, stores: Stores) -> bool:
    """Whether the store's times differ from the history's, or are in the future."""
    at = history.known[-1].at
    agrees = at is not None and abs(stores.sources.written(index_key(layer.id)) - at) <= SAME
    ahead = any(each.at and history.now and each.at > history.now for each in history.known)
    return ahead or not agrees


UNMIXED = History((Publication(""),), timedelta(0), timedelta(0))  # all stored tiles are of the current revision


def settle(layer: Layer, stores: Stores, *, keep: bool = False) -> None:
    """Announce the layer's revision in TileJSON, once all stored tiles belong to it; for `keep` see `announce`.

    Do nothing if another revision was published meanwhile.
    """
    if load_layer(stores.sources, layer.id).revision != layer.revision:
        return
    announce(layer, stores, keep=keep)
    forget(stores.sources, layer.id, layer.revision)
