"""Progress and state of a job, from a listing of its receipts: the same from any machine."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from seeder.jobs.block_set import BlockSet
from seeder.jobs.ledger import Run, Stop, begun, load_plan, load_run, stopped
from seeder.jobs.messages import Job, block_named
from seeder.jobs.receipts import Kind, Receipts
from seeder.jobs.segment import EPOCH
from seeder.jobs.stuck import is_stuck
from seeder.select.blocks import Count
from tiler import timing
from tiler.errors import CatalogError, MissingObject, NewerMetadata, TilerError
from tiler.grid import Block
from tiler.layers.catalog import superseding
from tiler.layers.history import publications
from tiler.layers.layer_cache import Layers
from tiler.storage.concurrent import overlap
from tiler.storage.store import PAGE, Store

if TYPE_CHECKING:
    from seeder.aws.queue import Depth  # imports boto3, which takes 0.3 s

State = Literal["planning", "running", "done", "failed", "cancelled", "superseded", "stalled"]
FINAL: tuple[State, ...] = (
    "done",
    "failed",
    "cancelled",
    "superseded",
    "stalled",
)  # nothing more happens without a command

STEP_SECONDS = 2.0  # resolution of the times at which receipts are counted
RATE_SECONDS = 60.0  # the rate is an average over this time

DepthOf = Callable[[str], "Depth | None"]  # the depth of the queue at a URL; None if unknown


@dataclass(frozen=True, slots=True)
class ZoomProgress:
    """Tiles and blocks of a zoom, and its numbers of done blocks and of failed blocks not done since."""

    tiles: int
    blocks: int
    done: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """A job's progress. `rate` is in tiles per second, `left` in seconds, None if unknown."""

    job: str
    layer: str
    revision: str
    state: State
    why: str
    zooms: dict[int, ZoomProgress]
    begun: datetime
    last: datetime | None  # of receipts
    rate: float
    queue: str
    depth: Depth | None

    @property
    def tiles(self) -> int:
        """The number of planned tiles."""
        return sum(zoom.tiles for zoom in self.zooms.values())

    @property
    def done(self) -> int:
        """The approximate number of finished tiles: each block counts as the mean of its zoom."""
        return round(sum(zoom.tiles * zoom.done / zoom.blocks for zoom in self.zooms.values() if zoom.blocks))

    @property
    def percent(self) -> float:
        """Percentage of finished tiles; 100 only if no block is left."""
        whole = sum(zoom.blocks - zoom.done for zoom in self.zooms.values()) == 0
        return 100.0 if self.zooms and whole else min(99.9, 100 * self.done / max(1, self.tiles))

    @property
    def left(self) -> float | None:
        """Seconds until the job is done, at the current rate."""
        failed = sum(zoom.tiles * zoom.failed / zoom.blocks for zoom in self.zooms.values() if zoom.blocks)
        return (self.tiles - self.done - failed) / self.rate if self.rate and self.state == "running" else None

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "job": self.job,
            "layer": self.layer,
            "revision": self.revision,
            "state": self.state,
            "why": self.why,
            "tiles": self.tiles,
            "done": self.done,
            "failed": sum(zoom.failed for zoom in self.zooms.values()),  # blocks
            "percent": round(self.percent, 1),
            "rate": round(self.rate, 1),
            "left": None if self.left is None else round(self.left),
            "begun": self.begun.isoformat(),
            "last": self.last and self.last.isoformat(),
            "queue": self.queue,
            "depth": None if self.depth is None else asdict(self.depth),
            "by_zoom": {str(z): asdict(zoom) for z, zoom in self.zooms.items()},
        }


def progress(job: Job, sources: Store, layers: Layers, depth_of: DepthOf, now: datetime) -> Progress:
    """The progress of `job` at `now` (UTC). `depth_of` is called only if the state depends on it.

    Raises:
        MessageError: the ledger was not written by this version.
        StoreError: the ledger could not be read.
    """
    plan, run = load_plan(sources, job.id) or {}, load_run(sources, job.id)
    failed = _receipts(sources, job.id, "failed", plan, frozenset())
    done = _receipts(sources, job.id, "done", plan, frozenset(failed.names))
    zooms = {
        z: ZoomProgress(count.tiles, count.blocks, done.blocks[z], failed.blocks[z] - done.again[z])
        for z, count in plan.items()
    }
    layer = layers.get(job.spec.layer)
    stale = superseding(layer, job.spec.revision)
    mixed = bool(run and run.stale and layer) and _mixed(sources, job)
    last = max((each.last for each in (done, failed) if each.last), default=None)
    facts = _Facts(job, zooms, run, stopped(sources, job.id), stale, last, begun(job.id), now, mixed, layer is None)
    state, why, depth = _state(facts, depth_of)
    return Progress(
        job=job.id,
        layer=job.spec.layer,
        revision=job.spec.revision,
        state=state,
        why=why,
        zooms=zooms,
        begun=begun(job.id),
        last=last,
        rate=done.rate(plan, run.begun if run else begun(job.id), recent=state in ("running", "planning")),
        queue=run.queue if run else "",
        depth=depth,
    )


