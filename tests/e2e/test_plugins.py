"""The local plugins of osls: what they do before it packages or removes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NoReturn

import boto3
import pytest
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.exceptions import AccessDeniedError
from moto.s3.exceptions import BucketAccessDeniedError
from moto.s3.models import S3Backend

from seeder.aws.stack import read_stack
from tests.e2e.serverless import node
from tests.support.aws import MakeStack

REGION = "us-east-1"


def hooked(plugin: str, hook: str, serverless: str, **options: str) -> Any:
    """What a hook of a plugin prints and raises, given the object `serverless` of osls and the options."""
    return node(f"""
    const lines = [];
    class Failure extends Error {{}}
    const serverless = {{ classes: {{ Error: Failure }}, {serverless} }};
    const Plugin = require('./deploy/{plugin}');
    const log = {{ notice: (line) => lines.push(line) }};
    new Plugin(serverless, {json.dumps(options)}, {{ log }}).hooks['{hook}']().then(
      () => console.log(JSON.stringify([lines, null])),
      (error) => console.log(JSON.stringify([lines, error instanceof Failure ? error.message : error.stack])));
    """)


@pytest.mark.parametrize("hook", ["before:package:createDeploymentArtifacts", "before:package:function:package"])
@pytest.mark.parametrize(("arch", "built"), [("arm64", True), ("x86_64", False)])
def test_the_package_of_one_architecture_is_built(tmp_path: Path, hook: str, arch: str, *, built: bool) -> None:
    script = tmp_path / "scripts" / "package-lambda"
    script.parent.mkdir()
    script.write_text('#!/bin/sh\necho "$@"; [ "$1" = arm64 ]\n')
    script.chmod(0o755)
    service = f"service: {{ custom: {{ arch: '{arch}' }} }}, serviceDir: {json.dumps(str(tmp_path))}"
    assert hooked("build", hook, service) == [
        [arch],
        None if built else "cannot build the package for x86_64: see above",
    ]


def refusal(endpoint: str, stack: str) -> str:
    """The complaint of `remove` about a stack; empty if it goes on."""
    _, complaint = hooked("removal", "before:remove:remove", provider(endpoint, stack, REGION))
    return str(complaint or "")


def provider(endpoint: str, stack: str, region: str) -> str:
    """The part of osls's object that has the name of the stack, its region and the configuration of AWS's SDK."""
    config = {
        "endpoint": endpoint,
        "region": region,
        "credentials": {"accessKeyId": "testing", "secretAccessKey": "testing"},
        "forcePathStyle": True,
    }
    return f"""getProvider: () => ({{
      naming: {{ getStackName: () => {json.dumps(stack)} }},
      getRegion: () => {json.dumps(region)},
      getAwsSdkV3Config: async () => ({json.dumps(config)}),
    }})"""


def test_full_buckets_are_named_until_they_are_empty(cloud: str, make_stack: MakeStack) -> None:
    stack, client = make_stack(), boto3.client("s3")
    outputs = read_stack(stack, REGION).outputs
    tiles, sources = outputs["TileBucket"], outputs["SourceBucket"]
    assert refusal(cloud, stack) == ""
    client.put_object(Bucket=tiles, Key="ortho/1/0/0.png", Body=b"")
    upload = client.create_multipart_upload(Bucket=sources, Key="sources/ortho/parts/a1-b2.tif")["UploadId"]
    assert refusal(cloud, stack) == (
        f"not empty: TileBucket {tiles} (objects), SourceBucket {sources} (unfinished uploads); "
        f"to delete all of it: AWS_REGION={REGION} seeder empty-stack {stack}"
    )
    client.abort_multipart_upload(Bucket=sources, Key="sources/ortho/parts/a1-b2.tif", UploadId=upload)
    client.put_bucket_versioning(Bucket=tiles, VersioningConfiguration={"Status": "Enabled"})
    client.delete_object(Bucket=tiles, Key="ortho/1/0/0.png")
    assert re.match(rf"not empty: TileBucket {tiles} \(objects\); ", refusal(cloud, stack)), "of an earlier version"
    client.delete_bucket(Bucket=sources)  # as an interrupted removal does
    boto3.resource("s3").Bucket(tiles).object_versions.delete()
    assert refusal(cloud, stack) == ""


def test_a_protected_stack_is_refused_first_and_an_unknown_one_is_left_to_osls(cloud: str) -> None:
    resources = {"TileBucket": {"Type": "AWS::S3::Bucket"}}
    outputs = {"TileBucket": {"Value": {"Ref": "TileBucket"}}}
    boto3.client("cloudformation").create_stack(
        StackName="tile-seeder-prod",
        TemplateBody=json.dumps({"Resources": resources, "Outputs": outputs}),
        EnableTerminationProtection=True,
    )
    stack = read_stack("tile-seeder-prod", REGION)
    boto3.client("s3").put_object(Bucket=stack.outputs["TileBucket"], Key="ortho/1/0/0.png", Body=b"")
    assert refusal(cloud, stack.name) == stack.protection
    options = f"--no-enable-termination-protection --region {REGION} --stack-name tile-seeder-prod"
    assert f"to lift it: aws cloudformation update-termination-protection {options}" in stack.protection
    assert refusal(cloud, "tile-seeder-nowhere") == ""


@pytest.mark.parametrize(
    ("request_", "permission"),
    [("list_object_versions", "s3:ListBucketVersions"), ("list_multipart_uploads", "s3:ListBucketMultipartUploads")],
)
def test_a_bucket_that_may_not_be_listed_is_named_with_the_permission_and_not_as_full(
    request_: str, permission: str, cloud: str, make_stack: MakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(_backend: S3Backend, bucket: str, *_rest: object, **_options: object) -> NoReturn:
        raise BucketAccessDeniedError(bucket)

    monkeypatch.setattr(S3Backend, request_, deny)
    stack = make_stack()
    complaint = refusal(cloud, stack)
    bucket = read_stack(stack, REGION).outputs["TileBucket"]
    assert complaint.startswith(f"cannot check that TileBucket {bucket} is empty (Access")
    assert permission in complaint
    assert "empty-stack" not in complaint
    assert "\n" not in complaint


def elsewhere(endpoint: str, stack: str, chosen: str, command: str = "deploy", **options: str) -> str:
    """The complaint before a command in the region `chosen` without the stack; empty if it goes on."""
    words = f"processedInput: {{ commands: {json.dumps(command.split())} }}, {provider(endpoint, stack, chosen)}"
    _, complaint = hooked("elsewhere", "initialize", words, **options)
    return str(complaint or "")


@pytest.fixture
def stack(make_stack: MakeStack, monkeypatch: pytest.MonkeyPatch) -> str:
    """A stack in us-east-1, for a user whose region is only in the profile."""
    made = make_stack()
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    return made


def test_a_stack_of_us_east_1_is_not_deployed_again_to_the_region_of_the_profile(
    cloud: str, stack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = f"stack {stack} is in us-east-1, not in eu-west-1, the region of your profile: add --region us-east-1"
    assert elsewhere(cloud, stack, "eu-west-1") == f"{where} to update it, or --region eu-west-1 for a new stack"
    assert elsewhere(cloud, stack, "eu-west-1", "remove") == f"{where} to remove it"
    assert elsewhere(cloud, stack, "eu-west-1", "package") == ""
    assert elsewhere(cloud, stack, "eu-west-1", region="eu-west-1") == ""
    assert elsewhere(cloud, "tile-seeder-new", "eu-west-1") == ""
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert elsewhere(cloud, stack, "eu-west-1") == ""


def test_a_stack_in_both_regions_is_deployed_to_that_of_the_profile(cloud: str, stack: str) -> None:
    topic = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})
    boto3.client("cloudformation", region_name="eu-west-1").create_stack(StackName=stack, TemplateBody=topic)
    assert elsewhere(cloud, stack, "eu-west-1") == ""
    assert elsewhere(cloud, stack, "eu-west-2") != ""


def test_a_lookup_that_is_denied_does_not_block(cloud: str, stack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(_response: CloudFormationResponse) -> NoReturn:
        raise AccessDeniedError(user_arn="arn:aws:iam::123456789012:user/deployer", action="DescribeStacks")

    monkeypatch.setattr(CloudFormationResponse, "describe_stacks", deny)
    assert elsewhere(cloud, stack, "eu-west-1") == ""
