"""The ledger of jobs: objects in the private store.

jobs/{job}/job.json       the job's spec
jobs/{job}/tiles.npz      selected tiles as runs along the Z curve, if zooms and boxes do not describe them
jobs/{job}/plan.json      exact totals for each zoom, once planning is complete
jobs/{job}/run.json       the latest run: queue, process, start and end
jobs/{job}/done/{block}   the receipt of a block
jobs/{job}/failed/{block} the receipt of a block with failed tiles; it counts until there is a `done`
jobs/{job}/compacted/     the receipts of an ended job; see `seeder.jobs.compaction`
jobs/{job}/cancelled      the reason why workers must stop
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from seeder.jobs.messages import TIME, VERSION, Job, Receipt, Spec, check_version
from seeder.jobs.receipts import BINARY, Kind, Receipts
from seeder.jobs.runner import Runner
from seeder.select.blocks import Count
from seeder.select.tileset import TileSets
from tiler.errors import MessageError, MissingObject, UnknownJob
from tiler.grid import Block
from tiler.inputs import read_json
from tiler.keys import JOBS, index_key, job_key
from tiler.storage.concurrent import overlap
from tiler.storage.store import Store

ID = re.compile(r".+-[0-9a-f]{8}-\d{8}T\d{6}\.\d{6}")  # of a job, as in Job.new
JSON = "application/json"
KEPT = timedelta(days=90)  # after its end; see `seeder.jobs.expiry`
COMPACTED = 2  # version of job.json and plan.json if receipts are compacted
TILES = "tiles.npz"


def put_receipt(sources: Store, job: str, receipt: Receipt) -> None:
    """Record a receipt; harmless to repeat."""
    kind: Kind = "failed" if receipt.outcome.failed else "done"
    sources.put(Receipts(sources, job, kind).key(receipt.block), receipt.encode(), content_type=JSON)


def finished(sources: Store, job: str, kind: Kind = "done") -> Iterator[Block]:
    """The blocks with a receipt of this kind."""
    return Receipts(sources, job, kind).blocks()


def read_receipts(sources: Store, job: str, blocks: Iterable[Block], kind: Kind = "done") -> Iterator[Receipt]:
    """The receipts of blocks, in any order; missing ones are skipped."""
    return Receipts(sources, job, kind).read_all(blocks)


def receipts(sources: Store, job: str) -> Iterator[Receipt]:
    """The receipts of a job's finished blocks, in any order."""
    return iter(Receipts(sources, job))


def delete_receipts(sources: Store, job: str, kind: Kind, blocks: Iterable[Block] | None = None) -> None:
    """Delete the receipts of `blocks`, or all, so that the blocks are rendered again."""
    Receipts(sources, job, kind).delete(blocks)


CANCELLED = "the job was cancelled"


@dataclass(frozen=True, slots=True)
class Stop:
    """The reason why a job was stopped; `asked` tells a user's `cancel` from too many failures."""

    why: str
    asked: bool = True


def stop(sources: Store, job: str, stopped: Stop) -> None:
    """Record that the job is stopped. Workers check this before each block."""
    sources.put(_stop_key(job), _json(asdict(stopped)), content_type=JSON)


def stopped(sources: Store, job: str) -> Stop | None:
    """The reason why the job was stopped, or None. Any object at this key stops workers, even a damaged one."""
    try:
        document = read_json(sources.get(_stop_key(job)))
        return Stop(str(document["why"]), bool(document["asked"]))
    except MissingObject:
        return None
    except (KeyError, TypeError, ValueError):
        return Stop(CANCELLED)


def cancelled(sources: Store, job: str) -> bool:
    """Whether the job was stopped; cheaper than `stopped`."""
    return sources.has(_stop_key(job))


def reopen(sources: Store, job: str) -> None:
    """Delete the record of a stop. Messages may have been dropped meanwhile, so they count as not sent."""
    run = load_run(sources, job)
    if run is not None:
        put_run(sources, job, replace(run, sent=False, ended=False))
    sources.delete([_stop_key(job)])


