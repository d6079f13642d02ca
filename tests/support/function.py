"""The worker function in this process: a real queue, records in Lambda's form, and the printed output."""

from __future__ import annotations

import io
import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from seeder.cache.prepare_job import prepare
from seeder.jobs.ledger import finished, read_receipts
from seeder.jobs.messages import Message, Receipt
from seeder.jobs.plan import Plan
from seeder.select.selection import Selection
from seeder.workers import lambda_handler
from seeder.workers.sqs import SqsQueue
from tiler.layers.catalog import load_layer
from tiler.layers.render import TileVariant
from tiler.settings import Settings
from tiler.storage.store import Stores

Kind = Literal["done", "failed"]
ZOOMS = (5, 6, 7, 8, 9)


def png_tiles(data: Path) -> dict[str, bytes]:
    """The tiles of `alps` in a data folder, by z/x/y."""
    folder = data / "tiles" / "alps"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("*/*/*.png")}


def planned(data: Path) -> Plan:
    """A job for all tiles of `alps` of zooms 5 to 9."""
    stores = Stores.open(Settings.from_env({}, data=str(data)))
    return prepare(load_layer(stores.sources, "alps"), Selection(ZOOMS), TileVariant(), force=False, stores=stores)


@dataclass
class Context:
    """Lambda's context; `seconds` are the remaining times of consecutive calls, the last one repeated."""

    seconds: list[float]
    function_name: str = "tile-seeder-dev-worker"

    def get_remaining_time_in_millis(self) -> int:
        """The remaining milliseconds of the invocation."""
        return round(1000 * (self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0]))


@dataclass
class Function:
    """The deployed function: its queue, its stores, a job, and the printed output."""

    queue: SqsQueue
    data: Path
    plan: Plan
    logged: io.StringIO
    capture: pytest.CaptureFixture[str]

    @property
    def stores(self) -> Stores:
        """The stores of the folder."""
        return Stores.open(Settings.from_env({}, data=str(self.data)))

    @property
    def messages(self) -> list[Message]:
        """The messages of the job, low zooms first."""
        return list(self.plan.messages((8,)))

    def records(self, *bodies: str, most: int = 10) -> list[dict[str, Any]]:
        """Records of sent bodies and of waiting messages, in the form of the event-source mapping."""
        for body in bodies:
            self.queue.client.send_message(QueueUrl=self.queue.url, MessageBody=body)
        found = self.queue.client.receive_message(
            QueueUrl=self.queue.url,
            MaxNumberOfMessages=most,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return [
            {
                "messageId": each["MessageId"],
                "receiptHandle": each["ReceiptHandle"],
                "body": each["Body"],
                "attributes": each["Attributes"],
                "messageAttributes": {
                    name: {"stringValue": value["StringValue"], "dataType": value["DataType"]}
                    for name, value in each.get("MessageAttributes", {}).items()
                },
                "md5OfBody": each["MD5OfBody"],
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:blocks",
                "awsRegion": "us-east-1",
            }
            for each in found.get("Messages", [])
        ]

    def invoke(self, records: list[dict[str, Any]], *, seconds: list[float] | None = None) -> list[str]:
        """The bodies of the returned records; the other messages are deleted, as by Lambda."""
        answer = lambda_handler.handler({"Records": records}, Context(seconds or [120]))
        assert set(answer) == {"batchItemFailures"}
        back = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
        for record in records:
            if record["messageId"] not in back:
                self.queue.client.delete_message(QueueUrl=self.queue.url, ReceiptHandle=record["receiptHandle"])
        return [record["body"] for record in records if record["messageId"] in back]

    def lines(self, message: str) -> list[dict[str, Any]]:
        """The log lines with this message."""
        return [line for line in map(json.loads, self.logged.getvalue().splitlines()) if line["message"] == message]

    def counted(self) -> Counter[str]:
        """The sums of the metrics printed since the last call."""
        sums: Counter[str] = Counter()
        for line in map(json.loads, self.capture.readouterr().out.splitlines()):
            (directive,) = line["_aws"]["CloudWatchMetrics"]
            assert directive["Namespace"] == "TileSeeder"
            for metric in directive["Metrics"]:
                sums[metric["Name"]] += sum(line[metric["Name"]])
        return sums

    def tiles(self) -> dict[str, bytes]:
        """The stored tiles."""
        return png_tiles(self.data)

    def receipts(self, kind: Kind = "done") -> list[Receipt]:
        """The job's receipts in the folder."""
        sources, job = self.stores.sources, self.plan.job.id
        return list(read_receipts(sources, job, list(finished(sources, job, kind)), kind))

    def obstruct(self, z: int) -> Path:
        """Prevent writes of tiles of zoom `z` until the returned path is removed."""
        obstacle = self.data / "tiles" / "alps" / str(z)
        obstacle.write_text("in the way of the folder")
        return obstacle


@contextmanager
def started(queue: SqsQueue, data: Path, capture: pytest.CaptureFixture[str]) -> Iterator[Function]:
    """The function in a fresh process."""
    logged = io.StringIO()
    handler = next(each for each in lambda_handler.log.handlers if isinstance(each, logging.StreamHandler))
    before = handler.setStream(logged)
    kept = (lambda_handler._settings, lambda_handler._worker, lambda_handler._queue)
    for each in kept:
        each.cache_clear()
    try:
        yield Function(queue, data, planned(data), logged, capture)
    finally:
        for each in kept:
            each.cache_clear()
        handler.setStream(before)
