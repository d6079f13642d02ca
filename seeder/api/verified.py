"""The result of `Layer.verify`."""

from __future__ import annotations

from dataclasses import dataclass

from seeder.cache.audit import Finding, Problem


@dataclass(frozen=True, slots=True)
class Verified:
    """The number of verified tiles and the findings; `problems` counts them by kind."""

    layer: str
    tiles: int
    problems: dict[Problem, int]
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether there are no findings."""
        return not self.findings
