"""The budget of an operation: the prices and the workers of its estimate, and the dollars that it must not exceed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from seeder.defaults import CONCURRENCY
from seeder.jobs.forecast import Bakers
from seeder.jobs.prices import Prices
from tiler.errors import BadOption


@dataclass(frozen=True, slots=True)
class Budget:
    """The concurrent `workers` of a queue, prices, and the most US dollars; None for any number.

    `by_workers` if they bake, too; else this machine does.
    """

    workers: int = CONCURRENCY
    prices: Prices = Prices()  # noqa: RUF009 - a frozen value
    dollars: float | None = None
    by_workers: bool = False

    def bakers(self, processes: int) -> Bakers:
        """Who bakes: workers, or `processes` of this machine."""
        return Bakers(self.workers if self.by_workers else processes, self.by_workers)

    def check(self, total: float, cure: str) -> None:
        """Check an estimate; see `check_cost`."""
        check_cost(total, self.dollars, cure)


def check_cost(total: float, most: float | None, cure: str) -> None:
    """Check that an estimate of US dollars is at most `most`; None allows any.

    Raises:
        BadOption: it is not.
    """
    if most is not None and total > most:
        raise BadOption(
            f"the estimate is up to {dollars(total)}, above --max-cost {most:g}: "
            f"{cure}, or raise the limit (--dry-run shows the estimate)"
        )


def dollars(number: float) -> str:
    """An amount in US dollars, rounded up so that a small one never reads $0."""
    return f"${number:,.2f}" if number >= 0.1 else f"${math.ceil(1e4 * number) / 1e4:.4f}" if number else "$0"
