"""The size of a test run: short enough for CI, or several times longer (`LONG=yes`, as in scripts/full)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

LONG = bool(os.environ.get("LONG"))


def examples(number: int) -> int:
    """The number of examples of a law: 45% of `number` in CI, 300% in a long run."""
    return 3 * number if LONG else -(-9 * number // 20)


def some(every: Sequence[T], *few: T) -> Sequence[T]:
    """All of `every` in a long run, otherwise `few`."""
    return every if LONG else few
