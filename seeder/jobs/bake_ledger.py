"""The ledger of bake jobs: objects in the private store, beside those of jobs for tiles.

jobs/bakes/{job}/job.json      the job: the plan of its bake, and what follows its publication
jobs/bakes/{job}/scenes.json   the list of scenes
jobs/bakes/{job}/run.json      the latest run, as of a job for tiles
jobs/bakes/{job}/done/{tier}/{square}/{place}   the receipt of a part; a square has the parts of one part above
jobs/bakes/{job}/failed/{tier}-{place}          why a part failed; it counts until there is a receipt
jobs/bakes/{job}/sent/{tier}-{place}            a message that follows receipts was sent, or `publish`
jobs/bakes/{job}/build         the version of GDAL and the processor that bake its parts
jobs/bakes/{job}/renewal.json  the jobs for tiles that followed its publication
jobs/bakes/{job}/end.json      its end: done, failed or superseded
jobs/bakes/{job}/cancelled     the reason why workers must stop
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from seeder.jobs.ledger import begun, is_id, jobs, layer_of
from seeder.jobs.messages import TIME, VERSION, check_version
from tiler.errors import Changed, MessageError, MissingObject
from tiler.grid import format_zooms, parse_zooms
from tiler.inputs import read_json
from tiler.keys import JOBS, job_key
from tiler.layers.pyramid import Place
from tiler.layers.tiers import ALONG
from tiler.storage.concurrent import overlap
from tiler.storage.store import Entry, Store

BAKES = "bakes"
JSON = "application/json"

EndState = Literal["done", "failed", "superseded"]


@dataclass(frozen=True, slots=True)
class FirstTiles:
    """The tiles to render once a layer is published: their zooms, and the id of their job."""

    zooms: tuple[int, ...]
    job: str


@dataclass(frozen=True, slots=True)
class BakeJob:
    """A bake of a layer's next revision by the workers of a queue, and what they do after its publication.

    `plan` is the JSON of a `BakePlan`. `url` is the address of tiles in TileJSON, `queue` the URL of the queue for
    tiles, `cdn` the id of a CloudFront distribution or empty. The job stops if more than the fraction `most` of its
    parts fail.
    """

    id: str
    layer: str
    revision: str
    plan: dict[str, Any]
    url: str
    most: float
    queue: str = ""
    cdn: str = ""
    first: FirstTiles | None = None

    @property
    def ledger(self) -> str:
        """Its name where jobs for tiles have their ids; see `seeder.jobs.ledger`."""
        return ledger_of(self.id)

    @property
    def tiers(self) -> tuple[frozenset[Place], ...]:
        """The places of its parts, by tier."""
        return tuple(
            frozenset(Place(tier, column, row) for column, row in places)
            for tier, places in enumerate(self.plan["tiers"])
        )

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "v": VERSION,
            "job": self.id,
            "layer": self.layer,
            "revision": self.revision,
            "url": self.url,
            "most": self.most,
            "queue": self.queue,
            "cdn": self.cdn,
            "first": {"zooms": format_zooms(self.first.zooms), "job": self.first.job} if self.first else None,
            "plan": self.plan,
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> BakeJob:
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError, MessageError: a field is missing or invalid.
        """
        first = fields["first"]
        texts = {name: str(fields[name]) for name in ("layer", "revision", "url", "queue", "cdn")}
        return cls(
            id=str(fields["job"]),
            plan=dict(fields["plan"]),
            most=float(fields["most"]),
            first=FirstTiles(parse_zooms(first["zooms"]), str(first["job"])) if first else None,
            **texts,
        )


@dataclass(frozen=True, slots=True)
class End:
    """The end of a bake job, and the reason unless it is done."""

    state: EndState
    why: str = ""


def new_id(layer: str, digest: str, now: datetime) -> str:
    """The id of a bake job that begins at `now` (UTC)."""
    return f"{layer}-{digest}-{now:{TIME}}"


def digest_of(*facts: object) -> str:
    """A hash of what a bake job is for, 8 hex digits, in its id."""
    return hashlib.blake2b(json.dumps(["bake", *facts], default=str).encode(), digest_size=4).hexdigest()


def ledger_of(job: str) -> str:
    """The name of a bake job where jobs for tiles have their ids."""
    return f"{BAKES}/{job}"


def bake_key(job: str, *rest: str) -> str:
    """A key in a bake job's ledger."""
    return job_key(ledger_of(job), *rest)


def bakes(sources: Store) -> list[str]:
    """The ids of all bake jobs, in no particular order."""
    return [name for name in sources.folders(f"{JOBS}{BAKES}/") if is_id(name)]


def bakes_of(sources: Store, layer: str) -> list[str]:
    """The ids of a layer's bake jobs, in no particular order."""
    return [name for name in bakes(sources) if layer_of(name) == layer]


