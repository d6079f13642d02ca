"""Stale tiles: stored, but of another revision than the layer's current one.

Whose a tile is follows from when it was written and from the layer's publications. Around a publication nobody can
tell for as long as the fence: then only a comparison with a fresh render decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from seeder.fence import ROUNDED, fence
from tiler.catalog import Layer, announce, named
from tiler.history import Publication, forget, publications
from tiler.storage import Stores


@dataclass(frozen=True, slots=True)
class History:
    """The publications of which tiles may be stored, the current one last, and how exact times are.

    A revision may put tiles from its publication until `fence` after the next one. The store leaves out up to
    `rounded` of an object's time.
    """

    known: tuple[Publication, ...]
    fence: timedelta
    rounded: timedelta

    @classmethod
    def of(cls, layer: Layer, stores: Stores) -> History:
        """The history of a layer.

        Raises:
            CatalogError, StoreError: it cannot be read.
        """
        known = publications(stores.sources, layer.id, layer.revision, named(layer.id, stores.tiles))
        rounded = timedelta(seconds=0 if stores.tiles.root else ROUNDED)
        return cls(known, fence(stores.tiles), rounded)

    @property
    def current(self) -> str:
        """The layer's current revision."""
        return self.known[-1].revision

    @property
    def mixed(self) -> bool:
        """Whether tiles of another revision than the current one may be stored at all."""
        return any(each.revision != self.current for each in self.known)

    def revisions(self, modified: datetime) -> set[str]:
        """The revisions of which a tile may be that was last written then (UTC)."""
        ends = [*(each.at for each in self.known[1:]), None]
        return {
            each.revision
            for each, end in zip(self.known, ends, strict=True)
            if (each.at is None or modified + self.rounded >= each.at)
            and (end is None or modified < end + self.rounded + self.fence)
        }

    def stale(self, modified: datetime) -> bool:
        """Whether a tile that was last written then (UTC) is surely of another revision than the current one."""
        return self.current not in self.revisions(modified)

    def unsure(self, modified: datetime) -> bool:
        """Whether it may be of the current revision as well as of another one."""
        return len(self.revisions(modified) | {self.current}) > 1 and not self.stale(modified)

    def suspect(self, modified: datetime) -> bool:
        """Whether it is stale, or may be."""
        return self.revisions(modified) != {self.current}


UNMIXED = History((Publication(""),), timedelta(0), timedelta(0))  # all stored tiles are of the current revision


def settle(layer: Layer, stores: Stores) -> None:
    """Have the TileJSON name the current revision: all stored tiles are of it, and no other can be put any more."""
    announce(layer, stores)
    forget(stores.sources, layer.id)
