"""Ingest a raster as a layer, or as its next revision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from seeder.operations.report import Advance, Report
from tiler.ingest.ingest import Approve, Ingested, approved
from tiler.ingest.ingest import ingest as ingest_raster
from tiler.ingest.staging import Staging
from tiler.inputs import check_source
from tiler.layers.catalog import has_other_address, rewrite_address
from tiler.raster.options import Options
from tiler.settings import Settings
from tiler.storage.folder import removed_on_error
from tiler.storage.store import Stores

INTERRUPTED_UPLOAD = "interrupted: run the same command again to resume the upload"


@contextmanager
def created_stores(settings: Settings) -> Iterator[Stores]:
    """The stores of `settings`, their folders created; an error within removes new folders that are still empty.

    Raises:
        BadStore: a folder cannot be created or written.
    """
    with removed_on_error(settings.tiles, settings.sources):
        yield Stores.open(settings, create=True)


def ingest(
    source: str,
    layer: str,
    options: Options,
    stores: Stores,
    report: Report,
    *,
    jobs: int,
    staging: Staging = Staging(),  # noqa: B008 - a frozen value
    repair: bool = False,
    approve: Approve = approved,
) -> Ingested:
    """Make `source` the current revision of `layer`; see `tiler.ingest.ingest.ingest`.

    An upload is a stage of its own after the bake, in bytes; `staging` names the scratch folder. An unchanged raster
    rewrites TileJSON if its address is not that of `stores`.

    Raises:
        BadSource: the raster cannot become a layer.
        BadOption: an option does not fit it, or deployed functions could not read the layer.
        CatalogError, NewerMetadata: the layer's metadata is damaged and not to `repair`, or of a newer version.
    """
    check_source(source)
    with ExitStack() as stack:
        bake = report.bake(f"ingest {layer}", interrupted="interrupted: nothing was changed")
        progress, activity = stack.enter_context(bake)
        uploading = UploadStage(f"upload {layer}", report, stack)
        staging = replace(staging, note=report.note, uploading=uploading)
        done = ingest_raster(
            source,
            layer,
            options,
            stores,
            jobs=jobs,
            progress=progress,
            stage=activity,
            staging=staging,
            repair=repair,
            approve=approve,
        )
    if not done.fresh and has_other_address(layer, stores):  # such as that of the stack's earlier delivery
        rewrite_address(done.layer, stores)
    for note in done.notes:
        report.note(note)
    return done


class UploadStage:
    """Report an upload as a stage; its first call ends the stages in `stack` and begins this one."""

    def __init__(self, label: str, report: Report, stack: ExitStack) -> None:
        self._label = label
        self._report = report
        self._stack = stack
        self._advance: Advance | None = None
        self._sent = 0

    def __call__(self, sent: int, total: int) -> None:
        """Take the bytes sent and all; bytes that are sent again count once."""
        if self._advance is None:
            self._stack.close()
            stage = self._report.stage(self._label, total, done=sent, unit="byte", interrupted=INTERRUPTED_UPLOAD)
            self._advance, self._sent = self._stack.enter_context(stage), sent
        if sent > self._sent:
            self._advance(sent - self._sent)
            self._sent = sent
