"""Files in any script name a layer; German umlauts are written out."""

from __future__ import annotations

import unicodedata
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeder.operations.layer_names import layer_from_file
from seeder.operations.scenes import name_from
from tests.support.commands import said, seeder
from tests.support.rasters import Recipe, scene, write_raster
from tiler.errors import BadName, BadOption
from tiler.keys import check_layer, layer_from

NAMES = {
    "Lübeck": "luebeck",
    "Große Straße, Öl & Ähre": "grosse-strasse-oel-aehre",
    "Málaga": "malaga",
    "Kraków-Łódź": "krakow-lodz",
    "Île-de-France": "ile-de-france",
    "Ærø": "aero",
    "İstanbul": "istanbul",
    "Москва 2026": "moskva-2026",
    "Αθήνα": "athina",
    "東京": "dongjing",
    "서울": "seoul",
    "Đà Nẵng": "da-nang",
}


@pytest.mark.parametrize("stem", NAMES)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_is_transliterated_however_its_accents_are_stored(stem: str, form: str) -> None:
    assert layer_from_file(unicodedata.normalize(form, stem)) == NAMES[stem]  # type: ignore[arg-type]


@given(st.text())
def test_any_name_is_valid_or_refused(stem: str) -> None:
    with suppress(BadName):
        assert check_layer(layer_from_file(stem))


@given(st.text(st.characters(codec="ascii")))
def test_plain_names_are_what_they_were(stem: str) -> None:
    try:
        expected = layer_from(stem)
    except BadName:
        with pytest.raises(BadName):
            layer_from_file(stem)
    else:
        assert layer_from_file(stem) == expected


def test_a_layer_is_named_after_its_file(tmp_path: Path) -> None:
    assert name_from(["flüge/Lübeck.tif"]) == "luebeck"
    path = write_raster(tmp_path / "Lübeck.tif", Recipe(scene(64, 64)))
    assert said(seeder("ingest", path, "--data", tmp_path / "data", "--jobs", 1, "--json"))["layer"] == "luebeck"


@pytest.mark.parametrize("name", ["....tif", "sources.tif", "-.tif"])
def test_a_name_that_names_no_layer_is_told_with_the_cure(name: str) -> None:
    with pytest.raises(BadOption, match=f"no layer can be named after '{name}': add --layer NAME"):
        name_from([name])
