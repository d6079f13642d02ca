"""The options that select tiles, the same for every command."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

import click

from seeder.cli.common import parsed
from seeder.cli.grouping import OptionGroup, option
from seeder.cli.progress import Bar, TerminalReport
from tiler.errors import BadOption
from tiler.grid import parse_box, parse_place, parse_zooms
from tiler.inputs import check_file
from tiler.keys import FORMATS, Format, Scale

if TYPE_CHECKING:
    from seeder.cache.query import TileQuery
    from seeder.operations.selectors import ShapeFile, Text
    from seeder.select.blocks import Count
    from seeder.select.order import Order
    from seeder.select.selection import Selection
    from seeder.select.vector_file import VectorFile
    from tiler.layers.catalog import Layer
    from tiler.storage.store import Stores

Command = Callable[..., None]
SELECTORS = (  # the parameters of `places`
    *("zooms", "bbox", "shapes", "buffer", "around", "radius", "area", "listed", "expand", "traffic", "top", "share"),
    *("exclude", "footprint", "missing", "existing"),
)
STDIN = ("-", "<stdin>")
BAR_DELAY = 1.0  # seconds before a bar appears; most files are read by then


class _Text(click.File):
    """A regular text file: no device, no socket."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The open file."""
        try:
            if isinstance(value, str):
                check_file(value)
        except BadOption as error:
            self.fail(str(error), param, ctx)
        return super().convert(value, param, ctx)


class _Shapes(_Text):
    """A text file, or a vector file."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The open text file, or the name of the vector file."""
        from seeder.select.vector_file import vector_file

        try:
            file = vector_file(value) if isinstance(value, str) else None
        except BadOption as error:
            self.fail(str(error), param, ctx)
        return file or super().convert(value, param, ctx)


TEXT = _Text(encoding="utf-8-sig", errors="replace")
SHAPES = _Shapes(encoding="utf-8-sig", errors="replace")


def _text(file: TextIO) -> Text:
    from seeder.operations.selectors import Text

    return Text(file, getattr(file, "name", "-"))


def _shape_file(file: TextIO | VectorFile) -> ShapeFile:
    from seeder.select.vector_file import VectorFile

    return file if isinstance(file, VectorFile) else _text(file)


def _query(
    *,
    shapes: tuple[TextIO | VectorFile, ...],
    area: tuple[str, ...],
    listed: TextIO | None,
    exclude: tuple[TextIO | VectorFile, ...],
    **options: Any,
) -> TileQuery:
    """The query of the options.

    Raises:
        BadOption: an option lacks its companion, or a file is invalid.
    """
    from seeder.operations.selectors import Selectors, parse_area

    selectors = Selectors(
        shapes=tuple(map(_shape_file, shapes)),
        areas=(parse_area(text, _opened) for text in area),
        tiles=None if listed is None else _text(listed),
        exclude=tuple(map(_shape_file, exclude)),
        **options,
    )
    selectors.check()
    texts = (*selectors.shapes, *selectors.exclude, *([selectors.tiles] if selectors.tiles else []))
    if sum(name in STDIN for name in (*(text.name for text in texts), *map(str, selectors.traffic))) > 1:
        raise BadOption("standard input can be read once: use - for one option, and files for the others")
    return selectors.query(_widening)


def _opened(path: str) -> AbstractContextManager[TextIO]:
    return cast(AbstractContextManager[TextIO], click.open_file(path, encoding="utf-8-sig", errors="replace"))


def _widening(name: str) -> Bar:
    return Bar(f"widen {Path(name).name}", unit="part", delay=BAR_DELAY)


def _parse_share(text: str) -> float:
    from seeder.select.traffic import parse_share

    return parse_share(text)


def _parse_order(text: str) -> Order:
    from seeder.select.order import Order

    return Order.parse(text)


_select = partial(option, group="Select")


