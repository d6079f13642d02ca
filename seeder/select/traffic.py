"""What visitors asked for, as access logs tell it: how often each tile of a layer, and which tiles are worth having.

Four kinds of lines are read, told line by line, so that kinds may be mixed: CloudFront's standard logs as W3C text,
whose `#Fields:` names the columns, and as JSON; S3's server access logs; the Common and the Combined Log Format.

A request counts if it was a GET and was answered with 2xx or 304: a tile was there. One that was redirected does not,
as the same visitor then asks for the same tile again, and that request counts. What other requests ask for is read,
and passed over.
"""

from __future__ import annotations

import gzip
import io
import math
import re
import sys
import zlib
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast
from urllib.parse import unquote

import numpy as np

from seeder.select.morton import Numbers, interleaved
from seeder.select.tileset import TileSet, TileSets
from tiler.errors import BadOption, GridError
from tiler.grid import MAX_ZOOM
from tiler.inputs import check_file
from tiler.keys import check_layer, parse_tile_key

FORMATS = (
    "CloudFront standard logs (tab-separated or JSON), S3 server access logs, Common or Combined Log Format, "
    "each as text or gz"
)
LONGEST = 1 << 16  # bytes of a line; the rest of a longer one is taken for another line
TOGETHER = 1 << 16  # lines that are counted at once
DENSE = 500  # times its size that a log may unpack to; a log is as dense only if all lines are the same
ROOM = 1 << 28  # bytes that any may unpack to
WAITING = 1 << 18  # distinct paths that are held as text
GZ = b"\x1f\x8b"

_BITS = 2 * MAX_ZOOM  # of a tile's code; its zoom stands above them
_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(%?)")
# Up to the status, what the rest have in common. Common: `host ident user [time] "request" status ...`.
# S3: `owner bucket [time] address requester id operation key "request" status ...`, and a name may hold spaces.
_LINE = re.compile(rb'[^["]*\[[^]]*\] (?:([^"]+) )?(?:"(.*?)"|-) ([0-9]{3}|-)(?:\s|$)')
_FIELDS = (b"cs-method", b"cs-uri-stem", b"sc-status")  # of W3C logs: what is asked of each request
_JSON = tuple(re.compile(rb'"%s" ?: ?"?([^",}]*)' % field) for field in _FIELDS)  # in a fifth of a JSON parser's time
_ANONYMOUS = {b"-", b"Anonymous"}  # the second in logs of old
_CLOUDFRONT = (b"svc:cloudfront.", b"arn:aws:iam::cloudfront:")  # with origin access control, and with an identity
_GETS = {b"WEBSITE.GET.OBJECT", b"REST.GET.OBJECT"}


class Columns(NamedTuple):
    """Where the fields of a W3C line are."""

    method: int
    path: int
    status: int


LEGACY = Columns(5, 7, 8)  # of CloudFront's legacy logs, for lines that have lost their `#Fields:` to a filter


def parse_share(text: str) -> float:
    """The part of one that a share in percent is: `95%` and `95` are 0.95.

    Raises:
        BadOption: it is none above 0% and up to 100%, or one of at most 1 without the sign, which may mean either.
    """
    match = _SHARE.fullmatch(text.strip())
    if not match or not 0 < Decimal(match[1]) <= 100:
        raise BadOption(f"{text!r} is not a share of the requests: write 95%, or another above 0% and up to 100%")
    if Decimal(match[1]) <= 1 and not match[2]:
        raise BadOption(f"a share of {text} may be {match[1]}% or {100 * Decimal(match[1]):f}%: write the one you mean")
    return float(Decimal(match[1]) / 100)


@dataclass(frozen=True, eq=False)
class Traffic:
    """How often each tile of a layer was asked for, whatever the scale and the format.

    `by_zoom` has of every zoom the codes of tiles, ascending and once each, and the number of requests of each; both
    `(tiles,)` int64.
    """

    by_zoom: Mapping[int, tuple[Numbers, Numbers]]
    lines: int  # requests of any kind
    unread: int  # lines that are no request

    @property
    def requests(self) -> int:
        """How many requests there were for tiles of the layer."""
        return self.asked(self.by_zoom)

    def asked(self, zooms: Container[int]) -> int:
        """How many of them were for tiles of these zooms."""
        return sum(int(counts.sum()) for z, (_, counts) in self.by_zoom.items() if z in zooms)

    def served(self, tiles: TileSets | Mapping[int, TileSet]) -> int:
        """How many of them were for one of `tiles`."""
        sets = tiles.sets if isinstance(tiles, TileSets) else tiles
        return sum(int(counts[sets[z].holds(codes)].sum()) for z, (codes, counts) in self.by_zoom.items() if z in sets)

    def top(self, n: int, zooms: Container[int]) -> TileSets:
        """The `n` most requested tiles of these zooms, and their ancestors in them.

        Of tiles that were requested as often, those of lower zooms come first, then those of lower codes.
        """
        levels, codes, _ = self._ranked(zooms)
        return _pyramid(levels[:n], codes[:n], zooms)

    def share(self, part: float, zooms: Container[int]) -> TileSets:
        """The fewest tiles that together had `part`, of one, of the requests of these zooms; as `top` has them."""
        levels, codes, counts = self._ranked(zooms)
        least = math.ceil(Fraction(str(part)) * int(counts.sum()))  # the decimal that was meant: 0.07 is not 7/100
        n = int(np.searchsorted(np.cumsum(counts), least)) + 1
        return _pyramid(levels[:n], codes[:n], zooms)

    def _ranked(self, zooms: Container[int]) -> tuple[Numbers, Numbers, Numbers]:
        """Zooms, codes and requests of tiles, the most requested first."""
        own = [(np.full(len(each[0]), z), *each) for z, each in sorted(self.by_zoom.items()) if z in zooms]
        levels, codes, counts = map(np.concatenate, zip((np.zeros(0, np.int64),) * 3, *own, strict=True))
        order = np.argsort(-counts, kind="stable")
        return levels[order], codes[order], counts[order]


