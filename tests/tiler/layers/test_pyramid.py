"""The manifest of parts survives its shards, and a window is read from the parts as if they were one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.effort import examples
from tests.support.layers import layer_of, local_stores, silent
from tests.support.parts import key_of, parts_of, pixels_at, pyramid_of
from tests.support.rasters import MakeRaster, Recipe, scene, write_raster
from tests.support.site import memory
from tiler import keys
from tiler.grid import TILE, Window
from tiler.image.style import Values
from tiler.ingest.ingest import ingest
from tiler.layers import pyramid
from tiler.layers.catalog import Layer
from tiler.layers.cog_layout import CogLayout
from tiler.layers.part_pixels import PartPixels
from tiler.layers.pyramid import SHARD, SIDE, Part, Place, Pyramid, missing_objects, put_manifest
from tiler.raster.options import Options
from tiler.storage.store import Stores

BASE = 12
BEYOND = 20  # pixels that a window may pass the poles


@st.composite
def placed_parts(draw: st.DrawFn) -> dict[Place, Part]:
    """Parts of a layer whose base zoom is BASE."""
    tiers = st.integers(0, 2)
    places = tiers.flatmap(
        lambda tier: st.builds(Place, st.just(tier), *[st.integers(0, (1 << BASE - 3 * tier) // SIDE)] * 2)
    )
    names = st.text("0123456789abcdef", min_size=16, max_size=16)
    found = {}
    for place in draw(st.sets(places, max_size=30)):
        zoom = BASE - 3 * place.tier
        layout = CogLayout(zoom, place.column * SIDE, place.row * SIDE, 8, 16, 4, draw(st.booleans()))
        found[place] = Part(f"{draw(names)}-{draw(names)}", layout)
    return found


@given(placed_parts())
def test_parts_are_found_in_their_manifest_one_by_one_and_all(parts: dict[Place, Part]) -> None:
    sources = memory()
    shards = put_manifest("relief", sources, parts)
    made = Pyramid(BASE, "uint8", opaque=False, finished=0, shards=shards)
    pyramid._shards.clear()  # as a process that has just begun
    assert made.parts("relief", sources) == parts
    for place in parts:
        two = {place, place._replace(column=place.column + 1)}
        assert made.parts_at("relief", sources, two) == {each: parts[each] for each in two & parts.keys()}
    assert set(shards) == {(tier, column // SHARD, row // SHARD) for tier, column, row in parts}
    assert missing_objects("relief", sources, made) == {keys.part_key("relief", part.name) for part in parts.values()}
    for key in missing_objects("relief", sources, made):
        sources.put(key, b"", content_type="image/tiff")
    assert missing_objects("relief", sources, made) == set()


@given(placed_parts().filter(bool), st.data())
def test_another_part_changes_only_the_shard_of_its_place(parts: dict[Place, Part], data: st.DataObject) -> None:
    sources = memory()
    before = put_manifest("relief", sources, parts)
    place = data.draw(st.sampled_from(sorted(parts)))
    after = put_manifest("relief", sources, {**parts, place: Part("0" * 16 + "-" + "1" * 16, parts[place].layout)})
    changed = {square for square in before if before[square] != after[square]}
    assert before.keys() == after.keys()
    assert changed == {(place.tier, place.column // SHARD, place.row // SHARD)}


@given(placed_parts())
def test_the_manifest_does_not_depend_on_the_order_of_its_parts(parts: dict[Place, Part]) -> None:
    assert put_manifest("a", memory(), parts) == put_manifest("a", memory(), dict(reversed(list(parts.items()))))


RASTERS = {
    "around a corner of parts": Recipe(scene(300, 400), (-2.5, -2.2, 3.1, 2.9), nodata=0),
    "the globe": Recipe(scene(190, 380, 1), (-180.0, -85.0, 180.0, 85.0)),
    "the globe from 0": Recipe(scene(190, 380, 1), (0.0, -85.0, 360.0, 85.0)),
    "across the antimeridian": Recipe(scene(200, 300, 1), (150.0, -20.0, 230.0, 40.0)),
}


@pytest.fixture(scope="module", params=RASTERS)
def layer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Layer, Stores]:
    """A layer, and its stores."""
    folder: Path = tmp_path_factory.mktemp("parts")
    stores = local_stores(folder)
    return layer_of(write_raster(folder / "a.tif", RASTERS[request.param]), "a", stores), stores


def cut(layer: Layer, stores: Stores, window: Window) -> Values:
    """A window of the parts' pixels and their mask, `(bands + 1, height, width)`; columns count modulo the world."""
    stored, world = pixels_at(layer, stores, window.z), TILE << window.z
    whole = np.zeros((len(layer.bands) + 1, world, world), stored.values.dtype)
    rows = slice(stored.window.y, stored.window.y + stored.window.height)
    columns = (np.arange(stored.window.width) + stored.window.x) % world
    whole[:, rows, columns] = np.vstack((stored.values, stored.mask[np.newaxis]))
    around = (np.arange(window.width) + window.x) % world
    padded = np.pad(whole, ((0, 0), (BEYOND, BEYOND), (0, 0)))
    return padded[:, window.y + BEYOND : window.y + BEYOND + window.height, around]


