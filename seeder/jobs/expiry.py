"""Expiry: jobs are deleted 90 days after their last receipt, unless their receipts are still of use.

A bake job's receipts are of no use once it has ended, or can only be resumed. Its last sign may also be its end.

`verify`, `--missing` and the preview know an empty tile only by its receipt. So the jobs of a revision that can be
stored or current again are kept, except those with a later complete job of the same selection. No rule of a bucket
could tell them apart: expiry is up to the commands.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from seeder.jobs.bake_ledger import bake_key, bakes, ledger_of
from seeder.jobs.ledger import KEPT, begun, complete, jobs, load_job, load_run
from seeder.jobs.messages import Job
from seeder.jobs.status import FINAL, progress
from tiler.errors import CatalogError, MessageError, MissingObject, NewerMetadata
from tiler.keys import job_key, sources_prefix
from tiler.layers.history import publications
from tiler.layers.layer_cache import Layers
from tiler.storage.store import Store


def expired(sources: Store, now: datetime) -> Iterator[str]:
    """The ids of jobs to be deleted at `now` (UTC), those of bake jobs as in the ledger of jobs.

    Without a job that old, this takes two requests.

    Raises:
        StoreError: the ledger could not be read.
    """
    known = jobs(sources)
    for name in known:
        if begun(name) < now - KEPT and _unused(sources, name, known) and _ended(sources, name, now):
            yield name
    for name in bakes(sources):
        if begun(name) < now - KEPT and _silent(sources, name, now - KEPT):
            yield ledger_of(name)


def delete_job(sources: Store, job: str) -> None:
    """Delete a job for ever; harmless to repeat.

    Raises:
        StoreError: some of its objects are left.
    """
    sources.delete(entry.key for entry in sources.list(job_key(job, "")))
    sources.clear(job_key(job, ""))


def _unused(sources: Store, name: str, known: list[str]) -> bool:
    """Whether no command needs the receipts of a job any more."""
    spec = name.rpartition("-")[0]
    later = (each for each in known if each.rpartition("-")[0] == spec and begun(each) > begun(name))
    try:
        job = load_job(sources, name, listed=False)
        return any(complete(sources, each) for each in later) or not _kept_revision(sources, job)
    except (CatalogError, MessageError, NewerMetadata):  # of another version
        return False
    except MissingObject:  # interrupted before it was recorded
        return True


def _kept_revision(sources: Store, job: Job) -> bool:
    """Whether tiles of the job's revision may be stored, or its source is kept."""
    layer, revision = job.spec.layer, job.spec.revision
    if revision in sources.folders(sources_prefix(layer)):
        return True
    current = Layers(sources).get(layer)
    known = publications(sources, layer, current.revision, lambda: "") if current else ()
    return revision in {each.revision for each in known}


def _silent(sources: Store, bake: str, since: datetime) -> bool:
    """Whether nothing was written to the ledger of a bake job `since` a time: its workers are gone."""
    return all(entry.modified < since for entry in sources.list(bake_key(bake, "")))


def _ended(sources: Store, name: str, now: datetime) -> bool:
    """Whether the job ended, and its last run or receipt is old enough."""
    try:
        seen = progress(load_job(sources, name, listed=False), sources, Layers(sources), lambda _: None, now)
        run = load_run(sources, name)
    except (CatalogError, MessageError, NewerMetadata):
        return False
    except MissingObject:
        return True
    signs = (seen.last, run.begun if run else None)
    return seen.state in FINAL and all(sign < now - KEPT for sign in signs if sign)
