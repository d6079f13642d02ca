"""Jobs, messages for their blocks, and receipts of processed blocks: values and their JSON."""

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
TIME = "%Y%m%dT%H%M%S.%f"  # UTC, in the id of a job
FIELDS = {  # fields of a message and their types
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
SIZES = (LEAF, LEAF**2, LEAF**3)  # of blocks in messages to a queue; workers split the larger ones
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")  # of a job or a revision, as part of a key
MASK = re.compile(r"[0-9a-f]{1,16}")
PLACES = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}|\d+")  # in an error: the name of a part, or a number
MASKS = ("written", "empty", "skipped", "failed")


Fate = Literal[
    "filled",  # rendered and recorded
    "split",  # into messages for smaller blocks
    "dropped",  # superseded or cancelled: not rendered, not recorded
]


def check_version(document: dict[str, Any], name: str, *versions: int) -> None:
    """Check that `document` has one of `versions`, by default `VERSION`; `name` is its name in the message.

    Raises:
        MessageError: it has another version.
        KeyError: there is no version.
    """
    known = versions or (VERSION,)
    if document["v"] not in known:
        readable = " or ".join(map(str, known))
        raise MessageError(f"{name} has version {document['v']}: this program reads version {readable}")


@dataclass(frozen=True, slots=True)
class Spec:
    """The specification of a job: layer and revision, selection, variant; `force` re-renders stored tiles."""

    layer: str
    revision: str
    selection: Selection
    variant: TileVariant
    force: bool = False

    def to_json(self) -> dict[str, Any]:
        """The JSON form, which is hashed as the identity of the spec."""
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
    def from_json(cls, document: dict[str, Any], tiles: Callable[[], TileSets]) -> Spec:
        """The inverse of `to_json`; `tiles` is called to load a set of tiles if the spec has one.

        Raises:
            MessageError: the document is not a spec.
        """
        try:
            listed = None if document["tiles"] is None else tiles()
            if listed and listed.digest != document["tiles"]:
                raise MessageError("the set of tiles differs from the hash in the spec")
            boxes = tuple(Bounds(*box) for box in document["boxes"])
            selection = Selection(parse_zooms(document["zooms"]), boxes, listed, document.get("footprint", True))
            variant = TileVariant(document["scale"], document["format"])
            return cls(document["layer"], document["revision"], selection, variant, document["force"])
        except (KeyError, TypeError, ValueError, BadInput) as error:
            raise MessageError(f"not the spec of a job: {error!r}") from error

    @property
    def digest(self) -> str:
        """A hash of the spec, 8 hex digits."""
        return hashlib.blake2b(json.dumps(self.to_json()).encode(), digest_size=4).hexdigest()


@dataclass(frozen=True, slots=True)
class Job:
    """A spec with an id made of layer, hash of the spec and time, so that a spec's jobs can be listed by prefix."""

    id: str
    spec: Spec

    @classmethod
    def new(cls, spec: Spec, now: datetime) -> Job:
        """A job starting at `now` (UTC)."""
        return cls(f"{spec.layer}-{spec.digest}-{now:{TIME}}", spec)

    def message(self, block_mask: BlockMask, *, force: bool = False) -> Message:
        """The message for one of the job's blocks; `force` skips the check for stored tiles."""
        spec = self.spec
        request = Request(block_mask.block, block_mask.tiles, spec.variant, spec.force or force)
        return Message(self.id, spec.layer, spec.revision, request)


@dataclass(frozen=True, slots=True)
class Message:
    """The work of one block, sent to a worker."""

    job: str
    layer: str
    revision: str
    request: Request

    @property
    def name(self) -> str:
        """The name of its block, for error messages."""
        return str(self.request.block)

    def parts(self) -> Iterator[Message]:
        """The messages for the 64 next smaller blocks of a block larger than 8 x 8."""
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
            MessageError: the text is not a message of this version.
        """
        try:
            fields = read_json(text)
            check_version(fields, "a message")
            for name, kind in FIELDS.items():
                if type(fields[name]) is not kind:
                    raise MessageError(f"not a message: {name} is {fields[name]!r}")
            _check_values(fields)
            block = Block(fields["z"], fields["x"], fields["y"], fields["size"])
            variant = TileVariant(fields["scale"], fields["format"])
            request = Request(block, int(fields["tiles"], 16), variant, fields["force"])
            return cls(fields["job"], fields["layer"], fields["revision"], request)
        except (KeyError, TypeError, ValueError, BadInput) as error:
            raise MessageError(f"not a message: {error!r}") from error


def _check_values(fields: dict[str, Any]) -> None:
    """Check a message's values before they become parts of keys.

    Raises:
        ValueError, BadName: a value is invalid.
    """
    check_layer(fields["layer"])
    for name, good in (
        ("job", NAME.fullmatch(fields["job"])),
        ("revision", NAME.fullmatch(fields["revision"])),
        ("tiles", MASK.fullmatch(fields["tiles"])),
        ("scale", fields["scale"] in (1, 2)),
        ("format", fields["format"] in FORMATS),
    ):
        if not good:
            raise ValueError(f"invalid {name}: {str(fields[name])[:80]!r}")


@dataclass(frozen=True, slots=True)
class Receipt:
    """The result of one message."""

    block: Block
    outcome: Outcome
    fate: Fate = "filled"

    def encode(self) -> bytes:
        """The receipt's JSON."""
        fields = asdict(self.outcome)
        masks = {name: f"{fields[name]:016x}" for name in MASKS}
        return json.dumps({"v": VERSION, **fields, **masks}, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, name: str, data: bytes) -> Receipt:
        """The inverse of `encode`; `name` is the last part of the key.

        Raises:
            MessageError: the data are not a receipt of this version.
        """
        try:
            fields = read_json(data)
            check_version(fields, f"receipt {name}")
            del fields["v"]
            masks = {mask: int(fields[mask], 16) for mask in MASKS}
            return cls(block_named(name), Outcome(**{**fields, **masks}))
        except (KeyError, TypeError, ValueError, BadInput) as error:
            raise MessageError(f"{name} is not a receipt: {error!r}") from error


def error_kind(error: str) -> str:
    """The text of an error without its numbers and names of parts, equal for the same error at different places."""
    return PLACES.sub("#", error)


def block_named(name: str) -> Block:
    """Parse the name of a block, the inverse of `str(block)`.

    Raises:
        MessageError: `name` is not a block's name.
    """
    try:
        return Block(*map(int, name.split("-")))
    except (TypeError, ValueError, GridError) as error:
        raise MessageError(f"{name} is not the name of a block: {error}") from error
