"""The policies of deploy/policies allow what the commands ask of AWS, and nothing more."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from moto.cloudfront.models import Invalidation

from seeder.aws.stack import read_stack
from seeder.jobs.messages import Message
from seeder.workers.sqs import SqsQueue
from tests.support.aws import MakeStack
from tests.support.aws_actions import FREE, Recorder, allowed, covers, policy, resources, statements
from tests.support.commands import seeder as command
from tests.support.rasters import Recipe, scene, write_raster

LAMBDA = {"lambda:GetAccountSettings", "lambda:ListEventSourceMappings"}  # of a deployed worker, not in these tests
UPLOADS = {"s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"}  # of files larger than these tests have
READING = (
    ("layers",),
    ("count", "alps", "--zooms", "5-7"),
    ("list", "alps", "--zooms", "5"),
    ("seed", "alps", "--zooms", "5-7", "--dry-run"),
    ("status",),
    ("status", "alps"),
    ("verify", "alps", "--zooms", "5-7", "--deep"),
    ("export", "alps", "{tmp}/alps.pmtiles", "--zooms", "5-7"),
    ("doctor",),
)
WRITING = (
    ("refresh", "alps", "{tmp}/other.tif", "--yes", "--no-wait", "--queue", "local", "--jobs", "1"),
    ("rollback", "alps", "--yes", "--no-wait", "--queue", "local", "--jobs", "1"),
    ("invalidate", "alps", "--zooms", "5", "--yes", "--no-wait", "--cloudfront", "{cdn}", "--wait"),
    ("seed", "alps", "--zooms", "5-6", "--queue", "sqs"),
    ("cancel", "alps"),
    ("resume", "alps", "--queue", "sqs"),
    ("errors", "alps", "--retry"),
    ("publish-preview", "alps"),
    ("remove", "alps", "--old-revisions", "--confirm", "alps"),
    ("remove", "alps", "--confirm", "alps", "--no-wait"),
)


@pytest.fixture
def recorder(cloud: str, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Between the commands and AWS; it notes what they ask."""
    recorder = Recorder(cloud)
    monkeypatch.setenv("AWS_ENDPOINT_URL", recorder.url)
    return recorder


def distribution() -> str:
    """The id of a new CloudFront distribution."""
    behavior = {
        "TargetOriginId": "tiles",
        "ViewerProtocolPolicy": "allow-all",
        "MinTTL": 0,
        "ForwardedValues": {"QueryString": True, "Cookies": {"Forward": "none"}},
    }
    config = {
        "CallerReference": "one",
        "Comment": "",
        "Enabled": True,
        "Origins": {
            "Quantity": 1,
            "Items": [
                {"Id": "tiles", "DomainName": "tiles.s3.amazonaws.com", "S3OriginConfig": {"OriginAccessIdentity": ""}}
            ],
        },
        "DefaultCacheBehavior": behavior,
    }
    return str(boto3.client("cloudfront").create_distribution(DistributionConfig=config)["Distribution"]["Id"])


def bury(stack: str) -> None:
    """Move the messages of the queue, and one of another job, to the dead-letter queue."""
    queue = SqsQueue.open(read_stack(stack, "us-east-1").outputs["QueueUrl"], "us-east-1")
    dead = queue.dead_queue()
    assert dead is not None
    deliveries = queue.receive(10, wait=0)
    assert deliveries
    other = replace(Message.decode(deliveries[0].body), job="another").encode()
    assert (
        dead.send_bodies(
            {str(number): body for number, body in enumerate([other, *(each.body for each in deliveries)])}
        )
        == {}
    )


