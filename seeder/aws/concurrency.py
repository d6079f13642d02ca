"""The check of an account's Lambda concurrency: new accounts may run 10 functions at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from seeder.aws import clients
from seeder.aws.check import CheckResult
from tiler.settings import Settings

REQUESTS = 6  # at once of one browser, over HTTP/1.1
LEAST = 2  # workers: the lowest maximum concurrency of an event-source mapping
QUOTA = "Service Quotas, AWS Lambda, Concurrent executions (L-B99A9384)"


def check_concurrency(settings: Settings, mappings: Iterable[Mapping[str, Any]]) -> Iterator[CheckResult]:
    """Compare the unreserved concurrency of the account and region with the workers' maximum and one visitor."""
    client = clients.client("lambda", settings.s3.region)
    with clients.translated("read the account's Lambda limits"):
        limit = int(client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"])
    workers = sum(int(each.get("ScalingConfig", {}).get("MaximumConcurrency", 0)) for each in mappings)
    seen = f"at most {limit:,} functions run at once in this account and region"
    if limit >= workers + REQUESTS:
        yield CheckResult("concurrency", f"{seen}, {workers:,} of them workers")
        return
    yield CheckResult(
        "concurrency",
        f"{seen}, but {workers:,} workers and {REQUESTS} requests of a browser need {workers + REQUESTS:,}: "
        f"throttled messages become dead letters. Request 1,000 in {QUOTA}; "
        f"until then deploy with --param maximumConcurrency={max(LEAST, limit - REQUESTS)}",
        well=False,
    )
