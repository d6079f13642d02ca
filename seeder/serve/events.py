"""Live data for open pages: layers and the progress of jobs."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from seeder.jobs.ledger import jobs, layer_of, load_job
from seeder.jobs.status import FINAL, DepthOf, Progress, progress, utcnow
from tiler import timing
from tiler.errors import MessageError, MissingObject
from tiler.layers.catalog import list_layers
from tiler.layers.layer_cache import Layers
from tiler.storage.store import Store

LISTING_RATIO = 10  # of pause to listing time: a job of a million blocks takes a thousand requests
SHOWN = 5  # newest jobs of each layer
STOPPED_TTL_SECONDS = 30.0  # a stopped job is read again after this time: it may have been resumed

Snapshot = dict[str, list[dict[str, Any]]]


@dataclass(slots=True)
class Feed:
    """The layers and their newest jobs, read once for all listeners and at a limited rate."""

    sources: Store
    depth_of: DepthOf
    _layers: Layers = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _until: float = 0.0  # time at which the snapshot expires
    _last: Snapshot = field(default_factory=dict)
    _ended: dict[str, tuple[float, Progress]] = field(
        default_factory=dict
    )  # time of the last read, and progress, of ended jobs

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
                self._last = self._read()
                now = time.monotonic()
                self._until = now + max(timing.POLL_SECONDS, LISTING_RATIO * (now - start))
            latest = self._last
        return {**latest, "jobs": [job for job in latest["jobs"] if layer in (None, job["layer"])]}

    def _read(self) -> Snapshot:
        named = ((name, self._layers.get(name)) for name in list_layers(self.sources))
        layers = [{"layer": name, "revision": layer.revision} for name, layer in named if layer]
        counts: dict[str, int] = {}
        newest = []
        for name in reversed(jobs(self.sources)):
            owner = layer_of(name)
            counts[owner] = counts.get(owner, 0) + 1
            if counts[owner] <= SHOWN and (latest := self._progress(name)):
                newest.append(latest.to_json())
        return {"layers": layers, "jobs": newest}

    def _progress(self, name: str) -> Progress | None:
        """The progress of a job, or None if it is not in the ledger."""
        read, before = self._ended.get(name, (0.0, None))
        if before and (before.state == "done" or time.monotonic() - read < STOPPED_TTL_SECONDS):
            return before
        try:
            job = load_job(self.sources, name, listed=False)
            latest = progress(job, self.sources, self._layers, self.depth_of, utcnow())
        except (MissingObject, MessageError):  # removed meanwhile, or written by another version
            return None
        if latest.state in FINAL:
            self._ended[name] = (time.monotonic(), latest)
        else:
            self._ended.pop(name, None)
        return latest
