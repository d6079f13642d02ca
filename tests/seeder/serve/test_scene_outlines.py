"""Outlines of scenes: served with a layer's page on this machine, published only if asked, and never to other sites."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.islands import Islands
from tests.support.served import ask, serving
from tiler.settings import Settings


@pytest.fixture
def islands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, assets: Path) -> Islands:  # noqa: ARG001 - built pages
    """A layer `isles` of two scenes that overlap, the first on top, and a layer `plain` of one raster."""
    monkeypatch.setenv("TILER_DATA", str(tmp_path / "data"))
    islands = Islands(tmp_path)
    paths = [str(islands.scene(name, 0)) for name in ("a", "b")]
    islands.run("ingest", *paths, "--layer", "isles", "--overlap", "first")
    islands.run("ingest", paths[0], "--layer", "plain")
    return islands


@pytest.fixture
def url(islands: Islands) -> Iterator[str]:
    with serving(Settings.from_env({}, data=str(islands.folder / "data"))) as address:
        yield address


def test_the_server_gives_the_outlines_from_the_lowest_scene_up(url: str, islands: Islands) -> None:
    answer = ask(f"{url}/isles/scenes.geojson")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/geo+json")
    assert "access-control-allow-origin" not in answer.headers
    features = json.loads(answer.data)["features"]
    assert [each["properties"]["address"] for each in features] == [
        str(islands.folder / f"{name}.tif") for name in "ba"
    ]
    assert {each["geometry"]["type"] for each in features} == {"Polygon"}
    assert ask(f"{url}/isles/scenes.geojson", headers={"If-None-Match": answer.headers["etag"]}).status == 304
    assert json.loads(ask(f"{url}/plain/scenes.geojson").data)["features"] == []
    assert ask(f"{url}/none/scenes.geojson").status == 404


def test_only_the_page_of_a_layer_of_scenes_asks_for_them(url: str) -> None:
    assert b'"scenes": "scenes.geojson"' in ask(f"{url}/isles/").data
    assert b"scenes.geojson" not in ask(f"{url}/plain/").data


def test_a_page_is_published_without_addresses_of_scenes_unless_asked(islands: Islands) -> None:
    tiles = islands.folder / "data" / "tiles" / "isles"

    def published(*words: str) -> tuple[bool, bool]:
        """Whether an address of a scene is published, and whether the page asks for them."""
        islands.run("publish-preview", "isles", *words)
        named = [path for path in tiles.rglob("*") if path.is_file() and b"a.tif" in path.read_bytes()]
        return named == [tiles / "scenes.geojson"], b"scenes.geojson" in (tiles / "index.html").read_bytes()

    assert published() == (False, False)
    assert published("--scenes") == (True, True)
    assert published("--scenes", "--dry-run") == (True, True)
    assert published("--dry-run") == (True, True)
    assert published() == (False, False)
    assert not (tiles / "scenes.geojson").exists()
    refused = islands.run("publish-preview", "plain", "--scenes", code=2)
    assert "made of one raster: leave out --scenes" in refused.output
