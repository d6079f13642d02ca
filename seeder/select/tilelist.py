"""Tiles named one by one, as this and other tools write them."""

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

_MANY = 1 << 15  # lines that are read at a time
_MUCH = 1 << 22  # characters of them, but for the last line

_SLASHES = r"(\d{1,2})/(\d{1,9})/(\d{1,9})"
_DASHES = _SLASHES.replace("/", "-")
_ARRAY = r"\[ (\d{1,9}) , (\d{1,9}) , (\d{1,2}) \]".replace(" ", r"[ \t]*")
_OBJECT = r'\{ "x" : (\d{1,9}) , "y" : (\d{1,9}) , "z" : (\d{1,2}) \}'.replace(" ", r"[ \t]*")
_QUADKEY = rf"([0-3]{{1,{MAX_ZOOM}}})"
_LINE = re.compile(f"{_SLASHES}|{_DASHES}|{_ARRAY}|{_OBJECT}|{_QUADKEY}", re.ASCII)
_FORMS = "z/x/y, z-x-y, a quadkey or [x, y, z]"

_COMMENT = re.compile(r"#[^\n]*")
_TO_SPACES = bytes.maketrans(b'/-[]{},:"xyz\x1e', b" " * 13)
_COLUMN, _ROW = str.maketrans("0123", "0101"), str.maketrans("0123", "0011")  # the bits in a quadkey's digits

_DECODER = json.JSONDecoder()
_EMPTY = re.compile(r"\[\s*\]")
_OPENED = re.compile(r"\[\s*(?=[\[{])")  # stands before the first tile of an array of some
_AFTER_ONE_OF_SOME = re.compile(r"\s*(?:,|\]\s*\Z)\s*")
_AFTER_ONE = re.compile(r"\s*\Z")


def _lines_of(tile: str) -> re.Pattern[str]:
    """What matches any number of lines if each names one tile of that form or nothing."""
    return re.compile(rf"[ \t\r\n\x1e]*+(?:{tile}[ \t\r]*+(?:\n[ \t\r\n\x1e]*+|\Z))*+", re.ASCII)


_QUADKEYS = _lines_of(_QUADKEY)
_ALIKE = (  # lines of one form, and which of its three numbers are z, x and y
    (_lines_of(_SLASHES), [0, 1, 2]),
    (_lines_of(_ARRAY), [2, 0, 1]),
    (_lines_of(_DASHES), [0, 1, 2]),
    (_lines_of(_OBJECT), [2, 0, 1]),
)


def parse_tiles(lines: Iterable[str], name: str) -> TileSets:
    """The tiles that `lines` name, in any order and however often; `name` is the file's.

    A line is `z/x/y`, `z-x-y`, a quadkey (digits 0 to 3 alone, as many as its zoom), `[x, y, z]` or `{"x": x, "y": y,
    "z": z}`. A JSON tile or an array of some may go on over lines. What follows a `#` is a comment.

    Raises:
        BadOption: a line names no tile; says which.
    """
    found: dict[int, list[TileSet]] = defaultdict(list)
    source, number = iter(lines), 1
    while chunk := _chunk(source):
        alike = _alike(chunk)
        (zooms, codes), number = (alike, number + len(chunk)) if alike else _one_by_one(chunk, source, name, number)
        for z in np.flatnonzero(np.bincount(zooms)).tolist():
            _add(found[z], TileSet.of(z, codes[zooms == z]))
    return TileSets({z: TileSet.union(z, found[z]) for z in sorted(found)})


def _chunk(source: Iterator[str]) -> list[str]:
    """The next lines, at most `_MANY`, and about `_MUCH` characters."""
    chunk, held = [], 0
    for line in islice(source, _MANY):
        chunk.append(line)
        held += len(line)
        if held > _MUCH:
            break
    return chunk


def tile_line(tile: Tile) -> str:
    """A tile as a list names it."""
    return f"{tile.z}/{tile.x}/{tile.y}"


def json_line(tile: Tile) -> str:
    """A tile as mercantile and supermercado name it."""
    return f"[{tile.x}, {tile.y}, {tile.z}]"


def _add(sets: list[TileSet], new: TileSet) -> None:
    """Put `new` to sets that each have more runs than the next, so that a tile is not sorted in again and again."""
    while sets and len(sets[-1].starts) <= len(new.starts):
        new |= sets.pop()
    sets.append(new)