def _pyramid(levels: Numbers, codes: Numbers, zooms: Container[int]) -> TileSets:
    """Tiles, by their zooms and codes, and what lies above them in `zooms`."""
    deepest = int(levels.max(initial=0))
    found, sets = TileSet.nothing(deepest), {}
    for z in range(deepest, -1, -1):
        found = found.at(z) | TileSet.of(z, codes[levels == z])
        sets[z] = found
    return TileSets({z: sets[z] for z in reversed(sets) if z in zooms})


def read_traffic(paths: Sequence[Path], layer: str) -> Traffic:
    """The requests for tiles of `layer` in logs; a folder stands for every file in it, `-` for standard input.

    What is held grows with the distinct tiles alone, by 16 bytes each, however long the logs are.

    Raises:
        BadOption: a file cannot be read or holds no request at all; no request is for a tile of the layer.
        BadName: `layer` cannot be one.
    """
    tally = _Tally(check_layer(layer))
    for path in paths:
        for file in _files(path):
            tally.read(file)
    found = tally.traffic()
    if not found.by_zoom:
        raise BadOption(
            f"{', '.join(map(_name, paths))}: none of {tally.lines:,} requests was for a tile of layer {layer!r} that "
            "was there: give logs of the bucket, the distribution or the server that serves the layer"
        )
    return found


def _name(path: Path) -> str:
    return "standard input" if str(path) == "-" else str(path)


def _files(path: Path) -> list[Path]:
    """The logs that a path stands for; what a folder hides with a dot is none."""
    if str(path) == "-" or not path.is_dir():
        return [path]
    found = sorted(each for each in path.rglob("*") if each.is_file() and not each.name.startswith("."))
    if not found:
        raise BadOption(f"{path}: the folder is empty: give one with logs")
    return found


