"""Messages on stdout and stderr, and errors as exit codes. It imports little: completion and `--help` need it."""

from __future__ import annotations

import errno
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

import click

from seeder import INTERRUPTED
from seeder.cli.grouping import quiet
from tiler.errors import BadInput, BadOption, TilerError
from tiler.undecodable import log_undecodable

COMMAND = re.compile(r"`((?:seeder|seed) [^`]*)`")  # a command to run, within a message
PLACE = "seeder.cli.messages.place"  # where a context keeps --data or --stack as it was typed


Command = Callable[..., None]


def guarded(command: Command) -> Command:
    """Errors as one line and an exit code: 2 for bad input, 1 for a failure, 130 for Ctrl-C."""

    @wraps(command)
    def guard(*args: Any, **kwargs: Any) -> None:
        with _errors_printed():
            command(*args, **kwargs)

    return guard


def exit_code(command: click.Command, program: str) -> int:
    """Run a program and return its exit code; print any error as one line."""
    log_undecodable()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # warnings address developers
    try:
        with _errors_printed():
            code = command.main(prog_name=program, standalone_mode=False)
            sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.Abort as abort:
        interrupted = isinstance(abort.__context__, KeyboardInterrupt)
        click.echo("interrupted" if interrupted else "Aborted!", err=True)
        return INTERRUPTED if interrupted else 1
    return code if isinstance(code, int) else 0


@contextmanager
def _errors_printed() -> Iterator[None]:
    """Print errors as one line each; only here are operating-system errors caught.

    Raises:
        Exit: with 2 for bad input, 1 for a failure, 130 for Ctrl-C.
    """
    try:
        yield
    except BadInput as error:
        cure = _cure(error)  # a full disk is a failure, not bad input
        code = _complain(f"{error.headline}{cure}", 1 if cure else 2)
        for line in error.details:
            say(f"  {line}", err=True)
        raise click.exceptions.Exit(code) from error
    except TilerError as error:
        raise click.exceptions.Exit(_complain(f"{error}{_cure(error)}", 1)) from error
    except MemoryError as error:
        raise click.exceptions.Exit(_complain("not enough memory: try again with fewer --jobs", 1)) from error
    except OSError as error:
        if error.errno == errno.EPIPE:  # the reader closed the pipe; click ends quietly
            raise
        raise click.exceptions.Exit(_complain(_system_message(error), 1)) from error
    except KeyboardInterrupt as interrupt:
        click.echo("interrupted", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from interrupt


CURES = {
    errno.ENOSPC: "free some space and run the same command again",
    errno.EDQUOT: "free some space and run the same command again",
    errno.EFBIG: "raise the limit (`ulimit -f unlimited`)",
    errno.EMFILE: "raise the limit (`ulimit -n 1024`) or use fewer --jobs",
    errno.ENFILE: "close other programs or use fewer --jobs",
    errno.ENOMEM: "use fewer --jobs",
}


def _system_message(error: OSError) -> str:
    """The operating system's message, the path, and the cure if there is one."""
    message = error.strerror or str(error) or type(error).__name__
    path = (
        f": {os.fsencode(error.filename).decode(errors='replace')}" if isinstance(error.filename, str | bytes) else ""
    )
    return f"{message}{path}{_cure(error)}"


def _cure(error: BaseException) -> str:
    """The cure for an operating-system error, raised directly or by a store or database."""
    match = re.search(r"\(os error (\d+)\)|\[Errno (\d+)\]", str(error))
    number = errno.ENOSPC if "disk is full" in str(error) else int(match[1] or match[2]) if match else 0
    number = number or getattr(error, "errno", 0) or getattr(error.__cause__, "errno", 0) or 0
    return f"; {CURES[number]}" if number in CURES else ""


def _complain(error: TilerError | str, code: int) -> int:
    say(f"error: {error}", err=True)
    return code


def say(text: str, *, err: bool = False) -> None:
    """Print text; each command between backticks gets the `--data` or `--stack` of this one."""
    place = typed_place()
    click.echo(COMMAND.sub(lambda match: f"`{match[1]}{place}`", text), err=err)


def note(text: str) -> None:
    """Print a line beside the result on stderr, unless `--quiet`; see `say`."""
    if not quiet():
        say(text, err=True)


def say_next(text: str) -> None:
    """Print the next step after the result, unless `--quiet`; see `say`."""
    if not quiet():
        say(text)


def typed_place() -> str:
    """` --data DIR` or ` --stack NAME` as it was typed, or nothing."""
    context = click.get_current_context(silent=True)
    return str(context.meta.get(PLACE, "")) if context else ""


def require_confirmation(action: str, unchanged: str = "nothing was changed") -> None:
    """Ask for confirmation on a terminal; `unchanged` is the state after a no.

    Raises:
        BadOption: the answer is no, or there is no terminal.
    """
    if not sys.stdin.isatty():
        raise BadOption(f"{action}: add --yes to confirm")
    if not click.confirm(f"{action}. Continue?", err=True):
        raise BadOption(f"not confirmed: {unchanged}")


@contextmanager
def interruptible(hint: str) -> Iterator[None]:
    """Turn Ctrl-C into exit code 130 and print `hint`."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        say(hint, err=True)
        raise click.exceptions.Exit(INTERRUPTED) from interrupt


def state_in_words(state: str, why: str) -> str:
    """A job's state and the reason for it, unless that only repeats the state."""
    from seeder.jobs.ledger import CANCELLED

    return state if why in ("", CANCELLED) else f"{state}, {why}"


def table(rows: Iterable[Sequence[object]], headers: Sequence[str], align: Sequence[str] = ()) -> str:
    """Rows below their headers, each column `left` or `right`; numbers are printed as they are."""
    from tabulate import tabulate

    return tabulate(rows, headers=headers, colalign=align or None, disable_numparse=True)


def count_of_tiles(number: int) -> str:
    """The number of tiles, in words."""
    return f"{number:,} tile{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A length of time in its largest fitting unit."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{max(0.0, seconds):.{1 if 0 < seconds < 10 else 0}f} s"
