"""The options that say which tiles a command acts on, the same for every command."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, TextIO, cast

import click

from seeder.cache.query import TileQuery
from seeder.cli.common import Bar, TerminalReport, parsed
from seeder.operations.select import select_tiles
from seeder.operations.selectors import Selectors, Text, parse_area
from seeder.select.blocks import Count
from seeder.select.order import Order
from seeder.select.selection import Selection
from seeder.select.traffic import parse_share
from tiler.errors import BadOption
from tiler.grid import Bounds, parse_place, parse_zooms
from tiler.inputs import check_file
from tiler.keys import FORMATS, Format, Scale
from tiler.layers.catalog import Layer
from tiler.storage.store import Stores

Command = Callable[..., None]
SELECTORS = (  # the parameters of `places`
    *("zooms", "bbox", "geojson", "buffer", "around", "radius", "area", "listed", "expand", "traffic", "top", "share"),
    *("exclude", "footprint", "missing", "existing"),
)
STDIN = ("-", "<stdin>")
PATIENCE = 1.0  # seconds before a bar appears of what is mostly done by then


class _Text(click.File):
    """A text file that has an end."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The open file."""
        try:
            if isinstance(value, str):
                check_file(value)
        except BadOption as error:
            self.fail(str(error), param, ctx)
        return super().convert(value, param, ctx)


TEXT = _Text(encoding="utf-8-sig", errors="replace")


def _text(file: TextIO) -> Text:
    return Text(file, getattr(file, "name", "-"))


def _query(
    *,
    geojson: tuple[TextIO, ...],
    area: tuple[str, ...],
    listed: TextIO | None,
    exclude: tuple[TextIO, ...],
    **given: Any,
) -> TileQuery:
    """What the options ask for.

    Raises:
        BadOption: an option lacks the one that it belongs to, or a file cannot be understood.
    """
    selectors = Selectors(
        geojson=tuple(map(_text, geojson)),
        areas=(parse_area(text, _opened) for text in area),
        tiles=None if listed is None else _text(listed),
        exclude=tuple(map(_text, exclude)),
        **given,
    )
    selectors.check()
    texts = (*selectors.geojson, *selectors.exclude, *([selectors.tiles] if selectors.tiles else []))
    if sum(name in STDIN for name in (*(text.name for text in texts), *map(str, selectors.traffic))) > 1:
        raise BadOption("standard input can be read once: give files for the other options")
    return selectors.query(_widening)


def _opened(path: str) -> AbstractContextManager[TextIO]:
    return cast(AbstractContextManager[TextIO], click.open_file(path, encoding="utf-8-sig", errors="replace"))


def _widening(name: str) -> Bar:
    return Bar(f"widen {Path(name).name}", unit="part", delay=PATIENCE)


def places(command: Command) -> Command:
    """The options that say which tiles, whatever they look like; the command gets `query` in their place."""

    @click.option(
        "--zooms",
        metavar="Z",
        callback=parsed(parse_zooms),
        help="7, 5-14 or 0-3,7,9-11.  [default: all of the layer's]",
    )
    @click.option(
        "--bbox",
        metavar="W,S,E,N",
        multiple=True,
        callback=parsed(Bounds.parse),
        help="Only tiles that touch this box, in degrees; repeatable. West > east crosses the antimeridian.",
    )
    @click.option(
        "--geojson", metavar="FILE|-", multiple=True, type=TEXT, help="Only tiles that touch its shapes; repeatable."
    )
    @click.option(
        "--buffer", metavar="METRES", type=click.FloatRange(0), help="How far around the shapes of --geojson too."
    )
    @click.option(
        "--around",
        metavar="LON,LAT",
        multiple=True,
        callback=parsed(parse_place),
        help="Only tiles within --radius of this place; repeatable.",
    )
    @click.option("--radius", metavar="KM", type=click.FloatRange(0, min_open=True), help="How far around.")
    @click.option(
        "--area",
        metavar="Z=PLACE",
        multiple=True,
        help="Other places for other zooms: world, a box or a GeoJSON file, as in 9-14=cities.geojson; repeatable.",
    )
    @click.option(
        "--tiles",
        "listed",
        metavar="FILE|-",
        type=TEXT,
        help="Only the tiles that this file names: z/x/y, z-x-y, quadkeys or JSON; - is standard input.",
    )
    @click.option(
        "--expand",
        metavar="Z",
        callback=parsed(parse_zooms),
        help="A tile of --tiles stands for those of these zooms that lie in it or hold it.",
    )
    @click.option(
        "--traffic",
        metavar="LOG",
        multiple=True,
        type=click.Path(path_type=Path, allow_dash=True),
        help="Only what was asked for most, with the tiles above: CloudFront, S3 or web server logs; repeatable.",
    )
    @click.option("--top", metavar="N", type=click.IntRange(1), help="So many tiles of --traffic.")
    @click.option(
        "--share",
        metavar="P%",
        callback=parsed(parse_share),
        help="As few tiles of --traffic as have that share.",
    )
    @click.option(
        "--exclude",
        metavar="FILE",
        multiple=True,
        type=TEXT,
        help="Not the tiles inside these GeoJSON polygons, or those that a list names; repeatable.",
    )
    @click.option(
        "--footprint/--no-footprint",
        default=None,
        help="Only tiles where the layer has data, or all within its bounds.  [default: --footprint; invalidate: all]",
    )
    @click.option("--missing", is_flag=True, help="Only tiles that are not stored and not known to be empty.")
    @click.option("--existing", is_flag=True, help="Only tiles that are stored.")
    @wraps(command)
    def place(*args: Any, **kwargs: Any) -> None:
        given = {name: kwargs.pop(name) for name in SELECTORS}
        command(*args, query=_query(**given), **kwargs)

    return place


def selectors(command: Command) -> Command:
    """Options of `places`, `--scale` and `--format`; the command gets `query` in their place."""

    @places
    @click.option(
        "--scale",
        type=click.Choice(["1", "2"]),
        default="1",
        show_default=True,
        help="2 means @2x tiles of 512 pixels.",
    )
    @click.option("--format", "form", type=click.Choice(FORMATS), help="Format of the tiles.  [default: the layer's]")
    @wraps(command)
    def select(*args: Any, query: TileQuery, scale: str, form: Format | None, **kwargs: Any) -> None:
        command(*args, query=replace(query, scale=cast(Scale, int(scale)), format=form), **kwargs)

    return select


def order_option(command: Command) -> Command:
    """The option `--order`."""
    return click.option(
        "--order",
        metavar="zoom|hilbert|near:LON,LAT",
        default="zoom",
        show_default=True,
        callback=parsed(Order.parse),
        help="Which tiles come first.",
    )(command)


def selected(query: TileQuery, layer: Layer, stores: Stores) -> tuple[Selection, dict[int, Count]]:
    """The tiles of `layer` that are meant, and how many they are; see `select_tiles`."""
    return select_tiles(query, layer, stores, TerminalReport())
