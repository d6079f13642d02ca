"""What a layer's metadata need to know of its baked parts: their names, opaque pixels, and tiles with data."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tiler.grid import tile_ranges
from tiler.ingest.survey import Survey
from tiler.layers.cog_layout import CogLayout
from tiler.layers.footprint import Footprint
from tiler.layers.part_facts import PartFacts
from tiler.layers.pyramid import SERVED, Part, Place, Pyramid


@dataclass(frozen=True, slots=True)
class BakedPart:
    """A baked part, `part` None if it is empty.

    `opaque` tells of each of its levels whether no pixel is transparent. `filled` tells which tiles of its first level
    hold data, `(rows, columns)` bool. `reused` if an earlier bake stored it.
    """

    place: Place
    part: Part | None = None
    opaque: tuple[bool, ...] = ()
    filled: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), bool), repr=False)
    reused: bool = False

    @classmethod
    def of(cls, place: Place, name: str, facts: PartFacts, *, reused: bool = False) -> BakedPart:
        """A part from its name and facts."""
        return cls(place, Part(name, facts.layout), facts.opaque, facts.digests[0] != 0, reused)

    def to_json(self) -> dict[str, Any]:
        """The JSON form, without the place."""
        if self.part is None:
            return {"name": ""}
        return {
            "name": self.part.name,
            "layout": self.part.layout.to_json(),
            "opaque": self.opaque,
            "filled": base64.b64encode(np.packbits(self.filled).data).decode(),
            "reused": self.reused,
        }

    @classmethod
    def from_json(cls, place: Place, fields: dict[str, Any]) -> BakedPart:
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: a field is missing or invalid.
        """
        if not fields["name"]:
            return cls(place)
        layout = CogLayout(**fields["layout"])
        bits = np.frombuffer(base64.b64decode(fields["filled"]), np.uint8)
        filled = np.unpackbits(bits, count=layout.rows * layout.columns).astype(bool)
        return cls(
            place,
            Part(str(fields["name"]), layout),
            tuple(map(bool, fields["opaque"])),
            filled.reshape(layout.rows, layout.columns),
            bool(fields["reused"]),
        )


@dataclass(slots=True)
class Summary:
    """The parts of a bake so far."""

    survey: Survey
    parts: dict[Place, Part] = field(default_factory=dict)
    opaque: bool = True
    baked: int = 0  # parts of the base
    reused: int = 0  # parts of the base that an earlier bake stored
    _cells: npt.NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        ranges = tile_ranges(self.survey.bounds, self.survey.base)
        columns = sum(each.x1 - each.x0 for each in ranges)
        self._cells = np.zeros((ranges[0].y1 - ranges[0].y0, columns), bool)

    def add(self, baked: BakedPart) -> None:
        """Add a part, unless it is empty."""
        if baked.part is None:
            return
        self.parts[baked.place] = baked.part
        layout, base = baked.part.layout, self.survey.base
        zooms = (layout.z - level for level in range(min(SERVED, layout.levels)))
        self.opaque &= all(
            opaque for zoom, opaque in zip(zooms, baked.opaque, strict=False) if zoom >= self.survey.minzoom
        )
        if baked.place.tier:
            return
        self.baked += not baked.reused
        self.reused += baked.reused
        first, world = tile_ranges(self.survey.bounds, base)[0], 1 << base
        rows, columns = np.nonzero(baked.filled)
        rows, columns = rows + layout.y - first.y0, (columns + layout.x - first.x0) % world
        inside = (rows >= 0) & (rows < self._cells.shape[0]) & (columns < self._cells.shape[1])
        self._cells[rows[inside], columns[inside]] = True

    @property
    def footprint(self) -> Footprint:
        """The tiles with data."""
        first = tile_ranges(self.survey.bounds, self.survey.base)[0]
        return Footprint.within(self.survey.base, first.x0, first.y0, self._cells)

    def pyramid(self, shards: dict[tuple[int, int, int], str]) -> Pyramid:
        """The layer's parts, once all are added and their manifest is stored as `shards`."""
        survey = self.survey
        finished = SERVED if survey.finished else 0
        return Pyramid(survey.base, survey.dtype, self.opaque and bool(self.parts), finished, shards)
