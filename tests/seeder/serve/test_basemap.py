"""A base map is of another host: a person names it, and the pages' policy allows its images and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seeder.serve.answers import policy
from seeder.serve.basemap import Basemap
from tests.support.served import ask, serving
from tiler.errors import BadOption
from tiler.settings import Settings


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("osm", "https://tile.openstreetmap.org"),
        ("OSM", "https://tile.openstreetmap.org"),
        ("http://127.0.0.1:9000/{z}/{x}/{y}.png", "http://127.0.0.1:9000"),
        ("https://tiles.example.org/{z}/{y}/{x}?key=a;b", "https://tiles.example.org"),
        ("https://me:secret@tiles.example.org/{z}/{y}/{x}", "https://tiles.example.org"),
    ],
)
def test_the_policy_allows_images_of_its_host(text: str, origin: str) -> None:
    basemap = Basemap.parse(text)
    assert basemap.origin == origin
    assert f" img-src 'self' data: blob: {origin};" in policy(basemap.origin)
    assert policy(basemap.origin).replace(f" {origin}", "") == policy()
    assert basemap.attribution


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "streets",
            "ftp://a/{z}/{x}/{y}",
            "https:///{z}/{x}/{y}",
            "https://a;b/{z}/{x}/{y}",
            "http://[/{z}/{x}/{y}",
        ),
        *(
            "https://{s}.tile.org/{z}/{x}/{y}",
            "https://a:b/{z}/{x}/{y}",
            "https://a/{z}/{x}.png",
            "https://a/tile.json",
        ),
    ],
)
def test_what_is_no_base_map_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadOption, match="type osm, or an address such as"):
        Basemap.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://a/{z}/{x}/{y}.png; script-src *",
        "https://東京.jp/{z}/{x}/{y}.png",
        "https://a/{z}/{x}/{y}\n.png",
        "https://a/ä/{z}/{x}/{y}.png",
    ],
)
def test_an_address_has_only_characters_that_headers_have(text: str) -> None:
    with pytest.raises(BadOption, match="characters that no address has: write them as %XX"):
        Basemap.parse(text)


@pytest.mark.parametrize("host", ["*", "a'b", 'a"b', "a<b", "a;b", "a,b", "a\\b", "*.org"])
def test_no_host_is_a_pattern_or_a_policy(host: str) -> None:
    with pytest.raises(BadOption, match="is no address of tiles: type osm"):
        Basemap.parse(f"https://{host}/{{z}}/{{x}}/{{y}}.png")


@pytest.mark.usefixtures("assets")
def test_only_the_page_of_a_layer_gets_it(alps_copy: Path) -> None:
    settings = Settings.from_env({}, data=str(alps_copy))
    chosen = Basemap.parse("osm")
    with serving(settings, basemap=chosen) as url:
        page, listed = ask(f"{url}/alps/"), ask(f"{url}/")
    found = page.data.decode().partition('id="config">')[2].partition("</script>")[0]
    assert json.loads(found)["basemap"] == chosen.to_json()
    assert page.headers["content-security-policy"] == policy(chosen.origin)
    assert listed.headers["content-security-policy"] == policy()
    assert b"openstreetmap" not in listed.data
