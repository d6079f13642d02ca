"""A report that keeps what it is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from seeder.operations.report import Advance, Report


@dataclass
class Stage:
    """A stage: how much was done when it began, and each step since."""

    label: str
    total: int | None
    done: int
    steps: list[int] = field(default_factory=list)
    ended: bool = False

    @property
    def reached(self) -> int:
        """How much was done when it ended."""
        return self.done + sum(self.steps)


class Recorder(Report):
    """Keeps stages and notes."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []
        self.notes: list[str] = []

    @contextmanager
    def stage(
        self,
        label: str,
        total: int | None,
        *,
        done: int = 0,
        unit: str = "tile",  # noqa: ARG002
        interrupted: str = "",  # noqa: ARG002
    ) -> Iterator[Advance]:
        """See `Report.stage`."""
        stage = Stage(label, total, done)
        self.stages.append(stage)
        yield stage.steps.append
        stage.ended = True

    def note(self, text: str) -> None:
        """See `Report.note`."""
        self.notes.append(text)

    def whole(self) -> bool:
        """Whether every stage of known length ended at its total."""
        return all(stage.ended and stage.total in (None, stage.reached) for stage in self.stages)
