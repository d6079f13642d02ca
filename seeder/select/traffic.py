"""Requests for tiles in access logs: how often each tile of a layer was requested, and the most requested tiles.

Four formats are detected line by line, so formats may be mixed: CloudFront's standard logs as W3C text, where
`#Fields:` names the columns, and as JSON; S3's server access logs; the Common and the Combined Log Format.

A request counts if it was a GET with status 2xx or 304: the tile was stored. A redirected request does not count: the
visitor requests the same tile again, and that request counts. Other requests are read and skipped.
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
LONGEST = 1 << 16  # bytes of a line; a longer one is read as several lines
TOGETHER = 1 << 16  # lines counted at once
DENSE = 500  # largest ratio of unpacked to packed size; a log only reaches it if all its lines are the same
ROOM = 1 << 28  # bytes; a smaller unpacked size is always accepted
WAITING = 1 << 18  # distinct paths kept as text
GZ = b"\x1f\x8b"

_BITS = 2 * MAX_ZOOM  # of a tile's code; the zoom is in the bits above
_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(%?)")
# The common part of the other formats, up to the status. Common: `host ident user [time] "request" status ...`.
# S3: `owner bucket [time] address requester id operation key "request" status ...`, and names may contain spaces.
_LINE = re.compile(rb'[^["]*\[[^]]*\] (?:([^"]+) )?(?:"(.*?)"|-) ([0-9]{3}|-)(?:\s|$)')
_FIELDS = (b"cs-method", b"cs-uri-stem", b"sc-status")  # of W3C logs: the fields read of each request
_JSON = tuple(re.compile(rb'"%s" ?: ?"?([^",}]*)' % field) for field in _FIELDS)  # in a fifth of a JSON parser's time
_ANONYMOUS = {b"-", b"Anonymous"}  # "Anonymous" is in old logs
_CLOUDFRONT = (b"svc:cloudfront.", b"arn:aws:iam::cloudfront:")  # origin access control, origin access identity
_GETS = {b"WEBSITE.GET.OBJECT", b"REST.GET.OBJECT"}


class Columns(NamedTuple):
    """Positions of the fields in a W3C line."""

    method: int
    path: int
    status: int


LEGACY = Columns(5, 7, 8)  # of CloudFront's legacy logs, for lines without `#Fields:`, which a filter may have removed


def parse_share(text: str) -> float:
    """A share in percent as a fraction: `95%` and `95` are 0.95.

    Raises:
        BadOption: the share is not above 0% and up to 100%, or is at most 1 without a sign and so ambiguous.
    """
    match = _SHARE.fullmatch(text.strip())
    if not match or not 0 < Decimal(match[1]) <= 100:
        raise BadOption(f"{text!r} is not a share of requests: write a percentage above 0% and up to 100%, such as 95%")
    if Decimal(match[1]) <= 1 and not match[2]:
        raise BadOption(f"ambiguous share {text}: write {match[1]}% or {100 * Decimal(match[1]):f}%")
    return float(Decimal(match[1]) / 100)


@dataclass(frozen=True, eq=False)
class Traffic:
    """Number of requests for each tile of a layer, over all scales and formats.

    `by_zoom` holds for every zoom the distinct codes of tiles, ascending, and their numbers of requests; both
    `(tiles,)` int64.
    """

    by_zoom: Mapping[int, tuple[Numbers, Numbers]]
    lines: int  # requests of any kind
    unread: int  # lines that are not requests

    @property
    def requests(self) -> int:
        """Number of requests for tiles of the layer."""
        return self.requests_at(self.by_zoom)

    def requests_at(self, zooms: Container[int]) -> int:
        """Number of requests for tiles of these zooms."""
        return sum(int(counts.sum()) for z, (_, counts) in self.by_zoom.items() if z in zooms)

    def served(self, tiles: TileSets | Mapping[int, TileSet]) -> int:
        """Number of requests for one of `tiles`."""
        sets = tiles.sets if isinstance(tiles, TileSets) else tiles
        return sum(int(counts[sets[z].holds(codes)].sum()) for z, (codes, counts) in self.by_zoom.items() if z in sets)

    def top(self, n: int, zooms: Container[int]) -> TileSets:
        """The `n` most requested tiles of these zooms, and their ancestors in these zooms.

        Ties are broken by the lower zoom, then by the lower code.
        """
        levels, codes, _ = self._ranked(zooms)
        return _pyramid(levels[:n], codes[:n], zooms)

    def share(self, part: float, zooms: Container[int]) -> TileSets:
        """The fewest tiles that cover a fraction `part` of these zooms' requests, and their ancestors, as in `top`."""
        levels, codes, counts = self._ranked(zooms)
        least = math.ceil(Fraction(str(part)) * int(counts.sum()))  # exact: the float 0.07 is not 7/100
        n = int(np.searchsorted(np.cumsum(counts), least)) + 1
        return _pyramid(levels[:n], codes[:n], zooms)

    def _ranked(self, zooms: Container[int]) -> tuple[Numbers, Numbers, Numbers]:
        """Zooms, codes and requests of tiles, the most requested first."""
        own = [(np.full(len(each[0]), z), *each) for z, each in sorted(self.by_zoom.items()) if z in zooms]
        levels, codes, counts = map(np.concatenate, zip((np.zeros(0, np.int64),) * 3, *own, strict=True))
        order = np.argsort(-counts, kind="stable")
        return levels[order], codes[order], counts[order]


