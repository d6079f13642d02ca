"""Sets of tiles as runs: plain sets are the oracle for few tiles, ends of runs for many."""

from __future__ import annotations

import operator
import tracemalloc
from collections import Counter
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from itertools import islice, pairwise
from unittest import mock

import mercantile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mercantile import Tile

from seeder.select import tileset
from seeder.select.blocks import IN_BLOCK, BlockMask, Count
from seeder.select.morton import Flags, Numbers, interleaved, places
from seeder.select.tileset import TileSet, TileSets
from tests.support.effort import examples
from tests.support.strategies import bounds
from tests.support.tilesets import (
    BILLION,
    DEEP,
    SHALLOW,
    SIZES,
    WINDOW,
    code_of,
    places_between,
    spans,
    tile_sets,
    touched,
    whole_in,
)
from tiler.grid import LEAF, MAX_ZOOM, Block, Bounds, TileRange, tile_ranges

shallow = st.sampled_from(SHALLOW)
zooms = st.sampled_from(SHALLOW + DEEP)


def tile_of(z: int, code: int) -> Tile:
    """The tile with a code, whose base-4 digits are its quadkey."""
    return mercantile.quadkey_to_tile(np.base_repr(code, 4).zfill(z)) if z else Tile(0, 0, 0)


def codes_in(tiles: TileSet) -> set[int]:
    return {code for start, stop in spans(tiles) for code in range(start, stop)}


def tiles_in(tiles: TileSet) -> set[Tile]:
    return {tile_of(tiles.z, code) for code in codes_in(tiles)}


def in_form(tiles: TileSet) -> bool:
    """Whether the runs are on the grid, ascending, non-empty, and separated."""
    edges = [edge for span in spans(tiles) for edge in span]
    plain = tiles.starts.dtype == tiles.stops.dtype == np.int64
    return plain and all(one < two for one, two in pairwise([-1, *edges, 4**tiles.z + 1]))


def held_by(tiles: TileSet, code: int) -> bool:
    return any(start <= code < stop for start, stop in spans(tiles))


def probes(*sets: TileSet) -> list[int]:
    """The codes at which any of the sets may change: sets that agree there are equal."""
    edges = {edge for each in sets for span in spans(each) for edge in span} | {0, 4 ** sets[0].z}
    return sorted(edge + by for edge in edges for by in (-1, 0) if 0 <= edge + by < 4 ** sets[0].z)


@st.composite
def runs(draw: st.DrawFn, z: int) -> tuple[Numbers, Numbers]:
    """Runs in any order that overlap, touch, are empty or reversed."""
    found = draw(st.lists(st.tuples(places_between(0, z), places_between(0, z)), max_size=6))
    return np.array([start for start, _ in found], np.int64), np.array([stop for _, stop in found], np.int64)


few_sets = shallow.flatmap(tile_sets)
many_sets = zooms.flatmap(tile_sets)
work_sets = zooms.flatmap(lambda z: tile_sets(z, WINDOW))
pairs = zooms.flatmap(lambda z: st.tuples(tile_sets(z), tile_sets(z)))


# codes


@given(st.data(), zooms)
def test_codes_are_quadkeys_to_the_base_of_4(data: st.DataObject, z: int) -> None:
    side = st.sampled_from([0, 2**z - 1]) | st.integers(0, 2**z - 1)
    tiles = [Tile(x=x, y=y, z=z) for x, y in data.draw(st.lists(st.tuples(side, side), max_size=9))]
    x, y = (np.array([getattr(tile, axis) for tile in tiles], np.int64) for axis in "xy")
    codes = interleaved(x, y)
    assert codes.tolist() == [code_of(tile) for tile in tiles]
    assert [each.tolist() for each in places(codes)] == [x.tolist(), y.tolist()]


# constructors


@given(st.data(), shallow)
def test_runs_in_any_order_are_the_tiles_of_any_of_them(data: st.DataObject, z: int) -> None:
    starts, stops = data.draw(runs(z))
    made = TileSet.runs(z, starts, stops)
    assert in_form(made)
    assert codes_in(made) == {code for start, stop in zip(starts, stops, strict=True) for code in range(start, stop)}


