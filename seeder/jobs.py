"""Jobs, the messages that carry their blocks, and the ledger of receipts that says what is done.

jobs/{job}/job.json       what was asked for
jobs/{job}/plan.json      exact totals a zoom, once planning is complete
jobs/{job}/done/{block}   what became of a block's tiles
jobs/{job}/failed/{block} the same where some failed; it counts until there is a `done`
jobs/{job}/sent.json      the queue that all messages were sent to
jobs/{job}/cancelled      nothing more is to be rendered
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal

from seeder.selection import Count, Piece, Selection
from tiler.errors import BadInput, GridError, MessageError, MissingObject
from tiler.fill import Outcome, Request
from tiler.grid import LEAF, Block, Bounds, format_zooms, parse_zooms
from tiler.keys import job_key
from tiler.overlap import overlap
from tiler.render import Look
from tiler.storage import Store

VERSION = 1
FIELDS = {  # of a message, and their types
    "job": str,
    "layer": str,
    "revision": str,
    "z": int,
    "x": int,
    "y": int,
    "size": int,
    "tiles": str,
    "scale": int,
    "format": str,
    "force": bool,
}
MASKS = ("written", "empty", "skipped", "failed")


Kind = Literal["done", "failed"]  # of receipts
Fate = Literal[
    "filled",  # and on record
    "split",  # into messages of smaller blocks
    "dropped",  # superseded or cancelled: nothing was done, nothing is on record
]


@dataclass(frozen=True, slots=True)
class Spec:
    """What a job does: which tiles of which revision of a layer, how they look, whether existing ones too."""

    layer: str
    revision: str
    selection: Selection
    look: Look
    force: bool = False

    def to_json(self) -> dict[str, Any]:
        """The JSON form, which also identifies the spec."""
        return {
            "layer": self.layer,
            "revision": self.revision,
            "zooms": format_zooms(self.selection.zooms),
            "boxes": [list(box) for box in self.selection.boxes],
            "scale": self.look.scale,
            "format": self.look.format,
            "force": self.force,
        }

    @property
    def digest(self) -> str:
        """8 hex digits that tell this spec from others."""
        return hashlib.blake2b(json.dumps(self.to_json()).encode(), digest_size=4).hexdigest()


@dataclass(frozen=True, slots=True)
class Job:
    """A spec with an id. The id names the layer, the spec and the time, so that a spec's jobs are found by name."""

    id: str
    spec: Spec

    @classmethod
    def new(cls, spec: Spec, now: datetime) -> Job:
        """A job that begins `now` (UTC)."""
        return cls(f"{spec.layer}-{spec.digest}-{now:%Y%m%dT%H%M%S.%f}", spec)

    def message(self, piece: Piece, *, force: bool = False) -> Message:
        """What a worker needs to know of one of the job's blocks; `force` spares it the look for existing tiles."""
        spec = self.spec
        request = Request(piece.block, piece.tiles, spec.look, spec.force or force)
        return Message(self.id, spec.layer, spec.revision, request)


