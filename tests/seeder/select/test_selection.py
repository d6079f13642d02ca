"""Selections become blocks with every selected tile once; mercantile and brute force are the oracles."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

import mercantile
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mercantile import Tile
from supermercado import burntiles

from seeder.select.blocks import Count
from seeder.select.selection import Selection, regions
from tests.support.layer_strategies import footprints, held, layers
from tests.support.selections import asked, tiles_of, wanted, z_order
from tests.support.strategies import WORLD, bounds, crossing_bounds
from tests.support.tilesets import SIZES
from tiler.errors import ZoomOutside
from tiler.grid import EXTENT, LEAF, Block, Bounds
from tiler.image.style import Style
from tiler.layers.catalog import Layer
from tiler.layers.footprint import Footprint

EVERYWHERE = Footprint(0, 0, 0, np.ones((1, 1), bool))
PLAIN = Layer("plain", "1", "", WORLD, 0, 28, "png", Style(), EVERYWHERE, None, (1,), "nearest")
Question = tuple[Layer, Selection]


@given(asked(), st.sampled_from(SIZES))
def test_the_pieces_hold_every_wanted_tile_once_and_no_other(question: Question, sizes: Container[int]) -> None:
    layer, selection = question
    for region in regions(layer, selection):
        found = [tile for block_mask in region.block_masks(sizes) for tile in tiles_of(block_mask)]
        assert len(found) == len(set(found))
        assert set(found) == wanted(layer, selection.boxes, region.z)


@given(asked(), st.sampled_from(SIZES))
def test_no_piece_is_empty_or_has_bits_off_its_block(question: Question, sizes: Container[int]) -> None:
    for region in regions(*question):
        for block_mask in region.block_masks(sizes):
            assert len(block_mask) == len(tiles_of(block_mask)) > 0
            assert block_mask.tiles | block_mask.block.full == block_mask.block.full


@given(asked(), st.sampled_from(SIZES))
def test_a_large_piece_is_wholly_wanted_and_of_a_size_that_is_taken(question: Question, sizes: Container[int]) -> None:
    layer, selection = question
    for region in regions(layer, selection):
        every = wanted(layer, selection.boxes, region.z)
        for block_mask in region.block_masks(sizes):
            assert block_mask.block.size in sizes
            assert block_mask.block.size == LEAF or every.issuperset(block_mask.block.tiles())


@given(asked())
def test_large_pieces_take_the_place_of_the_leaves_that_fill_them(question: tuple[Layer, Selection]) -> None:
    for region in regions(*question):
        large = [block_mask for block_mask in region.block_masks((LEAF, 64, 512)) if block_mask.block.size > LEAF]
        inside = {Block.of(tile) for block_mask in large for tile in block_mask.block.tiles()}
        leaves = list(region.block_masks())
        assert [block_mask for block_mask in leaves if block_mask.block not in inside] == [
            block_mask for block_mask in region.block_masks((LEAF, 64, 512)) if block_mask.block.size == LEAF
        ]
        assert all(block_mask.tiles == block_mask.block.full for block_mask in leaves if block_mask.block in inside)


@given(asked(), st.sampled_from(SIZES))
def test_low_zooms_come_first_and_blocks_follow_the_z_curve(question: Question, sizes: Container[int]) -> None:
    order = [
        (block_mask.block.z, z_order(block_mask.block))
        for region in regions(*question)
        for block_mask in region.block_masks(sizes)
    ]
    assert order == sorted(set(order))
    assert [region.z for region in regions(*question)] == list(question[1].zooms)


@given(asked())
def test_totals_are_what_counting_gives(question: tuple[Layer, Selection]) -> None:
    layer, selection = question
    for region in regions(layer, selection):
        leaves = list(region.block_masks())
        assert region.total() == Count(len(wanted(layer, selection.boxes, region.z)), len(leaves))
        assert sum(map(len, leaves)) == region.total().tiles


@given(layers(), bounds())
def test_a_box_asked_for_twice_counts_once(layer: Layer, box: Bounds) -> None:
    zooms = tuple(range(layer.minzoom, layer.maxzoom + 1))
    once, twice = (regions(layer, Selection(zooms, (box,) * times)) for times in (1, 2))
    assert [region.total() for region in once] == [region.total() for region in twice]


@given(st.lists(bounds(), min_size=2, max_size=4), st.integers(0, 7))
def test_what_boxes_share_counts_once(boxes: list[Bounds], z: int) -> None:
    (region,) = regions(PLAIN, Selection((z,), tuple(boxes)))
    assert region.total().tiles == len(wanted(PLAIN, tuple(boxes), z))


def test_a_box_beside_the_layer_selects_not_even_the_low_zooms_that_hold_both() -> None:
    layer = replace(PLAIN, bounds=Bounds(5, 45, 10, 48))
    beside, over = Bounds(10, 45, 11, 48), Bounds(9.9, 45, 11, 48)
    assert [region.total().tiles for region in regions(layer, Selection((0, 1, 2), (beside,)))] == [0, 0, 0]
    assert [region.total().tiles for region in regions(layer, Selection((0, 1, 2), (beside, over)))] == [1, 1, 1]


@given(st.lists(crossing_bounds(), min_size=1, max_size=3), st.integers(0, 6))
def test_boxes_across_the_antimeridian_select_both_sides(boxes: list[Bounds], z: int) -> None:
    (region,) = regions(PLAIN, Selection((z,), tuple(boxes)))
    found = {tile for block_mask in region.block_masks() for tile in tiles_of(block_mask)}
    assert found == wanted(PLAIN, tuple(boxes), z)
    assert {0, 2**z - 1} <= {tile.x for tile in found}


@given(st.floats(85.06, 89), st.sampled_from([-1, 1]), st.integers(0, 7))
def test_a_box_beyond_the_square_world_selects_its_outermost_row(latitude: float, side: int, z: int) -> None:
    south, north = sorted((side * latitude, side * 90.0))
    (region,) = regions(PLAIN, Selection((z,), (Bounds(-180, south, 180, north),)))
    row = 0 if side > 0 else 2**z - 1
    assert {tile for block_mask in region.block_masks() for tile in tiles_of(block_mask)} == {
        Tile(x=x, y=row, z=z) for x in range(2**z)
    }


@st.composite
def quarters(draw: st.DrawFn, z: int) -> tuple[float, float]:
    """Two places along a side of the world, metres, each in the centre of a quarter of a tile of zoom `z`."""
    first, last = sorted(draw(st.sets(st.integers(0, 4 * 2**z - 1), min_size=2, max_size=2)))
    width = EXTENT / 2 / 2**z
    return (first + 0.5) * width - EXTENT, (last + 0.5) * width - EXTENT


@pytest.mark.filterwarnings("ignore:Mercantile 2.0:FutureWarning")  # supermercado asks it for column 2**z
@given(st.data(), st.integers(0, 7))
def test_a_box_selects_what_supermercado_burns(data: st.DataObject, z: int) -> None:
    (left, right), (bottom, top) = data.draw(quarters(z)), data.draw(quarters(z))
    west, south = mercantile.lnglat(left, bottom)
    east, north = mercantile.lnglat(right, top)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    burnt = burntiles.burn([{"geometry": {"type": "Polygon", "coordinates": [ring]}}], z)
    (region,) = regions(PLAIN, Selection((z,), (Bounds(west, south, east, north),)))
    found = {tile for block_mask in region.block_masks() for tile in tiles_of(block_mask)}
    assert found == {Tile(x=int(x), y=int(y), z=z) for x, y, _ in burnt}


@given(layers(), st.lists(st.integers(0, 28), min_size=1, max_size=4))
def test_zooms_that_the_layer_lacks_are_refused_at_once(layer: Layer, zooms: list[int]) -> None:
    selection = Selection(tuple(sorted(set(zooms))))
    if all(layer.minzoom <= z <= layer.maxzoom for z in zooms):
        assert [region.z for region in regions(layer, selection)] == list(selection.zooms)
    else:
        with pytest.raises(ZoomOutside, match=f"{layer.minzoom}-{layer.maxzoom}"):
            regions(layer, selection)


@given(footprints(), st.integers(0, 7))
def test_the_bounds_limit_what_the_footprint_holds(footprint: Footprint, z: int) -> None:
    box = Bounds(*mercantile.bounds(Tile(x=0, y=0, z=1)))
    layer = replace(PLAIN, footprint=footprint, bounds=box)
    (region,) = regions(layer, Selection((z,)))
    found = {tile for block_mask in region.block_masks() for tile in tiles_of(block_mask)}
    assert found == {tile for tile in held(footprint, z) if tile.x < 2**z / 2 and tile.y < 2**z / 2}


def test_a_world_of_a_billion_tiles_is_planned_in_a_handful_of_blocks() -> None:
    (region,) = regions(PLAIN, Selection((15,)))
    assert len(list(region.block_masks((1 << 12,)))) == 4**3
    assert region.total() == Count(4**15, 4**12)
