"""The sides of a small raster give the bounds that all of its points give."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from affine import Affine
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from tests.support.effort import examples
from tiler.errors import BadSource
from tiler.raster import place
from tiler.raster.place import lonlat_bounds

CRSS = {  # with a range of coordinates that holds poles, the antimeridian and ends of maps
    name: (CRS.from_user_input(name), reach)
    for name, reach in {
        "EPSG:32632": 1.2e7,
        "EPSG:32660": 1e6,
        "EPSG:25832": 6e6,
        "EPSG:3413": 4e6,
        "EPSG:3031": 4e6,
        "EPSG:3035": 8e6,
        "EPSG:3857": 2e7,
        "EPSG:4326": 180,
        "+proj=ortho +lat_0=60 +lon_0=10": 7e6,
        "+proj=igh": 2e7,
        "+proj=laea +lat_0=90 +lon_0=0 +datum=WGS84": 1e7,
    }.items()
}


def raster(crs: CRS, x: float, y: float, pixel: float, turn: float, size: tuple[int, int]) -> Any:
    across, down = pixel * math.cos(math.radians(turn)), pixel * math.sin(math.radians(turn))
    transform = Affine(across, down, x, down, -across, y)
    return SimpleNamespace(name="raster", crs=crs, transform=transform, width=size[0], height=size[1])


def bounds(dataset: Any, *, sides: bool) -> Any:
    try:
        if sides:
            return lonlat_bounds(dataset)
        with patch.object(place, "_is_plain", return_value=False):
            return lonlat_bounds(dataset)
    except BadSource as error:
        return str(error)


@given(
    st.sampled_from(sorted(CRSS)),
    st.floats(-1, 1),
    st.floats(-1, 1),
    st.floats(1e-8, 3e-3),
    st.sampled_from([0.0, 30.0, 90.0]),
    st.tuples(st.integers(1, 2000), st.integers(1, 2000)),
)
@example("EPSG:3413", -1e-4, 1e-4, 1e-6, 0.0, (500, 500))  # a pole in its middle
@example("EPSG:32660", 1.0, 0.5, 1e-6, 0.0, (500, 500))
@settings(max_examples=examples(100), deadline=None)
def test_bounds_are_those_of_all_points(
    name: str, x: float, y: float, pixel: float, turn: float, size: tuple[int, int]
) -> None:
    crs, reach = CRSS[name]
    dataset = raster(crs, x * reach, y * reach, pixel * reach, turn, size)
    assume(pixel * max(size) < 2)
    assert bounds(dataset, sides=True) == bounds(dataset, sides=False)