@given(st.data(), st.sampled_from(DEEP))
def test_runs_of_a_deep_zoom_too(data: st.DataObject, z: int) -> None:
    starts, stops = data.draw(runs(z))
    made = TileSet.runs(z, starts, stops)
    given = [*zip(starts.tolist(), stops.tolist(), strict=True)]
    edges = TileSet(z, np.sort(starts), np.sort(stops))  # not a valid set; only its ends are used
    assert in_form(made)
    for code in probes(made, edges):
        assert held_by(made, code) == any(start <= code < stop for start, stop in given)


@given(st.data(), zooms)
def test_codes_in_any_order_and_however_often_are_a_set(data: st.DataObject, z: int) -> None:
    codes = data.draw(st.lists(places_between(0, z).filter(lambda code: code < 4**z), max_size=20))
    made = TileSet.of(z, np.array(codes, np.int64))
    assert in_form(made)
    assert made.codes.tolist() == sorted(set(codes))
    assert len(made) == len(set(codes))


@given(zooms)
def test_nothing_and_the_world_are_the_ends(z: int) -> None:
    nothing, world = TileSet.nothing(z), TileSet.world(z)
    assert in_form(nothing)
    assert in_form(world)
    assert (len(nothing), len(world)) == (0, 4**z)
    assert world - nothing == world | nothing == world
    assert world - world == world & nothing == nothing != world


@given(st.data(), shallow | st.just(5))
def test_ranges_hold_the_tiles_of_each(data: st.DataObject, z: int) -> None:
    side = st.integers(0, 2**z)
    ranges = [TileRange(z, *each) for each in data.draw(st.lists(st.tuples(side, side, side, side), max_size=3))]
    made = TileSet.ranges(z, ranges)
    assert in_form(made)
    assert tiles_in(made) == {
        Tile(x=x, y=y, z=z) for each in ranges for x in range(each.x0, each.x1) for y in range(each.y0, each.y1)
    }


@given(st.lists(bounds(), max_size=3), st.integers(0, 6))
def test_the_ranges_of_boxes_hold_what_mercantile_says(boxes: list[Bounds], z: int) -> None:
    made = TileSet.ranges(z, [each for box in boxes for each in tile_ranges(box, z)])
    assert tiles_in(made) == set().union(*(touched(box, z) for box in boxes))


@given(st.data())
def test_a_range_of_the_deepest_zoom_has_the_tiles_that_its_sides_say(data: st.DataObject) -> None:
    last = 2**MAX_ZOOM
    x, y = data.draw(st.integers(0, last - 1)), data.draw(st.integers(0, last - 1))
    width, height = data.draw(st.integers(1, 999)), data.draw(st.integers(1, 999))
    area = TileRange(MAX_ZOOM, x, y, min(x + width, last), min(y + height, last))
    made = TileSet.ranges(MAX_ZOOM, [area])
    assert in_form(made)
    assert len(made) == len(area)
    columns, tops, bottoms = made.columns()
    assert columns.tolist() == list(range(area.x0, area.x1))
    assert {*tops.tolist()} == {area.y0}
    assert {*bottoms.tolist()} == {area.y1}


@given(work_sets, st.data())
def test_marked_blocks_are_the_set_again_in_any_order_and_twice(tiles: TileSet, data: st.DataObject) -> None:
    tiles &= TileSet.runs(tiles.z, tiles.starts, tiles.starts + 3 * IN_BLOCK)  # limits their number
    block_masks = list(tiles.block_masks())
    again = data.draw(st.permutations([*block_masks, *block_masks[:3]]))
    assert TileSet.marked(tiles.z, again) == tiles


