"""Read values and mask of a raster on its own grid; the only module that decides which pixels are valid.

A mask is `(height, width)` uint8, 0 transparent to 255 opaque.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader

from tiler.errors import BadOption, BadSource
from tiler.image.style import Pixels, Values
from tiler.raster.options import Nodata
from tiler.raster.reading import Reading

NATURAL = {"uint16": 65535.0, "int16": 32767.0}  # opaque alpha by type, as in GDAL; 255 for other types
LONG = ("int64", "uint64")  # types whose largest value no float can hold
INKS = [ColorInterp.cyan, ColorInterp.magenta, ColorInterp.yellow, ColorInterp.black]
COLOURS = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]


def pixels(dataset: DatasetReader, reading: Reading, **options: Any) -> tuple[Values, Pixels]:
    """Values, `(bands, height, width)` in the raster's dtype, and the mask; `options` go to rasterio's `read`."""
    values, nodata = dataset.read(list(reading.bands), **options), reading.nodata
    if values.dtype.kind == "c":
        values, nodata = _amplitude(values, nodata), ()
    mask = np.full(values.shape[1:], 255, np.uint8)
    if reading.alpha:
        mask = shown(dataset.read(reading.alpha, **options), reading.top)
    if reading.masked:
        own = mask_of(dataset, reading, **options)
        mask = np.minimum(mask, own if reading.soft else np.where(own, np.uint8(255), np.uint8(0)))
    if nodata or values.dtype.kind == "f":
        mask[missing(values, nodata)] = 0
    if reading.inverted is not None:
        values = values.dtype.type(reading.inverted) - values
    converted: Values = _rgb(values) if reading.cmyk else values
    return converted, mask


def mask_of(dataset: DatasetReader, reading: Reading, **options: Any) -> Pixels:
    """The raster's own mask; if each band has its own, the union of their valid pixels."""
    if dataset.mask_flag_enums[reading.bands[0] - 1]:
        mask: Pixels = dataset.read_masks(reading.bands[0], **options)
    else:
        mask = dataset.read_masks(list(reading.bands), **options).max(axis=0)
    return mask


def dtype_of(dataset: DatasetReader, band: int) -> str:
    """The dtype of a band's values; for complex numbers, of their amplitude."""
    dtype: str = dataset.dtypes[band - 1]
    if dtype.startswith("complex"):
        return "float64" if dtype == "complex128" else "float32"
    return dtype


def _amplitude(values: Values, nodata: tuple[float | None, ...]) -> Values:
    """The amplitude of complex numbers; NaN where they are `nodata`."""
    amplitude: Values = np.abs(values)
    amplitude[:, missing(values.real, nodata) & (values.imag == 0).all(axis=0)] = np.nan
    return amplitude


def shown(alpha: Values, top: float) -> Pixels:
    """Alpha of any dtype, opaque at `top`, as a mask."""
    if alpha.dtype == np.uint8 and top == 255:
        return alpha
    share = np.nan_to_num(
        np.real(alpha).astype(np.float64) / top, nan=0.0
    )  # an alpha band added by a warp has the type of the values
    mask: Pixels = np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
    return mask


def missing(values: Values, nodata: tuple[float | None, ...] = ()) -> npt.NDArray[np.bool_]:
    """Which pixels are missing: not finite in some band, or `nodata` in every band with a nodata value."""
    absent = np.zeros(values.shape[1:], bool)
    if values.dtype.kind == "f":
        absent |= ~np.isfinite(values).all(axis=0)
    declared = [(band, value) for band, value in zip(values, nodata, strict=False) if value is not None]
    if declared:
        absent |= np.logical_and.reduce([band == np.asarray(value).astype(values.dtype) for band, value in declared])
    return absent


def _rgb(inks: Values) -> Values:
    """Convert cyan, magenta, yellow and black (integers) to RGB: the light that each ink leaves."""
    top = float(np.iinfo(inks.dtype).max)
    light = top - inks.astype(np.float64)
    colours: Values = np.rint(light[:3] * light[3] / top).astype(inks.dtype)
    return colours


