"""Reading rasters through GDAL: in place on their own grid, or warped to Web Mercator.

The mask of everything here is `(height, width)` uint8, 0 transparent to 255 opaque, or None where all is opaque.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.warp
import rasterio.windows
from affine import Affine
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.enums import Resampling as GdalResampling
from rasterio.io import DatasetReader

from tiler.axes import Coordinates, cubic, exact, resampled
from tiler.catalog import Resampling
from tiler.datasets import PLAIN, Manner, opened, translated
from tiler.errors import BadOption
from tiler.grid import Window
from tiler.place import MERCATOR, beneath_window
from tiler.style import Area, Pixels, Values

Box = tuple[int, int, int, int]  # column, row, column, row of source pixels

WARP_MEMORY = 256  # megabytes that one warp may take
STRAIGHT = 1e-3  # source pixels that a column or a row may bend and still count as straight
KERNEL: dict[Resampling, int] = {  # source pixels that a kernel reaches to each side
    "nearest": 1,
    "bilinear": 1,
    "cubic": 2,
    "cubic_spline": 2,
    "lanczos": 3,
    "average": 1,
    "mode": 1,
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What to read of a raster: its bands (from 1), its alpha band (0: none), its nodata value, its own mask."""

    bands: tuple[int, ...]
    alpha: int = 0
    nodata: float | None = None
    masked: bool = False  # the raster has a mask of its own

    @property
    def opaque(self) -> bool:
        """Whether every pixel of the raster is valid."""
        return not self.alpha and self.nodata is None and not self.masked


def overview_for(path: str, shrink: float, manner: Manner = PLAIN) -> int:
    """The deepest overview (from 1; 0 is the raster itself) that is still `shrink` or less smaller."""
    factors = opened(path, manner=manner).overviews(1)
    return sum(1 for factor in factors if factor <= shrink * 1.01)


def read(dataset: DatasetReader, place: tuple[int, int, int, int], *, bands: int, masked: bool) -> Area:
    """Pixels as they are: `(bands, height, width)` in the raster's dtype, and the mask.

    `place` is (column, row, width, height) in pixels; what lies outside the raster is transparent.
    """
    column, row, width, height = place
    left, top = max(column, 0), max(row, 0)
    right, bottom = min(column + width, dataset.width), min(row + height, dataset.height)
    inside = right - left == width and bottom - top == height
    # pixel by pixel in memory, as the file has it and as encoders want it
    make = np.empty if inside else np.zeros
    values = np.moveaxis(make((height, width, bands), dataset.dtypes[0]), -1, 0)
    mask = make((height, width), np.uint8) if masked or not inside else None
    if right <= left or bottom <= top:
        return values, np.zeros((height, width), np.uint8)
    window = rasterio.windows.Window(left, top, right - left, bottom - top)
    part = (slice(top - row, bottom - row), slice(left - column, right - column))
    with translated(dataset.name):
        dataset.read(list(range(1, bands + 1)), window=window, out=values[(slice(None), *part)])
        if masked and mask is not None:
            dataset.read_masks(1, window=window, out=mask[part])
        elif mask is not None:
            mask[part] = 255
    return values, mask


