"""A job as a flow: blocks, workers and partitions by numpy, a second at a time and longer where nothing changes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scale_block import SHARES, Profile, mixed, profile_of
from scale_world import FOREVER, TILES, Floats, Job, World

from seeder.jobs.messages import SIZES
from seeder.jobs.prices import GETS

SAMPLES = 256  # blocks that stand for those that are in work at one time
HALVINGS = 26  # of the span in which the rate is looked for
LITTLE = 0.5  # of a block, that is nothing
THROTTLED = 0.005  # share of refused requests from which S3 takes note
LEAN = 1e-3  # by which a block asks for more puts the fewer are refused, so that each rate belongs to one share
SPLIT_REQUESTS = 7  # to SQS for the 64 messages of a split block, all at once
STEPS = 400  # of a job, besides the first minutes
LONGEST = 300.0  # seconds of a step
START = 600.0  # seconds that are simulated second by second at most


@dataclass
class Trace:
    """Each step: when it began, its length, workers, puts a second that were admitted, partitions, receives so far."""

    at: list[float] = field(default_factory=list)
    length: list[float] = field(default_factory=list)
    workers: list[float] = field(default_factory=list)
    puts: list[float] = field(default_factory=list)
    partitions: list[int] = field(default_factory=list)


@dataclass
class Run:
    """What a job came to: blocks that are done and dead, and what was spent on them."""

    seconds: float = 0.0
    busy: float = 0.0  # seconds of workers
    done: float = 0.0
    dead: float = 0.0
    received: float = 0.0  # blocks, each time that one came
    splits: float = 0.0
    again: float = 0.0  # deliveries after the first
    attempts: float = 0.0  # at puts of tiles
    puts: float = 0.0
    partitions: int = 1
    trace: Trace = field(default_factory=Trace)

    @property
    def throttled(self) -> float:
        """Share of the attempts that S3 refused."""
        return 1 - self.puts / self.attempts if self.attempts else 0.0


@dataclass(frozen=True)
class Flow:
    """Blocks a second, and what becomes of them at each partition, of which `shares` are the blocks' shares."""

    rate: float
    shares: Floats
    refused: Floats

    def mean(self, values: Floats) -> float:
        """Of a profile's values over the blocks."""
        return float(self.shares @ np.interp(self.refused, SHARES, values))


