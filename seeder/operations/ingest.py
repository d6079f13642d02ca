"""Ingest a raster as a layer, or as its next revision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from seeder.defaults import CORES
from seeder.jobs.prices import Cost
from seeder.operations.budget import Budget
from seeder.operations.estimate_bake import BakeEstimate, estimate_bake, first_tiles_cost
from seeder.operations.reachable import check_bakes, check_reachable, moving
from seeder.operations.report import Report
from tiler.choices import Choice
from tiler.errors import BadSource, CatalogError, SourceReadError, UnknownLayer
from tiler.grid import Bounds, check_zooms, tile_ranges
from tiler.ingest.examine import Approve, Examined, ExaminedScenes, approved, examined, named
from tiler.ingest.existing import current_layer, is_current
from tiler.ingest.ingest import Ingested, restorable
from tiler.ingest.ingest import ingest as ingest_raster
from tiler.ingest.staging import Staging
from tiler.ingest.survey import Survey
from tiler.inputs import check_source
from tiler.layers import version
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.tilejson import has_other_address, rewrite_address
from tiler.raster.options import Options, file_format
from tiler.scenes.scene_list import SceneList
from tiler.settings import Settings
from tiler.storage.folder import removed_on_error
from tiler.storage.store import Store, Stores

UNCHANGED = "interrupted: nothing was changed"
INTERRUPTED_BAKE = "interrupted: the layer is unchanged; the same command continues"


@contextmanager
def created_stores(settings: Settings) -> Iterator[Stores]:
    """The stores of `settings`, their folders created; an error within removes new folders that are still empty.

    Raises:
        BadStore: a folder cannot be created or written.
    """
    with removed_on_error(settings.tiles, settings.sources):
        yield Stores.open(settings, create=True)


def options_to_ingest(changes: Mapping[str, Any], layer: str, sources: Store) -> Options:
    """The options of an ingest of `layer`; `changes` are those that were given.

    Without a format, an existing layer keeps the one of its last ingest, and that of a new one is chosen from tiles.

    Raises:
        NewerMetadata, StoreError: the layer's metadata is of a newer version, or could not be read.
    """
    current = None
    with suppress(UnknownLayer, CatalogError):  # damage is reported before the bake
        current = load_layer(sources, layer)
    return Options(**{"format": default_format(current), **changes})


def default_format(current: Layer | None) -> Choice:
    """The format of an ingest that names none: that of the layer's last ingest, and `auto` for a new layer."""
    return current.asked.format if current else "auto"


def examine(
    source: str | SceneList, layer: str, options: Options, report: Report, approve: Approve = approved
) -> Examined | ExaminedScenes:
    """A raster or scenes in their current state; `approve` gets the survey before all of a raster is read.

    Raises:
        BadSource, BadOption: it cannot become a layer.
        StoreError: the network failed.
    """
    if isinstance(source, str):
        check_source(source)
    try:
        with report.bake(f"ingest {layer}", interrupted=UNCHANGED) as (_, activity):
            return examined(source, options, activity, partial(_warned, report, approve))
    except SourceReadError as error:
        raise BadSource(named(source), f"{error} (is the file complete?)") from error


def ingest(
    source: str | SceneList | Examined | ExaminedScenes,
    layer: str,
    options: Options,
    stores: Stores,
    report: Report,
    *,
    jobs: int,
    staging: Staging = Staging(),  # noqa: B008 - a frozen value
    repair: bool = False,
    approve: Approve = approved,
    planned_from: str | None = None,
) -> Ingested:
    """Make `source`, a raster or scenes, examined or not, the current revision of `layer`.

    See `tiler.ingest.ingest.ingest`. `staging` names the scratch folder. An unchanged raster rewrites TileJSON if its
    address is not that of `stores`.

    Raises:
        BadSource: the raster cannot become a layer.
        BadOption: an option does not fit it, or deployed functions could not read the layer.
        CatalogError, NewerMetadata: the layer's metadata is damaged and not to `repair`, or of a newer version.
        Superseded: another publication of the layer ended first.
    """
    if isinstance(source, str):
        check_source(source)
    with report.bake(f"ingest {layer}", interrupted=INTERRUPTED_BAKE) as (progress, activity):
        done = ingest_raster(
            source,
            layer,
            options,
            stores,
            jobs=jobs,
            progress=progress,
            stage=activity,
            staging=replace(staging, note=report.note),
            repair=repair,
            approve=partial(_warned, report, approve),
            planned_from=planned_from,
        )
    readdress(done, stores)
    for note in done.notes:
        report.note(note)
    return done


def _warned(report: Report, approve: Approve, survey: Survey) -> None:
    """Note the warnings of a survey, then approve it."""
    for warning in survey.warnings:
        report.note(warning)
    approve(survey)


