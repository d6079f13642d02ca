"""What an operation tells and asks while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

Advance = Callable[[int], object]  # takes the number of tiles that were done since the last call
Chunks = Callable[[int, int], None]  # takes the chunks that are done, and all that are to be done
Activity = Callable[[str], None]  # takes a few words on what is under way


class Report:
    """Silent, and content with everything. Commands and programs tell more."""

    @contextmanager
    def stage(
        self,
        label: str,  # noqa: ARG002
        total: int | None,  # noqa: ARG002
        *,
        done: int = 0,  # noqa: ARG002
        unit: str = "tile",  # noqa: ARG002
        interrupted: str = "",  # noqa: ARG002
    ) -> Iterator[Advance]:
        """A part of the operation, of `total` tiles if they are known, of which `done` are done.

        `unit` names what is counted; `interrupted` says what becomes of it where Ctrl-C ends it.
        """
        yield lambda _: None

    @contextmanager
    def bake(self, label: str, *, interrupted: str = "") -> Iterator[tuple[Chunks, Activity]]:  # noqa: ARG002
        """An ingest: the activities before the first chunk, then the chunks."""
        yield lambda _done, _total: None, lambda _: None

    @contextmanager
    def countdown(self, label: str, seconds: float, *, interrupted: str = "") -> Iterator[Callable[[float], object]]:  # noqa: ARG002
        """A wait of so many seconds; takes the seconds that remain."""
        yield lambda _: None

    @contextmanager
    def interruptible(self, interrupted: str) -> Iterator[None]:  # noqa: ARG002
        """A part that shows no progress; `interrupted` says what becomes of it where Ctrl-C ends it."""
        yield

    def note(self, text: str) -> None:
        """A line beside the result."""

    def ended(self, step: object) -> None:
        """The result of a step, as soon as the step has ended; the operation names the types."""

    def confirm(self, tiles: int, deed: str) -> None:
        """Nothing, if so many tiles are meant: `deed` says what would happen to them.

        Raises:
            BadOption: they are not meant.
        """

    def confirm_removal(self, layer: str, sizes: Mapping[str, tuple[int, int]]) -> None:
        """Nothing, if all of this may be lost for ever: number and bytes of a layer's objects, by kind.

        Raises:
            BadOption: it may not.
        """
