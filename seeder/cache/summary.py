"""The stored tiles of a layer or a box in numbers: by zoom and state, their bytes, the newest."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from threading import Lock
from typing import Any

from seeder.cache.audit import Audit
from seeder.cache.coverage import AUDIT_TTL_SECONDS, Audits, coverage
from seeder.defaults import CORES
from seeder.jobs.forecast import layer_tile_seconds
from seeder.select.selection import Selection
from tiler.layers.catalog import Layer
from tiler.layers.render import TileVariant

MAX_BLOCKS = 500_000  # blocks of a summary at most, for the sake of waiting time
SHARE = 10  # a summary is kept for as many times the seconds that it took


@dataclass(frozen=True, slots=True)
class ZoomSummary:
    """The numbers of tiles of a zoom by state, as `seeder.cache.coverage.Tiles`; `bytes` are those stored."""

    z: int
    planned: int = 0
    stored: int = 0
    empty: int = 0
    missing: int = 0
    failed: int = 0
    stale: int = 0
    bytes: int = 0

    def to_json(self) -> dict[str, int]:
        """The JSON form."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Summary:
    """A layer's tiles at one scale. `counted` and `newest`, a tile's last write, are in seconds since 1970."""

    layer: str
    revision: str
    counted: float
    newest: float | None
    zooms: tuple[ZoomSummary, ...]

    @property
    def tiles(self) -> int:
        """The number of stored tiles, current or stale."""
        return sum(zoom.stored + zoom.stale for zoom in self.zooms)

    @property
    def bytes(self) -> int:
        """The bytes of stored tiles."""
        return sum(zoom.bytes for zoom in self.zooms)

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "layer": self.layer,
            "revision": self.revision,
            "counted": self.counted,
            "tiles": self.tiles,
            "bytes": self.bytes,
            "newest": self.newest,
            "zooms": [zoom.to_json() for zoom in self.zooms],
        }


def summarize(audit: Audit) -> Summary:
    """The summary of an audit's selection. Memory holds a few columns of blocks.

    Raises:
        BadOption: there are more than `MAX_BLOCKS` blocks.
        ZoomOutside: the layer lacks one of the zooms.
        StoreError: an object could not be listed or read.
    """
    layer = audit.layer
    numbers = {z: [0] * 7 for z in audit.selection.zooms}
    newest = 0.0
    for covered in coverage(audit, MAX_BLOCKS):
        row, more = numbers[covered.block.z], (*covered.tiles, covered.bytes)
        numbers[covered.block.z] = [have + new for have, new in zip(row, more, strict=True)]
        newest = max(newest, covered.newest)
    zooms = tuple(ZoomSummary(z, *row) for z, row in sorted(numbers.items()))
    return Summary(layer.id, layer.revision, time.time(), newest or None, zooms)


@dataclass(frozen=True, slots=True)
class BoxSummary:
    """The tiles of some zooms, whole or in a box, and an estimate of the seconds to render the missing ones here."""

    zooms: tuple[ZoomSummary, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        names = ("planned", "stored", "empty", "missing", "failed", "stale", "bytes")
        totals = {name: sum(getattr(zoom, name) for zoom in self.zooms) for name in names}
        return {"zooms": [zoom.to_json() for zoom in self.zooms], **totals, "seconds": round(self.seconds, 3)}


def box_summary(audit: Audit) -> BoxSummary:
    """The summary of an audit's selection; see `summarize`."""
    zooms = summarize(audit).zooms
    spent = (zoom.missing * layer_tile_seconds(audit.layer, audit.variant, zoom.z) for zoom in zooms)
    return BoxSummary(zooms, sum(spent) / CORES)


@dataclass(slots=True)
class Summaries:
    """A cache of summaries of whole layers; each is kept for some seconds, and longer if it took long."""

    audits: Audits
    _kept: dict[tuple[str, str, TileVariant], tuple[float, Summary]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def of(self, layer: Layer, variant: TileVariant) -> Summary:
        """The summary of all zooms of a layer; only one is made at a time. See `summarize`."""
        name = (layer.id, layer.revision, variant)
        with self._lock:
            until, summary = self._kept.get(name, (0.0, None))
            began = time.monotonic()
            if summary is None or began >= until:
                self._kept = {each: known for each, known in self._kept.items() if began < known[0]}
                zooms = tuple(range(layer.minzoom, layer.maxzoom + 1))
                summary = summarize(self.audits.of(layer, Selection(zooms), variant))
                ended = time.monotonic()
                self._kept[name] = ended + max(AUDIT_TTL_SECONDS, SHARE * (ended - began)), summary
            return summary
