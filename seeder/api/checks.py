"""Checks of arguments that a command leaves to its options."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from tiler.errors import BadOption
from tiler.ingest import processes

T = TypeVar("T")
MOST_JOBS = 256  # processes


def check_names(given: Iterable[str], known: Iterable[str], what: str) -> None:
    """Nothing, if all names are known.

    Raises:
        BadOption: one is not.
    """
    unknown = sorted({*given} - {*known})
    if unknown:
        raise BadOption(f"no {what} is called {', '.join(unknown)}; there are {', '.join(sorted(known))}")


def check_between(name: str, value: float, low: float, high: float) -> None:
    """Nothing, if the argument lies between two numbers, or is one of them.

    Raises:
        BadOption: it does not.
    """
    if not low <= value <= high:
        raise BadOption(f"{name}={value!r} cannot be: give {low:g} to {high:g}")


def parsed(name: str, value: object, parse: Callable[[], T]) -> T:
    """What `parse` makes of an argument.

    Raises:
        BadOption: it has a type or a form that it cannot have.
    """
    try:
        return parse()
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise BadOption(f"{name}={repr(value)[:80]} cannot be: {error}") from error


def processes_of(jobs: int | None) -> int:
    """How many processes render: as many as there are cores, unless said.

    Raises:
        BadOption: it can be no number of processes.
    """
    if jobs is None:
        return processes.CORES
    check_between("jobs", jobs, 1, MOST_JOBS)
    return jobs