def _pyramid(levels: Numbers, codes: Numbers, zooms: Container[int]) -> TileSets:
    """The tiles with these zooms and codes, and their ancestors in `zooms`."""
    deepest = int(levels.max(initial=0))
    tiles, sets = TileSet.nothing(deepest), {}
    for z in range(deepest, -1, -1):
        tiles = tiles.at(z) | TileSet.of(z, codes[levels == z])
        sets[z] = tiles
    return TileSets({z: sets[z] for z in reversed(sets) if z in zooms})


def read_traffic(paths: Sequence[Path], layer: str) -> Traffic:
    """The requests for tiles of `layer` in logs; a folder means every file in it, `-` standard input.

    Memory grows by 16 bytes per distinct tile, independent of the length of the logs.

    Raises:
        BadOption: a file cannot be read or has no requests; no request is for a tile of the layer.
        BadName: `layer` is not a valid name.
    """
    tally = _Tally(check_layer(layer))
    for path in paths:
        for file in _files(path):
            tally.read(file)
    traffic = tally.traffic()
    if not traffic.by_zoom:
        raise BadOption(
            f"{', '.join(map(_name, paths))}: none of {tally.lines:,} requests was for a stored tile of layer "
            f"{layer!r}: give logs of the bucket, distribution or server of this layer"
        )
    return traffic


def _name(path: Path) -> str:
    return "standard input" if str(path) == "-" else str(path)


def _files(path: Path) -> list[Path]:
    """The logs at a path; in folders, hidden files are skipped."""
    if str(path) == "-" or not path.is_dir():
        return [path]
    files = sorted(each for each in path.rglob("*") if each.is_file() and not each.name.startswith("."))
    if not files:
        raise BadOption(f"{path}: the folder is empty: give a folder with logs")
    return files


class _Counted(io.RawIOBase):
    """A stream that counts the bytes read from another stream and never closes it."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.taken = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into `buffer`; return the number of bytes."""
        data = self.stream.read(len(buffer))
        buffer[: len(data)] = data
        self.taken += len(data)
        return len(data)


@contextmanager
def _opened(path: Path) -> Iterator[Iterator[bytes]]:
    """The lines of a log, decompressed if gzipped; the name of the file does not matter."""
    if str(path) == "-":
        yield _lines(_Counted(sys.stdin.buffer), path)
    else:
        check_file(path)
        with path.open("rb") as stream:
            yield _lines(_Counted(stream), path)


def _lines(source: _Counted, path: Path) -> Iterator[bytes]:
    """The lines of a log.

    Raises:
        BadOption: it expands to far more than any log.
    """
    stream: BinaryIO = io.BufferedReader(source, 1 << 17)
    if cast(io.BufferedReader, stream).peek(len(GZ)).startswith(GZ):
        stream = io.BufferedReader(gzip.GzipFile(fileobj=stream), 1 << 20)
    read = 0
    while line := stream.readline(LONGEST):
        read += len(line)
        if read > ROOM and read > DENSE * source.taken:
            raise BadOption(f"{_name(path)} expands to more than {DENSE} times its size: decompress it first")
        yield line


