"""A clock advanced by the test."""

from __future__ import annotations

import pytest

from tiler import timing


class Clock:
    """A replacement for the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now


class Rounds:
    """A replacement for the event that ends a loop: set after `left` waits, whose lengths are `pauses`."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.pauses: list[float] = []

    def wait(self, pause: float) -> bool:
        """Whether the loop ends."""
        self.pauses.append(pause)
        self.left -= 1
        return self.left < 0

    def set(self) -> None:
        """End the loop: it is left to `left`."""


def nothing_in_flight(patch: pytest.MonkeyPatch) -> None:
    """Pretend that the fence has passed, so that nothing waits."""
    patch.setattr(timing, "fence_seconds", lambda *, folder: 0.0)  # noqa: ARG005
    patch.setattr(timing, "S3_ROUNDING_SECONDS", 0.0)