def _stop_key(job: str) -> str:
    return job_key(job, "cancelled")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job. `queue` is the URL of a queue, empty for a run on one machine.

    `sent` means that all messages are in the queue, `ended` that the run is over, `why` the reason if it ended early.
    Workers stop the job if more than the fraction `most` of its blocks fail. `by` is the process that sends or renders.
    `stale` is the number of planned tiles of another revision, or possibly so, found by the check at the end.
    """

    queue: str
    begun: datetime
    most: float
    sent: bool = False
    ended: bool = False
    why: str = ""
    by: Runner | None = None
    stale: int = 0

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"v": VERSION, **asdict(self), "begun": self.begun.isoformat()}

    @property
    def abandoned(self) -> bool:
        """Whether the run's process died before it recorded an end."""
        needs_process = not self.ended and not (self.queue and self.sent)
        return needs_process and self.by is not None and self.by.gone


def put_run(sources: Store, job: str, run: Run) -> None:
    """Record a run of a job, in place of the previous one."""
    sources.put(job_key(job, "run.json"), _json(run.to_json()), content_type=JSON)


def load_run(sources: Store, job: str) -> Run | None:
    """The latest run of a job, or None if none was started.

    Raises:
        MessageError: it was not written by this version.
    """
    key = job_key(job, "run.json")
    try:
        run = _parsed(key, sources.get(key), VERSION)
        begun = datetime.fromisoformat(run["begun"])
        by = Runner.from_json(run.get("by"))
        stale = run.get("stale", 0)  # earlier versions did not check
        return Run(run["queue"], begun, run["most"], run["sent"], run["ended"], run["why"], by, stale)
    except MissingObject:
        return None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MessageError(f"{key} is not a run: {error!r}") from error


def record_stale(sources: Store, job: str, tiles: int) -> None:
    """Record the number of stale tiles at the end of a job."""
    run = load_run(sources, job)
    if run is not None and run.stale != tiles:
        put_run(sources, job, replace(run, stale=tiles))


def put_job(sources: Store, job: Job) -> None:
    """Record a job's spec."""
    tiles = job.spec.selection.tiles
    if tiles is not None:
        sources.put(job_key(job.id, TILES), tiles.encode(), content_type=BINARY)
    document = _json({"v": _version(sources, job.id), "job": job.id, **job.spec.to_json()})
    sources.put(job_key(job.id, "job.json"), document, content_type=JSON)


def load_job(sources: Store, job: str, *, listed: bool = True) -> Job:
    """The job with this id; unless `listed`, its set of tiles is not read, which may be large.

    Raises:
        MissingObject: there is no such job.
        MessageError: it was not written by this version.
    """
    key = job_key(job, "job.json")
    try:
        document = _parsed(key, sources.get(key), VERSION, COMPACTED)
        return Job(job, Spec.from_json(document, lambda: _tiles(sources, job) if listed else TileSets({})))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MessageError(f"{key} is not a job: {error!r}") from error


def _tiles(sources: Store, job: str) -> TileSets:
    return TileSets.decode(sources.get(job_key(job, TILES)))


def put_plan(sources: Store, job: str, plan: dict[int, Count]) -> None:
    """Record a job's totals for each zoom."""
    zooms = {str(z): asdict(count) for z, count in plan.items()}
    sources.put(job_key(job, "plan.json"), _json({"v": _version(sources, job), "zooms": zooms}), content_type=JSON)


def load_plan(sources: Store, job: str) -> dict[int, Count] | None:
    """A job's totals for each zoom, or None if planning did not finish.

    Raises:
        MessageError: it was not written by this version.
    """
    key = job_key(job, "plan.json")
    try:
        plan = _parsed(key, sources.get(key), VERSION, COMPACTED)
        return {int(z): Count(count["tiles"], count["blocks"]) for z, count in plan["zooms"].items()}
    except MissingObject:
        return None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MessageError(f"{key} is not a plan: {error!r}") from error


def complete(sources: Store, job: str) -> bool:
    """Whether planning finished and every block is done."""
    plan = load_plan(sources, job)
    if plan is None:
        return False
    return sum(1 for _ in finished(sources, job)) >= Count.total(plan).blocks


def jobs(sources: Store) -> list[str]:
    """The ids of all jobs, the newest last; other folders are skipped."""
    return sorted((name for name in sources.folders(JOBS) if is_id(name)), key=begun)


def jobs_of(sources: Store, layer: str) -> list[Job]:
    """The recorded jobs of a layer, the newest first, without their sets of tiles.

    Raises:
        MessageError: a job was not written by this version.
    """

    def loaded(name: str) -> Job | None:
        try:
            return load_job(sources, name, listed=False)
        except MissingObject:  # interrupted before job.json was written
            return None

    own = (name for name in jobs(sources) if layer_of(name) == layer)
    return sorted(filter(None, overlap(loaded, own)), key=lambda job: (begun(job.id), job.id), reverse=True)


