"""Footprints contain the right tiles, also at lower zooms and after JSON; brute force is the oracle."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mercantile import Tile

from seeder.select import selection
from tests.support.layer_strategies import cells_of, footprints, held
from tests.support.strategies import tiles
from tiler.errors import CatalogError
from tiler.layers.footprint import CELLS, Footprint


def tiles_at(footprint: Footprint, z: int) -> set[Tile]:
    """The tiles of zoom `z` that a selection counts as data."""
    return {
        tile for mask in selection.data_tiles(footprint).at(z).block_masks() for tile in mask.block.tiles(mask.tiles)
    }


@given(footprints(), st.integers(0, 2))
def test_a_deeper_zoom_has_the_tiles_that_lie_in_the_cells(footprint: Footprint, down: int) -> None:
    z = footprint.z + down
    assert tiles_at(footprint, z) == held(footprint, z)


@given(footprints(), st.integers(0, 20))
def test_a_cell_holds_all_its_tiles(footprint: Footprint, down: int) -> None:
    assert len(selection.data_tiles(footprint).at(footprint.z + down)) == len(cells_of(footprint)) * 4**down


@given(footprints(), st.integers(0, 7))
def test_the_central_tile_holds_data(footprint: Footprint, z: int) -> None:
    if footprint.cells.any():
        assert footprint.central_tile(z) in held(footprint, z)
    else:
        with pytest.raises(ValueError, match="no cell"):
            footprint.central_tile(z)


def test_the_central_tile_is_the_middle_one_and_away_from_edges() -> None:
    whole = Footprint(4, 3, 5, np.ones((5, 7), bool))
    assert whole.central_tile(4) == Tile(x=6, y=7, z=4)
    assert whole.central_tile(5) == Tile(x=13, y=15, z=5)
    holed = np.ones((9, 9), bool)
    holed[4, 4] = False
    tile = Footprint(4, 3, 5, holed).central_tile(4)
    assert max(abs(tile.x - 7), abs(tile.y - 9)) == 2, "a neighbour of the hole is an edge"


def test_columns_past_the_antimeridian_lie_on_its_far_side() -> None:
    footprint = Footprint(3, 6, 2, np.ones((1, 4), bool))
    assert tiles_at(footprint, 3) == {Tile(x=x, y=2, z=3) for x in (0, 1, 6, 7)}


@given(footprints(), st.data())
def test_a_lower_zoom_has_the_tiles_with_any_cell_in_them(footprint: Footprint, data: st.DataObject) -> None:
    z = data.draw(st.integers(0, footprint.z))
    assert tiles_at(footprint, z) == held(footprint, z)


@given(tiles(20), st.integers(1, 3000), st.integers(1, 3000), st.integers(0, 2**32 - 1))
def test_within_the_limit_no_tile_is_lost(corner: tuple[int, int, int], rows: int, columns: int, seed: int) -> None:
    x, y, z = corner
    rows, columns = min(rows, 2**z - y), min(columns, 2**z)
    cells = np.random.default_rng(seed).random((rows, columns)) < 4 / (rows + columns)
    fitted = Footprint.within(z, x, y, cells)
    full = Footprint(z, x, y, cells)
    assert fitted.cells.size <= CELLS
    assert selection.data_tiles(fitted) == selection.data_tiles(full).at(fitted.z)
    assert fitted.cells.shape[1] <= 2**fitted.z


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
