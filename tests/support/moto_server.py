"""A server that speaks for S3, SQS and the rest of AWS."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from moto.server import ThreadedMotoServer

from tests.e2e import sqsserver


@contextmanager
def serving() -> Iterator[str]:
    """The server's address, until the end of the block."""
    sqsserver.mend()
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line a request would hide what matters
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
