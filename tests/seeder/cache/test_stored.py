"""Listing finds exactly the matching stored tiles, by either method, with the reported number of requests."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import mercantile
import obstore
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mercantile import Tile

from seeder.cache import stored as module
from seeder.cache.purge import purge
from seeder.cache.stored import Cost, StoredFilter, stored
from seeder.select.tilelist import parse_tiles, tile_line
from tests.support import strategies
from tests.support.door import Door, a_door, a_store_behind, fill, held  # noqa: F401 - fixtures
from tests.support.effort import examples
from tests.support.layer_strategies import GLOBE
from tests.support.site import memory
from tiler.grid import EDGE, MAX_LATITUDE, Bounds, tile_ranges
from tiler.storage import store as storage
from tiler.storage.concurrent import THREADS, in_batches
from tiler.storage.store import Entry, Store, open_store

RELIEF = replace(GLOBE, id="relief", minzoom=2, maxzoom=10)
LAYERS = [
    replace(RELIEF, bounds=Bounds(*edges))
    for edges in ((-180, -90, 180, 90), (-170, -60, 100, 84), (170, -80, -100, 80), (5, 45, 9, 48))
]
FORMS = (".png", "@2x.png", ".jpg", "@2x.webp")
PLACES = {0: (0,), 3: (0, 1, 5, 7), 7: (0, 8, 9, 10, 99, 100, 127), 10: (9, 10, 99, 100, 101, 999, 1000), 12: (9, 4000)}
TILES = sorted(Tile(x=x, y=y, z=z) for z, numbers in PLACES.items() for x in numbers for y in numbers)
OWN = {
    f"relief/{tile_line(tile)}{FORMS[(number + other) % 4]}" for number, tile in enumerate(TILES) for other in (0, 1)
}
NONE = {
    *("relief/tile.json", "relief/index.html", "relief/7.png", "relief/3/5.png", "relief/7/9/notes.txt"),
    *("relief/3/8/1.png", "relief/3/1/8.png", "relief/29/1/1.png", "relief/10/1024/9.png"),  # off the grid
    *("relief/7/09/9.png", "relief/07/9/9.png", "relief/7/9/010.png", "relief/7/-9/9.png", "relief/7/9a/9.png"),
    *("relief/7/9/9.PNG", "relief/7/9/9.png.bak", "relief/7/9/9@3x.png", "relief/7/9/9.gif", "relief/7/9/deep/9.png"),
    *("relief/x/9/9.png", "relief/7/thumbs/9.png", "top.png", "jobs/7/9/9.png", "sources/relief/7/9/9.png"),
    *(f"{layer}/7/{x}/9.png" for layer in ("relief2", "relief-2", "relief.x", "relie", "a") for x in (9, 10)),
}
BAG = OWN | NONE

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


def hours(key: str) -> datetime:
    """A key's time of last write in these tests: one of ten hours."""
    return NOON + timedelta(hours=zlib.crc32(key.encode()) % 10)


@pytest.fixture
def dated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make listings report the hour of each key."""
    monkeypatch.setattr(storage, "Entry", lambda key, size, _: Entry(key, size, hours(key)))


def touches(box: Bounds, tile: Tile) -> bool:
    """Whether a tile touches a box: mercantile's rule, tile by tile."""
    south, north = max(box.south, -MAX_LATITUDE), min(box.north, MAX_LATITUDE)
    for west, east in box.halves():
        if east - west > EDGE:
            first, last = mercantile.tile(west, north, tile.z), mercantile.tile(east - EDGE, south + EDGE, tile.z)
            if first.x <= tile.x <= max(first.x, last.x) and first.y <= tile.y <= max(first.y, last.y):
                return True
    return False


@dataclass(frozen=True)
class Question:
    """A filter, and its list of tiles as a set."""

    stored_filter: StoredFilter
    named: frozenset[Tile] | None

    def means(self, key: str) -> bool:
        """Whether it matches the object at `key`: one key after the other, without our code."""
        match = re.fullmatch(r"relief/(\d+)/(\d+)/(\d+)(?:@2x)?\.(?:png|jpg|webp)", key)
        if not match or any(number != str(int(number)) for number in match.groups()):
            return False
        z, x, y = map(int, match.groups())
        if z > 28 or max(x, y) >= 2**z:
            return False
        tile, stored_filter = Tile(x=x, y=y, z=z), self.stored_filter
        return (
            (stored_filter.zooms is None or z in stored_filter.zooms)
            and (not stored_filter.boxes or any(touches(box, tile) for box in stored_filter.boxes))
            and (self.named is None or tile in self.named)
            and (stored_filter.before is None or hours(key) < stored_filter.before)
        )


