"""Re-rendered and removed tiles for any contents of a tile store, compared with tile-by-tile counts."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mercantile import Tile

from seeder.cache.rerender import StoredTiles
from seeder.cache.stale import History
from seeder.cache.stored import StoredFilter
from seeder.jobs.ledger import jobs, load_job
from seeder.select.selection import regions
from seeder.select.tilelist import parse_tiles, tile_line
from tests.support.effort import examples
from tests.support.job_strategies import variants
from tests.support.layer_strategies import GLOBE, footprints, held, layers
from tests.support.oracle import lines
from tests.support.site import memory
from tests.support.strategies import bounds, tiles
from tiler.grid import Bounds, TileRange, tile_ranges
from tiler.keys import FORMATS, TileName, parse_tile_key, tile_key
from tiler.layers.catalog import Layer
from tiler.layers.history import Publication
from tiler.layers.publication import publish
from tiler.layers.render import TileVariant
from tiler.storage.store import Entry, Store, Stores

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DEEPEST = 4

Bag = dict[tuple[TileVariant, Tile], datetime]  # stored tiles and their times


class Shelves:
    """A store with empty tiles of any age, and other objects; listed in parts if `ordered`."""

    def __init__(self, layer: Layer, bag: Bag, *, ordered: bool) -> None:
        self._store, self.ordered = memory(), ordered
        self._times = {
            tile_key(TileName(layer.id, tile, variant.scale, variant.format)): at for (variant, tile), at in bag.items()
        }
        for clutter in (f"{layer.id}/tile.json", f"{layer.id}/3/note.txt", f"{layer.id}x/0/0/0.png"):
            self._times[clutter] = NOON - HOUR
        for key in self._times:
            self._store.put(key, b"", content_type="")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def pages(self, prefix: str, *, after: str = "", before: str = "") -> Iterator[Sequence[Entry]]:
        """See `Store.pages`."""
        for page in self._store.pages(prefix, after=after, before=before):
            yield [replace(entry, modified=self._times[entry.key]) for entry in page]


def within(tile: Tile, ranges: tuple[TileRange, ...]) -> bool:
    return any(each.x0 <= tile.x < each.x1 and each.y0 <= tile.y < each.y1 for each in ranges)


def boxed(tile: Tile, boxes: tuple[Bounds, ...]) -> bool:
    """Whether a tile touches any of the boxes, if there are boxes."""
    return not boxes or any(within(tile, tile_ranges(box, tile.z)) for box in boxes)


def had(layer: Layer, z: int) -> set[Tile]:
    """The layer's tiles of a zoom, one by one."""
    return {tile for tile in held(layer.footprint, z) if within(tile, layer.ranges(z))}


@dataclass(frozen=True)
class Case:
    """A layer, a filter, stored tiles, the time before which tiles are stale, and the kind of store."""

    stored_filter: StoredFilter
    bag: Bag
    before: datetime | None
    ordered: bool

    def stored_tiles(self) -> StoredTiles:
        """The stored tiles that match."""
        store = Shelves(self.stored_filter.layer, self.bag, ordered=self.ordered)
        return StoredTiles.take(cast(Store, store), self.stored_filter, self.history, lambda _: None)

    @property
    def history(self) -> History | None:
        """A history in which tiles written before that time are stale, and all tiles may differ."""
        publications = (Publication("one"), Publication("two", self.before))
        return History(publications, timedelta(0), timedelta(0)) if self.before else None

    @cached_property
    def found(self) -> Bag:
        """The matching stored tiles."""
        stored_filter = self.stored_filter
        named = None if stored_filter.tiles is None else set(lines(stored_filter.tiles))

        def meant(tile: Tile, at: datetime) -> bool:
            listed = named is None or tile_line(tile) in named
            zoomed = stored_filter.zooms is None or tile.z in stored_filter.zooms
            return (
                listed
                and zoomed
                and boxed(tile, stored_filter.boxes)
                and (stored_filter.before is None or at < stored_filter.before)
            )

        return {place: at for place, at in self.bag.items() if meant(place[1], at)}

    @cached_property
    def stale(self) -> set[tuple[TileVariant, Tile]]:
        """The stale ones."""
        return {place for place, at in self.found.items() if self.before is None or at < self.before}

    @cached_property
    def had(self) -> set[Tile]:
        """The layer's tiles."""
        return set().union(*(had(self.stored_filter.layer, z) for z in range(DEEPEST + 2)))


