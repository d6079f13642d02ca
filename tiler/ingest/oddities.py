"""Oddities of a raster that can become a layer, each with the options to cure it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rasterio.enums import Compression
from rasterio.io import DatasetReader

from tiler.errors import BadSource
from tiler.grid import MAX_LATITUDE
from tiler.image.style import Values
from tiler.ingest.doubts import doubts
from tiler.ingest.glance import Glance, Sample
from tiler.raster.bodies import called
from tiler.raster.datasets import as_it_is
from tiler.raster.gcps import by_points
from tiler.raster.options import Options
from tiler.raster.pixels import declared, dtype_of, missing
from tiler.raster.sample import FULL, picture_like
from tiler.raster.sparse import gaps_of
from tiler.raster.units import metres_of
from tiler.scenes.sidecars import head_of, is_file

BIG_ENDIAN = (b"MM\0*", b"MM\0+")  # first bytes of a TIFF
MERCATOR, NEARLY = 3857, 1e-6  # EPSG code; degrees
LARGE = 4096  # pixels per side from which storage matters
FEW_VALUES = 256  # values of 16 bits that fit 8
SQUARE = 0.01  # share by which pixels that count as square may differ
UPRIGHT = 0.01  # degrees; a grid turned by less is upright
SOFT = 0.05  # share of half transparent pixels that is told
SMALLEST, CORNERS = 16, 3  # pixels per side of a sample, and its corners, in which a frame is seen
EDGE = 0.02  # share of the sample's pixels that a frame without data takes at least


class Oddity(NamedTuple):
    """A note, and the options that cure it; empty if there is nothing to cure."""

    text: str
    cure: str = ""

    def __str__(self) -> str:
        return f"{self.text}: add {self.cure}" if self.cure else self.text


def oddities(seen: Glance, sample: Sample, options: Options) -> list[Oddity]:
    """Oddities of the first raster, and of all scenes together.

    Raises:
        SourceReadError, StoreError: it cannot be read.
    """
    path, dataset = seen.scenes[0].listed.path, seen.dataset
    with as_it_is(path, seen.survey.open_options) as plain:
        own = [
            *(Oddity(text) for text in doubts(dataset, plain, options)),
            *_placed(dataset, plain, options),
            *_stored(dataset, plain, Path(path), seen),
        ]
    found = [*own, *_of_masks(dataset, seen, sample, options), *_of_values(dataset, seen, sample, options)]
    found += [Oddity(text) for text in (*seen.survey.notes, *seen.survey.warnings)]
    found += _extent(seen)
    return list(dict.fromkeys(found))


def _placed(dataset: DatasetReader, plain: DatasetReader, options: Options) -> Iterator[Oddity]:
    """Of the place of each pixel."""
    if by_points(plain):
        number, fit = len(plain.gcps[0]), options.gcps or "polynomial"
        other = "" if options.gcps == "tps" else "--gcps tps to bend it through all of them"
        yield Oddity(f"it is placed by {number} ground control points ({fit})", other)
    crs, transform = dataset.crs, dataset.transform
    if crs and crs.is_geographic and not _is_wgs84(dataset):
        yield Oddity(f"its degrees are of another datum, {called(crs)}: they are converted to WGS 84")
    if vertical := vertical_of(dataset):
        yield Oddity(f"its heights refer to {vertical}: they are not converted to another datum")
    turned = math.degrees(math.atan2(transform.d, transform.a)) if transform.a or transform.d else 90.0
    if abs(math.remainder(turned, 180)) > UPRIGHT:
        yield Oddity(f"its grid is rotated by {turned:.3g} degrees: the layer is north up")
    elif transform.e > 0:
        yield Oddity("its rows run from south to north: they are turned")
    sides = math.hypot(transform.a, transform.d), math.hypot(transform.b, transform.e)
    if min(sides) > 0 and max(sides) / min(sides) > 1 + SQUARE and not crs.is_geographic:
        yield Oddity(f"its pixels are not square: {sides[0]:.6g} x {sides[1]:.6g}")


def _is_wgs84(dataset: DatasetReader) -> bool:
    datum = str(dataset.crs.to_dict(projjson=True))
    return "World Geodetic System 1984" in datum or "WGS 84" in datum


def vertical_of(dataset: DatasetReader) -> str:
    """The vertical datum of a compound CRS; empty if it has none."""
    tree = dataset.crs.to_dict(projjson=True) if dataset.crs else {}
    for part in tree.get("components", ()):
        if part.get("type") == "VerticalCRS":
            return str(part.get("name", "a vertical datum"))
    return "the ellipsoid" if len(tree.get("coordinate_system", {}).get("axis", ())) == 3 else ""


def _stored(dataset: DatasetReader, plain: DatasetReader, file: Path, seen: Glance) -> Iterator[Oddity]:
    """Of how it is stored."""
    if plain.driver == "GTiff" and is_file(file) and head_of(file).startswith(BIG_ENDIAN):
        yield Oddity("it is big-endian: read as it is")
    if plain.driver.startswith("JP2"):
        yield Oddity("it is JPEG 2000, which decodes slowly: the seconds below count that")
    levels = plain.overviews(1)
    large = max(plain.width, plain.height) >= LARGE
    if levels != sorted(levels):
        listed = ",".join(map(str, levels))
        yield Oddity(f"its overviews are not in ascending order ({listed}): the right ones are read")
    elif not levels and large:
        yield Oddity("it has no overviews: none are needed, a bake makes its own")
    rows, columns = plain.block_shapes[0]
    if large and columns == plain.width and rows < LARGE // 8 and plain.driver == "GTiff":
        yield Oddity(f"it is stored in strips of {rows} row{'s' * (rows > 1)}: tiled TIFFs bake faster")
    gaps = gaps_of(dataset, seen.scenes[0].reading)
    if gaps is not None:
        number, every = int(gaps.written.sum()), gaps.written.size
        yield Oddity(f"it is sparse: {number:,} of {every:,} blocks are written, and the others cost nothing")
    if (
        dataset.dtypes[0] in ("float64", "int64", "uint64", "uint32", "int32")
        and seen.survey.dtype != dataset.dtypes[0]
    ):
        yield Oddity(f"its values are {dataset.dtypes[0]}: they are baked as {seen.survey.dtype}")
    lossy = (
        plain.compression in (Compression.jpeg, Compression.webp)
        or "JPEG" in str(plain.profile.get("compress", "")).upper()
    )
    if lossy and seen.scenes[0].reading.nodata and not seen.scenes[0].reading.masked:
        yield Oddity("its lossy compression blurs pixels of its nodata value: specks may stay at the edges")


def _of_masks(dataset: DatasetReader, seen: Glance, sample: Sample, options: Options) -> Iterator[Oddity]:
    """Of nodata, masks and alpha."""
    reading = seen.scenes[0].reading
    own = declared(dataset, reading.bands) if options.nodata is None else ()
    if own and (reading.alpha or reading.masked) and not reading.nodata:
        kind, alpha = ("an alpha band", f" --alpha {reading.alpha}") if reading.alpha else ("a mask", "")
        yield Oddity(
            f"its nodata value is ignored because it has {kind}", f"--nodata {_number(own[0])}{alpha} to apply it"
        )
    if reading.nodata:
        yield from _of_nodata(dataset, seen, sample, options)
    if reading.alpha and sample.alpha is not None and options.alpha is None:
        yield from _of_alpha(dataset, seen, sample.alpha)
    if reading.opaque and sample.values.dtype.kind in "ui" and options.nodata is None and not seen.survey.style.palette:
        value = _frame(sample)
        if value is not None:
            yield Oddity(f"it is framed in {value} without nodata, mask or alpha", f"--nodata {value} to hide that")
    if not sample.mask.any() and gaps_of(dataset, reading) is None:
        yield Oddity("no sampled pixel is valid: most of the layer is empty")


def _of_nodata(dataset: DatasetReader, seen: Glance, sample: Sample, options: Options) -> Iterator[Oddity]:
    nodata = seen.scenes[0].reading.nodata
    band = seen.scenes[0].reading.bands[0]
    first = options.nodata if isinstance(options.nodata, float) else dataset.nodatavals[band - 1]
    if first is None:
        return
    dtype = np.dtype(dtype_of(dataset, band))
    held = np.float32(first) if dtype == np.float32 else first
    if np.isfinite(first) and float(held) != first:
        yield Oddity(f"its nodata value {first!r} is not exact in {dtype}: {float(held)!r} counts")
    shown = sample.values[: len(nodata)] if not seen.scenes[0].reading.cmyk else sample.values[:0]
    if shown.size and sample.mask.all() and not missing(shown, nodata).any() and options.nodata is None:
        yield Oddity(
            f"its nodata value {_number(first)} occurs in no sampled pixel",
            "--nodata none if it is a value like others",
        )


def _of_alpha(dataset: DatasetReader, seen: Glance, alpha: Values) -> Iterator[Oddity]:
    reading = seen.scenes[0].reading
    highest, usual = float(np.real(alpha).max(initial=0)), FULL.get(dtype_of(dataset, reading.alpha), 255.0)
    between = float(((np.real(alpha) > 0) & (np.real(alpha) < reading.top)).mean())
    if picture_like(np.nan_to_num(np.real(alpha).astype(np.float64)), reading.top):
        yield Oddity(f"band {reading.alpha} is used as alpha but looks like imagery", "--no-alpha if it is")
    elif not highest:
        yield Oddity(f"its alpha (band {reading.alpha}) is 0 in all sampled pixels", "--no-alpha to show them")
    elif between > SOFT:
        yield Oddity(f"{between:.0%} of its sampled pixels are half transparent by its alpha (band {reading.alpha})")
    if highest and reading.top != usual:
        yield Oddity(f"its alpha (band {reading.alpha}) counts as opaque at {reading.top:g}")


def _frame(sample: Sample) -> int | None:
    """The value, in all bands, of a frame that takes most corners of the sample and some more of it; None without."""
    if not sample.whole or min(sample.mask.shape) < SMALLEST:
        return None
    corners = [sample.values[:, row, column] for row in (0, -1) for column in (0, -1)]
    for value in {int(each[0]) for each in corners if (each == each[0]).all()}:
        same = (sample.values == value).all(axis=0)
        if sum((each == value).all() for each in corners) >= CORNERS and EDGE < float(same.mean()) < 1:
            return value
    return None


def _of_values(dataset: DatasetReader, seen: Glance, sample: Sample, options: Options) -> Iterator[Oddity]:
    """Of bands and their values."""
    reading, style = seen.scenes[0].reading, seen.survey.style
    if dataset.count > 4 and not options.bands:
        shown = ",".join(map(str, reading.bands))
        yield Oddity(
            f"it has {dataset.count} bands, of which {shown} {'is' if len(reading.bands) == 1 else 'are'} shown",
            "--bands R,G,B for others",
        )
    values = sample.values[:, sample.mask > 0]
    if sample.values.dtype in (np.uint16, np.int16) and values.size and not style.palette:
        low, high = int(values.min()), int(values.max())
        if high - low < FEW_VALUES and not (style.terrain or options.rescale):
            yield Oddity(
                f"it has 16 bits, but its sampled values are only {low} to {high}",
                f"--rescale {low},{max(high, low + 1)} to show all of them",
            )
    if values.size and seen.survey.stretched:
        ranges = " ".join(f"{low:g},{high:g}" for low, high in style.rescale)
        yield Oddity(f"its values are stretched from {ranges}, sampled", "--rescale MIN,MAX for another range")
    if len(reading.bands) == 1 and not style.terrain:
        try:
            metres, unit = metres_of(dataset, reading.bands[0])
        except BadSource:  # of another quantity than heights
            return
        if metres != 1:
            yield Oddity(f"its heights are in {unit}: --style converts them to metres")
        if (sample.values.dtype.kind == "f" or sample.values.dtype == np.int16) and not style.palette:
            yield Oddity(
                "it may be heights", "--style hillshade for a shade, or --style terrain-rgb for heights as colours"
            )


def _extent(seen: Glance) -> Iterator[Oddity]:
    """Of where the layer is."""
    bounds = seen.survey.bounds
    if bounds.west > bounds.east:
        yield Oddity("it crosses the antimeridian: its bounds run from east to west")
    if max(abs(bounds.south), abs(bounds.north)) > MAX_LATITUDE - NEARLY and seen.scenes[0].crs.to_epsg() != MERCATOR:
        yield Oddity(f"Web Mercator ends at {MAX_LATITUDE:.2f} degrees: what lies beyond is not shown")
    crses = {called(scene.crs) for scene in seen.scenes}
    if len(crses) > 1:
        yield Oddity(f"its scenes have {len(crses)} coordinate reference systems: {', '.join(sorted(crses)[:3])}")


def _number(value: float | None) -> str:
    return (
        "none"
        if value is None
        else f"{value:.17g}"
        if value != int(value or 0)
        else f"{int(value)}"
        if math.isfinite(value)
        else str(value)
    )