class Partitions:
    """The key ranges of the tile bucket, and how long each was throttled."""

    def __init__(self, job: Job, number: int) -> None:
        keys = np.sort(job.keys(0, 1, 4096))
        self.bounds = keys[np.arange(1, number) * len(keys) // number]
        self.since = np.zeros(number)

    def __len__(self) -> int:
        return len(self.since)

    def shares(self, keys: Floats) -> Floats:
        """Of the keys, in each partition."""
        number = np.bincount(np.searchsorted(self.bounds, keys, side="right"), minlength=len(self))
        return np.asarray(number / len(keys), np.float64)

    def pass_time(self, flow: Flow, keys: Floats, seconds: float, limit: float) -> None:
        """Divide what was throttled for `limit` seconds at the median of its keys."""
        self.since = np.where(flow.refused > THROTTLED, self.since + seconds, 0.0)
        ripe = np.flatnonzero(self.since >= limit)
        if not len(ripe):
            return
        place = np.searchsorted(self.bounds, keys, side="right")
        for number in ripe[::-1]:
            here = np.sort(keys[place == number])
            middle = here[len(here) // 2]
            self.since[number] = 0.0
            if here[0] < middle:  # one column's keys are not divided
                self.bounds = np.insert(self.bounds, number, middle)
                self.since = np.insert(self.since, number, 0.0)


def flow(world: World, known: Profile, workers: float, shares: Floats) -> Flow:
    """The rate at which so many workers take blocks: as high as their time, S3's limits and the CPUs allow."""
    limit = world.bucket.puts
    puts = known.puts * (1 + LEAN * (1 - SHARES))
    reading = world.worker.reading
    cpu = world.worker.cpu * (reading + (1 - reading) * known.tiles / TILES)
    cpu += (known.attempts + known.others) * world.machine.server

    def refused(rate: float) -> Floats:
        """The share that each partition refuses, so that no more than its limit comes through."""
        asked = rate * shares
        most = np.divide(limit, asked, out=np.full(len(shares), np.inf), where=asked > 0)
        return np.asarray(np.interp(-most, -puts, SHARES), np.float64)

    def load(rate: float) -> float:
        """What is used of the workers' time, infinite where the CPUs do not suffice."""
        share = refused(rate)
        busy = float(shares @ np.interp(share, SHARES, known.seconds))
        used = float(shares @ np.interp(share, SHARES, cpu))
        return rate * (busy + used * _waiting(rate * used, world.machine.cores)) / workers

    low, high = 0.0, min(workers / known.seconds[0], world.bucket.reads / GETS)
    if load(high) <= 1 + 1e-9:
        return Flow(high, shares, refused(high))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if load(middle) <= 1 else (low, middle)
    return Flow(low, shares, refused(low))


def _waiting(used: float, cores: float) -> float:
    """How long work waits for a CPU, in terms of its own length (Sakasegawa 1977, as random as Poisson's)."""
    if cores == FOREVER:
        return 0.0
    share = used / cores
    return share ** (math.sqrt(2 * (cores + 1)) - 1) / (cores * (1 - share)) if share < 1 else FOREVER


class Simulation:
    """A job under way."""

    def __init__(self, world: World, job: Job) -> None:
        self.world, self.job = world, job
        self.partitions = Partitions(job, world.bucket.partitions)
        self.run = Run()
        self.ready = np.zeros(world.queue.receives)  # blocks by how often they failed
        self.ready[0] = job.leaves
        self.tiles = self.ready * TILES  # of them, that are not stored
        self.later: list[tuple[float, int, float, float]] = []  # when, how often they failed by then, blocks, tiles
        self.splits: dict[int, float] = {**job.splits}
        self.began = 0.0  # workers that are there
        self.rate = self.last = 0.0  # blocks a second, and seconds a block, by the last step

    def play(self) -> Run:
        """Until nothing is left."""
        run = self.run
        while self._left() >= LITTLE:
            self._due()
            if self.ready.sum() < LITTLE and self.later and not any(self.splits.values()):
                run.seconds = max(run.seconds, min(when for when, *_ in self.later))
                continue
            self._step()
        run.done += self._left()
        run.seconds += self.last  # the last blocks that were begun are filled
        run.partitions = len(self.partitions)
        return run

    def _left(self) -> float:
        """Blocks that are neither done nor dead."""
        return float(self.ready.sum()) + sum(blocks for _, _, blocks, _ in self.later)

    def _due(self) -> None:
        """Messages whose time has come."""
        for when, failures, blocks, tiles in self.later:
            if when <= self.run.seconds:
                self.ready[failures] += blocks
                self.tiles[failures] += tiles
        self.later = [each for each in self.later if each[0] > self.run.seconds]

    def _step(self) -> None:
        run, queue, worker = self.run, self.world.queue, self.world.worker
        workers = queue.workers(run.seconds)
        length = self._length(workers)
        workers = min(queue.workers(run.seconds + length / 2), max(1.0, self.ready.sum() + sum(self.splits.values())))
        fresh, self.began = max(0.0, workers - self.began), max(workers, self.began)
        run.busy += fresh * worker.cold
        time = max(0.0, workers * length - fresh * worker.cold)
        time -= self._split(time)
        keys = self._keys(workers)
        kinds = self._kinds()
        known = mixed([*kinds.values()], [self.ready[each] for each in kinds])
        now = flow(self.world, known, workers, self.partitions.shares(keys))
        self.rate, self.last = now.rate, now.mean(known.seconds)
        taken = min(now.rate * time / workers, float(self.ready.sum()))
        self._take(now, known, taken)
        self._fill(now, kinds, taken, length)
        if taken >= float(self.ready.sum()) and now.rate and time:
            length -= time / workers - taken / now.rate  # the rest of the step nobody has work
        self._note(workers, length, taken * now.mean(known.puts))
        self.partitions.pass_time(now, keys, length, self.world.bucket.split)
        run.seconds += length

    def _length(self, workers: float) -> float:
        """Seconds of the next step: one while workers are added, then more, as the job is long."""
        run = self.run
        if workers < self.world.queue.concurrency and run.seconds < START:
            return 1.0
        whole = self.job.leaves / self.rate if self.rate else 0.0
        return max(1.0, min(whole / STEPS, LONGEST, run.seconds / 10))

    def _split(self, time: float) -> float:
        """Split large blocks, the largest first, in so many seconds of workers; returns those that it took."""
        worker, left = self.world.worker, time
        each = 3 * worker.mean_latency + worker.between / worker.batch + 2 * SPLIT_REQUESTS * 1e-3
        for size in reversed(SIZES[1:]):
            some = min(self.splits[size], left / each)
            self.splits[size] = self.splits[size] - some if self.splits[size] - some > 1e-6 else 0
            left -= some * each
            self.run.splits += some
        self.run.busy += time - left
        return time - left

    def _keys(self, workers: float) -> Floats:
        """Where the tiles lie that are put now.

        Workers split blocks of 64 x 64 at the same time and send the parts in turn, so that parts of as many of them
        as are in work lie mixed in the queue.
        """
        if self.world.queue.shuffled:
            return self.job.keys(0, 1, SAMPLES)
        first = min(1.0, (self.run.done + self.run.dead) / self.job.leaves)
        last = min(1.0, first + workers * self.world.worker.batch * TILES / self.job.leaves)
        return self.job.keys(max(0.0, min(first, last - 1e-6)), last, SAMPLES, self.world.queue.boxes)

    def _kinds(self) -> dict[int, Profile]:
        """Of the blocks that came never, once, twice before, where there are such: what is left of them is filled."""
        left = {times: self.tiles[times] / blocks for times, blocks in enumerate(self.ready) if blocks > 0}
        worker = self.world.worker
        return {times: profile_of(worker, mean, again=times > 0) for times, mean in (left or {0: TILES}).items()}

    def _take(self, now: Flow, known: Profile, taken: float) -> None:
        """Book so many blocks."""
        run, worker = self.run, self.world.worker
        run.received += taken
        run.busy += taken * (now.mean(known.seconds) - worker.between / worker.batch)
        run.attempts += taken * now.mean(known.attempts)
        run.puts += taken * now.mean(known.puts)

    def _fill(self, now: Flow, kinds: dict[int, Profile], taken: float, length: float) -> None:
        """Take blocks in equal shares of those that came never, once, twice before, and see what becomes of them."""
        run, queue = self.run, self.world.queue
        share = taken / self.ready.sum() if self.ready.any() else 0.0
        some, tiles = self.ready * share, self.tiles * share
        self.ready, self.tiles = self.ready - some, self.tiles - tiles
        run.again += some[1:].sum()
        for failures, known in kinds.items():
            failed = some[failures] * now.mean(known.failed)
            run.done += some[failures] - failed
            if failures + 1 == queue.receives:
                run.dead += failed
            elif failed:
                left = tiles[failures] - some[failures] * now.mean(known.puts)
                left = min(max(left, failed), failed * TILES)  # but for rounding it is
                when = run.seconds + self.last + queue.again(failures + 1)
                when = -(-when // length) * length  # few dates are enough
                self.later.append((when, failures + 1, failed, left))

    def _note(self, workers: float, length: float, puts: float) -> None:
        trace = self.run.trace
        trace.at.append(self.run.seconds)
        trace.length.append(length)
        trace.workers.append(workers)
        trace.puts.append(puts / length if length > 1e-9 else 0.0)
        trace.partitions.append(len(self.partitions))


def simulate(world: World, job: Job) -> Run:
    """What `job` comes to."""
    return Simulation(world, job).play()
