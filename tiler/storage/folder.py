"""Files of a folder that holds objects."""

from __future__ import annotations

import errno
import fcntl
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
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
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


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Exclude other threads and processes that lock `file`, until the end of the block. `file` itself is not opened.

    A killed process releases its lock. Where the file system has no locks, nobody is excluded.
    """
    path = file.with_name(f"{file.name}#0")  # no listing shows such a name
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor)
            if _is_open(path, descriptor):  # otherwise the last holder has removed it meanwhile
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Wait for the lock of an open file, if its file system has locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise


def _is_open(path: Path, descriptor: int) -> bool:
    """Whether `path` still names the open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
