"""An S3 server in a process of its own that records requests and refuses them: GDAL waits for it with the GIL held."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.request import urlopen

from tests.e2e.proxy import Proxy
from tests.e2e.wire import Exchange
from tests.support.moto_server import serving
from tests.support.paths import ROOT

CONTROL = "/-/"  # of the paths by which a test controls the server
METHOD, TARGET = ":method", ":target"  # names of the request line among its headers


class _Recorder(Proxy):
    """Records the headers of requests; answers with an error after `refuse`, or to other regions after `home`."""

    def __init__(self, upstream: str) -> None:
        self._seen: list[dict[str, str]] = []
        self._refusal: tuple[int, str, str] | None = None
        self._region = ""
        super().__init__(upstream)

    def _serve(self, exchange: Exchange) -> None:
        if exchange.target.startswith(CONTROL):
            if exchange.target == f"{CONTROL}refuse":
                self._refusal = json.loads(exchange.body())
            elif exchange.target == f"{CONTROL}home":
                self._region = json.loads(exchange.body())
            seen, self._seen = self._seen, []
            exchange.send(200, [], json.dumps(seen).encode())
            return
        headers = {name.lower(): value for name, value in exchange.headers.items()}
        self._seen.append({METHOD: exchange.method, TARGET: exchange.target, **headers})
        refusal = self._refusal
        if self._region and f"/{self._region}/s3/" not in exchange.headers.get("Authorization", ""):
            refusal = 400, "AuthorizationHeaderMalformed", f"<Region>{self._region}</Region>"
        if refusal:
            where = [("x-amz-bucket-region", self._region)] if self._region else []
            status, code, more = refusal
            text = "The specified key does not exist." if code == "NoSuchKey" else "Refused"  # as AWS has it
            body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{text}</Message>{more}</Error>"
            exchange.send(status, [("Content-Type", "application/xml"), *where], body.encode())
        else:
            super()._serve(exchange)


@dataclass(frozen=True)
class RecordedS3:
    """The server: `url` is the recorded address, `direct` that of the server behind it."""

    url: str
    direct: str

    def seen(self) -> list[dict[str, str]]:
        """The headers of each request since the last call, its method and its target."""
        with urlopen(f"{self.url}{CONTROL}seen") as answer:
            found: list[dict[str, str]] = json.load(answer)
            return found

    def refuse(self, refusal: tuple[int, str, str] | None) -> None:
        """Answer all requests with a status, a code and more XML; None ends that."""
        self._control("refuse", refusal)

    def home(self, region: str) -> None:
        """Have all buckets in one region; an empty one ends that."""
        self._control("home", region)

    def _control(self, what: str, value: object) -> None:
        with urlopen(f"{self.url}{CONTROL}{what}", json.dumps(value).encode()):
            pass


def keys(seen: list[dict[str, str]]) -> set[str]:
    """The access keys that signed requests; empty for an unsigned one."""
    signed = (re.search(r"Credential=([^/]*)/", each.get("authorization", "")) for each in seen)
    return {match[1] if match else "" for match in signed}


@contextmanager
def recorded() -> Iterator[RecordedS3]:
    """The server, until the end of the block."""
    words = [sys.executable, "-m", "tests.support.recorded_s3"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield RecordedS3(*process.stdout.readline().split())
        finally:
            process.stdin.close()  # ends it


if __name__ == "__main__":
    with serving() as direct, _Recorder(direct) as recorder:
        sys.stdout.write(f"{recorder.url} {direct}\n")
        sys.stdout.flush()
        sys.stdin.read()
