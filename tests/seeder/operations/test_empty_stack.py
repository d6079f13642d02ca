"""Emptying a stack deletes everything in its two buckets and nothing else, and never while something renders."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import boto3
import pytest

from seeder.aws.queue import QueueClient
from seeder.aws.stack import read_stack
from seeder.jobs.ledger import Run, Stop, put_job, put_plan, put_run, stop
from seeder.jobs.messages import Job, Spec
from seeder.operations.empty_stack import StackContext, empty_stack, plan_emptying
from seeder.select.blocks import Count
from seeder.select.selection import Selection
from tests.support.aws import MakeStack
from tests.support.bake_jobs import bake_job, put
from tests.support.door import fill
from tests.support.layer_strategies import GLOBE
from tests.support.layers import cog_key
from tests.support.reports import Recorded
from tiler.errors import BadOption, Superseded
from tiler.keys import index_key, tilejson_key
from tiler.layers.publication import publish
from tiler.layers.render import TileVariant
from tiler.settings import S3, Settings
from tiler.storage.store import Stores

REGION = "us-east-1"
TILES = [f"globe/3/{x}/{y}.png" for x in range(3) for y in range(3)]


def put_running_job(stores: Stores) -> str:
    """Record a job that was started just now."""
    job = Job.new(Spec("globe", "bbbb", Selection((3,)), TileVariant()), datetime.now(UTC))
    put_job(stores.sources, job)
    put_plan(stores.sources, job.id, {3: Count(1, 1)})
    put_run(stores.sources, job.id, Run("", datetime.now(UTC), 1.0))
    return job.id


def put_running_bake(stores: Stores) -> str:
    """Record a bake job that was started just now."""
    job = put(stores.sources, bake_job("third", now=datetime.now(UTC)))
    put_run(stores.sources, job.ledger, Run("", datetime.now(UTC), 1.0))
    return job.id


@pytest.fixture
def context(make_stack: MakeStack, monkeypatch: pytest.MonkeyPatch) -> StackContext:
    """A stack with two layers, a cancelled job, and an object of another program in each bucket."""
    monkeypatch.setattr("seeder.operations.update.countdown", lambda seconds: iter((seconds,)))
    stack = read_stack(make_stack(WebsiteUrl="http://tiles.test", TileUrl="https://tiles.test"), REGION)
    base = Settings("memory://tiles", "memory://sources", s3=S3(region=REGION, keys=True))
    stores = Stores.open(stack.settings(base))
    for name in ("globe", "other"):
        stores.sources.put(cog_key(name, "bbbb"), b"x" * 100, content_type="")
        publish(replace(GLOBE, id=name, revision="bbbb"), stores)
    stop(stores.sources, put_running_job(stores), Stop("told to"))
    fill(stores.tiles, [*TILES, "robots.txt"])
    stores.sources.put("notes/readme.txt", b"x", content_type="")
    return StackContext(stack, stores, Recorded())


def told(context: StackContext) -> Recorded:
    """What it was told."""
    assert isinstance(context.report, Recorded)
    return context.report


def names(context: StackContext) -> list[str]:
    """The names of both buckets."""
    return [context.stack.outputs[name] for name in ("TileBucket", "SourceBucket")]


def listed(bucket: str) -> dict[str, int]:
    """The size of every object, by key, read without the code."""
    return {each["Key"]: each["Size"] for each in boto3.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])}


def hidden(bucket: str) -> int:
    """The number of versions, delete markers and unfinished uploads."""
    client = boto3.client("s3")
    versions = client.list_object_versions(Bucket=bucket)
    uploads = client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    return len(versions.get("Versions", [])) + len(versions.get("DeleteMarkers", [])) + len(uploads)


def test_everything_goes_as_planned_and_other_buckets_stay(context: StackContext, make_stack: MakeStack) -> None:
    neighbour = read_stack(make_stack(), REGION).outputs["TileBucket"]
    boto3.client("s3").put_object(Bucket=neighbour, Key="globe/3/0/0.png", Body=b"x")
    tiles, sources = map(listed, names(context))
    planned = plan_emptying(context)
    assert (tiles, sources) == tuple(map(listed, names(context)))
    assert told(context).questions == []
    truth = {
        "tiles": tiles,
        "sources": {key: size for key, size in sources.items() if key.startswith("sources/")},
        "jobs": {key: size for key, size in sources.items() if key.startswith("jobs/")},
    }
    assert planned.sizes == {kind: (len(each), sum(each.values())) for kind, each in truth.items()}
    assert (planned.layers, planned.obstacles) == (("globe", "other"), ())
    emptied = empty_stack(context)
    assert emptied == replace(planned, others=1), "of the private bucket's other objects"
    assert told(context).questions == [(context.stack.name, planned.sizes)]
    assert told(context).unfinished == []
    assert [hidden(bucket) for bucket in names(context)] == [0, 0]
    assert listed(neighbour) == {"globe/3/0/0.png": 1}


def test_earlier_versions_and_unfinished_uploads_go_too(context: StackContext) -> None:
    client, (bucket, _) = boto3.client("s3"), names(context)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"1", b"2"):
        client.put_object(Bucket=bucket, Key="globe/tile.json", Body=body)
    client.delete_object(Bucket=bucket, Key="robots.txt")
    client.create_multipart_upload(Bucket=bucket, Key="large.tif")
    assert plan_emptying(context).uploads == 1
    assert empty_stack(context).uploads == 1
    assert hidden(bucket) == 0


def test_rendering_ends_before_the_first_tile_goes(context: StackContext) -> None:
    both = [{*listed(bucket)} for bucket in names(context)]
    present: list[list[set[str]]] = []
    told(context).during_wait = lambda: present.append([{*listed(bucket)} for bucket in names(context)])
    empty_stack(context)
    layers = ("globe", "other")
    assert present == [[both[0] - set(map(tilejson_key, layers)), both[1] - set(map(index_key, layers))]]


def test_a_hurried_one_waits_for_nothing(context: StackContext) -> None:
    empty_stack(replace(context, hurry=True))
    assert told(context).waits == []
    assert [hidden(bucket) for bucket in names(context)] == [0, 0]


def test_a_layer_that_is_ingested_during_the_wait_stays(context: StackContext) -> None:
    told(context).during_wait = lambda: publish(replace(GLOBE, revision="eeee"), context.stores)
    with pytest.raises(Superseded, match="was ingested again meanwhile"):
        empty_stack(context)
    assert set(TILES) <= listed(names(context)[0]).keys()


def test_a_stack_whose_removal_was_cut_off_can_be_emptied(context: StackContext) -> None:
    tiles, sources = names(context)
    boto3.resource("s3").Bucket(sources).objects.all().delete()
    boto3.client("s3").delete_bucket(Bucket=sources)
    boto3.client("sqs").delete_queue(QueueUrl=context.stack.outputs["QueueUrl"])
    half = replace(context, stack=replace(context.stack, status="DELETE_FAILED"))
    assert empty_stack(half).sizes.keys() == {"tiles"}
    assert hidden(tiles) == 0


def protect(context: StackContext) -> StackContext:
    return replace(context, stack=replace(context.stack, protected=True))


def send(context: StackContext) -> StackContext:
    QueueClient.open(context.stack.outputs["QueueUrl"], REGION).send_bodies({"1": "a message"})
    return context


def bake(context: StackContext) -> StackContext:
    queue = boto3.client("sqs").create_queue(QueueName=f"{context.stack.name}-BakeQueue")["QueueUrl"]
    QueueClient.open(queue, REGION).send_bodies({"1": "a message"})
    outputs = {**context.stack.outputs, "BakeQueueUrl": queue}
    return replace(context, stack=replace(context.stack, outputs=outputs))


def take(context: StackContext) -> StackContext:
    assert QueueClient.open(send(context).stack.outputs["QueueUrl"], REGION).receive(1, wait=0)
    return context


def begin(context: StackContext) -> StackContext:
    put_running_job(context.stores)
    return context


def begin_bake(context: StackContext) -> StackContext:
    put_running_bake(context.stores)
    return context


@pytest.mark.parametrize(
    ("hinder", "why"),
    [
        (protect, r"termination protection; to lift it: aws .* --region us-east-1 --stack-name seeder-"),
        (send, r"1 messages waiting, 0 in progress"),
        (take, r"0 messages waiting, 1 in progress"),
        (bake, r"1 messages waiting, 0 in progress; .*purge-queue --region us-east-1 --queue-url \S+BakeQueue`"),
        (begin_bake, r"job third-9f2c81aa-\w+\.\d+ is running: .* `seeder cancel third-9f2c81aa-"),
        (begin, r"job globe-\w+-\w+\.\d+ is running: .* `seeder cancel globe-"),
    ],
)
def test_nothing_goes_while_something_renders_or_a_stack_is_protected(
    context: StackContext, hinder: Callable[[StackContext], StackContext], why: str
) -> None:
    hindered = hinder(context)
    before = [listed(bucket) for bucket in names(context)]
    with pytest.raises(BadOption, match=why) as refusal:
        empty_stack(hindered)
    assert plan_emptying(hindered).obstacles == (str(refusal.value),)
    assert [listed(bucket) for bucket in names(context)] == before
    assert told(context).questions == []


def test_a_job_of_a_layer_with_newer_metadata_does_not_hide_a_running_one(context: StackContext) -> None:
    put_running_job(context.stores)
    layer = dict(json.loads(context.stores.sources.get(index_key("globe"))))
    context.stores.sources.put(index_key("globe"), json.dumps(layer | {"version": 99}).encode(), content_type="")
    job = Job.new(Spec("other", "bbbb", Selection((3,)), TileVariant()), datetime.now(UTC))
    put_job(context.stores.sources, job)
    put_plan(context.stores.sources, job.id, {3: Count(1, 1)})
    put_run(context.stores.sources, job.id, Run("", datetime.now(UTC), 1.0))
    with pytest.raises(BadOption, match=f"job {job.id} is running"):
        empty_stack(context)


def test_without_confirmation_nothing_goes(context: StackContext) -> None:
    told(context).refuse = True
    before = [listed(bucket) for bucket in names(context)]
    with pytest.raises(BadOption, match="not meant"):
        empty_stack(context)
    assert [listed(bucket) for bucket in names(context)] == before


def test_a_protected_stack_is_read_as_one(make_stack: MakeStack) -> None:
    name = make_stack()
    assert not read_stack(name, REGION).protected
    boto3.client("cloudformation").create_stack(
        StackName=f"{name}-2",
        TemplateBody='{"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}',
        EnableTerminationProtection=True,
    )
    assert read_stack(f"{name}-2", REGION).protected