def test_commands_ask_what_the_policies_allow_and_the_policies_allow_no_more(
    make_stack: MakeStack, cloud: str, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Invalidation, "status", property(lambda _: "Completed", lambda *_: None), raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud)
    name, cdn = make_stack(WebsiteUrl="http://tiles.test", TileUrl="https://tiles.test/direct"), distribution()
    for file, seed in (("alps.tif", 1), ("other.tif", 2)):
        write_raster(tmp_path / file, Recipe(values=scene(300, 300, seed=seed)))
    monkeypatch.setenv("AWS_ENDPOINT_URL", recorder.url)

    def run(*words: str) -> None:
        spelled = [word.format(tmp=tmp_path, cdn=cdn) for word in words]
        result = command(*spelled, "--stack", name)
        assert result.exit_code in (0, 1), (spelled, result.output)

    with recorder:
        run("ingest", "{tmp}/alps.tif", "--jobs", "1")
        run("seed", "alps", "--zooms", "5-7", "--queue", "local", "--jobs", "1")
        before, recorder.actions = recorder.actions, set()
        for words in READING:
            run(*words)
        read, recorder.actions = recorder.actions, set()
        for words in WRITING:
            if words[0] == "errors":
                bury(name)
            run(*words)
        written = recorder.actions
    assert read - {FREE} <= allowed("reader")
    assert allowed("reader") <= read | LAMBDA
    assert (before | read | written) - {FREE} <= allowed("operator")
    assert allowed("operator") <= before | read | written | UPLOADS | LAMBDA


@pytest.mark.parametrize("name", ["operator", "reader"])
def test_a_policy_reaches_the_stack_s_resources_in_every_partition_and_no_others(name: str) -> None:
    for action in allowed(name):
        patterns = resources(name, action)
        service = action.partition(":")[0]
        for partition in ("aws", "aws-cn", "aws-us-gov", "aws-eusc"):
            ours, others = ARNS[service]
            assert covers(patterns, ours.replace("PARTITION", partition)), (action, partition)
            assert not covers(patterns, others.replace("PARTITION", partition)) or patterns == ["*"], (
                action,
                partition,
            )


@pytest.mark.parametrize("name", ["operator", "reader", "deployer"])
def test_iam_takes_the_policy(name: str) -> None:
    text = policy(name).read_text()
    assert len("".join(text.split())) < 6144, "white space does not count"
    statements = json.loads(text)["Statement"]
    assert len({statement["Sid"] for statement in statements}) == len(statements)
    assert all(statement["Sid"].isalnum() for statement in statements)


def test_the_deployer_reaches_only_resources_of_the_stack_s_names_or_without_a_name() -> None:
    for action in allowed("deployer"):
        for pattern in resources("deployer", action):
            named = pattern.partition("tile-seeder-")
            assert named[1] or pattern in UNNAMED or (pattern == "*" and action in UNBOUND), (action, pattern)
            if named[1]:
                assert not named[0].removeprefix("arn:*:").count("*") > 2, "only region and account vary"
                assert re.fullmatch(r"\*(/\*|/serverless/\*)?", named[2])
    (passing,) = (each for each in statements("deployer") if "iam:PassRole" in each["Action"])
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}


UNNAMED = {  # resources whose ids AWS chooses
    "arn:*:lambda:*:*:event-source-mapping:*",
    *(f"arn:*:cloudfront::*:{kind}/*" for kind in ("distribution", "cache-policy", "origin-access-control")),
    *(f"arn:*:apigateway:*::/{path}" for path in ("apis", "apis/*", "tags/*")),
}
UNBOUND = {  # actions that IAM binds to no resource; the mapping is bound to the stack's functions by a condition
    *("cloudformation:ValidateTemplate", "cloudwatch:DescribeAlarms", "logs:DescribeLogGroups"),
    *("lambda:CreateEventSourceMapping", "lambda:GetAccountSettings"),
}


ARNS = {
    "s3": ("arn:PARTITION:s3:::tile-seeder-dev-tilebucket-1abc/relief/1.png", "arn:PARTITION:s3:::other/x"),
    "sqs": (
        "arn:PARTITION:sqs:eu-west-1:123456789012:tile-seeder-dev-Queue-1abc",
        "arn:PARTITION:sqs:eu-west-1:123456789012:other",
    ),
    "cloudformation": (
        "arn:PARTITION:cloudformation:eu-west-1:123456789012:stack/tile-seeder-dev/1-2-3",
        "arn:PARTITION:cloudformation:eu-west-1:123456789012:stack/other/1-2-3",
    ),
    "lambda": ("arn:PARTITION:lambda:eu-west-1:123456789012:function:tile-seeder-dev-worker", "other"),
    "cloudfront": ("arn:PARTITION:cloudfront::123456789012:distribution/E1", "arn:PARTITION:s3:::other/x"),
}
