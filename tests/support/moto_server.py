"""A server for S3, SQS and other AWS services."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from moto.server import ThreadedMotoServer

from tests.e2e import sqsserver


@contextmanager
def serving() -> Iterator[str]:
    """Run the server within the block; yield its address."""
    sqsserver.mend()
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a log line per request would hide important ones
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
