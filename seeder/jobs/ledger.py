"""The ledger, all of it objects in the private store: what a job was asked for, what became of it, how it ended.

jobs/{job}/job.json       what was asked for
jobs/{job}/tiles.npz      the tiles as runs along the Z curve, where not all of the zooms and boxes were meant
jobs/{job}/plan.json      exact totals a zoom, once planning is complete
jobs/{job}/run.json       who renders, since when, and how that ended
jobs/{job}/done/{block}   what became of a block's tiles
jobs/{job}/failed/{block} the same where some failed; it counts until there is a `done`
jobs/{job}/cancelled      why nothing more is to be rendered
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from seeder.jobs.messages import TIME, VERSION, Job, Receipt, Spec, block_named, check_version
from seeder.jobs.runner import Runner
from seeder.select.blocks import Count
from seeder.select.tileset import TileSets
from tiler.errors import MessageError, MissingObject, UnknownJob
from tiler.grid import Block
from tiler.inputs import read_json
from tiler.keys import JOBS, index_key, job_key
from tiler.storage.concurrent import overlap
from tiler.storage.store import Store

ID = re.compile(r".+-[0-9a-f]{8}-\d{8}T\d{6}\.\d{6}")  # of a job; see Job.new
JSON, BINARY = "application/json", "application/octet-stream"
TILES = "tiles.npz"

Kind = Literal["done", "failed"]  # of receipts


def put_receipt(sources: Store, job: str, receipt: Receipt) -> None:
    """Put a receipt on record; harmless to repeat."""
    kind = "failed" if receipt.outcome.failed else "done"
    sources.put(job_key(job, kind, str(receipt.block)), receipt.encode(), content_type=JSON)


def finished(sources: Store, job: str, kind: Kind = "done") -> Iterator[Block]:
    """The blocks that have a receipt of that kind."""
    for entry in sources.list(job_key(job, f"{kind}/")):
        yield block_of(entry.key)


def block_of(key: str) -> Block:
    """The block whose receipt `key` is."""
    return block_named(key.rpartition("/")[2])


def read_receipt(sources: Store, job: str, kind: Kind, block: Block) -> Receipt | None:
    """The block's receipt of that kind, if there is one."""
    try:
        return Receipt.decode(str(block), sources.get(job_key(job, kind, str(block))))
    except MissingObject:
        return None


def read_receipts(sources: Store, job: str, blocks: Iterable[Block], kind: Kind = "done") -> Iterator[Receipt]:
    """The receipts of blocks that have one, in any order; those that are struck meanwhile are passed over."""
    return (receipt for receipt in overlap(partial(read_receipt, sources, job, kind), blocks) if receipt)


def receipts(sources: Store, job: str) -> Iterator[Receipt]:
    """The receipts of a job's finished blocks, in any order."""
    return read_receipts(sources, job, finished(sources, job))


def delete_receipts(sources: Store, job: str, kind: Kind, blocks: Iterable[Block] | None = None) -> None:
    """Take receipts off the record, those of `blocks` or all, because their blocks are to be done again."""
    struck = finished(sources, job, kind) if blocks is None else blocks
    sources.delete(job_key(job, kind, str(block)) for block in struck)


CANCELLED = "the job was cancelled"


@dataclass(frozen=True, slots=True)
class Stop:
    """Why nothing more of a job is to be rendered, and whether somebody asked for that or too much failed."""

    why: str
    asked: bool = True


def stop(sources: Store, job: str, stopped: Stop) -> None:
    """Put on record that nothing more of the job is to be rendered. Workers see it before their next block."""
    sources.put(_stop_key(job), _json(asdict(stopped)), content_type=JSON)


def stopped(sources: Store, job: str) -> Stop | None:
    """Why nothing more of the job is to be rendered, if so. Workers stop whatever the object holds."""
    try:
        said = read_json(sources.get(_stop_key(job)))
        return Stop(str(said["why"]), bool(said["asked"]))
    except MissingObject:
        return None
    except (KeyError, TypeError, ValueError):
        return Stop(CANCELLED)


def cancelled(sources: Store, job: str) -> bool:
    """Whether nothing more of the job is to be rendered; costs less than to ask why."""
    return sources.has(_stop_key(job))


def reopen(sources: Store, job: str) -> None:
    """Take off the record that the job was stopped. What was in a queue then may be gone, so it counts as not sent."""
    run = load_run(sources, job)
    if run is not None:
        put_run(sources, job, replace(run, sent=False, ended=False))
    sources.delete([_stop_key(job)])


def _stop_key(job: str) -> str:
    return job_key(job, "cancelled")


