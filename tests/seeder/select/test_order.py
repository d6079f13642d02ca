"""Orders are permutations of the same blocks: along curves, away from a place, or spread over S3's partitions."""

from __future__ import annotations

import math
import tracemalloc
from collections import Counter
from itertools import islice, pairwise

import mercantile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mercantile import Tile
from pmtiles.tile import zxy_to_tileid

from seeder.select.blocks import IN_BLOCK, BlockMask
from seeder.select.morton import interleaved
from seeder.select.order import GOLDEN, Order, _interleaved, hilbert, stride
from seeder.select.tileset import TileSet
from tests.support.effort import examples
from tests.support.strategies import tiles
from tests.support.tilesets import BILLION, DEEP, SHALLOW, WINDOW, code_of, tile_sets, whole_in
from tiler.errors import BadOption, GridError
from tiler.grid import EXTENT, LEAF, MAX_LATITUDE, MAX_ZOOM, Block, TileRange

SIZES = [(LEAF,), (LEAF, 64), (LEAF, 64, 512)]
NEARLY = 1e-6  # metres; far less than a tile, far more than rounding

places = tiles().map(lambda tile: mercantile.lnglat(*middle(tile))).map(lambda place: (place.lng, place.lat))
orders = st.just(Order()) | st.just(Order(hilbert=True)) | st.builds(Order, near=places)


def middle(tile: Tile) -> tuple[float, float]:
    """Metres of the centre of the deepest tile at a tile's north-west corner: never on the edge of a tile."""
    box = mercantile.xy_bounds(tile)
    half = EXTENT / 2**MAX_ZOOM
    return box.left + half, box.top - half


@st.composite
def some_regions(draw: st.DrawFn, zooms: tuple[int, ...] = SHALLOW + DEEP) -> list[TileSet]:
    """Sets of ascending zooms, including whole blocks of 64."""
    chosen = draw(st.sets(st.sampled_from(zooms), min_size=1, max_size=2))
    return [draw(tile_sets(z, WINDOW)) for z in sorted(chosen)]


def set_of(z: int, block_masks: list[BlockMask]) -> TileSet:
    """The tiles of block masks of one zoom."""
    large = [block_mask.block for block_mask in block_masks if block_mask.block.size > LEAF]
    x, y, sides = (np.array([getattr(block, name) for block in large], np.int64) for name in ("x", "y", "side"))
    codes = interleaved(x, y)
    leaves = TileSet.marked(z, [block_mask for block_mask in block_masks if block_mask.block.size == LEAF])
    return leaves | TileSet.runs(z, codes, codes + sides**2)


@given(some_regions(), orders, st.sampled_from(SIZES))
def test_every_order_has_all_tiles_once(regions: list[TileSet], order: Order, sizes: tuple[int, ...]) -> None:
    block_masks = list(order.block_masks(iter(regions), sizes))
    assert {block_mask.block.size for block_mask in block_masks} <= {*sizes}
    for region in regions:
        mine = [block_mask for block_mask in block_masks if block_mask.block.z == region.z]
        assert set_of(region.z, mine) == region
        assert sum(map(len, mine)) == len(region)
    assert {block_mask.block.z for block_mask in block_masks} <= {region.z for region in regions}


@given(some_regions(), st.booleans(), st.sampled_from(SIZES))
def test_along_a_curve_low_zooms_come_first(regions: list[TileSet], curve: bool, sizes: tuple[int, ...]) -> None:
    zooms = [block_mask.block.z for block_mask in Order(hilbert=curve).block_masks(regions, sizes)]
    assert zooms == sorted(zooms)


@given(some_regions())
def test_the_plain_order_is_the_z_curve(regions: list[TileSet]) -> None:
    assert list(Order().block_masks(regions)) == [
        block_mask for region in regions for block_mask in region.block_masks()
    ]


# the Hilbert curve


@given(st.data(), st.integers(0, MAX_ZOOM))
def test_the_hilbert_curve_is_that_of_pmtiles(data: st.DataObject, z: int) -> None:
    side = st.sampled_from([0, 2**z - 1]) | st.integers(0, 2**z - 1)
    found = data.draw(st.lists(st.tuples(side, side), max_size=20))
    x, y = (np.array([pair[axis] for pair in found], np.int64) for axis in (0, 1))
    first = zxy_to_tileid(z, 0, 0)
    assert hilbert(z, x, y).tolist() == [zxy_to_tileid(z, *pair) - first for pair in found]
    assert [*zip(x.tolist(), y.tolist(), strict=True)] == found


