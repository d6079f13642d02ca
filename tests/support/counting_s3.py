"""A server of its own process that counts what an upload to S3 sends, and keeps none of it.

It can receive no more than some bytes a second, page its lists, and fail at a part: answer a status, at once if it is
`early`, `drop` the connection halfway, or `lose` the answer of a part that it has stored. Part 0 is the completion.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

CONTROL = "/_/control"
PIECE = 1 << 18  # bytes read at once


@dataclass(frozen=True)
class Counting:
    """The server's address."""

    url: str

    def set(self, **how: Any) -> None:
        """Set `rate` (bytes a second, 0: no limit), `page` (parts a list), `faults` ({part: [what, times]})."""
        with urlopen(Request(self.url + CONTROL, json.dumps(how).encode(), method="PUT")):
            pass

    def reset(self) -> None:
        """Forget all."""
        self.set(reset=True)

    def state(self) -> dict[str, Any]:
        """All counts: `requests`, `parts` stored and `sent` by number, `bytes`, `under_way`, `at_once`, `objects`."""
        with urlopen(self.url + CONTROL) as answer:
            state: dict[str, Any] = json.load(answer)
        for name in ("parts", "sent"):
            state[name] = {int(number): value for number, value in state[name].items()}
        return state


@contextmanager
def counting_s3() -> Iterator[Counting]:
    """The server, until the end of the block."""
    with subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield Counting(f"http://127.0.0.1:{process.stdout.readline().strip()}")
        finally:
            process.kill()


