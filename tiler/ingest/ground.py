"""Warp windows of the grid from the raster, or the scenes, of a layer."""

from __future__ import annotations

from typing import Protocol

from rasterio.io import DatasetReader

from tiler.choices import Resampling
from tiler.grid import TILE, Window
from tiler.image.style import Area
from tiler.ingest.areas import pasted
from tiler.raster.datasets import PLAIN, OpenOptions, opened
from tiler.raster.reading import Box, Reading, clipped
from tiler.raster.sparse import Share, bare
from tiler.raster.warp import KERNEL, covered, overview_for, warp
from tiler.raster.whole import warp_valid

READ = 4096 * 4096  # source pixels, the most to read at once
STEP = 32  # pixels; the sides of a divided window are multiples of it
FINEST = 2 * TILE + STEP  # pixels; a window this small is warped with its mask instead of being divided again


class Written(Protocol):
    """Knowledge of the written parts of a raster; see `tiler.raster.sparse.Gaps`."""

    def share(self, box: Box) -> Share:
        """How much of a box of source pixels is written."""


def overview_of(path: str, shrink: float, open_options: OpenOptions = PLAIN) -> tuple[DatasetReader, float]:
    """The raster or overview to warp to pixels `shrink` times as large, and the factor that is left."""
    dataset = opened(path, overview_for(path, shrink, open_options), open_options=open_options)
    return dataset, shrink * dataset.width / opened(path, open_options=open_options).width


class Ground:
    """One raster as a source of windows of the grid.

    A pixel of the grid has `ratio` source pixels along a side. `gaps` are the raster's unwritten parts, if known.
    """

    def __init__(
        self,
        dataset: DatasetReader,
        reading: Reading,
        resampling: Resampling,
        ratio: float,
        gaps: Written | None = None,
    ) -> None:
        self._dataset = dataset
        self._reading = reading
        self._resampling = resampling
        self._reach = (KERNEL[resampling] + 1) * max(1.0, ratio)  # source pixels of a kernel beyond a window
        self._gaps = gaps

    def share(self, window: Window) -> Share:
        """How much of `window` is written, as far as known."""
        box = covered(self._dataset, window, self._reach)
        return "some" if box is None or self._gaps is None else self._gaps.share(box)

    def warp(self, window: Window) -> Area | None:
        """The window's pixels in the baked dtype, or None if the raster has none there.

        GDAL warps several times faster without a mask, so a window that may touch a hole is divided until it is small,
        and only then warped with its mask. Windows without valid pixels are not warped.

        Raises:
            SourceReadError: some pixel could not be read.
        """
        box = covered(self._dataset, window, self._reach)
        if box is not None:
            if self._is_empty(box):
                return None
            if self._is_small(box):
                valid = warp_valid(self._dataset, self._reading, window, self._resampling, box)
                if valid is not None:
                    return None if valid[1] is not None and not valid[1].any() else valid
        if max(window.width, window.height) > FINEST:
            return self._divide(window)
        values, mask = warp(self._dataset, self._reading, window, self._resampling)
        if not mask.any():
            return None
        return values, None if mask.min() == 255 else mask

    def _is_empty(self, box: Box) -> bool:
        """Whether `box` is outside the raster or known to have no valid pixel; larger boxes than READ are not read."""
        left, top, right, bottom = box
        if right <= 0 or bottom <= 0 or left >= self._dataset.width or top >= self._dataset.height:
            return True
        if self._gaps and self._gaps.share(box) == "none":
            return True
        return self._is_small(box) and bare(self._dataset, self._reading, box)

    def _is_small(self, box: Box) -> bool:
        """Whether the pixels of `box` may be read at once."""
        left, top, right, bottom = clipped(box, self._dataset.width, self._dataset.height)
        return (right - left) * (bottom - top) <= READ

    def _divide(self, window: Window) -> Area | None:
        """Warp a window by parts of half its size."""
        half = -(-max(window.width, window.height) // (2 * STEP)) * STEP
        parts = []
        for y in range(0, window.height, half):
            for x in range(0, window.width, half):
                width, height = min(half, window.width - x), min(half, window.height - y)
                area = self.warp(Window(window.z, window.x + x, window.y + y, width, height))
                if area is not None:
                    parts.append((y, x, area))
        return pasted(parts, window.height, window.width)