class _Tally:
    """Running counts of requests: by path as text, converted to codes of tiles when there are many."""

    def __init__(self, layer: str) -> None:
        self.layer = layer
        self.lines = self.unread = 0
        self._waiting: Counter[bytes | None] = Counter()
        self._numbers = self._counts = np.zeros(0, np.int64)  # ascending, once each

    def read(self, path: Path) -> None:
        """Count the requests of a log."""
        lines = unread = 0
        try:
            with _opened(path) as text:
                requests = _requests(text)
                while part := list(islice(requests, TOGETHER)):
                    lines += len(part)
                    unread += part.count(None)
                    self._waiting.update(part)
                    if len(self._waiting) > WAITING:
                        self._settle()
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise BadOption(f"{_name(path)} is damaged or truncated ({error}): download it again") from error
        except OSError as error:
            raise BadOption(f"cannot read {_name(path)}: {error.strerror or error}") from error
        if lines and lines == unread:
            raise BadOption(f"{_name(path)}: no request found in {lines:,} line{'s'[: lines > 1]}: give {FORMATS}")
        self.lines += lines - unread
        self.unread += unread

    def _settle(self) -> None:
        """Convert the waiting paths to codes of tiles."""
        rows: list[tuple[int, int, int, int]] = []
        for path, count in self._waiting.items():
            if path and (tile := _tile(path, self.layer)):
                rows.append((*tile, count))
        self._waiting.clear()
        columns: Numbers = np.array(rows, np.int64).reshape(-1, 4)
        z, x, y, counts = columns.T
        numbers, first = np.unique(z << _BITS | interleaved(x, y), return_inverse=True)
        sums = np.zeros(len(numbers), np.int64)
        np.add.at(sums, first, counts)
        place = np.searchsorted(self._numbers, numbers)
        known = np.r_[self._numbers, -1][place] == numbers
        self._counts[place[known]] += sums[known]
        self._numbers = np.insert(self._numbers, place[~known], numbers[~known])
        self._counts = np.insert(self._counts, place[~known], sums[~known])

    def traffic(self) -> Traffic:
        """The traffic of all logs so far."""
        self._settle()
        zooms, first = np.unique(self._numbers >> _BITS, return_index=True)
        codes = np.split(self._numbers & (1 << _BITS) - 1, first[1:])
        by_zoom = zip(zooms.tolist(), zip(codes, np.split(self._counts, first[1:]), strict=False), strict=False)
        return Traffic(dict(by_zoom), self.lines, self.unread)


def _tile(path: bytes, layer: str) -> tuple[int, int, int] | None:
    """Zoom, column and row of the tile at the end of a path, or None if it is not a tile of the layer."""
    text = path.partition(b"?")[0].decode("latin-1")
    if "%" in text:
        text = unquote(unquote(text))  # S3 and CloudFront encode encoded paths again
    parts = text.rsplit("/", 4)[-4:]
    if parts[0] != layer:
        return None
    try:
        tile = parse_tile_key("/".join(parts)).tile
    except GridError:
        return None
    return tile.z, tile.x, tile.y


def _requests(lines: Iterable[bytes]) -> Iterator[bytes | None]:
    """The requested path of each line; empty if the request does not count, None if the line is not a request."""
    columns = LEGACY
    for line in lines:
        if line.startswith(b"#"):
            columns = _columns(line) or columns
        elif not line.isspace():
            yield _request(line, columns)


def _columns(line: bytes) -> Columns | None:
    """The columns of a `#Fields:` line, or None if a field is missing or the line is another."""
    label, _, text = line.partition(b":")
    names = text.split()
    return Columns(*map(names.index, _FIELDS)) if label == b"#Fields" and set(_FIELDS) <= set(names) else None


def _request(line: bytes, columns: Columns) -> bytes | None:
    """As `_requests`, for one line."""
    if b"\t" in line and (path := _w3c(line.rstrip().split(b"\t"), columns)) is not None:
        return path
    if line.startswith(b"{"):
        return _json(line)
    if match := _LINE.match(line):
        between = match[1].split(b" ") if match[1] else ()
        return _s3(match, between) if len(between) >= 5 else _common(match)
    return _w3c(line.split(), columns)


def _counted(method: bytes, path: bytes, status: bytes) -> bytes:
    """The path if the request counts, otherwise nothing."""
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


def _s3(match: re.Match[bytes], between: Sequence[bytes]) -> bytes:
    """The path of a request to S3 if it counts: from an anonymous visitor, or from CloudFront.

    CloudFront appears by its service's name, or as a user recognized only by its agent. Any other name is a tool of the
    owner, which reads tiles for no visitor.
    """
    _, *parts, _, operation, key = between
    name = b" ".join(parts)
    visitor = name in _ANONYMOUS or name.startswith(_CLOUDFRONT) or b'"Amazon CloudFront"' in match.string
    return _counted(b"GET", key, match[3]) if visitor and operation in _GETS else b""
