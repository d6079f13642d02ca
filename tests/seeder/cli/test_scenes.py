"""`ingest` of several sources, `scenes`, and changes by `refresh`; wrong input is one line and changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.clock import nothing_in_flight
from tests.support.commands import complaint, said, seeder
from tests.support.files import snapshot
from tests.support.rasters import Recipe, scene, write_raster

BOXES = {"a": (5.0, 45.0, 7.0, 47.0), "b": (6.5, 45.0, 8.5, 47.0), "c": (6.0, 46.5, 8.0, 48.0)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three scenes, another `b`, and other files; the data folder of all commands is beside it."""
    nothing_in_flight(monkeypatch)
    monkeypatch.setenv("TILER_DATA", str(tmp_path / "data"))
    folder = tmp_path / "rasters"
    (folder / "new").mkdir(parents=True)
    for seed, (name, box) in enumerate(BOXES.items()):
        write_raster(folder / f"{name}.tif", Recipe(values=scene(60, 60, seed=seed), bounds=box))
    write_raster(folder / "new" / "b.tif", Recipe(values=scene(60, 60, seed=9), bounds=BOXES["b"]))
    write_raster(folder / "new" / "grey.tif", Recipe(values=scene(60, 60, 1), bounds=BOXES["b"]))
    (folder / "new" / "text.tif").write_text("no raster")
    (folder / "list.txt").write_text("a.tif\nb.tif\n")
    (folder / "empty.txt").write_text("")
    return folder


@pytest.fixture
def land(folder: Path) -> Path:
    """The layer `land` of the scenes a and b, and the folder of rasters."""
    done = seeder("ingest", folder / "a.tif", folder / "b.tif", "--layer", "land", "--jobs", "1")
    assert done.exit_code == 0, done.output
    return folder


def scenes() -> list[str]:
    """The file names of the scenes, the lowest first."""
    done = seeder("scenes", "land", "--json")
    assert done.exit_code == 0, done.output
    return [Path(json.loads(line)["address"]).name for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    "words", [("a.tif", "b.tif"), ("[ab].tif",), ("@list.txt",), ("a.tif", "@list.txt")], ids=" ".join
)
def test_several_sources_are_the_scenes_of_one_layer(folder: Path, words: tuple[str, ...]) -> None:
    sources = [f"@{folder / word[1:]}" if word[0] == "@" else str(folder / word) for word in words]
    done = said(seeder("ingest", *sources, "--layer", "land", "--jobs", "1", "--json"))
    assert (done["layer"], done["fresh"]) == ("land", True)
    assert scenes() == ["a.tif", "b.tif"]
    again = said(seeder("ingest", *sources, "--layer", "land", "--jobs", "1", "--json"))
    assert again == done | {"fresh": False, "baked": 0, "reused": 0, "why": "", "tile_bytes": {}}


