"""Changes to the scenes of a layer: the same as a full ingest, and only the tiles that differ are put."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seeder.operations.ingest import ingest
from seeder.operations.next_source import NextSource
from seeder.operations.refresh import refresh
from seeder.operations.renew import RenewResult
from seeder.operations.report import Report
from seeder.operations.scenes import SceneChanges, ScenesChanged, Sources, listed_scenes, read_sources
from tests.support.clock import nothing_in_flight
from tests.support.data_folder import ONE, DataFolder
from tests.support.oracle import files_under
from tests.support.rangeserver import serving
from tests.support.rasters import Recipe, scene, write_raster
from tests.support.reports import Recorded
from tests.support.scene_grid import counted_puts, paint, scene_grid
from tiler.errors import BadOption, BadSource, TilerError
from tiler.layers.catalog import Layer
from tiler.raster.options import Options

PIXEL = 2 * 20037508.342789244 / 256 / 2**10  # Mercator metres of a pixel at zoom 10


@dataclass(frozen=True)
class Land(DataFolder):
    """The layer `land` of scenes in a folder."""

    rasters: Path

    @property
    def scenes(self) -> list[str]:
        """The file names of its scenes, the lowest first."""
        return [Path(each.address).name for each in listed_scenes(self.layer, self.stores.sources)]

    def ingest(self, *names: str, jobs: int = 1, **options: Any) -> Layer:
        """Ingest rasters of the folder."""
        asked = Options(**options)
        sources = Sources(tuple(str(self.rasters / name) for name in names))
        rasters = read_sources(sources, asked, Report(), jobs=1)
        return ingest(rasters, "land", asked, self.stores, Report(), jobs=jobs).layer

    def refresh(
        self,
        *names: str,
        report: Report | None = None,
        options: dict[str, Any] | None = None,
        **changes: tuple[str, ...],
    ) -> RenewResult:
        """A whole new list of rasters, or changes to the list."""
        add, replace = (
            tuple(str(self.rasters / name) for name in changes.get(verb, ())) for verb in ("add", "replace")
        )
        every = tuple(str(self.rasters / name) for name in names)
        source = NextSource(
            Sources(every), options or {}, scene_changes=SceneChanges(add, replace, changes.get("drop", ()))
        )
        return refresh("land", self.context(report), ONE, source)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fence has passed, so nothing waits."""
    nothing_in_flight(monkeypatch)


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Land:
    """Two of four scenes that overlap, all tiles stored; to be copied."""
    folder = tmp_path_factory.mktemp("land")
    boxes = {"a": (5.0, 45.0, 7.0, 47.0), "b": (6.5, 45.0, 8.5, 47.0), "c": (6.0, 46.5, 8.0, 48.0), "new/b": None}
    for seed, (name, box) in enumerate(boxes.items()):
        (folder / name).parent.mkdir(exist_ok=True)
        path = folder / f"{name}.tif"
        write_raster(path, Recipe(values=scene(90, 90, seed=seed), bounds=box or boxes["b"] or ()))
        os.utime(path, (1e9, 1e9))  # all of one size and time: only their addresses differ
    land = Land(folder / "data", folder)
    land.ingest("a.tif", "b.tif", min_zoom=4)
    land.seed()
    return land


@pytest.fixture
def land(seeded: Land, tmp_path: Path) -> Land:
    """A copy of `seeded`."""
    return Land(Path(shutil.copytree(seeded.data, tmp_path / "data")), seeded.rasters)


