"""Where layers, tiles and jobs are kept: a folder, buckets, or a deployed stack."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Unpack

from seeder.api.checks import check_text, path_of, processes_of
from seeder.api.ingesting import Ingesting, options_of
from seeder.api.job import Job
from seeder.api.layer import Layer
from seeder.api.progress import CallbackReport, Progress
from seeder.jobs.ledger import jobs, layer_of
from seeder.operations.ingest import ingest
from tiler.errors import BadOption
from tiler.keys import check_layer, layer_from
from tiler.layers.catalog import list_layers, load_layer
from tiler.settings import Settings
from tiler.storage.store import Stores

PLACES = ("TILER_DATA", "TILER_TILES", "TILER_SOURCES")  # variables that say which stores are meant


def open(  # noqa: A001 - it is always called seeder.open
    data: str | PathLike[str] | None = None, *, stack: str | None = None, region: str | None = None
) -> Workspace:
    """The workspace in the folder `data`, or that of a deployed stack; with neither, what the environment names.

    The folder need not exist yet. Of the environment, AWS variables count always, `TILER_DATA`, `TILER_TILES`,
    `TILER_SOURCES` and `TILER_STACK` only where neither is given. `region` is the AWS region.

    Raises:
        BadOption: both were given, or a variable has no meaning.
        BadCloud: the stack cannot be read.
    """
    if data is not None and stack is not None:
        raise BadOption("data and stack name different places: give one of them")
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
    """Layers, their tiles and their jobs. `settings` say where they are."""

    settings: Settings

    def layers(self) -> list[Layer]:
        """All layers, by name."""
        return [Layer(self.settings, name) for name in list_layers(Stores.open(self.settings).sources)]

    def layer(self, name: str) -> Layer:
        """The layer of that name.

        Raises:
            BadName, UnknownLayer: there is none.
            CatalogError: its metadata is not what this version wrote.
        """
        check_text("layer", name)
        return Layer(self.settings, load_layer(Stores.open(self.settings).sources, name).id)

    def ingest(
        self,
        source: str | PathLike[str],
        layer: str | None = None,
        *,
        jobs: int | None = None,
        progress: Progress | None = None,
        **options: Unpack[Ingesting],
    ) -> Layer:
        """Make a layer, or its next revision, of a raster that GDAL opens; its name comes from the file's.

        The same raster with the same options changes nothing. `progress` is called with the chunks done and all.

        Raises:
            BadName, BadOption, BadSource: a name, an option or the raster cannot be used.
            NoRoom, StoreError, WorkerDied: it could not be baked; the layer is what it was.
        """
        path = path_of("source", source)
        if layer is not None:
            check_text("layer", layer)
        name = check_layer(layer) if layer else layer_from(Path(path).stem)
        wanted, workers, report = options_of(options), processes_of(jobs), CallbackReport(progress)
        stores = Stores.open(self.settings, create=True)
        done = ingest(path, name, wanted, stores, report, jobs=workers)
        return Layer(self.settings, done.layer.id, tuple(done.notes))

    def jobs(self, layer: str | None = None) -> list[Job]:
        """All jobs, or those of a layer, the newest first."""
        found = ((layer_of(name), name) for name in reversed(jobs(Stores.open(self.settings).sources)))
        return [Job(self.settings, of, name) for of, name in found if layer in (None, of)]

    def job(self, name: str) -> Job:
        """The job of that id, or the only one whose id begins so, or the newest of the layer of that name.

        Raises:
            UnknownJob: there is none, or there are several.
        """
        return Job.named(self.settings, name)

    def __repr__(self) -> str:
        return f"<Workspace {self.settings.stack or self.settings.tiles.removesuffix('/tiles')}>"
