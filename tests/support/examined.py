"""What `seeder doctor` finds, and the workers that it looks for."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import boto3
from click.testing import CliRunner, Result

from seeder.cli import main as cli

ALL = [
    *("machine", "credentials", "stack", "metadata", "tiles", "sources", "queue", "dead letters", "workers"),
    *("bake queue", "concurrency", "layers", "render"),
]


def make_workers(name: str, queue: str) -> str:
    """A function fed by a queue; return the id of its mapping."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("worker.py", "")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    role = boto3.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    function = {"FunctionName": name, "Runtime": "python3.13", "Role": role, "Handler": "worker.handler"}
    boto3.client("lambda").create_function(**function, Code={"ZipFile": code.getvalue()})
    attributes = boto3.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    mapping = boto3.client("lambda").create_event_source_mapping(
        EventSourceArn=attributes["QueueArn"], FunctionName=name
    )
    return str(mapping["UUID"])


def endpoint() -> dict[str, str]:
    return {"AWS_ENDPOINT_URL": str(boto3.client("s3").meta.endpoint_url), "AWS_REGION": "us-east-1"}


def doctor(*words: str) -> Result:
    return CliRunner().invoke(cli.main, ["doctor", *words])


def findings(result: Result) -> dict[str, dict[str, Any]]:
    """The results of `--json` by check."""
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert all(set(line) == {"what", "seen", "well"} for line in lines)
    return {line["what"]: line for line in lines}


def wrong(result: Result) -> dict[str, str]:
    """The failed checks of `--json`."""
    found = {what: each["seen"] for what, each in findings(result).items() if not each["well"]}
    assert result.exit_code == bool(found)
    return found