def _alike(chunk: list[str]) -> tuple[Numbers, Numbers] | None:
    """Zooms and codes of lines that are all of one form and on the grid, or None."""
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
    """Zooms and codes of any lines, the first of that number; and the number of the first that is not read.

    JSON that the last of them begins is read to its end out of `more`.
    """
    found: list[Place] = []
    source = enumerate(chain(chunk, more), first)
    number, last = first - 1, first + len(chunk) - 1
    while number < last:
        number, line = next(source)
        text = _bare(line)
        if match := _LINE.fullmatch(text):
            found.append(_on_grid(_numbers(match), name, number))
        elif text.startswith(("[", "{")):
            begin = number
            text, number = _whole(text, begin, source, name)
            found += (_on_grid(place, name, at) for at, place in _of_json(text, begin, name))
        elif text:
            raise _no_tile(text, name, number)
    z, x, y = np.array(found, np.int64).reshape(-1, 3).T
    return (z, interleaved(x, y)), number + 1


def _bare(line: str) -> str:
    """A line without its comment, and without the blanks, the mark of UTF-8 and the record separators around it."""
    return line.partition("#")[0].replace("\ufeff", "").strip()


def _numbers(match: re.Match[str]) -> Place:
    """What a line names."""
    last = cast(int, match.lastindex)
    if last == _LINE.groups:
        key = match[last]
        return len(key), int(key.translate(_COLUMN), 2), int(key.translate(_ROW), 2)
    one, two, three = map(int, match.group(last - 2, last - 1, last))
    return (three, one, two) if match[0].startswith(("[", "{")) else (one, two, three)


def _whole(text: str, number: int, source: Iterator[tuple[int, str]], name: str) -> tuple[str, int]:
    """JSON from its first line on to the one that closes its brackets; and the number of that."""
    held = io.StringIO()
    depth, begin = 0, number
    while True:
        if held.write(text) and held.tell() > LONGEST:
            raise BadOption(f"{name}, line {begin}: JSON longer than {LONGEST >> 20} MB: write one tile a line")
        depth += sum(map(text.count, "[{")) - sum(map(text.count, "]}"))
        if depth <= 0:
            return held.getvalue(), number
        number, line = next(source, (0, ""))
        if not number:
            raise _no_tile(held.getvalue(), name, begin, "opens a bracket that nothing closes")
        text = "\n" + _bare(line)


def _of_json(text: str, number: int, name: str) -> Iterator[tuple[int, Place]]:
    """The tiles of JSON that begins in that line, each with the line in which it begins itself."""
    if _EMPTY.fullmatch(text):
        return
    opened = _OPENED.match(text)
    done, at, follows = (0, opened.end(), _AFTER_ONE_OF_SOME) if opened else (0, 0, _AFTER_ONE)
    while True:
        number += text.count("\n", done, at)
        place, end = _json_tile(text, at)
        after = follows.match(text, end)
        if place is None or after is None:
            raise _no_tile(text[at:], name, number)
        yield number, place
        if "," not in after[0]:
            return
        done, at = at, after.end()


def _json_tile(text: str, at: int) -> tuple[Place | None, int]:
    """The tile that stands there, or None; and where it ends."""
    try:
        value, end = _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):
        return None, at
    match value:
        case {"x": x, "y": y, "z": z} | [x, y, z] if type(x) is type(y) is type(z) is int:
            return (z, x, y), end
    return None, end


def _on_grid(place: Place, name: str, number: int) -> Place:
    """The same.

    Raises:
        BadOption: there is no such tile.
    """
    z, x, y = place
    if not 0 <= z <= MAX_ZOOM:
        why = f"zooms run from 0 to {MAX_ZOOM}"
    elif not (0 <= x < 2**z and 0 <= y < 2**z):
        why = f"columns and rows run from 0 to {2**z - 1}"
    else:
        return place
    said = "/".join(str(each)[:12] for each in place)
    raise BadOption(f"{name}, line {number}: tile {said} is off the grid of its zoom: {why}")


def _no_tile(text: str, name: str, number: int, what: str = "is not a tile") -> BadOption:
    if '"type"' in text:
        return BadOption(f"{name}, line {number}: this is GeoJSON, not a list of tiles: give it to --geojson")
    return BadOption(f"{name}, line {number}: {text[:80]!r} {what}: write {_FORMS}, one a line, as in 5/16/11")
