"""A handle on a layer: its facts, its tiles, its operations."""

from __future__ import annotations

import math
from collections.abc import Iterable
from os import PathLike
from typing import Any, Literal, Unpack

from seeder.api.estimates import UpdateEstimates
from seeder.api.job import Job, chooser, followed
from seeder.api.notebook import html_of
from seeder.api.progress import CallbackReport, Progress
from seeder.api.sourcing import Given, Source
from seeder.api.tiles import Tiles, check_tile, tile_bytes
from seeder.api.updating import Age, check_own, context_of, filter_of
from seeder.api.verified import Verified
from seeder.cache.audit import Finding
from seeder.cache.query import TileQuery
from seeder.defaults import CONCURRENCY, DEEP_SAMPLE, MAX_FAILED_SHARE
from seeder.jobs.estimate import Estimate
from seeder.operations import invalidate as updates
from seeder.operations import refresh as revise
from seeder.operations.checks import argument_names, check_between, check_text, check_whole, path_of, processes_of
from seeder.operations.export import Exported, ExportOptions, export
from seeder.operations.ingest_arguments import Ingesting, staging_of
from seeder.operations.remove import RemovedLayer, remove, remove_old_revisions
from seeder.operations.renew import RenewResult
from seeder.operations.scenes import listed_scenes
from seeder.operations.seed import Limits, SeedRequest, estimate_seed, seed
from seeder.operations.selector_arguments import Selecting, query_of
from seeder.operations.update import RemovedTiles
from seeder.operations.verify import VerifyOptions, verify
from seeder.select.order import Order
from tiler.choices import Overlap
from tiler.errors import BadOption, TilerError
from tiler.grid import Bounds
from tiler.inputs import read_json
from tiler.keys import Format, Scale
from tiler.layers import catalog, tilejson
from tiler.layers.catalog import load_layer
from tiler.layers.tilejson import addressed
from tiler.scenes.scene import Scene
from tiler.settings import Settings
from tiler.storage.store import Stores


