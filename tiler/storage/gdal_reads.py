"""Rasters in S3 or memory as files for GDAL.

GDAL could read S3 itself, but it caches a failed or incomplete answer as long as the process lives, looks for keys and
servers elsewhere than obstore, and reports a throttled request only as "read failed". Here one client makes all
requests, and its error is available when GDAL gives up.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from types import TracebackType
from typing import Any, Self, TypeVar

from rasterio.abc import FileContainer, MultiByteRangeResourceContainer

from tiler.errors import MissingObject
from tiler.storage import cog_header
from tiler.storage.store import Store

T = TypeVar("T")

PAGE = 1 << 16  # bytes per read of a file's directories beyond the first read
PAGES = 32  # cached pages per file
HEAD = 1 << 22  # most bytes of the first read: they take as long as a few more requests
FILES = 16  # files with cached pages
AT_ONCE = 9  # headers read at the same time: a tile and its neighbours lie in four parts at most, a chunk in nine

_MOUNT = re.compile(r"(?:/vsi\w+/)?/tiler-store-(\d+)-(\d+)/(.+)")
_stores: list[Store] = []
_local = threading.local()


def location(store: Store, key: str, head: int = PAGE) -> str:
    """The name under which `datasets.opened` opens `key`: a file's path, or a mount of this module.

    A mounted object must never change. `head` is the size of its header in bytes, read in one request.
    """
    if store.root:
        return str(store.root / key)
    if store not in _stores:
        _stores.append(store)
    return f"/tiler-store-{_stores.index(store)}-{min(head, HEAD)}/{key}"


def blocks(path: str, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
    """The bytes of blocks of the file at `path`, from `location`, as they are stored; fewer bytes beyond its end.

    Raises:
        OSError: the file cannot be read. An error of a store is kept for `fault`, and the bytes are empty.
    """
    if _mounted(path):
        return _OPENER.open(path).get_byte_ranges(offsets, sizes)
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a tenth of the time of Path.open
        return [os.pread(file.fileno(), size, offset) for offset, size in zip(offsets, sizes, strict=True)]


@contextmanager
def header(path: str) -> Iterator[tuple[Callable[[int, int], bytes], int]]:
    """Yield a function to read bytes at an offset of `path`, from `location`, and the file size.

    The function makes no request: beyond the first bytes of a mounted object it raises LookupError.

    Raises:
        OSError: the file cannot be read. An error of a store is kept for `fault`.
    """
    if _mounted(path):
        yield _OPENER.open(path).head, _OPENER.size(path)
        return
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a tenth of the time of Path.open
        yield lambda start, length: os.pread(file.fileno(), length, start), os.fstat(file.fileno()).st_size


def read_heads(paths: Sequence[str]) -> None:
    """Read the headers of several files from `location` at the same time, so that opening them waits once.

    An error is left to the opening of the file.
    """
    mounted = [path for path in paths if _mounted(path)]
    if len(mounted) > 1:
        list(_threads().map(_try, mounted))


def _try(path: str) -> None:
    with suppress(Exception):
        _pages(path)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(AT_ONCE, "heads")


def opener(path: str) -> dict[str, Any]:
    """Arguments of `rasterio.open` for a mount of this module; empty for other paths."""
    return {"opener": _OPENER} if _MOUNT.fullmatch(path) else {}


def shown(path: str) -> str:
    """A path or a dataset's name for messages: a store URL instead of a mount."""
    mount = _mounted(path)
    return f"{mount[0].url}/{mount[1]}" if mount else path


def _mounted(path: str) -> tuple[Store, str, int] | None:
    match = _MOUNT.fullmatch(path)
    return (_stores[int(match[1])], match[3], int(match[2])) if match else None


def fault() -> BaseException | None:
    """Return and clear this thread's last error below GDAL."""
    last: BaseException | None = getattr(_local, "fault", None)
    _local.fault = None
    return last


