"""Upload a large file to S3 over any line: in parts, several at once, resumed after a failure.

A small JSON file beside the uploaded one names the upload, and S3 lists the parts that it has stored.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from tiler import timing
from tiler.errors import StoreError
from tiler.settings import AMAZON, S3
from tiler.storage import access
from tiler.storage.upload_parts import LARGEST_PART, LEAST_PART, PartPlan, Record, record_of

MARK = "seeder-upload"  # metadata of an object: the token of its upload
UNKNOWN = {"NoSuchUpload", "NoSuchKey"}  # error codes of an upload that S3 does not have; Ceph gives the second
UNUSABLE = {"EntityTooSmall", "InvalidPart", "InvalidPartOrder"}  # error codes of an upload that cannot be completed


@dataclass(frozen=True, slots=True)
class Line:
    """Limits of an upload: least bytes per part, parts at once, attempts per request, seconds without an answer."""

    least_part: int = LEAST_PART
    at_once: int = 4
    tries: int = 10
    silence: float = timing.UPLOAD_SILENCE_SECONDS


LINE = Line()


@dataclass(frozen=True, slots=True)
class Destination:
    """An object to write: its key below the store at `url`."""

    url: str
    key: str
    content_type: str
    s3: S3 = AMAZON

    @property
    def address(self) -> dict[str, str]:
        """Bucket and whole key, as arguments of an S3 client."""
        parts = urlsplit(self.url)
        return {"Bucket": parts.netloc, "Key": f"{unquote(parts.path).strip('/')}/{self.key}".lstrip("/")}


def upload(path: Path, to: Destination, sent: Callable[[int], object] = lambda _: None) -> None:
    """Write the file at `path` to S3; the file stays. `sent` takes the bytes of each part that S3 has stored.

    After an error, Ctrl-C or a kill, the same call sends only the parts that S3 lacks. A changed file is sent whole.

    Raises:
        StoreError: S3 failed or refused; what it has stored stays there for the next call.
    """
    with translated(to.key):
        about, line = path.stat(), LINE
        client = _client(to.s3, line)
        plan = PartPlan.of(about.st_size, line.least_part)
        record = Record.read(record_of(path))
        if record and (record.url, record.key, record.size, record.modified) != (
            *(to.url, to.key),
            *(about.st_size, about.st_mtime_ns),
        ):
            abandon(path, to.s3)
            record = None
        if plan.count == 1:
            _put_whole(client, path, to, line)
            sent(about.st_size)
        else:
            _put_parts(_Sender(client, path, to, plan, line, sent), record)
        record_of(path).unlink(missing_ok=True)


def abandon(path: Path, s3: S3) -> None:
    """Forget the upload of a file: remove its record, and its parts from S3 if S3 answers."""
    record = Record.read(record_of(path))
    record_of(path).unlink(missing_ok=True)
    if record:
        with suppress(StoreError), translated(record.key):
            where = Destination(record.url, record.key, "").address
            _client(s3, Line(tries=2, silence=10)).abort_multipart_upload(**where, UploadId=record.upload)


class _Stopped(BaseException):
    """Ends a request from within; botocore would retry after an Exception."""


@dataclass(slots=True)
class _Switch:
    """Ends the requests of all threads when one failed; called while bytes are sent."""

    stopped: bool = False

    def __call__(self, bytes_transferred: int) -> None:  # noqa: ARG002 - its name in s3transfer
        """End this request if another one failed."""
        if self.stopped:
            raise _Stopped


@dataclass(frozen=True, slots=True)
class _Sender:
    """Sends the parts of a file."""

    client: Any
    path: Path
    to: Destination
    plan: PartPlan
    line: Line
    sent: Callable[[int], object]

    def begin(self) -> Record:
        """Begin an upload, and put it on record."""
        token, about = uuid4().hex, self.path.stat()
        answer = self.client.create_multipart_upload(
            **self.to.address, ContentType=self.to.content_type, Metadata={MARK: token}
        )
        where = (self.to.url, self.to.key, answer["UploadId"], token)
        record = Record(*where, self.plan.part, about.st_size, about.st_mtime_ns)
        record.write(record_of(self.path))
        return record

    def stored(self, record: Record) -> dict[int, str] | None:
        """The ETags of the parts that S3 has stored; None if it does not know the upload."""
        pages = self.client.get_paginator("list_parts").paginate(**self.to.address, UploadId=record.upload)
        try:
            parts = [part for page in pages for part in page.get("Parts", ())]
        except self.client.exceptions.ClientError as error:
            if _code(error) in UNKNOWN:
                return None
            raise
        return {
            part["PartNumber"]: part["ETag"]
            for part in parts
            if 1 <= part["PartNumber"] <= self.plan.count and part["Size"] == self.plan.length(part["PartNumber"])
        }

    def send(self, record: Record, switch: _Switch, number: int) -> str:
        """Send a part; its ETag."""
        with _part(self.path, self.plan, number, switch) as body:
            answer = self.client.upload_part(
                **self.to.address, UploadId=record.upload, PartNumber=number, Body=body, ContentLength=len(body)
            )
        self.sent(self.plan.length(number))
        return str(answer["ETag"])

    def complete(self, record: Record, tags: dict[int, str]) -> None:
        """Make the parts an object."""
        parts = [{"PartNumber": number, "ETag": tags[number]} for number in sorted(tags)]
        try:
            self.client.complete_multipart_upload(
                **self.to.address, UploadId=record.upload, MultipartUpload={"Parts": parts}
            )
        except self.client.exceptions.ClientError as error:
            if _code(error) in UNUSABLE:
                record_of(self.path).unlink(missing_ok=True)
            if _code(error) not in UNKNOWN or not self.arrived(record):  # else an earlier try completed it
                raise

    def arrived(self, record: Record) -> bool:
        """Whether the object is the one of this upload: its last answer may have been lost."""
        try:
            head = self.client.head_object(**self.to.address)
        except self.client.exceptions.ClientError:
            return False
        return bool(head["ContentLength"] == record.size) and head.get("Metadata", {}).get(MARK) == record.token


def _put_whole(client: Any, path: Path, to: Destination, line: Line) -> None:
    plan = PartPlan(path.stat().st_size, LARGEST_PART)
    switch = _Switch()

    def send(number: int) -> str:
        with _part(path, plan, number, switch) as body:
            client.put_object(**to.address, Body=body, ContentLength=len(body), ContentType=to.content_type)
        return ""

    _in_threads(send, [1], line.at_once, switch)


def _put_parts(sender: _Sender, record: Record | None) -> None:
    size, tags = sender.plan.size, dict[int, str]()
    if record:
        sender = replace(sender, plan=PartPlan(size, record.part))
        stored = sender.stored(record)
        if stored is None and sender.arrived(record):
            return
        record, tags = (record, stored) if stored is not None else (None, {})
        sender.sent(sum(map(sender.plan.length, tags)))
    begun = record or sender.begin()
    missing = [number for number in range(1, PartPlan(size, begun.part).count + 1) if number not in tags]
    switch = _Switch()
    tags |= _in_threads(partial(sender.send, begun, switch), missing, sender.line.at_once, switch)
    sender.complete(begun, tags)


def _in_threads(send: Callable[[int], str], numbers: Iterable[int], threads: int, switch: _Switch) -> dict[int, str]:
    """The answers of `send`, called in several threads.

    The first error stops all, without waiting for the other threads: a request may take minutes to fail.
    """
    waiting, ended = deque(numbers), SimpleQueue[tuple[int, str | BaseException]]()

    def work() -> None:
        while not switch.stopped:
            try:
                number = waiting.popleft()
            except IndexError:
                return
            try:
                ended.put((number, send(number)))
            except BaseException as error:  # noqa: BLE001 - the thread that waits raises it
                ended.put((number, error))
                return

    answers, total = dict[int, str](), len(waiting)
    try:
        for _ in range(min(threads, total)):
            threading.Thread(target=work, daemon=True).start()
        while len(answers) < total:
            number, answer = ended.get()
            if isinstance(answer, BaseException):
                raise answer
            answers[number] = answer
    finally:
        switch.stopped = True
    return answers


@contextmanager
def _part(path: Path, plan: PartPlan, number: int, switch: _Switch) -> Iterator[Any]:
    """A part of a file, read while it is sent; `switch` may end what is sent, not what is read to be signed."""
    from s3transfer.utils import ReadFileChunk  # noqa: PLC0415 - boto3 takes a third of a second

    body = ReadFileChunk.from_filename(
        str(path), plan.offset(number), plan.length(number), callbacks=[switch], enable_callbacks=False
    )
    try:
        yield body
    finally:
        body.close()


def _client(s3: S3, line: Line) -> Any:
    """An S3 client for the store's server and region, with boto3's credentials: it renews those that expire.

    While a request is sent, the timeout of its connection is that of connecting.
    """
    from botocore.config import Config  # noqa: PLC0415 - boto3 takes a third of a second
    from s3transfer.utils import signal_not_transferring, signal_transferring  # noqa: PLC0415

    config = Config(
        retries={"mode": "standard", "total_max_attempts": line.tries},
        connect_timeout=min(line.silence, timing.UPLOAD_CONNECT_SECONDS),
        read_timeout=line.silence,
        max_pool_connections=line.at_once,
        tcp_keepalive=True,
        request_checksum_calculation="when_required",  # for servers without newer checksums; SHA-256 signs each request
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if s3.endpoint else "auto"},
    )
    client = access.client("s3", region_name=s3.region or None, endpoint_url=s3.endpoint or None, config=config)
    client.meta.events.register_first("request-created.s3", signal_not_transferring)
    client.meta.events.register_last("request-created.s3", signal_transferring)
    return client


@contextmanager
def translated(key: str) -> Iterator[None]:
    """Errors of boto3 and files as `StoreError`."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - boto3 takes a third of a second

    try:
        yield
    except ClientError as error:
        message, code = error.response.get("Error", {}).get("Message"), _code(error)
        raise StoreError("write", key, f"{message} ({code})" if message else code) from error
    except (BotoCoreError, access.NoAccess, OSError, ValueError) as error:
        raise StoreError("write", key, str(error) or type(error).__name__) from error


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
