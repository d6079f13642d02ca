"""Survey a raster: its place, values and mask, and the defaults of its layer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from rasterio.io import DatasetReader

from tiler.choices import Choice, Resampling
from tiler.errors import BadOption, BadSource, SourceReadError
from tiler.grid import Bounds, zoom_for
from tiler.image.style import Style
from tiler.ingest.finished import finished_format
from tiler.raster.datasets import OpenOptions, opened, translated
from tiler.raster.header import check_header, noted_reading
from tiler.raster.legend import Named
from tiler.raster.options import Halving, Options
from tiler.raster.pixels import dtype_of
from tiler.raster.place import differs_in_place, lonlat_bounds, past_seam, resolution_of
from tiler.raster.reading import Reading
from tiler.raster.styling import shown
from tiler.raster.warp import baked_dtype, first_covered_zoom, overviews_of
from tiler.scenes.scene import Scene
from tiler.scenes.source_files import SourceFiles, beneath

OVERZOOM = 3  # most zooms of a layer above the raster's own
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
WHOLE = dict.fromkeys(HALVINGS, 0) | {"average": 2, "mode": 2}  # more zooms, because GDAL averages whole pixels only
SMOOTH = ("bilinear", "cubic", "cubic_spline", "lanczos")  # kernels that GDAL stretches to shrink
RECIPE = 6  # incremented when the same source and options would be baked into other bytes


@dataclass(frozen=True, slots=True)
class Survey:
    """The properties of a raster that its layer needs. `zoom` is the raster's own, `base` the zoom of the bake."""

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
    overview: Halving  # of the levels below the base
    stretched: bool  # whether `style.rescale` was computed from a sample
    open_options: OpenOptions
    finished: Choice | None = None  # format of the tiles to bake into the parts
    notes: tuple[str, ...] = ()  # for the user
    warnings: tuple[str, ...] = ()  # for the user, before the bake
    scenes: tuple[Scene, ...] = ()  # the lowest first; `path` is the first one's
    classes: tuple[Named, ...] | None = None  # of a palette, as its legend lists them
    unit: str = ""  # of the values that colours show
    differs: tuple[str, ...] = ()  # aspects that earlier versions interpreted differently; see `revision_of`


def survey(path: str, options: Options) -> Survey:
    """Survey the raster at `path`.

    Raises:
        BadSource: it cannot become a layer.
        BadOption: an option does not fit it.
    """
    open_options = OpenOptions.of(options)
    try:
        dataset = opened(path, open_options=open_options)
    except SourceReadError as error:
        raise BadSource(path, f"GDAL cannot open it ({error.__cause__ or error})") from error
    check_header(dataset, open_options)
    reading, differs, notes = noted_reading(dataset, options)
    bounds = lonlat_bounds(dataset)
    resolution = resolution_of(dataset)
    display = shown(dataset, reading, options)
    palette = display.style.palette
    resampling, overview = kernels(options, palette=bool(palette))
    zoom = first_covered_zoom(dataset, bounds, zoom_for(resolution))
    minzoom, maxzoom = zooms(options, zoom)
    if maxzoom < zoom and (covered := first_covered_zoom(dataset, bounds, maxzoom)) > maxzoom:
        cure = f"use --max-zoom {min(zoom, covered + WHOLE[resampling])} or higher"
        raise BadOption(f"the raster covers no pixel at zoom {maxzoom}: {cure}")
    shrunk = options.virtual or maxzoom < zoom
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
        overview=overview,
        stretched=display.stretched,
        open_options=open_options,
        finished=finished_format(options, display.style),
        notes=(*notes, *display.notes),
        classes=display.classes(reading),
        unit=display.unit,
        differs=(
            *differs,
            *display.differs,
            *_differs_in_place(dataset, bounds, resolution, resampling),
            *(("mask of overviews",) if reading.masked and shrunk and 0 in overviews_of(path, open_options) else ()),
        ),
    )


def _differs_in_place(
    dataset: DatasetReader, bounds: Bounds, resolution: float, resampling: Resampling
) -> Iterator[str]:
    """Aspects of its place that earlier versions interpreted differently."""
    if differs_in_place(dataset, bounds, resolution):
        yield "placed"
    if resampling in SMOOTH and past_seam(dataset):
        yield "seam"


def kernels(options: Options, *, palette: bool) -> tuple[Resampling, Halving]:
    """The kernel of the warp, and that of the levels below the base.

    Raises:
        BadOption: the kernel would blend the colours of a palette.
    """
    resampling = options.resampling or ("nearest" if palette else "cubic")
    if palette and resampling not in ("nearest", "mode"):
        raise BadOption(f"--resampling {resampling} would blend the colours of a palette: use nearest or mode")
    return resampling, "mode" if palette else HALVINGS[resampling]


def zooms(options: Options, zoom: int) -> tuple[int, int]:
    """The lowest and the highest zoom of a layer; `zoom` is the raster's own.

    Raises:
        BadOption: there would be none, or too high ones.
    """
    minzoom = 0 if options.min_zoom is None else options.min_zoom
    maxzoom = max(zoom, minzoom) if options.max_zoom is None else options.max_zoom
    if minzoom > maxzoom:
        raise BadOption(f"--min-zoom {minzoom} is above --max-zoom {maxzoom}: lower one or raise the other")
    if maxzoom > zoom + OVERZOOM:
        raise BadOption(f"zoom {maxzoom} is too high for a raster of zoom {zoom}: use zooms up to {zoom + OVERZOOM}")
    return minzoom, maxzoom


class Hashes(NamedTuple):
    """A hash of a raster's content and options, 12 hex digits, and one of its content alone, 32."""

    revision: str
    content: str


def revision_of(path: str, options: Options, below: SourceFiles | None = None, differs: Sequence[str] = ()) -> str:
    """A hash of the raster's content and the options, 12 hex digits; see `hashes_of`."""
    return hashes_of(path, options, below, differs).revision


def hashes_of(
    path: str,
    options: Options,
    below: SourceFiles | None = None,
    differs: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
) -> Hashes:
    """Hash a raster's content with the options, for its revision, and alone.

    `differs` lists the aspects of the raster that earlier versions interpreted differently: their layers were wrong, so
    a correct one needs another revision. Without any, the revision equals theirs.

    A raster on disk is hashed completely, with its sidecars and all files that a VRT or a tile index refers to. Another
    one is identified by its address, its profile and a coarse read of its pixels. `progress` receives the bytes read.
    """
    recipe = [RECIPE, options.changed(), *([sorted(differs)] if differs else [])]
    content = hashlib.sha256(usedforsecurity=False)
    below = below or beneath(path, OpenOptions.of(replace(options, trust_source=True)))
    if below.unknown:
        dataset = opened(path, open_options=OpenOptions.of(options))
        content.update(f"{path} {dataset.profile} {dataset.tags()}".encode())
        with translated(path):
            coarse = dataset.read(out_shape=(dataset.count, min(512, dataset.height), min(512, dataset.width)))
        content.update(coarse.tobytes())
    elif Path(path.removeprefix("file://")) not in below.files:  # a name within a file
        content.update(path.encode())
    done = 0
    for file in below.files:
        with file.open("rb") as handle:
            while chunk := handle.read(HASH_CHUNK):
                content.update(chunk)
                done += len(chunk)
                if progress:
                    progress(done)
    found = content.hexdigest()[:32]
    revision = hashlib.blake2b(json.dumps([*recipe, found], default=str).encode(), digest_size=6)
    return Hashes(revision.hexdigest(), found)
