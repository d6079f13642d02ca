"""A server for S3, SQS and other AWS services."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from moto.awslambda import urls
from moto.server import ThreadedMotoServer

from tests.e2e import sqsserver

account = {"UnreservedConcurrentExecutions": 1000}  # limits of the account, which moto does not know


def _account_settings(_request: object, _url: str, _headers: object) -> tuple[int, dict[str, str], str]:
    return 200, {}, json.dumps({"AccountLimit": account})


@contextmanager
def serving() -> Iterator[str]:
    """Run the server within the block; yield its address."""
    sqsserver.mend()
    urls.url_paths[r"{0}/(?P<api_version>[^/]+)/account-settings/?$"] = _account_settings
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a log line per request would hide important ones
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@contextmanager
def serving_apart() -> Iterator[str]:
    """The same in another process: GDAL keeps this one's threads waiting while it opens a raster in S3."""
    words = [sys.executable, "-m", __name__]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


if __name__ == "__main__":
    with serving() as address:
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        sys.stdin.read()
