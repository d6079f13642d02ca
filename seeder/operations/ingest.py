"""Ingest a raster as a layer, or as its next revision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from seeder.operations.report import Report
from tiler.ingest.ingest import Ingested
from tiler.ingest.ingest import ingest as ingest_raster
from tiler.inputs import check_source
from tiler.raster.options import Options
from tiler.settings import Settings
from tiler.storage.folder import removed_on_error
from tiler.storage.store import Stores


@contextmanager
def created_stores(settings: Settings) -> Iterator[Stores]:
    """The stores of `settings`, their folders created; an error within removes new folders that are still empty.

    Raises:
        BadStore: a folder cannot be created or written.
    """
    with removed_on_error(settings.tiles, settings.sources):
        yield Stores.open(settings, create=True)


def ingest(source: str, layer: str, options: Options, stores: Stores, report: Report, *, jobs: int) -> Ingested:
    """Make `source` the current revision of `layer`; see `tiler.ingest.ingest.ingest`.

    Raises:
        BadSource: the raster cannot become a layer.
        BadOption: an option does not fit it.
    """
    check_source(source)
    with report.bake(f"ingest {layer}", interrupted="interrupted: nothing was changed") as (progress, activity):
        done = ingest_raster(source, layer, options, stores, jobs=jobs, progress=progress, stage=activity)
    for note in done.notes:
        report.note(note)
    return done
