"""Values from all over a raster, mostly without reading all of it: range, percentiles, the alpha that is opaque."""

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
SAMPLE = 1024  # pixels a side that a coarse look has
PATCHES, PATCH = 12, 128  # where there are no overviews: so many squares a side, of so many pixels
OPAQUE = (1.0, 255.0)  # what alpha of any type may mean by opaque
FULL = {"int8": 127.0, "int16": 32767.0, "uint16": 65535.0, "float32": 65535.0, "float64": 65535.0}  # the most it may
SHADES = 32  # values that lie between transparent and opaque; alpha that fades at its edges has hardly any

TileVariant = dict[str, Any]  # for rasterio's `read`


class Alpha(NamedTuple):
    """The alpha that is opaque, whether GDAL takes the band otherwise, and whether it looks like a picture instead."""

    top: float
    differs: bool
    picture: bool


def coarse_reads(dataset: DatasetReader) -> Iterator[TileVariant]:
    """How to read a raster coarsely: all of it at once if that is cheap, else squares spread over it."""
    small = dataset.width * dataset.height <= 16 * SAMPLE * SAMPLE
    if small or dataset.overviews(1):
        shrink = max(1, max(dataset.width, dataset.height) / SAMPLE)
        yield {"out_shape": (max(1, round(dataset.height / shrink)), max(1, round(dataset.width / shrink)))}
        return
    for row in np.linspace(0, max(0, dataset.height - PATCH), PATCHES).astype(int):
        for column in np.linspace(0, max(0, dataset.width - PATCH), PATCHES).astype(int):
            size = min(PATCH, dataset.width), min(PATCH, dataset.height)
            yield {"window": rasterio.windows.Window(column, row, *size)}


def written(dataset: DatasetReader, reading: Reading) -> Iterator[TileVariant]:
    """How to read coarsely what is written of a sparse raster; nothing of any other."""
    gaps = gaps_of(dataset, reading)
    if gaps is None:
        return
    for row, column in gaps.spread(PATCHES**2):
        width, height = min(gaps.width, dataset.width - column), min(gaps.height, dataset.height - row)
        window = rasterio.windows.Window(column, row, width, height)
        yield {"window": window, "out_shape": (min(PATCH, height), min(PATCH, width))}


class Samples(NamedTuple):
    """Valid values of each band, and whether they are seen only where a sparse raster is written."""

    values: list[npt.NDArray[Any]]
    hidden: bool


def samples(dataset: DatasetReader, reading: Reading, meaning: tuple[Meaning, ...]) -> Samples:
    """Valid values of each band, spread over the raster; if none are seen so, over what is written of it."""
    found, hidden = _valid(dataset, reading, coarse_reads(dataset)), False
    if not found.size:
        found, hidden = _valid(dataset, reading, written(dataset, reading)), True
    return Samples([meant(band, each) for band, each in zip(found, meaning, strict=True)], hidden)


def _valid(dataset: DatasetReader, reading: Reading, how: Iterable[TileVariant]) -> Values:
    """Valid values as they are stored, `(bands, values)`."""
    none = np.empty((reading.count, 0), dtype_of(dataset, reading.bands[0]))
    with translated(dataset.name):
        parts = (pixels(dataset, reading, **options) for options in how)
        return np.concatenate([none, *(values[:, mask > 0] for values, mask in parts)], axis=1)


def extremes(dataset: DatasetReader, reading: Reading, meaning: Meaning) -> Range:
    """The lowest and the highest valid value of one band, which gdaldem takes percentages of."""
    low, high = np.inf, -np.inf
    gaps = gaps_of(dataset, reading)
    with translated(dataset.name):
        for _, window in dataset.block_windows(reading.bands[0]):
            column, row, width, height = window.flatten()
            if gaps and gaps.share((column, row, column + width, row + height)) == "none":
                continue
            values, mask = pixels(dataset, reading, window=window)
            known = meant(values[:, mask > 0], meaning)
            if known.size:
                low, high = min(low, float(known.min())), max(high, float(known.max()))
    return (low, high) if low <= high else (0.0, 1.0)


def stretch(sample: npt.NDArray[Any]) -> Range:
    """The 2nd and 98th percentile of `sample`, moved apart where they meet."""
    if sample.size == 0:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(sample.astype(np.float64), PERCENTILES))
    if not low < high:
        low, high = float(sample.min()), float(sample.max())
    return (low, high) if low < high else (low, low + 1)


def look_at_alpha(dataset: DatasetReader, band: int) -> Alpha:
    """What an alpha band holds.

    Opaque is 1 where nothing is higher, else 255, else the largest value of its type or its bits. A byte's is 255,
    but where a coarse look shows no more than 1 the whole band is read, as it is of every other type.
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
    return Alpha(top, top != usual or (between and dtype in NATURAL), _picture(sample, top))


def hides(dataset: DatasetReader, reading: Reading) -> bool:
    """Whether the raster's own mask hides what its alpha band shows."""
    with translated(dataset.name):
        return any(
            ((mask_of(dataset, reading, window=window) == 0) & (dataset.read(reading.alpha, window=window) > 0)).any()
            for _, window in dataset.block_windows(reading.alpha)
        )


def holds(dataset: DatasetReader, reading: Reading, nodata: tuple[float | None, ...]) -> bool:
    """Whether some pixel that is shown holds the nodata values."""
    with translated(dataset.name):
        for _, window in dataset.block_windows(reading.bands[0]):
            values, mask = pixels(dataset, replace(reading, inverted=None, cmyk=False), window=window)
            if (missing(values, nodata) & (mask > 0)).any():
                return True
    return False


def _numbers(alpha: Values) -> npt.NDArray[np.float64]:
    return np.nan_to_num(np.real(alpha).astype(np.float64))


def _picture(alpha: npt.NDArray[np.float64], top: float) -> bool:
    """Whether most of an alpha band is neither transparent nor opaque, and of many shades."""
    between = alpha[(alpha > 0) & (alpha < top)]
    return 2 * between.size > alpha.size and np.unique(between).size > SHADES
