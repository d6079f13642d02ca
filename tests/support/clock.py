"""A time that passes when told to."""

from __future__ import annotations

import pytest

from tiler import timing


class Clock:
    """In the place of the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now


def nothing_in_flight(patch: pytest.MonkeyPatch) -> None:
    """Nobody puts tiles of an earlier revision any more, so that nobody waits."""
    patch.setattr(timing, "fence_seconds", lambda *, folder: 0.0)  # noqa: ARG005
    patch.setattr(timing, "S3_ROUNDING_SECONDS", 0.0)
