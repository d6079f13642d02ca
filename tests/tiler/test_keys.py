"""Keys of tiles survive a round trip; any other text is rejected."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mercantile import Tile

from tests.support.strategies import SCALES, formats, layer_ids, tiles
from tiler.errors import BadName, GridError
from tiler.keys import (
    TileName,
    check_layer,
    index_key,
    job_key,
    layer_from,
    layer_of_index,
    parse_tile_key,
    scenes_key,
    tile_key,
    tile_prefix,
    tilejson_key,
)

names = st.builds(TileName, layer_ids, tiles(), st.sampled_from(SCALES), formats)


@given(names)
def test_a_tile_survives_its_key(name: TileName) -> None:
    assert parse_tile_key(tile_key(name)) == name


@given(names)
def test_a_tiles_key_begins_with_its_columns_prefix(name: TileName) -> None:
    assert tile_key(name).startswith(tile_prefix(name.layer, name.tile.z, name.tile.x))


def test_keys_look_as_the_design_says() -> None:
    tile = Tile(x=8192, y=5416, z=14)
    assert tile_key(TileName("relief", tile, 1, "png")) == "relief/14/8192/5416.png"
    assert tile_key(TileName("relief", tile, 2, "webp")) == "relief/14/8192/5416@2x.webp"
    assert tilejson_key("relief") == "relief/tile.json"
    assert index_key("relief") == "sources/relief/index.json"
    assert job_key("nightly", "done", "3-0-0") == "jobs/nightly/done/3-0-0"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "relief",
        "relief/0/0",
        "relief/0/0/0",
        "relief/0/0/0.",
        "relief/0/0/0.gif",
        "relief/0/0/0.jpeg",
        "relief/0/0/0.PNG",
        "relief/0/0/0.png ",
        "relief/0/0/0.png\n",
        "relief/0/0/0.png?v=1",
        "relief/0/0/0@1x.png",
        "relief/0/0/0@3x.png",
        "relief/0/0/0@2X.png",
        "relief/0/0/0@2x@2x.png",
        "relief/00/0/0.png",
        "relief/1/01/0.png",
        "relief/1/0/01.png",
        "relief/-1/0/0.png",
        "relief/1/+1/0.png",
        "relief/1/1.0/0.png",
        "relief/1/ 1/0.png",
        "relief/1\N{ARABIC-INDIC DIGIT ZERO}/0/0.png",
        "relief/0/1/0.png",
        "relief/0/0/1.png",
        "relief/3/8/0.png",
        "relief/3/0/8.png",
        "relief/99/0/0.png",
        "relief/999999999/0/0.png",
        "relief/1234567890/0/0.png",
        "a/b/0/0/0.png",
        "/0/0/0.png",
        "/relief/0/0/0.png",
        "relief//0/0.png",
        "relief/tile.json",
    ],
)
def test_what_names_no_tile_is_refused(key: str) -> None:
    with pytest.raises(GridError):
        parse_tile_key(key)


@given(st.from_regex(r"[a-z]/[0-9]{1,2}/[0-9]{1,2}/[0-9]{1,2}(@2x)?\.(png|jpg|webp)", fullmatch=True))
def test_a_tile_has_no_second_key(key: str) -> None:
    try:
        name = parse_tile_key(key)
    except GridError:
        return
    assert tile_key(name) == key


@pytest.mark.parametrize(
    "layer",
    [
        "",
        "sources",
        "jobs",
        "Relief",
        "-relief",
        ".relief",
        "_relief",
        "re lief",
        "re/lief",
        "..",
        "réel",
        "relief\n",
        "a" * 64,
    ],
)
def test_a_layer_name_that_cannot_be_a_key_is_refused(layer: str) -> None:
    with pytest.raises(BadName):
        check_layer(layer)


@pytest.mark.parametrize("layer", ["sources", "jobs", "Relief", "-relief", "..", "re lief", "a" * 64])
def test_a_tile_key_of_a_bad_layer_is_refused(layer: str) -> None:
    with pytest.raises(BadName):
        parse_tile_key(f"{layer}/0/0/0.png")


@given(layer_ids)
def test_a_good_layer_name_is_given_back(layer: str) -> None:
    assert check_layer(layer) == layer


@given(st.text())
def test_a_layer_name_made_from_any_stem_is_good_or_refused(stem: str) -> None:
    usable = re.search("[a-z0-9]", stem.lower())
    try:
        made = layer_from(stem)
    except BadName:
        assert not usable or stem.lower().strip("-._") in {"sources", "jobs"}
    else:
        assert usable
        assert check_layer(made) == made


@pytest.mark.parametrize(
    ("stem", "layer"),
    [
        ("Ortho Mosaic (2)", "ortho-mosaic-2"),
        ("relief", "relief"),
        ("NE1_50M.v2", "ne1_50m.v2"),
        ("__hidden", "hidden"),
        ("x" * 80, "x" * 63),
    ],
)
def test_a_stem_becomes_the_layer_name_nearest_to_it(stem: str, layer: str) -> None:
    assert layer_from(stem) == layer


@pytest.mark.parametrize("stem", ["", "---", "日本", "Sources", "jobs"])
def test_a_stem_that_leaves_no_usable_name_is_refused(stem: str) -> None:
    with pytest.raises(BadName):
        layer_from(stem)


@given(layer_ids)
def test_a_layer_is_found_from_the_key_of_its_index(layer: str) -> None:
    assert layer_of_index(index_key(layer)) == layer


@given(layer_ids, st.text("0123456789abcdef", min_size=1))
def test_no_other_key_of_a_layer_is_its_index(layer: str, revision: str) -> None:
    others = [scenes_key(layer, revision), tilejson_key(layer), f"{layer}/0/0/0.png", f"sources/{layer}/index.html"]
    others += [f"sources/{layer}/{revision}/index.json", job_key(layer, "index.json"), "sources/index.json"]
    assert [layer_of_index(key) for key in others] == [None] * len(others)