CHANGES: dict[str, tuple[tuple[str, ...], dict[str, tuple[str, ...]], tuple[str, ...], tuple[int, int, int, int]]] = {
    # a whole list, or changes; the scenes then; numbers added, replaced, dropped and kept
    "add": ((), {"add": ("c.tif",)}, ("a.tif", "b.tif", "c.tif"), (1, 0, 0, 2)),
    "replace": ((), {"replace": ("new/b.tif",)}, ("a.tif", "new/b.tif"), (0, 1, 0, 1)),
    "replace the lowest by itself": ((), {"replace": ("a.tif",)}, ("a.tif", "b.tif"), (0, 0, 0, 2)),
    "drop": ((), {"drop": ("b*",)}, ("a.tif",), (0, 0, 1, 1)),
    "all at once": (
        (),
        {"add": ("c.tif",), "replace": ("new/b.tif",), "drop": ("a.tif",)},
        ("new/b.tif", "c.tif"),
        (1, 1, 1, 0),
    ),
    "a whole list": (("c.tif", "b.tif"), {}, ("c.tif", "b.tif"), (1, 0, 1, 1)),
    "another order": (("b.tif", "a.tif"), {}, ("b.tif", "a.tif"), (0, 0, 0, 2)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_gives_the_tiles_of_a_full_ingest(land: Land, name: str, tmp_path: Path) -> None:
    every, changes, then, counts = CHANGES[name]
    report = Recorded()
    with counted_puts() as puts:
        before = land.tiles()
        assert land.refresh(*every, report=report, **changes).passed
    assert land.scenes == [Path(each).name for each in then]
    told = [step for step in report.steps if isinstance(step, ScenesChanged)]
    assert told == [ScenesChanged("land", *counts)]
    full = Land(tmp_path / "full", land.rasters)
    full.ingest(*then, min_zoom=4, max_zoom=land.layer.maxzoom)
    full.seed()
    expected, found = full.tiles(), land.tiles()
    assert {key: data for key, data in found.items() if expected.get(key) != data} == {}
    differing = {key for key, data in found.items() if before.get(key) != data}
    assert differing <= set(puts)
    assert {key for key in before if key not in expected} == before.keys() - found.keys()


def test_the_same_changes_again_change_nothing(land: Land) -> None:
    for changes in ({"add": ("c.tif",)}, {"replace": ("new/b.tif",)}, {"drop": ("a.tif",)}):
        land.refresh(**changes)
        index, scenes, report = land.layer, land.scenes, Recorded()
        with counted_puts() as puts:
            assert land.refresh(report=report, **changes).passed
        assert (land.layer, land.scenes, puts) == (index, scenes, [])
        (told,) = (step for step in report.steps if isinstance(step, ScenesChanged))
        assert (told.added, told.replaced, told.dropped) == (0, 0, 0)


def test_a_scene_that_was_changed_and_back_again_leaves_the_first_tiles(land: Land) -> None:
    first, layer = land.tiles(), land.layer
    land.refresh(replace=("new/b.tif",))
    assert land.tiles() != first
    land.refresh(replace=("b.tif",))
    assert land.tiles() == first
    assert land.layer.bake == layer.bake


def unreadable(land: Land) -> str:
    (land.data.parent / "text.tif").write_text("no raster")
    return str(land.data.parent / "text.tif")


def grey(land: Land) -> str:
    return str(write_raster(land.data.parent / "grey.tif", Recipe(values=scene(20, 20, 1))))


def changed(land: Land) -> str:
    """A scene of the layer, with other content."""
    path = land.rasters / "a.tif"
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 100))
    return str(path)