@dataclass(frozen=True, slots=True)
class Run:
    """One go at a job. `queue` is the URL of a queue, empty for the machine that ran it.

    `sent` says that all messages are in the queue, `ended` that no more work is done, `why` what was left then.
    `most` is the share of failed blocks beyond which workers stop the job. `by` is the process that sends or renders.
    `stale` are the planned tiles that are, or may be, of another revision, as of the check at its end.
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
        """Whether the process behind it ended without a record of its end."""
        needed = not self.ended and not (self.queue and self.sent)
        return needed and self.by is not None and self.by.gone


def put_run(sources: Store, job: str, run: Run) -> None:
    """Put on record who works on a job, in place of who did before."""
    sources.put(job_key(job, "run.json"), _json(run.to_json()), content_type=JSON)


def load_run(sources: Store, job: str) -> Run | None:
    """Who works on a job, if it was begun.

    Raises:
        MessageError: it was not written by this version.
    """
    key = job_key(job, "run.json")
    try:
        said = _spoken(key, sources.get(key))
        begun = datetime.fromisoformat(said["begun"])
        by = Runner.from_json(said.get("by"))
        said = {**said, "stale": said.get("stale", 0)}  # which earlier versions did not check
        return Run(said["queue"], begun, said["most"], said["sent"], said["ended"], said["why"], by, said["stale"])
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
    """Put on record what a job is asked to do."""
    tiles = job.spec.selection.tiles
    if tiles is not None:
        sources.put(job_key(job.id, TILES), tiles.encode(), content_type=BINARY)
    said = _json({"v": VERSION, "job": job.id, **job.spec.to_json()})
    sources.put(job_key(job.id, "job.json"), said, content_type=JSON)


def load_job(sources: Store, job: str, *, listed: bool = True) -> Job:
    """The job of that id; unless `listed`, the tiles that alone were selected are left out, which may be many.

    Raises:
        MissingObject: there is none.
        MessageError: it was not written by this version.
    """
    key = job_key(job, "job.json")
    try:
        said = read_json(sources.get(key))
        return Job(job, Spec.from_json(said, lambda: _tiles(sources, job) if listed else TileSets({})))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MessageError(f"{key} is not a job: {error!r}") from error


def _tiles(sources: Store, job: str) -> TileSets:
    return TileSets.decode(sources.get(job_key(job, TILES)))


def put_plan(sources: Store, job: str, plan: dict[int, Count]) -> None:
    """Put on record what a job comes to, a zoom at a time."""
    zooms = {str(z): asdict(count) for z, count in plan.items()}
    sources.put(job_key(job, "plan.json"), _json({"v": VERSION, "zooms": zooms}), content_type=JSON)


def load_plan(sources: Store, job: str) -> dict[int, Count] | None:
    """What a job comes to, if it was planned.

    Raises:
        MessageError: it was not written by this version.
    """
    key = job_key(job, "plan.json")
    try:
        said = _spoken(key, sources.get(key))
        return {int(z): Count(count["tiles"], count["blocks"]) for z, count in said["zooms"].items()}
    except MissingObject:
        return None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MessageError(f"{key} is not a plan: {error!r}") from error


def complete(sources: Store, job: str) -> bool:
    """Whether the job was planned and every block is done."""
    plan = load_plan(sources, job)
    if plan is None:
        return False
    return sum(1 for _ in finished(sources, job)) >= Count.total(plan).blocks


def is_done(sources: Store, job: str, block: Block) -> bool:
    """Whether the block is done."""
    return sources.has(job_key(job, "done", str(block)))


def jobs(sources: Store) -> list[str]:
    """The ids of all jobs, the newest last. What else lies among them is passed over."""
    return sorted((name for name in sources.folders(JOBS) if ID.fullmatch(name)), key=begun)


def jobs_of(sources: Store, layer: str) -> list[Job]:
    """The layer's jobs that are on record, the newest first, without the tiles that alone were selected.

    Raises:
        MessageError: one was not written by this version.
    """

    def loaded(name: str) -> Job | None:
        try:
            return load_job(sources, name, listed=False)
        except MissingObject:  # it was cut off before it was on record
            return None

    own = (name for name in jobs(sources) if layer_of(name) == layer)
    return sorted(filter(None, overlap(loaded, own)), key=lambda job: (begun(job.id), job.id), reverse=True)


def begun(job: str) -> datetime:
    """When a job was begun, as its id says (UTC)."""
    return datetime.strptime(job.rpartition("-")[2], TIME).replace(tzinfo=UTC)


def layer_of(job: str) -> str:
    """The layer of a job, as its id says."""
    return job.rsplit("-", 2)[0]


def find_job(sources: Store, named: str, *, listed: bool = True) -> Job:
    """The job of that id, or the only one whose id begins so, or the newest of the layer of that name; see `load_job`.

    Raises:
        UnknownJob: there is none, or there are several.
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
    raise UnknownJob(named, alike[:3] or difflib.get_close_matches(named, known, n=3))


def outlived(sources: Store, job: Job) -> bool:
    """Whether the layer was published anew since the job was on record.

    If it is at the job's revision all the same, another one was current in between, and the tiles that receipts speak
    of may be of that one.
    """
    try:
        return sources.written(job_key(job.id, "job.json")) < sources.written(index_key(job.spec.layer))
    except MissingObject:
        return False


def unfinished(sources: Store, spec: Spec) -> Job | None:
    """The latest job of `spec`, if it has blocks without a `done`, nobody cancelled it and its receipts still hold."""
    begun = sorted(name for name in sources.folders(JOBS) if name.startswith(f"{spec.layer}-{spec.digest}-"))
    if not begun:
        return None
    job = Job(begun[-1], spec)
    why = stopped(sources, job.id)
    if (why is not None and why.asked) or outlived(sources, job):
        return None
    return None if complete(sources, job.id) else job


def _spoken(key: str, data: bytes) -> Any:
    """What `data`, of `key`, says in this version's words."""
    said = read_json(data)
    check_version(said, key)
    return said


def _json(said: dict[str, Any]) -> bytes:
    return (json.dumps(said, indent=1) + "\n").encode()
