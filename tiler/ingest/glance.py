"""A glance at a raster or scenes: the survey of their layer and a sample, from headers and few pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import rasterio.windows
from rasterio.io import DatasetReader

from tiler.errors import BadSource, shown
from tiler.grid import fills_tiles
from tiler.image.encode import encode
from tiler.image.style import Pixels, Style, Values
from tiler.ingest.choose_format import WORTH, exact
from tiler.ingest.survey import Survey
from tiler.ingest.survey_scenes import STYLED, survey_scenes
from tiler.keys import Format
from tiler.raster.archived import unpacked
from tiler.raster.datasets import OpenOptions, opened, translated
from tiler.raster.legend import Kind, legend_of
from tiler.raster.legend import kind_of as kind_of_style
from tiler.raster.options import Options
from tiler.raster.pixels import pixels
from tiler.raster.sample import PATCHES, coarse_reads
from tiler.raster.warp import first_covered_zoom
from tiler.scenes.headers import read_scenes
from tiler.scenes.order import ordered
from tiler.scenes.scene import Listed, Scene
from tiler.scenes.scene_list import SceneList

ACROSS = 8  # pixels per side of a square in the picture of a raster that was sampled in squares
SIDE = 96  # pixels of the longer side of the picture of scenes
NATIVE, TILE = 2, 256  # squares per side to encode, and their pixels


@dataclass(frozen=True, slots=True)
class Glance:
    """The survey of a layer, the scenes, the lowest first, and the first raster as opened."""

    survey: Survey
    scenes: tuple[Scene, ...]
    alone: bool  # whether it is one raster, not a list of scenes

    @property
    def dataset(self) -> DatasetReader:
        """The first raster.

        Raises:
            SourceReadError, StoreError: it cannot be opened.
        """
        return opened(self.scenes[0].listed.path, open_options=self.survey.open_options)


@dataclass(frozen=True, slots=True)
class Sample:
    """A coarse sample of the first raster: values `(bands, height, width)`, their mask, and whether it is a picture.

    Otherwise the squares of a raster without overviews stand side by side.
    """

    values: Values
    mask: Pixels
    alpha: Values | None  # (height, width), of the alpha band as stored
    whole: bool


def glance(source: str | SceneList, options: Options) -> Glance:
    """Survey a raster or scenes by headers and a sample of values; not all of any raster is read.

    Raises:
        BadSource, BadOption, SourceReadError: it cannot become a layer.
        StoreError: the network failed.
    """
    options = replace(options, virtual=False)
    if not isinstance(source, str):
        scenes = ordered(source.scenes, source.overlap)
        return Glance(survey_scenes(scenes, options), scenes, alone=False)
    try:
        path = unpacked(str(Path(source).absolute())) if Path(source).exists() else source
    except OSError as error:
        raise BadSource(source, error.strerror or str(error)) from error
    scenes = read_scenes([Listed(shown(path), path)], options, jobs=1, progress=lambda _done, _all: None)
    survey = survey_scenes(scenes, options)
    dataset = opened(path, open_options=OpenOptions.of(options))
    zoom = first_covered_zoom(dataset, survey.bounds, survey.zoom)
    one = replace(survey, scenes=(), reading=scenes[0].reading, zoom=zoom, base=min(zoom, survey.maxzoom))
    if options.max_zoom is None:
        one = replace(one, maxzoom=max(zoom, survey.minzoom), base=zoom)
    return Glance(one, scenes, alone=True)


def sample_of(seen: Glance) -> Sample:
    """A sample of the first raster: all of it at a low resolution if that is cheap, else squares spread over it.

    Raises:
        SourceReadError, StoreError: it cannot be read.
    """
    dataset, reading = seen.dataset, seen.scenes[0].reading
    reads = list(coarse_reads(dataset))
    with translated(dataset.name):
        parts = [pixels(dataset, reading, **options) for options in reads]
        alphas = [dataset.read(reading.alpha, **options) for options in reads] if reading.alpha else []
    whole = len(parts) == 1
    values = parts[0][0] if whole else _side_by_side([each for each, _ in parts])
    mask = parts[0][1] if whole else _side_by_side([each[None] for _, each in parts])[0]
    alpha = None
    if alphas:
        alpha = alphas[0] if whole else _side_by_side([each[None] for each in alphas])[0]
    return Sample(values, mask, alpha, whole)


def _side_by_side(squares: list[Values]) -> Values:
    """Squares of a grid, `PATCHES` a side, as one array."""
    rows = [np.concatenate(squares[at : at + PATCHES], axis=2) for at in range(0, len(squares), PATCHES)]
    return np.concatenate(rows, axis=1)


def picture_of(seen: Glance, sample: Sample) -> Pixels:
    """A small picture, `(height, width, 4)` uint8 RGBA; of scenes, up to STYLED of them, placed roughly.

    Raises:
        SourceReadError, StoreError: a scene cannot be read.
    """
    if seen.alone or len(seen.scenes) == 1:
        values, mask = sample.values, sample.mask
        if not sample.whole:
            high, wide = (size // PATCHES for size in mask.shape)
            rows = np.concatenate([at * high + np.linspace(0, high - 1, ACROSS).astype(int) for at in range(PATCHES)])
            columns = np.concatenate(
                [at * wide + np.linspace(0, wide - 1, ACROSS).astype(int) for at in range(PATCHES)]
            )
            values, mask = values[:, rows][:, :, columns], mask[rows][:, columns]
        dataset = seen.dataset
        return _fitted(coloured(values, mask, seen.survey.style), dataset.width, dataset.height)
    return _placed(seen)


def _fitted(picture: Pixels, width: int, height: int) -> Pixels:
    """A picture in the proportions of a raster, its longer side at most `SIDE` pixels if it was sampled in squares."""
    side = max(picture.shape[:2])
    scale = side / max(width, height)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return resized(picture, *size)


def _placed(seen: Glance) -> Pixels:
    """Scenes at their places, by their bounds in degrees; those that are not sampled are grey."""
    west, south, east, north = seen.survey.bounds
    span = (east - west) % 360 or 360.0
    squeeze = max(0.1, float(np.cos(np.radians((south + north) / 2))))
    scale = SIDE / max(span * squeeze, north - south)
    canvas = np.zeros((max(1, round((north - south) * scale)), max(1, round(span * squeeze * scale)), 4), np.uint8)
    chosen = {int(each) for each in np.unique(np.linspace(0, len(seen.scenes) - 1, STYLED).astype(int))}
    for number, scene in enumerate(seen.scenes):
        left, right = (((each - west) % 360) * squeeze * scale for each in (scene.bounds.west, scene.bounds.east))
        top, bottom = ((north - each) * scale for each in (scene.bounds.north, scene.bounds.south))
        rows = slice(int(top), max(int(top) + 1, round(bottom)))
        columns = slice(int(left), max(int(left) + 1, round(right)))
        place = canvas[rows, columns]
        if not place.size:
            continue
        if number not in chosen:
            place[...] = (128, 128, 128, 255)
            continue
        one = Glance(replace(seen.survey, reading=scene.reading), (scene,), alone=True)
        part = resized(picture_of(one, sample_of(one)), *place.shape[:2])
        place[part[..., 3] > 0] = part[part[..., 3] > 0]
    return canvas


def resized(picture: Pixels, height: int, width: int) -> Pixels:
    """A picture of another size, by the mean of its pixels or, if it grows, the nearest one."""
    rows = np.linspace(0, picture.shape[0], height + 1)
    columns = np.linspace(0, picture.shape[1], width + 1)
    if height > picture.shape[0] or width > picture.shape[1]:
        near = [
            np.minimum(((each[:-1] + each[1:]) / 2).astype(int), size - 1)
            for each, size in zip((rows, columns), picture.shape[:2], strict=True)
        ]
        found: Pixels = picture[near[0]][:, near[1]]
        return found
    light = picture.astype(np.float64)
    light[..., :3] *= light[..., 3:] / 255
    starts = [each[:-1].astype(int) for each in (rows, columns)]
    total = np.add.reduceat(np.add.reduceat(light, starts[0], axis=0), starts[1], axis=1)
    counts = np.diff([*starts[0], picture.shape[0]])[:, None] * np.diff([*starts[1], picture.shape[1]])[None]
    mean = total / counts[..., None]
    mean[..., :3] *= 255 / np.maximum(mean[..., 3:], 1)
    small: Pixels = np.clip(np.rint(mean), 0, 255).astype(np.uint8)
    return small


def coloured(values: Values, mask: Pixels, style: Style) -> Pixels:
    """Values as RGBA, `(height, width, 4)`; heights of a terrain style as grey, because a sample has no slopes."""
    if style.terrain:
        heights = values[:1].astype(np.float64)
        valid = heights[0][mask > 0]
        low, high = (float(each) for each in np.percentile(valid, (2, 98))) if valid.size else (0.0, 1.0)
        style, values = Style(rescale=((low, max(high, low + 1)),)), values[:1]
    made = style.apply(values, mask)
    colours = made.pixels if made.palette is None else made.palette[made.pixels[..., 0]]
    if colours.shape[-1] == 1:
        colours = np.repeat(colours, 3, axis=-1)
    opacity = mask if made.mask is None else made.mask
    if colours.shape[-1] == 4:
        opacity = np.minimum(opacity, colours[..., 3])
    rgba: Pixels = np.concatenate([colours[..., :3], opacity[..., None]], axis=-1).astype(np.uint8)
    return rgba


def format_by_sample(seen: Glance) -> tuple[Format, str]:
    """The format that `--format auto` would choose, most likely, and why: from few squares of the first raster.

    Raises:
        SourceReadError, StoreError: it cannot be read.
    """
    style = seen.survey.style
    if why := exact(style, seen.survey.dtype):
        return "png", why
    lossy: Format = "jpg" if _opaque(seen) else "webp"
    sizes: dict[Format, int] = {"png": 0, lossy: 0}
    dataset, reading = seen.dataset, seen.scenes[0].reading
    with translated(dataset.name):
        for window in _native(dataset):
            made = style.apply(*pixels(dataset, reading, window=window))
            for form in sizes:
                sizes[form] += len(encode(made, form) or b"")
    if not sizes["png"]:
        return "png", "the sample is empty"
    share = sizes[lossy] / sizes["png"]
    return (lossy if share <= WORTH else "png"), f"a sample as {lossy} takes {share:.0%} of its bytes as png"


def _opaque(seen: Glance) -> bool:
    """Whether no tile has a transparent pixel, most likely: the rasters have no mask, and end on edges of tiles."""
    survey = seen.survey
    return all(scene.reading.opaque for scene in seen.scenes) and fills_tiles(survey.bounds, survey.minzoom)


def _native(dataset: DatasetReader) -> Iterator[rasterio.windows.Window]:
    """Squares of a raster at its own resolution."""
    wide, high = min(TILE, dataset.width), min(TILE, dataset.height)
    places = [
        (
            round((dataset.width - wide) * (at + 1) / (NATIVE + 1)),
            round((dataset.height - high) * (by + 1) / (NATIVE + 1)),
        )
        for by in range(NATIVE)
        for at in range(NATIVE)
    ]
    for column, row in dict.fromkeys(places):
        yield rasterio.windows.Window(column, row, wide, high)


def kind_of(seen: Glance, options: Options) -> Kind:
    """The kind of the layer's picture."""
    style = seen.survey.style
    return kind_of_style(style, legend_of(style, options, None, ""))
