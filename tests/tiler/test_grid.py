"""Zooms, bounds, tile ranges and blocks, with mercantile as the oracle."""

from __future__ import annotations

import math

import mercantile
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from mercantile import Tile

from tests.support.strategies import WORLD, blocks, bounds, crossing_bounds, tiles
from tiler.errors import GridError
from tiler.grid import (
    EXTENT,
    MAX_LATITUDE,
    MAX_ZOOM,
    Block,
    Bounds,
    TileRange,
    Window,
    fills_tiles,
    format_zooms,
    parse_box,
    parse_zooms,
    resolution,
    tile_ranges,
    zoom_for,
)

zooms = st.integers(0, MAX_ZOOM)


def enumerated(ranges: tuple[TileRange, ...]) -> list[Tile]:
    return [
        Tile(x=x, y=y, z=each.z) for each in ranges for x in range(each.x0, each.x1) for y in range(each.y0, each.y1)
    ]


@given(bounds())
def test_rounded_bounds_parse_again_to_the_centimetre(box: Bounds) -> None:
    assume(min(abs(box.east - box.west), box.north - box.south) > 1e-6)
    assert tuple(Bounds.parse(box.rounded)) == pytest.approx(tuple(box), abs=6e-8)


@given(st.sets(zooms, min_size=1).map(sorted).map(tuple))
def test_zooms_survive_writing_and_reading(wanted: tuple[int, ...]) -> None:
    assert parse_zooms(format_zooms(wanted)) == wanted


@given(st.lists(st.tuples(zooms, zooms).map(sorted), min_size=1))
def test_zoom_ranges_add_up_ascending_and_once_each(parts: list[list[int]]) -> None:
    text = ", ".join(f"{low}-{high}" for low, high in parts)
    assert parse_zooms(text) == tuple(sorted({z for low, high in parts for z in range(low, high + 1)}))


@given(st.sets(zooms, min_size=1).map(sorted).map(tuple))
def test_written_zooms_join_every_run(wanted: tuple[int, ...]) -> None:
    runs = sum(z - 1 not in wanted for z in wanted)
    assert format_zooms(wanted).count(",") == runs - 1


@pytest.mark.parametrize(
    "text",
    ["", "x", "-1", "5-", "-5", "5--7", "1-2-3", "7,", ",7", "5..7", "1.5", "14-5", "29", "0-29", "100", "+3", "³"],
)
def test_what_is_no_zoom_range_is_refused(text: str) -> None:
    with pytest.raises(GridError):
        parse_zooms(text)


@given(bounds())
def test_bounds_survive_writing_and_reading(box: Bounds) -> None:
    assert Bounds.parse(",".join(map(repr, box))) == box


@given(bounds())
def test_typed_bounds_are_the_same(box: Bounds) -> None:
    assert parse_box(",".join(map(repr, box))) == box


MISTAKES = {
    "500000,5000000,560000,5060000": "look like metres: write W,S,E,N in degrees",
    "45.8,105.9,47.8,110.5": "if latitudes and longitudes are swapped, write 105.9,45.8,110.5,47.8",
    "100.5,120.5,45.8,47.8": "if the order is W,E,S,N, write 100.5,45.8,120.5,47.8",
    "5.9,47.8,10.5,45.8": "if south and north are swapped, write 5.9,45.8,10.5,47.8",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_box_in_another_order_or_unit_is_told_with_the_right_one(text: str) -> None:
    with pytest.raises(GridError) as told:
        parse_box(text)
    assert MISTAKES[text] in str(told.value)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "1;2;3;4", "nan,0,1,1", "0,0,inf,1", "0,5,1,4"])
def test_what_is_no_bounding_box_is_refused(text: str) -> None:
    with pytest.raises(GridError):
        Bounds.parse(text)


@pytest.mark.parametrize(
    "edges",
    [
        (-180.1, 0, 10, 10),
        (0, 0, 180.1, 10),
        (0, -90.1, 10, 10),
        (0, 0, 10, 90.1),
        (0, 10, 10, 10),
        (0, 11, 10, 10),
        (10, 0, 10, 10),
        (0, math.nan, 10, 10),
        (0, 0, math.inf, 10),
        (-math.inf, 0, 0, 10),
    ],
)
def test_bounds_off_the_globe_or_without_area_are_refused(edges: tuple[float, float, float, float]) -> None:
    with pytest.raises(GridError):
        Bounds(*edges)


def test_a_box_from_the_antimeridian_to_itself_has_no_width() -> None:
    with pytest.raises(GridError):
        Bounds(180, -10, -180, 10)


@given(bounds())
def test_the_center_is_as_far_from_each_edge_as_from_its_opposite(box: Bounds) -> None:
    longitude, latitude = box.center
    width = box.east - box.west + 360 * box.crosses
    assert -180 <= longitude <= 180
    assert (longitude - box.west) % 360 == pytest.approx(width / 2)
    assert latitude - box.south == pytest.approx(box.north - latitude)


