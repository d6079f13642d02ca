"""CloudFront in front of stored tiles: the paths that an operation has it forget."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from seeder.cache.stored import Cost, StoredFilter
from seeder.operations.report import Report
from tiler.errors import QueueError, TilerError


@dataclass(frozen=True, slots=True)
class CdnInvalidation:
    """Paths that CloudFront was told to forget."""

    distribution: str
    paths: tuple[str, ...]
    number: str  # id of the invalidation
    most: float  # US dollars, where this month's free paths are used
    done: bool  # whether CloudFront has carried it out

    def to_json(self) -> dict[str, Any]:
        """The JSON fields of a result."""
        return {
            "cloudfront": self.distribution,
            "paths": list(self.paths),
            "most": round(self.most, 3),
            "invalidation": self.number,
        }


def cdn_paths(stored_filter: StoredFilter, cost: Cost) -> tuple[str, ...]:
    """The paths that CloudFront is told; `cost` names the zooms that were looked through, the layer's or not."""
    from seeder.cache.cloudfront import paths  # noqa: PLC0415 - boto3 takes a third of a second

    if stored_filter.zooms is None and not stored_filter.whole and stored_filter.named is None:
        own = range(stored_filter.layer.minzoom, stored_filter.layer.maxzoom + 1)
        stored_filter = replace(stored_filter, zooms=tuple(sorted({*own, *cost.planned, *cost.listed})))
    return tuple(paths(stored_filter))


def invalidate_paths(
    distribution: str, paths: tuple[str, ...], region: str, report: Report, *, wait: bool
) -> CdnInvalidation | None:
    """Have CloudFront forget paths, if there are any; `wait` until it has. The step that ends is the result.

    Raises:
        QueueError: it does not.
    """
    if not paths:
        return None
    from seeder.cache import cloudfront  # noqa: PLC0415 - as above

    try:
        number = cloudfront.invalidate(distribution, list(paths), region)
        if wait:
            with report.interruptible(f"interrupted: CloudFront goes on with invalidation {number}"):
                cloudfront.wait(distribution, number, region)
    except TilerError as error:
        raise QueueError(f"the tiles are done, but {error}; have it forget {' '.join(paths)}") from error
    invalidation = CdnInvalidation(distribution, paths, number, cloudfront.PRICE * len(paths), wait)
    report.ended(invalidation)
    return invalidation
