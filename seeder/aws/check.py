"""The result of a check, and a tile that cannot exist."""

from __future__ import annotations

from dataclasses import dataclass

PROBE = "jobs/0/0/0.png"  # never a tile, because `jobs` is a reserved name


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The subject of a check, its finding, and whether it passed."""

    what: str
    seen: str
    well: bool = True
