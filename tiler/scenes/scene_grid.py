"""Scenes on one grid, read as one raster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import rasterio.windows
from affine import Affine
from rasterio.enums import MaskFlags

from tiler.image.style import Pixels, Values
from tiler.raster.datasets import OpenOptions, opened, translated
from tiler.raster.pixels import pixels
from tiler.raster.place import applied
from tiler.raster.reading import Box, Reading
from tiler.raster.sparse import Share
from tiler.raster.warp import overviews_of
from tiler.scenes.scene import Scene

SAME = 1e-3  # pixels by which a scene on the same grid may be off, from its first pixel to its last


def on_one_grid(one: Scene, other: Scene) -> bool:
    """Whether the pixels of two scenes lie on one grid of the same CRS."""
    if one.crs != other.crs or one.dtype != other.dtype or one.reading.count != other.reading.count:
        return False
    longest = max(*one.size, *other.size)
    columns, rows = np.array([0, longest, 0]), np.array([0, 0, longest])
    xs, ys = applied(Affine(*other.transform), columns, rows)
    columns_here, rows_here = applied(~Affine(*one.transform), xs, ys)
    off = np.array([columns_here - columns, rows_here - rows])
    return bool(np.abs(off - np.rint(off[:, :1])).max() < SAME)


def _first_pixel(first: Affine, scene: Scene) -> tuple[int, int]:
    """The column and row of a scene's first pixel on the grid that `first` begins."""
    column, row = applied(~first, *np.array([[scene.transform[2]], [scene.transform[5]]]))
    return round(column.item()), round(row.item())