def chosen(found: set[Tile], share: str, seed: int) -> list[Tile]:
    """Each tile with a probability."""
    half = -(-len(found) // 2)
    number = {"none": 0, "one": 1, "under": half - 1, "half": half, "all": len(found)}[share]
    return random.Random(seed).sample(sorted(found), min(len(found), max(0, number)))


@st.composite
def lands(draw: st.DrawFn) -> Layer:
    """Layers large and small, most with a suitable footprint."""
    whole = st.just(GLOBE.footprint)
    return replace(
        draw(layers(DEEPEST)),
        bounds=draw(st.just(GLOBE.bounds) | bounds()),
        footprint=draw(whole | whole | footprints()),
        minzoom=draw(st.integers(0, 2)),
        maxzoom=draw(st.integers(2, DEEPEST)),
    )


@st.composite
def stocked(draw: st.DrawFn) -> Case:
    layer = draw(lands())
    some_boxes: st.SearchStrategy[list[Bounds]] = (
        st.just([]) | st.just([Bounds(-170.0, -60.0, 80.0, 85.0)]) | st.lists(bounds(), max_size=2)
    )
    boxes = tuple(box for box in draw(some_boxes) if box.overlaps(layer.bounds))
    times = [NOON - 2 * HOUR, NOON - HOUR, NOON + HOUR]
    bag: Bag = {}
    for variant in draw(st.sets(variants, min_size=1, max_size=2)):
        for z in draw(st.sets(st.integers(0, DEEPEST), min_size=1, max_size=4)):
            own = {tile for tile in had(layer, z) if boxed(tile, boxes)}
            seed, share = draw(st.integers(0, 99)), draw(st.sampled_from(["none", "one", "under", "half", "all"]))
            ages = draw(st.lists(st.sampled_from(times), min_size=1, max_size=3))
            strays = draw(st.lists(tiles(DEEPEST + 1), max_size=3))
            for number, tile in enumerate([*chosen(own, share, seed), *strays]):
                bag[variant, tile] = ages[number % len(ages)]
    listed = None
    if draw(st.integers(0, 3)) == 3:
        named = [tile for _, tile in bag][:: draw(st.integers(1, 3))]
        listed = parse_tiles(map(tile_line, named), "-")
    some = st.sets(st.integers(0, DEEPEST + 1), min_size=3).map(lambda found: tuple(sorted(found)))
    older, before = draw(st.sampled_from([None, None, None, NOON])), draw(st.sampled_from([None, NOON]))
    return Case(StoredFilter(layer, draw(st.none() | some), boxes, listed, older), bag, before, draw(st.booleans()))


def rendered(stored_tiles: StoredTiles) -> list[tuple[TileVariant, Tile]]:
    """The tiles of all jobs."""
    return [
        (variant, tile)
        for variant, selection in stored_tiles.selections()
        for region in regions(stored_tiles.stored_filter.layer, selection)
        for block_mask in region.block_masks()
        for tile in block_mask.block.tiles(block_mask.tiles)
    ]


def removed(stored_tiles: StoredTiles) -> list[tuple[TileVariant, Tile]]:
    names = map(parse_tile_key, stored_tiles.uncovered())
    return [(TileVariant(name.scale, name.format), name.tile) for name in names]


@settings(max_examples=examples(40))
@given(stocked())
def test_all_that_is_meant_is_found_and_nothing_else(case: Case) -> None:
    stored_tiles = case.stored_tiles()
    assert stored_tiles.tiles == len(case.found)
    assert stored_tiles.stale == len(case.stale)


@settings(max_examples=examples(40))
@given(stocked())
def test_what_is_stale_is_rendered_anew_or_removed_and_never_both(case: Case) -> None:
    stored_tiles = case.stored_tiles()
    anew, gone = rendered(stored_tiles), removed(stored_tiles)
    assert len(set(anew)) == len(anew)
    assert len(set(gone)) == len(gone)
    assert not set(anew) & set(gone)
    assert case.stale <= set(anew) | set(gone)


@settings(max_examples=examples(40))
@given(stocked())
def test_what_is_removed_is_stale_and_the_layer_lacks_it(case: Case) -> None:
    gone = set(removed(case.stored_tiles()))
    assert gone == {(variant, tile) for variant, tile in case.stale if tile not in case.had}


@settings(max_examples=examples(40))
@given(stocked())
def test_zooms_are_whole_where_half_is_stored_and_else_only_what_is_stale(case: Case) -> None:
    stored_filter, anew = case.stored_filter, set(rendered(case.stored_tiles()))
    assert {variant for variant, _ in anew} <= {variant for variant, _ in case.stale}
    for variant in {variant for variant, _ in case.bag}:
        for z in range(stored_filter.layer.minzoom, stored_filter.layer.maxzoom + 1):
            selected = {tile for tile in case.had if tile.z == z and boxed(tile, stored_filter.boxes)}
            there = {tile for each, tile in case.found if each == variant and tile in selected}
            stale = {tile for each, tile in case.stale if each == variant and tile in selected}
            grows = stored_filter.tiles is None and stored_filter.before is None and 2 * len(there) >= len(selected)
            assert {tile for each, tile in anew if (each, tile.z) == (variant, z)} == (
                selected if stale and grows else stale
            )


ALL = [(TileVariant(scale, form), Tile(x=x, y=0, z=1)) for scale in (1, 2) for form in FORMATS for x in (0, 1)]


WORLD = [Tile(x=x, y=y, z=1) for x in (0, 1) for y in (0, 1)]
ONE_BY_ONE = parse_tiles(map(tile_line, WORLD), "-")


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4])
@pytest.mark.parametrize(
    "stored_filter", [StoredFilter(GLOBE), StoredFilter(GLOBE, (1,)), StoredFilter(GLOBE, None, (GLOBE.bounds,))]
)
def test_half_of_a_zoom_is_enough(stored_filter: StoredFilter, number: int) -> None:
    bag: Bag = {(TileVariant(), tile): NOON for tile in WORLD[:number]}
    assert len(rendered(Case(stored_filter, bag, None, ordered=True).stored_tiles())) == (4 if number >= 2 else number)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize(
    "stored_filter", [StoredFilter(GLOBE, tiles=ONE_BY_ONE), StoredFilter(GLOBE, before=NOON + HOUR)]
)
def test_no_zoom_is_whole_where_tiles_were_picked_one_by_one_or_by_age(
    stored_filter: StoredFilter, number: int
) -> None:
    bag: Bag = {(TileVariant(), tile): NOON for tile in WORLD[:number]}
    assert {tile for _, tile in rendered(Case(stored_filter, bag, None, ordered=True).stored_tiles())} == set(
        WORLD[:number]
    )


