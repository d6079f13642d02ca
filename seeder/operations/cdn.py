"""Invalidate the CloudFront paths of changed tiles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from seeder.cache.stored import Cost, StoredFilter
from seeder.jobs.prices import CDN_PATH
from seeder.operations.report import Report
from seeder.select.tileset import TileSets
from tiler.errors import QueueError, TilerError


@dataclass(frozen=True, slots=True)
class CdnInvalidation:
    """Paths that CloudFront was asked to invalidate."""

    distribution: str
    paths: tuple[str, ...]
    number: str  # id of the invalidation
    most: float  # US dollars, if this month's free paths are used up
    done: bool  # whether CloudFront has completed it

    def to_json(self) -> dict[str, Any]:
        """The JSON fields of a result."""
        return {
            "cloudfront": self.distribution,
            "paths": list(self.paths),
            "most": round(self.most, 3),
            "invalidation": self.number,
        }


def cdn_paths(stored_filter: StoredFilter, cost: Cost, changed: TileSets | None = None) -> tuple[str, ...]:
    """The paths to invalidate: those of `changed` tiles, or without these of the filter.

    `cost` names the zooms that were listed, also those outside the layer.
    """
    from seeder.cache.cloudfront import paths  # noqa: PLC0415 - boto3 takes a third of a second

    if changed is not None:
        return tuple(paths(StoredFilter(stored_filter.layer, tiles=changed))) if changed else ()
    if stored_filter.zooms is None and not stored_filter.whole and stored_filter.named is None:
        own = range(stored_filter.layer.minzoom, stored_filter.layer.maxzoom + 1)
        stored_filter = replace(stored_filter, zooms=tuple(sorted({*own, *cost.planned, *cost.listed})))
    return tuple(paths(stored_filter))


def invalidate_paths(
    distribution: str, paths: tuple[str, ...], region: str, report: Report, *, wait: bool
) -> CdnInvalidation | None:
    """Invalidate paths, if there are any, and with `wait` wait for completion. The step that ends is the result.

    Raises:
        QueueError: CloudFront refused.
    """
    if not paths:
        return None
    from seeder.cache import cloudfront  # noqa: PLC0415 - as above

    try:
        number = cloudfront.invalidate(distribution, list(paths), region)
        if wait:
            with report.interruptible(f"interrupted: CloudFront completes invalidation {number} by itself"):
                cloudfront.wait(distribution, number, region)
    except TilerError as error:
        raise QueueError(
            f"the tiles are done, but {error}; invalidate {' '.join(paths)} in CloudFront yourself"
        ) from error
    invalidation = CdnInvalidation(distribution, paths, number, CDN_PATH * len(paths), wait)
    report.ended(invalidation)
    return invalidation
