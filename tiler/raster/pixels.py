"""Pixels of a raster as it has them: values, and a mask. The only place that knows which pixels are valid.

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

NATURAL = {"uint16": 65535.0, "int16": 32767.0}  # alpha that is opaque, as GDAL has it; 255 of other types
LONG = ("int64", "uint64")  # whose largest value no float holds
INKS = [ColorInterp.cyan, ColorInterp.magenta, ColorInterp.yellow, ColorInterp.black]
COLOURS = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]


def pixels(dataset: DatasetReader, reading: Reading, **how: Any) -> tuple[Values, Pixels]:
    """Values, `(bands, height, width)` in the raster's dtype, and the mask; `how` is for rasterio's `read`."""
    values, nodata = dataset.read(list(reading.bands), **how), reading.nodata
    if values.dtype.kind == "c":
        values, nodata = _amplitude(values, nodata), ()
    mask = np.full(values.shape[1:], 255, np.uint8)
    if reading.alpha:
        mask = shown(dataset.read(reading.alpha, **how), reading.top)
    if reading.masked:
        cover = mask_of(dataset, reading, **how)
        mask = np.minimum(mask, cover if reading.soft else np.where(cover, np.uint8(255), np.uint8(0)))
    mask[missing(values, nodata)] = 0
    if reading.inverted is not None:
        values = values.dtype.type(reading.inverted) - values
    made: Values = _rgb(values) if reading.cmyk else values
    return made, mask


def mask_of(dataset: DatasetReader, reading: Reading, **how: Any) -> Pixels:
    """The raster's own mask; where each band has one of its own, what some band shows."""
    if dataset.mask_flag_enums[reading.bands[0] - 1]:
        mask: Pixels = dataset.read_masks(reading.bands[0], **how)
    else:
        mask = dataset.read_masks(list(reading.bands), **how).max(axis=0)
    return mask


def dtype_of(dataset: DatasetReader, band: int) -> str:
    """The dtype of a band's values; of complex numbers that of their amplitude."""
    dtype: str = dataset.dtypes[band - 1]
    if dtype.startswith("complex"):
        return "float64" if dtype == "complex128" else "float32"
    return dtype


def _amplitude(values: Values, nodata: tuple[float | None, ...]) -> Values:
    """How large complex numbers are; no number where they are `nodata`."""
    made: Values = np.abs(values)
    made[:, missing(values.real, nodata) & (values.imag == 0).all(axis=0)] = np.nan
    return made


def shown(alpha: Values, top: float) -> Pixels:
    """Alpha of any dtype, opaque at `top`, as 0 to 255."""
    if alpha.dtype == np.uint8 and top == 255:
        return alpha
    share = np.nan_to_num(np.real(alpha).astype(np.float64) / top, nan=0.0)  # a warp adds it in the type of the values
    mask: Pixels = np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
    return mask


def missing(values: Values, nodata: tuple[float | None, ...] = ()) -> npt.NDArray[np.bool_]:
    """Where pixels are no data: no number in some band, or `nodata` in every band that has one."""
    gone = np.zeros(values.shape[1:], bool)
    if values.dtype.kind == "f":
        gone |= ~np.isfinite(values).all(axis=0)
    declared = [(band, value) for band, value in zip(values, nodata, strict=False) if value is not None]
    if declared:
        gone |= np.logical_and.reduce([band == np.asarray(value).astype(values.dtype) for band, value in declared])
    return gone


def _rgb(inks: Values) -> Values:
    """Cyan, magenta, yellow and black of whole numbers as red, green and blue: what each ink leaves of the light."""
    top = float(np.iinfo(inks.dtype).max)
    light = top - inks.astype(np.float64)
    colours: Values = np.rint(light[:3] * light[3] / top).astype(inks.dtype)
    return colours


