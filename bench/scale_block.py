"""One block under throttling: how long it takes and whether it fails, when S3 refuses a share of all requests.

Many blocks are played at once in numpy, as `tiler.storage.concurrent` and obstore play them: one thread draws tiles, up
to 16 puts are under way, a refused put waits and is tried again, and after one that failed nothing more is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scale_world import TILES, Floats, Worker

from seeder.jobs.prices import LISTS

SAMPLES = 400
SHARES = np.array([0, 0.02, 0.05, *np.arange(0.1, 0.9, 0.05), 0.9, 0.92, 0.94, 0.96, 0.98, 0.99])
LEFT = (1, 2, 4, 8, 16, 32, TILES)  # tiles for which blocks are played
SEED = 20250601


class Profile(NamedTuple):
    """Means over blocks, one for each of SHARES: the share of refused requests.

    `seconds` a block keeps its worker, failed or not; `attempts` at puts that it makes; `puts` that succeed; `failed`
    is the share of blocks that fail; `tiles` are drawn; `others` are the requests besides its tiles.
    """

    seconds: Floats
    attempts: Floats
    puts: Floats
    failed: Floats
    tiles: Floats
    others: Floats


class Tries(NamedTuple):
    """What puts of each of a block's tiles would go through if they were always refused.

    `ends` are seconds from the first try's begin to each one's answer, `(tries, tiles, samples)`; `allowed` says how
    many tries there are before patience ends, and `luck`, 0 to 1, at which of them S3 has room.
    """

    ends: Floats
    allowed: NDArray[np.int64]
    luck: Floats


def mixed(profiles: Sequence[Profile], weights: Sequence[float]) -> Profile:
    """Blocks of several kinds; the weights need no sum of 1."""
    whole = sum(weights)
    if len(profiles) == 1 or not whole:
        return profiles[0]
    return Profile(*np.tensordot(np.array(weights) / whole, np.array(profiles), 1))


@cache
def profile(worker: Worker, tiles: int = TILES, *, again: bool = False) -> Profile:
    """What blocks of this worker come to of which so many tiles are left; `again` says that they came before."""
    tries = refused(worker)
    with np.errstate(divide="ignore"):
        room = np.floor(np.log(tries.luck) / np.log(SHARES)[:, None, None])  # times that S3 refuses: geometric
    return _played(worker, tries, room[:, :tiles], again=again)


def profile_of(worker: Worker, left: float, *, again: bool) -> Profile:
    """The same for a mean of tiles left, 1 to 64."""
    if left >= TILES:
        return profile(worker, again=again)
    above = max(1, int(np.searchsorted(LEFT, left)))
    low, high = LEFT[above - 1], LEFT[above]
    part = (left - low) / (high - low)
    return mixed([profile(worker, each, again=again) for each in (low, high)], [1 - part, part])


@cache
def refused(worker: Worker) -> Tries:
    """Decorrelated jitter, as obstore has it; it looks at the clock when an answer comes, then waits once more."""
    random = np.random.default_rng(SEED)
    now, pause = np.zeros((TILES, SAMPLES)), np.full((TILES, SAMPLES), worker.backoff)
    allowed, goes_on, ends = np.zeros(now.shape, np.int64), np.ones(now.shape, bool), list[Floats]()
    for number in count():
        now = now + random.lognormal(np.log(worker.latency), worker.spread, now.shape)
        ends.append(now)
        allowed += goes_on
        goes_on &= now <= worker.patience - worker.longest
        if number == worker.retries or not goes_on.any():
            break
        now = now + pause
        pause = worker.backoff + random.random(now.shape) * (2 * pause - worker.backoff)
        pause = np.minimum(pause, worker.longest)
    return Tries(np.array(ends), allowed, 1 - random.random(now.shape))


def _played(worker: Worker, tries: Tries, room: Floats, *, again: bool) -> Profile:
    """Blocks of which each put is refused `room` times, `(shares, tiles, samples)`."""
    number = room.shape[1]
    allowed = tries.allowed[:number]
    succeeds = room < allowed
    made = np.minimum(room + 1, allowed).astype(np.int64)
    lasts = tries.ends[made - 1, np.arange(number)[:, None], np.arange(SAMPLES)]
    cases = len(SHARES), SAMPLES
    free = np.zeros((*cases, worker.threads))
    cpu = worker.cpu * (1 - worker.reading) / TILES
    now = np.full(cases, worker.cpu * worker.reading)
    fault = np.full(cases, np.inf)
    attempts, puts, tiles = np.zeros(cases), np.zeros(cases), np.zeros(cases)
    for tile in range(number):
        thread = free.argmin(axis=2)[..., None]
        idle = np.take_along_axis(free, thread, axis=2)
        now = np.maximum(now, idle[..., 0])
        drawn = now < fault
        now = np.where(drawn, now + cpu, now)
        ends = now + lasts[:, tile]
        np.put_along_axis(free, thread, np.where(drawn, ends, idle[..., 0])[..., None], axis=2)
        attempts += drawn * made[:, tile]
        puts += drawn & succeeds[:, tile]
        tiles += drawn
        fault = np.where(drawn & ~succeeds[:, tile], np.minimum(fault, ends), fault)
    failed = np.isfinite(fault)
    around = worker.serial - failed  # a block that failed leaves no receipt
    seconds = np.maximum(free.max(axis=2), now) + around * worker.mean_latency + worker.between / worker.batch
    if again:
        seconds += (worker.looking - 1) * worker.mean_latency + _slowest(worker)
    others = around + again * (worker.looking - 1 + LISTS)
    return Profile(*(means.mean(axis=1) for means in (seconds, attempts, puts, failed, tiles, others)))


def _slowest(worker: Worker) -> float:
    """Seconds until the last of a block's LISTs is answered, on the mean."""
    random = np.random.default_rng(SEED)
    answers = random.lognormal(np.log(worker.latency), worker.spread, (SAMPLES, LISTS))
    return float(answers.max(axis=1).mean())