class State:
    """What the server knows."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.rate, self.page, self.faults = 0.0, 1000, dict[str, list[Any]]()
        self.requests: Counter[str] = Counter()
        self.parts: dict[int, int] = {}
        self.sent: Counter[int] = Counter()  # bodies that arrived whole
        self.bytes = self.under_way = self.at_once = self.uploads = 0
        self.upload, self.meta = "", dict[str, str]()
        self.objects: dict[str, tuple[int, dict[str, str]]] = {}
        self.free_at = 0.0

    def took(self, size: int) -> None:
        """Count bytes, and wait as long as the line takes for them; all connections share it."""
        with self.guard:
            self.bytes += size
            if not self.rate:
                return
            self.free_at = max(self.free_at, time.monotonic()) + size / self.rate
            wait = self.free_at - time.monotonic()
        time.sleep(max(0.0, wait))

    def fault(self, number: int) -> str:
        """What befalls a part now."""
        with self.guard:
            kind, times = self.faults.get(str(number), ("", 0))
            if times:
                self.faults[str(number)] = [kind, times - 1]
            return kind if times else ""

    def to_json(self) -> dict[str, Any]:
        """See `Counting.state`."""
        names = ("requests", "parts", "sent", "bytes", "under_way", "at_once")
        return {name: getattr(self, name) for name in names} | {
            "objects": {key: size for key, (size, _) in self.objects.items()}
        }


class Handler(BaseHTTPRequestHandler):
    """Answers what an upload asks."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The counts, or a page of the parts that are stored."""
        if self.path == CONTROL:
            self._answer(200, json.dumps(STATE.to_json()))
            return
        query = self._query()
        STATE.requests["list"] += 1
        if query.get("uploadId") != STATE.upload:
            self._refuse(404, "NoSuchUpload")
            return
        after = int(query.get("part-number-marker", 0))
        rest = sorted(number for number in STATE.parts if number > after)
        page = rest[: STATE.page]
        body = "".join(
            f'<Part><PartNumber>{number}</PartNumber><ETag>"{number}"</ETag><Size>{STATE.parts[number]}</Size></Part>'
            for number in page
        )
        more = f"<IsTruncated>{'true' if len(rest) > len(page) else 'false'}</IsTruncated>"
        marker = f"<NextPartNumberMarker>{page[-1]}</NextPartNumberMarker>" if page else ""
        self._answer(200, f"<ListPartsResult>{more}{marker}{body}</ListPartsResult>")

    def do_HEAD(self) -> None:
        """The size and metadata of an object."""
        known = STATE.objects.get(urlsplit(self.path).path)
        if known is None:
            self._answer(404, "")
            return
        self.send_response(200)
        self.send_header("Content-Length", str(known[0]))
        for name, value in known[1].items():
            self.send_header(name, value)
        self.end_headers()

    def do_POST(self) -> None:
        """Begin an upload, or complete it."""
        query, path = self._query(), urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if "uploads" in query:
            STATE.requests["create"] += 1
            STATE.uploads += 1
            STATE.upload, STATE.parts = f"upload-{STATE.uploads}", {}
            STATE.meta = {name: value for name, value in self.headers.items() if name.lower().startswith("x-amz-meta-")}
            self._answer(
                200,
                f"<InitiateMultipartUploadResult><UploadId>{STATE.upload}</UploadId></InitiateMultipartUploadResult>",
            )
            return
        STATE.requests["complete"] += 1
        numbers = [int(number) for number in re.findall(r"<PartNumber>(\d+)</PartNumber>", body)]
        if query.get("uploadId") != STATE.upload:
            self._refuse(404, "NoSuchUpload")
        elif numbers != sorted(STATE.parts):
            self._refuse(400, "InvalidPart")
        else:
            fault = STATE.fault(0)  # of the completion, which has no number
            if fault.isdigit():
                self._refuse(int(fault), "InvalidPart" if fault == "400" else "InternalError")
                return
            STATE.objects[path], STATE.upload = (sum(STATE.parts.values()), STATE.meta), ""
            if fault:
                self._drop()
            else:
                self._answer(200, '<CompleteMultipartUploadResult><ETag>"x"</ETag></CompleteMultipartUploadResult>')

    def do_PUT(self) -> None:
        """Take a part, an object, or the test's wishes."""
        size = int(self.headers["Content-Length"])
        if self.path == CONTROL:
            wishes = json.loads(self.rfile.read(size))
            vars(STATE).update(vars(State()) if wishes.pop("reset", False) else {})
            vars(STATE).update(wishes)
            self._answer(200, "")
            return
        query = self._query()
        number = int(query.get("partNumber", 1))
        STATE.requests["part" if query else "put"] += 1
        if query and query.get("uploadId") != STATE.upload:
            self._refuse(404, "NoSuchUpload")
            return
        fault = STATE.fault(number)
        if fault == "early":
            self.close_connection = True
            self._refuse(403, "AccessDenied")
            return
        if fault.isdigit():
            self._swallow(size)
            self._refuse(int(fault), {403: "AccessDenied", 503: "SlowDown"}.get(int(fault), "InternalError"))
            return
        self._swallow(size // 2 if fault == "drop" else size)
        if fault == "drop":
            self._drop()
            return
        with STATE.guard:
            if query:
                STATE.parts[number] = size
                STATE.sent[number] += 1
            else:
                STATE.objects[urlsplit(self.path).path] = (size, {})
        if fault == "lose":
            self._drop()
            return
        self._answer(200, "", etag=f'"{number}"')

    def do_DELETE(self) -> None:
        """Abort an upload."""
        STATE.requests["abort"] += 1
        STATE.upload, STATE.parts = "", {}
        self._answer(204, "")

    def _query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query, keep_blank_values=True).items()}

    def _swallow(self, left: int) -> None:
        with STATE.guard:
            STATE.under_way += 1
            STATE.at_once = max(STATE.at_once, STATE.under_way)
        piece = memoryview(bytearray(min(PIECE, int(STATE.rate / 20) or PIECE)))
        try:
            while left:
                got = self.rfile.readinto(piece[: min(left, len(piece))])
                if not got:
                    raise ConnectionResetError
                left -= got
                STATE.took(got)
        finally:
            with STATE.guard:
                STATE.under_way -= 1

    def _drop(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _refuse(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>")

    def _answer(self, status: int, body: str, etag: str = "") -> None:
        data = body.encode()
        self.send_response(status)
        if etag:
            self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in http.server
        """Keep quiet."""


if __name__ == "__main__":
    STATE = State()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign] - clients that leave
        print(server.server_port, flush=True)  # noqa: T201 - to the test that started it
        server.serve_forever()
