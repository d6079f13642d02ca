"""What a raster is, and what layer it makes when nobody says otherwise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rasterio.crs import CRS
from rasterio.io import DatasetReader

from tiler.axes import Coordinates
from tiler.beneath import Beneath, beneath
from tiler.bodies import AS_EARTH, called, foreign_radius
from tiler.datasets import Manner, opened, translated
from tiler.errors import BadOption, BadSource, SourceReadError
from tiler.grid import MAX_LATITUDE, Bounds, zoom_for
from tiler.options import Halving, Options, Resampling
from tiler.pixels import reading_of
from tiler.raster import BEYOND, applied, baked_dtype, carried, resolution_of
from tiler.reading import Reading
from tiler.sample import look_at_alpha
from tiler.style import Style
from tiler.styling import shown

OVERZOOM = 3  # zooms past the raster's own that a layer may have
HASH_CHUNK = 1 << 22  # bytes
HALVINGS: dict[Resampling, Halving] = {
    "nearest": "nearest",
    "bilinear": "average",
    "cubic": "cubic",
    "cubic_spline": "cubic",
    "lanczos": "cubic",
    "average": "average",
    "mode": "mode",
}
FARTHEST = 1e11  # of any unit, from the origin of a CRS; the globe takes a billion inches and a half
RECIPE = 3  # raised when the same source and options would be baked into other bytes


@dataclass(frozen=True, slots=True)
class Survey:
    """What a layer needs to know of its raster. `zoom` is the raster's own, `base` the one it is baked at."""

    path: str
    reading: Reading
    bounds: Bounds
    dtype: str
    zoom: int
    base: int
    minzoom: int
    maxzoom: int
    style: Style
    resampling: Resampling  # of the warp
    overview: Halving  # of the levels below it
    stretched: bool  # `style.rescale` was found here, not asked for
    manner: Manner  # of opening it
    notes: tuple[str, ...] = ()  # for the user
    differs: tuple[str, ...] = ()  # in what it is understood otherwise than by earlier versions; see `revision_of`


def survey(path: str, options: Options) -> Survey:
    """What the raster at `path` is.

    Raises:
        BadSource: it cannot become a layer.
        BadOption: an option does not fit it.
    """
    manner = Manner.of(options)
    try:
        dataset = opened(path, manner=manner)
    except SourceReadError as error:
        raise BadSource(path, f"GDAL cannot open it ({error.__cause__ or error})") from error
    _check(dataset)
    reading, differs, notes = _read(dataset, options)
    bounds = lonlat_bounds(dataset)
    zoom = zoom_for(resolution_of(dataset))
    minzoom, maxzoom = _zooms(options, zoom)
    look = shown(dataset, reading, options)
    palette = look.style.palette
    resampling = options.resampling or ("nearest" if palette else "cubic")
    if palette and resampling not in ("nearest", "mode"):
        raise BadOption(f"--resampling {resampling} would blend palette entries: use nearest or mode")
    return Survey(
        path=path,
        reading=reading,
        bounds=bounds,
        dtype=baked_dtype(dataset.dtypes[reading.bands[0] - 1]),
        zoom=zoom,
        base=min(zoom, maxzoom),
        minzoom=minzoom,
        maxzoom=maxzoom,
        style=look.style,
        resampling=resampling,
        overview="mode" if palette else HALVINGS[resampling],
        stretched=look.stretched,
        manner=manner,
        notes=(*notes, *look.notes),
        differs=(*differs, *look.differs),
    )


def _check(dataset: DatasetReader) -> None:
    name = dataset.name
    if dataset.count == 0:
        some = next(iter(dataset.subdatasets), "none is there")
        raise BadSource(name, f"it holds no bands but subdatasets: name one ({some})")
    if not dataset.crs:
        if dataset.gcps[0]:
            raise BadSource(name, "it is placed by ground control points: run `gdalwarp` on it first")
        raise BadSource(name, "it has no CRS: give it one with `rio edit-info --crs EPSG:CODE`")
    _check_body(dataset)
    if dataset.transform.is_identity or dataset.transform.is_degenerate:
        raise BadSource(name, "it has no geotransform: give it one with `rio edit-info --transform`")
    if not max(map(abs, dataset.bounds)) < FARTHEST:  # PROJ would turn around the globe for ever
        raise BadSource(name, "its geotransform places it off the globe: give it one with `rio edit-info --transform`")
    if any(dtype.startswith("complex") for dtype in dataset.dtypes):
        raise BadSource(name, "its values are complex numbers")


def _check_body(dataset: DatasetReader) -> None:
    """Refuse rasters of other bodies at once; PROJ may take minutes to fail on them."""
    wkt = dataset.crs.to_wkt()
    if wkt.startswith(("LOCAL_CS", "ENGCRS")):
        raise BadSource(dataset.name, f"its CRS, {called(dataset.crs)}, is not tied to the earth")
    radius = foreign_radius(dataset.crs)
    if radius:
        why = f"its CRS, {called(dataset.crs)}, belongs to another body, of radius {radius:,.12g} m"
        raise BadSource(dataset.name, f"{why}: add {AS_EARTH} to use its degrees as the earth's")


def _zooms(options: Options, zoom: int) -> tuple[int, int]:
    minzoom = 0 if options.min_zoom is None else options.min_zoom
    maxzoom = max(zoom, minzoom) if options.max_zoom is None else options.max_zoom
    if minzoom > maxzoom:
        raise BadOption(f"--min-zoom {minzoom} is above --max-zoom {maxzoom}")
    if maxzoom > zoom + OVERZOOM:
        raise BadOption(
            f"zoom {maxzoom} shows nothing that zoom {zoom} does not: --max-zoom may be {zoom + OVERZOOM} at most"
        )
    return minzoom, maxzoom


