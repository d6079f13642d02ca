"""The options that say which tiles a command acts on, the same for every command."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial, wraps
from io import StringIO
from pathlib import Path
from typing import Any, TextIO, cast

import click

from seeder.cache.query import Area, SpatialFilter, State, TileQuery, TrafficFilter
from seeder.cli.common import Bar, interruptible, parsed, tile_bar, tiles_said
from seeder.select.blocks import Count
from seeder.select.burn import Shapes
from seeder.select.order import Order
from seeder.select.selection import Selection, count, regions
from seeder.select.tilelist import parse_tiles
from seeder.select.tileset import TileSets
from seeder.select.traffic import parse_share, read_traffic
from tiler.errors import BadOption
from tiler.grid import Bounds, parse_place, parse_zooms
from tiler.inputs import check_file, lines, whole
from tiler.keys import FORMATS, Format, Scale
from tiler.layers.catalog import Layer
from tiler.storage.store import Stores

Command = Callable[..., None]
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


@dataclass(frozen=True, slots=True)
class _Given:
    """The options as they were given."""

    zooms: tuple[int, ...] | None
    bbox: tuple[Bounds, ...]
    geojson: tuple[TextIO, ...]
    buffer: float | None
    around: tuple[tuple[float, float], ...]
    radius: float | None
    area: tuple[str, ...]
    listed: TextIO | None
    expand: tuple[int, ...] | None
    traffic: tuple[Path, ...]
    top: int | None
    share: float | None
    exclude: tuple[TextIO, ...]
    footprint: bool | None
    missing: bool
    existing: bool

    def check(self) -> None:
        """Nothing, if no option lacks the one that it belongs to.

        Raises:
            BadOption: one does.
        """
        pairs = (
            (self.buffer is not None, bool(self.geojson), "--buffer needs --geojson FILE"),
            (self.radius is not None, bool(self.around), "--radius needs --around LON,LAT"),
            (bool(self.around), self.radius is not None, "--around needs --radius KM"),
            (self.expand is not None, self.listed is not None, "--expand needs --tiles FILE"),
            (self.top is not None, bool(self.traffic), "--top needs --traffic LOG"),
            (self.share is not None, bool(self.traffic), "--share needs --traffic LOG"),
            (bool(self.traffic), (self.top is None) != (self.share is None), "--traffic needs --top N or --share P%"),
            (self.missing, not self.existing, "--missing and --existing leave nothing: give one of them"),
        )
        for given, well, why in pairs:
            if given and not well:
                raise BadOption(why)
        files = [_name(file) for file in (*self.geojson, *self.exclude, *([self.listed] if self.listed else []))]
        if sum(name in STDIN for name in (*files, *map(str, self.traffic))) > 1:
            raise BadOption("standard input can be read once: give files for the other options")

    def query(self) -> TileQuery:
        """What they ask for.

        Raises:
            BadOption: an option lacks the one that it belongs to, or a file cannot be understood.
        """
        self.check()
        lists: tuple[TileSets, ...] = ()
        if self.listed is not None:
            tiles = parse_tiles(lines(self.listed, _name(self.listed)), _name(self.listed))
            lists = (tiles if self.expand is None else tiles.expanded(self.expand),)
        places = SpatialFilter(
            tuple(self._shapes()), lists, tuple(map(_area, self.area)), tuple(map(_excluded, self.exclude))
        )
        traced = TrafficFilter(partial(read_traffic, self.traffic), self.top, self.share) if self.traffic else None
        state: State | None = "missing" if self.missing else "existing" if self.existing else None
        return TileQuery(self.zooms, self.bbox, places, traced, self.footprint, state)

    def _shapes(self) -> Iterator[Shapes]:
        from seeder.select.geojson import around  # noqa: PLC0415 - it imports shapely

        if self.geojson:
            buffer = self.buffer or 0.0
            yield Shapes.joined(_widened(file, buffer) for file in self.geojson)
        if self.around:
            yield Shapes.joined(around(*place, self.radius or 0.0) for place in self.around)


def _widened(file: TextIO, buffer: float) -> Shapes:
    """The shapes of a file, widened by `buffer` metres."""
    from seeder.select.geojson import read_geojson  # noqa: PLC0415 - as above

    with Bar(f"widen {Path(_name(file)).name}", unit="part", delay=PATIENCE) as bar:
        return read_geojson(whole(file, _name(file)), _name(file), buffer=buffer, progress=bar)


def _name(file: TextIO) -> str:
    return getattr(file, "name", "-")


def _excluded(file: TextIO) -> Shapes | TileSets:
    """What a file of shapes or of tiles leaves out."""
    from seeder.select.geojson import looks_like_geojson, read_geojson  # noqa: PLC0415 - as above

    text = whole(file, _name(file))
    if looks_like_geojson(text):
        return read_geojson(text, _name(file), dissolve=True)
    return parse_tiles(StringIO(text), _name(file))


def _area(text: str) -> Area:
    """`ZOOMS=world`, `ZOOMS=W,S,E,N` or `ZOOMS=FILE`.

    Raises:
        BadOption, GridError: it is none of them, or the file cannot be understood.
    """
    zooms, equals, place = text.partition("=")
    if not equals or not place:
        raise BadOption(f"--area {text!r}: write ZOOMS=world, ZOOMS=FILE or ZOOMS=W,S,E,N, as in 0-8=world")
    return Area(parse_zooms(zooms), _place(place))


def _place(text: str) -> Bounds | Shapes | None:
    from seeder.select.geojson import read_geojson  # noqa: PLC0415 - as above

    if text == "world":
        return None
    if re.fullmatch(r"[-+.\deE ]+(,[-+.\deE ]+){3}", text):
        return Bounds.parse(text)
    check_file(text)
    try:
        with click.open_file(text, encoding="utf-8-sig", errors="replace") as file:
            return read_geojson(whole(cast(TextIO, file), text), text)
    except OSError as error:
        raise BadOption(f"--area: {text} cannot be read: {error.strerror}") from error


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
        given = {name: kwargs.pop(name) for name in _Given.__dataclass_fields__}
        command(*args, query=_Given(**given).query(), **kwargs)

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
    """The tiles of `layer` that are meant, and how many they are; what is left out and served is told.

    They are none only if `--missing` or `--existing` leave none.

    Raises:
        ZoomOutside: the layer lacks one of the zooms.
        BadOption: not one tile is selected.
        StoreError: it cannot be told what is stored.
    """
    query.check_listed()
    if query.state:
        with interruptible("interrupted: nothing was changed"), tile_bar(f"look for {layer.id}", None) as bar:
            selection, traffic = query.selection(layer, stores, bar.update)
        counts = {region.z: region.total() for region in regions(layer, selection)}
    else:
        selection, traffic = query.selection(layer, stores, int)
        counts = count(layer, selection)
        if query.places.shapes and not counts[max(counts)].tiles:
            hint = "the shapes lie beside the layer, or their longitudes and latitudes are swapped"
            click.echo(f"no tile of zoom {max(counts)} is selected: {hint}", err=True)
    found = Count.total(counts).tiles
    listed = sum(map(len, query.places.lists))
    if query.places.lists and found != listed:
        alone = query == TileQuery(
            places=SpatialFilter(lists=query.places.lists), scale=query.scale, format=query.format
        )
        which = "not among the layer's" if alone else "not among the layer's, or not selected otherwise"
        click.echo(f"{listed - found:,} of {listed:,} listed tiles are {which}, and left out", err=True)
    if traffic:
        served = traffic.served({region.z: region for region in regions(layer, selection)})
        every = traffic.asked(selection.zooms)
        share = f"{served:,} of {every:,} requests for these zooms ({served / max(1, every):.1%})"
        click.echo(f"{tiles_said(found)} would have served {share}", err=True)
    return selection, counts
