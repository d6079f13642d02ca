"""How much a test run plays: what fits into CI, or several times as much (`LONG=yes`, as scripts/full says)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

LONG = bool(os.environ.get("LONG"))


def examples(number: int) -> int:
    """Examples of a law, of which `number` is usual: three fifths in CI, three times as many in a long run."""
    return 3 * number if LONG else -(-3 * number // 5)


def some(every: Sequence[T], *few: T) -> Sequence[T]:
    """All of `every` in a long run, else `few`."""
    return every if LONG else few
