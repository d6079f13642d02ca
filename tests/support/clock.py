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


def nothing_in_flight(patch: pytest.MonkeyPatch) -> None:
    """Pretend that the fence has passed, so that nothing waits."""
    patch.setattr(timing, "fence_seconds", lambda *, folder: 0.0)  # noqa: ARG005
    patch.setattr(timing, "S3_ROUNDING_SECONDS", 0.0)
