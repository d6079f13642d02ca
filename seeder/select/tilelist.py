"""Lists of tiles in the forms of this and other tools."""

from __future__ import annotations

import io
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import cast

import numpy as np
from mercantile import Tile

from seeder.select.morton import Numbers, interleaved
from seeder.select.tileset import TileSet, TileSets
from tiler.errors import BadOption
from tiler.grid import MAX_ZOOM
from tiler.inputs import LONGEST

Place = tuple[int, int, int]  # zoom, column and row

_CHUNK_LINES = 1 << 15  # lines read at a time
_CHUNK_CHARACTERS = 1 << 22  # characters read at a time, exceeded by the last line only

_SLASHES = r"(\d{1,2})/(\d{1,9})/(\d{1,9})"
_DASHES = _SLASHES.replace("/", "-")
_ARRAY = r"\[ (\d{1,9}) , (\d{1,9}) , (\d{1,2}) \]".replace(" ", r"[ \t]*")
_OBJECT = r'\{ "x" : (\d{1,9}) , "y" : (\d{1,9}) , "z" : (\d{1,2}) \}'.replace(" ", r"[ \t]*")
_QUADKEY = rf"([0-3]{{1,{MAX_ZOOM}}})"
_LINE = re.compile(f"{_SLASHES}|{_DASHES}|{_ARRAY}|{_OBJECT}|{_QUADKEY}", re.ASCII)
_FORMS = "z/x/y, z-x-y, a quadkey or [x, y, z]"

_COMMENT = re.compile(r"#[^\n]*")
_TO_SPACES = bytes.maketrans(b'/-[]{},:"xyz\x1e', b" " * 13)
_COLUMN, _ROW = str.maketrans("0123", "0101"), str.maketrans("0123", "0011")  # the bits of a quadkey's digits

_DECODER = json.JSONDecoder()
_EMPTY = re.compile(r"\[\s*\]")
_OPENED = re.compile(r"\[\s*(?=[\[{])")  # before the first tile of an array of tiles
_AFTER_ITEM = re.compile(r"\s*(?:,|\]\s*\Z)\s*")
_AFTER_TILE = re.compile(r"\s*\Z")


def _lines_of(tile: str) -> re.Pattern[str]:
    """A pattern for any number of lines, each empty or with one tile of this form."""
    return re.compile(rf"[ \t\r\n\x1e]*+(?:{tile}[ \t\r]*+(?:\n[ \t\r\n\x1e]*+|\Z))*+", re.ASCII)


_QUADKEYS = _lines_of(_QUADKEY)
_ALIKE = (  # pattern of one form, and the positions of z, x and y in it
    (_lines_of(_SLASHES), [0, 1, 2]),
    (_lines_of(_ARRAY), [2, 0, 1]),
    (_lines_of(_DASHES), [0, 1, 2]),
    (_lines_of(_OBJECT), [2, 0, 1]),
)


def parse_tiles(lines: Iterable[str], name: str) -> TileSets:
    """The tiles listed in `lines`, in any order and possibly repeated; `name` is the name of the file.

    A line is `z/x/y`, `z-x-y`, a quadkey (only digits 0 to 3, one per zoom), `[x, y, z]` or `{"x": x, "y": y,
    "z": z}`. A JSON tile or an array of tiles may span several lines. A `#` starts a comment.

    Raises:
        BadOption: a line is not a tile; names the line.
    """
    sets: dict[int, list[TileSet]] = defaultdict(list)
    source, number = iter(lines), 1
    while chunk := _chunk(source):
        alike = _alike(chunk)
        (zooms, codes), number = (alike, number + len(chunk)) if alike else _one_by_one(chunk, source, name, number)
        for z in np.flatnonzero(np.bincount(zooms)).tolist():
            _add(sets[z], TileSet.of(z, codes[zooms == z]))
    return TileSets({z: TileSet.union(z, sets[z]) for z in sorted(sets)})


def _chunk(source: Iterator[str]) -> list[str]:
    """The next lines, at most `_CHUNK_LINES`, and about `_CHUNK_CHARACTERS` characters."""
    chunk, length = [], 0
    for line in islice(source, _CHUNK_LINES):
        chunk.append(line)
        length += len(line)
        if length > _CHUNK_CHARACTERS:
            break
    return chunk


def tile_line(tile: Tile) -> str:
    """A tile as `z/x/y`, for lists."""
    return f"{tile.z}/{tile.x}/{tile.y}"


def json_line(tile: Tile) -> str:
    """A tile as `[x, y, z]`, the form of mercantile and supermercado."""
    return f"[{tile.x}, {tile.y}, {tile.z}]"


def _add(sets: list[TileSet], new: TileSet) -> None:
    """Append `new`, joining smaller sets first: each set keeps more runs than the next, to sort less often."""
    while sets and len(sets[-1].starts) <= len(new.starts):
        new |= sets.pop()
    sets.append(new)


