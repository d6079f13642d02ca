"""The same job put by put, with a heap of events: slow and exact, to hold the flow against. One partition."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from scale_fluid import Run
from scale_world import FOREVER, TILES, World

from seeder.jobs.prices import LISTS

BURST = 1.0  # seconds of the limit that may come at once


@dataclass(slots=True)
class _Block:
    """A block in work: how often its message failed, its tiles that are not stored, and those that were drawn."""

    failures: int = 0
    left: int = TILES
    wanted: int = TILES  # of it, when the block was begun
    drawn: int = 0
    under_way: int = 0
    failed: bool = False
    drawing: bool = False


class Events:
    """A job of `blocks` blocks, played out."""

    def __init__(self, world: World, blocks: int, seed: int) -> None:
        self.world, self.run = world, Run()
        self.random = random.Random(seed)  # noqa: S311 - no secret
        self.now = 0.0
        self.heap: list[tuple[float, int, Callable[[], None]]] = []
        self.number = 0
        self.ready = deque(_Block() for _ in range(blocks))
        self.idle: list[int] = []
        self.tokens, self.filled = world.bucket.puts * BURST, 0.0
        cores = world.machine.cores
        self.cores = [] if cores == FOREVER else [0.0] * round(cores)

    def play(self) -> Run:
        """Until nothing is left."""
        queue = self.world.queue
        for worker in range(queue.concurrency):
            start = max(0.0, (worker + 1 - queue.first) / queue.more) if worker >= queue.first else 0.0
            self.at(start + self.world.worker.cold, self.take)
        while self.heap:
            self.now, _, call = heapq.heappop(self.heap)
            call()
        return self.run

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Call it then."""
        self.number += 1
        heapq.heappush(self.heap, (when, self.number, call))

    def compute(self, seconds: float) -> float:
        """When so much CPU time is over that is asked for now; CPUs serve in the order of asking."""
        if not self.cores:
            return self.now + seconds
        free = heapq.heappop(self.cores)
        ends = max(self.now, free) + seconds
        heapq.heappush(self.cores, ends)
        return ends

    def answered(self) -> float:
        """When a request that is sent now is answered."""
        worker = self.world.worker
        return self.compute(self.world.machine.server) + self.random.lognormvariate(0, worker.spread) * worker.latency

    def take(self) -> None:
        """A worker takes a batch, or waits until there is something."""
        if not self.ready:
            self.idle.append(0)
            return
        batch = [self.ready.popleft() for _ in range(min(self.world.worker.batch, len(self.ready)))]
        self.at(self.now + self.world.worker.between, lambda: self.next_of(batch))

    def next_of(self, batch: list[_Block]) -> None:
        """The worker begins the next block of its batch, after the requests that come first."""
        if not batch:
            self.take()
            return
        block, start, worker = batch.pop(0), self.now, self.world.worker
        self.run.received += 1

        def begin() -> None:
            self.draw(block, lambda: self.end(block, start, batch))

        if block.failures:
            self.run.again += 1
            self.requests(worker.serial + worker.looking - 2, lambda: self.at(self.batch(), begin))
        else:
            self.requests(worker.serial - 1, begin)

    def batch(self) -> float:
        """When all LISTs of a block are answered that are sent now."""
        return max(self.answered() for _ in range(LISTS))

    def requests(self, number: int, then: Callable[[], None]) -> None:
        """So many requests, one after the other."""
        if number <= 0:
            then()
        else:
            self.at(self.answered(), lambda: self.requests(number - 1, then))

    def draw(self, block: _Block, then: Callable[[], None]) -> None:
        """Draw the next tile if a thread is free, or see whether the block is at its end."""
        if block.drawing:
            return
        if block.drawn < block.wanted and not block.failed and block.under_way < self.world.worker.threads:
            block.drawing = True
            block.drawn += 1
            worker = self.world.worker
            share = (1 - worker.reading) / TILES + (worker.reading if block.drawn == 1 else 0.0)
            self.at(self.compute(worker.cpu * share), lambda: self.drawn(block, then))
        elif not block.under_way and (block.failed or block.drawn == block.wanted):
            then()

    def drawn(self, block: _Block, then: Callable[[], None]) -> None:
        """Put a tile, and go on to the next."""
        block.drawing = False
        block.under_way += 1
        self.attempt(block, 0, self.now, 0.0, then)
        self.draw(block, then)

    def attempt(self, block: _Block, number: int, first: float, pause: float, then: Callable[[], None]) -> None:
        """Try a put for the nth time."""
        worker, admitted = self.world.worker, self.admitted()
        self.run.attempts += 1
        ends = self.answered()
        if admitted:
            self.run.puts += 1
            block.left -= 1
            self.at(ends, lambda: self.put(block, then))
            return
        high = max(worker.backoff, 2 * pause)
        pause = min(worker.longest, self.random.uniform(worker.backoff, high)) if number else worker.backoff
        if number == worker.retries or ends - first > worker.patience - worker.longest:
            self.at(ends, lambda: self.put(block, then, fails=True))
        else:
            self.at(ends + pause, lambda: self.attempt(block, number + 1, first, pause, then))

    def admitted(self) -> bool:
        """Whether S3 has room for a request now."""
        limit = self.world.bucket.puts
        if limit == FOREVER:
            return True
        self.tokens = min(limit * BURST, self.tokens + (self.now - self.filled) * limit)
        self.filled = self.now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def put(self, block: _Block, then: Callable[[], None], *, fails: bool = False) -> None:
        """A put has ended."""
        block.under_way -= 1
        block.failed |= fails
        self.draw(block, then)

    def end(self, block: _Block, start: float, batch: list[_Block]) -> None:
        """The block is filled, or comes again, or is dead."""
        if not block.failed:
            self.at(self.answered(), lambda: self.settled(block, start, batch))
            return
        self.settled(block, start, batch)

    def settled(self, block: _Block, start: float, batch: list[_Block]) -> None:
        """Book the block and go on."""
        run, queue = self.run, self.world.queue
        run.busy += self.now - start
        run.seconds = self.now
        if not block.failed:
            run.done += 1
        elif block.failures + 1 == queue.receives:
            run.dead += 1
        else:
            rest = _Block(block.failures + 1, block.left, block.left)
            self.at(self.now + queue.again(rest.failures), lambda: self.came(rest))
        self.next_of(batch)

    def came(self, block: _Block) -> None:
        """A message comes again."""
        self.ready.append(block)
        if self.idle:
            self.idle.pop()
            self.take()


def played(world: World, blocks: int, *, seed: int = 1) -> Run:
    """What a job of so many blocks comes to."""
    return Events(world, blocks, seed).play()