def along(block_mask: BlockMask) -> int:
    """The lowest position of the block's tiles on the Hilbert curve."""
    block = block_mask.block
    area = block.side**2
    return int(zxy_to_tileid(block.z, block.x, block.y) - zxy_to_tileid(block.z, 0, 0)) // area * area


@given(some_regions(DEEP))
def test_blocks_that_are_rendered_here_follow_the_hilbert_curve(regions: list[TileSet]) -> None:
    for region in regions:
        ranks = [along(block_mask) for block_mask in Order(hilbert=True).block_masks([region])]
        assert ranks == sorted(set(ranks))


def test_a_whole_square_follows_the_hilbert_curve_too() -> None:
    ranks = [along(block_mask) for block_mask in Order(hilbert=True).block_masks([TileSet.world(6)])]
    assert ranks == sorted(ranks)


@given(some_regions(DEEP), st.sampled_from(SIZES[1:]))
def test_blocks_for_many_workers_follow_it_at_sixteen_places_at_once(
    regions: list[TileSet], sizes: tuple[int, ...]
) -> None:
    for region in regions:
        found = list(Order(hilbert=True).block_masks([region], sizes))
        turns = sorted(range(len(found)), key=lambda number: along(found[number]))
        later = [two - one for one, two in pairwise(turns)]
        assert sum(not 0 < steps <= 16 for steps in later) <= 15


# spread


@given(st.integers(0, 10_000) | st.integers(0, 10**9))
def test_a_stride_comes_to_every_place_and_is_the_golden_section(total: int) -> None:
    step = stride(total)
    assert math.gcd(step, total) == 1 or total == 0
    assert abs(step - total * GOLDEN) <= max(2, math.log2(total + 1))


@given(st.integers(0, 500), st.integers(1, 600))
def test_turns_take_every_number_once(total: int, stretches: int) -> None:
    assert sorted(_interleaved(total, stretches).tolist()) == list(range(total))


AREAS = {
    "a whole zoom": TileRange(14, 0, 0, 2**14, 2**14),
    "a square at odds with the blocks": TileRange(13, 1003, 3305, 5027, 5919),
    "a country": TileRange(14, 5001, 3003, 9777, 7771),
    "a belt": TileRange(14, 100, 3003, 16_000, 3100),
    "a low zoom": TileRange(10, 3, 5, 1021, 1019),
}
BANDS = 16


