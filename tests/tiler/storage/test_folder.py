"""Permission errors are recognized in any wording; new folders are removed after an error, and no others."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tiler.errors import StoreError
from tiler.storage.folder import forbidden, permission_needed, removed_on_error

TEXT = "Generic LocalFileSystem error: Unable to open file /srv/tiles/a.png#1: {} (os error {})\n\nDebug source:\n..."


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_missing_permission_is_recognized(number: int) -> None:
    assert forbidden(OSError(number, "denied", "/srv"))
    assert forbidden(RuntimeError(TEXT.format("denied", number)))
    with pytest.raises(StoreError, match="/srv: denied; allow writing there"), permission_needed(Path("/srv")):
        raise OSError(number, "denied", "/srv/a")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ENOENT, errno.EMFILE])
def test_other_system_errors_pass(number: int) -> None:
    error = OSError(number, "other", "/srv/a")
    assert not forbidden(error)
    assert not forbidden(RuntimeError(TEXT.format("other", number)))
    with pytest.raises(OSError, match="other") as caught, permission_needed(Path("/srv")):
        raise error
    assert caught.value is error


def interrupted(*folders: Path) -> None:
    with removed_on_error(*(folder.as_uri() for folder in folders), "s3://a/b"):
        for folder in folders:
            (folder / "sources" / "layer").mkdir(parents=True)
        (folders[-1] / "file").write_text("content")
        raise KeyboardInterrupt


def test_after_an_error_only_new_empty_folders_are_removed(tmp_path: Path) -> None:
    old, new, kept = tmp_path / "old", tmp_path / "new" / "deep", tmp_path / "kept"
    old.mkdir()
    with pytest.raises(KeyboardInterrupt):
        interrupted(old, new, kept)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "old"]
    assert [path.name for path in kept.iterdir()] == ["file"]


def test_without_an_error_all_folders_stay(tmp_path: Path) -> None:
    with removed_on_error((tmp_path / "new").as_uri()):
        (tmp_path / "new").mkdir()
    assert (tmp_path / "new").is_dir()
