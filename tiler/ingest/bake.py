"""Bake a raster into a Web Mercator COG on the XYZ grid, in chunks of 8 x 8 blocks, by parallel processes.

A chunk is warped once, compressed block by block into its worker's spool, and halved three times. The last halving is
spooled uncompressed: 8 x 8 of those form a chunk three zooms lower. So every pixel is warped once and read back once
at an eighth of its size, and no process holds more than a chunk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import rasterio
from rasterio.io import DatasetReader
from rasterio.session import DummySession
from threadpoolctl import threadpool_limits

from tiler.grid import TILE, Bounds, Window, tile_ranges
from tiler.image.style import Area
from tiler.ingest.chunks import Baked, BakeTask, Collected, Ref
from tiler.ingest.cog import Blocks, Level, Profile, Spool, assemble, compress
from tiler.ingest.disk_space import check_rest
from tiler.ingest.overviews import halved
from tiler.ingest.processes import stream
from tiler.ingest.survey import Survey
from tiler.layers.cog_layout import CogLayout
from tiler.layers.digests import Levels, block_digest
from tiler.raster.datasets import opened
from tiler.raster.reading import Box, clipped
from tiler.raster.sparse import Gaps, Regions, Share, bare, gaps_of
from tiler.raster.warp import KERNEL, covered, overview_for, warp
from tiler.raster.whole import warp_valid

CHUNK = 8  # blocks along a chunk's side
HALVINGS = 3  # CHUNK is 2**HALVINGS
SIDE = CHUNK * TILE  # pixels
READ = 4096 * 4096  # source pixels, the most to read at once
HALO = 32  # pixels around a chunk that its halving reads; each halving halves it
FINEST = 2 * TILE + HALO  # pixels; a window this small is warped with its mask instead of being divided again
EXACT = 8  # halvings that keep a tile edge on a pixel edge: TILE is 2**EXACT
CACHE = 200  # megabytes of source blocks cached per worker
NEAR = 16  # one over the largest share of the world's width to check at once, because projections bend


def lay_out(bounds: Bounds, z: int) -> CogLayout:
    """The place of the COG of `bounds` on the grid of zoom `z`.

    Its last overview is the first that fits in one block. It is aligned so that the blocks of the base and of the next
    three levels are tiles of the grid, and the pixels of every level are pixels of the grid.
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
    """The state of one worker between chunks: its spool and its open raster."""

    def __init__(
        self, survey: Survey, bake: CogLayout, folder: Path, gaps: Gaps | None = None, *, opaque: bool = False
    ) -> None:
        self.survey = survey
        self.bake = bake
        self.gaps = gaps
        self.profile = _profile(survey, bake, opaque=opaque)
        self.spool = Spool(folder)
        self.dataset, self.reach = _view(survey)

    def bake_chunk(self, task: BakeTask) -> Baked:
        """Bake one chunk into the spool."""
        with rasterio.Env(session=DummySession(), GDAL_CACHEMAX=CACHE):
            area = self._join(task) if task.level else self._read(task)
        rows: list[tuple[int, ...]] = []
        level, halo, opaque = task.level, HALO, False
        row, column = task.row * CHUNK, task.column * CHUNK
        last = min(task.level + HALVINGS, self.bake.levels)
        while area is not None and level < last:
            core = _core(area, halo)
            opaque |= level == task.level and core[1] is None
            rows += self._spool_blocks(core, level, row, column)
            area = halved(area, self.survey.overview)
            level, halo, row, column = level + 1, halo // 2, row // 2, column // 2
        rest = self._spool_halved(_core(area, halo)) if area is not None and level < self.bake.levels else None
        self.spool.flush()
        table = np.array(rows, np.int64).reshape(-1, 8)
        return Baked(task, str(self.spool.path), table, opaque, rest)

    def _read(self, task: BakeTask) -> Area | None:
        """The pixels of a chunk and its halo, padded with the edge pixels beyond the COG."""
        self.dataset, self.reach = _view(self.survey)  # opened again after S3's credentials were renewed
        window, aside, above = _window(self.bake, task.row, task.column)
        area = self._warp(window)
        if area is None:
            return None
        if not (any(above) or any(aside)):
            return area
        values, mask = area
        filled = None if mask is None else np.pad(mask, (above, aside), "edge")
        return np.pad(values, ((0, 0), above, aside), "edge"), filled

    def _warp(self, window: Window) -> Area | None:
        """The window's pixels in the baked dtype, or None if the raster has none there.

        GDAL warps several times faster without a mask, so a window that may touch a hole is divided until it is small,
        and only then warped with its mask. Windows without valid pixels are not warped.
        """
        survey = self.survey
        box = covered(self.dataset, window, self.reach)
        if box is not None:
            if self._is_empty(box):
                return None
            if self._is_small(box):
                valid = warp_valid(self.dataset, survey.reading, window, survey.resampling, box)
                if valid is not None:
                    return None if valid[1] is not None and not valid[1].any() else valid
        if max(window.width, window.height) > FINEST:
            return self._divide(window)
        values, mask = warp(self.dataset, survey.reading, window, survey.resampling)
        if not mask.any():
            return None
        return values, None if mask.min() == 255 else mask

    def _is_empty(self, box: Box) -> bool:
        """Whether `box` is outside the raster or known to have no valid pixel; larger boxes than READ are not read."""
        left, top, right, bottom = box
        if right <= 0 or bottom <= 0 or left >= self.dataset.width or top >= self.dataset.height:
            return True
        if self.gaps and self.gaps.share(box) == "none":
            return True
        return self._is_small(box) and bare(self.dataset, self.survey.reading, box)

    def _is_small(self, box: Box) -> bool:
        """Whether the pixels of `box` may be read at once."""
        left, top, right, bottom = clipped(box, self.dataset.width, self.dataset.height)
        return (right - left) * (bottom - top) <= READ

    def _divide(self, window: Window) -> Area | None:
        """Warp a window by parts of half its size."""
        half = -(-max(window.width, window.height) // (2 * HALO)) * HALO
        parts = []
        for y in range(0, window.height, half):
            for x in range(0, window.width, half):
                width, height = min(half, window.width - x), min(half, window.height - y)
                area = self._warp(Window(window.z, window.x + x, window.y + y, width, height))
                if area is not None:
                    parts.append((y, x, area))
        return self._paste(parts, window.height, window.width)

    def _paste(self, parts: Sequence[tuple[int, int, Area]], height: int, width: int) -> Area | None:
        """One area from (row, column, area) parts, cut to its size; transparent outside the parts."""
        if not parts:
            return None
        values = np.zeros((self.profile.bands, height, width), self.profile.dtype)
        mask = np.zeros((height, width), np.uint8)
        for y, x, (part, part_mask) in parts:
            target = (slice(max(y, 0), y + part.shape[1]), slice(max(x, 0), x + part.shape[2]))
            source = (slice(max(-y, 0), height - y), slice(max(-x, 0), width - x))
            values[:, *target] = part[:, *source]
            mask[target] = 255 if part_mask is None else part_mask[source]
        return values, None if mask.min() == 255 else mask

    def _spool_blocks(self, area: Area, level: int, row: int, column: int) -> Iterator[tuple[int, ...]]:
        """Compress the area's blocks into the spool; yields the row of `Baked.blocks` for each."""
        values, mask = area
        for y in range(0, values.shape[1], TILE):
            for x in range(0, values.shape[2], TILE):
                place = (slice(y, y + TILE), slice(x, x + TILE))
                block_mask = None if mask is None else mask[place]
                if block_mask is not None and not block_mask.any():
                    continue
                finished = level < self.bake.finished
                block, outside = compress(values[:, *place], block_mask, self.profile, finished=finished)
                at = self.spool.add(block)
                mask_at = self.spool.add(outside) if outside else (0, 0)
                digest = block_digest(self.profile.kind, block, outside)
                yield (level, row + y // TILE, column + x // TILE, *at, *mask_at, digest)

    def _spool_halved(self, area: Area) -> Ref:
        """Append the last halving of a chunk, one block, to the spool: raw values, then the mask."""
        values, mask = area
        block_mask = np.full(values.shape[1:], 255, np.uint8) if mask is None else mask
        offset, _ = self.spool.add(values.tobytes() + block_mask.tobytes())
        return str(self.spool.path), offset

    def _join(self, task: BakeTask) -> Area | None:
        """The pixels of a chunk and its halo, from the spooled halvings of other chunks."""
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
        return self._paste(parts, SIDE + 2 * HALO, SIDE + 2 * HALO)


def _view(survey: Survey) -> tuple[DatasetReader, float]:
    """The raster or overview to warp, and how many of its pixels a kernel reaches beyond a window."""
    shrink = 2.0 ** (survey.zoom - survey.base)
    dataset = opened(
        survey.path, overview_for(survey.path, shrink, survey.open_options), open_options=survey.open_options
    )
    left = (
        shrink * dataset.width / opened(survey.path, open_options=survey.open_options).width
    )  # remaining shrink factor
    return dataset, (KERNEL[survey.resampling] + 1) * max(1.0, left)


def _window(bake: CogLayout, row: int, column: int, side: int = 1) -> tuple[Window, tuple[int, int], tuple[int, int]]:
    """A square of chunks with its halo, clipped to the COG; and the pixels clipped off its columns and rows."""
    left, width, aside = _span(column, bake.columns, side)
    top, height, above = _span(row, bake.rows, side)
    return Window(bake.z, bake.x * TILE + left, bake.y * TILE + top, width, height), aside, above


def _span(chunk: int, tiles: int, chunks: int) -> tuple[int, int, tuple[int, int]]:
    """First pixel and length of chunks with halo, clipped to the COG's `tiles`; and the pixels clipped at each end."""
    start, stop = chunk * SIDE - HALO, min((chunk + chunks) * SIDE, tiles * TILE) + HALO
    first, last = max(start, 0), min(stop, tiles * TILE)
    return first, last - first, (first - start, stop - last)


def _core(area: Area, halo: int) -> Area:
    """The area without its halo; the mask is None if it is all opaque."""
    values, mask = area
    inside = (slice(halo, values.shape[1] - halo), slice(halo, values.shape[2] - halo))
    return values[:, *inside], None if mask is None or mask[inside].min() == 255 else mask[inside]


def _profile(survey: Survey, bake: CogLayout, *, opaque: bool) -> Profile:
    """The profile of the COG's blocks; `opaque` matters for its overviews that are no tiles."""
    form = survey.finished if bake.finished else None
    return Profile(survey.dtype, survey.reading.count, survey.style.palette, form, opaque)


def _baking(
    survey: Survey, bake: CogLayout, folder: Path, gaps: Gaps | None, opaque: bool
) -> Callable[[BakeTask], Baked]:
    """The task of one worker; see `stream`."""
    threadpool_limits(1)  # each core has a worker already, so more threads would only compete
    return Baker(survey, bake, folder, gaps, opaque=opaque).bake_chunk


def _regions(survey: Survey, bake: CogLayout, gaps: Gaps) -> Regions:
    """The regions of the base whose chunks have written pixels."""
    dataset, reach = _view(survey)

    def share(row: int, column: int, side: int) -> Share:
        window, *_ = _window(bake, row, column, side)
        box = covered(dataset, window, reach)
        return "some" if box is None else gaps.share(box)

    chunks = min(-(-max(bake.columns, bake.rows) // CHUNK), max(1, 2**bake.z // CHUNK // NEAR))
    return Regions(share, 1 << (chunks - 1).bit_length())


def bake_cog(
    survey: Survey, path: Path, *, jobs: int, progress: Callable[[int, int], None]
) -> tuple[CogLayout, Levels]:
    """Bake the raster of `survey` into a COG at `path`, with scratch files beside it.

    `progress` receives the chunks done and their total. Returns the COG's place on the grid, and the digests of its
    blocks, 0 for a block without data.

    Raises:
        SourceReadError: some pixel could not be read.
        WorkerDied: a worker process ended without a result.
        NoRoom: the COG would not fit on the disk beside the scratch files.
    """
    bake = lay_out(survey.bounds, survey.base)
    if survey.finished and bake.levels > HALVINGS:  # overviews below, and the last of all, stay lossless
        bake = replace(bake, finished=HALVINGS)
    widths = [bake.columns * TILE >> level for level in range(bake.levels)]
    heights = [bake.rows * TILE >> level for level in range(bake.levels)]
    shapes = [
        (-(-max(1, height) // TILE), -(-max(1, width) // TILE)) for width, height in zip(widths, heights, strict=True)
    ]
    blocks = Collected([], [Blocks(*shape) for shape in shapes], [Blocks(*shape) for shape in shapes])
    tops = range(0, bake.levels, HALVINGS)
    base, *rest = (math.prod(-(-side // CHUNK) for side in shapes[level]) for level in tops)
    total = base + sum(rest)
    done = 0
    parts: dict[tuple[int, int], list[tuple[int, int, Ref]]] = {}
    gaps = gaps_of(_view(survey)[0], survey.reading)
    regions = _regions(survey, bake, gaps) if gaps else Regions()
    for level in tops:
        make = partial(_baking, survey, bake, path.parent, gaps, not blocks.transparent)
        tasks = _tasks(level, shapes[level], parts, regions)
        parts = {}
        for baked in stream(make, tasks, jobs=jobs if level == 0 else 1):
            blocks.add(baked)
            if baked.rest:
                row, column = baked.task.row, baked.task.column
                for above, left in _chunks_around(row, column):
                    part = (row - above * CHUNK, column - left * CHUNK, baked.rest)
                    parts.setdefault((above, left), []).append(part)
            done += 1
            check_rest(path.parent, blocks.size, min(1.0, (done + regions.passed) / base))
            progress(done + regions.passed, total)
    if regions.passed:  # skipped regions may be the last
        progress(total, total)
    profile = _profile(survey, bake, opaque=not blocks.transparent)
    if profile.masked:
        blocks.add_opaque_masks(path.parent)
    masks = [mask if profile.masked else None for mask in blocks.masks]
    finished = [level < bake.finished for level in range(bake.levels)]
    levels = [Level(*each) for each in zip(widths, heights, blocks.values, masks, finished, strict=True)]
    window = Window(bake.z, bake.x * TILE, bake.y * TILE, widths[0], heights[0])
    assemble(
        path, levels, profile, origin=window.corner, pixel=window.pixel, spools=[Path(spool) for spool in blocks.spools]
    )
    return replace(bake, opaque=profile.opaque), blocks.digests


def _chunks_around(row: int, column: int) -> set[tuple[int, int]]:
    """The chunks three zooms lower that contain the block, or need it for their halo."""
    return {((row + y) // CHUNK, (column + x) // CHUNK) for y in (-1, 0, 1) for x in (-1, 0, 1)}


def _tasks(
    level: int, shape: tuple[int, int], parts: dict[tuple[int, int], list[tuple[int, int, Ref]]], regions: Regions
) -> Iterator[BakeTask]:
    """The chunks of a level: at the base those with written pixels; at lower zooms all, with their parts."""
    for row in range(-(-shape[0] // CHUNK)):
        for column in range(-(-shape[1] // CHUNK)):
            if level == 0:
                if not regions.bare(row, column):
                    yield BakeTask(0, row, column)
            else:
                yield BakeTask(level, row, column, tuple(parts.get((row, column), ())))