WRONG: dict[str, tuple[type[TilerError], str, Callable[[Land], dict[str, tuple[str, ...]]]]] = {
    "an unknown scene dropped": (BadOption, "no scene of layer 'land' matches 'z.tif'", lambda _: {"drop": ("z.tif",)}),
    "all dropped": (BadOption, "no scene would be left", lambda _: {"drop": ("*.tif",)}),
    "an unknown scene replaced": (BadOption, "no scene of layer 'land' named c.tif", lambda _: {"replace": ("c.tif",)}),
    "a missing file": (BadSource, "nowhere.tif", lambda _: {"add": ("nowhere.tif",)}),
    "no raster": (BadSource, "text.tif", lambda land: {"add": (unreadable(land),)}),
    "one good and one bad": (BadSource, "text.tif", lambda land: {"add": ("c.tif", unreadable(land))}),
    "a pattern of nothing": (BadSource, "z[*]", lambda _: {"add": ("z*.tif",)}),
    "other bands": (BadSource, "grey.tif", lambda land: {"add": (grey(land),)}),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_changes_are_raised_in_a_line_and_change_nothing(land: Land, name: str) -> None:
    error, why, changes = WRONG[name]
    given = changes(land)
    before = files_under(land.data)
    with pytest.raises(error, match=why) as caught:
        land.refresh(**given)
    assert "\n" not in str(caught.value)
    assert files_under(land.data) == before


def test_a_scene_that_changed_is_read_again_whatever_the_change(land: Land, tmp_path: Path) -> None:
    copy = Land(land.data, Path(shutil.copytree(land.rasters, tmp_path / "rasters")))
    copy.refresh("a.tif", "b.tif")
    for at, change in enumerate(({"add": ("a.tif",)}, {"add": ("c.tif",)}, {"drop": ("c.tif",)})):
        paint(copy.rasters / "a.tif", 3 + at, 3, 9, 9)
        report = Recorded()
        assert copy.refresh(report=report, **change).passed
        (told,) = (step for step in report.steps if isinstance(step, ScenesChanged))
        assert told.replaced == 1
    assert copy.scenes == ["a.tif", "b.tif"]


def test_scenes_that_are_gone_are_named_unless_they_are_dropped(land: Land, tmp_path: Path) -> None:
    copy = Land(land.data, Path(shutil.copytree(land.rasters, tmp_path / "rasters")))
    copy.refresh("a.tif", "b.tif")
    (copy.rasters / "a.tif").unlink()
    with pytest.raises(BadSource, match=r"a\.tif"):
        copy.refresh(add=("c.tif",))
    assert copy.refresh(drop=("a.tif",), add=("c.tif",)).passed
    assert copy.scenes == ["b.tif", "c.tif"]


def test_the_scenes_of_one_raster_cannot_be_changed(land: Land) -> None:
    land.ingest("a.tif")
    with pytest.raises(BadOption, match="made of one raster: ingest all of its scenes"):
        land.refresh(add=("c.tif",))


@pytest.mark.parametrize("changes", [{}, {"add": ("c.tif",)}])
def test_options_of_how_scenes_are_read_apply_to_all_scenes(
    land: Land, tmp_path: Path, changes: dict[str, tuple[str, ...]]
) -> None:
    every = () if changes else ("a.tif", "b.tif")
    assert land.refresh(*every, options={"bands": (3, 2, 1)}, **changes).passed
    full = Land(tmp_path / "full", land.rasters)
    full.ingest("a.tif", "b.tif", *changes.get("add", ()), min_zoom=4, bands=(3, 2, 1))
    full.seed()
    expected = full.tiles()
    assert {key for key, data in land.tiles().items() if expected.get(key) != data} == set()


@pytest.fixture
def twins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Land:
    """Two scenes of one name in folders that a link leads to, and one more; the working folder is above them."""
    for at, name in enumerate(("real/a/t", "real/b/t", "real/b/[u]")):
        (path := tmp_path / f"{name}.tif").parent.mkdir(parents=True, exist_ok=True)
        write_raster(path, Recipe(values=scene(40, 40, seed=at), bounds=(7.0 + at, 45.0, 8.0 + at, 46.0)))
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path / "real")
    land = Land(tmp_path / "data", tmp_path / "link")
    land.ingest("a", "b")
    return land


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("a/t.tif", ["b/[u].tif", "b/t.tif"]),
        ("./b/../a/t.tif", ["b/[u].tif", "b/t.tif"]),
        ("{link}/a/t.tif", ["b/[u].tif", "b/t.tif"]),
        ("{real}/a/t.tif", ["b/[u].tif", "b/t.tif"]),
        ("[u].tif", ["a/t.tif", "b/t.tif"]),
        ("t*", ["b/[u].tif"]),
        ("*/t.tif", ["b/[u].tif"]),
        ("b/*", ["a/t.tif"]),
        ("../real/b/*.tif", ["a/t.tif"]),
        ("{real}/b/*.tif", ["a/t.tif"]),
        ("{link}/b/*.tif", ["a/t.tif"]),
    ],
)
def test_a_scene_is_dropped_by_each_name_it_has(twins: Land, name: str, left: list[str]) -> None:
    twins.refresh(drop=(name.format(link=twins.rasters, real=Path.cwd()),))
    kept = listed_scenes(twins.layer, twins.stores.sources)
    assert [each.address for each in kept] == [f"{twins.rasters}/{each}" for each in left]


def test_a_name_of_several_scenes_is_refused_with_their_addresses(twins: Land) -> None:
    why = f"2 scenes of layer 'land' are named t.tif, {twins.rasters}/a/t.tif, {twins.rasters}/b/t.tif"
    with pytest.raises(BadOption, match=rf"^{why}: give the address of one, or '\*/t.tif' for all$"):
        twins.refresh(drop=("t.tif",))
    (twins.rasters / "t.tif").write_bytes((twins.rasters / "a" / "t.tif").read_bytes())
    with pytest.raises(BadOption, match="use --drop for the old scenes and --add for the new one"):
        twins.refresh(replace=("t.tif",))


def test_a_scene_that_is_reached_by_another_path_is_the_same(twins: Land) -> None:
    index = twins.layer
    for path in ("a/t.tif", "../real/a/t.tif", str(Path.cwd() / "a" / "t.tif")):
        for verb in ("add", "replace"):
            report, changes = Recorded(), SceneChanges(**{verb: (path,)})
            source = NextSource(Sources(()), {}, scene_changes=changes)
            assert refresh("land", twins.context(report), ONE, source).passed
            assert [step for step in report.steps if isinstance(step, ScenesChanged)] == [
                ScenesChanged("land", 0, 0, 0, 3)
            ]
    assert twins.layer == index


