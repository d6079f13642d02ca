"""The failures of a bake job: parts that failed, and its messages in the dead-letter queue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from seeder.aws.delivery import Delivery
from seeder.jobs.bake_ledger import done_parts, failed_parts, ledger_of, load_end, read_failures
from seeder.jobs.bake_messages import BakeKind, BakeMessage
from seeder.jobs.failures import DEAD, DeadQueue, dead_queue
from seeder.jobs.ledger import load_run
from tiler.errors import MessageError
from tiler.settings import Settings
from tiler.storage.store import Store

ERRORS: dict[BakeKind, str] = {
    "part": DEAD,
    "publish": "dead letter: no worker could publish the layer",
    "renew": "dead letter: no worker could render the stored tiles again",
}


def failures(name: str, sources: Store, settings: Settings) -> dict[str, list[str]]:
    """The failed parts of a bake job by error, as tier/column/row; `publish` and `renew` for its other messages.

    Raises:
        BadCloud, QueueError: its queue cannot be used.
        StoreError: the ledger cannot be read.
    """
    baked = {place for place, _ in done_parts(sources, name)}
    places = [place for place in failed_parts(sources, name) if place not in baked]
    groups: dict[str, list[str]] = {}
    for place, error in read_failures(sources, name, places):
        groups.setdefault(error, []).append("/".join(map(str, place)))
    if load_end(sources, name):
        return groups
    for message in sorted(_dead_letters(name, sources, settings), key=lambda each: each.name):
        if message.place is None or message.place not in baked.union(places):
            groups.setdefault(ERRORS[message.kind], []).append(message.name)
    return groups


def _dead_letters(name: str, sources: Store, settings: Settings) -> set[BakeMessage]:
    run = load_run(sources, ledger_of(name))
    if not run or not run.queue:
        return set()
    with _dead_queue(run.queue, settings) as dead:
        return {message for _, message in _of_job(dead, name)}


def delete_dead_letters(name: str, url: str, settings: Settings) -> None:
    """Delete a job's messages from the dead-letter queue of a queue, once they are sent again.

    Raises:
        BadCloud, QueueError: the queue cannot be used.
    """
    with _dead_queue(url, settings) as dead:
        dead.delete([delivery for delivery, _ in _of_job(dead, name)])


@contextmanager
def _dead_queue(url: str, settings: Settings) -> Iterator[DeadQueue]:
    from seeder.workers.sqs import SqsQueue  # noqa: PLC0415 - boto3 takes a third of a second

    with dead_queue(SqsQueue.open(url, settings.s3.region)) as dead:
        yield dead


def _of_job(dead: DeadQueue, name: str) -> Iterator[tuple[Delivery, BakeMessage]]:
    for delivery in dead.deliveries:
        try:
            message = BakeMessage.decode(delivery.body)
        except MessageError:
            continue
        if message.job == name:
            yield delivery, message
