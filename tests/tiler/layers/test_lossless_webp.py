"""Layers of lossless WebP: `.webp` tiles with the pixels of PNG."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.support.layers import MakeLayer
from tests.support.oracle import alone, drawn, tiles_of
from tests.support.rasters import MakeRaster, Recipe, scene
from tiler.errors import BadOption
from tiler.grid import Block
from tiler.keys import parse_tile_key
from tiler.layers.catalog import dump
from tiler.layers.fill import Request, fill
from tiler.layers.render import TileVariant
from tiler.layers.tilejson import tilejson
from tiler.storage.store import Stores

MASK = np.full((180, 200), 255, np.uint8)
MASK[60:90, 70:120], MASK[100:108], MASK[:60] = 0, 140, 0
BOUNDS = (350000.0, 5000000.0, 550000.0, 5180000.0)
RASTERS = {
    "photograph": (Recipe(scene(180, 200), BOUNDS, "EPSG:32632", mask=MASK), {}),
    "grey": (Recipe(scene(180, 200, 1), BOUNDS, "EPSG:32632", mask=MASK), {}),
    "heights": (Recipe(scene(90, 100, 1).astype(np.float32) * 7.7, nodata=7.7), {"style": "terrain-rgb"}),
    "classes": (Recipe(scene(90, 100, 1) % 3, palette={each: (each * 90, 9, 9, 255) for each in range(3)}), {}),
}


@pytest.mark.parametrize("name", RASTERS)
def test_tiles_have_the_pixels_of_png(
    name: str, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    recipe, options = RASTERS[name]
    layer = make_layer(make_raster(recipe), format="webp-lossless", **options)
    for z, scale in ((layer.maxzoom, 1), (layer.maxzoom - 1, 2)):
        for tile in tiles_of(layer, z):
            png, webp = (drawn(layer, stores, tile, TileVariant(scale, form)) for form in ("png", "webp"))
            assert (png[..., 3] == webp[..., 3]).all()
            shown = png[..., 3] > 0
            assert (png[shown] == webp[shown]).all()


def test_they_are_files_of_webp_smaller_than_png(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    alike = scene(180, 200, 1) // np.array([[[1]], [[2]], [[3]]], np.uint8)  # bands of a photograph resemble each other
    layer = make_layer(make_raster(values=alike, bounds=BOUNDS, crs="EPSG:32632"), format="webp-lossless")
    assert json.loads(tilejson(layer, "http://tiles.test", "1"))["tiles"][0].endswith(".webp?v=1")
    (block,) = {Block.of(tile) for tile in tiles_of(layer, layer.maxzoom)}
    assert fill(layer, stores, Request(block, block.full, TileVariant(1, layer.format))).written
    sizes = []
    for entry in stores.tiles.list(f"{layer.id}/{layer.maxzoom}/"):
        name = parse_tile_key(entry.key)
        png = alone(layer, stores, name.tile) or b""
        sizes.append((entry.size, len(png)))
    webp, png_sizes = map(sum, zip(*sizes, strict=True))
    assert webp < png_sizes


def test_heights_take_no_lossy_format(make_raster: MakeRaster, make_layer: MakeLayer) -> None:
    recipe, options = RASTERS["heights"]
    with pytest.raises(BadOption, match="would blur: use --format png"):
        make_layer(make_raster(recipe), format="webp", **options)
    layer = make_layer(make_raster(recipe), format="webp-lossless", **options)
    assert [form for form in ("png", "jpg", "webp") if layer.takes(form)] == ["png", "webp"]


def test_earlier_versions_do_not_read_such_a_layer(make_raster: MakeRaster, make_layer: MakeLayer) -> None:
    layer = make_layer(make_raster(RASTERS["grey"][0]), format="webp-lossless")
    fields = json.loads(dump(layer))
    assert (fields["version"], fields["format"], fields["asked"]["format"]) == (4, "webp", "webp-lossless")
    virtual = make_layer(make_raster(RASTERS["grey"][0]), "virtual", format="webp-lossless", virtual=True)
    assert json.loads(dump(virtual))["version"] == 3
