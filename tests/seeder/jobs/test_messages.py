"""Messages and receipts survive encoding, and the remaining work follows from the ledger."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given

from seeder.jobs.ledger import load_job, put_job, put_plan, put_receipt, receipts, unfinished
from seeder.jobs.messages import Job, Message, Receipt, Spec
from seeder.select.blocks import BlockMask, Count
from seeder.select.selection import Selection
from tests.support.job_strategies import jobs, messages, outcomes, specs
from tests.support.strategies import blocks
from tiler.errors import MessageError, MissingObject
from tiler.grid import Block, Bounds
from tiler.layers.fill import Outcome, Request
from tiler.layers.render import TileVariant
from tiler.storage.store import Store, open_store

SPEC = Spec("relief", "9f2c", Selection((5, 6), (Bounds(5.5, 45, 9, 48),)), TileVariant())
NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
JOB = Job.new(SPEC, NOON)
MESSAGE = Message("nightly", "relief", "9f2c", Request(Block(14, 8192, 5416), 2**64 - 1, TileVariant()))
RECEIPT = Receipt(Block(14, 8192, 5416), Outcome(written=5, empty=2, bytes=900, milliseconds=12))
DESIGN = (
    '{"v":1,"job":"nightly","layer":"relief","revision":"9f2c","z":14,"x":8192,"y":5416,"size":8,'
    '"tiles":"ffffffffffffffff","scale":1,"format":"png","force":false}'
)
FIELDS = sorted(json.loads(DESIGN))
JUNK = ("", "{", "null", "5", '"text"', "[]", "[1]", "{}", '{"v":1}', "\ud800", "1" * 5000)


def edited(text: str | bytes, **changes: object) -> str:
    return json.dumps({**json.loads(text), **changes})


@given(messages())
def test_a_message_survives_the_queue(message: Message) -> None:
    assert Message.decode(message.encode()) == message


@given(messages())
def test_a_message_has_the_fields_of_the_design_in_its_order(message: Message) -> None:
    said = json.loads(message.encode())
    example = json.loads(DESIGN)
    assert list(said) == list(example)
    assert [type(value) for value in said.values()] == [type(value) for value in example.values()]


def test_the_message_of_the_design_is_written_to_the_letter() -> None:
    assert MESSAGE.encode() == DESIGN


@given(jobs(), messages())
def test_a_jobs_message_says_all_that_its_spec_does(job: Job, other: Message) -> None:
    block, mask = other.request.block, other.request.tiles
    message = job.message(BlockMask(block, mask))
    spec = job.spec
    assert (message.job, message.layer, message.revision) == (job.id, spec.layer, spec.revision)
    assert message.request == Request(block, mask, spec.variant, spec.force)


@pytest.mark.parametrize("junk", JUNK)
def test_junk_is_no_message(junk: str) -> None:
    with pytest.raises(MessageError):
        Message.decode(junk)


@pytest.mark.parametrize("junk", JUNK)
def test_junk_is_no_receipt(junk: str) -> None:
    with pytest.raises(MessageError):
        Receipt.decode("14-8192-5416", junk.encode(errors="surrogatepass"))


@pytest.mark.parametrize("junk", JUNK)
def test_junk_is_no_job(junk: str) -> None:
    store = open_store(f"memory://{uuid4().hex}")
    store.put("jobs/j/job.json", junk.encode(errors="surrogatepass"), content_type="application/json")
    with pytest.raises(MessageError):
        load_job(store, "j")


@pytest.mark.parametrize("version", [0, 2, "1", None, 1.5, [1]])
def test_other_versions_are_refused(version: object) -> None:
    with pytest.raises(MessageError):
        Message.decode(edited(DESIGN, v=version))
    with pytest.raises(MessageError):
        Receipt.decode("14-8192-5416", edited(RECEIPT.encode(), v=version).encode())


@pytest.mark.parametrize("field", FIELDS)
def test_a_message_without_a_field_is_refused(field: str) -> None:
    said = json.loads(DESIGN)
    del said[field]
    with pytest.raises(MessageError):
        Message.decode(json.dumps(said))


@pytest.mark.parametrize("field", FIELDS)
def test_a_message_with_a_field_of_another_type_is_refused(field: str) -> None:
    values: tuple[object, ...] = (None, [], {}, 0.0)
    for value in values:
        with pytest.raises(MessageError):
            Message.decode(edited(DESIGN, **{field: value}))


@pytest.mark.parametrize(
    "changes",
    [
        {"z": 99},
        {"z": -1},
        {"x": 8193},
        {"x": -8},
        {"x": 1 << 14},
        {"size": 4},
        {"size": 12},
        {"tiles": "x"},
        {"tiles": ""},
        {"tiles": "-1"},
        {"tiles": "1ffffffffffffffff"},
        {"z": 1, "x": 0, "y": 0, "tiles": "4"},
        {"scale": 3},
        {"scale": 0},
        {"format": "bmp"},
        {"force": "no"},
        {"force": 0},
    ],
    ids=str,
)
def test_a_message_that_asks_the_impossible_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(MessageError):
        Message.decode(edited(DESIGN, **changes))


@given(blocks(), outcomes())
def test_a_receipt_survives_its_key_and_body(block: Block, outcome: Outcome) -> None:
    receipt = Receipt(block, outcome)
    assert Receipt.decode(str(block), receipt.encode()) == receipt


@pytest.mark.parametrize("name", ["", "x", "14-8192", "14-8193-5416", "99-0-0", "14-8192-5416-12", "14-8192-5416-8-8"])
def test_a_receipt_under_a_key_that_is_no_block_is_refused(name: str) -> None:
    with pytest.raises(MessageError):
        Receipt.decode(name, RECEIPT.encode())


@pytest.mark.parametrize(
    "field", sorted(json.loads(RECEIPT.encode()).keys() & {"v", "written", "empty", "skipped", "failed"})
)
def test_a_receipt_without_a_field_is_refused(field: str) -> None:
    said = json.loads(RECEIPT.encode())
    del said[field]
    with pytest.raises(MessageError):
        Receipt.decode("14-8192-5416", json.dumps(said).encode())


def test_receipts_come_back_once_each_however_often_they_are_put(store: Store) -> None:
    put = {Block(5, x, y): Receipt(Block(5, x, y), Outcome(written=x, bytes=y)) for x in (0, 8, 16) for y in (0, 24)}
    for receipt in [*put.values(), *put.values()]:
        put_receipt(store, JOB.id, receipt)
    found = list(receipts(store, JOB.id))
    assert {receipt.block: receipt for receipt in found} == put
    assert len(found) == len(put)


def test_a_job_sees_only_its_own_receipts(store: Store) -> None:
    put_receipt(store, JOB.id, RECEIPT)
    assert list(receipts(store, JOB.id)) == [RECEIPT]
    assert list(receipts(store, f"{JOB.id}0")) == []
    assert list(receipts(store, JOB.id[:-1])) == []


def test_a_failed_block_is_done_only_after_a_later_success(store: Store) -> None:
    failed = replace(RECEIPT, outcome=Outcome(written=1, failed=6, error="cannot read"))
    put_receipt(store, JOB.id, failed)
    assert list(receipts(store, JOB.id)) == []
    assert store.has(f"jobs/{JOB.id}/failed/14-8192-5416")
    put_receipt(store, JOB.id, RECEIPT)
    assert list(receipts(store, JOB.id)) == [RECEIPT]


def planned(store: Store, job: Job, blocks: int) -> None:
    put_job(store, job)
    put_plan(store, job.id, {5: Count(7, 1), 6: Count(70, blocks - 1)})


def finish(store: Store, job: Job, blocks: int) -> None:
    for x in range(blocks):
        put_receipt(store, job.id, Receipt(Block(6, 8 * x, 0), Outcome(written=1)))


def test_without_jobs_nothing_is_unfinished(store: Store) -> None:
    assert unfinished(store, SPEC) is None


def test_a_job_without_a_complete_plan_is_unfinished(store: Store) -> None:
    put_job(store, JOB)
    finish(store, JOB, 3)
    assert unfinished(store, SPEC) == JOB


def test_a_job_is_unfinished_until_every_block_is_done(store: Store) -> None:
    planned(store, JOB, 3)
    assert unfinished(store, SPEC) == JOB
    finish(store, JOB, 2)
    assert unfinished(store, SPEC) == JOB
    put_receipt(store, JOB.id, Receipt(Block(6, 16, 0), Outcome(failed=1)))
    assert unfinished(store, SPEC) == JOB
    finish(store, JOB, 3)
    assert unfinished(store, SPEC) is None


def test_the_latest_job_of_a_spec_is_the_one_that_counts(store: Store) -> None:
    later = Job.new(SPEC, NOON.replace(hour=13))
    planned(store, JOB, 3)
    planned(store, later, 3)
    assert unfinished(store, SPEC) == later
    finish(store, later, 3)
    assert unfinished(store, SPEC) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: replace(spec, revision="0000"),
        lambda spec: replace(spec, layer="relief-2"),
        lambda spec: replace(spec, force=True),
        lambda spec: replace(spec, variant=TileVariant(scale=2)),
        lambda spec: replace(spec, variant=TileVariant(format="webp")),
        lambda spec: replace(spec, selection=replace(spec.selection, zooms=(5, 7))),
        lambda spec: replace(spec, selection=replace(spec.selection, boxes=())),
    ],
)
def test_the_job_of_another_spec_is_not_resumed(change: Callable[[Spec], Spec]) -> None:
    store = open_store(f"memory://{uuid4().hex}")
    put_job(store, JOB)
    assert unfinished(store, change(SPEC)) is None
    assert unfinished(store, SPEC) == JOB


@given(specs(), specs())
def test_digests_differ_where_specs_do(one: Spec, other: Spec) -> None:
    assert (one.digest == other.digest) == (one == other)


@given(jobs())
def test_a_job_survives_the_ledger(job: Job) -> None:
    store = open_store(f"memory://{uuid4().hex}")
    put_job(store, job)
    assert load_job(store, job.id) == job
    assert unfinished(store, job.spec) == job


def test_a_job_survives_every_store(store: Store) -> None:
    put_job(store, JOB)
    assert load_job(store, JOB.id) == JOB


def test_a_job_that_is_not_there_is_missing(store: Store) -> None:
    with pytest.raises(MissingObject):
        load_job(store, "nightly")


@pytest.mark.parametrize(
    "changes",
    [{"v": 3}, {"zooms": "9-5"}, {"zooms": "x"}, {"boxes": [[0, 0, 0, 0]]}, {"boxes": [[1, 2]]}, {"boxes": None}],
    ids=str,
)
def test_a_job_that_cannot_be_is_refused(changes: dict[str, object]) -> None:
    store = open_store(f"memory://{uuid4().hex}")
    put_job(store, JOB)
    key = f"jobs/{JOB.id}/job.json"
    store.put(key, edited(store.get(key), **changes).encode(), content_type="application/json")
    with pytest.raises(MessageError):
        load_job(store, JOB.id)
