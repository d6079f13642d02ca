"""How far a job is, from a listing of its receipts: the same from any machine, for whoever renders it."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from seeder.jobs.ledger import Kind, Run, Stop, begun, load_plan, load_run, stopped
from seeder.jobs.messages import Job
from seeder.jobs.stuck import is_stuck
from seeder.select.blocks import Count
from tiler import timing
from tiler.errors import CatalogError, MissingObject, TilerError
from tiler.keys import job_key
from tiler.layers.catalog import Layers, superseding
from tiler.layers.history import publications
from tiler.storage.concurrent import overlap
from tiler.storage.store import PAGE, Store

if TYPE_CHECKING:
    from seeder.aws.queue import Depth  # which imports boto3: a third of a second of every command

State = Literal["planning", "running", "done", "failed", "cancelled", "superseded", "stalled"]
FINAL: tuple[State, ...] = ("done", "failed", "cancelled", "superseded", "stalled")  # nothing more happens by itself

STEP_SECONDS = 2.0  # seconds; receipts are counted by when they were written, so coarsely
RATE_SECONDS = 60.0  # seconds over which the rate is taken

DepthOf = Callable[[str], "Depth | None"]  # of the queue at a URL; None where nobody knows


@dataclass(frozen=True, slots=True)
class ZoomProgress:
    """Tiles and blocks of a zoom, and how many of its blocks are done, or failed and not done since."""

    tiles: int
    blocks: int
    done: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is. `rate` is in tiles a second, `left` in seconds, None where nothing tells."""

    job: str
    layer: str
    revision: str
    state: State
    why: str
    zooms: dict[int, ZoomProgress]
    begun: datetime
    last: datetime | None  # receipt
    rate: float
    queue: str
    depth: Depth | None

    @property
    def tiles(self) -> int:
        """All tiles."""
        return sum(zoom.tiles for zoom in self.zooms.values())

    @property
    def done(self) -> int:
        """Tiles that are done, about: a block that is begun counts as the mean of its zoom."""
        return round(sum(zoom.tiles * zoom.done / zoom.blocks for zoom in self.zooms.values() if zoom.blocks))

    @property
    def percent(self) -> float:
        """Tiles done of all; 100 only if nothing is left."""
        whole = sum(zoom.blocks - zoom.done for zoom in self.zooms.values()) == 0
        return 100.0 if self.zooms and whole else min(99.9, 100 * self.done / max(1, self.tiles))

    @property
    def left(self) -> float | None:
        """Seconds until it is done, at this rate."""
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
    """How far `job` is at `now` (UTC). `depth_of` is asked only where the state hangs on it.

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
    facts = _Facts(job, zooms, run, stopped(sources, job.id), stale, last, begun(job.id), now, mixed)
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
    """What a job's state follows from."""

    job: Job
    zooms: dict[int, ZoomProgress]
    run: Run | None
    stop: Stop | None
    stale: str  # what took the place of the layer's revision, if something did
    last: datetime | None
    begun: datetime
    now: datetime
    mixed: bool = False  # whether tiles of another revision that the job left alone may still be stored

    @property
    def left(self) -> int:
        """Blocks that are not done."""
        return sum(zoom.blocks - zoom.done for zoom in self.zooms.values())

    @property
    def failed(self) -> int:
        """Blocks that failed."""
        return sum(zoom.failed for zoom in self.zooms.values())

    @property
    def quiet(self) -> float:
        """Seconds since the last sign of progress; dates further ahead than STUCK_SECONDS are ignored."""
        heard = (self.begun, self.last, self.run.begun if self.run else None)
        passed = [(self.now - each).total_seconds() for each in heard if each]
        return max(0.0, min((each for each in passed if each > -timing.STUCK_SECONDS), default=0.0))


def _state(facts: _Facts, depth_of: DepthOf) -> tuple[State, str, Depth | None]:
    """The state, why it is so, and the depth of the queue if it was asked."""
    if facts.zooms and not facts.left:
        return ("failed", _stale(facts), None) if facts.mixed and not facts.stale else ("done", "", None)
    if facts.stale:
        return "superseded", f"the layer is at revision {facts.stale} by now", None
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
    """The result of the check at the end of the job."""
    tiles = facts.run.stale if facts.run else 0
    many = f"{tiles:,} tile{' is' if tiles == 1 else 's are'}"
    return f"{many} or may be of another revision: `seeder refresh {facts.job.spec.layer}` renders them again"


