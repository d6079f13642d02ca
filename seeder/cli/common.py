"""Options that many commands share: stores, output, worker processes, confirmation."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import click
from click.core import ParameterSource

from seeder.cli.grouping import complete_folder, option
from seeder.cli.messages import PLACE
from seeder.defaults import CORES
from tiler.errors import BadInput, BadOption, UnknownLayer
from tiler.settings import DEFAULT_DATA, Settings

if TYPE_CHECKING:
    from seeder.serve.basemap import Basemap

Command = Callable[..., None]
log = logging.getLogger(__name__)


def no_layers(settings: Settings) -> str:
    """The message about a store without layers: where it is, and the command that makes one."""
    return f"no layers yet in {place_name(settings)}: run `seeder ingest SOURCE`"


def place_name(settings: Settings) -> str:
    """The data folder, or the private store of layers that are not in one."""
    if settings.stack:
        return f"{settings.sources} of stack {settings.stack}"
    if not settings.sources.startswith("file://"):
        return settings.sources
    folder = _folder_of(settings.sources)
    return str(folder.parent if folder.name == "private" else folder)


def _folder_of(url: str) -> Path:
    """The path of a store's URL."""
    return Path(unquote(urlsplit(url).path))


def located(command: Command) -> Command:
    """Options `--data` and `--stack`; the command gets `settings` in their place.

    Raises:
        BadOption: both were given.
        BadCloud: the stack cannot be read.
    """

    @option(
        "--data",
        group="General",
        metavar="DIR",
        shell_complete=complete_folder,
        help="Folder of tiles and sources.  [default: ./data]",
    )
    @option(
        "--stack",
        group="General",
        metavar="NAME",
        envvar="TILER_STACK",
        help="Use the buckets and the queue of this deployed stack.",
    )
    @wraps(command)
    def locate(*args: Any, data: str | None, stack: str | None, **kwargs: Any) -> None:
        context = click.get_current_context()
        typed = _typed(context, "stack") or (_typed(context.parent, "stack") if context.parent else None)
        named = typed or stack
        if named and data:
            raise BadOption("--data and --stack exclude each other: remove one of them")
        settings = environment_settings(data)
        context.meta[PLACE] = _option("data", data) or _option("stack", typed)
        if named:
            from seeder.aws.stack import read_stack

            settings = read_stack(named, settings.s3.region).settings(settings)
        log.info("tiles in %s, sources in %s", settings.tiles, settings.sources)
        try:
            command(*args, settings=settings, **kwargs)
        except UnknownLayer as error:
            from tiler.layers.catalog import list_layers
            from tiler.storage.store import Stores

            if any(list_layers(Stores.open(settings).sources)):
                raise
            raise BadOption(f"no layer {error.layer!r}: {no_layers(settings)}") from error

    return locate


def environment_settings(data: str | None) -> Settings:
    """Settings from the environment, and from `--data`, which wins.

    Raises:
        BadOption: a variable has an invalid value.
    """
    return Settings.from_env(os.environ, data=data)


def variable(name: str) -> str:
    """A variable of the environment; empty if it is not set."""
    return os.environ.get(name, "")


def _typed(context: click.Context, name: str) -> str | None:
    """The value of an option on the command line, None if it comes from the environment."""
    typed = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    return context.params.get(name) if typed else None


def _option(name: str, value: str | None) -> str:
    return f" --{name} {shlex.quote(value)}" if value else ""


def check_folder(settings: Settings) -> None:
    """Check that the folder of `--data` exists, if layers are read from it.

    Raises:
        BadOption: it does not exist.
    """
    data = click.get_current_context().params.get("data")
    folder = Path(data or "").expanduser().absolute()
    if data and settings.sources == (folder / "private").as_uri() and not folder.is_dir():
        raise BadOption(f"no folder {data}: name another with --data DIR, or run `seeder ingest SOURCE`")


def where(settings: Settings) -> str:
    """The option that makes a command use the same stores: ` --stack NAME`, ` --data DIR`, or nothing."""
    if settings.stack:
        return f" --stack {shlex.quote(settings.stack)}"
    tiles, sources = _folder_of(settings.tiles), _folder_of(settings.sources)
    usual = tiles.parent == sources.parent and (tiles.name, sources.name) == ("tiles", "private")
    if not usual or tiles.parent == Path(DEFAULT_DATA).absolute():
        return ""
    return f" --data {shlex.quote(str(tiles.parent))}"


def parsed(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A click callback that parses one value, or each of a repeated option's; completion leaves them as text."""

    def callback(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        if context.resilient_parsing:
            return value
        try:
            if parameter.multiple:
                return tuple(parse(each) for each in value)
            return None if value is None else parse(value)
        except BadInput as error:
            raise click.BadParameter(str(error)) from error

    return callback


def json_option(command: Command) -> Command:
    """The option `--json`."""
    return option("--json", "as_json", group="Output", is_flag=True, help="Print JSON lines.")(command)


def dry_run_option(text: str) -> Callable[[Command], Command]:
    """The option `--dry-run`."""
    return option("--dry-run", group="Safety", is_flag=True, help=text)


def _basemap(text: str) -> Basemap:
    from seeder.serve.basemap import Basemap

    return Basemap.parse(text)


def basemap_option(command: Command) -> Command:
    """The option `--basemap`."""
    return option(
        "--basemap",
        group="Output",
        metavar="osm|URL",
        callback=parsed(_basemap),
        help="Show a base map of another host: osm (OpenStreetMap), or an address with {z}, {x} and {y}."
        "  [default: outlines, from no other host]",
    )(command)


def jobs_option(command: Command, default: int | None = CORES) -> Command:
    """The option `--jobs`."""
    return option(
        "--jobs",
        group="Render",
        type=click.IntRange(1, 256),
        default=default,
        show_default="one per core" if default else "one per core, fewer for few tiles",
        metavar="N",
        help="Number of worker processes on this machine.",
    )(command)


def confirm_options(above: int, text: str) -> Callable[[Command], Command]:
    """Options `--confirm-above`, of which `text` is the help and `above` the default, and `--yes`."""

    def decorate(command: Command) -> Command:
        command = option("--yes", group="Safety", is_flag=True, help="Confirm without a prompt.")(command)
        return option(
            "--confirm-above",
            group="Safety",
            type=click.IntRange(0),
            default=above,
            show_default=True,
            metavar="TILES",
            help=text,
        )(command)

    return decorate
