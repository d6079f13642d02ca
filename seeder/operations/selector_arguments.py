"""The arguments of `Layer.select` as a query."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any, TextIO, TypedDict

from mercantile import Tile

from seeder.cache.query import Area, TileQuery
from seeder.operations.checks import check_names, parsed, refusal
from seeder.operations.selectors import Selectors, ShapeFile, Text, shapes_in
from seeder.select.burn import Shapes
from seeder.select.tilelist import tile_line
from seeder.select.traffic import parse_share
from seeder.select.vector_file import vector_file
from tiler.errors import BadOption, GridError
from tiler.grid import MAX_ZOOM, Bounds, parse_box, parse_place, parse_zooms
from tiler.inputs import check_file

Zooms = str | int | Iterable[int]
Box = Bounds | tuple[float, float, float, float]
Shape = str | Path | Mapping[str, Any]  # a file of GeoJSON or another vector file, or GeoJSON itself
TileList = str | Path | Iterable[Tile | str]  # a file of tiles, or tiles, or their names as z/x/y


class Selecting(TypedDict, total=False):
    """Selectors of tiles; see `docs/selecting.md`. Different ones narrow each other; the items of one add up.

    Boxes are W, S, E, N in degrees, places longitude and latitude. `buffer` is in metres, `radius` in kilometres.
    `shapes` are files as of `--shapes`, or GeoJSON; `geojson` is the former name. `area` maps zooms to `"world"`, a
    box or shapes.
    """

    zooms: Zooms
    bbox: Box | list[Box] | str
    shapes: Shape | list[Shape]
    geojson: Shape | list[Shape]
    buffer: float
    around: tuple[float, float] | list[tuple[float, float]]
    radius: float
    area: Mapping[str, Shape | Box]
    tiles: TileList
    expand: Zooms
    traffic: str | Path | list[str | Path]
    top: int
    share: str | float
    exclude: Shape | list[Shape]
    footprint: bool
    missing: bool
    existing: bool


def query_of(arguments: Mapping[str, Any]) -> TileQuery:
    """The query of the arguments; None means not given.

    Raises:
        BadOption, GridError: an argument is unknown or invalid, or lacks its partner.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    check_names(given, _PARSERS, "selector")
    if given.keys() >= {"geojson", "shapes"}:
        raise BadOption("geojson is the former name of shapes: give shapes only")
    with ExitStack() as files:
        texts = _Texts(files)
        parts: dict[str, Any] = {
            _FIELDS.get(name, name): parsed(name, value, partial(_PARSERS[name], value, texts))
            for name, value in given.items()
        }
        for name in given:
            if isinstance(value := parts[_FIELDS.get(name, name)], tuple | list) and not value:
                raise BadOption(f"{name} is empty: leave it out to select all, or give a value")
        return Selectors(**parts).query()


def zooms_of(zooms: Zooms) -> tuple[int, ...]:
    """Zooms as `parse_zooms` returns them, from a text such as `5-14`, a number, or numbers.

    Raises:
        GridError: a zoom does not exist.
    """
    if isinstance(zooms, str):
        return parse_zooms(zooms)
    numbers = list(islice(_each(zooms), MAX_ZOOM + 2))
    if len(numbers) > MAX_ZOOM + 1:
        raise GridError(f"too many zooms: give each of 0 to {MAX_ZOOM} at most once")
    return parse_zooms(",".join(map(str, numbers)))


def _several(value: Any) -> list[Any]:
    """One value or several, as a list."""
    return list(_each(value))


def _each(value: Any) -> Iterator[Any]:
    """One value or several; a text, a path or a mapping is one value."""
    alone = isinstance(value, str | Path | Mapping | int) or not isinstance(value, Iterable)
    return iter([value] if alone or hasattr(value, "__geo_interface__") else value)


def _is_box(value: Any) -> bool:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return bool(value) and all(isinstance(each, int | float) for each in value)
    return isinstance(value, str | Bounds)


def _box(value: Any) -> Bounds:
    if isinstance(value, str):
        return parse_box(value)
    if not _is_box(value) or (not isinstance(value, Bounds) and len(value) != 4):
        raise GridError(f"{value!r} is not a box: give (west, south, east, north) in degrees")
    return value if isinstance(value, Bounds) else Bounds.typed(*map(float, value))


