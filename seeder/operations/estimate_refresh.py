"""Estimate a refresh before it begins, against everything.

Everything is a bake of all parts, and a render of all stored tiles and of those that the refresh adds.

Tiles and parts are counted, seconds and dollars forecast. Until the parts are baked, nobody knows which pixels differ,
so the numbers are upper bounds.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from seeder.cache.fence import fence, settled
from seeder.cache.rerender import StoredTiles
from seeder.jobs.forecast import Bakers, Pixels, bake_forecast, layer_tile_seconds
from seeder.jobs.prices import CDN_PATH, MILLION, Cost, Demand, cost, wall_seconds
from seeder.operations.budget import Budget
from seeder.operations.cdn import cdn_paths
from seeder.operations.run import RunOptions
from seeder.operations.update import UpdateTask
from seeder.select.selection import regions
from seeder.workers.local_pool import processes_for
from tiler.ingest.chunks import CHUNK
from tiler.ingest.planned_parts import BakeWork, PlannedParts, work_of
from tiler.ingest.survey import Survey
from tiler.layers.catalog import Layer
from tiler.layers.pyramid import Pyramid
from tiler.raster.options import file_format
from tiler.storage.store import Store

JP2 = (".jp2", ".j2k", ".jpx")  # endings of names of JPEG 2000
LISTINGS = 2  # of the stored tiles: before the bake, and after it


def pixels_of(survey: Survey) -> Pixels:
    """The pixels of a bake."""
    finished = file_format(survey.finished) if survey.finished else None
    paths = [scene.listed.path for scene in survey.scenes] or [survey.path]
    jp2 = sum(path.lower().endswith(JP2) for path in paths) > len(paths) / 2
    return Pixels(survey.dtype, survey.reading.count, finished, jp2)


@dataclass(frozen=True, slots=True)
class PlannedWork:
    """The scenes that change and all of them, the bake of what changed, and that of everything."""

    changed: int = 0
    scenes: int = 0
    bake: BakeWork = BakeWork()  # noqa: RUF009 - a frozen value
    whole: BakeWork = BakeWork()  # noqa: RUF009 - as above
    pixels: Pixels = Pixels("uint8", 1)  # noqa: RUF009 - as above

    @classmethod
    def of_parts(cls, survey: Survey, parts: PlannedParts, changed: int) -> PlannedWork:
        """The work of a bake of the parts that are missing."""
        some, whole = (parts.work(survey.base, places) for places in (parts.missing, parts.chunks))
        return cls(changed, len(survey.scenes), some, whole, pixels_of(survey))

    @classmethod
    def of_layer(cls, layer: Layer, sources: Store) -> PlannedWork:
        """No bake; everything would take that of all parts of a layer, if it has parts."""
        if not isinstance(layer.bake, Pyramid):
            return cls(scenes=layer.scenes)
        base = {place: part for place, part in layer.bake.parts(layer.id, sources).items() if place.tier == 0}
        chunks = {
            place: -(-part.layout.columns // CHUNK) * -(-part.layout.rows // CHUNK) for place, part in base.items()
        }
        filled = {place: part.layout.columns * part.layout.rows / CHUNK**2 for place, part in base.items()}
        pixels = Pixels(layer.bake.dtype, len(layer.bands), layer.format if layer.bake.finished else None)
        return cls(0, layer.scenes, whole=work_of(layer.bake.z, chunks, filled, chunks), pixels=pixels)


@dataclass(frozen=True, slots=True)
class Effort:
    """An update's effort: scenes, parts of the base, tiles; seconds to bake, to wait and to render; US dollars.

    The wait is for tiles of the previous revision in flight; `megabytes` are those of parts.
    """

    scenes: int
    parts: int
    tiles: int
    bake: float
    wait: float
    render: float
    dollars: float
    megabytes: float = 0.0

    @property
    def seconds(self) -> float:
        """All seconds."""
        return self.bake + self.wait + self.render

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        times = {name: round(getattr(self, name), 1) for name in ("bake", "wait", "render", "megabytes")}
        return {**asdict(self), **times, "seconds": round(self.seconds, 1), "dollars": round(self.dollars, 6)}


@dataclass(frozen=True, slots=True)
class RefreshEstimate:
    """The effort of a refresh, a bound if `at_most`, and that of everything; `prices` is the date of the prices."""

    layer: str
    update: Effort
    everything: Effort
    at_most: bool
    prices: str

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "at_most": self.at_most,
            "update": self.update.to_json(),
            "everything": self.everything.to_json(),
            "prices": self.prices,
        }


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of an estimate: what is updated, where it runs, and the pixels of its parts."""

    task: UpdateTask
    run_options: RunOptions
    pixels: Pixels

    @property
    def budget(self) -> Budget:
        """The prices, and the workers of a queue."""
        return self.task.options.budget

    @property
    def bakers(self) -> Bakers:
        """Who bakes."""
        return self.budget.bakers(self.run_options.processes)

    def effort(self, scenes: int, bake: BakeWork, wait: float, stored_tiles: StoredTiles, paths: int) -> Effort:
        """The effort of a bake, of the stale tiles among the stored ones, and of some paths to invalidate."""
        task, prices, settings = self.task, self.budget.prices, self.task.context.settings
        demand, in_s3 = self._demand(stored_tiles), settings.tiles.startswith("s3:")
        spent = cost(demand, prices, in_s3=in_s3)
        baked = bake_forecast(bake, self.pixels, self.bakers, prices, in_s3=settings.sources.startswith("s3:"))
        spent += Cost(s3=LISTINGS * stored_tiles.cost.lists * prices.s3_million_puts / MILLION)
        return Effort(
            scenes,
            bake.parts,
            round(demand.tiles),
            baked.seconds,
            0.0 if task.options.hurry else wait,
            self._render_seconds(demand),
            (spent + baked.cost).total + paths * CDN_PATH,
            baked.bytes / 1e6,
        )

    def _demand(self, stored_tiles: StoredTiles) -> Demand:
        """The demand of the tiles to be re-rendered; they replace stored ones, so their bytes are not counted."""
        layer, tiles, blocks, seconds = self.task.layer, 0, 0, 0.0
        for variant, selection in stored_tiles.selections():
            for region in regions(layer, selection):
                total = region.total()
                tiles, blocks = tiles + total.tiles, blocks + total.blocks
                seconds += total.tiles * layer_tile_seconds(layer, variant, region.z)
        queued = bool(self.run_options.queue)
        return Demand(tiles, blocks, tiles, 0, seconds, blocks if queued else 0, checked=False)

    def _render_seconds(self, demand: Demand) -> float:
        if not demand.tiles:
            return 0.0
        if self.run_options.queue:
            return wall_seconds(demand, self.budget.prices, self.budget.workers)
        options = self.run_options.of_layer(self.task.layer)
        return demand.seconds / min(options.jobs or processes_for(round(demand.tiles)), max(1.0, demand.blocks))


def estimate_refresh(
    terms: Terms, work: PlannedWork, stored_tiles: StoredTiles, paths: int, *, published: bool
) -> RefreshEstimate:
    """The estimate of an update of stored tiles that invalidates some CDN paths; `published` if of a new revision.

    Raises:
        StoreError: the time of publication could not be read.
    """
    task = terms.task
    whole, all_paths = stored_tiles.all_stale, 0
    if task.options.cdn:
        all_paths = len(cdn_paths(task.stored_filter, stored_tiles.cost))
    full = fence(task.stores.tiles).total_seconds()
    rest = (settled(task.layer, task.stores) - datetime.now(UTC)).total_seconds()  # the store's clock takes a put
    wait = full if published else max(0.0, min(rest, full))
    return RefreshEstimate(
        task.layer.id,
        terms.effort(work.changed, work.bake, wait, stored_tiles, paths),
        terms.effort(work.scenes, work.whole, full, whole, all_paths),
        bool(work.bake.parts) or stored_tiles.least is not None,
        terms.budget.prices.as_of,
    )