@dataclass(frozen=True, slots=True)
class _Facts:
    """The facts behind a job's state."""

    job: Job
    zooms: dict[int, ZoomProgress]
    run: Run | None
    stop: Stop | None
    stale: str  # the layer's current revision, or its absence, if the job's is superseded
    last: datetime | None
    begun: datetime
    now: datetime
    mixed: bool = False  # whether tiles of another revision, skipped by the job, may still be stored
    removed: bool = False  # whether the layer was removed

    @property
    def left(self) -> int:
        """The number of blocks that are not done."""
        return sum(zoom.blocks - zoom.done for zoom in self.zooms.values())

    @property
    def failed(self) -> int:
        """The number of failed blocks."""
        return sum(zoom.failed for zoom in self.zooms.values())

    @property
    def quiet(self) -> float:
        """Seconds since the last sign of progress; times more than STUCK_SECONDS in the future are ignored."""
        signs = (self.begun, self.last, self.run.begun if self.run else None)
        ages = [(self.now - each).total_seconds() for each in signs if each]
        return max(0.0, min((each for each in ages if each > -timing.STUCK_SECONDS), default=0.0))


def _state(facts: _Facts, depth_of: DepthOf) -> tuple[State, str, Depth | None]:
    """The state, its reason, and the depth of the queue if it was read."""
    if facts.zooms and not facts.left:
        return ("failed", _stale(facts), None) if facts.mixed and not facts.stale else ("done", "", None)
    if facts.stale:
        why = "the layer was removed" if facts.removed else f"the layer is now at revision {facts.stale}"
        return "superseded", why, None
    if facts.stop:
        return "cancelled" if facts.stop.asked else "failed", facts.stop.why, None
    if facts.zooms and facts.failed == facts.left:
        return "failed", f"{facts.failed:,} blocks failed", None
    queue = facts.run.queue if facts.run else ""
    depth = depth_of(queue) if queue else None
    why = _stalled(facts, depth)
    if why:
        return "stalled", why, depth
    waits = not facts.zooms or facts.run is None or bool(queue and not facts.run.sent)
    return "planning" if waits else "running", "", depth


def _stale(facts: _Facts) -> str:
    """The result of the check at the end of the job, as a reason."""
    tiles = facts.run.stale if facts.run else 0
    count = f"{tiles:,} tile{' is' if tiles == 1 else 's are'}"
    return f"{count} stale or may be: run `seeder refresh {facts.job.spec.layer}` to re-render them"


def _mixed(sources: Store, job: Job) -> bool:
    """Whether tiles of another revision than the job's may be stored."""
    layer, revision = job.spec.layer, job.spec.revision
    try:
        known = publications(sources, layer, revision, lambda: "")
    except (CatalogError, MissingObject, NewerMetadata):
        return True
    return any(each.revision != revision for each in known)


def _stalled(facts: _Facts, depth: Depth | None) -> str:
    """The reason why no further receipt will come, or nothing."""
    run = facts.run
    if run and run.ended:
        return run.why or "the run ended before all blocks were done"
    if run and run.abandoned:
        return f"its process ended: run `seeder resume {facts.job.id}` to continue"
    silence = f"no receipt for {_span(facts.quiet)}"
    queued = bool(run and run.queue)
    sent = bool(run and queued and run.sent)
    if not is_stuck(facts.quiet, depth, sent=sent):
        return ""
    if queued and not sent:
        return f"{silence}, and only some messages were sent"
    if not queued or depth is None or depth:
        return silence
    dead = f"; {depth.dead:,} messages are dead letters" if depth.dead else ""
    return f"{silence}, and the queue is empty{dead}"


