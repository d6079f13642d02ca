"""Checks of arguments that a command leaves to its options."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from os import PathLike, fspath
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


def refusal(name: str, value: object, cure: str) -> BadOption:
    """The error for an argument of a wrong type or value."""
    return BadOption(f"{name}={repr(value)[:80]} cannot be: {cure}")


def check_between(name: str, value: float, low: float, high: float) -> None:
    """Nothing, if the argument lies between two numbers, or is one of them.

    Raises:
        BadOption: it does not.
    """
    span = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise refusal(name, value, f"give {span}")


def parsed(name: str, value: object, parse: Callable[[], T]) -> T:
    """What `parse` makes of an argument.

    Raises:
        BadOption: it has a type or a form that it cannot have.
    """
    try:
        return parse()
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise refusal(name, value, str(error)) from error


def check_whole(name: str, value: object, low: float, high: float) -> None:
    """Nothing, if the argument is a whole number between two, or is one of them.

    Raises:
        BadOption: it is not.
    """
    if not isinstance(value, int):
        raise refusal(name, value, "give a whole number")
    check_between(name, value, low, high)


def check_text(name: str, value: object) -> None:
    """Nothing, if the argument is a text.

    Raises:
        BadOption: it is not.
    """
    if not isinstance(value, str):
        raise refusal(name, value, "give a text")


def path_of(name: str, value: str | PathLike[str]) -> str:
    """The path that the argument names.

    Raises:
        BadOption: it names none.
    """
    try:
        path = fspath(value)
    except TypeError as error:
        raise refusal(name, value, "give a path") from error
    if not isinstance(path, str) or "\0" in path:
        raise refusal(name, value, "give a path as a text")
    return path


def processes_of(jobs: int | None) -> int:
    """How many processes render: as many as there are cores, unless said.

    Raises:
        BadOption: it can be no number of processes.
    """
    if jobs is None:
        return processes.CORES
    check_whole("jobs", jobs, 1, MOST_JOBS)
    return jobs
