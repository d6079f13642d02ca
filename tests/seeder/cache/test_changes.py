"""Tiles that may differ between two revisions, compared with renders of every tile of both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from mercantile import Tile

from seeder.cache.changes import changed_tiles
from tests.support.layers import layer_of, local_stores
from tests.support.rasters import Recipe, scene, write_raster
from tiler.grid import Block
from tiler.image.style import Style, Values
from tiler.keys import Scale, parts_prefix
from tiler.layers.catalog import Layer
from tiler.layers.digests import stored_digests
from tiler.layers.render import TileVariant, render
from tiler.raster.options import Options
from tiler.storage.store import Stores

ROWS, COLUMNS = 240, 300
SCENE, SHEET = scene(ROWS, COLUMNS), scene(ROWS, COLUMNS, 1)
HEIGHTS = (np.add.outer(np.sin(np.arange(ROWS) / 20), np.cos(np.arange(COLUMNS) / 30)) * 500 + 1000)[np.newaxis]
HILLS = HEIGHTS.astype(np.float32)
LAND = (5.0, 45.0, 5.3, 45.24)
SEA = (179.88, -20.0, 180.18, -19.76)  # across the antimeridian
GLOBE = (-180.0, -85.0, 180.0, 85.0)
AROUND = {"min_zoom": 6, "max_zoom": 12}  # zooms 7 to 11 are in the COG
SHADED = {"style": "hillshade", "rescale": ((0.0, 255.0),)}


def patched(values: Values, row: int, column: int) -> Values:
    """Other values in a rectangle."""
    values = values.copy()
    part = values[:, row : row + 25, column : column + 30]
    part[:] = part[:, ::-1, ::-1] // 2 + 40
    return values


def holed(row: int, column: int) -> Values:
    mask = np.full((ROWS, COLUMNS), 255, np.uint8)
    mask[row : row + 25, column : column + 30] = 0
    return mask


class Case(NamedTuple):
    """Two rasters and the options of their ingest; `grown` if they cover different ground."""

    one: Recipe
    other: Recipe
    options: dict[str, Any]
    grown: bool = False


def both(values: Values, row: int, column: int, bounds: tuple[float, float, float, float], **options: Any) -> Case:
    """The same ground with a changed rectangle."""
    other = patched(values, row, column)
    return Case(Recipe(values=values, bounds=bounds), Recipe(values=other, bounds=bounds), AROUND | options)


CASES = {
    "rgb": both(SCENE, 60, 130, LAND),
    "jpg": both(SCENE, 60, 130, LAND, max_zoom=11, format="jpg", bake="finished"),
    "hole": Case(
        Recipe(values=SHEET, bounds=LAND),
        Recipe(values=SHEET, bounds=LAND, mask=holed(120, 100)),
        AROUND,
    ),
    "hillshade": both(HILLS, 60, 200, LAND, **SHADED),
    "lanczos at a side": both(SHEET, 0, 130, LAND, resampling="lanczos"),
    "nearest at a corner": both(SHEET, 210, 265, LAND, resampling="nearest"),
    "antimeridian": both(SHEET, 100, 110, SEA),
    "shaded globe": both(HILLS, 100, 265, GLOBE, min_zoom=0, max_zoom=2, **SHADED),
    "grown east": Case(
        Recipe(values=SHEET[:, :, :150], bounds=(5.0, 45.0, 5.15, 45.24)),
        Recipe(values=SHEET, bounds=LAND),
        AROUND,
        grown=True,
    ),
    "grown west and north": Case(
        Recipe(values=SHEET[:, 120:, 150:], bounds=(7.15, 45.0, 7.3, 45.12)),
        Recipe(values=SHEET, bounds=(7.0, 45.0, 7.3, 45.24)),
        AROUND,
        grown=True,
    ),
    "shrunk": Case(
        Recipe(values=SHEET, bounds=LAND),
        Recipe(values=SHEET[:, 90:], bounds=(5.0, 45.0, 5.3, 45.15)),
        AROUND,
        grown=True,
    ),
}


def two(case: Case, folder: Path) -> tuple[Layer, Layer, Stores]:
    """Two revisions of a layer."""
    stores = local_stores(folder / "data")
    paths = (write_raster(folder / f"{name}.tif", getattr(case, name)) for name in ("one", "other"))
    one, other = (layer_of(path, "layer", stores, **case.options) for path in paths)
    return one, other, stores


def drawn(layer: Layer, stores: Stores, z: int, scale: Scale) -> Iterator[tuple[Tile, bytes | None]]:
    """All tiles of a zoom."""
    for area in layer.ranges(z):
        tiles = [Tile(x=x, y=y, z=z) for x in range(area.x0, area.x1) for y in range(area.y0, area.y1)]
        for block in {Block.of(tile) for tile in tiles}:
            mask = sum(block.bit(tile) for tile in tiles if Block.of(tile) == block)
            yield from render(layer, stores.sources, block, mask, TileVariant(scale, layer.format))


@pytest.mark.parametrize("name", CASES)
def test_every_tile_that_differs_has_changed_and_few_others(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    one, other, stores = two(case, tmp_path)
    changes = changed_tiles(one, other, stores)
    assert changes.known
    assert other.bake
    differing = exact = 0
    for scale, first in ((1, other.minzoom), (2, other.bake.z - 1)):
        for z in range(first, other.maxzoom + 2 - scale):
            before = dict(drawn(one, stores, z, scale))
            after = {tile: data for tile, data in drawn(other, stores, z, scale) if other.has(tile)}
            differ = {tile for tile, data in after.items() if before.get(tile) != data}
            changed = {tile for tile in after if changes.has(tile, scale)}
            assert differ <= changed, (z, scale)
            assert len(changed) <= 1.1 * len(differ) + 2, (z, scale)
            differing += len(differ)
            exact += len(changed) == len(differ)
    assert differing
    assert exact


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Layer, Layer, Stores]:
    """Two revisions."""
    return two(CASES["nearest at a corner"], tmp_path_factory.mktemp("pair"))


DIFFERENT: dict[str, dict[str, Any]] = {
    "style": {"style": Style(rescale=((0.0, 9.0),))},
    "resampling": {"resampling": "cubic"},
    "format": {"format": "jpg"},
    "bands": {"bands": (1, 2)},
    "lossless": {"asked": Options(format="webp-lossless")},
    "virtual": {"bake": None},
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_all_tiles_may_differ_if_something_else_than_pixels_does(name: str, pair: tuple[Layer, Layer, Stores]) -> None:
    one, other, stores = pair
    changes = changed_tiles(one, replace(other, **DIFFERENT[name]), stores)
    assert not changes.known
    assert changes.at(11, 1) is None
    assert changes.has(Tile(x=0, y=0, z=11), 1)


def test_all_tiles_may_differ_if_the_base_is_of_another_zoom(pair: tuple[Layer, Layer, Stores]) -> None:
    one, other, stores = pair
    assert other.bake
    assert not changed_tiles(one, replace(other, bake=replace(other.bake, z=12)), stores).known
    assert not changed_tiles(one, replace(other, bake=replace(other.bake, finished=3)), stores).known


def test_all_tiles_may_differ_if_the_digests_are_lost(pair: tuple[Layer, Layer, Stores]) -> None:
    one, other, stores = pair
    facts = [entry.key for entry in stores.sources.list(parts_prefix(one.id)) if entry.key.endswith(".json")]
    kept = {key: stores.sources.get(key) for key in facts}
    stores.sources.delete(facts)
    changes = changed_tiles(one, other, stores)
    assert all(changes.at(z, 1) is None for z in range(one.minzoom, one.maxzoom + 1))
    for key, data in kept.items():
        stores.sources.put(key, data, content_type="application/json")


def test_the_version_of_gdal_does_not_matter(pair: tuple[Layer, Layer, Stores]) -> None:
    one, other, stores = pair
    own = {one.revision: one, other.revision: other}
    changes = changed_tiles(
        replace(one, gdal="1.0"), other, stores, lambda each, sources: stored_digests(own[each.revision], sources)
    )
    assert changes.known


def test_no_tile_of_the_same_revision_differs_except_outside_of_the_layer(pair: tuple[Layer, Layer, Stores]) -> None:
    _, other, stores = pair
    changes = changed_tiles(other, other, stores)
    (area,) = other.ranges(11)
    assert not any(changes.has(Tile(x=x, y=area.y0, z=11), 1) for x in range(area.x0, area.x1))
    assert changes.has(Tile(x=area.x1, y=area.y0, z=11), 1)
    assert changes.has(Tile(x=0, y=0, z=other.maxzoom + 1), 1)
