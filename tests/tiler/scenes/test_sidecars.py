"""The files beside a raster are those on disk, whenever they came."""

from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.effort import examples
from tiler.scenes import sidecars
from tiler.scenes.sidecars import beside, existing

NAMES = [*beside("a.tif")]
OLD = 10**18  # ns since 1970


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(["file", "link", "folder", "none"])), max_size=8),
    st.booleans(),
)
@settings(max_examples=examples(40), deadline=None)
def test_existing_files_are_found_after_each_change(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, str]], settled: bool
) -> None:
    folder = tmp_path_factory.mktemp("folder")
    for number, (name, kind) in enumerate(changes):
        path = folder / name
        if path.is_dir():
            path.rmdir()
        path.unlink(missing_ok=True)
        if kind == "file":
            path.touch()
        elif kind == "link":  # its target comes later, which is no change of the folder
            path.symlink_to(folder.with_name(f"{folder.name}-target"))
        elif kind == "folder":
            path.mkdir()
        if settled:
            os.utime(folder, ns=(OLD + number, OLD + number))
        for _ in range(2):
            assert [each.name for each in existing(folder, NAMES)] == [
                each for each in NAMES if (folder / each).is_file()
            ]
            folder.with_name(f"{folder.name}-target").touch()


def test_a_folder_is_listed_once(tmp_path: Path) -> None:
    (tmp_path / "a.tfw").touch()
    os.utime(tmp_path, ns=(OLD, OLD))
    with patch.object(sidecars.os, "scandir", side_effect=os.scandir) as listed:
        for _ in range(5):
            assert [*existing(tmp_path, NAMES)] == [tmp_path / "a.tfw"]
    assert listed.call_count == 1


def test_a_large_folder_is_not_held(tmp_path: Path) -> None:
    for name in ("a.tfw", "b", "c"):
        (tmp_path / name).touch()
    os.utime(tmp_path, ns=(OLD, OLD))
    with patch.object(sidecars, "MOST_NAMES", 2):
        assert [*existing(tmp_path, NAMES)] == [tmp_path / "a.tfw"]
