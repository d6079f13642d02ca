"""The data of the pages: facts and legends, stored tiles in numbers, boxes, revisions and what differs between them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import mercantile
import numpy as np
import pytest
from mercantile import Tile

from seeder.cache import summary
from seeder.select.selection import planned
from seeder.serve import changed as changes
from tests.support.clock import nothing_in_flight
from tests.support.islands import Islands
from tests.support.layers import layer_of, local_stores
from tests.support.rasters import MakeRaster
from tests.support.served import ask, serving, told
from tiler.image.style import Pixels, Rgba
from tiler.layers.catalog import Layer, load_layer
from tiler.layers.class_shares import shares
from tiler.layers.pyramid import Pyramid
from tiler.settings import Settings
from tiler.storage.store import Stores

ZOOM_FIELDS = ("planned", "stored", "empty", "missing", "failed", "stale", "bytes")
COLOURS: dict[int, Rgba] = {1: (10, 20, 30, 255), 2: (200, 0, 0, 255), 5: (0, 200, 0, 255)}


@pytest.fixture
def islands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Islands:
    """A layer `isles` of two scenes; its tiles of zooms 0 to 6 are stored."""
    monkeypatch.setenv("TILER_DATA", str(tmp_path / "data"))
    nothing_in_flight(monkeypatch)
    monkeypatch.setattr(summary, "AUDIT_TTL_SECONDS", 0.0)
    monkeypatch.setattr(summary, "SHARE", 0)
    islands = Islands(tmp_path)
    islands.run("ingest", *(str(islands.scene(name, at)) for at, name in enumerate("ab")), "--layer", "isles")
    islands.run("seed", "isles", "--zooms", "0-6")
    return islands


@pytest.fixture
def url(islands: Islands) -> Iterator[str]:
    with serving(settings_of(islands), " --data here") as address:
        yield address


def settings_of(islands: Islands) -> Settings:
    return Settings.from_env({}, data=str(islands.folder / "data"))


def stores_of(islands: Islands) -> Stores:
    return Stores.open(settings_of(islands))


def stored(islands: Islands, z: int | None = None) -> list[Path]:
    """The files of stored tiles, of all zooms or of one."""
    return list((islands.folder / "data/tiles/isles").glob(f"{'*' if z is None else z}/*/*.png"))


# Facts


def test_layers_are_told_with_their_legends_and_the_options_of_commands(url: str, islands: Islands) -> None:
    before = time.time()
    said = told(f"{url}/_/layers")
    assert said["where"] == " --data here"
    (facts,) = said["layers"]
    layer = load_layer(stores_of(islands).sources, "isles")
    assert [facts[name] for name in ("layer", "title", "description", "kind", "legend", "encoding", "revision")] == [
        *("isles", "isles", "", "photo", None, "", layer.revision)
    ]
    assert before - 600 < facts["published"] <= before + 1
    one = told(f"{url}/_/layers/isles")
    revisions = one.pop("revisions")
    assert one == facts
    assert [each["revision"] for each in revisions] == [layer.revision]
    assert ask(f"{url}/_/layers/none").status == 404


def test_revisions_are_told_newest_first_with_bytes_and_times(url: str, islands: Islands) -> None:
    sources = stores_of(islands).sources
    first = load_layer(sources, "isles").revision
    islands.run("refresh", "isles", "--add", str(islands.scene("c", 3)))
    second = load_layer(sources, "isles").revision
    found = told(f"{url}/_/layers/isles")["revisions"]
    assert [(each["revision"], each["current"], each["kept"], each["scenes"]) for each in found] == [
        (second, True, True, 3),
        (first, False, True, 2),
    ]
    assert found[0]["published"] >= found[1]["published"]
    parts = sum(entry.size for entry in sources.list("sources/isles/parts/") if entry.key.endswith(".tif"))
    assert 0 < found[1]["bytes"] < found[0]["bytes"] <= parts
    assert {each["gdal"] for each in found} == {load_layer(sources, "isles").gdal}
    sources.clear(f"sources/isles/{first}/")
    assert [each["revision"] for each in told(f"{url}/_/layers/isles")["revisions"]] == [second]


def test_a_revision_with_damaged_metadata_is_told_as_not_kept(url: str, islands: Islands) -> None:
    sources = stores_of(islands).sources
    sources.put("sources/isles/0123456789ab/index.json", b"{", content_type="application/json")
    (damaged,) = (each for each in told(f"{url}/_/layers/isles")["revisions"] if not each["current"])
    assert (damaged["revision"], damaged["kept"], damaged["bytes"]) == ("0123456789ab", False, None)


# Legends


@pytest.fixture
def land(make_raster: MakeRaster, tmp_path: Path) -> tuple[Layer, Stores, Pixels]:
    """A layer of classes, a third of it nodata, and its values."""
    values = np.random.default_rng(3).choice([0, 1, 2, 5], (1, 30, 40), p=[0.3, 0.1, 0.2, 0.4])
    values = values.repeat(16, 1).repeat(16, 2).astype(np.uint8)
    path = make_raster(values=values, palette=COLOURS, nodata=0, bounds=(5.0, 0.0, 7.0, 1.5))
    stores = local_stores(tmp_path / "land")
    return layer_of(path, "land", stores, title="Land"), stores, values


def test_shares_of_classes_are_those_of_the_ground(land: tuple[Layer, Stores, Pixels]) -> None:
    layer, stores, values = land
    assert isinstance(layer.bake, Pyramid)
    found = shares(layer, layer.bake, stores.sources)
    assert sum(found.values()) == pytest.approx(1)
    for value in COLOURS:
        assert found[value] == pytest.approx(np.mean(values[values > 0] == value), abs=0.02)


def test_one_layer_is_told_with_shares_and_the_list_and_tilejson_without(
    land: tuple[Layer, Stores, object], tmp_path: Path
) -> None:
    layer, *_ = land
    with serving(Settings.from_env({}, data=str(tmp_path / "land"))) as url:
        legend = told(f"{url}/_/layers/land")["legend"]
        assert legend["type"] == "classes"
        assert {each["value"]: each["color"] for each in legend["classes"]} == {
            1: "#0a141e",
            2: "#c80000",
            5: "#00c800",
        }
        assert sum(each["share"] for each in legend["classes"]) == pytest.approx(1)
        (listed,) = told(f"{url}/_/layers")["layers"]
        assert {each["share"] for each in listed["legend"]["classes"]} == {None}
        public = told(f"{url}/land/tile.json")
        assert public["name"] == "Land"
        assert public["legend"] == {
            "type": "classes",
            "classes": [{name: each[name] for name in ("value", "name", "color")} for each in legend["classes"]],
            "unit": "",
        }
        assert layer.legend is not None
        for path in (tmp_path / "land/private/sources/land/parts").glob("*.tif"):
            path.write_bytes(b"no COG")
    with serving(Settings.from_env({}, data=str(tmp_path / "land"))) as url:
        damaged = told(f"{url}/_/layers/land")
        assert {each["share"] for each in damaged["legend"]["classes"]} == {None}


# Stored tiles in numbers


def test_a_summary_counts_what_is_stored(url: str, islands: Islands) -> None:
    layer = load_layer(stores_of(islands).sources, "isles")
    said = told(f"{url}/_/summary/isles")
    files = stored(islands)
    assert (said["layer"], said["revision"], said["tiles"]) == ("isles", layer.revision, len(files))
    assert said["bytes"] == sum(path.stat().st_size for path in files)
    assert said["newest"] == pytest.approx(max(path.stat().st_mtime for path in files), abs=0.01)
    assert abs(said["counted"] - time.time()) < 60
    assert [each["z"] for each in said["zooms"]] == list(range(layer.maxzoom + 1))
    for each in said["zooms"]:
        assert list(each) == ["z", *ZOOM_FIELDS]
        assert each["planned"] == len(planned(layer, each["z"]))
        assert each["planned"] == sum(each[name] for name in ("stored", "empty", "missing", "failed", "stale"))
        assert each["bytes"] == sum(path.stat().st_size for path in stored(islands, each["z"]))
        assert each["missing"] == (0 if each["z"] <= 6 else each["planned"])
    twice = told(f"{url}/_/summary/isles?scale=2")
    assert (twice["tiles"], twice["bytes"], twice["newest"]) == (0, 0, None)


def test_a_summary_is_kept_for_ten_times_as_long_as_it_took(islands: Islands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "SHARE", 10_000)
    with serving(settings_of(islands)) as url:
        first = told(f"{url}/_/summary/isles")
        for path in stored(islands):
            path.unlink()
        assert told(f"{url}/_/summary/isles") == first
        assert told(f"{url}/_/summary/isles?scale=2")["counted"] > first["counted"]


def test_too_many_blocks_are_not_counted(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "MAX_BLOCKS", 3)
    assert ask(f"{url}/_/summary/isles").status == 413
    refused = ask(f"{url}/_/box/isles?zooms=0-12")
    assert refused.status == 413
    assert "choose a bbox with at most 3" in json.loads(refused.data)["message"]


def test_a_box_counts_the_tiles_that_touch_it_and_the_seconds_to_render_the_rest(url: str, islands: Islands) -> None:
    layer = load_layer(stores_of(islands).sources, "isles")
    inner = layer.ranges(8)[0]
    tile = Tile(x=inner.x0, y=inner.y0, z=8)
    west, south, east, north = mercantile.bounds(tile)
    margin = (east - west) / 100
    box = f"{west + margin},{south + margin},{east - margin},{north - margin}"
    said = told(f"{url}/_/box/isles?bbox={quote(box)}&zooms=5-8")
    assert [(each["z"], each["planned"]) for each in said["zooms"]] == [(z, 1) for z in range(5, 9)]
    assert {name: said[name] for name in ("planned", "stored", "missing", "failed", "empty")} == {
        "planned": 4,
        "stored": 2,
        "missing": 2,
        "failed": 0,
        "empty": 0,
    }
    assert said["bytes"] == sum(each["bytes"] for each in said["zooms"]) > 0
    assert 0 < said["seconds"] < 1
    all_zooms = told(f"{url}/_/box/isles")
    assert all_zooms["planned"] == sum(len(planned(layer, z)) for z in range(layer.maxzoom + 1))
    assert all_zooms["seconds"] > said["seconds"]
    far = told(f"{url}/_/box/isles?bbox=100,10,101,11&zooms=5-8")
    assert (far["planned"], far["seconds"]) == (0, 0)


@pytest.mark.parametrize("query", ["bbox=1,2", "zooms=9-2", "zooms=0-28", "bbox=a,b,c,d", "scale=3", "scale=x"])
def test_a_box_that_is_none_is_refused(url: str, query: str) -> None:
    assert ask(f"{url}/_/box/isles?{query}").status == 400


# Changes


def test_changed_tiles_are_those_whose_scenes_changed(
    url: str, islands: Islands, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_layer(stores_of(islands).sources, "isles")
    assert told(f"{url}/_/changes/isles/{first.revision}") == {"count": 0, "z": first.maxzoom, "tiles": []}
    islands.run("refresh", "isles", "--replace", str(islands.scene("b", 1, value=180)))
    layer = load_layer(stores_of(islands).sources, "isles")
    said = told(f"{url}/_/changes/isles/{first.revision}")
    assert said["z"] == layer.maxzoom
    assert said["count"] == len(said["tiles"])
    columns = {x for x, _ in said["tiles"]}
    assert columns
    assert min(columns) >= 64, "only tiles of the second scene"
    monkeypatch.setattr(changes, "MOST", 1)
    fewer = told(f"{url}/_/changes/isles/{first.revision}")
    assert fewer["count"] == said["count"]
    assert len(fewer["tiles"]) == 1
    assert fewer["z"] < said["z"]
    above = {(x >> said["z"] - fewer["z"], y >> said["z"] - fewer["z"]) for x, y in said["tiles"]}
    assert above == {tuple(each) for each in fewer["tiles"]}


@pytest.mark.parametrize("revision", ["0123456789ab", "parts", "index.json"])
def test_changes_from_a_revision_that_is_not_kept_are_not_found(url: str, revision: str) -> None:
    assert ask(f"{url}/_/changes/isles/{revision}").status == 404


def test_scenes_have_short_names(url: str) -> None:
    features = told(f"{url}/isles/scenes.geojson")["features"]
    assert [each["properties"]["name"] for each in features] == ["a", "b"]
