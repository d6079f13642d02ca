"""Footprints count, coarsen and survive JSON exactly; brute force is the oracle."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import cells_of, footprints, held, tiles
from tiler.errors import CatalogError
from tiler.footprint import CELLS, Footprint
from tiler.grid import TileRange


@st.composite
def areas(draw: st.DrawFn, z: int) -> TileRange:
    """Ranges on the grid of zoom `z`, empty ones and backward ones among them."""
    place = st.integers(0, 2**z)
    return TileRange(z, draw(place), draw(place), draw(place), draw(place))


@given(footprints(), st.integers(0, 2), st.data())
def test_a_count_is_the_number_of_held_tiles_in_the_area(footprint: Footprint, down: int, data: st.DataObject) -> None:
    z = footprint.z + down
    area = data.draw(areas(z))
    assert footprint.count(area) == sum(tile in area for tile in held(footprint, z))


@given(footprints(), st.integers(0, 20))
def test_the_whole_grid_holds_every_cell_with_all_its_tiles(footprint: Footprint, down: int) -> None:
    z = footprint.z + down
    everything = TileRange(z, 0, 0, 2**z, 2**z)
    assert footprint.count(everything) == len(cells_of(footprint)) * 4**down


@given(footprints(), st.integers(1, 8), st.data())
def test_counts_of_the_parts_add_up_to_the_count_of_the_whole(
    footprint: Footprint, down: int, data: st.DataObject
) -> None:
    z = footprint.z + down
    x, y = data.draw(st.integers(0, 2**z)), data.draw(st.integers(0, 2**z))
    parts = [
        TileRange(z, west, north, east, south)
        for west, east in ((0, x), (x, 2**z))
        for north, south in ((0, y), (y, 2**z))
    ]
    assert sum(map(footprint.count, parts)) == footprint.count(TileRange(z, 0, 0, 2**z, 2**z))


def test_columns_past_the_antimeridian_count_on_its_far_side() -> None:
    footprint = Footprint(3, 6, 2, np.ones((1, 4), bool))
    assert [footprint.count(TileRange(3, x, 2, x + 1, 3)) for x in range(8)] == [1, 1, 0, 0, 0, 0, 1, 1]


@given(footprints(), st.data())
def test_a_lower_zoom_has_the_tiles_with_any_cell_in_them(footprint: Footprint, data: st.DataObject) -> None:
    z = data.draw(st.integers(0, footprint.z))
    lower = footprint.at(z)
    assert lower.z == z
    assert cells_of(lower) == held(footprint, z)


@given(footprints(), st.data())
def test_a_lower_zoom_counts_each_of_its_tiles_once(footprint: Footprint, data: st.DataObject) -> None:
    z = data.draw(st.integers(0, footprint.z))
    lower = footprint.at(z)
    assert lower.cells.shape[1] <= 2**z
    assert lower.count(TileRange(z, 0, 0, 2**z, 2**z)) == len(held(footprint, z))


@given(footprints())
def test_its_own_zoom_changes_nothing(footprint: Footprint) -> None:
    assert footprint.at(footprint.z) == footprint


@given(tiles(20), st.integers(1, 3000), st.integers(1, 3000), st.integers(0, 2**32 - 1))
def test_within_the_limit_no_tile_is_lost(corner: tuple[int, int, int], rows: int, columns: int, seed: int) -> None:
    x, y, z = corner
    rows, columns = min(rows, 2**z - y), min(columns, 2**z)
    cells = np.random.default_rng(seed).random((rows, columns)) < 4 / (rows + columns)
    fitted = Footprint.within(z, x, y, cells)
    full = Footprint(z, x, y, cells)
    assert fitted.cells.size <= CELLS
    assert fitted == full.at(fitted.z)
    assert all(
        fitted.count(TileRange(z, tile.x, tile.y, tile.x + 1, tile.y + 1)) == 1 for tile in list(cells_of(full))[:100]
    )


@given(footprints())
def test_what_fits_the_limit_is_kept_as_it_is(footprint: Footprint) -> None:
    assert Footprint.within(footprint.z, footprint.x, footprint.y, footprint.cells) == footprint


@given(footprints())
def test_a_footprint_survives_json(footprint: Footprint) -> None:
    assert Footprint.from_json(json.loads(json.dumps(footprint.to_json())), "key") == footprint


@given(footprints(), footprints())
def test_footprints_are_equal_where_their_json_is(one: Footprint, other: Footprint) -> None:
    assert (one == other) == (one.to_json() == other.to_json())
    assert one != one.to_json()


@given(footprints(), st.sampled_from(["zoom", "x", "y", "columns", "rows", "bits"]), st.data())
def test_a_footprint_without_a_field_is_refused(footprint: Footprint, field: str, data: st.DataObject) -> None:
    missing = footprint.to_json()
    del missing[field]
    junk = {**footprint.to_json(), field: data.draw(st.sampled_from([None, "", "?", [], {}, "1.5"]))}
    for said in (missing, junk):
        with pytest.raises(CatalogError):
            Footprint.from_json(said, "key")


WHOLE = Footprint(4, 3, 5, np.ones((4, 6), bool)).to_json()


@pytest.mark.parametrize(
    "wrong",
    [
        {"bits": "AAAA"},
        {"bits": str(WHOLE["bits"])[:-8]},
        {"rows": 2},
        {"rows": 11},
        {"columns": 60},
        {"rows": -1},
        {"columns": -1},
        {"rows": 0},
        {"columns": 17, "rows": 1},
        {"zoom": -1},
        {"zoom": 2},
        {"zoom": 99},
        {"x": -1},
        {"x": 16},
        {"y": -1},
        {"y": 13},
    ],
    ids=str,
)
def test_a_footprint_whose_fields_do_not_fit_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(CatalogError):
        Footprint.from_json({**WHOLE, **wrong}, "key")
