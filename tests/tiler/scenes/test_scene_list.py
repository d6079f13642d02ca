"""The stored list gives back the scenes, and no query string is in it."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from tests.support.rasters import MakeRaster, scene
from tests.support.scenes import made, many, scenes_of
from tiler.choices import OVERLAPS, Overlap
from tiler.errors import CatalogError, NewerMetadata
from tiler.raster.reading import Reading
from tiler.scenes import scene_list
from tiler.scenes.scene import Scene
from tiler.scenes.scene_list import SceneList, dump, parse

KEY = "sources/relief/scenes.json"
KINDS: list[dict[str, Any]] = [
    {"crs": CRS.from_epsg(32632), "transform": (0.1, 1 / 3, 4e5, -1 / 3, -0.1, 5.3e6)},
    {"crs": CRS.from_proj4("+proj=laea +lat_0=10 +lon_0=20 +datum=WGS84")},
    {"palette": ((0, 0, 0, 0), (1, 2, 3, 255)), "reading": Reading((1,))},
    {"reading": Reading((2,), alpha=4, top=1.0, nodata=(18446744073709551615,), masked=True, soft=True, inverted=3.0)},
    {"reading": Reading((1, 2, 3), nodata=(None, 0.1, -1e38))},
]


@given(many(), st.sampled_from(OVERLAPS), st.text())
def test_a_list_comes_back(scenes: list[Scene], overlap: Overlap, asset: str) -> None:
    mixed = tuple(replace(each, **KINDS[number % len(KINDS)]) for number, each in enumerate(scenes))
    assert parse(dump(mixed, overlap, asset), KEY) == SceneList(mixed, overlap, asset)


def test_scenes_of_files_come_back(make_raster: MakeRaster) -> None:
    scenes = scenes_of([make_raster(values=scene(bands=1), crs="EPSG:4258")])
    assert parse(dump(scenes), KEY).scenes == scenes


def test_a_large_list_is_compressed_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = tuple(made(f"/data/orthophotos/2026/tile-{number:06}.tif") for number in range(300))
    plain = dump(scenes)
    monkeypatch.setattr(scene_list, "UNCOMPRESSED", len(plain) - 1)
    data = dump(scenes)
    assert data == dump(scenes)
    assert len(data) < len(plain) / 2
    assert zlib.decompress(data, 31) == plain
    assert parse(data, KEY).scenes == scenes
    for broken in (data[:-9], data[: len(data) // 2], data[:100] + b"?" + data[101:]):
        with pytest.raises(CatalogError, match=KEY):
            parse(broken, KEY)


@pytest.mark.parametrize(
    "path",
    [
        "https://a.test/b.tif?sig=SECRET",
        "https://me:SECRET@a.test/b.tif",
        "/vsicurl/https://a.test/b.tif?sig=SECRET",
        "/vsicurl?url=a&k=SECRET",
        "/vsitar/vsicurl?url=a&k=SECRET",
    ],
)
def test_no_query_string_is_stored(path: str) -> None:
    data = dump([made("https://a.test/b.tif", path=path)])
    assert b"SECRET" not in data
    assert parse(data, KEY).scenes[0].listed.path in ("https://a.test/b.tif", "/vsicurl/https://a.test/b.tif")


def test_a_question_mark_in_the_name_of_a_file_stays() -> None:
    odd = made("what?.tif", path="/data/what?.tif")
    assert parse(dump([odd]), KEY).scenes == (odd,)


def test_a_scene_of_a_remote_list_stays_one() -> None:
    scene = made("https://a.test/b.tif")
    strange = replace(scene, listed=replace(scene.listed, strange=True))
    assert parse(dump([strange, scene]), KEY).scenes == (strange, scene)


def damaged() -> list[bytes]:
    fields = json.loads(dump([made()]))
    row = fields["scenes"][0]
    rows = [[*row[:at], wrong, *row[at + 1 :]] for at in (3, *range(5, len(row))) for wrong in (None, [], [1], -7, "x")]
    changes = [{"overlap": "both"}, {"crs": ["nowhere"]}, {"readings": [{}]}, {"version": 0}, {"scenes": [[]]}]
    return [
        *(b"", b"[]", b"\x1f\x8b", b"null", b"{}"),
        *(json.dumps(fields | change).encode() for change in changes),
        *(json.dumps(fields | {"scenes": [row]}).encode() for row in rows),
    ]


@pytest.mark.parametrize("data", damaged())
def test_a_damaged_list_is_an_error_that_names_it(data: bytes) -> None:
    with pytest.raises(CatalogError, match=KEY):
        parse(data, KEY)


def test_a_list_of_a_newer_version_is_not_guessed() -> None:
    with pytest.raises(NewerMetadata):
        parse(json.dumps(json.loads(dump([])) | {"version": 2}).encode(), KEY)


def test_the_paths_of_local_scenes_are_kept(tmp_path: Path) -> None:
    scenes = (made("a.tif", path=str(tmp_path / "a.tif")),)
    assert parse(dump(scenes), KEY).scenes == scenes
