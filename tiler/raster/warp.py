"""Read rasters through GDAL: on their own grid, or warped to Web Mercator.

Every mask is `(height, width)` uint8, 0 transparent to 255 opaque, or None if all is opaque.
"""

from __future__ import annotations

import math
from contextlib import suppress
from inspect import signature
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.warp
import rasterio.windows
from affine import Affine
from rasterio.enums import MaskFlags
from rasterio.enums import Resampling as GdalResampling
from rasterio.io import DatasetReader

from tiler.choices import Resampling
from tiler.errors import SourceReadError
from tiler.grid import MAX_ZOOM, TILE, Bounds, Window
from tiler.image.separable import Coordinates
from tiler.image.style import Area, Pixels, Values
from tiler.raster.datasets import PLAIN, OpenOptions, opened, translated
from tiler.raster.pixels import dtype_of, pixels
from tiler.raster.place import MERCATOR, beneath_window, past_seam, turns
from tiler.raster.reading import Box, Reading, clipped

WARP_MEMORY = 256  # most megabytes of one warp
TOLERANCE = 3e-3  # source pixels by which GDAL may misplace a pixel; its default is 0.125
READ = 2048 * 2048  # most source pixels of one warp
LIMB = 128  # pixels; a window this small is not divided although some of its points are off the projection
NEAR = 0.05  # ratios this near to a whole number are rounded, as in GDAL
LEAST = 32  # pixels; a window this small is not divided again, its points are a pixel apart
FEW_PIXELS, TESTED_PIXELS = 4, 1 << 16  # pixels per side up to which coverage is tested, and the most pixels
SAMPLE_SIDE = 512  # source pixels per side in that test
# rasterio 1.4, with GDAL 3.10, always uses the default
PRECISION = {"tolerance": TOLERANCE} if "tolerance" in signature(rasterio.warp.reproject).parameters else {}
AREAS: tuple[Resampling, ...] = ("average", "mode")  # kernels that are a pixel's area
KERNEL: dict[Resampling, int] = {  # source pixels to each side of a kernel
    "nearest": 1,
    "bilinear": 1,
    "cubic": 2,
    "cubic_spline": 2,
    "lanczos": 3,
    "average": 1,
    "mode": 1,
}


def overviews_of(path: str, open_options: OpenOptions = PLAIN) -> list[int]:
    """The shrink factors of the raster itself (1) and its overviews; 0 for an overview without the raster's mask."""
    factors = [1, *opened(path, open_options=open_options).overviews(1)]
    if MaskFlags.per_dataset in opened(path, open_options=open_options).mask_flag_enums[0]:
        for level in range(1, len(factors)):
            if MaskFlags.per_dataset not in opened(path, level, open_options=open_options).mask_flag_enums[0]:
                factors[level] = 0
    return factors


def overview_for(path: str, shrink: float, open_options: OpenOptions = PLAIN) -> int:
    """The coarsest overview with at most `shrink` as its factor; 1 is the first, 0 the raster itself."""
    factors = overviews_of(path, open_options)
    return max(range(len(factors)), key=lambda level: factors[level] if factors[level] <= shrink * 1.01 else 0)


def read(dataset: DatasetReader, place: tuple[int, int, int, int], *, bands: int, masked: bool) -> Area:
    """Pixels on the raster's grid: `(bands, height, width)` in the raster's dtype, and the mask.

    `place` is (column, row, width, height) in pixels; pixels outside the raster are transparent.
    """
    column, row, width, height = place
    left, top = max(column, 0), max(row, 0)
    right, bottom = min(column + width, dataset.width), min(row + height, dataset.height)
    inside = right - left == width and bottom - top == height
    # pixel-interleaved in memory, as in the file and as encoders need it
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
    """Pixels warped to `window`: `(bands, height, width)`, and the mask.

    The dtype is the raster's own up to 32 bits, else float32. Values are 0 where the mask is 0.

    Raises:
        SourceReadError: some pixel could not be read.
    """
    values = np.zeros((reading.count, window.height, window.width), baked_dtype(dtype_of(dataset, reading.bands[0])))
    mask = np.zeros((window.height, window.width), np.uint8)
    _warp_into(values, mask, dataset, reading, window, resampling)
    return values, mask


