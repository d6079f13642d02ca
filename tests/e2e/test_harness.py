"""The stand-ins for AWS behave as AWS does: what the product's tests rest on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.handlers import Canned
from tests.e2e.lambdas import FunctionError, Lambda
from tests.e2e.mapping import SqsMapping, failures
from tests.e2e.sqs import Sqs
from tests.e2e.wire import eventually

HANDLERS = "tests.e2e.handlers"


# --- Lambda


@pytest.fixture(scope="module")
def echo() -> Iterator[Lambda]:
    with Lambda(f"{HANDLERS}.echo", {"COLOUR": "blue"}, timeout=5, memory=512) as function:
        yield function


@pytest.fixture
def actor() -> Iterator[Lambda]:
    with Lambda(f"{HANDLERS}.act", {}, timeout=1) as function:
        yield function


def test_an_answer_comes_back_with_what_the_handler_saw(echo: Lambda) -> None:
    told = echo.invoke({"word": "\u00fcber"})
    assert told["event"] == {"word": "\u00fcber"}
    assert told["memory"] == "512"
    assert told["arn"].endswith(":function:tests-e2e-handlers-echo")
    assert 4000 < told["left"] <= 5000
    assert "heard \u00fcber\n" in echo.logs()


def test_a_process_serves_again(echo: Lambda) -> None:
    first, second = echo.invoke({}), echo.invoke({})
    assert (first["pid"], echo.started) == (second["pid"], 1)
    assert first["request"] != second["request"]


def test_a_function_has_worker_processes() -> None:
    with Lambda(f"{HANDLERS}.pooled", {}, timeout=60) as function:
        told = function.invoke({"items": [3, 1, 2, 4]})
        again = function.invoke({"items": [3, 1, 2, 4]})
        logs = function.logs()
    assert function.started == 1
    assert [item for item, *_ in told] == [item for item, *_ in again] == [1, 2, 3, 4]
    assert {handler for *_, handler in told} == {f"{HANDLERS}.pooled"}
    assert "Traceback" not in logs


def test_a_function_sees_no_variable_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAK", "1")
    with Lambda(f"{HANDLERS}.echo", {"COLOUR": "blue"}) as function:
        env = function.invoke({})["env"]
    assert env["COLOUR"] == "blue"
    assert {name for name in env if not name.startswith(("AWS_", "LAMBDA_"))} <= {
        *("COLOUR", "PATH", "LANG", "TZ", "_HANDLER", "LC_CTYPE")
    }
    assert {name for name in env if "KEY" in name or "SECRET" in name or "ENDPOINT" in name} == set()


def test_an_exception_is_an_error_and_the_process_lives_on(actor: Lambda) -> None:
    before = actor.invoke({"do": "nothing"})
    with pytest.raises(FunctionError) as caught:
        actor.invoke({"do": "raise"})
    assert (caught.value.type, caught.value.message) == ("ValueError", "as told")
    assert actor.invoke({"do": "nothing"}) == before


@pytest.mark.parametrize(("do", "sign"), [("exit", "exit status 3"), ("abort", "signal: SIGKILL")])
def test_a_dead_process_is_an_error_and_is_replaced(actor: Lambda, do: str, sign: str) -> None:
    before = actor.invoke({"do": "nothing"})
    with pytest.raises(FunctionError, match=sign) as caught:
        actor.invoke({"do": do})
    assert caught.value.type == "Runtime.ExitError"
    assert actor.invoke({"do": "nothing"}) != before


def test_a_timeout_is_an_error_and_its_process_is_gone(actor: Lambda, tmp_path: Path) -> None:
    before = actor.invoke({"do": "nothing"})
    start = time.monotonic()
    with pytest.raises(FunctionError, match=r"Task timed out after 1\.00 seconds"):
        actor.invoke({"do": "sleep", "seconds": 60, "mark": str(tmp_path / "mark")})
    assert time.monotonic() - start < 50
    assert not Path(f"/proc/{before}").exists()
    assert actor.invoke({"do": "nothing"}) != before


def test_a_running_handler_can_be_killed(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with Lambda(f"{HANDLERS}.act", {}, timeout=60) as function, ThreadPoolExecutor() as callers:
        assert function.kill_running() == 0
        call = callers.submit(function.invoke, {"do": "sleep", "seconds": 60, "mark": str(mark)})
        eventually(mark.exists)
        assert function.kill_running() == 1
        with pytest.raises(FunctionError, match="signal: SIGKILL"):
            call.result(10)
        assert isinstance(function.invoke({"do": "nothing"}), int)


def test_an_unknown_handler_is_an_error_each_time() -> None:
    with Lambda(f"{HANDLERS}.nothing", {}) as function:
        for _ in range(2):
            with pytest.raises(FunctionError, match="missing on module") as caught:
                function.invoke({})
            assert caught.value.type == "Runtime.HandlerNotFound"


def test_an_answer_beyond_six_megabytes_is_an_error() -> None:
    with Lambda(f"{HANDLERS}.act", {}, timeout=30) as function:
        assert len(function.invoke({"do": "fill", "bytes": 6_000_000})) == 6_000_000
        with pytest.raises(FunctionError, match=r"exceeded maximum allowed payload size") as caught:
            function.invoke({"do": "fill", "bytes": 6_291_600})
        assert caught.value.type == "Function.ResponseSizeTooLarge"
        assert isinstance(function.invoke({"do": "nothing"}), int)


def test_as_many_events_run_at_a_time_as_allowed(tmp_path: Path) -> None:
    events = [{"do": "sleep", "seconds": 4, "mark": str(tmp_path / name)} for name in "abc"]
    with (
        Lambda(f"{HANDLERS}.act", {}, timeout=60, concurrency=2) as function,
        ThreadPoolExecutor() as callers,
    ):
        calls = [callers.submit(function.invoke, event) for event in events]
        eventually(lambda: len(list(tmp_path.iterdir())) == 2, within=60)
        time.sleep(0.1)
        assert len(list(tmp_path.iterdir())) == 2
        assert len({call.result(120) for call in calls}) == 2
        assert (len(list(tmp_path.iterdir())), function.started) == (3, 2)


# --- event-source mapping


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    path = tmp_path / "seen"
    path.touch()
    return path


@pytest.fixture
def worker(seen: Path) -> Iterator[Lambda]:
    with Lambda(f"{HANDLERS}.batch", {"SEEN": str(seen)}, timeout=5, concurrency=4) as function:
        yield function


def test_a_batch_looks_as_sqs_sends_it(sqs: Sqs) -> None:
    function = Canned()
    queue = sqs.queue()
    queue.client.send_message(
        QueueUrl=queue.url,
        MessageBody="one",
        MessageAttributes={"colour": {"DataType": "String", "StringValue": "blue"}},
    )
    with SqsMapping(queue.client, queue.url, function) as mapping:
        mapping.drained()
    (record,) = function.event["Records"]
    assert (record["body"], record["eventSource"], record["awsRegion"]) == ("one", "aws:sqs", "us-east-1")
    assert record["eventSourceARN"].split(":")[2] == "sqs"
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert record["attributes"]["SentTimestamp"].isdigit()
    assert record["messageAttributes"]["colour"]["stringValue"] == "blue"
    assert record["md5OfBody"] == "f97c5d29941bfb1b2fdab0874906ab82"
    assert mapping.deleted == [record["messageId"]]


def test_what_succeeded_is_deleted_and_the_rest_is_dead_after_five_receives(
    sqs: Sqs, worker: Lambda, seen: Path
) -> None:
    queue = sqs.queue(visibility=4)
    good = queue.send(*(f"good {number}" for number in range(18)))
    queue.send("bad 1", "bad 2")
    with SqsMapping(queue.client, queue.url, worker) as mapping:
        mapping.drained(120)
    assert sorted(mapping.deleted) == sorted(good)
    heard = Counter(seen.read_text().splitlines())
    assert {heard["bad 1"], heard["bad 2"]} == {5}
    assert {heard[f"good {number}"] for number in range(18)} == {1}
    assert (mapping.failed_items, mapping.failures) == (10, 0)
    assert sorted(queue.dead()) == ["bad 1", "bad 2"]


def test_an_exception_fails_the_whole_batch(sqs: Sqs, worker: Lambda) -> None:
    queue = sqs.queue(visibility=1, receives=1)  # when they come again it may be one by one
    queue.send("good", "worst")
    with SqsMapping(queue.client, queue.url, worker) as mapping:
        mapping.drained(30)
    assert (mapping.deleted, mapping.failures) == ([], mapping.invocations)
    assert {error.type for error in mapping.errors} == {"RuntimeError"}
    assert sorted(queue.dead()) == ["good", "worst"]


@pytest.mark.parametrize(
    ("answer", "failed"),
    [
        (None, set()),
        ({}, set()),
        ({"batchItemFailures": []}, set()),
        ({"batchItemFailures": None}, set()),
        ({"batchItemFailures": [{"itemIdentifier": "a"}]}, {"a"}),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, None),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, None),
        ({"batchItemFailures": [{"itemIdentifier": "other"}]}, None),
        ({"batchItemFailures": [{"itemIdentifier": "a"}, {"id": "b"}]}, None),
        ({"batchItemFailures": ["a"]}, None),
        ({"batchItemFailures": "a"}, None),
        ("done", None),
        ([], None),
    ],
)
def test_an_answer_that_cannot_be_understood_fails_the_whole_batch(answer: Any, failed: set[str] | None) -> None:
    assert failures(answer, {"a", "b"}) == failed


def test_a_mapping_delivers_twice_when_told_to(sqs: Sqs, worker: Lambda, seen: Path) -> None:
    queue = sqs.queue()
    bodies = [f"good {number}" for number in range(40)]
    sent = queue.send(*bodies)
    with SqsMapping(queue.client, queue.url, worker, batch_size=2, duplicate=0.5) as mapping:
        mapping.drained()
    heard = Counter(seen.read_text().splitlines())
    assert set(heard.values()) == {1, 2}
    assert set(heard) == set(bodies)
    assert mapping.invocations - mapping.duplicates == 20
    assert 2 <= mapping.duplicates <= 18
    assert set(mapping.deleted) == set(sent)


def test_an_undrained_queue_is_told(sqs: Sqs) -> None:
    queue = sqs.queue()
    queue.send("left")
    mapping = SqsMapping(queue.client, queue.url, Canned())
    with pytest.raises(TimeoutError, match="'Messages': 1"):
        mapping.drained(0.1)


def test_no_message_is_lost_while_others_are_deleted(sqs: Sqs) -> None:
    queue = sqs.queue()
    function = Canned()
    count = 200

    bodies = [[f"{name} {number}" for number in range(count)] for name in "abc"]
    with (
        SqsMapping(queue.client, queue.url, function, max_concurrency=4) as mapping,
        ThreadPoolExecutor() as senders,
    ):
        sent = {name for names in senders.map(lambda some: queue.send(*some), bodies) for name in names}
        mapping.drained()
    assert len(sent) == 3 * count
    assert sorted(mapping.deleted) == sorted(sent)
