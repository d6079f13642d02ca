"""Outlines are valid GeoJSON, hold the scene, and are split at the antimeridian."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rasterio.warp
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from shapely.geometry import Point, shape

from tests.support.scenes import made
from tiler.grid import Bounds
from tiler.scenes.outlines import outlines
from tiler.scenes.scene import Scene

NEAR = 1e-5  # degrees


def placed(crs: str, transform: tuple[float, ...], size: tuple[int, int] = (100, 100)) -> Scene:
    return made("a.tif", "2026-05-01", crs=CRS.from_user_input(crs), transform=transform, size=size)


def geometry_of(scene: Scene) -> Any:
    (feature,) = outlines([scene])["features"]
    return shape(feature["geometry"])


def inside(scene: Scene) -> list[tuple[float, float]]:
    """Longitudes, -180 to 180, and latitudes of pixels all over the scene, by rasterio."""
    shares = np.array([0.01, 0.3, 0.5, 0.7, 0.99])
    points = [Affine(*scene.transform) @ (x * scene.size[0], y * scene.size[1]) for x in shares for y in shares]
    longitudes, latitudes = rasterio.warp.transform(scene.crs, "EPSG:4326", *zip(*points, strict=True))
    return [((x + 180) % 360 - 180, y) for x, y in zip(longitudes, latitudes, strict=True)]


SCENES = {
    "degrees": placed("EPSG:4326", (0.01, 0, 7, 0, -0.01, 47)),
    "utm": placed("EPSG:32632", (100, 0, 4e5, 0, -100, 5.3e6)),
    "rotated": placed("EPSG:32632", (80, 60, 4e5, 60, -80, 5.3e6)),
    "utm across the antimeridian": placed("EPSG:32601", (100, 0, 299_000, 0, -100, 6e6)),
    "degrees across the antimeridian": placed("EPSG:4326", (0.1, 0, 175, 0, -0.1, 5)),
    "degrees beyond 180": placed("EPSG:4326", (0.1, 0, 185, 0, -0.1, 5)),
    "globe": placed("EPSG:4326", (3.6, 0, -180, 0, -1.8, 90)),
    "globe from 0": placed("EPSG:4326", (3.6, 0, 0, 0, -1.8, 90)),
    "north pole": placed("EPSG:3995", (50_000, 0, -2.5e6, 0, -50_000, 2.6e6)),
    "south pole": placed("EPSG:3031", (50_000, 0, -2.5e6, 0, -50_000, 2.6e6)),
    "one pixel wide": placed("EPSG:32632", (100, 0, 4e5, 0, -100, 5.3e6), (1, 100)),
    "upside down": placed("EPSG:32632", (100, 0, 4e5, 0, 100, 5.3e6)),
}


@pytest.mark.parametrize("name", SCENES)
def test_an_outline_holds_the_scene(name: str) -> None:
    outline = geometry_of(SCENES[name])
    assert all(outline.distance(Point(point)) < 0.05 for point in inside(SCENES[name]))


@pytest.mark.parametrize("name", SCENES)
def test_an_outline_is_valid_and_counterclockwise_within_the_map(name: str) -> None:
    outline = geometry_of(SCENES[name])
    assert outline.is_valid
    west, south, east, north = outline.bounds
    assert -180 <= west < east <= 180
    assert -90 <= south < north <= 90
    assert all(part.exterior.is_ccw for part in getattr(outline, "geoms", [outline]))


@pytest.mark.parametrize("name", SCENES)
def test_an_outline_is_split_only_where_it_crosses_the_antimeridian(name: str) -> None:
    split = {"utm across the antimeridian", "degrees across the antimeridian"}
    assert len(getattr(geometry_of(SCENES[name]), "geoms", [0])) == (2 if name in split else 1)


@given(st.floats(-179, 179), st.floats(-80, 80), st.floats(1e-4, 0.05), st.floats(1e-4, 0.05), st.floats(-0.01, 0.01))
def test_corners_lie_on_the_outline(west: float, north: float, across: float, down: float, turn: float) -> None:
    each = placed("EPSG:4326", (across, turn, west, turn, -down, north))
    if abs(across * -down - turn * turn) < 1e-9:
        return
    outline = geometry_of(each).boundary
    for corner in ((0, 0), (100, 0), (100, 100), (0, 100)):
        x, y = Affine(*each.transform) @ corner
        if abs(y) < 90:
            assert outline.distance(Point((x + 180) % 360 - 180, y)) < NEAR


def test_the_area_of_a_split_outline_is_that_of_the_whole() -> None:
    assert geometry_of(SCENES["degrees across the antimeridian"]).area == pytest.approx(100, abs=1e-3)


def test_sides_follow_the_projection() -> None:
    assert len(geometry_of(SCENES["utm"]).exterior.coords) == 4 * 16 + 1


def test_properties_are_those_of_the_scene() -> None:
    (feature,) = outlines([SCENES["utm"]])["features"]
    assert feature["properties"] == {
        "name": "a",
        "address": "a.tif",
        "crs": "EPSG:32632",
        "resolution": 1113.0,
        "date": "2026-05-01",
    }


def test_a_scene_whose_sides_are_off_the_globe_has_the_outline_of_its_bounds() -> None:
    disc = made(
        crs=CRS.from_proj4("+proj=ortho +lat_0=0 +lon_0=180"),
        transform=(140_000.0, 0.0, -7e6, 0.0, -140_000.0, 7e6),
        bounds=Bounds(95, -80, -95, 80),
    )
    assert geometry_of(disc).bounds == (-180, -80, 180, 80)
    assert geometry_of(disc).area == pytest.approx(170 * 160)
