"""Progress and state of a bake job, from a listing of its receipts: the same from any machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from seeder.jobs.bake_ledger import (
    BakeJob,
    End,
    build_of,
    done_parts,
    failed_parts,
    load_end,
    load_renewal,
    read_failures,
)
from seeder.jobs.ledger import Run, Stop, begun, load_run, stopped
from seeder.jobs.status import FINAL
from seeder.jobs.stuck import is_stuck
from tiler.errors import CatalogError, NewerMetadata, UnknownLayer
from tiler.keys import index_key
from tiler.layers.catalog import load_layer
from tiler.layers.pyramid import Place
from tiler.layers.tiers import planned_children
from tiler.storage.store import Store

if TYPE_CHECKING:
    from seeder.aws.queue import Depth  # imports boto3, which takes 0.3 s

BakeState = Literal[
    "planning", "running", "publishing", "renewing", "done", "failed", "cancelled", "superseded", "stalled"
]
ENDED: tuple[BakeState, ...] = FINAL
CHANGED = (  # the error of a part with such a scene: the bake of its plan can only fail
    "it changed since its bake was planned: run the same `seeder ingest` or `seeder refresh` again; "
    "baked parts are used again"
)
RATE_SECONDS = 600.0  # the rate is an average over this time


@dataclass(frozen=True, slots=True)
class TierProgress:
    """The parts of a tier: all, baked, and failed and not baked since."""

    parts: int
    done: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class BakeProgress:
    """A bake job's progress. `rate` is in parts per minute, `left` in seconds, None if unknown."""

    job: str
    layer: str
    revision: str
    state: BakeState
    why: str
    tiers: tuple[TierProgress, ...]
    begun: datetime
    last: datetime | None  # of receipts
    rate: float
    queue: str
    depth: Depth | None
    renewal: tuple[str, ...] = ()  # jobs for tiles after the publication
    first: str = ""  # the job of the first tiles
    changed: bool = False  # whether it failed because scenes changed: no resume can finish it

    @property
    def parts(self) -> int:
        """The number of parts."""
        return sum(tier.parts for tier in self.tiers)

    @property
    def done(self) -> int:
        """The number of baked parts."""
        return sum(tier.done for tier in self.tiers)

    @property
    def failed(self) -> int:
        """The number of failed parts."""
        return sum(tier.failed for tier in self.tiers)

    @property
    def percent(self) -> float:
        """Percentage of baked parts."""
        return 100 * self.done / max(1, self.parts)

    @property
    def left(self) -> float | None:
        """Seconds until all parts are baked, at the current rate."""
        waiting = self.parts - self.done - self.failed
        return 60 * waiting / self.rate if self.rate and self.state == "running" else None

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "job": self.job,
            "kind": "bake",
            "layer": self.layer,
            "revision": self.revision,
            "state": self.state,
            "why": self.why,
            "parts": self.parts,
            "done": self.done,
            "failed": self.failed,
            "percent": round(self.percent, 1),
            "rate": round(self.rate, 1),
            "left": None if self.left is None else round(self.left),
            "begun": self.begun.isoformat(),
            "last": self.last and self.last.isoformat(),
            "queue": self.queue,
            "depth": None if self.depth is None else asdict(self.depth),
            "by_tier": {str(tier): asdict(each) for tier, each in enumerate(self.tiers)},
            "renewal": list(self.renewal),
            "seed": self.first,
        }


def bake_progress(job: BakeJob, sources: Store, depth_of: Callable[[str], Depth | None], now: datetime) -> BakeProgress:
    """The progress of a bake job at `now` (UTC).

    Raises:
        MessageError: the ledger was not written by this version.
        StoreError: the ledger could not be read.
    """
    run, planned = load_run(sources, job.ledger), job.tiers
    baked = {place: entry.modified for place, entry in done_parts(sources, job.id)}
    failed = [place for place in failed_parts(sources, job.id) if place not in baked]
    done, faults = Counter(place.tier for place in baked), Counter(place.tier for place in failed)
    tiers = tuple(TierProgress(len(places), done[tier], faults[tier]) for tier, places in enumerate(planned))
    queue = run.queue if run else ""
    depth = depth_of(queue) if queue else None
    last = max(baked.values(), default=None)
    quiet = (now - max(filter(None, (begun(job.id), last, run.begun if run else None)))).total_seconds()
    renewal = load_renewal(sources, job.id)
    end = load_end(sources, job.id)
    published = sources.version(index_key(job.layer)) != job.plan["current"]
    facts = _Facts(
        run=run,
        stop=stopped(sources, job.ledger),
        end=end,
        renewal=renewal,
        tiers=tiers,
        quiet=quiet,
        depth=depth,
        superseded=published and not end and is_superseded(job, sources),
        build=build_of(sources, job.id),
        blocked=bool(failed) and _is_blocked(job, baked, failed),
    )
    state, why = _state(facts, published=published)
    errors = read_failures(sources, job.id, failed) if state == "failed" else ()
    return BakeProgress(
        job=job.id,
        layer=job.layer,
        revision=job.revision,
        state=state,
        why=why,
        tiers=tiers,
        begun=begun(job.id),
        last=last,
        rate=_rate(baked, run.begun if run else begun(job.id)),
        queue=queue,
        depth=depth,
        renewal=renewal or (),
        first=job.first.job if job.first else "",
        changed=any(error.endswith(CHANGED) for _, error in errors),
    )


