"""Estimate a bake before it begins: parts, seconds, dollars and bytes; and the dollars of the tiles after it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from seeder.jobs.forecast import BakeForecast, Bakers, bake_forecast, tile_seconds
from seeder.jobs.prices import Cost, Demand, Prices, cost
from seeder.operations.budget import Budget
from seeder.operations.estimate_refresh import pixels_of
from tiler.grid import LEAF
from tiler.ingest.examine import Examined, ExaminedScenes
from tiler.ingest.planned_parts import BakeWork, planned_parts
from tiler.ingest.survey import Survey
from tiler.keys import Format
from tiler.storage.store import Stores

TILE_BYTES = 25_000  # of a tile of 256 pixels


@dataclass(frozen=True, slots=True)
class BakeEstimate:
    """The estimate of a bake by some `bakers`: of the parts to bake, and of all; `prices` is the date of the prices.

    It is a bound: a place where the raster has no pixels may count.
    """

    work: BakeWork
    whole: BakeWork
    forecast: BakeForecast
    bakers: Bakers
    prices: str

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        forecast = self.forecast
        return {
            "parts": self.work.parts,
            "all_parts": self.whole.parts,
            "overviews": self.work.overviews,
            "seconds": round(forecast.seconds, 1),
            "part_seconds": round(forecast.part_seconds, 1),
            "megabytes": round(forecast.bytes / 1e6, 1),
            "queued": self.bakers.queued,
            "workers": self.bakers.number,
            "cost": {**asdict(forecast.cost), "total": forecast.cost.total},
            "prices": self.prices,
        }


def estimate_bake(
    layer: str, raster: Examined | ExaminedScenes, stores: Stores, budget: Budget, *, processes: int
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
    bakers, prices = budget.bakers(processes), budget.prices
    forecast = bake_forecast(work, pixels_of(survey), bakers, prices, in_s3=sources.url.startswith("s3:"))
    return BakeEstimate(work, whole, forecast, bakers, prices.as_of)


def first_tiles_cost(survey: Survey, form: Format, counts: Mapping[int, int], stores: Stores, prices: Prices) -> Cost:
    """US dollars for rendering so many tiles by zoom through a queue, at most: none is empty."""
    finished = survey.base if survey.finished else -1
    return tiles_cost(counts, form, stores, prices, queued=True, palette=bool(survey.style.palette), finished=finished)


def tiles_cost(
    counts: Mapping[int, int],
    form: Format,
    stores: Stores,
    prices: Prices,
    *,
    queued: bool,
    palette: bool = False,
    finished: int = -1,
    virtual: bool = False,
) -> Cost:
    """US dollars for rendering so many tiles by zoom, at most: none is empty.

    Workers render them if they are `queued`, else this machine does. Tiles up to zoom `finished` are copied.
    """
    seconds = 0.0
    for z, number in counts.items():
        seconds += number * tile_seconds(form, scale=1, palette=palette, finished=z <= finished, virtual=virtual)
    tiles, blocks = sum(counts.values()), sum(math.ceil(number / LEAF**2) for number in counts.values())
    demand = Demand(tiles, blocks, tiles, tiles * TILE_BYTES, seconds, blocks * queued, checked=False)
    return cost(demand, prices, in_s3=stores.tiles.url.startswith("s3:"))