def reading_of(
    dataset: DatasetReader, bands: tuple[int, ...] = (), nodata: Nodata = None, alpha: int | None = None
) -> Reading:
    """What to read of `dataset`: the colour bands it names, else its first three, else its first.

    `alpha` is the band of that, 0 for none, or None where the raster decides. A value of `nodata` takes the place of
    everything else that the raster says of valid pixels.

    Raises:
        BadOption: it lacks one of `bands`, or they are not one or three; it lacks band `alpha`; `nodata` does not fit.
    """
    roles = list(dataset.colorinterp)
    flagged = roles.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in roles else 0
    if alpha is not None and not 0 <= alpha <= dataset.count:
        raise BadOption(f"--alpha {alpha}: name one of bands 1 to {dataset.count}")
    opacity = flagged if alpha is None else alpha
    if bands:
        if len(bands) not in (1, 3) or not all(1 <= band <= dataset.count for band in bands):
            raise BadOption(f"--bands {','.join(map(str, bands))}: name one band or three, of 1 to {dataset.count}")
        if alpha and alpha in bands:
            raise BadOption(f"--alpha {alpha} is one of --bands: name another band")
    else:
        bands = _default_bands(dataset, opacity)
    kinds = {dtype_of(dataset, band) for band in bands}
    if len(kinds) > 1:
        raise BadOption(
            f"bands {','.join(map(str, bands))} differ in type ({', '.join(sorted(kinds))}): name others with --bands"
        )
    if len(bands) == len(INKS) and np.dtype(kinds.pop()).kind == "f":
        raise BadSource(dataset.name, "its inks are no whole numbers: name one band or three with --bands")
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
    """The bands to show where nobody named some."""
    roles = list(dataset.colorinterp)
    for wanted in (COLOURS, INKS):
        if all(each in roles for each in wanted):
            return tuple(roles.index(each) + 1 for each in wanted)
    plain = [band for band in dataset.indexes if band != alpha] or [1]
    return tuple(plain[:3]) if len(plain) >= 3 else (plain[0],)


def bits(dataset: DatasetReader, band: int) -> int | None:
    """Bits a value of a band, where they are fewer than its type has."""
    said = {**dataset.tags(ns="IMAGE_STRUCTURE"), **dataset.tags(band, ns="IMAGE_STRUCTURE")}.get("NBITS", "")
    return int(said) if said.isdecimal() and dtype_of(dataset, band).startswith("u") else None


def natural(dataset: DatasetReader, band: int | None) -> float:
    """The alpha of a band that GDAL takes for opaque; that of a byte where there is none."""
    return NATURAL.get(dtype_of(dataset, band), 255.0) if band else 255.0


def _inverted(dataset: DatasetReader, bands: tuple[int, ...]) -> float | None:
    """What is black in a raster whose 0 is white; None for all others."""
    dtype = np.dtype(dtype_of(dataset, bands[0]))
    white = dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"
    if not white or len(bands) > 1 or dtype.kind != "u" or dataset.colorinterp[bands[0] - 1] == ColorInterp.palette:
        return None
    return float(2 ** (bits(dataset, bands[0]) or 8 * dtype.itemsize) - 1)


def declared(dataset: DatasetReader, bands: tuple[int, ...]) -> tuple[float | None, ...]:
    """The raster's own nodata values as its pixels hold them."""
    found = tuple(_held(_said(dataset, band), dtype_of(dataset, band)) for band in bands)
    return () if all(value is None for value in found) else found


def _said(dataset: DatasetReader, band: int) -> float | None:
    """The nodata value of a band; rasterio leaves out the largest of 64 bits, which is beyond all floats of a pixel."""
    nodata: float | None = dataset.nodatavals[band - 1]
    if nodata is None and dtype_of(dataset, band) in LONG and MaskFlags.nodata in dataset.mask_flag_enums[band - 1]:
        return int(np.iinfo(dtype_of(dataset, band)).max)
    return nodata


def _fitting(
    nodata: float | tuple[float, ...], bands: tuple[int, ...], dataset: DatasetReader
) -> tuple[float | None, ...]:
    """Nodata values that were asked for, one a band, as pixels hold them."""
    asked = nodata if isinstance(nodata, tuple) else (nodata,)
    if len(asked) not in (1, len(bands)):
        raise BadOption(f"--nodata: give one value or {len(bands)}, one a band, not {len(asked)}")
    dtype = dtype_of(dataset, bands[0])
    for value in asked:
        if _held(value, dtype) is None and not (np.dtype(dtype).kind == "f" and not math.isfinite(value)):
            raise BadOption(f"--nodata {value:g} is no value of {dtype}")
    found = tuple(_held(value, dtype) for value in asked) * (len(bands) // len(asked))
    return () if all(value is None for value in found) else found


def _held(nodata: float | None, dtype: str) -> float | None:
    """`nodata` as a pixel of `dtype` holds it; None if none can, and for what is no number, which is never valid."""
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
