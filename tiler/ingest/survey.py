"""What a raster is, and what layer it makes when nobody says otherwise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rasterio.io import DatasetReader

from tiler.errors import BadOption, BadSource, SourceReadError
from tiler.grid import Bounds, zoom_for
from tiler.image.style import Style
from tiler.ingest.doubts import check_degrees, check_placed, crs_beside
from tiler.ingest.source_files import SourceFiles, beneath
from tiler.raster.amplitude import was_complex
from tiler.raster.datasets import OpenOptions, opened, translated
from tiler.raster.options import Halving, Options, Resampling
from tiler.raster.pixels import LONG, declared, dtype_of, reading_of
from tiler.raster.place import check_place, differs_in_place, lonlat_bounds, past_seam, resolution_of
from tiler.raster.reading import Reading
from tiler.raster.sample import hides, holds, look_at_alpha
from tiler.raster.styling import shown
from tiler.raster.subdatasets import SUBDATASET, listed, subdatasets
from tiler.raster.warp import baked_dtype, overviews_of

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
SMOOTH = ("bilinear", "cubic", "cubic_spline", "lanczos")  # warps whose kernel GDAL stretches
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
    open_options: OpenOptions  # of opening it
    notes: tuple[str, ...] = ()  # for the user
    differs: tuple[str, ...] = ()  # in what it is understood otherwise than by earlier versions; see `revision_of`


def survey(path: str, options: Options) -> Survey:
    """What the raster at `path` is.

    Raises:
        BadSource: it cannot become a layer.
        BadOption: an option does not fit it.
    """
    open_options = OpenOptions.of(options)
    try:
        dataset = opened(path, open_options=open_options)
    except SourceReadError as error:
        raise BadSource(path, f"GDAL cannot open it ({error.__cause__ or error})") from error
    _check(dataset, open_options)
    reading, differs, notes = _read(dataset, options)
    bounds = lonlat_bounds(dataset)
    resolution = resolution_of(dataset)
    zoom = zoom_for(resolution)
    minzoom, maxzoom = _zooms(options, zoom)
    shrunk = options.virtual or maxzoom < zoom
    display = shown(dataset, reading, options)
    palette = display.style.palette
    resampling = options.resampling or ("nearest" if palette else "cubic")
    if palette and resampling not in ("nearest", "mode"):
        raise BadOption(f"--resampling {resampling} would blend palette entries: use nearest or mode")
    return Survey(
        path=path,
        reading=reading,
        bounds=bounds,
        dtype=baked_dtype(dtype_of(dataset, reading.bands[0])),
        zoom=zoom,
        base=min(zoom, maxzoom),
        minzoom=minzoom,
        maxzoom=maxzoom,
        style=display.style,
        resampling=resampling,
        overview="mode" if palette else HALVINGS[resampling],
        stretched=display.stretched,
        open_options=open_options,
        notes=(*notes, *display.notes),
        differs=(
            *differs,
            *display.differs,
            *_differs_there(dataset, bounds, resolution, resampling),
            *(("mask of overviews",) if reading.masked and shrunk and 0 in overviews_of(path, open_options) else ()),
        ),
    )


def _differs_there(dataset: DatasetReader, bounds: Bounds, resolution: float, resampling: Resampling) -> Iterator[str]:
    """In what its place is understood otherwise than by earlier versions."""
    if differs_in_place(dataset, bounds, resolution):
        yield "placed"
    if resampling in SMOOTH and past_seam(dataset):
        yield "seam"


def _check(dataset: DatasetReader, open_options: OpenOptions) -> None:
    name = dataset.name
    if dataset.count == 0:
        there = subdatasets(dataset)
        raise BadSource(
            name,
            f"it holds several rasters: add {SUBDATASET} with one of {listed(there)}" if there else "it has no bands",
        )
    if dataset.transform.is_identity and not open_options.placed:
        check_placed(dataset)
    if dataset.crs:
        check_degrees(dataset)
    check_place(dataset, placed=open_options.placed, missing=crs_beside(name))


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


def _differs_in_mask(dataset: DatasetReader, reading: Reading, options: Options) -> Iterator[str]:
    """In what its valid pixels are understood otherwise than by earlier versions."""
    if isinstance(options.nodata, float) and reading.nodata and reading.nodata[0] != options.nodata:
        yield "nodata"
    first = reading.bands[0]
    if dtype_of(dataset, first) in LONG and options.nodata is None and reading.nodata and dataset.nodata is None:
        yield "nodata of 64 bits"
    if options.nodata is None and len(set(reading.nodata)) > 1:
        yield "nodata of each band"
    if reading.masked and not dataset.mask_flag_enums[first - 1]:
        yield "mask of each band"
    if reading.alpha and reading.masked and options.alpha is None and hides(dataset, reading):
        yield "alpha and mask"
    nodata = declared(dataset, reading.bands) if options.nodata is None else ()
    if nodata and (reading.alpha or reading.masked) and holds(dataset, reading, nodata):
        yield "alpha, not nodata"


def _read(dataset: DatasetReader, options: Options) -> tuple[Reading, list[str], list[str]]:
    """What to read of a raster, in what that differs from earlier versions, and notes for the user."""
    reading = reading_of(dataset, options.bands, options.nodata, options.alpha)
    differs, notes = list(_differs_in_mask(dataset, reading, options)), []
    if "alpha, not nodata" in differs:
        kind, cure = ("alpha", f" --alpha {reading.alpha}") if reading.alpha else ("a mask", "")
        notes.append(f"its nodata value does not count beside {kind}: add --nodata VALUE{cure} where it should")
    if was_complex(dataset, reading.bands[0]):
        notes.append("its values are complex numbers: their amplitude is shown")
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


def revision_of(
    path: str,
    options: Options,
    below: SourceFiles | None = None,
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
    below = below or beneath(path, OpenOptions.of(replace(options, trust_source=True)))
    if below.unknown:
        dataset = opened(path, open_options=OpenOptions.of(options))
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
