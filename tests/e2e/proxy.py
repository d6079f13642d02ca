"""A reverse proxy before S3 or SQS that fails on request: faults as a client meets them on the wire.

Whatever the client signed, the Host header too, passes through unchanged, so its signature stays good.
"""

from __future__ import annotations

import http.client
import json
import random
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

from tests.e2e.wire import FRAMING, PIECE, Exchange, Server

Kind = Literal["slow down", "error", "denied", "drop", "lose", "delay", "cut"]
PASSED = "passed"  # in the counts: no fault befell the request

REFUSALS = {
    "slow down": (503, "SlowDown", "Please reduce your request rate."),
    "error": (500, "InternalError", "We encountered an internal error. Please try again."),
    "denied": (403, "AccessDenied", "Access Denied"),
}
SQS_CODES = {"slow down": "RequestThrottled", "error": "InternalFailure", "denied": "AccessDeniedException"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What befalls the requests that it matches.

    `slow down` is answered 503, `error` 500, `denied` 403; `drop` ends the connection before the server hears
    of the request, `lose` after the server has done it; `delay` waits first; `cut` passes half of the request's
    body, or of the answer's where the request has none, and ends the connection.
    """

    kind: Kind
    method: str | None = None  # every method
    key: str = ""  # a pattern, searched in path and query as sent, or in SQS's action such as `AmazonSQS.SendMessage`
    probability: float = 1.0
    count: int | None = None  # requests that it befalls at most
    seconds: float = 1.0  # of `delay`

    def matches(self, method: str, what: str) -> bool:
        """Whether a request is one that this may befall."""
        return self.method in (None, method) and re.search(self.key, what) is not None


@dataclass(slots=True)
class _Armed:
    """A fault and how often it has struck."""

    fault: Fault
    struck: int = 0


class Proxy:
    """Passes what comes to `url` on to `upstream`, unless a fault befalls it.

    Args:
        upstream: The server's URL; its path is not used.
        seed: Decides which requests a fault with a probability befalls.
    """

    TIMEOUT = 60.0  # seconds without an answer of the server

    def __init__(self, upstream: str, *, seed: int = 0) -> None:
        parts = urlsplit(upstream)
        if not parts.hostname or not parts.port:
            raise ValueError(f"{upstream!r} names no host and port")
        self.requests: Counter[tuple[str, str]] = Counter()  # by method and kind of fault, or PASSED
        self.targets: list[tuple[str, str]] = []  # method, and path with query or SQS's action, of each request
        self.waiting = 0  # requests that are delayed at this moment
        self._upstream = (parts.hostname, parts.port)
        self._chance = random.Random(seed)
        self._faults: list[_Armed] = []
        self._guard = threading.Lock()
        self._cleared = threading.Event()
        self._server: Server | None = Server(self._serve)
        self.port = self._server.port
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop_listening()

    def add(self, *faults: Fault) -> None:
        """Let `faults` befall requests from now on; of several that match, the first counts."""
        with self._guard:
            self._faults += map(_Armed, faults)

    def clear(self) -> None:
        """Let every request pass again, also those that are delayed."""
        with self._guard:
            self._faults.clear()
            self._cleared.set()
            self._cleared = threading.Event()

    def until_waiting(self, number: int, within: float = 120.0) -> None:
        """Return when so many requests are delayed at the same time.

        Raises:
            TimeoutError: they are not within so many seconds.
        """
        end = time.monotonic() + within
        while self.waiting < number:
            if time.monotonic() > end:
                raise TimeoutError(f"{self.waiting} of {number} requests wait after {within:g} s")
            time.sleep(0.05)

    def stop_listening(self) -> None:
        """End all connections and refuse new ones, as an endpoint that is lost."""
        server, self._server = self._server, None
        if server:
            server.close()

    def resume(self) -> None:
        """Listen again, at the same port."""
        if not self._server:
            self._server = Server(self._serve, self.port)

    def _serve(self, exchange: Exchange) -> None:
        what = exchange.headers.get("X-Amz-Target") or exchange.target
        fault = self._strike(exchange.method, what)
        with self._guard:
            self.requests[exchange.method, fault.kind if fault else PASSED] += 1
            self.targets.append((exchange.method, what))
            cleared = self._cleared
        if fault is None or fault.kind == "delay":
            if fault:
                self._wait(cleared, fault.seconds)
            self._pass(exchange)
        elif fault.kind == "drop":
            exchange.drop()
        elif fault.kind in ("lose", "cut"):
            self._pass(exchange, fault.kind)
            exchange.drop()
        else:
            _refuse(exchange, fault.kind)

    def _wait(self, cleared: threading.Event, seconds: float) -> None:
        with self._guard:
            self.waiting += 1
        cleared.wait(seconds)
        with self._guard:
            self.waiting -= 1

    def _strike(self, method: str, what: str) -> Fault | None:
        with self._guard:
            for armed in self._faults:
                fault = armed.fault
                if not fault.matches(method, what) or armed.struck == fault.count:
                    continue
                if self._chance.random() < fault.probability:
                    armed.struck += 1
                    return fault
        return None

    def _pass(self, exchange: Exchange, kind: Literal["lose", "cut"] | None = None) -> None:
        """Pass the request on, and the answer back as far as `kind` lets it."""
        # A connection for each request: one that is kept could have been closed by the server, a fault of our own.
        upstream = http.client.HTTPConnection(*self._upstream, timeout=self.TIMEOUT)
        try:
            if not _send(exchange, upstream, half=kind == "cut"):
                return
            with upstream.getresponse() as response:
                if kind != "lose":
                    _answer(exchange, response, half=kind == "cut")
        except (OSError, http.client.HTTPException):
            exchange.drop()  # the client sees what we see
        finally:
            upstream.close()


def _send(exchange: Exchange, upstream: http.client.HTTPConnection, *, half: bool) -> bool:
    """Send the request on, its body as it comes; return whether that was all of it."""
    upstream.putrequest(exchange.method, exchange.target, skip_host=True, skip_accept_encoding=True)
    for name, value in exchange.headers.items():
        if name.lower() not in FRAMING and name.lower() != "expect":
            upstream.putheader(name, value)
    length = int(exchange.headers.get("Content-Length", 0))
    chunked = "Transfer-Encoding" in exchange.headers
    if chunked:
        upstream.putheader("Transfer-Encoding", "chunked")
    elif "Content-Length" in exchange.headers:
        upstream.putheader("Content-Length", str(length))
    upstream.endheaders()
    left = length // 2
    for piece in exchange.pieces():
        passed = piece[:left] if half else piece
        if passed:
            upstream.send(b"%x\r\n%s\r\n" % (len(passed), passed) if chunked else passed)
        left -= len(passed)
        if half and left <= 0:
            return False
    if chunked:
        upstream.send(b"0\r\n\r\n")
    return True


def _answer(exchange: Exchange, response: http.client.HTTPResponse, *, half: bool) -> None:
    """Pass the answer back as it comes, or the half of it."""
    headers = [(name, value) for name, value in response.getheaders() if name.lower() not in FRAMING]
    length = response.getheader("Content-Length")
    bodiless = exchange.method == "HEAD" or response.status in (204, 304)
    chunked = length is None and not bodiless
    if chunked:
        headers.append(("Transfer-Encoding", "chunked"))
    elif length is not None:
        headers.append(("Content-Length", length))
    exchange.head(response.status, headers)
    left = int(length or 0) // 2 if half else None
    while piece := response.read(PIECE if left is None else min(left, PIECE)):
        exchange.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        if left is not None:
            left -= len(piece)
    if chunked and not half:
        exchange.wfile.write(b"0\r\n\r\n")
    exchange.wfile.flush()


def _refuse(exchange: Exchange, kind: str) -> None:
    status, code, message = REFUSALS[kind]
    for _ in exchange.pieces():
        pass  # or the client would be cut off while it still sends
    if "X-Amz-Target" in exchange.headers:
        body = json.dumps({"__type": f"com.amazonaws.sqs#{SQS_CODES[kind]}", "message": message})
        headers = [("Content-Type", "application/x-amz-json-1.0")]
    elif exchange.target.startswith(("/2015-03-31/", "/2016-08-19/")):  # Lambda
        body = json.dumps({"message": message})
        headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", f"{code}Exception")]
    else:
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message>'
            "<RequestId>e2e</RequestId></Error>"
        )
        headers = [("Content-Type", "application/xml")]
    exchange.send(status, headers, body.encode())
