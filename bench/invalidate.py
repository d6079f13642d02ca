"""How fast stored tiles are removed: `python bench/invalidate.py`.

A server of its own holds a layer's tiles in memory, speaks as much of S3 as is needed, lists and deletes up to 1000
keys a request, and takes 30 ms for each answer. Invalidating looks for the tiles and deletes them; the peers are told
the keys and delete them one by one.
"""

from __future__ import annotations

import re
import time
from bisect import bisect_right
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

import mercantile
import obstore
from bucket import INSIDE, OBJECT, Bucket, alone, grid, opened, serving
from mercantile import Tile
from tiny import arguments, parser_for, sized

from seeder.cache.purge import purge
from seeder.cache.stored import Cost, StoredFilter, stored
from tiler.grid import Bounds
from tiler.storage.concurrent import THREADS, overlap
from tiler.storage.store import PAGE

Z, SIDE = 10, sized(400, 40)  # columns, and rows
BOX = sized((100, 139), (10, 13))  # the first and the last column and row of a box
FEW = sized((300, 301), (30, 31))  # columns whose tiles are deleted one by one
SOME = SIDE  # tiles that are deleted one by one where the rest is extrapolated
BUCKET = "/tiles/"


class _Bucket(Bucket, BaseHTTPRequestHandler):
    """A bucket with all tiles of the layer; what is deleted is gone."""

    keys = sorted(f"grid/{Z}/{x}/{y}.png" for x in range(SIDE) for y in range(SIDE))
    gone: ClassVar[set[str]] = set()

    def do_GET(self) -> None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        self.answer(self._listing(query["prefix"], query).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        deleted = re.findall(r"<Key>([^<]+)</Key>", body)
        self.gone.update(deleted)
        said = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in deleted)
        self.answer(f"<DeleteResult>{said}</DeleteResult>".encode())

    def do_DELETE(self) -> None:
        self.gone.add(unquote(urlsplit(self.path).path).removeprefix(BUCKET))
        self.answer(b"", status=204)

    def _listing(self, prefix: str, query: dict[str, str]) -> str:
        if "delimiter" in query:
            names = {key[len(prefix) :].partition("/")[0] for key in self.keys if key.startswith(prefix)}
            return _listed([], [f"{prefix}{name}/" for name in sorted(names)], last="")
        after = query.get("continuation-token") or query.get("start-after") or prefix
        page: list[str] = []
        for number in range(bisect_right(self.keys, after), len(self.keys)):
            if not self.keys[number].startswith(prefix):
                break
            if self.keys[number] not in self.gone:
                if len(page) == PAGE:
                    return _listed(page, [], last=page[-1])
                page.append(self.keys[number])
        return _listed(page, [], last="")


def _listed(keys: list[str], folders: list[str], last: str) -> str:
    body = "".join(OBJECT.format(key=key) for key in keys)
    body += "".join(f"<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>" for folder in folders)
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{last}</NextContinuationToken>" if last else ""
    return f"<ListBucketResult><Name>tiles</Name>{more or '<IsTruncated>false</IsTruncated>'}{body}</ListBucketResult>"


def invalidated(port: int, boxes: tuple[Bounds, ...]) -> tuple[int, float, str]:
    """Tiles, seconds and requests of what `seeder invalidate` does: look, and delete."""
    tiles, cost, start = opened(port), Cost(), time.perf_counter()
    found = (
        each.key for batch in stored(tiles, StoredFilter(grid("grid", Z, SIDE), boxes=boxes), cost) for each in batch
    )
    told = purge(tiles, found, lambda _: None)
    assert told.removed, told
    assert not told.failed, told
    return told.removed, time.perf_counter() - start, f"{cost.lists:,} LIST, {told.requests:,} DELETE"


def box(port: int) -> tuple[int, float, str]:
    """A tenth of the columns and of the rows."""
    first, last = (mercantile.bounds(Tile(x=place, y=place, z=Z)) for place in BOX)
    area = Bounds(first.west + INSIDE, last.south + INSIDE, last.east - INSIDE, first.north - INSIDE)
    return invalidated(port, (area,))


def everything(port: int) -> tuple[int, float, str]:
    """All that is left."""
    return invalidated(port, ())


def in_turn(port: int) -> tuple[int, float, str]:
    """One DELETE after the other."""
    tiles, start = opened(port), time.perf_counter()
    for y in range(SOME):
        obstore.delete(tiles.backend, f"grid/{Z}/{FEW[0]}/{y}.png")
    return SOME, time.perf_counter() - start, f"{SOME:,} DELETE"


def at_once(port: int) -> tuple[int, float, str]:
    """A DELETE for each tile, as many at once as the program has requests under way."""
    tiles, start = opened(port), time.perf_counter()
    gone = sum(1 for _ in overlap(lambda y: obstore.delete(tiles.backend, f"grid/{Z}/{FEW[1]}/{y}.png"), range(SOME)))
    return gone, time.perf_counter() - start, f"{SOME:,} DELETE"


WAYS: dict[str, Callable[[int], tuple[int, float, str]]] = {
    "one DELETE after the other": in_turn,
    f"one DELETE a tile, {THREADS} at once": at_once,
    "invalidate, a box": box,
    "invalidate, all the rest": everything,
}


def main() -> None:
    """Print the table."""
    arguments(parser_for(__doc__))
    print("| | tiles | seconds | tiles/s | requests |\n| --- | ---: | ---: | ---: | --- |")
    total = 0
    with serving(_Bucket) as port, alone() as apart:
        for title, way in WAYS.items():
            tiles, seconds, requests = apart.submit(way, port).result()
            total += tiles
            print(f"| {title} | {tiles:,} | {seconds:,.1f} | {tiles / seconds:,.0f} | {requests} |", flush=True)
    assert total == SIDE**2, total


if __name__ == "__main__":
    main()
