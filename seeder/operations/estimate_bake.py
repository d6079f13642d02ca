"""Estimate a bake before it begins: parts, seconds, dollars and bytes; and the dollars of the tiles after it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from seeder.jobs.forecast import BakeForecast, Bakers, bake_forecast, tile_seconds
from seeder.jobs.prices import Demand, Prices, cost
from seeder.operations.budget import Budget
from seeder.operations.estimate_refresh import pixels_of
from seeder.operations.run import RunOptions
from tiler.ingest.examine import Examined, ExaminedScenes
from tiler.ingest.planned_parts import BakeWork, planned_parts
from tiler.ingest.survey import Survey
from tiler.layers.catalog import Layer
from tiler.raster.options import file_format
from tiler.settings import Settings
from tiler.storage.store import Stores

TILE_BYTES = 25_000  # of a tile of 256 pixels


@dataclass(frozen=True, slots=True)
class BakeEstimate:
    """The estimate of a bake by some `bakers`: the parts to bake and those of all, a bound; `prices` is their date."""

    work: BakeWork
    whole: BakeWork
    forecast: BakeForecast
    bakers: Bakers
    prices: str

    @property
    def parts(self) -> int:
        """The parts to bake, of all tiers."""
        return self.work.parts + self.work.overviews

    @property
    def all_parts(self) -> int:
        """The layer's parts, of all tiers."""
        return self.whole.parts + self.whole.overviews

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        forecast = self.forecast
        return {
            "parts": self.parts,
            "all_parts": self.all_parts,
            "seconds": round(forecast.seconds, 1),
            "part_seconds": round(forecast.part_seconds, 1),
            "megabytes": round(forecast.bytes / 1e6, 1),
            "queued": self.bakers.queued,
            "workers": self.bakers.number,
            "cost": {**asdict(forecast.cost), "total": forecast.cost.total},
            "prices": self.prices,
        }


def estimate_bake(
    layer: str,
    raster: Examined | ExaminedScenes,
    stores: Stores,
    budget: Budget,
    run_options: RunOptions,
    settings: Settings,
) -> BakeEstimate | None:
    """The estimate of the bake of an examined raster, or of scenes; None for a virtual layer.

    Raises:
        SourceReadError: a header could not be read.
        StoreError: the stored parts could not be listed.
    """
    if raster.options.virtual:
        return None
    survey, sources = raster.survey, stores.sources
    planned = planned_parts(layer, sources, raster)
    work, whole = (planned.work(survey.base, places) for places in (planned.missing, planned.chunks))
    bakers, prices = budget.bakers(run_options, settings), budget.prices
    forecast = bake_forecast(work, pixels_of(survey), bakers, prices, in_s3=settings.sources.startswith("s3:"))
    return BakeEstimate(work, whole, forecast, bakers, prices.as_of)