def _guarded(request: Callable[[], T], default: T) -> T:
    """The result of `request`, or `default` after an error, which is kept for `fault`: GDAL must see no exception.

    Until that error is taken, no further request is made, because GDAL would continue and wait for each of them.
    """
    if not isinstance(getattr(_local, "fault", None), MissingObject | None):
        return default
    try:
        return request()
    except BaseException as error:  # noqa: BLE001 - even Ctrl-C: an exception within GDAL's C code crashes the process
        _local.fault = error
        return default


class _Pages:
    """The bytes of one object's directories that were read so far."""

    def __init__(self, store: Store, key: str, head: int) -> None:
        self.store, self.key = store, key
        self._head, self.size = store.first(key, head)
        self._kept: dict[int, bytes] = {}
        self._behind = cog_header.masks_behind(self.head, self.size)  # bytes of masks behind blocks
        self._masks: dict[int, bytes] = {}  # of the blocks that were read last, by offset

    def head(self, start: int, length: int) -> bytes:
        """`length` bytes from `start`, if the first read has them; fewer at the object's end.

        Raises:
            LookupError: they were not read.
        """
        if start + length > len(self._head) < self.size:
            raise LookupError
        return self._head[start : start + length]

    def part(self, start: int, length: int) -> bytes:
        """`length` bytes from `start`; the object must have them all."""
        if start + length <= len(self._head):
            return self._head[start : start + length]
        if length > PAGE or start in self._behind or start in self._masks:
            return self.ranges([start], [length])[0]
        first, last = start // PAGE, (start + length - 1) // PAGE
        data = b"".join(self._page(number) for number in range(first, last + 1))
        return data[start - first * PAGE :][:length]

    def ranges(self, starts: Sequence[int], lengths: Sequence[int]) -> list[bytes]:
        """Blocks; the masks behind them are read in the same requests, and kept for the next call."""
        masks = self._masks
        if all(len(masks.get(start, b"")) == length for start, length in zip(starts, lengths, strict=True)):
            return [masks[start] for start in starts]
        longer = [length + self._behind.get(start, 0) for start, length in zip(starts, lengths, strict=True)]
        parts = self.store.ranges(self.key, starts, longer)
        blocks = list(zip(starts, lengths, parts, strict=True))
        self._masks = {start + length: part[length:] for start, length, part in blocks if len(part) > length}
        return [part[:length] for _, length, part in blocks]

    def _page(self, number: int) -> bytes:
        if number not in self._kept:
            start = number * PAGE
            (data,) = self.store.ranges(self.key, [start], [min(PAGE, self.size - start)])
            if len(self._kept) == PAGES:
                del self._kept[max(self._kept)]  # the first pages are read most often
            self._kept[number] = data
        return self._kept[number]


@lru_cache(maxsize=FILES)
def _pages(path: str) -> _Pages:
    mount = _mounted(path)
    if not mount:
        raise MissingObject(path)
    return _Pages(*mount)


class _File:
    """An open object with its own position."""

    def __init__(self, pages: _Pages) -> None:
        self._pages = pages
        self._at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    def head(self, start: int, length: int) -> bytes:
        """See `_Pages.head`."""
        return self._pages.head(start, length)

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
        data = _guarded(lambda: self._pages.part(self._at, length), b"")
        self._at += len(data)
        return data

    def get_byte_ranges(self, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
        """The blocks of a window, in few parallel requests."""
        if any(offset + size > self._pages.size for offset, size in zip(offsets, sizes, strict=True)):
            return [b"" for _ in sizes]  # the header points beyond the end: the file is damaged
        return _guarded(lambda: self._pages.ranges(offsets, sizes), [b"" for _ in sizes])


class _Opener:
    """A filesystem for rasterio."""

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
        pages = _guarded(lambda: _pages(path), None) if _mounted(path) else None
        if pages is None:
            raise FileNotFoundError(path)  # rasterio handles it
        return pages


FileContainer.register(_Opener)
MultiByteRangeResourceContainer.register(_Opener)
_OPENER = _Opener()