def _warp_into(
    values: Values, mask: Pixels, dataset: DatasetReader, reading: Reading, window: Window, resampling: Resampling
) -> None:
    """Warp to `window`; by quarters if it needs more source pixels than READ or leaves the raster's projection."""
    needed, whole = needed_boxes(dataset, window, resampling)
    size = max(window.width, window.height)
    if not needed and (whole or size <= LIMB):
        return
    fits = whole and all(map(_readable, needed)) and not _wraps(dataset, needed, resampling)
    if size > (LEAST if whole else LIMB) and not (fits and needed):
        half = -(-size // 2)
        for y in range(0, window.height, half):
            for x in range(0, window.width, half):
                quarter = Window(
                    window.z, window.x + x, window.y + y, min(half, window.width - x), min(half, window.height - y)
                )
                place = (slice(y, y + half), slice(x, x + half))
                _warp_into(values[:, *place], mask[place], dataset, reading, quarter, resampling)
        return
    for each in needed:
        part, part_mask = _warped(dataset, reading, window, resampling, each)
        better = (part_mask > mask) & each.own
        values[:, better], mask[better] = part[:, better], part_mask[better]


def _warped(
    dataset: DatasetReader, reading: Reading, window: Window, resampling: Resampling, needed: Needed
) -> tuple[Values, Pixels]:
    """Values and mask of one box of the raster, warped to `window`."""
    box = needed.box
    part, part_mask, transform = _read_box(dataset, reading, box)
    shrunk = part.shape[2] / (box[2] - box[0]), part.shape[1] / (box[3] - box[1])
    with translated(dataset.name):
        return _reprojected(
            (part, part_mask),
            {"src_transform": transform, "src_crs": dataset.crs},
            window,
            resampling,
            kernel_of(needed.ratio * shrunk, resampling),
        )


def enlarged(area: Area, own: Window, window: Window, resampling: Resampling) -> tuple[Values, Pixels]:
    """Pixels of `own`, a window of a lower zoom that contains `window` and the reach of its kernels, at its zoom."""
    left, top = own.corner
    values, mask = area
    opaque = np.full(values.shape[1:], 255, np.uint8) if mask is None else mask
    place = {"src_transform": Affine(own.pixel, 0, left, 0, -own.pixel, top), "src_crs": MERCATOR}
    return _reprojected((values, opaque), place, window, resampling, {})


def _reprojected(
    area: tuple[Values, Pixels],
    place: dict[str, Any],
    window: Window,
    resampling: Resampling,
    kernel: dict[str, str],
) -> tuple[Values, Pixels]:
    """Values and mask in a geotransform and CRS, their `place`, warped to `window`."""
    part, part_mask = area
    kind = part.dtype if part.dtype != np.int8 else np.dtype("int16")  # a signed byte cannot hold the mask
    source = np.concatenate([part, part_mask[np.newaxis]], dtype=kind, casting="unsafe")
    out = np.zeros((len(source), window.height, window.width), kind)
    rasterio.warp.reproject(
        source,
        out,
        **place,
        src_alpha=len(source),
        dst_alpha=len(source),
        SRC_ALPHA_MAX="255",
        DST_ALPHA_MAX="255",
        **kernel,
        **target(window, resampling),
    )
    mask = out[-1].astype(np.uint8)
    if part.dtype == np.int8:
        np.clip(out, -128, 127, out=out)
    values = out[:-1].astype(part.dtype, copy=False)
    if values.dtype.kind == "f":
        mask[~np.isfinite(values).all(axis=0)] = 0
    values[:, mask == 0] = 0
    return values, mask


def baked_dtype(dtype: str) -> str:
    """The dtype of baked pixels: the raster's own up to 32 bits, else float32."""
    return dtype if np.dtype(dtype).itemsize <= 4 else "float32"


def _read_box(dataset: DatasetReader, reading: Reading, box: Box) -> tuple[Values, Pixels, Affine]:
    """Values in the baked dtype, mask and geotransform of a box, shrunk if it has more pixels than READ."""
    source = window_of(box)
    height, width = box[3] - box[1], box[2] - box[0]
    step = max(1.0, math.sqrt(height * width / READ))
    shape = (math.ceil(height / step), math.ceil(width / step))
    with translated(dataset.name):
        values, mask = pixels(dataset, reading, window=source, out_shape=shape)
    values = values.astype(baked_dtype(values.dtype.name), copy=False)
    values[:, mask == 0] = 0
    transform = rasterio.windows.transform(source, dataset.transform)
    return values, mask, _scaled(transform, width / shape[1], height / shape[0])


def _scaled(transform: Affine, across: float, down: float) -> Affine:
    """A geotransform for pixels that are larger by two factors."""
    a, b, c, d, e, f = transform[:6]
    return Affine(a * across, b * down, c, d * across, e * down, f)


def first_covered_zoom(dataset: DatasetReader, bounds: Bounds, zoom: int) -> int:
    """The lowest zoom, from `zoom`, with a pixel whose centre is in the raster; GDAL warps no other pixels."""
    while zoom < MAX_ZOOM and not _covers_pixel(dataset, bounds, zoom):
        zoom += 1
    return zoom


def _covers_pixel(dataset: DatasetReader, bounds: Bounds, zoom: int) -> bool:
    """Whether GDAL fills a pixel from a raster of ones in the same place; True without a test if it is large."""
    side = TILE << zoom
    north, south = (
        side * (0.5 - math.asinh(math.tan(math.radians(each))) / math.tau) for each in (bounds.north, bounds.south)
    )
    west, width = side * (bounds.west + 180) / 360, side * bounds.width / 360
    left, top = math.floor(west), math.floor(north)
    window = Window(zoom, left, top, math.ceil(west + width) - left, math.ceil(south) - top)
    if min(window.width, window.height) > FEW_PIXELS or window.width * window.height > TESTED_PIXELS:
        return True
    rows, columns = min(dataset.height, SAMPLE_SIDE), min(dataset.width, SAMPLE_SIDE)
    covered_pixels = np.zeros((window.height, window.width), np.uint8)
    with suppress(SourceReadError), translated(dataset.name, close=False):
        rasterio.warp.reproject(
            np.ones((rows, columns), np.uint8),
            covered_pixels,
            src_transform=_scaled(dataset.transform, dataset.width / columns, dataset.height / rows),
            src_crs=dataset.crs,
            **target(window, "nearest"),
        )
        return bool(covered_pixels.any())
    return True  # partly off the projection: the warp by smaller windows decides


def target(window: Window, resampling: Resampling) -> dict[str, Any]:
    """The arguments of a warp about its target."""
    left, top = window.corner
    return {
        "dst_transform": Affine(window.pixel, 0, left, 0, -window.pixel, top),
        "dst_crs": MERCATOR,
        "resampling": GdalResampling[resampling],
        "warp_mem_limit": WARP_MEMORY,
        "init_dest_nodata": False,
        "INIT_DEST": "0",
        "UNIFIED_SRC_NODATA": "YES",
        "SAMPLE_GRID": "YES",  # the sides of a window do not bound its inside where the map is cut or ends
        **PRECISION,
    }


def kernel_of(ratio: Coordinates, resampling: Resampling) -> dict[str, str]:
    """The width of GDAL's kernel: `ratio` source pixels per pixel, across and down; none for `nearest`.

    GDAL's own estimate depends on how much of the source is there: it differs where a window reaches past the raster,
    and is the whole globe for one that touches both ends of the raster.
    """
    if resampling == "nearest":
        return {}
    near = np.rint(ratio)
    ratio = np.maximum(1, np.where(np.abs(ratio - near) < NEAR, near, ratio))
    return {name: repr(1 / side) for name, side in zip(("XSCALE", "YSCALE"), ratio.tolist(), strict=True)}


def covered(dataset: DatasetReader, window: Window, reach: float) -> Box | None:
    """The source pixels of `window`, with `reach` more on every side; None if part of it is off the projection."""
    columns, rows = _spread(dataset, window)
    return _box(columns, rows, reach, reach) if np.isfinite(columns).all() and np.isfinite(rows).all() else None


class Needed(NamedTuple):
    """The source pixels of a window at one turn of the globe; `ratio` is source pixels per pixel, across and down.

    `own` marks the window's columns at this turn.
    """

    box: Box
    ratio: Coordinates
    own: npt.NDArray[np.bool_]


def _readable(needed: Needed) -> bool:
    """Whether a box is small enough to be read at once."""
    left, top, right, bottom = needed.box
    return (right - left) * (bottom - top) <= READ


def _wraps(dataset: DatasetReader, needed: list[Needed], resampling: Resampling) -> bool:
    """Whether GDAL would average a pixel over the whole globe: one with both ends of the raster in it.

    It turns the corners of a pixel to the longitudes around the middle of the source, which must be narrow for that.
    """
    if resampling not in AREAS or not past_seam(dataset):
        return False
    return any(2 * (box[2] - box[0]) > dataset.width or 2 * (box[3] - box[1]) > dataset.height for box, *_ in needed)


def needed_boxes(dataset: DatasetReader, window: Window, resampling: Resampling) -> tuple[list[Needed], bool]:
    """The source pixels of `window` at each turn of the globe; and whether all of it is on the projection."""
    columns, rows = _spread(dataset, window)
    known = np.isfinite(columns) & np.isfinite(rows)
    if not known.any():
        return [], False
    around = turns(dataset)
    nearest = _nearest(dataset, window, (columns, rows), around)
    columns, rows = columns[known], rows[known]
    ratio = np.array([np.ptp(columns) / window.width, np.ptp(rows) / window.height])
    reach = (KERNEL[resampling] + 1) * np.maximum(1, ratio)
    boxes = []
    for turn, (across, down) in enumerate(around):
        box = clipped(_box(columns + across, rows + down, *reach), dataset.width, dataset.height)
        own = nearest == turn
        if box[0] < box[2] and box[1] < box[3] and own.any():
            boxes.append(Needed(box, ratio, own))
    return boxes, bool(known.all())


def _nearest(
    dataset: DatasetReader,
    window: Window,
    places: tuple[Coordinates, Coordinates],
    around: tuple[tuple[float, float], ...],
) -> npt.NDArray[np.intp]:
    """The turn at which each of the window's columns is in the raster, or nearest to it."""
    if len(around) == 1:
        return np.zeros(window.width, np.intp)
    axis = int(abs(around[-1][1]) > abs(around[-1][0]))  # 1 if rows, not columns, go around the globe
    along, size = places[axis][len(places[axis]) // 2], dataset.shape[1 - axis]
    at = np.interp(np.arange(window.width) + 0.5, np.linspace(0, window.width, len(along)), along)
    outside = [np.maximum(0, np.abs(at + turn[axis] - size / 2) - size / 2) for turn in around]
    nearest: npt.NDArray[np.intp] = np.argmin(outside, axis=0)
    return nearest


def _spread(dataset: DatasetReader, window: Window) -> tuple[Coordinates, Coordinates]:
    """Columns and rows of the raster at 33 x 33 points of `window`."""
    across, down = np.linspace(0, window.width, 33), np.linspace(0, window.height, 33)
    return beneath_window(dataset, window, *np.meshgrid(across, down))


def _box(columns: Coordinates, rows: Coordinates, aside: float, above: float) -> Box:
    """The pixels around points, with a margin for the kernel and one for sides that bulge between the points."""
    wide, high = np.ptp(columns) / 32 + aside, np.ptp(rows) / 32 + above
    return (
        int(np.floor(columns.min() - wide)),
        int(np.floor(rows.min() - high)),
        int(np.ceil(columns.max() + wide)),
        int(np.ceil(rows.max() + high)),
    )


def window_of(box: Box) -> rasterio.windows.Window:
    """`box` as a window of rasterio."""
    return rasterio.windows.Window(box[0], box[1], box[2] - box[0], box[3] - box[1])
