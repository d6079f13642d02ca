"""What the commands share: settings from options and environment, errors as exit codes, progress."""

from __future__ import annotations

import errno
import math
import os
import re
import shlex
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import click
from click.core import ParameterSource
from tqdm import tqdm

from seeder import INTERRUPTED
from seeder.operations.report import Activity, Advance, Chunks, Report
from tiler.errors import BadInput, BadOption, TilerError
from tiler.ingest.processes import CORES
from tiler.settings import DEFAULT_DATA, Settings

COMMAND = re.compile(r"`((?:seeder|seed) [^`]*)`")  # a command to run, within a message
PLACE = "seeder.cli.common.place"  # where a context keeps the options that say which stores are meant

Command = Callable[..., None]


def guarded(command: Command) -> Command:
    """Errors as one line and an exit code: 2 for bad input, 1 for a failure, 130 for Ctrl-C."""

    @wraps(command)
    def guard(*args: Any, **kwargs: Any) -> None:
        with _told():
            command(*args, **kwargs)

    return guard


def exit_code(command: click.Command, program: str) -> int:
    """Run a program and return its exit code; print any error as one line."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # they are for who writes programs
    try:
        with _told():
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
def _told() -> Iterator[None]:
    """Print errors as one line each; only here are operating-system errors caught.

    Raises:
        Exit: with 2 for bad input, 1 for a failure, 130 for Ctrl-C.
    """
    try:
        yield
    except BadInput as error:
        cure = _cure(error)  # a full disk is nobody's input
        raise click.exceptions.Exit(_complain(f"{error}{cure}", 1 if cure else 2)) from error
    except TilerError as error:
        raise click.exceptions.Exit(_complain(f"{error}{_cure(error)}", 1)) from error
    except MemoryError as error:
        raise click.exceptions.Exit(_complain("not enough memory: try again with fewer --jobs", 1)) from error
    except OSError as error:
        if error.errno == errno.EPIPE:  # who reads has seen enough; click ends quietly
            raise
        raise click.exceptions.Exit(_complain(_said(error), 1)) from error
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


def _said(error: OSError) -> str:
    """The operating system's message, the path, and the cure if there is one."""
    what = error.strerror or str(error) or type(error).__name__
    where = (
        f": {os.fsencode(error.filename).decode(errors='replace')}" if isinstance(error.filename, str | bytes) else ""
    )
    return f"{what}{where}{_cure(error)}"


def _cure(error: BaseException) -> str:
    """The cure for an operating-system error, raised directly or by a store or database."""
    found = re.search(r"\(os error (\d+)\)|\[Errno (\d+)\]", str(error))
    number = errno.ENOSPC if "disk is full" in str(error) else int(found[1] or found[2]) if found else 0
    number = number or getattr(error, "errno", 0) or getattr(error.__cause__, "errno", 0) or 0
    return f"; {CURES[number]}" if number in CURES else ""


def _complain(error: TilerError | str, code: int) -> int:
    say(f"error: {error}", err=True)
    return code


def say(text: str, *, err: bool = False) -> None:
    """Print text in which each command between backticks can be run as printed."""
    place = given()
    click.echo(COMMAND.sub(lambda found: f"`{found[1]}{place}`", text), err=err)


def given() -> str:
    """The options of this command line that say which stores are meant: ` --data DIR`, ` --stack NAME` or nothing."""
    context = click.get_current_context(silent=True)
    return str(context.meta.get(PLACE, "")) if context else ""


def located(command: Command) -> Command:
    """Options `--data` and `--stack`; the command gets `settings` in their place.

    Raises:
        BadOption: both were given.
        BadCloud: the stack cannot be read.
    """

    @click.option("--data", metavar="DIR", help="Local root of tiles and sources.  [default: ./data]")
    @click.option(
        "--stack", metavar="NAME", envvar="TILER_STACK", help="Deployed stack whose buckets and queue to use."
    )
    @wraps(command)
    def locate(*args: Any, data: str | None, stack: str | None, **kwargs: Any) -> None:
        context = click.get_current_context()
        typed = _typed(context, "stack") or (_typed(context.parent, "stack") if context.parent else None)
        named = typed or stack
        if named and data:
            raise BadOption("--data and --stack name different places: give one of them")
        settings = Settings.from_env(os.environ, data=data)
        context.meta[PLACE] = _option("data", data) or _option("stack", typed)
        if named:
            from seeder.aws.stack import read_stack  # noqa: PLC0415 - boto3 takes a third of a second

            settings = read_stack(named, settings.s3.region).settings(settings)
        command(*args, settings=settings, **kwargs)

    return locate


def _typed(context: click.Context, name: str) -> str | None:
    """The value of an option that stands on the command line, not in the environment."""
    stands = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    return context.params.get(name) if stands else None


def _option(name: str, value: str | None) -> str:
    return f" --{name} {shlex.quote(value)}" if value else ""


def check_folder(settings: Settings) -> None:
    """Nothing, if the folder that `--data` names exists, or nothing is read there.

    Raises:
        BadOption: it does not exist.
    """
    data = click.get_current_context().params.get("data")
    folder = Path(data or "").expanduser().absolute()
    if data and settings.sources == (folder / "private").as_uri() and not folder.is_dir():
        raise BadOption(f"no folder {data}: name another with --data, or run `seeder ingest SOURCE`")


def where(settings: Settings) -> str:
    """What a command must be given to mean the same stores: ` --stack NAME`, ` --data DIR`, or nothing."""
    if settings.stack:
        return f" --stack {shlex.quote(settings.stack)}"
    tiles, sources = (Path(unquote(urlsplit(url).path)) for url in (settings.tiles, settings.sources))
    usual = tiles.parent == sources.parent and (tiles.name, sources.name) == ("tiles", "private")
    if not usual or tiles.parent == Path(DEFAULT_DATA).absolute():
        return ""
    return f" --data {shlex.quote(str(tiles.parent))}"


