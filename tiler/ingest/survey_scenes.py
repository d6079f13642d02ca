"""Survey scenes as one layer: their extent, and the defaults of the layer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from operator import or_

import numpy as np
from rasterio.io import DatasetReader

from tiler.choices import Overlap
from tiler.errors import BadOption
from tiler.grid import Bounds, zoom_for
from tiler.image.style import PLAIN, Style
from tiler.ingest.finished import finished_format
from tiler.ingest.survey import RECIPE, Survey, kernels, zooms
from tiler.raster.datasets import OpenOptions, opened
from tiler.raster.options import Options
from tiler.raster.reading import Reading
from tiler.raster.ruggedness import Ruggedness, intervals, ruggedness
from tiler.raster.sample import samples, stretch
from tiler.raster.styling import Shown, shown
from tiler.scenes.scene import Scene

FINER = 3  # zooms from which the finest scene is told: 64 times the pixels of most
STYLED = 16  # most scenes to sample for a range of values


def survey_scenes(scenes: Sequence[Scene], options: Options) -> Survey:
    """Survey scenes of one kind, the lowest first.

    The layer has the zoom of the finest scene. Its range from black to white is sampled in up to STYLED scenes.

    Raises:
        BadOption: an option does not fit them.
        SourceReadError: a scene cannot be read.
    """
    if options.virtual:
        raise BadOption("--virtual takes one raster: leave it out, or ingest a VRT of the scenes")
    first = scenes[0]
    display = _shown(scenes, options)
    resampling, overview = kernels(options, palette=bool(display.style.palette))
    zoom = max(zoom_for(scene.resolution) for scene in scenes)
    minzoom, maxzoom = zooms(options, zoom)
    return Survey(
        path=first.listed.path,
        reading=Reading(tuple(range(1, first.reading.count + 1)), masked=True, soft=True),
        bounds=around([scene.bounds for scene in scenes]),
        dtype=first.dtype,
        zoom=zoom,
        base=min(zoom, maxzoom),
        minzoom=minzoom,
        maxzoom=maxzoom,
        style=display.style,
        resampling=resampling,
        overview=overview,
        stretched=display.stretched,
        open_options=OpenOptions.of(options),
        finished=finished_format(options, display.style),
        notes=display.notes,
        classes=display.classes(first.reading),
        unit=display.unit,
        warnings=tuple(_finer(scenes, zoom)) if options.max_zoom is None else (),
        scenes=tuple(scenes),
    )


def _finer(scenes: Sequence[Scene], base: int) -> Iterator[str]:
    """A note if few scenes are so fine that the others are baked far above their own zoom, `base`."""
    zooms = sorted(zoom_for(scene.resolution) for scene in scenes)
    most = zooms[len(zooms) // 2]
    if base < most + FINER:
        return
    fine, finest = sum(each > most for each in zooms), min(scenes, key=lambda scene: scene.resolution)
    yield (
        f"{finest.address} has zoom {base}, {len(scenes) - fine} of {len(scenes)} scenes at most zoom {most}: all are "
        f"baked at zoom {base}, {4 ** (base - most):,} times the pixels; add --max-zoom {most} to bake less"
    )


def revision_of_scenes(scenes: Sequence[Scene], options: Options, overlap: Overlap) -> str:
    """A hash of the scenes' identities in their order and of the options, 12 hex digits."""
    names = [scene.identity for scene in scenes]
    recipe = [RECIPE, options.changed(), overlap, names]
    return hashlib.blake2b(json.dumps(recipe, default=str).encode(), digest_size=6).hexdigest()


def around(boxes: Sequence[Bounds]) -> Bounds:
    """The smallest box around others; it crosses the antimeridian if that is the shorter way around the globe."""
    west = np.array([box.west for box in boxes])
    order = np.argsort(west)
    west, width = west[order], np.array([box.width for box in boxes])[order]
    reach = np.maximum.accumulate(west + width)  # the easternmost longitude so far
    gaps = np.append(west[1:], west[0] + 360) - reach
    widest = int(gaps.argmax())
    south, north = min(box.south for box in boxes), max(box.north for box in boxes)
    if gaps[widest] <= 1e-9:
        return Bounds(-180.0, south, 180.0, north)
    start, stop = float(west[(widest + 1) % len(west)]), float(reach[widest])
    return Bounds(start, south, stop - 360 if stop > 180 else stop, north)


def _shown(scenes: Sequence[Scene], options: Options) -> Shown:
    """The style of scenes; its range is that of values sampled in some of them.

    The names of classes are those of the lowest scene; what it leaves unnamed has the name of the next of these.
    """
    chosen = np.unique(np.linspace(0, len(scenes) - 1, STYLED).round().astype(int)).tolist()
    first = shown(_dataset(scenes[0], options), scenes[0].reading, options)
    if first.style.palette:
        others = [shown(_dataset(scenes[each], options), scenes[each].reading, options).names for each in chosen[1:]]
        return replace(first, names=reduce(or_, [*others[::-1], first.names]))
    if first.style.intervals and len(options.interval) < 2:
        return replace(first, style=replace(first.style, intervals=_intervals(scenes, chosen, first.style, options)))
    if not first.stretched:
        return first
    meaning = first.style.meant or (PLAIN,) * scenes[0].reading.count
    found = [samples(_dataset(scenes[each], options), scenes[each].reading, meaning).values for each in chosen]
    ranges = tuple(stretch(np.concatenate(band)) for band in zip(*found, strict=True))
    return replace(first, style=replace(first.style, rescale=ranges))


def _intervals(scenes: Sequence[Scene], chosen: Sequence[int], style: Style, options: Options) -> tuple[float, ...]:
    """The metres between contours by zoom, for the steepest of some scenes."""
    (meaning,) = style.meant or (PLAIN,)
    ground = (ruggedness(_dataset(scenes[each], options), scenes[each].reading, meaning) for each in chosen)
    return intervals(Ruggedness.around(ground), options.interval, max(zoom_for(each.resolution) for each in scenes))


def _dataset(scene: Scene, options: Options) -> DatasetReader:
    return opened(scene.listed.path, open_options=OpenOptions.of(options))