def test_a_window_is_read_as_if_the_parts_were_one_picture_around_the_globe(layer: tuple[Layer, Stores]) -> None:
    made, stores = layer
    base = pyramid_of(made).z

    @settings(max_examples=examples(30))
    @given(st.integers(0, base), st.data())
    def same(zoom: int, data: st.DataObject) -> None:
        world, middle = TILE << zoom, pixels_at(made, stores, zoom).window
        near = st.integers(-300, 300)
        x = middle.x + data.draw(st.sampled_from((0, middle.width // 2, middle.width, world, -world))) + data.draw(near)
        y = middle.y + data.draw(st.sampled_from((0, middle.height // 2, middle.height))) + data.draw(near)
        height = min(data.draw(st.integers(1, 400)), world)
        window = Window(zoom, x, min(max(y, -BEYOND), world - height + BEYOND), data.draw(st.integers(1, 400)), height)
        values, mask = PartPixels(made, pyramid_of(made), stores.sources, zoom).read(window)
        wanted = cut(made, stores, window)
        opacity = np.full(values.shape[1:], 255, np.uint8) if mask is None else mask
        assert np.array_equal(opacity, wanted[-1])
        assert np.array_equal(values * (opacity > 0), wanted[:-1] * (opacity > 0))

    same()


def test_each_part_holds_only_the_tiles_of_its_place(layer: tuple[Layer, Stores]) -> None:
    made, stores = layer
    for place, part in parts_of(made, stores).items():
        layout, side = part.layout, min(SIDE, 1 << pyramid_of(made).zoom_of(place.tier))
        assert place.column * side <= layout.x <= layout.x + layout.columns <= (place.column + 1) * side
        assert place.row * side <= layout.y <= layout.y + layout.rows <= (place.row + 1) * side
        assert stores.sources.has(key_of(made, part))


@pytest.mark.parametrize("damage", ["gone", "cut off", "empty"])
@pytest.mark.parametrize("repair", [False, True])
def test_the_next_ingest_mends_a_damaged_manifest(
    damage: str, repair: bool, make_raster: MakeRaster, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(make_raster(RASTERS["across the antimeridian"]))
    first = ingest(path, "layer", Options(), stores, jobs=1, progress=silent).layer
    shards = {keys.shard_key("layer", name) for name in pyramid_of(first).shards.values()}
    before = {key: stores.sources.get(key) for key in shards}
    for key, data in before.items():
        stores.sources.delete([key])
        if damage != "gone":
            stores.sources.put(key, data[:-5] if damage == "cut off" else b"", content_type="application/json")
    monkeypatch.setattr(pyramid, "_shards", {})  # as a process that has just begun
    again = ingest(path, "layer", Options(), stores, jobs=1, progress=silent, repair=repair)
    assert (again.fresh, again.layer, again.baked) == (True, first, 0)
    assert {key: stores.sources.get(key) for key in shards} == before
