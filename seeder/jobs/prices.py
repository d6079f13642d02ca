"""What AWS asks for its services, and how fast it is: every figure that an estimate of cost and time rests on."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path

from tiler.errors import BadOption
from tiler.inputs import check_file, whole

MILLION = 1_000_000
LARGEST = 1 << 20  # characters of a file that can be one of prices


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars without taxes and free tiers, and what the workers of the stack are. `--prices FILE` sets others.

    `lambda_wait` is what a block of 64 tiles waits for S3 beside its rendering, measured with 30 ms a request
    (`bench/fanout.py`); `lambda_speed` is the speed of a worker's CPU, one core of this machine being 1.
    """

    as_of: str = "2025-06, us-east-1"
    lambda_gb_second: float = 0.0000133334  # arm64; 0.0000166667 on x86_64
    lambda_million_requests: float = 0.20
    s3_million_puts: float = 5.00  # and as much for LIST
    s3_million_gets: float = 0.40  # and for HEAD
    s3_gb_month: float = 0.023
    sqs_million_requests: float = 0.40
    logs_gb: float = 0.50
    lambda_gb: float = 1769 / 1024  # memory of a worker; 1769 MB is one whole CPU
    lambda_batch: float = 5  # messages that one call of a worker takes
    lambda_wait: float = 0.3  # seconds
    lambda_speed: float = 1.0
    lambda_first: float = 5  # workers that begin at once
    lambda_more: float = 300  # workers that are added a minute

    @classmethod
    def load(cls, path: Path) -> Prices:
        """These prices with what the TOML file at `path` says instead.

        Raises:
            BadOption: it cannot be read, names no price of ours, or what it says is no price.
        """
        try:
            check_file(path)
            with path.open(encoding="utf-8") as file:
                said = tomllib.loads(whole(file, str(path), LARGEST))
        except (OSError, RecursionError, ValueError) as error:
            raise BadOption(f"cannot read prices from {path}: {error}") from error
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(said) - known)
        if unknown:
            raise BadOption(f"{path}: no price is called {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        for name, value in said.items():
            number = type(value) in (int, float) and 0 <= value < float("inf")
            if not (type(value) is str if name == "as_of" else number):
                raise BadOption(f"{path}: {name} = {value!r} is not a price")
            if not value and name in ("lambda_batch", "lambda_speed", "lambda_first"):
                raise BadOption(f"{path}: {name} = 0 means that nothing is ever done")
        return replace(cls(), **said)


@dataclass(frozen=True, slots=True)
class Demand:
    """What is to be paid for: blocks with their tiles, of which so many are stored, in bytes, and seconds of rendering.

    `looked` says that workers look for existing tiles first; `messages` is 0 where no queue is used.
    """

    tiles: float
    blocks: float
    stored: float
    bytes: float
    seconds: float
    messages: int
    looked: bool


@dataclass(frozen=True, slots=True)
class Cost:
    """US dollars, once; `storage` is for a month."""

    compute: float = 0.0
    s3: float = 0.0
    sqs: float = 0.0
    logs: float = 0.0
    storage: float = 0.0

    @property
    def total(self) -> float:
        """All of it, with one month of storage."""
        return self.compute + self.s3 + self.sqs + self.logs + self.storage


LISTS = 10  # that looking for a block's tiles takes: one a column, and more where numbers gain a digit
GETS = 6  # of a block: the layer, whether its job goes on, the pixels
LOGGED = 1300  # bytes that a block adds to the log


def cost(demand: Demand, prices: Prices, *, in_s3: bool) -> Cost:
    """What `demand` costs; tiles in a folder cost nothing, and neither does rendering on this machine."""
    queued = demand.messages > 0
    puts = demand.stored + demand.blocks * (1 + (LISTS if demand.looked else 0))
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
    """Seconds that workers are busy, all together."""
    return demand.seconds / prices.lambda_speed + demand.tiles / 64 * prices.lambda_wait


def wall_seconds(demand: Demand, prices: Prices, workers: int) -> float:
    """How long so many workers take, of which Lambda adds so many a minute."""
    busy = lambda_seconds(demand, prices)
    first, more = min(prices.lambda_first, workers), prices.lambda_more / 60
    if not more:
        return busy / first
    rise = (workers - first) / more
    risen = (first + workers) / 2 * rise  # worker-seconds until all are there
    if busy >= risen:
        return rise + (busy - risen) / workers
    return (math.sqrt(first**2 + 2 * more * busy) - first) / more  # of busy = first * t + more * t^2 / 2
