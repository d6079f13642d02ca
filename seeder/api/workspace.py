"""A workspace holds layers, tiles and jobs: in a folder, in buckets, or in a deployed stack."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from typing import Unpack

from seeder.api.bake import Bake
from seeder.api.job import Job
from seeder.api.layer import Layer
from seeder.api.progress import CallbackReport, Progress
from seeder.api.sourcing import Given, Source
from seeder.jobs.bake_ledger import bakes
from seeder.jobs.ledger import begun, jobs, layer_of
from seeder.operations.apply import Applied, ApplyOptions, apply
from seeder.operations.apply_plan import Terms
from seeder.operations.bake import BakeOptions, BakeSent, bake_queue, plan_bake, renewing_bake, send_bake
from seeder.operations.checks import (
    argument_names,
    as_arguments,
    check_between,
    check_text,
    parsed,
    path_of,
    processes_of,
    refusal,
)
from seeder.operations.ingest import created_stores, ingest, noting, options_to_ingest, with_zooms
from seeder.operations.ingest_arguments import Ingesting, changes_of, staging_of
from seeder.operations.run import queue_url
from seeder.operations.scenes import name_from, read_to_ingest
from seeder.operations.selector_arguments import Zooms, zooms_of
from seeder.operations.upload_scenes import Uploads
from tiler.choices import Overlap
from tiler.errors import BadOption
from tiler.ingest.bake_plan import BakePlan
from tiler.keys import check_layer
from tiler.layers.catalog import list_layers, load_layer
from tiler.settings import Settings
from tiler.storage.store import Stores

PLACES = ("TILER_DATA", "TILER_TILES", "TILER_SOURCES")  # variables that name the stores


def open(  # noqa: A001 - it is always called seeder.open
    data: str | PathLike[str] | None = None, *, stack: str | None = None, region: str | None = None
) -> Workspace:
    """Open the workspace in the folder `data` or of a deployed stack; by default the environment names it.

    The folder need not exist yet. AWS variables always apply; `TILER_DATA`, `TILER_TILES`, `TILER_SOURCES` and
    `TILER_STACK` apply only without `data` and `stack`. `region` is the AWS region of stack and buckets.

    Raises:
        BadOption: both were given, or a variable is invalid.
        BadCloud: the stack cannot be read.
    """
    if data is not None and stack is not None:
        raise BadOption("data and stack exclude each other: give one of them")
    named = data is not None or stack is not None
    environ = {name: value for name, value in os.environ.items() if not (named and name in PLACES)}
    settings = Settings.from_env(environ, data=None if data is None else path_of("data", data))
    if region:
        settings = replace(settings, s3=replace(settings.s3, region=region))
    name = stack or ("" if named else os.environ.get("TILER_STACK", ""))
    if name:
        from seeder.aws.stack import read_stack  # noqa: PLC0415 - boto3 takes a third of a second

        settings = read_stack(name, settings.s3.region).settings(settings)
    return Workspace(settings)


@dataclass(frozen=True, slots=True, repr=False)
class Workspace:
    """Layers, their tiles and their jobs, in the stores that `settings` name."""

    settings: Settings

    def layers(self) -> list[Layer]:
        """All layers, by name."""
        return [Layer(self.settings, name) for name in list_layers(Stores.open(self.settings).sources)]

    def layer(self, name: str) -> Layer:
        """The layer `name`.

        Raises:
            BadName, UnknownLayer: it does not exist.
            CatalogError, NewerMetadata: its metadata is damaged, or of a newer version.
        """
        check_text("layer", name)
        return Layer(self.settings, load_layer(Stores.open(self.settings).sources, name).id)

    @argument_names()
    def ingest(
        self,
        source: Source | Iterable[Source],
        layer: str | None = None,
        *,
        overlap: Overlap | None = None,
        asset: str = "",
        checksum: bool = False,
        jobs: int | None = None,
        progress: Progress | None = None,
        scratch: str | PathLike[str] | None = None,
        repair: bool = False,
        seed: Zooms | None = None,
        **options: Unpack[Ingesting],
    ) -> Layer:
        """Ingest a raster or many as a layer, or as its next revision; by default the only source names the layer.

        Several sources are the scenes of one layer, and so are the rasters in a folder, a pattern, a prefix in S3, a
        text list (`@FILE`), a STAC item collection or a tile index. `overlap` names the scene on top where they
        overlap: the last (default) or first of the list, the newest, the finest. `asset` names the asset to use of
        each STAC item. With `checksum`, changed scenes are recognized by content, not by size and time.

        The same rasters with the same options change nothing. `progress` takes the number of headers read and of all,
        then of chunks baked. `scratch` is the folder for the bake. `repair` replaces damaged
        layer metadata.

        `seed` names zooms to seed on this machine afterwards, as `layer.job`; a zoom that the layer would lack is
        rejected before the ingest. For other tiles, a queue or limits call `Layer.seed`. If seeding raises an error,
        the layer is ingested, and the same call continues.

        Raises:
            BadName, BadOption, BadSource: the name, an option or the raster is invalid.
            GridError, ZoomOutside: a zoom of `seed` does not exist, or the layer would lack it.
            CatalogError, NewerMetadata: the layer's metadata is damaged, or of a newer version.
            NoRoom, StoreError, WorkerDied: the bake failed, and the layer is unchanged; or the seeding failed.
        """
        sources = Given(source, overlap, asset, checksum).sources()
        if not sources.names:
            raise refusal("source", source, "give one source or more")
        if layer is not None:
            check_text("layer", layer)
        name = check_layer(layer) if layer else name_from(sources.names)
        stored = Stores.open(self.settings).sources
        wanted = options_to_ingest(changes_of(options), name, stored)
        workers, report = processes_of(jobs), CallbackReport(progress)
        staging = staging_of(self.settings, scratch)
        zooms = () if seed is None else parsed("seed", seed, partial(zooms_of, seed))
        rasters, replaced = read_to_ingest(sources, name, wanted, stored, report, jobs=workers)
        with created_stores(self.settings) as stores:
            done = ingest(
                rasters,
                name,
                wanted,
                stores,
                report,
                jobs=workers,
                staging=staging,
                repair=repair,
                approve=noting(replaced, report, with_zooms(name, zooms)),
            )
        made = Layer(self.settings, done.layer.id, tuple(map(as_arguments, done.notes)))
        if zooms:
            made.job = made.seed(made.select(zooms=zooms), jobs=jobs, progress=progress)
        return made

    @argument_names()
    def bake(
        self,
        source: Source | Iterable[Source],
        layer: str,
        *,
        queue: str = "sqs",
        overlap: Overlap | None = None,
        asset: str = "",
        checksum: bool = False,
        upload: bool = False,
        jobs: int | None = None,
        progress: Progress | None = None,
        repair: bool = False,
        seed: Zooms | None = None,
        **options: Unpack[Ingesting],
    ) -> Bake:
        """Ingest by the workers of a queue: send the parts of a layer, and return.

        Workers bake them, publish the layer, re-render its stored tiles and seed the zooms of `seed`. `queue` is that
        for tiles: "sqs", or its URL; the bake queue is the stack's. With `upload`, files of this machine are copied to
        the private bucket first. The other arguments are those of `ingest`; `jobs` processes read headers.

        Raises:
            BadOption: workers cannot read a source, or no bake queue is known; and as `ingest`.
            BadCloud, QueueError: the queue cannot be used, or refused messages.
        """
        sources = Given(source, overlap, asset, checksum).sources()
        if not sources.names:
            raise refusal("source", source, "give one source or more")
        check_text("layer", layer)
        check_text("queue", queue)
        name, changes, workers = check_layer(layer), changes_of(options), processes_of(jobs)
        zooms = () if seed is None else parsed("seed", seed, partial(zooms_of, seed))
        how = BakeOptions(
            bake_queue(queue, self.settings), queue_url(queue, self.settings), first=zooms, cdn=self.settings.cloudfront
        )
        report, stored = CallbackReport(progress), Stores.open(self.settings).sources
        wanted = options_to_ingest(changes, name, stored)
        if upload:
            sources = replace(sources, upload=Uploads(name, stored, staging_of(self.settings, None), workers))
        rasters, replaced = read_to_ingest(sources, name, wanted, stored, report, jobs=workers)
        approve = noting(replaced, report, with_zooms(name, zooms))
        with created_stores(self.settings) as stores:
            plan = plan_bake(rasters, name, wanted, stores, report, repair=repair, approve=approve)
            if isinstance(plan, BakePlan):
                sent: BakeSent | None = send_bake(plan, how, self.settings, stores, report)
            else:
                sent = renewing_bake(name, plan.layer.revision, how, self.settings, stores, report)
        return Bake(self.settings, name, sent.job.id if sent else "")

    @argument_names()
    def apply(
        self,
        file: str | PathLike[str],
        *,
        max_cost: float | None = None,
        dry_run: bool = False,
        trust_source: bool = False,
        jobs: int | None = None,
        progress: Progress | None = None,
        scratch: str | PathLike[str] | None = None,
    ) -> Applied:
        """Make the layers of a TOML file what it describes, as `seeder apply`; nothing is removed.

        `Applied.plan` tells what differed from the layers that were there, `Applied.done` what was done. A layer that
        fails does not stop the others: check `Applied.passed`. Work that costs money needs `max_cost`, in US dollars.
        A `dry_run` changes nothing and opens only sources in the folder of the file, unless `trust_source`.

        Raises:
            BadOption: the file cannot be read, or `max_cost` is missing or too low.
            BadEntries: the file has unknown keys or invalid values; `faults` names all.
            StoreError: the layers cannot be listed.
        """
        if max_cost is not None:
            check_between("max_cost", max_cost, 0, math.inf)
        for name, flag in (("dry_run", dry_run), ("trust_source", trust_source)):
            if not isinstance(flag, bool):
                raise refusal(name, flag, "give True or False")
        terms = Terms(self.settings, processes_of(jobs), staging=staging_of(self.settings, scratch))
        options = ApplyOptions(max_cost, dry_run, trust_source)
        return apply(path_of("file", file), options, terms, CallbackReport(progress))

    def bakes(self, layer: str | None = None) -> list[Bake]:
        """All bake jobs, or those of a layer, newest first."""
        names = sorted(bakes(Stores.open(self.settings).sources), key=begun, reverse=True)
        return [Bake.named(self.settings, name) for name in names if layer in (None, layer_of(name))]

    def jobs(self, layer: str | None = None) -> list[Job]:
        """All jobs for tiles, or those of a layer, newest first; `bakes` lists bake jobs."""
        pairs = ((layer_of(name), name) for name in reversed(jobs(Stores.open(self.settings).sources)))
        return [Job(self.settings, of, name) for of, name in pairs if layer in (None, of)]

    def job(self, name: str) -> Job:
        """Find a job by id, by an unambiguous prefix of it, or as the newest of the layer `name`.

        Raises:
            UnknownJob: no job matches, or several do.
        """
        return Job.named(self.settings, name)

    def __repr__(self) -> str:
        return f"<Workspace {self.settings.stack or self.settings.tiles.removesuffix('/tiles')}>"
