"""Messages of a bake queue: bake a part, publish the layer, renew its stored tiles."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal, get_args

from seeder.jobs.messages import NAME, VERSION, check_version
from tiler.errors import MessageError
from tiler.inputs import read_json
from tiler.layers.pyramid import Place

BakeKind = Literal[
    "part",  # bake a part
    "publish",  # publish the layer: all its parts are baked
    "renew",  # render its stored tiles that changed, then its first tiles
]
KINDS: tuple[BakeKind, ...] = get_args(BakeKind)


@dataclass(frozen=True, slots=True)
class BakeMessage:
    """A step of a bake job; `place` is that of a part, else None."""

    kind: BakeKind
    job: str
    place: Place | None = None

    @property
    def name(self) -> str:
        """Its name in error messages."""
        return "/".join(map(str, self.place)) if self.place else self.kind

    def encode(self) -> str:
        """The message's JSON."""
        fields = {"v": VERSION, "kind": self.kind, "job": self.job}
        return json.dumps({**fields, **(self.place._asdict() if self.place else {})}, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> BakeMessage:
        """The inverse of `encode`.

        Raises:
            MessageError: the text is not a message of this version.
        """
        try:
            fields = read_json(text)
            check_version(fields, "a message")
            kind = next(each for each in KINDS if each == fields["kind"])
            place = Place(*(_number(fields[name]) for name in Place._fields)) if kind == "part" else None
            return cls(kind, _job(fields["job"]), place)
        except (KeyError, StopIteration, TypeError, ValueError) as error:
            raise MessageError(f"not a message of a bake queue: {error!r}") from error


def _job(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError(f"invalid job: {value[:80]!r}")
    return value


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"not a number of a part: {str(value)[:80]!r}")
    return value
