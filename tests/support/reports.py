"""A report that records an operation's messages and questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from seeder.operations.report import Advance, Report
from tiler.errors import BadOption


@dataclass
class Stage:
    """A stage, and its progress."""

    label: str
    total: int | None
    unit: str
    done: int  # numbers before the stage, then cumulative
    begun: int  # before the stage


@dataclass
class Recorded(Report):
    """Records everything; agrees to questions unless `refuse` is set."""

    refuse: bool = False
    during_wait: Callable[[], object] = lambda: None
    stages: list[Stage] = field(default_factory=list)
    waits: list[list[float]] = field(default_factory=list)  # total seconds, then remaining ones
    notes: list[str] = field(default_factory=list)
    steps: list[object] = field(default_factory=list)
    questions: list[tuple[Any, ...]] = field(default_factory=list)

    @contextmanager
    def stage(
        self, label: str, total: int | None, *, done: int = 0, unit: str = "tile", interrupted: str = ""
    ) -> Iterator[Advance]:
        """See `Report.stage`."""
        assert interrupted
        stage = Stage(label, total, unit, done, done)
        self.stages.append(stage)

        def advance(number: int) -> None:
            stage.done += number

        yield advance

    @contextmanager
    def countdown(self, label: str, seconds: float, *, interrupted: str = "") -> Iterator[Callable[[float], object]]:
        """See `Report.countdown`."""
        assert label
        assert interrupted
        self.waits.append([seconds])
        self.during_wait()
        yield self.waits[-1].append

    def note(self, text: str) -> None:
        """See `Report.note`."""
        self.notes.append(text)

    def ended(self, step: object) -> None:
        """See `Report.ended`."""
        self.steps.append(step)

    def confirm(self, tiles: int, deed: str) -> None:
        """See `Report.confirm`."""
        self._ask(tiles, deed)

    def confirm_removal(self, name: str, sizes: Mapping[str, tuple[int, int]]) -> None:
        """See `Report.confirm_removal`."""
        self._ask(name, dict(sizes))

    def _ask(self, *question: object) -> None:
        self.questions.append(question)
        if self.refuse:
            raise BadOption("not meant")

    def done(self, label: str) -> int:
        """The sum of progress in stages with this label."""
        return sum(stage.done for stage in self.stages if stage.label == label)

    @property
    def unfinished(self) -> list[Stage]:
        """The stages that ended below or above their total."""
        return [stage for stage in self.stages if stage.total is not None and stage.done != stage.total]