def test_jobs_are_forced_one_for_each_look_and_kind_and_on_record() -> None:
    stores = Stores(memory(), memory(), "")
    publish(GLOBE, stores)
    bag: Bag = dict.fromkeys([*ALL, (TileVariant(), Tile(x=5, y=5, z=5)), (TileVariant(), Tile(x=0, y=0, z=9))], NOON)
    stored_tiles = Case(StoredFilter(GLOBE), bag, None, ordered=True).stored_tiles()
    plans = list(stored_tiles.plans(stores))
    assert {plan.job.id for plan in plans} == set(jobs(stores.sources))
    assert all(load_job(stores.sources, plan.job.id).spec == plan.job.spec for plan in plans)
    assert all(plan.job.spec.force for plan in plans)
    assert [
        (plan.job.spec.variant, plan.job.spec.selection.zooms) for plan in plans if plan.job.spec.selection.whole
    ] == [(TileVariant(scale, form), (1,)) for scale in (1, 2) for form in sorted(FORMATS)]
    (single,) = (plan for plan in plans if plan.job.spec.selection.tiles is not None)
    listed = single.job.spec.selection.tiles
    assert listed is not None
    assert list(lines(listed)) == ["5/5/5", "9/0/0"]
    assert sum(message.request.tiles.bit_count() for plan in plans for message in plan.messages((8,))) == 6 * 4 + 2


def test_a_plan_is_made_when_it_is_drawn() -> None:
    stores = Stores(memory(), memory(), "")
    publish(GLOBE, stores)
    plans = Case(StoredFilter(GLOBE), dict.fromkeys(ALL, NOON), None, ordered=True).stored_tiles().plans(stores)
    next(plans)
    assert len(jobs(stores.sources)) == 1
