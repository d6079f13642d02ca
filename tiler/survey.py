"""What a raster is, and what layer it makes when nobody says otherwise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio.windows
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from tiler.axes import Coordinates
from tiler.beneath import Beneath, beneath
from tiler.bodies import AS_EARTH, called, foreign_radius
from tiler.catalog import LOSSLESS, Halving, Options, Resampling
from tiler.colormap import colours_of, is_file, is_relative, stops_of
from tiler.datasets import Manner, opened, translated
from tiler.doubts import check_degrees, check_placed, crs_beside
from tiler.errors import BadOption, BadSource, SourceReadError
from tiler.grid import MAX_LATITUDE, Bounds, zoom_for
from tiler.parts import SUBDATASET, listed, subdatasets
from tiler.raster import BEYOND, Reading, applied, carried, missing, reading_of, resolution_of
from tiler.style import ENCODINGS, KERNELS, Range, Rgba, Style, Values

OVERZOOM = 3  # zooms past the raster's own that a layer may have
PERCENTILES = (2, 98)
SAMPLE = 1024  # pixels a side that percentiles are taken from
PATCHES, PATCH = 12, 128  # where there are no overviews: so many squares a side, of so many pixels
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
    _check(dataset, manner)
    reading = reading_of(dataset, options.bands, options.nodata)
    bounds = lonlat_bounds(dataset)
    zoom = zoom_for(resolution_of(dataset))
    minzoom, maxzoom = _zooms(options, zoom)
    palette = _palette(dataset, reading)
    resampling = options.resampling or ("nearest" if palette else "cubic")
    if palette and resampling not in ("nearest", "mode"):
        raise BadOption(f"--resampling {resampling} would blend palette entries: use nearest or mode")
    style, stretched = _style(dataset, reading, options, palette)
    return Survey(
        path=path,
        reading=reading,
        bounds=bounds,
        dtype=_baked_dtype(dataset.dtypes[reading.bands[0] - 1]),
        zoom=zoom,
        base=min(zoom, maxzoom),
        minzoom=minzoom,
        maxzoom=maxzoom,
        style=style,
        resampling=resampling,
        overview="mode" if palette else HALVINGS[resampling],
        stretched=stretched,
        manner=manner,
    )


def _check(dataset: DatasetReader, manner: Manner) -> None:
    name = dataset.name
    if dataset.count == 0:
        there = subdatasets(dataset)
        raise BadSource(
            name,
            f"it holds several rasters: add {SUBDATASET} with one of {listed(there)}" if there else "it has no bands",
        )
    if dataset.transform.is_identity and not manner.placed:
        check_placed(dataset)
    if not dataset.crs:
        raise BadSource(name, f"it has no CRS: add --crs {crs_beside(name)}")
    _check_body(dataset)
    if dataset.transform.is_degenerate or (dataset.transform.is_identity and not manner.placed):
        raise BadSource(name, "it has no geotransform: add --bounds W,S,E,N, in the units of its CRS")
    if not max(map(abs, dataset.bounds)) < FARTHEST:  # PROJ would turn around the globe for ever
        raise BadSource(name, "its geotransform places it off the globe: add --bounds W,S,E,N, in the units of its CRS")
    check_degrees(dataset)
    if any(dtype.startswith("complex") for dtype in dataset.dtypes):
        raise BadSource(name, "its values are complex numbers")


def _check_body(dataset: DatasetReader) -> None:
    """Refuse rasters of other bodies at once; PROJ may take minutes to fail on them."""
    wkt = dataset.crs.to_wkt()
    if wkt.startswith(("LOCAL_CS", "ENGCRS")):
        raise BadSource(dataset.name, f"its CRS, {called(dataset.crs)}, is not tied to the earth: add --crs EPSG:CODE")
    radius = foreign_radius(dataset.crs)
    if radius:
        why = f"its CRS, {called(dataset.crs)}, belongs to another body, of radius {radius:,.12g} m"
        raise BadSource(dataset.name, f"{why}: add {AS_EARTH} to use its degrees as the earth's")


def _baked_dtype(dtype: str) -> str:
    """The dtype that blocks are stored in: the raster's own up to 32 bits, else float32."""
    return dtype if np.dtype(dtype).itemsize <= 4 else "float32"


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


def _palette(dataset: DatasetReader, reading: Reading) -> tuple[Rgba, ...]:
    band = reading.bands[0]
    if len(reading.bands) > 1 or dataset.colorinterp[band - 1] != ColorInterp.palette:
        return ()
    return _table({value: colour for value, colour in dataset.colormap(band).items() if value < 256})


def _table(colours: Mapping[int, Rgba]) -> tuple[Rgba, ...]:
    """A palette of the colours of some values; those between are transparent."""
    return tuple(colours.get(value, (0, 0, 0, 0)) for value in range(max(colours, default=-1) + 1))


def _style(dataset: DatasetReader, reading: Reading, options: Options, palette: tuple[Rgba, ...]) -> tuple[Style, bool]:
    """How the raster is shown, and whether its range was found here."""
    terrain, colormap, bands = options.style, options.colormap, len(reading.bands)
    if (terrain or colormap) and bands > 1:
        raise BadOption(f"--{'style' if terrain else 'colormap'} takes one band: name it with --bands")
    if options.rescale and len(options.rescale) not in (1, bands):
        most = "" if bands == 1 else f", or {bands}, one a band"
        raise BadOption(f"--rescale: give one range{most}, not {len(options.rescale)}")
    if terrain in ENCODINGS and options.format not in (*LOSSLESS, "auto"):
        raise BadOption(f"--style {terrain} keeps heights, which {options.format} would blur: use --format png")
    if palette and colormap and not terrain:
        palette, colormap = _recoloured(palette, colormap), ""
    asked = options.rescale * bands if len(options.rescale) == 1 else options.rescale
    stops = stops_of(colormap) if is_file(colormap) else ()
    colours = colours_of(colormap) if colormap and not stops else ()
    if is_relative(colormap):
        span = asked[0] if asked else KERNELS.get(terrain) or _extremes(dataset, reading)
        asked, stops = (), stops_of(colormap, span)
    if not asked and terrain in KERNELS and not stops:
        asked = (KERNELS[terrain],)
    if asked or stops or palette or terrain:
        return Style(asked, palette, colours, stops, terrain), False
    if dataset.dtypes[reading.bands[0] - 1] == "uint8":
        return Style(((0.0, 255.0),) if colours else (), colours=colours), False
    return Style(tuple(_stretch(sample) for sample in _samples(dataset, reading)), colours=colours), True