def warp(dataset: DatasetReader, reading: Reading, window: Window, resampling: Resampling) -> tuple[Values, Pixels]:
    """Pixels warped to `window`: `(bands, height, width)` in the raster's dtype, and the mask.

    Values under a zero of the mask are 0.

    Raises:
        SourceReadError: some pixel could not be read.
    """
    dtype = dataset.dtypes[reading.bands[0] - 1]
    options: dict[str, Any] = {"DST_ALPHA_MAX": _alpha_max(dtype)}
    if reading.alpha:
        source = [*reading.bands, reading.alpha]
        options |= {"src_alpha": reading.alpha, "dst_alpha": len(source)}
    else:
        # where the warp adds an alpha band, rasterio puts each source band at its own number in the destination
        source = sorted(set(reading.bands))
        options |= {"src_nodata": reading.nodata, "dst_alpha": source[-1] + 1}
    out = np.zeros((options["dst_alpha"], window.height, window.width), dtype)
    with translated(dataset.name):
        rasterio.warp.reproject(rasterio.band(dataset, source), out, **_target(window, resampling), **options)
    values = out[:-1] if reading.alpha else out[[band - 1 for band in reading.bands]]
    mask = (out[-1] * (255 // _alpha_max(dtype))).astype(np.uint8)
    if values.dtype.kind == "f":  # a NaN beside the declared nodata value is no data either
        mask[~np.isfinite(values).all(axis=0)] = 0
        values[:, mask == 0] = 0
    return values, mask


def warp_valid(dataset: DatasetReader, reading: Reading, window: Window, resampling: Resampling, box: Box) -> Values:
    """What `warp` gives, without a mask and several times faster: for a window whose source pixels are all valid.

    `box` holds them; see `covered`. They are read first, so that GDAL sees neither mask nor nodata value. Where the
    map keeps columns and rows as they are, GDAL is not needed at all.

    Raises:
        SourceReadError: some pixel could not be read.
    """
    part = _part(box)
    dtype = np.dtype(dataset.dtypes[reading.bands[0] - 1])
    straight = _straight(dataset, window) if resampling == "cubic" and exact(dtype) else None
    with translated(dataset.name):
        values = dataset.read(list(reading.bands), window=part)
        if straight:
            columns, rows = (centres - start for centres, start in zip(straight, box, strict=False))
            return resampled(values, cubic(rows, values.shape[1]), cubic(columns, values.shape[2]), dtype)
        out = np.empty((len(reading.bands), window.height, window.width), dtype)
        rasterio.warp.reproject(
            values,
            out,
            src_transform=rasterio.windows.transform(part, dataset.transform),
            src_crs=dataset.crs,
            **_target(window, resampling),
        )
    return out


def _target(window: Window, resampling: Resampling) -> dict[str, Any]:
    """Where and how a warp writes."""
    left, top = window.corner
    return {
        "dst_transform": Affine(window.pixel, 0, left, 0, -window.pixel, top),
        "dst_crs": MERCATOR,
        "resampling": GdalResampling[resampling],
        "warp_mem_limit": WARP_MEMORY,
        "init_dest_nodata": False,
        "INIT_DEST": "0",
        "UNIFIED_SRC_NODATA": "YES",
        "SAMPLE_GRID": "YES",  # a window's sides do not say where its inside lies if the map is cut there, or ends
    }


def _alpha_max(dtype: str) -> int:
    """What stands for opaque in the alpha band that a warp adds; a signed byte has no 255."""
    return 85 if dtype == "int8" else 255


def covered(dataset: DatasetReader, window: Window, reach: float) -> Box | None:
    """The source pixels that `window` needs, `reach` more on every side.

    None where part of the window lies where the source's projection ends.
    """
    across, down = np.linspace(0, window.width, 33), np.linspace(0, window.height, 33)
    columns, rows = beneath_window(dataset, window, *np.meshgrid(across, down))
    if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
        return None
    slack = 1 / 32  # of the window: the sides bulge between the points
    wide, high = np.ptp(columns) * slack + reach, np.ptp(rows) * slack + reach
    return (
        int(np.floor(columns.min() - wide)),
        int(np.floor(rows.min() - high)),
        int(np.ceil(columns.max() + wide)),
        int(np.ceil(rows.max() + high)),
    )


def _straight(dataset: DatasetReader, window: Window) -> tuple[Coordinates, Coordinates] | None:
    """The source column of each column of `window` and the source row of each row, at the centres of its pixels.

    None where a column or a row does not come from a single one.
    """
    across, down = np.linspace(0, window.width, 17), np.linspace(0, window.height, 17)
    columns, rows = beneath_window(dataset, window, *np.meshgrid(across, down))
    if not (np.ptp(columns, axis=0).max() < STRAIGHT and np.ptp(rows, axis=1).max() < STRAIGHT):
        return None
    xs, ys = np.arange(window.width) + 0.5, np.arange(window.height) + 0.5
    columns, _ = beneath_window(dataset, window, xs, np.full(xs.size, window.height / 2))
    _, rows = beneath_window(dataset, window, np.full(ys.size, window.width / 2.0), ys)
    return columns, rows


def valid(dataset: DatasetReader, reading: Reading, box: Box) -> bool:
    """Whether every source pixel in `box`, which lies inside the raster, is valid and opaque."""
    if reading.opaque:
        return True
    window = _part(box)
    with translated(dataset.name):
        if reading.alpha:
            alpha = dataset.read(reading.alpha, window=window)
            opaque = {"uint16": 65535, "int16": 32767}.get(alpha.dtype.name, 255)  # as GDAL's warper has it
            if not (alpha >= opaque).all():
                return False
        if reading.masked and not (dataset.read_masks(reading.bands[0], window=window) == 255).all():
            return False
        floats = np.dtype(dataset.dtypes[reading.bands[0] - 1]).kind == "f"
        if reading.nodata is None and not floats:
            return True
        values = dataset.read(list(reading.bands), window=window)
    return not missing(values, reading.nodata).any()


def missing(values: Values, nodata: float | None) -> npt.NDArray[np.bool_]:
    """Where pixels are no data: `nodata` in every band, or no number in some. `values` has the bands first."""
    gone = np.zeros(values.shape[1:], bool)
    if values.dtype.kind == "f":
        gone |= ~np.isfinite(values).all(axis=0)
    if nodata is not None:
        gone |= (values == np.asarray(nodata, np.float64)).all(axis=0)
    return gone


def _part(box: Box) -> rasterio.windows.Window:
    return rasterio.windows.Window(box[0], box[1], box[2] - box[0], box[3] - box[1])


def reading_of(dataset: DatasetReader, bands: tuple[int, ...] = (), nodata: float | None = None) -> Reading:
    """What to read of `dataset`: the colour bands it names, else its first three, else its first.

    Raises:
        BadOption: it lacks one of `bands`, or they are not one or three.
    """
    roles = list(dataset.colorinterp)
    alpha = roles.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in roles else 0
    if bands:
        if len(bands) not in (1, 3) or not all(1 <= band <= dataset.count for band in bands):
            raise BadOption(f"--bands {','.join(map(str, bands))}: name one band or three, of 1 to {dataset.count}")
    else:
        colours = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
        plain = [band for band in dataset.indexes if band != alpha] or [1]
        if all(colour in roles for colour in colours):
            bands = tuple(roles.index(colour) + 1 for colour in colours)
        else:
            bands = tuple(plain[:3]) if len(plain) >= 3 else (plain[0],)
    kinds = {dataset.dtypes[band - 1] for band in bands}
    if len(kinds) > 1:
        raise BadOption(
            f"bands {','.join(map(str, bands))} differ in type ({', '.join(sorted(kinds))}): name others with --bands"
        )
    if nodata is not None:
        return Reading(bands, nodata=_fitting(nodata, bands, dataset))
    if alpha and alpha not in bands:
        return Reading(bands, alpha=alpha)
    if MaskFlags.per_dataset in dataset.mask_flag_enums[bands[0] - 1]:
        return Reading(bands, masked=True)
    declared = dataset.nodatavals[bands[0] - 1]
    return Reading(bands, nodata=_representable(declared, kinds.pop()))


def _fitting(nodata: float, bands: tuple[int, ...], dataset: DatasetReader) -> float:
    dtype = dataset.dtypes[bands[0] - 1]
    if np.dtype(dtype).kind != "f" and _representable(nodata, dtype) is None:
        raise BadOption(f"--nodata {nodata:g} is no value of {dtype}")
    return nodata


def _representable(nodata: float | None, dtype: str) -> float | None:
    """`nodata` if a pixel can have it; NaN where floats declare none."""
    if np.dtype(dtype).kind == "f":
        return math.nan if nodata is None else nodata
    if nodata is None or not math.isfinite(nodata) or nodata != int(nodata):
        return None
    limits = np.iinfo(dtype)
    return nodata if limits.min <= nodata <= limits.max else None
