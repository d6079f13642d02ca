"""An SQS server for a test run, and queues with the stack's redrive policy."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import boto3
import urllib3
from botocore.config import Config

from tests.e2e.lambdas import REGION, ROOT
from tests.e2e.wire import free_port

RECEIVES = 5  # before a message goes to the dead-letter queue
START_LIMIT = 60.0  # seconds


@dataclass(frozen=True)
class Queue:
    """A queue and its dead-letter queue."""

    url: str
    dead_url: str
    client: Any

    def send(self, *bodies: str) -> list[str]:
        """Send messages, in batches of ten; return their ids."""
        ids = []
        for start in range(0, len(bodies), 10):
            entries = [
                {"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies[start : start + 10])
            ]
            answer = self.client.send_message_batch(QueueUrl=self.url, Entries=entries)
            ids += [sent["MessageId"] for sent in answer["Successful"]]
        return ids

    def dead(self) -> list[str]:
        """The bodies of the messages in the dead-letter queue, taken out of it."""
        bodies: list[str] = []
        while messages := self.client.receive_message(QueueUrl=self.dead_url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                bodies.append(message["Body"])
                self.client.delete_message(QueueUrl=self.dead_url, ReceiptHandle=message["ReceiptHandle"])
        return bodies


@dataclass(frozen=True)
class Sqs:
    """An SQS server; every client of it needs `env`."""

    endpoint: str
    env: Mapping[str, str]

    def client(self, endpoint: str | None = None) -> Any:
        """A boto3 client, of this server or of a proxy before it."""
        return boto3.client(
            "sqs",
            endpoint_url=endpoint or self.endpoint,
            aws_access_key_id=self.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.env["AWS_SECRET_ACCESS_KEY"],
            region_name=self.env["AWS_REGION"],
            config=Config(max_pool_connections=32),
        )

    def queue(self, *, visibility: int = 30, receives: int = RECEIVES) -> Queue:
        """A new queue whose messages are hidden for `visibility` seconds and given up after `receives` receives."""
        client = self.client()
        name = f"blocks-{uuid4().hex[:12]}"
        dead = client.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
        arn = client.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": receives})
        url = client.create_queue(
            QueueName=name, Attributes={"VisibilityTimeout": str(visibility), "RedrivePolicy": redrive}
        )["QueueUrl"]
        return Queue(url, dead, client)


@contextmanager
def running() -> Iterator[Sqs]:
    """A server, until the end of the block.

    Raises:
        RuntimeError: it does not start.
    """
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.sqsserver", str(port)],
        cwd=ROOT,
        stdin=subprocess.PIPE,  # its end is the server's
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # a line for every request
    )
    assert process.stdin
    try:
        endpoint = f"http://127.0.0.1:{port}"
        end = time.monotonic() + START_LIMIT
        with urllib3.PoolManager(retries=False) as http:
            while not _answers(http, endpoint):
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError("moto does not start: see `python -m tests.e2e.sqsserver 5000`")
                time.sleep(0.05)
        env = {
            "AWS_ACCESS_KEY_ID": "e2ekey",
            "AWS_SECRET_ACCESS_KEY": "e2esecret",
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL_SQS": endpoint,
        }
        yield Sqs(endpoint, env)
    finally:
        process.stdin.close()
        process.wait()


def _answers(http: urllib3.PoolManager, endpoint: str) -> bool:
    try:
        return http.request("GET", f"{endpoint}/moto-api/").status == 200
    except urllib3.exceptions.HTTPError:
        return False
