"""Estimate a plan before it runs: exact counts, and bytes and times from a small rendered sample."""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from seeder.jobs.messages import SIZES
from seeder.jobs.prices import Cost, Demand, Prices, cost, wall_seconds
from seeder.select.blocks import BlockMask, Count
from seeder.select.order import GOLDEN
from seeder.select.selection import Selection, regions
from seeder.select.tileset import TileSet
from tiler.keys import zoom_prefix
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.fill import Outcome, Request, fill
from tiler.layers.render import TileVariant
from tiler.processes import stream
from tiler.settings import Settings
from tiler.storage.store import Stores, open_store

SAMPLE_BLOCKS, SAMPLE_BLOCKS_DEEPEST = 6, 32  # blocks rendered per zoom, and of the zoom with most tiles
SAMPLE_SECONDS = 20.0  # seconds; no block starts later, except the first of each zoom


@dataclass(frozen=True, slots=True)
class ZoomEstimate:
    """The estimate of a zoom. `tiles` and `blocks` are exact, the rest comes from `sample` rendered tiles.

    `empty` is a fraction of the tiles. `spread` is twice the standard error of `bytes` as a fraction, and `slack` the
    same for `seconds`; both are 0 if all blocks were rendered, and infinite for a sample of one block.
    """

    tiles: int
    blocks: int
    sample: int
    bytes: float
    seconds: float
    empty: float
    spread: float
    slack: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimate of a plan. `demand.seconds` are summed over all processes; `wall` is elapsed time in seconds."""

    layer: str
    revision: str
    zooms: dict[int, ZoomEstimate]
    demand: Demand
    cost: Cost
    most: float  # US dollars at the upper end of the spread
    workers: int
    wall: float
    prices: Prices

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        zooms = {str(z): _finite(asdict(zoom)) for z, zoom in self.zooms.items()}
        return {
            "layer": self.layer,
            "revision": self.revision,
            "tiles": round(self.demand.tiles),
            "blocks": round(self.demand.blocks),
            "bytes": round(self.demand.bytes),
            "milliseconds": round(1000 * self.demand.seconds),
            "messages": self.demand.messages,
            "workers": self.workers,
            "wall": round(self.wall, 1),
            "cost": {**asdict(self.cost), "total": self.cost.total, "most": self.most},
            "prices": self.prices.as_of,
            "by_zoom": zooms,
        }


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """Replace infinity, which JSON lacks, by None."""
    return {name: None if value == math.inf else value for name, value in values.items()}


@dataclass(frozen=True, slots=True)
class Question:
    """The subject of an estimate: tiles, their variant, workers and prices.

    `workers` are workers of a queue if `queued`, otherwise processes of this machine.
    """

    layer: Layer
    selection: Selection
    variant: TileVariant
    force: bool
    queued: bool
    workers: int
    prices: Prices


def estimate(question: Question, settings: Settings, *, jobs: int, progress: Callable[[int], object]) -> Estimate:
    """Estimate a plan from a sample, rendered into a temporary folder by `jobs` processes.

    Blocks of each zoom are drawn at random, with a probability proportional to their tiles; if a zoom has few blocks,
    all are rendered. `progress` gets the number of rendered tiles. Stored tiles count as if they were missing.

    Raises:
        SourceReadError: the layer's source cannot be read.
        StoreError: the temporary folder cannot be written.
    """
    layer, selection = question.layer, question.selection
    totals = [(region, region.total()) for region in regions(layer, selection)]
    tile_sets = [region for region, total in totals if total.tiles]
    counts = {region.z: total for region, total in totals if total.tiles}
    samples: dict[int, list[Outcome]] = {z: [] for z in counts}
    with tempfile.TemporaryDirectory(prefix="seeder-") as folder:
        make = partial(_rendering, settings, layer.id, question.variant, Path(folder))
        for z, outcome in stream(make, _drawn(tile_sets, counts, layer.revision), jobs=jobs):
            samples[z].append(outcome)
            progress(outcome.all.bit_count())
    zooms = {z: _zoom(count, samples[z]) for z, count in counts.items()}
    in_s3 = settings.tiles.startswith("s3:")
    demand = _demand(question, zooms, tile_sets, settings)
    dollars = cost(demand, question.prices, in_s3=in_s3)
    most = cost(_at_most(demand, zooms), question.prices, in_s3=in_s3)
    local = demand.seconds / min(question.workers, max(1.0, demand.blocks))
    wall = wall_seconds(demand, question.prices, question.workers) if question.queued else local
    return Estimate(
        layer.id, layer.revision, zooms, demand, dollars, most.total, question.workers, wall, question.prices
    )


def _drawn(tile_sets: list[TileSet], counts: dict[int, Count], seed: str) -> Iterator[tuple[int, BlockMask]]:
    """Draw the sample in rounds over the zooms, so that it can end early; it is the same for the same revision."""
    start = int(seed, 16) % 997 / 997
    deep = max(counts, key=lambda z: counts[z].tiles)
    ends = time.monotonic() + SAMPLE_SECONDS
    for number in range(SAMPLE_BLOCKS_DEEPEST):
        for region in tile_sets:
            quota = SAMPLE_BLOCKS_DEEPEST if region.z == deep else SAMPLE_BLOCKS
            if number >= min(quota, counts[region.z].blocks) or (number and time.monotonic() > ends):
                continue
            if counts[region.z].blocks <= quota:
                if number == 0:
                    yield from ((region.z, block_mask) for block_mask in region.block_masks())
                continue
            position = (start + number * GOLDEN) % 1
            yield region.z, region.block_mask_of(int(position * counts[region.z].tiles))


def _rendering(
    settings: Settings, name: str, variant: TileVariant, folder: Path
) -> Callable[[tuple[int, BlockMask]], tuple[int, Outcome]]:
    """The task of a process: fill a block in the temporary folder."""
    sources = Stores.open(settings).sources
    layer = load_layer(sources, name)
    stores = Stores(open_store(folder.as_uri(), create=True), sources, settings.url)
    source_open = False

    def filled(item: tuple[int, BlockMask]) -> tuple[int, Outcome]:
        nonlocal source_open
        z, block_mask = item
        request = Request(block_mask.block, block_mask.tiles, variant, force=True)
        outcome = fill(layer, stores, request)
        if not source_open:  # repeat the first block, which opened the source, to time it like the others
            source_open = True
            outcome = fill(layer, stores, request)
        if outcome.failed:
            raise outcome.fault
        return z, outcome

    return filled


def _zoom(count: Count, sample: list[Outcome]) -> ZoomEstimate:
    """The estimate of a zoom from the means of its sample.

    Blocks were drawn with a probability proportional to their tiles, so the mean over blocks of a value per tile is an
    unbiased mean over tiles (Hansen and Hurwitz 1943).
    """
    if len(sample) >= count.blocks:  # all blocks of the zoom
        weights = [outcome.all.bit_count() / count.tiles for outcome in sample]
    else:
        weights = [1 / len(sample)] * len(sample)
    each = [outcome.all.bit_count() for outcome in sample]

    def mean(values: list[float]) -> float:
        return sum(w * value / n for w, value, n in zip(weights, values, each, strict=True))

    def error(values: list[float]) -> float:
        rates = [value / n for value, n in zip(values, each, strict=True)]
        if len(sample) >= count.blocks:
            return 0.0
        if len(sample) == 1:
            return math.inf
        if not any(values):
            return 0.0
        rest = 1 - len(sample) / count.blocks
        return 2 * statistics.stdev(rates) * math.sqrt(rest / len(sample)) / statistics.mean(rates)

    sizes = [float(outcome.bytes) for outcome in sample]
    spent = [outcome.milliseconds / 1000 for outcome in sample]
    return ZoomEstimate(
        tiles=count.tiles,
        blocks=count.blocks,
        sample=sum(each),
        bytes=count.tiles * mean(sizes),
        seconds=count.tiles * mean(spent),
        empty=mean([float(outcome.empty.bit_count()) for outcome in sample]),
        spread=error(sizes),
        slack=error(spent),
    )


def _demand(question: Question, zooms: dict[int, ZoomEstimate], tile_sets: list[TileSet], settings: Settings) -> Demand:
    tiles = Stores.open(settings).tiles
    fresh = all(tiles.empty(zoom_prefix(question.layer.id, z)) for z in zooms)
    return Demand(
        tiles=sum(zoom.tiles for zoom in zooms.values()),
        blocks=sum(zoom.blocks for zoom in zooms.values()),
        stored=sum(zoom.tiles * (1 - zoom.empty) for zoom in zooms.values()),
        bytes=sum(zoom.bytes for zoom in zooms.values()),
        seconds=sum(zoom.seconds for zoom in zooms.values()),
        messages=sum(len(part.codes) for region in tile_sets for part in region.batches(SIZES))
        if question.queued
        else 0,
        checked=not (fresh or question.force),
    )


def _at_most(demand: Demand, zooms: dict[int, ZoomEstimate]) -> Demand:
    """The demand at the upper end of the spread; a sample of one block counts as 100% uncertain."""
    share = {z: (min(zoom.spread, 1.0), min(zoom.slack, 1.0)) for z, zoom in zooms.items()}
    size = math.hypot(*(zoom.bytes * share[z][0] for z, zoom in zooms.items()))
    spent = math.hypot(*(zoom.seconds * share[z][1] for z, zoom in zooms.items()))
    return replace(demand, stored=demand.tiles, bytes=demand.bytes + size, seconds=demand.seconds + spent)
