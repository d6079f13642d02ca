"""An ingest makes a layer completely or changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from mercantile import Tile

from seeder.cache.stale import History
from tests.support.baked import bytes_of_parts, keys_of_parts, remove_parts
from tests.support.layers import MakeLayer
from tests.support.oracle import drawn, files_under, landscape, psnr, tiles_of, warped
from tests.support.rasters import MakeRaster, scene
from tiler.errors import BadName, BadOption, BadSource, CatalogError, NewerMetadata, TilerError, UnknownLayer
from tiler.ingest.ingest import Ingested, ingest
from tiler.ingest.survey import revision_of
from tiler.keys import TileName, history_key, index_key, parts_prefix, revision_key, shards_prefix
from tiler.layers.catalog import facts, load_layer, publish
from tiler.raster.options import Options
from tiler.storage.store import Stores

ENOUGH = 38.0  # dB
AROUND_ZERO = (-2.5, -2.2, 3.1, 2.9)


def quiet(done: int, total: int) -> None:
    """Ignore the progress."""
    assert 0 < done <= total


def run(path: object, stores: Stores, **options: Any) -> Ingested:
    """Ingest as `layer`, in this process."""
    repair = options.pop("repair", False)
    return ingest(str(path), "layer", Options(**options), stores, jobs=1, progress=quiet, repair=repair)


def objects(stores: Stores) -> dict[str, bytes]:
    """All objects of both stores."""
    both = (stores.tiles, stores.sources)
    return {f"{store.url}/{each.key}": store.get(each.key) for store in both for each in store.list("")}


def test_metadata_of_a_newer_version_is_never_overwritten(make_raster: MakeRaster, stores: Stores) -> None:
    """Neither the layer's own, nor its history, nor that of a kept revision."""
    first, second = (make_raster(name=f"{seed}.tif", values=scene(200, 240, seed=seed)) for seed in (1, 2))
    old = run(first, stores).layer.revision
    run(second, stores)
    for key in (index_key("layer"), history_key("layer"), revision_key("layer", old)):
        sound = stores.sources.get(key)
        newer = json.dumps(json.loads(sound) | {"version": 9}).encode()
        stores.sources.put(key, newer, content_type="application/json")
        before = objects(stores)
        for repair in (False, True):
            with pytest.raises(NewerMetadata, match=f"{key} has metadata version 9, this program reads "):
                run(first, stores, repair=repair)
        assert objects(stores) == before
        stores.sources.put(key, sound, content_type="application/json")


@pytest.mark.parametrize("text", [b"", b'{"version": 1, "id"', b"[]"])
def test_damaged_metadata_is_replaced_by_a_repair_only(text: bytes, make_raster: MakeRaster, stores: Stores) -> None:
    path, key = make_raster(values=scene(200, 240)), index_key("layer")
    whole = run(path, stores).layer
    stores.tiles.put("layer/0/0/0.png", b"a tile", content_type="image/png")
    stores.sources.put(key, text, content_type="application/json")
    before = objects(stores)
    with pytest.raises(CatalogError, match=rf"{key} .*: run `seeder ingest SOURCE --layer layer --repair`"):
        run(path, stores)
    assert objects(stores) == before
    assert run(path, stores, repair=True).layer == load_layer(stores.sources, "layer") == whole
    name = TileName("layer", Tile(x=0, y=0, z=0), 1, "png")
    assert History.of(whole, stores).suspect(name, datetime.now(UTC)), "the revision of stored tiles is unknown"


def test_metadata_that_deployed_functions_cannot_read_is_never_written(make_raster: MakeRaster, stores: Stores) -> None:
    first, second = (make_raster(name=f"{seed}.tif", values=scene(200, 240, seed=seed)) for seed in (1, 2))
    old = run(first, replace(stores, readers=4)).layer
    run(second, replace(stores, readers=5))
    before, behind = objects(stores), replace(stores, readers=3)
    for write in (partial(run, first, behind), partial(publish, old, behind)):
        with pytest.raises(BadOption, match=r"of version 3, .* writes 4: run `npm run deploy`"):
            write()
    assert objects(stores) == before