def test_signed_links_are_given_again_as_the_error_says(tmp_path: Path) -> None:
    for at in range(2):
        write_raster(tmp_path / f"{at}.tif", Recipe(values=scene(40, 40, seed=at)))
    with serving(tmp_path) as served:
        served.weather("signed")
        links = tuple(f"{served.url}/{at}.tif?sig=SECRET" for at in range(2))
        land = Land(tmp_path / "data", tmp_path)
        first = read_sources(Sources(links), Options(), Report(), jobs=1)
        index = ingest(first, "land", Options(), land.stores, Report(), jobs=1).layer

        def changed(**changes: tuple[str, ...]) -> RenewResult:
            source = NextSource(Sources(()), {}, scene_changes=SceneChanges(**changes))
            return refresh("land", land.context(), ONE, source)

        with pytest.raises(BadSource, match=r"HTTP status 403: .* \(`seeder refresh LAYER --replace LINK`\)") as caught:
            changed(add=links[:1])
        assert "SECRET" not in str(caught.value)
        assert changed(replace=links).passed
        assert land.layer == index


# A hundred scenes


@pytest.fixture(scope="module")
def hundred(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Land]:
    """A hundred scenes of 1,200 x 1,200 pixels, off the grid of tiles; all tiles of zooms 0 to 10 are stored."""
    folder = tmp_path_factory.mktemp("hundred")
    west, north = (37.3 - 300 * 256) * PIXEL, (200 * 256 + 11.7) * PIXEL
    scene_grid(folder / "scenes", 10, side=1200, pixel=PIXEL, west=west, north=north)
    land = Land(folder / "data", folder)
    layer = land.ingest("scenes", jobs=2)
    assert (layer.scenes, layer.minzoom, layer.maxzoom) == (100, 0, 10)
    land.seed()
    yield land
    shutil.rmtree(folder)


def test_of_a_hundred_scenes_one_changed_and_twelve_tiles_are_put_at_most(hundred: Land) -> None:
    before = hundred.tiles()
    assert len(before) > 2900
    times = {key: (hundred.data / "tiles" / key).stat().st_mtime_ns for key in before}
    parts = {each.key: each.modified for each in hundred.stores.sources.list("sources/land/parts/")}
    paint(hundred.rasters / "scenes" / "scene-4-5.tif", 430, 600, 120, 100)  # within one tile of the base
    with counted_puts() as puts:
        result = hundred.refresh("scenes")
    assert result.passed
    after = hundred.tiles()
    differing = {key for key, data in after.items() if before[key] != data}
    assert 0 < len(differing) <= len(puts) <= 12
    assert differing <= set(puts)
    assert len(puts) == len(set(puts))
    assert after.keys() == before.keys()
    untouched = before.keys() - set(puts)
    assert {key: (hundred.data / "tiles" / key).stat().st_mtime_ns for key in untouched} == {
        key: times[key] for key in untouched
    }
    now = {each.key: each.modified for each in hundred.stores.sources.list("sources/land/parts/")}
    pixels = {key for key in parts if key.endswith(".tif")}
    assert {key: now[key] for key in pixels} == {key: parts[key] for key in pixels}, "a part was written again"
    assert len([key for key in now if key.endswith(".tif") and key not in parts]) <= 5


FROZEN: dict[str, dict[str, Any]] = {
    "contours": {"style": "contours"},
    "contours at an interval": {"style": "contours", "interval": (50.0,)},
    "relief": {"style": "relief"},
    "relief by shares": {"style": "relief", "colormap": "0% 0 90 40 255\n100% 250 250 250 255\n"},
    "a colormap": {"colormap": "viridis"},
    "a colormap by shares": {"colormap": "0% 0 90 40 255\n100% 250 250 250 255\n"},
    "a light": {"style": "hillshade", "azimuth": 20.0},
}


@pytest.mark.parametrize("name", FROZEN)
def test_other_scenes_leave_ranges_colours_and_contours_as_they_are(name: str, tmp_path: Path) -> None:
    for number, steepness in enumerate((40, 60, 9000)):
        values = scene(90, 90, seed=number)[:1].astype(np.float32) / 255 * steepness
        write_raster(tmp_path / f"{number}.tif", Recipe(values=values, bounds=(5.0 + number, 45.0, 6.0 + number, 46.0)))
    land = Land(tmp_path / "data", tmp_path)
    land.ingest("0.tif", "1.tif", **FROZEN[name])
    first = land.layer
    land.refresh(add=("2.tif",), drop=("0.tif",))
    assert land.layer.revision != first.revision
    assert land.layer.style == first.style
    full = Land(tmp_path / "full", tmp_path)
    full.ingest("1.tif", "2.tif", **FROZEN[name])
    assert (full.layer.style == first.style) == (name == "a light")
    if first.style.intervals:
        land.refresh(add=("2.tif",), options={"interval": (2.0,)})
        assert land.layer.style.intervals[-1] == 2
