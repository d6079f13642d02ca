"""A web server in the test's process that answers with what a test sets, and records requests."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Wanderer:
    """Answers of paths: bytes, a status, or the address of a redirect; `requests` has the paths that were asked."""

    url: str = ""
    answers: dict[str, bytes | int | str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    cut: bool = False  # whether to close the connection before the last byte

    def set(self, path: str, answer: Any) -> str:
        """Set the answer of a path: bytes, status, address of a redirect, or a value as JSON; return its address."""
        self.answers[path] = answer if isinstance(answer, bytes | int | str) else json.dumps(answer).encode()
        return self.url + path


@contextmanager
def wandering(secure: ssl.SSLContext | None = None, name: str = "127.0.0.1") -> Iterator[Wanderer]:
    """Run the server within the block; with `secure`, by https."""
    state = Wanderer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            state.requests.append(self.path)
            answer = state.answers.get(self.path.partition("?")[0], 404)
            status = answer if isinstance(answer, int) else 302 if isinstance(answer, str) else 200
            data = answer if isinstance(answer, bytes) else b""
            self.send_response(status)
            if isinstance(answer, str):
                self.send_header("Location", answer)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:-1] if state.cut else data)
            self.close_connection = self.close_connection or state.cut

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in http.server
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        if secure:
            server.socket = secure.wrap_socket(server.socket, server_side=True)
        state.url = f"http{'s' if secure else ''}://{name}:{server.server_port}"
        server.handle_error = lambda *_: None  # type: ignore[method-assign] - clients that do not trust it
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