@pytest.mark.parametrize("virtual", [False, True])
def test_the_same_raster_again_changes_nothing(
    virtual: bool, make_raster: MakeRaster, stores: Stores, tmp_path: Path
) -> None:
    path = make_raster(values=scene(200, 240))
    first = run(path, stores, virtual=virtual)
    assert first.fresh
    before = files_under(tmp_path)
    second = run(path, stores, virtual=virtual)
    assert not second.fresh
    assert second.layer == first.layer
    assert files_under(tmp_path) == before


def test_a_copy_of_the_raster_elsewhere_has_the_same_revision(make_raster: MakeRaster, stores: Stores) -> None:
    values = scene(200, 240)
    one = run(make_raster(values=values), stores).layer
    assert run(make_raster(values=values, name="copy.tif"), stores).layer.revision == one.revision


def test_a_changed_raster_is_a_new_revision_and_the_old_one_stays(make_raster: MakeRaster, stores: Stores) -> None:
    old = run(make_raster(values=scene(200, 240)), stores).layer
    before = bytes_of_parts(old, stores)
    path = make_raster(values=scene(200, 240, seed=8))  # at the same path
    new = run(path, stores)
    assert new.fresh
    assert new.layer.revision != old.revision
    assert bytes_of_parts(old, stores) == before
    assert load_layer(stores.sources, "layer") == new.layer
    tile = tiles_of(new.layer, new.layer.maxzoom)[0]
    values, alpha = warped(path, tile)
    assert psnr(drawn(new.layer, stores, tile)[alpha == 255, :3], values[alpha == 255]) > ENOUGH


@pytest.mark.parametrize(
    "changed",
    [
        {"resampling": "bilinear"},
        {"max_zoom": 6},
        {"nodata": 200.0},
        {"bands": (1,)},
        {"rescale": ((0.0, 99.0),)},
        {"rescale": ((0.0, 99.0), (0.0, 99.0), (0.0, 98.0))},
        {"bands": (1,), "colormap": "viridis"},
        {"bands": (1,), "style": "slope"},
        {"format": "auto"},
        {"virtual": True},
    ],
)
def test_a_changed_option_is_a_new_revision_and_the_old_one_stays(
    changed: dict[str, Any], make_raster: MakeRaster, stores: Stores
) -> None:
    path = make_raster(values=scene(200, 240))
    old = run(path, stores).layer
    before = bytes_of_parts(old, stores)
    new = run(path, stores, **changed)
    assert new.fresh
    assert new.layer.revision != old.revision
    assert bytes_of_parts(old, stores) == before


def test_each_band_can_have_a_range_of_its_own(make_raster: MakeRaster, stores: Stores) -> None:
    path = make_raster(values=scene(200, 240))
    one = run(path, stores, rescale=((10.0, 200.0),)).layer
    three = run(path, stores, rescale=((10.0, 200.0), (0.0, 255.0), (0.0, 100.0))).layer
    assert one.style.rescale == ((10, 200),) * 3
    tile = tiles_of(three, three.maxzoom)[0]
    plain = drawn(run(path, stores).layer, stores, tile)
    wanted = [(plain[..., 0] - 10.0) / 190, plain[..., 1] / 255, plain[..., 2] / 100]
    shown = plain[..., 3] > 0
    for channel, share in enumerate(wanted):
        steps = np.rint(np.clip(share, 0, 1) * 255)
        assert np.abs(drawn(three, stores, tile)[shown, channel] - steps[shown]).max() <= 1


@dataclass(frozen=True, slots=True)
class Later(Options):
    """Options of a later version, which knows one more."""

    glow: float = 0.0


def test_an_option_that_a_later_version_has_changes_no_revision_until_it_is_used(make_raster: MakeRaster) -> None:
    path = str(make_raster(values=scene(90, 90, 1)))
    for asked in ({}, {"format": "webp", "rescale": ((0.0, 9.0),)}):
        now = revision_of(path, Options(**asked))
        assert revision_of(path, Later(**asked)) == now
        assert revision_of(path, Later(**asked, glow=1.0)) != now