class Layer(UpdateEstimates):
    """A layer of a workspace, by name; each call reads its current state.

    `notes` holds the remarks of an ingest by this process; `job` the job of its `seed`, else None.
    """

    __slots__ = ("_settings", "job", "name", "notes")

    def __init__(self, settings: Settings, name: str, notes: tuple[str, ...] = ()) -> None:
        self._settings = settings
        self.name, self.notes = name, notes
        self.job: Job | None = None

    # Facts

    def _load(self, stores: Stores | None = None) -> catalog.Layer:
        return load_layer((stores or Stores.open(self._settings)).sources, self.name)

    @property
    def revision(self) -> str:
        """The current revision: 8 or more hex digits, a hash of pixels and options."""
        return self._load().revision

    @property
    def bounds(self) -> Bounds:
        """West, south, east and north, in degrees; west > east across the antimeridian."""
        return self._load().bounds

    @property
    def minzoom(self) -> int:
        """The lowest zoom."""
        return self._load().minzoom

    @property
    def maxzoom(self) -> int:
        """The highest zoom."""
        return self._load().maxzoom

    @property
    def format(self) -> Format:
        """The default format of its tiles."""
        return self._load().format

    def facts(self) -> dict[str, Any]:
        """The layer's facts, as in `seeder layers --json`."""
        return catalog.facts(self._load())

    def tilejson(self) -> dict[str, Any]:
        """TileJSON 3.0.0 with the current tile addresses."""
        stores = Stores.open(self._settings)
        layer = self._load(stores)
        document: dict[str, Any] = read_json(tilejson.tilejson(layer, stores.url, addressed(layer, stores.tiles)))
        return document

    def scenes(self) -> tuple[Scene, ...]:
        """The scenes of the layer, the lowest first, as in `seeder scenes`: `address`, `crs`, `bounds` and others.

        Raises:
            BadOption: the layer was made of one raster.
            CatalogError: the list is damaged.
        """
        stores = Stores.open(self._settings)
        return listed_scenes(self._load(stores), stores.sources)

    # Tiles

    @argument_names()
    def select(self, *, scale: Scale = 1, format: Format | None = None, **selectors: Unpack[Selecting]) -> Tiles:  # noqa: A002 - the option's name
        """Select tiles of the layer, by default all tiles that hold data.

        Raises:
            BadOption, GridError, ZoomOutside: a selector is invalid, or no tile is selected.
            StoreError: the stored tiles cannot be listed.
        """
        query = query_of(selectors)
        asked = TileQuery(
            query.zooms, query.boxes, query.places, query.traced, query.footprint, query.state, scale, format
        )
        stores = Stores.open(self._settings)
        return Tiles.of(self._load(stores), asked, stores)

    def tile(self, z: int, x: int, y: int, *, scale: Scale = 1, format: Format | None = None) -> bytes | None:  # noqa: A002
        """A tile's bytes: the stored tile, else a fresh render, which is not stored.

        None where the layer has no data, and outside its zooms.

        Raises:
            GridError: the tile does not exist.
            BadOption: the layer has no tiles of this scale or format.
            SourceReadError, StoreError: the tile cannot be rendered or read.
        """
        tile, stores = check_tile(z, x, y), Stores.open(self._settings)
        layer = self._load(stores)
        return tile_bytes(layer, stores, tile, TileQuery(scale=scale, format=format).variant(layer))

    # Operations

    @argument_names()
    def estimate(
        self,
        tiles: Tiles | None = None,
        *,
        force: bool = False,
        queue: str = "local",
        jobs: int | None = None,
        concurrency: int = CONCURRENCY,
    ) -> Estimate:
        """Estimate bytes, time and cost of seeding the tiles from a small sample. Writes nothing.

        Raises:
            BadOption, SourceReadError, StoreError: no tile is selected, or no sample can be rendered.
        """
        check_whole("concurrency", concurrency, 1, 1000)
        request = SeedRequest(self.name, self._query(tiles), force, concurrency=concurrency)
        run_options = chooser(self._settings, queue, jobs)("")
        estimate = estimate_seed(request, run_options, self._settings, CallbackReport(None))
        if estimate is None:
            raise BadOption("no tile is selected: nothing to estimate")
        return estimate

    @argument_names()
    def seed(
        self,
        tiles: Tiles | None = None,
        *,
        force: bool = False,
        order: str = "zoom",
        queue: str | None = None,
        jobs: int | None = None,
        max_failed: float = MAX_FAILED_SHARE,
        max_cost: float | None = None,
        progress: Progress | None = None,
    ) -> Job:
        """Render missing tiles, by default of the whole layer; with `force` re-render stored ones too.

        Without a `queue` this machine renders in `jobs` processes and waits; check `job.result.passed`. With
        `queue="sqs"` or a queue's URL, send the blocks and return; then see `Job.wait`. A job stops if more than
        `max_failed` (a part of 1) of its last 1000 blocks fail. `order` is `zoom`, `hilbert` or `near:LON,LAT`.
        `progress` takes the number of tiles done and of all tiles.

        Raises:
            BadOption, ZoomOutside: no tile of the layer is selected, or the estimate exceeds `max_cost` (US dollars).
            BadSource, BadCloud, QueueError, StoreError, WorkerDied: the work cannot be done.
        """
        check_text("order", order)
        request = SeedRequest(self.name, self._query(tiles), force, Order.parse(order))
        run_options = chooser(self._settings, queue, jobs, max_failed)("")
        if max_cost is not None:
            check_between("max_cost", max_cost, 0, math.inf)
        limits = None if max_cost is None else Limits(max_cost)
        result = seed(request, run_options, self._settings, CallbackReport(progress), limits)
        return Job(self._settings, self.name, result.tally.job if result else "", result)

    @argument_names()
    def verify(
        self,
        tiles: Tiles | None = None,
        *,
        deep: bool = False,
        sample: int | None = DEEP_SAMPLE,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> Verified:
        """Compare stored tiles with the plan; `deep` also compares `sample` tiles (None: all) with a fresh render.

        Raises:
            BadOption, ZoomOutside, BadSource: no tile is selected, or the raster of a virtual layer changed.
            SourceReadError, StoreError, WorkerDied: tiles cannot be listed, read or rendered.
        """
        findings: list[Finding] = []
        if sample is not None:
            check_whole("sample", sample, 1, math.inf)
        options = VerifyOptions(deep, sample, processes_of(jobs))
        report = CallbackReport(progress)
        done = verify(self.name, self._query(tiles), options, self._settings, report, findings.append)
        return Verified(done.layer, done.tiles, dict(done.problems), tuple(findings))

    @argument_names()
    def export(
        self,
        file: str | PathLike[str],
        tiles: Tiles | None = None,
        *,
        overwrite: bool = False,
        render: bool = False,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> Exported:
        """Write stored tiles into FILE.pmtiles, FILE.mbtiles or a folder; `progress` starts over in each stage.

        With `render`, `jobs` processes also render selected tiles that are not stored, into the archive alone.

        Raises:
            BadOption, BadSource: no tile is selected or stored, the archive exists, or the raster of a layer changed.
            SourceReadError, StoreError, Superseded, WorkerDied: a tile cannot be read or rendered; there is no archive.
        """
        query, path, report = self._query(tiles), path_of("file", file), CallbackReport(progress)
        options = ExportOptions(overwrite, render, None if jobs is None else processes_of(jobs))
        return export(self.name, path, query, self._settings, report, options)

    def _query(self, tiles: Tiles | None) -> TileQuery:
        """The query for `tiles`."""
        if tiles is None:
            return TileQuery()
        check_own(self.name, tiles)
        return tiles.query

    # Updates

    @argument_names()
    def invalidate(
        self,
        tiles: Tiles | Literal["all"],
        *,
        older_than: Age | None = None,
        hurry: bool = False,
        cloudfront: str | None = None,
        cdn_wait: bool = False,
        progress: Progress | None = None,
    ) -> RemovedTiles:
        """Remove stored tiles at every scale and in every format; the next request renders each again.

        The selectors of `tiles` apply to the tiles stored now; `older_than` (a time or an age) narrows them. After a
        new revision, first wait until no write in flight can put an older tile back; `hurry` skips this wait.
        `cloudfront` is a distribution to invalidate, by default the stack's, "" for none; `cdn_wait` waits for it.

        Raises:
            BadOption: no selected tile is stored or in the layer.
            Superseded: the layer changed to another revision meanwhile.
            StoreError, BadCloud, QueueError: the store or CloudFront failed.
        """
        context = context_of(self._settings, progress, hurry, cloudfront, cdn_wait)
        stored_filter = filter_of(self._load(context.stores), tiles, older_than)
        return updates.invalidate(stored_filter, context)

    @argument_names()
    def reseed(
        self,
        tiles: Tiles | Literal["all"],
        *,
        older_than: Age | None = None,
        queue: str | None = None,
        jobs: int | None = None,
        hurry: bool = False,
        cloudfront: str | None = None,
        cdn_wait: bool = False,
        progress: Progress | None = None,
    ) -> RenewResult:
        """Re-render stored tiles in place, and remove those outside the layer; see `invalidate`."""
        context = context_of(self._settings, progress, hurry, cloudfront, cdn_wait)
        stored_filter = filter_of(self._load(context.stores), tiles, older_than)
        return updates.reseed(stored_filter, context, followed(self._settings, queue, jobs))

    @argument_names()
    def refresh(
        self,
        source: Source | Iterable[Source] | None = None,
        *,
        add: Source | Iterable[Source] = (),
        replace: Source | Iterable[Source] = (),
        drop: str | Iterable[str] = (),
        overlap: Overlap | None = None,
        asset: str = "",
        checksum: bool = False,
        queue: str | None = None,
        jobs: int | None = None,
        hurry: bool = False,
        cloudfront: str | None = None,
        cdn_wait: bool = False,
        progress: Progress | None = None,
        scratch: str | PathLike[str] | None = None,
        **changes: Unpack[Ingesting],
    ) -> RenewResult:
        """Make `source` the layer's next revision and re-render stored tiles; without arguments, only stale tiles.

        One source or several list all rasters, as in `Workspace.ingest`. Instead, `add`, `replace` and `drop` change
        the list of scenes: `replace` reads scenes again, or puts those of the same file names in their place; `drop`
        takes names, addresses or patterns of scenes. `overlap`, by default, is that of the last ingest.

        The sources are ingested with the options of the layer's last ingest, except for `changes`; without sources,
        the layer's scenes are. The map never has a hole: tiles outside the new revision are removed last.

        Raises:
            BadSource, BadOption: the rasters cannot become the layer's next revision.
            Superseded: the layer changed to another revision meanwhile.
            StoreError, BadCloud, QueueError, WorkerDied: a store, a queue or CloudFront failed.
        """
        given = Given(source, overlap, asset, checksum, add, replace, drop)
        wanted = given.next_source(changes, staging_of(self._settings, scratch))
        run_options = followed(self._settings, queue, jobs)
        context = context_of(self._settings, progress, hurry, cloudfront, cdn_wait)
        return revise.refresh(self.name, context, run_options, wanted)

    @argument_names()
    def rollback(
        self,
        revision: str = "",
        *,
        queue: str | None = None,
        jobs: int | None = None,
        hurry: bool = False,
        cloudfront: str | None = None,
        cdn_wait: bool = False,
        progress: Progress | None = None,
    ) -> RenewResult:
        """Make an earlier revision current again, by default the previous one; see `refresh`."""
        context = context_of(self._settings, progress, hurry, cloudfront, cdn_wait)
        return revise.rollback(self.name, context, followed(self._settings, queue, jobs), revision)

    def remove(
        self,
        *,
        hurry: bool = False,
        cloudfront: str | None = None,
        cdn_wait: bool = False,
        progress: Progress | None = None,
    ) -> RemovedLayer:
        """Remove the layer for ever: its tiles, the sources of every revision, its jobs.

        Raises:
            UnknownLayer: the layer does not exist.
            Superseded: it was ingested again meanwhile.
            StoreError, BadCloud, QueueError: a store or CloudFront failed.
        """
        return remove(self.name, context_of(self._settings, progress, hurry, cloudfront, cdn_wait))

    def remove_old_revisions(self, *, progress: Progress | None = None) -> RemovedLayer:
        """Remove the sources of revisions before the previous one.

        Raises:
            UnknownLayer, StoreError: the layer does not exist, or a store failed.
        """
        return remove_old_revisions(self.name, context_of(self._settings, progress))

    def __eq__(self, other: object) -> bool:
        """Whether both name the same layer of the same workspace."""
        if not isinstance(other, Layer):
            return NotImplemented
        return (self._settings, self.name) == (other._settings, other.name)

    def __hash__(self) -> int:
        return hash((self._settings, self.name))

    def __repr__(self) -> str:
        try:
            layer = self._load()
        except TilerError:
            return f"<Layer {self.name}: not readable>"
        return f"<Layer {layer.id}: revision {layer.revision}, zooms {layer.minzoom}-{layer.maxzoom}, {layer.format}>"

    def _repr_html_(self) -> str:
        stores = Stores.open(self._settings)
        return html_of(self._load(stores), stores.sources)
