"""Progress, notes and questions of an operation while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

Advance = Callable[[int], object]  # takes the number of tiles done since the last call
Chunks = Callable[[int, int], None]  # takes the number of chunks done, and of all chunks
Activity = Callable[[str], None]  # takes a few words on the current step


class Report:
    """Print nothing and confirm everything. Commands and programs override it."""

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
        """A stage of `total` tiles (None: unknown), `done` of them by an earlier run.

        `unit` names the things counted; `interrupted` is the text shown after Ctrl-C.
        """
        yield lambda _: None

    @contextmanager
    def bake(self, label: str, *, interrupted: str = "") -> Iterator[tuple[Chunks, Activity]]:  # noqa: ARG002
        """An ingest: its activities before the first chunk, then its chunks."""
        yield lambda _done, _total: None, lambda _: None

    @contextmanager
    def countdown(self, label: str, seconds: float, *, interrupted: str = "") -> Iterator[Callable[[float], object]]:  # noqa: ARG002
        """A wait of `seconds`; the callback takes the remaining seconds."""
        yield lambda _: None

    @contextmanager
    def interruptible(self, interrupted: str) -> Iterator[None]:  # noqa: ARG002
        """A stage without progress; `interrupted` is the text shown after Ctrl-C."""
        yield

    def note(self, text: str) -> None:
        """One line of text for the user, beside the result."""

    def ended(self, step: object) -> None:
        """Take the result of a step when it ends; each operation names its types."""

    def confirm(self, tiles: int, deed: str) -> None:
        """Ask whether `tiles` may be `deed`, such as "removed".

        Raises:
            BadOption: the answer was no.
        """

    def confirm_loss(self, loss: str) -> None:
        """Ask whether to continue; `loss` is a sentence about what would be lost.

        Raises:
            BadOption: the answer was no.
        """

    def confirm_removal(self, name: str, sizes: Mapping[str, tuple[int, int]]) -> None:
        """Ask whether the objects of a layer or a stack may be deleted for ever: their number and bytes, by kind.

        Raises:
            BadOption: the answer was no.
        """
