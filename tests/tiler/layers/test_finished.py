"""Finished tiles: the blocks of a COG are the layer's tiles, byte for byte, and any reader of COGs opens it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mercantile import Tile
from rio_cogeo.cogeo import cog_validate

from seeder.cache.audit import Audit, sampled
from seeder.cache.deep import deep_findings
from seeder.select.selection import Selection
from tests.support.layers import MakeLayer, layer_of, local_stores
from tests.support.oracle import EXACT, alone, decoded, drawn, psnr, tiles_of
from tests.support.parts import cog_bytes, facts_of, file_with, parts_of, pixels_at, pyramid_of
from tests.support.rasters import MakeRaster, Recipe, scene, write_raster
from tests.support.site import answered, event
from tiler import keys
from tiler.errors import BadOption, NewerMetadata, SourceReadError
from tiler.grid import Block
from tiler.http import Service
from tiler.ingest.ingest import ingest
from tiler.layers.catalog import Layer, dump, list_layers, load_layer, parse
from tiler.layers.fill import Request, fill
from tiler.layers.layer_cache import Layers
from tiler.layers.render import TileVariant, is_copied
from tiler.layers.version import check_version
from tiler.raster.options import Choice, Options
from tiler.settings import Settings
from tiler.storage.store import Stores, open_store

LIKE = 30.0  # dB that a picture from lossy pixels must reach
NORTH = (350000.0, 5000000.0, 550000.0, 5180000.0)


def holed(height: int, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A mask with a hole, a soft edge, and a transparent corner."""
    mask = np.full((height, width), 255, np.uint8)
    mask[60:90, 70:120], mask[100:108], mask[: height // 2, : width // 2] = 0, 140, 0
    return mask


SOURCES = {
    "rotated, masked": Recipe(scene(400, 440), NORTH, "EPSG:32632", mask=holed(400, 440)),
    "rotated, masked, grey": Recipe(scene(180, 200, 1), NORTH, "EPSG:32632", mask=holed(180, 200)),
    "the world": Recipe(scene(800, 1600), (-180.0, -89.0, 180.0, 89.0)),
    "across the antimeridian": Recipe(scene(300, 400, 1), (150.0, -20.0, 230.0, 40.0), mask=holed(300, 400)),
}
CASES: list[tuple[str, Choice]] = [
    ("rotated, masked", "webp"),
    ("rotated, masked", "jpg"),
    ("rotated, masked, grey", "webp-lossless"),
    ("rotated, masked, grey", "jpg"),
    ("the world", "webp"),
    ("across the antimeridian", "webp"),
]


@pytest.fixture(scope="module", params=CASES, ids=" as ".join)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Stores, Layer, Layer]:
    """A store with a raster as two layers: baked lossless, and finished."""
    source, form = request.param
    folder = tmp_path_factory.mktemp("finished")
    path, stores = write_raster(folder / "source.tif", SOURCES[source]), local_stores(folder / "data")
    plain, finished = (layer_of(path, bake, stores, bake=bake, format=form) for bake in ("lossless", "finished"))
    return stores, plain, finished


def own(layer: Layer) -> TileVariant:
    """The layer's own variant at scale 1."""
    return TileVariant(1, layer.format)


def copied_tiles(layer: Layer) -> list[Tile]:
    """The planned tiles that are copied."""
    zooms = [z for z in range(layer.maxzoom + 1) if is_copied(layer, z, own(layer))]
    return [tile for z in zooms for tile in tiles_of(layer, z)]


def test_tiles_are_those_of_the_lossless_bake_byte_for_byte(pair: tuple[Stores, Layer, Layer]) -> None:
    stores, plain, finished = pair
    for z in range(plain.maxzoom + 1):
        for tile in tiles_of(plain, z):
            same = alone(plain, stores, tile, own(plain)) == alone(finished, stores, tile, own(finished))
            assert same, tile
    assert len(copied_tiles(finished)) >= 4
    assert copied_tiles(plain) == []


def test_gdal_reads_the_pixels_of_the_tiles(pair: tuple[Stores, Layer, Layer], tmp_path: Path) -> None:
    stores, _, layer = pair
    pyramid = pyramid_of(layer)
    for name, data in cog_bytes(layer, stores).items():
        (tmp_path / f"{name}.tif").write_bytes(data)
        assert cog_validate(str(tmp_path / f"{name}.tif"), quiet=True)[0]
    assert pyramid.finished == 3
    for z in range(layer.maxzoom + 1):
        stored = pixels_at(layer, stores, z)
        for tile in tiles_of(layer, z):
            values, mask = stored.tile(tile)
            picture = decoded(alone(layer, stores, tile, own(layer)))
            shown = mask > 0
            colours = np.broadcast_to(np.moveaxis(values[:3], 0, -1), (256, 256, 3))
            if layer.format == "webp":
                assert (picture[..., 3] == mask).all()
                assert (picture[shown, :3] == colours[shown]).all()
            elif shown.any():  # readers of TIFF enlarge the chroma of a JPEG in another manner
                assert psnr(picture[shown, :3], colours[shown]) > (LIKE if len(values) == 3 else EXACT - 1)


