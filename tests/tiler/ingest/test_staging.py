"""Which folder an ingest bakes in, and what is said of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import seeder as library
from tests.support.commands import complaint, said, seeder
from tests.support.oracle import files_under
from tests.support.rasters import MakeRaster, scene
from tiler.errors import BadOption
from tiler.ingest import staging as stagings
from tiler.ingest.staging import Staging, kind_of
from tiler.settings import Settings
from tiler.storage.folder import move

MOUNTS = [
    "/dev/sda1 / ext4 rw 0 0",
    "proc /proc proc rw 0 0",
    "tmpfs /tmp tmpfs rw 0 0",
    "/dev/sdb1 /tmp/disk ext4 rw 0 0",
    r"none /mnt/a\040b ramfs rw 0 0",
    "tmpfs /over tmpfs rw 0 0",
    "/dev/sdc1 /over ext4 rw 0 0",
    "",
]


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/tmp/x", "ext4"),
        ("/tmp", "tmpfs"),
        ("/tmp/ingest-1", "tmpfs"),
        ("/tmpfolder", "ext4"),
        ("/tmp/disk/x", "ext4"),
        ("/mnt/a b/c", "ramfs"),
        ("/over/x", "ext4"),
    ],
)
def test_the_deepest_and_last_mount_tells_the_file_system(folder: str, kind: str) -> None:
    assert kind_of(Path(folder), MOUNTS) == kind


def test_the_folder_is_the_users_or_beside_the_data_or_of_tmpdir_or_survives_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, given, temporary, lasting = (tmp_path / name for name in ("data/private", "given", "temporary", "lasting"))
    lasting.mkdir()
    monkeypatch.setattr(stagings, "AFTER_REBOOT", lasting)
    monkeypatch.setattr(stagings.tempfile, "gettempdir", lambda: str(tmp_path))
    both = Staging(str(given), str(temporary))
    assert both.parent(root) == both.parent(None) == given
    assert Staging("", str(temporary)).parent(root) == tmp_path / "data" / "scratch"
    assert Staging("", str(temporary)).parent(None) == temporary
    assert Staging().parent(None) == lasting
    lasting.rmdir()
    assert Staging().parent(None) == tmp_path


def test_tmpdir_is_a_setting() -> None:
    assert Settings.from_env({"TMPDIR": "/fast"}).temporary == "/fast"
    assert Settings.from_env({}).temporary == ""


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_folder_that_cannot_be_written_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch(mode=0o600)
    with pytest.raises(BadOption, match=r"file.*choose another with --scratch DIR"):
        Staging(str(tmp_path / name)).parent(None)


def test_a_folder_in_memory_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    mounts = tmp_path / "mounts"
    monkeypatch.setattr(stagings, "MOUNTS", mounts)
    staging = Staging(note=notes.append)
    staging.check_disk(tmp_path)  # there is no such list but on Linux
    mounts.write_text("/dev/sda1 / ext4 rw 0 0\n")
    staging.check_disk(tmp_path)
    assert notes == []
    mounts.write_text(f"tmpfs {tmp_path} tmpfs rw 0 0\n")
    staging.check_disk(tmp_path / "below")
    assert notes == [f"the scratch folder {tmp_path}/below is in memory: choose one on a disk with --scratch DIR"]


def test_the_option_names_the_folder_of_a_bake(
    make_raster: MakeRaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = make_raster(values=scene(99, 99)), list[Path]()
    monkeypatch.setattr(Staging, "check_disk", lambda _, folder: seen.append(folder))
    words = ("--data", tmp_path / "data", "--scratch", tmp_path / "given", "--jobs", 1, "--json")
    said(seeder("ingest", path, *words))
    other = make_raster(values=scene(101, 99), name="next.tif")
    assert seeder("refresh", "source", other, *words).exit_code == 0
    assert seen == [tmp_path / "given"] * 2
    assert files_under(tmp_path / "given") == {}
    assert not (tmp_path / "data" / "scratch").exists()
    (tmp_path / "file").touch()
    third = make_raster(values=scene(102, 99), name="third.tif")
    assert "--scratch DIR" in complaint(
        seeder("ingest", third, "--data", tmp_path / "data", "--scratch", tmp_path / "file")
    )


def test_the_argument_names_it_too(make_raster: MakeRaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []
    monkeypatch.setattr(Staging, "check_disk", lambda _, folder: seen.append(folder))
    workspace = library.open(tmp_path / "data")
    layer = workspace.ingest(make_raster(values=scene(99, 99)), jobs=1, scratch=tmp_path / "given")
    layer.refresh(
        make_raster(values=scene(101, 99), name="next.tif"), jobs=1, hurry=True, scratch=str(tmp_path / "given")
    )
    assert seen == [tmp_path / "given"] * 2
    with pytest.raises(BadOption, match="scratch=5 is invalid: give a path"):
        workspace.ingest("none.tif", scratch=5)  # type: ignore[arg-type] - what it refuses
    (tmp_path / "file").touch()
    third = make_raster(values=scene(102, 99), name="third.tif")
    with pytest.raises(BadOption, match="choose another with `scratch`"):
        workspace.ingest(third, jobs=1, scratch=tmp_path / "file")


def _another_disk(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make renames out of a folder fail as between disks."""
    replace: Callable[..., None] = os.replace

    def across(source: Any, target: Any) -> None:
        if Path(source).is_relative_to(folder) and not Path(target).is_relative_to(folder):
            raise OSError(errno.EXDEV, "Invalid cross-device link", str(source))
        replace(source, target)

    monkeypatch.setattr(os, "replace", across)


def test_a_scratch_folder_may_lie_on_another_disk(
    make_raster: MakeRaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, given = make_raster(values=scene(99, 99)), tmp_path / "given"
    plain = said(seeder("ingest", path, "--data", tmp_path / "plain", "--jobs", 1, "--json"))
    _another_disk(monkeypatch, given)
    words = ("--data", tmp_path / "data", "--scratch", given, "--jobs", 1, "--json")
    assert said(seeder("ingest", path, *words)) == plain
    one, other = (sorted((tmp_path / name / "private").rglob("*.tif")) for name in ("plain", "data"))
    assert [(file.name, file.read_bytes()) for file in one] == [(file.name, file.read_bytes()) for file in other] != []
    assert [file.name for file in other[0].parent.iterdir() if "#" in file.name] == []


def test_a_move_that_fails_halfway_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, target = tmp_path / "given", tmp_path / "data" / "index.tif"
    for file, text in ((given / "index.tif", "new"), (target, "old")):
        file.parent.mkdir()
        file.write_text(text)
    _another_disk(monkeypatch, given)

    def full(_source: Path, staged: Path) -> None:
        staged.write_text("ne")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfile", full)
        with pytest.raises(OSError, match="No space"):
            move(given / "index.tif", target)
    assert {path.name: path.read_text() for path in target.parent.iterdir()} == {"index.tif": "old"}
    move(given / "index.tif", target)
    assert target.read_text() == "new"
    assert not (given / "index.tif").exists()
