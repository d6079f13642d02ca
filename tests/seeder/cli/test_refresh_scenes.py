"""`refresh` of a layer of many scenes: its plan is an upper bound of what it does, and it bakes what changed only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.clock import nothing_in_flight
from tests.support.islands import Islands
from tests.support.oracle import files_under

COUNT = 5
OLD = 1_000_000_000  # seconds


@pytest.fixture
def islands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Islands:
    """Five scenes, ingested and seeded."""
    nothing_in_flight(monkeypatch)
    monkeypatch.setenv("TILER_DATA", str(tmp_path / "data"))
    islands = Islands(tmp_path / "scenes")
    islands.folder.mkdir()
    for number in range(COUNT):
        os.utime(islands.scene(f"s{number}", number), (OLD, OLD))
    result = islands.run("ingest", str(islands.folder), "--layer", "isles", "--rescale", "0,255")
    assert "5 of 5 parts baked, 0 as before" in result.stdout
    islands.run("seed", "isles", "--zooms", "0-12")
    return islands


def test_the_plan_of_a_replacement_is_an_upper_bound_and_changes_nothing(islands: Islands) -> None:
    path = str(islands.scene("s1", 1, value=30))
    before = files_under(islands.folder.parent)
    scenes, bake, change, plan = islands.facts("refresh", "isles", "--replace", path, "--dry-run")
    assert files_under(islands.folder.parent) == before
    assert scenes == {"layer": "isles", "added": 0, "replaced": 1, "dropped": 0, "kept": 4}
    assert bake == {"layer": "isles", "bake": 1, "parts": 5}
    assert change["revision"] != change["previous"]
    assert plan["at_most"] is True
    assert plan["existed"] > 2 * plan["differ"]
    text = islands.run("refresh", "isles", "--replace", path, "--dry-run").stdout
    assert "scenes of layer isles: 0 added, 1 replaced, 0 dropped, 4 kept" in text
    assert "would bake 1 of 5 parts; 4 stay as they are" in text
    assert f"at most {plan['differ']} of {plan['existed']} stored tiles of layer isles differ" in text
    done = islands.run("refresh", "isles", "--replace", path)
    assert "1 of 5 parts baked, 4 as before" in done.stdout
    assert f" of {plan['existed']} stored tiles differ" in done.output
    put = int(done.output.partition(f" of {plan['existed']} stored tiles differ")[0].split()[-1])
    assert 0 < put <= plan["differ"]


def test_the_plan_of_an_addition_and_of_a_drop(islands: Islands) -> None:
    new = str(islands.scene("t", COUNT))
    scenes, bake, _, plan = islands.facts("refresh", "isles", "--add", new, "--drop", "s0.tif", "--dry-run")
    assert scenes == {"layer": "isles", "added": 1, "replaced": 0, "dropped": 1, "kept": 4}
    assert bake == {"layer": "isles", "bake": 1, "parts": 5}
    assert 0 < plan["differ"] < plan["existed"] / 2
    done = islands.facts("refresh", "isles", "--add", new, "--drop", "s0.tif")
    assert [(each["baked"], each["reused"]) for each in done if "baked" in each] == [(1, 4)]


def test_a_whole_list_is_counted_too(islands: Islands) -> None:
    islands.scene("s2", 2, value=7)
    (islands.folder / "s0.tif").unlink()
    islands.scene("t", COUNT)
    scenes, bake, *_ = islands.facts("refresh", "isles", str(islands.folder), "--dry-run")
    assert scenes == {"layer": "isles", "added": 1, "replaced": 1, "dropped": 1, "kept": 3}
    assert bake == {"layer": "isles", "bake": 2, "parts": 5}
    (done,) = [each for each in islands.facts("refresh", "isles", str(islands.folder)) if "baked" in each]
    assert (done["baked"], done["reused"]) == (2, 3)


def test_other_colours_change_all_tiles_and_no_part(islands: Islands) -> None:
    _, bake, _, plan = islands.facts("refresh", "isles", str(islands.folder), "--rescale", "0,99", "--dry-run")
    assert bake == {"layer": "isles", "bake": 0, "parts": 5}
    assert (plan["differ"], plan["at_most"]) == (None, False)


def test_a_reversed_change_bakes_nothing_and_renders_again(islands: Islands) -> None:
    path = islands.folder / "s1.tif"
    old = path.read_bytes()
    islands.scene("s1", 1, value=30)
    islands.run("refresh", "isles", "--replace", str(path))
    path.write_bytes(old)
    os.utime(path, (OLD, OLD))
    _, bake, _, plan = islands.facts("refresh", "isles", "--replace", str(path), "--dry-run")
    assert bake == {"layer": "isles", "bake": 0, "parts": 5}
    assert 0 < plan["differ"] < plan["existed"] / 2


def test_the_list_of_layers_counts_scenes(islands: Islands) -> None:
    for changes, count in (((), "5 scenes"), (("--drop", "s[1-4].tif"), "1 scene")):
        if changes:
            islands.run("refresh", "isles", *changes)
        header, *_, line = islands.run("layers").stdout.splitlines()
        assert line[header.index("source") :].strip() == count
    assert islands.facts("layers")[0]["scenes"] == 1
    both = [str(islands.folder / f"s{number}.tif") for number in (0, 1)]
    islands.run("ingest", *both, "--layer", "done", "--bake", "finished", "--format", "webp")
    assert "2 scenes, finished" in islands.run("layers").stdout


def test_the_highest_zoom_is_kept_with_a_note_and_raised_if_asked(islands: Islands) -> None:
    fine = str(islands.scene("fine", COUNT, zoom=14))
    result = islands.run("refresh", "isles", "--add", fine)
    note = f"zoom 12 is kept although {fine} has zoom 14: add --max-zoom 14 to raise it and bake all parts again"
    assert note in result.stderr
    assert "1 of 6 parts baked, 5 as before" in result.stdout
    assert islands.facts("layers")[0]["maxzoom"] == 12
    again = islands.run("refresh", "isles", "--add", str(islands.scene("finer", COUNT, zoom=14)), "--dry-run")
    assert "is kept although" not in again.stderr
    raised = islands.run("refresh", "isles", "--drop", "s0.tif", "--max-zoom", "14", "--dry-run").output
    assert "is kept although" not in raised
    assert "0 stay as they are" in raised


def test_a_scene_of_another_kind_than_the_kept_ones_is_named_with_the_cure(islands: Islands) -> None:
    new = [str(islands.scene(name, COUNT, bands=3)) for name in ("x", "y")]
    adding = [word for path in new for word in ("--add", path)]
    drops = [word for number in range(1, COUNT) for word in ("--drop", f"s{number}.tif")]
    before = files_under(islands.folder.parent)
    result = islands.run("refresh", "isles", *adding, *drops, code=2)
    assert files_under(islands.folder.parent) == before
    assert f"2 of 3 scenes differ from the others: {new[0]} (3 bands instead of 1" in result.output
    assert "add --bands 1 to show one band of all" in result.output
    assert "2 added" in islands.run("refresh", "isles", *adding, "--bands", "1", "--dry-run").stdout


@pytest.mark.parametrize("how", ["list", "changes"])
def test_options_of_reading_apply_to_scenes_that_did_not_change(how: str, islands: Islands) -> None:
    changes = (str(islands.folder),) if how == "list" else ("--drop", "s0.tif")
    _, bake, *_ = islands.facts("refresh", "isles", *changes, "--nodata", "100", "--dry-run")
    assert bake["bake"] == bake["parts"] >= COUNT - 1
    _, bake, *_ = islands.facts("refresh", "isles", *changes, "--attribution", "me", "--dry-run")
    assert bake["bake"] == 0