def _span(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


@dataclass(slots=True)
class _Receipts:
    """Receipts counted by zoom and by time of writing, and the names of failed blocks."""

    blocks: Counter[int] = field(default_factory=Counter)
    again: Counter[int] = field(default_factory=Counter)  # of these, receipts of blocks in a given set
    steps: Counter[tuple[int, int]] = field(default_factory=Counter)  # by time step and zoom
    names: list[str] = field(default_factory=list)
    last: datetime | None = None

    def add(self, other: _Receipts) -> None:
        """Add the counts of `other`."""
        self.blocks += other.blocks
        self.again += other.again
        self.steps += other.steps
        self.names += other.names
        self.last = max((last for last in (self.last, other.last) if last), default=None)

    def rate(self, plan: dict[int, Count], since: datetime, *, recent: bool) -> float:
        """Tiles per second since `since`, or, if `recent`, over the last minute with receipts."""
        if self.last is None:
            return 0.0
        end = self.last.timestamp()
        start = max(since.timestamp(), end - RATE_SECONDS) if recent else since.timestamp()
        each = {z: count.tiles / count.blocks for z, count in plan.items() if count.blocks}
        tiles = sum(n * each.get(z, 0) for (step, z), n in self.steps.items() if (step + 1) * STEP_SECONDS > start)
        return tiles / max(end - start, STEP_SECONDS)


def _receipts(sources: Store, job: str, kind: Kind, plan: dict[int, Count], known: frozenset[str]) -> _Receipts:
    """Count the receipts of one kind, and those among `known`, each block once.

    They are listed again if some were compacted meanwhile.
    """
    receipts, total = Receipts(sources, job, kind), _Receipts()
    for attempt in receipts.attempts():
        with attempt:
            segments = receipts.segments
            total, repeated = _listed(sources, receipts, plan, known)
            _add_compacted(total, receipts, known, repeated)
            receipts.confirm(segments)
    return total


def _listed(
    sources: Store, receipts: Receipts, plan: dict[int, Count], known: frozenset[str]
) -> tuple[_Receipts, list[tuple[Block, datetime]]]:
    """The receipts in objects of their own, and of these, apart, those in segments too.

    Long listings are made in parallel parts.
    """
    root, compacted = receipts.root, receipts.compacted
    cuts = [root + cut for cut in _cuts(plan, len(compacted))] if sources.ordered else []
    repeated: list[tuple[Block, datetime]] = []

    def count_part(span: tuple[str, str]) -> _Receipts:
        part = _Receipts()
        for entry in sources.list(root, after=span[0], before=span[1]):
            name = entry.key[len(root) :]
            part.last = max(part.last or entry.modified, entry.modified)
            if compacted and (block := block_named(name)) in compacted:
                repeated.append((block, entry.modified))
                continue
            z = int(name.partition("-")[0])
            part.blocks[z] += 1
            part.again[z] += name in known
            part.steps[int(entry.modified.timestamp() // STEP_SECONDS), z] += 1
            if receipts.kind == "failed":
                part.names.append(name)
        return part

    total = _Receipts()
    for part in overlap(count_part, pairwise(["", *sorted(cuts), ""])):
        total.add(part)
    return total, repeated


def _add_compacted(
    total: _Receipts, receipts: Receipts, known: frozenset[str], repeated: list[tuple[Block, datetime]]
) -> None:
    """Add the receipts in segments; of several receipts of a block, only the newest counts."""
    counted = BlockSet()
    times = dict(repeated)
    for segment in receipts.segments:
        total.last = max(total.last or segment.last, segment.last)
        for second, z, number in segment.seconds.tolist():
            total.steps[int(second // STEP_SECONDS), z] += number
        for block in segment.add_blocks(counted):
            times.setdefault(block, EPOCH)
    total.blocks += counted.by_zoom()
    for block, modified in times.items():
        rows = [row_time for _, row_time in receipts.compacted_rows(block)]
        for row_time in rows:
            total.steps[int(row_time.timestamp() // STEP_SECONDS), block.z] -= 1
        total.steps[int(max([*rows, modified]).timestamp() // STEP_SECONDS), block.z] += 1
    for name in known:
        if (block := block_named(name)) in counted:
            total.again[block.z] += 1
    if receipts.kind == "failed":
        total.names += map(str, counted)


def _cuts(plan: dict[int, Count], compacted: int) -> Iterator[str]:
    """Prefixes that divide a listing of blocks: each first digit of the column, for zooms of several pages."""
    if Count.total(plan).blocks - compacted <= 2 * PAGE:
        return iter(())
    return (f"{z}-{digit}" for z, count in plan.items() if count.blocks > 2 * PAGE for digit in string.digits)


def queue_depth(url: str, region: str) -> Depth | None:
    """The depth of the queue at `url`, or None if it cannot be read."""
    from seeder.aws.queue import QueueClient  # noqa: PLC0415 - boto3 takes 0.3 s to import

    try:
        return QueueClient.open(url, region).depth()
    except TilerError:
        return None


def utcnow() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)
