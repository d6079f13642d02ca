"""Handlers, and a function without any process, that the tests of the harness invoke."""

from __future__ import annotations

import _multiprocessing
import errno
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from tiler.processes import stream

Event = dict[str, Any]


def echo(event: Event, context: Any) -> Event:
    """What the handler sees of the event and of its surroundings."""
    sys.stdout.write(f"heard {event.get('word')}\n")
    return {
        "event": event,
        "env": dict(os.environ),
        "pid": os.getpid(),
        "request": context.aws_request_id,
        "memory": context.memory_limit_in_mb,
        "arn": context.invoked_function_arn,
        "left": context.get_remaining_time_in_millis(),
    }


def act(event: Event, _context: Any) -> Any:
    """Do what the event says."""
    match event["do"]:
        case "raise":
            raise ValueError("as told")
        case "exit":
            sys.exit(3)
        case "abort":
            os.kill(os.getpid(), signal.SIGKILL)
        case "sleep":
            Path(event["mark"]).touch()
            time.sleep(event["seconds"])
        case "fill":
            return "x" * event["bytes"]
    return os.getpid()


def answer(event: Event, _context: Any) -> Any:
    """Give the answer that is the event."""
    return event["answer"]


def batch(event: Event, _context: Any) -> Event:
    """Fail the messages that say `bad`, and all of them when one says `worst`."""
    bodies = [record["body"] for record in event["Records"]]
    with Path(os.environ["SEEN"]).open("a") as seen:
        seen.write("".join(f"{body}\n" for body in bodies))
    if "worst" in bodies:
        raise RuntimeError("the whole batch")
    failed = [record["messageId"] for record in event["Records"] if record["body"].startswith("bad")]
    return {"batchItemFailures": [{"itemIdentifier": name} for name in failed]}


def pooled(event: Event, _context: Any) -> Any:
    """Results of worker processes, where semaphores are missing and only /tmp can be written, as in Lambda."""
    _multiprocessing.SemLock = _no_semaphore  # type: ignore[misc, assignment]
    sys.addaudithook(_only_tmp)
    return sorted(stream(_pooled, event["items"], jobs=2))


def _pooled() -> Callable[[int], list[Any]]:
    sys.addaudithook(_only_tmp)

    def task(item: int) -> list[Any]:
        with tempfile.TemporaryFile() as file:
            file.write(b"scratch")
        return [item, os.getpid(), os.environ["_HANDLER"]]

    return task


def _no_semaphore(*_: object) -> NoReturn:
    raise OSError(errno.ENOSYS, "Function not implemented")


def _only_tmp(event: str, args: tuple[Any, ...]) -> None:
    if event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and isinstance(args[0], str):
        path = Path(args[0]).resolve()
        if not path.is_relative_to("/tmp") and path != Path(os.devnull):
            raise OSError(errno.EROFS, "Read-only file system", args[0])


class Canned:
    """A function that keeps its event and gives the answer, or raises the error, it was made with."""

    def __init__(self, result: Any = None) -> None:
        self.result = result
        self.event: dict[str, Any] = {}

    def invoke(self, event: dict[str, Any]) -> Any:
        """The answer."""
        self.event = event
        if isinstance(self.result, Exception):
            raise self.result
        return self.result
