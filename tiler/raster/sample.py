"""Sample a raster, mostly without reading all of it: range, percentiles, opaque alpha."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import rasterio.windows
from rasterio.io import DatasetReader

from tiler.image.style import Meaning, Range, Values, meant
from tiler.raster.datasets import translated
from tiler.raster.pixels import NATURAL, bits, dtype_of, mask_of, missing, natural, pixels
from tiler.raster.reading import Reading
from tiler.raster.sparse import gaps_of

PERCENTILES = (2, 98)
SAMPLE = 1024  # pixels per side of a coarse read
PATCHES, PATCH = 12, 128  # without overviews: squares per side, and pixels per side of each
OPAQUE = (1.0, 255.0)  # values that may mean opaque in alpha of any type
FULL = {"int8": 127.0, "int16": 32767.0, "uint16": 65535.0, "float32": 65535.0, "float64": 65535.0}  # by type
SHADES = 32  # distinct values between transparent and opaque; alpha with soft edges has fewer

ReadOptions = dict[str, Any]  # for rasterio's `read`


class Alpha(NamedTuple):
    """The opaque value of an alpha band, whether GDAL assumes another, and whether the band looks like imagery."""

    top: float
    differs: bool
    picture: bool


def coarse_reads(dataset: DatasetReader) -> Iterator[ReadOptions]:
    """Options of coarse reads of a raster: of the whole if that is cheap, else of squares spread over it."""
    small = dataset.width * dataset.height <= 16 * SAMPLE * SAMPLE
    if small or dataset.overviews(1):
        shrink = max(1, max(dataset.width, dataset.height) / SAMPLE)
        yield {"out_shape": (max(1, round(dataset.height / shrink)), max(1, round(dataset.width / shrink)))}
        return
    yield from patches(dataset)


def patches(dataset: DatasetReader) -> Iterator[ReadOptions]:
    """Options of reads of squares of full resolution, spread over a raster."""
    for row in np.linspace(0, max(0, dataset.height - PATCH), PATCHES).astype(int):
        for column in np.linspace(0, max(0, dataset.width - PATCH), PATCHES).astype(int):
            size = min(PATCH, dataset.width), min(PATCH, dataset.height)
            yield {"window": rasterio.windows.Window(column, row, *size)}


def written(dataset: DatasetReader, reading: Reading) -> Iterator[ReadOptions]:
    """Options of coarse reads of a sparse raster's written cells; none for any other raster."""
    gaps = gaps_of(dataset, reading)
    if gaps is None:
        return
    for row, column in gaps.spread(PATCHES**2):
        width, height = min(gaps.width, dataset.width - column), min(gaps.height, dataset.height - row)
        window = rasterio.windows.Window(column, row, width, height)
        yield {"window": window, "out_shape": (min(PATCH, height), min(PATCH, width))}


class Samples(NamedTuple):
    """Valid values of each band, and whether only the written cells of a sparse raster had any."""

    values: list[npt.NDArray[Any]]
    hidden: bool


def samples(dataset: DatasetReader, reading: Reading, meaning: tuple[Meaning, ...]) -> Samples:
    """Valid values of each band from coarse reads; if those find none, from the written cells of a sparse raster."""
    values, hidden = _valid(dataset, reading, coarse_reads(dataset)), False
    if not values.size:
        values, hidden = _valid(dataset, reading, written(dataset, reading)), True
    return Samples([meant(band, each) for band, each in zip(values, meaning, strict=True)], hidden)


def _valid(dataset: DatasetReader, reading: Reading, reads: Iterable[ReadOptions]) -> Values:
    """Valid stored values, `(bands, values)`."""
    none = np.empty((reading.count, 0), dtype_of(dataset, reading.bands[0]))
    with translated(dataset.name):
        parts = (pixels(dataset, reading, **options) for options in reads)
        return np.concatenate([none, *(values[:, mask > 0] for values, mask in parts)], axis=1)


