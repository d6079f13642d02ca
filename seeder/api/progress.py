"""Hand the progress of an operation to a callable."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from seeder.operations.checks import as_arguments, refusal
from seeder.operations.report import Activity, Advance, Chunks, Report

Progress = Callable[[int, int], object]  # takes the number of tiles done, and of all tiles

log = logging.getLogger(__name__)


class CallbackReport(Report):
    """Call `progress` with the tiles done and all tiles, starting over in each stage; log notes."""

    def __init__(self, progress: Progress | None) -> None:
        if progress is not None and not callable(progress):
            raise refusal("progress", progress, "give a function of two numbers, the tiles done and all tiles")
        self._progress = progress

    @contextmanager
    def stage(
        self,
        label: str,  # noqa: ARG002
        total: int | None,
        *,
        done: int = 0,
        unit: str = "tile",  # noqa: ARG002
        interrupted: str = "",  # noqa: ARG002
    ) -> Iterator[Advance]:
        """See `Report.stage`. A stage of unknown length is not reported."""

        def advance(number: int) -> None:
            nonlocal done
            done += number
            if self._progress and total is not None:
                self._progress(done, total)

        yield advance

    @contextmanager
    def bake(self, label: str, *, interrupted: str = "") -> Iterator[tuple[Chunks, Activity]]:  # noqa: ARG002
        """See `Report.bake`."""

        def chunks(done: int, total: int) -> None:
            if self._progress:
                self._progress(done, total)

        yield chunks, lambda what: log.debug("%s", what)

    def note(self, text: str) -> None:
        """See `Report.note`."""
        log.info("%s", as_arguments(text))
