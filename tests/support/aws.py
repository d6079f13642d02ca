"""Buckets and stacks at the endpoint of the environment."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3

from tiler.layers.version import METADATA

MakeStack = Callable[..., str]


def new_bucket() -> str:
    """Create an empty bucket; return its name."""
    bucket = f"tiles-{uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    return bucket


def upload(folder: Path, bucket: str) -> None:
    """Upload all files below a folder to a bucket."""
    client = boto3.client("s3")
    for path in folder.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), bucket, str(path.relative_to(folder)))


def new_stack(*, version: int | None = METADATA, bakes: bool = False, **outputs: str) -> str:
    """Create a stack with buckets and queues like the project's; keywords add outputs. Return its name.

    Its functions read metadata up to `version`; early stacks have no such output. With `bakes` it has a bake queue.
    """
    redrive = {"deadLetterTargetArn": {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}, "maxReceiveCount": 5}
    resources: dict[str, Any] = {
        "TileBucket": {"Type": "AWS::S3::Bucket"},
        "SourceBucket": {"Type": "AWS::S3::Bucket"},
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"RedrivePolicy": redrive}},
        "DeadLetterQueue": {"Type": "AWS::SQS::Queue"},
    }
    named = {"TileBucket": "TileBucket", "SourceBucket": "SourceBucket", "QueueUrl": "Queue"}
    if bakes:
        redrive = {"deadLetterTargetArn": {"Fn::GetAtt": ["BakeDeadLetters", "Arn"]}, "maxReceiveCount": 5}
        resources["BakeQueue"] = {"Type": "AWS::SQS::Queue", "Properties": {"RedrivePolicy": redrive}}
        resources["BakeDeadLetters"] = {"Type": "AWS::SQS::Queue"}
        named["BakeQueueUrl"] = "BakeQueue"
    name = f"seeder-{uuid4().hex[:8]}"
    told: dict[str, Any] = {output: {"Value": {"Ref": resource}} for output, resource in named.items()}
    told |= {output: {"Value": value} for output, value in outputs.items()}
    told |= {"MetadataVersion": {"Value": str(version)}} if version else {}
    template = json.dumps({"Resources": resources, "Outputs": told})
    boto3.client("cloudformation").create_stack(StackName=name, TemplateBody=template)
    return name