def extremes(dataset: DatasetReader, reading: Reading, meaning: Meaning) -> Range:
    """The lowest and highest valid value of one band, for the percentages of a colour-relief file, as in gdaldem."""
    low, high = np.inf, -np.inf
    gaps = gaps_of(dataset, reading)
    with translated(dataset.name):
        for _, window in dataset.block_windows(reading.bands[0]):
            column, row, width, height = window.flatten()
            if gaps and gaps.share((column, row, column + width, row + height)) == "none":
                continue
            values, mask = pixels(dataset, reading, window=window)
            valid = meant(values[:, mask > 0], meaning)
            if valid.size:
                low, high = min(low, float(valid.min())), max(high, float(valid.max()))
    return (low, high) if low <= high else (0.0, 1.0)


def stretch(sample: npt.NDArray[Any]) -> Range:
    """The 2nd and 98th percentile of `sample`; its extremes, or a range of 1, if they are equal."""
    if sample.size == 0:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(sample.astype(np.float64), PERCENTILES))
    if not low < high:
        low, high = float(sample.min()), float(sample.max())
    return (low, high) if low < high else (low, low + 1)


def look_at_alpha(dataset: DatasetReader, band: int) -> Alpha:
    """The properties of an alpha band.

    Its opaque value is 1 if no value is higher, else 255, else the largest value of its type or bits. Bands of bytes
    are read completely only if a coarse read finds no value above 1; bands of other types always are.
    """
    few, dtype = bits(dataset, band), dtype_of(dataset, band)
    usual, full = natural(dataset, band), FULL.get(dtype, 255.0)
    with translated(dataset.name):
        sample = np.concatenate([_numbers(dataset.read(band, **options)).ravel() for options in coarse_reads(dataset)])
        highest, between = float(sample.max(initial=0)), False
        if dtype != "uint8" or highest <= 1 or few:
            for _, window in dataset.block_windows(band):
                part = _numbers(dataset.read(band, window=window))
                highest = max(highest, float(part.max(initial=0)))
                between |= bool(((part > 0) & (part < usual)).any())
    whole = max(highest, float(2**few - 1) if few else full)
    top = min(each for each in (*OPAQUE, whole) if each >= highest) if highest else usual
    return Alpha(top, top != usual or (between and dtype in NATURAL), picture_like(sample, top))


def opaque_alpha(dataset: DatasetReader, band: int) -> float:
    """The opaque value of an alpha band, as `look_at_alpha`; reads one block if that decides."""
    few, dtype = bits(dataset, band), dtype_of(dataset, band)
    full = float(2**few - 1) if few else FULL.get(dtype, 255.0)
    if np.dtype(dtype).kind in "ui" and full <= np.iinfo(dtype).max <= FULL.get(dtype, 255.0):  # no value is larger
        with translated(dataset.name):
            rows, columns = dataset.block_shapes[band - 1]
            row, column = (size // 2 // side for size, side in zip(dataset.shape, (rows, columns), strict=True))
            block = dataset.read(band, window=dataset.block_window(band, row, column))
        tops = [min(each for each in (*OPAQUE, full) if each >= least) for least in (float(block.max()), full)]
        if block.any() and tops[0] == tops[1]:
            return tops[0]
    return look_at_alpha(dataset, band).top


def hides(dataset: DatasetReader, reading: Reading) -> bool:
    """Whether the raster's own mask hides pixels that its alpha band shows."""
    with translated(dataset.name):
        return any(
            ((mask_of(dataset, reading, window=window) == 0) & (dataset.read(reading.alpha, window=window) > 0)).any()
            for _, window in dataset.block_windows(reading.alpha)
        )


def holds(dataset: DatasetReader, reading: Reading, nodata: tuple[float | None, ...]) -> bool:
    """Whether some visible pixel has the nodata values."""
    with translated(dataset.name):
        for _, window in dataset.block_windows(reading.bands[0]):
            values, mask = pixels(dataset, replace(reading, inverted=None, cmyk=False), window=window)
            if (missing(values, nodata) & (mask > 0)).any():
                return True
    return False


def _numbers(alpha: Values) -> npt.NDArray[np.float64]:
    return np.nan_to_num(np.real(alpha).astype(np.float64))


def picture_like(alpha: npt.NDArray[np.float64], top: float) -> bool:
    """Whether most of an alpha band is neither transparent nor opaque, with many distinct values."""
    between = alpha[(alpha > 0) & (alpha < top)]
    return 2 * between.size > alpha.size and np.unique(between).size > SHADES