def places(command: Command) -> Command:
    """The options that select tiles by place, list, traffic or state; the command gets `query` in their place."""

    @_select(
        "--zooms",
        metavar="Z",
        callback=parsed(parse_zooms),
        help="Zooms: 7, 5-14 or 0-3,7,9-11.  [default: all of the layer's]",
    )
    @_select(
        "--bbox",
        metavar="W,S,E,N",
        multiple=True,
        callback=parsed(parse_box),
        help="Tiles that touch this box, in degrees; repeatable. West > east crosses the antimeridian.",
    )
    @_select(
        "--shapes",
        "--geojson",
        "shapes",
        metavar="FILE|-",
        multiple=True,
        type=SHAPES,
        help="Tiles that touch the shapes of a file: GeoJSON (- is stdin), GeoPackage (FILE:LAYER), Shapefile, "
        "FlatGeobuf, GeoParquet or KML; repeatable.",
    )
    @_select("--buffer", metavar="METRES", type=click.FloatRange(0), help="Widen the shapes of --shapes by METRES.")
    @_select(
        "--around",
        metavar="LON,LAT",
        multiple=True,
        callback=parsed(parse_place),
        help="Tiles within --radius of this place; repeatable.",
    )
    @_select(
        "--radius", metavar="KM", type=click.FloatRange(0, min_open=True), help="Radius of --around, in kilometres."
    )
    @_select(
        "--area",
        metavar="Z=PLACE",
        multiple=True,
        help="A place for some zooms, as in 9-14=cities.geojson; PLACE is world, a box or a file; repeatable.",
    )
    @_select(
        "--tiles",
        "listed",
        metavar="FILE|-",
        type=TEXT,
        help="Tiles listed in a file (- is stdin): z/x/y, z-x-y, quadkeys or JSON.",
    )
    @_select(
        "--expand",
        metavar="Z",
        callback=parsed(parse_zooms),
        help="Also include parents and children of --tiles at these zooms.",
    )
    @_select(
        "--traffic",
        metavar="LOG",
        multiple=True,
        type=click.Path(path_type=Path, allow_dash=True),
        help="Most requested tiles and their parents, from CloudFront, S3 or web server logs; repeatable.",
    )
    @_select("--top", metavar="N", type=click.IntRange(1), help="Keep the N most requested tiles of --traffic.")
    @_select(
        "--share",
        metavar="P%",
        callback=parsed(_parse_share),
        help="Keep the fewest tiles of --traffic that cover P% of requests.",
    )
    @_select(
        "--exclude",
        metavar="FILE",
        multiple=True,
        type=SHAPES,
        help="Exclude tiles inside polygons of a file as of --shapes, or listed in a file; repeatable.",
    )
    @_select(
        "--footprint/--no-footprint",
        default=None,
        help="Only tiles with data, or all tiles of the layer's bounds."
        "  [default: --footprint; invalidate: --no-footprint]",
    )
    @_select("--missing", is_flag=True, help="Only tiles that are neither stored nor known to be empty.")
    @_select("--existing", is_flag=True, help="Only stored tiles.")
    @wraps(command)
    def place(*args: Any, **kwargs: Any) -> None:
        options = {name: kwargs.pop(name) for name in SELECTORS}
        command(*args, query=_query(**options), **kwargs)

    return place


def selectors(command: Command) -> Command:
    """Options of `places`, `--scale` and `--format`; the command gets `query` in their place."""

    @places
    @_select(
        "--scale",
        type=click.Choice(["1", "2"]),
        default="1",
        show_default=True,
        help="2 selects @2x tiles of 512 pixels.",
    )
    @_select("--format", "form", type=click.Choice(FORMATS), help="Format of the tiles.  [default: the layer's]")
    @wraps(command)
    def select(*args: Any, query: TileQuery, scale: str, form: Format | None, **kwargs: Any) -> None:
        command(*args, query=replace(query, scale=cast(Scale, int(scale)), format=form), **kwargs)

    return select


def order_option(group: OptionGroup) -> Callable[[Command], Command]:
    """The option `--order`."""
    return option(
        "--order",
        group=group,
        metavar="zoom|hilbert|near:LON,LAT",
        default="zoom",
        show_default=True,
        callback=parsed(_parse_order),
        help="Order of the tiles: low zooms first, along a curve, or nearest to a place first.",
    )


def selected(query: TileQuery, layer: Layer, stores: Stores) -> tuple[Selection, dict[int, Count]]:
    """The selected tiles of `layer` and their number by zoom; see `select_tiles`."""
    from seeder.operations.select import select_tiles

    return select_tiles(query, layer, stores, TerminalReport())
