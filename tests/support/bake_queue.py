"""A bake queue in this process, as unreliable as the real one, and the jobs that it works off."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from seeder.jobs.bake_ledger import BakeJob, digest_of, done_parts, new_id, put_bake
from seeder.jobs.bake_messages import BakeMessage
from seeder.jobs.status import utcnow
from seeder.operations.publish_bake import take_step
from seeder.workers.bake_part import BakeWorker, remaining
from tiler.ingest.bake_plan import BakePlan
from tiler.settings import Settings
from tiler.storage.store import Stores


class Killed(BaseException):
    """The end of a worker in the middle of its work."""


@dataclass
class BakeQueue:
    """Delivers messages in random order, some of them twice, and again if a worker is killed."""

    random: Random
    waiting: list[str] = field(default_factory=list)
    delivered: int = 0

    def send(self, messages: Iterable[BakeMessage], _delay: int = 0) -> None:
        """Send messages; some arrive twice."""
        for message in messages:
            self.waiting += [message.encode()] * self.random.choice([1, 1, 1, 2])

    def work(self, stores: Stores, settings: Settings, *, most: int = 10_000) -> None:
        """Work off all messages, each by a new worker."""
        while self.waiting and self.delivered < most:
            self.delivered += 1
            text = self.waiting.pop(self.random.randrange(len(self.waiting)))
            try:
                take_step(BakeWorker(stores, self.send, 1), settings, BakeMessage.decode(text), last=False)
            except Killed:
                self.waiting.append(text)


def recorded(plan: BakePlan, stores: Stores, queue: BakeQueue) -> BakeJob:
    """Record a bake job, and send its first messages."""
    now, name = utcnow(), plan.draft.id
    job = BakeJob(new_id(name, digest_of(now), now), name, plan.draft.revision, plan.dump(), stores.url, 0.05)
    put_bake(stores.sources, job, plan.dump_scenes())
    done = {place for place, _ in done_parts(stores.sources, job.id)}
    queue.send(remaining(job.id, plan, done))
    return job
