"""Bake a part of a bake job: check it, bake it, put a receipt, and send what its receipt makes possible."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from seeder.jobs.bake_ledger import (
    BakeJob,
    claim_build,
    claim_message,
    failed_parts,
    has_receipts,
    is_recorded,
    load_bake,
    load_scenes,
    put_failure,
    put_receipt,
    read_receipt,
    read_receipts,
)
from seeder.jobs.bake_messages import BakeMessage
from seeder.jobs.bake_status import CHANGED
from seeder.jobs.ledger import Stop, cancelled, load_run, stop
from seeder.workers.breaker import reason_to_stop
from tiler import keys, timing
from tiler.errors import BadSource, ChangedSource, QueueError, SourceReadError, StoreError, Superseded, TilerError
from tiler.ingest.bake import Bake
from tiler.ingest.bake_plan import BakePlan, OneRaster, narrowed
from tiler.ingest.baked_parts import BakedPart
from tiler.ingest.disk_space import scratch
from tiler.ingest.examine import ExaminedScenes
from tiler.ingest.planned_parts import stored_part, window_of
from tiler.ingest.staging import Staging
from tiler.layers.pyramid import Part, Place
from tiler.layers.tiers import ALONG, parents_of
from tiler.raster.datasets import forget, versions
from tiler.scenes.remote import is_remote
from tiler.storage.store import Store, Stores

Fate = Literal[
    "baked",
    "reused",  # stored by an earlier bake
    "empty",
    "known",  # it had a receipt already
    "failed",
    "dropped",  # the job was stopped or superseded
    "left",  # to workers with the build of GDAL that bakes the job
]
Send = Callable[[Iterable[BakeMessage], int], object]  # takes messages, and the seconds until they can be received

OTHER_BUILD_SECONDS = 30  # until a message that a worker of another build received can be received again
KNOWN = 4  # bake jobs whose plan a worker keeps


class Interrupted(Exception):
    """The worker was told to stop in the middle of a part."""


class OutOfTime(Exception):
    """A part cannot be baked before the process is ended."""


@dataclass(frozen=True, slots=True)
class PartResult:
    """What became of a part: why it was dropped or failed, or the seconds that its bake took."""

    fate: Fate
    why: str = ""
    seconds: float = 0.0


@dataclass(slots=True)
class PlannedBake:
    """A bake job as a worker keeps it between parts."""

    job: BakeJob
    plan: BakePlan
    raster: OneRaster | ExaminedScenes
    build: str  # that bakes all of its parts

    @property
    def gdal(self) -> str:
        """The version of GDAL that bakes its parts."""
        return self.build.split()[1]


@dataclass(slots=True)
class BakeWorker:
    """The state of a worker of bake messages: its stores, the queue, and the plans of jobs.

    A part is baked by `jobs` processes. `left` gives the seconds until this process is ended; `stops` tells whether it
    is to stop as soon as possible.
    """

    stores: Stores
    send: Send
    jobs: int
    staging: Staging = field(default_factory=Staging)
    left: Callable[[], float] = lambda: math.inf
    stops: Callable[[], bool] = lambda: False
    _plans: dict[str, PlannedBake] = field(default_factory=dict)

    @property
    def sources(self) -> Store:
        """The private store."""
        return self.stores.sources

    def planned(self, job: str) -> PlannedBake:
        """The plan of a job.

        Raises:
            MissingObject, MessageError, CatalogError: it cannot be read.
        """
        if job not in self._plans:
            while len(self._plans) >= KNOWN:
                del self._plans[next(iter(self._plans))]
            bake = load_bake(self.sources, job)
            plan = BakePlan.parse(bake.plan, load_scenes(self.sources, job), f"bake job {job}")
            self._plans[job] = PlannedBake(bake, plan, plan.raster(), claim_build(self.sources, job, build()))
        return self._plans[job]

    def bake(self, message: BakeMessage, *, again: bool = False, last: bool = False) -> PartResult:
        """Bake a part and send the parts above it, or the publication, that it makes possible. Harmless to repeat.

        A part that fails raises an error, so that the message returns; its failure is recorded instead after its `last`
        try, if a scene changed, or if one is unreadable `again`: a disk or a network may recover.

        Raises:
            CatalogError, MessageError, MissingObject: the plan cannot be read.
            QueueError: the messages that follow were not sent.
            Interrupted: the worker stops.
            StoreError, TilerError, MemoryError: the part failed, and may be tried again; or the ledger did.
        """
        assert message.place, "a message of this kind has one"
        planned, place = self.planned(message.job), message.place
        try:
            why = self._stale(planned)
            if why:
                return PartResult("dropped", why)
            return self._recorded(planned, message, place, again=again, last=last)
        except Superseded as error:
            return PartResult("dropped", str(error))
        except ChangedSource as error:
            return self._fail(planned, place, str(BadSource(error.source, CHANGED)))
        except OutOfTime:
            return self._fail(planned, place, OUT_OF_TIME)
        except (Interrupted, QueueError):
            raise
        except (TilerError, MemoryError) as error:
            if last or (again and isinstance(error, BadSource | SourceReadError)):
                return self._fail(planned, place, str(error) or "it ran out of memory")
            raise

    def _recorded(
        self, planned: PlannedBake, message: BakeMessage, place: Place, *, again: bool, last: bool
    ) -> PartResult:
        """Bake a part that has no receipt, put one, and go on."""
        if read_receipt(self.sources, planned.job.id, place) is not None:
            self.go_on(planned, place, again=again)
            return PartResult("known")
        if planned.build != build():
            self.send([message], OTHER_BUILD_SECONDS)
            return PartResult("left", f"workers with {planned.build} bake this job, and this one has {build()}")
        start = time.monotonic()
        baked = self._read(planned, place, again=again or last)
        seconds = round(time.monotonic() - start, 3)
        put_receipt(self.sources, planned.job.id, place, {**baked.to_json(), "seconds": seconds})
        self.go_on(planned, place, again=again)
        fate: Fate = "empty" if baked.part is None else "reused" if baked.reused else "baked"
        return PartResult(fate, "", seconds)

    def go_on(self, planned: PlannedBake, place: Place, *, again: bool) -> None:
        """Send what the receipt of a part makes possible: the parts above that read it, or the publication.

        Of workers that bake the last children at once, the first to claim the message sends it. It may die in between:
        then its own message comes `again`, and is followed by all others, claimed or not.
        """
        job = planned.job.id
        ready = following(self.sources, job, planned.plan, place)
        self.send([each for each in ready if claim_message(self.sources, job, each.name) or again], 0)

    def _stale(self, planned: PlannedBake) -> str:
        """The reason to drop a message, or nothing."""
        job = planned.job
        if why := is_over(self.sources, job):
            return why
        if self.sources.version(keys.index_key(job.layer)) != planned.plan.current:
            return f"layer {job.layer} was published meanwhile"
        return ""

    def _read(self, planned: PlannedBake, place: Place, *, again: bool) -> BakedPart:
        """Bake a part; tell damaged scenes from a failing network, which GDAL does not.

        A scene is damaged if it cannot be read `again`, though its server answers and it is the one that was planned.
        """
        try:
            return self._bake(planned, place)
        except (StoreError, SourceReadError) as error:
            if place.tier or (isinstance(error, StoreError) and not is_remote(error.key)):
                raise
            planned.raster.check_in(window_of(place, planned.plan.zoom_of(0)))
            if again and isinstance(error, StoreError):
                raise SourceReadError(error.key, str(error).partition(": ")[2]) from error
            raise

    def _bake(self, planned: PlannedBake, place: Place) -> BakedPart:
        """Bake a part."""
        job, plan = planned.job, planned.plan
        if place not in plan.tiers[place.tier]:
            return BakedPart(place)
        below = self._below(planned, place)
        chunks = plan.chunks(place, below)
        raster = narrowed(planned.raster, window_of(place, plan.zoom_of(0))) if place.tier == 0 else planned.raster
        if raster is None or not chunks:
            return BakedPart(place)
        forget()  # a scene may have been replaced under its name since this process last read it
        with scratch(self.staging.parent(None)) as folder:
            bake = Bake(
                layer=job.layer,
                sources=self.sources,
                folder=folder,
                raster=raster,
                jobs=self.jobs,
                stored=lambda wanted: stored_part(job.layer, self.sources, wanted),
                advance=self._guard(job),
            )
            (baked,) = bake.parts(place.tier, [(place, chunks)], below)
        return baked

    def _below(self, planned: PlannedBake, place: Place) -> dict[Place, Part]:
        """The parts of the tier below that a part reads."""
        children = planned.plan.children(place)
        below = {}
        for child, fields in read_receipts(self.sources, planned.job.id, children):
            if fields is None:
                raise SourceReadError(planned.job.layer, f"part {child} has no receipt: run `seeder resume`")
            if part := BakedPart.from_json(child, fields).part:
                below[child] = part
        return below

    def _guard(self, job: BakeJob) -> Callable[[int], None]:
        """A callback between chunks that ends a part when its job is stopped, or when the time is up."""
        begun, checked, chunks = time.monotonic(), time.monotonic(), 0

        def advance(number: int) -> None:
            nonlocal checked, chunks
            now = time.monotonic()
            chunks += number
            if self.stops():
                raise Interrupted("the worker stops: the part is baked by another one")
            if self.left() < max(timing.BAKE_MARGIN_SECONDS, 2 * (now - begun) / max(1, chunks)):
                raise OutOfTime
            if now - checked > timing.REVISION_CHECK_SECONDS:
                checked = now
                if why := is_over(self.sources, job):
                    raise Superseded(why)

        return advance

    def _fail(self, planned: PlannedBake, place: Place, error: str) -> PartResult:
        """Record a failure, and stop the job if there are too many."""
        job = planned.job
        put_failure(self.sources, job.id, place, error)
        run = load_run(self.sources, job.ledger)
        most = run.most if run else job.most
        why = reason_to_stop(len(failed_parts(self.sources, job.id)), planned.plan.parts, most, "parts")
        if why:
            stop(self.sources, job.ledger, Stop(f"{why}; the last one: {error}", asked=False))
        return PartResult("failed", error)


def is_over(sources: Store, job: BakeJob) -> str:
    """The reason why workers must not go on with a job, or nothing."""
    if cancelled(sources, job.ledger):
        return f"bake job {job.id} was stopped"
    return "" if is_recorded(sources, job.id) else f"bake job {job.id} was removed"


def build() -> str:
    """The version of GDAL and the kind of processor, on which the bytes of a part depend."""
    return f"GDAL {versions()[0]} on {platform.machine()}"


OUT_OF_TIME = "it takes longer than the function may run: bake the rest with `seeder worker` on any machine"


def following(sources: Store, job: str, plan: BakePlan, place: Place) -> Iterator[BakeMessage]:
    """The messages that the receipt of a part makes possible."""
    above = place.tier + 1
    if above == len(plan.tiers):
        if has_receipts(sources, job, plan.tiers[place.tier]):
            yield BakeMessage("publish", job)
        return
    for parent in parents_of(place, plan.zoom_of(place.tier)):
        if parent in plan.tiers[above] and is_ready(sources, job, plan, parent):
            yield BakeMessage("part", job, parent)


def is_ready(sources: Store, job: str, plan: BakePlan, place: Place) -> bool:
    """Whether all parts that a part reads have receipts."""
    return has_receipts(sources, job, plan.children(place))


def remaining(job: str, plan: BakePlan, done: Collection[Place]) -> Iterator[BakeMessage]:
    """The messages that go on with a job: parts without a receipt whose children have one, or the publication."""
    nothing = True
    for tier in plan.tiers:
        for place in sorted(tier, key=lambda each: (each.row // ALONG, each.column // ALONG, each)):
            if place not in done:
                nothing = False
                if all(child in done for child in plan.children(place)):
                    yield BakeMessage("part", job, place)
    if nothing:
        yield BakeMessage("publish", job)