def begun(job: str) -> datetime:
    """The start of a job (UTC), from its id."""
    return datetime.strptime(job.rpartition("-")[2], TIME).replace(tzinfo=UTC)


def is_id(name: str) -> bool:
    """Whether `name` has the form of a job's id, with a possible date."""
    try:
        return bool(ID.fullmatch(name) and begun(name))
    except ValueError:
        return False


def layer_of(job: str) -> str:
    """The layer of a job, from its id."""
    return job.rsplit("-", 2)[0]


def find_job(sources: Store, named: str, *, listed: bool = True) -> Job:
    """Find a job by its id, by a unique prefix of it, or by a layer's name, which means the layer's newest job.

    Raises:
        UnknownJob: no job matches, or several do, or it has expired.
        MessageError: it was not written by this version.
    """
    known = jobs(sources)
    if named in known:
        return load_job(sources, named, listed=listed)
    alike = [job for job in known if job.startswith(named)] if named else []
    latest = [job for job in known if layer_of(job) == named]
    if latest:
        return load_job(sources, latest[-1], listed=listed)
    if len(alike) == 1:
        return load_job(sources, alike[0], listed=listed)
    old = is_id(named) and begun(named) < datetime.now(UTC) - KEPT
    raise UnknownJob(
        named, alike[:3] or difflib.get_close_matches(named, known, n=3), expired_after=KEPT.days if old else 0
    )


def republished(sources: Store, job: Job) -> bool:
    """Whether the layer was published again after the job was recorded.

    If the layer still has the job's revision, another one was current in between, and the tiles of receipts may be of
    that revision.
    """
    key = job_key(job.id, "job.json")
    try:
        recorded = read_json(sources.get(key)).get("recorded")
        at = datetime.fromisoformat(recorded) if recorded else sources.written(key)
        return at < sources.written(index_key(job.spec.layer))
    except MissingObject:
        return False
    except (AttributeError, TypeError, ValueError) as error:
        raise MessageError(f"{key} is not a job: {error!r}") from error


def unfinished(sources: Store, spec: Spec) -> Job | None:
    """The latest job of `spec` if it has unfinished blocks, was not cancelled and its receipts are still valid."""
    begun = sorted(name for name in sources.folders(JOBS) if name.startswith(f"{spec.layer}-{spec.digest}-"))
    if not begun:
        return None
    job = Job(begun[-1], spec)
    why = stopped(sources, job.id)
    if (why is not None and why.asked) or republished(sources, job):
        return None
    return None if complete(sources, job.id) else job


def mark_compacted(sources: Store, job: str) -> bool:
    """Raise the version of a job's objects, so that programs without compaction refuse them; False if it was removed.

    The time of recording is kept, for `republished`.

    Raises:
        MessageError: they were not written by this version.
    """
    job_file, plan_file = job_key(job, "job.json"), job_key(job, "plan.json")
    try:
        plan = _parsed(plan_file, sources.get(plan_file), VERSION, COMPACTED)
        document = _parsed(job_file, sources.get(job_file), VERSION, COMPACTED)
        if document["v"] != COMPACTED:
            recorded = sources.written(job_file).isoformat()
            sources.put(job_file, _json({**document, "v": COMPACTED, "recorded": recorded}), content_type=JSON)
            if not sources.has(plan_file):  # the job was removed meanwhile
                sources.delete([job_file])
                return False
        if plan["v"] != COMPACTED:
            sources.put(plan_file, _json({**plan, "v": COMPACTED}), content_type=JSON)
    except MissingObject:
        return False
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MessageError(f"job {job} cannot be marked as compacted: {error!r}") from error
    return True


def _version(sources: Store, job: str) -> int:
    """The version of a job's objects; `mark_compacted` raises it before there is a segment."""
    try:
        marked = read_json(sources.get(job_key(job, "job.json")))["v"] == COMPACTED
    except (KeyError, MissingObject, TypeError, ValueError):
        marked = not sources.empty(job_key(job, "compacted", ""))
    return COMPACTED if marked else VERSION


def _parsed(key: str, data: bytes, *versions: int) -> Any:
    """Parse `data` of `key` and check its version."""
    document = read_json(data)
    check_version(document, key, *versions)
    return document


def _json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=1) + "\n").encode()
