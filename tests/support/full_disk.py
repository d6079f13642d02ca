"""A disk that becomes full at a chosen write, and has space again after a deletion."""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable
from typing import Any, Self

import obstore
import pytest
from obstore.exceptions import GenericError

FULL = "No space left on device"
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Disk:
    """Counts writes, new files and folders, renames and puts. The first one after `room` fails."""

    def __init__(self, patch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        self.writes = 0
        self.full = False
        opened, put = os.open, obstore.put
        patch.setattr(obstore, "put", lambda *args, **kwargs: self.put(put, *args, **kwargs))
        patch.setattr(os, "open", lambda path, flags, *a, **k: self.made(opened, path, flags, *a, **k))
        for module, name in ((io, "open"), (builtins, "open")):
            patch.setattr(module, name, self._opening(getattr(module, name)))
        for name in ("mkdir", "replace"):
            patch.setattr(os, name, self._taking(getattr(os, name)))
        for name in ("unlink", "remove"):
            patch.setattr(os, name, self._freeing(getattr(os, name)))

    @property
    def failed(self) -> bool:
        """Whether a write has failed."""
        return self.writes > self.room

    def take(self, path: object = None) -> None:
        """Use some space."""
        self.writes += 1
        self.full |= self.writes == self.room + 1
        if self.full:
            raise OSError(errno.ENOSPC, FULL, *([path] if isinstance(path, str) else []))

    def put(self, put: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The error of obstore."""
        try:
            self.take()
        except OSError as error:
            raise GenericError(f"Generic LocalFileSystem error: {FULL} (os error {error.errno})") from None
        return put(*args, **kwargs)

    def made(self, opened: Callable[..., int], path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        """A file opened by its descriptor."""
        if flags & WRITES:
            self.take(path)
        return opened(path, flags, *args, **kwargs)

    def _opening(self, opened: Callable[..., Any]) -> Callable[..., Any]:
        def act(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if mode.strip("bt") == "r" or str(file).startswith("/dev/"):
                return opened(file, mode, *args, **kwargs)
            self.take(os.fspath(file) if not isinstance(file, int) else None)
            return Written(opened(file, mode, *args, **kwargs), self)

        return act

    def _taking(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def take(path: Any, *args: Any, **kwargs: Any) -> Any:
            if act.__name__ != "mkdir" or not os.path.lexists(path):
                self.take(os.fspath(path))
            return act(path, *args, **kwargs)

        return take

    def _freeing(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def free(*args: Any, **kwargs: Any) -> Any:
            self.full = False
            return act(*args, **kwargs)

        return free


class Written:
    """A file open for writing."""

    def __init__(self, file: Any, disk: Disk) -> None:
        self._file, self._disk = file, disk

    def __getattr__(self, name: str) -> Any:
        if name in ("write", "writelines"):
            self._disk.take()
        return getattr(self._file, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
