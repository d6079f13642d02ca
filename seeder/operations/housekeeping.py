"""Housekeeping of the ledger: compact the receipts of ended jobs, delete expired jobs."""

from __future__ import annotations

import logging
from itertools import islice

from seeder.jobs.compaction import KINDS, compact
from seeder.jobs.expiry import delete_job, expired
from seeder.jobs.ledger import jobs, layer_of, load_job
from seeder.jobs.receipts import Receipts
from seeder.jobs.status import FINAL, progress, utcnow
from seeder.operations.report import Report
from tiler.errors import CatalogError, MessageError, MissingObject, NewerMetadata, TilerError
from tiler.layers.layer_cache import Layers
from tiler.storage.concurrent import overlap
from tiler.storage.store import PAGE, Store

log = logging.getLogger(__name__)
INTERRUPTED = "interrupted: the job is complete; the next run compacts the rest of its receipts"


def tidy(layer: str, sources: Store, report: Report, *, least: int = PAGE) -> None:
    """Compact the receipts of a layer's ended jobs, from `least` of a kind, and delete expired jobs of all layers.

    This takes two requests per job of the layer, and more only for jobs with a page of receipts. Errors are logged:
    the command has done its own work.
    """
    try:
        for job in _long(layer, sources, least):
            if _has_ended(job, sources):
                with report.stage("compact receipts", None, unit="receipt", interrupted=INTERRUPTED) as advance:
                    compact(sources, job, progress=advance, least=least)
        for job in expired(sources, utcnow()):
            delete_job(sources, job)
    except TilerError as error:
        log.warning("the ledger was not tidied: %s", error)


def _long(layer: str, sources: Store, least: int) -> list[str]:
    """The jobs of a layer with enough receipts to compact."""

    def long(job: str) -> str | None:
        roots = (Receipts(sources, job, kind).root for kind in KINDS)
        return job if any(len(list(islice(sources.list(root), least))) == least for root in roots) else None

    own = [job for job in jobs(sources) if layer_of(job) == layer]
    return [job for job in overlap(long, own) if job]


def _has_ended(job: str, sources: Store) -> bool:
    try:
        seen = progress(load_job(sources, job, listed=False), sources, Layers(sources), lambda _: None, utcnow())
    except (CatalogError, MessageError, MissingObject, NewerMetadata):
        return False
    return seen.state in FINAL