def is_recorded(sources: Store, job: str) -> bool:
    """Whether a bake job exists: it is neither removed nor still being written."""
    return sources.has(bake_key(job, "job.json"))


def put_bake(sources: Store, job: BakeJob, scenes: bytes | None) -> None:
    """Record a bake job."""
    if scenes is not None:
        sources.put(bake_key(job.id, "scenes.json"), scenes, content_type=JSON)
    sources.put(bake_key(job.id, "job.json"), json.dumps(job.to_json()).encode(), content_type=JSON)


def delete_bakes(sources: Store, names: Iterable[str]) -> None:
    """Delete what makes bake jobs exist: workers drop their messages. The rest of their ledgers stays."""
    sources.delete(bake_key(name, "job.json") for name in names)


def load_bake(sources: Store, job: str) -> BakeJob:
    """A bake job.

    Raises:
        MissingObject: there is no such job.
        MessageError: it was not written by this version.
    """
    key = bake_key(job, "job.json")
    try:
        fields = read_json(sources.get(key))
        check_version(fields, key)
        return BakeJob.from_json(fields)
    except (KeyError, TypeError, ValueError) as error:
        raise MessageError(f"{key} is not a bake job: {error!r}") from error


def load_scenes(sources: Store, job: str) -> bytes | None:
    """The list of the job's scenes as it is stored; None for one raster."""
    try:
        return sources.get(bake_key(job, "scenes.json"))
    except MissingObject:
        return None


def unfinished_bake(sources: Store, layer: str, digest: str) -> str | None:
    """The latest bake job of a layer for the same purpose that has not ended."""
    alike = sorted(name for name in bakes_of(sources, layer) if name.startswith(f"{layer}-{digest}-"))
    alike = [name for name in alike if is_recorded(sources, name)]
    return alike[-1] if alike and load_end(sources, alike[-1]) is None else None


def find_bake(sources: Store, named: str) -> str | None:
    """The bake job that a name means: its id, a unique prefix of it, or a layer whose newest job it is.

    None if the name means a job for tiles, or nothing.
    """
    known = bakes(sources)
    if named in known:
        return named
    others = jobs(sources)
    if named in others:
        return None
    own = [name for name in known if layer_of(name) == named]
    if own:
        newest = max(own, key=begun)
        return None if any(layer_of(name) == named and begun(name) >= begun(newest) for name in others) else newest
    alike = [name for name in (*known, *others) if named and name.startswith(named)]
    return alike[0] if len(alike) == 1 and alike[0] in known else None


def put_receipt(sources: Store, job: str, place: Place, fields: dict[str, Any]) -> bool:
    """Record a baked part, unless there is a receipt of it already; returns whether it was recorded."""
    return _put_first(sources, _done(job, place), json.dumps({"v": VERSION, **fields}).encode())


def read_receipt(sources: Store, job: str, place: Place) -> dict[str, Any] | None:
    """The receipt of a part, or None.

    Raises:
        MessageError: it was not written by this version.
    """
    key = _done(job, place)
    try:
        fields = read_json(sources.get(key))
        check_version(fields, key)
        return dict(fields)
    except MissingObject:
        return None
    except (KeyError, TypeError, ValueError) as error:
        raise MessageError(f"{key} is not a receipt: {error!r}") from error


def read_receipts(sources: Store, job: str, places: Iterable[Place]) -> Iterator[tuple[Place, dict[str, Any] | None]]:
    """The receipts of parts, read in parallel."""
    return overlap(lambda place: (place, read_receipt(sources, job, place)), places)


