"""A web server in a separate process for the files of a folder, with ranges and faults.

GDAL holds the GIL while it opens a raster, so a server in the test's process could never respond. The file `weather` in
the folder has the fault: `fair`, a status such as `503`, `drop`, `cut`, or `signed`, which refuses addresses without a
query string; a number after it limits the fault to this
number of requests.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WEATHER = "weather"


@dataclass(frozen=True)
class Served:
    """A folder and the URL of its files."""

    folder: Path
    url: str

    def weather(self, kind: str, times: int | None = None) -> None:
        """Set the fault of further requests."""
        (self.folder / WEATHER).write_text(kind if times is None else f"{kind} {times}")


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """Run the server within the block."""
    words = [sys.executable, __file__, str(folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        served = Served(folder, f"http://127.0.0.1:{process.stdout.readline().strip()}")
        served.weather("fair")
        try:
            yield served
        finally:
            process.kill()


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD."""

    def do_GET(self) -> None:
        """A file, or a requested range of it."""
        weather = self._weather()
        name, _, query = self.path[1:].partition("?")
        path = FOLDER / name
        if weather == "signed":
            weather = "fair" if query else "403"
        status = 404 if weather == "fair" and not path.is_file() else int(weather) if weather.isdigit() else 200
        if weather == "drop":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        data = path.read_bytes() if status == 200 else b""
        asked, size = self.headers.get("Range", ""), len(data)
        headers = {}
        if asked and data:
            first, last = (int(edge) for edge in asked.removeprefix("bytes=").split("-"))
            data, status = data[first : last + 1], 206
            headers["Content-Range"] = f"bytes {first}-{first + len(data) - 1}/{size}"
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data[: len(data) // 2] if weather == "cut" else data)

    do_HEAD = do_GET  # noqa: N815 - name required by http.server

    def _weather(self) -> str:
        kind, _, times = (FOLDER / WEATHER).read_text().partition(" ")
        if times:
            (FOLDER / WEATHER).write_text(f"{kind} {int(times) - 1}" if int(times) > 1 else "fair")
        return kind

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in http.server
        """Keep quiet."""


if __name__ == "__main__":
    FOLDER = Path(sys.argv[1])
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        print(server.server_port, flush=True)  # noqa: T201 - to the test that started it
        server.serve_forever()