def _boxes(value: Any, _: _Texts) -> tuple[Bounds, ...]:
    if not isinstance(value, Iterable):
        raise refusal("bbox", value, "give (west, south, east, north) in degrees")
    return tuple(map(_box, [value] if _is_box(value) else value))


def _around(value: Any, _: _Texts) -> tuple[tuple[float, float], ...]:
    places = [value] if len(value) == 2 and not isinstance(value[0], Sequence) else value
    return tuple(parse_place(",".join(map(str, place))) for place in places)


def _share(value: Any, _: _Texts) -> float:
    if isinstance(value, str):
        return parse_share(value)
    if not 0 < value <= 1:
        raise BadOption(f"share={value!r} is invalid: give a number above 0 and up to 1, or a text such as '95%'")
    return float(value)


def _at_least(least: float, name: str) -> Callable[[Any, _Texts], Any]:
    def parse(value: Any, _: _Texts) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise refusal(name, value, "give a number")
        if not value >= least:
            raise BadOption(f"{name}={value!r} is too small: give {least} or more")
        return value

    return parse


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise refusal(name, value, "give True or False")
    return value


class _Texts:
    """Open the files of arguments; `files` closes them."""

    def __init__(self, files: ExitStack) -> None:
        self._files = files

    def shape(self, value: Any, name: str) -> ShapeFile:
        """A file of GeoJSON or another vector file, a mapping, or an object with a `__geo_interface__`."""
        if isinstance(value, str | Path):
            return vector_file(str(Path(value).expanduser())) or self._file(value)
        value = getattr(value, "__geo_interface__", value)
        try:
            return Text(StringIO(json.dumps(value)), name)
        except (TypeError, ValueError) as error:
            raise BadOption(f"{name} is not GeoJSON: {error}") from error

    def place(self, value: Any) -> Bounds | Shapes | None:
        """A box or shapes; None is the whole world."""
        if isinstance(value, str) and value == "world":
            return None
        if isinstance(value, Bounds | tuple | list):
            return _box(value)
        return shapes_in(self.shape(value, "area"))

    def tiles(self, value: TileList) -> Text:
        """A list of tiles: a file, or the tiles."""
        if isinstance(value, str | Path):
            return self._file(value)
        return Text(StringIO("\n".join(_lines(value))), "tiles")

    def _file(self, path: str | Path) -> Text:
        check_file(path)
        try:
            file: TextIO = self._files.enter_context(
                Path(path).expanduser().open(encoding="utf-8-sig", errors="replace")
            )
        except OSError as error:
            raise BadOption(f"{path} cannot be read: {error.strerror}") from error
        return Text(file, str(path))


def _lines(tiles: Iterable[Tile | str]) -> Iterator[str]:
    for tile in tiles:
        if not isinstance(tile, str | Tile):
            raise BadOption(f"{tile!r} is not a tile: give mercantile.Tile(x, y, z) or 'z/x/y'")
        yield tile if isinstance(tile, str) else tile_line(tile)


_FIELDS = {"area": "areas", "geojson": "shapes"}  # of Selectors with another name
_PARSERS: dict[str, Callable[[Any, _Texts], Any]] = {
    "zooms": lambda value, _: zooms_of(value),
    "bbox": _boxes,
    "shapes": lambda value, texts: tuple(texts.shape(each, "shapes") for each in _several(value)),
    "geojson": lambda value, texts: tuple(texts.shape(each, "geojson") for each in _several(value)),
    "buffer": _at_least(0, "buffer"),
    "around": _around,
    "radius": _at_least(0, "radius"),
    "area": lambda value, texts: [Area(zooms_of(zooms), texts.place(place)) for zooms, place in value.items()],
    "tiles": lambda value, texts: texts.tiles(value),
    "expand": lambda value, _: zooms_of(value),
    "traffic": lambda value, _: tuple(map(Path, _several(value))),
    "top": _at_least(1, "top"),
    "share": _share,
    "exclude": lambda value, texts: tuple(texts.shape(each, "exclude") for each in _several(value)),
    "footprint": lambda value, _: _flag("footprint", value),
    "missing": lambda value, _: _flag("missing", value),
    "existing": lambda value, _: _flag("existing", value),
}
