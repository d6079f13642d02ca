"""What the scale model assumes: workers, queue, S3, and the job. Every figure that it rests on stands here."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from seeder.jobs.messages import SIZES
from seeder.jobs.prices import Prices
from seeder.select.morton import places
from tiler.grid import LEAF
from tiler.storage.bucket import LONGEST_WAIT
from tiler.storage.concurrent import THREADS
from tiler.timing import RETRY_DELAYS_SECONDS, WORKER_RETRY_SECONDS

TILES = LEAF * LEAF  # of a block
FOREVER = math.inf
PRICES = Prices()
WHOLE = 1769  # MB of memory that come with one whole CPU
RECEIVES = 5  # of a message before it is a dead letter: deploy/queue.yml

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Worker:
    """How a worker fills a block. Seconds, unless it says otherwise.

    `tile` is CPU time for reading, styling, encoding and sending one tile, of which the share `reading` comes before
    the block's first; `serial` counts a block's requests that wait for one another; `latency` is the median of
    log-normal answers with the sigma `spread`. A refused request is tried again first after `backoff`, then after a
    random time between that and twice the last one; the last time at most `patience` after the first, and at most
    `retries` times. A block that comes again makes `looking` more requests, of which the last is all LISTs at once.
    """

    tile: float = 0.002
    reading: float = 0.2
    memory: int = WHOLE
    latency: float = 0.03
    spread: float = 0.5  # two thirds of all answers come within 18 to 49 ms
    serial: int = 4
    looking: int = 2
    threads: int = THREADS
    retries: int = 1000  # the time ends them
    backoff: float = 0.1
    patience: float = WORKER_RETRY_SECONDS
    cold: float = 2.5  # of a new execution environment
    between: float = 0.05  # of a batch, that Lambda is not at work and that is not billed
    batch: int = int(PRICES.lambda_batch)

    @property
    def cpu(self) -> float:
        """Seconds of CPU a block; less memory than one CPU's takes longer, more does not help one thread."""
        return TILES * self.tile / PRICES.lambda_speed * max(1.0, WHOLE / self.memory)

    @property
    def mean_latency(self) -> float:
        """Of a log-normal."""
        return self.latency * math.exp(self.spread**2 / 2)

    @property
    def longest(self) -> float:
        """Seconds between two tries at most; obstore waits so long once more when its time is over."""
        return min(LONGEST_WAIT, self.patience / 4)


@dataclass(frozen=True)
class Bucket:
    """S3 as AWS describes it, in requests a second of a partition, and in seconds.

    `split` is how long a partition is throttled without a break until it becomes two; AWS does not say.
    `reads` is the limit of the source bucket, where all workers read the same few objects, which cannot be split.
    """

    puts: float = 3500.0
    reads: float = 5500.0
    partitions: int = 1
    split: float = 1800.0


@dataclass(frozen=True)
class Queue:
    """SQS and the event source mapping. `first` workers begin at once, `more` are added a second.

    `shuffled` says that messages come in any order, as a plan that spreads them has it; else along the Z curve, as far
    as workers' splitting leaves it.
    `boxes` are jobs that are sent at the same time, each a strip of columns, whose messages come in turn.
    """

    concurrency: int = 32
    first: float = PRICES.lambda_first
    more: float = PRICES.lambda_more / 60
    shuffled: bool = True
    boxes: int = 1
    delay: float = RETRY_DELAYS_SECONDS[0]
    longest: float = RETRY_DELAYS_SECONDS[-1]
    receives: int = RECEIVES

    def workers(self, second: float) -> float:
        """How many may be at work so many seconds after the first message."""
        return min(float(self.concurrency), self.first + self.more * second)

    def again(self, receive: int) -> float:
        """Seconds until a message that failed for the nth time comes again."""
        return min(self.longest, self.delay * 4.0 ** (receive - 1))


@dataclass(frozen=True)
class Machine:
    """What all workers share when they run on one machine: CPUs, also with the server that stands for S3."""

    cores: float = FOREVER
    server: float = 0.0  # seconds of CPU for each request


@dataclass(frozen=True)
class World:
    """All of it."""

    worker: Worker = field(default_factory=Worker)
    bucket: Bucket = field(default_factory=Bucket)
    queue: Queue = field(default_factory=Queue)
    machine: Machine = field(default_factory=Machine)
    tile_bytes: int = 25_000


@dataclass(frozen=True)
class Job:
    """A square of tiles at `base` zoom and all zooms above it: blocks by zoom, ascending, messages by block size."""

    tiles: int
    zooms: tuple[int, ...]
    blocks: tuple[int, ...]
    messages: dict[int, int]

    @property
    def leaves(self) -> int:
        """Blocks of 8 x 8."""
        return sum(self.blocks)

    @property
    def splits(self) -> dict[int, int]:
        """Messages of larger blocks by size, those that come from splitting included."""
        huge, large = (self.messages.get(size, 0) for size in reversed(SIZES[1:]))
        return {SIZES[2]: huge, SIZES[1]: large + TILES * huge}

    def keys(self, first: float, last: float, number: int, boxes: int = 1) -> Floats:
        """Where in the order of keys the tiles lie of `number` blocks between two places of the plan, 0 to 1.

        With several boxes the plan is that of each box, which is a strip of columns.

        A key is its zoom's place among the zooms' names as text, and as a fraction the column's among the columns.
        """
        at = first + (last - first) * (np.arange(number) + 0.5) / number
        ends = np.cumsum(self.blocks) / self.leaves
        zoom = np.minimum(np.searchsorted(ends, at, side="right"), len(ends) - 1)
        starts = np.concatenate([[0.0], ends[:-1]])[zoom]
        within = np.clip((at - starts) / (ends[zoom] - starts), 0, 1 - 1e-9)
        x, _ = places((within * 4.0**16).astype(np.int64))  # Z-order, as the plan goes
        return self.text_order[zoom] + (np.arange(number) % boxes + x / 2**16) / boxes

    @property
    def text_order(self) -> NDArray[np.int64]:
        """The place of each zoom among the zooms' names, sorted as S3 sorts keys."""
        names = [str(z) for z in self.zooms]
        return np.array([sorted(names).index(name) for name in names])


@cache
def job(tiles: int, base: int = 18) -> Job:
    """A job of about so many tiles: a square layer at zoom `base` from the world's corner, and its parents.

    By arithmetic what the planner finds by dividing squares.
    """
    side = max(1, math.isqrt(round(tiles * 3 / 4)))
    blocks: list[int] = []
    sizes: Counter[int] = Counter()
    total = 0
    for z in range(base, -1, -1):
        inside = {size: (side // size) ** 2 for size in SIZES[1:]}
        every = (-(-side // LEAF)) ** 2
        total += side * side
        blocks.insert(0, every)
        sizes[SIZES[2]] += inside[SIZES[2]]
        sizes[SIZES[1]] += inside[SIZES[1]] - TILES * inside[SIZES[2]]
        sizes[LEAF] += every - TILES * inside[SIZES[1]]
        if side == 1:
            return Job(total, tuple(range(z, base + 1)), tuple(blocks), dict(sizes))
        side = -(-side // 2)
    raise ValueError(f"{tiles} tiles are more than zoom {base} has")
