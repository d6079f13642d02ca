"""Progress on stderr: bars on a terminal, else a plain line every ten seconds; nothing with `--quiet`."""

from __future__ import annotations

import logging
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import click

from seeder.cli.grouping import quiet
from seeder.cli.messages import count_of_tiles, interruptible, note, require_confirmation
from seeder.operations.report import Activity, Advance, Chunks, Report

if TYPE_CHECKING:
    from tqdm import tqdm

log = logging.getLogger(__name__)
LINE_SECONDS = 10.0  # between two lines if stderr is not a terminal


def on_terminal() -> bool:
    """Whether stderr is a terminal, which can redraw a bar."""
    return sys.stderr.isatty()


class Lines:
    """A line on stderr after each of `pauses` seconds, by default every ten; `line` makes its text."""

    def __init__(self, line: Callable[[], str], pauses: Iterator[float] | None = None) -> None:
        self._line = line
        self._pauses = pauses
        self._ended = threading.Event()

    def start(self) -> Self:
        """Print from now on, in a thread that ends with the program."""
        if not quiet():
            threading.Thread(target=self.watch, daemon=True).start()
        return self

    def end(self) -> None:
        """Print no more."""
        self._ended.set()

    def watch(self) -> None:
        """Print until the end."""
        while not self._ended.wait(next(self._pauses) if self._pauses else LINE_SECONDS):
            if text := self._line():
                click.echo(text, err=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.end()


class Stages(Lines):
    """Lines about the current activity of an operation, before it can count.

    On a terminal the first comes after `FIRST` seconds, each other after twice the pause, at most `LAST` seconds.
    """

    FIRST, LAST = 4.0, 60.0

    def __init__(self, label: str) -> None:
        super().__init__(self._text, self._slower() if on_terminal() else None)
        self._label = label
        self._activity = ""
        self._began = time.monotonic()

    def __call__(self, activity: str) -> None:
        """Set the current activity."""
        self._activity = activity
        log.debug("%s: %s", self._label, activity)

    def _text(self) -> str:
        if not self._activity:
            return ""
        return f"{self._label}: {self._activity} ({time.monotonic() - self._began:.0f} s)"

    def _slower(self) -> Iterator[float]:
        pause = self.FIRST
        while True:
            yield pause
            pause = min(2 * pause, self.LAST)


class Meter:
    """Counted progress: a bar after `delay` seconds, or lines; `total` is None if unknown."""

    def __init__(self, label: str, total: int | None, done: int = 0, *, unit: str = "tile", delay: float = 0.0) -> None:
        self.done = self._first = done
        self._label, self._total, self._unit = label, total, unit
        self._began = time.monotonic()
        self._bar: tqdm[Any] | None = None
        self._lines: Lines | None = None
        if quiet():
            return
        if on_terminal():
            from tqdm import tqdm

            self._bar = tqdm(
                desc=label,
                total=total,
                initial=done,
                unit=unit,
                delay=delay,
                file=sys.stderr,
                dynamic_ncols=True,
            )
        else:
            self._lines = Lines(self.line).start()

    def update(self, number: int) -> None:
        """Count `number` more."""
        self.done += number
        if self._bar is not None:
            self._bar.update(number)

    def line(self) -> str:
        """The progress in words, with the rate since the beginning and the time left."""
        seconds = max(time.monotonic() - self._began, 1e-3)
        rate = (self.done - self._first) / seconds
        if self._total is None:
            return f"{self._label}: {self.done:,} {self._unit}s, {rate:,.0f} per second"
        text = f"{self._label}: {self.done:,} of {self._total:,} {self._unit}s"
        if self._total:
            text += f" ({self.done / self._total:.0%})"
        return text + (f", {(self._total - self.done) / rate:,.0f} s left" if rate else "")

    def close(self) -> None:
        """End the bar or the lines."""
        if self._bar is not None:
            self._bar.close()
        if self._lines is not None:
            self._lines.end()
        log.info("%s: %s %ss in %.1f s", self._label, f"{self.done:,}", self._unit, time.monotonic() - self._began)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Bar:
    """A meter, started by the first report of progress with its total."""

    def __init__(self, label: str, *, unit: str = "chunk", delay: float = 0.0) -> None:
        self._label = label
        self._unit = unit
        self._delay = delay
        self._meter: Meter | None = None

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` chunks are made."""
        if self._meter is None:
            self._meter = Meter(self._label, total, unit=self._unit, delay=self._delay)
        self._meter.update(done - self._meter.done)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._meter is not None:
            self._meter.close()


class TerminalReport(Report):
    """Progress and notes on stderr, and a question about more than `confirm_above` tiles."""

    def __init__(self, *, confirm_above: int | None = None) -> None:
        self._confirm_above = confirm_above

    @contextmanager
    def stage(
        self, label: str, total: int | None, *, done: int = 0, unit: str = "tile", interrupted: str = ""
    ) -> Iterator[Advance]:
        """See `Report.stage`."""
        with interruptible(interrupted), Meter(label, total, done, unit=unit) as meter:
            yield meter.update

    @contextmanager
    def bake(self, label: str, *, interrupted: str = "") -> Iterator[tuple[Chunks, Activity]]:
        """See `Report.bake`."""
        with interruptible(interrupted), Stages(label) as stages, Bar(label) as bar:

            def progress(done: int, total: int) -> None:
                stages.end()
                bar(done, total)

            yield progress, stages

    @contextmanager
    def countdown(self, label: str, seconds: float, *, interrupted: str = "") -> Iterator[Callable[[float], object]]:
        """See `Report.countdown`."""
        left = math.ceil(seconds)

        def show(remaining: float) -> None:
            nonlocal left
            if bar is not None:
                bar.update(left - math.ceil(remaining))
            left = math.ceil(remaining)

        with interruptible(interrupted):
            bar = None
            if on_terminal() and not quiet():
                from tqdm import tqdm

                form = "{desc} (--no-wait skips this): {n} of {total} s"
                bar = tqdm(desc=label, total=left, file=sys.stderr, bar_format=form)
            lines = Lines(lambda: f"{label} (--no-wait skips this): {left} s left")
            try:
                if bar is None:
                    lines.start()
                yield show
            finally:
                lines.end()
                if bar is not None:
                    bar.close()

    @contextmanager
    def interruptible(self, interrupted: str) -> Iterator[None]:
        """See `Report.interruptible`."""
        with interruptible(interrupted):
            yield

    def note(self, text: str) -> None:
        """See `Report.note`."""
        note(text)

    def confirm_loss(self, loss: str) -> None:
        """See `Report.confirm_loss`."""
        require_confirmation(loss)

    def confirm(self, tiles: int, deed: str) -> None:
        """See `Report.confirm`."""
        if self._confirm_above is not None and tiles > self._confirm_above:
            require_confirmation(
                f"{count_of_tiles(tiles)} would be {deed}, more than --confirm-above {self._confirm_above:,}"
            )
