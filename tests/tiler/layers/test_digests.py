"""Digests of a COG's blocks: those of the bake, those of the stored bytes, and their stored form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.layers import MakeLayer
from tests.support.oracle import tiles_of
from tests.support.parts import as_one_cog, facts_of, parts_of, pyramid_of
from tests.support.rasters import MakeRaster, scene
from tiler.keys import digests_key
from tiler.layers.catalog import Layer
from tiler.layers.cog_digests import cog_digests, digest_layer
from tiler.layers.cog_layout import CogLayout
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
def test_the_digests_of_a_part_are_those_of_its_stored_blocks(
    options: dict[str, Any], hole: bool, make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    layer = make_layer(holed(make_raster, hole=hole), **options)
    parts = parts_of(layer, stores)
    assert {place.tier for place in parts} == {0, 1, 2, 3}
    for part in parts.values():
        baked, read = facts_of(layer, stores, part).digests, cog_digests(as_one_cog(layer, part), stores.sources)
        assert read
        assert [each.shape for each in baked] == [each.shape for each in read] == shapes(part.layout)
        assert all(map(np.array_equal, baked, read))
        assert part.layout.z < layer.maxzoom or len(np.unique(baked[0])) > 4


@pytest.mark.parametrize("options", FINISHED, ids=["lossless", "jpg", "webp"])
def test_a_block_has_a_digest_where_its_tile_has_data(
    options: dict[str, Any], make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    layer = make_layer(holed(make_raster), **options)
    for z in range(layer.maxzoom + 1):
        digests = digests_at(layer, stores, z)
        for tile in tiles_of(layer, z):
            data = render_tile(layer, stores.sources, tile, TileVariant(1, layer.format))
            assert (data is not None) == (digests.get((tile.x, tile.y), 0) > 0), tile
        assert {(tile.x, tile.y) for tile in tiles_of(layer, z)} >= {
            place for place, digest in digests.items() if digest
        }


def digests_at(layer: Layer, stores: Stores, z: int) -> dict[tuple[int, int], int]:
    """The digests of a zoom by column and row of their tiles."""
    tier, level = pyramid_of(layer).tier_of(z)
    return {
        ((part.layout.x >> level) + column, (part.layout.y >> level) + row): int(digest)
        for part in parts_of(layer, stores, tier).values()
        for (row, column), digest in np.ndenumerate(facts_of(layer, stores, part).digests[level])
    }


def test_an_opaque_block_has_the_same_digest_with_a_mask_and_without(
    make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores
) -> None:
    """A mask that is all opaque is stored if other blocks of the COG are transparent."""
    one = make_layer(holed(make_raster), "one")
    other = make_layer(holed(make_raster, hole=False, name="whole.tif"), "other")
    digests, others = (digests_at(layer, stores, one.maxzoom) for layer in (one, other))
    differ = [place for place in digests.keys() | others.keys() if digests.get(place) != others.get(place)]
    assert 0 < len(differ) < sum(digest > 0 for digest in digests.values()) / 2


@pytest.fixture
def earlier(make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores) -> Layer:
    """A layer with one COG and without digests, as earlier versions baked it."""
    layer = make_layer(holed(make_raster))
    return as_one_cog(layer, next(iter(parts_of(layer, stores, 0).values())))


def test_a_layer_without_digests_is_digested_and_keeps_them(earlier: Layer, stores: Stores) -> None:
    assert stored_digests(earlier, stores.sources) is None
    blocks: list[int] = []
    made = digest_layer(earlier, stores.sources, blocks.append)
    assert made
    assert sum(blocks) == sum(int((each > 0).sum()) for each in made) > 4
    stored = stored_digests(earlier, stores.sources)
    assert stored
    assert all(map(np.array_equal, stored, made))


@pytest.mark.parametrize("lost", ["gone", "short", "garbled"])
def test_without_an_intact_cog_the_digests_are_unknown(lost: str, earlier: Layer, stores: Stores) -> None:
    data = stores.sources.get(earlier.source)
    stores.sources.delete([earlier.source])
    if lost != "gone":
        damaged = data[:500] if lost == "short" else b"\xff" * 4096
        stores.sources.put(earlier.source, damaged, content_type="image/tiff")
    assert digest_layer(earlier, stores.sources) is None
    assert not stores.sources.has(digests_key(earlier.id, earlier.revision))


def test_a_layer_of_parts_has_none_beside_them(make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores) -> None:
    layer = make_layer(holed(make_raster))
    assert digest_layer(layer, stores.sources) is None
    assert not stores.sources.has(digests_key(layer.id, layer.revision))


def test_a_virtual_layer_has_no_digests(make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores) -> None:
    assert digest_layer(make_layer(holed(make_raster), virtual=True), stores.sources) is None


def test_the_stored_form_is_read_back_only_for_the_same_cog(earlier: Layer, stores: Stores) -> None:
    layer, bake, levels = earlier, earlier.bake, cog_digests(earlier, stores.sources)
    assert levels
    assert isinstance(bake, CogLayout)
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
