"""Bake a layer into parts, tier by tier, in chunks of 8 x 8 blocks, by parallel processes.

A chunk is warped once, compressed block by block into its worker's spool, and halved three times; the last halving is
the chunk's one block of the part's last level, from which the tier above is baked. So every pixel is warped once and
read back once at an eighth of its size, and no process holds more than a chunk. When its last chunk is there, a part is
written, stored and forgotten; a part that an earlier bake stored is not baked again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

from tiler import keys, timing
from tiler.errors import CatalogError, MissingObject
from tiler.grid import TILE, Window
from tiler.ingest.baked_parts import BakedPart, Summary
from tiler.ingest.baker import Below, baking, profile_of
from tiler.ingest.chunks import Baked, BakeTask, PartBlocks
from tiler.ingest.cog import Level, assemble
from tiler.ingest.disk_space import check_rest
from tiler.ingest.mosaic import gaps_in, source_of
from tiler.ingest.planned_parts import (
    Raster,
    StoredPart,
    base_ranges,
    chunks_in,
    input_of,
    planned_of,
    regions_of,
    stored_parts,
    window_of,
)
from tiler.ingest.survey import Survey
from tiler.layers.cog_layout import CogLayout
from tiler.layers.part_facts import PartFacts
from tiler.layers.pyramid import SERVED, SIDE, Part, Place, levels_of
from tiler.processes import stream
from tiler.raster.sparse import Regions
from tiler.storage.store import Store

PUTS = 2  # parts that are stored at once
WAITING = 4  # most parts that wait to be stored
FRESH = timedelta(seconds=timing.BAKE_SECONDS / 2)  # age of facts that need not be written anew


def bake_layer(
    layer: str, sources: Store, folder: Path, raster: Raster, *, jobs: int, progress: Callable[[int, int], None]
) -> Summary:
    """Bake all parts of a layer that are not stored yet, tier by tier, by `jobs` processes.

    `progress` gets the chunks done and their total.

    Raises:
        BadSource, SourceReadError, StoreError, WorkerDied, NoRoom: see `Bake.parts`.
    """
    survey, known, summary = raster.survey, stored_parts(layer, sources), Summary(raster.survey)
    ranges = base_ranges(survey)
    total, done = chunks_in(survey.base, ranges), 0

    def advance(chunks: int) -> None:
        nonlocal done
        if chunks:
            done += chunks
            progress(min(done, total), total)

    bake = Bake(layer, sources, folder, raster, jobs, known.get, advance)
    below = dict[Place, Part]()
    for tier in range(survey.base // SERVED + 1):
        planned = planned_of(tier, survey.base - SERVED * tier, below, ranges)
        made = dict[Place, Part]()
        for each in bake.parts(tier, planned, below):
            summary.add(each)
            made |= {each.place: each.part} if each.part else {}
        below = made
    advance(max(0, total - done))  # each step is told once, also the last
    return summary


@dataclass(slots=True)
class Bake:
    """Bakes parts of a layer and stores them in `sources`, with scratch files in `folder`.

    `stored` returns the part that an earlier bake stored for an input, or None. `advance` gets numbers of chunks done.
    """

    layer: str
    sources: Store
    folder: Path
    raster: Raster
    jobs: int
    stored: Callable[[str], StoredPart | None]
    advance: Callable[[int], object]
    _files: dict[str, str] = field(default_factory=dict)  # last levels of baked parts, unless `sources` is a folder

    @property
    def survey(self) -> Survey:
        """The survey of what is baked."""
        return self.raster.survey

    def parts(
        self, tier: int, planned: Iterable[tuple[Place, Sequence[BakeTask]]], below: Mapping[Place, Part]
    ) -> Iterator[BakedPart]:
        """Bake parts of a tier from the parts `below` it; yields each, also empty ones. At the end all are stored.

        Raises:
            BadSource: a scene changed since it was examined.
            SourceReadError: some pixel could not be read.
            StoreError: a part could not be stored.
            WorkerDied: a worker process ended without a result.
            NoRoom: a part does not fit on the disk.
        """
        survey, zoom = self.survey, self.survey.base - SERVED * tier
        finished: list[BakedPart] = []
        waiting = dict[Place, tuple[str, PartBlocks, int]]()
        gaps = gaps_in(survey) if tier == 0 else None
        source = source_of(survey, gaps) if tier == 0 and (gaps or survey.scenes) else None
        regions = regions_of(source, zoom) if source else Regions()

        def tasks() -> Iterator[BakeTask]:
            for place, chunks in planned:
                wanted = input_of(self.raster, place, zoom, below)
                if (stored := self.stored(wanted)) and (part := self._reused(place, stored, len(chunks))):
                    finished.append(part)
                    continue
                todo = [chunk for chunk in chunks if not regions.bare(chunk.row, chunk.column)]
                self.advance(len(chunks) - len(todo))
                if todo:
                    waiting[place] = wanted, PartBlocks(zoom), len(todo)
                    yield from todo
                else:
                    finished.append(BakedPart(place))

        make = partial(baking, survey, tier, self.folder, gaps, Below(self.layer, self.sources, below, self._files))
        with _putting() as put:
            for baked in stream(make, tasks(), jobs=self.jobs):
                part = self._take(baked, waiting, put)
                if part:
                    finished.append(part)
                yield from finished
                finished.clear()
        yield from finished

    def _take(
        self,
        baked: Baked,
        waiting: dict[Place, tuple[str, PartBlocks, int]],
        put: Callable[[Callable[[], None]], None],
    ) -> BakedPart | None:
        """Collect a chunk; returns its part when that is complete."""
        place = baked.task.place
        wanted, blocks, left = waiting[place]
        blocks.add(baked)
        waiting[place] = wanted, blocks, left - 1
        check_rest(self.folder, blocks.size)
        self.advance(1)
        if left > 1:
            return None
        del waiting[place]
        return self._write(place, wanted, blocks, put)

    def _write(
        self, place: Place, wanted: str, blocks: PartBlocks, put: Callable[[Callable[[], None]], None]
    ) -> BakedPart:
        """Write a part, and store it in the background."""
        extent = blocks.extent()
        if extent is None:
            blocks.remove_spools()
            return BakedPart(place)
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
        return BakedPart.of(place, part.name, facts)

    def _reused(self, place: Place, stored: StoredPart, chunks: int) -> BakedPart | None:
        """A stored part; None if its facts are damaged."""
        key = keys.part_facts_key(self.layer, stored.name)
        try:
            data = self.sources.get(key)
            facts = PartFacts.parse(data, key)
        except (CatalogError, MissingObject):
            return None
        if stored.age > FRESH:  # as new: the removal of old parts keeps it
            self.sources.put(key, data, content_type="application/json")
        self.advance(chunks)
        return BakedPart.of(place, stored.name, facts, reused=True)


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