class _Counted(io.RawIOBase):
    """A stream that counts the bytes read from another and leaves that one open."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.taken = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, room: Any) -> int:
        """Read into `room`; return the number of bytes."""
        found = self.stream.read(len(room))
        room[: len(found)] = found
        self.taken += len(found)
        return len(found)


@contextmanager
def _opened(path: Path) -> Iterator[Iterator[bytes]]:
    """The lines of a log, unpacked if gzipped, whatever the file is called."""
    if str(path) == "-":
        yield _lines(_Counted(sys.stdin.buffer), path)
    else:
        check_file(path)
        with path.open("rb") as stream:
            yield _lines(_Counted(stream), path)


def _lines(source: _Counted, path: Path) -> Iterator[bytes]:
    """The lines of a log.

    Raises:
        BadOption: it unpacks to far more than any log.
    """
    stream: BinaryIO = io.BufferedReader(source, 1 << 17)
    if cast(io.BufferedReader, stream).peek(len(GZ)).startswith(GZ):
        stream = io.BufferedReader(gzip.GzipFile(fileobj=stream), 1 << 20)
    read = 0
    while line := stream.readline(LONGEST):
        read += len(line)
        if read > ROOM and read > DENSE * source.taken:
            raise BadOption(f"{_name(path)} unpacks to more than {DENSE} times its size: unpack it first")
        yield line


class _Tally:
    """Requests while they are counted: paths as text, and tiles as numbers as soon as those are many."""

    def __init__(self, layer: str) -> None:
        self.layer = layer
        self.lines = self.unread = 0
        self._waiting: Counter[bytes | None] = Counter()
        self._numbers = self._counts = np.zeros(0, np.int64)  # ascending, once each

    def read(self, path: Path) -> None:
        """Take a log."""
        lines = unread = 0
        try:
            with _opened(path) as text:
                asked = _asked(text)
                while part := list(islice(asked, TOGETHER)):
                    lines += len(part)
                    unread += part.count(None)
                    self._waiting.update(part)
                    if len(self._waiting) > WAITING:
                        self._settle()
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise BadOption(f"{_name(path)} is damaged or cut off ({error}): fetch it again") from error
        except OSError as error:
            raise BadOption(f"cannot read {_name(path)}: {error.strerror or error}") from error
        if lines and lines == unread:
            raise BadOption(f"{_name(path)}: none of {lines:,} lines is a request: give {FORMATS}")
        self.lines += lines - unread
        self.unread += unread

    def _settle(self) -> None:
        """Turn what waits into numbers."""
        found: list[tuple[int, int, int, int]] = []
        for path, count in self._waiting.items():
            if path and (tile := _tile(path, self.layer)):
                found.append((*tile, count))
        self._waiting.clear()
        columns: Numbers = np.array(found, np.int64).reshape(-1, 4)
        z, x, y, counts = columns.T
        numbers, first = np.unique(z << _BITS | interleaved(x, y), return_inverse=True)
        together = np.zeros(len(numbers), np.int64)
        np.add.at(together, first, counts)
        place = np.searchsorted(self._numbers, numbers)
        known = np.r_[self._numbers, -1][place] == numbers
        self._counts[place[known]] += together[known]
        self._numbers = np.insert(self._numbers, place[~known], numbers[~known])
        self._counts = np.insert(self._counts, place[~known], together[~known])

    def traffic(self) -> Traffic:
        """All that was taken."""
        self._settle()
        zooms, first = np.unique(self._numbers >> _BITS, return_index=True)
        codes = np.split(self._numbers & (1 << _BITS) - 1, first[1:])
        by_zoom = zip(zooms.tolist(), zip(codes, np.split(self._counts, first[1:]), strict=False), strict=False)
        return Traffic(dict(by_zoom), self.lines, self.unread)


def _tile(path: bytes, layer: str) -> tuple[int, int, int] | None:
    """Zoom, column and row of the layer's tile that a path ends in, if it does."""
    text = path.partition(b"?")[0].decode("latin-1")
    if "%" in text:
        text = unquote(unquote(text))  # S3 and CloudFront encode what came encoded
    parts = text.rsplit("/", 4)[-4:]
    if parts[0] != layer:
        return None
    try:
        tile = parse_tile_key("/".join(parts)).tile
    except GridError:
        return None
    return tile.z, tile.x, tile.y


def _asked(lines: Iterable[bytes]) -> Iterator[bytes | None]:
    """What each line asked for: a path if it counts, nothing if it does not, None if it is no request."""
    columns = LEGACY
    for line in lines:
        if line.startswith(b"#"):
            columns = _columns(line) or columns
        elif not line.isspace():
            yield _request(line, columns)


def _columns(line: bytes) -> Columns | None:
    """Where the fields are, if the line says so and they are all there."""
    label, _, text = line.partition(b":")
    names = text.split()
    return Columns(*map(names.index, _FIELDS)) if label == b"#Fields" and set(_FIELDS) <= set(names) else None


def _request(line: bytes, columns: Columns) -> bytes | None:
    """As `_asked`, of one line."""
    if b"\t" in line and (found := _w3c(line.rstrip().split(b"\t"), columns)) is not None:
        return found
    if line.startswith(b"{"):
        return _json(line)
    if match := _LINE.match(line):
        between = match[1].split(b" ") if match[1] else ()
        return _stored(match, between) if len(between) >= 5 else _common(match)
    return _w3c(line.split(), columns)


def _counted(method: bytes, path: bytes, status: bytes) -> bytes:
    """The path, if such a request counts."""
    return path if method == b"GET" and (status.startswith(b"2") or status == b"304") else b""


def _w3c(fields: Sequence[bytes], columns: Columns) -> bytes | None:
    try:
        method, path, status = fields[columns.method], fields[columns.path], fields[columns.status]
    except IndexError:
        return None
    return _counted(method, path, status) if len(status) == 3 and status.isdigit() and method.isupper() else None


def _json(line: bytes) -> bytes | None:
    method, path, status = (field.search(line) for field in _JSON)
    return _counted(method[1], path[1].replace(b"\\/", b"/"), status[1]) if method and path and status else None


def _common(match: re.Match[bytes]) -> bytes:
    method, _, rest = (match[2] or b"").partition(b" ")
    return _counted(method, rest.partition(b" ")[0], match[3])


def _stored(match: re.Match[bytes], between: Sequence[bytes]) -> bytes:
    """A request to S3, if a visitor made it: one without a name, or CloudFront for one.

    CloudFront goes by its service's name, or as a user that only its agent tells. What has another name is a tool of
    the owner's, which reads tiles that nobody looked at.
    """
    _, *parts, _, operation, key = between
    name = b" ".join(parts)
    visitor = name in _ANONYMOUS or name.startswith(_CLOUDFRONT) or b'"Amazon CloudFront"' in match.string
    return _counted(b"GET", key, match[3]) if visitor and operation in _GETS else b""