def between(one: Tile, other: Tile) -> Bounds:
    """A slightly shrunk box around two tiles."""
    parts = [mercantile.bounds(tile) for tile in (one, other)]
    west, south = (min(getattr(part, edge) for part in parts) for edge in ("west", "south"))
    east, north = (max(getattr(part, edge) for part in parts) for edge in ("east", "north"))
    return Bounds(west + 1e-7, south + 1e-7, east - 1e-7, north - 1e-7)


@st.composite
def boxes(draw: st.DrawFn) -> Bounds:
    """Boxes: anywhere, of one stored tile, between two, often of a column, and across the antimeridian."""
    one = draw(st.sampled_from(TILES))
    column = [tile for tile in TILES if (tile.z, tile.x) == (one.z, one.x)]
    near = between(one, draw(st.sampled_from(draw(st.sampled_from([column, TILES])))))
    across = Bounds(near.east, near.south, near.west, near.north)
    return draw(st.sampled_from([near, near, across, draw(strategies.bounds())]))


@st.composite
def questions(draw: st.DrawFn) -> Question:
    """Filters of every kind, and combinations."""
    some = draw(st.none() | st.sets(st.sampled_from([0, 3, 5, 7, 10, 12]), min_size=1))
    zooms = None if some is None else tuple(sorted(some))
    areas = draw(st.just([]) | st.lists(boxes(), min_size=1, max_size=4))
    nearby = st.sampled_from(TILES) | strategies.tiles(12)
    named = draw(st.none() | st.frozensets(nearby, max_size=30) | st.frozensets(st.sampled_from(TILES), min_size=30))
    tiles = None if named is None else parse_tiles(map(tile_line, named), "tiles.txt")
    before = draw(st.none() | st.integers(0, 10).map(lambda hour: NOON + timedelta(hours=hour)))
    layer = draw(st.sampled_from(LAYERS))
    return Question(StoredFilter(layer, zooms, tuple(areas), tiles, before), named)


@dataclass(frozen=True)
class Tuning:
    """Parameters of the choice between the methods; `way` is the chosen one."""

    page: int
    few: int
    full: int
    way: str

    def set(self, patch: pytest.MonkeyPatch) -> None:
        """Apply these parameters."""
        for name, value in (("PAGE", self.page), ("FEW", self.few), ("FULL", self.full)):
            patch.setattr(module, name, value)
        if self.way != "cheaper":
            patch.setattr(module, "_columns_first", lambda *_: self.way == "planned")


tunings = st.builds(
    Tuning,
    st.sampled_from([1, 5, 40, 1000]),
    st.sampled_from([0, 4, 1 << 30]),
    st.sampled_from([1, 4, 1 << 30]),
    st.sampled_from(["cheaper", "cheaper", "planned", "listed"]),
)


def columns(stored_filter: StoredFilter) -> int:
    """The largest number of columns that a filter plans."""
    return max((each.x1 - each.x0 for box in stored_filter.boxes for each in tile_ranges(box, 12)), default=0)


def holds(store: Store, number: int) -> Counter[str]:
    """Check that exactly the matching tiles are removed in each example; return how often each method was used."""
    fill(store, BAG)
    ways: Counter[str] = Counter()

    @settings(max_examples=number)
    @given(questions(), tunings)
    def law(question: Question, tuned: Tuning) -> None:
        many = columns(question.stored_filter) > 200  # each would be listed in turn
        tuning = replace(tuned, way="listed") if many else tuned
        cost, yielded = Cost(), list[str]()
        with pytest.MonkeyPatch.context() as patch:
            tuning.set(patch)
            for some in stored(store, question.stored_filter, cost):
                assert some
                yielded += (each.key for each in some)
                assert all(each.modified == hours(each.key) for each in some)
        assert len(yielded) == len(set(yielded))
        told = purge(store, yielded, lambda _: None)
        gone = BAG - held(store)
        fill(store, gone)
        assert gone == {key for key in BAG if question.means(key)}
        assert (told.removed, told.failed) == (len(gone), 0)
        ways.update(planned=len(cost.planned), listed=len(cost.listed))

    law()
    return ways


@pytest.mark.usefixtures("dated")
def test_exactly_the_tiles_that_are_meant_vanish(store: Store) -> None:
    ways = holds(store, 8 if store.ordered else examples(40))
    assert min(ways["planned"], ways["listed"]) > 0


