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
from PIL import Image

from tiler.catalog import Bake, Resampling
from tiler.cog import Blocks, Level, Profile, Spool, assemble, compress_mask, compress_values
from tiler.grid import TILE, Bounds, Window, tile_ranges
from tiler.processes import stream
from tiler.raster import KERNEL, covered, opened, overview_for, valid, warp, warp_valid
from tiler.style import Pixels, Values
from tiler.survey import Survey

CHUNK = 8  # blocks along a chunk's side
HALVINGS = 3  # CHUNK is 2**HALVINGS
SIDE = CHUNK * TILE  # pixels
READ = 4096 * 4096  # source pixels; more are not read at once
FINEST = 2 * TILE  # pixels; a window this small is warped with its mask rather than divided again
EXACT = 8  # halvings that keep a tile edge on a pixel edge: TILE is 2**EXACT
CACHE = 200  # megabytes of source blocks that a worker keeps

Area = tuple[Values, Pixels | None]
Ref = tuple[str, int]  # spool and offset of a halved chunk


@dataclass(frozen=True, slots=True)
class Task:
    """A chunk to bake: at level 0 from the raster, deeper from `parts`, (row, column, where) of each."""

    level: int
    row: int  # in chunks
    column: int
    parts: tuple[tuple[int, int, Ref], ...] = ()


@dataclass(frozen=True, slots=True)
class Baked:
    """What a chunk became.

    `places` is rows of (level, row, column, offset, size, mask offset, mask size), the offsets in `spool`.
    """

    task: Task
    spool: str
    places: npt.NDArray[np.int64]
    opaque: bool
    rest: Ref | None


def lay_out(bounds: Bounds, z: int) -> Bake:
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
            return Bake(z, left, top, columns, rows, halvings + 1, opaque=False)
        align = min(halvings - EXACT, z)


