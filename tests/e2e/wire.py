"""HTTP servers on loopback, each defined by one function, that leave nothing open when they close."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import ThreadingTCPServer
from typing import Any

PIECE = 64 * 1024  # bytes copied at a time
FRAMING = frozenset(("connection", "content-length", "keep-alive", "transfer-encoding"))  # belong to one hop

Headers = Iterable[tuple[str, str]]


def free_port() -> int:
    """A port of loopback that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Files(SimpleHTTPRequestHandler):
    """The files of a folder, as any web server has them; `origins` may read them from pages of other origins."""

    def __init__(self, *args: Any, origins: str = "", **settings: Any) -> None:
        self._origins = origins
        super().__init__(*args, **settings)

    def end_headers(self) -> None:
        """Allow the other origins."""
        if self._origins:
            self.send_header("Access-Control-Allow-Origin", self._origins)
        super().end_headers()

    def log_message(self, *_details: Any) -> None:
        """Keep quiet."""


@contextmanager
def files_served(folder: Path, *, origins: str = "") -> Iterator[str]:
    """The address of a web server of a folder, until the end of the block; see `Files`."""
    handler = partial(Files, directory=str(folder), origins=origins)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def eventually(claim: Callable[[], bool], within: float = 10.0) -> None:
    """Wait until `claim` is true.

    Raises:
        TimeoutError: it is not within so many seconds.
    """
    end = time.monotonic() + within
    while not claim():
        if time.monotonic() > end:
            raise TimeoutError(f"it did not come true within {within:g} s")
        time.sleep(0.02)


class Exchange(BaseHTTPRequestHandler):
    """One request and the means to answer it; the connection stays open for the next one."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave together
    server: Server

    def __getattr__(self, name: str) -> Callable[[], None]:
        # http.server asks for do_GET and its like: every method is welcome.
        if name.startswith("do_"):
            return self._exchange
        raise AttributeError(name)

    def _exchange(self) -> None:
        self.server.answer(self)

    def log_message(self, *_details: Any) -> None:
        """Keep quiet."""

    def handle_expect_100(self) -> bool:
        """Ask for the body that the client holds back."""
        goes_on = super().handle_expect_100()
        self.wfile.flush()
        return goes_on

    @property
    def method(self) -> str:
        """The request's method, as sent."""
        return self.command

    @property
    def target(self) -> str:
        """The request's path and query, as sent: `path` would lose doubled slashes."""
        return self.requestline.split()[1]

    def pieces(self) -> Iterator[bytes]:
        """The request's body, `PIECE` bytes at a time, without the marks of chunked encoding."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while size := int(self._line().partition(b";")[0], 16):
                yield from self._exactly(size)
                self._line()
            while self._line().strip():
                pass  # a trailer
        else:
            yield from self._exactly(int(self.headers.get("Content-Length", 0)))

    def _line(self) -> bytes:
        line = self.rfile.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the body ends too early")
        return line

    def _exactly(self, left: int) -> Iterator[bytes]:
        while left:
            piece = self.rfile.read(min(left, PIECE))
            if not piece:
                raise ConnectionResetError("the body ends too early")
            left -= len(piece)
            yield piece

    def body(self) -> bytes:
        """The request's whole body."""
        return b"".join(self.pieces())

    def head(self, status: int, headers: Headers) -> None:
        """Send the status line and `headers`, nothing more."""
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def send(self, status: int, headers: Headers = (), body: bytes = b"") -> None:
        """Send a whole answer; its framing is made here, and it has a body only where HTTP allows one."""
        kept = [(name, value) for name, value in headers if name.lower() not in FRAMING]
        bodiless = status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
        if not bodiless:
            kept.append(("Content-Length", str(len(body))))
        self.head(status, kept)
        if not bodiless and self.method != "HEAD":
            self.wfile.write(body)

    def drop(self) -> None:
        """End the connection at once, without another byte of answer."""
        self.close_connection = True
        _hang_up(self.connection)


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):  # the other side was first
        connection.shutdown(socket.SHUT_RDWR)


class Server(ThreadingTCPServer):
    """Gives each request on `port` to `answer`, in a thread of its connection, until `close`."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer: Callable[[Exchange], None], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Exchange)
        self.answer = answer
        self.port: int = self.server_address[1]
        self._open: dict[threading.Thread, socket.socket] = {}
        self._guard = threading.Lock()
        self._fault: BaseException | None = None
        self._listener = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._listener.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a new connection, known to `close`."""
        thread = threading.Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
        with self._guard:
            self._open[thread] = request
        thread.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._guard:
                del self._open[threading.current_thread()]

    def handle_error(self, *_connection: Any) -> None:
        """Keep the first error that is the harness's own; `close` raises it."""
        error = sys.exception()
        if not isinstance(error, ConnectionError) and self._fault is None:
            self._fault = error

    def close(self) -> None:
        """Stop listening, end every connection, wait for their threads.

        Raises:
            Exception: what went wrong inside `answer` meanwhile, other than clients that left.
        """
        self.shutdown()
        self._listener.join()
        self.server_close()
        with self._guard:
            threads = dict(self._open)
        for connection in threads.values():
            _hang_up(connection)
        for thread in threads:
            thread.join(10)
        if self._fault:
            raise self._fault