def test_an_option_that_is_as_if_it_were_not_given_makes_no_other_revision(
    make_raster: MakeRaster, stores: Stores
) -> None:
    path = make_raster(values=scene(90, 90, 1))
    first = run(path, stores).layer
    again = run(path, stores, min_zoom=None, rescale=(), format="png", style="", colormap="", virtual=False)
    assert (again.fresh, again.layer.revision) == (False, first.revision)


@pytest.mark.parametrize("which", [0, -1])
def test_a_layer_of_which_a_part_is_gone_is_baked_again(which: int, make_raster: MakeRaster, stores: Stores) -> None:
    path = make_raster(values=scene(200, 240))
    layer = run(path, stores).layer
    before = bytes_of_parts(layer, stores)
    assert len(before) > 1
    stores.sources.delete([keys_of_parts(layer, stores)[which]])
    again = run(path, stores)
    assert again.fresh
    assert again.layer == layer
    assert bytes_of_parts(layer, stores) == before


def test_a_layer_of_which_a_shard_of_the_manifest_is_gone_is_baked_again(
    make_raster: MakeRaster, stores: Stores
) -> None:
    path = make_raster(values=scene(200, 240))
    layer = run(path, stores).layer
    before = objects(stores)
    for entry in list(stores.sources.list(shards_prefix("layer"))):
        stores.sources.delete([entry.key])
        assert run(path, stores).fresh
        assert objects(stores).keys() == before.keys()
        assert load_layer(stores.sources, "layer") == layer