class Baker:
    """What one worker keeps between chunks: its spool and its view of the raster."""

    def __init__(self, survey: Survey, bake: Bake, folder: Path) -> None:
        self.survey = survey
        self.bake = bake
        self.profile = Profile(survey.dtype, len(survey.reading.bands), survey.style.palette)
        self.spool = Spool(folder)
        self.shrink = 2.0 ** (survey.zoom - survey.base)
        self.dataset = opened(survey.path, overview_for(survey.path, self.shrink))

    def bake_chunk(self, task: Task) -> Baked:
        """Bake one chunk into the spool."""
        with rasterio.Env(GDAL_CACHEMAX=CACHE):
            area = self._joined(task) if task.level else self._warped(self._window(task))
        places: list[tuple[int, ...]] = []
        level, opaque = task.level, area is not None and area[1] is None
        row, column = task.row * CHUNK, task.column * CHUNK
        last = min(task.level + HALVINGS, self.bake.levels)
        while area is not None and level < last:
            places += self._kept(area, level, row, column)
            area = halved(area, self.survey.overview)
            level, row, column = level + 1, row // 2, column // 2
        rest = self._rest(area) if area is not None and level < self.bake.levels else None
        self.spool.flush()
        table = np.array(places, np.int64).reshape(-1, 7)
        return Baked(task, str(self.spool.path), table, opaque, rest)

    def _window(self, task: Task) -> Window:
        """The chunk's pixels, less what lies off the COG."""
        columns = min(CHUNK, self.bake.columns - task.column * CHUNK)
        rows = min(CHUNK, self.bake.rows - task.row * CHUNK)
        x, y = self.bake.x + task.column * CHUNK, self.bake.y + task.row * CHUNK
        return Window(self.bake.z, x * TILE, y * TILE, columns * TILE, rows * TILE)

    def _warped(self, window: Window) -> Area | None:
        """The window's pixels in the baked dtype, or None where the raster has none there.

        GDAL warps several times faster without a mask, so the mask is only asked for where it matters: what may
        touch an edge or a hole is divided until it is small.
        """
        survey = self.survey
        box = covered(self.dataset, window, (KERNEL[survey.resampling] + 1) * max(1.0, self.shrink / self._factor()))
        if box is not None:
            left, top, right, bottom = box
            if right <= 0 or bottom <= 0 or left >= self.dataset.width or top >= self.dataset.height:
                return None
            inside = left >= 0 and top >= 0 and right <= self.dataset.width and bottom <= self.dataset.height
            small = (right - left) * (bottom - top) <= READ
            if inside and small and valid(self.dataset, survey.reading, box):
                values = warp_valid(self.dataset, survey.reading, window, survey.resampling, box)
                return values.astype(survey.dtype, copy=False), None
        if max(window.width, window.height) > FINEST:
            return self._divided(window)
        values, mask = warp(self.dataset, survey.reading, window, survey.resampling)
        if not mask.any():
            return None
        return values.astype(survey.dtype, copy=False), None if mask.min() == 255 else mask

    def _factor(self) -> float:
        return float(opened(self.survey.path).width / self.dataset.width)

    def _divided(self, window: Window) -> Area | None:
        half = 1 << (max(window.width, window.height) - 1).bit_length() - 1
        parts = []
        for y in range(0, window.height, half):
            for x in range(0, window.width, half):
                width, height = min(half, window.width - x), min(half, window.height - y)
                area = self._warped(Window(window.z, window.x + x, window.y + y, width, height))
                if area is not None:
                    parts.append((y, x, area))
        return self._pasted(parts, window.height, window.width)

    def _pasted(self, parts: Sequence[tuple[int, int, Area]], height: int, width: int) -> Area | None:
        """One area of (row, column, area) parts; what none of them covers is transparent."""
        if not parts:
            return None
        values = np.zeros((self.profile.bands, height, width), self.profile.dtype)
        mask = np.zeros((height, width), np.uint8)
        for y, x, (some, cover) in parts:
            place = (slice(y, y + some.shape[1]), slice(x, x + some.shape[2]))
            values[:, *place] = some
            mask[place] = 255 if cover is None else cover
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
                block = self.spool.add(compress_values(_whole(values[:, *place]), self.profile))
                soft = cover is not None and (cover.min() < 255 or cover.shape != (TILE, TILE))
                hidden = self.spool.add(compress_mask(_whole(cover))) if soft and cover is not None else (0, 0)
                yield (level, row + y // TILE, column + x // TILE, *block, *hidden)

    def _rest(self, area: Area) -> Ref:
        """Put what is left of a chunk, at most a block, into the spool as it is, its mask behind it."""
        values, mask = area
        cover = np.full(values.shape[1:], 255, np.uint8) if mask is None else mask
        offset, _ = self.spool.add(_whole(values).tobytes() + _whole(cover).tobytes())
        return str(self.spool.path), offset

    def _joined(self, task: Task) -> Area | None:
        size = TILE * TILE
        depth = self.profile.bands * np.dtype(self.profile.dtype).itemsize
        parts = []
        for row, column, (path, offset) in task.parts:
            with Path(path).open("rb") as spool:
                spool.seek(offset)
                data = spool.read(size * (depth + 1))
            values = np.frombuffer(data, self.profile.dtype, size * self.profile.bands).reshape(-1, TILE, TILE)
            mask = np.frombuffer(data, np.uint8, size, size * depth).reshape(TILE, TILE)
            parts.append((row * TILE, column * TILE, (values, mask)))
        return self._pasted(parts, SIDE, SIDE)


def _whole(block: Values) -> Values:
    """`block`, filled up with 0 to TILE x TILE pixels."""
    missing = [(0, 0)] * (block.ndim - 2) + [(0, TILE - side) for side in block.shape[-2:]]
    return np.pad(block, missing) if any(after for _, after in missing) else block


def halved(area: Area, resampling: Resampling) -> Area:
    """The area at half the size: the mean of each 2 x 2 pixels weighted by the mask.

    For nearest the north-west one of the four instead, for mode the most frequent.
    """
    values, mask = area
    if resampling in ("nearest", "mode"):
        return _picked(values, mask, often=resampling == "mode")
    if mask is None:
        return _mean(values), None
    weights = _sum(mask[np.newaxis].astype(np.uint16))[0]
    short = values.dtype.kind in "ui" and values.dtype.itemsize <= 2
    exact: Values = values.astype(np.int32 if short else np.float64)
    weighted = _sum(exact * mask)
    mean = np.divide(weighted, weights, out=np.zeros(weighted.shape), where=weights > 0)
    if values.dtype.kind in "ui":
        mean = np.rint(mean)
    return mean.astype(values.dtype), ((weights + 2) // 4).astype(np.uint8)


def _mean(values: Values) -> Values:
    if values.dtype == np.uint8:
        return np.stack([np.asarray(Image.fromarray(band).reduce(2)) for band in values])
    if values.dtype.kind == "f":
        mean: Values = _sum(values) / values.dtype.type(4)
    else:
        mean = (_sum(values.astype(np.int64)) + 2) // 4
    return mean.astype(values.dtype)


def _sum(values: Values) -> Values:
    total: Values = values[:, ::2, ::2] + values[:, ::2, 1::2] + values[:, 1::2, ::2] + values[:, 1::2, 1::2]
    return total


def _picked(values: Values, mask: Pixels | None, *, often: bool) -> Area:
    rows, columns = values.shape[1] // 2, values.shape[2] // 2
    four = [values[:, y::2, x::2] for y in (0, 1) for x in (0, 1)]
    covers = [
        np.full((rows, columns), 255, np.uint8) if mask is None else mask[y::2, x::2] for y in (0, 1) for x in (0, 1)
    ]
    best, cover = four[0].copy(), covers[0].copy()
    if often:
        votes = np.zeros((rows, columns), np.int8)
        for value, own in zip(four, covers, strict=True):
            same = [((value == other).all(axis=0) & (there > 0)) for other, there in zip(four, covers, strict=True)]
            count = np.where(own > 0, np.sum(same, axis=0), 0).astype(np.int8)
            better = count > votes
            best[:, better], cover[better], votes[better] = value[:, better], own[better], count[better]
        if mask is not None:  # a pixel half covered or more is shown
            shown = np.sum([c > 0 for c in covers], axis=0) >= 2
            best[:, ~shown], cover[~shown] = 0, 0
    return best, None if mask is None else cover


def _baking(survey: Survey, bake: Bake, folder: Path) -> Callable[[Task], Baked]:
    """A worker's task."""
    return Baker(survey, bake, folder).bake_chunk


@dataclass(slots=True)
class _Collected:
    """Where all blocks lie, as chunks come in."""

    spools: list[str]
    values: list[Blocks]
    masks: list[Blocks]
    opaque: bool = True

    def add(self, baked: Baked) -> None:
        if baked.spool not in self.spools:
            self.spools.append(baked.spool)
        spool = self.spools.index(baked.spool)
        self.opaque &= baked.opaque or baked.task.level > 0  # overviews are padded beyond the raster
        for level, row, column, *place in baked.places.tolist():
            self.values[level].set(row, column, spool, (place[0], place[1]))
            if place[3]:
                self.masks[level].set(row, column, spool, (place[2], place[3]))

    def show_rest(self, folder: Path) -> None:
        """Give every block that has values but no mask the mask that shows all of it."""
        plain = Spool(folder)
        place = plain.add(compress_mask(np.full((TILE, TILE), 255, np.uint8)))
        plain.flush()
        self.spools.append(str(plain.path))
        for values, mask in zip(self.values, self.masks, strict=True):
            bare = (values.size > 0) & (mask.size == 0)
            mask.spool[bare] = len(self.spools) - 1
            mask.offset[bare], mask.size[bare] = place


def bake_cog(
    survey: Survey, path: Path, *, jobs: int, progress: Callable[[int, int], None]
) -> tuple[Bake, npt.NDArray[np.bool_]]:
    """Bake the raster of `survey` into a COG at `path`, with scratch files beside it.

    `progress` is told the chunks done and those to do. Returns where the COG lies on the grid and which
    tiles of its base, `(rows, columns)`, hold data.

    Raises:
        SourceReadError: some pixel could not be read.
        WorkerDied: a worker process ended without an answer.
    """
    bake = lay_out(survey.bounds, survey.base)
    widths = [bake.columns * TILE >> level for level in range(bake.levels)]
    heights = [bake.rows * TILE >> level for level in range(bake.levels)]
    shapes = [
        (-(-max(1, height) // TILE), -(-max(1, width) // TILE)) for width, height in zip(widths, heights, strict=True)
    ]
    found = _Collected([], [Blocks(*shape) for shape in shapes], [Blocks(*shape) for shape in shapes])
    tops = range(0, bake.levels, HALVINGS)
    total = sum(math.prod(-(-side // CHUNK) for side in shapes[level]) for level in tops)
    done = 0
    parts: dict[tuple[int, int], list[tuple[int, int, Ref]]] = {}
    make = partial(_baking, survey, bake, path.parent)
    for level in tops:
        tasks = _tasks(level, shapes[level], parts)
        parts = {}
        for baked in stream(make, tasks, jobs=jobs if level == 0 else 1):
            found.add(baked)
            if baked.rest:
                row, column = baked.task.row, baked.task.column
                part = (row % CHUNK, column % CHUNK, baked.rest)
                parts.setdefault((row // CHUNK, column // CHUNK), []).append(part)
            done += 1
            progress(done, total)
    opaque = found.opaque and bool((found.values[0].size > 0).all())
    if not opaque:
        found.show_rest(path.parent)
    masks = [None if opaque else mask for mask in found.masks]
    levels = [Level(*said) for said in zip(widths, heights, found.values, masks, strict=True)]
    window = Window(bake.z, bake.x * TILE, bake.y * TILE, widths[0], heights[0])
    profile = Profile(survey.dtype, len(survey.reading.bands), survey.style.palette)
    assemble(
        path, levels, profile, origin=window.corner, pixel=window.pixel, spools=[Path(spool) for spool in found.spools]
    )
    return replace(bake, opaque=opaque), found.values[0].size > 0


def _tasks(
    level: int, shape: tuple[int, int], parts: dict[tuple[int, int], list[tuple[int, int, Ref]]]
) -> Iterator[Task]:
    """The chunks of a level: all at the base, deeper those that something was left of."""
    for row in range(-(-shape[0] // CHUNK)):
        for column in range(-(-shape[1] // CHUNK)):
            if level == 0:
                yield Task(0, row, column)
            else:
                yield Task(level, row, column, tuple(parts.get((row, column), ())))
