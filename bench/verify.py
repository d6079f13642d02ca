"""How long verifying takes and what memory it holds: `python bench/verify.py`.

Layers of 10^4, 10^5 and 10^6 tiles, all of them stored in a server that speaks as much of S3 as is needed, lists 1000
keys an answer and takes 30 ms for each. Every figure is of a process of its own; memory is what Linux says of it.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from bucket import OBJECT, Bucket, alone, grid, opened, serving
from mercantile import Tile
from tiny import arguments, parser_for, sized

from seeder.cache.audit import Audit
from seeder.select.selection import Selection
from tiler.keys import TileName, tile_key, tile_prefix
from tiler.layers.render import TileVariant
from tiler.storage.concurrent import THREADS, overlap
from tiler.storage.store import Stores, open_store

Z = 10
SIDES = sized((100, 316, 1000), (12, 20))  # columns, and rows: a column is one answer, of up to 1000 keys
COLUMNS, HEADS = sized((40, 400), (12, 40))  # that are asked for where the rest is extrapolated

ANSWER = "<ListBucketResult><Name>tiles</Name><IsTruncated>false</IsTruncated>{body}</ListBucketResult>"


class _Bucket(Bucket, BaseHTTPRequestHandler):
    """A bucket that holds the tiles of every layer `gridSIDE`."""

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if "prefix" in query:
            self.answer(_listing(query["prefix"][0]))
        else:  # a layer without metadata
            self.answer(b"<Error><Code>NoSuchKey</Code></Error>", status=404)

    def do_HEAD(self) -> None:
        self.answer(b"", length=28000, Last_Modified="Sat, 01 Mar 2025 12:00:00 GMT", ETag='"0"')


def _listing(prefix: str) -> bytes:
    """What stands below a prefix: the zoom, its columns, or the tiles of one."""
    match = re.fullmatch(rf"grid(\d+)/(?:{Z}/(?:(\d+)/)?)?", prefix)
    assert match, prefix
    if match[2]:
        return _column(int(match[1])).replace(b"COLUMN", match[2].encode())
    names = sorted(map(str, range(int(match[1])))) if prefix.count("/") == 2 else [str(Z)]
    return ANSWER.format(
        body="".join(f"<CommonPrefixes><Prefix>{prefix}{name}/</Prefix></CommonPrefixes>" for name in names)
    ).encode()


@cache
def _column(side: int) -> bytes:
    names = sorted(f"{y}.png" for y in range(side))
    return ANSWER.format(body="".join(OBJECT.format(key=f"grid{side}/{Z}/COLUMN/{name}") for name in names)).encode()


@dataclass(frozen=True)
class Figures:
    """How long it took, and the megabytes that the process held before and at most."""

    seconds: float
    before: float
    peak: float


def held(what: str) -> float:
    """Megabytes of this process: `VmRSS` now, `VmHWM` at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) / 1024


def stores(port: int) -> Stores:
    """The bucket, and no ledger."""
    return Stores(opened(port), open_store("memory://ledger"), "")


def audited(port: int, side: int) -> Figures:
    """All of a layer."""
    audit = Audit.of(grid(f"grid{side}", Z, side), Selection((Z,)), TileVariant(), stores(port))
    before, start, checked = held("VmRSS"), time.perf_counter(), 0

    def progress(tiles: int) -> None:
        nonlocal checked
        checked += tiles

    wrong = list(audit.findings(progress))
    assert (checked, wrong) == (side**2, []), (checked, wrong[:3])
    return Figures(time.perf_counter() - start, before, held("VmHWM"))


def in_turn(port: int, side: int) -> Figures:
    """One column after the other, listed only; from some of them."""
    tiles = opened(port)
    before, start = held("VmRSS"), time.perf_counter()
    keys = sum(1 for x in range(COLUMNS) for _ in tiles.list(tile_prefix(f"grid{side}", Z, x)))
    assert keys == COLUMNS * side
    return Figures((time.perf_counter() - start) * side / COLUMNS, before, held("VmHWM"))


def one_by_one(port: int, side: int) -> Figures:
    """A HEAD for each tile, as many at once as the audit has LISTs under way; from some of them."""
    tiles = opened(port)
    names = (TileName(f"grid{side}", Tile(x=number % side, y=number // side, z=Z), 1, "png") for number in range(HEADS))
    before, start = held("VmRSS"), time.perf_counter()
    assert all(overlap(tiles.has, map(tile_key, names)))
    return Figures((time.perf_counter() - start) * side**2 / HEADS, before, held("VmHWM"))


WAYS = {
    "verify": audited,
    f"listed column by column (from {COLUMNS})": in_turn,
    f"HEAD for each, {THREADS} at once (from {HEADS})": one_by_one,
}


def main() -> None:
    """Print the table."""
    arguments(parser_for(__doc__))
    print("| | tiles | seconds | keys/s | MB before | MB at most |\n| --- | ---: | ---: | ---: | ---: | ---: |")
    with serving(_Bucket) as port, alone() as apart:
        for title, way in WAYS.items():
            for side in SIDES:
                found = apart.submit(way, port, side).result()
                print(f"| {title} | {side**2:,} | {found.seconds:,.1f} | {side**2 / found.seconds:,.0f}", end="")
                print(f" | {found.before:.0f} | {found.peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
