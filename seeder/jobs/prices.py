"""Prices and speeds of AWS: all figures behind an estimate of cost and time."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path

from tiler.errors import BadOption
from tiler.inputs import check_file, whole

MILLION = 1_000_000
CDN_PATH = 0.005  # US dollars per path of CloudFront, with or without a wildcard, after the first thousand of a month
LARGEST = 1 << 20  # characters of a file of prices


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices in US dollars without taxes and free tiers, and properties of workers; `--prices FILE` replaces them.

    `lambda_wait` is the time a block of 64 tiles waits for S3 besides rendering, measured at 30 ms per request
    (`bench/fanout.py`); `lambda_speed` is the speed of a worker's CPU relative to one core of this machine.
    """

    as_of: str = "2025-06, us-east-1"
    lambda_gb_second: float = 0.0000133334  # arm64; 0.0000166667 on x86_64
    lambda_storage_gb_second: float = 0.0000000309  # of temporary storage beyond the free 512 MB
    lambda_million_requests: float = 0.20
    s3_million_puts: float = 5.00  # also for LIST
    s3_million_gets: float = 0.40  # also for HEAD
    s3_gb_month: float = 0.023
    sqs_million_requests: float = 0.40
    logs_gb: float = 0.50
    lambda_gb: float = 1769 / 1024  # memory of a worker; 1769 MB gives one full CPU
    lambda_batch: float = 5  # messages per invocation
    lambda_wait: float = 0.3  # seconds
    lambda_speed: float = 1.0
    lambda_first: float = 5  # workers available at once
    lambda_more: float = 300  # workers added per minute
    bake_gb: float = 3538 / 1024  # memory of the bake function; 3538 MB give two full CPUs
    bake_storage_gb: float = 4096 / 1024  # its temporary storage
    bake_wait: float = 0.03  # seconds that a process of it waits for a request to S3
    bake_megabytes: float = 75  # per second, that it reads and writes

    @classmethod
    def load(cls, path: Path) -> Prices:
        """The default prices, updated from the TOML file at `path`.

        Raises:
            BadOption: the file cannot be read, or has an unknown name or an invalid value.
        """
        try:
            check_file(path)
            with path.open(encoding="utf-8") as file:
                values = tomllib.loads(whole(file, str(path), LARGEST))
        except (OSError, RecursionError, ValueError) as error:
            raise BadOption(f"cannot read prices from {path}: {error}") from error
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise BadOption(f"{path}: unknown price {', '.join(unknown)}: choose from {', '.join(sorted(known))}")
        for name, value in values.items():
            number = type(value) in (int, float) and 0 <= value < float("inf")
            if not (type(value) is str if name == "as_of" else number):
                cure = "text in quotes" if name == "as_of" else "a number, 0 or more"
                raise BadOption(f"{path}: {name} = {value!r} is not a price: write {cure}")
            if not value and name in ("lambda_batch", "lambda_speed", "lambda_first", "bake_gb", "bake_megabytes"):
                raise BadOption(f"{path}: {name} must be above 0")
        return replace(cls(), **values)


Tiers = tuple[tuple[float, float], ...]  # of a month: GB, then dollars per GB
TERABYTE = 1024.0  # GB, as AWS counts its tiers


@dataclass(frozen=True, slots=True)
class DeliveryPrices:
    """Prices of visitors and of monitoring, in US dollars without taxes and free tiers.

    Source: aws.amazon.com/{cloudfront,s3,api-gateway,lambda,cloudwatch}/pricing, at the date `as_of`. Edges are those
    of `PriceClass_100`.
    """

    as_of: str = "2025-11, us-east-1"
    lambda_gb_second_x86: float = 0.0000166667
    cloudfront_million_requests: float = 1.00  # HTTPS
    cloudfront_million_functions: float = 0.10  # the viewer function runs at each request
    cloudfront_gb: Tiers = (
        (10 * TERABYTE, 0.085),
        (40 * TERABYTE, 0.080),
        (100 * TERABYTE, 0.060),
        (350 * TERABYTE, 0.040),
        (math.inf, 0.030),
    )
    s3_gb: Tiers = (  # from S3 to the internet; to CloudFront nothing
        (10 * TERABYTE, 0.090),
        (40 * TERABYTE, 0.085),
        (100 * TERABYTE, 0.070),
        (math.inf, 0.050),
    )
    api_million_requests: float = 1.00  # HTTP API, up to 300 million a month
    alarm_month: float = 0.10  # per metric
    metric_month: float = 0.30  # a custom metric, by the hour in which it is reported
    dashboard_month: float = 3.00  # beyond three of an account


