"""Attributions are reduced to text and web links; plain text is unchanged."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.layers import MakeLayer
from tests.support.rasters import MakeRaster, scene
from tiler.ingest.examine import examined
from tiler.layers.catalog import Layer
from tiler.layers.credit import plain_markup
from tiler.layers.tilejson import tilejson
from tiler.raster.options import Options

LINK = '<a href="https://osm.org/copyright">OSM</a>'
OURS = re.compile(r'<a href="https?://[^"<>]*">|</a>', re.IGNORECASE)
PIECES = [
    *("<", ">", '"', "'", "&", "&lt;", "a", " ", "/", "=", "<!--", "-->", "<![CDATA[", "]]>", "<?", "\0", "\n"),
    *("<a ", "</a>", "href=", "http://x", "HTTPS://y", "javascript:alert(1)", "onclick=", "<img src=x onerror=f()>"),
    *("<script>", "</script>", "<svg/onload=f()>", "<style>", "</style>", "<textarea>", "<plaintext>", "<title>"),
]
MARKUP = st.lists(st.sampled_from(PIECES) | st.text(max_size=3)).map("".join)


@given(MARKUP)
def test_every_bracket_of_the_result_is_one_of_a_link_to_the_web(text: str) -> None:
    if "<" in text:
        assert "<" not in OURS.sub("", plain_markup(text))


@given(MARKUP)
def test_links_are_closed_and_never_nested(text: str) -> None:
    tags = OURS.findall(plain_markup(text))
    assert ["/" in tag[:2] for tag in tags] == [False, True] * (len(tags) // 2)


@given(MARKUP)
def test_cleaned_once_is_cleaned(text: str) -> None:
    assert plain_markup(plain_markup(text)) == plain_markup(text)


@given(st.text().filter(lambda text: "<" not in text))
def test_text_without_a_tag_stays_as_it_is(text: str) -> None:
    assert plain_markup(text) == text


@pytest.mark.parametrize(
    ("given", "left"),
    [
        (f"&copy; {LINK} & others", f"© {LINK} &amp; others"),
        (
            '<a class="x" onclick="f()" href="http://a.test/?b=1&amp;c=2" target=_blank>A</a>',
            '<a href="http://a.test/?b=1&amp;c=2">A</a>',
        ),
        ('<a href="javascript:f()">A</a>', "A"),
        ('<a href="//a.test">A</a>', "A"),
        ("<script>f()</script>B<img src=x onerror=f()><b>C</b>", "BC"),
        ("1 < 2", "1 &lt; 2"),
        ('<a href="https://a.test">A', '<a href="https://a.test">A</a>'),
        ("<style>x", ""),
    ],
)
def test_links_and_text_survive_alone(given: str, left: str) -> None:
    assert plain_markup(given) == left


def test_tilejson_is_clean_of_new_layers_and_of_old_ones(make_raster: MakeRaster, make_layer: MakeLayer) -> None:
    bad = f"<img src=x onerror=f()>{LINK}"
    layer = make_layer(make_raster(values=scene(60, 60)), attribution=bad)
    assert layer.attribution == LINK
    for each in (layer, replace(layer, attribution=bad)):  # as an older version stored it
        assert json.loads(tilejson(each, "http://tiles.test", "1"))["attribution"] == LINK


def test_the_revision_is_that_of_what_was_asked(make_raster: MakeRaster, make_layer: MakeLayer) -> None:
    path = make_raster(values=scene(60, 60))
    layer: Layer = make_layer(path, attribution=f"<b>x</b>{LINK}")
    assert examined(str(path), Options(attribution=f"<b>x</b>{LINK}"))[2].revision == layer.revision
    assert layer.asked.attribution == f"<b>x</b>{LINK}"