def _alike(chunk: list[str]) -> tuple[Numbers, Numbers] | None:
    """Zooms and codes of lines if all have one form and are on the grid, otherwise None."""
    text = "\n".join(chunk)
    if "#" in text:
        text = _COMMENT.sub("", text)
    if _QUADKEYS.fullmatch(text):
        keys = text.split()
        return np.array([len(key) for key in keys], np.int64), np.array([int(key, 4) for key in keys], np.int64)
    for form, order in _ALIKE:
        if form.fullmatch(text):
            numbers = np.fromstring(text.encode().translate(_TO_SPACES), np.int64, sep=" ")
            z, x, y = numbers.reshape(-1, 3).T[order]
            inside = (z <= MAX_ZOOM) & (np.maximum(x, y) >> z == 0)
            return (z, interleaved(x, y)) if inside.all() else None
    return None


def _one_by_one(chunk: list[str], more: Iterator[str], name: str, first: int) -> tuple[tuple[Numbers, Numbers], int]:
    """Zooms and codes of lines in any form, numbered from `first`; and the number of the next unread line.

    If JSON is open after the last line of `chunk`, the rest is read from `more`.
    """
    tiles: list[Place] = []
    source = enumerate(chain(chunk, more), first)
    number, last = first - 1, first + len(chunk) - 1
    while number < last:
        number, line = next(source)
        text = _bare(line)
        if match := _LINE.fullmatch(text):
            tiles.append(_on_grid(_numbers(match), name, number))
        elif text.startswith(("[", "{")):
            begin = number
            text, number = _whole(text, begin, source, name)
            tiles += (_on_grid(place, name, at) for at, place in _of_json(text, begin, name))
        elif text:
            raise _not_a_tile(text, name, number)
    z, x, y = np.array(tiles, np.int64).reshape(-1, 3).T
    return (z, interleaved(x, y)), number + 1


def _bare(line: str) -> str:
    """A line without comment, surrounding white space, byte order mark and record separators."""
    return line.partition("#")[0].replace("\ufeff", "").strip()


def _numbers(match: re.Match[str]) -> Place:
    """The tile of a matched line."""
    last = cast(int, match.lastindex)
    if last == _LINE.groups:
        key = match[last]
        return len(key), int(key.translate(_COLUMN), 2), int(key.translate(_ROW), 2)
    one, two, three = map(int, match.group(last - 2, last - 1, last))
    return (three, one, two) if match[0].startswith(("[", "{")) else (one, two, three)


def _whole(text: str, number: int, source: Iterator[tuple[int, str]], name: str) -> tuple[str, int]:
    """JSON from its first line to its closing bracket; and the number of the last line."""
    buffer = io.StringIO()
    depth, begin = 0, number
    while True:
        if buffer.write(text) and buffer.tell() > LONGEST:
            raise BadOption(f"{name}, line {begin}: JSON longer than {LONGEST >> 20} MB: write one tile per line")
        depth += sum(map(text.count, "[{")) - sum(map(text.count, "]}"))
        if depth <= 0:
            return buffer.getvalue(), number
        number, line = next(source, (0, ""))
        if not number:
            raise _not_a_tile(buffer.getvalue(), name, begin, "has an unclosed bracket")
        text = "\n" + _bare(line)


def _of_json(text: str, number: int, name: str) -> Iterator[tuple[int, Place]]:
    """The tiles of JSON starting at line `number`, each with the line of its own start."""
    if _EMPTY.fullmatch(text):
        return
    opened = _OPENED.match(text)
    done, at, follows = (0, opened.end(), _AFTER_ITEM) if opened else (0, 0, _AFTER_TILE)
    while True:
        number += text.count("\n", done, at)
        place, end = _json_tile(text, at)
        after = follows.match(text, end)
        if place is None or after is None:
            raise _not_a_tile(text[at:], name, number)
        yield number, place
        if "," not in after[0]:
            return
        done, at = at, after.end()


def _json_tile(text: str, at: int) -> tuple[Place | None, int]:
    """The tile at position `at`, or None; and the position of its end."""
    try:
        value, end = _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):
        return None, at
    match value:
        case {"x": x, "y": y, "z": z} | [x, y, z] if type(x) is type(y) is type(z) is int:
            return (z, x, y), end
    return None, end


def _on_grid(place: Place, name: str, number: int) -> Place:
    """Return the tile unchanged if it exists.

    Raises:
        BadOption: it does not.
    """
    z, x, y = place
    if not 0 <= z <= MAX_ZOOM:
        why = f"zooms run from 0 to {MAX_ZOOM}"
    elif not (0 <= x < 2**z and 0 <= y < 2**z):
        why = f"columns and rows of zoom {z} run from 0 to {2**z - 1}"
    else:
        return place
    tile = "/".join(str(each)[:12] for each in place)
    raise BadOption(f"{name}, line {number}: tile {tile} does not exist: {why}")


def _not_a_tile(text: str, name: str, number: int, problem: str = "is not a tile") -> BadOption:
    if '"type"' in text:
        return BadOption(f"{name}, line {number}: GeoJSON is not a list of tiles: use --geojson")
    return BadOption(f"{name}, line {number}: {text[:80]!r} {problem}: write {_FORMS}, one per line, such as 5/16/11")