def has_receipts(sources: Store, job: str, places: Collection[Place]) -> bool:
    """Whether all of some parts of one tier have receipts; lists only the squares that they lie in."""
    squares: dict[tuple[int, int], set[str]] = {}
    for place in places:
        squares.setdefault((place.column // ALONG, place.row // ALONG), set()).add(_done(job, place))
    full = sorted(squares.values(), key=len, reverse=True)  # the one that most likely lacks some first
    return all(wanted <= {entry.key for entry in sources.list(_folder(next(iter(wanted))))} for wanted in full)


def done_parts(sources: Store, job: str) -> Iterator[tuple[Place, Entry]]:
    """The parts with a receipt, and the entries of these."""
    root = bake_key(job, "done", "")
    for entry in sources.list(root):
        tier, _, name = entry.key[len(root) :].split("/")
        column, row = map(int, name.split("-"))
        yield Place(int(tier), column, row), entry


def delete_receipts(sources: Store, job: str, places: Iterable[Place]) -> None:
    """Delete the receipts of parts, so that they are baked again."""
    sources.delete(_done(job, place) for place in places)


def claim_message(sources: Store, job: str, name: str) -> bool:
    """Claim the sending of a message that follows receipts; returns whether nobody else has claimed it before."""
    return _put_first(sources, _sent(job, name), uuid4().bytes)  # equal bytes would count as one's own


def delete_claims(sources: Store, job: str) -> None:
    """Allow workers to send follow-up messages again, after a loss of messages or receipts."""
    sources.delete([entry.key for entry in sources.list(_sent(job, ""))])


def put_failure(sources: Store, job: str, place: Place, error: str) -> None:
    """Record that a part could not be baked."""
    fields = {"v": VERSION, "error": error, "at": datetime.now(UTC).isoformat()}
    sources.put(_failed(job, place), json.dumps(fields).encode(), content_type=JSON)


def failed_parts(sources: Store, job: str) -> list[Place]:
    """The parts with a recorded failure, also those that were baked since."""
    root = bake_key(job, "failed", "")
    return [Place(*map(int, entry.key[len(root) :].split("-"))) for entry in sources.list(root)]


def read_failures(sources: Store, job: str, places: Iterable[Place]) -> Iterator[tuple[Place, str]]:
    """The errors of failed parts."""

    def read(place: Place) -> tuple[Place, str]:
        try:
            return place, str(read_json(sources.get(_failed(job, place)))["error"])
        except (MissingObject, KeyError, TypeError, ValueError):
            return place, "its error cannot be read"

    return overlap(read, places)


def delete_failures(sources: Store, job: str) -> None:
    """Forget all failures, before the parts are baked again."""
    sources.delete(_failed(job, place) for place in failed_parts(sources, job))


def put_end(sources: Store, job: str, end: End) -> None:
    """Record the end of a bake job."""
    fields = {"v": VERSION, "state": end.state, "why": end.why, "at": datetime.now(UTC).isoformat()}
    sources.put(bake_key(job, "end.json"), json.dumps(fields).encode(), content_type=JSON)


def load_end(sources: Store, job: str) -> End | None:
    """The end of a bake job; None while it has not ended."""
    try:
        fields = read_json(sources.get(bake_key(job, "end.json")))
        return End(fields["state"], str(fields["why"]))
    except MissingObject:
        return None
    except (KeyError, TypeError, ValueError) as error:
        raise MessageError(f"the end of bake job {job} cannot be read: {error!r}") from error


def delete_end(sources: Store, job: str) -> None:
    """Forget the end of a bake job that goes on."""
    sources.delete([bake_key(job, "end.json")])


def put_renewal(sources: Store, job: str, jobs: Iterable[str]) -> None:
    """Record the jobs for tiles that followed the publication."""
    fields = {"v": VERSION, "jobs": list(jobs)}
    sources.put(bake_key(job, "renewal.json"), json.dumps(fields).encode(), content_type=JSON)


def delete_renewal(sources: Store, job: str) -> None:
    """Forget the jobs for tiles, so that the tiles that are left are sent as others."""
    sources.delete([bake_key(job, "renewal.json")])


def load_renewal(sources: Store, job: str) -> tuple[str, ...] | None:
    """The jobs for tiles that followed the publication; None if none was sent yet."""
    try:
        return tuple(map(str, read_json(sources.get(bake_key(job, "renewal.json")))["jobs"]))
    except MissingObject:
        return None
    except (KeyError, TypeError, ValueError) as error:
        raise MessageError(f"the renewal of bake job {job} cannot be read: {error!r}") from error


def claim_build(sources: Store, job: str, build: str) -> str:
    """The build of GDAL that bakes the job's parts: `build`, unless another worker was first."""
    known = build_of(sources, job)
    if not known:
        _put_first(sources, bake_key(job, "build"), build.encode())
        known = build_of(sources, job)
    return known


def build_of(sources: Store, job: str) -> str:
    """The build of the workers of a job; empty until the first worker claims it."""
    try:
        return sources.get(bake_key(job, "build")).decode(errors="replace")
    except MissingObject:
        return ""


def delete_build(sources: Store, job: str) -> None:
    """Let workers of any build bake a job without finished parts."""
    sources.delete([bake_key(job, "build")])


def _put_first(sources: Store, key: str, data: bytes) -> bool:
    """Store an object unless there is one; returns whether it was stored."""
    try:
        sources.put(key, data, content_type=JSON, expected="")
    except Changed:
        return False
    return True


def _done(job: str, place: Place) -> str:
    square = f"{place.column // ALONG}-{place.row // ALONG}"
    return bake_key(job, "done", str(place.tier), square, f"{place.column}-{place.row}")


def _failed(job: str, place: Place) -> str:
    return bake_key(job, "failed", "-".join(map(str, place)))


def _sent(job: str, name: str) -> str:
    return bake_key(job, "sent", name.replace("/", "-"))


def _folder(key: str) -> str:
    return key.rpartition("/")[0] + "/"
