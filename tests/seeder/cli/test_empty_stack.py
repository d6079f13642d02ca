"""`empty-stack` needs the stack's name twice, and prints the contents of its buckets."""

from __future__ import annotations

import boto3
import pytest

from seeder.aws.stack import read_stack
from tests.support.aws import MakeStack
from tests.support.commands import complaint, said, seeder


@pytest.fixture
def stack(make_stack: MakeStack) -> str:
    """A stack with two objects in the tile bucket and one of a layer in the other."""
    name = make_stack(WebsiteUrl="http://tiles.test", TileUrl="https://tiles.test")
    buckets, client = read_stack(name, "us-east-1").outputs, boto3.client("s3")
    for key in ("ortho/1/0/0.png", "ortho/1/0/1.png"):
        client.put_object(Bucket=buckets["TileBucket"], Key=key, Body=b"1234")
    client.put_object(Bucket=buckets["SourceBucket"], Key="sources/ortho/a1b2/index.tif", Body=b"12345")
    return name


def objects(stack: str) -> int:
    """The number of objects in both buckets."""
    outputs = read_stack(stack, "us-east-1").outputs
    client = boto3.client("s3")
    return sum(client.list_objects_v2(Bucket=outputs[name])["KeyCount"] for name in ("TileBucket", "SourceBucket"))


def test_a_dry_run_counts_and_the_confirmed_run_removes_as_much(stack: str) -> None:
    counts = {"tiles": {"objects": 2, "bytes": 8}, "sources": {"objects": 1, "bytes": 5}}
    whole = {"stack": stack, "layers": [], **counts, "jobs": {"objects": 0, "bytes": 0}, "uploads": 0, "others": 0}
    assert said(seeder("empty-stack", stack, "--dry-run", "--json")) == {**whole, "dry_run": True}
    assert objects(stack) == 3
    assert said(seeder("empty-stack", stack, "--confirm", stack, "--json")) == whole
    assert objects(stack) == 0
    again = seeder("empty-stack", stack, "--confirm", stack)
    assert again.exit_code == 0
    assert "both buckets are empty" in again.stdout


def test_without_a_terminal_the_name_is_required_once_more(stack: str) -> None:
    for words in ((), ("--confirm", "tile-seeder-dev"), ("--confirm", "")):
        line = complaint(seeder("empty-stack", stack, *words, stdin=f"{stack}\n"))
        assert f"--confirm {stack}" in line or f"is not '{stack}': nothing was removed" in line
    assert objects(stack) == 3


def test_a_stack_of_the_environment_is_not_enough(stack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILER_STACK", stack)
    assert "Missing argument 'STACK'" in seeder("empty-stack").stderr
    assert "Missing argument 'STACK'" in seeder("--stack", stack, "empty-stack", "--confirm", stack).stderr
    assert objects(stack) == 3


def test_region_and_buckets_are_printed_before_the_question(stack: str) -> None:
    outputs = read_stack(stack, "us-east-1").outputs
    note = seeder("empty-stack", stack).stderr.splitlines()[0]
    assert note == (f"stack {stack} in us-east-1: buckets s3://{outputs['TileBucket']}, s3://{outputs['SourceBucket']}")


def test_messages_in_the_queue_are_an_obstacle_that_a_dry_run_prints(stack: str) -> None:
    queue = read_stack(stack, "us-east-1").outputs["QueueUrl"]
    boto3.client("sqs").send_message(QueueUrl=queue, MessageBody="a message")
    assert f"--queue-url {queue}" in complaint(seeder("empty-stack", stack, "--confirm", stack))
    planned = seeder("empty-stack", stack, "--dry-run")
    assert planned.exit_code == 0
    assert "not now: workers are active: 1 messages waiting" in planned.stderr
    assert planned.stdout.startswith(f"would be removed from stack {stack}: 2 objects of tiles (")
    assert objects(stack) == 3


def test_an_unknown_stack_is_bad_input(cloud: str) -> None:
    assert cloud
    assert "does not exist" in complaint(
        seeder("empty-stack", "tile-seeder-nowhere", "--confirm", "tile-seeder-nowhere")
    )