def _mixed(sources: Store, job: Job) -> bool:
    """Whether tiles of another revision than the job's may be stored."""
    layer, revision = job.spec.layer, job.spec.revision
    try:
        known = publications(sources, layer, revision, lambda: "")
    except (CatalogError, MissingObject):
        return True
    return any(each.revision != revision for each in known)


def _stalled(facts: _Facts, depth: Depth | None) -> str:
    """Why nothing more will come, or nothing."""
    run = facts.run
    if run and run.ended:
        return run.why or "it ended before all was done"
    if run and run.abandoned:
        return f"the process that ran it ended: `seeder resume {facts.job.id}` goes on"
    silence = f"no receipt for {_span(facts.quiet)}"
    queued = bool(run and run.queue)
    sent = bool(run and queued and run.sent)
    if not is_stuck(facts.quiet, depth, asked=sent):
        return ""
    if queued and not sent:
        return f"{silence}, and not all messages were sent"
    if not queued or depth is None or depth:
        return silence
    dead = f", {depth.dead:,} messages are dead letters" if depth.dead else ""
    return f"{silence}, and the queue is empty{dead}"


def _span(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


@dataclass(slots=True)
class _Receipts:
    """Receipts counted by zoom and by when they were written; the names of the blocks where they are few."""

    blocks: Counter[int]
    again: Counter[int]  # those of blocks that a caller asked about
    steps: Counter[tuple[int, int]]  # by step of time and zoom
    names: list[str]
    last: datetime | None = None

    def add(self, other: _Receipts) -> None:
        """Count the other's too."""
        self.blocks += other.blocks
        self.again += other.again
        self.steps += other.steps
        self.names += other.names
        self.last = max((last for last in (self.last, other.last) if last), default=None)

    def rate(self, plan: dict[int, Count], since: datetime, *, recent: bool) -> float:
        """Tiles a second since then, or of the last minute of them."""
        if self.last is None:
            return 0.0
        end = self.last.timestamp()
        start = max(since.timestamp(), end - RATE_SECONDS) if recent else since.timestamp()
        each = {z: count.tiles / count.blocks for z, count in plan.items() if count.blocks}
        tiles = sum(n * each.get(z, 0) for (step, z), n in self.steps.items() if (step + 1) * STEP_SECONDS > start)
        return tiles / max(end - start, STEP_SECONDS)


def _receipts(sources: Store, job: str, kind: Kind, plan: dict[int, Count], asked: frozenset[str]) -> _Receipts:
    """The receipts of one kind; a long listing is made in parts at the same time."""
    root = job_key(job, kind, "")
    cuts = [root + cut for cut in _cuts(plan)] if sources.ordered else []

    def counted(span: tuple[str, str]) -> _Receipts:
        found = _Receipts(Counter(), Counter(), Counter(), [])
        for entry in sources.list(root, after=span[0], before=span[1]):
            name = entry.key[len(root) :]
            z = int(name.partition("-")[0])
            found.blocks[z] += 1
            found.again[z] += name in asked
            found.steps[int(entry.modified.timestamp() // STEP_SECONDS), z] += 1
            found.last = max(found.last or entry.modified, entry.modified)
            if kind == "failed":
                found.names.append(name)
        return found

    total = _Receipts(Counter(), Counter(), Counter(), [])
    for part in overlap(counted, pairwise(["", *sorted(cuts), ""])):
        total.add(part)
    return total


def _cuts(plan: dict[int, Count]) -> Iterator[str]:
    """Where to divide a listing of blocks: at each first digit of the column, of zooms that fill several pages."""
    return (f"{z}-{digit}" for z, count in plan.items() if count.blocks > 2 * PAGE for digit in string.digits)


def queue_depth(url: str, region: str) -> Depth | None:
    """How much waits in the queue at `url`, None where nobody can tell."""
    from seeder.aws.queue import QueueClient  # noqa: PLC0415 - boto3 takes a third of a second

    try:
        return QueueClient.open(url, region).depth()
    except TilerError:
        return None


def utcnow() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)