def _is_blocked(job: BakeJob, baked: Collection[Place], failed: Collection[Place]) -> bool:
    """Whether each part without a receipt has failed or reads one without a receipt: no message of it is left."""
    base, tiers = int(job.plan["survey"]["base"]), job.tiers
    waiting = (place for places in tiers for place in places - set(failed) - set(baked))
    return not any(all(child in baked for child in planned_children(tiers, place, base)) for place in waiting)


def is_superseded(job: BakeJob, sources: Store) -> bool:
    """Whether the layer changed to another revision than the job's since the job was planned, or was removed.

    Raises:
        StoreError: the layer's metadata cannot be read.
    """
    if sources.version(index_key(job.layer)) == job.plan["current"]:
        return False
    try:
        return load_layer(sources, job.layer).revision != job.revision
    except (CatalogError, NewerMetadata, UnknownLayer):
        return True


@dataclass(frozen=True, slots=True)
class _Facts:
    """The facts behind a bake job's state."""

    run: Run | None
    stop: Stop | None
    end: End | None
    renewal: tuple[str, ...] | None
    tiers: tuple[TierProgress, ...]
    quiet: float  # seconds since the last sign of progress
    depth: Depth | None
    superseded: bool = False  # by another publication, or a removal of the layer
    build: str = ""  # of the workers that bake it
    blocked: bool = False  # whether no part is left that failed ones do not hold up

    @property
    def left(self) -> int:
        """The number of parts without a receipt."""
        return sum(tier.parts - tier.done for tier in self.tiers)

    @property
    def failed(self) -> int:
        """The number of failed parts."""
        return sum(tier.failed for tier in self.tiers)


def _state(facts: _Facts, *, published: bool) -> tuple[BakeState, str]:
    """The state and its reason."""
    if facts.end:
        return facts.end.state, facts.end.why
    if facts.stop:
        return ("cancelled" if facts.stop.asked else "failed"), facts.stop.why
    if facts.superseded:
        return "superseded", "the layer was published meanwhile: run the same command again"
    if facts.run is None:
        return "planning", ""
    if facts.run.queue and not facts.run.sent:
        gone = facts.run.abandoned
        return ("stalled", "its process ended before all messages were sent") if gone else ("planning", "")
    return _running(facts, facts.run, published=published)


def _running(facts: _Facts, run: Run, *, published: bool) -> tuple[BakeState, str]:
    """The state of a job that is baked on a machine, or whose messages were sent, and that has not ended."""
    over = not run.queue and (run.ended or run.abandoned)
    stuck = bool(run.queue) and is_stuck(facts.quiet, facts.depth, sent=True)
    drained = bool(run.queue) and facts.depth is not None and not facts.depth
    if facts.failed and (facts.blocked or over or stuck or drained):
        return "failed", f"{facts.failed:,} of {facts.left:,} parts that are left could not be baked"
    if over:
        return "stalled", "its process ended"
    if stuck and (facts.left or not facts.depth):  # a delayed message waits for the jobs after the publication
        cure = "cancel it and start again to bake it with others"
        waits = f": only workers with {facts.build} bake it; {cure}" if facts.build and facts.left else ""
        return "stalled", "no receipt for a while" + (waits if facts.depth else ", and the queue is empty")
    if published:
        return "renewing", "" if facts.renewal is not None else "it waits for tiles of an earlier revision in flight"
    return ("running" if facts.left else "publishing"), ""


def _rate(baked: dict[Place, datetime], since: datetime) -> float:
    """Parts per minute of the last minutes with receipts."""
    if not baked:
        return 0.0
    end = max(baked.values())
    start = max(since.timestamp(), end.timestamp() - RATE_SECONDS)
    number = sum(each.timestamp() >= start for each in baked.values())
    return 60 * number / max(end.timestamp() - start, 1.0)