@given(st.data(), zooms)
def test_a_mask_marks_the_tiles_of_its_bits(data: st.DataObject, z: int) -> None:
    blocks = [Block.of(tile_of(z, data.draw(places_between(0, z)) % 4**z)) for _ in range(2)]
    block_masks = [BlockMask(block, data.draw(st.integers(0, 2**64 - 1)) & block.full) for block in blocks]
    made = TileSet.marked(z, block_masks)
    assert in_form(made)
    assert tiles_in(made) == {tile for block_mask in block_masks for tile in block_mask.block.tiles(block_mask.tiles)}


@given(st.data(), st.integers(0, 4))
def test_filling_asks_about_the_edge_and_the_squares_between(data: st.DataObject, z: int) -> None:
    side = 2**z
    wanted = data.draw(arrays(np.bool_, (side, side)) | arrays(np.bool_, (side, side), fill=st.just(value=False)))
    edge = [
        data.draw(st.sampled_from([one, two]))  # one of two neighbours that differ
        for one in np.ndindex(side, side)
        for two in ((one[0] + 1, one[1]), (one[0], one[1] + 1))
        if max(two) < side and wanted[one] != wanted[two]
    ]
    edge += [divmod(number, side) for number in data.draw(st.lists(st.integers(0, side**2 - 1), max_size=3))]
    rows, columns = np.array(data.draw(st.permutations(edge)), np.int64).reshape(-1, 2).T
    asked: list[tuple[int, int]] = []

    def inside(x: Numbers, y: Numbers) -> Flags:
        asked.extend(zip(x.tolist(), y.tolist(), strict=True))
        found: Flags = wanted[y, x]
        return found

    made = TileSet.filled(z, interleaved(columns, rows), inside)
    assert in_form(made)
    assert {(tile.y, tile.x) for tile in tiles_in(made)} == {*map(tuple, np.argwhere(wanted).tolist())}
    assert len(asked) == len(set(asked)) <= max(1, (3 * z + 1) * len(set(edge)))


# set operations

OPERATORS: list[Callable[[bool, bool], bool]] = [operator.or_, operator.and_, lambda mine, theirs: mine and not theirs]


def joined(one: TileSet, two: TileSet) -> list[TileSet]:
    """The result of each of OPERATORS for two sets."""
    return [one | two, one & two, one - two]


@given(shallow.flatmap(lambda z: st.tuples(tile_sets(z), tile_sets(z))))
def test_operators_are_those_of_plain_sets(pair: tuple[TileSet, TileSet]) -> None:
    mine, theirs = map(tiles_in, pair)
    assert [tiles_in(made) for made in joined(*pair)] == [mine | theirs, mine & theirs, mine - theirs]


@given(pairs)
def test_operators_say_of_every_tile_what_they_say_of_two_flags(pair: tuple[TileSet, TileSet]) -> None:
    for made, says in zip(joined(*pair), OPERATORS, strict=True):
        assert in_form(made)
        for code in probes(made, *pair):
            assert held_by(made, code) == says(*(held_by(each, code) for each in pair))


@given(pairs)
def test_sets_are_equal_where_their_tiles_are(pair: tuple[TileSet, TileSet]) -> None:
    one, two = pair
    assert (one == two) == all(held_by(one, code) == held_by(two, code) for code in probes(one, two))
    assert (one - two) | (one & two) == one
    assert one != TileSet(one.z + 1, one.starts, one.stops)
    assert one != spans(one)


@given(zooms.flatmap(lambda z: st.lists(tile_sets(z), max_size=4).map(lambda sets: (z, sets))))
def test_a_union_is_each_joined_to_the_next(some: tuple[int, list[TileSet]]) -> None:
    z, sets = some
    made = TileSet.nothing(z)
    for each in sets:
        made |= each
    assert TileSet.union(z, iter(sets)) == made


@given(many_sets)
def test_a_set_holds_the_codes_of_its_runs(tiles: TileSet) -> None:
    codes = probes(tiles)
    assert tiles.holds(np.array(codes[::-1])).tolist() == [held_by(tiles, code) for code in codes[::-1]]
    assert len(tiles) == sum(stop - start for start, stop in spans(tiles))
    assert tiles.holds(np.zeros(0, np.int64)).tolist() == []


