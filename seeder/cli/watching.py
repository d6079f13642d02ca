"""Watch a job: show its progress again and again until it ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

import click

from seeder.cli.messages import interruptible
from tiler import timing

T = TypeVar("T")


def watch_job(look: Callable[[], T], ended: Callable[[T], bool], show: Callable[[T], None], *, as_json: bool) -> T:
    """Show the progress that `look` returns until it has `ended`; returns the last one, which is not shown."""
    with interruptible("stopped watching; the job continues"):
        while True:
            start = time.monotonic()
            seen = look()
            if not as_json and sys.stdout.isatty():
                click.clear()
            if ended(seen):
                return seen
            show(seen)
            time.sleep(max(timing.POLL_SECONDS, 2 * (time.monotonic() - start)))
