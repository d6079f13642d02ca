"""From an examined raster to a published layer: the draft before its bake, and the layer after it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tiler import keys
from tiler.errors import BadSource, StoreError
from tiler.ingest.baked_parts import Summary
from tiler.ingest.choose_format import Chosen, choose, exact
from tiler.ingest.survey import Survey
from tiler.layers import publication
from tiler.layers.catalog import Layer
from tiler.layers.credit import plain_markup
from tiler.layers.footprint import Footprint
from tiler.layers.pyramid import Pyramid, missing_objects, put_manifest
from tiler.raster.datasets import versions
from tiler.raster.options import NONE_ASKED, Options, file_format, told_as
from tiler.scenes.scene_list import SceneList, dump
from tiler.storage.store import Store, Stores

EMPTY = "it has no valid pixels: all are nodata, masked or transparent"


def draft_of(layer: str, path: str, survey: Survey, revision: str, options: Options, listed: SceneList | None) -> Layer:
    """The next revision of a layer before anything is baked, its tiles with data unknown; `path` is the source's."""
    return Layer(
        id=keys.check_layer(layer),
        revision=revision,
        source=path,
        bounds=survey.bounds,
        minzoom=survey.minzoom,
        maxzoom=survey.maxzoom,
        format=file_format(options.format),
        style=survey.style,
        footprint=Footprint(0, 0, 0, np.ones((1, 1), bool)),
        bake=None,
        bands=survey.reading.bands,
        resampling=survey.resampling,
        reading=survey.reading if options.virtual else None,
        attribution=plain_markup(options.attribution),
        asked=options,
        gdal="" if options.virtual else versions()[0],
        scenes=len(listed.scenes) if listed else 0,
        classes=survey.classes,
        unit=survey.unit,
    )


def described(layer: Layer, options: Options, current: Layer | None) -> Layer:
    """A layer with the title and description of `options`, otherwise those of the `current` revision."""
    asked = told_as(options, current.asked if current else NONE_ASKED)
    return replace(layer, asked=replace(layer.asked, title=asked.title or None, description=asked.description or None))


def with_legend(layer: Layer, survey: Survey) -> Layer:
    """A layer with the legend of the raster as it is surveyed now."""
    return replace(layer, classes=survey.classes, unit=survey.unit)


def baked_layer(draft: Layer, survey: Survey, summary: Summary, sources: Store) -> Layer:
    """A draft with its parts, whose manifest is stored.

    Raises:
        BadSource: it has no valid pixel.
        StoreError: the manifest could not be stored.
    """
    footprint = summary.footprint
    if not footprint.cells.any():
        raise BadSource(draft.source, why_empty(survey))
    pyramid = summary.pyramid(put_manifest(draft.id, sources, summary.parts))
    bands = tuple(range(1, survey.reading.count + 1))
    return replace(draft, source=keys.parts_prefix(draft.id), bake=pyramid, footprint=footprint, bands=bands)


def with_format(layer: Layer, current: Layer | None, sources: Store) -> tuple[Layer, Chosen]:
    """A layer with the format of its tiles, and the reason if it is `auto`; unchanged if possible, as tiles are stored.

    `current` is the revision before this one; its title and description stay, unless there are others.
    """
    chosen = _format_of(layer, current, sources)
    return described(replace(layer, format=chosen.format), layer.asked, current), chosen


def _format_of(draft: Layer, current: Layer | None, sources: Store) -> Chosen:
    if draft.asked.format != "auto":
        return Chosen(draft.format)
    kept = current and current.asked.format == "auto" and draft.takes(current.format)
    if current and kept and (current.format == "png" or not exact(draft.style, "")):
        return Chosen(current.format, "the layer already uses it")
    return choose(draft, sources)


def publish(layer: Layer, listed: SceneList | None, stores: Stores, planned_from: str | None) -> None:
    """Publish a layer with the list of its scenes; for `planned_from` see `tiler.layers.publication.publish`.

    Raises:
        StoreError: some of its parts are gone, or something could not be stored.
        BadOption: deployed functions could not read it.
        Superseded: another publication came first.
    """
    if isinstance(layer.bake, Pyramid) and missing_objects(layer.id, stores.sources, layer.bake):
        raise StoreError("find", layer.source, "parts were removed meanwhile: run the same command again")
    if listed:
        key = keys.scenes_key(layer.id, layer.revision)
        content = dump(listed.scenes, listed.overlap, listed.asset)
        stores.sources.put(key, content, content_type="application/json")
    publication.publish(layer, stores, planned_from=planned_from)


def why_empty(survey: Survey) -> str:
    """The reason for a layer without any valid pixel: holes of a raster can hide all of it at a low zoom."""
    if survey.base == survey.zoom:
        return EMPTY
    why = f"it has no valid pixel at zoom {survey.base}"
    return f"{why}: unless all its pixels are nodata, try --max-zoom {survey.zoom}"