def test_the_metadata_names_the_gdal_of_the_bake_which_changes_no_revision(
    make_raster: MakeRaster, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_raster(values=scene(200, 240))
    layer = run(path, stores).layer
    assert facts(load_layer(stores.sources, "layer"))["gdal"] == layer.gdal == rasterio.__gdal_version__
    monkeypatch.setattr("tiler.ingest.drafts.versions", lambda: ("99.1.0", "9.9.0"))
    again = run(path, stores)
    assert (again.fresh, again.layer) == (False, layer)
    remove_parts(layer, stores)
    assert run(path, stores).layer == replace(layer, gdal="99.1.0")
    assert run(path, stores, virtual=True).layer.gdal == ""


def without(path: Path, *, crs: bool = False, transform: bool = False) -> Path:
    """A raster without CRS or transform."""
    bare = path.with_name("bare.tif")
    with rasterio.open(path) as source:
        profile = (
            source.profile | ({"crs": None} if crs else {}) | ({"transform": Affine.identity()} if transform else {})
        )
        with rasterio.open(bare, "w", **profile) as out:
            out.write(source.read())
    return bare


def halved(path: Path) -> Path:
    """The file's first half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def junk(path: Path) -> Path:
    """No raster at all."""
    path.write_bytes(b"II*\0 this is not a raster" * 99)
    return path


PACKED = (("tiled", True), ("blockxsize", 256), ("blockysize", 256), ("compress", "deflate"))
PALETTE = {0: (0, 0, 0, 255), 1: (255, 0, 0, 255)}
Case = tuple[Callable[[MakeRaster], object], dict[str, Any], type[TilerError] | tuple[type[TilerError], ...], str]
CASES: dict[str, Case] = {
    "cut off": (
        lambda make: halved(make(values=scene(600, 700), options=PACKED)),
        {},
        BadSource,
        "cannot",
    ),
    "no crs": (lambda make: without(make(values=scene(99, 99)), crs=True), {}, BadSource, "no CRS"),
    "no transform": (
        lambda make: without(make(values=scene(99, 99)), transform=True),
        {},
        BadSource,
        "no geotransform",
    ),
    "junk": (lambda make: junk(make(values=scene(9, 9))), {}, BadSource, "cannot ingest"),
    "missing": (lambda _: "/nowhere/at/all.tif", {}, BadSource, "/nowhere/at/all.tif"),
    "all nodata": (
        lambda make: make(values=np.zeros((1, 99, 99), np.uint8), nodata=0),
        {},
        BadSource,
        "no valid pixel",
    ),
    "all nodata, virtual": (
        lambda make: make(values=np.zeros((1, 99, 99), np.uint8), nodata=0),
        {"virtual": True},
        BadSource,
        "no valid pixel",
    ),
    "polar": (lambda make: make(values=scene(99, 99), bounds=(0.0, 86.0, 9.0, 89.0)), {}, BadSource, "85.05"),
    "no such band": (lambda make: make(values=scene(99, 99)), {"bands": (1, 2, 4)}, BadOption, "1 to 3"),
    "band 0": (lambda make: make(values=scene(99, 99)), {"bands": (0,)}, BadOption, "1 to 3"),
    "two bands": (lambda make: make(values=scene(99, 99)), {"bands": (1, 2)}, BadOption, "one band or three"),
    "cubic palette": (
        lambda make: make(values=scene(99, 99, 1) % 2, palette=PALETTE),
        {"resampling": "cubic"},
        BadOption,
        "nearest or mode",
    ),
    "stretched palette": (
        lambda make: make(values=scene(99, 99, 1) % 2, palette=PALETTE),
        {"rescale": ((0.0, 9.0),)},
        BadOption,
        "rescale",
    ),
    "two ranges": (
        lambda make: make(values=scene(99, 99)),
        {"rescale": ((0, 9), (0, 8))},
        BadOption,
        "3, one per band",
    ),
    "three ranges": (lambda make: make(values=scene(99, 99, 1)), {"rescale": ((0, 9),) * 3}, BadOption, "one range"),
    "shade of three bands": (lambda make: make(values=scene(99, 99)), {"style": "hillshade"}, BadOption, "one band"),
    "map of three bands": (lambda make: make(values=scene(99, 99)), {"colormap": "viridis"}, BadOption, "one band"),
    "shade of a palette": (
        lambda make: make(values=scene(99, 99, 1) % 2, palette=PALETTE),
        {"style": "slope"},
        BadOption,
        "its own colours",
    ),
    "map of a palette": (
        lambda make: make(values=scene(99, 99, 1) % 2, palette=PALETTE),
        {"colormap": "viridis"},
        BadOption,
        "a palette needs a file with the colours of its classes",
    ),
    "stretched heights": (
        lambda make: make(values=scene(99, 99, 1)),
        {"style": "terrarium", "rescale": ((0.0, 9.0),)},
        BadOption,
        "drop --rescale",
    ),
    "coloured heights": (
        lambda make: make(values=scene(99, 99, 1)),
        {"style": "terrain-rgb", "colormap": "viridis"},
        BadOption,
        "and --colormap",
    ),
    "blurred heights": (
        lambda make: make(values=scene(99, 99, 1)),
        {"style": "terrain-rgb", "format": "webp"},
        BadOption,
        "use --format png",
    ),
    "unknown map": (lambda make: make(values=scene(99, 99, 1)), {"colormap": "veridis"}, BadOption, "did you mean"),
    "too deep": (lambda make: make(values=scene(99, 99)), {"max_zoom": 20}, BadOption, "use zooms up to"),
    "min above max": (lambda make: make(values=scene(99, 99)), {"min_zoom": 5, "max_zoom": 4}, BadOption, "above"),
    "min too deep": (lambda make: make(values=scene(99, 99)), {"min_zoom": 20}, BadOption, "zoom"),
    "empty range": (lambda make: make(values=scene(99, 99)), {"rescale": ((9.0, 9.0),)}, BadOption, "below"),
    "odd nodata": (lambda make: make(values=scene(99, 99)), {"nodata": -1.0}, BadOption, "uint8"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("again", [False, True])
def test_what_cannot_become_a_layer_says_why_and_changes_nothing(
    case: str, again: bool, make_raster: MakeRaster, stores: Stores, tmp_path: Path
) -> None:
    make, options, error, why = CASES[case]
    if again:  # a layer that is there already stays what it is
        run(make_raster(values=scene(99, 99), name="good.tif"), stores)
    data = tmp_path / "data"
    path = make(make_raster)
    before = files_under(data)
    with pytest.raises(error, match=why):
        run(path, stores, **options)
    assert files_under(data) == before


def test_a_name_that_no_layer_may_have_is_refused_before_anything_is_written(
    make_raster: MakeRaster, stores: Stores, tmp_path: Path
) -> None:
    path = make_raster(values=scene(99, 99))
    before = files_under(tmp_path)
    with pytest.raises(BadName):
        ingest(str(path), "Sources!", Options(), stores, jobs=1, progress=quiet)
    assert files_under(tmp_path) == before


def test_two_band_rasters_show_their_first_band(make_raster: MakeRaster, make_layer: MakeLayer, stores: Stores) -> None:
    values = landscape(200, 240, bands=2)
    layer = make_layer(make_raster(values=values))
    assert layer.bands == (1,)
    tile = tiles_of(layer, layer.maxzoom)[0]
    expected, alpha = warped(make_raster(values=values[:1], name="first.tif"), tile)
    assert psnr(drawn(layer, stores, tile)[alpha == 255, :1], expected[alpha == 255]) > ENOUGH


@pytest.mark.parametrize("at", [1, 3])
def test_ctrl_c_leaves_no_layer_and_no_scratch(
    at: int, make_raster: MakeRaster, stores: Stores, tmp_path: Path
) -> None:
    path = make_raster(values=scene(300, 400), bounds=AROUND_ZERO)
    before = files_under(tmp_path)

    def stop(done: int, _total: int) -> None:
        if done == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(str(path), "layer", Options(), stores, jobs=1, progress=stop)
    left = files_under(tmp_path)
    parts = {name for name in left.keys() - before.keys() if (tmp_path / name).is_file()}
    assert {name: left[name] for name in before} == before
    assert all(parts_prefix("layer") in name for name in parts), "the parts that were done stay, and nothing else"
    assert not (tmp_path / "data" / "scratch").exists()
    with pytest.raises(UnknownLayer):
        load_layer(stores.sources, "layer")


def test_scratch_of_an_ingest_that_was_killed_is_swept_by_the_next(
    make_raster: MakeRaster, stores: Stores, tmp_path: Path
) -> None:
    left = tmp_path / "data" / "scratch" / "seeder-ingest-999999999-old"
    left.mkdir(parents=True)
    (left / "x.spool").write_bytes(b"left over")
    run(make_raster(values=scene(99, 99)), stores)
    assert not left.parent.exists()


def test_the_metadata_says_where_the_layer_lies_and_the_tilejson_how_to_show_it(
    make_raster: MakeRaster, stores: Stores
) -> None:
    path = make_raster(values=scene(300, 400))
    made = run(path, stores, min_zoom=2, max_zoom=8, format="webp", attribution="© us").layer
    index = json.loads(stores.sources.get("sources/layer/index.json"))
    assert (index["id"], index["revision"]) == ("layer", made.revision)
    assert index["source"] == "sources/layer/parts/"
    assert index["bounds"] == pytest.approx([5, 45, 9, 48])
    assert (index["minzoom"], index["maxzoom"], index["format"]) == (2, 8, "webp")
    assert (index["bake"], index["parts"]["z"]) == (None, 7)
    assert load_layer(stores.sources, "layer") == made
    public = json.loads(stores.tiles.get("layer/tile.json"))
    assert public["tilejson"] == "3.0.0"
    assert public["tiles"] == ["http://tiles.test/layer/{z}/{x}/{y}.webp?v=" + made.revision]
    assert public["bounds"] == pytest.approx([5, 45, 9, 48])
    assert (public["minzoom"], public["maxzoom"], public["attribution"]) == (2, 8, "© us")
    assert public["center"][:2] == pytest.approx([7, 46.5])
    assert 2 <= public["center"][2] <= 8


def test_the_tilejson_of_a_layer_across_the_antimeridian_has_bounds_that_do_not_cross(
    make_raster: MakeRaster, stores: Stores
) -> None:
    run(make_raster(values=scene(99, 99), bounds=(170.0, -10.0, 190.0, 10.0)), stores)
    public = json.loads(stores.tiles.get("layer/tile.json"))
    assert public["bounds"] == pytest.approx([-180, -10, 180, 10])
    assert abs(public["center"][0]) == pytest.approx(180)
