"""Whether a file was opened, by this program, its libraries or its children: by inotify."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OPENED = 0x20 | 0x1  # IN_OPEN, IN_ACCESS
NONBLOCKING = os.O_NONBLOCK
LIBC = ctypes.CDLL(None, use_errno=True)


class Watched:
    """Files of which every opening is seen."""

    def __init__(self, *files: Path) -> None:
        self._handle = LIBC.inotify_init1(NONBLOCKING)
        assert self._handle >= 0, "inotify is not available"
        for file in files:
            assert LIBC.inotify_add_watch(self._handle, os.fsencode(file), OPENED) >= 0, file

    def opened(self) -> bool:
        """Whether one was opened since the last call."""
        try:
            return bool(os.read(self._handle, 1 << 16))
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Watch no more."""
        os.close(self._handle)


@contextmanager
def watched(*files: Path) -> Iterator[Watched]:
    """Watch files."""
    watch = Watched(*files)
    try:
        yield watch
    finally:
        watch.close()