@given(few_sets, shallow)
def test_at_lower_zooms_stand_the_parents_and_at_deeper_ones_the_children(tiles: TileSet, z: int) -> None:
    made = tiles.at(z)
    assert in_form(made)
    assert made.z == z
    assert tiles_in(made) == {other for tile in tiles_in(tiles) for other in relatives(tile, z)}


def relatives(tile: Tile, z: int) -> list[Tile]:
    """The descendants or the ancestor of a tile at zoom `z`."""
    if z == tile.z:
        return [tile]
    return mercantile.children(tile, zoom=z) if z > tile.z else [mercantile.parent(tile, zoom=z)]


@given(many_sets, zooms, zooms)
def test_zooms_may_be_climbed_in_steps_and_what_goes_down_comes_back(tiles: TileSet, one: int, two: int) -> None:
    low, high = sorted((one, two))
    assert tiles.at(max(tiles.z, one)).at(tiles.z) == tiles
    assert tiles.at(min(high, tiles.z)).at(min(low, tiles.z)) == tiles.at(min(low, tiles.z))
    assert len(tiles.at(high) - tiles.at(low).at(high)) == 0


@given(many_sets, zooms)
def test_a_tile_of_a_lower_zoom_is_there_where_a_tile_lies_in_it(tiles: TileSet, z: int) -> None:
    z = min(z, tiles.z)
    bits = 2 * (tiles.z - z)
    made = tiles.at(z)
    assert in_form(made)
    ends = TileSet(z, tiles.starts >> bits, tiles.stops >> bits)  # not a valid set; only its ends are used
    for code in probes(made, ends):
        assert held_by(made, code) == any(
            start < code + 1 << bits and code << bits < stop for start, stop in spans(tiles)
        )


@given(pairs, zooms)
def test_deeper_sets_join_as_the_sets_do(pair: tuple[TileSet, TileSet], deeper: int) -> None:
    one, two = pair
    z = max(one.z, deeper)
    assert [made.at(z) for made in joined(one, two)] == joined(one.at(z), two.at(z))
    assert len(one.at(z)) == len(one) * 4 ** (z - one.z)


@given(many_sets)
def test_the_squares_are_aligned_part_the_tiles_and_none_could_be_larger(tiles: TileSet) -> None:
    codes, sides = tiles.squares()
    areas = sides**2
    assert TileSet.runs(tiles.z, codes, codes + areas) == tiles
    assert int(areas.sum()) == len(tiles)
    for code, area in zip(codes.tolist(), areas.tolist(), strict=True):
        assert code % area == 0
        assert area == 4**tiles.z or not whole_in(tiles, code, 4 * area)


# blocks


def codes_of(block_mask: BlockMask) -> Sequence[int]:
    block = block_mask.block
    if block.size == LEAF:
        return sorted(code_of(tile) for tile in block.tiles(block_mask.tiles))
    first = code_of(Tile(x=block.x, y=block.y, z=block.z))
    return range(first, first + block.side**2)


