"""Estimates of a layer's updates, without any change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Unpack

from seeder.api.job import followed
from seeder.api.progress import Progress
from seeder.api.sourcing import Given, Source
from seeder.api.updating import context_of
from seeder.operations.checks import argument_names
from seeder.operations.ingest_arguments import Ingesting
from seeder.operations.refresh import plan_refresh
from seeder.operations.renew import RenewPlan
from tiler.choices import Overlap
from tiler.ingest.staging import Staging
from tiler.settings import Settings


class UpdateEstimates:
    """The estimates of a layer of a workspace, by name."""

    __slots__ = ()

    _settings: Settings
    name: str

    @argument_names()
    def estimate_refresh(
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
        progress: Progress | None = None,
        **changes: Unpack[Ingesting],
    ) -> RenewPlan:
        """Plan a `refresh` and change nothing; the arguments are the same.

        In `estimate` of the result, `update` is the effort of this refresh, and `everything` that of a bake of all
        parts and a render of all stored tiles: scenes, parts, tiles, seconds, dollars. If `estimate.at_most`, numbers
        of parts and tiles are upper bounds.

        Raises:
            BadSource, BadOption: the rasters cannot become the layer's next revision.
            StoreError, BadCloud, QueueError: a store or CloudFront failed.
        """
        given = Given(source, overlap, asset, checksum, add, replace, drop)
        wanted = given.next_source(changes, Staging())
        context = context_of(self._settings, progress, hurry, cloudfront)
        return plan_refresh(self.name, context, wanted, followed(self._settings, queue, jobs))
