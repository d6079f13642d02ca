"""The worker Lambda: records of a real queue, and its receipts, logs and metrics."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from seeder.jobs.messages import Message
from seeder.workers import lambda_handler
from seeder.workers.sqs import SqsQueue
from tests.support.function import Context, Function
from tests.support.queues import taken
from tiler.grid import Block
from tiler.layers.fill import Request
from tiler.layers.publication import publish
from tiler.layers.render import TileVariant


def test_every_record_is_worked_off_and_acknowledged(function: Function, truth: dict[str, bytes]) -> None:
    function.queue.send(function.messages)
    while records := function.records(most=5):
        assert function.invoke(records) == []
    assert function.tiles() == truth
    assert Counter(receipt.block for receipt in function.receipts()) == Counter(
        message.request.block for message in function.messages
    )
    assert function.receipts("failed") == []
    assert not function.queue.depth()


def test_a_line_is_logged_for_each_block(function: Function) -> None:
    sent = function.messages[:4]
    assert function.invoke(function.records(*(message.encode() for message in sent))) == []
    lines = function.lines("filled")
    assert len(lines) == len(function.logged.getvalue().splitlines()) == 4
    receipts = {str(receipt.block): receipt.outcome for receipt in function.receipts()}
    for line in lines:
        outcome = receipts[line["block"]]
        assert (line["level"], line["job"], line["layer"]) == ("INFO", function.plan.job.id, "alps")
        assert (line["written"], line["bytes"]) == (outcome.written.bit_count(), outcome.bytes)
        assert (line["empty"], line["skipped"], line["failed"], line["error"]) == (0, 0, 0, "")
        assert line["milliseconds"] >= outcome.milliseconds


def test_the_metrics_add_up_to_the_receipts(function: Function) -> None:
    sent = function.messages
    first, second = sent[:6], sent[6:]
    for part in (first, second):
        function.invoke(function.records(*(message.encode() for message in part)))
    outcomes = [receipt.outcome for receipt in function.receipts()]
    counted = function.counted()
    assert counted == {
        "Blocks": len(sent),
        "Tiles": sum(outcome.written.bit_count() for outcome in outcomes),
        "Empty": 0,
        "Skipped": 0,
        "Failed": 0,
        "Bytes": sum(outcome.bytes for outcome in outcomes),
        "Milliseconds": sum(outcome.milliseconds for outcome in outcomes),
    }
    assert counted["Tiles"] == function.plan.tally.tiles


def test_a_metric_has_a_series_of_its_function_beside_that_of_all_workers(function: Function) -> None:
    for message in function.messages[:2]:
        function.invoke(function.records(message.encode()))
        (line,) = map(json.loads, function.capture.readouterr().out.splitlines())
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert directive["Dimensions"] == [["service"], ["FunctionName"]]
        assert (line["service"], line["FunctionName"]) == ("worker", "tile-seeder-dev-worker")


def test_an_invocation_counts_only_its_own_records(function: Function) -> None:
    one, other = function.messages[:2]
    function.invoke(function.records(one.encode()))
    function.counted()
    function.invoke(function.records(other.encode()))
    assert function.counted()["Blocks"] == 1


def supersede(function: Function) -> Message:
    publish(replace(function.plan.layer, revision="0000"), function.stores)
    return function.messages[0]


def rename(function: Function) -> Message:
    return replace(function.messages[0], layer="nowhere")


def cancel(function: Function) -> Message:
    function.stores.sources.put(f"jobs/{function.plan.job.id}/cancelled", b"", content_type="text/plain")
    return function.messages[0]


@pytest.mark.parametrize(
    ("cause", "says"), [(supersede, "superseded by revision 0000"), (rename, "was removed"), (cancel, "was stopped")]
)
def test_what_is_out_of_date_is_dropped(function: Function, cause: Callable[[Function], Message], says: str) -> None:
    body = cause(function).encode()
    assert function.invoke(function.records(body)) == []
    assert function.receipts() == function.receipts("failed") == []
    assert function.tiles() == {}
    assert function.counted() == {"Dropped": 1}
    (line,) = function.lines("dropped")
    assert says in line["error"]


def test_a_layer_that_is_ingested_again_is_noticed_by_a_process_that_knew_it(function: Function) -> None:
    one, other = (message.encode() for message in function.messages[:2])
    function.invoke(function.records(one))
    supersede(function)
    function.invoke(function.records(other))
    assert len(function.receipts()) == 1
    assert function.counted()["Dropped"] == 1


def released(function: Function) -> list[str]:
    """The bodies of the messages in the queue, which come as if for the first time."""
    records = function.records()
    assert all(lambda_handler.delivery_of(record).tries == 1 for record in records)
    return sorted(record["body"] for record in records)


def test_records_are_released_when_little_time_is_left(function: Function) -> None:
    bodies = [message.encode() for message in function.messages[:5]]
    assert function.invoke(function.records(*bodies), seconds=[60, 60, lambda_handler.MARGIN - 1]) == []
    assert len(function.receipts()) == 3
    assert function.counted()["Released"] == 2
    assert released(function) == sorted(bodies[3:])


def test_the_first_record_is_begun_however_little_time_is_left(function: Function) -> None:
    bodies = [message.encode() for message in function.messages[:2]]
    assert function.invoke(function.records(*bodies), seconds=[0]) == []
    assert len(function.receipts()) == 1
    assert released(function) == bodies[1:]


@pytest.mark.parametrize(("left", "back"), [([31], 2), ([33, 25], 1), ([33, 26], 0)])
def test_a_process_that_met_a_slow_block_wants_twice_its_time_and_forgets_by_a_fifth_a_block(
    function: Function, monkeypatch: pytest.MonkeyPatch, left: list[float], back: int
) -> None:
    bodies = [message.encode() for message in function.messages[:3]]
    monkeypatch.setattr(lambda_handler, "_slowest", 20.0)
    assert function.invoke(function.records(*bodies), seconds=left) == []
    assert released(function) == sorted(bodies[3 - back :])


def test_a_message_that_fails_between_releases_is_a_dead_letter_after_five_tries(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide = SqsQueue.hide
    monkeypatch.setattr(SqsQueue, "hide", lambda queue, handle, _: hide(queue, handle, 0))
    function.obstruct(9)
    good, bad = function.messages[0].encode(), function.messages[-1].encode()
    records = function.records(good, bad)
    for failures in range(5):
        for _ in range(3):  # more receives than the queue allows
            records = [record for record in records if record["body"] == bad]
            (record,) = records
            assert lambda_handler.delivery_of(record).tries == failures + 1
            assert function.invoke(function.records(good, most=1) + records, seconds=[0]) == []
            records = function.records()
        assert function.queue.depth().dead == 0
        back = function.invoke(records)
        assert back == ([bad] if failures < 4 else [])
        records = function.records()
    assert records == []
    assert function.queue.depth().dead == 1
    (letter,) = function.queue.dead_queue().receive(10, wait=0)
    assert letter.body == bad
    assert function.counted()["Returned"] == 4


def test_what_cannot_be_released_is_returned(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [message.encode() for message in function.messages[:2]]
    records = function.records(*bodies)
    monkeypatch.setenv("TILER_QUEUE", f"{function.queue.url}-nowhere")
    assert function.invoke(records, seconds=[0]) == bodies[1:]
    assert len(function.lines("not released")) == 1


def test_a_large_block_becomes_64_messages_in_the_queue(function: Function) -> None:
    message = Message(
        function.plan.job.id, "alps", function.plan.layer.revision, Request(Block(9, 256, 128, 64), 0, TileVariant())
    )
    assert function.invoke(function.records(message.encode())) == []
    assert Counter(taken(function.queue)) == Counter(message.parts())
    assert function.receipts() == []
    assert function.counted() == {"Split": 1}
    assert len(function.lines("split")) == 1


@pytest.mark.parametrize("look", ["forced", "looked for"])
def test_a_record_that_is_delivered_twice_changes_nothing_the_second_time(function: Function, look: str) -> None:
    """For a zoom that was empty at planning time, the message skips the check for stored tiles."""
    sent = [replace(each, request=replace(each.request, force=look == "forced")) for each in function.messages[:4]]
    records = function.records(*(message.encode() for message in sent))
    assert function.invoke(records) == []
    tiles, first = function.tiles(), {receipt.block: receipt.outcome.written for receipt in function.receipts()}
    assert lambda_handler.handler({"Records": records}, Context([120])) == {"batchItemFailures": []}
    assert function.tiles() == tiles
    again = {receipt.block: receipt.outcome for receipt in function.receipts()}
    assert {block: outcome.written | outcome.skipped for block, outcome in again.items()} == first
    assert function.receipts("failed") == []


def test_a_process_opens_its_stores_once(function: Function) -> None:
    one, other = (message.encode() for message in function.messages[:2])
    function.invoke(function.records(one))
    kept = lambda_handler._worker()
    function.invoke(function.records(other))
    assert lambda_handler._worker() is kept


def test_a_cold_start_does_not_load_boto3() -> None:
    code = "import sys, seeder.workers.lambda_handler; sys.exit('boto3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