@pytest.mark.usefixtures("dated")
def test_and_so_they_do_where_listings_are_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "ordered", property(lambda _: True))  # a listing of memory is ordered like S3's
    ways = holds(memory(), examples(120))
    assert min(ways["planned"], ways["listed"]) > 20


def keys_of(stored_filter: StoredFilter, store: Store) -> set[str]:
    """The listed keys."""
    return {each.key for some in stored(store, stored_filter, Cost()) for each in some}


@pytest.mark.parametrize("box", [(7.0, 45.0, 7.0 + 1e-12, 46.0), (180.0 - 1e-13, 45.0, -180.0 + 1e-13, 46.0)])
def test_a_box_that_is_too_narrow_to_touch_a_tile_means_none(box: tuple[float, float, float, float]) -> None:
    store = memory()
    fill(store, {f"relief/{z}/{2**z // 2}/0.png" for z in range(5)})
    assert not tile_ranges(Bounds(*box), 9)
    assert keys_of(StoredFilter(RELIEF, boxes=(Bounds(*box),)), store) == set()


EMPTY = open_store("memory://nothing")
ROWS = st.integers(0, 2**17 - 1) | st.sampled_from(
    [0, 1, 9, 10, 11, 19, 90, 99, 100, 101, 999, 1000, 1001, 9999, 10**5]
)


def spanned(stored_filter: StoredFilter, rows: set[int]) -> None:
    """Check that the planned listings contain the tiles of these rows of column 5, in every form."""
    size = module._Size.of(RELIEF, 17)
    spans = module._planned(EMPTY, RELIEF, size, stored_filter.at(17).columns(), Cost())
    (span,) = (span for span in spans if span.prefix == "relief/17/5/")
    for row, form in product(rows, (".jpg", ".png", ".webp", "@2x.jpg", "@2x.png", "@2x.webp")):
        assert span.after < f"relief/17/5/{row}{form}" < span.before


@given(st.tuples(ROWS, ROWS), st.sets(ROWS))
def test_a_planned_column_is_looked_through_between_its_rows(ends: tuple[int, int], some: set[int]) -> None:
    low, high = sorted(ends)
    box = between(Tile(x=5, y=low, z=17), Tile(x=5, y=high, z=17))
    inner = {max(low, min(high, row)) for row in (*some, *(10**n for n in range(7)), *(10**n - 1 for n in range(7)))}
    spanned(StoredFilter(RELIEF, boxes=(box,)), inner)


@given(st.sets(ROWS, min_size=1))
def test_a_planned_column_is_looked_through_for_all_listed_rows(rows: set[int]) -> None:
    spanned(StoredFilter(RELIEF, tiles=parse_tiles((f"17/5/{row}" for row in rows), "tiles.txt")), rows)


# requests

SQUARE = replace(RELIEF, bounds=between(Tile(x=8, y=0, z=6), Tile(x=12, y=13, z=6)))
PICKS = {
    "all": StoredFilter(SQUARE),
    "a box": StoredFilter(SQUARE, boxes=(between(Tile(x=9, y=2, z=6), Tile(x=10, y=11, z=6)),)),
    "a wide box": StoredFilter(SQUARE, boxes=(between(Tile(x=0, y=5, z=6), Tile(x=60, y=60, z=6)),)),
    "two columns": StoredFilter(SQUARE, tiles=parse_tiles(["6/8/0", "6/8/13", "6/12/9"], "tiles.txt")),
    "a zoom that is not there": StoredFilter(SQUARE, zooms=(9,)),
}


@pytest.mark.parametrize("page", [5, 6, 7, 1000])  # 5 columns of 14 rows
def test_as_many_listings_are_told_as_s3_saw(
    door: Door,
    behind: Store,
    monkeypatch: pytest.MonkeyPatch,
    page: int,
) -> None:
    fill(behind, [f"relief/6/{x}/{y}.png" for x in range(8, 13) for y in range(14)])
    fill(behind, ["relief/tile.json", "relief-2/6/8/1.png"])
    door.page = page
    for each in (module, storage):
        monkeypatch.setattr(each, "PAGE", page)
    wrong = {}
    for (name, stored_filter), few, full in product(PICKS.items(), (0, 1 << 30), (1, 4)):
        monkeypatch.setattr(module, "FEW", few)
        monkeypatch.setattr(module, "FULL", full)
        door.forget()
        cost = Cost()
        for _ in stored(behind, stored_filter, cost):
            pass
        if cost.lists != door.seen["LIST"]:
            wrong[name, few, full] = f"told {cost.lists}, saw {door.seen['LIST']}"
    assert not wrong


