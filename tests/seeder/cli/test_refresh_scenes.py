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
