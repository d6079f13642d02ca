"""The facts of a part, stored beside its COG: its place, its opaque levels, and a digest of each of its blocks."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tiler.errors import CatalogError
from tiler.inputs import read_json
from tiler.layers.cog_layout import CogLayout

Digests = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class PartFacts:
    """The facts of a part.

    `opaque` tells of each level whether none of its blocks has a transparent pixel, false if they are WebP.
    `digests` has for each level `(rows, columns)` hashes of blocks with their masks; 0 is an empty block. Equal digests
    mean equal pixels.
    """

    layout: CogLayout
    opaque: tuple[bool, ...]
    digests: tuple[Digests, ...] = field(repr=False)

    @property
    def hash(self) -> str:
        """A hash of all blocks and their place, 16 hex digits."""
        digest = hashlib.blake2b(json.dumps(self.layout.to_json()).encode(), digest_size=8)
        for each in self.digests:
            digest.update(np.ascontiguousarray(each, "<u8").data)
        return digest.hexdigest()

    def dump(self) -> bytes:
        """The object's bytes."""
        texts = [base64.b64encode(np.ascontiguousarray(each, "<u8").data).decode() for each in self.digests]
        fields = {"layout": self.layout.to_json(), "opaque": self.opaque, "digests": texts}
        return json.dumps(fields).encode()

    @classmethod
    def parse(cls, data: bytes, key: str) -> PartFacts:
        """The inverse of `dump`.

        Raises:
            CatalogError: it is damaged.
        """
        try:
            fields = read_json(data)
            layout = CogLayout(**fields["layout"])
            digests = tuple(_digests(text, layout, level) for level, text in enumerate(fields["digests"]))
            return cls(layout, tuple(map(bool, fields["opaque"])), digests)
        except (KeyError, TypeError, ValueError) as error:
            raise CatalogError(key, error) from error


def _digests(text: str, layout: CogLayout, level: int) -> Digests:
    shape: Sequence[int] = (max(1, layout.rows >> level), max(1, layout.columns >> level))
    return np.frombuffer(base64.b64decode(text), "<u8").reshape(shape)