def _recoloured(palette: tuple[Rgba, ...], colormap: str) -> tuple[Rgba, ...]:
    """A palette with the colours that a file gives to some of its classes."""
    if not is_file(colormap) or is_relative(colormap):
        raise BadOption("--colormap: a palette takes a file of its classes' colours, VALUE RED GREEN BLUE a line")
    colours = dict(enumerate(palette))
    for value, *colour in stops_of(colormap):
        if not (value.is_integer() and 0 <= value < 256):
            raise BadOption(f"--colormap: {value:g} is no class of a palette: write a whole number, 0 to 255")
        red, green, blue, alpha = colour
        colours[int(value)] = red, green, blue, alpha
    return _table(colours)


def _extremes(dataset: DatasetReader, reading: Reading) -> Range:
    """The lowest and the highest valid value of one band, which gdaldem takes percentages of."""
    low, high = np.inf, -np.inf
    with translated(dataset.name):
        for _, window in dataset.block_windows(reading.bands[0]):
            values, mask = piece(dataset, reading, window=window)
            known = values[:, (mask > 0) & ~missing(values, reading.nodata)]
            if known.size:
                low, high = min(low, float(known.min())), max(high, float(known.max()))
    return (low, high) if low <= high else (0.0, 1.0)


def _stretch(sample: npt.NDArray[Any]) -> tuple[float, float]:
    """The 2nd and 98th percentile of `sample`, moved apart where they meet."""
    if sample.size == 0:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(sample.astype(np.float64), PERCENTILES))
    if not low < high:
        low, high = float(sample.min()), float(sample.max())
    return (low, high) if low < high else (low, low + 1)


def _samples(dataset: DatasetReader, reading: Reading) -> list[npt.NDArray[Any]]:
    """Valid values of each band, spread over the raster."""
    with translated(dataset.name):
        parts = list(_patches(dataset, reading))
    values = np.concatenate([part.reshape(len(reading.bands), -1) for part, _ in parts], axis=1)
    mask = np.concatenate([mask.ravel() for _, mask in parts]) > 0
    mask &= ~missing(values, reading.nodata)
    return [band[mask] for band in values]


def piece(dataset: DatasetReader, reading: Reading, **how: Any) -> tuple[Values, npt.NDArray[np.uint8]]:
    """Values as the raster has them, and its mask; `how` is for rasterio's `read`."""
    values = dataset.read(list(reading.bands), **how)
    if reading.alpha:
        return values, (dataset.read(reading.alpha, **how) > 0).astype(np.uint8)
    if reading.masked:
        return values, dataset.read_masks(reading.bands[0], **how)
    return values, np.full(values.shape[1:], 255, np.uint8)


def _patches(dataset: DatasetReader, reading: Reading) -> Iterator[tuple[Values, npt.NDArray[np.uint8]]]:
    small = dataset.width * dataset.height <= 16 * SAMPLE * SAMPLE
    if small or dataset.overviews(1):
        shrink = max(1, max(dataset.width, dataset.height) / SAMPLE)
        shape = (max(1, round(dataset.height / shrink)), max(1, round(dataset.width / shrink)))
        yield piece(dataset, reading, out_shape=shape)
        return
    for row in np.linspace(0, max(0, dataset.height - PATCH), PATCHES).astype(int):
        for column in np.linspace(0, max(0, dataset.width - PATCH), PATCHES).astype(int):
            window = rasterio.windows.Window(column, row, min(PATCH, dataset.width), min(PATCH, dataset.height))
            yield piece(dataset, reading, window=window)


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


def revision_of(path: str, options: Options, below: Beneath | None = None, differs: Sequence[str] = ()) -> str:
    """12 hex digits that change with the raster's content or the options, and with nothing else.

    `differs` names each meaning of the raster that earlier versions took otherwise: their layers were wrong, so a
    correct one has another revision. Where nothing differs, the revision is theirs.

    A raster on disk is read whole, with its sidecar files and all that a VRT or a tile index names, however deep. One
    that is not on disk is known by its address, its shape and a coarse look at its pixels.
    """
    said = [RECIPE, options.changed(), *([sorted(differs)] if differs else [])]
    digest = hashlib.blake2b(json.dumps(said, default=str).encode(), digest_size=6)
    below = below or beneath(path, Manner.of(replace(options, trust_source=True)))
    if below.unknown:
        dataset = opened(path, manner=Manner.of(options))
        digest.update(f"{path} {dataset.profile} {dataset.tags()}".encode())
        with translated(path):
            coarse = dataset.read(out_shape=(dataset.count, min(512, dataset.height), min(512, dataset.width)))
        digest.update(coarse.tobytes())
    elif Path(path.removeprefix("file://")) not in below.files:  # a part of a file
        digest.update(path.encode())
    for file in below.files:
        with file.open("rb") as handle:
            while chunk := handle.read(HASH_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()