@settings(max_examples=examples(30))
@given(work_sets, st.sampled_from(SIZES))
def test_pieces_are_the_tiles_in_their_order_in_blocks_as_large_as_they_can_be(
    tiles: TileSet, sizes: Container[int]
) -> None:
    larger = [1 << level for level in range(4, tiles.z + 1) if 1 << level in sizes]
    after, number = 0, 0
    for block_mask in tiles.block_masks(sizes):
        codes = codes_of(block_mask)
        assert codes[0] // IN_BLOCK * IN_BLOCK >= after
        assert len(codes) == len(block_mask) > 0
        assert all(tiles.holds(np.array(codes[:: max(1, len(codes) // 99)])))
        assert block_mask.block.size == LEAF or whole_in(tiles, codes[0], len(codes))
        assert not any(whole_in(tiles, codes[0], side**2) for side in larger if side > block_mask.block.size)
        after, number = codes[-1] // IN_BLOCK * IN_BLOCK + min(IN_BLOCK, 4**tiles.z), number + len(codes)
    assert number == len(tiles)


@given(few_sets, st.sampled_from(SIZES))
def test_at_the_lowest_zooms_the_one_piece_is_the_whole_grid(tiles: TileSet, sizes: Container[int]) -> None:
    block_masks = list(tiles.block_masks(sizes))
    assert [block_mask.block for block_mask in block_masks] == ([Block(tiles.z, 0, 0)] if len(tiles) else [])
    assert {tile for block_mask in block_masks for tile in block_mask.block.tiles(block_mask.tiles)} == tiles_in(tiles)


@given(st.sampled_from(DEEP).flatmap(lambda z: tile_sets(z, WINDOW)), st.sampled_from(SIZES), st.integers(2, 4))
def test_however_many_runs_are_taken_at_a_time_the_pieces_are_the_same(
    tiles: TileSet, sizes: Container[int], many: int
) -> None:
    at_once = list(tiles.block_masks(sizes))
    with mock.patch.object(tileset, "RUNS_AT_ONCE", many):
        assert list(tiles.block_masks(sizes)) == at_once


def test_a_large_block_stays_whole_where_one_lot_of_runs_ends() -> None:
    tiles = TileSet.runs(7, np.array([0, 4096, 8200]), np.array([1, 8192, 8201]))
    with mock.patch.object(tileset, "RUNS_AT_ONCE", 2):
        assert [block_mask.block.size for block_mask in tiles.block_masks((LEAF, 64))] == [LEAF, 64, LEAF]


@given(work_sets, st.integers(3, 6), st.integers(2, 9))
def test_parts_are_the_tiles_in_whole_blocks_and_of_no_more_codes_than_are_said(
    tiles: TileSet, level: int, many: int
) -> None:
    most = 4**level
    before = -1
    tiles &= TileSet.runs(tiles.z, tiles.starts, tiles.starts + 9 * most)
    with mock.patch.object(tileset, "RUNS_AT_ONCE", many):
        parts = list(tiles._parts(most))
    for part in parts:
        assert in_form(part)
        assert 0 < len(part.starts) <= many + IN_BLOCK // 2
        assert int(part.starts[0]) // IN_BLOCK > before
        assert int(part.starts[0]) // most == int(part.stops[-1] - 1) // most
        before = int(part.stops[-1] - 1) // IN_BLOCK
    assert TileSet.union(tiles.z, parts) == tiles


@given(many_sets)
def test_totals_are_exact_however_many_there_are(tiles: TileSet) -> None:
    blocks = TileSet.runs(tiles.z, tiles.starts // IN_BLOCK, (tiles.stops - 1) // IN_BLOCK + 1)
    assert tiles.total() == Count(len(tiles), len(blocks))


@given(work_sets)
def test_totals_are_what_pieces_add_up_to(tiles: TileSet) -> None:
    block_masks = list(tiles.block_masks())
    assert tiles.total() == Count(sum(map(len, block_masks)), len(block_masks))


@given(many_sets.filter(len), st.data())
def test_a_tile_of_any_number_is_in_the_piece_of_its_block(tiles: TileSet, data: st.DataObject) -> None:
    start, stop = data.draw(st.sampled_from(spans(tiles)))
    code = data.draw(st.sampled_from([start, stop - 1]) | st.integers(start, stop - 1))
    number = code - start + sum(stop - start for start, stop in spans(tiles) if stop <= code)
    block_mask = tiles.block_mask_of(number)
    assert block_mask.block == Block.of(tile_of(tiles.z, code))
    assert {*block_mask.block.tiles(block_mask.tiles)} == {
        tile for tile in block_mask.block.tiles() if held_by(tiles, code_of(tile))
    }


@settings(max_examples=examples(30))
@given(zooms.flatmap(lambda z: tile_sets(z, 5)), st.data())
def test_strips_are_the_columns_of_blocks_and_those_that_are_asked_for(tiles: TileSet, data: st.DataObject) -> None:
    column = st.integers(0, max(0, 2**tiles.z // LEAF - 1)).map(lambda number: number * LEAF)
    asked = data.draw(st.lists(column, max_size=3))
    x, _ = places(tiles.codes)
    columns = x // LEAF * LEAF
    for order in (asked, iter(asked)):
        strips = list(tiles.strips(order))
        assert [each for each, _ in strips] == sorted({*asked, *columns.tolist()})
        for each, strip in strips:
            assert strip == TileSet.of(tiles.z, tiles.codes[columns == each])
    assert [each for each, _ in tiles.strips()] == sorted(set(columns.tolist()))


@settings(max_examples=examples(30))
@given(zooms.flatmap(lambda z: tile_sets(z, 5)))
def test_columns_are_the_tiles_and_each_is_cut_as_seldom_as_it_can_be(tiles: TileSet) -> None:
    x, y = places(tiles.codes)
    wanted = {*zip(x.tolist(), y.tolist(), strict=True)}
    found = [*zip(*(each.tolist() for each in tiles.columns()), strict=True)]
    assert [(column, row) for column, top, bottom in found for row in range(top, bottom)] == sorted(wanted)
    for column, top, bottom in found:
        assert top < bottom
        assert wanted.isdisjoint({(column, top - 1), (column, bottom)})


# a billion tiles


def test_a_rectangle_of_a_billion_tiles_is_as_large_as_its_edge_is_long() -> None:
    tracemalloc.start()
    made = TileSet.ranges(BILLION.z, [BILLION])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    around = 4 * 31_700
    assert len(made) == len(BILLION) > 1e9
    assert len(made.starts) < around
    assert peak < 100 * around  # bytes


def test_its_pieces_cover_it_and_nothing_else() -> None:
    made = TileSet.ranges(BILLION.z, [BILLION])
    after, tiles = 0, 0
    blocks: Counter[int] = Counter()
    for batch in made.batches((LEAF, 64, 512)):
        ends = batch.codes + batch.sizes**2
        assert batch.codes[0] >= after
        assert np.all(batch.codes[1:] >= ends[:-1])  # none overlaps another
        after = int(ends[-1])
        leaf = batch.sizes == LEAF
        x, y = places(batch.codes[~leaf])
        side = batch.sizes[~leaf]
        assert x.min(initial=BILLION.x0) >= BILLION.x0
        assert y.min(initial=BILLION.y0) >= BILLION.y0
        assert (x + side).max(initial=0) <= BILLION.x1
        assert (y + side).max(initial=0) <= BILLION.y1
        tiles += int((side**2).sum()) + sum(map(int.bit_count, batch.masks[leaf].tolist()))
        blocks.update(batch.sizes.tolist())
    assert tiles == len(BILLION)
    assert blocks[512] == whole_blocks(BILLION, 512)
    assert blocks[64] == whole_blocks(BILLION, 64) - 64 * blocks[512]
    assert made.total().blocks == sum(blocks[size] * (size // LEAF) ** 2 for size in blocks)


def whole_blocks(area: TileRange, size: int) -> int:
    """The number of blocks of a size wholly within a range."""
    return (area.x1 // size - -(-area.x0 // size)) * (area.y1 // size - -(-area.y0 // size))


def test_a_billion_tiles_are_filled_by_asking_about_their_edge() -> None:
    made = TileSet.ranges(BILLION.z, [BILLION])
    inner = TileRange(BILLION.z, BILLION.x0 + 1, BILLION.y0 + 1, BILLION.x1 - 1, BILLION.y1 - 1)
    edge = (made - TileSet.ranges(BILLION.z, [inner])).codes
    asked = 0

    def inside(x: Numbers, y: Numbers) -> Flags:
        nonlocal asked
        asked += len(x)
        found: Flags = (x >= BILLION.x0) & (x < BILLION.x1) & (y >= BILLION.y0) & (y < BILLION.y1)
        return found

    assert TileSet.filled(BILLION.z, edge, inside) == made
    assert asked < 8 * len(edge)


def test_the_first_blocks_of_a_world_that_nobody_could_list_come_at_once() -> None:
    tracemalloc.start()
    batches = list(islice(TileSet.world(MAX_ZOOM).batches(), 3))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [len(batch.codes) for batch in batches] == 3 * [4**6]
    assert peak < 4e6


# by zoom


@st.composite
def by_zoom(draw: st.DrawFn, zooms: st.SearchStrategy[int] = zooms) -> TileSets:
    return TileSets({z: draw(tile_sets(z)) for z in draw(st.lists(zooms, unique=True, max_size=2))})


@given(by_zoom())
def test_what_is_encoded_is_decoded(tiles: TileSets) -> None:
    again = TileSets.decode(tiles.encode())
    assert again == tiles
    assert [(z, spans(again.at(z))) for z in again.zooms] == [(z, spans(tiles.at(z))) for z in tiles.zooms]
    assert all(in_form(again.at(z)) for z in again.zooms)
    assert (len(again), bool(again), hash(again)) == (len(tiles), bool(tiles), hash(tiles))


@given(by_zoom(), st.data())
def test_zooms_without_tiles_and_the_order_of_zooms_make_no_difference(tiles: TileSets, data: st.DataObject) -> None:
    turned = TileSets({z: tiles.at(z) for z in data.draw(st.permutations([*{*tiles.sets, 4, 6}]))})
    assert turned == tiles
    assert turned.digest == tiles.digest
    assert turned.zooms == tiles.zooms == tuple(sorted(z for z, each in tiles.sets.items() if len(each)))
    assert len(tiles) == sum(map(len, tiles.sets.values()))
    assert bool(tiles) == bool(tiles.zooms)


@given(by_zoom(), by_zoom())
def test_digests_tell_tiles_apart(one: TileSets, two: TileSets) -> None:
    same = one.zooms == two.zooms and all(spans(one.at(z)) == spans(two.at(z)) for z in one.zooms)
    assert (one.digest == two.digest) == (one == two) == same
    assert len(one.digest) == 16
    assert one != one.digest


@given(many_sets.filter(len))
def test_the_same_codes_at_another_zoom_are_other_tiles(tiles: TileSet) -> None:
    deeper = TileSet(tiles.z + 1, tiles.starts, tiles.stops)
    both = {tiles.z: tiles, deeper.z: deeper}
    found = [TileSets({z: both[z] for z in chosen}) for chosen in ([tiles.z], [deeper.z], both)]
    assert len(set(found)) == len({each.digest for each in found}) == 3


@given(by_zoom(shallow), st.sets(shallow))
def test_expanded_are_the_ancestors_and_the_descendants_of_each(tiles: TileSets, zooms: set[int]) -> None:
    mine = set().union(*(tiles_in(tiles.at(z)) for z in tiles.zooms))
    made = tiles.expanded(zooms)
    assert {*made.sets} == zooms
    for z in zooms:
        assert in_form(made.at(z))
        assert tiles_in(made.at(z)) == {other for tile in mine for other in relatives(tile, z)}


SOME = TileSets({z: TileSet.runs(z, np.array([0, 40]), np.array([30, 60])) for z in (3, 9)})
GOOD = SOME.encode()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda place: GOOD[:place],
        lambda place: GOOD[place + 1 :],
        lambda place: GOOD[:place] + GOOD[place + 1 :],
        *(lambda place, bit=bit: GOOD[:place] + bytes([GOOD[place] ^ bit]) + GOOD[place + 1 :] for bit in (1, 4, 64)),
    ],
    ids=["end cut off", "begin cut off", "a byte lost", "low bit", "third bit", "high bit"],
)
def test_spoilt_bytes_are_no_tiles_and_at_worst_a_zoom_is_lost(spoil: Callable[[int], bytes]) -> None:
    for place in range(len(GOOD)):
        with suppress(ValueError):
            found = TileSets.decode(spoil(place))
            assert found == TileSets({z: SOME.at(z) for z in found.zooms})