def parsed(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A click callback that parses one value, or each of a repeated option's."""

    def callback(_: click.Context, parameter: click.Parameter, value: Any) -> Any:
        try:
            if parameter.multiple:
                return tuple(parse(each) for each in value)
            return None if value is None else parse(value)
        except BadInput as error:
            raise click.BadParameter(str(error)) from error

    return callback


def json_option(command: Command) -> Command:
    """The option `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON lines instead of text.")(command)


def jobs_option(command: Command) -> Command:
    """The option `--jobs`."""
    return click.option(
        "--jobs",
        type=click.IntRange(1, 256),
        default=CORES,
        show_default="cores",
        metavar="N",
        help="Worker processes.",
    )(command)


def confirm_options(above: int, text: str) -> Callable[[Command], Command]:
    """Options `--confirm-above`, of which `text` is the help and `above` the default, and `--yes`."""

    def decorate(command: Command) -> Command:
        command = click.option("--yes", is_flag=True, help="Do not ask.")(command)
        return click.option(
            "--confirm-above", type=click.IntRange(0), default=above, show_default=True, metavar="TILES", help=text
        )(command)

    return decorate


def check_meant(what: str) -> None:
    """Nothing, if the person at the terminal says that it is meant.

    Raises:
        BadOption: it is not, or there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise BadOption(f"{what}: run it again with --yes if that is meant")
    if not click.confirm(f"{what}. Go on?", err=True):
        raise BadOption("not confirmed: nothing was changed")


@contextmanager
def interruptible(hint: str) -> Iterator[None]:
    """Ctrl-C as exit code 130 and `hint`."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        say(hint, err=True)
        raise click.exceptions.Exit(INTERRUPTED) from interrupt


class Stages:
    """Lines on stderr about what is under way, for what may take long before there is something to count.

    The first comes after `FIRST` seconds, each other after twice as long as the one before, at most `LAST` seconds.
    """

    FIRST, LAST = 4.0, 60.0

    def __init__(self, label: str) -> None:
        self._label = label
        self._what = ""
        self._ended = threading.Event()
        self._began = time.monotonic()

    def __call__(self, what: str) -> None:
        """Set the current stage."""
        self._what = what

    def end(self) -> None:
        """Say no more."""
        self._ended.set()

    def __enter__(self) -> Self:
        threading.Thread(target=self.watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def watch(self) -> None:
        """Print the current stage until the end."""
        pause = self.FIRST
        while not self._ended.wait(pause):
            if self._what:
                click.echo(f"{self._label}: {self._what} ({time.monotonic() - self._began:.0f} s)", err=True)
            pause = min(2 * pause, self.LAST)


class Bar:
    """A progress bar; it appears with the first progress or `delay` seconds later, and gets its length then."""

    def __init__(self, label: str, *, unit: str = "chunk", delay: float = 0.0) -> None:
        self._label = label
        self._unit = unit
        self._delay = delay
        self._bar: tqdm[Any] | None = None

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` chunks are made."""
        if self._bar is None:
            self._bar = tqdm(
                desc=self._label,
                total=total,
                unit=self._unit,
                delay=self._delay,
                file=sys.stderr,
                dynamic_ncols=True,
            )
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def tile_bar(label: str, total: int | None, done: int = 0, *, unit: str = "tile") -> tqdm[Any]:
    """A progress bar over tiles, or what else is counted."""
    return tqdm(desc=label, total=total, initial=done, unit=unit, file=sys.stderr, dynamic_ncols=True)


def tiles_said(number: int) -> str:
    """So many tiles, in words."""
    return f"{number:,} tile{'' if number == 1 else 's'}"


class TerminalReport(Report):
    """Progress bars, lines on stderr, and a question where somebody can answer it: about more than `confirm_above`."""

    def __init__(self, *, confirm_above: int | None = None) -> None:
        self._confirm_above = confirm_above

    @contextmanager
    def stage(
        self, label: str, total: int | None, *, done: int = 0, unit: str = "tile", interrupted: str = ""
    ) -> Iterator[Advance]:
        """See `Report.stage`."""
        with interruptible(interrupted), tile_bar(label, total, done, unit=unit) as bar:
            yield bar.update

    @contextmanager
    def bake(self, label: str, *, interrupted: str = "") -> Iterator[tuple[Chunks, Activity]]:
        """See `Report.bake`."""
        with interruptible(interrupted), Stages(label) as stages, Bar(label) as bar:

            def progress(done: int, total: int) -> None:
                stages.end()
                bar(done, total)

            yield progress, stages

    @contextmanager
    def countdown(self, label: str, seconds: float, *, interrupted: str = "") -> Iterator[Callable[[float], object]]:
        """See `Report.countdown`."""
        total, form = math.ceil(seconds), "{desc} (--no-wait skips): {n} of {total} s"
        with interruptible(interrupted), tqdm(desc=label, total=total, file=sys.stderr, bar_format=form) as bar:
            yield lambda remaining: bar.update(total - math.ceil(remaining) - bar.n)

    @contextmanager
    def interruptible(self, interrupted: str) -> Iterator[None]:
        """See `Report.interruptible`."""
        with interruptible(interrupted):
            yield

    def note(self, text: str) -> None:
        """See `Report.note`."""
        say(text, err=True)

    def confirm(self, tiles: int, deed: str) -> None:
        """See `Report.confirm`."""
        if self._confirm_above is not None and tiles > self._confirm_above:
            check_meant(f"{tiles_said(tiles)} would be {deed}, more than --confirm-above {self._confirm_above:,}")