class SceneGrid:
    """Scenes on one grid, the lowest first, with those properties of rasterio's dataset that a warp reads.

    A pixel is that of the uppermost scene that is opaque there, else of the most opaque one. `factor` is that of the
    overview to read. `reading` is how to read the grid.
    """

    def __init__(self, scenes: Sequence[Scene], factor: int, open_options: OpenOptions) -> None:
        self._scenes = scenes
        self._open_options = open_options
        self.factor = factor
        first = Affine(*scenes[0].transform)
        places = np.array([_first_pixel(first, scene) for scene in scenes])
        sizes = np.array([scene.size for scene in scenes])
        start, stop = places.min(axis=0), (places + sizes).max(axis=0)
        corners = np.hstack([places - start, places - start + sizes])
        self._boxes = -(-corners // factor) if factor > 1 else corners  # of each scene, in pixels of the grid
        self.width, self.height = (-(-(stop - start) // factor)).tolist()
        self.shape = (self.height, self.width)
        a, b, _, d, e, _ = first[:6]
        x, y = applied(first, *start.astype(np.float64)[:, np.newaxis])
        self.transform = Affine(a * factor, b * factor, x.item(), d * factor, e * factor, y.item())
        self.crs = scenes[0].crs
        self.name = f"{scenes[0].address} and {len(scenes) - 1} other scenes"
        count = scenes[0].reading.count
        self.dtypes = (scenes[0].dtype,) * count
        self.mask_flag_enums = ([MaskFlags.per_dataset],) * count
        self.reading = Reading(tuple(range(1, count + 1)), masked=True, soft=True)
        self._last: tuple[Any, Values | None, Pixels] | None = None

    @classmethod
    def of(cls, scenes: Sequence[Scene], shrink: float, open_options: OpenOptions) -> SceneGrid:
        """The scenes at their coarsest common overview that shrinks them by at most `shrink`."""
        factor = 1
        while 2 * factor <= shrink * 1.01 and all(_has(scene, scenes[0], 2 * factor, open_options) for scene in scenes):
            factor *= 2
        return cls(scenes, factor, open_options)

    def share(self, box: Box) -> Share:
        """How much of a box is in scenes, as far as known."""
        return "some" if self._touching(box).size else "none"

    def read(self, _bands: Sequence[int], *, window: Any, out_shape: tuple[int, ...] = ()) -> Values:
        """The values of a window, `(bands, rows, columns)`; 0 outside the scenes. Each call may change its result."""
        key, values, mask = self._window(window, out_shape)
        self._last = key, None, mask
        return values

    def read_masks(self, _band: int, *, window: Any, out_shape: tuple[int, ...] = ()) -> Pixels:
        """The mask of a window, `(rows, columns)`, 0 outside the scenes; kept for the next read of the same window."""
        if self._last is not None and self._last[0] == _key(window, out_shape):
            return self._last[2]
        self._last = self._window(window, out_shape)
        return self._last[2]

    def _window(self, window: Any, out_shape: tuple[int, ...]) -> tuple[Any, Values, Pixels]:
        key = _key(window, out_shape)
        if self._last is not None and self._last[0] == key and self._last[1] is not None:
            return key, self._last[1], self._last[2]
        left, top, width, height = key[:4]
        rows, columns = key[4:]
        values = np.zeros((self.reading.count, rows, columns), self.dtypes[0])
        mask = np.zeros((rows, columns), np.uint8)
        for index in self._touching((left, top, left + width, top + height))[::-1].tolist():
            box = self._boxes[index]
            across = _span(box[0], box[2], left, width, columns)
            down = _span(box[1], box[3], top, height, rows)
            if across is None or down is None:
                continue
            part = down[1], across[1]
            if mask[part].size == 0 or mask[part].min() == 255:
                continue
            found, opacity = self._pixels(self._scenes[index], box, across[0], down[0], mask[part].shape)
            if not mask[part].any():  # nothing above it; values beneath a mask of 0 count for nothing
                values[:, *part], mask[part] = found, opacity
                continue
            better = opacity > mask[part]
            values[:, *part] = np.where(better, found, values[:, *part])
            mask[part] = np.where(better, opacity, mask[part])
        return key, values, mask

    def _pixels(
        self, scene: Scene, box: Any, across: tuple[int, int], down: tuple[int, int], shape: tuple[int, ...]
    ) -> tuple[Values, Pixels]:
        """Values in the baked dtype, and the mask, of columns `across` and rows `down` of the grid, in one scene."""
        path = scene.listed.path
        level = 0 if self.factor == 1 else overviews_of(path, self._open_options).index(self.factor)
        dataset = opened(path, level, open_options=self._open_options)
        window = rasterio.windows.Window(
            across[0] - int(box[0]), down[0] - int(box[1]), across[1] - across[0], down[1] - down[0]
        )
        with translated(path):
            values, mask = pixels(dataset, scene.reading, window=window, out_shape=shape)
        return values.astype(scene.dtype, copy=False), mask

    def _touching(self, box: Box) -> Any:
        """The indexes of the scenes that a box touches."""
        left, top, right, bottom = box
        boxes = self._boxes
        return np.flatnonzero(
            (boxes[:, 0] < right) & (boxes[:, 2] > left) & (boxes[:, 1] < bottom) & (boxes[:, 3] > top)
        )


def _key(window: Any, out_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Column, row, width and height of a window, and the rows and columns to read it into."""
    left, top, width, height = (int(each) for each in (window.col_off, window.row_off, window.width, window.height))
    rows, columns = out_shape[-2:] if out_shape else (height, width)
    return left, top, width, height, rows, columns


def _span(start: int, stop: int, first: int, size: int, pixels: int) -> tuple[tuple[int, int], slice] | None:
    """The pixels of a scene, `start` to `stop`, in a window of `size` from `first`, and their place in `pixels`.

    None if no centre of the pixels lies in the scene.
    """
    low, high = max(start, first), min(stop, first + size)
    if pixels == size:
        return ((int(low), int(high)), slice(int(low - first), int(high - first))) if low < high else None
    step = size / pixels
    begin, end = (int(np.ceil((each - first) / step - 0.5)) for each in (low, high))
    return ((int(low), int(high)), slice(max(begin, 0), min(end, pixels))) if low < high and begin < end else None


def _has(scene: Scene, first: Scene, factor: int, open_options: OpenOptions) -> bool:
    """Whether a scene has an overview of this factor on the grid that `first` begins."""
    if any(each % factor for each in (*_first_pixel(Affine(*first.transform), scene), *scene.size)):
        return False
    return factor in overviews_of(scene.listed.path, open_options)
