"""The check of an account's Lambda concurrency: new accounts may run 10 functions at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from seeder.aws import clients
from seeder.aws.check import CheckResult
from tiler.settings import Settings

REQUESTS = 6  # at once of one browser, over HTTP/1.1
LEAST = 2  # executions: the lowest maximum concurrency of an event-source mapping
QUOTA = "Service Quotas, AWS Lambda, Concurrent executions (L-B99A9384)"
UNITS = {"maximumConcurrency": "workers", "bakeConcurrency": "bakes"}  # by param


def check_concurrency(settings: Settings, maxima: Mapping[str, int]) -> Iterator[CheckResult]:
    """Compare the unreserved concurrency of the account and region with the maxima by param, and one visitor."""
    client = clients.client("lambda", settings.s3.region)
    with clients.translated("read the account's Lambda limits"):
        limit = int(client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"])
    total = sum(maxima.values())
    counts = ", ".join(f"{number:,} {UNITS[param]}" for param, number in maxima.items())
    seen = f"at most {limit:,} functions run at once in this account and region"
    if limit >= total + REQUESTS:
        yield CheckResult("concurrency", f"{seen}, of this stack at most {counts}")
        return
    shares = {param: max(LEAST, (limit - REQUESTS) * number // max(total, 1)) for param, number in maxima.items()}
    yield CheckResult(
        "concurrency",
        f"{seen}, but {counts} and {REQUESTS} requests of a browser need {total + REQUESTS:,}: "
        f"throttled messages become dead letters. Request 1,000 in {QUOTA}; "
        f"until then deploy with {' '.join(f'--param {param}={share}' for param, share in shares.items())}",
        well=False,
    )
