"""Titles and descriptions: shown where ids are, kept by updates, and no reason to render anything."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.support.clock import nothing_in_flight
from tests.support.islands import Islands
from tests.support.oracle import files_under
from tiler.keys import history_key, index_key, revision_key
from tiler.layers.catalog import Layer, load_layer, parse
from tiler.settings import Settings
from tiler.storage.store import Stores

TITLE, DESCRIPTION = 'Isles & "skerries"', "All islands. Flown in <May>."
TOLD = ("--title", TITLE, "--description", DESCRIPTION)


@pytest.fixture
def islands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, assets: Path) -> Islands:  # noqa: ARG001 - built pages
    """A layer `isles` of two scenes, the scenes `a` and `b`, and one to add, `c`."""
    monkeypatch.setenv("TILER_DATA", str(tmp_path / "data"))
    nothing_in_flight(monkeypatch)
    islands = Islands(tmp_path)
    for column, name in enumerate("abc"):
        islands.scene(name, column)
    islands.run("ingest", *paths(islands, "ab"), "--layer", "isles")
    return islands


def paths(islands: Islands, names: str) -> list[str]:
    return [str(islands.folder / f"{name}.tif") for name in names]


def stores_of(islands: Islands) -> Stores:
    return Stores.open(Settings.from_env({}, data=str(islands.folder / "data")))


def layer(islands: Islands) -> Layer:
    return load_layer(stores_of(islands).sources, "isles")


def shown(islands: Islands) -> tuple[str, str | None]:
    """The name and description in TileJSON."""
    found = json.loads(stores_of(islands).tiles.get("isles/tile.json"))
    return found["name"], found.get("description")


def test_a_title_alone_changes_no_revision_no_tile_and_no_kept_metadata(islands: Islands) -> None:
    islands.run("seed", "isles", "--zooms", "0-6")
    public, private = islands.folder / "data/tiles", islands.folder / "data/private"
    before, tiles, parts = layer(islands), files_under(public), files_under(private)
    islands.run("refresh", "isles", *TOLD, "--dry-run")
    assert shown(islands) == ("isles", None)
    islands.run("refresh", "isles", *TOLD)
    after = layer(islands)
    assert (after.title, after.description, after.revision) == (TITLE, DESCRIPTION, before.revision)
    assert shown(islands) == (TITLE, DESCRIPTION)
    changed = {name for name, kept in files_under(public).items() if tiles.get(name) != kept}
    assert changed == {"isles/tile.json"}
    changed = {name for name, kept in files_under(private).items() if parts.get(name) != kept}
    assert changed - {"jobs/clock", history_key("isles")} == {index_key("isles")}


def test_updates_keep_a_title_until_another_is_given(islands: Islands) -> None:
    islands.run("ingest", *paths(islands, "ab"), "--layer", "isles", *TOLD)
    first = layer(islands)
    islands.run("ingest", *paths(islands, "ab"), "--layer", "isles")
    assert layer(islands) == first
    islands.run("refresh", "isles", "--add", *paths(islands, "c"))
    assert (layer(islands).title, layer(islands).scenes) == (TITLE, 3)
    islands.run("refresh", "isles", "--title", "Other", "--drop", "c.tif")
    assert (layer(islands).title, layer(islands).description) == ("Other", DESCRIPTION)
    islands.run("rollback", "isles", "--yes")
    assert (layer(islands).title, layer(islands).scenes) == ("Other", 3), "a title is not a revision's"
    islands.run("ingest", *paths(islands, "ab"), "--layer", "isles")
    assert (layer(islands).title, layer(islands).revision) == ("Other", first.revision)
    islands.run("refresh", "isles", "--title", "", "--description", "")
    assert (layer(islands).title, layer(islands).description) == ("isles", "")
    assert shown(islands) == ("isles", None)


def test_the_same_rasters_with_a_title_are_up_to_date_and_described(islands: Islands) -> None:
    again = islands.run("ingest", *paths(islands, "ab"), "--layer", "isles", *TOLD)
    assert "isles is up to date" in again.stdout
    assert "title, description or legend changed" in again.stdout
    assert "changed" not in islands.run("ingest", *paths(islands, "ab"), "--layer", "isles", *TOLD).stdout


def test_an_earlier_version_reads_a_layer_with_a_title(islands: Islands) -> None:
    islands.run("refresh", "isles", *TOLD)
    data = stores_of(islands).sources.get(index_key("isles"))
    fields = json.loads(data)
    assert not {"title", "description"} & fields["asked"].keys()
    assert fields["version"] == 4
    plain = {name: value for name, value in fields.items() if name not in ("title", "description", "classes", "unit")}
    found = parse(json.dumps(plain).encode(), "key")
    assert (found.title, found.description, found.revision) == ("isles", "", fields["revision"])
    assert stores_of(islands).sources.has(revision_key("isles", fields["revision"]))


def test_titles_are_shown_where_ids_are(islands: Islands) -> None:
    islands.run("refresh", "isles", *TOLD)
    islands.run("ingest", *paths(islands, "c"), "--layer", "plain")
    assert TITLE in islands.run("layers").stdout
    facts = {each["layer"]: each for each in islands.facts("layers")}
    assert [facts["isles"][name] for name in ("title", "description", "kind")] == [TITLE, DESCRIPTION, "photo"]
    assert facts["plain"]["title"] == "plain"
    islands.run("seed", "isles", "--zooms", "0-3")
    islands.run("publish-preview", "isles")
    tiles = stores_of(islands).tiles
    root = ET.fromstring(tiles.get("isles/wmts.xml"))
    ows = "{http://www.opengis.net/ows/1.1}"
    described = root.find(".//{http://www.opengis.net/wmts/1.0}Layer")
    assert described is not None
    assert [described.findtext(f"{ows}{name}") for name in ("Title", "Abstract", "Identifier")] == [
        *(TITLE, DESCRIPTION, "isles")
    ]
    twin = json.loads(tiles.get("isles/layer.json"))
    assert [twin[name] for name in ("layer", "title", "description", "legend", "kind")] == [
        *("isles", TITLE, DESCRIPTION, None, "photo")
    ]
    written = stores_of(islands).sources.written(revision_key("isles", twin["revision"]))
    assert twin["published"] == pytest.approx(written.timestamp())


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("title", "x" * 121, "--title has 121 characters: write at most 120"),
        ("description", "x" * 1001, "--description has 1001 characters: write at most 1000"),
        ("title", "bell\x07", "--title has characters that cannot be shown: type it again as plain text"),
        ("title", "a\u202eb", "--title has characters that cannot be shown"),
    ],
)
def test_words_that_cannot_be_shown_are_refused(islands: Islands, name: str, text: str, why: str) -> None:
    before = layer(islands)
    refused = islands.run("refresh", "isles", f"--{name}", text, code=2)
    assert why in " ".join(refused.output.split())
    assert layer(islands) == before


def test_white_space_is_one_blank(islands: Islands) -> None:
    islands.run("refresh", "isles", "--title", "  two\n words\t")
    assert layer(islands).title == "two words"


def test_a_refresh_tells_of_a_new_title(islands: Islands) -> None:
    islands.run("ingest", *paths(islands, "ab"), "--layer", "isles")
    result = islands.run("refresh", "isles", "--title", TITLE)
    assert f"the title of layer isles is now {TITLE!r}" in result.stderr
    assert "is now" not in islands.run("refresh", "isles", "--title", TITLE).stderr
