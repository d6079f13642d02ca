"""Bake a layer into parts, tier by tier, in chunks of 8 x 8 blocks, by parallel processes.

A chunk is warped once, compressed block by block into its worker's spool, and halved three times; the last halving is
the chunk's one block of the part's last level, from which the tier above is baked. So every pixel is warped once and
read back once at an eighth of its size, and no process holds more than a chunk. When its last chunk is there, a part is
written, stored and forgotten; a part that an earlier bake stored is not baked again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tiler import keys, timing
from tiler.errors import CatalogError
from tiler.grid import TILE, Window, tile_ranges
from tiler.ingest.baker import Below, baking, profile_of
from tiler.ingest.chunks import CHUNK, Baked, BakeTask, PartBlocks
from tiler.ingest.cog import Level, assemble
from tiler.ingest.disk_space import check_rest
from tiler.ingest.mosaic import gaps_in, source_of
from tiler.ingest.planned_parts import (
    Range,
    Raster,
    StoredPart,
    base_ranges,
    input_of,
    planned_of,
    regions_of,
    stored_parts,
    window_of,
)
from tiler.ingest.survey import Survey
from tiler.layers.cog_layout import CogLayout
from tiler.layers.footprint import Footprint
from tiler.layers.part_facts import PartFacts
from tiler.layers.pyramid import SERVED, SIDE, Part, Place, Pyramid, levels_of, put_manifest
from tiler.processes import stream
from tiler.raster.sparse import Regions
from tiler.storage.store import Store

PUTS = 2  # parts that are stored at once
WAITING = 4  # most parts that wait to be stored
FRESH = timedelta(seconds=timing.BAKE_SECONDS / 2)  # age of facts that need not be written anew


@dataclass(slots=True)
class Bake:
    """A bake of a layer into `sources`, with scratch files in `folder`."""

    layer: str
    sources: Store
    folder: Path
    raster: Raster
    jobs: int
    progress: Callable[[int, int], None]
    parts: dict[Place, Part] = field(default_factory=dict)
    opaque: bool = True
    baked: int = 0  # parts of the base
    reused: int = 0  # parts of the base that an earlier bake stored
    cells: npt.NDArray[np.bool_] = field(init=False)
    _known: dict[str, StoredPart] = field(default_factory=dict)  # by input
    _files: dict[str, str] = field(default_factory=dict)  # last levels of baked parts, unless `sources` is a folder
    _done: int = 0
    _total: int = 0

    @property
    def survey(self) -> Survey:
        """The survey of what is baked."""
        return self.raster.survey

    def __post_init__(self) -> None:
        ranges = tile_ranges(self.survey.bounds, self.survey.base)
        columns = sum(each.x1 - each.x0 for each in ranges)
        self.cells = np.zeros((ranges[0].y1 - ranges[0].y0, columns), bool)

    def run(self) -> tuple[Pyramid, Footprint]:
        """Bake the parts that are not stored yet, store them and the manifest.

        Raises:
            SourceReadError: some pixel could not be read.
            StoreError: a part could not be stored.
            WorkerDied: a worker process ended without a result.
            NoRoom: a part does not fit on the disk.
        """
        survey = self.survey
        self._known = stored_parts(self.layer, self.sources)
        ranges = base_ranges(survey)
        self._total = self._chunks(ranges)
        below = dict[Place, Part]()
        for tier in range(survey.base // SERVED + 1):
            below = self._bake_tier(tier, below, ranges)
            self.parts |= below
        self._advance(max(0, self._total - self._done))  # each step is told once, also the last
        finished = SERVED if survey.finished else 0
        shards = put_manifest(self.layer, self.sources, self.parts)
        left, top, *_ = ranges[0]
        footprint = Footprint.within(survey.base, left, top, self.cells)
        return Pyramid(survey.base, survey.dtype, self.opaque and bool(self.parts), finished, shards), footprint

    def _bake_tier(self, tier: int, below: Mapping[Place, Part], ranges: list[Range]) -> dict[Place, Part]:
        """The parts of a tier."""
        survey, zoom = self.survey, self.survey.base - SERVED * tier
        made, waiting = dict[Place, Part](), dict[Place, tuple[str, PartBlocks, int]]()
        gaps = gaps_in(survey) if tier == 0 else None
        source = source_of(survey, gaps) if tier == 0 and (gaps or survey.scenes) else None
        regions = regions_of(source, zoom) if source else Regions()

        def tasks() -> Iterator[BakeTask]:
            for place, chunks in planned_of(tier, zoom, below, ranges):
                wanted = input_of(self.raster, place, zoom, below)
                if wanted in self._known and (part := self._reused(self._known[wanted], len(chunks))):
                    made[place] = part
                    self.reused += tier == 0
                    continue
                todo = [chunk for chunk in chunks if not regions.bare(chunk.row, chunk.column)]
                self._advance(len(chunks) - len(todo))
                if todo:
                    waiting[place] = wanted, PartBlocks(zoom), len(todo)
                    yield from todo

        make = partial(baking, survey, tier, self.folder, gaps, Below(self.layer, self.sources, below, self._files))
        with _putting() as put:
            for baked in stream(make, tasks(), jobs=self.jobs):
                part = self._take(baked, waiting, put)
                if part:
                    made[baked.task.place] = part
                    self.baked += tier == 0
        return made

    def _take(
        self,
        baked: Baked,
        waiting: dict[Place, tuple[str, PartBlocks, int]],
        put: Callable[[Callable[[], None]], None],
    ) -> Part | None:
        """Collect a chunk; returns its part when that is complete and not empty."""
        place = baked.task.place
        wanted, blocks, left = waiting[place]
        blocks.add(baked)
        waiting[place] = wanted, blocks, left - 1
        check_rest(self.folder, blocks.size)
        self._advance(1)
        if left > 1:
            return None
        del waiting[place]
        return self._write(place, wanted, blocks, put)

    def _write(
        self, place: Place, wanted: str, blocks: PartBlocks, put: Callable[[Callable[[], None]], None]
    ) -> Part | None:
        """Write a part, and store it in the background; None if it is empty."""
        extent = blocks.extent()
        if extent is None:
            blocks.remove_spools()
            return None
        blocks.cut(extent)
        opaque = tuple(blocks.opaque_levels())
        profile = profile_of(self.survey, opaque=all(opaque))
        top, left, rows, columns = extent
        zoom, side = blocks.zoom, min(SIDE, 1 << blocks.zoom)
        finished = min(SERVED, levels_of(zoom)) if self.survey.finished else 0
        layout = CogLayout(
            zoom,
            place.column * side + left,
            place.row * side + top,
            columns,
            rows,
            levels_of(zoom),
            profile.opaque,
            finished,
        )
        if place.tier == 0:
            self.raster.check_in(window_of(place, zoom))  # before the part is stored as one of this content
        known = tuple(each and not profile.alpha for each in opaque)  # alpha in WebP's blocks is not looked at
        facts = PartFacts(layout, known, tuple(blocks.digests))
        part = Part(f"{wanted}-{facts.hash}", layout)
        if profile.masked:
            blocks.add_opaque_masks(self.folder)
        levels = [
            Level(
                columns * TILE >> level,
                rows * TILE >> level,
                blocks.values[level],
                blocks.masks[level] if profile.masked else None,
                level < finished,
            )
            for level in range(layout.levels)
        ]
        spools = [Path(spool) for spool in blocks.spools]
        file = self.folder / f"{part.name}.tif"
        window = Window(zoom, layout.x * TILE, layout.y * TILE, columns * TILE, rows * TILE)
        assemble(file, levels, profile, origin=window.corner, pixel=window.pixel, spools=spools)
        if layout.levels > SERVED and not self.sources.root:
            last, coarse = self.folder / f"{part.name}-last.tif", window.pixel * (1 << SERVED)
            assemble(last, levels[SERVED:], profile, origin=window.corner, pixel=coarse, spools=spools)
            self._files[part.name] = str(last)
        blocks.remove_spools()
        put(partial(_store, self.sources, self.layer, part, file, facts.dump()))
        self._count(facts)
        return part

    def _reused(self, stored: StoredPart, chunks: int) -> Part | None:
        """A stored part; None if its facts are damaged."""
        name = stored.name
        key = keys.part_facts_key(self.layer, name)
        try:
            data = self.sources.get(key)
            facts = PartFacts.parse(data, key)
        except CatalogError:
            return None
        if stored.age > FRESH:  # as new: the removal of old parts keeps it
            self.sources.put(key, data, content_type="application/json")
        self._count(facts)
        self._advance(chunks)
        return Part(name, facts.layout)

    def _count(self, facts: PartFacts) -> None:
        """Add a part to what is known of the layer: its tiles with data, and whether all pixels are opaque."""
        layout = facts.layout
        zooms = [layout.z - level for level in range(min(SERVED, layout.levels))]
        self.opaque &= all(
            opaque for zoom, opaque in zip(zooms, facts.opaque, strict=False) if zoom >= self.survey.minzoom
        )
        if layout.z == self.survey.base:
            first, world = tile_ranges(self.survey.bounds, layout.z)[0], 1 << layout.z
            rows, columns = np.nonzero(facts.digests[0])
            rows, columns = rows + layout.y - first.y0, (columns + layout.x - first.x0) % world
            inside = (rows >= 0) & (rows < self.cells.shape[0]) & (columns < self.cells.shape[1])
            self.cells[rows[inside], columns[inside]] = True

    def _advance(self, chunks: int) -> None:
        if chunks:
            self._done += chunks
            self.progress(min(self._done, self._total), self._total)

    def _chunks(self, ranges: list[Range]) -> int:
        """The number of chunks of all tiers, at most."""
        total, zoom = 0, self.survey.base
        step = min(CHUNK, 1 << zoom)
        while zoom >= 0:
            total += sum((-(-x1 // step) - x0 // step) * (-(-y1 // step) - y0 // step) for x0, y0, x1, y1 in ranges)
            ranges = [(x0 // 8, y0 // 8, -(-x1 // 8), -(-y1 // 8)) for x0, y0, x1, y1 in ranges]
            zoom -= SERVED
            step = min(CHUNK, 1 << max(zoom, 0))
        return total


def _store(sources: Store, layer: str, part: Part, file: Path, facts: bytes) -> None:
    """Store a part, and then its facts."""
    key = keys.part_key(layer, part.name)
    if sources.has(key, least=file.stat().st_size):
        file.unlink()
    else:
        sources.put_file(key, file, content_type="image/tiff")
    sources.put(keys.part_facts_key(layer, part.name), facts, content_type="application/json")


@contextmanager
def _putting() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Yield a function that runs puts in the background, few at once; wait for all of them at the end."""
    waiting: list[Future[None]] = []
    with ThreadPoolExecutor(PUTS) as pool:

        def put(task: Callable[[], None]) -> None:
            while len(waiting) >= WAITING or (waiting and waiting[0].done()):
                waiting.pop(0).result()
            waiting.append(pool.submit(task))

        try:
            yield put
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        for each in waiting:
            each.result()
