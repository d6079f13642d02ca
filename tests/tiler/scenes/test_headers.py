"""Headers of many scenes: as the survey of each, all faults at once, nothing read twice."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.support.files import described
from tests.support.rasters import MakeRaster, Recipe, scene, write_raster
from tests.support.scenes import listed, scenes_of, silent
from tiler.errors import BadOption, BadScenes, BadSource
from tiler.ingest.survey import survey
from tiler.raster.datasets import forget, opened
from tiler.raster.options import Options
from tiler.raster.place import lonlat_bounds, resolution_of
from tiler.raster.sample import look_at_alpha, opaque_alpha
from tiler.scenes import headers, safe_open
from tiler.scenes.headers import read_scenes
from tiler.scenes.scene import Listed

UTM = {"crs": "EPSG:32632", "bounds": (4e5, 5.2e6, 4.4e5, 5.24e6)}
CLASSES = {0: (0, 0, 0, 0), 1: (10, 20, 30, 255), 2: (200, 20, 30, 255)}


def soft(height: int, width: int) -> Any:
    return np.linspace(0, 255, height * width).reshape(height, width).astype(np.uint8)


RECIPES: dict[str, Recipe] = {
    "rgb": Recipe(values=scene(60, 50)),
    "utm": Recipe(values=scene(60, 50), **UTM),
    "alpha": Recipe(values=np.concatenate([scene(60, 50), soft(60, 50)[None]]), alpha=True, **UTM),
    "alpha of 0 and 1": Recipe(values=np.concatenate([scene(60, 50), soft(60, 50)[None] > 9]), alpha=True),
    "alpha of 16 bits": Recipe(values=np.full((4, 40, 40), 65535, np.uint16), alpha=True),
    "mask": Recipe(values=scene(60, 50), mask=soft(60, 50)),
    "nodata": Recipe(values=scene(60, 50, 1).astype(np.int16), nodata=-9999),
    "doubles": Recipe(values=scene(60, 50, 1).astype(np.float64), nodata=-1e38, crs="EPSG:4258"),
    "palette": Recipe(values=scene(60, 50, 1) % 3, palette=CLASSES),
    "across": Recipe(values=scene(60, 50), bounds=(170, -10, 190, 10)),
    "pole": Recipe(values=scene(60, 50), crs="EPSG:3031", bounds=(-2e6, -2e6, 2.1e6, 2e6)),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_scene_is_as_rasterio_and_the_survey_see_it(name: str, tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", RECIPES[name])
    (each,) = scenes_of([path])
    with rasterio.open(path) as dataset:
        assert each.crs == dataset.crs
        assert each.size == (dataset.width, dataset.height)
        assert each.transform == dataset.transform[:6]
        assert each.bounds == lonlat_bounds(dataset)
        assert each.resolution == resolution_of(dataset)
    whole = survey(str(path), Options())
    assert (each.reading, each.bounds, each.dtype) == (whole.reading, whole.bounds, whole.dtype)
    assert each.palette == whole.style.palette
    assert each.listed == Listed("a.tif", str(path))


def test_options_apply_to_every_scene(make_raster: MakeRaster) -> None:
    paths = [make_raster(values=scene(60, 50, 4), name=f"{at}.tif", **UTM) for at in range(2)]
    asked: dict[str, Any] = {"bands": (4,), "nodata": 7.0, "crs": "EPSG:32633"}
    for each, path in zip(scenes_of(paths, **asked), paths, strict=True):
        whole = survey(str(path), Options(**asked))
        assert (each.reading, each.bounds) == (whole.reading, whole.bounds)
        assert each.crs.to_epsg() == 32633


def test_a_vrt_is_a_scene_and_its_members_are_checked(make_raster: MakeRaster, tmp_path: Path) -> None:
    make_raster(values=scene(50, 60, 1), name="member.tif")
    good = described(tmp_path / "good.vrt", "member.tif")
    (each,) = scenes_of([good])
    assert each.bounds == survey(str(good), Options()).bounds
    bad = described(tmp_path / "bad.vrt", "/vsicurl/http://127.0.0.1:9/a.tif")
    with pytest.raises(BadSource, match=r"bad\.vrt: it refers to .*--trust-source"):
        scenes_of([bad])


def pointing(path: Path) -> None:
    """A sidecar that refers to overviews elsewhere."""
    path.with_name(f"{path.name}.aux.xml").write_text(
        "<PAMDataset><Metadata domain='OVERVIEWS'><MDI key='OVERVIEW_FILE'>/etc/a.ovr</MDI></Metadata></PAMDataset>"
    )


def tagged(path: Path) -> None:
    """The same in the header of the file."""
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE="/etc/a.ovr")


def overviews(path: Path) -> None:
    """Overviews that are a VRT of another file."""
    described(path.with_name(f"{path.name}.ovr"), "/vsicurl/http://127.0.0.1:9/a.tif")


@pytest.mark.parametrize("harm", [pointing, tagged, overviews])
def test_a_plain_file_is_checked_as_thoroughly(harm: Callable[[Path], None], make_raster: MakeRaster) -> None:
    path = make_raster(values=scene(50, 60, 1))
    harm(path)
    forget()
    with pytest.raises(BadSource, match=r"elsewhere|refers to"):
        scenes_of([path])


def test_a_plain_file_is_opened_once(make_raster: MakeRaster) -> None:
    path = make_raster(values=scene(50, 60))
    with patch.object(safe_open, "beneath", side_effect=AssertionError), patch.object(headers, "forget") as closed:
        scenes_of([path])
        assert closed.call_count == 1
        assert opened(str(path)) is opened(str(path))


@given(
    st.sampled_from(["uint8", "int8", "uint16", "int16", "float32", "uint32"]).flatmap(
        lambda dtype: arrays(
            dtype, (40, 40), elements=st.sampled_from([0, 1, 2, 100, 127]) if dtype != "uint16" else None, fill=None
        )
    ),
    st.sampled_from([0, 1, 200]),
)
def test_the_opaque_value_is_found_with_one_block(values: Any, top: int) -> None:
    values[0, 0] = min(top, 127 if values.dtype == np.int8 else top)
    options = (("tiled", True), ("blockxsize", 16), ("blockysize", 16))
    with rasterio.MemoryFile() as memory:
        path = memory.name
        write_raster(Path(path), Recipe(values=np.stack([values, values]), alpha=True, options=options))
        with rasterio.open(path) as dataset:
            assert opaque_alpha(dataset, 2) == look_at_alpha(dataset, 2).top


def spoiled(folder: Path, good: int) -> list[Path]:
    """Scenes of which three cannot be read."""
    paths = [write_raster(folder / f"{at}.tif", Recipe(values=scene(30, 30))) for at in range(good)]
    (folder / "text.tif").write_text("no raster")
    unplaced = write_raster(folder / "unplaced.tif", Recipe(values=scene(30, 30), crs=""))
    return [folder / "missing.tif", *paths, folder / "text.tif", unplaced]


@pytest.mark.parametrize("jobs", [1, 2])
def test_all_unreadable_scenes_are_named_at_once(jobs: int, tmp_path: Path) -> None:
    with pytest.raises(BadScenes) as caught:
        scenes_of(spoiled(tmp_path, 20), jobs=jobs)
    assert [address for address, _ in caught.value.scenes] == ["missing.tif", "text.tif", "unplaced.tif"]
    text = str(caught.value)
    assert re.match(r"3 of 23 scenes cannot be read: missing\.tif \(.*\), text\.tif \(.*\) and 1 more: remove ", text)
    assert len(caught.value.details) == 3
    assert "--crs" in caught.value.details[2]
    assert "\n" not in text


def test_one_unreadable_scene_is_named_as_a_source(tmp_path: Path) -> None:
    with pytest.raises(BadSource, match=r"^cannot ingest missing\.tif: ") as caught:
        scenes_of([tmp_path / "missing.tif"])
    assert not isinstance(caught.value, BadScenes)


def test_a_file_without_permission_is_named_with_the_others(tmp_path: Path) -> None:
    paths = spoiled(tmp_path, 2)
    with (
        patch.object(headers, "fingerprint", side_effect=PermissionError(13, "Permission denied")),
        pytest.raises(BadScenes) as caught,
    ):
        scenes_of(paths)
    assert caught.value.scenes[0] == ("missing.tif", "Permission denied")


def test_an_option_that_fits_no_scene_is_an_error_of_the_option(make_raster: MakeRaster) -> None:
    paths = [make_raster(values=scene(30, 30), name=f"{at}.tif") for at in range(3)]
    with pytest.raises(BadOption, match="--bands 4: choose"):
        scenes_of(paths, bands=(4,))
    paths.append(make_raster(values=scene(30, 30, 4), name="four.tif"))
    with pytest.raises(BadScenes, match=r"3 of 4 scenes .* 0\.tif \(--bands 4: choose"):
        scenes_of(paths, bands=(4,))


def test_scenes_differ_by_name_with_the_cure(tmp_path: Path) -> None:
    usual = [write_raster(tmp_path / f"{at}.tif", Recipe(values=scene(30, 30))) for at in range(3)]
    others = {
        "one.tif": (Recipe(values=scene(30, 30, 1)), "1 band instead of 3", "add --bands 1 "),
        "deep.tif": (Recipe(values=scene(30, 30).astype(np.uint16)), "uint16 instead of uint8", "-ot Byte"),
        "classes.tif": (RECIPES["palette"], "it has a palette, unlike 0.tif", "-expand rgb"),
    }
    paths = [write_raster(tmp_path / name, recipe) for name, (recipe, _, _) in others.items()]
    with pytest.raises(BadScenes, match="3 of 6 scenes differ from the others") as caught:
        scenes_of([*paths, *usual])
    for (address, why), (name, (_, pattern, cure)) in zip(caught.value.scenes, others.items(), strict=True):
        assert address == name
        assert re.search(pattern, why)
        assert cure in str(caught.value)
    assert len(scenes_of([usual[0], paths[0]], bands=(1,))) == 2


def test_palettes_must_be_the_same(tmp_path: Path) -> None:
    first = write_raster(tmp_path / "a.tif", RECIPES["palette"])
    other = replace(RECIPES["palette"], palette=CLASSES | {1: (9, 9, 9, 255)})
    with pytest.raises(BadScenes, match=r"b\.tif \(its palette"):
        scenes_of([first, write_raster(tmp_path / "b.tif", other)])
    with pytest.raises(BadScenes, match=r"c\.tif \(it has no palette, unlike a\.tif"):
        scenes_of([first, write_raster(tmp_path / "c.tif", Recipe(values=scene(30, 30, 1)))])


def test_masks_places_and_grids_may_differ(tmp_path: Path) -> None:
    names = ("rgb", "utm", "alpha", "mask", "across", "pole")
    paths = [write_raster(tmp_path / f"{name}.tif", RECIPES[name]) for name in names]
    assert [each.address for each in scenes_of(paths)] == [path.name for path in paths]


def test_only_scenes_that_changed_are_read_again(tmp_path: Path) -> None:
    paths = [write_raster(tmp_path / f"{at}.tif", Recipe(values=scene(30, 30))) for at in range(4)]
    for path in paths:
        os.utime(path, (1e9, 1e9))
    before = scenes_of(paths)
    write_raster(paths[2], Recipe(values=scene(20, 20)))
    with patch.object(headers, "header_of", side_effect=headers.header_of) as reads:
        found = read_scenes(
            [replace(each, date="2026-05-01") for each in listed(*paths)],
            Options(),
            jobs=1,
            progress=silent,
            known={each.address: each for each in before},
        )
    assert [Path(call.args[0]).name for call in reads.call_args_list] == ["2.tif"]
    assert found[2].size == (20, 20)
    assert [each.listed.date for each in found] == ["2026-05-01"] * 4
    assert found[0] == replace(before[0], listed=found[0].listed)


def test_progress_ends_with_all(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    paths = [write_raster(tmp_path / f"{at}.tif", Recipe(values=scene(30, 30))) for at in range(9)]
    read_scenes(listed(*paths), Options(), jobs=1, progress=lambda done, all_: seen.append((done, all_)))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1] == (9, 9)


def test_no_scene_is_no_error() -> None:
    assert scenes_of([]) == ()


def test_a_query_string_is_never_shown() -> None:
    where = "127.0.0.1:9/a.tif"
    for path in (f"http://{where}?sig=SECRET", f"/vsicurl/http://{where}?sig=SECRET"):
        with pytest.raises(BadSource) as caught:
            read_scenes([Listed(f"http://{where}", path)], Options(), jobs=1, progress=silent)
        assert "SECRET" not in f"{caught.value}"
        assert where in str(caught.value)


def test_unreadable_and_odd_scenes_are_named_at_once_with_the_whole_cure(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_raster(tmp_path / f"{name}.tif", Recipe(values=scene(30, 30, 3)))
    write_raster(tmp_path / "odd.tif", Recipe(values=scene(30, 30, 1).astype("uint16")))
    (tmp_path / "junk.tif").write_bytes(b"junk")
    with pytest.raises(BadScenes) as caught:
        scenes_of(sorted(tmp_path.iterdir()))
    assert [address for address, _ in caught.value.scenes] == ["junk.tif", "odd.tif"]
    text = str(caught.value)
    assert "1 band instead of 3, and type uint16 instead of uint8" in text
    assert "convert with `gdal_translate -ot Byte` and add --bands 1" in text