def test_what_is_told_opaque_has_no_transparent_pixel(pair: tuple[Stores, Layer, Layer]) -> None:
    stores, plain, finished = pair
    for layer in (plain, finished):
        for place, part in parts_of(layer, stores).items():
            facts, zoom = facts_of(layer, stores, part), pyramid_of(layer).zoom_of(place.tier)
            for level, opaque in enumerate(facts.opaque):
                mask = pixels_at(layer, stores, zoom - level, tier=place.tier).mask
                blocks = mask.reshape(mask.shape[0] // 256, 256, -1, 256).transpose(0, 2, 1, 3)
                clear = any((block < 255).any() for block in blocks.reshape(-1, 256, 256) if block.any())
                assert not (opaque and clear), (place, level)
                assert layer.format == "webp" or opaque != clear or len(parts_of(layer, stores, place.tier)) > 1
                assert not (pyramid_of(layer).opaque and clear)


def test_other_variants_have_the_same_opacity_and_like_colours(pair: tuple[Stores, Layer, Layer]) -> None:
    stores, plain, finished = pair
    base = pyramid_of(finished).z
    for variant, z in ((TileVariant(), base), (TileVariant(2, "png"), base - 1)):
        pictures = [
            [drawn(layer, stores, tile, variant) for tile in tiles_of(plain, z)[:6]] for layer in (plain, finished)
        ]
        one, other = map(np.concatenate, pictures)
        assert (one[..., 3] == other[..., 3]).all()
        opaque = one[..., 3] == 255  # JPEG has laid half transparent pixels on white
        assert psnr(one[opaque][:, :3], other[opaque][:, :3]) > (EXACT - 1 if finished.lossless_webp else LIKE - 5)


@pytest.fixture(scope="module")
def baked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a layer of finished WebP tiles."""
    folder = tmp_path_factory.mktemp("baked")
    path = write_raster(folder / "source.tif", SOURCES["rotated, masked"])
    layer_of(path, "layer", local_stores(folder / "data"), bake="finished", format="webp")
    return folder / "data"


@pytest.fixture
def finished(baked: Path, tmp_path: Path) -> Layer:
    """The same layer in the stores of this test."""
    shutil.copytree(baked, tmp_path / "data", dirs_exist_ok=True)
    return load_layer(local_stores(tmp_path / "data").sources, "layer")


def test_seeding_and_the_redirect_decode_and_encode_nothing(
    finished: Layer, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = [tile for tile in copied_tiles(finished) if alone(finished, stores, tile, own(finished))]

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("decoded or encoded")

    for name in ("part_pixels.read", "part_pixels.enlarged", "render.encode"):
        monkeypatch.setattr(f"tiler.layers.{name}", forbidden)
    block = Block.of(full[0])
    outcome = fill(finished, stores, Request(block, block.full, own(finished)))
    assert outcome.written
    assert not outcome.failed
    service = Service(stores, Layers(stores.sources), "http://direct.test")
    for tile in full:
        key = keys.tile_key(keys.TileName(finished.id, tile, 1, "webp"))
        assert answered(service.answer(event(f"/{key}"))).status == 302
        assert stores.tiles.get(key) == alone(finished, stores, tile, own(finished))
    with pytest.raises(AssertionError, match="decoded"):
        alone(finished, stores, full[0], TileVariant(2, "webp"))


def test_tiles_are_copied_from_a_store_that_is_no_folder(finished: Layer, stores: Stores) -> None:
    remote = open_store("memory://finished")
    for entry in stores.sources.list(keys.SOURCES):
        remote.put(entry.key, stores.sources.get(entry.key), content_type="")
    elsewhere = Stores(remote, remote, "")
    for tile in copied_tiles(finished)[::5]:
        assert alone(finished, elsewhere, tile, own(finished)) == alone(finished, stores, tile, own(finished))


def some_tile(layer: Layer, stores: Stores) -> tuple[Tile, bytes]:
    """A copied tile with data, and its bytes."""
    for tile in copied_tiles(layer):
        if data := alone(layer, stores, tile, own(layer)):
            return tile, data
    raise AssertionError("no tile")


@pytest.mark.parametrize("damage", ["cut off", "another file's end", "not WebP"])
def test_a_block_that_is_no_complete_file_is_no_tile(damage: str, finished: Layer, stores: Stores) -> None:
    tile, data = some_tile(finished, stores)
    path = file_with(finished, stores, tile)
    whole = path.read_bytes()
    at = whole.index(data)
    changed = {
        "cut off": whole[: at + len(data) // 2],
        "another file's end": whole[: at + 4] + b"\0\0\0\1" + whole[at + 8 :],
        "not WebP": whole[:at] + b"JUNK" + whole[at + 4 :],
    }
    path.write_bytes(changed[damage])
    block_message = f"tile {tile.z}/{tile.x}/{tile.y} is not a complete webp"
    with pytest.raises(SourceReadError, match="truncated" if damage == "cut off" else block_message):
        alone(finished, stores, tile, own(finished))
    block = Block.of(tile)
    assert fill(finished, stores, Request(block, block.bit(tile), own(finished))).failed == block.bit(tile)
    assert not any(stores.tiles.list(f"{finished.id}/{tile.z}/"))


def test_a_deep_check_decodes_copied_tiles(finished: Layer, stores: Stores) -> None:
    tile, data = some_tile(finished, stores)
    path = file_with(finished, stores, tile)
    frame = data.index(b"VP8 ") + 8
    broken = data[:frame] + bytes(len(data) - frame)  # complete by its header
    path.write_bytes(path.read_bytes().replace(data, broken))
    block = Block.of(tile)
    assert fill(finished, stores, Request(block, block.full, own(finished))).failed == 0
    audit = Audit.of(finished, Selection((tile.z,)), own(finished), stores)
    where = Settings(stores.tiles.url, stores.sources.url)
    found = list(deep_findings(audit, sampled(audit, None), where, jobs=1, progress=lambda _: None))
    key = keys.tile_key(keys.TileName(finished.id, tile, 1, "webp"))
    assert [(each.key, each.problem) for each in found] == [(key, "damaged")]


SMALL = Recipe(scene(64, 64))
REFUSED: dict[str, tuple[Recipe, dict[str, Any], str]] = {
    "png": (SMALL, {}, "--bake finished cannot store png tiles in a COG: use --format webp"),
    "auto": (SMALL, {"format": "auto"}, "needs an explicit format, not auto: use --format webp"),
    "virtual": (SMALL, {"format": "webp", "virtual": True}, "drop --virtual"),
    "heights": (
        Recipe(scene(64, 64, 1)),
        {"format": "webp", "style": "hillshade"},
        "has --style hillshade: use --bake",
    ),
    "colormap": (Recipe(scene(64, 64, 1)), {"format": "webp", "colormap": "viridis"}, "has a colormap: use --bake"),
    "palette": (
        Recipe(scene(64, 64, 1) % 3, palette={0: (0, 0, 0, 255), 1: (9, 9, 9, 255), 2: (99, 9, 9, 255)}),
        {},
        "the raster has a palette: use --bake lossless",
    ),
    "16 bits": (Recipe(scene(64, 64).astype(np.uint16) * 9), {}, "values are stretched to 8 bits: use --bake lossless"),
    "range": (SMALL, {"format": "jpg", "rescale": ((0.0, 99.0),)}, "stretched to 8 bits"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_layer_whose_cog_cannot_hold_tiles_is_refused(why: str, make_raster: MakeRaster, stores: Stores) -> None:
    recipe, options, message = REFUSED[why]
    path = make_raster(recipe)
    with pytest.raises(BadOption, match=message) as error:
        layer_of(path, "layer", stores, bake="finished", **options)
    assert "\n" not in str(error.value)
    assert list(list_layers(stores.sources)) == []


def test_only_versions_that_know_parts_read_a_layer_with_finished_tiles(finished: Layer) -> None:
    index = dump(finished)
    assert parse(index, "key") == finished
    fields = json.loads(index)
    assert fields["parts"]["finished"] == 3
    for known in range(1, fields["version"]):
        with pytest.raises(NewerMetadata, match="upgrade tile-seeder"):
            check_version("key", fields["version"], known)


def test_a_lossless_bake_has_no_finished_levels(make_raster: MakeRaster, make_layer: MakeLayer) -> None:
    fields = json.loads(dump(make_layer(make_raster(SMALL), format="webp")))
    assert "bake" not in fields["asked"]
    assert fields["parts"]["finished"] == 0


def test_options_keep_the_bake_and_the_format() -> None:
    options = Options(bake="finished", format="webp-lossless")
    assert Options.from_json(json.loads(json.dumps(options.to_json()))) == options
    assert Options.from_json(json.loads(json.dumps(Options().to_json()))) == Options()


def test_an_overview_is_made_from_lossless_pixels(pair: tuple[Stores, Layer, Layer]) -> None:
    stores, plain, layer = pair
    base, tiers = pyramid_of(layer).z, pyramid_of(layer).tiers
    assert tiers > 1
    for tier in range(tiers - 1):  # the last level of each, from which the next tier is baked
        pictures = [pixels_at(each, stores, base - 3 * (tier + 1), tier=tier) for each in (plain, layer)]
        assert pictures[0].mask.any()
        assert (pictures[0].mask == pictures[1].mask).all()
        values, others = (each.values * (each.mask > 0) for each in pictures)
        assert (values == others).all()


def test_the_bytes_do_not_depend_on_the_number_of_workers(make_raster: MakeRaster, tmp_path: Path) -> None:
    path = make_raster(SOURCES["rotated, masked, grey"])
    cogs = []
    for jobs in (1, 2):
        stores = local_stores(tmp_path / str(jobs))
        options = Options(bake="finished", format="webp")
        layer = ingest(str(path), "layer", options, stores, jobs=jobs, progress=lambda _done, _total: None).layer
        cogs.append(cog_bytes(layer, stores))
    assert cogs[0] == cogs[1]
