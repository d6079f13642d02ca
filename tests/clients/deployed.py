"""The redirect path as it is deployed: the website of a bucket on a real S3 server, the API, the function.

S3 knows a website by its name, which most clients cannot be told to look for on this machine. A server before it
adds the name, as a CDN does, and changes nothing else.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.clients.sites import LAYER, Place
from tests.e2e import s3 as s3_module
from tests.e2e import sqs as sqs_module
from tests.e2e.wire import Exchange, Server
from tests.e2e.world import deployed


class Front:
    """The website of `bucket` at `url`."""

    def __init__(self, port: int) -> None:
        self.bucket = ""
        self._port = port
        self._server = Server(self._serve)
        self.url = f"http://127.0.0.1:{self._server.port}"

    def close(self) -> None:
        """Stop."""
        self._server.close()

    def _serve(self, exchange: Exchange) -> None:
        kept = {name: value for name, value in exchange.headers.items() if name.lower() not in ("host", "connection")}
        named = {**kept, "Host": f"{self.bucket}.{s3_module.WEBSITE}"}
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)) as website:
            website.request(exchange.method, exchange.target, headers=named)
            answer = website.getresponse()
            exchange.send(answer.status, answer.getheaders(), answer.read())


@contextmanager
def deployed_path(raster: Path, folder: Path) -> Iterator[Place]:
    """A deployment with the layer, its preview and capabilities published, at the address of its website."""
    with (
        s3_module.running(folder / "s3") as s3,
        sqs_module.running() as sqs,
        closing(Front(s3.website_port)) as front,
        deployed(s3, sqs, folder / "nothing", url=front.url) as stack,
    ):
        front.bucket = stack.tiles
        stack.run("ingest", str(raster), "--layer", LAYER, "--format", "png")
        stack.run("publish-preview", LAYER)

        def clear() -> None:
            for key in stack.stored(LAYER):
                s3.client().delete_object(Bucket=stack.tiles, Key=key)

        yield Place("deployed", front.url, lambda: set(stack.stored(LAYER)), clear)
