"""Stale tiles: stored, but of another revision than the layer's current one.

A tile's revision follows from its time of last write and the layer's publications. For the length of the fence after a
publication it is unsure: then only a comparison with a fresh render decides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Literal

from seeder.cache.fence import fence
from tiler import timing
from tiler.keys import index_key
from tiler.layers.catalog import Layer, announce, load_layer, named
from tiler.layers.history import Publication, forget, publications
from tiler.storage.store import Stores

State = Literal["current", "unsure", "stale"]
SAME = timedelta(milliseconds=1)  # difference between two ways to read the same time from a store


@dataclass(frozen=True, slots=True)
class History:
    """The publications with possibly stored tiles, the current one last, and the precision of times.

    A revision may put tiles from its publication until `fence` after the next one. The store may round an object's time
    down by up to `rounded`. Times are useless if `doubted`, as in a copied folder, and for tiles written after `now`.
    From `since` on, by the store's clock, only the current revision puts tiles.
    """

    known: tuple[Publication, ...]
    fence: timedelta
    rounded: timedelta
    doubted: bool = False
    now: datetime | None = None
    since: datetime | None = None

    @classmethod
    def of(cls, layer: Layer, stores: Stores, since: datetime | None = None) -> History:
        """The history of a layer.

        Raises:
            CatalogError, StoreError: the history cannot be read.
        """
        known = publications(stores.sources, layer.id, layer.revision, partial(named, layer.id, stores.tiles))
        rounded = timedelta(seconds=0 if stores.tiles.root else timing.S3_ROUNDING_SECONDS)
        now = datetime.now(UTC) if stores.tiles.root else None  # times of S3 are never in the future
        history = cls(known, fence(stores.tiles), rounded, now=now, since=since)
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

    def state(self, modified: datetime) -> State:
        """A tile's state, by the time of its last write (UTC); unsure means current or stale."""
        possible = self.revisions(modified)
        if self.current not in possible:
            return "stale"
        return "unsure" if len(possible) > 1 else "current"

    def suspect(self, modified: datetime) -> bool:
        """Whether a tile is stale or unsure."""
        return self.state(modified) != "current"


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


def settle(layer: Layer, stores: Stores) -> None:
    """Announce the layer's revision in TileJSON, once all stored tiles belong to it.

    Do nothing if another revision was published meanwhile.
    """
    if load_layer(stores.sources, layer.id).revision != layer.revision:
        return
    announce(layer, stores)
    forget(stores.sources, layer.id, layer.revision)
