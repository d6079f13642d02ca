"""moto's SQS as a server that loses nothing: `python -m tests.e2e.sqsserver PORT`, until its input ends.

moto changes a queue's list of messages without a lock: a message that arrives while another is deleted is gone.
Here every call holds one lock, a long poll between its looks excepted. moto also counts the messages of the
whole queue for each one that it hands out, and lists the folders of its services twice a request; that is spared.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections.abc import Callable
from types import FunctionType
from typing import Any

from moto.server import DomainDispatcherApplication, main
from moto.sqs import models

LOCK = threading.RLock()
PAUSE = 0.02  # seconds between two looks of a long poll


def locked(method: Callable[..., Any]) -> Callable[..., Any]:
    """`method`, one call at a time with all others that are locked."""

    @functools.wraps(method)
    def call(*args: Any, **options: Any) -> Any:
        with LOCK:
            return method(*args, **options)

    return call


def polling(variant: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """`variant`, again and again until it finds something or the long poll's seconds are over."""

    def receive(self: Any, queue_name: str, count: int, wait: int, visibility: int, *names: Any) -> list[Any]:
        end = time.monotonic() + wait
        while True:
            found = variant(self, queue_name, count, 0, visibility, *names)
            if found or time.monotonic() >= end:
                return found
            time.sleep(PAUSE)

    return receive


def mend() -> None:
    """Replace what is unsafe or slow in moto and its SQS, in this process."""
    dispatcher = DomainDispatcherApplication
    dispatcher.get_backend_for_host = functools.cache(dispatcher.get_backend_for_host)  # type: ignore[method-assign]
    backend = models.SQSBackend
    for name, method in list(vars(backend).items()):
        if isinstance(method, FunctionType) and not name.startswith("_"):
            setattr(backend, name, locked(method))
    backend.receive_message = polling(backend.receive_message)  # type: ignore[method-assign]
    backend.is_message_valid_based_on_retention_period = lambda *_: True  # type: ignore[method-assign]
    models.unix_time = lambda *_: time.time()  # type: ignore[attr-defined]
    models.unix_time_millis = lambda *_: time.time() * 1000  # type: ignore[attr-defined]


def end_with_input() -> None:
    """End this process when its input does: when whoever started it is gone, however they went."""
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=end_with_input, daemon=True).start()
    mend()
    main(["-H", "127.0.0.1", "-p", sys.argv[1]])
