"""Digests of a COG's blocks: those of the bake, those of the stored bytes, and their stored form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from mercantile import Tile

from tests.support.layers import MakeLayer
from tests.support.rasters import MakeRaster, scene
from tiler.keys import digests_key
from tiler.layers.cog_digests import cog_digests, digest_layer
from tiler.layers.digests import block_digest, decode, encode, shapes, stored_digests
from tiler.layers.render import TileVariant, render_tile
from tiler.storage.store import Stores

FINISHED = [{}, {"format": "jpg", "bake": "finished"}, {"format": "webp", "bake": "finished"}]


def holed(make_raster: MakeRaster, *, hole: bool = True, name: str = "holed.tif") -> Any:
    """A raster of 24 x 24 blocks, with a hole or without."""
    mask = np.full((700, 900), 255, np.uint8)
    mask[200:400, 300:500] = 0 if hole else 255
    return make_raster(values=scene(), mask=mask, bounds=(5.0, 45.0, 5.9, 45.7), name=name)


@pytest.mark.parametrize("options", FINISHED, ids=["lossless", "jpg", "webp"])
@pytest.mark.parametrize("hole", [False, True])
def test_the_digests_of_the_bake_are_those_of_the_stored_blocks(
    options: dict[str, Any], hole: bool, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    layer = make_layer(holed(make_raster, hole=hole), **options)
    assert layer.bake
    baked, read = stored_digests(layer, stores.sources), cog_digests(layer, stores.sources)
    assert baked
    assert read
    assert [each.shape for each in baked] == [each.shape for each in read] == shapes(layer.bake)
    assert all(map(np.array_equal, baked, read))
    assert len(np.unique(baked[0])) > 4


def test_a_block_has_a_digest_where_its_tile_has_data(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    layer = make_layer(holed(make_raster))
    levels, bake = stored_digests(layer, stores.sources), layer.bake
    assert levels
    assert bake
    (area,) = layer.ranges(bake.z)
    for tile in (Tile(x=x, y=y, z=bake.z) for y in range(area.y0, area.y1) for x in range(area.x0, area.x1)):
        data = render_tile(layer, stores.sources, tile, TileVariant())
        assert (data is not None) == (levels[0][tile.y - bake.y, tile.x - bake.x] > 0)


def test_an_opaque_block_has_the_same_digest_with_a_mask_and_without(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    """A mask that is all opaque is stored if other blocks of the COG are transparent."""
    one = make_layer(holed(make_raster), "one")
    other = make_layer(holed(make_raster, hole=False, name="whole.tif"), "other")
    digests, others = stored_digests(one, stores.sources), stored_digests(other, stores.sources)
    assert digests
    assert others
    differ = digests[0] != others[0]
    assert 0 < differ.sum() < (digests[0] > 0).sum() / 2


def test_a_layer_without_digests_is_digested_and_keeps_them(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    layer = make_layer(holed(make_raster))
    before = stored_digests(layer, stores.sources)
    assert before
    stores.sources.delete([digests_key(layer.id, layer.revision)])
    assert stored_digests(layer, stores.sources) is None
    blocks: list[int] = []
    made = digest_layer(layer, stores.sources, blocks.append)
    assert made
    assert sum(blocks) == sum(int((each > 0).sum()) for each in before)
    stored = stored_digests(layer, stores.sources)
    assert stored
    assert all(map(np.array_equal, stored, before))


@pytest.mark.parametrize("lost", ["gone", "short", "garbled"])
def test_without_an_intact_cog_the_digests_are_unknown(
    lost: str, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    layer = make_layer(holed(make_raster))
    stores.sources.delete([digests_key(layer.id, layer.revision)])
    data = stores.sources.get(layer.source)
    stores.sources.delete([layer.source])
    if lost != "gone":
        damaged = data[:500] if lost == "short" else b"\xff" * 4096
        stores.sources.put(layer.source, damaged, content_type="image/tiff")
    assert digest_layer(layer, stores.sources) is None
    assert not stores.sources.has(digests_key(layer.id, layer.revision))


def test_a_virtual_layer_has_no_digests(make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores) -> None:
    assert digest_layer(make_layer(holed(make_raster), virtual=True), stores.sources) is None


def test_the_stored_form_is_read_back_only_for_the_same_cog(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    layer = make_layer(holed(make_raster))
    levels, bake = stored_digests(layer, stores.sources), layer.bake
    assert levels
    assert bake
    data = encode(levels, bake, layer.gdal)
    again = decode(data, bake, layer.gdal)
    assert again
    assert all(map(np.array_equal, again, levels))
    assert decode(data, bake, "another GDAL") is None
    assert decode(data, replace(bake, x=bake.x + 8), layer.gdal) is None
    for damaged in (b"", data[:-9], data[:40], b"[]\n" + data.partition(b"\n")[2], b"\n" * 50):
        assert decode(damaged, bake, layer.gdal) is None
    flipped = bytearray(data)
    flipped[data.index(b"\n") + 1] ^= 255
    assert decode(bytes(flipped), bake, layer.gdal) is None


def test_the_kind_of_pixels_the_values_and_the_mask_change_a_digest() -> None:
    digests = {block_digest(kind, *data) for kind in ("uint8x1", "int8x1") for data in ((b"ab", b""), (b"a", b"b"))}
    assert len(digests) == 4
    assert 0 not in digests
    assert block_digest("uint8x1", b"", b"") == 0