def transfer(gigabytes: float, tiers: Tiers) -> float:
    """Dollars for a month's transfer: each tier's price for its part."""
    dollars = 0.0
    for size, price in tiers:
        part = min(gigabytes, size)
        dollars += part * price
        gigabytes -= part
    return dollars


@dataclass(frozen=True, slots=True)
class Demand:
    """The quantities behind a cost: tiles, blocks, tiles to be `stored`, bytes, and seconds of rendering.

    `checked` means that workers check for stored tiles first; `messages` is 0 without a queue.
    """

    tiles: float
    blocks: float
    stored: float
    bytes: float
    seconds: float
    messages: int
    checked: bool


@dataclass(frozen=True, slots=True)
class Cost:
    """US dollars, paid once; `storage` is for one month."""

    compute: float = 0.0
    s3: float = 0.0
    sqs: float = 0.0
    logs: float = 0.0
    storage: float = 0.0

    @property
    def total(self) -> float:
        """The sum, with one month of storage."""
        return self.compute + self.s3 + self.sqs + self.logs + self.storage

    def __mul__(self, factor: float) -> Cost:
        return Cost(*(getattr(self, each.name) * factor for each in fields(self)))

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


LISTS = 10  # LIST requests to check a block's tiles: one per column, more where numbers gain a digit
GETS = 6  # GET requests of a block: the layer, the job's stop, the pixels
LOGGED = 1300  # bytes of log per block
FREE_STORAGE_GB = 0.5  # temporary storage of a function
BAKE_PUTS = 70  # PUT requests of a part at most: 64 of 8 MB, its facts and its receipt


def cost(demand: Demand, prices: Prices, *, in_s3: bool) -> Cost:
    """The cost of `demand`; tiles in a folder and rendering on this machine cost nothing."""
    queued = demand.messages > 0
    puts = demand.stored + demand.blocks * (1 + (LISTS if demand.checked else 0))
    s3 = puts * prices.s3_million_puts + demand.blocks * GETS * prices.s3_million_gets
    calls = demand.blocks / prices.lambda_batch
    gb_seconds = lambda_seconds(demand, prices) * prices.lambda_gb
    return Cost(
        compute=queued * (gb_seconds * prices.lambda_gb_second + calls * prices.lambda_million_requests / MILLION),
        s3=in_s3 * s3 / MILLION,
        sqs=queued * (demand.blocks / 10 + 2 * calls) * prices.sqs_million_requests / MILLION,
        logs=queued * demand.blocks * LOGGED / 1e9 * prices.logs_gb,
        storage=in_s3 * demand.bytes / 1e9 * prices.s3_gb_month,
    )


def lambda_seconds(demand: Demand, prices: Prices) -> float:
    """Busy seconds, summed over all workers."""
    return demand.seconds / prices.lambda_speed + demand.tiles / 64 * prices.lambda_wait


def bake_second(prices: Prices) -> float:
    """US dollars of a second of the bake function: its memory and its temporary storage."""
    storage = max(0.0, prices.bake_storage_gb - FREE_STORAGE_GB)
    return prices.bake_gb * prices.lambda_gb_second + storage * prices.lambda_storage_gb_second


def wall_seconds(demand: Demand, prices: Prices, workers: int) -> float:
    """Elapsed seconds with up to `workers` workers, as Lambda adds them over time."""
    return ramped(lambda_seconds(demand, prices), prices, workers)


def ramped(busy: float, prices: Prices, workers: int) -> float:
    """Elapsed seconds of so many `busy` ones with up to `workers` workers, as Lambda adds them over time."""
    first, more = min(prices.lambda_first, workers), prices.lambda_more / 60
    if not more:
        return busy / first
    rise = (workers - first) / more  # seconds until all workers run
    risen = (first + workers) / 2 * rise  # worker-seconds until then
    if busy >= risen:
        return rise + (busy - risen) / workers
    return (math.sqrt(first**2 + 2 * more * busy) - first) / more  # solves busy = first * t + more * t^2 / 2
