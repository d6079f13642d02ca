"""Find the empty parts of a raster without reading them.

A sparse GeoTIFF does not list unwritten blocks, and a VRT lists the rectangles of its sources. All other pixels have
the same value, so one of them shows whether they are valid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt
import rasterio.windows
from rasterio.enums import Interleaving
from rasterio.io import DatasetReader

from tiler.raster.datasets import checked, translated
from tiler.raster.pixels import dtype_of, mask_of, pixels
from tiler.raster.reading import Box, Reading, clipped

Share = Literal["none", "some", "all"]

BLOCKS = 1 << 22  # most blocks of a file to check one by one
CELL, CELLS = 256, 1 << 20  # pixels per side of the smallest cells of a VRT, and the most cells
SOURCES = {"SimpleSource", "ComplexSource", "AveragedSource", "NoDataFromMaskSource"}  # that write only a rectangle


@dataclass(frozen=True, slots=True)
class Gaps:
    """The cells of a raster that were never written, and so have no valid pixel.

    `written` is `(rows, columns)` bool; a cell has `width` x `height` pixels.
    """

    width: int
    height: int
    written: npt.NDArray[np.bool_]

    def share(self, box: Box) -> Share:
        """How many of the cells that touch `box` are written; none if it is outside the raster."""
        left, top, right, bottom = (max(0, side) for side in box)
        part = self.written[
            top // self.height : -(-bottom // self.height), left // self.width : -(-right // self.width)
        ]
        if not part.any():
            return "none"
        return "all" if part.all() else "some"

    def spread(self, count: int) -> Iterator[tuple[int, int]]:
        """The row and column of the first pixel of at most `count` written cells, spread evenly."""
        cells = np.argwhere(self.written)
        chosen = np.unique(np.linspace(0, len(cells) - 1, min(count, len(cells))).astype(int))
        for row, column in cells[chosen].tolist():
            yield row * self.height, column * self.width


def gaps_of(dataset: DatasetReader, reading: Reading) -> Gaps | None:
    """The gaps of a raster, if they are known without reading it and are nodata; else None.

    Raises:
        SourceReadError: the raster cannot be read.
    """
    find = {"GTiff": _blocks, "VRT": _rectangles}.get(dataset.driver)
    if find is None or reading.masked or (reading.opaque and not _floats(dataset, reading)):
        return None
    bands = [*reading.bands, reading.alpha] if reading.alpha else list(reading.bands)
    with translated(dataset.name):
        gaps = checked(lambda: find(dataset, bands))
        if gaps is None or gaps.written.all():
            return None
        row, column = (int(at) for at in np.argwhere(~gaps.written)[0])
        pixel = rasterio.windows.Window(column * gaps.width, row * gaps.height, 1, 1)
        return None if _valid(dataset, reading, pixel).any() else gaps


def bare(dataset: DatasetReader, reading: Reading, box: Box) -> bool:
    """Whether no source pixel in `box`, which touches the raster, is valid.

    Most boxes with data have it in their middle, so that pixel is read first; with alpha or a mask, values are not
    read.

    Raises:
        SourceReadError: some pixel could not be read.
    """
    if reading.opaque and not _floats(dataset, reading):
        return False
    left, top, right, bottom = clipped(box, dataset.width, dataset.height)
    window = rasterio.windows.Window(left, top, right - left, bottom - top)
    with translated(dataset.name):
        if _valid(dataset, reading, rasterio.windows.Window((left + right) // 2, (top + bottom) // 2, 1, 1)).any():
            return False
        if reading.alpha:
            mask = dataset.read(reading.alpha, window=window)
        elif reading.masked:
            mask = mask_of(dataset, reading, window=window)
        else:
            mask = _valid(dataset, reading, window)
    return not mask.any()


def _floats(dataset: DatasetReader, reading: Reading) -> bool:
    """Whether pixels may be NaN."""
    return dtype_of(dataset, reading.bands[0]).startswith("float")


def _valid(dataset: DatasetReader, reading: Reading, window: rasterio.windows.Window) -> npt.NDArray[np.bool_]:
    """Which pixels are not fully transparent."""
    _, mask = pixels(dataset, reading, window=window)
    return np.asarray(mask > 0)


def _blocks(dataset: DatasetReader, bands: Sequence[int]) -> Gaps | None:
    """The blocks that a GeoTIFF lists for at least one of `bands`."""
    height, width = dataset.block_shapes[bands[0] - 1]
    rows, columns = -(-dataset.height // height), -(-dataset.width // width)
    if rows * columns > BLOCKS or not dataset.get_tag_item("IFD_OFFSET", "TIFF", bands[0]):
        return None
    written = np.zeros((rows, columns), bool)
    for band in bands[:1] if dataset.interleaving == Interleaving.pixel else bands:
        for row in range(rows):
            for column in range(columns):
                if not written[row, column]:
                    place = dataset.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", band)
                    written[row, column] = place is not None
    return Gaps(width, height, written)


def _rectangles(dataset: DatasetReader, bands: Sequence[int]) -> Gaps | None:
    """The cells that a source of a VRT touches; None if a band has anything else than such sources."""
    text = dataset.tags(ns="xml:VRT").get("xml:VRT", "")
    root = ET.fromstring(text) if text else ET.Element("none")  # noqa: S314 - GDAL wrote it
    elements = root.findall("VRTRasterBand")
    size = (root.get("rasterXSize"), root.get("rasterYSize"))
    if size != (str(dataset.width), str(dataset.height)) or root.get("subClass") or len(elements) != dataset.count:
        return None  # an overview or a warped VRT
    cell = max(CELL, math.ceil(math.sqrt(dataset.width * dataset.height / CELLS)))
    written = np.zeros((-(-dataset.height // cell), -(-dataset.width // cell)), bool)
    for band in bands:
        element = elements[band - 1]
        if element.get("subClass", "VRTSourcedRasterBand") != "VRTSourcedRasterBand":
            return None
        for source in (each for each in element if each.tag.endswith("Source")):
            place = source.find("DstRect")
            if place is None or source.tag not in SOURCES:
                return None
            left, top, wide, high = (float(place.get(name, "nan")) for name in ("xOff", "yOff", "xSize", "ySize"))
            if not math.isfinite(left + top + wide + high):
                return None
            columns, rows = _cells(left, left + wide, cell), _cells(top, top + high, cell)
            written[rows, columns] = True
    return Gaps(cell, cell, written)


def _cells(start: float, stop: float, cell: int) -> slice:
    """The cells that touch the pixels from `start` to `stop`, with a margin of one pixel for fractions."""
    return slice(max(0, math.floor((start - 1) / cell)), max(0, math.ceil((stop + 1) / cell)))


def _everywhere(_row: int, _column: int, _side: int) -> Share:
    return "all"


@dataclass(slots=True)
class Regions:
    """The unwritten places of a grid, from checks of large squares first, each once.

    `share` returns how much of a square is written, from its first row, first column and side; by default, all. `side`
    is that of the largest square, a power of two.
    """

    share: Callable[[int, int, int], Share] = _everywhere
    side: int = 1 << 30
    passed: int = 0  # number of unwritten places found
    _shares: dict[tuple[int, int, int], Share] = field(default_factory=dict)

    def bare(self, row: int, column: int) -> bool:
        """Whether a place is unwritten; call it once per place."""
        side = self.side
        while (share := self._of(row // side * side, column // side * side, side)) == "some" and side > 1:
            side //= 2
        self.passed += share == "none"
        return share == "none"

    def _of(self, row: int, column: int, side: int) -> Share:
        square = row, column, side
        if square not in self._shares:
            self._shares[square] = self.share(*square)
        return self._shares[square]
