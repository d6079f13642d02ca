"""Files of a folder that holds objects."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from urllib.parse import unquote, urlsplit

from tiler.errors import StoreError

READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
ALLOW_WRITING = "allow writing there, or choose another data folder"
OS_ERROR = re.compile(r"\(os error (\d+)\)")


def forbidden(error: BaseException) -> bool:
    """Whether the system denied permission; obstore gives the error number only as text."""
    number = OS_ERROR.search(str(error))
    return (int(number[1]) if number else getattr(error, "errno", None)) in READ_ONLY


@contextmanager
def permission_needed(folder: Path) -> Iterator[None]:
    """Translate a missing permission to write in `folder`.

    Raises:
        StoreError: the folder is read-only.
    """
    try:
        yield
    except OSError as error:
        if not forbidden(error):
            raise
        raise StoreError("write in", str(folder), f"{error.strerror}; {ALLOW_WRITING}") from error


@contextmanager
def removed_on_error(*urls: str) -> Iterator[None]:
    """On an error within, remove folders of `file://` URLs that did not exist before, as far as they are empty."""
    parts = [urlsplit(url) for url in urls]
    roots = [Path(unquote(each.path)) for each in parts if each.scheme == "file"]
    new = {each for root in roots for each in (root, *root.parents) if not os.path.lexists(each)}
    try:
        yield
    except BaseException:
        for root in sorted(new, key=lambda each: len(each.parts), reverse=True):
            for folder, _, _ in os.walk(root, topdown=False):
                with suppress(OSError):
                    Path(folder).rmdir()
        raise


def inside(place: Path, root: Path) -> bool:
    """Whether `place` lies within `root` after following symbolic links."""
    return Path(os.path.realpath(place)).is_relative_to(os.path.realpath(root))


def holds(file: str, least: int) -> bool:
    """Whether `file` exists and has at least `least` bytes."""
    try:
        state = os.stat(file)  # noqa: PTH116 - pathlib takes longer than the stat
    except (FileNotFoundError, NotADirectoryError):
        return False
    return S_ISREG(state.st_mode) and state.st_size >= least


def move(path: Path, target: Path) -> None:
    """Move a file, also from another disk; readers see the old target or the complete new one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        staged = target.with_name(f"{target.name}#1")  # no listing shows such a name
        try:
            shutil.copyfile(path, staged)
            staged.replace(target)
        except BaseException:
            staged.unlink(missing_ok=True)
            raise
        path.unlink()
