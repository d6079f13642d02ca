"""STAC items and tile indexes as scenes."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.effort import examples
from tests.support.sources import collection, geopackage, item, paths, refusal, saved, touched
from tiler.errors import BadSource
from tiler.scenes.expand import expand
from tiler.scenes.scene import Listed
from tiler.scenes.strangers import iso

TIFF = "image/tiff; application=geotiff; profile=cloud-optimized"
GTI = "<GDALTileIndexDataset><IndexDataset>{index}</IndexDataset>{more}</GDALTileIndexDataset>"


# STAC


def test_items_give_their_assets_in_order_with_their_dates(tmp_path: Path) -> None:
    a, b = touched(tmp_path, "a.tif", "sub/b.tif")
    file = saved(
        tmp_path / "items.json",
        collection(item(date="2026-05-01T10:00:00+02:00", data="./sub/b.tif"), item(date=None, data="a.tif")),
    )
    assert expand([str(file)]) == (Listed(b, b, "2026-05-01T08:00:00Z"), Listed(a, a, ""))
    assert expand([str(saved(tmp_path / "item.geojson", item(x="a.tif", thumbnail="a.png?size=1")))])[0].path == a


@pytest.mark.parametrize(
    ("assets", "chosen"),
    [
        ({"x": {"href": "a.tif", "roles": ["data"]}, "y": {"href": "b.tif"}}, "a.tif"),
        ({"x": {"href": "a.tif", "roles": ["visual"]}, "y": {"href": "b.tif", "roles": ["overview"]}}, "a.tif"),
        (
            {
                "x": {"href": "a", "type": TIFF},
                "y": {"href": "b.laz", "roles": ["data"], "type": "application/vnd.laszip"},
            },
            "a",
        ),
        ({"x": {"href": "a.tif"}, "y": {"href": "b.xml"}, "z": {"href": "c.png", "roles": ["thumbnail"]}}, "a.tif"),
        ({"x": {"href": "a", "roles": ["data"]}, "z": {"href": "meta", "roles": ["metadata"]}}, "a"),
    ],
)
def test_the_default_asset_is_the_only_one_that_can_be_meant(
    tmp_path: Path, assets: dict[str, Any], chosen: str
) -> None:
    assert paths(saved(tmp_path / "i.json", item(**assets))) == [str(tmp_path / chosen)]


def test_several_assets_are_named_to_choose_from(tmp_path: Path) -> None:
    a, b = touched(tmp_path, "a.tif", "b.tif")
    file = saved(tmp_path / "i.json", collection(item("S2A", red="a.tif", green="b.tif")))
    assert refusal(file) == "item S2A has several rasters: choose red or green with --asset"
    assert (paths(file, asset="red"), paths(file, asset="green")) == ([a], [b])
    assert refusal(file, asset="blue") == "item S2A has no asset 'blue': choose red or green with --asset"
    many = saved(tmp_path / "many.json", item(**{f"B{number}": "a.tif" for number in range(20)}))
    assert "B11 or 8 more with --asset" in refusal(many)


def test_nothing_to_choose_from_is_told(tmp_path: Path) -> None:
    assert "has no assets: remove it" in refusal(saved(tmp_path / "a.json", item()))
    assert "no asset of a raster type: choose pc with" in refusal(saved(tmp_path / "b.json", item(pc="a.laz")))
    assert "has no href: choose another" in refusal(saved(tmp_path / "c.json", item(a={"type": TIFF})))
    mixed = collection(item(data="a.tif"), {"type": "Feature", "properties": {"location": "a.tif"}})
    assert "only some of its features" in refusal(saved(tmp_path / "d.json", mixed))
    nasty = item("two\nlines\x1b[31m", a="a.tif", b="b.tif")
    assert "two?lines?[31m" in refusal(saved(tmp_path / "e.json", nasty))


def test_a_relative_href_is_beside_the_file_or_else_the_item(tmp_path: Path) -> None:
    (near,) = touched(tmp_path, "near.tif")
    far = "https://stac.example.com/items/one.json"
    file = saved(
        tmp_path / "i.json", collection(item(self=far, data="./near.tif"), item(self=far, data="../far.tif?sig=1"))
    )
    assert "a network or special address" in refusal(file)
    assert paths(file, trusted=True) == [near, "https://stac.example.com/far.tif?sig=1"]
    assert expand([str(file)], trusted=True)[1].address == "https://stac.example.com/far.tif"


def test_one_page_of_several_is_told(tmp_path: Path) -> None:
    touched(tmp_path, "a.tif")
    links = [{"rel": "next", "href": "https://stac.example.com/?token=2"}]
    assert "one page of several" in refusal(saved(tmp_path / "a.json", collection(item(a="a.tif"), links=links)))
    last = collection(item(a="a.tif"), links=links, numberMatched=1)
    assert len(expand([str(saved(tmp_path / "b.json", last))])) == 1


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2026-05-01", "2026-05-01"),
        ("2026/05/01", "2026-05-01"),
        ("2026-05-01T10:00:00Z", "2026-05-01T10:00:00Z"),
        ("2026/05/01 10:00:00", "2026-05-01T10:00:00Z"),
        ("2026-05-01T10:00:00.123456789+02:00", "2026-05-01T08:00:00Z"),
        ("0001-01-01T00:00:00+23:00", ""),
        ("May", ""),
        ("", ""),
        (None, ""),
        (20260501, ""),
        ("2026-05-01\n", "2026-05-01"),
    ],
)
def test_dates_sort_as_text(text: object, date: str) -> None:
    assert iso(text) == date


# Indexes


def test_geojson_with_locations_is_an_index(tmp_path: Path) -> None:
    a, b = touched(tmp_path, "a.tif", "b.tif")
    features = [
        {"type": "Feature", "geometry": None, "properties": {"location": "b.tif", "date": "2026/05/01"}},
        {"type": "Feature", "geometry": None, "properties": {"location": a, "datetime": "2026-06-01T00:00:00Z"}},
    ]
    file = saved(tmp_path / "index.geojson", collection(*features))
    assert expand([str(file)]) == (Listed(b, b, "2026-05-01"), Listed(a, a, "2026-06-01T00:00:00Z"))


@pytest.mark.parametrize("name", ["index.gpkg", "index.gti.gpkg"])
def test_a_geopackage_with_locations_is_an_index(tmp_path: Path, name: str) -> None:
    a, b = touched(tmp_path, "a.tif", "b.tif")
    rows = [{"Location": "b.tif", "Date": "2026-05-01"}, {"Location": a, "Date": None}]
    file = geopackage(tmp_path / name, rows)
    assert expand([str(file)]) == expand([f"GTI:{file}"]) == (Listed(b, b, "2026-05-01"), Listed(a, a))


def test_another_geopackage_is_a_raster(tmp_path: Path) -> None:
    tiles = geopackage(tmp_path / "tiles.gpkg", [{"location": "a.tif"}], "tiles")
    plain = geopackage(tmp_path / "plain.gpkg", [{"name": "a.tif"}])
    assert paths(tiles, plain) == [str(tiles), str(plain)]
    assert "no field 'location': use a GeoPackage" in refusal(f"GTI:{plain}")
    hole = geopackage(tmp_path / "hole.gpkg", [{"location": None}])
    assert "row 1 of my index has no location" in refusal(hole)


def test_a_gti_file_names_an_index_and_its_field(tmp_path: Path) -> None:
    (file,) = touched(tmp_path, "data/a.tif")
    geopackage(tmp_path / "data" / "index.gpkg", [{"where": "a.tif"}])
    gti = tmp_path / "all.gti"
    gti.write_text(GTI.format(index="data/index.gpkg", more="<LocationField>where</LocationField>"))
    assert paths(gti) == paths(f"GTI:{gti}") == [file]
    feature = {"type": "Feature", "properties": {"where": "a.tif"}}
    saved(tmp_path / "data" / "index.geojson", collection(feature))
    gti.write_text(GTI.format(index="data/index.geojson", more="<LocationField>where</LocationField>"))
    assert paths(gti) == [file]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (GTI.format(index="no.gpkg", more=""), "its index no.gpkg is not a file"),
        (GTI.format(index="", more=""), "its index (none) is not a file"),
        (GTI.format(index="/vsicurl/https://x.org/a.gpkg", more=""), "not a file on this disk: download it"),
        (GTI.format(index="a.gpkg", more="<a>"), "not well-formed XML"),
        ("<!DOCTYPE a>" + GTI.format(index="a.gpkg", more=""), "declares entities"),
        (GTI.format(index="a.txt", more=""), "cannot be read (file is not a database): use a GeoPackage"),
    ],
)
def test_a_bad_gti_file_is_told(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "a.txt").write_bytes(b"x" * 2000)
    (tmp_path / "a.gti").write_text(text)
    assert why in refusal(tmp_path / "a.gti")


# What a list on this disk may name


@pytest.mark.parametrize("kind", ["stac", "geojson", "gpkg", "gti"])
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("https://x.org/a.tif?sig=SECRET", "https://x.org/a.tif, a network or special address"),
        ("s3://bucket/a.tif", "s3://bucket/a.tif, a network or special address"),
        ("/vsicurl/https://x.org/a.tif?sig=SECRET", "a network or special address"),
        ("/vsis3/bucket/a.tif", "a network or special address"),
        ("/vsizip//vsicurl/https://x.org/a.zip", "a network or special address"),
        ("vrt:///vsicurl/https://x.org/a.tif", "a network or special address"),
        ("<VRTDataset/>", "a VRT instead of a file name"),
    ],
)
def test_a_strangers_list_names_only_files_on_this_disk_unless_it_is_trusted(
    tmp_path: Path, kind: str, name: str, why: str
) -> None:
    feature = {"type": "Feature", "properties": {"location": name}}
    if kind == "stac":
        file = saved(tmp_path / "a.json", item(a={"href": name, "type": TIFF}))
    elif kind == "geojson":
        file = saved(tmp_path / "a.json", collection(feature))
    else:
        file = geopackage(tmp_path / "a.gpkg", [{"location": name}])
        if kind == "gti":
            (tmp_path / "a.gti").write_text(GTI.format(index="a.gpkg", more=""))
            file = tmp_path / "a.gti"
    message = refusal(file)
    assert why in message
    assert "--trust-source" in message
    assert "SECRET" not in message
    (trusted,) = expand([str(file)], trusted=True)
    assert trusted.path == name
    assert "SECRET" not in trusted.address


@pytest.mark.parametrize("name", ["a\nb.tif", "\x1b[31m.tif", " ", "a\0.tif", "\ud800.tif", "\x9b31m.tif"])
def test_control_characters_reach_no_message(tmp_path: Path, name: str) -> None:
    file = saved(tmp_path / "a.json", item(a={"href": name, "type": TIFF}))
    assert "no file name: remove it" in refusal(file)
    assert "no file name: remove it" in refusal(
        geopackage(tmp_path / "a.gpkg", [{"location": name.replace("\ud800", "a\n")}])
    )


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["href", "rel", "roles", "a"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=examples(200))
@given(st.data())
def test_any_json_is_scenes_or_refused_in_one_line(data: st.DataObject) -> None:
    """A good collection of items and of places, of which any value is replaced by any other."""
    place = {"type": "Feature", "properties": {"location": "a.tif", "date": "2026-05-01"}}
    links = [{"rel": "next", "href": "b"}]
    value: Any = data.draw(
        st.sampled_from(
            [collection(item(a={"href": "a.tif", "roles": ["data"]}), links=links), collection(place), place]
        )
    )
    value = json.loads(json.dumps(value))
    at = value
    while isinstance(at, dict | list) and at:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if data.draw(st.booleans()):
            at[key] = data.draw(VALUES)
            break
        at = at[key]
    with TemporaryDirectory() as folder:
        file = saved(Path(folder) / "a.json", value)
        message = ""
        try:
            found = expand([str(file)], asset=data.draw(st.sampled_from(["", "a"])))
        except BadSource as error:
            message = str(error)
        else:
            assert all(each.path.startswith(folder) for each in found)
        assert message.isprintable()
