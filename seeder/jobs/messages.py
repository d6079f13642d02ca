"""Jobs, the messages that carry their blocks, and the receipts that say what became of them: values and their JSON."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal

from seeder.select.blocks import BlockMask
from seeder.select.selection import Selection
from seeder.select.tileset import TileSets
from tiler.errors import BadInput, GridError, MessageError
from tiler.grid import LEAF, Block, Bounds, format_zooms, parse_zooms
from tiler.inputs import read_json
from tiler.keys import FORMATS, check_layer
from tiler.layers.fill import Outcome, Request
from tiler.layers.render import TileVariant

VERSION = 1
TIME = "%Y%m%dT%H%M%S.%f"  # in the id of a job, UTC
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
SIZES = (LEAF, LEAF**2, LEAF**3)  # of blocks that messages to a queue name: workers split the larger ones
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")  # of a job or a revision, as part of a key
MASK = re.compile(r"[0-9a-f]{1,16}")
MASKS = ("written", "empty", "skipped", "failed")


Fate = Literal[
    "filled",  # and on record
    "split",  # into messages of smaller blocks
    "dropped",  # superseded or cancelled: nothing was done, nothing is on record
]


def check_version(said: dict[str, Any], what: str) -> None:
    """Nothing, if this version of the program wrote `what`, whose JSON is `said`.

    Raises:
        MessageError: another one did.
        KeyError: it has no version.
    """
    if said["v"] != VERSION:
        raise MessageError(f"{what} is of version {said['v']}: this program speaks {VERSION}")


@dataclass(frozen=True, slots=True)
class Spec:
    """What a job does: which tiles of which revision of a layer, how they look, whether existing ones too."""

    layer: str
    revision: str
    selection: Selection
    variant: TileVariant
    force: bool = False

    def to_json(self) -> dict[str, Any]:
        """The JSON form, which also identifies the spec."""
        return {
            "layer": self.layer,
            "revision": self.revision,
            "zooms": format_zooms(self.selection.zooms),
            "boxes": [list(box) for box in self.selection.boxes],
            "tiles": None if self.selection.tiles is None else self.selection.tiles.digest,
            "scale": self.variant.scale,
            "format": self.variant.format,
            "force": self.force,
            **({} if self.selection.footprint else {"footprint": False}),
        }

    @classmethod
    def from_json(cls, said: dict[str, Any], tiles: Callable[[], TileSets]) -> Spec:
        """The inverse of `to_json`; `tiles` is asked for those that alone were selected, if the spec says so.

        Raises:
            MessageError: it is no spec of this version.
        """
        try:
            check_version(said, "the spec of a job")
            listed = None if said["tiles"] is None else tiles()
            if listed and listed.digest != said["tiles"]:
                raise MessageError("the tiles of a job are not those that it was given")
            boxes = tuple(Bounds(*box) for box in said["boxes"])
            selection = Selection(parse_zooms(said["zooms"]), boxes, listed, said.get("footprint", True))
            variant = TileVariant(said["scale"], said["format"])
            return cls(said["layer"], said["revision"], selection, variant, said["force"])
        except (KeyError, TypeError, ValueError, BadInput) as error:
            raise MessageError(f"not the spec of a job: {error!r}") from error

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
        return cls(f"{spec.layer}-{spec.digest}-{now:{TIME}}", spec)

    def message(self, block_mask: BlockMask, *, force: bool = False) -> Message:
        """What a worker needs to know of one of the job's blocks; `force` spares it the look for existing tiles."""
        spec = self.spec
        request = Request(block_mask.block, block_mask.tiles, spec.variant, spec.force or force)
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
        block, variant = self.request.block, self.request.variant
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
                "scale": variant.scale,
                "format": variant.format,
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
            said = read_json(text)
            check_version(said, "a message")
            for name, kind in FIELDS.items():
                if type(said[name]) is not kind:
                    raise MessageError(f"not a message: {name} is {said[name]!r}")
            _check_words(said)
            block = Block(said["z"], said["x"], said["y"], said["size"])
            variant = TileVariant(said["scale"], said["format"])
            request = Request(block, int(said["tiles"], 16), variant, said["force"])
            return cls(said["job"], said["layer"], said["revision"], request)
        except (KeyError, TypeError, ValueError, BadInput) as error:
            raise MessageError(f"not a message: {error!r}") from error


def _check_words(said: dict[str, Any]) -> None:
    """Check a message's names before they become keys.

    Raises:
        ValueError, BadName: one may not.
    """
    check_layer(said["layer"])
    for name, good in (
        ("job", NAME.fullmatch(said["job"])),
        ("revision", NAME.fullmatch(said["revision"])),
        ("tiles", MASK.fullmatch(said["tiles"])),
        ("scale", said["scale"] in (1, 2)),
        ("format", said["format"] in FORMATS),
    ):
        if not good:
            raise ValueError(f"{name} cannot be {str(said[name])[:80]!r}")


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
            said = read_json(data)
            check_version(said, f"receipt {name}")
            del said["v"]
            masks = {mask: int(said[mask], 16) for mask in MASKS}
            return cls(block_named(name), Outcome(**{**said, **masks}))
        except (KeyError, TypeError, ValueError, BadInput) as error:
            raise MessageError(f"{name} is not a receipt: {error!r}") from error


def error_kind(error: str) -> str:
    """What errors have in common that differ only in where they happened: the text with its numbers left out."""
    return re.sub(r"\d+", "#", error)


def block_named(name: str) -> Block:
    """The inverse of a block's str.

    Raises:
        MessageError: it names none.
    """
    try:
        return Block(*map(int, name.split("-")))
    except (TypeError, ValueError, GridError) as error:
        raise MessageError(f"{name} does not name a block: {error}") from error
