"""The queue takes every message once and names refused ones; both queues end in one receipt per block."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.sqs.models import SQSBackend

from seeder.aws import clients
from seeder.aws.queue import Depth
from seeder.cache.prepare_job import prepare
from seeder.jobs.ledger import finished, receipts
from seeder.jobs.messages import Message
from seeder.jobs.plan import Plan
from seeder.jobs.queue import Queue
from seeder.select.selection import Selection
from seeder.workers import sqs
from seeder.workers.local_pool import LocalPool
from seeder.workers.sqs import SqsQueue
from tests.support.queues import MakeQueue, emptied, taken, working
from tiler.errors import BadCloud, QueueError
from tiler.grid import Block
from tiler.layers.catalog import load_layer
from tiler.layers.fill import Request
from tiler.layers.render import TileVariant
from tiler.settings import Settings
from tiler.storage import access
from tiler.storage.concurrent import THREADS
from tiler.storage.store import Stores

DEAD = "http://127.0.0.1:9"  # nothing listens there
AHEAD = (THREADS + 1) * sqs.BATCH  # messages consumed before they were sent, at most


def numbered(count: int) -> list[Message]:
    return [
        Message("nightly", "relief", "9f2c", Request(Block(14, 8 * number, 0), 1, TileVariant()))
        for number in range(count)
    ]


@dataclass
class Wire:
    """The batches sent to the server, as bodies. `refuses` decides which entries the server refuses."""

    batches: list[list[str]] = field(default_factory=list)
    refuses: Callable[[str], bool] = lambda _: False
    together: int = 1  # parallel requests before the first is answered
    under_way: int = 0
    most: int = 0  # parallel requests seen
    waits: list[float] = field(default_factory=list)  # seconds before retries; no real waits
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def bodies(self) -> list[str]:
        """The bodies received, with repeats of refused ones."""
        return [body for batch in self.batches for body in batch]

    def hear(self, bodies: list[str]) -> None:
        """Record a batch."""
        with self.changed:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.most >= self.together, timeout=120)
            self.under_way -= 1
            self.batches.append(bodies)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Record the requests to the server; it may refuse entries within a 200 response."""
    seen, send = Wire(), SQSBackend.send_message_batch
    monkeypatch.setattr(sqs, "_RETRYING", sqs._RETRYING.copy(sleep=seen.waits.append))

    def add_receipt(self: SQSBackend, queue: str, entries: dict[str, dict[str, Any]]) -> tuple[list[Any], list[Any]]:
        seen.hear([entry["MessageBody"] for entry in entries.values()])
        refused = {name for name, entry in entries.items() if seen.refuses(entry["MessageBody"])}
        left = {name: entry for name, entry in entries.items() if name not in refused}
        sent, failed = send(self, queue, left) if left else ([], [])
        said = {"SenderFault": False, "Code": "InternalError", "Message": "try again"}
        return sent, [*failed, *({"Id": entries[name]["Id"], **said} for name in sorted(refused))]

    monkeypatch.setattr(SQSBackend, "send_message_batch", add_receipt)
    return seen


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients with few retries."""
    monkeypatch.setattr(
        clients, "CONFIG", clients.CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 2}))
    )


@pytest.mark.parametrize("count", [1, 10, 137])
def test_every_message_arrives_once_in_batches_of_ten(make_queue: MakeQueue, wire: Wire, count: int) -> None:
    queue, sent = make_queue(), numbered(count)
    assert queue.send(iter(sent)) == count
    assert sorted(map(len, wire.batches), reverse=True) == [10] * (count // 10) + [count % 10] * bool(count % 10)
    assert Counter(taken(queue)) == Counter(sent)


def test_without_messages_nothing_is_asked_of_the_queue(make_queue: MakeQueue, wire: Wire) -> None:
    assert make_queue().send([]) == 0
    assert wire.batches == []


def test_messages_are_drawn_no_further_ahead_than_requests_are_under_way(make_queue: MakeQueue, wire: Wire) -> None:
    ahead, wire.together = [], THREADS

    def drawn() -> Iterator[Message]:
        for number, message in enumerate(numbered(40 * sqs.BATCH)):
            ahead.append(number - len(wire.bodies))
            yield message

    make_queue().send(drawn())
    assert 0 < max(ahead) <= AHEAD
    assert wire.most == THREADS


def test_entries_that_are_refused_are_sent_again_and_only_those(make_queue: MakeQueue, wire: Wire) -> None:
    queue, sent = make_queue(), numbered(35)
    unlucky = {message.encode() for message in sent[::4]}
    wire.refuses = lambda body: body in unlucky and wire.bodies.count(body) <= 2
    assert queue.send(sent) == len(sent)
    assert Counter(taken(queue)) == Counter(sent)
    assert Counter(wire.bodies) == Counter(
        {message.encode(): 3 if message.encode() in unlucky else 1 for message in sent}
    )


def test_blocks_that_are_refused_for_ever_are_reported_by_name(make_queue: MakeQueue, wire: Wire) -> None:
    queue, sent = make_queue(), numbered(10)
    unlucky = {message.encode() for message in sent[:3]}
    wire.refuses = unlucky.__contains__
    with pytest.raises(
        QueueError, match=r"refused 3 messages \(InternalError: try again\): 14-0-0, 14-8-0, 14-16-0"
    ) as failure:
        queue.send(sent)
    assert failure.value.refused == ("14-0-0", "14-8-0", "14-16-0")
    assert Counter(taken(queue)) == Counter(sent[3:])
    assert all(wire.bodies.count(body) == sqs.ATTEMPTS for body in unlucky)


def test_all_blocks_that_are_refused_are_named_whichever_batch_they_were_in(make_queue: MakeQueue, wire: Wire) -> None:
    sent = numbered(3 * sqs.BATCH)
    unlucky = {message.encode(): str(message.request.block) for message in sent[5:25]}
    wire.refuses = unlucky.__contains__
    with pytest.raises(QueueError) as failure:
        make_queue().send(sent)
    assert sorted(failure.value.refused) == sorted(unlucky.values())


def test_nothing_more_is_drawn_after_a_refusal(make_queue: MakeQueue, wire: Wire) -> None:
    drawn = []
    wire.refuses = lambda _: True

    def endless() -> Iterator[Message]:
        for message in numbered(2**10):
            drawn.append(message)
            yield message

    with pytest.raises(QueueError):
        make_queue().send(endless())
    assert len(drawn) <= 2 * AHEAD


def test_refused_entries_wait_longer_and_longer(make_queue: MakeQueue, wire: Wire) -> None:
    wire.refuses = lambda _: True
    with pytest.raises(QueueError):
        make_queue().send(numbered(1))
    assert len(wire.waits) == sqs.ATTEMPTS - 1
    assert any(wire.waits)
    assert all(wait <= 0.2 * 2**number for number, wait in enumerate(wire.waits))


def test_a_queue_that_does_not_exist_is_bad_input(make_queue: MakeQueue) -> None:
    queue = make_queue()
    wrong = SqsQueue.open(f"{queue.url}-nowhere", "")
    for ask in (lambda: wrong.send(numbered(1)), lambda: wrong.receive(1, wait=0), wrong.depth):
        with pytest.raises(BadCloud, match="queue does not exist") as failure:
            ask()
        assert wrong.url in str(failure.value)


@pytest.fixture
def no_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user without any configuration."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    access.session.cache_clear()


@pytest.mark.usefixtures("no_profile")
def test_without_credentials_the_error_names_the_cure(cloud: str) -> None:
    queue = SqsQueue.open(f"{cloud}/123456789012/blocks", "us-east-1")
    with pytest.raises(BadCloud, match=r"credentials.*set AWS_REGION and AWS_PROFILE, or AWS_ACCESS_KEY_ID"):
        queue.send(numbered(1))


@pytest.mark.usefixtures("no_profile")
def test_without_a_region_the_error_names_the_cure(cloud: str) -> None:
    with pytest.raises(BadCloud, match=r"region.*set AWS_REGION"):
        SqsQueue.open(f"{cloud}/123456789012/blocks", "")


@pytest.mark.usefixtures("hasty")
def test_an_endpoint_that_is_gone_is_a_failure_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", DEAD)
    queue = SqsQueue.open(f"{DEAD}/123456789012/blocks", "")
    for ask in (lambda: queue.send(numbered(1)), lambda: queue.receive(1, wait=0), queue.depth):
        with pytest.raises(QueueError, match=re.escape(DEAD)):
            ask()


@pytest.mark.usefixtures("hasty")
def test_a_server_that_fails_is_asked_again_and_then_reported(
    make_queue: MakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, asked = make_queue(), []

    def fail(*_: object) -> None:
        asked.append(1)
        raise RuntimeError("on fire")

    monkeypatch.setattr(SQSBackend, "get_queue_attributes", fail)
    with pytest.raises(QueueError, match="cannot read the attributes of"):
        queue.depth()
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("AccessDenied", BadCloud),
        ("InvalidClientTokenId", BadCloud),
        ("SignatureDoesNotMatch", BadCloud),
        ("ExpiredToken", BadCloud),
        ("QueueDoesNotExist", BadCloud),
        ("ThrottlingException", QueueError),
        ("ServiceUnavailable", QueueError),
        ("InternalFailure", QueueError),
    ],
)
def test_what_no_retry_mends_is_bad_input_and_the_rest_a_failure(code: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=rf"cannot send: said the server \({code}\)"), clients.translated("send"):
        raise ClientError({"Error": {"Code": code, "Message": "said the server"}}, "SendMessageBatch")


def test_a_message_that_was_hidden_comes_again_when_it_is_told_to(make_queue: MakeQueue) -> None:
    queue = make_queue(visibility=60)
    queue.send(numbered(1))
    (first,) = queue.receive(10, wait=0)
    assert queue.receive(10, wait=0) == []
    queue.hide(first.handle, 0)
    (second,) = queue.receive(10, wait=0)
    assert (first.id, first.body, first.tries) == (second.id, second.body, 1)
    assert second.tries == 2
    queue.delete(second)
    assert queue.depth() == Depth(0, 0, 0)


def test_the_depth_tells_what_waits_what_is_hidden_and_what_is_dead(make_queue: MakeQueue) -> None:
    queue = make_queue(visibility=60, receives=1)
    queue.send(numbered(6))
    assert queue.depth() == Depth(waiting=6, hidden=0, dead=0)
    for delivery in queue.receive(2, wait=0):
        queue.hide(delivery.handle, 0)
    queue.receive(10, wait=0)  # four; the two redelivered ones are dead
    assert queue.depth() == Depth(waiting=0, hidden=4, dead=2)
    assert queue.depth()
    assert not Depth(waiting=0, hidden=0, dead=2)


def test_a_queue_without_dead_letters_has_none(cloud: str) -> None:
    url = boto3.client("sqs", endpoint_url=cloud).create_queue(QueueName="plain")["QueueUrl"]
    queue = SqsQueue.open(url, "")
    assert queue.dead_letters(queue.attributes()) == ""
    assert queue.depth() == Depth(0, 0, 0)


# --- The protocol, over both queues


@dataclass(frozen=True)
class Carrier:
    """A queue with its workers. `carry` sends messages and returns their number after they were processed."""

    queue: Queue
    carry: Callable[[Iterable[Message]], int]


@pytest.fixture(params=["local", "sqs"])
def carrier(request: pytest.FixtureRequest, alps_copy: Path) -> Carrier:
    """Each kind of queue, its workers on the layer `alps`."""
    settings = Settings.from_env({}, data=str(alps_copy))
    if request.param == "local":
        pool = LocalPool(settings, 1, lambda _: None)
        return Carrier(pool, pool.send)
    queue = request.getfixturevalue("make_queue")()

    def carry(blocks: Iterable[Message]) -> int:
        with working(queue, settings):
            sent: int = queue.send(blocks)
            emptied(queue)
        return sent

    return Carrier(queue, carry)


@pytest.fixture
def stores_of_alps(alps_copy: Path) -> Stores:
    return Stores.open(Settings.from_env({}, data=str(alps_copy)))


def planned(stores: Stores) -> Plan:
    layer = load_layer(stores.sources, "alps")
    return prepare(layer, Selection((5, 6, 7)), TileVariant(), force=False, stores=stores)


def test_every_block_that_is_sent_gets_one_receipt(carrier: Carrier, stores_of_alps: Stores) -> None:
    plan = planned(stores_of_alps)
    sent = list(plan.messages(carrier.queue.sizes))
    assert carrier.carry(iter(sent)) == len(sent)
    found = list(receipts(stores_of_alps.sources, plan.job.id))
    assert Counter(receipt.block for receipt in found) == Counter(message.request.block for message in sent)
    assert {receipt.block: receipt.outcome.written for receipt in found} == {
        message.request.block: message.request.tiles for message in sent
    }
    assert list(finished(stores_of_alps.sources, plan.job.id, "failed")) == []


def test_a_block_that_is_sent_twice_still_has_one_receipt(carrier: Carrier, stores_of_alps: Stores) -> None:
    plan = planned(stores_of_alps)
    sent = list(plan.messages(carrier.queue.sizes))
    assert carrier.carry([*sent, *sent]) == 2 * len(sent)
    found = list(receipts(stores_of_alps.sources, plan.job.id))
    assert Counter(receipt.block for receipt in found) == Counter(message.request.block for message in sent)
    for receipt in found:
        assert receipt.outcome.written | receipt.outcome.skipped


def test_a_large_block_is_worked_off_in_parts(make_queue: MakeQueue, alps_copy: Path, stores_of_alps: Stores) -> None:
    plan, queue = planned(stores_of_alps), make_queue()
    large = Block(7, 64, 32, 32)
    message = Message(plan.job.id, "alps", plan.layer.revision, Request(large, 0, TileVariant()))
    with working(queue, Settings.from_env({}, data=str(alps_copy))):
        queue.send([message])
        emptied(queue)
    assert Counter(finished(stores_of_alps.sources, plan.job.id)) == Counter(large.parts())