@pytest.mark.parametrize(("curve", "beyond"), [(False, 8), (True, 12)], ids=["zoom", "hilbert"])
@pytest.mark.parametrize("name", AREAS)
def test_of_64_blocks_in_a_row_no_band_of_columns_has_many_more_than_its_share(
    name: str,
    curve: bool,
    beyond: int,
) -> None:
    area = AREAS[name]
    region = TileSet.ranges(area.z, [area])
    block_masks = Order(hilbert=curve).block_masks([region], (LEAF, 64, 512))
    bands = [(max(block_mask.block.x, area.x0) - area.x0) * BANDS // (area.x1 - area.x0) for block_mask in block_masks]
    share = max(Counter(bands).values()) * 64 / len(bands)
    now = Counter(bands[:64])
    most = max(now.values())
    for old, new in zip(bands, bands[64:], strict=False):
        now[old] -= 1
        now[new] += 1
        most = max(most, now[new])
    assert len(set(bands)) == BANDS
    assert most <= share + beyond
    assert share + beyond < 40  # along a curve, all 64 would be in one partition


# nearest first


def metres(block: Block, place: tuple[float, float]) -> float:
    """Mercator metres from a place to a block's nearest edge, across the antimeridian if shorter; 0 inside."""
    x, y = mercantile.xy(*place)
    last = Tile(x=block.x + block.side - 1, y=block.y + block.side - 1, z=block.z)
    north_west, south_east = mercantile.xy_bounds(block.x, block.y, block.z), mercantile.xy_bounds(last)
    down = max(0.0, y - north_west.top, south_east.bottom - y)
    return min(
        math.hypot(max(0.0, north_west.left - here, here - south_east.right), down)
        for here in (x - 2 * EXTENT, x, x + 2 * EXTENT)
    )


@given(some_regions(), places, st.sampled_from(SIZES[1:]))
def test_blocks_never_come_nearer_to_the_place_again(
    regions: list[TileSet], place: tuple[float, float], sizes: tuple[int, ...]
) -> None:
    found = [metres(block_mask.block, place) for block_mask in Order(near=place).block_masks(regions, sizes)]
    assert all(one <= two + NEARLY for one, two in pairwise(found))


@given(some_regions(), places)
def test_whole_blocks_of_64_never_come_nearer_nor_do_their_parts(
    regions: list[TileSet], place: tuple[float, float]
) -> None:
    by_zoom = {region.z: region for region in regions}
    found = []
    for block_mask in Order(near=place).block_masks(regions):
        block = block_mask.block
        code = int(interleaved(*(np.array([number], np.int64) for number in (block.x, block.y)))[0])
        large = block.z >= 6 and whole_in(by_zoom[block.z], code, 64 * IN_BLOCK)
        around = Block.of(Tile(x=block.x, y=block.y, z=block.z), 64) if large else block
        found.append((around, metres(around, place), metres(block, place)))
    for (one, far, within), (two, farther, further) in pairwise(found):
        assert far <= farther + NEARLY
        assert one != two or within <= further + NEARLY


@given(places, st.sets(st.integers(0, MAX_ZOOM), min_size=2, max_size=5))
def test_of_those_that_hold_the_place_low_zooms_come_first(place: tuple[float, float], zooms: set[int]) -> None:
    regions = [TileSet.of(z, np.array([code_of(mercantile.tile(*place, z))])) for z in sorted(zooms)]
    block_masks = list(Order(near=place).block_masks(regions))
    assert [metres(block_mask.block, place) for block_mask in block_masks] == [0] * len(zooms)
    assert [block_mask.block.z for block_mask in block_masks] == sorted(zooms)


@settings(max_examples=examples(20))
@given(st.integers(5, MAX_ZOOM), st.floats(-85, 85), st.floats(0.001, 0.02), st.booleans())
def test_what_lies_across_the_antimeridian_is_near(z: int, latitude: float, off: float, west: bool) -> None:
    place = (-180 + off if west else 180 - off), latitude
    blocks = [Block.of(mercantile.tile(each, latitude, z)) for each in (place[0], -place[0], 0)]
    region = TileSet.ranges(z, [block.range for block in blocks])
    assert [block_mask.block for block_mask in Order(near=place).block_masks([region])] == blocks


@given(some_regions(), st.floats(-180, 180), st.sampled_from([-1, 1]))
def test_a_pole_is_the_edge_of_the_square_world(regions: list[TileSet], longitude: float, side: int) -> None:
    pole, edge = (list(Order(near=(longitude, side * y)).block_masks(regions)) for y in (90, MAX_LATITUDE))
    assert pole == edge


# a billion tiles


@pytest.mark.parametrize("order", [Order(), Order(hilbert=True), Order(near=(0, 60))], ids=["zoom", "hilbert", "near"])
def test_a_billion_tiles_are_put_in_order_by_their_blocks(order: Order) -> None:
    region = TileSet.ranges(BILLION.z, [BILLION])
    tracemalloc.start()
    some = list(islice(order.block_masks([region], (LEAF, 64, 512)), 1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len({block_mask.block for block_mask in some}) == 1000
    assert peak < 50e6


def test_a_world_that_nobody_could_put_in_order_streams_along_the_z_curve() -> None:
    block_masks = Order().block_masks(map(TileSet.world, (0, MAX_ZOOM)))
    found = [block_mask.block.z for block_mask in islice(block_masks, 3)]
    assert found == [0, MAX_ZOOM, MAX_ZOOM]


# as options


def test_orders_are_said_as_the_options_have_them() -> None:
    assert Order.parse("zoom") == Order()
    assert Order.parse("hilbert") == Order(hilbert=True)
    assert Order.parse("near:7.66,45.98") == Order(near=(7.66, 45.98))
    assert Order.parse("near:-180,-90") == Order(near=(-180.0, -90.0))


@pytest.mark.parametrize("text", ["", "Zoom", "zoom ", "zoom:7,45", "hilbert:", "near", "nearby:7,45", ":7,45"])
def test_what_is_no_order_is_refused_with_all_that_are(text: str) -> None:
    with pytest.raises(BadOption, match=r"^unknown order .*: choose zoom, hilbert or near:LON,LAT$") as refused:
        Order.parse(text)
    assert str(refused.value).startswith(f"unknown order {text!r}: ")


@pytest.mark.parametrize("place", ["", "7", "7,", ",45", "7;45", "7,45,3", "north"])
def test_a_place_that_is_none_is_refused_with_how_to_write_it(place: str) -> None:
    with pytest.raises(GridError, match=r" is not a place: write LON,LAT in degrees, as in 7.66,45.98$"):
        Order.parse(f"near:{place}")


@pytest.mark.parametrize("place", ["181,0", "-180.1,0", "0,90.1", "0,-91", "nan,0", "0,nan", "inf,0", "45.98,-7000"])
def test_a_place_off_the_globe_is_refused_with_how_far_that_reaches(place: str) -> None:
    with pytest.raises(GridError, match=r"longitudes run from -180 to 180, latitudes from -90 to 90$"):
        Order.parse(f"near:{place}")
