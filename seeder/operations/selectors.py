"""Turn selectors, from options of a command or arguments of a call, into a query."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from seeder.cache.query import Area, SpatialFilter, State, TileQuery, TrafficFilter
from seeder.select.burn import Shapes
from seeder.select.tilelist import parse_tiles
from seeder.select.tileset import TileSets
from seeder.select.traffic import read_traffic
from seeder.select.vector_file import VectorFile, vector_file
from tiler.errors import BadOption
from tiler.grid import Bounds, parse_box, parse_zooms
from tiler.inputs import check_file, lines, whole

Widening = Callable[[str], AbstractContextManager[Callable[[int, int], object]]]


class Text(NamedTuple):
    """An open text, and its name in messages."""

    file: TextIO
    name: str


ShapeFile = Text | VectorFile


def _silent(_: str) -> AbstractContextManager[Callable[[int, int], object]]:
    return nullcontext(lambda _done, _total: None)


@dataclass(frozen=True, slots=True)
class Selectors:
    """Selectors of tiles. Different ones narrow each other; the items of one add up.

    `buffer` is in metres, `radius` in kilometres, `share` a part of 1. `areas` is consumed after lists and shapes.
    """

    zooms: tuple[int, ...] | None = None
    bbox: tuple[Bounds, ...] = ()
    shapes: tuple[ShapeFile, ...] = ()
    buffer: float | None = None
    around: tuple[tuple[float, float], ...] = ()  # longitude and latitude, degrees
    radius: float | None = None
    areas: Iterable[Area] = ()
    tiles: Text | None = None
    expand: tuple[int, ...] | None = None
    traffic: tuple[Path, ...] = ()
    top: int | None = None
    share: float | None = None
    exclude: tuple[ShapeFile, ...] = ()
    footprint: bool | None = None
    missing: bool = False
    existing: bool = False

    def check(self) -> None:
        """Check that selectors which need each other come together.

        Raises:
            BadOption: one lacks its partner.
        """
        pairs = (
            (self.buffer is not None, bool(self.shapes), "--buffer needs --shapes FILE"),
            (self.radius is not None, bool(self.around), "--radius needs --around LON,LAT"),
            (bool(self.around), self.radius is not None, "--around needs --radius KM"),
            (self.expand is not None, self.tiles is not None, "--expand needs --tiles FILE"),
            (self.top is not None, bool(self.traffic), "--top needs --traffic LOG"),
            (self.share is not None, bool(self.traffic), "--share needs --traffic LOG"),
            (bool(self.traffic), (self.top is None) != (self.share is None), "--traffic needs --top N or --share P%"),
            (self.missing, not self.existing, "--missing and --existing exclude each other: give one of them"),
        )
        for given, well, why in pairs:
            if given and not well:
                raise BadOption(why)

    def query(self, widening: Widening = _silent) -> TileQuery:
        """The query. `widening` shows the progress of buffering the shapes of a file: chunks done of all.

        Raises:
            BadOption: a selector lacks its partner, or a file cannot be parsed.
        """
        self.check()
        lists: tuple[TileSets, ...] = ()
        if self.tiles is not None:
            tiles = parse_tiles(lines(*self.tiles), self.tiles.name)
            lists = (tiles if self.expand is None else tiles.expanded(self.expand),)
        places = SpatialFilter(
            tuple(self._shapes(widening)), lists, tuple(self.areas), tuple(map(_excluded, self.exclude))
        )
        traced = TrafficFilter(partial(read_traffic, self.traffic), self.top, self.share) if self.traffic else None
        state: State | None = "missing" if self.missing else "existing" if self.existing else None
        return TileQuery(self.zooms, self.bbox, places, traced, self.footprint, state)

    def _shapes(self, widening: Widening) -> Iterator[Shapes]:
        from seeder.select.parts import around  # noqa: PLC0415 - it imports shapely

        if self.shapes:
            yield Shapes.joined(_widened(file, self.buffer or 0.0, widening) for file in self.shapes)
        if self.around:
            yield Shapes.joined(around(*place, self.radius or 0.0) for place in self.around)


def _widened(file: ShapeFile, buffer: float, widening: Widening) -> Shapes:
    """The shapes of a file, buffered by `buffer` metres."""
    with widening(file.name) as progress:
        return shapes_in(file, buffer=buffer, progress=progress)


def shapes_in(file: ShapeFile, **options: Any) -> Shapes:
    """The shapes of GeoJSON or of a vector file; for `options` see `seeder.select.parts.shapes_of`.

    Raises:
        BadOption: the file cannot be read or used.
    """
    from seeder.select.geojson import read_geojson  # noqa: PLC0415 - as above
    from seeder.select.vector import read_vector  # noqa: PLC0415 - as above

    return read_geojson(whole(*file), file.name, **options) if isinstance(file, Text) else read_vector(file, **options)


def _excluded(text: ShapeFile) -> Shapes | TileSets:
    """The shapes or tiles of a file to exclude."""
    from seeder.select.geojson import looks_like_geojson, read_geojson  # noqa: PLC0415 - as above

    if not isinstance(text, Text):
        return shapes_in(text, dissolve=True)
    read = whole(*text)
    if looks_like_geojson(read):
        return read_geojson(read, text.name, dissolve=True)
    return parse_tiles(StringIO(read), text.name)


def parse_area(text: str, opened: Callable[[str], AbstractContextManager[TextIO]]) -> Area:
    """Parse `ZOOMS=world`, `ZOOMS=W,S,E,N` or `ZOOMS=FILE`; `opened` opens the file.

    Raises:
        BadOption, GridError: it has none of these forms, or the file cannot be parsed.
    """
    zooms, equals, place = text.partition("=")
    if not equals or not place:
        raise BadOption(f"--area {text!r}: write ZOOMS=world, ZOOMS=FILE or ZOOMS=W,S,E,N, as in 0-8=world")
    return Area(parse_zooms(zooms), _place(place, opened))


def _place(text: str, opened: Callable[[str], AbstractContextManager[TextIO]]) -> Bounds | Shapes | None:
    if text == "world":
        return None
    if re.fullmatch(r"[-+.\deE ]+(,[-+.\deE ]+){3}", text):
        return parse_box(text)
    check_file(text)
    if file := vector_file(text):
        return shapes_in(file)
    try:
        with opened(text) as opened_file:
            return shapes_in(Text(opened_file, text))
    except OSError as error:
        raise BadOption(f"--area: {text} cannot be read: {error.strerror}") from error
