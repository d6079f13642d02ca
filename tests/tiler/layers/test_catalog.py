"""Layer metadata survives a round trip, and TileJSON describes the layer."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.layer_strategies import layers
from tests.support.strategies import crossing_bounds
from tiler.errors import BadName, CatalogError, NewerMetadata, UnknownLayer, ZoomOutside
from tiler.grid import Bounds, tile_ranges
from tiler.image.style import Style
from tiler.layers.catalog import CogLayout, Layer, Options, dump, list_layers, load_layer, parse
from tiler.layers.footprint import Footprint
from tiler.layers.layer_cache import Layers
from tiler.layers.publication import publish
from tiler.layers.pyramid import Pyramid
from tiler.layers.tilejson import tilejson
from tiler.storage.store import Store, Stores, open_store

KEY = "sources/relief/index.json"
RELIEF = Layer(
    id="relief",
    revision="9f2c",
    source="sources/relief/9f2c/index.tif",
    bounds=Bounds(5.5, 45.0, 10.5, 47.5),
    minzoom=3,
    maxzoom=12,
    format="png",
    style=Style(rescale=((0.0, 4000.0),)),
    footprint=Footprint(3, 4, 2, np.ones((1, 1), bool)),
    bake=CogLayout(z=12, x=2110, y=1437, columns=57, rows=44, levels=10, opaque=True),
    bands=(1,),
    resampling="cubic",
    attribution="somebody",
)
PYRAMID = Pyramid(12, "uint8", opaque=True, finished=0, shards={(0, 4, 2): "0f" * 8, (1, 0, 0): "a1" * 8})
PARTS = replace(RELIEF, source="sources/relief/parts/", bake=PYRAMID)
NEW = {"origins", "reading", "gdal"}  # which earlier versions did not write
FIELDS = [
    *((RELIEF, field) for field in sorted(json.loads(dump(RELIEF)).keys() - NEW - {"parts"})),
    *((PARTS, field) for field in sorted(json.loads(dump(PARTS)).keys() - NEW - {"bake"})),
]


def edited(layer: Layer = RELIEF, **changes: object) -> bytes:
    return json.dumps({**json.loads(dump(layer)), **changes}).encode()


@given(layers())
def test_a_layer_survives_its_index(layer: Layer) -> None:
    assert parse(dump(layer), KEY) == layer


def test_a_nodata_that_is_not_a_number_survives_the_index_as_json() -> None:
    data = dump(replace(RELIEF, nodata=math.nan))
    json.loads(data, parse_constant=pytest.fail)
    assert math.isnan(parse(data, KEY).nodata or 0)


STYLES = {
    "map": Style(((0.0, 9.5),), colours=tuple((step, 0, 255 - step, 255) for step in range(256))),
    "stops": Style(stops=((-1.5, 1, 2, 3, 4), (9.0, 5, 6, 7, 255)), terrain="slope"),
    "shade": Style(((0.0, 255.0),), terrain="hillshade"),
    "heights": Style(terrain="terrain-rgb"),
}


@pytest.mark.parametrize("name", STYLES)
def test_every_style_survives_the_index(name: str) -> None:
    asked = Options(rescale=((0, 1), (2, 3.5), (4, 5)), format="auto", style="slope", colormap="0.0 1 2 3 255\n")
    layer = replace(RELIEF, style=STYLES[name], asked=asked)
    assert parse(dump(layer), KEY) == layer


def test_an_index_of_before_there_were_styles_is_read() -> None:
    said = json.loads(dump(RELIEF))
    for new in ("style", "colormap"):
        del said["asked"][new]
    for new in ("colours", "stops", "terrain"):
        del said["style"][new]
    for old, now in ((None, ()), ([0, 3000.5], ((0, 3000.5),))):  # one range for all bands
        said["asked"]["rescale"] = old
        assert parse(json.dumps(said).encode(), KEY) == replace(RELIEF, asked=Options(rescale=now))


def test_an_index_of_before_it_named_a_gdal_is_read() -> None:
    said = json.loads(dump(replace(RELIEF, gdal="3.12.2")))
    del said["gdal"]
    assert parse(json.dumps(said).encode(), KEY) == RELIEF


@given(layers())
def test_an_index_is_json_as_the_standard_has_it(layer: Layer) -> None:
    said = json.loads(dump(layer), parse_constant=pytest.fail)
    assert said["version"] == (4 if isinstance(layer.bake, Pyramid) else 1)


@pytest.mark.parametrize("data", [b"", b"{", b"null", b"5", b"[]", b"{}", b'"text"', b"\xff\xfe", b'{"version":1}'])
def test_junk_is_no_index(data: bytes) -> None:
    with pytest.raises(CatalogError):
        parse(data, KEY)


@pytest.mark.parametrize(("layer", "field"), FIELDS, ids=str)
def test_an_index_without_a_field_is_refused(layer: Layer, field: str) -> None:
    said = json.loads(dump(layer))
    del said[field]
    with pytest.raises(CatalogError):
        parse(json.dumps(said).encode(), KEY)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 0},
        {"version": None},
        {"version": "2"},
        {"id": "sources"},
        {"id": "no layer"},
        {"id": 7},
        {"format": "gif"},
        {"format": ["png"]},
        {"resampling": "best"},
        {"bounds": [0, 0, 1]},
        {"bounds": [0, 0, 200, 1]},
        {"bounds": ["0", "0", "1", "1"]},
        {"bounds": None},
        {"minzoom": "3"},
        {"minzoom": -1},
        {"minzoom": 13},
        {"maxzoom": None},
        {"maxzoom": 29},
        {"bands": 1},
        {"nodata": "none"},
        {"style": []},
        {"style": {"rescale": [[5, 1]], "palette": []}},
        {"style": {"rescale": [], "palette": 3}},
        {"style": {"rescale": [], "palette": [], "terrain": "contours"}},
        {"style": {"rescale": [], "palette": [], "terrain": "hillshade", "light": {"altitude": 100.0}}},
        {"style": {"rescale": [], "palette": [], "colours": [[0, 0, 0, 255]]}},
        {"asked": {}},
        {"asked": {**json.loads(dump(RELIEF))["asked"], "glow": 1}},
        {"version": 4, "parts": {}},
        {"version": 4, "parts": 3},
        {"bake": {"z": 3}},
        {"bake": 3},
        {"footprint": None},
        {"footprint": []},
        {"footprint": "everywhere"},
        {"footprint": {}},
    ],
    ids=str,
)
def test_an_index_that_describes_no_layer_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(CatalogError):
        parse(edited(**changes), KEY)


@pytest.mark.parametrize(
    "changes",
    [
        *({name: None} for name in PYRAMID.to_json() if name != "opaque"),
        {"z": -1},
        {"z": 29},
        {"dtype": "uint7"},
        {"finished": "all"},
        {"shards": ["0/4/2"]},
        {"shards": {"0/4": "0f" * 8}},
        {"shards": {"0/4/2/0": "0f" * 8}},
        {"shards": {"a/4/2": "0f" * 8}},
    ],
    ids=str,
)
def test_an_index_whose_parts_cannot_be_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(CatalogError):
        parse(edited(PARTS, parts={**PYRAMID.to_json(), **changes}), KEY)


@pytest.mark.parametrize("field", PYRAMID.to_json())
def test_an_index_without_a_field_of_its_parts_is_refused(field: str) -> None:
    parts = {name: value for name, value in PYRAMID.to_json().items() if name != field}
    with pytest.raises(CatalogError):
        parse(edited(PARTS, parts=parts), KEY)


def test_an_index_of_before_there_were_parts_is_read() -> None:
    said = json.loads(dump(RELIEF))
    del said["parts"]
    assert parse(json.dumps(said).encode(), KEY) == RELIEF


@pytest.mark.parametrize("version", [6, 7, 10**9])
def test_an_index_of_a_newer_version_is_neither_read_nor_damaged(version: int) -> None:
    for data in (edited(version=version), json.dumps({"version": version}).encode()):
        with pytest.raises(NewerMetadata, match=f"{KEY} has metadata version {version}, .* reads 5: upgrade"):
            parse(data, KEY)


@pytest.mark.parametrize("data", [b"", b"{", b"\0" * 40])
def test_a_torn_index_is_damaged_and_not_missing(data: bytes) -> None:
    sources = open_store(f"memory://{uuid4().hex}")
    layers = Layers(sources)
    assert layers.get("relief") is None
    sources.put(KEY, data, content_type="application/json")
    for read in (layers.get, partial(load_layer, sources)):
        with pytest.raises(CatalogError, match=KEY):
            read("relief")


def test_the_error_names_the_index_that_is_wrong() -> None:
    with pytest.raises(CatalogError, match=KEY):
        parse(edited(footprint={}), KEY)


def test_a_published_layer_is_found_and_listed(store: Store) -> None:
    tiles = open_store(f"memory://{uuid4().hex}")
    for name in ("relief", "ortho", "relief-2"):
        publish(replace(RELIEF, id=name), Stores(tiles, store, "http://tiles.test"))
    assert load_layer(store, "ortho") == replace(RELIEF, id="ortho")
    assert list(list_layers(store)) == ["ortho", "relief", "relief-2"]
    assert tiles.get("ortho/tile.json") == tilejson(replace(RELIEF, id="ortho"), "http://tiles.test", RELIEF.revision)


def test_the_last_one_published_is_the_current_revision(store: Store) -> None:
    for revision in ("0001", "0002"):
        publish(replace(RELIEF, revision=revision), Stores(store, store, "http://tiles.test"))
    assert load_layer(store, "relief").revision == "0002"


def test_only_an_index_makes_a_layer(store: Store) -> None:
    assert list(list_layers(store)) == []
    for key in ("sources/half/9f2c/index.tif", "relief/tile.json", "jobs/relief/index.json", "sources/a/b/index.json"):
        store.put(key, b"", content_type="application/json")
    assert list(list_layers(store)) == []


def test_an_unknown_layer_is_told_apart_by_its_neighbours(store: Store) -> None:
    for name in ("relief", "relief-2", "ortho"):
        publish(replace(RELIEF, id=name), Stores(store, store, "http://tiles.test"))
    with pytest.raises(UnknownLayer, match=r"'relieff'.*did you mean") as caught:
        load_layer(store, "relieff")
    assert set(caught.value.close) == {"relief", "relief-2"}
    with pytest.raises(UnknownLayer) as caught:
        load_layer(store, "zzz")
    assert caught.value.close == []
    assert "did you mean" not in str(caught.value)


def test_a_name_that_no_layer_can_have_is_refused_before_anything_is_read() -> None:
    with pytest.raises(BadName):
        load_layer(open_store(f"memory://{uuid4().hex}"), "../relief")


def test_a_broken_index_is_not_an_unknown_layer(store: Store) -> None:
    store.put(KEY, b"{", content_type="application/json")
    with pytest.raises(CatalogError):
        load_layer(store, "relief")


@given(layers(), st.integers(0, 28))
def test_a_layer_has_the_tiles_that_its_bounds_touch_at_its_zooms_only(layer: Layer, z: int) -> None:
    inside = layer.minzoom <= z <= layer.maxzoom
    assert layer.ranges(z) == (tile_ranges(layer.bounds, z) if inside else ())


@given(layers(), st.lists(st.integers(0, 28)))
def test_zooms_are_checked_against_the_layers(layer: Layer, zooms: list[int]) -> None:
    outside = [z for z in zooms if z < layer.minzoom or z > layer.maxzoom]
    if not outside:
        layer.check_zooms(tuple(zooms))
        return
    with pytest.raises(ZoomOutside, match=f"{layer.minzoom}-{layer.maxzoom}, not {', '.join(map(str, outside))}:"):
        layer.check_zooms(tuple(zooms))


@given(st.none() | st.text(max_size=9), st.none() | st.text(max_size=9))
def test_titles_survive_the_options_of_a_bake_job_and_are_no_part_of_a_revision(
    title: str | None, description: str | None
) -> None:
    options = Options(title=title, description=description)
    assert Options.from_json(options.to_json()) == options
    assert options.changed() == {}
    assert options.differing(Options()) == []


@pytest.mark.parametrize("classes", [[[4, "beyond"]], [[-1, "before"]], [["x", "no value"]], [3]])
def test_classes_that_a_palette_lacks_are_damage(classes: object) -> None:
    layer = replace(RELIEF, style=Style(palette=((1, 2, 3, 255),) * 4))
    with pytest.raises(CatalogError):
        parse(edited(layer, classes=classes), KEY)


def test_tilejson_tells_a_title_a_description_and_a_legend() -> None:
    style = Style(palette=((1, 2, 3, 255), (4, 5, 6, 90)))
    asked = Options(title="Land", description="Cover of 2024.")
    layer = replace(RELIEF, style=style, asked=asked, classes=((0, "Water"), (1, "")))
    said = json.loads(tilejson(layer, "https://tiles.test", "9f2c"))
    assert (said["name"], said["description"]) == ("Land", "Cover of 2024.")
    assert said["legend"] == {
        "type": "classes",
        "classes": [{"value": 0, "name": "Water", "color": "#010203"}, {"value": 1, "name": "", "color": "#0405065a"}],
        "unit": "",
    }


def test_tilejson_has_the_fields_of_version_3() -> None:
    said = json.loads(tilejson(RELIEF, "https://tiles.test/maps", "9f2c"))
    center = said.pop("center")
    assert said == {
        "tilejson": "3.0.0",
        "name": "relief",
        "scheme": "xyz",
        "tiles": ["https://tiles.test/maps/relief/{z}/{x}/{y}.png?v=9f2c"],
        "bounds": [5.5, 45.0, 10.5, 47.5],
        "minzoom": 3,
        "maxzoom": 12,
        "attribution": "somebody",
        "legend": RELIEF.legend.to_json() if RELIEF.legend else None,
    }
    assert center[:2] == [8.0, 46.25]


@given(layers())
def test_tilejson_stays_within_what_its_version_allows(layer: Layer) -> None:
    said = json.loads(tilejson(layer, "http://tiles.test", "9f2c"), parse_constant=pytest.fail)
    west, south, east, north = said["bounds"]
    longitude, latitude, zoom = said["center"]
    assert -180 <= west <= longitude <= east <= 180
    assert -90 <= south <= latitude <= north <= 90
    assert 0 <= said["minzoom"] <= zoom <= said["maxzoom"] <= 30
    assert isinstance(zoom, int)
    assert ("attribution" in said) == bool(layer.attribution)


@given(crossing_bounds())
def test_tilejson_of_a_layer_across_the_antimeridian_spans_all_longitudes(box: Bounds) -> None:
    said = json.loads(tilejson(replace(RELIEF, bounds=box), "http://tiles.test", "9f2c"))
    longitude = said["center"][0]
    assert said["bounds"] == [-180, box.south, 180, box.north]
    assert longitude >= box.west or longitude <= box.east


@given(layers())
def test_tilejson_opens_where_the_layer_is_about_two_tiles_wide(layer: Layer) -> None:
    wide = replace(layer, minzoom=0, maxzoom=28)
    zoom = json.loads(tilejson(wide, "", "9f2c"))["center"][2]
    degrees = layer.bounds.east - layer.bounds.west + 360 * layer.bounds.crosses
    assert zoom == 28 or 1.4 < degrees / 360 * 2**zoom < 2.9