@st.composite
def whole_degrees(draw: st.DrawFn) -> tuple[Bounds, set[int], set[int]]:
    """A box, and the degrees of longitude and of latitude that it covers."""
    west, east = draw(st.tuples(st.integers(-180, 179), st.integers(-179, 180)).filter(lambda pair: pair[0] != pair[1]))
    south, north = sorted(draw(st.sets(st.integers(-90, 90), min_size=2, max_size=2)))
    columns = {column % 360 for column in range(west, east + 360 * (west > east))}
    return Bounds(west, south, east, north), columns, set(range(south, north))


@given(whole_degrees(), whole_degrees())
def test_boxes_overlap_where_they_share_ground(
    one: tuple[Bounds, set[int], set[int]], other: tuple[Bounds, set[int], set[int]]
) -> None:
    shared = bool(one[1] & other[1] and one[2] & other[2])
    assert one[0].overlaps(other[0]) == other[0].overlaps(one[0]) == shared


@given(bounds(), st.integers(0, 7))
def test_tile_ranges_hold_what_mercantile_lists_and_nothing_twice(box: Bounds, z: int) -> None:
    assume(not box.crosses or (box.west < 180 and box.east > -180))
    found = enumerated(tile_ranges(box, z))
    assert set(found) == set(mercantile.tiles(*box, z))
    assert len(found) == len(set(found))


@given(crossing_bounds(), st.integers(0, 7))
def test_across_the_antimeridian_the_first_range_is_the_western_one(box: Bounds, z: int) -> None:
    ranges = tile_ranges(box, z)
    whole = len(ranges) == 1
    assert ranges[-1].x0 == 0
    assert ranges[0].x1 == 2**z
    assert whole or ranges[1].x1 <= ranges[0].x0


@given(st.floats(-179, 179), zooms)
def test_a_half_that_only_touches_the_antimeridian_touches_no_tile(longitude: float, z: int) -> None:
    assert tile_ranges(Bounds(180, -5, longitude, 5), z) == tile_ranges(Bounds(-180, -5, longitude, 5), z)
    assert tile_ranges(Bounds(longitude, -5, -180, 5), z) == tile_ranges(Bounds(longitude, -5, 180, 5), z)


@given(tiles(), st.integers(0, 3))
def test_the_bounds_of_a_tile_fill_tiles_of_its_zoom_and_of_higher_ones_alone(tile: Tile, apart: int) -> None:
    box = Bounds(*mercantile.bounds(tile))
    assume(tile.z <= 22)  # where a tile is far wider than a centimetre
    assert fills_tiles(box, tile.z + apart)
    assert not tile.z or not fills_tiles(box, tile.z - 1)
    south = Bounds(box.west, box.south, box.east, box.north - (box.north - box.south) / 10)
    assert not fills_tiles(south, tile.z)


def test_a_box_across_the_antimeridian_fills_tiles_too() -> None:
    assert fills_tiles(Bounds(-180, -90, 180, 90), 0)
    assert fills_tiles(Bounds(90, 0, -90, 90), 2)
    assert not fills_tiles(Bounds(91, 0, -90, 90), 2)


@given(tiles())
def test_the_bounds_of_a_tile_touch_that_tile_alone(tile: Tile) -> None:
    box = Bounds(*mercantile.bounds(tile))
    assert enumerated(tile_ranges(box, tile.z)) == [tile]


@given(tiles(deepest=22), st.integers(1, 6))
def test_the_bounds_of_a_tile_touch_just_its_descendants(tile: Tile, down: int) -> None:
    x, y, side = tile.x << down, tile.y << down, 1 << down
    box = Bounds(*mercantile.bounds(tile))
    assert tile_ranges(box, tile.z + down) == (TileRange(tile.z + down, x, y, x + side, y + side),)


@given(tiles(deepest=20), tiles(deepest=20))
def test_bounds_on_the_edges_of_two_tiles_span_from_one_to_the_other(one: Tile, far: Tile) -> None:
    other = Tile(x=far.x % 2**one.z, y=far.y % 2**one.z, z=one.z)
    west, north, east, south = min(one.x, other.x), min(one.y, other.y), max(one.x, other.x), max(one.y, other.y)
    northwest = mercantile.bounds(Tile(x=west, y=north, z=one.z))
    southeast = mercantile.bounds(Tile(x=east, y=south, z=one.z))
    box = Bounds(northwest.west, southeast.south, southeast.east, northwest.north)
    assert tile_ranges(box, one.z) == (TileRange(one.z, west, north, east + 1, south + 1),)


@given(zooms)
def test_the_world_up_to_its_poles_is_the_whole_grid(z: int) -> None:
    assert tile_ranges(WORLD, z) == (TileRange(z, 0, 0, 2**z, 2**z),)


