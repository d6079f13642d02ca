"""Faults of the worker Lambda: temporary ones are redelivered, permanent ones recorded, nothing wrong is stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from seeder.jobs.ledger import finished, put_job, read_receipts
from seeder.jobs.messages import Message, Receipt
from seeder.workers import lambda_handler, process_block
from seeder.workers.sqs import SqsQueue
from tests.support.aws import upload
from tests.support.damaged import cogs
from tests.support.function import Function
from tests.support.queues import MakeQueue
from tiler.errors import StoreError
from tiler.grid import Block
from tiler.layers.fill import Request
from tiler.layers.render import TileVariant
from tiler.storage.store import Stores

DEAD = "http://127.0.0.1:9"  # nothing listens there
POISON = ("{", "[]", '{"v":2}', "\u00fcber")


@pytest.mark.parametrize("poison", POISON)
def test_a_message_that_nobody_understands_is_returned_and_no_other(function: Function, poison: str) -> None:
    good = [message.encode() for message in function.messages[:2]]
    assert function.invoke(function.records(good[0], poison, good[1])) == [poison]
    assert len(function.receipts()) == 2
    assert function.counted()["Returned"] == 1
    (line,) = function.lines("returned")
    assert (line["level"], line["body"]) == ("WARNING", poison)
    assert "not a message" in line["error"] or "version 2" in line["error"]


def test_a_message_that_nobody_understands_is_soon_a_dead_letter(
    function: Function, make_queue: MakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    function.queue = make_queue(visibility=60, receives=3)
    monkeypatch.setenv("TILER_QUEUE", function.queue.url)
    records = function.records("{")
    for _ in range(3):
        assert function.invoke(records) == ["{"]
        records = function.records()
    assert records == []
    assert function.queue.depth().dead == 1


@pytest.mark.parametrize("variable", ["TILER_TILES", "TILER_SOURCES"])
def test_a_store_that_is_gone_returns_the_record_and_leaves_nothing(
    function: Function, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", DEAD)
    monkeypatch.setenv(variable, "s3://gone")
    body = function.messages[0].encode()
    assert function.invoke(function.records(body)) == [body]
    (line,) = function.lines("returned")
    assert (line["level"], line["body"]) == ("WARNING", body)
    assert function.receipts() == function.receipts("failed") == []
    assert function.tiles() == {}
    assert function.counted() == {"Returned": 1}


def test_tiles_that_cannot_be_written_return_the_record_until_they_can(
    function: Function, truth: dict[str, bytes]
) -> None:
    obstacle = function.obstruct(9)
    bodies = [message.encode() for message in function.messages]
    records = function.records(*bodies[:5]) + function.records(*bodies[5:])
    back = function.invoke(records)
    assert back == [body for body in bodies if json.loads(body)["z"] == 9]
    assert {receipt.block.z for receipt in function.receipts()} == {5, 6, 7, 8}
    assert function.receipts("failed") == []
    obstacle.unlink()
    assert function.invoke([record for record in records if record["body"] in back]) == []
    assert function.tiles() == truth


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def overwrite(path: Path) -> None:
    data = path.read_bytes()
    start = len(data) * 2 // 3
    path.write_bytes(data[:start] + b"\0" * (len(data) - start))


DAMAGES: dict[str, Callable[[Path], None]] = {"truncated": truncate, "overwritten": overwrite, "removed": Path.unlink}


@pytest.mark.parametrize("kind", ["folder", "bucket"])
@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_a_source_that_cannot_be_read_is_on_record_and_nothing_of_it_is_stored(
    function: Function,
    truth: dict[str, bytes],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
    kind: str,
) -> None:
    for cog in cogs(function.data):
        DAMAGES[damage](cog)
    if kind == "bucket":
        url = request.getfixturevalue("s3_url")
        upload(function.data / "private", url.removeprefix("s3://"))
        monkeypatch.setenv("TILER_SOURCES", url)
    sources = Stores.open(lambda_handler._settings()).sources
    bodies = [message.encode() for message in function.messages]
    for part in (bodies[:7], bodies[7:]):
        assert function.invoke(function.records(*part)) == []
    job = function.plan.job.id
    failed = list(read_receipts(sources, job, list(finished(sources, job, "failed")), "failed"))
    done = list(read_receipts(sources, job, list(finished(sources, job))))
    assert failed
    assert len(failed) + len(done) == len(bodies)
    for receipt in failed:
        assert receipt.outcome.failed == receipt.block.full & receipt.outcome.failed != 0
        assert "cannot read" in receipt.outcome.error
    held = {f"{t.z}/{t.x}/{t.y}.png" for receipt in done for t in receipt.block.tiles(receipt.outcome.written)}
    stored = function.tiles()
    assert set(stored) == held
    assert stored.items() <= truth.items()
    counted = function.counted()
    assert counted["Failed"] == sum(receipt.outcome.failed.bit_count() for receipt in failed)
    assert counted["Tiles"] + counted["Failed"] == len(truth)


def test_a_source_that_was_mended_makes_up_for_the_failure(function: Function, truth: dict[str, bytes]) -> None:
    whole = {cog: cog.read_bytes() for cog in cogs(function.data)}
    deepest = [m.encode() for m in function.messages if m.request.block.z == 9]
    for cog in whole:
        truncate(cog)
    function.invoke(function.records(*deepest))
    assert function.receipts("failed")
    for cog, content in whole.items():
        cog.write_bytes(content)
    function.invoke(function.records(*deepest))
    assert {receipt.block for receipt in function.receipts("failed")} <= {r.block for r in function.receipts()}
    assert function.tiles() == {name: data for name, data in truth.items() if name.startswith("9/")}


def test_a_large_block_whose_parts_cannot_be_sent_comes_again(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = Message(
        function.plan.job.id, "alps", function.plan.layer.revision, Request(Block(9, 256, 128, 64), 0, TileVariant())
    )
    records = function.records(message.encode())
    monkeypatch.setenv("TILER_QUEUE", f"{function.queue.url}-nowhere")
    assert function.invoke(records) == [message.encode()]
    assert function.receipts() == []


@pytest.mark.parametrize("forced", [False, True])
def test_a_block_that_comes_again_is_made_again_only_for_a_job_that_renders_what_exists(
    function: Function, *, forced: bool
) -> None:
    job = replace(function.plan.job, spec=replace(function.plan.job.spec, force=forced))
    put_job(function.stores.sources, job)
    message = function.messages[-1]
    assert message.request.force, "the zoom is not empty, so the block looks for tiles anyway"
    tiles = message.request.tiles
    first = lambda_handler.handle_record(lambda_handler._worker(), message.encode(), 1)
    assert isinstance(first, Receipt)
    assert first.outcome.written == tiles
    lost = max(function.tiles())
    (function.data / "tiles" / "alps" / lost).unlink()
    again = lambda_handler.handle_record(lambda_handler._worker(), message.encode(), 2)
    assert isinstance(again, Receipt)
    assert again.outcome.written.bit_count() == (tiles.bit_count() if forced else 1)
    assert again.outcome.written | again.outcome.skipped == tiles
    assert lost in function.tiles()


def test_a_record_that_failed_comes_again_after_a_delay_that_grows(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, hide = list[int](), SqsQueue.hide

    def shown(queue: SqsQueue, handle: str, seconds: int) -> None:
        said.append(seconds)
        hide(queue, handle, 0)

    monkeypatch.setattr(SqsQueue, "hide", shown)
    function.obstruct(5)
    body = function.messages[0].encode()
    assert function.invoke(function.records(body)) == [body]
    records = function.records()
    assert records[0]["attributes"]["ApproximateReceiveCount"] == "2"
    assert function.invoke(records) == [body]
    assert said == [15, 60]


@pytest.mark.parametrize(("receives", "seconds"), [(1, 15), (2, 60), (3, 240), (4, 900), (5, 900), (60, 900)])
def test_the_delay_grows_to_a_quarter_of_an_hour(function: Function, receives: int, seconds: int) -> None:
    function.obstruct(5)
    answer = lambda_handler.handle_record(lambda_handler._worker(), function.messages[0].encode(), receives)
    assert answer == lambda_handler.Redeliver(seconds)


def test_a_fault_that_nobody_foresaw_returns_the_record_and_not_the_batch(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [message.encode() for message in function.messages[:3]]
    unlucky, do = function.messages[1].request.block, process_block.Worker.work

    def stumble(self: process_block.Worker, message: Message, *, again: bool) -> Receipt:
        if message.request.block == unlucky:
            raise ZeroDivisionError("by accident")
        return do(self, message, again=again)

    monkeypatch.setattr(process_block.Worker, "work", stumble)
    assert function.invoke(function.records(*bodies)) == [bodies[1]]
    (line,) = function.lines("returned")
    assert line["level"] == "ERROR"
    assert "ZeroDivisionError: by accident" in line["exception"]
    assert len(function.receipts()) == 2


def test_a_queue_that_cannot_be_told_costs_only_time(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    records = function.records("{", function.messages[0].encode())
    monkeypatch.setenv("TILER_QUEUE", f"{function.queue.url}-nowhere")
    assert function.invoke(records) == ["{"]
    assert len(function.lines("visibility unchanged")) == 1
    assert len(function.receipts()) == 1


def test_a_receipt_that_cannot_be_put_returns_the_record(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StoreError("write", "jobs/nightly/done/9-264-176", "no space left")

    monkeypatch.setattr("seeder.workers.process_block.put_receipt", fail)
    body = function.messages[0].encode()
    assert function.invoke(function.records(body)) == [body]
