"""Bake jobs without pixels: planned places, receipts and runs, for tests of the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from seeder.jobs.bake_ledger import BakeJob, new_id, put_bake, put_receipt
from tiler.layers.pyramid import Place
from tiler.storage.store import Store, open_store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TIERS = ([(0, 0), (1, 0), (9, 3)], [(0, 0), (1, 0)], [(0, 0)])


def memory() -> Store:
    """An empty store in memory."""
    return open_store(f"memory://{uuid4().hex}")


def bake_job(layer: str = "relief", digest: str = "9f2c81aa", now: datetime = NOON, **fields: Any) -> BakeJob:
    """A bake job of six parts."""
    plan = {"tiers": [list(map(list, places)) for places in TIERS], "current": "", "survey": {"base": 10}}
    defaults: dict[str, Any] = {"revision": "ab12cd34", "plan": plan, "url": "", "most": 0.05}
    return BakeJob(new_id(layer, digest, now), layer, **{**defaults, **fields})


def put(sources: Store, job: BakeJob) -> BakeJob:
    """Record a job."""
    put_bake(sources, job, b"[]")
    return job


def bake_all(sources: Store, job: BakeJob, places: Iterable[Place] | None = None, name: str = "") -> list[Place]:
    """Put the receipts of parts, by default of all; `name` is that of each part, empty for none."""
    wanted = sorted(place for tier in job.tiers for place in tier) if places is None else list(places)
    for place in wanted:
        put_receipt(sources, job.id, place, {"name": name and f"{name}-{place.tier}{place.column}{place.row}"})
    return wanted
