"""Layers of many scenes by the Python API: several sources, their list, changes, and wrong arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import seeder
from tests.support.clock import nothing_in_flight
from tests.support.files import snapshot
from tests.support.rasters import Recipe, scene, write_raster

BOXES = {"a": (5.0, 45.0, 7.0, 47.0), "b": (6.5, 45.0, 8.5, 47.0), "c": (6.0, 46.5, 8.0, 48.0)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three scenes."""
    nothing_in_flight(monkeypatch)
    (tmp_path / "rasters").mkdir()
    for seed, (name, box) in enumerate(BOXES.items()):
        write_raster(tmp_path / "rasters" / f"{name}.tif", Recipe(values=scene(60, 60, seed=seed), bounds=box))
    return tmp_path / "rasters"


@pytest.fixture
def land(folder: Path) -> seeder.Layer:
    """The layer of the scenes a and b."""
    return seeder.open(folder.parent / "data").ingest([folder / "a.tif", folder / "b.tif"], "land", jobs=1)


def names(layer: seeder.Layer) -> list[str]:
    """The file names of the scenes, the lowest first."""
    return [Path(each.address).name for each in layer.scenes()]


def test_sources_are_scenes_and_a_folder_names_its_layer(folder: Path) -> None:
    ws = seeder.open(folder.parent / "data")
    layer = ws.ingest(folder, overlap="first", checksum=True, jobs=1)
    assert (layer.name, names(layer)) == ("rasters", ["c.tif", "b.tif", "a.tif"])
    assert all(each.fingerprint.startswith("c") for each in layer.scenes())
    one = ws.ingest([folder / "a.tif"], jobs=1)  # a list of one is that one
    assert one.name == "a"
    with pytest.raises(seeder.errors.BadOption, match="made of one raster"):
        one.scenes()


def test_scenes_are_added_replaced_and_dropped(folder: Path, land: seeder.Layer) -> None:
    assert land.refresh(add=folder / "c.tif", jobs=1).passed
    assert names(land) == ["a.tif", "b.tif", "c.tif"]
    assert land.refresh(replace=[str(folder / "a.tif")], drop=["b*"], overlap="first", jobs=1).passed
    assert names(land) == ["c.tif", "a.tif"]
    assert land.refresh([folder / "b.tif", folder / "a.tif"], overlap="last", jobs=1).passed
    assert names(land) == ["b.tif", "a.tif"]


def test_options_without_a_source_apply_to_the_scenes_of_the_layer(land: seeder.Layer, folder: Path) -> None:
    assert land.refresh(overlap="first", jobs=1).passed
    assert names(land) == ["b.tif", "a.tif"]
    assert land.refresh(bands=[3, 2, 1], jobs=1).passed
    one = seeder.open(folder.parent / "data").ingest(folder / "c.tif", jobs=1)
    for given in ({"overlap": "first"}, {"nodata": 3}, {"checksum": True}):
        with pytest.raises(seeder.errors.BadOption, match="raster options need SOURCE: run `seeder refresh c SOURCE"):
            one.refresh(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"source": []}, "give one source or more"),
        ({"source": 7}, "source=7 is invalid: give a path, or a list of paths"),
        ({"source": [None]}, "source=None is invalid: give a path"),
        ({"source": "a.tif", "add": "c.tif"}, "SOURCE lists all scenes: leave it out, or leave out `add`"),
        ({"drop": "z.tif"}, "no scene of layer 'land' matches 'z.tif'"),
        ({"add": b"c.tif"}, "give a path, or a list of paths"),
        ({"overlap": "best", "add": "c.tif"}, "choose one of last, first, newest, finest"),
        ({"checksum": 1, "add": "c.tif"}, "give True or False"),
        ({"asset": 1, "add": "c.tif"}, "give a string"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused_and_change_nothing(
    land: seeder.Layer, tmp_path: Path, given: dict[str, Any], why: str
) -> None:
    before = snapshot(tmp_path / "data")
    with pytest.raises(seeder.errors.BadOption, match=why):
        land.refresh(**given)
    assert snapshot(tmp_path / "data") == before


def test_several_sources_need_a_name(folder: Path) -> None:
    ws = seeder.open(folder.parent / "data")
    for source in ([folder / "a.tif", folder / "b.tif"], f"{folder}/*.tif"):
        with pytest.raises(seeder.errors.BadOption, match="name the layer of these sources: add `layer` NAME"):
            ws.ingest(source)
    assert not (folder.parent / "data").exists()
