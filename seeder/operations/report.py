"""What an operation tells and asks while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], object]  # takes the number of tiles that were done since the last call


class Report:
    """Silent, and content with everything. Commands and programs tell more."""

    @contextmanager
    def stage(self, label: str, total: int | None, *, done: int = 0, interrupted: str = "") -> Iterator[Advance]:  # noqa: ARG002
        """A part of the operation, of `total` tiles if they are known, of which `done` are done.

        `interrupted` says what becomes of it where Ctrl-C ends it.
        """
        yield lambda _: None

    @contextmanager
    def countdown(self, label: str, seconds: float, *, interrupted: str = "") -> Iterator[Callable[[float], object]]:  # noqa: ARG002
        """A wait of so many seconds; takes the seconds that remain."""
        yield lambda _: None

    def note(self, text: str) -> None:
        """A line beside the result."""

    def confirm(self, tiles: int, deed: str) -> None:
        """Nothing, if so many tiles are meant: `deed` says what would happen to them.

        Raises:
            BadOption: they are not meant.
        """
