"""A fingerprint changes when, and only when, the files of a scene change."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.files import described
from tests.support.rangeserver import serving
from tests.support.rasters import MakeRaster, Recipe, scene, write_raster
from tiler.errors import BadSource, StoreError
from tiler.raster.datasets import OpenOptions
from tiler.raster.options import Options
from tiler.scenes import source_files
from tiler.scenes.fingerprint import files_of, fingerprint
from tiler.scenes.scene import Listed

LONG_AGO = 10**18  # nanoseconds: 2001


def mark(path: Path | str, **options: Any) -> str:
    text = fingerprint(Listed("a", str(path)), Options(), **options)
    assert len(text) <= 40
    return text


def aged(path: Path, when: int = LONG_AGO) -> Path:
    os.utime(path, ns=(when, when))
    return path


@pytest.fixture
def raster(make_raster: MakeRaster) -> Path:
    return aged(make_raster(values=scene(50, 60, 1)))


def rewritten(path: Path) -> None:
    aged(write_raster(path, Recipe(values=scene(300, 60, 1, seed=8))))


def touched(path: Path) -> None:
    aged(path, LONG_AGO + 1)


def grown(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")
    aged(path)


def beside(ending: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        aged(path.with_name(path.name + ending), LONG_AGO) if path.with_name(path.name + ending).exists() else None
        path.with_name(path.name + ending).write_bytes(b"<PAMDataset/>" if ending == ".aux.xml" else b"other")
        aged(path.with_name(path.name + ending))

    return change


CHANGES = [rewritten, touched, grown, *(beside(ending) for ending in (".aux.xml", ".ovr", ".msk"))]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_a_file_or_a_sidecar_changes_it(change: Callable[[Path], None], raster: Path) -> None:
    before = mark(raster)
    assert mark(raster) == before
    change(raster)
    assert mark(raster) != before


def test_the_world_file_and_removed_sidecars_count(raster: Path) -> None:
    before = mark(raster)
    world = aged_text(raster.with_suffix(".tfw"))
    assert mark(raster) != before
    world.unlink()
    assert mark(raster) == before


def aged_text(path: Path) -> Path:
    path.write_text("1\n0\n0\n-1\n0\n0\n")
    return aged(path)


def test_other_files_and_the_folder_do_not_count(raster: Path, tmp_path: Path) -> None:
    before = mark(raster)
    (tmp_path / "other.tif").write_text("")
    (tmp_path / "source.txt").write_text("")
    (tmp_path / "moved").mkdir()
    assert mark(shutil.copy2(raster, tmp_path / "moved" / "renamed.tif")) == before
    assert mark(raster) == before == mark(f"file://{raster}")


@pytest.mark.parametrize("change", [rewritten, touched, grown, beside(".ovr")])
def test_the_members_of_a_vrt_count(change: Callable[[Path], None], raster: Path, tmp_path: Path) -> None:
    inner = aged(described(tmp_path / "inner.vrt", raster.name))
    outer = aged(described(tmp_path / "outer.vrt", inner.name))
    before = mark(outer)
    assert mark(outer) == before
    change(raster)
    assert mark(outer) != before


def test_a_vrt_of_a_forbidden_file_has_none(tmp_path: Path) -> None:
    with pytest.raises(BadSource, match="--trust-source"):
        mark(described(tmp_path / "a.vrt", "/vsicurl/http://127.0.0.1:9/a.tif"))


def test_the_files_are_among_those_that_gdal_reads(raster: Path, tmp_path: Path) -> None:
    outer = described(tmp_path / "outer.vrt", raster.name)
    names, far = files_of(str(outer), OpenOptions())
    assert set(names) == set(source_files.beneath(str(outer)).files)
    assert not far


def test_by_content_only_the_content_counts(raster: Path) -> None:
    before = mark(raster, checksum=True)
    touched(raster)
    assert mark(raster, checksum=True) == before
    data = raster.read_bytes()
    raster.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    aged(raster)
    assert mark(raster, checksum=True) != before


@cache
def folder() -> Path:
    return Path(tempfile.mkdtemp())


@given(st.binary(max_size=99), st.binary(max_size=99))
def test_equal_contents_and_only_they_have_equal_checksums(one: bytes, other: bytes) -> None:
    for name, data in (("one.tif", one), ("other.tif", other)):
        (folder() / name).write_bytes(data)
    assert (mark(folder() / "one.tif", checksum=True) == mark(folder() / "other.tif", checksum=True)) == (one == other)


def test_a_file_that_changed_just_now_is_hashed(raster: Path) -> None:
    """It may change again with the same size and time; the next fingerprint is by content too, so it stays equal."""
    now = time.time_ns()
    before = mark(aged(raster, now))
    data = raster.read_bytes()
    raster.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert mark(aged(raster, now)) != before
    raster.write_bytes(data)
    aged(raster)
    assert mark(raster, before=before) == before
    assert mark(raster) != before


@pytest.mark.parametrize("seconds", [-1.5, 0, 3600])
def test_a_time_near_now_or_later_is_no_proof(seconds: float, raster: Path) -> None:
    assert mark(aged(raster, time.time_ns() + int(seconds * 1e9))).startswith("c")


def test_an_object_on_the_web_has_its_version_without_the_query(raster: Path, tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        url = f"{served.url}/{raster.name}"
        before = mark(url)
        assert before == mark(url) == mark(f"/vsicurl/{url}")
        served.weather("503")
        with pytest.raises(StoreError) as failed:
            mark(f"{url}?sig=SECRET")
        served.weather("403")
        with pytest.raises(BadSource, match="check its address, or renew the link if it is signed") as refused:
            mark(f"{url}?sig=SECRET")
        with pytest.raises(BadSource, match="--replace LINK`\\), because query strings are never stored"):
            mark(url)
        served.weather("drop")
        with pytest.raises(StoreError) as dropped:
            mark(f"{url}?sig=SECRET")
    assert "SECRET" not in f"{failed.value}{refused.value}{dropped.value}"