@dataclass(frozen=True, slots=True)
class Message:
    """One block's work, on its way to a worker."""

    job: str
    layer: str
    revision: str
    request: Request

    def parts(self) -> Iterator[Message]:
        """The messages of the smaller blocks that a block larger than 8 x 8 consists of."""
        for block in self.request.block.parts():
            tiles = block.full if block.size == LEAF else 0
            yield replace(self, request=replace(self.request, block=block, tiles=tiles))

    def encode(self) -> str:
        """The message's JSON."""
        block, look = self.request.block, self.request.look
        return json.dumps(
            {
                "v": VERSION,
                "job": self.job,
                "layer": self.layer,
                "revision": self.revision,
                "z": block.z,
                "x": block.x,
                "y": block.y,
                "size": block.size,
                "tiles": f"{self.request.tiles:016x}",
                "scale": look.scale,
                "format": look.format,
                "force": self.request.force,
            },
            separators=(",", ":"),
        )

    @classmethod
    def decode(cls, text: str) -> Message:
        """The inverse of `encode`.

        Raises:
            MessageError: it is no message of this version.
        """
        try:
            said = json.loads(text)
            if said["v"] != VERSION:
                raise MessageError(f"message version {said['v']}: this program speaks {VERSION}")
            for name, kind in FIELDS.items():
                if type(said[name]) is not kind:
                    raise MessageError(f"not a message: {name} is {said[name]!r}")
            block = Block(said["z"], said["x"], said["y"], said["size"])
            look = Look(said["scale"], said["format"])
            request = Request(block, int(said["tiles"], 16), look, said["force"])
            return cls(said["job"], said["layer"], said["revision"], request)
        except (KeyError, TypeError, ValueError, BadInput) as error:
            raise MessageError(f"not a message: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one message's tiles."""

    block: Block
    outcome: Outcome
    fate: Fate = "filled"

    def encode(self) -> bytes:
        """The receipt's JSON."""
        said = asdict(self.outcome)
        masks = {name: f"{said[name]:016x}" for name in MASKS}
        return json.dumps({"v": VERSION, **said, **masks}, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, name: str, data: bytes) -> Receipt:
        """The inverse of `encode` and of the key's last part.

        Raises:
            MessageError: it is no receipt of this version.
        """
        try:
            said = json.loads(data)
            if said["v"] != VERSION:
                raise MessageError(f"receipt {name} is of another version")
            del said["v"]
            masks = {mask: int(said[mask], 16) for mask in MASKS}
            return cls(_block(name), Outcome(**{**said, **masks}))
        except (KeyError, TypeError, ValueError, BadInput) as error:
            raise MessageError(f"{name} is not a receipt: {error!r}") from error


def put_receipt(sources: Store, job: str, receipt: Receipt) -> None:
    """Put a receipt on record; harmless to repeat."""
    kind = "failed" if receipt.outcome.failed else "done"
    sources.put(job_key(job, kind, str(receipt.block)), receipt.encode(), content_type="application/json")


def finished(sources: Store, job: str, kind: Kind = "done") -> Iterator[Block]:
    """The blocks that have a receipt of that kind."""
    for entry in sources.list(job_key(job, f"{kind}/")):
        yield _block(entry.key.rpartition("/")[2])


def read_receipts(sources: Store, job: str, blocks: Iterable[Block], kind: Kind = "done") -> Iterator[Receipt]:
    """The receipts of blocks that have one, in any order."""

    def read(block: Block) -> Receipt:
        return Receipt.decode(str(block), sources.get(job_key(job, kind, str(block))))

    return overlap(read, blocks)


def receipts(sources: Store, job: str) -> Iterator[Receipt]:
    """The receipts of a job's finished blocks, in any order."""
    return read_receipts(sources, job, finished(sources, job))


def strike(sources: Store, job: str, kind: Kind, blocks: Iterable[Block] | None = None) -> None:
    """Take receipts off the record, those of `blocks` or all, because their blocks are to be done again."""
    struck = finished(sources, job, kind) if blocks is None else blocks
    sources.delete(job_key(job, kind, str(block)) for block in struck)


def cancelled(sources: Store, job: str) -> bool:
    """Whether nothing more of the job is to be rendered."""
    return sources.has(job_key(job, "cancelled"))


def put_job(sources: Store, job: Job) -> None:
    """Put on record what a job is asked to do."""
    sources.put(
        job_key(job.id, "job.json"),
        _json({"v": VERSION, "job": job.id, **job.spec.to_json()}),
        content_type="application/json",
    )


def put_plan(sources: Store, job: str, plan: dict[int, Count]) -> None:
    """Put on record what a job comes to, a zoom at a time."""
    zooms = {str(z): asdict(count) for z, count in plan.items()}
    sources.put(job_key(job, "plan.json"), _json({"v": VERSION, "zooms": zooms}), content_type="application/json")


def put_sent(sources: Store, job: str, queue: str) -> None:
    """Put on record that all messages of a job are in a queue."""
    said = _json({"v": VERSION, "queue": queue})
    sources.put(job_key(job, "sent.json"), said, content_type="application/json")


def sent(sources: Store, job: str) -> bool:
    """Whether all messages of the job went to a queue once."""
    return sources.has(job_key(job, "sent.json"))


def unfinished(sources: Store, spec: Spec) -> Job | None:
    """The latest job of `spec`, if it has blocks without a `done` and was not cancelled."""
    begun = sorted(name for name in sources.folders("jobs/") if name.startswith(f"{spec.layer}-{spec.digest}-"))
    if not begun:
        return None
    job = Job(begun[-1], spec)
    if cancelled(sources, job.id):
        return None
    try:
        plan = json.loads(sources.get(job_key(job.id, "plan.json")))
    except MissingObject:
        return job
    blocks = sum(zoom["blocks"] for zoom in plan["zooms"].values())
    done = sum(1 for _ in finished(sources, job.id))
    return job if done < blocks else None


def load_job(sources: Store, job: str) -> Job:
    """The job of that id.

    Raises:
        MissingObject: there is none.
        MessageError: it was not written by this version.
    """
    key = job_key(job, "job.json")
    try:
        said = json.loads(sources.get(key))
        if said["v"] != VERSION:
            raise MessageError(f"{key} is of another version")
        selection = Selection(parse_zooms(said["zooms"]), tuple(Bounds(*box) for box in said["boxes"]))
        return Job(
            job, Spec(said["layer"], said["revision"], selection, Look(said["scale"], said["format"]), said["force"])
        )
    except (KeyError, TypeError, ValueError, BadInput) as error:
        raise MessageError(f"{key} is not a job: {error!r}") from error


def _block(name: str) -> Block:
    """The inverse of a block's str."""
    try:
        return Block(*map(int, name.split("-")))
    except (TypeError, ValueError, GridError) as error:
        raise MessageError(f"{name} does not name a block: {error}") from error


def _json(said: dict[str, Any]) -> bytes:
    return (json.dumps(said, indent=1) + "\n").encode()
