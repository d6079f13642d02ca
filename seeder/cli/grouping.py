"""Help in groups: options of a command by purpose, commands of a program by subject; and `--quiet` and `--verbose`."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from importlib import import_module
from typing import Any, Literal, NamedTuple, TypeVar

import click
from click.shell_completion import CompletionItem

from tiler.errors import without_queries

OptionGroup = Literal["Select", "Georeference", "Render", "Safety", "Output", "General"]

GROUPS: tuple[OptionGroup, ...] = ("Select", "Georeference", "Render", "Safety", "Output", "General")
NAMES = {"help_option_names": ["-h", "--help"]}
QUIET = "seeder.cli.grouping.quiet"  # where a context keeps it; the contexts of a program and its command share this
WORDS = "seeder.cli.grouping.words"  # where a context keeps the words of its command line, as typed
LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)  # by the number of -v

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class GroupedOption(click.Option):
    """An option with a group in the help. For an unknown choice, suggest the nearest one."""

    def __init__(self, *names: Any, group: OptionGroup, **settings: Any) -> None:
        super().__init__(*names, **settings)
        self.group = group

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """See `click.Parameter.type_cast_value`.

        Raises:
            BadParameter: the value is invalid.
        """
        try:
            return super().type_cast_value(ctx, value)
        except click.BadParameter as error:
            if not isinstance(self.type, click.Choice):
                raise
            choices = [str(each) for each in self.type.choices]
            nearest = difflib.get_close_matches(str(value), choices, n=1)
            cure = f": did you mean {nearest[0]}?" if nearest else ""
            raise click.BadParameter(f"{value!r} is not one of {', '.join(choices)}{cure}", ctx, self) from error


def option(*names: str, group: OptionGroup, **settings: Any) -> Callable[[Decorated], Decorated]:
    """`click.option` with its group in the help."""
    return click.option(*names, cls=GroupedOption, group=group, **settings)


def complete_file(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Completion of a path, by the shell."""
    return [CompletionItem(incomplete, type="file")]


def complete_folder(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Completion of a folder's path, by the shell."""
    return [CompletionItem(incomplete, type="dir")]


def quiet() -> bool:
    """Whether this command line has `--quiet`."""
    context = click.get_current_context(silent=True)
    return bool(context and context.meta.get(QUIET))


def _set_quiet(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.meta[QUIET] = True


def _set_verbose(context: click.Context, _: click.Parameter, count: int) -> None:
    if count and not context.resilient_parsing:
        logging.getLogger().setLevel(LEVELS[min(count, len(LEVELS) - 1)])


def _without_queries(record: logging.LogRecord) -> bool:
    """Remove the query strings of addresses from a record, GDAL's too: signed URLs have their keys there."""
    with suppress(TypeError, ValueError):  # arguments that do not fit, which logging itself reports
        record.msg, record.args = without_queries(record.getMessage()), ()
    return True


def general_options() -> list[click.Parameter]:
    """`--quiet` and `--verbose`, for every command and for the program."""
    return [
        GroupedOption(
            ["-q", "--quiet"],
            group="General",
            is_flag=True,
            expose_value=False,
            callback=_set_quiet,
            help="Print results and errors only: no progress, no notes.",
        ),
        GroupedOption(
            ["-v", "--verbose"],
            group="General",
            count=True,
            expose_value=False,
            callback=_set_verbose,
            help="Log to stderr; -vv logs debug messages too.",
        ),
    ]


def options_by_group(command: click.Command, context: click.Context) -> dict[OptionGroup, list[click.Option]]:
    """The visible options of a command, groups in the order of the help; groups without options are left out."""
    grouped: dict[OptionGroup, list[click.Option]] = {group: [] for group in GROUPS}
    for each in command.get_params(context):
        if isinstance(each, click.Option) and not each.hidden:
            grouped[each.group if isinstance(each, GroupedOption) else "General"].append(each)
    return {group: options for group, options in grouped.items() if options}


def _write_options(command: click.Command, context: click.Context, formatter: click.HelpFormatter) -> None:
    for group, options in options_by_group(command, context).items():
        with formatter.section(group):
            formatter.write_dl([row for each in options if (row := each.get_help_record(context))])


class Command(click.Command):
    """A command with `--quiet` and `--verbose`, whose help lists options by group."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        settings.setdefault("context_settings", NAMES)
        super().__init__(*args, **settings)
        self.params += general_options()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, a section a group."""
        _write_options(self, ctx, formatter)

    def make_context(self, *args: Any, **settings: Any) -> click.Context:
        """The context of a command line, logging set up before its options are parsed."""
        logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
        for handler in logging.getLogger().handlers:
            handler.addFilter(_without_queries)
        return super().make_context(*args, **settings)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse a command line, and keep its words in the context."""
        ctx.meta[WORDS] = tuple(args)
        return super().parse_args(ctx, args)


def command(name: str) -> Callable[[Callable[..., Any]], Command]:
    """`click.command` for a `Command`."""
    return click.command(name, cls=Command)


class Home(NamedTuple):
    """Where a command is defined, and its line in the list of commands."""

    module: str
    attribute: str
    summary: str


class Commands(MutableMapping[str, click.Command]):
    """Commands by name. A module is imported with the first use of its command: completion and help must be quick."""

    def __init__(self, homes: Mapping[str, Home]) -> None:
        self._homes = dict(homes)
        self._loaded: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._loaded:
            home = self._homes[name]
            self._loaded[name] = getattr(import_module(home.module), home.attribute)
        return self._loaded[name]

    def __setitem__(self, name: str, value: click.Command) -> None:
        self._loaded[name] = value

    def __delitem__(self, name: str) -> None:
        del self._homes[name]
        self._loaded.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._homes)

    def __len__(self) -> int:
        return len(self._homes)

    def __contains__(self, name: object) -> bool:
        return name in self._homes


class Program(click.Group):
    """A program whose help lists commands by section. Neither the help nor completion of a name imports a command."""

    def __init__(self, *args: Any, sections: Mapping[str, Mapping[str, Home]], **settings: Any) -> None:
        homes = {name: home for section in sections.values() for name, home in section.items()}
        settings.setdefault("context_settings", NAMES)
        super().__init__(*args, **settings)
        self.commands = Commands(homes)
        self.sections = sections
        self.homes = homes
        self.params += general_options()

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Every command, in the order of the help."""
        return list(self.homes)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, a section a subject, then the options."""
        longest = max(map(len, self.homes))
        for title, section in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(longest), home.summary) for name, home in section.items()])
        _write_options(self, ctx, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Names of commands, and the options of the program."""
        names = [(name, home.summary) for name, home in self.homes.items() if name.startswith(incomplete)]
        return [CompletionItem(name, help=summary) for name, summary in names] + click.Command.shell_complete(
            self, ctx, incomplete
        )
