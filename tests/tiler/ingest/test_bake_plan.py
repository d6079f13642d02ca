"""The plan of a bake: from JSON it bakes the same parts, for every kind of raster; parts know which parts read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seeder.operations.bake import plan_bake
from seeder.operations.report import Report
from tests.support.bake_scenes import listed, painted
from tests.support.layers import local_stores
from tests.support.rasters import Recipe, scene, write_raster
from tiler.errors import BadSource, CatalogError
from tiler.ingest.bake_plan import BakePlan, OneRaster, narrowed
from tiler.ingest.examine import ExaminedScenes
from tiler.ingest.planned_parts import input_of, window_of
from tiler.layers.catalog import dump
from tiler.layers.pyramid import Place, across
from tiler.layers.tiers import children_of, parent_of, parents_of
from tiler.raster.options import Options

GREY = scene(60, 80, 1)
FLOATS = np.where(GREY > 100, GREY.astype("float32"), np.nan)
PALETTE = {0: (0, 0, 0, 0), **{value: (value, 255 - value, 7, 255) for value in range(1, 256)}}
KINDS: dict[str, tuple[Recipe, dict[str, Any]]] = {
    "rgb": (Recipe(scene(60, 80)), {}),
    "alpha": (Recipe(scene(60, 80, 4), alpha=True), {}),
    "mask": (Recipe(scene(60, 80), mask=np.where(GREY[0] > 90, 255, 0).astype(np.uint8)), {}),
    "nodata": (Recipe(GREY, nodata=7), {}),
    "nodata typed": (Recipe(GREY), {"nodata": 7.0}),
    "nan": (Recipe(FLOATS, nodata=float("nan")), {"rescale": ((0.0, 255.0),)}),
    "infinite": (Recipe(FLOATS, nodata=float("-inf")), {"rescale": ((0.0, 0.1),)}),
    "palette": (Recipe(GREY, palette=PALETTE), {}),
    "int16": (
        Recipe(GREY.astype("int16") - 100, nodata=-32768),
        {"rescale": ((-100.0, 155.0),), "colormap": "viridis"},
    ),
    "finished webp": (Recipe(scene(60, 80)), {"format": "webp", "bake": "finished"}),
    "jpeg": (Recipe(scene(60, 80)), {"format": "jpg"}),
    "bands": (Recipe(scene(60, 80, 4)), {"bands": (3, 2, 1)}),
    "nearest": (Recipe(scene(60, 80)), {"resampling": "nearest"}),
    "told": (Recipe(GREY, palette=PALETTE), {"title": "Land", "description": ""}),
    "zooms": (Recipe(scene(60, 80)), {"min_zoom": 3, "max_zoom": 8}),
    "mercator": (Recipe(scene(60, 80), crs="EPSG:3857", bounds=(0, 0, 800, 600)), {}),
    "utm": (Recipe(scene(60, 80), crs="EPSG:32632", bounds=(400000, 5000000, 480000, 5060000)), {}),
}


def inputs(plan: BakePlan) -> dict[Place, object]:
    """The inputs of the parts of the base, as a worker has them."""
    raster = plan.raster()
    return {
        place: input_of(narrowed(raster, window_of(place, plan.zoom_of(0))) or raster, place, plan.zoom_of(0), {})
        for place in plan.tiers[0]
    }


def again(plan: BakePlan) -> BakePlan:
    """The plan from its JSON."""
    return BakePlan.parse(json.loads(json.dumps(plan.dump())), plan.dump_scenes(), "plan")


def check_kept(plan: BakePlan) -> None:
    """Check that nothing is lost in JSON, written as strict JSON is."""
    other = again(plan)
    assert other.dump() == plan.dump() == again(other).dump()
    json.dumps(plan.dump(), allow_nan=False)
    assert dump(other.draft) == dump(plan.draft)
    assert other.tiers == plan.tiers
    assert other.parts == plan.parts == sum(map(len, plan.tiers))
    assert inputs(other) == inputs(plan)
    assert all(other.chunks(place, {}) == plan.chunks(place, {}) for place in plan.tiers[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_of_one_raster_survives_json(kind: str, tmp_path: Path) -> None:
    recipe, options = KINDS[kind]
    path = write_raster(tmp_path / "source.tif", recipe)
    plan = plan_bake(str(path), "layer", Options(**options), local_stores(tmp_path / "data"), Report())
    assert isinstance(plan, BakePlan)
    check_kept(plan)
    raster = again(plan).raster()
    assert isinstance(raster, OneRaster)
    for place in plan.tiers[0]:
        raster.check_in(window_of(place, plan.zoom_of(0)))
    write_raster(path, Recipe(recipe.values[:, ::-1], recipe.bounds, recipe.crs))
    with pytest.raises(BadSource, match="changed"):
        raster.check_in(window_of(next(iter(plan.tiers[0])), plan.zoom_of(0)))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("nan", "infinite", "palette")])
def test_a_plan_of_scenes_survives_json(kind: str, tmp_path: Path) -> None:
    recipe, options = KINDS[kind]
    paths = [write_raster(tmp_path / f"{number}.tif", recipe) for number in range(2)]
    scenes = listed(paths, **options)
    plan = plan_bake(scenes, "layer", Options(**options), local_stores(tmp_path / "data"), Report())
    assert isinstance(plan, BakePlan)
    check_kept(plan)


def test_a_part_reads_only_the_scenes_near_it(tmp_path: Path) -> None:
    paths = [painted(tmp_path / f"{number}.tif", 30000 * number, 0, 40, number) for number in range(3)]
    plan = plan_bake(listed(paths), "layer", Options(), local_stores(tmp_path / "data"), Report())
    assert isinstance(plan, BakePlan)
    raster = again(plan).raster()
    for place in plan.tiers[0]:
        near = narrowed(raster, window_of(place, plan.zoom_of(0)))
        assert isinstance(near, ExaminedScenes)
        assert len(near.survey.scenes) == 1
    assert narrowed(raster, window_of(Place(0, 31, 31), plan.zoom_of(0))) is None


@pytest.mark.parametrize("name", ["draft", "options", "survey", "tiers", "content", "mark", "current"])
@pytest.mark.parametrize("value", [None, 5, "x", [[1]], {}])
def test_a_damaged_plan_is_refused_or_read(name: str, value: object, tmp_path: Path) -> None:
    plan = plan_bake(
        str(write_raster(tmp_path / "a.tif", KINDS["rgb"][0])), "layer", Options(), local_stores(tmp_path), Report()
    )
    assert isinstance(plan, BakePlan)
    fields = {**plan.dump(), name: value}
    if name in ("content", "mark", "current") or (name, value) == ("tiers", {}):
        BakePlan.parse(fields, None, "plan")
        return
    with pytest.raises(CatalogError):
        BakePlan.parse(fields, None, "plan")


@st.composite
def places(draw: st.DrawFn) -> tuple[int, Place]:
    """A part and the zoom of its tier: often a small one, or at an edge of the grid."""
    zoom = draw(st.integers(0, 12) | st.integers(3, 30))
    side = across(zoom)
    axis = st.sampled_from(sorted({0, 1 % side, side // 2, side - 1})) | st.integers(0, side - 1)
    return zoom, Place(draw(st.integers(0, 3)), draw(axis), draw(axis))


@given(places())
@settings(max_examples=300)
def test_a_part_is_read_by_the_parts_whose_children_it_is(at: tuple[int, Place]) -> None:
    zoom, place = at
    if zoom < 3:
        return  # the last tier
    above = across(zoom - 3)
    readers = list(parents_of(place, zoom))
    assert len(readers) == len(set(readers))
    assert readers[0] == parent_of(place)
    near = {(place.column // 8 + step) % above for step in range(-2, 3)}
    for column in near:
        for row in range(place.row // 8 - 2, place.row // 8 + 3):
            parent = Place(place.tier + 1, column, row)
            assert (parent in readers) == (place in children_of(parent, zoom))


@given(places())
@settings(max_examples=200)
def test_children_are_on_the_grid_and_distinct(at: tuple[int, Place]) -> None:
    zoom, place = at
    below = zoom + 3
    children = list(children_of(place, below))
    assert len(children) == len(set(children))
    assert all(0 <= child.column < across(below) and child.tier == place.tier - 1 for child in children)
    within = [Place(place.tier - 1, 8 * place.column + column, 8 * place.row) for column in range(8)]
    assert {each for each in within if each.column < across(below)} <= set(children)
    assert len(children) <= 100
