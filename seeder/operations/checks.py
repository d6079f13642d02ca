"""Checks of arguments; a command leaves the same checks to its options."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from typing import TypeVar

from seeder.defaults import CORES
from tiler.errors import BadOption, TilerError

T = TypeVar("T")
MOST_JOBS = 256  # processes
ARGUMENTS = {  # of options with another name
    "dry-run": "estimate()",
    "no-alpha": "alpha=0",
    "no-combined": "combined=False",
    "no-multidirectional": "multidirectional=False",
    "to": "revision",
}


@contextmanager
def argument_names() -> Iterator[None]:
    """Name arguments instead of options in the errors raised inside: `max_zoom`, not `--max-zoom`."""
    try:
        yield
    except TilerError as error:
        error.args = tuple(as_arguments(part) if isinstance(part, str) else part for part in error.args)
        raise


def as_arguments(text: str) -> str:
    """A message with its options named as arguments; commands in backticks stay."""

    def argument(match: re.Match[str]) -> str:
        name = match["option"]
        return f"`{ARGUMENTS.get(name, name.replace('-', '_'))}`" if name else match[0]

    return re.sub(r"`[^`]* [^`]*`|(?<![\w-])(?:`--|--)(?P<option>[a-z][a-z-]*)`?", argument, text)


def check_names(given: Iterable[str], known: Iterable[str], what: str) -> None:
    """Check that all names are known.

    Raises:
        BadOption: a name is unknown.
    """
    unknown = sorted({*given} - {*known})
    if unknown:
        raise BadOption(f"unknown {what}: {', '.join(unknown)}; choose from {', '.join(sorted(known))}")


def refusal(name: str, value: object, cure: str) -> BadOption:
    """The error for an argument of a wrong type or value; `cure` names a right one."""
    return BadOption(f"{name}={repr(value)[:80]} is invalid: {cure}")


def check_between(name: str, value: float, low: float, high: float) -> None:
    """Check that a number lies in the closed interval from `low` to `high`.

    Raises:
        BadOption: it does not.
    """
    span = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise refusal(name, value, f"give {span}")


def parsed(name: str, value: object, parse: Callable[[], T]) -> T:
    """The argument as `parse` returns it.

    Raises:
        BadOption: it has a wrong type or form.
    """
    try:
        return parse()
    except ValueError as error:
        raise refusal(name, value, str(error)) from error
    except (TypeError, AttributeError, LookupError) as error:  # whose texts are of Python
        raise refusal(
            name, value, f"its type ({type(value).__name__}) does not fit; the reference shows its form"
        ) from error


def check_whole(name: str, value: object, low: float, high: float) -> None:
    """Check that an argument is a whole number in the closed interval from `low` to `high`.

    Raises:
        BadOption: it is not.
    """
    if not isinstance(value, int):
        raise refusal(name, value, "give a whole number")
    check_between(name, value, low, high)


def check_text(name: str, value: object) -> None:
    """Check that an argument is a string.

    Raises:
        BadOption: it is not.
    """
    if not isinstance(value, str):
        raise refusal(name, value, "give a string")


def path_of(name: str, value: str | PathLike[str]) -> str:
    """An argument as a path.

    Raises:
        BadOption: it is not a path.
    """
    try:
        path = fspath(value)
    except TypeError as error:
        raise refusal(name, value, "give a path") from error
    if not isinstance(path, str) or "\0" in path:
        raise refusal(name, value, "give a path as a string")
    return path


def processes_of(jobs: int | None) -> int:
    """The number of worker processes, by default one per core.

    Raises:
        BadOption: it is not between 1 and `MOST_JOBS`.
    """
    if jobs is None:
        return CORES
    check_whole("jobs", jobs, 1, MOST_JOBS)
    return jobs