def test_names_come_from_standard_input(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    done = seeder("ingest", "-", "--layer", "land", "--jobs", "1", stdin="b.tif\na.tif\n")
    assert done.exit_code == 0, done.output
    assert scenes() == ["b.tif", "a.tif"]


def test_a_folder_names_its_layer(folder: Path) -> None:
    for name in ("grey", "text"):
        (folder / "new" / f"{name}.tif").unlink()
    assert said(seeder("ingest", folder / "new", "--jobs", "1", "--json"))["layer"] == "new"


def test_scenes_are_listed_as_a_table_and_as_geojson(land: Path) -> None:
    header, _, *rows = seeder("scenes", "land").stdout.splitlines()
    assert header.split() == ["scene", "crs", "resolution", "date", "bounds"]
    assert [row.split()[0] for row in rows] == [str(land / "a.tif"), str(land / "b.tif")]
    outlines = json.loads(seeder("scenes", "land", "--geojson").stdout)
    assert outlines["type"] == "FeatureCollection"
    assert len(outlines["features"]) == 2


def test_the_first_scene_is_on_top_if_that_is_asked_for_and_stays(land: Path) -> None:
    seeder("ingest", land / "a.tif", land / "b.tif", "--layer", "land", "--overlap", "first", "--jobs", "1")
    assert scenes() == ["b.tif", "a.tif"]
    assert seeder("refresh", "land", "--add", land / "c.tif", "--jobs", "1").exit_code == 0
    assert scenes() == ["c.tif", "b.tif", "a.tif"]


CHANGES: dict[str, tuple[tuple[str, ...], tuple[int, int, int, int] | None, list[str]]] = {
    "add": (("--add", "c.tif"), (1, 0, 0, 2), ["a.tif", "b.tif", "c.tif"]),
    "replace": (("--replace", "new/b.tif"), (0, 1, 0, 1), ["a.tif", "b.tif"]),
    "drop": (("--drop", "a*"), (0, 0, 1, 1), ["b.tif"]),
    "all": (("--add", "c.tif", "--replace", "new/b.tif", "--drop", "a*"), (1, 1, 1, 0), ["b.tif", "c.tif"]),
    "a whole list": (("c.tif", "a.tif"), None, ["c.tif", "a.tif"]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_refresh_changes_the_scenes_and_says_how_many(land: Path, name: str) -> None:
    words, counts, then = CHANGES[name]
    spelled = [str(land / word) if word.endswith(".tif") else word for word in words]
    before = snapshot(land.parent / "data")
    plan = seeder("refresh", "land", *spelled, "--dry-run", "--json")
    assert plan.exit_code == 0, plan.output
    assert snapshot(land.parent / "data") == before
    done = seeder("refresh", "land", *spelled, "--jobs", "1", "--json")
    assert done.exit_code == 0, done.output
    first = json.loads(done.stdout.splitlines()[0])
    if counts:
        assert first == {"layer": "land"} | dict(zip(("added", "replaced", "dropped", "kept"), counts, strict=True))
        assert json.loads(plan.stdout.splitlines()[0]) == first
    assert scenes() == then
    for again in (spelled, ()):
        assert seeder("refresh", "land", *again, "--jobs", "1").exit_code == 0
        assert scenes() == then


def test_text_says_how_many_scenes_changed(land: Path) -> None:
    text = seeder("refresh", "land", "--add", land / "c.tif", "--jobs", "1").stdout
    assert "scenes of layer land: 1 added, 0 replaced, 0 dropped, 2 kept\n" in text


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "several sources without a name": (("ingest", "{f}/a.tif", "{f}/b.tif"), "add --layer NAME"),
    "a pattern without a name": (("ingest", "{f}/*.tif"), "add --layer NAME"),
    "a pattern of nothing": (("ingest", "{f}/z*.tif", "--layer", "land"), "z*.tif"),
    "an empty list": (("ingest", "@{f}/empty.txt", "--layer", "land"), "the list is empty"),
    "a missing list": (("ingest", "@{f}/no.txt", "--layer", "land"), "no.txt"),
    "a missing scene": (("ingest", "{f}/a.tif", "{f}/no.tif", "--layer", "land"), "no.tif"),
    "no raster": (("ingest", "{f}/a.tif", "{f}/new/text.tif", "--layer", "land"), "text.tif"),
    "scenes of two kinds": (("ingest", "{f}/a.tif", "{f}/new/grey.tif", "--layer", "land"), "grey.tif"),
    "scenes that stay virtual": (
        ("ingest", "{f}/a.tif", "{f}/b.tif", "--layer", "land", "--virtual"),
        "--virtual takes",
    ),
    "a list and changes": (("refresh", "land", "{f}/a.tif", "--add", "{f}/c.tif"), "SOURCE lists all scenes"),
    "an added scene of another kind": (("refresh", "land", "--add", "{f}/new/grey.tif"), "grey.tif"),
    "an added file that is missing": (("refresh", "land", "--add", "{f}/no.tif"), "no.tif"),
    "a scene to replace that is not there": (("refresh", "land", "--replace", "{f}/c.tif"), "no scene of layer"),
    "a scene to drop that is not there": (("refresh", "land", "--drop", "z.tif"), "no scene of layer 'land' matches"),
    "every scene dropped": (("refresh", "land", "--drop", "*"), "seeder remove land"),
    "an unknown order": (("refresh", "land", "{f}/a.tif", "--overlap", "best"), "'best' is not one of"),
    "an unknown layer": (("refresh", "lan", "--add", "{f}/c.tif"), "did you mean land"),
    "scenes of an unknown layer": (("scenes", "lan"), "did you mean land"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_one_line_and_changes_nothing(land: Path, name: str) -> None:
    words, why = WRONG[name]
    before = snapshot(land.parent / "data")
    line = complaint(seeder(*(word.replace("{f}", str(land)) for word in words)))
    assert why in line
    assert snapshot(land.parent / "data") == before


def test_the_scenes_of_one_raster_are_refused(folder: Path) -> None:
    assert seeder("ingest", folder / "a.tif", "--layer", "one", "--jobs", "1").exit_code == 0
    for words in (("scenes", "one"), ("refresh", "one", "--add", folder / "c.tif")):
        assert "layer 'one' was made of one raster: ingest all of its scenes" in complaint(seeder(*words))
