"""A raster to a Web-Mercator COG on the XYZ grid, in chunks of 8 x 8 blocks, by many processes.

A chunk is warped once, compressed block by block into its worker's spool, halved three times on the way, and
the last halving goes to the spool as it is: 8 x 8 of those make a chunk three zooms lower. So every pixel is
warped once and read back once at an eighth of its size, and no process ever holds more than a chunk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.io import DatasetReader
from rasterio.session import DummySession
from threadpoolctl import threadpool_limits

from tiler.grid import TILE, Bounds, Window, tile_ranges
from tiler.image.style import Area
from tiler.ingest.cog import Blocks, Level, Profile, Spool, assemble, compress_mask, compress_values
from tiler.ingest.disk_space import check_rest
from tiler.ingest.overviews import halved
from tiler.ingest.processes import stream
from tiler.ingest.survey import Survey
from tiler.layers.cog_layout import CogLayout
from tiler.raster.datasets import opened
from tiler.raster.reading import Box
from tiler.raster.sparse import Gaps, Regions, Share, bare, gaps_of
from tiler.raster.warp import KERNEL, covered, overview_for, warp, warp_valid

CHUNK = 8  # blocks along a chunk's side
HALVINGS = 3  # CHUNK is 2**HALVINGS
SIDE = CHUNK * TILE  # pixels
READ = 4096 * 4096  # source pixels; more are not read at once
HALO = 32  # pixels around a chunk that halving looks at; each halving halves it
FINEST = 2 * TILE + HALO  # pixels; a window this small is warped with its mask rather than divided again
EXACT = 8  # halvings that keep a tile edge on a pixel edge: TILE is 2**EXACT
CACHE = 200  # megabytes of source blocks that a worker keeps
NEAR = 16  # of the world's width; a wider part is not asked for at once, because maps bend

Ref = tuple[str, int]  # spool and offset of a halved chunk


@dataclass(frozen=True, slots=True)
class BakeTask:
    """A chunk to bake: at level 0 from the raster, deeper from `parts`.

    Those are (row, column, where) of each block of the chunk and of its halo, counted from the chunk's first.
    """

    level: int
    row: int  # in chunks
    column: int
    parts: tuple[tuple[int, int, Ref], ...] = ()


@dataclass(frozen=True, slots=True)
class Baked:
    """What a chunk became.

    `places` is rows of (level, row, column, offset, size, mask offset, mask size), the offsets in `spool`.
    """

    task: BakeTask
    spool: str
    places: npt.NDArray[np.int64]
    opaque: bool
    rest: Ref | None


def lay_out(bounds: Bounds, z: int) -> CogLayout:
    """Where the COG of `bounds` lies on the grid of zoom `z`.

    Its overviews end with the first that is no larger than a block. It begins and ends on such a tile edge that
    the blocks of the base and of the next three levels are tiles of the grid, and that the pixels of every level
    are pixels of the grid.
    """
    ranges = tile_ranges(bounds, z)
    x0, y0, x1, y1 = ranges[0].x0, ranges[0].y0, ranges[-1].x1, ranges[0].y1
    if len(ranges) == 2:
        x1 += 2**z
    align = min(HALVINGS, z)
    while True:
        step = 2**align
        left, top = x0 // step * step, y0 // step * step
        columns, rows = (-(-(end - start) // step) * step for start, end in ((left, x1), (top, y1)))
        columns = min(columns, 2**z)
        halvings = math.ceil(math.log2(max(columns, rows)))
        if halvings - EXACT <= align or align == z:
            return CogLayout(z, left, top, columns, rows, halvings + 1, opaque=False)
        align = min(halvings - EXACT, z)


class Baker:
    """What one worker keeps between chunks: its spool and its view of the raster."""

    def __init__(self, survey: Survey, bake: CogLayout, folder: Path, gaps: Gaps | None = None) -> None:
        self.survey = survey
        self.bake = bake
        self.gaps = gaps
        self.profile = Profile(survey.dtype, survey.reading.count, survey.style.palette)
        self.spool = Spool(folder)
        self.dataset, self.reach = _view(survey)

    def bake_chunk(self, task: BakeTask) -> Baked:
        """Bake one chunk into the spool."""
        with rasterio.Env(session=DummySession(), GDAL_CACHEMAX=CACHE):
            area = self._joined(task) if task.level else self._read(task)
        places: list[tuple[int, ...]] = []
        level, halo, opaque = task.level, HALO, False
        row, column = task.row * CHUNK, task.column * CHUNK
        last = min(task.level + HALVINGS, self.bake.levels)
        while area is not None and level < last:
            core = _core(area, halo)
            opaque |= level == task.level and core[1] is None
            places += self._kept(core, level, row, column)
            area = halved(area, self.survey.overview)
            level, halo, row, column = level + 1, halo // 2, row // 2, column // 2
        rest = self._rest(_core(area, halo)) if area is not None and level < self.bake.levels else None
        self.spool.flush()
        table = np.array(places, np.int64).reshape(-1, 7)
        return Baked(task, str(self.spool.path), table, opaque, rest)

    def _read(self, task: BakeTask) -> Area | None:
        """The chunk's pixels and its halo; where that leaves the COG, its last pixels again."""
        window, aside, above = _window(self.bake, task.row, task.column)
        area = self._warped(window)
        if area is None:
            return None
        values, mask = area
        filled = None if mask is None else np.pad(mask, (above, aside), "edge")
        return np.pad(values, ((0, 0), above, aside), "edge"), filled

    def _warped(self, window: Window) -> Area | None:
        """The window's pixels in the baked dtype, or None where the raster has none there.

        GDAL warps several times faster without a mask, so the mask is only asked for where it matters: what may
        touch an edge or a hole is divided until it is small. Where nothing was written, or nothing is valid, nothing
        is warped.
        """
        survey = self.survey
        box = covered(self.dataset, window, self.reach)
        if box is not None:
            if self._bare(box):
                return None
            left, top, right, bottom = box
            inside = left >= 0 and top >= 0 and right <= self.dataset.width and bottom <= self.dataset.height
            small = (right - left) * (bottom - top) <= READ
            if inside and small:
                valid = warp_valid(self.dataset, survey.reading, window, survey.resampling, box)
                if valid is not None:
                    return valid, None
        if max(window.width, window.height) > FINEST:
            return self._divided(window)
        values, mask = warp(self.dataset, survey.reading, window, survey.resampling)
        if not mask.any():
            return None
        return values, None if mask.min() == 255 else mask

    def _bare(self, box: Box) -> bool:
        """Whether `box` lies beside the raster or is seen to hold no valid pixel; one too large is not looked at."""
        left, top, right, bottom = box
        if right <= 0 or bottom <= 0 or left >= self.dataset.width or top >= self.dataset.height:
            return True
        if self.gaps and self.gaps.share(box) == "none":
            return True
        return (right - left) * (bottom - top) <= READ and bare(self.dataset, self.survey.reading, box)

    def _divided(self, window: Window) -> Area | None:
        half = -(-max(window.width, window.height) // (2 * HALO)) * HALO
        parts = []
        for y in range(0, window.height, half):
            for x in range(0, window.width, half):
                width, height = min(half, window.width - x), min(half, window.height - y)
                area = self._warped(Window(window.z, window.x + x, window.y + y, width, height))
                if area is not None:
                    parts.append((y, x, area))
        return self._pasted(parts, window.height, window.width)

    def _pasted(self, parts: Sequence[tuple[int, int, Area]], height: int, width: int) -> Area | None:
        """One area of (row, column, area) parts, cut to its size; what none of them covers is transparent."""
        if not parts:
            return None
        values = np.zeros((self.profile.bands, height, width), self.profile.dtype)
        mask = np.zeros((height, width), np.uint8)
        for y, x, (some, cover) in parts:
            there = (slice(max(y, 0), y + some.shape[1]), slice(max(x, 0), x + some.shape[2]))
            here = (slice(max(-y, 0), height - y), slice(max(-x, 0), width - x))
            values[:, *there] = some[:, *here]
            mask[there] = 255 if cover is None else cover[here]
        return values, None if mask.min() == 255 else mask

    def _kept(self, area: Area, level: int, row: int, column: int) -> Iterator[tuple[int, ...]]:
        """Put the area's blocks into the spool; where each lies."""
        values, mask = area
        for y in range(0, values.shape[1], TILE):
            for x in range(0, values.shape[2], TILE):
                place = (slice(y, y + TILE), slice(x, x + TILE))
                cover = None if mask is None else mask[place]
                if cover is not None and not cover.any():
                    continue
                block = self.spool.add(compress_values(values[:, *place], self.profile))
                soft = cover is not None and cover.min() < 255
                hidden = self.spool.add(compress_mask(cover)) if soft and cover is not None else (0, 0)
                yield (level, row + y // TILE, column + x // TILE, *block, *hidden)

    def _rest(self, area: Area) -> Ref:
        """Put what is left of a chunk, one block, into the spool as it is, its mask behind it."""
        values, mask = area
        cover = np.full(values.shape[1:], 255, np.uint8) if mask is None else mask
        offset, _ = self.spool.add(values.tobytes() + cover.tobytes())
        return str(self.spool.path), offset

    def _joined(self, task: BakeTask) -> Area | None:
        size = TILE * TILE
        depth = self.profile.bands * np.dtype(self.profile.dtype).itemsize
        parts = []
        for row, column, (path, offset) in task.parts:
            with Path(path).open("rb") as spool:
                spool.seek(offset)
                data = spool.read(size * (depth + 1))
            values = np.frombuffer(data, self.profile.dtype, size * self.profile.bands).reshape(-1, TILE, TILE)
            mask = np.frombuffer(data, np.uint8, size, size * depth).reshape(TILE, TILE)
            parts.append((row * TILE + HALO, column * TILE + HALO, (values, mask)))
        return self._pasted(parts, SIDE + 2 * HALO, SIDE + 2 * HALO)


def _view(survey: Survey) -> tuple[DatasetReader, float]:
    """The raster or its overview that is warped, and how many of its pixels a kernel looks past a window."""
    shrink = 2.0 ** (survey.zoom - survey.base)
    dataset = opened(
        survey.path, overview_for(survey.path, shrink, survey.open_options), open_options=survey.open_options
    )
    left = shrink * dataset.width / opened(survey.path, open_options=survey.open_options).width  # to shrink from there
    return dataset, (KERNEL[survey.resampling] + 1) * max(1.0, left)


def _window(bake: CogLayout, row: int, column: int, side: int = 1) -> tuple[Window, tuple[int, int], tuple[int, int]]:
    """A square of chunks with its halo, cut to the COG; and what was cut off its columns and its rows."""
    left, width, aside = _span(column, bake.columns, side)
    top, height, above = _span(row, bake.rows, side)
    return Window(bake.z, bake.x * TILE + left, bake.y * TILE + top, width, height), aside, above


def _span(chunk: int, tiles: int, chunks: int) -> tuple[int, int, tuple[int, int]]:
    """First pixel and length of chunks with their halo, cut to the COG's `tiles`; and what was cut off at each end."""
    start, stop = chunk * SIDE - HALO, min((chunk + chunks) * SIDE, tiles * TILE) + HALO
    first, last = max(start, 0), min(stop, tiles * TILE)
    return first, last - first, (first - start, stop - last)


def _core(area: Area, halo: int) -> Area:
    """The area without its halo; without a mask where that is opaque."""
    values, mask = area
    inside = (slice(halo, values.shape[1] - halo), slice(halo, values.shape[2] - halo))
    cover = None if mask is None or mask[inside].min() == 255 else mask[inside]
    return values[:, *inside], cover


def _baking(survey: Survey, bake: CogLayout, folder: Path, gaps: Gaps | None) -> Callable[[BakeTask], Baked]:
    """A worker's task."""
    threadpool_limits(1)  # there is a worker for each core: threads of theirs would only wait for each other
    return Baker(survey, bake, folder, gaps).bake_chunk


def _regions(survey: Survey, bake: CogLayout, gaps: Gaps) -> Regions:
    """The regions of the base with chunks to bake."""
    dataset, reach = _view(survey)

    def share(row: int, column: int, side: int) -> Share:
        window, *_ = _window(bake, row, column, side)
        box = covered(dataset, window, reach)
        return "some" if box is None else gaps.share(box)

    chunks = min(-(-max(bake.columns, bake.rows) // CHUNK), max(1, 2**bake.z // CHUNK // NEAR))
    return Regions(share, 1 << (chunks - 1).bit_length())


@dataclass(slots=True)
class _Collected:
    """Where all blocks lie, as chunks come in."""

    spools: list[str]
    values: list[Blocks]
    masks: list[Blocks]
    opaque: bool = True
    size: int = 0  # bytes of all blocks

    def add(self, baked: Baked) -> None:
        if baked.spool not in self.spools:
            self.spools.append(baked.spool)
        spool = self.spools.index(baked.spool)
        self.opaque &= baked.opaque or baked.task.level > 0  # overviews are padded beyond the raster
        for level, row, column, *place in baked.places.tolist():
            self.size += place[1] + place[3]
            self.values[level].set(row, column, spool, (place[0], place[1]))
            if place[3]:
                self.masks[level].set(row, column, spool, (place[2], place[3]))

    def show_rest(self, folder: Path) -> None:
        """Give every block that has values but no mask the mask that shows all of it."""
        spool = Spool(folder)
        place = spool.add(compress_mask(np.full((TILE, TILE), 255, np.uint8)))
        spool.flush()
        self.spools.append(str(spool.path))
        for values, mask in zip(self.values, self.masks, strict=True):
            plain = (values.size > 0) & (mask.size == 0)
            mask.spool[plain] = len(self.spools) - 1
            mask.offset[plain], mask.size[plain] = place


def bake_cog(
    survey: Survey, path: Path, *, jobs: int, progress: Callable[[int, int], None]
) -> tuple[CogLayout, npt.NDArray[np.bool_]]:
    """Bake the raster of `survey` into a COG at `path`, with scratch files beside it.

    `progress` is told the chunks done and those to do. Returns where the COG lies on the grid and which
    tiles of its base, `(rows, columns)`, hold data.

    Raises:
        SourceReadError: some pixel could not be read.
        WorkerDied: a worker process ended without an answer.
        NoRoom: the COG would not fit on the disk beside the scratch files.
    """
    bake = lay_out(survey.bounds, survey.base)
    widths = [bake.columns * TILE >> level for level in range(bake.levels)]
    heights = [bake.rows * TILE >> level for level in range(bake.levels)]
    shapes = [
        (-(-max(1, height) // TILE), -(-max(1, width) // TILE)) for width, height in zip(widths, heights, strict=True)
    ]
    found = _Collected([], [Blocks(*shape) for shape in shapes], [Blocks(*shape) for shape in shapes])
    tops = range(0, bake.levels, HALVINGS)
    base, *rest = (math.prod(-(-side // CHUNK) for side in shapes[level]) for level in tops)
    total = base + sum(rest)
    done = 0
    parts: dict[tuple[int, int], list[tuple[int, int, Ref]]] = {}
    gaps = gaps_of(_view(survey)[0], survey.reading)
    regions = _regions(survey, bake, gaps) if gaps else Regions()
    make = partial(_baking, survey, bake, path.parent, gaps)
    for level in tops:
        tasks = _tasks(level, shapes[level], parts, regions)
        parts = {}
        for baked in stream(make, tasks, jobs=jobs if level == 0 else 1):
            found.add(baked)
            if baked.rest:
                row, column = baked.task.row, baked.task.column
                for above, left in _chunks_around(row, column):
                    part = (row - above * CHUNK, column - left * CHUNK, baked.rest)
                    parts.setdefault((above, left), []).append(part)
            done += 1
            check_rest(path.parent, found.size, min(1.0, (done + regions.passed) / base))
            progress(done + regions.passed, total)
    if regions.passed:  # the last ones, perhaps
        progress(total, total)
    opaque = found.opaque and bool((found.values[0].size > 0).all())
    if not opaque:
        found.show_rest(path.parent)
    masks = [None if opaque else mask for mask in found.masks]
    levels = [Level(*said) for said in zip(widths, heights, found.values, masks, strict=True)]
    window = Window(bake.z, bake.x * TILE, bake.y * TILE, widths[0], heights[0])
    profile = Profile(survey.dtype, survey.reading.count, survey.style.palette)
    assemble(
        path, levels, profile, origin=window.corner, pixel=window.pixel, spools=[Path(spool) for spool in found.spools]
    )
    return replace(bake, opaque=opaque), found.values[0].size > 0


def _chunks_around(row: int, column: int) -> set[tuple[int, int]]:
    """The chunks three zooms lower that hold the block or touch it, and so need it for their halo."""
    return {((row + y) // CHUNK, (column + x) // CHUNK) for y in (-1, 0, 1) for x in (-1, 0, 1)}


def _tasks(
    level: int, shape: tuple[int, int], parts: dict[tuple[int, int], list[tuple[int, int, Ref]]], regions: Regions
) -> Iterator[BakeTask]:
    """The chunks of a level: at the base those that something is written in, deeper all, with what was left of them."""
    for row in range(-(-shape[0] // CHUNK)):
        for column in range(-(-shape[1] // CHUNK)):
            if level == 0:
                if not regions.bare(row, column):
                    yield BakeTask(0, row, column)
            else:
                yield BakeTask(level, row, column, tuple(parts.get((row, column), ())))
