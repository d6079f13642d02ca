"""What changes while somebody looks: the layers, and how far the jobs are."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from seeder.jobs.ledger import jobs, layer_of, load_job
from seeder.jobs.status import FINAL, DepthOf, Progress, progress, utcnow
from tiler import timing
from tiler.errors import MessageError, MissingObject
from tiler.layers.catalog import Layers, list_layers
from tiler.storage.store import Store

LISTING_RATIO = 10  # of its time that looking may take: a job of a million blocks is a thousand requests
SHOWN = 5  # jobs of a layer that are told of, the newest
STOPPED_TTL_SECONDS = 30.0  # seconds after which a job that stopped is looked at again: somebody may have resumed it

Snapshot = dict[str, list[dict[str, Any]]]


@dataclass(slots=True)
class Feed:
    """The layers and their newest jobs, looked at for all who ask at once, and not more often than is cheap."""

    sources: Store
    depth_of: DepthOf
    _layers: Layers = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _until: float = 0.0  # when the last look is too old
    _last: Snapshot = field(default_factory=dict)
    _ended: dict[str, tuple[float, Progress]] = field(default_factory=dict)  # when a job was last looked at

    def __post_init__(self) -> None:
        self._layers = Layers(self.sources, timing.POLL_SECONDS / 2)

    def snapshot(self, layer: str | None = None) -> Snapshot:
        """`layers` and `jobs`, the newest first, of all layers or of one; see `docs/how-it-works.md`.

        Raises:
            StoreError: the store does not answer.
        """
        with self._lock:
            start = time.monotonic()
            if start >= self._until:
                self._last = self._looked()
                now = time.monotonic()
                self._until = now + max(timing.POLL_SECONDS, LISTING_RATIO * (now - start))
            seen = self._last
        return {**seen, "jobs": [job for job in seen["jobs"] if layer in (None, job["layer"])]}

    def _looked(self) -> Snapshot:
        found = ((name, self._layers.get(name)) for name in list_layers(self.sources))
        layers = [{"layer": name, "revision": layer.revision} for name, layer in found if layer]
        counts: dict[str, int] = {}
        told = []
        for name in reversed(jobs(self.sources)):
            owner = layer_of(name)
            counts[owner] = counts.get(owner, 0) + 1
            if counts[owner] <= SHOWN and (seen := self._progress(name)):
                told.append(seen.to_json())
        return {"layers": layers, "jobs": told}

    def _progress(self, name: str) -> Progress | None:
        """How far a job is, None where it is not on record."""
        batch, before = self._ended.get(name, (0.0, None))
        if before and (before.state == "done" or time.monotonic() - batch < STOPPED_TTL_SECONDS):
            return before
        try:
            job = load_job(self.sources, name, listed=False)
            seen = progress(job, self.sources, self._layers, self.depth_of, utcnow())
        except (MissingObject, MessageError):  # it was removed meanwhile, or another version wrote it
            return None
        if seen.state in FINAL:
            self._ended[name] = (time.monotonic(), seen)
        else:
            self._ended.pop(name, None)
        return seen
