"""A bake queue in this process, as unreliable as the real one, and the jobs that it works off."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from random import Random
from threading import Lock, Thread
from time import sleep
from typing import Any
from unittest.mock import patch

from seeder.bakes.handle import handle
from seeder.jobs.bake_ledger import BakeJob, delete_failures, digest_of, new_id, put_bake
from seeder.jobs.bake_messages import BakeMessage
from seeder.jobs.status import utcnow
from seeder.operations.bake import next_messages, reopened
from seeder.workers.bake_part import BakeWorker
from seeder.workers.lambda_handler import Redeliver
from seeder.workers.turns import MAX_TRIES
from tiler.ingest.bake_plan import BakePlan
from tiler.raster import datasets
from tiler.settings import Settings
from tiler.storage.store import Store, Stores

WRITES = ("put", "put_file", "delete")  # methods of a store that change it


class Killed(BaseException):
    """The end of a worker in the middle of its work."""


@contextmanager
def killed(*at: int) -> Iterator[None]:
    """Kill the worker at some writes to stores, counted from 0: before number n at 2 n, after it at 2 n + 1."""

    def kill(number: int) -> None:
        if number in at:
            raise Killed

    with at_writes(kill):
        yield


@contextmanager
def at_writes(happens: Callable[[int], object]) -> Iterator[None]:
    """Call `happens` around writes to stores, counted from 0: before number n with 2 n, after it with 2 n + 1."""
    numbers = count()

    def disturbed(write: Callable[..., Any]) -> Callable[..., Any]:
        def disturbed_write(*args: Any, **kwargs: Any) -> Any:
            number = 2 * next(numbers)
            happens(number)
            answer = write(*args, **kwargs)
            happens(number + 1)
            return answer

        return disturbed_write

    with patch.multiple(Store, **{name: disturbed(getattr(Store, name)) for name in WRITES}):
        yield


@dataclass
class BakeQueue:
    """Delivers messages in random order, some of them twice, and again if a worker is killed or fails."""

    random: Random = field(default_factory=lambda: Random(0))
    waiting: list[tuple[str, int]] = field(default_factory=list)  # bodies, and their earlier tries
    dead: list[str] = field(default_factory=list)
    fates: list[str] = field(default_factory=list)
    duplicates: bool = True

    def send(self, messages: Iterable[BakeMessage], _delay: int = 0) -> None:
        """Send messages; some arrive twice."""
        for message in messages:
            number = self.random.choice([1, 1, 1, 2]) if self.duplicates else 1
            self.waiting += [(message.encode(), 0)] * number

    def lose(self) -> None:
        """Lose a message."""
        if self.waiting:
            self.waiting.pop(self.random.randrange(len(self.waiting)))

    def work(
        self, stores: Stores, settings: Settings, *, most: int = 10_000, meanwhile: Callable[[int], object] = id
    ) -> None:
        """Work off all messages, each by a new worker; before number n, `meanwhile(n)` happens."""
        for number in range(most):
            meanwhile(number)
            if not self.waiting:
                return
            self._deliver(BakeWorker(stores, self.send, 1), settings, *self._take())

    def work_at_once(self, stores: Stores, settings: Settings, workers: int) -> None:
        """Work off all messages by workers in parallel threads; a killed worker is replaced."""
        lock, busy, faults = Lock(), list[int](), list[BaseException]()

        def loop(number: int) -> None:
            worker = BakeWorker(stores, self.send, 1)
            while not faults:
                with lock:
                    if not self.waiting and not busy:
                        return
                    taken = self._take() if self.waiting else None
                    busy.extend([number] if taken else [])
                if taken is None:
                    sleep(0.002)
                    continue
                try:
                    if not self._deliver(worker, settings, *taken):
                        worker = BakeWorker(stores, self.send, 1)
                except BaseException as fault:  # noqa: BLE001 - raised below, in the test
                    faults.append(fault)
                with lock:
                    busy.remove(number)
            datasets.forget()  # GDAL must close a raster in the thread that opened it

        threads = [Thread(target=loop, args=(number,)) for number in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for fault in faults:
            raise fault

    def _take(self) -> tuple[str, int]:
        return self.waiting.pop(self.random.randrange(len(self.waiting)))

    def _deliver(self, worker: BakeWorker, settings: Settings, body: str, tries: int) -> bool:
        """Deliver a message; return whether the worker lives."""
        try:
            result = handle(worker, settings, body, tries + 1)
        except Killed:
            self.waiting.append((body, tries + 1))
            return False
        if not isinstance(result, Redeliver):
            self.fates.append(result.fate)
        elif tries + 1 < MAX_TRIES or not result.tried:
            self.waiting.append((body, tries + result.tried))
        else:
            self.dead.append(body)
        return True


def recorded(plan: BakePlan, stores: Stores, queue: BakeQueue) -> BakeJob:
    """Record a bake job, and send its first messages."""
    now, name = utcnow(), plan.draft.id
    job = BakeJob(new_id(name, digest_of(now), now), name, plan.draft.revision, plan.dump(), stores.url, 0.05)
    put_bake(stores.sources, job, plan.dump_scenes())
    queue.send(next_messages(job, plan, stores.sources))
    return job


def resumed(job: BakeJob, stores: Stores, queue: BakeQueue) -> None:
    """Go on with a job, as `seeder resume` does.

    Raises:
        BadOption: it is done, or superseded.
    """
    _, plan = reopened(job.id, stores.sources)
    messages = next_messages(job, plan, stores.sources)
    delete_failures(stores.sources, job.id)
    queue.send(messages)
