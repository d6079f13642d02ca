"""The local server for tests: over real HTTP, in a thread."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import urllib3
import uvicorn

from seeder.cli.serve import listen
from seeder.serve.basemap import Basemap
from seeder.serve.server import Site
from tiler.settings import Settings

HTTP = urllib3.PoolManager(retries=urllib3.Retry(connect=0, read=0, redirect=5))


@contextmanager
def serving(settings: Settings, where: str = "", basemap: Basemap | None = None) -> Iterator[str]:
    """Run a server for the stores of `settings`; yield its URL without a slash at the end."""
    with listen("127.0.0.1", 0) as listening, Site.open(settings, where, basemap) as site:
        server = uvicorn.Server(uvicorn.Config(site.app(), log_config=None, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def ask(
    url: str, *, redirect: bool = False, method: str = "GET", headers: dict[str, str] | None = None
) -> urllib3.BaseHTTPResponse:
    """The response of `url`; redirects are followed only on request."""
    return HTTP.request(method, url, redirect=redirect, headers=headers)


def told(url: str) -> Any:
    """The JSON of `url`."""
    return json.loads(ask(url).data)


def events(url: str, count: int) -> list[tuple[str, Any]]:
    """The first `count` events of a stream, each with its data."""
    answer = HTTP.request("GET", url, preload_content=False)
    found, name = [], ""
    try:
        for line in _lines(answer):
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                found.append((name, json.loads(value)))
                if len(found) == count:
                    break
    finally:
        answer.close()
    return found


def _lines(answer: urllib3.BaseHTTPResponse) -> Iterator[str]:
    rest = b""
    for part in answer.stream(1):
        rest += part
        while b"\n" in rest:
            line, _, rest = rest.partition(b"\n")
            yield line.decode().rstrip("\r")