@given(st.floats(MAX_LATITUDE, 89), st.floats(89.1, 90), zooms)
def test_latitudes_beyond_the_square_world_mean_its_edge(low: float, high: float, z: int) -> None:
    (north,) = tile_ranges(Bounds(-180, low, 180, high), z)
    (south,) = tile_ranges(Bounds(-180, -high, 180, -low), z)
    assert (north.y0, north.y1) == (0, 1)
    assert (south.y0, south.y1) == (2**z - 1, 2**z)


@given(bounds(), bounds(), st.integers(0, 5))
def test_the_common_part_of_ranges_holds_the_common_tiles(one: Bounds, other: Bounds, z: int) -> None:
    for a in tile_ranges(one, z):
        for b in tile_ranges(other, z):
            shared = set(enumerated((a,))) & set(enumerated((b,)))
            assert set(enumerated((a & b,))) == shared
            assert len(a & b) == len(shared)
            assert all((tile in a & b) == (tile in shared) for tile in enumerated((a,)))


@given(zooms)
def test_each_zoom_has_the_resolution_that_leads_back_to_it(z: int) -> None:
    assert zoom_for(resolution(z)) == z
    assert resolution(z) * 256 * 2**z == pytest.approx(2 * EXTENT)


@given(st.floats(resolution(MAX_ZOOM), resolution(0)))
def test_the_zoom_for_a_resolution_is_the_lowest_that_is_as_fine_but_for_a_hundredth(metres: float) -> None:
    z = zoom_for(metres)
    assert resolution(z) <= metres * 1.0101
    assert z == 0 or resolution(z - 1) > metres * 1.0099


@given(st.floats(1e-9, 1e9))
def test_every_resolution_has_a_zoom_on_the_grid(metres: float) -> None:
    assert 0 <= zoom_for(metres) <= MAX_ZOOM


@given(tiles(), st.sampled_from([8, 16, 32]))
def test_a_tile_is_in_exactly_its_own_block(tile: Tile, size: int) -> None:
    block = Block.of(tile, size)
    members = list(block.tiles())
    assert members.count(tile) == 1
    assert {Block.of(other, size) for other in members} == {block}


@given(blocks(sizes=(8, 16)))
def test_a_block_holds_the_tiles_of_its_range(block: Block) -> None:
    members = list(block.tiles())
    assert set(members) == set(enumerated((block.range,)))
    assert len(members) == len(block.range) == block.side**2


@given(blocks(sizes=(8,)))
def test_the_bits_of_a_block_are_distinct_and_together_full(block: Block) -> None:
    bits = [block.bit(tile) for tile in block.tiles()]
    assert sum(bits) == block.full
    assert len(set(bits)) == len(bits)
    assert {bit.bit_count() for bit in bits} == {1}
    assert max(bits) < 1 << 64


@given(blocks(sizes=(8,)), st.integers(0, 2**64 - 1))
def test_a_mask_gives_just_the_tiles_whose_bits_it_has(block: Block, mask: int) -> None:
    named = list(block.tiles(mask))
    assert sum(block.bit(tile) for tile in named) == mask & block.full
    assert set(named) <= set(block.tiles())


@given(tiles(deepest=2), st.sampled_from([8, 64, 512]))
def test_below_zoom_3_the_block_is_the_whole_grid(tile: Tile, size: int) -> None:
    block = Block.of(tile, size)
    assert set(block.tiles()) == set(enumerated(tile_ranges(WORLD, tile.z)))


@given(blocks())
def test_the_names_of_blocks_differ_where_the_blocks_do(block: Block) -> None:
    z, x, y, *size = map(int, str(block).split("-"))
    assert Block(z, x, y, *size) == block


@pytest.mark.parametrize(
    ("z", "x", "y", "size"),
    [
        (-1, 0, 0, 8),
        (MAX_ZOOM + 1, 0, 0, 8),
        (4, 16, 0, 8),
        (4, 0, 16, 8),
        (4, -8, 0, 8),
        (4, 0, -8, 8),
        (4, 4, 0, 8),
        (4, 0, 1, 8),
        (7, 8, 0, 16),
        (2, 1, 0, 8),
        (5, 0, 0, 0),
        (5, 0, 0, 4),
        (5, 0, 0, 12),
        (5, 0, 0, -8),
    ],
)
def test_a_block_off_the_grid_or_off_a_boundary_cannot_be_built(z: int, x: int, y: int, size: int) -> None:
    with pytest.raises(GridError):
        Block(z, x, y, size)


@given(tiles())
def test_the_window_of_a_tile_begins_at_the_tiles_mercator_corner(tile: Tile) -> None:
    window = Window(tile.z, tile.x * 256, tile.y * 256, 256, 256)
    box = mercantile.xy_bounds(tile)
    assert window.corner == pytest.approx((box.left, box.top), abs=1e-6)
    assert window.pixel * 256 == pytest.approx(box.right - box.left, abs=1e-6)