def readdress(done: Ingested, stores: Stores) -> None:
    """Rewrite the TileJSON of an unchanged layer if its address is another, such as that of an earlier delivery."""
    if not done.fresh and has_other_address(done.layer.id, stores):
        rewrite_address(done.layer, stores)


@dataclass(frozen=True, slots=True)
class IngestPlan:
    """The next revision of a layer, and its tiles by zoom: all that its bounds touch, also those without data.

    `revision` is empty if scenes are uploaded first: it depends on the uploaded ones.
    """

    layer: str
    revision: str
    bounds: Bounds
    minzoom: int
    maxzoom: int
    zooms: dict[int, int]
    fresh: bool  # whether the layer is new or would change
    bake: BakeEstimate | None = None  # of a layer that would be baked
    rendering: Cost = Cost()  # noqa: RUF009 - a frozen value; of the tiles, at most, if workers render them next

    @property
    def dollars(self) -> float:
        """US dollars at most for the bake, and for tiles that workers render."""
        return (self.bake.forecast.cost.total if self.bake else 0.0) + self.rendering.total

    @property
    def tiles(self) -> int:
        """The tiles of all zooms."""
        return sum(self.zooms.values())

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "layer": self.layer,
            "revision": self.revision or None,
            "bounds": list(self.bounds),
            "minzoom": self.minzoom,
            "maxzoom": self.maxzoom,
            "tiles": self.tiles,
            "by_zoom": self.zooms,
            "fresh": self.fresh,
            "bake": self.bake.to_json() if self.bake else None,
            "tile_dollars": round(self.rendering.total, 6),
            "dry_run": True,
        }


def plan_ingest(
    source: str | SceneList | Examined | ExaminedScenes,
    layer: str,
    options: Options,
    stores: Stores,
    report: Report,
    *,
    zooms: tuple[int, ...],
    repair: bool = False,
    budget: Budget = Budget(),  # noqa: B008 - a frozen value
    processes: int = CORES,
    uploads: bool = False,
) -> IngestPlan:
    """Plan an `ingest` and the tiles of `zooms`, with its estimate; change nothing.

    With `uploads`, scenes that only this machine has are uploaded first.

    Raises:
        BadSource, BadOption, CatalogError, NewerMetadata: see `ingest`.
        ZoomOutside: the layer would lack one of the zooms.
    """
    version.check_readers(stores, version.version_for(options, parts=not options.virtual))
    approve = with_zooms(layer, zooms)
    raster = examine(source, layer, options, report, approve) if isinstance(source, str | SceneList) else source
    if uploads and moving(raster, stores.sources):
        raster = raster.to_move()
    survey, revision = raster.survey, raster.revision
    fresh = not is_current(current_layer(stores.sources, layer, repair=repair), revision, raster.path, stores)
    if fresh and budget.by_workers and not (options.virtual and zooms):
        check_bakes(options)
        if not uploads and not restorable(layer, revision, stores.sources):
            check_reachable(raster, stores)
    counts = {z: sum(map(len, tile_ranges(survey.bounds, z))) for z in zooms}
    bake = estimate_bake(layer, raster, stores, budget, processes=processes) if fresh else None
    rendering = Cost()
    if fresh and budget.by_workers and not options.virtual:
        rendering = first_tiles_cost(survey, file_format(options.format), counts, stores, budget.prices)
    bounds = survey.bounds, survey.minzoom, survey.maxzoom
    return IngestPlan(layer, revision, *bounds, counts, fresh, bake, rendering)


def affordable(
    source: str | SceneList,
    layer: str,
    options: Options,
    stores: Stores,
    report: Report,
    approve: Approve,
    *,
    zooms: tuple[int, ...],
    repair: bool,
    budget: Budget,
    processes: int,
) -> str | SceneList | Examined | ExaminedScenes:
    """A raster or scenes whose ingest is within a budget, examined if that limits dollars.

    Raises:
        BadOption: the estimate exceeds them.
        BadSource, CatalogError, NewerMetadata, ZoomOutside: see `plan_ingest`.
    """
    if budget.dollars is None:
        return source
    raster = examine(source, layer, options, report, approve)
    plan = plan_ingest(
        raster, layer, options, stores, report, zooms=zooms, repair=repair, budget=budget, processes=processes
    )
    budget.check(plan.dollars, "ingest fewer scenes or a lower --max-zoom")
    return raster


def noting(text: str, report: Report, approve: Approve) -> Approve:
    """Approve a raster as `approve` does, and tell a note, unless it is empty."""

    def approve_and_note(survey: Survey) -> None:
        approve(survey)
        if text:
            report.note(text)

    return approve_and_note


def with_zooms(layer: str, zooms: tuple[int, ...]) -> Approve:
    """Approve a raster only if its layer would have all of `zooms`.

    Raises:
        ZoomOutside: when called: it would lack one of them.
    """

    def approve(survey: Survey) -> None:
        check_zooms(layer, zooms, survey.minzoom, survey.maxzoom, ingested=False)

    return approve
