"""Bake one chunk: warp it or join it from the tier below, compress its blocks into a spool, halve it three times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from rasterio.session import DummySession

from tiler.grid import TILE, Window
from tiler.image.style import Area
from tiler.ingest.areas import inner, pasted
from tiler.ingest.chunks import CHUNK, NO_MASK, Baked, BakeTask
from tiler.ingest.cog import Profile, Spool, compress
from tiler.ingest.mosaic import source_of
from tiler.ingest.overviews import halved
from tiler.ingest.survey import Survey
from tiler.keys import part_key
from tiler.layers.digests import block_digest
from tiler.layers.part_pixels import read_parts
from tiler.layers.pyramid import SERVED, SIDE, Part, Place, levels_of
from tiler.raster.sparse import Gaps
from tiler.storage.gdal_reads import location
from tiler.storage.store import Store

HALO = 32  # pixels around a chunk that its halving reads; each halving halves it
CACHE = 128 << 20  # bytes of source blocks cached per worker


class Below(NamedTuple):
    """The parts of the tier below, stored in `sources`; `files` have the last level of some of them, by name."""

    layer: str
    sources: Store
    parts: Mapping[Place, Part]
    files: Mapping[str, str]

    def place(self, part: Part, _level: int) -> tuple[str, int]:
        """Where this process opens the last level of a part: a path, and the level there."""
        if part.name in self.files:
            return self.files[part.name], 0
        return location(self.sources, part_key(self.layer, part.name), part.layout.head), SERVED


class Baker:
    """The state of one worker between the chunks of a tier: the spool of its part, and its source."""

    def __init__(self, survey: Survey, tier: int, folder: Path, gaps: Gaps | None, below: Below) -> None:
        self.survey = survey
        self.tier = tier
        self.zoom = survey.base - SERVED * tier
        self.profile = profile_of(survey, opaque=False)
        self.folder = folder
        self.below = below
        self.source = source_of(survey, gaps) if tier == 0 else None
        self.spool: Spool | None = None
        self.place: Place | None = None

    def bake_chunk(self, task: BakeTask) -> Baked:
        """Bake one chunk into the spool of its part."""
        if self.spool is None or self.place != task.place:
            self.spool, self.place = Spool(self.folder), task.place
        with rasterio.Env(session=DummySession(), GDAL_CACHEMAX=CACHE):
            area = self._pixels(task)
        rows: list[tuple[int, ...]] = []
        digests: list[int] = []
        side = min(SIDE, 1 << self.zoom)
        row, column = task.row * self._step - task.place.row * side, task.column * self._step - task.place.column * side
        level, halo = 0, HALO
        while area is not None:
            for *block, digest in self._spool_blocks(
                self.spool, inner(area, halo), level, row >> level, column >> level
            ):
                rows.append(tuple(block))
                digests.append(digest)
            level, halo = level + 1, halo // 2
            area = halved(area, self.survey.overview) if level < levels_of(self.zoom) else None
        self.spool.flush()
        table = np.array(rows, np.int64).reshape(-1, 7)
        return Baked(task, str(self.spool.path), table, np.array(digests, np.int64).view(np.uint64))

    @property
    def _step(self) -> int:
        """Tiles along a chunk's side."""
        return min(CHUNK, 1 << self.zoom)

    def _pixels(self, task: BakeTask) -> Area | None:
        """The pixels of a chunk and its halo; transparent beyond the data, None if there are none.

        Beyond the map's north and south sides, where no data can be, the edge pixels are repeated.
        """
        side, world = self._step * TILE, TILE << self.zoom
        left, top, size = task.column * side - HALO, task.row * side - HALO, side + 2 * HALO
        north, south = max(0, -top), max(0, top + size - world)
        area = self._read(Window(self.zoom, left, top + north, size, size - north - south))
        if area is None or not (north or south):
            return area
        values, mask = area
        rows = (north, south), (0, 0)
        return np.pad(values, ((0, 0), *rows), "edge"), None if mask is None else np.pad(mask, rows, "edge")

    def _read(self, window: Window) -> Area | None:
        """The pixels of a window that may pass the antimeridian; None if there are none."""
        if self.source is None:
            return self._join(window)
        pieces = list(in_world(window))
        found = [(y, x, area) for y, x, piece in pieces if (area := self.source.warp(piece)) is not None]
        if len(pieces) == 1 and found and pieces[0][2] == window:
            return found[0][2]
        return pasted(found, window.height, window.width)

    def _join(self, window: Window) -> Area | None:
        """The pixels of a window from the parts of the tier below."""
        area = read_parts(
            lambda _: self.below.parts,
            self.below.place,
            self.tier - 1,
            self.zoom + SERVED,
            SERVED,
            window,
            bands=self.survey.reading.count,
            dtype=self.survey.dtype,
        )
        values, mask = area
        if mask is None:
            return area
        if not mask.any():
            return None
        return values, None if mask.min() == 255 else mask

    def _spool_blocks(self, spool: Spool, area: Area, level: int, row: int, column: int) -> Iterator[tuple[int, ...]]:
        """Compress the area's blocks into the spool; yields the row of `Baked.blocks` for each, and its digest."""
        values, mask = area
        for y in range(0, values.shape[1], TILE):
            for x in range(0, values.shape[2], TILE):
                place = (slice(y, y + TILE), slice(x, x + TILE))
                block_mask = None if mask is None else mask[place]
                if block_mask is not None and not block_mask.any():
                    continue
                finished = level < SERVED
                block, outside = compress(values[:, *place], block_mask, self.profile, finished=finished)
                at = spool.add(block)
                mask_at = spool.add(outside) if outside else NO_MASK
                yield (
                    level,
                    row + y // TILE,
                    column + x // TILE,
                    *at,
                    *mask_at,
                    block_digest(self.profile.kind, block, outside),
                )


def in_world(window: Window) -> Iterator[tuple[int, int, Window]]:
    """The pieces of a window on both sides of the antimeridian: row and column in the window, and the piece."""
    world = TILE << window.z
    left, right = window.x, window.x + window.width
    while left < right:
        following = min(right, (left // world + 1) * world)
        yield 0, left - window.x, Window(window.z, left % world, window.y, following - left, window.height)
        left = following


def profile_of(survey: Survey, *, opaque: bool) -> Profile:
    """The profile of a part's blocks. WebP always keeps opacity: blocks are compressed before all are known."""
    webp = survey.finished is not None and survey.finished != "jpg"
    return Profile(
        survey.dtype, survey.reading.count, survey.style.palette, survey.finished, opaque=opaque and not webp
    )


def baking(survey: Survey, tier: int, folder: Path, gaps: Gaps | None, below: Below) -> Callable[[BakeTask], Baked]:
    """The task of one worker; see `stream`."""
    return Baker(survey, tier, folder, gaps, below).bake_chunk