def test_no_request_is_told_of_a_folder(store: Store) -> None:
    fill(store, ["relief/6/8/9.png"])
    cost = Cost()
    assert list(stored(store, StoredFilter(SQUARE), cost))
    assert (cost.lists > 0) == store.ordered


FIFTH = replace(RELIEF, bounds=Bounds(-180, -85.0, 100, 85.0))  # 25 columns of 32 rows in zoom 5
WHOLE = {f"relief/5/{x}/{y}.png" for x in range(25) for y in range(32)}


@st.composite
def parts(draw: st.DrawFn) -> StoredFilter:
    """Filters of zoom 5: boxes, lists, both."""
    tile = st.builds(Tile, st.integers(0, 31), st.integers(0, 31), st.just(5))
    areas = draw(st.lists(st.builds(between, tile, tile), max_size=2))
    named = draw(st.sets(tile, min_size=1)) if not areas or draw(st.booleans()) else None
    tiles = None if named is None else parse_tiles(map(tile_line, named), "tiles.txt")
    return StoredFilter(FIFTH, (5,), tuple(areas), tiles)


@settings(max_examples=examples(100))
@given(parts(), st.sampled_from([3, 8, 30]))
def test_the_way_that_is_taken_never_takes_many_more_requests_than_the_other(
    stored_filter: StoredFilter, page: int
) -> None:
    store, lists = open_store("memory://whole"), dict[str, int]()
    if store.empty("relief/"):
        fill(store, WHOLE)
    for way in ("cheaper", "planned", "listed"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Store, "ordered", property(lambda _: True))
            patch.setattr(storage, "PAGE", page)
            Tuning(page, 4, 4, way).set(patch)
            cost = Cost()
            for _ in stored(store, stored_filter, cost):
                pass
            lists[way] = cost.lists
    assert lists["cheaper"] in (lists["planned"], lists["listed"])
    assert lists["cheaper"] <= 2 * min(lists.values()) + 2  # extra keys due to text order are not counted


# memory


@dataclass
class Listings:
    """The obstore listing of a bucket with a zoom of some columns and rows; counts listings."""

    columns: int
    rows: int
    begun: int = 0

    def keys(self, _: object, prefix: str, *, offset: str | None, chunk_size: int) -> Iterator[list[dict[str, Any]]]:
        """See `obstore.list`."""
        self.begun += 1
        columns, rows = (sorted(map(str, range(number))) for number in (self.columns, self.rows))
        after = offset or ""
        keys = (f"relief/14/{x}/{y}.png" for x in columns if f"relief/14/{x}/~" > after for y in rows)
        found = (key for key in keys if key.startswith(prefix) and key > after)
        return in_batches(({"path": key, "size": 1, "last_modified": NOON} for key in found), chunk_size)

    def folders(self, _: object, prefix: str) -> dict[str, list[Any]]:
        """See `obstore.list_with_delimiter`."""
        names = ["14"] if prefix == "relief/" else map(str, range(self.columns))
        return {"common_prefixes": [f"{prefix}{name}" for name in names], "objects": []}


@pytest.mark.parametrize("ordered", [True, False], ids=["s3", "folder"])
@pytest.mark.parametrize(
    "edges",
    [(-180, -90, 180, 90), (5, 45, 5.001, 45.001), (-180, 45, 180, 45.001)],
    ids=["the world", "a small layer", "a flat layer"],
)
def test_no_more_than_a_few_columns_are_held(
    monkeypatch: pytest.MonkeyPatch, edges: tuple[float, float, float, float], *, ordered: bool
) -> None:
    bucket = Listings(150, 80)
    monkeypatch.setattr(obstore, "list", bucket.keys)
    monkeypatch.setattr(obstore, "list_with_delimiter", bucket.folders)
    monkeypatch.setattr(Store, "ordered", property(lambda _: ordered))
    page = 100
    most = 2 * module.FULL * page
    for each in (module, storage):
        monkeypatch.setattr(each, "PAGE", page)
    stored_filter = StoredFilter(replace(RELIEF, bounds=Bounds(*edges), maxzoom=14))
    total = 0
    for number, some in enumerate(stored(memory(), stored_filter, Cost()), 1):
        total += len(some)
        assert len(some) <= most
        assert bucket.begun <= number + THREADS
    assert total == 150 * 80
