"""Rasters in S3 or memory as files for GDAL.

GDAL could read S3 itself, but it caches a failed or incomplete answer as long as the process lives, looks for keys and
servers elsewhere than obstore, and reports a throttled request only as "read failed". Here one client makes all
requests, and its error is available when GDAL gives up.
"""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from types import TracebackType
from typing import Any, Self, TypeVar

from rasterio.abc import FileContainer, MultiByteRangeResourceContainer

from tiler.errors import MissingObject
from tiler.storage.cog_bytes import PAGE, BlockWindow, CogBytes, Span
from tiler.storage.concurrent import together
from tiler.storage.store import Store

T = TypeVar("T")

HEAD = 1 << 22  # most bytes of the first read: they take as long as a few more requests
FILES = 16  # files whose headers are kept
KEPT = 1 << 23  # bytes of blocks that a thread keeps: GDAL reads a block again for each enlarged tile

_MOUNT = re.compile(r"(?:/vsi\w+/)?/tiler-store-(\d+)-(\d+)/(.+)")
_stores: list[Store] = []
Blocks = dict[tuple[str, Span], bytes]  # by path and span, each with the mask behind it


class _Local(threading.local):
    """A thread's last error below GDAL, and the blocks that it used last, in this order, with their size in bytes."""

    def __init__(self) -> None:
        self.fault: BaseException | None = None
        self.blocks: OrderedDict[tuple[str, Span], bytes] = OrderedDict()
        self.size = 0


_local = _Local()


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


def read_ahead(windows: Iterable[BlockWindow]) -> None:
    """Read the headers and the blocks of several files at the same time, so that GDAL does not wait for each in turn.

    They take the requests that GDAL would make. A missing file is left to its opening.

    Raises:
        StoreError: the store failed.
    """
    by_path: dict[str, list[BlockWindow]] = {}
    for window in windows:
        if _mounted(window.path):
            by_path.setdefault(window.path, []).append(window)
    if len(by_path) < 2:
        return
    kept = _local.blocks

    def read(path: str) -> Blocks:
        try:
            cog = _cog(path)
        except MissingObject:
            return {}
        return _blocks(path, cog, [span for window in by_path[path] for span in cog.stretches(window)], kept)

    _keep({key: data for blocks in together(read, list(by_path)) for key, data in blocks.items()})


def _blocks(path: str, cog: CogBytes, stretches: Iterable[Span], kept: Blocks) -> Blocks:
    """Blocks with their masks: those `kept`, and the others in few parallel requests."""
    found = {(path, span): kept.get((path, span)) for span in stretches}
    missing = [span for (_, span), data in found.items() if data is None]
    read = dict(zip(missing, cog.read(missing), strict=True))
    return {key: read[key[1]] if data is None else data for key, data in found.items()}


def _keep(blocks: Blocks) -> None:
    """Keep blocks in this thread. If some are new, drop others beyond KEPT bytes, those not used for longest first."""
    kept, before = _local.blocks, _local.size
    for key, data in blocks.items():
        _local.size += 0 if key in kept else len(data)
        kept[key] = data
        kept.move_to_end(key)
    excess = _local.size - KEPT if _local.size > before else 0
    while excess > 0 and (oldest := next(iter(kept))) not in blocks:
        dropped = len(kept.pop(oldest))
        excess, _local.size = excess - dropped, _local.size - dropped


def forget() -> None:
    """Drop the headers of all files, and the blocks that this thread keeps: they may be damaged."""
    _cog.cache_clear()
    _local.blocks.clear()
    _local.size = 0


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
    last, _local.fault = _local.fault, None
    return last


def _guarded(request: Callable[[], T], default: T) -> T:
    """The result of `request`, or `default` after an error, which is kept for `fault`: GDAL must see no exception.

    Until that error is taken, no further request is made, because GDAL would continue and wait for each of them.
    """
    if not isinstance(_local.fault, MissingObject | None):
        return default
    try:
        return request()
    except BaseException as error:  # noqa: BLE001 - even Ctrl-C: an exception within GDAL's C code crashes the process
        _local.fault = error
        return default


@lru_cache(maxsize=FILES)
def _cog(path: str) -> CogBytes:
    mount = _mounted(path)
    if not mount:
        raise MissingObject(path)
    return CogBytes(*mount)


class _File:
    """An open object with its own position."""

    def __init__(self, path: str, cog: CogBytes) -> None:
        self._path, self._cog = path, cog
        self._at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    def head(self, start: int, length: int) -> bytes:
        """See `CogBytes.head`."""
        return self._cog.head(start, length)

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._cog.size}[whence]
        return self._at

    def read(self, length: int = -1) -> bytes:
        left = max(0, self._cog.size - self._at)
        length = left if length < 0 else min(length, left)
        if not length:
            return b""
        data = _guarded(lambda: self._part(self._at, length), b"")
        self._at += len(data)
        return data

    def get_byte_ranges(self, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
        """The blocks of a window, in few parallel requests."""
        if any(offset + size > self._cog.size for offset, size in zip(offsets, sizes, strict=True)):
            return [b"" for _ in sizes]  # the header points beyond the end: the file is damaged
        return _guarded(lambda: self._blocks(list(zip(offsets, sizes, strict=True))), [b"" for _ in sizes])

    def _part(self, start: int, length: int) -> bytes:
        """A block, a mask, or bytes of the directories."""
        if self._cog.stretch(start, length):
            return self._blocks([(start, length)])[0]
        return self._cog.part(start, length)

    def _blocks(self, spans: Sequence[Span]) -> list[bytes]:
        """Blocks or masks; blocks are kept with the masks behind them."""
        stretches = [self._cog.stretch(*span) or span for span in spans]
        blocks = _blocks(self._path, self._cog, stretches, _local.blocks)
        _keep(blocks)
        return [
            blocks[self._path, stretch][start - stretch[0] : start - stretch[0] + length]
            for stretch, (start, length) in zip(stretches, spans, strict=True)
        ]


class _Opener:
    """A filesystem for rasterio."""

    def open(self, path: str, _mode: str = "r", **_: Any) -> _File:
        return _File(path, self._at(path))

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

    def _at(self, path: str) -> CogBytes:
        cog = _guarded(lambda: _cog(path), None) if _mounted(path) else None
        if cog is None:
            raise FileNotFoundError(path)  # rasterio handles it
        return cog


FileContainer.register(_Opener)
MultiByteRangeResourceContainer.register(_Opener)
_OPENER = _Opener()
