"""Describe a raster or scenes before an ingest: what it would make of them, from headers and a sample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from seeder.defaults import CORES
from seeder.jobs.forecast import BakeForecast, Bakers, bake_forecast, tile_seconds
from seeder.jobs.prices import Prices
from seeder.operations.estimate_refresh import pixels_of
from seeder.operations.report import Report
from seeder.operations.scenes import Sources, read_sources
from tiler.errors import BadSource, SourceReadError
from tiler.grid import tile_ranges
from tiler.image.style import Pixels
from tiler.ingest.drafts import EMPTY
from tiler.ingest.glance import Glance, Sample, format_by_sample, glance, is_empty, kind_of, picture_of, sample_of
from tiler.ingest.oddities import Oddity, oddities
from tiler.ingest.planned_parts import BakeWork, whole_work
from tiler.inputs import check_source
from tiler.keys import Format
from tiler.raster.bodies import called
from tiler.raster.datasets import as_it_is
from tiler.raster.legend import Kind
from tiler.raster.options import Options
from tiler.scenes.scene import Scene


@dataclass(frozen=True)
class RasterInfo:
    """What an ingest would make of a raster or scenes; `processes` of this machine would bake.

    `format` is the one that `--format auto` would choose, most likely. Tiles are all that the bounds touch.
    """

    seen: Glance
    options: Options
    sample: Sample
    format: Format
    why: str
    oddities: tuple[Oddity, ...]
    processes: int = CORES

    @property
    def scene(self) -> Scene:
        """The first raster."""
        return self.seen.scenes[0]

    @property
    def kind(self) -> Kind:
        """The kind of the layer's picture."""
        return kind_of(self.seen, self.options)

    @property
    def crs(self) -> str:
        """The name of the first raster's CRS, with its code if it has one."""
        code = self.scene.crs.to_epsg()
        name = called(self.scene.crs).strip("'")
        return f"{name} (EPSG:{code})" if code else name

    @cached_property
    def driver(self) -> str:
        """GDAL's name of the first raster's format."""
        with as_it_is(self.scene.listed.path, self.seen.survey.open_options) as plain:
            return str(plain.driver)

    @cached_property
    def pixel(self) -> tuple[float, float]:
        """The width and height of a pixel of the first raster, in units of its CRS."""
        matrix = self.seen.dataset.transform
        return float(math.hypot(matrix.a, matrix.d)), float(math.hypot(matrix.b, matrix.e))

    @cached_property
    def unit(self) -> str:
        """The unit of the first raster's CRS."""
        name = str(self.scene.crs.units_factor[0])
        return {"metre": "m", "meter": "m", "degree": "degrees"}.get(name, name)

    @property
    def mask(self) -> str:
        """How its invalid pixels are told."""
        reading = self.scene.reading
        kinds = {
            f"alpha (band {reading.alpha})": bool(reading.alpha),
            "mask": reading.masked,
            f"nodata {', '.join(map(_short, dict.fromkeys(reading.nodata)))}": bool(reading.nodata),
        }
        return " and ".join(kind for kind, has in kinds.items() if has) or "none"

    @cached_property
    def zooms(self) -> dict[int, int]:
        """The tiles of each zoom."""
        survey = self.seen.survey
        return {z: sum(map(len, tile_ranges(survey.bounds, z))) for z in range(survey.minzoom, survey.maxzoom + 1)}

    @cached_property
    def work(self) -> BakeWork:
        """The parts of a bake."""
        return whole_work(self.seen.survey)

    @cached_property
    def bake(self) -> BakeForecast:
        """The forecast of a bake by this machine."""
        return bake_forecast(self.work, pixels_of(self.seen.survey), Bakers(self.processes), Prices(), in_s3=False)

    @property
    def render_seconds(self) -> float:
        """Seconds to render all tiles by this machine."""
        palette = bool(self.seen.survey.style.palette)
        each = tile_seconds(self.format, scale=1, palette=palette, finished=False, virtual=False)
        return each * sum(self.zooms.values()) / self.processes

    def picture(self) -> Pixels:
        """A small picture, `(height, width, 4)` uint8 RGBA.

        Raises:
            SourceReadError, StoreError: a scene cannot be read.
        """
        return picture_of(self.seen, self.sample)

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        survey, scene, reading = self.seen.survey, self.scene, self.scene.reading
        return {
            "source": scene.address,
            "scenes": len(self.seen.scenes),
            "driver": self.driver,
            "crs": self.crs,
            "width": scene.size[0],
            "height": scene.size[1],
            "resolution": scene.resolution,
            "mercator_resolution": scene.resolution,
            "pixel": list(self.pixel),
            "pixel_unit": self.unit,
            "bounds": list(survey.bounds),
            "kind": self.kind,
            "bands": list(reading.bands),
            "all_bands": self.seen.dataset.count,
            "dtype": self.seen.dataset.dtypes[0],
            "nodata": [None if value is None else str(value) for value in reading.nodata],
            "mask": self.mask,
            "minzoom": survey.minzoom,
            "maxzoom": survey.maxzoom,
            "format": self.format,
            "why": self.why,
            "parts": self.work.parts,
            "overviews": self.work.overviews,
            "megabytes": round(self.bake.bytes / 1e6, 1),
            "tiles": sum(self.zooms.values()),
            "by_zoom": self.zooms,
            "bake_seconds": round(self.bake.seconds, 1),
            "render_seconds": round(self.render_seconds, 1),
            "oddities": [each._asdict() for each in self.oddities],
        }


def describe(sources: Sources, options: Options, report: Report, *, jobs: int = CORES) -> RasterInfo:
    """Describe a raster or scenes; nothing is written, and of no raster all is read.

    Raises:
        BadSource, BadOption: it cannot become a layer; the message names the cure.
        StoreError: the network failed.
    """
    for name in sources.names:
        check_source(name)
    try:
        return _described(sources, options, report, jobs)
    except BadSource as error:
        if error.why.startswith("GDAL cannot open"):
            error.args = (str(error).replace("cannot ingest", "cannot describe", 1),)
        raise


def _described(sources: Sources, options: Options, report: Report, jobs: int) -> RasterInfo:
    """See `describe`."""
    source = read_sources(sources, options, report, jobs=jobs)
    try:
        with report.bake("look", interrupted="interrupted") as (_, activity):
            activity("reading a sample")
            seen = glance(source, options)
            sample = sample_of(seen)
            form, why = format_by_sample(seen, options)
            found = tuple(oddities(seen, sample, options))
            if (seen.alone or len(seen.scenes) == 1) and is_empty(seen, sample):
                cures = "".join(f"; {each}" for each in found if each.cure)
                raise BadSource(seen.scenes[0].address, f"{EMPTY}{cures}")
    except SourceReadError as error:
        raise BadSource(error.source, f"{error} (is the file complete?)") from error
    return RasterInfo(seen, options, sample, form, why, found, jobs)


def _short(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"