def reading_of(
    dataset: DatasetReader, bands: tuple[int, ...] = (), nodata: Nodata = None, alpha: int | None = None
) -> Reading:
    """The bands and masks to read; by default its RGB or CMYK bands, else its first three, else its first.

    `alpha` is the alpha band, 0 for none, or None for the raster's own. A value of `nodata` replaces the raster's own
    masks and nodata values.

    Raises:
        BadOption: it lacks one of `bands`, or they are not one or three; it lacks band `alpha`; `nodata` does not fit.
        BadSource: its CMYK bands are floats.
    """
    roles = list(dataset.colorinterp)
    flagged = roles.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in roles else 0
    if alpha is not None and not 0 <= alpha <= dataset.count:
        raise BadOption(f"--alpha {alpha}: choose a band from 1 to {dataset.count}")
    opacity = flagged if alpha is None else alpha
    if bands:
        if len(bands) not in (1, 3) or not all(1 <= band <= dataset.count for band in bands):
            raise BadOption(f"--bands {','.join(map(str, bands))}: choose one band or three, from 1 to {dataset.count}")
        if alpha and alpha in bands:
            raise BadOption(f"--alpha {alpha} is one of --bands: choose another band")
    else:
        bands = _default_bands(dataset, opacity)
    kinds = {dtype_of(dataset, band) for band in bands}
    if len(kinds) > 1:
        raise BadOption(
            f"bands {','.join(map(str, bands))} differ in type ({', '.join(sorted(kinds))}): choose others with --bands"
        )
    if len(bands) == len(INKS) and np.dtype(kinds.pop()).kind == "f":
        raise BadSource(dataset.name, "its CMYK bands are not integers: choose one band or three with --bands")
    plain = Reading(bands, inverted=_inverted(dataset, bands), cmyk=len(bands) == len(INKS))
    if nodata is not None and nodata != ():
        return replace(plain, nodata=_fitting(nodata, bands, dataset), alpha=alpha or 0, top=natural(dataset, alpha))
    flags = dataset.mask_flag_enums[bands[0] - 1]
    masked = not flags or (MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags)
    if opacity and opacity not in bands:
        masked &= MaskFlags.nodata not in flags
        return replace(plain, alpha=opacity, top=natural(dataset, opacity), masked=masked)
    if masked:
        return replace(plain, masked=True)
    return replace(plain, nodata=declared(dataset, bands)) if nodata is None else plain


def _default_bands(dataset: DatasetReader, alpha: int) -> tuple[int, ...]:
    """The bands to show by default."""
    roles = list(dataset.colorinterp)
    for wanted in (COLOURS, INKS):
        if all(each in roles for each in wanted):
            return tuple(roles.index(each) + 1 for each in wanted)
    others = [band for band in dataset.indexes if band != alpha] or [1]
    return tuple(others[:3]) if len(others) >= 3 else (others[0],)


def bits(dataset: DatasetReader, band: int) -> int | None:
    """Bits per value of a band (NBITS), if fewer than its type has; else None."""
    nbits = {**dataset.tags(ns="IMAGE_STRUCTURE"), **dataset.tags(band, ns="IMAGE_STRUCTURE")}.get("NBITS", "")
    return int(nbits) if nbits.isdecimal() and dtype_of(dataset, band).startswith("u") else None


def natural(dataset: DatasetReader, band: int | None) -> float:
    """The alpha of a band that GDAL treats as opaque; 255 without a band."""
    return NATURAL.get(dtype_of(dataset, band), 255.0) if band else 255.0


def _inverted(dataset: DatasetReader, bands: tuple[int, ...]) -> float | None:
    """The black value of a raster in which 0 is white (MINISWHITE); None for all others."""
    dtype = np.dtype(dtype_of(dataset, bands[0]))
    white = dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"
    if not white or len(bands) > 1 or dtype.kind != "u" or dataset.colorinterp[bands[0] - 1] == ColorInterp.palette:
        return None
    return float(2 ** (bits(dataset, bands[0]) or 8 * dtype.itemsize) - 1)


def declared(dataset: DatasetReader, bands: tuple[int, ...]) -> tuple[float | None, ...]:
    """The raster's own nodata values, one per band, rounded to the pixels' type; empty if no band has one."""
    values = tuple(_rounded(_own_nodata(dataset, band), dtype_of(dataset, band)) for band in bands)
    return () if all(value is None for value in values) else values


def _own_nodata(dataset: DatasetReader, band: int) -> float | None:
    """The nodata value of a band; rasterio omits the largest 64-bit integer, which no float can hold."""
    nodata: float | None = dataset.nodatavals[band - 1]
    if nodata is None and dtype_of(dataset, band) in LONG and MaskFlags.nodata in dataset.mask_flag_enums[band - 1]:
        return int(np.iinfo(dtype_of(dataset, band)).max)
    return nodata


def _fitting(
    nodata: float | tuple[float, ...], bands: tuple[int, ...], dataset: DatasetReader
) -> tuple[float | None, ...]:
    """The user's nodata values, one per band, rounded to the pixels' type."""
    given = nodata if isinstance(nodata, tuple) else (nodata,)
    if len(given) not in (1, len(bands)):
        raise BadOption(f"--nodata: write one value or {len(bands)}, one per band, not {len(given)}")
    dtype = dtype_of(dataset, bands[0])
    for value in given:
        if _rounded(value, dtype) is None and not (np.dtype(dtype).kind == "f" and not math.isfinite(value)):
            raise BadOption(f"--nodata {value:g} is not a value of the raster's type, {dtype}: choose another value")
    values = tuple(_rounded(value, dtype) for value in given) * (len(bands) // len(given))
    return () if all(value is None for value in values) else values


def _rounded(nodata: float | None, dtype: str) -> float | None:
    """`nodata` rounded to `dtype`; None if no pixel can hold it, or if it is not finite, which is never valid."""
    if nodata is None or not math.isfinite(nodata):
        return None
    if np.dtype(dtype).kind == "f":
        with np.errstate(over="ignore"):
            value = float(np.dtype(dtype).type(nodata))
        return value if math.isfinite(value) else None
    if nodata != int(nodata):
        return None
    limits = np.iinfo(dtype)
    if dtype in LONG and nodata == float(limits.max):
        return int(limits.max)
    return nodata if limits.min <= nodata <= limits.max else None
