"""Rasters in a store that is no folder, as files that GDAL reads.

GDAL could read S3 by itself, but it remembers a failed or a torn answer for as long as the process lives, looks for
keys and servers in other places than obstore, and says of a throttled request no more than "read failed". Here one
client does it all, and its error is at hand when GDAL gives up.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import TracebackType
from typing import Any, Self, TypeVar

from rasterio.abc import FileContainer, MultiByteRangeResourceContainer

from tiler.errors import MissingObject
from tiler.storage.store import Store

T = TypeVar("T")

PAGE = 1 << 16  # bytes of a file's directories that are read at once, where more is asked for than the first read got
PAGES = 32  # that are kept of a file
HEAD = 1 << 22  # bytes of the first read at most: it costs as much time as a few more requests would
FILES = 16  # of which all this is kept

_MOUNT = re.compile(r"(?:/vsi\w+/)?/tiler-store-(\d+)-(\d+)/(.+)")
_stores: list[Store] = []
_local = threading.local()


def location(store: Store, key: str, head: int = PAGE) -> str:
    """What `datasets.opened` opens to read `key` in place: a file's path, or a name of ours.

    The object behind such a name must never change. `head` is how many bytes at its beginning describe it: they are
    read at once.
    """
    if store.root:
        return str(store.root / key)
    if store not in _stores:
        _stores.append(store)
    return f"/tiler-store-{_stores.index(store)}-{min(head, HEAD)}/{key}"


def opener(path: str) -> dict[str, Any]:
    """What to tell `rasterio.open` for it to open a name of ours."""
    return {"opener": _OPENER} if _MOUNT.fullmatch(path) else {}


def shown(path: str) -> str:
    """A path, or a dataset's name, as people know it."""
    found = _found(path)
    return f"{found[0].url}/{found[1]}" if found else path


def _found(path: str) -> tuple[Store, str, int] | None:
    match = _MOUNT.fullmatch(path)
    return (_stores[int(match[1])], match[3], int(match[2])) if match else None


def fault() -> BaseException | None:
    """What last went wrong in this thread beneath GDAL, once."""
    found: BaseException | None = getattr(_local, "fault", None)
    _local.fault = None
    return found


def _asked(ask: Callable[[], T], instead: T) -> T:
    """What `ask` answers. GDAL must see no exception, not even Ctrl-C: a fault is kept for `fault`.

    After a fault nothing is asked until it was taken: GDAL would go on, and wait for each answer.
    """
    if not isinstance(getattr(_local, "fault", None), MissingObject | None):
        return instead
    try:
        return ask()
    except BaseException as error:  # noqa: BLE001 - one that passes through GDAL's C code ends the process sooner or later
        _local.fault = error
        return instead


class _Pages:
    """The directories of one object, as far as they were read."""

    def __init__(self, store: Store, key: str, head: int) -> None:
        self.store, self.key = store, key
        self._head, self.size = store.first(key, head)
        self._kept: dict[int, bytes] = {}

    def part(self, start: int, length: int) -> bytes:
        """`length` bytes from `start`, all of which the object has."""
        if start + length <= len(self._head):
            return self._head[start : start + length]
        if length > PAGE:
            return self.store.ranges(self.key, [start], [length])[0]
        first, last = start // PAGE, (start + length - 1) // PAGE
        data = b"".join(self._page(number) for number in range(first, last + 1))
        return data[start - first * PAGE :][:length]

    def _page(self, number: int) -> bytes:
        if number not in self._kept:
            start = number * PAGE
            (data,) = self.store.ranges(self.key, [start], [min(PAGE, self.size - start)])
            if len(self._kept) == PAGES:
                del self._kept[max(self._kept)]  # the first are read again and again
            self._kept[number] = data
        return self._kept[number]


@lru_cache(maxsize=FILES)
def _pages(path: str) -> _Pages:
    found = _found(path)
    if not found:
        raise MissingObject(path)
    return _Pages(*found)


class _File:
    """One opening of an object."""

    def __init__(self, pages: _Pages) -> None:
        self._pages = pages
        self._at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._pages.size}[whence]
        return self._at

    def read(self, length: int = -1) -> bytes:
        left = max(0, self._pages.size - self._at)
        length = left if length < 0 else min(length, left)
        if not length:
            return b""
        data = _asked(lambda: self._pages.part(self._at, length), b"")
        self._at += len(data)
        return data

    def get_byte_ranges(self, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
        """The blocks of a window, in as few requests as make sense, at once."""
        if any(offset + size > self._pages.size for offset, size in zip(offsets, sizes, strict=True)):
            return [b"" for _ in sizes]  # the file names bytes that it does not have: it is broken
        return _asked(lambda: self._pages.store.ranges(self._pages.key, offsets, sizes), [b"" for _ in sizes])


class _Opener:
    """What rasterio asks of a filesystem."""

    def open(self, path: str, _mode: str = "r", **_: Any) -> _File:
        return _File(self._at(path))

    def isfile(self, path: str) -> bool:
        return self.size(path) > 0

    def isdir(self, _path: str) -> bool:
        return False

    def ls(self, _path: str) -> list[str]:
        return []

    def mtime(self, _path: str) -> int:
        return 0

    def rm(self, path: str) -> None:
        raise PermissionError(path)

    def size(self, path: str) -> int:
        return self._at(path).size

    def _at(self, path: str) -> _Pages:
        found = _asked(lambda: _pages(path), None) if _found(path) else None
        if found is None:
            raise FileNotFoundError(path)  # which rasterio answers for
        return found


FileContainer.register(_Opener)
MultiByteRangeResourceContainer.register(_Opener)
_OPENER = _Opener()
