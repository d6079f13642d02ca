"""Format `auto` is lossy if that saves enough, and never for palettes, colormaps and terrain."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import seeder as api
from seeder.api.tiles import tile_bytes
from seeder.cli import main as cli
from seeder.operations.ingest import options_to_ingest
from tests.support.clock import nothing_in_flight
from tests.support.layers import MakeLayer, silent
from tests.support.oracle import alone, drawn, tiles_of
from tests.support.rasters import MakeRaster, Recipe, scene
from tiler.grid import EXTENT
from tiler.image.style import Values
from tiler.ingest.choose_format import SAMPLE, _tiles_of_footprint, _tiles_of_parts
from tiler.ingest.ingest import Ingested, ingest
from tiler.keys import index_key
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.pyramid import Pyramid
from tiler.layers.render import TileVariant
from tiler.raster.options import Options
from tiler.scenes.headers import read_scenes
from tiler.scenes.scene import Listed
from tiler.scenes.scene_list import SceneList
from tiler.settings import Settings
from tiler.storage.store import Stores

GLOBE = (-180.0, -85.06, 180.0, 85.06)  # whose tiles are full at every zoom
PART = (5.0, 45.0, 9.0, 48.0)


def photo(bands: int = 3) -> Values:
    """Grain, as of a camera."""
    return scene(256, 384, bands)


def flat(bands: int = 3) -> Values:
    """Few colours in large patches, as of a drawn map."""
    rows, columns = np.mgrid[0:256, 0:384]
    return np.repeat((1 + rows // 64 * 40 + columns // 96 * 9)[np.newaxis], bands, axis=0).astype(np.uint8)


def holed(values: Values) -> Values:
    """The same with a patch of zeros."""
    values[:, 90:99, 50:70] = 0
    return values


def take(path: Path, stores: Stores, **options: Any) -> Ingested:
    """Ingest as `auto`, the format left open."""
    asked = Options(**{"format": "auto", **options})
    return ingest(str(path), "auto", asked, stores, jobs=1, progress=silent)


CASES: dict[str, tuple[Recipe, dict[str, Any], str]] = {
    "photo of the globe": (Recipe(photo(), GLOBE), {}, "jpg"),
    "photo of a part": (Recipe(photo(), PART), {}, "webp"),
    "photo of the globe, with a hole": (Recipe(holed(photo()), GLOBE, nodata=0), {}, "webp"),
    "photo of the globe, from zoom 1": (Recipe(photo(), GLOBE), {"min_zoom": 1}, "jpg"),
    "photo of the globe, virtual": (Recipe(photo(), GLOBE), {"virtual": True}, "webp"),
    "grey photo": (Recipe(photo(1), PART), {}, "webp"),
    "16 bits": (Recipe(photo(1).astype(np.uint16) * 90, PART), {}, "webp"),
    "heights in greys": (Recipe(photo(1).astype(np.float32) * 9, PART), {}, "png"),
    "depths in greys": (Recipe(photo(1).astype(np.int16) * -9, PART), {}, "png"),
    "real numbers in three bands": (Recipe(photo().astype(np.float32), PART), {"rescale": ((0, 255),)}, "webp"),
    "drawn map": (Recipe(flat(), PART), {"resampling": "nearest"}, "png"),
    "palette": (Recipe(photo(1) % 5, PART, palette={n: (n * 40, 0, 99, 255) for n in range(5)}), {}, "png"),
    "named map": (Recipe(photo(1), PART), {"colormap": "viridis"}, "png"),
    "file of colours": (Recipe(photo(1), PART), {"colormap": "0 0 0 0 255\n255 255 0 0 255\n"}, "png"),
    "shade": (Recipe(photo(1), PART), {"style": "hillshade"}, "png"),
    "heights": (Recipe(photo(1), PART), {"style": "terrarium"}, "png"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_format_fits_what_the_tiles_show(name: str, make_raster: MakeRaster, stores: Stores) -> None:
    recipe, options, wanted = CASES[name]
    done = take(make_raster(recipe), stores, **options)
    assert done.layer.format == wanted, done.why
    assert load_layer(stores.sources, "auto") == done.layer
    assert done.layer.asked.format == "auto"
    assert f".{wanted}?v=" in stores.tiles.get("auto/tile.json").decode()


def weights(layer: Layer, stores: Stores) -> dict[str, int]:
    """The bytes of all tiles of the deepest zoom, by format."""
    tiles = tiles_of(layer, layer.maxzoom)
    forms = ("png", "jpg", "webp")
    return {
        form: sum(len(alone(layer, stores, tile, TileVariant(format=form)) or b"") for tile in tiles) for form in forms
    }


@pytest.mark.parametrize(
    "values",
    [photo(), flat(), photo(1), photo(1) // 60 * 60 + 1, flat(1)],
    ids=["photo", "flat", "grey photo", "coarse photo", "grey flat"],
)
@pytest.mark.parametrize("bounds", [GLOBE, PART], ids=["globe", "part"])
def test_png_is_kept_where_lossy_tiles_take_more_than_half_of_it(
    values: Values, bounds: tuple[float, float, float, float], make_raster: MakeRaster, stores: Stores
) -> None:
    layer = take(make_raster(values=values, bounds=bounds), stores).layer
    found = weights(layer, stores)
    lossy = found["jpg" if bounds == GLOBE else "webp"]
    assert (layer.format != "png") == (lossy <= found["png"] / 2)


def test_jpg_is_only_taken_where_no_tile_of_any_zoom_shows_through(make_raster: MakeRaster, stores: Stores) -> None:
    side = 2 * EXTENT / 2**5
    bounds = (8 * side - EXTENT, 8 * side - EXTENT, 16 * side - EXTENT, 16 * side - EXTENT)  # 8 x 8 tiles of zoom 5
    path = make_raster(values=scene(2048, 2048, 1), crs="EPSG:3857", bounds=bounds)
    for zoom, form in ((1, "webp"), (2, "jpg")):
        asked = Options(format="auto", min_zoom=zoom)
        layer = ingest(str(path), form, asked, stores, jobs=1, progress=silent).layer
        (tile,) = tiles_of(layer, zoom)
        assert (layer.format, drawn(layer, stores, tile)[..., 3].min()) == (form, 0 if form == "webp" else 255)


def test_a_later_revision_keeps_the_format_of_which_tiles_are_stored(make_raster: MakeRaster, stores: Stores) -> None:
    first = take(make_raster(values=photo()), stores)
    later = take(make_raster(values=flat(), name="later.tif"), stores)
    assert (later.layer.format, later.why) == (first.layer.format, "the layer already uses it")
    assert take(make_raster(values=flat(), name="other.tif"), stores, format="jpg").layer.format == "jpg"
    assert (
        take(make_raster(values=flat(), name="last.tif"), stores, max_zoom=5, resampling="nearest").layer.format
        == "png"
    )


def test_heights_are_png_whatever_the_layer_had(make_raster: MakeRaster, stores: Stores) -> None:
    path = make_raster(values=photo(1))
    assert take(path, stores).layer.format == "webp"
    assert take(path, stores, style="terrarium").layer.format == "png"


@pytest.mark.parametrize("options", [{"style": "hillshade"}, {"colormap": "viridis"}, {"style": "contours"}])
def test_exact_colours_are_png_whatever_the_layer_had(
    options: dict[str, Any], make_raster: MakeRaster, stores: Stores
) -> None:
    path = make_raster(values=photo(1))
    assert take(path, stores).layer.format == "webp"
    taken = take(path, stores, **options)
    assert (taken.layer.format, taken.why.endswith("needs exact colours")) == ("png", True)


def test_a_format_that_was_named_is_not_looked_into(
    make_raster: MakeRaster, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiler.ingest.drafts.choose", pytest.fail)
    done = take(make_raster(values=photo()), stores, format="webp")
    assert (done.layer.format, done.why) == ("webp", "")


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_ingest_says_what_was_chosen_and_why(words: tuple[str, ...], make_raster: MakeRaster, tmp_path: Path) -> None:
    path = make_raster(values=photo())
    asked = [
        "ingest",
        str(path),
        "--layer",
        "photo",
        "--format",
        "auto",
        "--data",
        str(tmp_path / "data"),
        "--jobs",
        "1",
        *words,
    ]
    said = CliRunner().invoke(cli.main, asked)
    assert said.exit_code == 0, said.output
    if words:
        told = json.loads(said.stdout)
        assert told["format"] == "webp"
        assert told["tile_bytes"].keys() == {"png", "webp"}
        assert 2 * told["tile_bytes"]["webp"] <= told["tile_bytes"]["png"]
    else:
        (line,) = [line for line in said.stdout.splitlines() if line.startswith("format ")]
        assert re.fullmatch(r"format webp, chosen by --format auto: about [\d.]+ KB a tile, png [\d.]+ KB", line)


def test_a_refresh_keeps_style_colours_ranges_and_format(
    make_raster: MakeRaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_in_flight(monkeypatch)
    data = str(tmp_path / "data")
    sources = Stores.open(Settings.from_env({}, data=data), create=True).sources

    def run(*words: str) -> Layer:
        done = CliRunner().invoke(cli.main, [*words, "--data", data, "--jobs", "1"])
        assert done.exit_code == 0, done.output
        return load_layer(sources, "dem")

    colours = tmp_path / "relief.txt"
    colours.write_text("0% red\n100% blue\n")
    first = make_raster(values=photo(1).astype(np.float32), name="first.tif")
    later = make_raster(values=scene(256, 384, 1, seed=9).astype(np.float32), name="later.tif")
    said = ("--style", "slope", "--colormap", str(colours), "--rescale", "0,45", "--format", "auto")
    before = run("ingest", str(first), "--layer", "dem", *said)
    colours.unlink()
    after = run("refresh", "dem", str(later), "--yes")
    assert after.revision != before.revision
    assert (after.style, after.format, after.asked) == (before.style, "png", before.asked)
    assert after.style.terrain == "slope"
    assert [stop[0] for stop in after.style.stops] == [0, 45]
    other = run("refresh", "dem", str(later), "--rescale", "0,30", "--format", "webp", "--yes")
    assert [stop[0] for stop in other.style.stops] == [0, 30]
    assert other.format == "webp"


def test_nothing_else_of_a_layer_depends_on_its_format(make_raster: MakeRaster, make_layer: MakeLayer) -> None:
    path = make_raster(values=photo())
    named, left = make_layer(path, "named", format="webp"), make_layer(path, "left", format="auto")
    same = replace(left, id="named", asked=named.asked, revision=named.revision, source=named.source)
    assert same == named


def test_scenes_far_apart_are_sampled_where_they_have_data(make_raster: MakeRaster, stores: Stores) -> None:
    """A cell of the footprint is then so large that its middle is empty."""
    paths = []
    for number, (west, south) in enumerate(((5.001, 45.001), (9.003, 41.002))):
        box = (west, south, west + 0.004, south + 0.003)
        paths.append(make_raster(values=scene(300, 400, seed=number), bounds=box, name=f"{number}.tif"))
    asked = Options(format="auto")
    listed = SceneList(read_scenes([Listed(str(path), str(path)) for path in paths], asked, jobs=1, progress=silent))
    done = ingest(listed, "auto", asked, stores, jobs=1, progress=silent)
    middles = [tile_bytes(done.layer, stores, tile, TileVariant()) for tile in _tiles_of_footprint(done.layer, SAMPLE)]
    assert not any(middles)
    assert done.layer.format == "webp"
    assert isinstance(done.layer.bake, Pyramid)
    tiles = _tiles_of_parts("auto", done.layer.bake, stores.sources, SAMPLE)
    assert len(tiles) == SAMPLE
    assert all(tile_bytes(done.layer, stores, tile, TileVariant()) for tile in tiles)
    assert len({tile.x >> 6 for tile in tiles}) > 1, "both scenes are sampled"
    assert done.tile_bytes["webp"] * 2 <= done.tile_bytes["png"]


def asked_by(change: dict[str, Any], name: str, stores: Stores) -> str:
    return options_to_ingest(change, name, stores.sources).format


def test_a_new_layer_is_auto_and_an_existing_one_keeps_its_format(make_raster: MakeRaster, stores: Stores) -> None:
    assert (asked_by({}, "auto", stores), asked_by({"format": "png"}, "auto", stores)) == ("auto", "png")
    take(make_raster(values=photo()), stores)
    assert asked_by({}, "auto", stores) == "auto"
    take(make_raster(values=photo()), stores, format="webp-lossless")
    assert asked_by({}, "auto", stores) == "webp-lossless"
    assert asked_by({"format": "jpg"}, "auto", stores) == "jpg"
    take(make_raster(values=photo()), stores, format="png")  # as layers of earlier versions are
    assert asked_by({}, "auto", stores) == "png"
    stores.sources.put(index_key("auto"), b"{", content_type="application/json")
    assert asked_by({}, "auto", stores) == "auto"


def test_the_same_ingest_twice_changes_nothing_whatever_the_format(make_raster: MakeRaster, tmp_path: Path) -> None:
    path, data = make_raster(values=photo()), str(tmp_path / "data")
    for format_words in ((), ("--format", "png"), ("--format", "webp")):
        layer = "-".join(("photo", *format_words[1:]))
        words = ["ingest", str(path), "--layer", layer, "--data", data, "--jobs", "1", "--json"]
        first = json.loads(CliRunner().invoke(cli.main, [*words, *format_words]).stdout)
        again = json.loads(CliRunner().invoke(cli.main, words).stdout)
        assert (first["fresh"], again["fresh"]) == (True, False)
        assert (again["revision"], again["format"]) == (first["revision"], first["format"])
        assert first["format"] == (format_words[1] if format_words else "webp")


def test_python_has_the_same_default(make_raster: MakeRaster, tmp_path: Path) -> None:
    path = make_raster(values=photo())
    workspace = api.open(tmp_path / "data")
    assert workspace.ingest(path, "one", jobs=1).format == "webp"
    assert workspace.ingest(path, "two", format="png", jobs=1).format == "png"
    assert workspace.ingest(path, "two", jobs=1).format == "png"
    assert workspace.ingest(path, "heights", style="terrarium", bands=1, jobs=1).format == "png"