def _read(dataset: DatasetReader, options: Options) -> tuple[Reading, list[str], list[str]]:
    """What to read of a raster, in what that differs from earlier versions, and notes for the user."""
    reading = reading_of(dataset, options.bands, options.nodata, options.alpha)
    differs, notes = [], []
    if isinstance(options.nodata, float) and reading.nodata and reading.nodata[0] != options.nodata:
        differs.append("nodata")
    if options.nodata is None and len(set(reading.nodata)) > 1:
        differs.append("nodata of each band")
    if reading.cmyk:
        differs.append("cmyk")
        notes.append("cyan, magenta, yellow and black are converted to red, green and blue")
    if reading.inverted is not None:
        differs.append("0 is white")
        notes.append("0 is white in it: values are inverted")
    if reading.alpha:
        seen = look_at_alpha(dataset, reading.alpha)
        reading = replace(reading, top=seen.top)
        if seen.differs:
            differs.append("alpha")
        if seen.picture and options.alpha is None:
            notes.append(f"band {reading.alpha} is alpha but looks like a picture: add --no-alpha if it is infrared")
    return reading, differs, notes


def lonlat_bounds(dataset: DatasetReader) -> Bounds:
    """The box of longitudes and latitudes, degrees, that holds the raster, cut at the latitudes of Web Mercator.

    Raises:
        BadSource: nothing of it lies in the Web Mercator world.
    """
    columns, rows = _outline(dataset.width, dataset.height)
    longitudes, latitudes = applied(dataset.transform, columns, rows)
    if not dataset.crs.is_geographic:
        longitudes, latitudes = carried(dataset.crs, CRS.from_epsg(4326), longitudes, latitudes)
    known = np.isfinite(longitudes) & np.isfinite(latitudes)
    if not known.any():
        raise BadSource(dataset.name, f"none of it can be placed on the globe from {called(dataset.crs)}")
    longitudes, latitudes = longitudes[known], latitudes[known]
    south, north = max(float(latitudes.min()), -MAX_LATITUDE), min(float(latitudes.max()), MAX_LATITUDE)
    if south >= north:
        raise BadSource(dataset.name, BEYOND)
    west, east = _arc(longitudes, continuous=dataset.crs.is_geographic)
    return Bounds(west, south, east, north)


def _outline(width: int, height: int) -> tuple[Coordinates, Coordinates]:
    """Pixel corners along the sides, closely, and across the inside, coarsely."""
    along = np.linspace(0, 1, 513)
    across = np.linspace(0, 1, 33)
    inside = np.meshgrid(across, across)
    columns = np.concatenate([along, along, np.zeros(513), np.ones(513), inside[0].ravel()])
    rows = np.concatenate([np.zeros(513), np.ones(513), along, along, inside[1].ravel()])
    return columns * width, rows * height


def _arc(longitudes: Coordinates, *, continuous: bool) -> tuple[float, float]:
    """West and east of the shortest arc that holds all `longitudes`; -180 and 180 if they go around the globe."""
    if continuous:
        west, east = float(longitudes.min()), float(longitudes.max())
    else:
        around = np.unique(longitudes % 360)
        gaps = np.diff(np.append(around, around[0] + 360))
        widest = int(gaps.argmax())
        east = float(around[widest])
        west = east - (360 - float(gaps[widest]))
        if gaps[widest] < 5:  # less than the points are apart: the raster holds a pole
            west, east = -180.0, 180.0
    if east - west >= 360 - 1e-9:
        return -180.0, 180.0
    return _turned(west, at_half_turn=-180.0), _turned(east, at_half_turn=180.0)


def _turned(longitude: float, *, at_half_turn: float) -> float:
    """`longitude` within -180 to 180; exact there in spite of rounding, with the sign that an edge has there."""
    if abs(abs(longitude) - 180) < 1e-9:
        return at_half_turn
    return (longitude + 180) % 360 - 180 if abs(longitude) > 180 else longitude


def revision_of(
    path: str,
    options: Options,
    below: Beneath | None = None,
    differs: Sequence[str] = (),
    told: Callable[[int], None] | None = None,
) -> str:
    """12 hex digits that change with the raster's content or the options, and with nothing else.

    `differs` names each meaning of the raster that earlier versions took otherwise: their layers were wrong, so a
    correct one has another revision. Where nothing differs, the revision is theirs.

    A raster on disk is read whole, with its sidecar files and all that a VRT or a tile index names, however deep. One
    that is not on disk is known by its address, its shape and a coarse look at its pixels. `told` hears the bytes read.
    """
    said = [RECIPE, options.changed(), *([sorted(differs)] if differs else [])]
    digest = hashlib.blake2b(json.dumps(said, default=str).encode(), digest_size=6)
    below = below or beneath(path, trusted=True)
    if below.unknown:
        dataset = opened(path, manner=Manner.of(options))
        digest.update(f"{path} {dataset.profile} {dataset.tags()}".encode())
        with translated(path):
            coarse = dataset.read(out_shape=(dataset.count, min(512, dataset.height), min(512, dataset.width)))
        digest.update(coarse.tobytes())
    elif Path(path.removeprefix("file://")) not in below.files:  # a part of a file
        digest.update(path.encode())
    done = 0
    for file in below.files:
        with file.open("rb") as handle:
            while chunk := handle.read(HASH_CHUNK):
                digest.update(chunk)
                done += len(chunk)
                if told:
                    told(done)
    return digest.hexdigest()
